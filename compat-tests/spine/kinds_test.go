package spine

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stadion/compat-tests/harness"
)

// kind is a server with what the tests of pods and volumes ask it.
type kind struct {
	*testing.T
	srv *harness.Server
}

// quiet waits until no deployment runs.
func (k *kind) quiet() {
	k.Helper()
	harness.Await(k, deployLimit, "no deployment runs", func() (bool, string) {
		body := string(k.srv.Must("GET", "/v2/deployments", nil).Body)
		return body == "[]", body
	})
}

type podStatus struct {
	Status    string
	Instances []struct {
		ID, Status string
		Containers []struct {
			Name, Status, ContainerID string
			Endpoints                 []struct {
				Name              string
				AllocatedHostPort int
			}
		}
	}
}

// stable waits until the pod has n stable instances and no others.
func (k *kind) stable(n int, without ...string) podStatus {
	k.Helper()
	var out podStatus
	harness.Await(k, deployLimit, fmt.Sprintf("the pod has %d stable instances", n), func() (bool, string) {
		out = podStatus{}
		k.srv.Get("/v2/pods/team/pod::status", &out)
		ok := len(out.Instances) == n && out.Status == "STABLE"
		for _, i := range out.Instances {
			ok = ok && i.Status == "STABLE"
			for _, id := range without {
				ok = ok && i.ID != id
			}
		}
		return ok, fmt.Sprintf("%+v", out)
	})
	return out
}

// TestPod: two containers of one pod live and die together.
func TestPod(t *testing.T) {
	t.Parallel()
	k := &kind{T: t, srv: harness.Dev(t)}
	resources := map[string]any{"cpus": 0.1, "mem": 32}
	pod := map[string]any{"id": "/team/pod", "networks": []any{map[string]any{"mode": "host"}}, "scaling": map[string]any{"kind": "fixed", "instances": 1},
		"containers": []any{
			map[string]any{"name": "web", "resources": resources, "exec": map[string]any{"command": map[string]any{"shell": "exec python3 -m http.server $ENDPOINT_HTTP"}},
				"endpoints": []any{map[string]any{"name": "http", "hostPort": 0}}},
			map[string]any{"name": "side", "resources": resources, "exec": map[string]any{"command": map[string]any{"shell": "exec sleep 1000"}}},
		}}
	if res := k.srv.Must("POST", "/v2/pods", pod, http.StatusCreated); res.Header.Get("Marathon-Deployment-Id") == "" {
		t.Error("no deployment id")
	}
	k.quiet()
	one := k.stable(1)
	for _, c := range one.Instances[0].Containers {
		if pids := harness.TaskPids(t, k.srv.Dir)[c.ContainerID]; len(pids) != 1 || c.Status != "TASK_RUNNING" {
			t.Errorf("container %+v has processes %v", c, pids)
		}
		for _, e := range c.Endpoints {
			api := harness.NewAPI(t, fmt.Sprintf("http://127.0.0.1:%d", e.AllocatedHostPort))
			harness.Await(t, reachLimit, "the endpoint answers", func() (bool, string) {
				res, err := api.Try("GET", "/", nil)
				return err == nil && res.Status == http.StatusOK, fmt.Sprint(res.Status, err)
			})
		}
	}
	pod["scaling"] = map[string]any{"kind": "fixed", "instances": 2}
	k.srv.Must("PUT", "/v2/pods/team/pod", pod, http.StatusOK)
	k.quiet()
	two := k.stable(2)
	victim := two.Instances[0].ID
	k.srv.Must("DELETE", "/v2/pods/team/pod::instances/"+victim, nil, http.StatusOK)
	harness.Await(t, deployLimit, "the containers of the killed instance are gone", func() (bool, string) {
		pids := harness.TaskPids(t, k.srv.Dir)
		_, web := pids[two.Instances[0].Containers[0].ContainerID]
		_, side := pids[two.Instances[0].Containers[1].ContainerID]
		return !web && !side && len(pids) == 4, fmt.Sprint(pids)
	})
	k.stable(2)
	pod["environment"] = map[string]string{"COLOUR": "green"}
	k.srv.Must("PUT", "/v2/pods/team/pod", pod, http.StatusOK)
	k.quiet()
	before := []string{two.Instances[0].ID, two.Instances[1].ID}
	k.stable(2, before[1])
	k.srv.Must("DELETE", "/v2/pods/team/pod", nil, http.StatusAccepted)
	k.quiet()
	harness.NoneLeft(t, k.srv.Dir, reachLimit)
}

// TestPersistentVolume: what a task wrote to its volume is there for the next one,
// and the volume ends with the app.
func TestPersistentVolume(t *testing.T) {
	t.Parallel()
	k := &kind{T: t, srv: harness.Dev(t, "--mesos_role", "db", "--mesos_authentication_principal", "stadion")}
	app := map[string]any{"id": "/db", "cmd": "echo $MESOS_TASK_ID >> data/log; exec sleep 1000", "cpus": 0.1, "mem": 32,
		"container": map[string]any{"type": "MESOS", "volumes": []any{map[string]any{"containerPath": "data", "mode": "RW", "persistent": map[string]any{"size": 16}}}}}
	k.srv.Must("POST", "/v2/apps", app, http.StatusCreated)
	k.quiet()
	lines := func() (string, []string) {
		var list struct {
			Tasks []struct {
				ID, State    string
				LocalVolumes []struct{ PersistenceID string }
			}
		}
		k.srv.Get("/v2/apps/db/tasks", &list)
		if len(list.Tasks) != 1 || list.Tasks[0].State != "TASK_RUNNING" || len(list.Tasks[0].LocalVolumes) != 1 {
			return "", nil
		}
		id := list.Tasks[0].ID
		for _, pid := range harness.TaskPids(t, k.srv.Dir)[id] {
			if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cwd/data/log", pid)); err == nil {
				return list.Tasks[0].LocalVolumes[0].PersistenceID, strings.Fields(string(text))
			}
		}
		return "", nil
	}
	var volume string
	wrote := func(n int) {
		t.Helper()
		harness.Await(t, deployLimit, fmt.Sprintf("%d tasks have written to the volume", n), func() (bool, string) {
			id, all := lines()
			if volume == "" {
				volume = id
			}
			return len(all) == n && id == volume, fmt.Sprint(id, all, string(k.srv.Must("GET", "/v2/apps/db/tasks", nil).Body))
		})
	}
	wrote(1)
	k.srv.Must("DELETE", "/v2/apps/db/tasks", nil, http.StatusOK)
	wrote(2)
	k.srv.Must("POST", "/v2/apps/db/restart", nil, http.StatusOK)
	wrote(3)
	k.quiet()
	if logs := k.logs(); len(logs) != 1 {
		t.Errorf("the log of the running task is found at %v", logs)
	}
	k.srv.Must("DELETE", "/v2/apps/db", nil)
	k.quiet()
	harness.NoneLeft(t, k.srv.Dir, reachLimit)
	harness.Await(t, deployLimit, "the volume is destroyed", func() (bool, string) {
		logs := k.logs()
		return len(logs) == 0, fmt.Sprint(logs)
	})
}

// logs are the files called log that have something in them, wherever the agents
// keep volumes; links to volumes are not followed.
func (k *kind) logs() []string {
	k.Helper()
	var out []string
	err := filepath.WalkDir(k.srv.Dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && e.Name() == "log" {
			out = append(out, path)
		}
		return nil
	})
	if err != nil {
		k.Fatal(err)
	}
	return out
}
