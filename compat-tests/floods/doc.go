// Package floods shows that a built server stands a master at its worst: floods of offers that nobody wants, offers taken
// back while they are used, inverse offers (F19); updates ten times over, in a wild order, of tasks that nobody launched
// or that are another framework's (F20); a storm of updates when a new master brings all agents back at once (F21).
//
//	account of the master  <-- stadion minimesos --simulated --faults_port --> floods, replays, storms
//	chronicle of the master           |
//	                           stadion server  <-- readers and a writer, whose every answer counts
//
// Rules:
//
//   - Whether each offer was answered once (I8) and each update as often as it came (I9) tells the master's account;
//     that no task was launched twice, lost or ended tells its chronicle (I3, I4, R6).
//   - How long a flood lasts is counted in offers and updates, not in seconds. Times and sizes are told, not judged;
//     only memory has a bound, with much room.
//   - CI runs small ones. The sizes of reliability.md 4.3 are asked for with flags: make floods.
package floods
