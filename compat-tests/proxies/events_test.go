package proxies

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

const (
	beat = 2 * time.Minute // an empty line comes about every 10 s (http-api.md 11.1)
	soon = 3 * time.Second // for what must not come
)

func of(kind string, fields ...any) func(harness.Event) bool {
	return func(e harness.Event) bool {
		ok := e.Type == kind && e.Data["eventType"] == kind && e.Data["timestamp"] != nil
		for n := 0; ok && n < len(fields); n += 2 {
			ok = e.Data[fields[n].(string)] == fields[n+1]
		}
		return ok
	}
}

// TestEvents follows one app with health checks through the stream, in the order
// of http-api.md 11.5.
func TestEvents(t *testing.T) {
	t.Parallel()
	srv := harness.Dev(t)
	all := srv.OpenEvents("", nil)
	all.Next(limit, "the first event is the stream's own", of("event_stream_attached"))
	lb := srv.OpenEvents("?plan-format=light&event_type=status_update_event&event_type=health_status_changed_event&event_type=api_post_event", nil)
	only := srv.OpenEvents("?event_type=app_terminated_event", nil)
	app := srv.Must("POST", "/v2/apps", web("/web", 1), http.StatusCreated)
	deployment := at(app.JSON(), "deployments", 0, "id")
	version := at(app.JSON(), "version")
	all.Next(limit, "start", func(e harness.Event) bool { return of("deployment_info")(e) && at(e.Data, "plan", "id") == deployment })
	all.Next(limit, "started", of("deployment_step_success"))
	second, _ := all.Next(limit, "scale", of("deployment_info"))
	if action := at(second.Data, "currentStep", "actions", 0, "action"); action != "ScaleApplication" {
		t.Errorf("the second step is %v", action)
	}
	if at(second.Data, "plan", "original") != nil || at(second.Data, "plan", "target") != nil || at(second.Data, "plan", "version") != version {
		t.Errorf("not a light plan: %v", second.Data["plan"])
	}
	all.Next(limit, "running", of("instance_changed_event", "runSpecId", "/web", "condition", "Running", "runSpecVersion", version, "host", "127.0.0.1"))
	all.Next(limit, "healthy", of("health_status_changed_event", "appId", "/web", "alive", true, "version", version))
	last, before := all.Next(limit, "success", of("deployment_success", "id", deployment))
	for _, e := range append(before, last) {
		if e.ID == "" {
			t.Errorf("%s has no id (D-33)", e.Type)
		}
	}
	lb.Next(limit, "marathon-lb hears of the app", of("api_post_event", "uri", "/v2/apps"))
	up, _ := lb.Next(limit, "marathon-lb hears of the task", of("status_update_event", "taskStatus", "TASK_RUNNING", "appId", "/web", "host", "127.0.0.1", "version", version))
	if n, _ := up.Data["ports"].([]any); len(n) != 1 {
		t.Errorf("ports %v", up.Data["ports"])
	}
	lb.Next(limit, "marathon-lb hears of its health", of("health_status_changed_event", "alive", true))
	srv.Must("DELETE", "/v2/apps/web", nil)
	down, _ := lb.Next(limit, "the end of the task", of("status_update_event", "taskStatus", "TASK_KILLED"))
	if n, _ := down.Data["ports"].([]any); down.Data["host"] != "127.0.0.1" || len(n) != 1 {
		t.Errorf("the update of a killed task lacks host or ports: %v", down.Data)
	}
	if _, before := only.Next(limit, "termination", of("app_terminated_event", "appId", "/web")); len(before) > 0 {
		t.Errorf("the filter let through %v", before)
	}
	replay(t, srv, last.ID)
	select {
	case <-all.Beats:
	case <-time.After(beat):
		t.Errorf("no empty line within %s", beat)
	}
}

// replay asks for what came after an event (D-33): not that event, and at least the
// end of the app.
func replay(t *testing.T, srv *harness.Server, id string) {
	t.Helper()
	again := srv.OpenEvents("", map[string]string{"Last-Event-ID": id})
	_, before := again.Next(limit, "the replay goes on to the end of the app", of("app_terminated_event", "appId", "/web"))
	for _, e := range before {
		if e.ID == id {
			t.Error("the replay repeats the event that was seen last")
		}
		if of("deployment_info")(e) && at(e.Data, "currentStep", "actions", 0, "action") == "StartApplication" {
			t.Error("the replay begins before the event that was seen last")
		}
	}
	fresh := srv.OpenEvents("?event_type=app_terminated_event", nil)
	select {
	case e := <-fresh.Events:
		t.Errorf("without Last-Event-ID nothing is replayed, yet %s came", e.Type)
	case <-time.After(soon):
	}
}

// TestUnhealthy: a task that answers with 404 one day is killed after its failures and
// replaced, with the events proxies and operators wait for.
func TestUnhealthy(t *testing.T) {
	t.Parallel()
	srv := harness.Dev(t)
	stream := srv.OpenEvents("?event_type=unhealthy_instance_kill_event&event_type=failed_health_check_event&event_type=status_update_event", nil)
	app := web("/ill", 1)
	app["readinessChecks"] = []any{}
	app["cmd"] = "touch here; " + app["cmd"].(string)
	app["healthChecks"] = []any{map[string]any{"protocol": "HTTP", "path": "/here", "portIndex": 0, "gracePeriodSeconds": 120, "intervalSeconds": 1,
		"timeoutSeconds": 30, "maxConsecutiveFailures": 2}}
	deploy(t, srv.API, app)
	var first struct{ Tasks []struct{ ID string } }
	srv.Get("/v2/apps/ill/tasks", &first)
	if err := os.Remove(filepath.Join(harness.Sandbox(t, srv.Dir, first.Tasks[0].ID, limit), "here")); err != nil {
		t.Fatal(err)
	}
	stream.Next(limit, "a failed check", of("failed_health_check_event", "appId", "/ill"))
	harness.Await(t, limit, "the counts show it", func() (bool, string) {
		body := srv.Must("GET", "/v2/apps/ill", nil)
		return at(body.JSON(), "app", "tasksUnhealthy") == 1.0, string(body.Body)
	})
	killed, _ := stream.Next(limit, "a kill for ill health", of("unhealthy_instance_kill_event", "appId", "/ill", "host", "127.0.0.1"))
	if killed.Data["taskId"] != first.Tasks[0].ID {
		t.Errorf("%v was killed, not %s", killed.Data["taskId"], first.Tasks[0].ID)
	}
	if reason, _ := killed.Data["reason"].(string); reason != "404 File not found" && reason != "404 Not Found" {
		t.Errorf("reason %q", reason)
	}
	again, _ := stream.Next(limit, "another task", of("status_update_event", "taskStatus", "TASK_RUNNING"))
	if again.Data["taskId"] == killed.Data["taskId"] {
		t.Errorf("the same task %v runs again", again.Data["taskId"])
	}
	srv.Must("DELETE", "/v2/apps/ill?force=true", nil)
	harness.NoneLeft(t, srv.Dir, limit)
}

// TestReadiness: a deployment waits for the readiness check, shows its results, and
// ends when the service says it is ready.
func TestReadiness(t *testing.T) {
	t.Parallel()
	srv := harness.Dev(t)
	app := web("/slow", 1)
	app["healthChecks"] = []any{}
	app["readinessChecks"] = []any{map[string]any{"name": "up", "portName": "http", "path": "/ready", "intervalSeconds": 2, "timeoutSeconds": 1,
		"httpStatusCodesForReady": []int{200}, "preserveLastResponse": true}}
	srv.Must("POST", "/v2/apps", app, http.StatusCreated)
	harness.Await(t, limit, "the result of the check is shown", func() (bool, string) {
		res := srv.Must("GET", "/v2/deployments", nil)
		result := at(res.JSON(), 0, "currentActions", 0, "readinessCheckResults", 0)
		ok := at(result, "name") == "up" && at(result, "ready") == false && at(result, "lastResponse", "status") == 404.0
		shown := srv.Must("GET", "/v2/apps/slow?embed=app.readiness", nil)
		return ok && at(shown.JSON(), "app", "readinessCheckResults", 0, "ready") == false, string(res.Body) + string(shown.Body)
	})
	var task struct{ Tasks []struct{ ID string } }
	srv.Get("/v2/apps/slow/tasks", &task)
	pids := harness.TaskPids(t, srv.Dir)[task.Tasks[0].ID]
	if len(pids) != 1 {
		t.Fatalf("processes %v of task %s", pids, task.Tasks[0].ID)
	}
	if err := touch(fmt.Sprintf("/proc/%d/cwd/ready", pids[0])); err != nil {
		t.Fatal(err)
	}
	harness.Await(t, limit, "the deployment ends", func() (bool, string) {
		body := string(srv.Must("GET", "/v2/deployments", nil).Body)
		return body == "[]", body
	})
	srv.Must("DELETE", "/v2/apps/slow", nil)
	harness.NoneLeft(t, srv.Dir, limit)
}

// TestDependencies: a group is started and stopped in the order of its dependencies.
func TestDependencies(t *testing.T) {
	t.Parallel()
	srv := harness.Dev(t)
	part := func(id string, needs ...string) map[string]any {
		return map[string]any{"id": id, "cmd": "exec sleep 1000", "cpus": 0.1, "mem": 16, "dependencies": needs}
	}
	group := map[string]any{"id": "/shop", "apps": []any{part("web", "cache", "/shop/db"), part("cache", "db"), part("db")}}
	stream := srv.OpenEvents("?event_type=status_update_event", nil)
	running := func(app string) func(harness.Event) bool {
		return of("status_update_event", "taskStatus", "TASK_RUNNING", "appId", app)
	}
	srv.Must("PUT", "/v2/groups/shop", group, http.StatusOK, http.StatusCreated)
	for _, id := range []string{"/shop/db", "/shop/cache", "/shop/web"} {
		_, before := stream.Next(limit, id+" starts", running(id))
		for _, e := range before {
			if e.Data["taskStatus"] == "TASK_RUNNING" {
				t.Errorf("%v runs before %s", e.Data["appId"], id)
			}
		}
	}
	harness.Await(t, limit, "the deployment ends", func() (bool, string) {
		body := string(srv.Must("GET", "/v2/deployments", nil).Body)
		return body == "[]", body
	})
	srv.Must("DELETE", "/v2/groups/shop?force=true", nil)
	harness.NoneLeft(t, srv.Dir, limit)
	if res := srv.Must("GET", "/v2/groups/shop", nil, http.StatusNotFound); at(res.JSON(), "message") != "Group '/shop' does not exist" {
		t.Errorf("%s", res.Body)
	}
}
