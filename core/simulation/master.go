package simulation

import (
	"fmt"
	"maps"
	"slices"

	"stadion/core"
	"stadion/offers"
)

// Task is a task as its agent knows it: the truth that the server's view is judged by.
type Task struct {
	ID      core.TaskID
	App     core.PathID
	Version string // MARATHON_APP_VERSION of its environment
	Agent   string
	State   string
	Launch  core.Timestamp
	End     core.Timestamp
	used    []offers.Resource
	pending []string // states not yet acknowledged; the first is in flight
}

// Alive: the process runs.
func (t *Task) Alive() bool { return t.End == 0 }

type agent struct {
	info  *core.AgentInfo
	total []offers.Resource
	lost  bool
	offer string // outstanding offer
	quiet core.Timestamp
}

// master is a Mesos master with its agents.
type master struct {
	w       *World
	agents  []*agent
	tasks   map[core.TaskID]*Task
	ever    map[core.TaskID]int // launches per id (I4)
	offers  map[string]*agent
	stream  int // the present stream; 0: nobody is subscribed
	quiet   bool
	serial  int
	accepts int
}

func newMaster(w *World, n int) *master {
	m := &master{w: w, tasks: map[core.TaskID]*Task{}, ever: map[core.TaskID]int{}, offers: map[string]*agent{}}
	for k := range n {
		id := fmt.Sprintf("S%d", k)
		m.agents = append(m.agents, &agent{info: &core.AgentInfo{ID: id, Host: "host-" + id}, total: []offers.Resource{
			{Name: "cpus", Value: 32}, {Name: "mem", Value: 16384}, {Name: "disk", Value: 10000},
			{Name: "ports", Type: offers.Ranges, Ranges: []offers.Range{{Begin: 31000, End: 31999}}}}})
	}
	w.clock.after(1000, m.allocate)
	return m
}

// tell sends an event on a stream; it arrives only if the stream still is the present one.
func (m *master) tell(stream int, ev offers.Event) {
	m.w.stream(stream, ev)
}

func (m *master) subscribe(stream int) {
	m.stream, m.quiet = stream, false
	clear(m.offers)
	for _, a := range m.agents {
		a.offer, a.quiet = "", 0
	}
	m.tell(stream, offers.Subscribed{FrameworkID: "fw", MasterURL: "http://master"})
	for _, id := range slices.Sorted(maps.Keys(m.tasks)) {
		if t := m.tasks[id]; len(t.pending) > 0 {
			m.send(t)
		}
	}
}

func (m *master) gone() {
	m.stream = 0
	clear(m.offers)
	for _, a := range m.agents {
		a.offer = ""
	}
}

// allocate offers what is free, once a second.
func (m *master) allocate() {
	m.w.clock.after(1000, m.allocate)
	if m.stream == 0 || m.quiet {
		return
	}
	var list []offers.Offer
	for _, a := range m.agents {
		if a.lost || a.offer != "" || m.w.clock.now < a.quiet {
			continue
		}
		left := m.free(a)
		if len(left) == 0 {
			continue
		}
		m.serial++
		a.offer = fmt.Sprintf("O%d", m.serial)
		m.offers[a.offer] = a
		list = append(list, offers.Offer{ID: a.offer, FrameworkID: "fw", Agent: a.info, Role: "*", Resources: left})
	}
	if len(list) > 0 {
		m.tell(m.stream, offers.Received{Offers: list})
	}
}

// free is what an agent's tasks leave. Resources of an ended task come back with the acknowledgement of its end.
func (m *master) free(a *agent) []offers.Resource {
	left := a.total
	for _, id := range slices.Sorted(maps.Keys(m.tasks)) {
		if t := m.tasks[id]; t.Agent == a.info.ID && (t.Alive() || len(t.pending) > 0) {
			left = offers.Subtract(left, t.used)
		}
	}
	return left
}

// take answers a call that arrives on a stream.
func (m *master) take(stream int, c offers.Call) {
	if stream != m.stream {
		return // a stale stream is refused (F3)
	}
	switch c := c.(type) {
	case offers.Accept:
		m.accept(c)
	case offers.Decline:
		for _, id := range c.OfferIDs {
			if a := m.offers[id]; a != nil {
				delete(m.offers, id)
				a.offer = ""
				if c.RefuseSeconds != nil {
					a.quiet = m.w.clock.now + core.Timestamp(*c.RefuseSeconds*1000)
				}
			}
		}
	case offers.Kill:
		m.kill(c)
	case offers.Acknowledge:
		m.acknowledge(c)
	case offers.Reconcile:
		m.reconcile(c)
	case offers.Revive:
		m.quiet = false
		for _, a := range m.agents {
			a.quiet = 0
		}
	case offers.Suppress:
		m.quiet = true
	case offers.UpdateFramework:
		m.quiet = len(c.Suppressed) == len(c.Roles)
	}
}

func (m *master) accept(c offers.Accept) {
	m.accepts++
	a := m.offers[c.OfferIDs[0]]
	delete(m.offers, c.OfferIDs[0])
	if a != nil {
		a.offer = ""
	}
	for _, op := range c.Operations {
		if op.Launch == nil {
			continue
		}
		id := core.TaskID(op.Launch.TaskID)
		if a == nil || a.lost {
			m.tell(m.stream, offers.StatusUpdate{TaskID: id, AgentID: c.AgentID, State: "TASK_DROPPED", Source: "MASTER", Reason: "INVALID_OFFERS", Timestamp: m.w.clock.now})
			continue
		}
		m.launch(a, op.Launch)
	}
}

func (m *master) launch(a *agent, ti *offers.TaskInfo) {
	id := core.TaskID(ti.TaskID)
	m.ever[id]++
	if m.ever[id] > 1 {
		m.w.fail("I4: task id %s is launched twice", id)
	}
	if offers.Subtract(m.free(a), ti.Resources) == nil && len(ti.Resources) == 0 {
		m.w.fail("I7: task %s without resources", id)
	}
	for _, need := range ti.Resources {
		if need.Name != "ports" && !m.has(a, need) {
			m.w.fail("I7: agent %s has no %v %s left for %s", a.info.ID, need.Value, need.Name, id)
		}
	}
	name, err := core.ParseTaskID(id)
	if err != nil {
		m.w.fail("%v", err)
		return
	}
	t := &Task{ID: id, App: name.Spec, Agent: a.info.ID, State: "TASK_STAGING", Launch: m.w.clock.now, used: ti.Resources}
	for _, e := range ti.Command.Env {
		if e.Name == "MARATHON_APP_VERSION" {
			t.Version = e.Value
		}
	}
	m.tasks[id] = t
	m.w.moved = true
	m.w.clock.after(m.w.rnd.Int64N(400), func() { m.update(t, "TASK_STARTING") })
	m.w.clock.after(400+m.w.rnd.Int64N(2000), func() {
		if m.w.faults && m.w.rnd.IntN(12) == 0 {
			m.update(t, "TASK_FAILED")
			return
		}
		m.update(t, "TASK_RUNNING")
		if m.w.faults && m.w.rnd.IntN(8) == 0 {
			m.w.clock.after(m.w.rnd.Int64N(60000), func() { m.update(t, "TASK_FAILED") })
		}
	})
}

func (m *master) has(a *agent, need offers.Resource) bool {
	sum := 0.0
	for _, r := range m.free(a) {
		if r.Name == need.Name {
			sum += r.Value
		}
	}
	return sum+1e-6 >= need.Value
}

var ends = map[string]bool{"TASK_FAILED": true, "TASK_KILLED": true, "TASK_FINISHED": true}

// update moves a task on; the update is repeated until it is acknowledged.
func (m *master) update(t *Task, state string) {
	if !t.Alive() {
		return
	}
	t.State = state
	m.w.moved = true
	if ends[state] {
		t.End = m.w.clock.now
	}
	t.pending = append(t.pending, state)
	if len(t.pending) == 1 {
		m.send(t)
	}
}

// send sends the update in flight, and again after 10 s while it is not acknowledged.
func (m *master) send(t *Task) {
	if len(t.pending) == 0 {
		return
	}
	state, a := t.pending[0], m.agent(t.Agent)
	if m.stream != 0 && !a.lost {
		u := offers.StatusUpdate{TaskID: t.ID, AgentID: t.Agent, State: state, Source: "EXECUTOR", UUID: []byte(state), Timestamp: m.w.clock.now}
		m.tell(m.stream, u)
		if m.w.faults && m.w.rnd.IntN(10) == 0 {
			m.tell(m.stream, u) // F20: updates come twice
		}
	}
	m.w.clock.after(10000, func() {
		if len(t.pending) > 0 && t.pending[0] == state {
			m.send(t)
		}
	})
}

func (m *master) acknowledge(c offers.Acknowledge) {
	t := m.tasks[c.TaskID]
	if t == nil || len(t.pending) == 0 || t.pending[0] != string(c.UUID) {
		return
	}
	t.pending = t.pending[1:]
	if len(t.pending) == 0 && !t.Alive() {
		delete(m.tasks, t.ID)
	}
	m.send(t)
}

func (m *master) kill(c offers.Kill) {
	t := m.tasks[c.TaskID]
	if t == nil || !t.Alive() && len(t.pending) == 0 {
		m.tell(m.stream, offers.StatusUpdate{TaskID: c.TaskID, AgentID: c.AgentID, State: "TASK_GONE", Source: "MASTER", Reason: "RECONCILIATION", Timestamp: m.w.clock.now})
		return
	}
	if t.Alive() && !m.agent(t.Agent).lost {
		m.w.clock.after(m.w.rnd.Int64N(1500), func() {
			if !m.agent(t.Agent).lost {
				m.update(t, "TASK_KILLED")
			}
		})
	}
}

// reconcile answers as Apache Mesos does: the latest state, GONE for what a known agent does not know, UNREACHABLE for
// what an agent out of sight may have.
func (m *master) reconcile(c offers.Reconcile) {
	answer := func(id core.TaskID, agent, state string) {
		m.tell(m.stream, offers.StatusUpdate{TaskID: id, AgentID: agent, State: state, Source: "MASTER", Reason: "RECONCILIATION", Timestamp: m.w.clock.now})
	}
	for _, r := range c.Tasks {
		t := m.tasks[r.TaskID]
		switch {
		case m.agent(r.AgentID).lost:
			answer(r.TaskID, r.AgentID, "TASK_UNREACHABLE")
		case t == nil || !t.Alive() && len(t.pending) == 0:
			answer(r.TaskID, r.AgentID, "TASK_GONE")
		default:
			answer(r.TaskID, r.AgentID, t.State)
		}
	}
	if len(c.Tasks) > 0 {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(m.tasks)) {
		if t := m.tasks[id]; t.Alive() && !m.agent(t.Agent).lost {
			answer(id, t.Agent, t.State)
		}
	}
}

func (m *master) agent(id string) *agent {
	for _, a := range m.agents {
		if a.info.ID == id {
			return a
		}
	}
	return &agent{info: &core.AgentInfo{}}
}

// lose takes an agent out of sight for a while; its tasks go on.
func (m *master) lose(a *agent, forMs int64) {
	if a.lost {
		return
	}
	a.lost = true
	delete(m.offers, a.offer)
	if a.offer != "" && m.stream != 0 {
		m.tell(m.stream, offers.Rescinded{OfferID: a.offer})
	}
	a.offer = ""
	for _, id := range slices.Sorted(maps.Keys(m.tasks)) {
		if t := m.tasks[id]; t.Agent == a.info.ID && t.Alive() && m.stream != 0 {
			m.tell(m.stream, offers.StatusUpdate{TaskID: id, AgentID: a.info.ID, State: "TASK_UNREACHABLE", Source: "MASTER", Reason: "AGENT_REMOVED",
				Timestamp: m.w.clock.now, UnreachableSince: m.w.clock.now})
		}
	}
	m.w.clock.after(forMs, func() {
		a.lost = false
		for _, id := range slices.Sorted(maps.Keys(m.tasks)) {
			t := m.tasks[id]
			if t.Agent != a.info.ID {
				continue
			}
			if t.Alive() && m.stream != 0 {
				m.tell(m.stream, offers.StatusUpdate{TaskID: id, AgentID: a.info.ID, State: t.State, Source: "MASTER", Reason: "AGENT_REREGISTERED", Timestamp: m.w.clock.now})
			}
			m.send(t)
		}
	})
}
