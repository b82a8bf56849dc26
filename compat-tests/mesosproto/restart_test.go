package mesosproto

import (
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// restart kills the miniature as kill -9 does and starts it on its old port.
func (m *master) restart(t *testing.T) {
	t.Helper()
	u, err := url.Parse(m.url)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	// Mesos loses its master alone; here the agents die too, and what they have just
	// reported they may report once more. That is not what the tests are about.
	time.Sleep(500 * time.Millisecond)
	m.stop(os.Kill)
	m.start(port)
}

// TestMasterRestart: the process dies and another one takes over (REC 29). In the
// miniature the agents are in the same process and come back with it.
func TestMasterRestart(t *testing.T) {
	m := newMaster(t)
	onlyMiniature(t, "29", "the master process has to be killed")
	f := m.framework(obj{"failover_timeout": 300}).subscribe()
	all := f.offers(t, agentCount)
	o := all[0]
	f.accept(t, []offer{o}, launch(task("m1", o, "sleep 600"), task("m2", o, m.gate("m2"))))
	f.course(t, "m1", starting, running)
	f.course(t, "m2", starting, running)
	old := strings.SplitN(f.id, "-0000", 2)[0]
	m.restart(t)
	m.open(t, "m2")
	t.Run("stream is cut without the last chunk", func(t *testing.T) {
		if err := f.awaitEnd(t, patience); err == nil {
			t.Error("clean end of the stream")
		}
	})
	t.Run("call with the old stream id is 400 or the framework is not subscribed", func(t *testing.T) {
		if r := f.send("REVIVE", nil); r.status != 400 && r.status != 403 {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
	g := f.twin(obj{"failover_timeout": 300, "name": "renamed", "roles": list{"web", "db"}})
	g.open(typeJSON)
	sub := g.await("SUBSCRIBED", patience, func(e *event) bool { return e.Type == "SUBSCRIBED" })
	t.Cleanup(func() { g.send("TEARDOWN", nil) })
	master, _ := sub.Subscribed.MasterInfo["id"].(string)
	t.Run("same framework id, new master id", func(t *testing.T) {
		if sub.Subscribed.FrameworkID.Value != f.id || master == old || master == "" {
			t.Errorf("framework %s, master %s", sub.Subscribed.FrameworkID.Value, master)
		}
	})
	t.Run("task on an agent that the registry does not know is TASK_UNKNOWN at once", func(t *testing.T) {
		g.ask(t, "RECONCILE", "ghost", "nosuch")
		g.course(t, "ghost", reconciled("TASK_UNKNOWN", "Task is unknown"))
	})
	now := g.offers(t, agentCount)
	t.Run("agents keep their ids, offers start again at 0 of the new master", func(t *testing.T) {
		ids := map[string]bool{}
		for _, x := range now {
			ids[x.AgentID] = true
			if !strings.HasPrefix(x.ID, master+"-O") {
				t.Errorf("offer %s", x.ID)
			}
		}
		if !ids[all[0].AgentID] || !ids[all[1].AgentID] {
			t.Errorf("agents %v", ids)
		}
	})
	t.Run("tasks run on", func(t *testing.T) {
		g.ask(t, "RECONCILE", "m1", "")
		g.course(t, "m1", reconciled("TASK_RUNNING", "Latest task state"))
	})
	t.Run("updates of the time between arrive", func(t *testing.T) { g.course(t, "m2", ended("TASK_FINISHED", status0)) })
	t.Run("offers of the time before", func(t *testing.T) {
		g.accept(t, all[1:2], launch(task("late", all[1], "true")))
		g.course(t, "late", fromMaster("TASK_DROPPED", "REASON_INVALID_OFFERS", "Task launched with invalid offers: Offer "+all[1].ID+" is no longer valid"))
	})
	t.Run("unknown task, after the agents are back", func(t *testing.T) {
		g.ask(t, "KILL", "ghost", "")
		g.course(t, "ghost", reconciled("TASK_UNKNOWN", "Task is unknown"))
		g.ask(t, "KILL", "ghost", o.AgentID)
		g.course(t, "ghost", reconciled("TASK_GONE", "Task is unknown to the agent"))
	})
	t.Run("KILL of a task of the time before", func(t *testing.T) {
		g.must(t, "KILL", question("m1", ""))
		g.course(t, "m1", killing, ended("TASK_KILLED", terminated))
	})
}

// TestMasterRestartAgentsAway: until the agents are back, nothing is said of their
// tasks (REC 29).
func TestMasterRestartAgentsAway(t *testing.T) {
	m := newMaster(t)
	onlyMiniature(t, "29", "the agents have to stay away longer than the master")
	f := m.framework(nil).subscribe()
	all := f.offers(t, agentCount)
	o := all[0]
	f.run(t, "m1", o)
	for _, x := range all {
		m.fault(t, "lose_agent", "host", x.Hostname)
	}
	m.fault(t, "kill_master", "", "")
	m.fault(t, "start_master", "", "")
	if err := f.awaitEnd(t, patience); err == nil {
		t.Error("clean end of the stream of a killed master")
	}
	f.subscribe()
	for _, kind := range []string{"RECONCILE", "KILL"} {
		t.Run(kind+": silence with and without agent id, an agent never seen is known to be none", func(t *testing.T) {
			for _, id := range []string{"m1", "nosuch"} {
				f.ask(t, kind, id, "")
				f.ask(t, kind, id, o.AgentID)
			}
			f.ask(t, kind, "ghost", "nosuch")
			f.course(t, "ghost", reconciled("TASK_UNKNOWN", "Task is unknown")) // answered behind the others
			f.never(t, "UPDATE", 0, func(e *event) bool { return e.Type == "UPDATE" })
		})
	}
	m.fault(t, "return_agent", "host", o.Hostname)
	f.offerOf(t, o.AgentID)
	t.Run("an agent that is back has told its tasks", func(t *testing.T) {
		f.ask(t, "RECONCILE", "m1", "")
		f.course(t, "m1", reconciled("TASK_RUNNING", "Latest task state"))
		f.ask(t, "RECONCILE", "nosuch", o.AgentID)
		f.course(t, "nosuch", reconciled("TASK_GONE", "Task is unknown to the agent"))
	})
	t.Run("one of another agent is not talked of as long as that is away", func(t *testing.T) {
		f.ask(t, "RECONCILE", "nosuch", "")
		f.ask(t, "RECONCILE", "ghost", "nosuch")
		f.course(t, "ghost", reconciled("TASK_UNKNOWN", "Task is unknown"))
		f.never(t, "UPDATE", 0, func(e *event) bool { return e.Type == "UPDATE" })
	})
}

// TestMasterRestartWithoutFramework: the agents bring the framework back (REC 29b).
func TestMasterRestartWithoutFramework(t *testing.T) {
	m := newMaster(t)
	onlyMiniature(t, "29b", "the master process has to be killed")
	f := m.framework(obj{"failover_timeout": 300}).subscribe()
	f.run(t, "x1", f.offers(t, agentCount)[0])
	f.close()
	m.restart(t)
	t.Run("it is listed as not connected and not active", func(t *testing.T) {
		eventually(t, "framework in the list", patience, func() bool { return m.lookup("frameworks", f.id) != nil })
		if fw := m.lookup("frameworks", f.id); fw["connected"] != false || fw["active"] != false || fw["failover_timeout"] != 300.0 {
			t.Errorf("connected %v, active %v, failover_timeout %v", fw["connected"], fw["active"], fw["failover_timeout"])
		}
	})
	t.Run("it can subscribe; implicit reconciliation knows its tasks", func(t *testing.T) {
		g := f.twin(obj{"failover_timeout": 300}).subscribe()
		g.offers(t, agentCount)
		g.must(t, "RECONCILE", obj{"tasks": list{}})
		g.course(t, "x1", reconciled("TASK_RUNNING", "Latest task state"))
		g.must(t, "TEARDOWN", nil)
	})
}
