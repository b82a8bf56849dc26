// Package moving does what the guide for moving over from Marathon says (cmd/stadion/packaging/MOVING.md): it runs the
// commands of its part B, side by side, with other host names, between two servers on one cluster.
package moving
