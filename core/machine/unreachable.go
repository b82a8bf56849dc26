package machine

import (
	"stadion/core"
)

const (
	overdueFirstMs = 30000
	overdueEveryMs = 5000
	seekEveryMs    = 30000 // how often the master is asked for tasks out of sight
)

// armUnreachable sets the timer for the next thing that happens to an unreachable instance (D-18).
func (m *Machine) armUnreachable(i *core.Instance) {
	if i.Condition != core.Unreachable && i.Condition != core.UnreachableInactive {
		m.timers.drop(timerUnreachable, string(i.ID))
		return
	}
	spec, ok := m.specFor(i)
	if !ok || spec.Unreachable().Disabled {
		return
	}
	since, u := unreachableSince(i), spec.Unreachable()
	due := since.Add(ms(int64(u.InactiveAfterSeconds) * 1000))
	if i.Condition == core.UnreachableInactive {
		if i.Reservation != nil { // never forgotten
			return
		}
		due = since.Add(ms(int64(u.ExpungeAfterSeconds) * 1000))
	}
	m.timers.set(timerUnreachable, string(i.ID), due)
}

// nextSeek is the same for all that come out of sight in one period, so that one call asks for many.
func (m *Machine) nextSeek() core.Timestamp { return (m.now/seekEveryMs + 2) * seekEveryMs }

// seek asks the master again for the tasks of an instance out of sight. Of an agent that an operator took down, in whose
// place another one registered, or that came back without the task, the master says once that its tasks are lost and never
// again what became of them; asked, it says that it does not know them (D-18, D-23). What is tied to the agent by its
// volumes could not go on before (7.6).
func (m *Machine) seek(id core.InstanceID) {
	i, ok := m.st.Instance(id)
	if !ok || i.Condition != core.Unreachable && i.Condition != core.UnreachableInactive {
		return
	}
	m.timers.set(timerSeek, string(id), m.nextSeek())
	if i.Agent == nil || !m.market.connected {
		return
	}
	for _, t := range i.Tasks {
		if !t.Condition.Terminal() {
			m.recon.open.Set(t.ID, i.Agent.ID)
		}
	}
	m.recon.ask()
}

func unreachableSince(i *core.Instance) (at core.Timestamp) {
	for _, t := range i.Tasks {
		if t.Status != nil && t.Status.UnreachableSince != 0 && (at == 0 || t.Status.UnreachableSince < at) {
			at = t.Status.UnreachableSince
		}
	}
	if at == 0 {
		at = i.Since
	}
	return at
}

// unreachable applies the strategy to an instance that is out of sight (behaviour.md 7.5, 7.6, 7.9).
func (m *Machine) unreachable(i *core.Instance, spec core.RunSpec) {
	u := spec.Unreachable()
	if u.Disabled {
		return
	}
	gone := m.now.Sub(unreachableSince(i))
	if gone < ms(int64(u.InactiveAfterSeconds)*1000) {
		m.armUnreachable(i)
		return
	}
	if i.Condition == core.Unreachable {
		if i.Goal == core.GoalRunning && !m.mayReplace() {
			m.timers.set(timerUnreachable, string(i.ID), m.brake.fullAt)
			return
		}
		c := i.Clone()
		c.Condition, c.Since = core.UnreachableInactive, m.now
		for k := range c.Tasks {
			if c.Tasks[k].Condition == core.Unreachable {
				c.Tasks[k].Condition = core.UnreachableInactive
			}
		}
		m.put(c)
		m.announce(c)
		i = c
	}
	if gone >= ms(int64(u.ExpungeAfterSeconds)*1000) && i.Reservation == nil {
		m.remember(i)
		m.expunge(i)
		return
	}
	m.armUnreachable(i)
}

func (m *Machine) unreachableDue(id core.InstanceID) {
	i, ok := m.st.Instance(id)
	if !ok || i.Condition != core.Unreachable && i.Condition != core.UnreachableInactive {
		return
	}
	if spec, ok := m.specFor(i); ok {
		m.unreachable(i, spec)
	}
}

// killOverdue kills launches that take too long; they run again (behaviour.md 7.10).
func (m *Machine) killOverdue() {
	var late []core.InstanceID
	m.starts.Scan(func(id core.InstanceID, since core.Timestamp) bool {
		if m.now >= since+core.Timestamp(min(m.cfg.LaunchConfirmMs, m.cfg.LaunchMs)) {
			late = append(late, id)
		}
		return true
	})
	m.overdue = 0
	for _, id := range late {
		i, ok := m.st.Instance(id)
		if !ok {
			m.starts.Delete(id)
			continue
		}
		limit := m.cfg.LaunchMs
		if i.Condition == core.Provisioned {
			limit = m.cfg.LaunchConfirmMs
		}
		if m.now >= i.Tasks[0].StagedAt+core.Timestamp(limit) {
			m.overdue++
			m.killToRestart(i, "Overdue")
		}
	}
	m.timers.set(timerOverdue, "", m.now+overdueEveryMs)
}
