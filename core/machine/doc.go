/*
Package machine is the heart: Step takes one event and the present time, changes the tables and appends what follows
to a batch. It is deterministic and does no I/O: the same events on the same state give the same bytes (design.md 2.1).

	event ─► Step ─► tables change, effects appended, what was touched is marked
	         Settle ─► for everything marked: what is missing now?   (level-triggered)
	                   deployments.Next, kills, launch queue, revive and suppress, timers

Step is cheap and only notes facts. Settle looks at the state as it is and derives what to do next; it remembers no
procedure, so after a failover the same function on the loaded tables goes on where the last leader was. The loop calls
Settle once per batch, so a thousand status updates of one app cost one look at that app.

Offers are served to all waiting specs in turns, oldest offer first (launch.go). Specs with a placement strategy choose
before that among all offers that are held (auction.go).
*/
package machine
