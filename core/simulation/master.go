package simulation

import (
	"fmt"
	"slices"

	"stadion/core"
	"stadion/offers"
)

// stream is one subscription. What travels on it keeps its order: events, calls and, on a connection of their own,
// acknowledgements.
type stream struct {
	l      *life
	broken bool // nothing passes any more
	deaf   bool // events do not pass any more
	events lane
	calls  lane
	acks   lane
	offers map[string]*offered
}

// offered is an offer that the framework got.
type offered struct {
	agent     *agent
	at        core.Timestamp
	resources []offers.Resource
	state     string // empty while it is open
}

// master is a Mesos master, or the one that follows it.
type master struct {
	w      *World
	agents []*agent
	hosts  int
	tasks  map[core.TaskID]*Task
	ever   map[core.TaskID]bool
	now    *stream // of the subscribed framework, nil without
	down   bool
	roles  map[string]bool // subscribed roles: true when offers are wanted
	serial int
}

func newMaster(w *World, n int) *master {
	m := &master{w: w, tasks: map[core.TaskID]*Task{}, ever: map[core.TaskID]bool{}, roles: map[string]bool{}}
	for range n {
		m.addAgent()
	}
	w.clock.after(1000, m.allocate)
	return m
}

// tell sends an event on the present stream; it arrives if the stream lasts so long.
func (m *master) tell(ev offers.Event) {
	if m.now != nil {
		m.say(m.now, ev)
	}
}

func (m *master) say(s *stream, ev offers.Event) {
	s.events.send(&m.w.clock, 1+m.w.rnd.Int64N(3), func() {
		if !s.broken && !s.deaf {
			if u, ok := ev.(offers.StatusUpdate); ok && m.w.opt.Trace {
				m.w.note("update %s %s %s %s health %d", u.TaskID, u.State, u.Reason, u.UUID, u.Healthy)
			}
			s.l.run(func() { s.l.hear(s, ev) })
		}
	})
}

// subscribe gives a process the stream; who had it before is told to go, if that still reaches him.
func (m *master) subscribe(l *life) bool {
	if m.down {
		return false
	}
	if old := m.now; old != nil {
		if m.w.rnd.IntN(4) > 0 {
			m.say(old, offers.FatalError{Message: "Framework failed over", ExitCode: 106})
		} else {
			old.deaf = true // it learns of it when it calls
		}
	}
	s := &stream{l: l, offers: map[string]*offered{}}
	m.now, l.stream = s, s
	clear(m.roles)
	m.roles["*"] = true
	for _, a := range m.agents {
		a.offer, a.quiet = nil, 0
	}
	m.w.note("life %d is subscribed", l.number)
	m.tell(offers.Subscribed{FrameworkID: "fw", MasterURL: "http://master"})
	for _, a := range m.agents {
		for _, t := range a.tasks {
			m.flush(t)
		}
	}
	return true
}

// lose breaks a connection; the process finds out after a while.
func (m *master) lose(s *stream) {
	s.broken = true
	if m.now == s {
		m.now = nil
	}
	m.w.clock.after(m.w.rnd.Int64N(5000), func() {
		s.l.run(func() { s.l.hear(s, offers.Disconnected{Reason: "broken"}) })
	})
}

// hangUp is the end of the process at the other end. What it sent may still arrive.
func (m *master) hangUp(s *stream) {
	s.deaf = true
	over := func() {
		s.broken = true
		if m.now == s {
			m.now = nil
		}
	}
	if m.w.rnd.IntN(2) == 0 {
		over()
		return
	}
	m.w.clock.after(int64(max(s.calls.last, s.acks.last)-m.w.clock.now), over)
}

// breakStream is a broken connection (D-25).
func (m *master) breakStream() {
	if m.now != nil {
		m.w.note("the stream breaks")
		m.lose(m.now)
	}
}

// failOver replaces the master; agents come back to the new one bit by bit (F15).
func (m *master) failOver() {
	m.w.note("the master fails over")
	if m.now != nil {
		m.lose(m.now)
	}
	m.down = true
	m.w.clock.after(1000+m.w.rnd.Int64N(5000), func() { m.down = false })
	for _, a := range m.agents {
		a.offer = nil
		if a.gone {
			continue
		}
		a.recovering = true
		m.w.clock.after(1000+m.w.rnd.Int64N(60000), func() { m.reregister(a) })
	}
}

// allocate offers what is free, each agent to one of the roles that want offers, once a second.
func (m *master) allocate() {
	m.w.clock.after(1000, m.allocate)
	m.w.judge.held()
	var wanting []string
	for _, r := range []string{"*", "db"} {
		if m.roles[r] {
			wanting = append(wanting, r)
		}
	}
	if m.now == nil || len(wanting) == 0 {
		return
	}
	var list []offers.Offer
	for _, a := range m.agents {
		if !a.reachable() || a.lost || a.offer != nil || m.w.clock.now < a.quiet {
			continue
		}
		role := wanting[m.w.rnd.IntN(len(wanting))]
		var left []offers.Resource
		for _, r := range a.free() {
			if r.Role() == "*" || r.Role() == role {
				left = append(left, r)
			}
		}
		if len(left) == 0 {
			continue
		}
		m.serial++
		id := fmt.Sprintf("O%d", m.serial)
		a.offer = &offered{agent: a, at: m.w.clock.now, resources: left}
		m.now.offers[id] = a.offer
		list = append(list, offers.Offer{ID: id, FrameworkID: "fw", Agent: a.info, Role: role, Resources: left})
	}
	if len(list) > 0 {
		m.tell(offers.Received{Offers: list})
	}
}

// rescind takes an offer back, in a race with what the framework does with it (F19).
func (m *master) rescind() {
	for _, a := range m.agents {
		if a.offer != nil {
			m.void(a)
			return
		}
	}
	m.w.clock.after(200, func() {
		if m.w.faults && m.now != nil {
			m.rescind()
		}
	})
}

// void ends the offer of an agent from the master's side.
func (m *master) void(a *agent) {
	if a.offer == nil {
		return
	}
	a.offer.state = "rescinded"
	if m.now != nil {
		for n := 0; n <= m.serial; n++ {
			id := fmt.Sprintf("O%d", m.serial-n)
			if m.now.offers[id] == a.offer {
				m.tell(offers.Rescinded{OfferID: id})
				break
			}
		}
	}
	a.offer = nil
}

// take answers a call. why tells what is wrong with it, if it is not accepted.
func (m *master) take(s *stream, c offers.Call, why string) {
	if s.broken {
		return
	}
	if s != m.now {
		m.w.Refused++ // a stale stream (F3)
		m.lose(s)
		return
	}
	if why != "" {
		m.w.fail("R8: the master took a call of life %d: %s", s.l.number, why)
	}
	switch c := c.(type) {
	case offers.Accept:
		m.accept(s, c)
	case offers.Decline:
		for _, id := range c.OfferIDs {
			if a := m.answer(s, id, "declined"); a != nil && c.RefuseSeconds != nil {
				a.quiet = m.w.clock.now + core.Timestamp(*c.RefuseSeconds*1000)
			}
		}
	case offers.Kill:
		m.kill(c)
	case offers.Acknowledge:
		m.acknowledge(c)
	case offers.Reconcile:
		m.reconcile(c)
	case offers.Revive:
		m.want(c.Roles, true)
		for _, a := range m.agents {
			a.quiet = 0
		}
	case offers.Suppress:
		m.want(c.Roles, false)
	case offers.UpdateFramework:
		clear(m.roles)
		m.want(c.Roles, true)
		m.want(c.Suppressed, false)
	}
}

func (m *master) want(roles []string, want bool) {
	for _, r := range roles {
		m.roles[r] = want
	}
}

// answer closes an offer: each is answered once (I8). nil when it is void.
func (m *master) answer(s *stream, id, how string) *agent {
	o := s.offers[id]
	switch {
	case o == nil:
		m.w.fail("I8: offer %s was never made on this stream", id)
		return nil
	case o.state == "rescinded":
		return nil
	case o.state != "":
		m.w.fail("I8: offer %s is %s and was %s before", id, how, o.state)
		return nil
	}
	o.state = how
	o.agent.offer = nil
	return o.agent
}

func (m *master) accept(s *stream, c offers.Accept) {
	if len(c.OfferIDs) != 1 {
		m.w.fail("accept of %d offers", len(c.OfferIDs))
		return
	}
	a := m.answer(s, c.OfferIDs[0], "accepted")
	if a == nil {
		for _, op := range c.Operations {
			for _, ti := range launches(op) {
				m.tell(offers.StatusUpdate{TaskID: core.TaskID(ti.TaskID), AgentID: c.AgentID, State: "TASK_DROPPED", Source: "MASTER",
					Reason: "INVALID_OFFERS", Timestamp: m.w.clock.now})
			}
		}
		return
	}
	left := s.offers[c.OfferIDs[0]].resources
	for _, op := range c.Operations {
		var err error
		switch {
		case op.Launch != nil, op.LaunchGroup != nil:
			for _, ti := range launches(op) {
				if err == nil {
					left, err = take(left, ti.Resources)
				}
			}
		case op.Reserve != nil:
			left, err = exchange(left, unreserved(op.Reserve), op.Reserve)
		case op.Create != nil:
			left, err = exchange(left, plain(op.Create), op.Create)
		case op.Destroy != nil:
			left, err = exchange(left, op.Destroy, plain(op.Destroy))
		case op.Unreserve != nil:
			left, err = exchange(left, op.Unreserve, unreserved(op.Unreserve))
		}
		if err != nil {
			m.w.fail("I7: %+v on what is left of an offer: %v", op, err)
			return
		}
		for _, r := range op.Destroy {
			m.w.judge.destroyed(core.InstanceID(reservationID(r)))
		}
		m.carryOut(a, op)
	}
}

// launches are the tasks of an operation, what a pod's executor takes counted to the first.
func launches(op offers.Operation) []offers.TaskInfo {
	switch {
	case op.Launch != nil:
		return []offers.TaskInfo{*op.Launch}
	case op.LaunchGroup != nil:
		all := slices.Clone(op.LaunchGroup.Tasks)
		all[0].Resources = merge(slices.Concat(all[0].Resources, op.LaunchGroup.Executor.Resources))
		return all
	}
	return nil
}

func (m *master) carryOut(a *agent, op offers.Operation) {
	switch {
	case op.Launch != nil, op.LaunchGroup != nil:
		var group []*Task
		for _, ti := range launches(op) {
			group = append(group, m.launch(a, &ti))
		}
		for _, t := range group {
			t.group = group
		}
	case op.Reserve != nil:
		a.total, _ = exchange(a.total, unreserved(op.Reserve), op.Reserve)
	case op.Create != nil:
		a.total, _ = exchange(a.total, plain(op.Create), op.Create)
	case op.Destroy != nil:
		a.total, _ = exchange(a.total, op.Destroy, plain(op.Destroy))
	case op.Unreserve != nil:
		a.total, _ = exchange(a.total, op.Unreserve, unreserved(op.Unreserve))
	}
}

// reconcile answers as Apache Mesos does: the latest state, GONE for what a known agent does not know, UNREACHABLE for
// what an agent out of sight may have, nothing for agents that a new master still waits for.
func (m *master) reconcile(c offers.Reconcile) {
	answer := func(id core.TaskID, agent, state string, h core.Health) {
		m.tell(offers.StatusUpdate{TaskID: id, AgentID: agent, State: state, Source: "MASTER", Reason: "RECONCILIATION", Healthy: h, Timestamp: m.w.clock.now})
	}
	for _, r := range c.Tasks {
		t, a := m.tasks[r.TaskID], m.agent(r.AgentID)
		switch {
		case a == nil || a.gone:
			answer(r.TaskID, r.AgentID, "TASK_GONE_BY_OPERATOR", core.HealthUnknown)
		case a.recovering:
		case a.lost:
			answer(r.TaskID, r.AgentID, "TASK_UNREACHABLE", core.HealthUnknown)
		case t == nil || !t.Alive() && len(t.pending) == 0:
			answer(r.TaskID, r.AgentID, "TASK_GONE", core.HealthUnknown)
		default:
			answer(r.TaskID, r.AgentID, t.known, t.flag())
		}
	}
	if len(c.Tasks) > 0 {
		return
	}
	for _, a := range m.agents {
		if a.recovering || a.lost || a.gone {
			continue
		}
		for _, t := range a.tasks {
			if t.Alive() {
				answer(t.ID, a.info.ID, t.known, t.flag())
			}
		}
	}
}
