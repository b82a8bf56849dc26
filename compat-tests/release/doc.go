// Package release looks at what is shipped: the binary comes out the same each time and names what is in it (S9), and the
// packaging runs it without root and without writing anywhere (S11).
package release
