// Package badinput gives the built binary what it should not get: broken and
// oversized requests, wrong command lines, taken ports, and stores and clusters
// that are not there. Each time the answer must name what is wrong, nothing may
// be stored, and a server that runs must go on.
package badinput
