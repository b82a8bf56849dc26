package crash

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

const (
	settleLimit  = 3 * time.Minute
	processLimit = 90 * time.Second // for processes that were told to end, or will by themselves

	operationsPerRound = 9
	askAgain           = 50 * time.Millisecond
)

// script is the operations on a world, and what was seen.
type script struct {
	t    *testing.T
	w    *world
	pids map[string]int // process of each task ever seen

	operations, acknowledged, lost, restarted, orphaned, doubled int
}

type app struct {
	ID        string            `json:"id"`
	Instances int               `json:"instances"`
	Env       map[string]string `json:"env"`
	Version   string            `json:"version"`
	Tasks     []task            `json:"tasks"`
}

type task struct {
	ID    string `json:"id"`
	AppID string `json:"appId"`
	State string `json:"state"`
}

// operation is one step of the script.
type operation struct {
	name, method, path string
	body               any
	// applied tells from an answer to GET path whether the operation is done: asked when no answer came.
	applied func(a *app, found bool) bool
	// expect judges the tasks of the app before and after.
	expect func(before, after []string) string
}

// round is the life of an app and of a nested one, from creation to deletion.
func (s *script) round(n int) []operation {
	generation := func(g string) map[string]string { return map[string]string{"GENERATION": fmt.Sprintf("%d-%s", n, g)} }
	definition := func(g string, instances int) map[string]any {
		// Little room for the upgrade: it takes several waves, each of them a moment to die in.
		return map[string]any{"cmd": "exec sleep 100000", "cpus": 0.01, "mem": 16, "instances": instances, "env": generation(g),
			"upgradeStrategy": map[string]any{"minimumHealthCapacity": 0.8, "maximumOverCapacity": 0.2}}
	}
	is := func(g string, instances int) func(*app, bool) bool {
		return func(a *app, found bool) bool {
			return found && a.Instances == instances && a.Env["GENERATION"] == generation(g)["GENERATION"]
		}
	}
	gone := func(_ *app, found bool) bool { return !found }
	return []operation{
		{"create", "PUT", "/v2/apps/web?force=true", definition("a", 1), is("a", 1), size(1)},
		{"scale up", "PUT", "/v2/apps/web?force=true", map[string]any{"instances": 10}, is("a", 10), both(size(10), keepsAll)},
		{"upgrade", "PUT", "/v2/apps/web?force=true", definition("b", 10), is("b", 10), both(size(10), keepsNone)},
		{"scale down", "PUT", "/v2/apps/web?force=true", map[string]any{"instances": 2}, is("b", 2), both(size(2), startsNone)},
		{"restart", "POST", "/v2/apps/web/restart?force=true", nil, nil, both(size(2), keepsNone)},
		{"nest", "PUT", "/v2/apps/prod/shop/web?force=true", definition("a", 2), is("a", 2), size(2)},
		{"roll back", "PUT", "/v2/apps/web?force=true", definition("a", 2), is("a", 2), both(size(2), keepsNone)},
		{"delete nested", "DELETE", "/v2/apps/prod/shop/web?force=true", nil, gone, size(0)},
		{"delete", "DELETE", "/v2/apps/web?force=true", nil, gone, size(0)},
	}
}

func size(n int) func(_, after []string) string {
	return func(_, after []string) string {
		if len(after) != n {
			return fmt.Sprintf("%d tasks, want %d", len(after), n)
		}
		return ""
	}
}

func keepsAll(before, after []string) string {
	for _, id := range before {
		if !slices.Contains(after, id) {
			return "task " + id + " was replaced without need"
		}
	}
	return ""
}

func keepsNone(before, after []string) string {
	for _, id := range before {
		if slices.Contains(after, id) {
			return "task " + id + " should have been replaced"
		}
	}
	return ""
}

func startsNone(before, after []string) string { return keepsAll(after, before) }

func both(a, b func(_, _ []string) string) func(_, _ []string) string {
	return func(before, after []string) string {
		if bad := a(before, after); bad != "" {
			return bad
		}
		return b(before, after)
	}
}

// do runs one operation to its end and checks the world.
func (s *script) do(op operation) {
	s.t.Helper()
	s.w.say(op.name)
	s.operations++
	id, _, _ := cutQuery(op.path)
	before := taskIDs(s.find(id))
	s.send(op, id)
	s.settle(op)
	if op.applied != nil {
		if a, found := s.find(id); !op.applied(a, found) {
			s.lost++
			s.t.Errorf("%s was acknowledged and is not there: %+v", op.name, a)
		}
	}
	var bad string
	harness.Await(s.t, settleLimit, op.name+" ends with the right tasks", func() (bool, string) {
		bad = op.expect(before, taskIDs(s.find(id)))
		return bad == "", bad
	})
	s.compare(op)
}

// send repeats the request until it is known to be done.
func (s *script) send(op operation, id string) {
	s.t.Helper()
	var last string
	for end := time.Now().Add(settleLimit); time.Now().Before(end); time.Sleep(askAgain) {
		res, err := s.w.api.Try(op.method, op.path, op.body)
		switch {
		case err == nil && res.Status/100 == 2:
			s.acknowledged++
			return
		case err == nil && res.Status/100 == 4:
			if a, found := s.find(id); op.applied != nil && op.applied(a, found) {
				return // an earlier request whose answer was lost
			}
			s.t.Fatalf("%s: %s %s answers %d %s", op.name, op.method, op.path, res.Status, res.Body)
		case err == nil:
			last = fmt.Sprintf("%d %s", res.Status, res.Body)
		default:
			last = err.Error()
			if a, found := s.find(id); op.applied != nil && op.applied(a, found) {
				return
			}
		}
	}
	s.t.Fatalf("%s: not done within %s: %s", op.name, settleLimit, last)
}

// read is a GET that outlives the death of the server.
func (s *script) read(path string) harness.Answer {
	s.t.Helper()
	var out harness.Answer
	harness.Await(s.t, settleLimit, "GET "+path, func() (bool, string) {
		res, err := s.w.api.Try(http.MethodGet, path, nil)
		out = res
		return err == nil && res.Status < http.StatusInternalServerError, fmt.Sprint(res.Status, err)
	})
	return out
}

// find gets an app by its path in the API.
func (s *script) find(path string) (*app, bool) {
	s.t.Helper()
	res := s.read(path)
	var body struct{ App app }
	if res.Status == http.StatusNotFound {
		return &body.App, false
	}
	if err := json.Unmarshal(res.Body, &body); err != nil {
		s.t.Fatalf("GET %s: %d %s: %v", path, res.Status, res.Body, err)
	}
	return &body.App, true
}

// settle waits until no deployment runs.
func (s *script) settle(op operation) {
	s.t.Helper()
	harness.Await(s.t, settleLimit, "the deployment of "+op.name+" ends", func() (bool, string) {
		res := s.read("/v2/deployments")
		return res.Status == http.StatusOK && string(res.Body) == "[]", string(res.Body)
	})
}

// listed are the tasks of all apps and the containers of all pods.
func (s *script) listed() []task {
	s.t.Helper()
	var apps struct{ Tasks []task }
	var pods []struct {
		Instances []struct {
			Containers []struct{ ContainerID, Status string }
		}
	}
	for path, out := range map[string]any{"/v2/tasks": &apps, "/v2/pods/::status": &pods} {
		if res := s.read(path); json.Unmarshal(res.Body, out) != nil {
			s.t.Fatalf("GET %s: %d %s", path, res.Status, res.Body)
		}
	}
	for _, pod := range pods {
		for _, i := range pod.Instances {
			for _, c := range i.Containers {
				apps.Tasks = append(apps.Tasks, task{ID: c.ContainerID, State: c.Status})
			}
		}
	}
	return apps.Tasks
}

// untouched are the tasks that no operation of a round touches.
func (s *script) untouched() []string {
	s.t.Helper()
	var out []string
	for _, task := range s.listed() {
		if strings.HasPrefix(task.ID, "stable") {
			out = append(out, task.ID)
		}
	}
	slices.Sort(out)
	return out
}

// compare holds the tasks of the API against the processes of the machine.
func (s *script) compare(op operation) {
	s.t.Helper()
	var known, orphans, doubles, missing []string
	var processes map[string][]int
	look := func() bool {
		listed := s.listed()
		processes = harness.TaskPids(s.t, s.w.dir)
		known, orphans, doubles, missing = nil, nil, nil, nil
		for _, task := range listed {
			known = append(known, task.ID)
			if len(processes[task.ID]) == 0 || task.State != "TASK_RUNNING" {
				missing = append(missing, task.ID+" "+task.State)
			}
		}
		for id, pids := range processes {
			if !slices.Contains(known, id) {
				orphans = append(orphans, id)
			}
			if len(pids) > 1 {
				doubles = append(doubles, id)
			}
		}
		return len(orphans)+len(doubles)+len(missing) == 0
	}
	for end := time.Now().Add(processLimit); !look() && time.Now().Before(end); {
		time.Sleep(askAgain)
	}
	s.orphaned += len(orphans)
	s.doubled += len(doubles)
	if len(orphans)+len(doubles)+len(missing) > 0 {
		s.t.Errorf("after %s: orphans %v, double %v, listed without a process %v", op.name, orphans, doubles, missing)
	}
	for _, id := range known {
		pids := processes[id]
		if len(pids) != 1 {
			continue
		}
		if old, seen := s.pids[id]; seen && old != pids[0] {
			s.restarted++
			s.t.Errorf("after %s: task %s has process %d, it was %d", op.name, id, pids[0], old)
		}
		s.pids[id] = pids[0]
	}
}
