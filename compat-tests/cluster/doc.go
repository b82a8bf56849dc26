// Package cluster runs what production runs, three etcd members, three servers and a miniature Mesos with real
// processes, and lets everything but the tasks go wrong, while clients work and somebody looks at the processes.
//
//	clients ──► servers ──links──► etcd members
//	               └─────links──► minimesos ──► processes
//
//	nemesis   kills, stops and cuts off servers (from etcd, from Mesos, frozen), ends etcd members, replaces one,
//	          moves etcd's leader, abdicates: F2, F3, F5, F8, F13
//	registers an app each, written with unique values and read by several clients; Porcupine decides whether the
//	          history is linearizable
//	rolling   an app that is upgraded over and over: the processes alive stay within its capacity (R5, R7)
//	stable    an app that nobody touches: its processes must be the same at the end (R6)
//	listener  rebuilds the tasks from the event stream, over every change of leader (R10)
//
// At the end all is healed, and: what was acknowledged is there (R1), every deployment ends (R9), tasks and processes
// are one to one (no orphan, no double: R4), the listener knows the same tasks.
//
// The seed is printed; -cluster.seed and -cluster.for choose seed and length.
package cluster
