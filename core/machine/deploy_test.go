package machine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"stadion/core"
)

// story lists a batch's notices of deployments: kind, and the step where there is one.
func story(b *Batch) (out []string) {
	for _, n := range b.Notices {
		switch x := n.Body.(type) {
		case core.DeploymentStep:
			var acts []string
			for _, a := range x.CurrentStep.Actions {
				acts = append(acts, a.Action)
			}
			out = append(out, n.Type+" "+strings.Join(acts, ","))
		case core.DeploymentEnd:
			out = append(out, strings.TrimSpace(n.Type+" "+x.Reason))
		case core.GroupChanged:
			out = append(out, n.Type)
		}
	}
	return out
}

// TestEventOrder is behaviour 2.9: one total order per deployment, and the events of an accepted change before it.
func TestEventOrder(t *testing.T) {
	r := newRig(t)
	_, b := r.put(`{"id":"/g/web"}`)
	got := story(b)
	b = r.offer("a")
	got = append(got, story(b)...)
	got = append(got, story(r.status(r.ids("/g/web")[0], "TASK_RUNNING"))...)
	want := []string{"group_change_success", "deployment_info StartApplication", "deployment_step_success StartApplication",
		"deployment_info ScaleApplication", "deployment_step_success ScaleApplication", "deployment_success"}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	for _, n := range b.Notices {
		if strings.HasPrefix(n.Type, "deployment") && n.Deployment == "" {
			t.Errorf("%s names no deployment", n.Type)
		}
	}
	t.Run("a change without difference succeeds at once and has an id (2.6.5)", func(t *testing.T) {
		res, b := r.put(`{"id":"/g/web"}`)
		if got := story(b); !slices.Equal(got, []string{"group_change_success", "deployment_success"}) || res.Deployment == "" || r.m.st.DeploymentCount() != 0 {
			t.Errorf("%v %+v", got, res)
		}
	})
}

// TestConflicts is D.10 (behaviour 2.4, 2.5) with D-21, D-24 and D-26.
func TestConflicts(t *testing.T) {
	busy := func(t *testing.T) (*rig, UpdateResult) { // a deployment of /a and /b that cannot go on
		r := newRig(t)
		res, _ := r.change(core.Change{Put: []core.RunSpec{testApp(t, `{"id":"/a"}`), testApp(t, `{"id":"/b"}`)}})
		return r, res
	}
	t.Run("disjoint: both run", func(t *testing.T) {
		r, _ := busy(t)
		r.put(`{"id":"/c"}`)
		if r.m.st.DeploymentCount() != 2 {
			t.Error(r.m.st.DeploymentCount())
		}
	})
	t.Run("overlap: refused with the id; nothing is stored, no lock is touched (D-21, D-24)", func(t *testing.T) {
		r, first := busy(t)
		stamp := r.m.st.RootStamp()
		_, b, err := r.request(UpdateTree{Base: stamp, Change: core.Change{Put: []core.RunSpec{testApp(t, `{"id":"/b","cmd":"x"}`)}}})
		e, ok := err.(*core.Error)
		if !ok || e.Kind != core.Locked || e.Message != core.LockedMessage || !slices.Equal(e.Deployments, []string{first.Deployment}) {
			t.Fatalf("%v", err)
		}
		if got := story(b); !slices.Equal(got, []string{"deployment_failed " + core.LockedMessage, "group_change_failed"}) {
			t.Errorf("%v", got)
		}
		if len(b.Writes) > 0 || r.m.st.RootStamp() != stamp {
			t.Errorf("stored %+v", b.Writes)
		}
		if d, ok := r.m.st.DeploymentOf("/b"); !ok || d.ID != first.Deployment {
			t.Error("the lock is gone")
		}
	})
	t.Run("forced: the first is cancelled, the other spec stays as it is", func(t *testing.T) {
		r, first := busy(t)
		second, b := r.force(`{"id":"/b","cmd":"x"}`)
		if got := story(b); got[0] != "deployment_failed "+cancelledReason || got[1] != "group_change_success" {
			t.Errorf("%v", got)
		}
		if _, ok := r.m.st.Deployment(first.Deployment); ok {
			t.Error("still there")
		}
		if d, ok := r.m.st.DeploymentOf("/b"); !ok || d.ID != second.Deployment {
			t.Error("the new one does not hold /b")
		}
		if _, held := r.m.st.DeploymentOf("/a"); held || len(r.ids("/a")) != 1 {
			t.Error("/a")
		}
	})
	t.Run("DELETE: a forced deployment that takes it back", func(t *testing.T) {
		r, first := busy(t)
		res, _, err := r.request(CancelDeployment{ID: first.Deployment})
		if err != nil || res.(UpdateResult).Deployment == "" || res.(UpdateResult).Deployment == first.Deployment {
			t.Fatalf("%+v %v", res, err)
		}
		if _, ok := r.m.st.Spec("/a"); ok || r.m.st.DeploymentCount() != 0 || len(r.ids("/a")) > 0 {
			t.Error("/a is left")
		}
	})
	t.Run("DELETE with force: the record goes, the tree keeps the target", func(t *testing.T) {
		r, first := busy(t)
		res, b, err := r.request(CancelDeployment{ID: first.Deployment, Force: true})
		if err != nil || res.(UpdateResult).Deployment != "" {
			t.Fatalf("%+v %v", res, err)
		}
		if got := story(b); !slices.Equal(got, []string{"deployment_failed " + cancelledReason}) {
			t.Errorf("%v", got)
		}
		if s, ok := r.m.st.Spec("/a"); !ok || s.InstanceCount() != 1 || len(r.ids("/a")) != 1 {
			t.Error("/a")
		}
	})
	t.Run("unknown", func(t *testing.T) {
		r, _ := busy(t)
		if _, _, err := r.request(CancelDeployment{ID: "x"}); err == nil || err.Error() != "DeploymentPlan x does not exist" {
			t.Error(err)
		}
	})
	t.Run("stored means listed, also right after a failover (D-26, D-56)", func(t *testing.T) {
		r, first := busy(t)
		r.reload()
		if _, ok := r.m.st.Deployment(first.Deployment); !ok {
			t.Error("not listed")
		}
	})
}

// TestLimitOfDeployments is D-29 (behaviour 1.5.1).
func TestLimitOfDeployments(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxRunningDeployments = 2 })
	first, _ := r.put(`{"id":"/a"}`)
	r.put(`{"id":"/b"}`)
	refused := func(ch core.Change) bool {
		_, _, err := r.request(UpdateTree{Base: r.m.st.RootStamp(), Change: ch})
		e, ok := err.(*core.Error)
		return ok && e.Kind == core.LimitReached
	}
	if !refused(core.Change{Put: []core.RunSpec{testApp(t, `{"id":"/c"}`)}}) || !refused(core.Change{Put: []core.RunSpec{testApp(t, `{"id":"/c"}`)}, Force: true}) {
		t.Error("a third one is admitted")
	}
	if refused(core.Change{Put: []core.RunSpec{testApp(t, `{"id":"/a","cmd":"x"}`)}, Force: true}) {
		t.Error("one that takes the place of another is refused")
	}
	d, _ := r.m.st.DeploymentOf("/a")
	if _, _, err := r.request(CancelDeployment{ID: d.ID}); err != nil || d.ID == first.Deployment {
		t.Errorf("a rollback is refused: %v", err)
	}
}

// TestStamps is D-20, D-19: versions only grow, whatever the clock does.
func TestStamps(t *testing.T) {
	r := newRig(t)
	a, _ := r.put(`{"id":"/a"}`)
	b, _ := r.put(`{"id":"/b"}`)
	r.now -= 3_600_000
	c, _ := r.put(`{"id":"/c"}`)
	res, _, err := r.request(CancelDeployment{ID: c.Deployment})
	if err != nil || a.Version >= b.Version || b.Version >= c.Version || c.Version >= res.(UpdateResult).Version {
		t.Errorf("%v %v %v %v", a.Version, b.Version, c.Version, res)
	}
}

// TestScaleCheck is behaviour 2.8, D-06: an unlocked spec is brought to its count without waiting for anything.
func TestScaleCheck(t *testing.T) {
	r := newRig(t)
	r.running(`{"id":"/web","instances":3}`)
	app, _ := r.m.st.Spec("/web")
	r.m.st.PutSpec(app.WithInstances(2))
	if b := r.wait(16 * time.Second); len(kills(b)) != 1 {
		t.Errorf("kills %v", kills(b))
	}
	r.m.st.PutSpec(app.WithInstances(4)) // the next check does not wait for that kill
	r.wait(301 * time.Second)
	if c := r.m.st.Counts("/web"); c.Waiting != 2 {
		t.Errorf("%+v", c)
	}
}

// TestHalfDone is D-58: what an override leaves behind is told of, and the next deployment repairs it.
func TestHalfDone(t *testing.T) {
	r := newRig(t)
	r.running(`{"id":"/web","instances":2}`)
	res, _ := r.put(`{"id":"/web","instances":2,"cmd":"new"}`)
	_, b, _ := r.request(CancelDeployment{ID: res.Deployment, Force: true})
	if len(b.Logs) != 1 || !strings.Contains(b.Logs[0].Text, "2 instances keep an outdated configuration") {
		t.Errorf("%+v", b.Logs)
	}
	_, b = r.put(`{"id":"/web","instances":3,"cmd":"new"}`)
	if got := story(b); got[1] != "deployment_info RestartApplication" {
		t.Errorf("%v", got)
	}
}

// TestStall is D-02 with D-54 and D-57: a description appears when nothing has surpassed what was reached for 5 min.
func TestStall(t *testing.T) {
	stall := func(r *rig, id string) string {
		s, ok := r.m.st.Stall(id)
		if !ok {
			return ""
		}
		return fmt.Sprintf("%s %s %d", s.Spec, s.WaitingFor, s.Missing)
	}
	const sick = `{"id":"/web","healthChecks":[{"gracePeriodSeconds":30,"maxConsecutiveFailures":3}]}`
	t.Run("offers, only after 5 min, gone when it moves", func(t *testing.T) {
		r := newRig(t)
		res, _ := r.put(`{"id":"/web","instances":2}`)
		r.wait(299 * time.Second)
		if got := stall(r, res.Deployment); got != "" {
			t.Errorf("too early: %s", got)
		}
		r.wait(10 * time.Second)
		if got := stall(r, res.Deployment); got != "/web offers 2" {
			t.Errorf("%q", got)
		}
		if s, _ := r.m.st.Stall(res.Deployment); s.Since != rigStart {
			t.Errorf("since %v", s.Since)
		}
		r.offer("a")
		r.status(r.ids("/web")[0], "TASK_RUNNING")
		if got := stall(r, res.Deployment); got != "" {
			t.Errorf("it moves: %s", got)
		}
	})
	t.Run("a crash loop is no progress; delay (D-54)", func(t *testing.T) {
		r := newRig(t)
		res, _ := r.put(strings.Replace(sick, `"id"`, `"backoffSeconds":20,"id"`, 1))
		id := r.ids("/web")[0]
		for range 20 {
			r.wait(30 * time.Second)
			r.offer("a")
			if r.get(id).Condition == core.Provisioned {
				r.status(id, "TASK_RUNNING")
				r.status(id, "TASK_FAILED")
			}
		}
		r.wait(6 * time.Second)
		if got := stall(r, res.Deployment); got != "/web delay 1" {
			t.Errorf("%q", got)
		}
	})
	t.Run("of several specs the one that is stuck is named (D-57)", func(t *testing.T) {
		r := newRig(t)
		res, _ := r.change(core.Change{Put: []core.RunSpec{testApp(t, `{"id":"/a"}`), testApp(t, `{"id":"/b","cpus":100}`), testApp(t, `{"id":"/c"}`)}})
		r.offer("a")
		for _, id := range []core.PathID{"/a", "/c"} {
			r.status(r.ids(id)[0], "TASK_RUNNING")
		}
		for range 40 { // the others keep moving
			r.wait(10 * time.Second)
			r.status(r.ids("/a")[0], "TASK_FAILED")
			r.wait(2 * time.Second)
			r.up("/a", "a")
		}
		if got := stall(r, res.Deployment); got != "/b offers 1" {
			t.Errorf("%q", got)
		}
		if _, _, err := r.request(UpdateTree{Base: r.m.st.RootStamp(), Change: core.Change{Put: []core.RunSpec{testApp(t, `{"id":"/a","cmd":"x"}`)}}}); err == nil {
			t.Error("the finished specs of the plan are free")
		}
	})
	t.Run("health and kill", func(t *testing.T) {
		r := newRig(t)
		res, _ := r.put(sick)
		id := r.up("/web", "a")[0]
		r.wait(6 * time.Minute)
		if got := stall(r, res.Deployment); got != "/web health 1" {
			t.Errorf("%q", got)
		}
		r.probe(id, ProbeHealthy)
		res, _ = r.change(core.Change{Remove: []core.PathID{"/web"}})
		r.wait(6 * time.Minute)
		if got := stall(r, res.Deployment); got != "/web kill 1" {
			t.Errorf("%q", got)
		}
	})
}

// others are the instances of a spec that are not among the given ones.
func (r *rig) others(spec core.PathID, than []core.InstanceID) (out []core.InstanceID) {
	for _, id := range r.ids(spec) {
		if !slices.Contains(than, id) {
			out = append(out, id)
		}
	}
	return out
}

// TestNoMinimumIsLost: a rolling upgrade with server-run checks replaces one by one (D-01, D-03, D-04, D-07).
func TestNoMinimumIsLost(t *testing.T) {
	r := newRig(t)
	const app = `{"id":"/web","instances":2,"upgradeStrategy":{"minimumHealthCapacity":1,"maximumOverCapacity":0},"healthChecks":[{"gracePeriodSeconds":30,"maxConsecutiveFailures":3}]}`
	old := r.running(app)
	for _, id := range old {
		r.probe(id, ProbeHealthy)
	}
	if r.m.st.DeploymentCount() != 0 {
		t.Fatal("not done")
	}
	_, b := r.put(strings.Replace(app, `"id"`, `"cmd":"new","id"`, 1))
	if len(kills(b)) > 0 || len(r.ids("/web")) != 3 { // H counts server-run checks (D-01); one extra at a time
		t.Fatalf("kills %v, %d instances", kills(b), len(r.ids("/web")))
	}
	r.crash() // an instance that only waits is not done (D-04)
	r.up("/web", "b")
	first := r.others("/web", old)[0]
	b = r.probe(first, ProbeHealthy)
	if len(kills(b)) != 1 {
		t.Fatalf("kills %v", kills(b))
	}
	r.probe(first, ProbeFailed, "x")
	if b = r.probe(first, ProbeHealthy); len(kills(b)) > 0 {
		t.Errorf("a flap kills another one (D-07): %v", kills(b))
	}
	if r.m.st.DeploymentCount() != 1 {
		t.Error("done too early")
	}
}

// TestCanary: with the label a rolling upgrade stops after so many new instances until it is promoted; pause and resume.
func TestCanary(t *testing.T) {
	r := newRig(t)
	old := r.running(`{"id":"/web","instances":4}`)
	res, _ := r.put(`{"id":"/web","instances":4,"cmd":"new","labels":{"STADION_CANARY":"1"}}`)
	r.up("/web", "b")
	r.wait(2 * time.Second) // it has proven itself
	bury := func() {        // the old ones that were told to stop
		for _, id := range old {
			if !r.gone(id) && r.get(id).Goal == core.GoalDecommissioned {
				r.status(id, "TASK_KILLED")
			}
		}
	}
	bury()
	fresh := func() int { return len(r.others("/web", old)) }
	if r.wait(time.Minute); fresh() != 1 {
		t.Fatalf("%d new instances", fresh())
	}
	waiting := func() string {
		s, _ := r.m.st.Stall(res.Deployment)
		return s.WaitingFor
	}
	if waiting() != "promotion" { // at once: nobody but a person can help
		t.Errorf("waits for %q", waiting())
	}
	r.crash()
	if r.up("/web", "b"); fresh() != 1 {
		t.Errorf("a failover promotes: %d", fresh())
	}
	_, _, err := r.request(SteerDeployment{ID: res.Deployment, Action: "promote"})
	if err != nil || fresh() < 2 {
		t.Errorf("%d new instances after the promotion: %v", fresh(), err)
	}
	r.request(SteerDeployment{ID: res.Deployment, Action: "pause"})
	bury()
	r.up("/web", "c")
	if r.wait(time.Minute); r.m.st.DeploymentCount() != 1 || waiting() != "resume" {
		t.Errorf("a paused one goes on, or does not say why not: %q", waiting())
	}
	if r.crash(); waiting() != "resume" {
		t.Errorf("after a failover: %q", waiting())
	}
	if r.request(SteerDeployment{ID: res.Deployment, Action: "resume"}); waiting() != "" {
		t.Errorf("resumed, and waits for %q", waiting())
	}
	for n := 0; n < 10 && r.m.st.DeploymentCount() > 0; n++ {
		bury()
		r.up("/web", "c")
	}
	if r.m.st.DeploymentCount() != 0 || fresh() != 4 || len(r.ids("/web")) != 4 {
		t.Errorf("%d deployments, %d new", r.m.st.DeploymentCount(), fresh())
	}
	if _, _, err := r.request(SteerDeployment{ID: "x", Action: "pause"}); err == nil {
		t.Error("an unknown one is steered")
	}
}

// TestTakenBack: a deadline or a number of failures reverts a deployment, once, and only where labels ask for it.
func TestTakenBack(t *testing.T) {
	command := func(r *rig) string {
		s, _ := r.m.st.Spec("/web")
		return *s.(*core.App).Cmd
	}
	labels := func(l string) string { return `{"id":"/web","cmd":"new","labels":{` + l + `}}` }
	t.Run("deadline", func(t *testing.T) {
		r := newRig(t)
		r.running(`{"id":"/web","labels":{"STADION_DEPLOYMENT_DEADLINE_SECONDS":"600"}}`)
		r.put(labels(`"STADION_DEPLOYMENT_DEADLINE_SECONDS":"600"`))
		r.wait(300 * time.Second)
		r.crash() // the clock is that of the deployment
		if r.wait(299 * time.Second); command(r) != "new" {
			t.Fatal("too early")
		}
		b := r.wait(2 * time.Second)
		if got := story(b); command(r) != "sleep 1" || got[0] != "deployment_failed "+cancelledReason {
			t.Errorf("%s %v", command(r), got)
		}
		stamp, running := r.m.st.RootStamp(), r.m.st.DeploymentCount()
		if r.wait(time.Hour); command(r) != "sleep 1" || r.m.st.RootStamp() != stamp || running != 1 {
			t.Errorf("the way back is taken back: %d deployments", running)
		}
	})
	t.Run("failures, over a failover", func(t *testing.T) {
		r := newRig(t)
		old := r.running(`{"id":"/web"}`)
		r.put(labels(`"STADION_ROLLBACK_ON_FAILURES":"3"`))
		for n := range 3 {
			if command(r) != "new" {
				t.Fatalf("after %d", n)
			}
			r.offer("b")
			for _, id := range r.others("/web", old) {
				r.status(id, "TASK_FAILED")
			}
			r.crash()
		}
		if command(r) != "sleep 1" || r.get(old[0]).Goal != core.GoalRunning {
			t.Errorf("%s", command(r))
		}
	})
	t.Run("the old ones do not count, nor does anything without a label", func(t *testing.T) {
		r := newRig(t)
		old := r.running(`{"id":"/web","instances":2}`)
		r.put(`{"id":"/web","instances":2,"cmd":"new","labels":{"STADION_ROLLBACK_ON_FAILURES":"1"}}`)
		r.status(old[0], "TASK_FAILED")
		if command(r) != "new" {
			t.Error("taken back for an old one")
		}
		r = newRig(t)
		r.running(`{"id":"/web"}`)
		r.put(labels(`"STADION_DEPLOYMENT_DEADLINE_SECONDS":"soon"`))
		if r.wait(3 * time.Hour); command(r) != "new" {
			t.Error("taken back without a deadline")
		}
	})
}

// TestForcedInARow: of several forced changes each takes the place of the one before (behaviour 2.4); all that were
// cancelled say so, and the last one comes to its end.
func TestForcedInARow(t *testing.T) {
	r := newRig(t)
	old := r.running(`{"id":"/web","instances":2}`)
	var given []string
	b := &Batch{}
	for _, cmd := range []string{"two", "three", "four"} {
		res, more := r.force(`{"id":"/web","instances":2,"cmd":"` + cmd + `"}`)
		given = append(given, res.Deployment)
		b.add(more)
		b.add(r.offer("b"))
	}
	ends := map[string]string{}
	for _, n := range b.Notices {
		if x, ok := n.Body.(core.DeploymentEnd); ok {
			ends[x.ID] = n.Type + " " + x.Reason
		}
	}
	if d, ok := r.m.st.DeploymentOf("/web"); !ok || d.ID != given[2] || r.m.st.DeploymentCount() != 1 || len(ends) != 2 ||
		ends[given[0]] != "deployment_failed "+cancelledReason || ends[given[1]] != "deployment_failed "+cancelledReason {
		t.Fatalf("%v of %v", ends, given)
	}
	for n := 0; n < 20 && r.m.st.DeploymentCount() > 0; n++ {
		for _, id := range r.ids("/web") {
			switch i := r.get(id); {
			case i.Goal != core.GoalRunning && i.Condition.Active():
				r.status(id, "TASK_KILLED")
			case i.Condition == core.Provisioned:
				r.status(id, "TASK_RUNNING")
			}
		}
		r.offer("b")
		r.wait(2 * time.Second)
	}
	for _, id := range r.ids("/web") {
		s, _ := r.m.specFor(r.get(id))
		if slices.Contains(old, id) || *s.(*core.App).Cmd != "four" {
			t.Errorf("%s runs %s", id, *s.(*core.App).Cmd)
		}
	}
	if r.m.st.DeploymentCount() != 0 || len(r.ids("/web")) != 2 {
		t.Errorf("%d deployments, instances %v", r.m.st.DeploymentCount(), r.ids("/web"))
	}
}

// TestDependenciesHoldBack (behaviour 2.2, 2.6): what depends on an app does not begin before that app is healthy; it goes
// on by itself when it is, and a new leader holds it back as well (R9).
func TestDependenciesHoldBack(t *testing.T) {
	r := newRig(t)
	res, _ := r.change(core.Change{Put: []core.RunSpec{testApp(t, `{"id":"/g/db","healthChecks":[{"gracePeriodSeconds":30,"maxConsecutiveFailures":0}]}`),
		testApp(t, `{"id":"/g/api","dependencies":["/g/db"]}`), testApp(t, `{"id":"/g/alone"}`)}})
	db := r.up("/g/db", "a")[0]
	r.up("/g/alone", "a")
	for range 2 {
		r.wait(6 * time.Minute)
		r.probe(db, ProbeFailed, "refused")
		if n := len(r.ids("/g/api")); n != 0 {
			t.Fatalf("%d instances of what depends on it", n)
		}
		if s, ok := r.m.st.Stall(res.Deployment); !ok || s.Spec != "/g/db" || s.WaitingFor != "health" {
			t.Errorf("%+v", s)
		}
		r.crash()
		r.wait(6 * time.Minute)
	}
	r.probe(db, ProbeHealthy)
	if n := len(r.ids("/g/api")); n != 1 {
		t.Fatalf("%d instances once it is healthy", n)
	}
	if r.up("/g/api", "a"); r.m.st.DeploymentCount() != 0 {
		t.Error("not done")
	}
}
