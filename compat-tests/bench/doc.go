// Command bench measures what one machine can show of the goals of performance: it starts the built binary, a miniature
// Mesos with simulated agents and an etcd with real fsync, each as a process of its own, and prints a table of bar,
// moonshot and measured value, and a JSON line for each measure.
//
// Rules: both sides of a ratio run in the same session, by turns; CPU time of the process under test is the main measure,
// as all processes share the cores; a time in seconds is never pass or fail on its own; and every table says on which
// machine, with which disk, commit and sizes it was made.
//
//	bench            all measures, small sizes
//	bench P1 G1      only these
//
// The environment: STADION_BINARY is the binary (../bin/stadion), BENCH=full asks for the real sizes, BENCH_OUT names the
// file for the JSON lines, BENCH_ROUNDS the rounds of the launch race, BENCH_PIN=1 pins the subject to core 0 and all else
// to core 1, BENCH_TXN_OPS sets the size of transactions on both etcd and the server.
//
// The yardstick of the launch path is a framework that does nothing: it takes offers, launches a ready-made task as often
// as it fits, acknowledges and forgets (noop.go).
package main
