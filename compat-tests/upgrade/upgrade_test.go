package upgrade

import (
	"fmt"
	"slices"
	"testing"

	"stadion/compat-tests/harness"
)

// wide lets more tasks be replaced at once where that is not what a test is about.
var wide = object{"upgradeStrategy": object{"minimumHealthCapacity": 1, "maximumOverCapacity": 0.5}}

// TestRollingUpgrade: 20 tasks are replaced four at a time beside the old ones, and
// no request fails (R7, I5).
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	const n = 20
	w := newWorld(t)
	w.put(w.web("first", n, nil), "")
	w.quiet()
	w.complete(n)
	load := w.load(false)
	stop := w.watch(n, n+n/5)
	w.put(w.web("second", n, nil), "")
	w.quiet()
	stop()
	w.complete(n)
	w.says("second")
	load.Judge(t, "first", "second")
}

// TestCrashingVersion: a version that never runs is taken back, by hand or by the
// label, while the old one goes on serving and is complete again at the end. What is
// put back is a new version with the old configuration, so its tasks are replaced too.
func TestCrashingVersion(t *testing.T) {
	const n = 5
	t.Run("by hand", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.put(w.web("first", n, wide), "")
		w.quiet()
		w.complete(n)
		load := w.load(true)
		id := w.put(w.crashing(n, nil), "")
		w.failing()
		var back deployed
		w.decode(w.Must("DELETE", "/v2/deployments/"+id, nil, 200), &back)
		if back.DeploymentID == id || back.DeploymentID == "" {
			t.Errorf("a rollback is a deployment of its own: %+v", back)
		}
		w.quiet()
		w.complete(n)
		w.says("first")
		load.Judge(t, "first")
	})
	t.Run("by label", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.put(w.web("first", n, wide), "")
		w.quiet()
		w.complete(n)
		load := w.load(true)
		w.put(w.crashing(n, object{"labels": object{"STADION_ROLLBACK_ON_FAILURES": "2"}}), "")
		w.failing()
		w.quiet()
		w.complete(n)
		w.says("first")
		load.Judge(t, "first")
	})
}

// TestForcedOverride: half-way through an upgrade another version is forced, then the
// service is scaled while that one is still under way.
func TestForcedOverride(t *testing.T) {
	t.Parallel()
	const n = 6
	w := newWorld(t)
	w.put(w.web("first", n, wide), "")
	w.quiet()
	w.complete(n)
	load := w.load(false)
	gate := object{"upgradeStrategy": wide["upgradeStrategy"], "readinessChecks": []any{object{"name": "gate", "protocol": "HTTP", "path": "/ready", "portName": "http"}}}
	second := w.put(w.web("second", n, gate), "") // it does not get beyond the two that are made ready
	w.open("second", 2)
	harness.Await(t, deployLimit, "the second version answers", func() (bool, string) { return load.Heard("second") > 0, w.counts() })
	open := object{"upgradeStrategy": wide["upgradeStrategy"], "readinessChecks": []any{}}
	w.Must("PUT", "/v2/apps"+service, w.web("third", n, open), 409)
	third := w.put(w.web("third", n, open), "?force=true")
	harness.Await(t, deployLimit, "the third version answers", func() (bool, string) { return load.Heard("third") > 0, w.counts() })
	if list := w.deployments(); slices.ContainsFunc(list, func(d deployment) bool { return d.ID == second }) {
		t.Errorf("an overridden deployment is still listed beside %s: %+v", third, list)
	}
	w.put(object{"instances": n + 2}, "?force=true")
	w.quiet()
	w.complete(n + 2)
	w.says("third")
	load.Judge(t, "first", "second", "third")
}

// TestUnhealthy: a task that answers 500 is killed by its health check and replaced.
func TestUnhealthy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	check := object{"protocol": "HTTP", "path": "/health", "portIndex": 0, "gracePeriodSeconds": 120, "intervalSeconds": 1, "timeoutSeconds": 30, "maxConsecutiveFailures": 1}
	w.put(w.web("first", 2, object{"healthChecks": []any{check}}), "")
	w.quiet()
	before := w.complete(2)
	news := w.OpenEvents("?event_type=unhealthy_instance_kill_event&event_type=unhealthy_task_kill_event", nil)
	victim := w.app().App.Tasks[0]
	harness.NewAPI(t, fmt.Sprintf("http://%s:%d", victim.Host, victim.Ports[0])).Do("POST", "/fall-ill", nil)
	kill, _ := news.Next(deployLimit, "the ill task is killed", func(e harness.Event) bool { return e.Data["taskId"] == victim.ID })
	if kill.Data["appId"] != service {
		t.Errorf("the event: %+v", kill)
	}
	harness.Await(t, deployLimit, "the ill task is replaced", func() (bool, string) {
		return !slices.Contains(w.complete(2), victim.ID), w.counts()
	})
	kept := slices.DeleteFunc(before, func(id string) bool { return id == victim.ID })
	if now := w.complete(2); len(kept) != 1 || !slices.Contains(now, kept[0]) {
		t.Errorf("the healthy task %v was touched: %v", kept, now)
	}
}

// TestReadiness: a new task that is not ready holds up the upgrade, and an old one goes only when it is (behaviour 8.8);
// a server that begins in the middle asks it again and goes on with it, as in Marathon's RestartIntegrationTest.
func TestReadiness(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gate := object{"healthChecks": []any{}, "upgradeStrategy": object{"minimumHealthCapacity": 1, "maximumOverCapacity": 0.5},
		"readinessChecks": []any{object{"name": "gate", "protocol": "HTTP", "path": "/ready", "portName": "http", "intervalSeconds": 2, "timeoutSeconds": 1,
			"httpStatusCodesForReady": []int{200}, "preserveLastResponse": true}}}
	w.put(w.web("first", 2, gate), "")
	w.open("first", 2)
	w.quiet()
	old := w.ids()
	w.put(w.web("second", 2, gate), "")
	w.heldUp(old)
	halfway := w.ids()
	w.crash()
	w.heldUp(old)
	if now := w.ids(); !slices.Equal(now, halfway) {
		t.Errorf("tasks %v after the crash, were %v", now, halfway)
	}
	w.open("second", 2)
	w.quiet()
	now := w.ids()
	for _, id := range halfway {
		if slices.Contains(now, id) == slices.Contains(old, id) {
			t.Errorf("of %v the old ones %v should be gone and the new one kept: %v", halfway, old, now)
		}
	}
}

// heldUp waits until one new task runs beside the old ones and is seen as not ready.
func (w *world) heldUp(old []string) {
	w.Helper()
	harness.Await(w, deployLimit, "one new task runs and is seen as not ready", func() (bool, string) {
		list := w.deployments()
		seen := false
		for _, d := range list {
			for _, a := range d.CurrentActions {
				for _, r := range a.ReadinessCheckResults {
					seen = seen || !r.Ready && !slices.Contains(old, r.TaskID)
				}
			}
		}
		return seen && len(w.ids()) == 3, fmt.Sprintf("%+v", list)
	})
	for _, id := range old {
		if !slices.Contains(w.ids(), id) {
			w.Errorf("old task %s went before a new one was ready: %v", id, w.ids())
		}
	}
}
