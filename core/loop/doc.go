/*
Package loop runs the machine: one goroutine that drains the inbox, lets the machine decide, makes each batch durable
and only then lets anything out (design.md 1, 2.3).

	Submit, Post ─► inbox ─► Step, Step, … ─► Settle ─► batch n+1 ┐
	 (bounded)                                                    │ closed when batch n is durable
	                         ┌── commit of batch n (one at a time)┘
	                         ▼
	           publish snapshot n ─► replies ─► calls ─► probes ─► notices ─► log

While batch n is being committed, batch n+1 fills, so the store's latency is paid once per batch. An idle loop commits
the first event at once: no delay is added to gather more.

Rules

  - The snapshot that is published with batch n was taken when batch n was closed, so it never shows what is not
    durable. It is published before the replies, so whoever was answered reads his own write (R11).
  - A batch without rows is committed too when it answers or tells clients anything: only the store can say that we
    still lead, and a number that clients have seen is never given twice. Batches that only concern the edges (offers
    declined, probes) need no transaction.
  - Batches count up by one; the number of a batch without a transaction may appear again in the next term, with
    another Term.
  - A full inbox refuses commands with Unavailable and makes Post wait. While the store does not answer, new commands
    are refused as well, reads go on from the last snapshot, and the commit is tried again until it succeeds, the fence
    is lost or the term is ended (R13, F8, F10).
  - Wall clocks jump; SystemClock does not (F4).
*/
package loop
