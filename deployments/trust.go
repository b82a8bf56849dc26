package deployments

import "stadion/core"

const (
	longestProof = 5000 // milliseconds: what an instance must run at most before it is relied on
	onceFailed   = 10   // so many times longer must one run that has failed before
)

// trust tells which new instances may be relied on when old ones are to go.
//
// Where a spec has health or readiness checks, they tell. Where it has none, all that is known of an instance is that
// it runs (D-01), and a version that crashes at once does so for a moment, again and again: by 3.5 each of those moments
// would cost an old instance, until none that works is left. So, without any check:
//
//   - The first instance of a version has to run for as long as the spec's backoffSeconds (5 s at most) before any of
//     the version is counted. After that they count as soon as they run, as in Marathon, so it costs an upgrade that
//     moment once. backoffSeconds 0 gives Marathon's behaviour to the letter.
//   - That ends as soon as not fewer have failed than proved themselves; then each must run that long itself.
//   - One that had to be launched again must run ten times as long before it counts.
//
// It only delays kills. What ends a deployment, and what it starts, is as without it (behaviour.md 12: a fix may change
// timing).
type trust struct {
	needed bool // the spec has no check that tells
	now    core.Timestamp
	proof  core.Timestamp // milliseconds

	proven  int // run for long enough
	young   int // run for the first time, and not for so long yet
	failing int // have failed and not proven themselves since
	again   core.Timestamp
}

func (t *trust) begin(v *SpecView) {
	t.proof = core.Timestamp(min(1000*v.Target.BackoffPolicy().Seconds, longestProof))
	t.now = v.Now
	t.needed = t.now != 0 && t.proof > 0 && !v.Target.HasHealthChecks() && !v.Target.HasReadinessChecks()
}

// note counts a new instance with goal Running; good says that it runs.
func (t *trust) note(i *core.Instance, good bool) {
	if !t.needed {
		return
	}
	again := i.Incarnation > 1 && i.Reservation == nil // a resident one is launched again by every upgrade
	switch {
	case !good:
		if again || i.Condition.IncreasesBackoff() {
			t.failing++
		}
	case again:
		if !t.ripe(i, onceFailed*t.proof) {
			t.failing++
		} else {
			t.proven++
		}
	case t.ripe(i, t.proof):
		t.proven++
	default:
		t.young++
	}
}

// ripe: has run for so long; if not, the question is to be asked again when it has. One that began to run in the future
// did so by the clock of another leader, and is given the benefit of the doubt.
func (t *trust) ripe(i *core.Instance, proof core.Timestamp) bool {
	at := i.ActiveSince + proof
	if at <= t.now || i.ActiveSince > t.now {
		return true
	}
	if t.again == 0 || at < t.again {
		t.again = at
	}
	return false
}

// count is how many of the good ones can be relied on.
func (t *trust) count(good int) int {
	switch {
	case !t.needed:
		return good
	case t.failing < t.proven:
		return t.proven + t.young
	}
	return t.proven
}
