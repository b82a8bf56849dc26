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
*/
package offers
