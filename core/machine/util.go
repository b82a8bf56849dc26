package machine

import (
	"time"

	"stadion/core"
	"stadion/core/state"
)

// ms turns milliseconds into a duration.
func ms(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// specFor returns the definition an instance runs or will run: its own version, else the newest known (D-45).
func (m *Machine) specFor(i *core.Instance) (core.RunSpec, bool) { return specFor(&m.st.View, i) }

func specFor(v *state.View, i *core.Instance) (core.RunSpec, bool) {
	now, known := v.Spec(i.Spec)
	if known && now.SpecVersion() == i.Version {
		return now, true
	}
	if s, ok := v.SpecAt(i.Spec, i.Version); ok {
		return s, true
	}
	return now, known
}

// put stores an instance, keeps the machine's own indexes and marks its spec.
func (m *Machine) put(i *core.Instance) {
	old := m.st.PutInstance(i)
	m.index(old, i)
	if old == nil || !m.onItsWay(old, i) && !m.oneOfMany(old, i) {
		m.touch(i.Spec)
	}
}

// onItsWay: an instance that is wanted came further on its way and does not run yet. No decision on its spec asks how far
// such a one is: it is alive, neither healthy nor done, and no victim, or it would have been told to stop already. In a
// storm of launches two of three moves are of this kind, each of which cost a look at the spec. Only what is shown of a
// stall tells waiting for offers from waiting for a start.
func (m *Machine) onItsWay(old, i *core.Instance) bool {
	if old.Goal != core.GoalRunning || i.Goal != core.GoalRunning || old.Version != i.Version || m.st.Stalled() {
		return false
	}
	if old.Condition == core.Scheduled { // launched for the first time, and not by an upgrade that would rather see it gone
		now, known := m.st.Spec(i.Spec)
		return i.Condition == core.Provisioned && i.Incarnation == 1 && known && now.SpecVersion() == i.Version
	}
	return old.Condition.Launching() && i.Condition.Launching()
}

// oneOfMany: an instance of an app that is being started runs now and others do not yet. The deployment waits for them in
// any case, so that only the last one asks for a look. (That the stall's clock begins anew is noticed by the next look,
// topUpEveryMs later at most.)
func (m *Machine) oneOfMany(old, i *core.Instance) bool {
	if !old.Condition.Launching() || i.Condition != core.Running || i.Goal != core.GoalRunning || old.Goal != core.GoalRunning || old.Version != i.Version || m.st.Stalled() {
		return false
	}
	spec, known := m.st.Spec(i.Spec)
	c := m.st.Counts(i.Spec)
	if !known || spec.IsPod() || spec.HasReadinessChecks() || c.Instances != spec.InstanceCount() || c.Running >= c.Instances {
		return false
	}
	d, locked := m.st.DeploymentOf(i.Spec)
	if !locked || len(d.Specs) != 1 || d.Specs[0].From != 0 || d.Specs[0].ID != i.Spec || d.Specs[0].To != i.Version {
		return false // there may be others, which it does not wait for
	}
	a := d.CurrentActions()
	return len(a) == 1 && a[0].Kind == core.ActionScale
}

// index brings the volatile indexes in line with a row; old is the one before, nil without.
func (m *Machine) index(old, i *core.Instance) {
	m.market.know(i.Role)
	m.queue.follow(m, old, i)
	launched := i.Launched()
	switch {
	case i.Condition.Launching():
		if len(i.Tasks) > 0 {
			m.starts.Set(i.ID, i.Tasks[0].StagedAt)
		}
	case i.Condition == core.Unreachable, i.Condition == core.UnreachableInactive:
		m.starts.Delete(i.ID)
		m.timers.ensure(timerSeek, string(i.ID), m.nextSeek())
	default:
		m.starts.Delete(i.ID)
	}
	if i.Goal == core.GoalDecommissioned && i.Reservation != nil && !launched {
		m.free(i)
	}
	switch {
	case !launched || i.Condition == core.Unreachable || i.Condition == core.UnreachableInactive:
		if m.kills.settled(i.ID) {
			m.timers.drop(timerKillRetry, string(i.ID))
		}
	case i.Goal != core.GoalRunning: // also one that comes back after it was given up
		m.kills.want(i)
	}
}

// expunge forgets an instance for good.
func (m *Machine) expunge(i *core.Instance) {
	m.stopProbes(i, false)
	m.st.RemoveInstance(i.ID)
	m.queue.follow(m, nil, i)
	m.queue.leave(i)
	m.starts.Delete(i.ID)
	m.kills.settled(i.ID)
	m.releases.Delete(freeingKey(i))
	m.timers.drop(timerRelease, freeingKey(i))
	for _, k := range []timerKind{timerKillRetry, timerUnreachable, timerSeek, timerReservation} {
		m.timers.drop(k, string(i.ID))
	}
	for _, t := range i.Tasks {
		m.st.DropReadiness(t.ID)
	}
	m.touch(i.Spec)
}

// announce publishes instance_changed_event.
func (m *Machine) announce(i *core.Instance) {
	body := next(&m.changed)
	*body = core.InstanceChanged{InstanceID: i.ID, Condition: i.Condition.String(), RunSpecID: i.Spec, RunSpecVersion: i.Version}
	if i.Agent != nil {
		body.AgentID, body.Host = &i.Agent.ID, &i.Agent.Host
	}
	m.notify("instance_changed_event", i.Spec, body)
}

// bodiesAtOnce is how many bodies of notices are made at once: there are two for each status update.
const bodiesAtOnce = 64

// next is a fresh value out of a piece of memory for many.
func next[T any](of *[]T) *T {
	if len(*of) == cap(*of) {
		*of = make([]T, 0, bodiesAtOnce)
	}
	*of = (*of)[:len(*of)+1]
	return &(*of)[len(*of)-1]
}
