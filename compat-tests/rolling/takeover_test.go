package rolling

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"stadion/compat-tests/harness"
)

// ids are the ids of all tasks of apps and of the containers of pods that a server shows.
func ids(api *harness.API) map[string]bool {
	out := map[string]bool{}
	var list struct{ Tasks []struct{ ID string } }
	api.Get("/v2/tasks", &list)
	for _, task := range list.Tasks {
		out[task.ID] = true
	}
	var pods []struct {
		Instances []struct {
			Containers []struct{ ContainerID string }
		}
	}
	api.Get("/v2/pods/::status", &pods)
	for _, p := range pods {
		for _, i := range p.Instances {
			for _, c := range i.Containers {
				out[c.ContainerID] = true
			}
		}
	}
	return out
}

func run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(harness.Binary(t), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("stadion %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func idle(t *testing.T, api *harness.API, tasks int) {
	t.Helper()
	harness.Await(t, moment, fmt.Sprintf("%d tasks run and nothing is deployed", tasks), func() (bool, string) {
		res, err := api.Try(http.MethodGet, "/v2/deployments", nil)
		if err != nil || res.Status != http.StatusOK || string(res.Body) != "[]" {
			return false, fmt.Sprint(string(res.Body), err)
		}
		running := strings.Count(string(api.Must(http.MethodGet, "/v2/tasks", nil).Body), `"state":"TASK_RUNNING"`) +
			strings.Count(string(api.Must(http.MethodGet, "/v2/pods/::status", nil).Body), `"status":"TASK_RUNNING"`)
		return running == tasks, fmt.Sprint(running, " run")
	})
}

// TestTakeOver: a server that starts on what stadion import took from another one with the same API goes on with its
// framework id and its tasks: zero restarts; and the old one takes them back (U3).
func TestTakeOver(t *testing.T) {
	t.Parallel()
	ports := harness.NewPorts(t)
	_, master := harness.Minimesos(t, t.TempDir(), "--simulated", "--agents", "2", "--attributes", "rack:r1", "--resources", "cpus:100;mem:100000;disk:100000;ports:[31000-31999]")
	w := &world{t: t, master: master}
	serve := func(endpoint, port string) (*harness.Process, *harness.API) {
		p := harness.Start(t, "server", "--master", master, "--etcd_endpoints", endpoint, "--http_address", "127.0.0.1", "--http_port", port,
			"--hostname", "127.0.0.1", "--etcd_lease_ttl", "5", "--mesos_leader_ui_url", "http://"+master)
		return p, harness.NewAPI(t, p.Ready())
	}
	oldEtcd, newEtcd := harness.StartEtcd(t, ports).Endpoint, harness.StartEtcd(t, ports).Endpoint
	oldPort, newPort := strconv.Itoa(ports.Next(t)), strconv.Itoa(ports.Next(t))
	old, api := serve(oldEtcd, oldPort)
	api.Must(http.MethodPut, "/v2/groups", map[string]any{"id": "/shop", "groups": []any{
		map[string]any{"id": "db", "apps": []any{map[string]any{"id": "main", "cmd": "sleep 1000", "cpus": 0.1, "mem": 32, "instances": 2}}},
		map[string]any{"id": "web", "dependencies": []string{"/shop/db"}, "apps": []any{map[string]any{"id": "front", "cmd": "sleep 1000", "cpus": 0.1, "mem": 32,
			"instances": 3, "constraints": []any{[]string{"rack", "LIKE", "r1"}}, "portDefinitions": []any{map[string]any{"port": 0, "name": "http"}, map[string]any{"port": 0}}}}},
	}})
	api.Must(http.MethodPost, "/v2/pods", map[string]any{"id": "/pod", "scaling": map[string]any{"kind": "fixed", "instances": 2}, "containers": []any{
		map[string]any{"name": "one", "resources": map[string]any{"cpus": 0.1, "mem": 32}, "exec": map[string]any{"command": map[string]any{"shell": "sleep 1000"}},
			"endpoints": []any{map[string]any{"name": "e", "hostPort": 0}}},
		map[string]any{"name": "two", "resources": map[string]any{"cpus": 0.1, "mem": 32}, "exec": map[string]any{"command": map[string]any{"shell": "sleep 1000"}}}},
		"networks": []any{map[string]any{"mode": "host"}}})
	const tasks = 2 + 3 + 4
	idle(t, api, tasks)
	api.Must(http.MethodPut, "/v2/apps/shop/web/front", map[string]any{"instances": 4}) // tasks of an older version than the app's
	idle(t, api, tasks+1)
	before, shown := ids(api), api.Must(http.MethodGet, "/v2/apps/shop/web/front/tasks", nil)

	file := filepath.Join(t.TempDir(), "state.tar.gz")
	told := run(t, "import", "--from", api.URL, file)
	if !strings.Contains(told, "4 groups, 2 apps, 1 pods, 10 tasks") && !strings.Contains(told, "3 groups, 2 apps, 1 pods, 10 tasks") {
		t.Errorf("import says %s", told)
	}
	if strings.Contains(told, "warning") || strings.Contains(told, "not taken over") {
		t.Errorf("import says %s", told)
	}
	old.Stop()
	run(t, "restore", "--etcd_endpoints", newEtcd, file)
	next, api := serve(newEtcd, newPort)
	idle(t, api, tasks+1)
	if after := ids(api); !maps.Equal(before, after) {
		t.Errorf("tasks were %v and are %v", before, after)
	}
	if now := api.Must(http.MethodGet, "/v2/apps/shop/web/front/tasks", nil); !sameTasks(t, shown, now) {
		t.Errorf("tasks were shown as\n%s\nand are\n%s", shown.Body, now.Body)
	}
	// A change touches nothing but what it changes: what was taken over is not outdated.
	api.Must(http.MethodPut, "/v2/apps/shop/web/front", map[string]any{"instances": 5})
	idle(t, api, tasks+2)
	api.Must(http.MethodPut, "/v2/groups", map[string]any{"scaleBy": 1.0})
	idle(t, api, tasks+2)
	live, ended := w.cluster()
	if len(ended) > 0 || len(live) != tasks+2 {
		t.Errorf("%d tasks live, ended %v", len(live), ended)
	}

	// The way back: the old server still has its state and the framework id.
	next.Stop()
	_, api = serve(oldEtcd, oldPort)
	idle(t, api, tasks+1)
	if after := ids(api); !maps.Equal(before, after) {
		t.Errorf("back again, tasks were %v and are %v", before, after)
	}
}

// sameTasks compares what clients see of tasks.
func sameTasks(t *testing.T, a, b harness.Answer) bool {
	t.Helper()
	read := func(x harness.Answer) map[string]string {
		var list struct{ Tasks []map[string]any }
		if err := json.Unmarshal(x.Body, &list); err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, task := range list.Tasks {
			text, err := json.Marshal(task)
			if err != nil {
				t.Fatal(err)
			}
			out[fmt.Sprint(task["id"])] = string(text)
		}
		return out
	}
	return maps.Equal(read(a), read(b))
}
