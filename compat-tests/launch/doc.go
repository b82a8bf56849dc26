// Package launch measures the built binary from outside: how fast instances come
// to run on simulated agents, and how many etcd transactions that takes.
package launch
