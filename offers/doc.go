/*
Package offers decides, without I/O, what to do with an offer: it matches offers against the needs of waiting
instances, builds the tasks to launch and counts why an offer did not fit. It also holds the plain values that go
to and come from Mesos (Call, Event): the adapter in offers/mesos turns them into the protocol and back, so that
no Mesos type ever enters the heart.

	Mesos ──Event──► machine ──Offer, Need──► offers.Match ──► Placement (TaskInfo, Operation)
	  ▲                                                            │ durable
	  └───────────────────────── Call ◄────────────────────────────┘

Everything here is a pure function of its arguments (behaviour.md 5 and 6). Randomness for port and role choice
comes from a generator that the caller seeds.

# How a need is matched

	Need ─ reservation? ── yes ─► all volumes offered? ─► resources of the reservation ─► LAUNCH
	         │ no
	         ├─ persistent volumes ─► unreserved resources and disks ─► RESERVE, CREATE (the launch follows later)
	         └─ else ─► resources of the accepted roles ─► LAUNCH or LAUNCH_GROUP

Every path asks the same questions (check in match.go) and collects every reason against the offer; ports are only
looked at when nothing else is wrong. Amounts are whole thousandths (scalar.go), as in Mesos, so sums never drift.

# Which of several offers

The matcher says whether an offer fits; Score says how well, under the placement strategy of a spec (its label, else the
server's flag). The caller tries the best first. Without a strategy the first that fits is taken, as in Marathon.

# Speed

What depends on the spec alone is prepared once per spec version (Compile): amounts, port requests, regular
expressions, labels, environment. What depends on where other instances are is tallied per constraint (Counts); a
caller that adds and removes instances as they come and go makes the cost of a constraint independent of how many
there are. Saying no uses no memory.

# Where it differs from Marathon on purpose

D-11 (region mismatch has a reason), D-15 (RE2 patterns), D-16 (GROUP_BY without value, contained panics), D-34 (an
instance with a reservation counts: the caller lists it), D-35 (one mapping per protocol), D-36 (executor resources
are matched), D-37 (several networkNames); reservations that their instance has given up are freed (reconcile.go); of
mount disks the smallest is taken; constraint-driven kills do not stop where two groups are equally large (kills.go).
*/
package offers
