// Package proxies asks what load balancers, service discovery, the web UI and
// deployment scripts ask, and looks for what they rely on (http-api.md 15), on a
// service of real processes with health and readiness checks.
package proxies
