// Package spine drives stadion dev through go-marathon, with real processes, the
// way of an app from its creation to its end: deploy, reach, scale, upgrade under
// load, lose tasks, crash, roll back, restart, nest, delete. A server that passes
// does the job; everything else in compat-tests is about its corners.
package spine
