package loop

import (
	"sync"
	"time"
)

// turnPeriod is for how long the longest turn is remembered, at least; twice as long at most.
const turnPeriod = 10 * time.Second

// turns remembers the longest turn of the present period and of the one before it.
type turns struct {
	mu          sync.Mutex
	since       time.Time
	now, before time.Duration
}

// note takes a turn that ended at a time.
func (t *turns) note(took time.Duration, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pass(at)
	t.now = max(t.now, took)
}

// longest is the longest turn that ended within the last one to two periods.
func (t *turns) longest(at time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pass(at)
	return max(t.now, t.before)
}

// pass begins a new period when the present one is over.
func (t *turns) pass(at time.Time) {
	switch age := at.Sub(t.since); {
	case age >= 2*turnPeriod:
		t.since, t.now, t.before = at, 0, 0
	case age >= turnPeriod:
		t.since, t.now, t.before = at, 0, t.now
	}
}

// LongestTurn is the longest time within the last 10 to 20 seconds for which Run looked at nothing new, because it was
// deciding and letting out what was decided: whatever comes may have to wait so long before the store sees it (P24).
func (l *Loop) LongestTurn() time.Duration { return l.turns.longest(time.Now()) }
