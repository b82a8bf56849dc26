package simulation

import (
	"fmt"
	"slices"

	"stadion/core"
	"stadion/offers"
)

// agent is a machine with tasks. The master may have lost sight of it, or wait for it, or both may not be so.
type agent struct {
	info       *core.AgentInfo
	total      []offers.Resource
	tasks      []*Task // all that hold resources, in order of their launch
	offer      *offered
	quiet      core.Timestamp // filter of a decline
	cut        bool           // nothing reaches it
	lost       bool           // the master says unreachable
	recovering bool           // a new master waits for it
	gone       bool           // for good
}

func (a *agent) reachable() bool { return !a.cut && !a.recovering && !a.gone }

// Task is a task as its agent knows it: the truth that the server's view is judged by.
type Task struct {
	ID      core.TaskID
	Name    core.TaskName
	Version string // MARATHON_APP_VERSION of its environment
	State   string // latest
	Launch  core.Timestamp
	End     core.Timestamp
	agent   *agent
	used    []offers.Resource
	pending []update // not yet acknowledged; the first is in flight
	sent    []update // all there ever were
	known   string   // latest state that the master heard of
	hidden  bool     // it was out of sight once: the framework may have given it up
	foreign bool     // the framework never launched it
	phantom bool     // its launch never reached the agent
	checked bool     // the agent runs a health check
	sick    bool     // its health check fails
	unready core.Timestamp
	dying   bool
	group   []*Task // of a pod, this one too
}

// update is one status of a task.
type update struct {
	state   string
	uuid    string
	reason  string
	healthy core.Health
	at      core.Timestamp
}

// Alive: the process runs.
func (t *Task) Alive() bool { return t.End == 0 }

// flag is the health that the agent reports.
func (t *Task) flag() core.Health {
	switch {
	case !t.checked || t.known != "TASK_RUNNING":
		return core.HealthUnknown
	case t.sick:
		return core.Unhealthy
	}
	return core.Healthy
}

const (
	repeatMs   = 10000 // an update is sent again after this long
	agentTotal = 32
)

func (m *master) addAgent() {
	id := fmt.Sprintf("S%d", m.hosts)
	m.hosts++
	m.agents = append(m.agents, &agent{info: &core.AgentInfo{ID: id, Host: "host-" + id}, total: []offers.Resource{
		{Name: "cpus", Value: agentTotal}, {Name: "mem", Value: 16384}, {Name: "disk", Value: 10000},
		{Name: "ports", Type: offers.Ranges, Ranges: []offers.Range{{Begin: 31000, End: 31999}}}}})
}

func (m *master) agent(id string) *agent {
	for _, a := range m.agents {
		if a.info.ID == id {
			return a
		}
	}
	return nil
}

// free is what an agent's tasks leave. Resources of an ended task come back with the acknowledgement of its end.
func (a *agent) free() []offers.Resource {
	left := a.total
	for _, t := range a.tasks {
		left = offers.Subtract(left, t.used)
	}
	return left
}

func (m *master) launch(a *agent, ti *offers.TaskInfo) *Task {
	id, w := core.TaskID(ti.TaskID), m.w
	if m.ever[id] {
		w.fail("I4: task id %s is launched twice", id)
	}
	m.ever[id] = true
	if len(ti.Resources) == 0 {
		w.fail("I7: task %s without resources", id)
	}
	if _, err := take(a.free(), ti.Resources); err != nil {
		w.fail("I7: agent %s cannot run %s: %v", a.info.ID, id, err)
	}
	name, err := core.ParseTaskID(id)
	if err != nil {
		w.fail("%v", err)
		return &Task{}
	}
	t := &Task{ID: id, Name: name, agent: a, State: "TASK_STAGING", known: "TASK_STAGING", Launch: w.clock.now, used: ti.Resources, checked: ti.HealthCheck != nil}
	for _, e := range ti.Command.Env {
		if e.Name == "MARATHON_APP_VERSION" {
			t.Version = e.Value
		}
	}
	w.judge.launched(t)
	m.add(t)
	if a.cut {
		t.phantom, t.hidden, t.End = true, true, w.clock.now
		return t
	}
	m.live(t)
	return t
}

func (m *master) add(t *Task) {
	m.tasks[t.ID] = t
	t.agent.tasks = append(t.agent.tasks, t)
	m.w.moved = true
}

// live is the course of a task.
func (m *master) live(t *Task) {
	w := m.w
	t.unready = w.clock.now + core.Timestamp(w.rnd.Int64N(10000))
	w.clock.after(w.rnd.Int64N(400), func() { m.update(t, "TASK_STARTING", "", core.HealthUnknown) })
	w.clock.after(400+w.rnd.Int64N(2000), func() {
		switch {
		case w.chance(w.opt.Failing, 12):
			m.update(t, "TASK_FAILED", "COMMAND_EXECUTOR_FAILED", core.HealthUnknown)
			return
		case w.chance(w.opt.Failing, 60):
			return // hangs: the launch becomes overdue
		}
		m.update(t, "TASK_RUNNING", "", core.HealthUnknown)
		if t.checked {
			w.clock.after(w.rnd.Int64N(3000), func() { m.checkup(t) })
		}
		if w.chance(w.opt.Failing, 8) {
			w.clock.after(w.rnd.Int64N(60000), func() {
				end := []string{"TASK_FAILED", "TASK_FINISHED", "TASK_FAILED"}[w.rnd.IntN(3)]
				if t.checked && len(t.group) > 0 { // of a pod it would never be healthy again (behaviour 11.6)
					end = "TASK_FAILED"
				}
				m.update(t, end, "", core.HealthUnknown)
			})
		}
		if w.chance(w.opt.Failing, 4) {
			w.clock.after(w.rnd.Int64N(60000), func() { m.flap(t) })
		}
	})
}

// flap makes a task sick for a while.
func (m *master) flap(t *Task) {
	if !t.Alive() || !m.w.faults {
		return
	}
	t.sick = true
	m.checkup(t)
	m.w.clock.after(1000+m.w.rnd.Int64N(30000), func() { m.cure(t) })
}

func (m *master) cure(t *Task) {
	if t.sick {
		t.sick = false
		m.checkup(t)
	}
}

// checkup reports what the executor's own check says.
func (m *master) checkup(t *Task) {
	if !t.checked || t.State != "TASK_RUNNING" {
		return
	}
	h := core.Healthy
	if t.sick {
		h = core.Unhealthy
	}
	m.update(t, "TASK_RUNNING", "TASK_HEALTH_CHECK_STATUS_UPDATED", h)
}

var ends = map[string]bool{"TASK_FAILED": true, "TASK_KILLED": true, "TASK_FINISHED": true, "TASK_DROPPED": true}

// update moves a task on; the update is repeated until it is acknowledged.
func (m *master) update(t *Task, state, reason string, h core.Health) {
	if !t.Alive() && !t.phantom || t.agent.gone || t.dying && !ends[state] && state != "TASK_KILLING" {
		return
	}
	t.State = state
	m.w.moved = true
	if ends[state] {
		t.End = m.w.clock.now
		if state != "TASK_FINISHED" {
			for _, other := range t.group { // the executor of a pod ends with any of its tasks that fails
				if other.Alive() && !other.dying {
					m.end(other)
				}
			}
		}
	}
	u := update{state: state, uuid: fmt.Sprintf("%s/%d", t.ID, len(t.sent)), reason: reason, healthy: h, at: m.w.clock.now}
	t.sent = append(t.sent, u)
	t.pending = append(t.pending, u)
	if len(t.pending) == 1 {
		m.transmit(t)
	}
}

// transmit sends the update in flight, and again while it is not acknowledged.
func (m *master) transmit(t *Task) {
	if len(t.pending) == 0 {
		return
	}
	u := t.pending[0]
	m.flush(t)
	m.w.clock.after(repeatMs, func() {
		if len(t.pending) > 0 && t.pending[0].uuid == u.uuid {
			m.transmit(t)
		}
	})
}

// flush sends the update in flight if it can travel.
func (m *master) flush(t *Task) {
	if len(t.pending) == 0 || !t.agent.reachable() || t.agent.lost {
		return
	}
	u := t.pending[0]
	t.known = u.state
	if m.now == nil {
		return
	}
	s := offers.StatusUpdate{TaskID: t.ID, AgentID: t.agent.info.ID, State: u.state, Source: "EXECUTOR", Reason: u.reason, Healthy: u.healthy,
		UUID: []byte(u.uuid), Timestamp: u.at}
	m.tell(s)
	if m.w.chance(m.w.opt.Updates, 8) {
		for range 1 + m.w.rnd.IntN(3) {
			m.tell(s) // F20
		}
	}
}

func (m *master) acknowledge(c offers.Acknowledge) {
	if m.w.chance(m.w.opt.Network, 30) {
		return // lost between master and agent
	}
	t := m.tasks[c.TaskID]
	if t == nil || !t.agent.reachable() || len(t.pending) == 0 || t.pending[0].uuid != string(c.UUID) {
		return
	}
	t.pending = t.pending[1:]
	if len(t.pending) == 0 && !t.Alive() {
		m.forget(t)
		return
	}
	m.transmit(t)
}

func (m *master) forget(t *Task) {
	delete(m.tasks, t.ID)
	if k := slices.Index(t.agent.tasks, t); k >= 0 {
		t.agent.tasks = slices.Delete(t.agent.tasks, k, k+1)
	}
}

func (m *master) kill(c offers.Kill) {
	w, t := m.w, m.tasks[c.TaskID]
	if t == nil || t.agent.gone {
		if a := m.agent(c.AgentID); a == nil || !a.recovering && !a.lost {
			m.tell(offers.StatusUpdate{TaskID: c.TaskID, AgentID: c.AgentID, State: "TASK_GONE", Source: "MASTER", Reason: "RECONCILIATION", Timestamp: w.clock.now})
		}
		return
	}
	if !t.Alive() || !t.agent.reachable() || t.agent.lost || t.dying || w.chance(w.opt.Network, 20) {
		return
	}
	m.end(t)
	for _, other := range t.group {
		if other.Alive() && !other.dying {
			m.end(other)
		}
	}
}

// end is the agent ending a task, which takes a moment.
func (m *master) end(t *Task) {
	w := m.w
	t.dying = true
	if w.rnd.IntN(2) == 0 {
		m.killing(t)
	}
	w.clock.after(w.rnd.Int64N(3000), func() { m.update(t, "TASK_KILLED", "", core.HealthUnknown) })
}

func (m *master) killing(t *Task) { m.update(t, "TASK_KILLING", "", core.HealthUnknown) }

// loseAny takes an agent out of sight: for a moment that the master does not notice, for longer, or for good.
func (m *master) loseAny() {
	a := m.agents[m.w.rnd.IntN(len(m.agents))]
	if a.cut || a.gone || a.recovering {
		return
	}
	silent, away := 1000+m.w.rnd.Int64N(20000), m.w.rnd.Int64N(90000)
	forGood := m.w.rnd.IntN(4) == 0
	m.w.note("agent %s is cut off for %d ms, for good %v", a.info.ID, away, forGood)
	a.cut = true
	m.w.moved = true
	m.void(a)
	if forGood {
		for _, t := range a.tasks {
			t.hidden = true
			if t.Alive() {
				t.End = m.w.clock.now
			}
		}
	}
	m.w.clock.after(silent, func() { m.markLost(a) })
	if forGood {
		m.w.clock.after(away+silent, func() { m.remove(a) })
	} else {
		m.w.clock.after(away, func() { m.comeBack(a) })
	}
}

// markLost is the master giving up on an agent that is silent for too long.
func (m *master) markLost(a *agent) {
	if !a.cut || a.lost || a.recovering || a.gone {
		return
	}
	m.w.note("agent %s is unreachable", a.info.ID)
	a.lost = true
	m.void(a)
	for _, t := range a.tasks {
		t.hidden = true
		m.tell(offers.StatusUpdate{TaskID: t.ID, AgentID: a.info.ID, State: "TASK_UNREACHABLE", Source: "MASTER", Reason: "AGENT_REMOVED",
			Timestamp: m.w.clock.now, UnreachableSince: m.w.clock.now})
	}
}

// remove is the operator saying that an agent is gone for good; another machine takes its place.
func (m *master) remove(a *agent) {
	if a.gone {
		return
	}
	m.w.note("agent %s is gone", a.info.ID)
	a.gone, a.lost, a.recovering = true, false, false
	m.void(a)
	for _, t := range a.tasks {
		t.hidden = true
		m.tell(offers.StatusUpdate{TaskID: t.ID, AgentID: a.info.ID, State: "TASK_GONE_BY_OPERATOR", Source: "MASTER", Reason: "AGENT_REMOVED_BY_OPERATOR", Timestamp: m.w.clock.now})
		delete(m.tasks, t.ID)
		if t.Alive() {
			t.End = m.w.clock.now
		}
	}
	a.tasks = nil
	for _, r := range a.total {
		delete(m.w.judge.used, core.InstanceID(reservationID(r))) // what it held is lost with it
	}
	m.addAgent()
}

// comeBack ends a cut.
func (m *master) comeBack(a *agent) {
	if a.cut && !a.gone {
		a.cut = false
		m.reregister(a)
	}
}

// reregister is an agent showing up at a master that lost it or never knew it.
func (m *master) reregister(a *agent) {
	if a.cut || a.gone {
		return // its own return will do
	}
	a.recovering = false
	was := a.lost
	a.lost = false
	m.w.note("agent %s is back", a.info.ID)
	m.w.moved = true
	for _, t := range slices.Clone(a.tasks) {
		if t.phantom {
			if was {
				m.forget(t)
			} else {
				m.update(t, "TASK_DROPPED", "RECONCILIATION", core.HealthUnknown)
			}
			continue
		}
		t.known = t.State
		if len(t.pending) > 0 {
			t.known = t.pending[0].state
		}
		if was && t.Alive() {
			m.tell(offers.StatusUpdate{TaskID: t.ID, AgentID: a.info.ID, State: t.known, Source: "MASTER", Reason: "AGENT_REREGISTERED", Healthy: t.flag(), Timestamp: m.w.clock.now})
		}
		m.flush(t)
	}
}

// odd makes updates that nobody expects: of a task of ours that no instance knows, of a form that nobody knows, of
// the past (F20).
func (m *master) odd() {
	w := m.w
	var up []*agent
	for _, a := range m.agents {
		if a.reachable() && !a.lost {
			up = append(up, a)
		}
	}
	if len(up) == 0 {
		return
	}
	a := up[w.rnd.IntN(len(up))]
	switch w.rnd.IntN(3) {
	case 0:
		id := core.NewInstanceID("/g0/app0", fmt.Sprintf("00000000-0000-4000-8000-%012d", m.serial)).Task(core.AppContainer, 1)
		m.serial++
		name, err := core.ParseTaskID(id)
		if err != nil {
			w.fail("%v", err)
			return
		}
		t := &Task{ID: id, Name: name, agent: a, State: "TASK_STAGING", known: "TASK_STAGING", Launch: w.clock.now, foreign: true}
		w.note("task %s appears", id)
		m.add(t)
		m.update(t, "TASK_RUNNING", "", core.HealthUnknown)
	case 1:
		m.tell(offers.StatusUpdate{TaskID: "no-form", AgentID: a.info.ID, State: "TASK_RUNNING", Source: "EXECUTOR", UUID: []byte("odd"), Timestamp: w.clock.now})
	default:
		if len(a.tasks) > 0 {
			t := a.tasks[w.rnd.IntN(len(a.tasks))]
			if len(t.sent) > 1 { // an old one again
				u := t.sent[w.rnd.IntN(len(t.sent)-1)]
				m.tell(offers.StatusUpdate{TaskID: t.ID, AgentID: a.info.ID, State: u.state, Source: "EXECUTOR", Reason: u.reason, Healthy: u.healthy,
					UUID: []byte(u.uuid), Timestamp: u.at})
			}
		}
	}
}

// heal brings back all agents that are not gone, and makes all tasks well.
func (m *master) heal() {
	for _, a := range slices.Clone(m.agents) {
		for _, t := range a.tasks {
			m.cure(t)
		}
		switch {
		case a.gone:
		case a.cut && slices.ContainsFunc(a.tasks, func(t *Task) bool { return !t.Alive() && len(t.pending) == 0 && !t.phantom }):
			m.remove(a) // its tasks died with it
		default:
			m.w.clock.after(m.w.rnd.Int64N(20000), func() { m.comeBack(a) })
		}
	}
}
