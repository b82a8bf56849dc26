/*
Package simulation runs the whole of Stadion's heart in one goroutine from one seed: the real machine, matcher,
planner and tables, against a master with agents, clients, a store and a clock that are all made up here.

	seed ─► clock: a queue of (time, what happens)
	         ├─ client   puts, scales, changes, deletes, kills, cancels
	         ├─ server   Step, Settle, batches; commit after a while; then effect by effect … and it may die in between
	         ├─ store    rows that survive the server
	         └─ master   offers, tasks, updates repeated until acknowledged, reconciliation; agents that vanish

The server can be killed before a commit, after it, and between any two effects that the commit releases (F1). After
each event the invariants are checked; when the faults stop, the world must come to rest with exactly what the clients
were promised (R1, R4, R9, I1–I4, I7, I10, I14). A failure prints the seed that repeats it.
*/
package simulation
