package minimesos

import (
	"net/http"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	operator "github.com/mesos/mesos-go/api/v1/lib/master"
)

// watcher is a subscriber of the operator event stream.
type watcher struct{ stream *stream }

// serveWatcher answers SUBSCRIBE of the operator API (recording 34).
func (c *Cluster) serveWatcher(w http.ResponseWriter, r *http.Request, asJSON bool) {
	c.mu.Lock()
	m := c.m
	if m == nil {
		c.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	x := &watcher{stream: newStream("", asJSON)}
	m.watchers[x] = true
	interval := c.cfg.HeartbeatInterval.Seconds()
	x.stream.push(&operator.Event{Type: operator.Event_SUBSCRIBED, Subscribed: &operator.Event_Subscribed{
		GetState: m.viewState(), HeartbeatIntervalSeconds: &interval}})
	beat := &operator.Event{Type: operator.Event_HEARTBEAT}
	x.stream.push(beat)
	c.mu.Unlock()
	if asJSON {
		w.Header().Set("Content-Type", typeJSON)
	} else {
		w.Header().Set("Content-Type", typeProtobuf)
	}
	w.WriteHeader(http.StatusOK)
	clean := x.stream.run(w, r.Context().Done(), c.cfg.HeartbeatInterval, beat)
	c.mu.Lock()
	delete(m.watchers, x)
	c.mu.Unlock()
	if !clean {
		panic(http.ErrAbortHandler)
	}
}

// watch sends an event that make builds, if anybody listens.
func (m *master) watch(build func() *operator.Event) {
	if len(m.watchers) == 0 {
		return
	}
	ev := build()
	for x := range m.watchers {
		x.stream.push(ev)
	}
}

// watchAdded tells of a task that is being launched.
func (m *master) watchAdded(t *task) {
	m.watch(func() *operator.Event {
		return &operator.Event{Type: operator.Event_TASK_ADDED, TaskAdded: &operator.Event_TaskAdded{Task: t.message()}}
	})
}

// watchUpdated tells of a new state of a task.
func (m *master) watchUpdated(t *task) {
	m.watch(func() *operator.Event {
		return &operator.Event{Type: operator.Event_TASK_UPDATED, TaskUpdated: &operator.Event_TaskUpdated{
			FrameworkID: mesos.FrameworkID{Value: t.fw.id}, Status: *t.last, State: t.state.Enum()}}
	})
}

func (m *master) watchFramework(fw *framework, kind operator.Event_Type) {
	m.watch(func() *operator.Event {
		ev := &operator.Event{Type: kind}
		switch kind {
		case operator.Event_FRAMEWORK_ADDED:
			ev.FrameworkAdded = &operator.Event_FrameworkAdded{Framework: m.frameworkMessage(fw)}
		case operator.Event_FRAMEWORK_UPDATED:
			ev.FrameworkUpdated = &operator.Event_FrameworkUpdated{Framework: m.frameworkMessage(fw)}
		default:
			ev.FrameworkRemoved = &operator.Event_FrameworkRemoved{FrameworkInfo: *fw.info}
		}
		return ev
	})
}

func (m *master) watchAgentAdded(a *agent) {
	m.watch(func() *operator.Event {
		return &operator.Event{Type: operator.Event_AGENT_ADDED, AgentAdded: &operator.Event_AgentAdded{Agent: m.agentMessage(a)}}
	})
}

func (m *master) watchAgentRemoved(a *agent) {
	m.watch(func() *operator.Event {
		return &operator.Event{Type: operator.Event_AGENT_REMOVED,
			AgentRemoved: &operator.Event_AgentRemoved{AgentID: mesos.AgentID{Value: a.id}}}
	})
}
