package machine

import (
	"slices"
	"testing"
	"time"

	"stadion/core"
	"stadion/offers"
)

// P28, D-23: a reconciliation of many tasks goes on from batch to batch, so that what comes meanwhile is decided in
// between; each task is asked for once, those that nobody knows of in the end; a new connection begins anew.
func TestReconciliationInSteps(t *testing.T) {
	const tasks = 2*reconcileStep + 500
	m, refs := fill(t, tasks)
	now := core.Timestamp(1_700_001_000_000)
	asked, all := map[core.TaskID]int{}, false
	settle := func(evs ...Event) *Batch {
		b := &Batch{}
		for _, ev := range evs {
			m.Step(now, ev, b)
		}
		m.Settle(now, b)
		n := 0
		for _, c := range b.Calls {
			if r, ok := c.(offers.Reconcile); ok {
				if all = len(r.Tasks) == 0; len(r.Tasks) > reconcileChunk {
					t.Errorf("%d tasks in one call", len(r.Tasks))
				}
				for _, ref := range r.Tasks {
					asked[ref.TaskID]++
					n++
				}
			}
		}
		if n > reconcileStep {
			t.Errorf("%d tasks in one batch", n)
		}
		return b
	}
	settle(Mesos{offers.Subscribed{FrameworkID: "fw"}})
	for len(asked) == 0 && m.Pending() {
		settle()
	}
	if len(asked) == 0 || len(asked) == tasks {
		t.Fatalf("%d tasks were asked for in the first step", len(asked))
	}
	settle(Mesos{offers.Disconnected{}})
	if m.Pending() {
		t.Error("there is more to do without a connection")
	}
	clear(asked)
	b := settle(Mesos{offers.Subscribed{FrameworkID: "fw"}}, Request{ID: 9, Command: ResetDelay{Spec: "/web"}})
	if len(b.Replies) != 1 || len(asked) > 0 || !m.Pending() {
		t.Errorf("a command beside it: %d replies, %d tasks asked for, more to do: %v", len(b.Replies), len(asked), m.Pending())
	}
	steps := 1
	for ; m.Pending(); steps++ {
		settle()
	}
	if !all || len(asked) != tasks || steps < 5 {
		t.Errorf("%d of %d tasks were asked for in %d steps, then those unknown: %v", len(asked), tasks, steps, all)
	}
	for id, n := range asked {
		if n != 1 {
			t.Fatalf("%s was asked for %d times", id, n)
		}
	}
	for _, r := range refs[:tasks-1] {
		settle(Mesos{offers.StatusUpdate{TaskID: r.TaskID, AgentID: r.AgentID, State: "TASK_RUNNING", Reason: "RECONCILIATION", Timestamp: now}})
	}
	clear(asked)
	now += reconcileFirstMs
	for settle(Tick{}); m.Pending(); {
		settle()
	}
	if len(asked) != 1 || asked[refs[tasks-1].TaskID] != 1 {
		t.Errorf("%d tasks were asked for again, of one that is open", len(asked))
	}
}

// D-18, D-23: of a task that is out of sight the master is asked twice a minute, not with the next full reconciliation
// only. Of an agent that was taken down for maintenance it has said TASK_LOST once, and says nothing when the agent is back.
func TestOutOfSightIsSought(t *testing.T) {
	r := newRig(t)
	id := r.running(`{"id":"/a","unreachableStrategy":"disabled"}`)[0]
	task := r.get(id).Tasks[0].ID
	asks := func(b *Batch) (n int) {
		for _, c := range calls[offers.Reconcile](b) {
			if slices.Contains(c.Tasks, offers.TaskRef{TaskID: task, AgentID: "S-a"}) {
				n++
			}
		}
		return n
	}
	r.status(id, "TASK_RUNNING", reason("RECONCILIATION"))
	if n := asks(r.wait(5 * time.Minute)); n != 0 {
		t.Fatalf("a running task is asked for %d times", n)
	}
	lost := func() {
		r.status(id, "TASK_LOST", reason("AGENT_REMOVED"), message("Agent a removed: Operator initiated 'Machine DOWN'"))
	}
	lost()
	for n := range 3 { // the answer that it is still out of sight changes nothing
		if asks(r.wait(2*time.Minute)) == 0 {
			t.Fatalf("not asked for after %d minutes", 2*n+2)
		}
		r.status(id, "TASK_UNREACHABLE", reason("RECONCILIATION"))
	}
	r.status(id, "TASK_UNKNOWN", reason("RECONCILIATION"))
	if c := r.get(id).Condition; c != core.Unknown {
		t.Errorf("a task unknown to the master leaves the instance %s", c)
	}
	if n := asks(r.wait(5 * time.Minute)); n != 0 {
		t.Errorf("an ended task is asked for %d times", n)
	}
}

// F15: a new master without a registry says of every task whose agent has not come back yet that it does not know it. What
// ran is asked for again until the agents had time, not replaced; what it still does not know then is.
func TestUnknownToANewMaster(t *testing.T) {
	r := newRig(t)
	ids := r.running(`{"id":"/a","instances":2}`)
	r.subscribe()
	for _, id := range ids {
		b := r.status(id, "TASK_UNKNOWN", reason("RECONCILIATION"))
		if c := r.get(id).Condition; c != core.Running || len(told(b)) > 0 {
			t.Errorf("at once: %s, events %v", c, told(b))
		}
	}
	b := r.wait(reconcileFirstMs * time.Millisecond)
	asked := calls[offers.Reconcile](b)
	if len(asked) != 1 || len(asked[0].Tasks) != 2 {
		t.Fatalf("asked again: %v", asked)
	}
	r.status(ids[0], "TASK_RUNNING", reason("RECONCILIATION"))
	r.status(ids[1], "TASK_UNKNOWN", reason("RECONCILIATION"))
	r.wait(10 * time.Second)
	r.status(ids[1], "TASK_UNKNOWN", reason("RECONCILIATION"))
	if a, b := r.get(ids[0]).Condition, r.get(ids[1]).Condition; a != core.Running || b != core.Unknown {
		t.Errorf("after 15 seconds: %s, %s", a, b)
	}
}
