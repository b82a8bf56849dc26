/*
Package simulation runs the whole of Stadion's heart in one goroutine from one seed: the real machine, matcher,
planner, tables, store codec and commit protocol, against servers, a master with agents, clients and clocks that are
all made up here.

	seed ─► clock: a queue of (time, what happens)
	         ├─ client   creates, scales, changes groups and a pod, restarts, deletes, kills, cancels, pauses; forced or not
	         ├─ life     one term of one server: Step, Settle, commit, then effect by effect … it may die in between,
	         │           be stopped, be cut off, be replaced without knowing
	         ├─ store    the in-memory twin: fence, sequence, redo log; slow, unknown outcomes, rows that rot
	         └─ master   streams, offers, tasks, updates repeated until acknowledged, reconciliation, reservations;
	                     agents that vanish, return, die; health that flaps

A world lives with faults for a while and then without; it must come to rest as the clients were told. Worlds of
different kinds (the test lists them) have different faults:

	F1  death at every boundary: in a load, on an event, before, inside and after a commit, between any two effects that
	    it releases (death.go lists them, and the test counts them); what was sent may still arrive
	F3  stopped, and awake again when another leads    F4  clocks an hour apart, drifting, not counting a pause
	F5  cut off from the store   F6  planned hand-over   F7  a second server that takes the fence
	F9  slow commits, unknown outcomes, a full store, in the middle of a batch of several transactions too
	F14 unreadable rows   F15 another master   F16, F17 agents lost, back, gone   F19 offers taken back while used
	F20 updates again, late, of unknown tasks; D-25 broken streams; lost kills and acknowledgements

What is judged, and where:

	R1, R2, I1, I13  what a new term loads is what was committed: of an open batch all or nothing      judge.loaded
	I13              stored rows = held rows after every commit; = what a new leader loads and derives  judge.committed, peek
	R3, I2           a launch has a durable intent; a live task has its row                            judge.launched, look
	R4, I6           at rest no orphan, and no reservation without owner                               judge.rest, ledger
	I6               a volume with data ends by a client's will or with its agent                      judge.destroyed, moved
	R5, R7, I5       launches within capacity; upgrades leave enough healthy instances                 judge.crowd, capacity
	R6               every kill has a stored reason, every reason a cause                              judge.killed, cause
	R8               only the holder of the fence commits; the master takes nothing wrong of others    life.commit, master.take
	R9, I11          something would wake every deployment, and at rest all have ended                 judge.decided, rest
	R10, I10         events show every change of a condition, along the one table                      judge.notice, moved
	R11              an answered change can be read                                                    client.submit
	I3, I4, I7, I8   one live task per instance, ids used once, offers not overdrawn, answered once    judge.look, master
	I8               and within the time limit, whenever nothing keeps the server from it              judge.held
	I9               acknowledged once per arrival, after it is stored, and in the end all             judge.acknowledged, rest
	I12              transactions and values within bounds                                             newJudge, peek
	I14              the same seed gives the same trace                                                TestSameSeedSameTrace
	E.1.3–6, E.1.14  versions, goals, incarnations, the order of a deployment's events                 judge.version, moved, notice

A failure prints the command that repeats it; with -tell it shows every row, call and event up to the failure.
*/
package simulation
