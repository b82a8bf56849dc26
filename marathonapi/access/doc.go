/*
Package access knows who asks, what they may do, and keeps the record of what they did.

	request ─► Guard: Users say who it is (S1) ─► Rules say what that user may do: an Actor in the request's context (S5)
	        ─► the API asks the Actor for every id that a request shows or touches, whatever the path says
	        ─► the API adds what changed to the Record ─► Guard writes one entry per change, refused or not (S8)

# Rules of the package

  - Rights go by ids of apps, pods and groups, not by paths of requests: a group whose body reaches beyond what its
    sender may touch is refused as a whole, lists and events are filtered.
  - A standby asks who is there, and nothing else. Rights are the leader's to judge, from the same Authorization header,
    so that no standby can raise them (S6).
  - What can end up in a record is masked before it gets there (S7).
*/
package access
