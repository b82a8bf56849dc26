package mesosproto

import (
	"net/http"
	"net/url"
	"testing"
	"time"
)

// fault makes the miniature misbehave; a real cluster has no call for it.
func (m *master) fault(t *testing.T, name, key, val string) {
	t.Helper()
	side := &master{t: t, url: m.faults}
	if r := side.request(http.MethodPost, "/"+name+"?"+url.Values{key: {val}}.Encode(), nil, ""); r.status != http.StatusOK {
		t.Fatalf("%s %s: %d %s", name, val, r.status, r.body)
	}
}

// TestAgentLostAndBack: an agent is cut off, given up and comes back (REC 24).
func TestAgentLostAndBack(t *testing.T) {
	m := newMaster(t)
	onlyMiniature(t, "24", "an agent has to be cut off")
	f := m.framework(nil).subscribe()
	o := f.offers(t, agentCount)[0]
	f.run(t, "a1", o)
	held := f.offerOf(t, o.AgentID)
	m.fault(t, "lose_agent", "host", o.Hostname)
	t.Run("RESCIND at once", func(t *testing.T) { f.rescinded(t, held.ID) })
	t.Run("reconciliation still says running", func(t *testing.T) {
		f.ask(t, "RECONCILE", "a1", o.AgentID)
		f.course(t, "a1", reconciled("TASK_RUNNING", "Latest task state"))
	})
	t.Run("KILL has no answer and is lost", func(t *testing.T) {
		f.ask(t, "KILL", "a1", "")
		f.never(t, "update", 500*time.Millisecond, updateOf("a1"))
	})
	m.fault(t, "expire_agent", "host", o.Hostname)
	t.Run("given up: TASK_UNREACHABLE, then FAILURE", func(t *testing.T) {
		if st := f.course(t, "a1", fromMaster("TASK_UNREACHABLE", "REASON_AGENT_REMOVED", "health check timed out")); st.Unreachable == nil {
			t.Error("no unreachable_time")
		}
		f.failure(t, o.AgentID, "", -1)
	})
	for _, kind := range []string{"RECONCILE", "KILL"} {
		t.Run(kind+" needs the agent id", func(t *testing.T) {
			f.ask(t, kind, "a1", "")
			f.course(t, "a1", reconciled("TASK_UNKNOWN", "Task is unknown"))
			f.ask(t, kind, "a1", o.AgentID)
			f.course(t, "a1", reconciled("TASK_UNREACHABLE", "Task is unreachable"))
		})
	}
	m.fault(t, "return_agent", "host", o.Hostname)
	t.Run("back: TASK_RUNNING", func(t *testing.T) {
		f.course(t, "a1", fromMaster("TASK_RUNNING", "REASON_AGENT_REREGISTERED", "Unreachable agent re-reregistered"))
	})
}

// TestAgentUnregisters is SIGUSR1 to an agent (REC 25).
func TestAgentUnregisters(t *testing.T) {
	m := newMaster(t)
	onlyMiniature(t, "25", "an agent has to be ended")
	f := m.framework(nil).subscribe()
	o := f.offers(t, agentCount)[0]
	f.run(t, "u1", o)
	held := f.offerOf(t, o.AgentID)
	m.fault(t, "unregister_agent", "host", o.Hostname)
	f.course(t, "u1", fromMaster("TASK_LOST", "REASON_AGENT_REMOVED", "Agent "+o.Hostname+" removed: the agent unregistered"))
	f.rescinded(t, held.ID)
	f.failure(t, o.AgentID, "", -1)
	f.ask(t, "RECONCILE", "u1", o.AgentID)
	f.course(t, "u1", reconciled("TASK_UNKNOWN", "Task is unknown"))
}

// TestNotTheLeader: 307 without a scheme, 503 during an election (source).
func TestNotTheLeader(t *testing.T) {
	m := newMaster(t)
	onlyMiniature(t, "none (source)", "a second master is needed")
	m.fault(t, "follow_leader", "leader", "127.0.0.9:5050")
	if r := m.call(obj{"type": "SUBSCRIBE"}, ""); r.status != 307 || r.header.Get("Location") != "//127.0.0.9:5050"+schedulerPath {
		t.Errorf("%d Location %q", r.status, r.header.Get("Location"))
	}
	m.fault(t, "no_leader", "leader", "")
	m.call(obj{"type": "SUBSCRIBE"}, "").check(t, 503, "No leader elected")
	m.fault(t, "follow_leader", "leader", "")
}
