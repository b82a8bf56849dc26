// Package harness starts and stops what black-box tests need: the built
// binary in its three forms and a real etcd. It knows the server only through
// its command line, its first line on stdout and its HTTP API.
//
//	Dev        stadion dev: etcd, a miniature Mesos and the server in one process
//	Minimesos  stadion minimesos: a cluster that outlives servers
//	Server     stadion server: dies and returns, its tasks stay
//	Etcd       etcd in the test's own process, with its real client
//
// Rules:
//
//   - Nothing waits for a fixed time: Await asks again until an answer or a
//     deadline, and a start waits for the line "ready: URL".
//   - Ports come from blocks of the loopback that are locked per block, so that
//     tests of several packages, and several runs, never share one.
//   - What a test started is ended by pid when the test ends; Processes finds the
//     tasks of one work directory in /proc, so that a test can tell what is left.
//   - stderr of every process is kept and shown when a test fails.
package harness
