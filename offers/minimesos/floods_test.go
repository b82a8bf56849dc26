package minimesos

import (
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

func (f *testFramework) decline(offers []mesos.Offer) {
	f.t.Helper()
	call := &scheduler.Call{Type: scheduler.Call_DECLINE, Decline: &scheduler.Call_Decline{}}
	for i := range offers {
		call.Decline.OfferIDs = append(call.Decline.OfferIDs, offers[i].ID)
	}
	f.must(call)
}

// A deaf master offers again what was refused, suppressed or not; the account tells who answered what, how often.
func TestDeafMasterAndAccountOfOffers(t *testing.T) { // F19
	c := testCluster(t, 2, func(cfg *Config) { cfg.AllocationInterval = 10 * time.Millisecond })
	c.KeepAccount()
	c.Deafen(true)
	f := newFramework(t, c, "web").subscribe()
	f.must(&scheduler.Call{Type: scheduler.Call_SUPPRESS})
	first := f.offers()
	f.decline(first)
	second := f.offers()
	f.decline(first)
	a := c.Account().Offers
	if a.Again != len(first) || a.Answered != len(first) || a.Strange != 0 {
		t.Errorf("%d offers declined twice: %+v", len(first), a)
	}
	c.RescindAccepted(1)
	f.accept(second[:1], launchOp(testTask("late", &second[0], 1)))
	if st := f.update("late", mesos.TASK_DROPPED); st.GetReason() != mesos.REASON_INVALID_OFFERS {
		t.Errorf("%s", appendJSON(nil, st))
	}
	f.accept(second[1:], launchOp()) // the other one, or none
	if got := c.Account(); got.Launches != 1 || got.Dropped != 1 || got.Offers.Late != 1 || got.Offers.TakenBy != 1 {
		t.Errorf("an ACCEPT that came too late: %+v", got)
	}
	c.RescindFresh(2, 1)
	f.seek("RESCIND of a fresh offer", isEvent(scheduler.Event_RESCIND))
	f.accept([]mesos.Offer{{ID: mesos.OfferID{Value: "never-made"}}})
	if got := c.Account().Offers; got.Strange != 1 || got.Made != got.Open+got.Answered+got.TakenBy {
		t.Errorf("%+v", got)
	}
}

// Every update again in another order; tasks that nobody launched; health results of every task.
func TestReplayedInventedAndSmuggled(t *testing.T) { // F20, F21
	c := testCluster(t, 1, nil)
	c.KeepAccount()
	f := newFramework(t, c, "web").subscribe()
	o := f.offers()[0]
	f.runTask("t1", o)
	if n := c.ReplayUpdates(10, 7); n != 20 {
		t.Errorf("%d updates are replayed, want starting and running ten times", n)
	}
	f.autoAk = false
	for range 10 {
		f.update("t1", mesos.TASK_STARTING)
	}
	if a := c.Account().Updates; a.Made != 2 || a.Sent != 22 || a.Open != 0 || a.TooOften != 0 {
		t.Errorf("%+v", a)
	}
	if c.InventUpdate("nowhere", "ghost", "TASK_RUNNING") || c.InventUpdate("agent1", "ghost", "TASK_BOGUS") {
		t.Error("there is no such agent, or state")
	}
	if !c.InventUpdate("agent1", "ghost", "TASK_RUNNING") || !c.Smuggle("agent1", "smuggled") {
		t.Fatal("not sent")
	}
	st := f.update("ghost", mesos.TASK_RUNNING)
	if a := c.Account().Updates; a.Open < 1 {
		t.Errorf("nobody has acknowledged it: %+v", a)
	}
	f.acknowledge(st)
	f.acknowledge(st)
	f.autoAk = true
	f.must(&scheduler.Call{Type: scheduler.Call_KILL, Kill: &scheduler.Call_Kill{TaskID: mesos.TaskID{Value: "smuggled"}}})
	f.update("smuggled", mesos.TASK_KILLED)
	if n := c.ReportHealth(true, 3); n != 3 {
		t.Errorf("%d results", n)
	}
	for _, want := range []bool{true, false, true} {
		if st := f.update("t1", mesos.TASK_RUNNING); st.GetHealthy() != want || st.Healthy == nil {
			t.Errorf("%s, want healthy: %t", appendJSON(nil, st), want)
		}
	}
	a := c.Account()
	if a.Updates.Open != 0 || a.Updates.TooOften != 1 || a.Updates.Strange != 0 || a.Kills["smuggled"] != 1 {
		t.Errorf("%+v", a)
	}
}
