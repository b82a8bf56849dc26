// Package mesosproto says what a framework may expect of an Apache Mesos 1.12
// master, as tests that know nothing but HTTP. They run against any master, and
// by themselves against the miniature that the stadion binary carries, which
// must answer the same way.
//
//	go test ./mesosproto                      builds and starts the miniature
//	MESOS_URL=http://host:5050 go test ...    a real master with two agents
//	STADION_BINARY=/path go test ...          a binary that is built already
//
// The agents of a real cluster have to be on this machine, run tasks as its user,
// and have nothing else to do: the tests serve files and health checks on
// 127.0.0.1 and expect whole agents.
//
//	main_test.go       the binary, the master under test, who may use it
//	client_test.go     typed events, calls, one framework and its stream
//	*_test.go          one file per topic, one subtest per fact
//	FACTS.md           which test checks which fact
//
// Rules:
//
//   - Every expectation was recorded from a real Mesos. The name of a subtest
//     says the fact; the number of the recording stands at the test (REC 05).
//     Where the miniature differs, the miniature is wrong: no test is weakened.
//   - Each test has a miniature of its own, so that frameworks do not take each
//     other's offers and long timers run side by side. A real master is one: the
//     tests take turns.
//   - What needs a hand on an agent or on the master process is skipped against a real
//     master, and says which recording has it; nothing is skipped against the miniature.
package mesosproto
