package minimesos

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

func isEvent(kind scheduler.Event_Type) func(*scheduler.Event) bool {
	return func(ev *scheduler.Event) bool { return ev.Type == kind }
}

func (f *testFramework) reconcile(task string, agent *mesos.AgentID) {
	f.t.Helper()
	f.must(&scheduler.Call{Type: scheduler.Call_RECONCILE, Reconcile: &scheduler.Call_Reconcile{
		Tasks: []scheduler.Call_Reconcile_Task{{TaskID: mesos.TaskID{Value: task}, AgentID: agent}}}})
}

// Recording 24: RESCIND at once, TASK_UNREACHABLE after the ping timeout, FAILURE,
// reconciliation with and without agent id, TASK_RUNNING when the agent is back.
func TestAgentLostAndBack(t *testing.T) {
	c := testCluster(t, 1, func(cfg *Config) { cfg.AgentPingTimeout = 100 * time.Millisecond })
	f := newFramework(t, c, "web").subscribe()
	o := f.offers()[0]
	f.runTask("t1", o)
	f.offers()
	c.LoseAgent("agent1")
	f.seek("RESCIND", isEvent(scheduler.Event_RESCIND))
	f.reconcile("t1", nil)
	f.update("t1", mesos.TASK_RUNNING)
	st := f.update("t1", mesos.TASK_UNREACHABLE)
	if st.GetReason() != mesos.REASON_AGENT_REMOVED || st.GetMessage() != "health check timed out" || st.UnreachableTime == nil || st.UUID != nil {
		t.Errorf("unreachable: %s", appendJSON(nil, st))
	}
	if ev := f.seek("FAILURE", isEvent(scheduler.Event_FAILURE)); ev.Failure.AgentID.GetValue() != o.AgentID.Value || ev.Failure.ExecutorID != nil {
		t.Errorf("failure: %s", appendJSON(nil, ev))
	}
	f.reconcile("t1", nil)
	f.update("t1", mesos.TASK_UNKNOWN)
	f.reconcile("never-there", &o.AgentID)
	f.update("never-there", mesos.TASK_UNREACHABLE)
	c.ReturnAgent("agent1")
	if st := f.update("t1", mesos.TASK_RUNNING); st.GetReason() != mesos.REASON_AGENT_REREGISTERED ||
		st.GetMessage() != "Unreachable agent re-reregistered" {
		t.Errorf("back: %s", appendJSON(nil, st))
	}
	f.offers()
	f.reconcile("never-there", &o.AgentID)
	if st := f.update("never-there", mesos.TASK_GONE); st.GetMessage() != "Reconciliation: Task is unknown to the agent" {
		t.Errorf("unknown to the agent: %q", st.GetMessage())
	}
}

// Recording 25: without checkpoint the tasks are lost with the connection.
func TestAgentLostWithoutCheckpoint(t *testing.T) {
	c := testCluster(t, 1, nil)
	f := newFramework(t, c, "web")
	no := false
	f.info.Checkpoint = &no
	f.subscribe()
	f.runTask("t1", f.offers()[0])
	c.LoseAgent("agent1")
	if st := f.update("t1", mesos.TASK_LOST); st.GetMessage() != "Agent agent1 disconnected" || st.GetReason() != mesos.REASON_AGENT_DISCONNECTED {
		t.Errorf("lost: %s", appendJSON(nil, st))
	}
}

// Recording 26.
func TestAgentGone(t *testing.T) {
	c := testCluster(t, 1, nil)
	f := newFramework(t, c, "web").subscribe()
	o := f.offers()[0]
	f.runTask("t1", o)
	if !c.MarkAgentGone("agent1") {
		t.Fatal("agent is not known")
	}
	if st := f.update("t1", mesos.TASK_GONE_BY_OPERATOR); st.GetMessage() != "Agent has been marked gone" ||
		st.GetReason() != mesos.REASON_AGENT_REMOVED_BY_OPERATOR {
		t.Errorf("gone: %s", appendJSON(nil, st))
	}
	f.seek("FAILURE", isEvent(scheduler.Event_FAILURE))
	f.reconcile("x", &o.AgentID)
	f.update("x", mesos.TASK_GONE_BY_OPERATOR)
	if n := len(c.Tasks()); n != 0 {
		t.Errorf("%d tasks left on the agent", n)
	}
}

// Recording 29: the stream is cut, the framework keeps its id, tasks come back with
// the agents, offers of the time before are not valid.
func TestMasterRestart(t *testing.T) {
	c := testCluster(t, 2, nil)
	f := newFramework(t, c, "web").subscribe()
	offers := f.offers()
	f.runTask("t1", offers[0])
	if err := c.RestartMaster(0); err != nil {
		t.Fatal(err)
	}
	if err := <-f.ended; err == nil {
		t.Error("the stream ended cleanly, want a cut connection")
	}
	id := f.id
	f.subscribe()
	if f.id != id {
		t.Errorf("id %s became %s", id, f.id)
	}
	f.accept(offers[1:], launchOp(testTask("old", &offers[1], 1)))
	back, dropped := 0, false
	f.seek("both agents and the refusal", func(ev *scheduler.Event) bool {
		switch ev.Type {
		case scheduler.Event_OFFERS:
			back += len(ev.Offers.Offers)
		case scheduler.Event_UPDATE:
			dropped = dropped || ev.Update.Status.GetState() == mesos.TASK_DROPPED
		}
		return back == 2 && dropped
	})
	f.must(&scheduler.Call{Type: scheduler.Call_RECONCILE, Reconcile: &scheduler.Call_Reconcile{}})
	st := f.update("t1", mesos.TASK_RUNNING)
	if st.GetReason() != mesos.REASON_RECONCILIATION || st.AgentID.GetValue() != offers[0].AgentID.Value {
		t.Errorf("after the restart: %s", appendJSON(nil, st))
	}
}

// Table of "KILL of an unknown task and reconciliation": silence about agents that
// are not back yet.
func TestReconcileBeforeAgentsAreBack(t *testing.T) {
	c := testCluster(t, 1, func(cfg *Config) { cfg.AgentReregisterBackoff = time.Hour })
	f := newFramework(t, c, "web").subscribe()
	o := f.offers()[0]
	f.runTask("t1", o)
	if err := c.RestartMaster(0); err != nil {
		t.Fatal(err)
	}
	f.subscribe()
	f.reconcile("t1", nil)
	f.reconcile("t1", &o.AgentID)
	f.reconcile("t1", &mesos.AgentID{Value: "never-seen"})
	st := f.update("t1", mesos.TASK_UNKNOWN)
	if st.AgentID.GetValue() != "never-seen" {
		t.Errorf("answered for %q", st.AgentID.GetValue())
	}
}

// Recording 30: failover_timeout 0 removes at once, else after the timeout; calls of
// a framework that is away are 403.
func TestFrameworkDisconnect(t *testing.T) {
	c := testCluster(t, 1, nil)
	f := newFramework(t, c, "web").subscribe()
	f.runTask("t1", f.offers()[0])
	f.cancel()
	deadline := time.Now().Add(patience)
	for {
		status, text := f.call(&scheduler.Call{Type: scheduler.Call_REVIVE})
		if status == http.StatusForbidden && text == "Framework is not subscribed" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d %s", status, text)
		}
	}
	if n := len(c.Tasks()); n != 1 {
		t.Errorf("%d tasks while away, want 1", n)
	}
	f.subscribe()
	g := newFramework(t, c, "web")
	zero := 0.0
	g.info.FailoverTimeout = &zero
	g.subscribe()
	g.cancel()
	for {
		status, _ := g.call(&scheduler.Call{Type: scheduler.Call_REVIVE})
		if status == http.StatusBadRequest {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("failover_timeout 0, but still there: %d", status)
		}
	}
}

// Statuses that ended while the framework was away follow its return at once.
func TestUpdatesAfterReturn(t *testing.T) {
	c := testCluster(t, 1, func(cfg *Config) { cfg.UpdateRetry = time.Hour })
	f := newFramework(t, c, "web").subscribe()
	f.runTask("t1", f.offers()[0])
	f.cancel()
	<-f.ended
	if !c.FinishTask(f.id, "t1", mesos.TASK_FINISHED, "Command exited with status 0") {
		t.Fatal("no such task")
	}
	f.subscribe()
	f.update("t1", mesos.TASK_FINISHED)
}

func TestFaultsOnRequest(t *testing.T) {
	c := testCluster(t, 1, func(cfg *Config) { cfg.UpdateRetry = 30 * time.Millisecond })
	f := newFramework(t, c, "web").subscribe()
	c.RefuseCalls(1, 503)
	if status, _ := f.call(&scheduler.Call{Type: scheduler.Call_REVIVE}); status != 503 {
		t.Errorf("refused call: %d", status)
	}
	c.DropUpdates(1)
	f.runTask("t1", f.offers()[0])
	c.CutStreams(false)
	if err := <-f.ended; err == nil {
		t.Error("cut stream ended cleanly")
	}
	f.subscribe()
	f.offers()
	c.DelayUpdates(1, time.Hour)
	if !c.FinishTask(f.id, "t1", mesos.TASK_FINISHED, "") {
		t.Fatal("no such task")
	}
	f.update("t1", mesos.TASK_FINISHED) // by re-sending
	c.CutStreams(true)
	if err := <-f.ended; !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("torn stream ended with %v", err)
	}
}

// An offer that is held too long is rescinded and made anew (--offer_timeout).
func TestOfferTimeout(t *testing.T) {
	c := testCluster(t, 1, func(cfg *Config) { cfg.OfferTimeout = 20 * time.Millisecond })
	f := newFramework(t, c, "web").subscribe()
	held := f.offers()[0]
	f.seek("RESCIND", func(ev *scheduler.Event) bool {
		return ev.Type == scheduler.Event_RESCIND && ev.Rescind.OfferID == held.ID
	})
	if again := f.offers()[0]; again.ID == held.ID {
		t.Errorf("offer %s again", again.ID.Value)
	}
}

// Two frameworks of one role share the agents.
func TestFairShare(t *testing.T) {
	c := testCluster(t, 6, nil)
	a := newFramework(t, c, "web").subscribe()
	all := a.offers()
	b := newFramework(t, c, "web").subscribe()
	for i := range all {
		a.must(&scheduler.Call{Type: scheduler.Call_DECLINE, Decline: &scheduler.Call_Decline{OfferIDs: []mesos.OfferID{all[i].ID}, Filters: noFilter()}})
	}
	if n := len(b.offers()); n == 0 {
		t.Error("the second framework gets nothing")
	}
}

// Recording 25: SIGUSR1 loses the tasks even for a PARTITION_AWARE framework.
func TestAgentUnregisters(t *testing.T) {
	c := testCluster(t, 1, nil)
	f := newFramework(t, c, "web").subscribe()
	o := f.offers()[0]
	f.runTask("t1", o)
	if !c.UnregisterAgent("agent1") {
		t.Fatal("agent is not known")
	}
	if st := f.update("t1", mesos.TASK_LOST); st.GetMessage() != "Agent agent1 removed: the agent unregistered" {
		t.Errorf("lost: %q", st.GetMessage())
	}
	f.seek("FAILURE", isEvent(scheduler.Event_FAILURE))
	f.reconcile("t1", &o.AgentID)
	f.update("t1", mesos.TASK_UNKNOWN)
	c.ReturnAgent("agent1")
	if back := f.offers()[0]; back.AgentID.Value == o.AgentID.Value {
		t.Error("the agent kept its id")
	}
}

// Recording 03: a framework of the old kind sees roles instead of allocations and reservations.
func TestOldFramework(t *testing.T) {
	c := testCluster(t, 1, func(cfg *Config) {
		extra, err := ParseResources("cpus(web):1;mem(web):256", "*")
		if err != nil {
			t.Fatal(err)
		}
		cfg.Agents[0].Resources = append(cfg.Agents[0].Resources, extra...)
	})
	f := newFramework(t, c)
	role := "web"
	f.info.Roles, f.info.Role, f.info.Capabilities = nil, &role, nil
	f.subscribe()
	o := f.offers()[0]
	roles := map[string]float64{}
	for i := range o.Resources {
		r := &o.Resources[i]
		if r.AllocationInfo != nil || len(r.Reservations) > 0 {
			t.Errorf("resource %s", appendJSON(nil, r))
		}
		roles[r.GetRole()] += r.GetScalar().GetValue()
	}
	if o.AllocationInfo != nil || roles["web"] != 257 || roles["*"] != 14100 {
		t.Errorf("offer %s", appendJSON(nil, &o))
	}
	task := testTask("t1", &o, 1)
	task.Resources[0].Role = &role
	f.accept([]mesos.Offer{o}, launchOp(task))
	f.update("t1", mesos.TASK_RUNNING)
	f.reconcile("nosuch", nil)
	f.update("nosuch", mesos.TASK_LOST)
	f.must(&scheduler.Call{Type: scheduler.Call_KILL, Kill: &scheduler.Call_Kill{TaskID: mesos.TaskID{Value: "t1"}}})
	f.seek("no TASK_KILLING", func(ev *scheduler.Event) bool {
		if ev.Type == scheduler.Event_UPDATE && ev.Update.Status.GetState() == mesos.TASK_KILLING {
			t.Error("TASK_KILLING without the capability")
		}
		return ev.Type == scheduler.Event_UPDATE && ev.Update.Status.GetState() == mesos.TASK_KILLED
	})
}
