// Package moving does what the guide for moving over from Marathon says (cmd/stadion/packaging/MOVING.md): it runs the
// commands of both of its parts word for word, with other host names, on a cluster with real processes and with a server
// of this kind in Marathon's place.
package moving
