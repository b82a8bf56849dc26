package machine

import (
	"slices"

	"stadion/core"
)

// brake bounds how many instances that are out of sight are given up, and so replaced, in one period: in a partition
// those beyond it stay as they are until the next period, and most of them come back before (D-61, F16).
type brake struct {
	left   int
	fullAt core.Timestamp            // when the present period ends
	ghosts map[core.InstanceID]ghost // forgotten in this period: may come back while their replacements wait
}

func (b *brake) init() { b.ghosts = make(map[core.InstanceID]ghost) }

// ghost is a forgotten instance and its last health.
type ghost struct {
	instance     *core.Instance
	alive, known bool
}

// mayReplace takes one of the period's replacements.
func (m *Machine) mayReplace() bool {
	if m.cfg.ReplacedPerPeriod <= 0 {
		return true
	}
	b := &m.brake
	if m.now >= b.fullAt {
		b.left = m.cfg.ReplacedPerPeriod
		b.fullAt = m.now.Add(ms(m.cfg.LaunchTokenRefreshMs))
		m.timers.set(timerBrake, "", b.fullAt)
	}
	if b.left == 0 {
		return false
	}
	if b.left--; b.left == 0 {
		m.log(true, "", "%d unreachable instances were given up within %v; the others are kept until then", m.cfg.ReplacedPerPeriod, ms(m.cfg.LaunchTokenRefreshMs))
	}
	return true
}

// remember keeps a forgotten instance for the rest of the period.
func (m *Machine) remember(i *core.Instance) {
	if i.Goal == core.GoalRunning && m.now < m.brake.fullAt && len(m.brake.ghosts) < m.cfg.ReplacedPerPeriod {
		alive, known := m.st.LastAlive(i.ID)
		m.brake.ghosts[i.ID] = ghost{i, alive, known}
	}
}

// comeBack takes up a forgotten instance whose task lives, in the place of one that waits and was never launched. Nil
// when there is nothing to take up: the task is killed as unknown (D-61, behaviour.md 7.6).
func (m *Machine) comeBack(id core.InstanceID, task core.TaskID, cond core.Condition) *core.Instance {
	g, ok := m.brake.ghosts[id]
	i := g.instance
	if !ok || cond.Terminal() || cond == core.Killing || cond == core.Unreachable {
		return nil
	}
	delete(m.brake.ghosts, id)
	spec, ok := m.st.Spec(i.Spec)
	if !ok || i.Version < spec.Stamps().LastConfigChangeAt || !slices.ContainsFunc(i.Tasks, func(t core.Task) bool { return t.ID == task }) {
		return nil
	}
	for w := range m.st.WaitingOf(i.Spec) {
		if !w.Durable() && w.Role == i.Role {
			m.setGoal(w, core.GoalDecommissioned, "Returned")
			m.put(i)
			if g.known {
				m.st.SetLastAlive(i.ID, g.alive)
			}
			return i
		}
	}
	return nil
}
