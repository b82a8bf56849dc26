package minimesos

import (
	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

// masterStatus makes a status of the master's own: no uuid, so that nobody
// acknowledges it.
func masterStatus(taskID, agentID string, state mesos.TaskState, reason mesos.TaskStatus_Reason, message string) *mesos.TaskStatus {
	now := nowSeconds()
	st := &mesos.TaskStatus{
		TaskID: mesos.TaskID{Value: taskID}, State: state.Enum(), Source: mesos.SOURCE_MASTER.Enum(),
		Reason: reason.Enum(), Timestamp: &now, Message: &message,
	}
	if agentID != "" {
		st.AgentID = &mesos.AgentID{Value: agentID}
	}
	return st
}

// lostOr is state for frameworks that know partitions and TASK_LOST for others.
func (fw *framework) lostOr(state mesos.TaskState) mesos.TaskState {
	if fw.able.partition {
		return state
	}
	return mesos.TASK_LOST
}

// forward takes a status from an agent to the framework. The master's view of the
// task follows it: a later state that the agent still holds back does not count.
func (m *master) forward(n *node, key taskKey, nt *nodeTask) {
	st := nt.updates[0]
	m.tally.messages++
	fw := m.frameworks[key.framework]
	if fw == nil {
		return
	}
	if t := fw.tasks[key.task]; t != nil && t.agent.node == n {
		fresh := t.last != st
		t.state, t.last = st.GetState(), st
		if fresh {
			if len(t.statuses) == 0 || t.statuses[len(t.statuses)-1].GetState() != st.GetState() {
				t.statuses = append(t.statuses, st)
			} else {
				t.statuses[len(t.statuses)-1] = st
			}
			if terminal(t.state) {
				m.tally.tasks[t.state]++
			}
			m.watchUpdated(t)
		}
	}
	if m.c.faults.drop() {
		return
	}
	if d := m.c.faults.late(); d > 0 {
		m.c.timers.after(d, func() { fw.sendStatus(st) })
		return
	}
	fw.sendStatus(st)
	for range m.c.faults.again() {
		fw.sendStatus(st)
	}
}

// acknowledge passes an acknowledgement on. The master forgets the task with its
// terminal one, which also frees its resources.
func (m *master) acknowledge(fw *framework, call *scheduler.Call_Acknowledge) {
	m.c.ledger.acknowledged(call.UUID)
	a := m.agents[call.AgentID.Value]
	if a == nil || !a.connected {
		return
	}
	t := fw.tasks[call.TaskID.Value]
	if t != nil && t.agent == a && t.last != nil && terminal(t.state) && string(t.last.UUID) == string(call.UUID) {
		m.endTask(t)
	}
	a.node.acknowledge(fw.id, call.TaskID.Value, call.UUID)
	m.checkDrained(a)
}

// endTask removes a task from the tables and gives its resources back.
func (m *master) endTask(t *task) {
	delete(t.fw.tasks, t.id)
	m.releaseTask(t)
	t.fw.addEnded(t)
}

// releaseTask takes a task off its agent.
func (m *master) releaseTask(t *task) {
	a := t.agent
	delete(a.tasks, taskKey{t.fw.id, t.id})
	m.release(a, t.fw, t.role, t.uses)
	if t.executor == "" {
		return
	}
	key := taskKey{t.fw.id, t.executor}
	if ex := a.executors[key]; ex != nil {
		if ex.tasks--; ex.tasks <= 0 {
			delete(a.executors, key)
			m.release(a, t.fw, ex.role, ex.uses)
		}
	}
}

// reconcile answers RECONCILE.
func (m *master) reconcile(fw *framework, call *scheduler.Call_Reconcile) {
	if len(call.Tasks) == 0 {
		for _, t := range sortedTasks(fw.tasks) {
			if !terminal(t.state) {
				fw.sendStatus(m.latest(t))
			}
		}
		return
	}
	for i := range call.Tasks {
		q := &call.Tasks[i]
		if t := fw.tasks[q.TaskID.Value]; t != nil {
			fw.sendStatus(m.latest(t))
			continue
		}
		m.answerUnknown(fw, q.TaskID.Value, q.AgentID)
	}
}

// latest is the answer of a reconciliation for a task the master has.
func (m *master) latest(t *task) *mesos.TaskStatus {
	st := masterStatus(t.id, t.agent.id, t.state, mesos.REASON_RECONCILIATION, "Reconciliation: Latest task state")
	if t.executor != "" {
		st.ExecutorID = &mesos.ExecutorID{Value: t.executor}
	}
	if t.last != nil {
		st.Healthy, st.CheckStatus = t.last.Healthy, t.last.CheckStatus
		st.ContainerStatus, st.Labels, st.Data = t.last.ContainerStatus, t.last.Labels, t.last.Data
	}
	return st
}

// answerUnknown says what can be said of a task the master does not have: the
// table under "KILL of an unknown task and reconciliation" of the facts.
func (m *master) answerUnknown(fw *framework, taskID string, agentID *mesos.AgentID) {
	id := agentID.GetValue()
	state, text := mesos.TASK_UNKNOWN, "Reconciliation: Task is unknown"
	var since *mesos.TimeInfo
	if agentID == nil {
		if len(m.absent) > 0 {
			return // an agent that is not back yet may have it
		}
	} else {
		unreachable, isUnreachable := m.c.reg.unreachable[id]
		_, isGone := m.c.reg.gone[id]
		switch {
		case m.agents[id] != nil:
			state, text = mesos.TASK_GONE, "Reconciliation: Task is unknown to the agent"
		case m.absent[id]:
			return
		case isUnreachable:
			state, text = mesos.TASK_UNREACHABLE, "Reconciliation: Task is unreachable"
			since = &mesos.TimeInfo{Nanoseconds: unreachable.UnixNano()}
		case isGone:
			state, text = mesos.TASK_GONE_BY_OPERATOR, "Reconciliation: Task is gone"
		}
	}
	st := masterStatus(taskID, id, fw.lostOr(state), mesos.REASON_RECONCILIATION, text)
	st.UnreachableTime = since
	fw.sendStatus(st)
}

// kill answers KILL.
func (m *master) kill(fw *framework, call *scheduler.Call_Kill) {
	m.c.ledger.killed(call.TaskID.Value)
	t := fw.tasks[call.TaskID.Value]
	if t == nil {
		m.answerUnknown(fw, call.TaskID.Value, call.AgentID)
		return
	}
	if call.AgentID != nil && call.AgentID.Value != t.agent.id {
		return
	}
	if !t.agent.connected {
		return // nobody is told, and nobody remembers
	}
	t.agent.node.runner.kill(fw.id, t.id, m.c.obeyed(call.KillPolicy, t.executor != ""))
}

// obeyed is the kill policy of a call, or nil for an executor that ignores it: the old
// command executor (recordings 13 and 27).
func (c *Cluster) obeyed(policy *mesos.KillPolicy, executor bool) *mesos.KillPolicy {
	if executor || c.cfg.HTTPCommandExecutor {
		return policy
	}
	return nil
}
