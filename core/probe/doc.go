/*
Package probe is the edge that runs health and readiness checks: it takes the machine's Probe effects, asks the tasks
over HTTP, HTTPS or TCP, and posts the verdicts back as events (behaviour.md 8.2, 8.8).

	Apply(start, stop) ──► heap of next times ──one goroutine──► at most MaxInFlight probes ──► post(HealthReport …)

The second probe of a health check comes early by a random part of the interval, once: so those of instances that were
launched together are spread over the interval from then on (D-60). Probes that find no free place wait; they are not
lost and not doubled. A whole probe, connection and body included, ends at its timeout (D-27).
*/
package probe
