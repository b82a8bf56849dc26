// Package minimesos is Apache Mesos in miniature: one master that speaks the v1
// scheduler HTTP API and the operator API, and its agents. It is what the dev
// mode, the tests and the benches run against, so that none of them needs a
// Mesos installed. Where it and Apache Mesos 1.12 differ, minimesos is wrong.
//
//	      POST /api/v1/scheduler                 GET /state, POST /api/v1 ...
//	               |                                       |
//	  wire.go  codec, statuses            operator*.go  views of the tables
//	               v                                       v
//	+---------------------------- Cluster.mu -----------------------------+
//	| master      frameworks, offers, tasks as the master knows them      |
//	|   accept.go, validate*.go, operations.go, allocator.go, agents.go   |
//	|                 | launch, kill, ack        ^ forwarded statuses     |
//	|                 v                          |                        |
//	| node        one agent: checkpointed resources, update streams       |
//	|                 | runner                   ^ emit                   |
//	+-----------------|--------------------------|------------------------+
//	                  v                          |
//	   simulated (rows and timers)     processes (package agent)
//
// Rules:
//
//   - One mutex guards all tables; nothing under it blocks. Streams have a queue
//     each that their own goroutine encodes and writes; agents that run real
//     processes have a goroutine that takes their orders one by one.
//   - The master part can be thrown away (RestartMaster) while the node part
//     stays: what a new master knows it learns from registry and agents.
//   - Calls come by the hundred thousand: connections that carry them in protobuf are
//     served without net/http (fastpath.go).
//   - Tests can make it misbehave: agents and masters that die, updates that get lost, late or doubled
//     (faults.go, masters.go); offers that nobody can refuse or that are taken back too late, all updates again in a
//     wild order, tasks that nobody launched, a storm of health results (floods.go). An account tells whether each
//     offer and update was answered as often as it must be (account.go). stadion minimesos --faults_port has them all.
//   - mesos-go carries the messages. Resources are compared in a form of our own
//     (bag), because the allocator of a big cluster does little else.
package minimesos
