package machine

import (
	"stadion/core"
)

const (
	avoidForMs  = 300000 // failures of launches count together for this long (D-64)
	patienceMs  = 10000  // a spec waits this long for other agents before it takes one that failed it
	avoidSuffix = "@avoid"
)

// avoidKey is a spec on an agent.
type avoidKey struct {
	spec  core.PathID
	agent string
}

// avoidance counts the launches of a spec that failed on an agent in a row (D-64).
type avoidance struct {
	failed int
	last   core.Timestamp
}

// noteLaunch learns from how a launch ends: it failed before it ever ran, or it runs.
func (m *Machine) noteLaunch(old, c *core.Instance) {
	if c.Condition == old.Condition {
		return
	}
	if c.Condition == core.Running && old.ActiveSince == 0 {
		m.mark(MarkRunning, c.Tasks[0].StagedAt)
		m.returnToken()
	}
	if m.cfg.AvoidAfter == 0 || c.Agent == nil {
		return
	}
	k := avoidKey{c.Spec, c.Agent.ID}
	switch {
	case c.Condition == core.Running:
		delete(m.avoided, k)
	case c.Condition.IncreasesBackoff() && !old.Condition.Terminal() && c.ActiveSince == 0:
		a := m.avoided[k]
		if a == nil || m.now >= a.last+avoidForMs {
			a = &avoidance{}
			m.avoided[k] = a
		}
		a.failed++
		a.last = m.now
	}
}

// avoids tells whether an instance should rather wait a little for another agent. It is never a hard exclusion: after
// patienceMs any agent will do, so a timer asks for offers again.
func (m *Machine) avoids(i *core.Instance, ref core.ConfigRef, agent string) bool {
	if len(m.avoided) == 0 || i.Reservation != nil {
		return false
	}
	a := m.avoided[avoidKey{i.Spec, agent}]
	if a == nil || a.failed < m.cfg.AvoidAfter || m.now >= a.last+avoidForMs {
		return false
	}
	since := i.QueuedAt
	if d, ok := m.st.Delay(ref); ok {
		since = max(since, d.Deadline())
	}
	if m.now >= since+patienceMs {
		return false
	}
	m.timers.ensure(timerBackoff, string(i.Spec)+avoidSuffix, since+patienceMs)
	return true
}
