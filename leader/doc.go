/*
Package leader elects the one process that may write, by an etcd lease, and tells everybody who it is. It is one of
two packages that know the etcd client; the other is core/store.

	candidate ──► lease (TTL) ──► key <prefix>/v1/leader/<lease>[.<seat>] = host:port
	                                │  the lowest create revision leads, the others wait for the one before them
	                                ▼
	              Term{Key, Rev} ──► the fence that each write of core/store compares
	                   │
	              Expired closes: the lease has ended by the clock, and etcd may be silent
	              Lost closes: key removed, resigned, or etcd answers after the lease has ended

A lease alone is no licence to act (reliability.md 1.2): a process that was stopped for longer than its lease still
believes in it. Therefore a Term carries its key and the key's create revision, and no write happens without them;
Lost only makes the end quick. The create revision also numbers the terms: it only ever grows.

Candidates with the same host:port are an error (behaviour.md 9.1). A process that was killed and comes back within its
lease meets its own old key; so a twin is waited for as long as a lease can last before it counts as one.

A lease is long so that hiccups do no harm, and therefore late when a process dies. So the next in line knocks at the
port of the one before it and removes the key of a process that is provably gone (takeover.go, P25): nobody listens
there any more, or a process answers that does not hold that key, because a supervisor was quick (door.go). A process
that was started again removes the key it left itself, if it can tell that it listens where the dead one did (the seat).
And it is noticed when etcd comes back older than it was (watermark.go, F12).
*/
package leader
