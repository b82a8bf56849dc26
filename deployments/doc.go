/*
Package deployments turns a wanted change into a plan and says, at any moment, what a running plan needs next. It is
pure: a function of the tree, the plan and the instances as they are (design.md 2.4). Nothing is remembered between two
calls, so a new leader gets the same answer as the old one would have.

	Change ──Prepare──► stamped versions, steps        (behaviour.md 1.3–1.6, 2.1, 2.2)
	action + instances ──Next──► start n, stop these, or done, or: waits for … (2.6, 2.7, 12.2)
	plan ──Revert──► Change                             (2.5)
*/
package deployments
