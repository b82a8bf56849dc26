// Package rolling replaces servers by those of the next version and back while clients write: no task restarts, nothing
// acknowledged is lost (U1).
package rolling
