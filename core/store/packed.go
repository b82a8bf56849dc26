package store

import (
	"fmt"
	"strconv"
	"strings"

	"stadion/core"
)

// packInstance is the first byte of a packed instance row: a coder's bytes follow. A running task takes some 60 bytes so,
// and 290 as JSON (P10); it is also read back many times faster, which is most of the time of a failover (P27).
const packInstance byte = 3

// packable tells whether the packed form holds all of an instance. The others, few and odd, are stored as JSON
// (instance.go), and so is whatever has fields that this version does not know (U4).
func packable(i *core.Instance) bool {
	if i.Reservation != nil {
		return false
	}
	for n := range i.Tasks {
		if s := i.Tasks[n].Status; s != nil && s.Check != nil {
			return false
		}
	}
	return true
}

// packRow makes the packed form of an instance.
func packRow(i *core.Instance) []byte {
	const usual = 96 // bytes
	c := &coder{b: append(make([]byte, 0, usual), packInstance)}
	c.instance(i, nil)
	return c.b
}

// unpackRow is the reverse of packRow. What rows have in common is taken from shared.
func unpackRow(raw []byte, id core.InstanceID, spec core.PathID, sh *shared) (*core.Instance, error) {
	c := &coder{b: raw[1:], reading: true}
	i := &core.Instance{ID: id, Spec: spec}
	c.instance(i, sh)
	switch {
	case c.err != nil:
		return nil, c.err
	case len(c.b) > 0:
		return nil, fmt.Errorf("%d bytes follow the packed row", len(c.b))
	}
	return i, nil
}

func (c *coder) instance(i *core.Instance, sh *shared) {
	const usualTasks = 1
	m := c.mask(2)
	c.stamp(&i.Version, 0)
	c.stamp(&i.Since, i.Version)
	c.condition(&i.Condition)
	if m.has(i.Pod) && c.reading {
		i.Pod = true
	}
	if m.has(i.Role != "") {
		text(c, &i.Role)
	}
	if m.has(i.Goal != core.GoalRunning) {
		c.goal(&i.Goal)
	}
	if m.has(i.ActiveSince != 0) {
		c.stamp(&i.ActiveSince, i.Since)
	}
	if m.has(i.QueuedAt != 0) {
		c.stamp(&i.QueuedAt, i.Since)
	}
	if m.has(i.Healthy != 0) {
		integer(c, &i.Healthy)
	}
	if m.has(i.Incarnation != 0) {
		integer(c, &i.Incarnation)
	}
	if m.has(i.KillReason != "") {
		text(c, &i.KillReason)
	}
	if m.has(i.Agent != nil) {
		c.agent(&i.Agent, sh)
	}
	if m.has(len(i.Tasks) > 0) {
		n := usualTasks
		if m.has(len(i.Tasks) != usualTasks) {
			n = c.length(len(i.Tasks))
		}
		if c.reading {
			i.Tasks = make([]core.Task, n)
		}
		for n := range i.Tasks {
			c.task(&i.Tasks[n], i)
		}
	} else {
		m.has(false)
	}
	m.end()
}

// goal and condition are stored by their names: their numbers may be others in the next version.
func (c *coder) goal(v *core.Goal) {
	if !c.reading {
		c.writeText(v.String())
		return
	}
	name := c.readText()
	goal, ok := core.ParseGoal(name)
	if !ok {
		c.fail(fmt.Errorf("goal %q is not known", name))
	}
	*v = goal
}

func (c *coder) condition(v *core.Condition) {
	if !c.reading {
		c.writeText(v.String())
		return
	}
	name := c.readText()
	cond, ok := core.ParseCondition(name)
	if !ok {
		c.fail(fmt.Errorf("condition %q is not known", name))
	}
	*v = cond
}

// agent has its length before it, so that those that are known already need not be read again.
func (c *coder) agent(p **core.AgentInfo, sh *shared) {
	if !c.reading {
		part := coder{b: make([]byte, 0, 64)}
		part.agentFields(*p)
		n := uint64(len(part.b))
		c.uint(&n)
		c.b = append(c.b, part.b...)
		return
	}
	var n uint64
	c.uint(&n)
	raw := c.take(n)
	if *p = sh.known(raw); *p != nil {
		return
	}
	part := coder{b: raw, reading: true}
	*p = &core.AgentInfo{}
	part.agentFields(*p)
	switch {
	case part.err != nil:
		c.fail(part.err)
	case len(part.b) > 0:
		c.fail(fmt.Errorf("%d bytes follow an agent", len(part.b)))
	default:
		sh.know(raw, *p)
	}
}

func (c *coder) agentFields(a *core.AgentInfo) {
	m := c.mask(1)
	for _, t := range []*string{&a.Host, &a.ID, &a.Region, &a.Zone} {
		if m.has(*t != "") {
			text(c, t)
		}
	}
	if m.has(len(a.Attributes) > 0) {
		n := c.length(len(a.Attributes))
		if c.reading {
			a.Attributes = make([]core.Attribute, n)
		}
		for n := range a.Attributes {
			text(c, &a.Attributes[n].Name)
			text(c, &a.Attributes[n].Value)
		}
	}
	m.end()
}

func (c *coder) task(t *core.Task, i *core.Instance) {
	m := c.mask(1)
	if m.has(t.Container != core.AppContainer) {
		text(c, &t.Container)
	} else if c.reading {
		t.Container = core.AppContainer
	}
	c.taskID(&m, t, i)
	if m.has(t.Condition != i.Condition) {
		c.condition(&t.Condition)
	} else if c.reading {
		t.Condition = i.Condition
	}
	if m.has(t.StagedAt != 0) {
		c.stamp(&t.StagedAt, i.Since)
	}
	if m.has(t.StartedAt != 0) {
		c.stamp(&t.StartedAt, i.Since)
	}
	if m.has(len(t.HostPorts) > 0) {
		n := c.length(len(t.HostPorts))
		if c.reading {
			t.HostPorts = make([]int, n)
		}
		for n := range t.HostPorts {
			integer(c, &t.HostPorts[n])
		}
	}
	if m.has(len(t.IPs) > 0) {
		n := c.length(len(t.IPs))
		if c.reading {
			t.IPs = make([]core.IPAddress, n)
		}
		for n := range t.IPs {
			text(c, &t.IPs[n].Address)
			text(c, &t.IPs[n].Protocol)
		}
	}
	if m.has(t.Status != nil) {
		if c.reading {
			t.Status = &core.TaskStatus{}
		}
		c.status(t.Status, i.Since)
	}
	m.end()
}

// taskID is the number of the launch, or the whole id where it has not the usual form.
func (c *coder) taskID(m *mask, t *core.Task, i *core.Instance) {
	number := 0
	if !c.reading {
		number = taskNumber(i.ID, t)
	}
	if m.has(number == 0) {
		text(c, &t.ID)
		return
	}
	if integer(c, &number); c.reading {
		t.ID = i.ID.Task(t.Container, number)
	}
}

// taskNumber is the number in a task id of the usual form, <instance>.<container>.<number>; 0 for any other.
func taskNumber(id core.InstanceID, t *core.Task) int {
	rest, ok := strings.CutPrefix(string(t.ID), string(id))
	if ok && len(rest) > len(t.Container)+2 && rest[0] == '.' && rest[1:1+len(t.Container)] == t.Container && rest[1+len(t.Container)] == '.' {
		if n, err := strconv.Atoi(rest[len(t.Container)+2:]); err == nil && n > 0 && id.Task(t.Container, n) == t.ID {
			return n
		}
	}
	return 0
}

func (c *coder) status(s *core.TaskStatus, since core.Timestamp) {
	m := c.mask(1)
	text(c, &s.State)
	if m.has(s.Reason != "") {
		text(c, &s.Reason)
	}
	if m.has(s.Message != "") {
		text(c, &s.Message)
	}
	if m.has(s.At != 0) {
		c.stamp(&s.At, since)
	}
	if m.has(s.Healthy != 0) {
		integer(c, &s.Healthy)
	}
	if m.has(s.UnreachableSince != 0) {
		c.stamp(&s.UnreachableSince, since)
	}
	m.end()
}

// shared is what the rows of one load have in common, so that it is read once and held once. One goroutine uses it.
type shared struct {
	agents map[string]*core.AgentInfo // by their packed form
	safe   string                     // the last safe path
	spec   core.PathID                // and its id
}

// known is an agent that was read before, nil for a new one.
func (s *shared) known(raw []byte) *core.AgentInfo {
	if s == nil {
		return nil
	}
	return s.agents[string(raw)]
}

func (s *shared) know(raw []byte, a *core.AgentInfo) {
	if s == nil {
		return
	}
	if s.agents == nil {
		s.agents = map[string]*core.AgentInfo{}
	}
	s.agents[string(raw)] = a
}

// owner is the spec of an instance whose key has the usual form; "" for any other.
func (s *shared) owner(name string) core.PathID {
	slash := strings.LastIndexByte(name, '/')
	if slash < 0 || strings.IndexByte(name[slash:], '.') >= 0 || strings.HasPrefix(name[slash+1:], "marathon-") {
		return ""
	}
	if s == nil {
		return core.FromSafePath(name[:slash])
	}
	if s.safe != name[:slash] {
		s.safe, s.spec = name[:slash], core.FromSafePath(name[:slash])
	}
	return s.spec
}
