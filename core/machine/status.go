package machine

import (
	"slices"
	"strings"

	"stadion/core"
	"stadion/offers"
)

const maxStrange = 1000 // senseless task ids remembered so that each is logged once (D-17)

// statusUpdate takes in one task status. Whatever it means, it is acknowledged in the batch that stores its effect
// (behaviour.md 7.2).
func (m *Machine) statusUpdate(u offers.StatusUpdate) {
	m.answered(u.TaskID)
	if len(u.UUID) > 0 {
		defer m.call(offers.Acknowledge{TaskID: u.TaskID, AgentID: u.AgentID, UUID: u.UUID})
	}
	if id, ok := u.TaskID.Instance(); ok { // the common case, which takes no memory
		if i, known := m.st.Instance(id); known {
			if k := slices.IndexFunc(i.Tasks, func(t core.Task) bool { return t.ID == u.TaskID }); k >= 0 {
				m.taskUpdate(i, k, u, conditionOf(u))
				return
			}
		}
	}
	name, err := core.ParseTaskID(u.TaskID)
	if err != nil { // D-17
		if !m.strange[u.TaskID] && len(m.strange) < maxStrange {
			m.strange[u.TaskID] = true
			m.log(true, "", "status %s of a task that is not ours to know: %v", u.State, err)
		}
		return
	}
	cond := conditionOf(u)
	i, ok := m.st.Instance(name.Instance)
	if !ok {
		if i = m.comeBack(name.Instance, u.TaskID, cond); i == nil {
			m.unknownInstance(name, u, cond)
			return
		}
	}
	k := slices.IndexFunc(i.Tasks, func(t core.Task) bool { return t.ID == u.TaskID })
	if k < 0 { // an older incarnation, behaviour.md 7.8
		if lives(cond) {
			m.call(offers.Kill{TaskID: u.TaskID, AgentID: u.AgentID})
		}
		return
	}
	m.taskUpdate(i, k, u, cond)
}

// lives: a task that reports this and belongs to nobody is to be killed.
func lives(c core.Condition) bool { return c >= core.Provisioned && c <= core.Running }

// conditionOf is table 7.3.
func conditionOf(u offers.StatusUpdate) core.Condition {
	if c, ok := stateConditions[u.State]; ok {
		return c
	}
	// TASK_LOST
	switch {
	case u.Reason == "TASK_UNKNOWN" || strings.HasPrefix(u.Message, "Reconciliation: Task is unknown to the"):
		return core.Unknown
	case u.Reason == "RECONCILIATION" || u.Reason == "AGENT_DISCONNECTED" || u.Reason == "AGENT_REMOVED":
		return core.Unreachable
	}
	return core.Gone
}

var stateConditions = map[string]core.Condition{
	"TASK_STAGING": core.Staging, "TASK_STARTING": core.Starting, "TASK_RUNNING": core.Running, "TASK_KILLING": core.Killing,
	"TASK_FINISHED": core.Finished, "TASK_FAILED": core.Failed, "TASK_KILLED": core.Killed, "TASK_ERROR": core.ErrorCondition,
	"TASK_DROPPED": core.Dropped, "TASK_GONE": core.Gone, "TASK_GONE_BY_OPERATOR": core.Gone, "TASK_UNKNOWN": core.Unknown,
	"TASK_UNREACHABLE": core.Unreachable,
}

// failureStates are the Mesos states that leave a lastTaskFailure record (behaviour.md 1.7).
var failureStates = map[string]bool{"TASK_FAILED": true, "TASK_ERROR": true, "TASK_LOST": true, "TASK_DROPPED": true, "TASK_GONE": true,
	"TASK_GONE_BY_OPERATOR": true, "TASK_UNKNOWN": true}

// unknownInstance answers an update of a task that belongs to no instance (behaviour.md 7.8).
func (m *Machine) unknownInstance(name core.TaskName, u offers.StatusUpdate, cond core.Condition) {
	switch {
	case cond.Terminal() || cond == core.Unreachable:
		m.notify("unknown_instance_terminated_event", name.Spec,
			core.UnknownInstanceTerminated{InstanceID: name.Instance, RunSpecID: name.Spec, Condition: cond.String()})
	case m.cfg.Spared[name.Instance]:
		m.log(true, name.Spec, "task %s is %s; its stored row cannot be read, so it is left alone", u.TaskID, u.State)
	case cond != core.Killing:
		m.log(true, name.Spec, "task %s is %s but belongs to no instance: killing it", u.TaskID, u.State)
		m.mark(MarkGhost, 0)
		m.call(offers.Kill{TaskID: u.TaskID, AgentID: u.AgentID})
	}
}

// taskUpdate applies a status to a known task (behaviour.md 7.4, 7.5).
func (m *Machine) taskUpdate(i *core.Instance, k int, u offers.StatusUpdate, cond core.Condition) {
	old := i.Tasks[k]
	if old.Condition.Terminal() {
		if u.State == "TASK_GONE_BY_OPERATOR" && i.Reservation != nil && !i.Launched() && u.AgentID == i.Agent.ID {
			m.abandonReservation(i) // it waits for an agent that will not come back
		}
		if old.Condition.Lost() && lives(cond) { // it was out of the master's sight, not dead
			m.log(true, i.Spec, "task %s, which was %s, is %s: killing it", u.TaskID, old.Condition, u.State)
			m.call(offers.Kill{TaskID: u.TaskID, AgentID: u.AgentID})
		}
		return
	}
	if m.doubtful(&old, &u) {
		return
	}
	if cond.Terminal() && neverLeft(old, u) {
		cond = core.Unknown // nothing failed, so nothing is delayed
	}
	if cond == core.Unreachable && (old.Condition == core.Unreachable || old.Condition == core.UnreachableInactive) {
		m.armUnreachable(i)
		return
	}
	if !changes(old, u, cond) || overtaken(old, u, cond) {
		return
	}
	c, status := i.CloneWithStatus()
	t := &c.Tasks[k]
	t.Condition = cond
	t.Status = m.keep(status, old.Status, u, cond)
	if len(u.IPs) > 0 && !ends(cond) {
		t.IPs = u.IPs
	}
	if cond == core.Running && t.StartedAt == 0 {
		t.StartedAt = m.now
	}
	m.instanceUpdate(i, c, k, u)
}

// overtaken: an update of the past, which arrives after one of a later stage of the task (F20). Of two of one millisecond the
// later stage is the later one.
func overtaken(t core.Task, u offers.StatusUpdate, cond core.Condition) bool {
	return t.Status != nil && u.Timestamp <= t.Status.At && cond < t.Condition && cond >= core.Staging && t.Condition <= core.Killing
}

// neverLeft: the intent was stored but its launch never reached an agent.
func neverLeft(t core.Task, u offers.StatusUpdate) bool {
	return t.Status == nil && (u.Reason == "RECONCILIATION" || u.Reason == "MASTER_DISCONNECTED")
}

// ends: the addresses of such a status are no longer those of the task: where an executor does not repeat them, as the
// docker executor does not, the agent fills in its own.
func ends(c core.Condition) bool { return c == core.Killing || c.Terminal() }

// changes tells whether an update says anything new (rules 2 to 5 of behaviour.md 7.4).
func changes(t core.Task, u offers.StatusUpdate, cond core.Condition) bool {
	if t.Condition != cond || t.Status == nil || t.Status.State != u.State {
		return true
	}
	if u.Healthy != core.HealthUnknown && u.Healthy != t.Status.Healthy || len(u.IPs) > 0 && !ends(cond) && !slices.Equal(u.IPs, t.IPs) {
		return true
	}
	return u.Check != nil && (t.Status.Check == nil || !sameCheck(*u.Check, *t.Status.Check))
}

func sameCheck(a, b core.CheckResult) bool {
	return same(a.ExitCode, b.ExitCode) && same(a.StatusCode, b.StatusCode) && same(a.Succeeded, b.Succeeded)
}

func same[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

// keep is what is stored of a status. A health flag or check result that the update does not repeat stays, also while
// the agent is out of reach. It is written to s.
func (m *Machine) keep(s, old *core.TaskStatus, u offers.StatusUpdate, cond core.Condition) *core.TaskStatus {
	*s = core.TaskStatus{State: u.State, Reason: u.Reason, Message: u.Message, At: u.Timestamp, Healthy: u.Healthy, Check: u.Check}
	if old != nil && (cond == core.Running || cond == core.Unreachable) {
		if s.Healthy == core.HealthUnknown {
			s.Healthy = old.Healthy
		}
		if s.Check == nil {
			s.Check = old.Check
		}
	}
	if cond == core.Unreachable { // start of the clock, behaviour.md 7.9
		if s.UnreachableSince = u.UnreachableSince; s.UnreachableSince == 0 {
			s.UnreachableSince = max(u.Timestamp, 1)
		}
		s.UnreachableSince = min(s.UnreachableSince, m.now) // the master's clock may be ahead (F4)
	}
	return s
}

// instanceUpdate derives the instance from its tasks, stores it and does what its new condition asks for.
func (m *Machine) instanceUpdate(old, c *core.Instance, k int, u offers.StatusUpdate) {
	c.Condition = aggregate(c.Tasks)
	c.Healthy = aggregateHealth(c.Tasks)
	c.ActiveSince = activeSince(c.Tasks)
	if c.Condition != old.Condition || c.Healthy != old.Healthy {
		c.Since = m.now
	}
	broke := c.Condition.Terminal() && !old.Condition.Terminal()
	ended := !c.Launched() && old.Launched()
	if ended && c.Goal == core.GoalRunning {
		c.QueuedAt = m.now
	}
	if ended && c.Reservation != nil && c.Reservation.New {
		r := *c.Reservation
		r.New = false
		c.Reservation = &r
	}
	spec, known := m.specFor(c)
	m.backoffAfter(old, c, u)
	m.noteLaunch(old, c)
	m.put(c)
	m.statusNotices(old, c, k, u)
	if broke {
		m.recordFailure(old, c, k, u)
		m.countFailure(c)
	}
	m.followHealth(old, c, k, u)
	switch {
	case c.Condition == core.Running && old.Condition != core.Running:
		if old.Condition == core.Unreachable || old.Condition == core.UnreachableInactive {
			m.recallHealth(c)
		}
		m.startHealthProbes(c)
	case c.Condition == core.Running && !slices.Equal(old.Tasks[k].IPs, c.Tasks[k].IPs):
		m.retarget(c)
	case c.Condition != core.Running && old.Condition == core.Running, broke:
		m.stopProbes(c, c.Condition == core.Unreachable)
	}
	switch {
	case ended && c.Goal == core.GoalDecommissioned && c.Reservation == nil:
		m.expunge(c)
	case ended && c.Reservation != nil && goneByOperator(c):
		m.abandonReservation(c)
	case broke && !ended: // a pod's executor ends the other containers; asking for it makes sure
		m.kills.want(c)
	case c.Condition == core.Unreachable && known:
		m.unreachable(c, spec)
	}
}

func goneByOperator(i *core.Instance) bool {
	return slices.ContainsFunc(i.Tasks, func(t core.Task) bool { return t.Status != nil && t.Status.State == "TASK_GONE_BY_OPERATOR" })
}

// abandonReservation frees an instance of an agent that is gone for good (behaviour.md 5.6, D-48).
func (m *Machine) abandonReservation(i *core.Instance) {
	if i.Goal != core.GoalRunning {
		m.expunge(i)
		return
	}
	c := i.Clone()
	c.Reservation, c.Agent, c.Condition, c.Since, c.QueuedAt = nil, nil, core.Scheduled, m.now, m.now
	m.put(c)
	m.announce(c)
}

// precedence orders conditions for the instance: the first that any task has wins (behaviour.md 7.1).
var precedence = []core.Condition{core.ErrorCondition, core.Failed, core.Gone, core.Dropped, core.Unreachable, core.UnreachableInactive, core.Killing, core.Starting,
	core.Staging, core.Unknown, core.Provisioned, core.Running, core.Finished, core.Killed}

func aggregate(tasks []core.Task) core.Condition {
	if len(tasks) == 1 {
		return tasks[0].Condition
	}
	for _, c := range precedence {
		for _, t := range tasks {
			if t.Condition == c {
				return c
			}
		}
	}
	return core.Unknown
}

func aggregateHealth(tasks []core.Task) core.Health {
	h := core.HealthUnknown
	for _, t := range tasks {
		if t.Condition != core.Running {
			if t.Condition != core.Finished {
				return core.HealthUnknown
			}
			continue
		}
		if t.Status == nil {
			continue
		}
		switch t.Status.Healthy {
		case core.Unhealthy:
			return core.Unhealthy
		case core.Healthy:
			h = core.Healthy
		}
	}
	return h
}

func activeSince(tasks []core.Task) (at core.Timestamp) {
	for _, t := range tasks {
		if t.StartedAt != 0 && (at == 0 || t.StartedAt < at) {
			at = t.StartedAt
		}
	}
	return at
}

// statusNotices publishes what clients see of an update, in the order of behaviour.md 7.7.
func (m *Machine) statusNotices(old, c *core.Instance, k int, u offers.StatusUpdate) {
	t := c.Tasks[k]
	body := next(&m.updated)
	*body = core.StatusUpdated{SlaveID: u.AgentID, TaskID: t.ID, TaskStatus: u.State, Message: u.Message, AppID: c.Spec,
		IPAddresses: t.IPs, Ports: ports(t.HostPorts), Version: c.Version}
	if c.Agent != nil {
		body.Host = c.Agent.Host
		body.SlaveID = c.Agent.ID
	}
	if body.IPAddresses == nil {
		body.IPAddresses = []core.IPAddress{}
	}
	m.notify("status_update_event", c.Spec, body)
	if c.Condition != old.Condition {
		m.announce(c)
	}
	if c.Pod && c.Healthy != old.Healthy { // of an app its health checks tell, see followHealth
		m.notify("instance_health_changed_event", c.Spec,
			core.InstanceHealthChanged{InstanceID: c.ID, RunSpecID: c.Spec, Healthy: c.Healthy.Ptr(), RunSpecVersion: c.Version})
	}
}

// ports are the host ports without the empty slots, never nil; not to be changed.
func ports(slots []int) []int {
	if slots != nil && !slices.Contains(slots, 0) {
		return slots
	}
	out := make([]int, 0, len(slots))
	for _, p := range slots {
		if p != 0 {
			out = append(out, p)
		}
	}
	return out
}

// recordFailure keeps lastTaskFailure (behaviour.md 1.7).
func (m *Machine) recordFailure(old, c *core.Instance, k int, u offers.StatusUpdate) {
	if !failureStates[u.State] || neverLeft(old.Tasks[k], u) {
		return
	}
	f := &core.TaskFailure{AppID: c.Spec, Message: u.Message, State: u.State, TaskID: c.Tasks[k].ID, Timestamp: m.now, Version: c.Version, SlaveID: u.AgentID}
	if c.Agent != nil {
		f.Host = c.Agent.Host
	}
	m.st.PutFailure(f)
}
