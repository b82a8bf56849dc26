package machine

import (
	"github.com/tidwall/btree"

	"stadion/core"
)

// timerKind says what a timer is for; its key says for whom.
type timerKind uint8

const (
	timerSpec        timerKind = iota // look at a spec again; key: spec id
	timerBackoff                      // a delay has passed; key: spec id, then @ and what passed
	timerUnreachable                  // key: instance id
	timerKillRetry                    // key: instance id
	timerRevive                       // offers may be asked for again
	timerTokens                       // launch tokens are filled up
	timerReconcile                    // full reconciliation
	timerRetry                        // repeat unanswered reconciliation
	timerScale                        // scale check of all specs
	timerOverdue                      // launches that take too long
	timerSweep                        // delays, statistics; begins retention runs
	timerReservation                  // key: instance id; a reservation was not used in time
	timerBrake                        // unreachable instances may be given up again
	timerStats                        // key: spec id; statistics of a spec that waits no more are dropped; empty: some are to be published
	timerDeadline                     // key: deployment id
	timerRelease                      // key: freeingKey; see whether a reservation is gone
	timerRetain                       // the retention run goes on
	timerSeek                         // key: instance id; ask for what is out of sight
)

type timer struct {
	due  core.Timestamp
	kind timerKind
	key  string
}

// timers are rows ordered by due time; each (kind, key) has at most one.
type timers struct {
	rows *btree.BTreeG[timer]
	due  map[timer]core.Timestamp // key with due zero
}

func newTimers() timers {
	return timers{
		rows: btree.NewBTreeGOptions(func(a, b timer) bool {
			if a.due != b.due {
				return a.due < b.due
			}
			if a.kind != b.kind {
				return a.kind < b.kind
			}
			return a.key < b.key
		}, btree.Options{NoLocks: true}),
		due: make(map[timer]core.Timestamp),
	}
}

// set makes the timer due at the given time, replacing an earlier setting.
func (t *timers) set(kind timerKind, key string, due core.Timestamp) {
	k := timer{kind: kind, key: key}
	if old, ok := t.due[k]; ok {
		if old == due {
			return
		}
		t.rows.Delete(timer{old, kind, key})
	}
	t.due[k] = due
	t.rows.Set(timer{due, kind, key})
}

// ensure sets the timer unless it is due earlier already.
func (t *timers) ensure(kind timerKind, key string, due core.Timestamp) {
	if old, ok := t.due[timer{kind: kind, key: key}]; !ok || old > due {
		t.set(kind, key, due)
	}
}

// drop unsets the timer.
func (t *timers) drop(kind timerKind, key string) {
	k := timer{kind: kind, key: key}
	if old, ok := t.due[k]; ok {
		delete(t.due, k)
		t.rows.Delete(timer{old, kind, key})
	}
}

// next is the earliest due time.
func (t *timers) next() (core.Timestamp, bool) {
	r, ok := t.rows.Min()
	return r.due, ok
}

// pop takes the earliest timer if it is due.
func (t *timers) pop(now core.Timestamp) (timer, bool) {
	r, ok := t.rows.Min()
	if !ok || r.due > now {
		return timer{}, false
	}
	t.drop(r.kind, r.key)
	return r, true
}
