// Package placement asks a built server where it puts real tasks: every constraint
// operator, roles, fixed ports, and agents that drain, go for good or come back.
//
//	app + constraint --> stadion --> agents 0..n  (hosts 127.0.0.1 .., attribute rack:r0 ..)
//	                        |
//	                  /v2/queue says why what is left over waits
//
// Rules:
//
//   - A placement that is wanted is awaited; a placement that must not happen is
//     shown by the row of the queue's funnel that counts the refused offers.
//   - Tests of constraints share one server: apps do not see each other there.
package placement
