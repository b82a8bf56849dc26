package machine

import (
	"stadion/core"
)

// schedule makes n more instances of a spec wait for offers: first those that rest on a reservation, then new ones
// (behaviour.md 4.1). More than createChunk go on in the next batch.
func (m *Machine) schedule(spec core.RunSpec, n int) {
	if n > createChunk {
		n = createChunk
		m.touch(spec.SpecID())
		delete(m.looked, spec.SpecID())
		m.full = true
	}
	m.created += n
	if spec.Resident() {
		n -= m.wake(spec, n)
	}
	for ; n > 0; n-- {
		i := &core.Instance{ID: core.NewInstanceID(spec.SpecID(), m.uuid()), Spec: spec.SpecID(), Pod: spec.IsPod(), Version: spec.SpecVersion(),
			Role: spec.SpecRole(), Goal: core.GoalRunning, Condition: core.Scheduled, Since: m.now, QueuedAt: m.now}
		m.put(i)
		m.announce(i)
	}
}

// wake re-schedules up to n stopped instances that hold a reservation; they keep id, reservation, agent and role.
func (m *Machine) wake(spec core.RunSpec, n int) int {
	var resting []*core.Instance
	for i := range m.st.InstancesOf(spec.SpecID()) {
		if len(resting) < n && i.Reservation != nil && !i.Launched() && i.Goal == core.GoalStopped {
			resting = append(resting, i)
		}
	}
	for _, i := range resting {
		c := i.Clone()
		c.Goal, c.Condition, c.Version, c.Since, c.QueuedAt, c.KillReason = core.GoalRunning, core.Scheduled, spec.SpecVersion(), m.now, m.now, ""
		m.put(c)
		m.announce(c)
	}
	return len(resting)
}

// stop sets the goal of an instance so that it ends and is not launched again: Stopped when it holds a reservation
// that is to be kept, Decommissioned otherwise (behaviour.md 2.6, 2.7, 3.3.10).
func (m *Machine) stop(i *core.Instance, reason string, forGood bool) {
	goal := core.GoalDecommissioned
	if i.Reservation != nil && !forGood {
		goal = core.GoalStopped
	}
	m.setGoal(i, goal, reason)
}

func (m *Machine) setGoal(i *core.Instance, goal core.Goal, reason string) {
	if i.Goal == goal || !i.Goal.MayBecome(goal) {
		return
	}
	c := i.Clone()
	c.Goal, c.KillReason = goal, reason
	if goal == core.GoalDecommissioned && c.Reservation == nil && !c.Launched() {
		m.put(c) // an end that clients can see, before the record goes
		m.announce(c)
		m.expunge(c)
		return
	}
	m.put(c)
	m.announce(c)
}

// orphans ends the instances of a spec that is not in the tree and that no deployment removes. They are only
// touched once Mesos has been heard, so that a load error never kills (D-42, behaviour.md 7.12.1).
func (m *Machine) orphans(id core.PathID) {
	if m.st.Counts(id).Instances == 0 || !m.recon.heard || m.spares(id) {
		return
	}
	var all []*core.Instance
	for i := range m.st.InstancesOf(id) {
		if i.Goal != core.GoalDecommissioned { // those of a removed app that wait for their volumes to be destroyed are ending
			all = append(all, i)
		}
	}
	if len(all) == 0 {
		return
	}
	m.log(true, id, "%d instances belong to no app or pod: ending them", len(all))
	for _, i := range all {
		if !m.room() {
			m.touch(id)
			return
		}
		m.setGoal(i, core.GoalDecommissioned, "Orphaned")
	}
}
