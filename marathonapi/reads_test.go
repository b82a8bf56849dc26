package marathonapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"stadion/core"
	"stadion/core/machine"
	"stadion/core/state"
	"stadion/marathonapi/internal/fixture"
)

// still is a loop whose state does not move; it notes what it was asked for.
type still struct {
	snap  *state.Snapshot
	asked []machine.Command
}

func (l *still) Snapshot() *state.Snapshot { return l.snap }
func (l *still) Submit(_ context.Context, c machine.Command) (any, error) {
	l.asked = append(l.asked, c)
	switch c.(type) {
	case machine.KillInstances:
		return machine.KillResult{}, nil
	case machine.UpdateTree:
		return machine.UpdateResult{Version: 5000, Deployment: "d"}, nil
	}
	return nil, nil
}

const start = core.Timestamp(1588842000000) // 2020-05-07T09:00:00Z

// app with one bridge port, as tests want it.
func testApp(id core.PathID, instances int) *core.App {
	cmd := "sleep 600"
	return &core.App{ID: id, Cmd: &cmd, CPUs: 1, Mem: 128, Instances: instances, BackoffFactor: 1.15, BackoffSeconds: 1,
		MaxLaunchDelaySeconds: 300, Labels: map[string]string{"env": "prod", "a<b": "x&y"}, Networks: []core.Network{{Mode: core.NetworkHost}},
		PortDefinitions: []core.PortDefinition{{Port: 10001, Protocol: "tcp"}}, Version: start, KillSelection: core.YoungestFirst, Role: "*",
		HealthChecks: []core.HealthCheck{{Protocol: "HTTP", GracePeriodSeconds: 300, IntervalSeconds: 60, TimeoutSeconds: 20, MaxConsecutiveFailures: 3}}}
}

// running is a healthy instance on an agent.
func running(app *core.App, n int) *core.Instance {
	id := core.NewInstanceID(app.ID, fmt.Sprintf("0ab6b7c1-9a3b-11ea-8d8e-%012d", n))
	return &core.Instance{ID: id, Spec: app.ID, Version: app.Version, Role: "*", Condition: core.Running, Since: start + 3000,
		ActiveSince: start + 3000, Incarnation: 1, Agent: &core.AgentInfo{Host: "agent1.example.com", ID: "4f1f-S0", Region: "eu"},
		Tasks: []core.Task{{ID: id.Task(core.AppContainer, 1), Container: core.AppContainer, Condition: core.Running, StagedAt: start + 1000,
			StartedAt: start + 3000, Status: &core.TaskStatus{State: "TASK_RUNNING", At: start + 3000}, HostPorts: []int{31001 + n},
			IPs: []core.IPAddress{{Address: "192.168.1.10", Protocol: "IPv4"}}}}}
}

// filled is a state with apps of tasks each.
func filled(apps, tasks int) *state.State {
	st := state.New()
	for a := range apps {
		app := testApp(core.PathID(fmt.Sprintf("/group-%d/app-%d", a%10, a)), tasks)
		st.PutGroup(&core.Group{ID: app.ID.Parent(), Version: start})
		st.PutSpec(app)
		for n := range tasks {
			i := running(app, n)
			st.PutInstance(i)
			st.PutHealth(i.ID, &state.HealthBook{Results: []state.HealthResult{{Reported: true, Alive: true, FirstSuccess: start, LastSuccess: start + 5000}}})
		}
	}
	return st
}

func stillServer(st *state.State) (*Server, *still) {
	l := &still{snap: st.Snapshot(17, 3, start)}
	s := New(Config{HostPort: "127.0.0.1:8080", Version: "1.11.24"}, Deps{Loop: l, Leadership: alwaysLeader{}, Now: func() time.Time { return (start + 13000).Time() }})
	return s, l
}

func get(s *Server, method, path string, header ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, req)
	return w
}

// TestTaskText pins the task object byte by byte (http-api.md 5.1).
func TestTaskText(t *testing.T) {
	s, _ := stillServer(filled(1, 1))
	const want = `{"tasks":[{"appId":"/group-0/app-0","healthCheckResults":[{"alive":true,"consecutiveFailures":0,"firstSuccess":"2020-05-07T09:00:00.000Z",` +
		`"instanceId":"instance [group-0_app-0.instance-0ab6b7c1-9a3b-11ea-8d8e-000000000000]","lastSuccess":"2020-05-07T09:00:05.000Z"}],` +
		`"host":"agent1.example.com","id":"group-0_app-0.instance-0ab6b7c1-9a3b-11ea-8d8e-000000000000._app.1",` +
		`"ipAddresses":[{"ipAddress":"192.168.1.10","protocol":"IPv4"}],"ports":[31001],"servicePorts":[10001],"slaveId":"4f1f-S0",` +
		`"state":"TASK_RUNNING","stagedAt":"2020-05-07T09:00:01.000Z","startedAt":"2020-05-07T09:00:03.000Z","version":"2020-05-07T09:00:00.000Z",` +
		`"localVolumes":[],"region":"eu","role":"*"}]}`
	if got := get(s, "GET", "/v2/tasks").Body.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestPlainTasks pins the text form that Stadion keeps (http-api.md 5.3, 18).
func TestPlainTasks(t *testing.T) {
	st := filled(1, 2)
	bare := testApp("/bare", 1)
	bare.PortDefinitions = nil
	st.PutSpec(bare)
	st.PutInstance(running(bare, 0))
	s, _ := stillServer(st)
	w := get(s, "GET", "/v2/tasks", "Accept", "text/plain")
	want := "bare\t \tagent1.example.com\t\ngroup-0_app-0\t10001\tagent1.example.com:31001\tagent1.example.com:31002\t\n"
	if w.Body.String() != want || w.Header().Get("Content-Type") != "text/plain" {
		t.Errorf("%s %q", w.Header(), w.Body)
	}
}

// TestEmbeds checks which parts an app shows (http-api.md 4.4, 4.15).
func TestEmbeds(t *testing.T) {
	st := filled(1, 2)
	st.PutFailure(&core.TaskFailure{AppID: "/group-0/app-0", State: "TASK_FAILED"})
	s, _ := stillServer(st)
	extras := []string{"tasksRunning", "deployments", "readinessCheckResults", "tasks", "lastTaskFailure", "tasksStats"}
	for _, c := range []struct {
		path string
		key  func(map[string]any) any
		want []string
	}{
		{"/v2/apps", list("apps"), []string{"tasksRunning", "deployments"}},
		{"/v2/apps?embed=apps.tasks,apps.readiness", list("apps"), []string{"tasksRunning", "deployments"}}, // not split
		{"/v2/apps?embed=apps.tasks&embed=readiness&embed=unknown", list("apps"), []string{"tasksRunning", "deployments", "tasks", "readinessCheckResults"}},
		{"/v2/apps?embed=apps.failures", list("apps"), []string{"tasksRunning", "deployments", "tasks", "lastTaskFailure"}},
		{"/v2/apps/group-0/app-0", func(m map[string]any) any { return m["app"] }, []string{"tasksRunning", "deployments", "tasks", "lastTaskFailure"}},
		{"/v2/apps//group-0/app-0?embed=app.taskStats", func(m map[string]any) any { return m["app"] }, []string{"tasksRunning", "deployments", "tasks", "lastTaskFailure", "tasksStats"}},
		{"/v2/apps/group-0/*", list("*"), []string{"tasksRunning", "deployments", "tasks", "lastTaskFailure"}},
		{"/v2/apps//group-0/%2A", list("*"), []string{"tasksRunning", "deployments", "tasks", "lastTaskFailure"}},
		{"/v2/apps/*", list("*"), []string{"tasksRunning", "deployments", "tasks", "lastTaskFailure"}},
		{"/v2/groups/group-0", list("apps"), nil},
		{"/v2/groups/group-0?embed=group.apps&embed=group.apps.counts", list("apps"), []string{"tasksRunning"}},
	} {
		t.Run(c.path, func(t *testing.T) {
			var body map[string]any
			w := get(s, "GET", c.path)
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
				t.Fatalf("%d %s: %v", w.Code, w.Body, err)
			}
			app, ok := c.key(body).(map[string]any)
			if !ok {
				t.Fatalf("no app in %s", w.Body)
			}
			wanted := map[string]bool{}
			for _, k := range c.want {
				wanted[k] = true
			}
			for _, k := range extras {
				if _, has := app[k]; has != wanted[k] {
					t.Errorf("%s present: %v, want %v", k, has, wanted[k])
				}
			}
		})
	}
}

func list(key string) func(map[string]any) any {
	return func(m map[string]any) any {
		l, _ := m[key].([]any)
		if len(l) == 0 {
			return nil
		}
		return l[0]
	}
}

// TestStats: life times count from startedAt (behaviour.md 8.6).
func TestStats(t *testing.T) {
	s, _ := stillServer(filled(1, 3))
	w := get(s, "GET", "/v2/apps/group-0/app-0?embed=apps.taskStats")
	var body struct {
		App struct {
			Stats map[string]any `json:"tasksStats"`
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatal(err)
	}
	box := map[string]any{"stats": map[string]any{"counts": map[string]any{"staged": 0.0, "running": 3.0, "healthy": 3.0, "unhealthy": 0.0},
		"lifeTime": map[string]any{"averageSeconds": 10.0, "medianSeconds": 10.0}}}
	want := map[string]any{"startedAfterLastScaling": box, "withLatestConfig": box, "totalSummary": box}
	if text := fixture.Differs(want, body.App.Stats); text != "" || len(body.App.Stats) != 3 {
		t.Errorf("%s in %v", text, body.App.Stats)
	}
}

// TestETag: a list that did not change is not sent again (D-59, P18).
func TestETag(t *testing.T) {
	s, l := stillServer(filled(1, 1))
	for _, path := range []string{"/v2/apps", "/v2/apps/group-0/app-0", "/v2/groups", "/v2/tasks", "/v2/deployments", "/v2/pods"} {
		tag := get(s, "GET", path).Header().Get("ETag")
		if tag != `W/"3-17"` {
			t.Errorf("%s: tag %s", path, tag)
		}
		w := get(s, "GET", path, "If-None-Match", `"x", `+tag)
		if w.Code != http.StatusNotModified || w.Body.Len() != 0 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	next := *l.snap
	next.Seq++
	l.snap = &next
	if w := get(s, "GET", "/v2/apps", "If-None-Match", `W/"3-17"`); w.Code != http.StatusOK {
		t.Errorf("changed list: %d", w.Code)
	}
}

// TestKillVariants looks at the commands behind the kill calls (http-api.md 5.2).
func TestKillVariants(t *testing.T) {
	task := running(testApp("/group-0/app-0", 0), 1)
	for _, c := range []struct {
		method, path, body string
		status             int
		wipe               bool
		kills, sentenced   int
		instances          int
	}{
		{"DELETE", "/v2/apps/group-0/app-0/tasks", "", 200, false, 3, 0, 0},
		{"DELETE", "/v2/apps/group-0/app-0/tasks?host=elsewhere", "", 200, false, 0, 0, 0},
		{"DELETE", "/v2/apps/group-0/app-0/tasks?wipe=True", "", 200, true, 3, 0, 0},
		{"DELETE", "/v2/apps/group-0/app-0/tasks?wipe=1", "", 200, false, 3, 0, 0},
		{"DELETE", "/v2/apps/group-0/app-0/tasks?scale=true", "", 200, false, 0, 3, 0},
		{"DELETE", "/v2/apps/none/tasks?scale=true", "", 404, false, 0, 0, 0},
		{"DELETE", "/v2/apps/none/tasks", "", 404, false, 0, 0, 0},
		{"DELETE", "/v2/apps/group-0/app-0/tasks/" + string(task.Tasks[0].ID), "", 200, false, 1, 0, 0},
		{"DELETE", "/v2/apps/group-0/app-0/tasks/x", "", 404, false, 0, 0, 0},
		{"DELETE", "/v2/apps/group-0/app-0/tasks/" + string(task.Tasks[0].ID) + "?scale=true", "", 200, false, 0, 1, 2},
	} {
		t.Run(c.path, func(t *testing.T) {
			s, l := stillServer(filled(1, 3))
			if w := get(s, c.method, c.path); w.Code != c.status {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			var kill machine.KillInstances
			var update machine.UpdateTree
			for _, a := range l.asked {
				switch v := a.(type) {
				case machine.KillInstances:
					kill = v
				case machine.UpdateTree:
					update = v
				}
			}
			if len(kill.IDs) != c.kills || kill.Wipe != c.wipe || len(update.Change.Sentenced) != c.sentenced {
				t.Errorf("kill %+v, sentenced %v", kill, update.Change.Sentenced)
			}
			if c.sentenced > 0 && update.Change.Put[0].InstanceCount() != c.instances {
				t.Errorf("%d instances, want %d", update.Change.Put[0].InstanceCount(), c.instances)
			}
		})
	}
}

// send is get with a body.
func send(s *Server, method, path, body string, header ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, req)
	return w
}
