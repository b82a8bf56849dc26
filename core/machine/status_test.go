package machine

import (
	"slices"
	"testing"
	"time"

	"stadion/core"
	"stadion/offers"
)

// TestConditionOfState is table 7.3 (behaviour 7.3): Mesos state, reason and message to condition.
func TestConditionOfState(t *testing.T) {
	for _, c := range []struct {
		state, reason, message string
		want                   core.Condition
	}{
		{state: "TASK_STAGING", want: core.Staging},
		{state: "TASK_STARTING", want: core.Starting},
		{state: "TASK_RUNNING", want: core.Running},
		{state: "TASK_KILLING", want: core.Killing},
		{state: "TASK_FINISHED", want: core.Finished},
		{state: "TASK_FAILED", want: core.Failed},
		{state: "TASK_KILLED", want: core.Killed},
		{state: "TASK_ERROR", want: core.ErrorCondition},
		{state: "TASK_DROPPED", want: core.Dropped},
		{state: "TASK_GONE", want: core.Gone},
		{state: "TASK_GONE_BY_OPERATOR", want: core.Gone},
		{state: "TASK_UNKNOWN", want: core.Unknown},
		{state: "TASK_UNREACHABLE", want: core.Unreachable},
		{state: "TASK_LOST", reason: "RECONCILIATION", message: "Reconciliation: Task is unknown to the agent", want: core.Unknown},
		{state: "TASK_LOST", message: "Reconciliation: Task is unknown to the master", want: core.Unknown},
		{state: "TASK_LOST", reason: "TASK_UNKNOWN", want: core.Unknown},
		{state: "TASK_LOST", reason: "RECONCILIATION", want: core.Unreachable},
		{state: "TASK_LOST", reason: "AGENT_DISCONNECTED", want: core.Unreachable},
		{state: "TASK_LOST", reason: "AGENT_REMOVED", want: core.Unreachable},
		{state: "TASK_LOST", reason: "CONTAINER_LAUNCH_FAILED", want: core.Gone},
		{state: "TASK_LOST", want: core.Gone},
	} {
		if got := conditionOf(offers.StatusUpdate{State: c.state, Reason: c.reason, Message: c.message}); got != c.want {
			t.Errorf("%s %s %q: %s, want %s", c.state, c.reason, c.message, got, c.want)
		}
	}
}

// TestKnownTask is table 7.4 (behaviour 7.4): when an update of a known task changes anything. Every one is acknowledged.
func TestKnownTask(t *testing.T) {
	ip := func(a string) func(*offers.StatusUpdate) {
		return func(u *offers.StatusUpdate) { u.IPs = []core.IPAddress{{Address: a, Protocol: "IPv4"}} }
	}
	exit := func(n int) func(*offers.StatusUpdate) {
		return func(u *offers.StatusUpdate) { u.Check = &core.CheckResult{ExitCode: &n} }
	}
	for _, c := range []struct {
		rule    string
		before  []func(*offers.StatusUpdate) // of the TASK_RUNNING before
		state   string
		more    []func(*offers.StatusUpdate)
		changes bool
	}{
		{rule: "3 terminal", state: "TASK_FAILED", changes: true},
		{rule: "4 health appears", state: "TASK_RUNNING", more: []func(*offers.StatusUpdate){health(core.Healthy)}, changes: true},
		{rule: "4 health changes", before: []func(*offers.StatusUpdate){health(core.Healthy)}, state: "TASK_RUNNING", more: []func(*offers.StatusUpdate){health(core.Unhealthy)}, changes: true},
		{rule: "4 check appears", state: "TASK_RUNNING", more: []func(*offers.StatusUpdate){exit(1)}, changes: true},
		{rule: "4 check changes", before: []func(*offers.StatusUpdate){exit(1)}, state: "TASK_RUNNING", more: []func(*offers.StatusUpdate){exit(0)}, changes: true},
		{rule: "4 state changes", state: "TASK_KILLING", changes: true},
		{rule: "4 addresses change", before: []func(*offers.StatusUpdate){ip("10.0.0.1")}, state: "TASK_RUNNING", more: []func(*offers.StatusUpdate){ip("10.0.0.2")}, changes: true},
		{rule: "5 nothing new", state: "TASK_RUNNING"},
		{rule: "5 nothing new, flag not repeated", before: []func(*offers.StatusUpdate){health(core.Healthy), exit(0), ip("10.0.0.1")}, state: "TASK_RUNNING"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			r := newRig(t)
			r.put(`{"id":"/web"}`)
			r.offer("a")
			id := r.ids("/web")[0]
			r.status(id, "TASK_RUNNING", c.before...)
			started := r.get(id).Tasks[0].StartedAt
			if started != r.now {
				t.Fatalf("rule 2: startedAt is %v", started)
			}
			r.now += 1000
			b := r.status(id, c.state, c.more...)
			if acks(b) != 1 {
				t.Errorf("%d acknowledgements", acks(b))
			}
			if got := len(b.Writes) > 0; got != c.changes {
				t.Errorf("stored: %v, want %v", got, c.changes)
			}
			if got := tells(b, "status_update_event"); got != c.changes {
				t.Errorf("event: %v, want %v", got, c.changes)
			}
			task := r.get(id).Tasks[0]
			if task.StartedAt != started {
				t.Error("startedAt moved")
			}
			if len(c.before) == 3 && (task.Status.Healthy != core.Healthy || task.Status.Check == nil || len(task.IPs) != 1) {
				t.Errorf("what was not repeated is forgotten: %+v", task)
			}
		})
	}
	t.Run("1 stored task is terminal", func(t *testing.T) { // D.11: Failed stored, late TASK_RUNNING for that task id
		r := newRig(t)
		id := r.running(`{"id":"/web"}`)[0]
		r.status(id, "TASK_FAILED")
		b := r.status(id, "TASK_RUNNING")
		if acks(b) != 1 || len(b.Writes) > 0 || len(kills(b)) > 0 || r.get(id).Condition != core.Failed {
			t.Errorf("not ignored: %+v", b)
		}
	})
}

// TestInstanceCondition is the order of behaviour 7.1: the first condition that any task has wins, and the health rule.
func TestInstanceCondition(t *testing.T) {
	order := []core.Condition{core.ErrorCondition, core.Failed, core.Gone, core.Dropped, core.Unreachable, core.Killing, core.Starting,
		core.Staging, core.Unknown, core.Provisioned, core.Running, core.Finished, core.Killed}
	for n, first := range order {
		for _, later := range order[n:] {
			tasks := []core.Task{{Condition: later}, {Condition: first}}
			if got := aggregate(tasks); got != first {
				t.Errorf("%s with %s is %s", later, first, got)
			}
		}
	}
	if aggregate(nil) != core.Unknown {
		t.Error("no tasks: want Unknown")
	}
	task := func(c core.Condition, h core.Health) core.Task {
		return core.Task{Condition: c, Status: &core.TaskStatus{Healthy: h}}
	}
	for _, c := range []struct {
		name  string
		tasks []core.Task
		want  core.Health
	}{
		{"one unhealthy", []core.Task{task(core.Running, core.Healthy), task(core.Running, core.Unhealthy)}, core.Unhealthy},
		{"one not running", []core.Task{task(core.Running, core.Healthy), task(core.Staging, core.HealthUnknown)}, core.HealthUnknown},
		{"a finished one does not matter", []core.Task{task(core.Running, core.Healthy), task(core.Finished, core.HealthUnknown)}, core.Healthy},
		{"none reported", []core.Task{task(core.Running, core.HealthUnknown)}, core.HealthUnknown},
	} {
		if got := aggregateHealth(c.tasks); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestDecisionTable is table 7.6 with 7.5 and 4.3 (behaviour 7.5, 7.6, 4.3, 1.7): one running ephemeral instance with
// goal Running, one update.
func TestDecisionTable(t *testing.T) {
	for _, c := range []struct {
		name, state string
		more        []func(*offers.StatusUpdate)
		want        core.Condition
		relaunch    bool
		backoff     bool
		failure     string
	}{
		{name: "Killing", state: "TASK_KILLING", want: core.Killing},
		{name: "Finished", state: "TASK_FINISHED", want: core.Finished, relaunch: true, backoff: true},
		{name: "Failed", state: "TASK_FAILED", want: core.Failed, relaunch: true, backoff: true, failure: "TASK_FAILED"},
		{name: "Error D-63", state: "TASK_ERROR", want: core.ErrorCondition, relaunch: true, backoff: true, failure: "TASK_ERROR"},
		{name: "Dropped", state: "TASK_DROPPED", want: core.Dropped, relaunch: true, backoff: true, failure: "TASK_DROPPED"},
		{name: "Gone", state: "TASK_GONE", want: core.Gone, relaunch: true, backoff: true, failure: "TASK_GONE"},
		{name: "Gone by operator", state: "TASK_GONE_BY_OPERATOR", want: core.Gone, relaunch: true, backoff: true, failure: "TASK_GONE_BY_OPERATOR"},
		{name: "Lost", state: "TASK_LOST", want: core.Gone, relaunch: true, backoff: true, failure: "TASK_LOST"},
		{name: "Killed", state: "TASK_KILLED", want: core.Killed, relaunch: true},
		{name: "Unknown", state: "TASK_UNKNOWN", want: core.Unknown, relaunch: true, failure: "TASK_UNKNOWN"},
		{name: "Lost, unknown to the agent D.11", state: "TASK_LOST", more: []func(*offers.StatusUpdate){reason("RECONCILIATION"), message("Reconciliation: Task is unknown to the agent")},
			want: core.Unknown, relaunch: true, failure: "TASK_LOST"},
		{name: "Lost, out of sight D.11", state: "TASK_LOST", more: []func(*offers.StatusUpdate){reason("RECONCILIATION")}, want: core.Unreachable},
		{name: "Unreachable before inactiveAfter", state: "TASK_UNREACHABLE", want: core.Unreachable},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			id := r.running(`{"id":"/web","unreachableStrategy":{"inactiveAfterSeconds":300,"expungeAfterSeconds":600}}`)[0]
			r.now += 1000
			b := r.status(id, c.state, append(c.more, message(boom(c.more)))...)
			i := r.get(id)
			if i.Condition != c.want || i.Since != r.now {
				t.Errorf("condition %s since %v", i.Condition, i.Since)
			}
			if got := i.Scheduled(); got != c.relaunch {
				t.Errorf("waits for a relaunch: %v", got)
			}
			if n := len(r.ids("/web")); n != 1 {
				t.Errorf("%d instances", n)
			}
			s, _ := r.m.st.Spec("/web")
			if _, ok := r.m.st.Delay(core.RefOf(s)); ok != c.backoff {
				t.Errorf("backoff: %v, want %v", ok, c.backoff)
			}
			f, ok := r.m.st.Failure("/web")
			if ok != (c.failure != "") || ok && (f.State != c.failure || f.TaskID != i.Tasks[0].ID || f.Timestamp != r.now || f.Host != "a") {
				t.Errorf("failure %+v", f)
			}
			if want := []string{"status_update_event", "instance_changed_event"}; !slices.Equal(told(b), want) { // 7.7.4
				t.Errorf("events %v", told(b))
			}
			if !c.relaunch {
				return
			}
			r.wait(2 * time.Second)
			if got, want := launches(r.offer("a")), []core.TaskID{id.Task(core.AppContainer, 2)}; !slices.Equal(got, want) {
				t.Errorf("relaunched %v, want %v", got, want)
			}
		})
	}
}

// boom is a message for updates that have none of their own.
func boom(more []func(*offers.StatusUpdate)) string {
	var u offers.StatusUpdate
	for _, f := range more {
		f(&u)
	}
	if u.Message != "" {
		return u.Message
	}
	return "boom"
}

// TestUnreachableRows are the rows of behaviour 7.6 about instances out of sight, and D.11.
func TestUnreachableRows(t *testing.T) {
	const patient = `{"id":"/web","unreachableStrategy":{"inactiveAfterSeconds":300,"expungeAfterSeconds":600}}`
	t.Run("{0,0}: expunged as UnreachableInactive, another one instead", func(t *testing.T) {
		r := newRig(t)
		id := r.running(`{"id":"/web"}`)[0]
		b := r.status(id, "TASK_UNREACHABLE")
		var seen []string
		for _, n := range b.Notices {
			if x, ok := n.Body.(*core.InstanceChanged); ok && x.InstanceID == id {
				seen = append(seen, x.Condition)
			}
		}
		if !slices.Equal(seen, []string{"Unreachable", "UnreachableInactive"}) || !r.gone(id) || r.m.st.Counts("/web").Waiting != 1 {
			t.Errorf("%v, %+v", seen, r.m.st.Counts("/web"))
		}
		s, _ := r.m.st.Spec("/web")
		if _, delayed := r.m.st.Delay(core.RefOf(s)); delayed {
			t.Error("a lost agent delays the launch")
		}
	})
	t.Run("Unreachable 10 s ago: counted; after 301 s inactive and replaced (D-18); after 600 s forgotten", func(t *testing.T) {
		r := newRig(t)
		id := r.running(patient)[0]
		since := r.now - 10_000
		r.status(id, "TASK_UNREACHABLE", func(u *offers.StatusUpdate) { u.UnreachableSince = since })
		if r.get(id).Condition != core.Unreachable || len(r.ids("/web")) != 1 {
			t.Fatal("replaced too early")
		}
		r.wait(289 * time.Second)
		if r.get(id).Condition != core.Unreachable {
			t.Fatal("inactive too early")
		}
		r.wait(2 * time.Second)
		if r.get(id).Condition != core.UnreachableInactive || len(r.ids("/web")) != 2 {
			t.Fatalf("%s, %d instances", r.get(id).Condition, len(r.ids("/web")))
		}
		r.wait(298 * time.Second)
		if r.gone(id) {
			t.Fatal("forgotten too early")
		}
		r.wait(3 * time.Second)
		if !r.gone(id) || len(r.ids("/web")) != 1 {
			t.Error("not forgotten")
		}
	})
	t.Run("timers start from unreachable_time at term start (D-18)", func(t *testing.T) {
		r := newRig(t)
		id := r.running(patient)[0]
		r.status(id, "TASK_UNREACHABLE")
		r.now += 301_000
		r.crash()
		if r.get(id).Condition != core.UnreachableInactive {
			t.Errorf("%s", r.get(id).Condition)
		}
	})
	t.Run("a repeated TASK_UNREACHABLE does not start the clock anew (7.4.5)", func(t *testing.T) {
		r := newRig(t)
		id := r.running(patient)[0]
		r.status(id, "TASK_UNREACHABLE")
		r.wait(200 * time.Second)
		r.status(id, "TASK_UNREACHABLE")
		r.wait(101 * time.Second)
		if r.get(id).Condition != core.UnreachableInactive {
			t.Errorf("%s", r.get(id).Condition)
		}
	})
	t.Run("back before it was forgotten: surplus removed, the waiting one first (F17, D-09, D-61)", func(t *testing.T) {
		r := newRig(t)
		id := r.running(patient)[0]
		r.status(id, "TASK_UNREACHABLE")
		r.wait(301 * time.Second)
		b := r.status(id, "TASK_RUNNING")
		if ids := r.ids("/web"); !slices.Equal(ids, []core.InstanceID{id}) || r.get(id).Condition != core.Running || len(kills(b)) > 0 {
			t.Errorf("%v %s", ids, r.get(id).Condition)
		}
	})
	t.Run("back after the replacement runs: the youngest is killed (F17)", func(t *testing.T) {
		r := newRig(t)
		id := r.running(patient)[0]
		r.status(id, "TASK_UNREACHABLE")
		r.wait(301 * time.Second)
		r.up("/web", "b")
		b := r.status(id, "TASK_RUNNING")
		if k := kills(b); len(k) != 1 || k[0] == r.get(id).Tasks[0].ID {
			t.Errorf("kills %v", k)
		}
	})
	t.Run("back after it was forgotten and replaced: killed (7.8)", func(t *testing.T) {
		r := newRig(t)
		id := r.running(`{"id":"/web"}`)[0]
		task := r.get(id).Tasks[0].ID
		r.status(id, "TASK_UNREACHABLE")
		r.up("/web", "b")
		b := r.do(Mesos{offers.StatusUpdate{TaskID: task, AgentID: "S-a", State: "TASK_RUNNING", UUID: []byte{1}}})
		if k := kills(b); !slices.Equal(k, []core.TaskID{task}) || acks(b) != 1 {
			t.Errorf("kills %v", k)
		}
	})
	t.Run("back after it was forgotten, its replacement not launched: taken up again (D-61)", func(t *testing.T) {
		r := newRig(t)
		id := r.running(`{"id":"/web"}`)[0]
		task := r.get(id).Tasks[0].ID
		r.status(id, "TASK_UNREACHABLE")
		b := r.do(Mesos{offers.StatusUpdate{TaskID: task, AgentID: "S-a", State: "TASK_RUNNING", UUID: []byte{1}}})
		if ids := r.ids("/web"); len(kills(b)) > 0 || !slices.Equal(ids, []core.InstanceID{id}) || r.get(id).Condition != core.Running {
			t.Errorf("kills %v, instances %v", kills(b), ids)
		}
		r.crash()
		if r.get(id).Condition != core.Running {
			t.Error("not stored")
		}
	})
	t.Run("more than the period allows stay as they are (D-61, F16)", func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.ReplacedPerPeriod = 2 })
		ids := r.running(`{"id":"/web","instances":5}`)
		for _, id := range ids {
			r.status(id, "TASK_UNREACHABLE")
		}
		c := r.m.st.Counts("/web")
		if c.Waiting != 2 || c.Instances != 5 {
			t.Fatalf("%+v", c)
		}
		r.status(ids[4], "TASK_RUNNING")
		r.wait(31 * time.Second)
		if c = r.m.st.Counts("/web"); c.Waiting != 4 || r.get(ids[4]).Condition != core.Running {
			t.Errorf("%+v", c)
		}
	})
	t.Run("resident: stays for ever (D-48)", func(t *testing.T) {
		r := newRig(t)
		id := r.resident(`{"id":"/db",` + volume + `}`)
		r.status(id, "TASK_UNREACHABLE")
		r.wait(2 * time.Hour)
		if r.get(id).Condition != core.Unreachable || len(r.ids("/db")) != 1 {
			t.Errorf("%s", r.get(id).Condition)
		}
	})
}

// TestGoals are the last lines of behaviour 7.6: what an end means under the other goals (D.11).
func TestGoals(t *testing.T) {
	t.Run("Decommissioned, ephemeral: expunged", func(t *testing.T) {
		r := newRig(t)
		id := r.running(`{"id":"/web"}`)[0]
		r.change(core.Change{Remove: []core.PathID{"/web"}})
		if r.get(id).Goal != core.GoalDecommissioned {
			t.Fatal(r.get(id).Goal)
		}
		r.status(id, "TASK_KILLED")
		if !r.gone(id) {
			t.Error("kept")
		}
	})
	t.Run("Stopped, resident: record kept, reservation suspended, not relaunched", func(t *testing.T) {
		r := newRig(t)
		id := r.resident(`{"id":"/db",` + volume + `}`)
		r.force(`{"id":"/db","instances":0,` + volume + `}`)
		if r.get(id).Goal != core.GoalStopped {
			t.Fatal(r.get(id).Goal)
		}
		r.status(id, "TASK_KILLED")
		if i := r.get(id); i.Reservation == nil || i.Reservation.New || i.Scheduled() {
			t.Errorf("%+v", i)
		}
	})
	t.Run("Decommissioned is never changed back (7.5, E.1.5)", func(t *testing.T) {
		r := newRig(t)
		id := r.running(`{"id":"/web"}`)[0]
		i := r.get(id)
		r.m.b = &Batch{}
		r.m.setGoal(i, core.GoalDecommissioned, "x")
		r.m.setGoal(r.get(id), core.GoalRunning, "y")
		r.m.setGoal(r.get(id), core.GoalStopped, "y")
		if r.get(id).Goal != core.GoalDecommissioned {
			t.Error(r.get(id).Goal)
		}
	})
	t.Run("goal not Running, back from Unreachable: killed (7.11.1)", func(t *testing.T) {
		r := newRig(t)
		id := r.running(`{"id":"/web","unreachableStrategy":{"inactiveAfterSeconds":300,"expungeAfterSeconds":600}}`)[0]
		r.status(id, "TASK_UNREACHABLE")
		b := r.do(Request{ID: 99, Command: UpdateTree{Base: r.m.st.RootStamp(), Change: core.Change{Remove: []core.PathID{"/web"}}}})
		if len(kills(b)) > 0 || !tells(b, "app_terminated_event") { // deployments do not wait for it
			t.Errorf("%v %v", kills(b), told(b))
		}
		if k := kills(r.status(id, "TASK_RUNNING")); len(k) != 1 {
			t.Errorf("kills %v", k)
		}
	})
}

// TestUnknownTasks is table 7.8 (behaviour 7.8) and D-17.
func TestUnknownTasks(t *testing.T) {
	known := func(r *rig) core.InstanceID {
		id := r.running(`{"id":"/web"}`)[0]
		r.status(id, "TASK_KILLED")
		r.up("/web", "a")
		return id
	}
	for _, c := range []struct {
		name, state string
		older       bool // an older incarnation of a known instance
		kill        bool
		event       bool
	}{
		{"older incarnation runs", "TASK_RUNNING", true, true, false},
		{"older incarnation stages", "TASK_STAGING", true, true, false},
		{"older incarnation starts", "TASK_STARTING", true, true, false},
		{"older incarnation ended", "TASK_FAILED", true, false, false},
		{"older incarnation ends", "TASK_KILLING", true, false, false},
		{"older incarnation unreachable", "TASK_UNREACHABLE", true, false, false},
		{"unknown instance ended", "TASK_FINISHED", false, false, true},
		{"unknown instance unreachable", "TASK_UNREACHABLE", false, false, true},
		{"unknown instance runs", "TASK_RUNNING", false, true, false},
		{"unknown instance stages", "TASK_STAGING", false, true, false},
		{"unknown instance starts", "TASK_STARTING", false, true, false},
		{"unknown instance ends", "TASK_KILLING", false, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			task := core.TaskID("web.instance-00000000-0000-4000-8000-000000000000._app.1")
			if c.older {
				task = known(r).Task(core.AppContainer, 1)
			}
			b := r.do(Mesos{offers.StatusUpdate{TaskID: task, AgentID: "S-a", State: c.state, UUID: []byte{1}}})
			if got := slices.Equal(kills(b), []core.TaskID{task}); got != c.kill || !c.kill && len(kills(b)) > 0 {
				t.Errorf("kills %v", kills(b))
			}
			if tells(b, "unknown_instance_terminated_event") != c.event {
				t.Errorf("events %v", told(b))
			}
			if acks(b) != 1 || len(b.Writes) > 0 {
				t.Errorf("%d acknowledgements, %d writes", acks(b), len(b.Writes))
			}
		})
	}
	t.Run("senseless id: acknowledged, logged once, never killed (D-17)", func(t *testing.T) {
		r := newRig(t)
		u := Mesos{offers.StatusUpdate{TaskID: "???", AgentID: "S-a", State: "TASK_RUNNING", UUID: []byte{1}}}
		first, second := r.do(u), r.do(u)
		if acks(first) != 1 || acks(second) != 1 || len(first.Logs) != 1 || len(second.Logs) != 0 || len(kills(first)) > 0 {
			t.Errorf("%+v %+v", first, second)
		}
	})
	t.Run("repeated and out of order updates change nothing more (F20)", func(t *testing.T) {
		r := newRig(t)
		id := r.running(`{"id":"/web"}`)[0]
		r.status(id, "TASK_FAILED")
		s, _ := r.m.st.Spec("/web")
		d, _ := r.m.st.Delay(core.RefOf(s))
		for range 10 {
			for _, state := range []string{"TASK_FAILED", "TASK_STARTING", "TASK_RUNNING", "TASK_KILLED"} {
				if b := r.status(id, state); acks(b) != 1 || len(b.Writes)+len(kills(b))+len(b.Notices) > 0 {
					t.Fatalf("%s: %+v", state, b)
				}
			}
		}
		if now, _ := r.m.st.Delay(core.RefOf(s)); now != d {
			t.Error("the delay grew")
		}
	})
	t.Run("an update without uuid is not acknowledged (9.4)", func(t *testing.T) {
		r := newRig(t)
		id := r.running(`{"id":"/web"}`)[0]
		if b := r.status(id, "TASK_KILLED", func(u *offers.StatusUpdate) { u.UUID = nil }); acks(b) != 0 {
			t.Error("acknowledged")
		}
	})
	t.Run("a row that cannot be read spares its task (F14, R6)", func(t *testing.T) {
		id := core.InstanceID("web.instance-00000000-0000-4000-8000-000000000000")
		r := newRig(t, func(c *Config) { c.Spared = map[core.InstanceID]bool{id: true} })
		if b := r.do(Mesos{offers.StatusUpdate{TaskID: id.Task("_app", 1), State: "TASK_RUNNING"}}); len(kills(b)) > 0 || len(b.Logs) != 1 {
			t.Errorf("%+v", b)
		}
	})
}

// TestAddressesOfTheEnd: the docker executor does not repeat the addresses of its container when it ends, and the agent
// fills in its own, so these are not taken; proxies find the task by those that it had (behaviour 7.4, 3).
func TestAddressesOfTheEnd(t *testing.T) {
	ip := func(a string) func(*offers.StatusUpdate) {
		return func(u *offers.StatusUpdate) { u.IPs = []core.IPAddress{{Address: a, Protocol: "IPv4"}} }
	}
	r := newRig(t)
	r.put(`{"id":"/web"}`)
	r.offer("a")
	id := r.ids("/web")[0]
	r.status(id, "TASK_STARTING", ip("10.0.0.1")) // the agent's, too
	r.status(id, "TASK_RUNNING", ip("172.17.0.2"))
	for _, state := range []string{"TASK_KILLING", "TASK_KILLED"} {
		b := r.status(id, state, ip("10.0.0.1"))
		if got := r.get(id).Tasks[0].IPs; len(got) != 1 || got[0].Address != "172.17.0.2" {
			t.Errorf("%s: %v", state, got)
		}
		for _, n := range b.Notices {
			if u, ok := n.Body.(*core.StatusUpdated); ok && u.IPAddresses[0].Address != "172.17.0.2" {
				t.Errorf("%s told with %v", state, u.IPAddresses)
			}
		}
	}
}

// TestLostTaskShowsUp: what the master did not know is not dead: its agent may come back with the task. The instance has
// been put down as ended, so the task is killed; ignored it would hold resources and volumes that its successor waits
// for (behaviour 7.8, I3).
func TestLostTaskShowsUp(t *testing.T) {
	for _, state := range []string{"TASK_UNKNOWN", "TASK_GONE", "TASK_DROPPED"} {
		for _, alive := range []string{"TASK_STARTING", "TASK_RUNNING"} {
			r := newRig(t)
			id := r.running(`{"id":"/web"}`)[0]
			task := r.get(id).Tasks[0].ID
			r.wait(15 * time.Second) // before that, what is unknown is doubted
			r.status(id, state, reason("RECONCILIATION"))
			if b := r.status(id, alive, reason("AGENT_REREGISTERED")); !slices.Equal(kills(b), []core.TaskID{task}) || acks(b) != 1 || !r.get(id).Scheduled() {
				t.Errorf("%s, then %s: kills %v", state, alive, kills(b))
			}
			if b := r.status(id, "TASK_KILLED"); len(kills(b)) > 0 || len(b.Writes) > 0 {
				t.Errorf("%s: its end is not ignored", state)
			}
		}
	}
}
