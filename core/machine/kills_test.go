package machine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"stadion/core"
	"stadion/offers"
)

// TestKillCalls is the table "API kills" of behaviour 7.11, for each condition an instance can be in (7.11.5, D-52).
func TestKillCalls(t *testing.T) {
	const patient = `{"id":"/web","unreachableStrategy":{"inactiveAfterSeconds":60,"expungeAfterSeconds":600}}`
	lose := func(r *rig, id core.InstanceID) { r.status(id, "TASK_UNREACHABLE") }
	for _, c := range []struct {
		name    string
		prepare func(*rig, core.InstanceID)
		wipe    bool
		kill    bool // a KILL is sent
		gone    bool // the record is gone at once
		answer  bool // the answer comes at once
	}{
		{name: "running", kill: true, answer: true},
		{name: "running, wipe: gone when dead", wipe: true, kill: true},
		{name: "unreachable: given up instead", prepare: lose, gone: true, answer: true},
		{name: "unreachable, wipe", prepare: lose, wipe: true, gone: true, answer: true},
		{name: "inactive", prepare: func(r *rig, id core.InstanceID) { lose(r, id); r.wait(61 * time.Second) }, gone: true, answer: true},
		{name: "inactive, wipe", prepare: func(r *rig, id core.InstanceID) { lose(r, id); r.wait(61 * time.Second) }, wipe: true, gone: true, answer: true},
		{name: "unknown", prepare: func(r *rig, id core.InstanceID) { r.status(id, "TASK_UNKNOWN") }, gone: true, answer: true},
		{name: "dropped", prepare: func(r *rig, id core.InstanceID) { r.status(id, "TASK_DROPPED") }, gone: true, answer: true},
		{name: "gone", prepare: func(r *rig, id core.InstanceID) { r.status(id, "TASK_GONE") }, gone: true, answer: true},
		{name: "failed, waits for its relaunch", prepare: func(r *rig, id core.InstanceID) { r.status(id, "TASK_FAILED") }, answer: true},
		{name: "failed, wipe: another takes its place", prepare: func(r *rig, id core.InstanceID) { r.status(id, "TASK_FAILED") }, wipe: true, gone: true, answer: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			id := r.running(patient)[0]
			if c.prepare != nil {
				c.prepare(r, id)
			}
			before := r.get(id)
			res, b, err := r.request(KillInstances{IDs: []core.InstanceID{id, "web.instance-nobody"}, Wipe: c.wipe})
			if err != nil {
				t.Fatal(err)
			}
			if got := len(kills(b)) > 0; got != c.kill {
				t.Errorf("kills %v", kills(b))
			}
			if r.gone(id) != c.gone {
				t.Errorf("gone: %v", r.gone(id))
			}
			if (res != nil) != c.answer {
				t.Fatalf("answer: %v", res)
			}
			if c.kill {
				b = r.status(id, "TASK_KILLED")
				if _, delayed := r.delay("/web"); delayed {
					t.Error("a kill delays the relaunch")
				}
				for _, x := range b.Replies {
					res = x.Result
				}
			}
			if got := res.(KillResult).Instances; len(got) != 1 || got[0].Condition != before.Condition || got[0].Goal != core.GoalRunning { // as they were, inactive ones too
				t.Errorf("answer %+v", got)
			}
			if r.m.st.Counts("/web").Waiting != 1 {
				t.Errorf("%+v", r.m.st.Counts("/web"))
			}
		})
	}
	t.Run("resident out of sight: nothing", func(t *testing.T) {
		r := newRig(t)
		id := r.resident(`{"id":"/db",` + volume + `}`)
		r.status(id, "TASK_UNREACHABLE")
		r.request(KillInstances{IDs: []core.InstanceID{id}})
		if i := r.get(id); i.Goal != core.GoalRunning || i.Condition != core.Unreachable {
			t.Errorf("%+v", i)
		}
	})
	t.Run("resident out of sight, wipe: answered at once, its record waits for its volume (D-52, behaviour 5.7)", func(t *testing.T) {
		for _, inactive := range []bool{false, true} {
			r := newRig(t)
			id := r.resident(`{"id":"/db",` + strings.Replace(volume, `"disabled"`, `{"inactiveAfterSeconds":60,"expungeAfterSeconds":3600}`, 1) + `}`)
			offer := r.dbOffer("a", id)
			r.status(id, "TASK_UNREACHABLE")
			if inactive {
				r.wait(61 * time.Second)
			}
			if res, _, err := r.request(KillInstances{IDs: []core.InstanceID{id}, Wipe: true}); err != nil || res == nil {
				t.Fatalf("inactive %v: answer %v, %v", inactive, res, err)
			}
			if r.gone(id) || r.get(id).Goal != core.GoalDecommissioned || r.get(id).Reservation == nil {
				t.Fatalf("inactive %v: the record of a volume that is still there is lost", inactive)
			}
			r.crash()
			if r.status(id, "TASK_GONE"); !r.offersWanted("db") {
				t.Errorf("inactive %v: nobody wants the offer that would free the volume", inactive)
			}
			r.frees(id, offer)
		}
	})
	t.Run("a kill gives its reason (R6)", func(t *testing.T) {
		r := newRig(t)
		id := r.running(patient)[0]
		r.request(KillInstances{IDs: []core.InstanceID{id}})
		if r.get(id).KillReason == "" {
			t.Error("none stored")
		}
	})
	t.Run("kill and scale: the named ones go first (D-08)", func(t *testing.T) {
		r := newRig(t)
		ids := r.running(`{"id":"/web","instances":3}`)
		app := testApp(t, `{"id":"/web","instances":2}`)
		_, b := r.change(core.Change{Put: []core.RunSpec{app}, Sentenced: ids[1:2]})
		if got := kills(b); !slices.Equal(got, []core.TaskID{ids[1].Task("_app", 1)}) {
			t.Errorf("kills %v", got)
		}
	})
}

// TestKillQueue is behaviour 7.11.2 and 7.11.4: a window, repetition without end, and what leaves it (D-47).
func TestKillQueue(t *testing.T) {
	fill := func(t *testing.T, agents map[string]int) (*rig, []core.InstanceID) {
		r := newRig(t, func(c *Config) { c.KillChunk = 4 })
		n := 0
		for _, k := range agents {
			n += k
		}
		r.put(fmt.Sprintf(`{"id":"/web","cpus":1,"instances":%d}`, n))
		for _, a := range []string{"a", "b", "c"} {
			r.offer(a, offers.Resource{Name: "cpus", Value: float64(agents[a])}, plenty()[1], plenty()[3])
		}
		ids := r.ids("/web")
		for _, id := range ids {
			r.status(id, "TASK_RUNNING")
		}
		return r, ids
	}
	agentOf := func(r *rig, task core.TaskID) string {
		name, _ := core.ParseTaskID(task)
		return r.get(name.Instance).Agent.Host
	}
	t.Run("the window, and the next when one is over", func(t *testing.T) {
		r, ids := fill(t, map[string]int{"a": 10})
		_, b, _ := r.request(KillInstances{IDs: ids})
		if len(kills(b)) != 4 {
			t.Fatalf("%d in flight", len(kills(b)))
		}
		name, _ := core.ParseTaskID(kills(b)[0])
		if got := kills(r.status(name.Instance, "TASK_KILLED")); len(got) != 1 {
			t.Errorf("%d after one ended", len(got))
		}
	})
	t.Run("agents take turns (D-47)", func(t *testing.T) {
		r, ids := fill(t, map[string]int{"a": 10, "b": 1, "c": 1})
		_, b, _ := r.request(KillInstances{IDs: ids})
		seen := map[string]int{}
		for _, k := range kills(b) {
			seen[agentOf(r, k)]++
		}
		if seen["b"] != 1 || seen["c"] != 1 || seen["a"] != 2 {
			t.Errorf("%v", seen)
		}
	})
	t.Run("a dead agent does not block the others; kills are repeated for ever (D-47)", func(t *testing.T) {
		r, ids := fill(t, map[string]int{"a": 10})
		r.request(KillInstances{IDs: ids})
		b := r.wait(31 * time.Second) // nobody answers
		if got := len(kills(b)); got != 4+4 {
			t.Errorf("%d kills after the first retry: 4 again and 4 new", got)
		}
		for range 5 {
			if b = r.wait(30 * time.Second); len(kills(b)) < 4 {
				t.Errorf("%d kills", len(kills(b)))
			}
		}
	})
	t.Run("nothing is killed without a connection, all of it after the next (D-25)", func(t *testing.T) {
		r, ids := fill(t, map[string]int{"a": 3})
		r.do(Mesos{offers.Disconnected{Reason: "gone"}})
		_, b, _ := r.request(KillInstances{IDs: ids})
		b.add(r.wait(2 * time.Minute))
		if len(kills(b)) > 0 {
			t.Errorf("kills %v", kills(b))
		}
		if got := kills(r.subscribe()); len(got) != 3 {
			t.Errorf("kills %v", got)
		}
	})
	t.Run("kills of a stream that was lost go out again with the next one, not with their retry (D-25)", func(t *testing.T) {
		r, ids := fill(t, map[string]int{"a": 3})
		r.request(KillInstances{IDs: ids})
		r.do(Mesos{offers.Disconnected{Reason: "gone"}})
		if got := kills(r.subscribe()); len(got) != 3 {
			t.Errorf("kills %v", got)
		}
	})
	t.Run("offers that were not looked at yet end with their stream (I8, D-25)", func(t *testing.T) {
		r := newRig(t)
		r.put(`{"id":"/web"}`)
		b := &Batch{}
		r.m.Step(r.now, Mesos{offers.Received{Offers: []offers.Offer{r.offerOf("a")}}}, b)
		r.m.Step(r.now, Mesos{offers.Disconnected{Reason: "gone"}}, b)
		r.m.Settle(r.now, b)
		if got := launches(b); len(got) > 0 {
			t.Errorf("launched %v", got)
		}
	})
	t.Run("terminal goals are killed again after a failover (7.11.1, 9.5)", func(t *testing.T) {
		r, ids := fill(t, map[string]int{"a": 3})
		r.change(core.Change{Remove: []core.PathID{"/web"}})
		if got := kills(r.crash()); len(got) != len(ids) {
			t.Errorf("kills %v", got)
		}
	})
}

// TestOverdue is behaviour 7.10, at its bounds.
func TestOverdue(t *testing.T) {
	for _, c := range []struct {
		name, state string
	}{{"Provisioned", ""}, {"Staging", "TASK_STAGING"}, {"Starting", "TASK_STARTING"}} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.put(`{"id":"/web"}`)
			r.offer("a")
			id := r.ids("/web")[0]
			r.wait(100 * time.Second)
			if c.state != "" {
				r.status(id, c.state) // the clock is that of the launch
			}
			if b := r.wait(199 * time.Second); len(kills(b)) > 0 {
				t.Fatal("too early")
			}
			b := r.wait(6 * time.Second)
			if got := kills(b); !slices.Equal(got, []core.TaskID{id.Task("_app", 1)}) || r.get(id).Goal != core.GoalRunning {
				t.Errorf("kills %v", got)
			}
			r.status(id, "TASK_KILLED")
			if got := launches(r.offer("a")); len(got) != 1 {
				t.Errorf("relaunched %v", got)
			}
		})
	}
	r := newRig(t)
	r.running(`{"id":"/web"}`)
	if b := r.wait(time.Hour); len(kills(b)) > 0 {
		t.Error("a running one is overdue")
	}
}

// TestReconciliation is behaviour 7.12 with D-23 and D-42.
func TestReconciliation(t *testing.T) {
	asked := func(b *Batch) (explicit, implicit int) {
		for _, c := range calls[offers.Reconcile](b) {
			if len(c.Tasks) == 0 {
				implicit++
			}
			explicit += len(c.Tasks)
		}
		return explicit, implicit
	}
	t.Run("explicit for every live task, then implicit; again for the unanswered, ever more slowly (D-23)", func(t *testing.T) {
		r := newRig(t)
		ids := r.running(`{"id":"/web","instances":3}`)
		r.status(ids[2], "TASK_FAILED")
		b := r.crash()
		if e, i := asked(b); e != 2 || i != 1 {
			t.Fatalf("%d explicit, %d implicit", e, i)
		}
		r.status(ids[0], "TASK_RUNNING", reason("RECONCILIATION"))
		at := r.now
		var when []int
		for range 400 {
			b = r.wait(time.Second)
			if e, _ := asked(b); e == 1 {
				when = append(when, int(r.now.Sub(at)/time.Second))
			} else if e > 0 {
				t.Fatalf("%d asked for", e)
			}
		}
		if want := []int{5, 15, 35, 75, 155, 315}; !slices.Equal(when, want) {
			t.Errorf("after %v s, want %v", when, want)
		}
		r.status(ids[1], "TASK_RUNNING", reason("RECONCILIATION"))
		if e, i := asked(r.wait(199 * time.Second)); e > 0 || i > 0 {
			t.Errorf("asked although all is known")
		}
		if e, i := asked(r.wait(2 * time.Second)); e != 2 || i != 1 { // the interval
			t.Errorf("%d explicit, %d implicit", e, i)
		}
	})
	t.Run("in chunks (D-23)", func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Offers.MaxInstancesPerOffer = 5000; c.MaxRows = 1 << 30 })
		r.running(`{"id":"/web","cpus":0.01,"mem":1,"instances":2300,"portDefinitions":[]}`)
		for _, c := range calls[offers.Reconcile](r.crash()) {
			if len(c.Tasks) > 1000 {
				t.Errorf("%d tasks in a call", len(c.Tasks))
			}
		}
	})
	t.Run("an instance of no spec is killed only after the master was heard (D-42)", func(t *testing.T) {
		r := newRig(t)
		id := r.running(`{"id":"/web"}`)[0]
		r.m.st.RemoveSpec("/web")
		b := r.crash()
		b.add(r.wait(time.Minute))
		if len(kills(b)) > 0 || r.get(id).Goal != core.GoalRunning {
			t.Fatal("killed without a word of the master")
		}
		b = r.status(id, "TASK_RUNNING", reason("RECONCILIATION"))
		if len(kills(b)) != 1 || r.get(id).KillReason != "Orphaned" {
			t.Errorf("kills %v, reason %q", kills(b), r.get(id).KillReason)
		}
	})
	t.Run("an intent that never reached an agent is launched again without delay (F1)", func(t *testing.T) {
		r := newRig(t)
		r.put(`{"id":"/web"}`)
		r.offer("a")
		id := r.ids("/web")[0]
		r.crash()
		r.status(id, "TASK_GONE", reason("RECONCILIATION"), message("Reconciliation: Task is unknown to the agent"))
		if _, delayed := r.delay("/web"); delayed || !r.get(id).Scheduled() {
			t.Errorf("%+v", r.get(id))
		}
		if _, failed := r.m.st.Failure("/web"); failed {
			t.Error("a failure is told of")
		}
	})
}

// What a full batch has no room for is done in the next, not when a timer happens to look (I11).
func TestFullBatchesForgetNothing(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxRows = 3 })
	var all []core.PathID
	for n := range 6 {
		id := core.PathID(fmt.Sprintf("/web%d", n))
		all = append(all, id)
		r.running(fmt.Sprintf(`{"id":"%s","instances":2}`, id))
	}
	r.change(core.Change{Remove: all})
	for _, id := range all {
		for _, i := range r.ids(id) {
			if got := r.get(i); got.Goal != core.GoalDecommissioned {
				t.Errorf("%s is still wanted", i)
			}
		}
	}
}

// One Settle schedules only so many instances, of one spec or of many: a million of them must not keep the loop busy for
// longer than a lease (P24).
func TestSettleSchedulesInChunks(t *testing.T) {
	for name, specs := range map[string]int{"one spec": 1, "many specs": 16} {
		r := newRig(t, func(c *Config) { c.MaxRows = 1 << 30 })
		const all = 32000
		var put []core.RunSpec
		for n := range specs {
			put = append(put, testApp(t, fmt.Sprintf(`{"id":"/web%d","instances":%d,"portDefinitions":[]}`, n, all/specs)))
		}
		b := &Batch{}
		r.m.Step(r.now, Request{ID: 1, Command: UpdateTree{Base: r.m.st.RootStamp(), Change: core.Change{Put: put}}}, b)
		before, largest := 0, 0
		for again := true; again; again = r.m.Pending() {
			r.m.Settle(r.now, b)
			n := r.m.st.InstanceTotal()
			largest, before = max(largest, n-before), n
		}
		if before != all || largest >= 2*createChunk {
			t.Errorf("%s: %d instances in all, %d in one go; want %d and less than %d", name, before, largest, all, 2*createChunk)
		}
	}
}
