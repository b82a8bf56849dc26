/*
Package takeover makes a state of Stadion out of what a running Marathon shows on its API, so that a server that starts on
that state goes on where Marathon stopped: same framework id, same tasks, no restart (U3).

	GET /v2/info, /v2/groups, /v2/tasks, /v2/pods, /v2/pods/::status, old versions
	  ─► Build ─► state: framework id, groups, definitions with Marathon's own stamps, one instance per task
	  ─► an archive as stadion backup makes it ─► stadion restore ─► stadion server subscribes with the framework id
	  ─► explicit reconciliation: the master says of each task what has become of it since

Nothing in the server knows of it: a state that was taken over is loaded, reconciled and deployed like any other.

# Rules of the package

  - Stamps are Marathon's: a task is outdated here exactly if it was outdated there. Versions that tasks still run are
    taken over too.
  - What cannot be taken over whole is refused: definitions that are not accepted, running deployments, resident instances
    that the API does not show because they wait for an offer (their volumes would be taken for nobody's).
  - Pure: texts in, a state out. Fetching is the command's part.
*/
package takeover
