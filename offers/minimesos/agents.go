package minimesos

import (
	"fmt"
	"slices"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

// register admits the agent at the current master, or re-admits it.
func (n *node) register() {
	m := n.c.m
	if m == nil || n.down {
		return
	}
	if _, gone := n.c.reg.gone[n.id]; gone && n.id != "" {
		return // an agent that was given up by an operator is told to shut down
	}
	if n.machineDown() {
		return
	}
	n.c.timers.stop(n.ping)
	n.ping = nil
	if n.id == "" {
		n.id = fmt.Sprintf("%s-S%d", m.id, n.c.reg.nextAgent)
		n.c.reg.nextAgent++
		if r, ok := n.runner.(interface{ setAgentID(string) }); ok {
			r.setAgentID(n.id)
		}
	}
	m.admit(n)
}

// admit enters an agent with what it says it runs.
func (m *master) admit(n *node) {
	a := m.agents[n.id]
	back := a != nil
	if !back {
		a = &agent{
			id: n.id, node: n, offers: map[string]*offer{}, tasks: map[taskKey]*task{},
			executors: map[taskKey]*executor{}, registered: time.Now(), answers: map[string]inverseAnswer{},
		}
		a.total = n.total
		a.free = n.total
		m.agents[n.id] = a
		m.agentOrder = append(m.agentOrder, a)
	} else {
		a.reregister = time.Now()
	}
	a.connected = true
	_, wasUnreachable := m.c.reg.unreachable[n.id]
	delete(m.c.reg.unreachable, n.id)
	delete(m.absent, n.id)
	if len(m.absent) == 0 {
		m.c.timers.stop(m.recovering)
	}
	m.c.reg.admitted[n.id] = n
	m.c.saveRegistry()
	m.adopt(a, wasUnreachable)
	if !back {
		m.watchAgentAdded(a)
	}
	n.resendAll("")
	n.resendOperations()
	m.allocateSoon()
}

// adopt brings the master's tables in line with the tasks the agent has.
func (m *master) adopt(a *agent, wasUnreachable bool) {
	for _, key := range a.node.tasksOf("") {
		nt := a.node.tasks[key]
		if m.removed[key.framework] {
			a.node.shutdownFramework(key.framework)
			continue
		}
		if t := a.tasks[key]; t != nil {
			continue
		}
		fw := m.frameworks[key.framework]
		if fw == nil && a.node.frameworks[key.framework] == nil {
			continue // only its end is known; it is reported when the framework is back
		}
		if fw == nil {
			fw = m.recoverFramework(a.node.frameworks[key.framework].info)
		}
		t := fw.unreachable[key.task]
		delete(fw.unreachable, key.task)
		if t == nil {
			t = &task{id: key.task, fw: fw, info: nt.info, uses: nt.uses, role: nt.role}
		}
		t.agent, t.state, t.last = a, nt.state, nt.last
		if len(nt.updates) > 0 {
			t.state, t.last = nt.updates[0].GetState(), nt.updates[0]
		}
		fw.tasks[t.id], a.tasks[key] = t, t
		m.allocateTo(a, fw, t.role, t.uses)
		m.adoptExecutor(a, t, nt)
		if wasUnreachable && !terminal(t.state) {
			fw.sendStatus(masterStatusOf(t, t.state, mesos.REASON_AGENT_REREGISTERED, "Unreachable agent re-reregistered"))
		}
	}
	for key, t := range a.tasks { // what the master sent and the agent never got
		if a.node.tasks[key] == nil && !terminal(t.state) {
			t.state = t.fw.lostOr(mesos.TASK_DROPPED)
			t.fw.sendStatus(masterStatusOf(t, t.state, mesos.REASON_AGENT_RESTARTED, "Agent re-registered without the task"))
			m.endTask(t)
		}
	}
}

func (m *master) adoptExecutor(a *agent, t *task, nt *nodeTask) {
	if nt.executor == nil {
		return
	}
	t.executor = nt.executor.ExecutorID.Value
	key := taskKey{t.fw.id, t.executor}
	ex := a.executors[key]
	if ex == nil {
		ex = &executor{info: nt.executor, uses: m.c.ids.bagOf(nt.executor.Resources), role: t.role}
		a.executors[key] = ex
		m.allocateTo(a, t.fw, ex.role, ex.uses)
	}
	ex.tasks++
}

// masterStatusOf is a status of the master about a task it has.
func masterStatusOf(t *task, state mesos.TaskState, reason mesos.TaskStatus_Reason, text string) *mesos.TaskStatus {
	return masterStatus(t.id, t.agent.id, state, reason, text)
}

// recoverFramework enters a framework that only agents know so far.
func (m *master) recoverFramework(info *mesos.FrameworkInfo) *framework {
	fw := m.addFramework(cloneFramework(info))
	fw.recovered = true
	fw.suppressed = map[string]bool{}
	m.startFailoverOfAbsent(fw)
	return fw
}

// startFailoverOfAbsent gives a recovered framework its failover time, but not
// less than agents have to come back, so that it is not removed among them.
func (m *master) startFailoverOfAbsent(fw *framework) {
	d := max(seconds(max(0, fw.info.GetFailoverTimeout())), m.c.cfg.AgentReregisterTimeout)
	fw.away = m.c.timers.after(d, func() {
		if fw.stream == nil {
			m.removeFramework(fw)
		}
	})
}

// agentDisconnected is the loss of the connection to an agent: offers go at once,
// tasks only when the agent stays away.
func (m *master) agentDisconnected(a *agent) {
	if !a.connected {
		return
	}
	a.connected = false
	m.rescindAgent(a)
	m.rescindInverseAgent(a)
	for _, t := range sortedAgentTasks(a) {
		if t.fw.info.GetCheckpoint() {
			continue
		}
		text := "Agent " + a.node.cfg.Hostname + " disconnected"
		t.fw.sendStatus(masterStatusOf(t, mesos.TASK_LOST, mesos.REASON_AGENT_DISCONNECTED, text))
		t.state = mesos.TASK_LOST
		m.endTask(t)
		a.node.removeTask(taskKey{t.fw.id, t.id})
		a.node.runner.kill(t.fw.id, t.id, nil)
	}
	a.node.ping = m.c.timers.after(m.c.cfg.AgentPingTimeout, func() {
		if m.c.m == m && m.agents[a.id] == a && !a.connected {
			m.agentUnreachable(a)
		}
	})
}

func sortedAgentTasks(a *agent) []*task {
	out := make([]*task, 0, len(a.tasks))
	for _, t := range a.tasks {
		out = append(out, t)
	}
	slices.SortFunc(out, func(x, y *task) int {
		if x.fw != y.fw {
			return compareText(x.fw.id, y.fw.id)
		}
		return compareText(x.id, y.id)
	})
	return out
}

// agentUnreachable gives an agent up that did not answer pings.
func (m *master) agentUnreachable(a *agent) {
	now := time.Now()
	m.c.reg.unreachable[a.id] = now
	for _, t := range sortedAgentTasks(a) {
		if terminal(t.state) {
			m.endTask(t)
			continue
		}
		delete(t.fw.tasks, t.id)
		m.releaseTask(t)
		t.state, t.since = t.fw.lostOr(mesos.TASK_UNREACHABLE), now
		t.fw.unreachable[t.id] = t
		st := masterStatusOf(t, t.state, mesos.REASON_AGENT_REMOVED, "health check timed out")
		st.UnreachableTime = &mesos.TimeInfo{Nanoseconds: now.UnixNano()}
		t.last = st
		t.fw.sendStatus(st)
		m.watchUpdated(t)
	}
	m.removeAgent(a)
}

// removeAgent takes an agent out of the tables and tells every framework.
func (m *master) removeAgent(a *agent) {
	m.rescindAgent(a)
	m.rescindInverseAgent(a)
	delete(m.agents, a.id)
	m.agentOrder = slices.DeleteFunc(m.agentOrder, func(x *agent) bool { return x == a })
	delete(m.c.reg.admitted, a.id)
	m.c.saveRegistry()
	for _, fw := range m.sortedFrameworks() {
		for key := range fw.filters {
			if key.agent == a {
				delete(fw.filters, key)
			}
		}
		fw.send(&scheduler.Event{Type: scheduler.Event_FAILURE,
			Failure: &scheduler.Event_Failure{AgentID: &mesos.AgentID{Value: a.id}}})
	}
	m.watchAgentRemoved(a)
}

// loseTasks ends all tasks of an agent in a state of the master's.
func (m *master) loseTasks(a *agent, state func(*framework) (mesos.TaskState, mesos.TaskStatus_Reason), text string) {
	for _, t := range sortedAgentTasks(a) {
		if !terminal(t.state) {
			s, reason := state(t.fw)
			t.state = s
			st := masterStatusOf(t, s, reason, text)
			t.last = st
			t.fw.sendStatus(st)
			m.tally.tasks[s]++
			m.watchUpdated(t)
		}
		m.endTask(t)
	}
}

// markGone is MARK_AGENT_GONE. It tells whether the agent is known at all.
func (m *master) markGone(id string) bool {
	if _, already := m.c.reg.gone[id]; already {
		return true
	}
	a := m.agents[id]
	_, unreachable := m.c.reg.unreachable[id]
	if a == nil && !unreachable && !m.absent[id] {
		return false
	}
	m.c.reg.gone[id] = time.Now()
	delete(m.c.reg.unreachable, id)
	delete(m.absent, id)
	delete(m.c.reg.admitted, id)
	if a != nil {
		m.rescindAgent(a)
		m.loseTasks(a, func(fw *framework) (mesos.TaskState, mesos.TaskStatus_Reason) {
			if fw.able.partition {
				return mesos.TASK_GONE_BY_OPERATOR, mesos.REASON_AGENT_REMOVED_BY_OPERATOR
			}
			return mesos.TASK_LOST, mesos.REASON_AGENT_REMOVED
		}, "Agent has been marked gone")
		m.removeAgent(a)
	}
	for _, fw := range m.sortedFrameworks() {
		for _, t := range sortedTasks(fw.unreachable) {
			if t.agent.id == id {
				t.state = fw.lostOr(mesos.TASK_GONE_BY_OPERATOR)
				delete(fw.unreachable, t.id)
				fw.addEnded(t)
			}
		}
	}
	for _, n := range m.c.nodes {
		if n.id == id {
			n.wipe()
		}
	}
	m.c.saveRegistry()
	return true
}

// wipe kills all tasks of the agent without updates, and forgets open ones.
func (n *node) wipe() {
	for _, key := range n.tasksOf("") {
		if n.frameworks[key.framework] != nil {
			n.shutdownFramework(key.framework)
		}
		n.removeTask(key)
	}
}

// giveUpAbsent marks agents unreachable that did not come back to a new master.
func (m *master) giveUpAbsent() {
	for id := range m.absent {
		m.c.reg.unreachable[id] = time.Now()
		delete(m.c.reg.admitted, id)
	}
	clear(m.absent)
	m.c.saveRegistry()
}

// executorDone reports the end of a default or custom executor.
func (n *node) executorDone(fid, executorID string, status int32) {
	m := n.master()
	if m == nil {
		return
	}
	if fw := m.frameworks[fid]; fw != nil {
		fw.send(&scheduler.Event{Type: scheduler.Event_FAILURE, Failure: &scheduler.Event_Failure{
			AgentID: &mesos.AgentID{Value: n.id}, ExecutorID: &mesos.ExecutorID{Value: executorID}, Status: &status,
		}})
	}
}

// drain is the state of DRAIN_AGENT.
type drain struct {
	grace   *mesos.DurationInfo
	gone    bool
	drained bool
	since   time.Time
}

// drainAgent kills everything on an agent and keeps it from offers.
func (m *master) drainAgent(a *agent, grace *mesos.DurationInfo, gone bool) {
	a.drain = &drain{grace: grace, gone: gone, since: time.Now()}
	a.deactivated = true
	m.rescindAgent(a)
	m.rescindInverseAgent(a)
	for _, key := range a.node.tasksOf("") {
		nt := a.node.tasks[key]
		nt.draining = true
		a.node.runner.kill(key.framework, key.task, m.c.obeyed(drainPolicy(grace, nt.info.KillPolicy), nt.executor != nil))
	}
	m.checkDrained(a)
}

// drainPolicy is the kill policy of a drain: the longest grace period it allows, where
// that of the task is longer or not said.
func drainPolicy(longest *mesos.DurationInfo, own *mesos.KillPolicy) *mesos.KillPolicy {
	if longest == nil || own.GetGracePeriod() != nil && own.GracePeriod.Nanoseconds <= longest.Nanoseconds {
		return nil
	}
	return &mesos.KillPolicy{GracePeriod: longest}
}

// checkDrained moves a draining agent on when its last update is acknowledged.
func (m *master) checkDrained(a *agent) {
	if a.drain == nil || a.drain.drained || len(a.tasks) > 0 || len(a.node.tasks) > 0 {
		return
	}
	a.drain.drained = true
	if a.drain.gone {
		m.markGone(a.id)
	}
}

// unregister is an agent that leaves on purpose; its tasks are killed.
func (m *master) unregister(a *agent, why string) {
	m.loseTasks(a, func(*framework) (mesos.TaskState, mesos.TaskStatus_Reason) {
		return mesos.TASK_LOST, mesos.REASON_AGENT_REMOVED
	}, "Agent "+a.node.cfg.Hostname+" removed: "+why)
	m.removeAgent(a)
	a.node.wipe()
}
