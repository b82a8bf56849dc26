package spine

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

// appTasks are the tasks of an app by id, with their host.
func (k *kind) appTasks(id string) map[string]string {
	k.Helper()
	var list struct {
		Tasks []struct{ ID, State, Host string }
	}
	k.srv.Get("/v2/apps"+id+"/tasks", &list)
	out := map[string]string{}
	for _, task := range list.Tasks {
		if task.State == "TASK_RUNNING" {
			out[task.ID] = task.Host
		}
	}
	return out
}

// TestFailedUpgrade: a version that crashes and has a health check replaces nobody
// at minimumHealthCapacity 1 (without one, it would count as healthy while it runs:
// D-01); cancelling the deployment brings the old definition back, as a new version
// to which all tasks move (behaviour 1.3 and 2.5), without ever going below the
// capacity.
func TestFailedUpgrade(t *testing.T) {
	t.Parallel()
	k := &kind{T: t, srv: harness.Dev(t)}
	const works = "exec python3 -m http.server $PORT0"
	k.srv.Must("POST", "/v2/apps", map[string]any{"id": "/app", "cmd": works, "cpus": 0.1, "mem": 16, "instances": 3, "backoffSeconds": 1,
		"healthChecks": []any{map[string]any{"protocol": "HTTP", "path": "/", "portIndex": 0, "gracePeriodSeconds": 120, "intervalSeconds": 1, "timeoutSeconds": 30}}}, http.StatusCreated)
	k.quiet()
	before := k.appTasks("/app")
	res := k.srv.Must("PUT", "/v2/apps/app", map[string]any{"cmd": "exit 1"})
	id, _ := res.JSON().(map[string]any)["deploymentId"].(string)
	harness.Await(t, deployLimit, "the new version backs off", func() (bool, string) {
		body := k.srv.Must("GET", "/v2/queue", nil)
		return strings.Contains(string(body.Body), `"overdue":false`), string(body.Body)
	})
	now := k.appTasks("/app")
	for id := range before {
		if now[id] == "" {
			t.Errorf("task %s was replaced by a version that never was healthy", id)
		}
	}
	k.srv.Must("PUT", "/v2/apps/app", map[string]any{"instances": 4}, http.StatusConflict)
	k.srv.Must("DELETE", "/v2/deployments/"+id, nil, http.StatusOK)
	harness.Await(t, deployLimit, "the rollback ends", func() (bool, string) {
		if now := k.appTasks("/app"); len(now) < 3 {
			t.Errorf("during the rollback only %v run", now)
		}
		body := string(k.srv.Must("GET", "/v2/deployments", nil).Body)
		return body == "[]", body
	})
	if now = k.appTasks("/app"); len(now) != 3 {
		t.Errorf("after the rollback %v run, want 3", now)
	}
	var app struct{ App struct{ Cmd string } }
	k.srv.Get("/v2/apps/app", &app)
	if app.App.Cmd != works {
		t.Errorf("cmd is %q after the rollback", app.App.Cmd)
	}
	if queue := string(k.srv.Must("GET", "/v2/queue", nil).Body); queue != `{"queue":[]}` {
		t.Errorf("still in the queue: %s", queue)
	}
	k.srv.Must("DELETE", "/v2/apps/app", nil)
	harness.NoneLeft(t, k.srv.Dir, reachLimit)
}

// TestConstraint: at most one task per host, on three hosts; the fourth waits and
// the queue says why.
func TestConstraint(t *testing.T) {
	t.Parallel()
	k := &kind{T: t, srv: harness.Dev(t, "--agents", "3", "--attributes", "rack:r%d")}
	k.srv.Must("POST", "/v2/apps", map[string]any{"id": "/app", "cmd": "exec sleep 1000", "cpus": 0.1, "mem": 16, "instances": 4, "portDefinitions": []any{},
		"constraints": [][]string{{"rack", "UNIQUE"}}}, http.StatusCreated)
	harness.Await(t, deployLimit, "three run on three hosts", func() (bool, string) {
		tasks := k.appTasks("/app")
		hosts := slices.Compact(slices.Sorted(maps.Values(tasks)))
		return len(tasks) == 3 && len(hosts) == 3, fmt.Sprint(tasks)
	})
	harness.Await(t, deployLimit, "the queue names the constraint", func() (bool, string) {
		var list struct {
			Queue []struct {
				Count                  int
				ProcessedOffersSummary struct {
					RejectSummaryLastOffers []struct {
						Reason   string
						Declined int
					}
				}
			}
		}
		k.srv.Get("/v2/queue", &list)
		for _, item := range list.Queue {
			for _, r := range item.ProcessedOffersSummary.RejectSummaryLastOffers {
				if item.Count == 1 && r.Reason == "UnfulfilledConstraint" && r.Declined > 0 {
					return true, ""
				}
			}
		}
		return false, fmt.Sprintf("%+v", list)
	})
	k.srv.Must("PUT", "/v2/apps/app?force=true", map[string]any{"instances": 3})
	k.quiet()
	k.srv.Must("DELETE", "/v2/apps/app", nil)
	harness.NoneLeft(t, k.srv.Dir, reachLimit)
}

// TestTaskEnvironment: what a task finds in its environment (behaviour 6.4).
func TestTaskEnvironment(t *testing.T) {
	t.Parallel()
	k := &kind{T: t, srv: harness.Dev(t)}
	created := k.srv.Must("POST", "/v2/apps", map[string]any{"id": "/team/app", "cmd": "exec sleep 1000", "cpus": 0.1, "mem": 16.5,
		"labels": map[string]string{"some-key": "a value", "b": "2"}, "env": map[string]string{"MINE": "$HOME \"quoted\"", "PORT1": "mine"},
		"portDefinitions": []any{map[string]any{"port": 0, "name": "http"}, map[string]any{"port": 0, "name": "admin"}}}, http.StatusCreated)
	k.quiet()
	var list struct {
		Tasks []struct {
			ID    string
			Ports []int
		}
	}
	k.srv.Get("/v2/apps/team/app/tasks", &list)
	task := list.Tasks[0]
	pids := harness.TaskPids(t, k.srv.Dir)[task.ID]
	if len(pids) != 1 || len(task.Ports) != 2 {
		t.Fatalf("processes %v, ports %v", pids, task.Ports)
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pids[0]))
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for _, kv := range strings.Split(string(text), "\x00") {
		name, value, _ := strings.Cut(kv, "=")
		env[name] = value
	}
	version, _ := created.JSON().(map[string]any)["version"].(string)
	for name, want := range map[string]string{
		"MESOS_TASK_ID": task.ID, "MARATHON_APP_ID": "/team/app", "MARATHON_APP_VERSION": version, "HOST": "127.0.0.1",
		"MARATHON_APP_RESOURCE_CPUS": "0.1", "MARATHON_APP_RESOURCE_MEM": "16.5", "MARATHON_APP_RESOURCE_DISK": "0.0", "MARATHON_APP_RESOURCE_GPUS": "0",
		"MARATHON_APP_LABEL_SOME_KEY": "a value", "MARATHON_APP_LABEL_B": "2", "MINE": "$HOME \"quoted\"", "PORT1": "mine",
		"PORT0": fmt.Sprint(task.Ports[0]), "PORT": fmt.Sprint(task.Ports[0]), "PORTS": fmt.Sprintf("%d,%d", task.Ports[0], task.Ports[1]),
		"PORT_HTTP": fmt.Sprint(task.Ports[0]), "PORT_ADMIN": fmt.Sprint(task.Ports[1]),
	} {
		if env[name] != want {
			t.Errorf("%s is %q, want %q", name, env[name], want)
		}
	}
	labels := strings.Fields(env["MARATHON_APP_LABELS"])
	slices.Sort(labels)
	if !slices.Equal(labels, []string{"B", "SOME_KEY"}) {
		t.Errorf("MARATHON_APP_LABELS is %q", env["MARATHON_APP_LABELS"])
	}
	k.srv.Must("DELETE", "/v2/apps/team/app", nil)
	harness.NoneLeft(t, k.srv.Dir, reachLimit)
}

// TestKillGrace: a task has its grace period between SIGTERM and SIGKILL, and no more.
func TestKillGrace(t *testing.T) {
	t.Parallel()
	k := &kind{T: t, srv: harness.Dev(t)}
	const grace = 2 // seconds
	k.srv.Must("POST", "/v2/apps", map[string]any{"id": "/tidy", "cmd": `trap "sleep 1; touch tidied; exit 0" TERM; touch up; while :; do sleep 0.1; done`,
		"cpus": 0.1, "mem": 16, "taskKillGracePeriodSeconds": 30}, http.StatusCreated)
	k.srv.Must("POST", "/v2/apps", map[string]any{"id": "/deaf", "cmd": `trap "" TERM; touch up; while :; do sleep 0.1; done`,
		"cpus": 0.1, "mem": 16, "taskKillGracePeriodSeconds": grace}, http.StatusCreated)
	k.quiet()
	sandboxes := map[string]string{}
	for id := range harness.TaskPids(t, k.srv.Dir) {
		name, _, _ := strings.Cut(id, ".")
		dir := harness.Sandbox(t, k.srv.Dir, id, reachLimit)
		sandboxes[name] = dir
		harness.Await(t, reachLimit, name+" has set its trap", func() (bool, string) {
			_, err := os.Stat(dir + "/up")
			return err == nil, dir
		})
	}
	began := time.Now()
	k.srv.Must("DELETE", "/v2/apps/tidy", nil)
	k.srv.Must("DELETE", "/v2/apps/deaf", nil)
	harness.NoneLeft(t, k.srv.Dir, reachLimit)
	if took := time.Since(began); took < grace*time.Second {
		t.Errorf("a deaf task was killed after %s, its grace period is %d s", took, grace)
	}
	if _, err := os.Stat(sandboxes["tidy"] + "/tidied"); err != nil {
		t.Errorf("the tidy task had no time to tidy: %v", err)
	}
	k.quiet()
}
