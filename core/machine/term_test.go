package machine

import (
	"testing"
	"time"

	"stadion/core"
	"stadion/offers"
)

// TestExecutorHealthSurvivesATerm: what the executor said of a check counts in the next term too, or an upgrade would
// kill the only healthy instance (R7, D-45).
func TestExecutorHealthSurvivesATerm(t *testing.T) {
	r := newRig(t)
	app := func(cmd string) *core.App {
		a := testApp(t, `{"id":"/a","cmd":"`+cmd+`","upgradeStrategy":{"minimumHealthCapacity":1,"maximumOverCapacity":1}}`)
		a.HealthChecks = []core.HealthCheck{{Protocol: "MESOS_TCP", IntervalSeconds: 5, TimeoutSeconds: 2, MaxConsecutiveFailures: 3}}
		return a
	}
	r.change(core.Change{Put: []core.RunSpec{app("old")}})
	ids := r.up("/a", "a")
	r.status(ids[0], "TASK_RUNNING", health(core.Healthy))
	r.crash()
	if c := r.m.st.Counts("/a"); c.Healthy != 1 {
		t.Fatalf("counts of the new term: %+v", c)
	}
	_, b := r.change(core.Change{Put: []core.RunSpec{app("new")}})
	if len(kills(b)) > 0 {
		t.Errorf("the upgrade begins with killing %v", kills(b))
	}
}

// TestKillSurvivesATerm: a kill that was answered happens, whoever leads when it does (R1).
func TestKillSurvivesATerm(t *testing.T) {
	r := newRig(t)
	ids := r.running(`{"id":"/a"}`)
	r.request(KillInstances{IDs: ids})
	if got := kills(r.crash()); len(got) != 1 || got[0] != r.get(ids[0]).Tasks[0].ID {
		t.Fatalf("the next term kills %v", got)
	}
	r.status(ids[0], "TASK_KILLED")
	if got := kills(r.up1(ids[0])); len(got) != 0 {
		t.Errorf("the new task is killed too: %v", got)
	}
	if got := kills(r.crash()); len(got) != 0 {
		t.Errorf("a term after it kills %v", got)
	}
}

// up1 launches an instance again.
func (r *rig) up1(id core.InstanceID) *Batch {
	r.t.Helper()
	b := r.offer("a")
	b.add(r.status(id, "TASK_RUNNING"))
	return b
}

// TestOvertakenUpdate: an update of an earlier stage that comes late changes nothing (F20), unless it is newer.
func TestOvertakenUpdate(t *testing.T) {
	r := newRig(t)
	ids := r.running(`{"id":"/a"}`)
	ran := r.get(ids[0]).Tasks[0].Status.At
	r.wait(time.Second)
	for _, at := range []core.Timestamp{ran - 1, ran} { // a fast task starts and runs within a millisecond
		b := r.status(ids[0], "TASK_STARTING", func(u *offers.StatusUpdate) { u.Timestamp = at })
		if c := r.get(ids[0]).Condition; c != core.Running || acks(b) != 1 {
			t.Errorf("%d ms after it ran: condition %s, %d acknowledgements", at-ran, c, acks(b))
		}
	}
	r.status(ids[0], "TASK_STARTING")
	if c := r.get(ids[0]).Condition; c != core.Starting {
		t.Errorf("a newer update leaves %s", c)
	}
}

// TestClockBehind: the clock of the new leader is an hour behind that of the old one. What waits for a time waits as long
// as ever, not an hour longer (F4).
func TestClockBehind(t *testing.T) {
	r := newRig(t)
	r.put(`{"id":"/a"}`)
	r.offer("a")
	stuck := r.ids("/a")[0]
	r.status(stuck, "TASK_STARTING")
	lost := r.running(`{"id":"/b","unreachableStrategy":{"inactiveAfterSeconds":60,"expungeAfterSeconds":120}}`)[0]
	r.status(lost, "TASK_UNREACHABLE", reason("AGENT_REMOVED"))
	r.now -= core.Timestamp(time.Hour.Milliseconds())
	r.crash()
	var killed bool
	for _, id := range kills(r.wait(6 * time.Minute)) {
		name, err := core.ParseTaskID(id)
		killed = killed || err == nil && name.Instance == stuck
	}
	if !killed {
		t.Error("the overdue launch is not killed")
	}
	if !r.gone(lost) {
		t.Errorf("the lost instance is still %s", r.get(lost).Condition)
	}
}

// TestMasterClockAhead: an instance is not given up later because the master's clock is ahead (F4).
func TestMasterClockAhead(t *testing.T) {
	r := newRig(t)
	lost := r.running(`{"id":"/b","unreachableStrategy":{"inactiveAfterSeconds":60,"expungeAfterSeconds":120}}`)[0]
	r.status(lost, "TASK_UNREACHABLE", reason("AGENT_REMOVED"), func(u *offers.StatusUpdate) { u.Timestamp = r.now.Add(time.Hour) })
	r.wait(3 * time.Minute)
	if !r.gone(lost) {
		t.Errorf("the lost instance is still %s", r.get(lost).Condition)
	}
}
