package machine

import (
	"github.com/tidwall/btree"

	"stadion/core"
	"stadion/offers"
)

// killQueue holds the instances whose tasks are to be killed: those whose goal says so, and those that a client, a
// health check or a deadline wants dead although they shall run again (behaviour.md 7.11).
type killQueue struct {
	waiting   btree.Set[core.InstanceID]
	inFlight  btree.Map[core.InstanceID, int] // attempts
	lingering btree.Map[core.InstanceID, int] // no answer after the first retry: repeated, but outside the window (D-47)
}

func (q *killQueue) init() {}

// want asks for a kill; repeated wishes are one.
func (q *killQueue) want(id core.InstanceID) {
	if _, ok := q.inFlight.Get(id); ok {
		return
	}
	if _, ok := q.lingering.Get(id); ok {
		return
	}
	q.waiting.Insert(id)
}

// settled: the instance is over, as far as kills go.
func (q *killQueue) settled(id core.InstanceID) {
	q.waiting.Delete(id)
	q.inFlight.Delete(id)
	q.lingering.Delete(id)
}

func (q *killQueue) forget(id core.InstanceID) { q.settled(id) }

// settleKills sends the kills that the window has room for.
func (m *Machine) settleKills() {
	if !m.market.connected {
		return
	}
	for m.kills.waiting.Len() > 0 && m.kills.inFlight.Len() < m.cfg.KillChunk {
		id, _ := m.kills.waiting.Min()
		m.kills.waiting.Delete(id)
		i, ok := m.st.Instance(id)
		if !ok || !i.Launched() || i.Condition == core.UnreachableInactive {
			continue
		}
		m.kills.inFlight.Set(id, 1)
		m.sendKill(i)
	}
}

// sendKill sends one KILL per task that has not ended, and plans the retry.
func (m *Machine) sendKill(i *core.Instance) {
	for _, t := range i.Tasks {
		if t.Condition.Terminal() {
			continue
		}
		k := offers.Kill{TaskID: t.ID}
		if i.Agent != nil {
			k.AgentID = i.Agent.ID
		}
		m.call(k)
	}
	m.timers.set(timerKillRetry, string(i.ID), m.now.Add(ms(m.cfg.KillRetryMs)))
}

// retryKill repeats a kill that was not answered; after the first retry it leaves the window (D-47).
func (m *Machine) retryKill(id core.InstanceID) {
	n, ok := m.kills.inFlight.Delete(id)
	if !ok {
		n, ok = m.kills.lingering.Get(id)
	}
	i, known := m.st.Instance(id)
	if !ok || !known {
		return
	}
	m.kills.lingering.Set(id, n+1)
	if m.market.connected {
		m.sendKill(i)
		return
	}
	m.timers.set(timerKillRetry, string(id), m.now.Add(ms(m.cfg.KillRetryMs)))
}

// killToRestart ends the tasks of an instance whose goal stays Running. An instance out of sight cannot be killed:
// an ephemeral one is given up instead, and killed if it shows up again (behaviour.md 7.11.5).
func (m *Machine) killToRestart(i *core.Instance, reason string) {
	switch i.Condition {
	case core.Unknown, core.Unreachable, core.UnreachableInactive, core.Dropped, core.Gone:
		if i.Reservation == nil && i.Goal == core.GoalRunning {
			m.setGoal(i, core.GoalDecommissioned, reason)
			if c, ok := m.st.Instance(i.ID); ok && c.Condition.ConsideredTerminal() {
				m.expunge(c)
			}
		}
		return
	}
	if !i.Condition.Active() {
		return
	}
	if i.KillReason != reason {
		c := i.Clone()
		c.KillReason = reason
		m.put(c)
	}
	m.kills.want(i.ID)
}

// killInstances answers the kill calls of the API (behaviour.md 7.11).
func (m *Machine) killInstances(id uint64, c KillInstances) {
	res := KillResult{}
	w := wipe{request: id, left: make(map[core.InstanceID]bool)}
	for _, iid := range c.IDs {
		i, ok := m.st.Instance(iid)
		if !ok {
			continue
		}
		res.Instances = append(res.Instances, i)
		if !c.Wipe {
			m.killToRestart(i, "KillingTasksViaApi")
			continue
		}
		m.setGoal(i, core.GoalDecommissioned, "Wiped")
		if left, ok := m.st.Instance(iid); ok {
			if left.Reservation == nil && left.Condition.ConsideredTerminal() {
				m.expunge(left) // out of sight: nothing will ever answer (D-52)
			} else {
				w.left[iid] = true
			}
		}
	}
	if len(w.left) == 0 {
		m.reply(id, res, nil)
		return
	}
	w.result = res
	m.wipes = append(m.wipes, w)
}

// wipe is an answer that waits until its instances are gone or at least dead with only a reservation left.
type wipe struct {
	request uint64
	left    map[core.InstanceID]bool
	result  KillResult
}

// settleWipes answers the wipes whose instances are gone.
func (m *Machine) settleWipes() {
	kept := m.wipes[:0]
	for _, w := range m.wipes {
		for _, i := range w.result.Instances {
			if now, ok := m.st.Instance(i.ID); !ok || now.Condition.ConsideredTerminal() {
				delete(w.left, i.ID)
			}
		}
		if len(w.left) == 0 {
			m.reply(w.request, w.result, nil)
			continue
		}
		kept = append(kept, w)
	}
	m.wipes = kept
}
