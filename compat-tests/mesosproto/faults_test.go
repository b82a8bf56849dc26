package mesosproto

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
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

// TestAgentLostAndBack: an agent is cut off, given up and comes back, with tasks of a
// framework that knows partitions and of one that does not (REC 24).
func TestAgentLostAndBack(t *testing.T) {
	m := newMaster(t)
	onlyMiniature(t, "24", "an agent has to be cut off")
	f := m.framework(nil).subscribe()
	all := f.offers(t, agentCount)
	o := all[0]
	f.accept(t, []offer{o}, launch(task("a1", o, "sleep 600"), task("a2", o, "sleep 600")))
	f.course(t, "a1", starting, running)
	f.course(t, "a2", starting, running)
	rest := f.offerOf(t, o.AgentID)
	f.must(t, "SUPPRESS", nil)
	f.decline(t, 0, all[1], rest)
	g := m.framework(obj{"roles": list{"old"}, "capabilities": capabilities("MULTI_ROLE")}).subscribe()
	g.run(t, "u1", g.offerOf(t, o.AgentID))
	held, spare := g.offerOf(t, o.AgentID), g.offerOf(t, all[1].AgentID)
	g.must(t, "SUPPRESS", nil)
	g.decline(t, 0, spare)
	reconcile := func(t *testing.T, x *framework, id, agent, state, message string) status {
		t.Helper()
		x.ask(t, "RECONCILE", id, agent)
		return x.course(t, id, reconciled(state, message))
	}
	const unknown, unknownThere, unreachable, latest = "Task is unknown", "Task is unknown to the agent", "Task is unreachable", "Latest task state"
	m.fault(t, "lose_agent", "host", o.Hostname)
	t.Run("RESCIND at once, nothing about its tasks", func(t *testing.T) {
		g.rescinded(t, held.ID)
		f.never(t, "UPDATE", 0, func(e *event) bool { return e.Type == "UPDATE" })
	})
	t.Run("it is listed as not active", func(t *testing.T) {
		if a := m.agentState(o.AgentID); a == nil || a["active"] == true {
			t.Errorf("%v", a)
		}
	})
	t.Run("reconciliation still says running", func(t *testing.T) {
		reconcile(t, f, "a1", "", "TASK_RUNNING", latest)
		reconcile(t, f, "a1", o.AgentID, "TASK_RUNNING", latest)
		reconcile(t, g, "u1", "", "TASK_RUNNING", latest)
	})
	t.Run("unknown tasks are unknown to the agent", func(t *testing.T) {
		reconcile(t, f, "nosuch", o.AgentID, "TASK_GONE", unknownThere)
		reconcile(t, g, "nosuch", o.AgentID, "TASK_LOST", unknownThere)
		reconcile(t, g, "nosuch", "", "TASK_LOST", unknown)
	})
	t.Run("KILL has no answer", func(t *testing.T) {
		f.ask(t, "KILL", "a2", "")
		f.never(t, "update", 500*time.Millisecond, updateOf("a2"))
	})
	m.fault(t, "expire_agent", "host", o.Hostname)
	for _, x := range []struct {
		f     *framework
		state string
		tasks []string
	}{{f, "TASK_UNREACHABLE", []string{"a1", "a2"}}, {g, "TASK_LOST", []string{"u1"}}} {
		t.Run("given up: "+x.state+" for each task, then one FAILURE without executor", func(t *testing.T) {
			var last time.Time
			for _, id := range x.tasks {
				ev := x.f.awaitIn(t, "update", patience, updateOf(id))
				fromMaster(x.state, "REASON_AGENT_REMOVED", "health check timed out").check(t, ev.Update.Status)
				if ev.Update.Status.Unreachable == nil {
					t.Errorf("%s: no unreachable_time", id)
				}
				last = ev.at
			}
			ev := x.f.awaitIn(t, "FAILURE", patience, func(e *event) bool { return e.Type == "FAILURE" })
			if ev.Failure.Agent.Value != o.AgentID || ev.Failure.Executor.Value != "" || ev.Failure.Status != nil || ev.at.Before(last) {
				t.Errorf("%s", ev.raw)
			}
		})
	}
	for _, kind := range []string{"RECONCILE", "KILL"} {
		t.Run(kind+" needs the agent id", func(t *testing.T) {
			f.ask(t, kind, "a1", "")
			f.course(t, "a1", reconciled("TASK_UNKNOWN", unknown))
			f.ask(t, kind, "a1", o.AgentID)
			if st := f.course(t, "a1", reconciled("TASK_UNREACHABLE", unreachable)); st.Unreachable == nil {
				t.Error("no unreachable_time")
			}
			g.ask(t, kind, "u1", "")
			g.course(t, "u1", reconciled("TASK_LOST", unknown))
			g.ask(t, kind, "u1", o.AgentID)
			g.course(t, "u1", reconciled("TASK_LOST", unreachable))
		})
	}
	t.Run("with it, any task id is unreachable", func(t *testing.T) {
		reconcile(t, f, "nosuch", o.AgentID, "TASK_UNREACHABLE", unreachable)
		reconcile(t, f, "nosuch", "", "TASK_UNKNOWN", unknown)
		reconcile(t, g, "nosuch", o.AgentID, "TASK_LOST", unreachable)
	})
	t.Run("implicit reconciliation leaves it out", func(t *testing.T) {
		f.must(t, "RECONCILE", obj{"tasks": list{}})
		reconcile(t, f, "end", "", "TASK_UNKNOWN", unknown) // answered behind it
		f.never(t, "update", 0, func(e *event) bool { return e.Type == "UPDATE" })
	})
	t.Run("id of an unreachable task is taken (source)", func(t *testing.T) {
		f.must(t, "REVIVE", nil)
		p := f.offerOf(t, all[1].AgentID)
		f.accept(t, []offer{p}, launch(task("a1", p, "true")))
		f.course(t, "a1", fromMaster("TASK_ERROR", "REASON_TASK_INVALID", "Task reuses the ID of an unreachable task: a1"))
	})
	m.fault(t, "return_agent", "host", o.Hostname)
	back := fromMaster("TASK_RUNNING", "REASON_AGENT_REREGISTERED", "Unreachable agent re-reregistered")
	t.Run("back: TASK_RUNNING, also after TASK_LOST and the lost KILL", func(t *testing.T) {
		f.course(t, "a1", back)
		f.course(t, "a2", back)
		g.course(t, "u1", back)
	})
	t.Run("all is as before", func(t *testing.T) {
		f.must(t, "RECONCILE", obj{"tasks": list{}})
		f.course(t, "a1", reconciled("TASK_RUNNING", latest))
		f.course(t, "a2", reconciled("TASK_RUNNING", latest))
		reconcile(t, g, "u1", o.AgentID, "TASK_RUNNING", latest)
		reconcile(t, g, "u1", "", "TASK_RUNNING", latest)
		f.kill(t, "a2")
	})
}

// TestAgentRestart: an agent process dies and comes back, for a framework that
// checkpoints and one that does not (REC 25).
func TestAgentRestart(t *testing.T) {
	m := newMaster(t)
	onlyMiniature(t, "25", "an agent has to be killed and started again")
	f := m.framework(nil).subscribe()
	all := f.offers(t, agentCount)
	o := all[0]
	f.accept(t, []offer{o}, launch(task("kept", o, "sleep 600"), task("ends", o, "until test -e "+m.dir+"/end; do sleep 0.05; done")))
	f.course(t, "kept", starting, running)
	f.course(t, "ends", starting, running)
	rest := f.offerOf(t, o.AgentID)
	f.must(t, "SUPPRESS", nil)
	f.decline(t, 0, all[1], rest)
	g := m.framework(obj{"roles": list{"old"}, "checkpoint": false}).subscribe()
	g.run(t, "nockpt", g.offerOf(t, o.AgentID))
	held := g.offerOf(t, o.AgentID)
	m.fault(t, "stop_agent", "host", o.Hostname)
	t.Run("checkpoint false: TASK_LOST at once, also for PARTITION_AWARE, and RESCIND", func(t *testing.T) {
		g.course(t, "nockpt", fromMaster("TASK_LOST", "REASON_AGENT_DISCONNECTED", "Agent "+o.Hostname+" disconnected"))
		g.rescinded(t, held.ID)
	})
	t.Run("checkpoint true: nothing", func(t *testing.T) {
		f.never(t, "UPDATE", 300*time.Millisecond, func(e *event) bool { return e.Type == "UPDATE" || e.Type == "FAILURE" })
	})
	if err := os.WriteFile(filepath.Join(m.dir, "end"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	eventually(t, "end of the task that waits for a file", patience, func() bool { return len(m.processesWith("/end")) == 0 })
	f.never(t, "UPDATE", 0, func(e *event) bool { return e.Type == "UPDATE" })
	m.fault(t, "start_agent", "host", o.Hostname)
	t.Run("task that ended meanwhile: its update, perhaps twice with the same uuid", func(t *testing.T) {
		st := f.course(t, "ends", ended("TASK_FINISHED", status0))
		if again := f.seek(300*time.Millisecond, updateOf("ends")); again != nil && again.Update.Status.UUID != st.UUID {
			t.Errorf("another update: %s", again.raw)
		}
	})
	t.Run("offers after its return", func(t *testing.T) { g.offerOf(t, o.AgentID) })
	t.Run("implicit reconciliation has the task that runs on, and only that", func(t *testing.T) {
		f.must(t, "RECONCILE", obj{"tasks": list{}})
		f.course(t, "kept", reconciled("TASK_RUNNING", "Latest task state"))
		f.never(t, "UPDATE", 0, func(e *event) bool { return e.Type == "UPDATE" })
	})
	t.Run("the lost one is unknown", func(t *testing.T) {
		g.ask(t, "RECONCILE", "nockpt", "")
		g.course(t, "nockpt", reconciled("TASK_UNKNOWN", "Task is unknown"))
	})
	t.Run("it can be killed", func(t *testing.T) { f.kill(t, "kept") })
}

// TestGoneAgentAgain: an agent that was marked gone is started again (REC 26).
func TestGoneAgentAgain(t *testing.T) {
	m := newMaster(t)
	onlyMiniature(t, "26", "the agent would be lost to the cluster for good")
	f := m.framework(nil).subscribe()
	all := f.offers(t, agentCount)
	o := all[0]
	m.accepted(t, "MARK_AGENT_GONE", agentID(o.AgentID))
	f.failure(t, o.AgentID, "", -1)
	f.rescinded(t, o.ID)
	m.fault(t, "restart_agent", "host", o.Hostname)
	f.decline(t, 0, all[1])
	f.offerOf(t, all[1].AgentID) // a whole round later
	f.never(t, "offer of it", 0, offerOfAgent(o.AgentID))
	if a := m.agentState(o.AgentID); a != nil {
		t.Errorf("it is listed: %v", a)
	}
	f.ask(t, "RECONCILE", "x", o.AgentID)
	f.course(t, "x", reconciled("TASK_GONE_BY_OPERATOR", "Task is gone"))
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

// TestNotTheLeader: a master that does not lead redirects, answers 503 while nobody
// leads, and takes over (source: master/http.cpp; high-availability.md).
func TestNotTheLeader(t *testing.T) {
	m := newMasterWith(t, agentResources, agentAttributes, "--masters", "2")
	onlyMiniature(t, "none (source)", "a second master is needed")
	first, second := m.twoMasters(t)
	f := first.framework(nil).subscribe()
	f.run(t, "t1", f.offers(t, agentCount)[0])
	check := func(t *testing.T, to, leader *master) {
		t.Helper()
		host := strings.TrimPrefix(leader.url, "http:")
		if r := to.call(obj{"type": "SUBSCRIBE"}, ""); r.status != 307 || r.header.Get("Location") != host+schedulerPath || r.body != "" {
			t.Errorf("%d Location %q", r.status, r.header.Get("Location"))
		}
		if r := to.operator(obj{"type": "GET_HEALTH"}); r.status != 307 || r.header.Get("Location") != host+"/api/v1" {
			t.Errorf("%d Location %q", r.status, r.header.Get("Location"))
		}
		if r := to.request(http.MethodGet, "/master/state", nil, ""); r.status != 307 || r.header.Get("Location") != host+"/master/state" {
			t.Errorf("%d Location %q", r.status, r.header.Get("Location"))
		}
		for _, path := range []string{"/redirect", "/master/redirect"} {
			if r := to.request(http.MethodGet, path, nil, ""); r.status != 307 || r.header.Get("Location") != host {
				t.Errorf("%s: %d Location %q", path, r.status, r.header.Get("Location"))
			}
		}
	}
	t.Run("307 to the leader, without a scheme", func(t *testing.T) { check(t, second, first) })
	m.fault(t, "kill_master", "", "")
	t.Run("503 while nobody leads", func(t *testing.T) {
		second.call(obj{"type": "SUBSCRIBE"}, "").check(t, 503, "No leader elected")
		second.request(http.MethodGet, "/redirect", nil, "").check(t, 503, "No leader elected")
	})
	if err := f.awaitEnd(t, patience); err == nil {
		t.Error("clean end of the stream of a killed master")
	}
	m.fault(t, "start_master", "", "")
	t.Run("the other one leads, the killed one redirects", func(t *testing.T) { check(t, first, second) })
	t.Run("framework and tasks are there again", func(t *testing.T) {
		f.m = second
		f.subscribe()
		f.offers(t, agentCount)
		f.must(t, "RECONCILE", obj{"tasks": list{}})
		f.course(t, "t1", reconciled("TASK_RUNNING", "Latest task state"))
	})
}

// twoMasters splits the list of addresses of a miniature with two masters.
func (m *master) twoMasters(t *testing.T) (first, second *master) {
	t.Helper()
	a, b, ok := strings.Cut(m.url, ",")
	if !ok {
		t.Fatalf("not two masters: %s", m.url)
	}
	one, other := *m, *m
	one.url, other.url = a, "http://"+b
	return &one, &other
}

// TestRecoveringMaster: a new leader that still reads its registry is 503 (source).
func TestRecoveringMaster(t *testing.T) {
	m := newMaster(t)
	onlyMiniature(t, "none (source)", "the registry has to be slow")
	m.fault(t, "slow_recovery", "ms", "3600000")
	m.fault(t, "kill_master", "", "")
	m.fault(t, "start_master", "", "")
	m.call(obj{"type": "SUBSCRIBE"}, "").check(t, 503, "Master has not finished recovery")
	m.fault(t, "slow_recovery", "ms", "0")
	m.fault(t, "kill_master", "", "")
	m.fault(t, "start_master", "", "")
	m.framework(nil).subscribe().offers(t, agentCount)
}
