// Package crash kills the server with SIGKILL at random moments of an app's life
// while etcd and the cluster stay up, and starts it again each time.
//
//	script  one operation after the other, each asked again until it is known to be done, then:
//	          all deployments end, the app has the tasks it should have, and
//	          tasks of the API = processes of the machine, one to one
//	killer  beside it: wait a random time, kill -9, start, ready, again
//
// What must hold: a write that was acknowledged is there, every deployment ends,
// no task runs that the API does not know (orphan), no task has two processes
// (double), and a task's process is the same for as long as the task is listed
// (not restarted), unless an operation replaces it.
//
// The moments come from a seed that is printed; -crash.seed repeats them as far as
// the machine's own timing allows.
package crash
