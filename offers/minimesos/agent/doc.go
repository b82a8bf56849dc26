// Package agent is the side of a miniature Mesos agent that runs real processes.
//
// It turns a TaskInfo into a process in a sandbox directory and tells, status
// by status, what becomes of it. It knows nothing of masters, offers, resource
// arithmetic or acknowledgements: whoever embeds it gives every status its
// uuid and agent id and takes care that it arrives.
//
//	Launch, LaunchGroup                              Emit (in order per task)
//	        │                                             ▲
//	        ▼                                             │
//	┌── one goroutine per task ───────────────────────────┴────────────┐
//	│ prepare: sandbox, user, volumes, fetch → STARTING → start        │
//	│ run:     RUNNING ← checks;  KILL → KILLING, SIGTERM, SIGKILL     │
//	│ end:     sweep the session → exactly one terminal status         │
//	└───────────────┬──────────────────────────────────────────────────┘
//	                │ with Config.Helper            without
//	                ▼                               ▼
//	        shim (own session) ──▶ task      task (own session), dies
//	        survives the agent               with a closed agent
//
// Rules
//
//   - A task is the leader of its own session. Signals go to the whole session;
//     when the leader has ended, whatever is left of the session is killed
//     before the terminal status is emitted.
//
//   - Every task gets at most one terminal status. ShutdownFramework and Close
//     end tasks without any.
//
//   - A pid is never trusted alone: it is compared with the start time that the
//     kernel keeps for the process, and with the boot id after a restart.
//
//   - With a helper, everything that Recover needs is on disk before the step it
//     describes: the shim claims its task once, writes the pid, and at the end
//     the raw wait status. A record is removed only after Emit returned with the
//     terminal status, so an embedder that wants to lose none must keep the
//     status durably before it returns from Emit.
//
//   - Tasks of frameworks that do not checkpoint end at the restart of the
//     agent, silently (the master has already reported them as lost).
//
//   - Default executors have no process of their own. The tasks of one group
//     live and die together; several groups in one executor do not.
//
//   - A custom executor is a process that never registers, for its API is not
//     spoken here: its tasks stay staging until it exits or its time is over.
//
//   - The disk of a task is a quota of its sandbox, watched by looking.
//
//   - Volumes are links in the sandbox. Where a container path is absolute and the
//     agent is root, the task gets a mount that nobody else sees.
//
//   - Docker containers run through the docker command, if there is one and a
//     daemon answers it; the client process is the task then.
//
// The states, sources, reasons and messages are those that Mesos 1.12 was seen
// to send.
package agent
