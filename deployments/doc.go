/*
Package deployments turns a wanted change into a plan and says, at any moment, what a running plan needs next. It is
pure: a function of the tree, the plan and the instances as they are (design.md 2.4). Nothing is remembered between two
calls, so a new leader gets the same answer as the old one would have.

	Change ──Prepare──► stamped versions, steps        (behaviour.md 1.3–1.6, 2.1, 2.2)
	action + instances ──Next──► start n, stop these, or done, or: waits for … (2.6, 2.7, 12.2)
	plan ──Revert──► Change                             (2.5)

# Planning

Prepare lays the change over the tree as an overlay and looks only at what changed and at what that depends on; one
change costs the same in a tree of ten apps and of ten thousand. For service ports that holds if the tree has the method
FreeServicePort(from int) int; otherwise all apps are looked through once.

	now ─┐                 ports   stamps    names, residents, circles    Stop by reverse layers (D-30)
	     ├─► overlay ────► fill ─► table ──► checks ────────────────────► Start
	Change┘                1.6     1.3, 1.4  1.8, 2.2.4, http-api 6.7     one step per dependency layer

A spec that does not differ keeps its version and is not written. A difference outside the fields that restart makes
a version, but no step (D-05). The revert of a plan names every spec of that plan in its own steps, even where the
content is the same, so that it takes those specs over.

# Deciding

Next and ScaleCheck count in one pass and sort nothing unless something has to be stopped. The rules of counting:

  - Only an instance that runs now, is healthy and ready counts as done; anything on its way counts as started (D-04).
  - What was told to stop occupies its agent until it has ended or is out of reach, and starts wait for that room.
  - Whoever is to be stopped is chosen by the one kill order, here and in the scale check (D-08, D-09): KillOrder.
  - Where no check tells of a version, an upgrade relies on it only once its first instance has run for a while: trust.
  - A scaling answers for the instances of its own version, a rolling upgrade for all; see nextScale and nextRestart.

The cases of Marathon's own tests, and which test holds each of them here, stand in marathon.md.

Kinds of promises the tests keep: an own kill never leaves fewer healthy instances than the minimum, but for the dip of
a resident spec (R7); starts never go over the capacity, but for the one extra instance where both bounds are equal
(R5); whatever is waited for exists, and once failures stop every action ends (R9, I11).
*/
package deployments
