package machine

import (
	"strings"

	"stadion/core"
)

const (
	sweepMs           = 10000
	retainEveryMs     = 300000
	retainAfterWrites = 100
	retainSpecs       = 500 // specs a retention run looks at before it lets others have their turn
	retainPauseMs     = 5
	specsPerScale     = 100 // specs looked at per second by the periodic scale check (D-60)
	scaleEveryMs      = 1000
)

// fireTimers does what has become due.
func (m *Machine) fireTimers() {
	for m.room() {
		t, ok := m.timers.pop(m.now)
		if !ok {
			return
		}
		m.fire(t)
	}
}

func (m *Machine) fire(t timer) {
	switch t.kind {
	case timerSpec:
		m.touch(core.PathID(t.key))
	case timerBackoff:
		spec, _, _ := strings.Cut(t.key, "@")
		m.market.demand(m, core.PathID(spec))
	case timerUnreachable:
		m.unreachableDue(core.InstanceID(t.key))
	case timerSeek:
		m.seek(core.InstanceID(t.key))
	case timerKillRetry:
		m.retryKill(core.InstanceID(t.key))
	case timerReservation:
		m.reservationDue(core.InstanceID(t.key))
	case timerTokens:
		m.refillTokens()
		m.timers.set(timerTokens, "", m.now.Add(ms(m.cfg.LaunchTokenRefreshMs)))
	case timerReconcile:
		if m.market.connected {
			m.recon.begin(m)
		}
	case timerRetry:
		m.recon.ask()
	case timerScale:
		m.scaleAll()
	case timerOverdue:
		m.killOverdue()
	case timerSweep:
		m.sweepDelays()
		m.sweepQueue()
		m.sweepRoles()
		m.timers.set(timerSweep, "", m.now+sweepMs)
		m.beginRetaining()
	case timerBrake:
		clear(m.brake.ghosts)
	case timerStats:
		m.dropStats(core.PathID(t.key))
	case timerDeadline:
		m.deadlinePassed(t.key)
	case timerRelease:
		m.releaseDue(t.key)
	case timerRetain:
		m.retain()
	case timerRevive:
		// Being due is all: Settle looks at offers and roles after every event.
	}
}

// scaleAll spreads the periodic look at every spec over time (D-60).
func (m *Machine) scaleAll() {
	n := 0
	for s := range m.st.SpecsBelow(core.Root) {
		m.timers.ensure(timerSpec, string(s.SpecID()), m.now+core.Timestamp(n/specsPerScale*scaleEveryMs))
		n++
	}
	m.timers.set(timerScale, "", m.now.Add(ms(m.cfg.ScaleIntervalMs)))
}
