package machine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"stadion/core"
)

const checked = `{"id":"/web","healthChecks":[{"gracePeriodSeconds":30,"maxConsecutiveFailures":3}]}`

// probe reports one result of the first check of an instance.
func (r *rig) probe(id core.InstanceID, o Outcome, cause ...string) *Batch {
	i := r.get(id)
	return r.do(HealthReport{Instance: id, Task: i.Tasks[0].ID, Outcome: o, Cause: strings.Join(cause, " ")})
}

// TestHealthSequences is D.8 (behaviour 8.2, 8.4, D-27): S success, F failure, I ignored, g the grace period passes.
func TestHealthSequences(t *testing.T) {
	for _, c := range []struct {
		name, seq string
		max       int
		kill      int // number of the event that kills, 0: none
	}{
		{"three failures", "gFFFF", 3, 3},
		{"a success starts the count anew", "gFFSFFF", 3, 6},
		{"max 0 never kills", "gFFFFFFFFFF", 0, 0},
		{"grace ends with the first success", "FSFFF", 3, 5},
		{"failures in grace do not count", "FFFFgFF", 3, 0},
		{"ignored ones change nothing", "gFIFIF", 3, 5},
		{"kill at the first of one", "gF", 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			text := strings.Replace(checked, `Failures":3`, `Failures":`+string(rune('0'+c.max)), 1)
			id := r.running(text)[0]
			r.now += 15_000 // the term is older than an interval (D-45)
			n := 0
			for _, x := range c.seq {
				if x == 'g' {
					r.now += 31_000
					continue
				}
				n++
				b := r.probe(id, map[rune]Outcome{'S': ProbeHealthy, 'F': ProbeFailed, 'I': ProbeIgnored}[x], "refused")
				if got := len(kills(b)) > 0; got != (n == c.kill) {
					t.Fatalf("event %d: kill %v", n, got)
				}
				if x == 'I' && len(b.Writes)+len(b.Notices) > 0 {
					t.Errorf("an ignored result changed something: %+v", b)
				}
			}
		})
	}
}

// TestHealthResults is the table of behaviour 8.2, row by row, and 8.6.
func TestHealthResults(t *testing.T) {
	type want struct {
		alive                bool
		failures             int
		first, last, failure bool
		events               string
	}
	look := func(t *testing.T, r *rig, id core.InstanceID, b *Batch, w want) {
		t.Helper()
		x := r.m.st.Health(id).Results[0]
		if x.Alive != w.alive || x.ConsecutiveFailures != w.failures || x.FirstSuccess != 0 != w.first || x.LastSuccess != 0 != w.last || x.LastFailure != 0 != w.failure {
			t.Errorf("%+v", x)
		}
		if got := strings.Join(told(b), " "); got != w.events {
			t.Errorf("events %q, want %q", got, w.events)
		}
	}
	r := newRig(t)
	id := r.running(checked)[0]
	r.now += 15_000
	look(t, r, id, r.probe(id, ProbeFailed, "refused"), want{}) // 3: grace
	look(t, r, id, r.probe(id, ProbeHealthy), want{alive: true, first: true, last: true, events: "health_status_changed_event instance_health_changed_event deployment_step_success deployment_success"})
	first := r.m.st.Health(id).Results[0].FirstSuccess
	r.now += 1000
	look(t, r, id, r.probe(id, ProbeHealthy), want{alive: true, first: true, last: true}) // 1
	if x := r.m.st.Health(id).Results[0]; x.FirstSuccess != first || x.LastSuccess != r.now {
		t.Errorf("1: %+v", x)
	}
	look(t, r, id, r.probe(id, ProbeFailed, "503 Service Unavailable"), want{first: true, last: true, failures: 1, failure: true,
		events: "failed_health_check_event health_status_changed_event instance_health_changed_event"}) // 4, 6
	if got := r.m.st.Health(id).Results[0].LastFailureCause; got != "503 Service Unavailable" {
		t.Errorf("cause %q", got)
	}
	look(t, r, id, r.probe(id, ProbeFailed, "again"), want{first: true, last: true, failures: 2, failure: true, events: "failed_health_check_event"})
	look(t, r, id, r.probe(id, ProbeHealthy), want{alive: true, first: true, last: true, failure: true, events: "health_status_changed_event instance_health_changed_event"})
	r.status(id, "TASK_KILLING") // 2: not Running; its record is purged
	if b := r.probe(id, ProbeFailed, "x"); len(b.Notices) > 0 || r.m.st.Health(id) != nil {
		t.Errorf("2: %+v", b.Notices)
	}
	if b := r.do(HealthReport{Instance: id, Task: "web.instance-x._app.9", Outcome: ProbeFailed}); len(b.Notices) > 0 {
		t.Error("a result of another task counts")
	}
}

// TestUnhealthyKill is behaviour 8.4 and 1.7: what is told and stored when a check kills, and that the instance runs again.
func TestUnhealthyKill(t *testing.T) {
	r := newRig(t)
	id := r.running(checked)[0]
	r.now += 60_000
	r.probe(id, ProbeFailed, "first")
	r.probe(id, ProbeFailed, "second")
	b := r.probe(id, ProbeFailed, "third")
	task := r.get(id).Tasks[0].ID
	var ev core.UnhealthyKill
	for _, n := range b.Notices {
		if x, ok := n.Body.(core.UnhealthyKill); ok {
			ev = x
		}
	}
	if ev.Reason != "second" || ev.TaskID != task || ev.Host != "a" || ev.SlaveID != "S-a" { // the cause before this failure
		t.Errorf("%+v", ev)
	}
	f, ok := r.m.st.Failure("/web")
	if !ok || f.State != "TASK_KILLED" || f.Message != "Task was killed since health check failed. Reason: second" {
		t.Errorf("%+v", f)
	}
	if i := r.get(id); i.Goal != core.GoalRunning || i.KillReason == "" { // R6
		t.Errorf("%+v", i)
	}
	if b := r.probe(id, ProbeFailed, "fourth"); len(kills(b)) > 0 || tells(b, "unhealthy_instance_kill_event") {
		t.Error("killed twice")
	}
	r.status(id, "TASK_KILLED")
	if got := launches(r.offer("a")); len(got) != 1 || got[0] != id.Task("_app", 2) {
		t.Errorf("relaunched %v, without delay", got)
	}
}

// TestExecutorRunChecks: results of Mesos's own checks arrive in statuses; only transitions count and none kills (D-27, 8.4).
func TestExecutorRunChecks(t *testing.T) {
	r := newRig(t)
	id := r.running(checked)[0]
	app := *testApp(t, checked)
	app.HealthChecks[0].Protocol, app.HealthChecks[0].GracePeriodSeconds, app.HealthChecks[0].MaxConsecutiveFailures = "MESOS_HTTP", 0, 1
	r.change(core.Change{Put: []core.RunSpec{&app}, Force: true})
	r.offer("a")
	old := id
	for _, x := range r.ids("/web") {
		if x != old {
			id = x
		}
	}
	r.status(id, "TASK_RUNNING", health(core.Healthy))
	if r.m.st.Health(id).Aggregate() != core.Healthy {
		t.Fatal("not healthy")
	}
	for range 5 {
		r.now += 1000
		if k := kills(r.status(id, "TASK_RUNNING", health(core.Unhealthy))); len(k) > 0 {
			t.Errorf("killed %v", k)
		}
	}
	if x := r.m.st.Health(id).Results[0]; x.Alive || x.ConsecutiveFailures != 1 {
		t.Errorf("repeated statuses count as new failures: %+v", x)
	}
	before := r.m.st.Health(id).Results[0]
	r.crash() // 9.5: restored from what is stored
	if x := r.m.st.Health(id); x == nil || x.Results[0].Alive != before.Alive {
		t.Errorf("after a failover: %+v", x)
	}
}

// TestHealthAcrossFailover is D-45: what was alive stays so until the first probe of the term, and a server that has
// just begun does not kill.
func TestHealthAcrossFailover(t *testing.T) {
	r := newRig(t)
	ids := r.running(strings.Replace(checked, `"id":"/web"`, `"id":"/web","instances":2`, 1))
	r.now += 20_000
	r.probe(ids[0], ProbeHealthy)
	r.probe(ids[1], ProbeHealthy)
	r.probe(ids[1], ProbeFailed, "x")
	r.now += 100_000
	r.crash()
	if c := r.m.st.Counts("/web"); c.Healthy != 1 || c.Unhealthy != 1 {
		t.Fatalf("right after: %+v", c)
	}
	for range 5 {
		if b := r.probe(ids[0], ProbeFailed, "x"); len(kills(b)) > 0 {
			t.Fatal("killed within the first interval")
		}
	}
	r.wait(10 * time.Second)
	if b := r.probe(ids[0], ProbeFailed, "x"); len(kills(b)) != 1 {
		t.Error("not killed after the first interval")
	}
	r.status(ids[0], "TASK_KILLED")
	if _, known := r.m.st.LastAlive(ids[0]); known {
		t.Error("the flag outlives the task: the next one would begin alive after a failover")
	}
}

// TestOldVersionsAreChecked: an instance whose version is gone is checked by the newest definition (D-45, 8.3).
func TestOldVersionsAreChecked(t *testing.T) {
	r := newRig(t)
	id := r.running(checked)[0]
	r.m.st.DropVersion("/web", r.get(id).Version)
	r.force(`{"id":"/web","instances":1,"cmd":"other","healthChecks":[{"gracePeriodSeconds":30,"maxConsecutiveFailures":3}]}`)
	b := r.reload()
	found := false
	for _, p := range b.Probes {
		found = found || p.Instance == id && !p.Stop
	}
	if !found {
		t.Errorf("no probe: %+v", b.Probes)
	}
}

// TestCheckRegistration is behaviour 8.3: add_health_check_event once per new version and check, whatever touches it.
func TestCheckRegistration(t *testing.T) {
	count := func(b *Batch) (n int) {
		for _, k := range told(b) {
			if k == "add_health_check_event" {
				n++
			}
		}
		return n
	}
	r := newRig(t)
	_, b := r.put(checked)
	if count(b) != 1 {
		t.Errorf("create: %v", told(b))
	}
	id := r.up("/web", "a")[0]
	if n := count(r.probe(id, ProbeHealthy)); n != 0 {
		t.Errorf("%d more in the second step", n)
	}
	_, b = r.put(strings.Replace(checked, `"id":"/web"`, `"id":"/web","instances":2`, 1))
	if count(b) != 1 {
		t.Errorf("scale: %v", told(b))
	}
	_, b = r.change(core.Change{Remove: []core.PathID{"/web"}, Force: true})
	if count(b) != 0 {
		t.Errorf("delete: %v", told(b))
	}
	b = r.status(id, "TASK_KILLED")
	if !tells(b, "remove_health_check_event") || !tells(b, "app_terminated_event") {
		t.Errorf("end: %v", told(b))
	}
	r.put(`{"id":"/plain","cmd":"sleep 1","instances":1}`)
	id = r.up("/plain", "a")[0]
	r.change(core.Change{Remove: []core.PathID{"/plain"}, Force: true})
	if b = r.status(id, "TASK_KILLED"); tells(b, "remove_health_check_event") || !tells(b, "app_terminated_event") {
		t.Errorf("end without health checks: %v", told(b))
	}
}

// TestReadinessOfAnAction (behaviour 8.8.1, 8.8.6, 8.8.7): only instances that the running action brings in are asked;
// nothing is listed of one before its first answer, nor of any after the step.
func TestReadinessOfAnAction(t *testing.T) {
	const app = `{"id":"/web","instances":2,"portDefinitions":[{"name":"http","protocol":"tcp"}],
		"readinessChecks":[{"name":"gate","protocol":"HTTP","path":"/","portName":"http","intervalSeconds":2,"timeoutSeconds":1,"httpStatusCodesForReady":[200]}]%s}`
	r := newRig(t)
	asked := func(b *Batch) (out []core.InstanceID) {
		for _, p := range b.Probes {
			if p.Readiness && !p.Stop {
				out = append(out, p.Instance)
			}
		}
		return out
	}
	listed := func() (out []core.InstanceID) {
		for x := range r.m.st.ReadinessOf("/web") {
			out = append(out, x.Instance)
		}
		return out
	}
	answer := func(id core.InstanceID, ready bool) *Batch {
		return r.do(ReadinessReport{Instance: id, Task: r.get(id).Tasks[0].ID, Name: "gate", Ready: ready})
	}
	r.put(fmt.Sprintf(app, ""))
	r.offer("a")
	old := r.ids("/web")
	var first []core.InstanceID
	for _, id := range old {
		first = append(first, asked(r.status(id, "TASK_RUNNING"))...)
	}
	if !slices.Equal(first, old) || len(listed()) != 0 {
		t.Fatalf("asked %v of %v, listed %v", first, old, listed())
	}
	answer(old[0], false)
	if got := listed(); !slices.Equal(got, old[:1]) {
		t.Errorf("listed after the first answer: %v", got)
	}
	answer(old[0], true)
	late := answer(old[1], true)
	if r.m.st.DeploymentCount() != 0 || len(listed()) != 0 || !tells(late, "deployment_success") {
		t.Fatalf("%d deployments, listed %v", r.m.st.DeploymentCount(), listed())
	}
	if answer(old[0], true); len(listed()) != 0 {
		t.Error("an answer that comes after the action is listed")
	}
	r.put(fmt.Sprintf(app, `,"cmd":"new"`))
	r.crash() // a new leader asks from the beginning, and again only the new ones
	b := r.offer("b")
	fresh := r.others("/web", old)
	for _, id := range fresh {
		b.add(r.status(id, "TASK_RUNNING"))
	}
	if got := asked(b); !slices.Equal(got, fresh) || len(fresh) != 2 {
		t.Errorf("asked %v, the new ones are %v", got, fresh)
	}
	answer(fresh[0], true)
	if got := listed(); !slices.Equal(got, fresh[:1]) {
		t.Errorf("listed in the upgrade: %v", got)
	}
	d, _ := r.m.st.DeploymentOf("/web")
	_, b, _ = r.request(CancelDeployment{ID: d.ID, Force: true})
	stopped := slices.ContainsFunc(b.Probes, func(p Probe) bool { return p.Stop && p.Readiness && p.Instance == fresh[1] })
	if !stopped || len(listed()) != 0 {
		t.Errorf("after the cancellation: stopped %v, listed %v", stopped, listed())
	}
}

// TestHealthOverAbsence: what comes back from an agent that was out of reach is as healthy as it was, until a check says
// otherwise: an upgrade that may not lose one does not take it for unhealthy (R7, D-45).
func TestHealthOverAbsence(t *testing.T) {
	for _, c := range []struct {
		kind string
		well func(r *rig, id core.InstanceID)
	}{
		{"HTTP", func(r *rig, id core.InstanceID) { r.probe(id, ProbeHealthy) }},
		{"MESOS_HTTP", func(r *rig, id core.InstanceID) { r.status(id, "TASK_RUNNING", health(core.Healthy)) }},
	} {
		app := `{"id":"/web","instances":2,"unreachableStrategy":{"inactiveAfterSeconds":300,"expungeAfterSeconds":600},` +
			`"upgradeStrategy":{"minimumHealthCapacity":1,"maximumOverCapacity":0},"healthChecks":[{"protocol":"` + c.kind + `","gracePeriodSeconds":30,"maxConsecutiveFailures":3}]}`
		r := newRig(t)
		old := r.running(app)
		for _, id := range old {
			c.well(r, id)
		}
		for _, id := range old {
			r.status(id, "TASK_UNREACHABLE")
		}
		if n := r.m.st.Counts("/web").Healthy; n != 0 {
			t.Errorf("%s: %d healthy ones out of reach", c.kind, n)
		}
		r.crash()
		r.wait(time.Minute)
		for _, id := range old {
			r.status(id, "TASK_RUNNING")
		}
		if n := r.m.st.Counts("/web").Healthy; n != 2 {
			t.Errorf("%s: %d are healthy after the return", c.kind, n)
		}
		_, b := r.put(strings.Replace(app, `"id"`, `"cmd":"new","id"`, 1))
		if got := kills(b); len(got) > 0 {
			t.Errorf("%s: kills %v", c.kind, got)
		}
	}
}

// TestOnlyRunningOnesAreAsked (behaviour 8.2.2): no probe while a task is staged, lost or out of reach, and a verdict that
// comes in then kills nothing.
func TestOnlyRunningOnesAreAsked(t *testing.T) {
	asked := func(b *Batch) (begun, ended int) {
		for _, p := range b.Probes {
			if p.Stop {
				ended++
			} else {
				begun++
			}
		}
		return begun, ended
	}
	for _, c := range []struct {
		state        string
		begun, ended int
	}{{"TASK_STAGING", 0, 0}, {"TASK_STARTING", 0, 0}, {"TASK_RUNNING", 1, 0}, {"TASK_UNREACHABLE", 0, 1}, {"TASK_LOST", 0, 1}, {"TASK_KILLING", 0, 1}, {"TASK_FAILED", 0, 1}} {
		r := newRig(t)
		r.put(`{"id":"/web","unreachableStrategy":{"inactiveAfterSeconds":300,"expungeAfterSeconds":600},"healthChecks":[{"gracePeriodSeconds":0,"maxConsecutiveFailures":1}]}`)
		r.offer("a")
		id := r.ids("/web")[0]
		if c.ended > 0 {
			r.status(id, "TASK_RUNNING")
			r.now += 60_000
		}
		if begun, ended := asked(r.status(id, c.state)); begun != c.begun || ended != c.ended {
			t.Errorf("%s: %d begun, %d ended", c.state, begun, ended)
		}
		if c.state == "TASK_RUNNING" {
			continue
		}
		if b := r.probe(id, ProbeFailed, "late"); len(kills(b)) > 0 || tells(b, "unhealthy_instance_kill_event") || tells(b, "failed_health_check_event") {
			t.Errorf("%s: a late verdict counts: %v", c.state, told(b))
		}
	}
}
