package machine

import (
	"github.com/tidwall/btree"

	"stadion/core"
	"stadion/offers"
)

// killQueue holds the instances whose tasks are to be killed: those whose goal says so, and those that a client, a
// health check or a deadline wants dead although they shall run again (behaviour.md 7.11). Agents take turns, so that
// one with many kills does not keep the others waiting (D-47).
type killQueue struct {
	lines     btree.Map[string, *btree.Set[core.InstanceID]] // waiting, by agent
	agents    map[core.InstanceID]string                     // of those waiting
	served    string                                         // agent whose turn it was last
	inFlight  btree.Map[core.InstanceID, int]                // attempts
	lingering btree.Map[core.InstanceID, int]                // no answer after the first retry: repeated, but outside the window (D-47)
	attempts  int                                            // kills sent for all that have not ended
}

func (q *killQueue) init() { q.agents = make(map[core.InstanceID]string) }

// want asks for a kill; repeated wishes are one. Out of sight nothing can be killed: the wish comes again when the
// instance shows up (see index).
func (q *killQueue) want(i *core.Instance) {
	if _, ok := q.inFlight.Get(i.ID); ok || i.Condition == core.Unreachable || i.Condition == core.UnreachableInactive {
		return
	}
	if _, ok := q.lingering.Get(i.ID); ok {
		return
	}
	if _, ok := q.agents[i.ID]; ok {
		return
	}
	agent := ""
	if i.Agent != nil {
		agent = i.Agent.ID
	}
	line, ok := q.lines.Get(agent)
	if !ok {
		line = &btree.Set[core.InstanceID]{}
		q.lines.Set(agent, line)
	}
	line.Insert(i.ID)
	q.agents[i.ID] = agent
}

// next takes the first instance of the agent whose turn it is.
func (q *killQueue) next() (core.InstanceID, bool) {
	turn, found := "", false
	q.lines.Ascend(q.served+"\x00", func(a string, _ *btree.Set[core.InstanceID]) bool { turn, found = a, true; return false })
	if !found {
		if turn, _, found = q.lines.Min(); !found {
			return "", false
		}
	}
	line, _ := q.lines.Get(turn)
	id, _ := line.Min()
	q.served = turn
	q.leave(id)
	return id, true
}

// leave takes an instance out of the line it waits in.
func (q *killQueue) leave(id core.InstanceID) {
	agent, ok := q.agents[id]
	if !ok {
		return
	}
	delete(q.agents, id)
	line, _ := q.lines.Get(agent)
	line.Delete(id)
	if line.Len() == 0 {
		q.lines.Delete(agent)
	}
}

// settled: the instance is over, as far as kills go. It reports whether a kill was under way.
func (q *killQueue) settled(id core.InstanceID) (underWay bool) {
	q.leave(id)
	n, a := q.inFlight.Delete(id)
	more, b := q.lingering.Delete(id)
	q.attempts -= n + more
	return a || b
}

// pending reports whether a kill waits or is under way.
func (q *killQueue) pending(id core.InstanceID) bool {
	_, waits := q.agents[id]
	_, flies := q.inFlight.Get(id)
	_, lingers := q.lingering.Get(id)
	return waits || flies || lingers
}

// settleKills sends the kills that the window has room for.
func (m *Machine) settleKills() {
	for m.market.connected && m.kills.inFlight.Len() < m.cfg.KillChunk {
		id, ok := m.kills.next()
		if !ok {
			return
		}
		i, ok := m.st.Instance(id)
		if !ok || !i.Launched() {
			continue
		}
		m.kills.inFlight.Set(id, 1)
		m.kills.attempts++
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
	m.kills.attempts++
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
		if i.Launched() && i.Condition.Terminal() {
			m.kills.want(i)
			return
		}
		if i.Reservation == nil && i.Goal == core.GoalRunning {
			m.setGoal(i, core.GoalDecommissioned, reason)
			if c, ok := m.st.Instance(i.ID); ok && c.Condition.ConsideredTerminal() {
				m.expunge(c)
			}
		}
		return
	}
	if !i.Launched() {
		return
	}
	if i.KillReason != reason {
		c := i.Clone()
		c.KillReason = reason
		m.put(c)
	}
	m.kills.want(i)
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
			if left.Reservation == nil && (left.Condition == core.Unreachable || left.Condition == core.UnreachableInactive) {
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
			if now, ok := m.st.Instance(i.ID); !ok || !now.Launched() || now.Condition == core.Unreachable || now.Condition == core.UnreachableInactive {
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
