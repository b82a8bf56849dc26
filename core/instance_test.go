package core

import "testing"

// TestTaskIDForms is the table of behaviour.md 6.1, newest form first.
func TestTaskIDForms(t *testing.T) {
	const u = "3f0c5a1e-9d1b-11ec-8d5d-0242ac110002"
	for id, want := range map[TaskID]TaskName{
		"prod_shop.instance-" + u + "._app.1": {"prod_shop.instance-" + u, "/prod/shop", "_app", 1},
		"prod_pod.instance-" + u + ".nginx.4": {"prod_pod.instance-" + u, "/prod/pod", "nginx", 4},
		"a.b_c.instance-" + u + "._app.12":    {"a.b_c.instance-" + u, "/a.b/c", "_app", 12},
		"prod_shop.marathon-" + u + "._app.2": {"prod_shop.marathon-" + u, "/prod/shop", "_app", 2},
		"prod_shop.instance-" + u + "._app":   {"prod_shop.instance-" + u, "/prod/shop", "_app", 0},
		"prod_shop." + u + ".3":               {"prod_shop." + u, "/prod/shop", "_app", 3},
		"prod_shop." + u:                      {"prod_shop." + u, "/prod/shop", "_app", 0},
		"prod_shop_" + u:                      {"prod_shop_" + u, "/prod/shop", "_app", 0},
	} {
		got, err := ParseTaskID(id)
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v", id, got, err)
		}
	}
	for _, id := range []TaskID{"", "x", "no-form"} {
		if got, err := ParseTaskID(id); err == nil {
			t.Errorf("%q: got %+v, wanted an error (D-17)", id, got)
		}
	}
}

// TestParsersAgree: the fast way and the expressions give the same answer wherever the fast way gives one.
func TestParsersAgree(t *testing.T) {
	for _, s := range []string{"a.instance-x._app.1", "a.instance-b.instance-c._app.1", "a.instance-x.y.z.1", "a.instance-x_y.1", "a.instance-.c.1", ".instance-x.c.1",
		"a.instance-x.c.+1", "a.instance-x.c.-1", "a.instance-x.c."} {
		fast, ok := parseCurrent(s)
		if !ok {
			continue
		}
		m := taskNumbered.FindStringSubmatch(s)
		if m == nil || InstanceID(m[1]) != fast.Instance || FromSafePath(m[2]) != fast.Spec || m[3] != fast.Container {
			t.Errorf("%s: fast %+v, expression %q", s, fast, m)
		}
	}
}

// TestGoalsAndConditions: nothing leaves Decommissioned (E.1 5); a terminal condition is only left by a relaunch (I10).
func TestGoalsAndConditions(t *testing.T) {
	if GoalDecommissioned.MayBecome(GoalRunning) || !GoalStopped.MayBecome(GoalRunning) || !GoalRunning.MayBecome(GoalDecommissioned) {
		t.Error("goal moves differ from E.1 5")
	}
	if Failed.MayBecome(Running) || !Failed.MayBecome(Provisioned) || !Unreachable.MayBecome(Running) || Scheduled.MayBecome(Running) {
		t.Error("condition moves differ from the table")
	}
	for c := Scheduled; c < conditionCount; c++ {
		if back, ok := ParseCondition(c.String()); !ok || back != c {
			t.Errorf("%s does not survive its text form", c)
		}
	}
}

// TestInstanceOfTask: the quick way to the instance of a task id says what the parser says, or nothing.
func TestInstanceOfTask(t *testing.T) {
	for id, want := range map[TaskID]InstanceID{
		"a_b.instance-1-2._app.3": "a_b.instance-1-2", "a.b.instance-1.c.4": "a.b.instance-1", "a.instance-b.instance-1.c.4": "a.instance-b.instance-1",
		"a.instance-1": "", "a.marathon-1._app": "", ".instance-1.c.1": "", "": "", "a.1": ""} {
		got, ok := id.Instance()
		if got != want || ok != (want != "") {
			t.Errorf("%s: %q %v, want %q", id, got, ok, want)
		}
		if name, err := ParseTaskID(id); ok && (err != nil || name.Instance != got) {
			t.Errorf("%s: the parser says %+v, %v", id, name, err)
		}
	}
	one := &Instance{ID: "i", Tasks: []Task{{ID: "t", HostPorts: []int{1}}}}
	c, s := one.CloneWithStatus()
	c.ID, c.Tasks[0].ID, c.Tasks[0].Status = "j", "u", s
	s.State = "TASK_RUNNING"
	if one.ID != "i" || one.Tasks[0].ID != "t" || one.Tasks[0].Status != nil || len(c.Tasks) != 1 || cap(c.Tasks) != 1 || c.Tasks[0].HostPorts[0] != 1 {
		t.Errorf("%+v %+v", one, c)
	}
}

// TestEveryConditionHasAState (behaviour 7.3): the state of a task as the API tells of it.
func TestEveryConditionHasAState(t *testing.T) {
	for c, want := range map[Condition]string{Scheduled: "TASK_STAGING", Provisioned: "TASK_STAGING", Staging: "TASK_STAGING", Starting: "TASK_STARTING",
		Running: "TASK_RUNNING", Killing: "TASK_KILLING", Unreachable: "TASK_UNREACHABLE", UnreachableInactive: "TASK_UNREACHABLE", Finished: "TASK_FINISHED",
		Killed: "TASK_KILLED", ErrorCondition: "TASK_ERROR", Failed: "TASK_FAILED", Gone: "TASK_GONE", Dropped: "TASK_DROPPED", Unknown: "TASK_UNKNOWN"} {
		if got := c.TaskState(); got != want {
			t.Errorf("%s is %s, want %s", c, got, want)
		}
	}
}

// TestErased (D-52): only what is given up, has a reservation left and cannot run any more where we would see it.
func TestErased(t *testing.T) {
	volume := &Reservation{ID: "i"}
	for _, x := range []struct {
		goal      Goal
		condition Condition
		left      *Reservation
		want      bool
	}{
		{GoalDecommissioned, Killed, volume, true}, {GoalDecommissioned, Scheduled, volume, true}, {GoalDecommissioned, Unreachable, volume, true},
		{GoalDecommissioned, UnreachableInactive, volume, true}, {GoalDecommissioned, Running, volume, false}, {GoalDecommissioned, Killing, volume, false},
		{GoalDecommissioned, Killed, nil, false}, {GoalStopped, Killed, volume, false}, {GoalRunning, Unreachable, volume, false},
	} {
		i := &Instance{Goal: x.goal, Condition: x.condition, Reservation: x.left}
		if i.Erased() != x.want {
			t.Errorf("%+v: erased is %v", x, !x.want)
		}
	}
}

// TestPaths: ids are resolved and refused by one parser (F30).
func TestPaths(t *testing.T) {
	for text, want := range map[string]PathID{"web": "/g/web", "/a/b": "/a/b", "../x": "/x", "": "/g", "./y/": "/g/y", "/a//b": "/a/b"} {
		if got, err := ParsePath(text, "/g"); err != nil || got != want {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
	for _, bad := range []string{"../../x", "/A", "/a_b", "/-a", "/a b", "/a/%2e%2e", "/\x00"} {
		if got, err := ParsePath(bad, "/g"); err == nil {
			t.Errorf("%q: got %q, wanted an error", bad, got)
		}
	}
	if PathID("/a/b-c/d").Hostname() != "d.b-c.a" || PathID("/a/b-c/d").SafePath() != "a_b-c_d" || PathID("/a/b").Top() != "/a" || !PathID("/a/b").Below("/a") || PathID("/ab").Below("/a") {
		t.Error("forms of a path differ from 6.1")
	}
}
