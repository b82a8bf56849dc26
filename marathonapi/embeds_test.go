package marathonapi

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"stadion/core"
	"stadion/core/state"
)

// read is a GET whose answer is held against the document and taken apart.
func read[T any](t *testing.T, s *Server, path string) (out T) {
	t.Helper()
	w := get(s, "GET", path)
	conform(t, "GET", path, "", reply{w.Result(), w.Body.String()})
	if err := json.Unmarshal(w.Body.Bytes(), &out); w.Code != 200 || err != nil {
		t.Fatalf("GET %s: %d %s: %v", path, w.Code, w.Body, err)
	}
	return out
}

// podOf is a pod with two containers, of which the first has a health check and a port.
func podOf(id core.PathID, instances int) *core.Pod {
	port := 8080
	return &core.Pod{ID: id, Version: start, Role: "*", Scaling: core.PodScaling{Kind: "fixed", Instances: instances},
		ExecutorResources: core.ExecutorResources{CPUs: 0.1, Mem: 32, Disk: 10},
		Networks:          []core.Network{{Mode: core.NetworkHost}},
		Containers: []core.PodContainer{
			{Name: "web", Resources: core.PodResources{CPUs: 1, Mem: 64}, Endpoints: []core.Endpoint{{Name: "http", HostPort: &port}}, HealthCheck: &core.PodHealthCheck{HTTP: &core.PodHTTPCheck{Endpoint: "http"}}},
			{Name: "side", Resources: core.PodResources{CPUs: 0.5, Mem: 32, GPUs: 1}}}}
}

// podInstanceIn is an instance in a condition, whose web container said this of its health.
func podInstanceIn(p *core.Pod, n int, c core.Condition, health core.Health) *core.Instance {
	id := core.NewInstanceID(p.ID, fmt.Sprintf("0ab6b7c1-9a3b-11ea-8d8e-%012d", n))
	i := &core.Instance{ID: id, Spec: p.ID, Pod: true, Version: p.Version, Role: "*", Condition: c, Since: start + 2000, Incarnation: 1,
		Agent: &core.AgentInfo{Host: "agent1", ID: "S0", Region: "eu", Zone: "z"}}
	for _, k := range p.Containers {
		i.Tasks = append(i.Tasks, core.Task{ID: id.Task(k.Name, 1), Container: k.Name, Condition: c, StartedAt: start + 3000, HostPorts: []int{31000 + n},
			Status: &core.TaskStatus{State: c.TaskState(), At: start + 4000, Healthy: health}, IPs: []core.IPAddress{{Address: "10.0.0.1", Protocol: "IPv4"}}})
	}
	return i
}

// TestPodStatus (behaviour.md 11.5, http-api.md 7.7): the status of instances and pods in every condition, and what is
// told of containers.
func TestPodStatus(t *testing.T) {
	for _, c := range []struct {
		condition     core.Condition
		health        core.Health
		instance, pod string
	}{
		{core.Provisioned, core.HealthUnknown, podPending, podDegraded},
		{core.Staging, core.HealthUnknown, podStaging, podDegraded},
		{core.Starting, core.HealthUnknown, podStaging, podDegraded},
		{core.Running, core.Healthy, podStable, podStable},
		{core.Running, core.Unhealthy, podDegraded, podDegraded},
		{core.Running, core.HealthUnknown, podDegraded, podDegraded},
		{core.Unreachable, core.Healthy, podDegraded, podDegraded},
		{core.UnreachableInactive, core.Healthy, podDegraded, podDegraded},
		{core.Killing, core.Healthy, podTerminal, podDegraded},
		{core.Failed, core.HealthUnknown, podTerminal, podDegraded},
	} {
		st, p := state.New(), podOf("/p", 1)
		st.PutSpec(p)
		st.PutInstance(podInstanceIn(p, 0, c.condition, c.health))
		s, _ := stillServer(st)
		got := read[podInfo](t, s, "/v2/pods/p::status")
		if got.Status != c.pod || len(got.Instances) != 1 || got.Instances[0].Status != c.instance {
			t.Errorf("%v, %v: pod %s, want %s; instances %+v, want %s", c.condition, c.health, got.Status, c.pod, got.Instances, c.instance)
		}
	}
	st, p := state.New(), podOf("/p", 2)
	st.PutSpec(p)
	st.PutInstance(podInstanceIn(p, 1, core.Running, core.Healthy))
	st.PutInstance(&core.Instance{ID: core.NewInstanceID("/p", "0ab6b7c1-9a3b-11ea-8d8e-000000000002"), Spec: "/p", Pod: true, Version: start, Condition: core.Scheduled})
	ill := podInstanceIn(p, 1, core.Running, core.Healthy)
	st.PutFailure(&core.TaskFailure{AppID: "/p", TaskID: ill.Tasks[1].ID, State: "TASK_FAILED", Message: "exit 3", Timestamp: start + 5000, Version: start})
	s, _ := stillServer(st)
	for _, path := range []string{"/v2/pods/::status", "/v2/groups"} {
		if w := get(s, "GET", path); !strings.Contains(w.Body.String(), `"agentHostname":"agent1"`) {
			t.Errorf("%s: %s", path, w.Body)
		}
	}
	got := read[podInfo](t, s, "/v2/pods/p::status")
	if got.Status != podDegraded || len(got.Instances) != 1 || len(got.History) != 1 || got.History[0].Message != "exit 3" || got.History[0].Containers[0].LastState != "TASK_FAILED" {
		t.Fatalf("%+v", got)
	}
	i := got.Instances[0]
	web := i.Containers[0]
	if i.Resources == nil || i.Resources.CPUs != 1.6 || i.Resources.Mem != 128 || i.Resources.GPUs != 1 || i.AgentZone != "z" || i.Networks[0].Addresses[0] != "10.0.0.1" {
		t.Errorf("instance %+v", i)
	}
	if web.Status != "TASK_RUNNING" || len(web.Endpoints) != 1 || *web.Endpoints[0].HostPort != 31001 || !*web.Endpoints[0].Healthy ||
		web.Conditions[0].Reason != "health-reported-by-mesos" || web.Conditions[0].Value != "true" || len(i.Containers[1].Conditions) != 0 {
		t.Errorf("container %+v", web)
	}
}

// deploying is a state with an app whose deployment waits in a step for readiness.
func deploying(current int) *Server {
	st := filled(1, 2)
	id := core.PathID("/group-0/app-0")
	st.PutDeployment(&core.Deployment{ID: "d1", Version: start, Current: current, Steps: []core.Step{{Actions: []core.Action{{Kind: core.ActionScale, Spec: id, Version: start}}}}})
	st.SetStall(state.Stall{Deployment: "d1", Since: start + 1000, Spec: id, WaitingFor: "readiness", Missing: 1})
	st.PutFailure(&core.TaskFailure{AppID: id, State: "TASK_FAILED", Message: "exit 1", Timestamp: start, Version: start})
	n := 0
	for i := range st.InstancesOf(id) {
		r := state.Readiness{Name: "ready", Task: i.Tasks[0].ID, Instance: i.ID}
		if n++; n == 1 {
			r.Ready, r.LastStatus, r.ContentType, r.Body = true, 200, "text/plain", "fine"
		}
		st.SetReadiness(r)
	}
	s, _ := stillServer(waitingApp(st))
	return s
}

// TestReadinessResults (http-api.md 8.3): of apps on demand, of running actions always.
func TestReadinessResults(t *testing.T) {
	s := deploying(1)
	type results struct {
		Results []readinessShape `json:"readinessCheckResults"`
	}
	check := func(where string, got []readinessShape) {
		if len(got) != 2 || !got[0].Ready || got[0].LastResponse == nil || got[0].LastResponse.Body != "fine" || got[1].Ready || got[1].LastResponse != nil || got[1].Name != "ready" {
			t.Errorf("%s: %+v", where, got)
		}
	}
	check("app", read[struct{ App results }](t, s, "/v2/apps/group-0/app-0?embed=app.readiness").App.Results)
	check("action", read[[]struct{ CurrentActions []results }](t, s, "/v2/deployments")[0].CurrentActions[0].Results)
	if w := get(s, "GET", "/v2/apps/group-0/app-0"); strings.Contains(w.Body.String(), "readinessCheckResults") {
		t.Errorf("not asked for: %s", w.Body)
	}
}

// TestStallEmbed (D-02): embed=stall tells what a deployment waits for, since when, and the last failure.
func TestStallEmbed(t *testing.T) {
	s := deploying(1)
	type stalled struct {
		Stall *struct {
			Since, WaitingFor, Spec string
			Missing                 int
			LastTaskFailure         *struct{ Message string }
		}
	}
	got := read[[]stalled](t, s, "/v2/deployments?embed=stall")[0].Stall
	if got == nil || got.WaitingFor != "readiness" || got.Missing != 1 || got.Spec != "/group-0/app-0" || got.Since != "2020-05-07T09:00:01.000Z" ||
		got.LastTaskFailure == nil || got.LastTaskFailure.Message != "exit 1" {
		t.Errorf("%+v", got)
	}
	if got := read[[]stalled](t, s, "/v2/deployments")[0].Stall; got != nil {
		t.Errorf("not asked for: %+v", got)
	}
}

// TestPlanIsListedBeforeItRuns (D-26): what is stored is listed, with step 0 and no actions until it runs.
func TestPlanIsListedBeforeItRuns(t *testing.T) {
	type plan struct {
		ID             string
		CurrentStep    int
		TotalSteps     int
		AffectedApps   []string
		CurrentActions []any
	}
	for current, actions := range []int{0, 1} {
		got := read[[]plan](t, deploying(current), "/v2/deployments")
		if len(got) != 1 || got[0].ID != "d1" || got[0].CurrentStep != current || got[0].TotalSteps != 1 || len(got[0].CurrentActions) != actions || got[0].CurrentActions == nil ||
			!slices.Equal(got[0].AffectedApps, []string{"/group-0/app-0"}) {
			t.Errorf("step %d: %+v", current, got)
		}
	}
}

// TestLastUnusedOffers (http-api.md 9.1): the last offer of each agent that did not fit, with its resources, on demand.
func TestLastUnusedOffers(t *testing.T) {
	s, _ := stillServer(waitingApp(state.New()))
	item := read[struct{ Queue []queueItem }](t, s, "/v2/queue?embed=lastUnusedOffers").Queue[0]
	if len(item.Unused) != 1 || item.Summary.Unused != 3 || item.Count != 1 {
		t.Fatalf("%+v", item)
	}
	u := item.Unused[0]
	if u.Offer.Hostname != "agent-7" || u.Offer.AgentID != "S7" || u.Offer.ID != "o1" || !slices.Equal(u.Reason, []string{"InsufficientMemory"}) || u.Timestamp != start {
		t.Errorf("offer %+v", u)
	}
	if got, err := json.Marshal(u.Offer.Attributes); err != nil || string(got) != `[{"name":"rack","text":"r1"},{"name":"level","scalar":3.5},`+
		`{"name":"slots","ranges":[{"begin":20,"end":30},{"begin":1,"end":2}]},{"name":"kinds","set":["b","a"]}]` {
		t.Errorf("attributes %s, %v", got, err)
	}
	names := ""
	for _, r := range u.Offer.Resources {
		names += r.Name + " " + r.Role + ","
		if (r.Name == "ports") != (len(r.Ranges) == 1) || (r.Name == "ports") == (r.Scalar != nil) {
			t.Errorf("resource %+v", r)
		}
	}
	if names != "cpus *,mem *,disk *,ports *," {
		t.Errorf("resources %s", names)
	}
	for _, row := range item.Summary.LaunchAttempt {
		if (row.Declined == 3) != (row.Reason == "InsufficientMemory") {
			t.Errorf("launch attempt %+v", row)
		}
	}
	if w := get(s, "GET", "/v2/queue"); strings.Contains(w.Body.String(), "lastUnusedOffers") {
		t.Errorf("not asked for: %s", w.Body)
	}
}

// TestTreeVersions (http-api.md 6.3): the root and a group are read as they were at every version, newest first.
func TestTreeVersions(t *testing.T) {
	r := newRig(t, Config{}, nil)
	r.must(200, "PUT", "/v2/groups/g", `{"apps":[{"id":"a","cmd":"sleep 1","instances":0}]}`)
	r.must(201, "PUT", "/v2/apps/b", `{"cmd":"sleep 1","instances":0}`)
	r.must(200, "PUT", "/v2/apps/g/a", `{"cmd":"sleep 2"}`)
	r.must(200, "DELETE", "/v2/groups/g?force=true", "")
	var versions []string
	if err := json.Unmarshal([]byte(r.must(200, "GET", "/v2/groups/versions", "").body), &versions); err != nil || len(versions) != 4 || !slices.IsSortedFunc(versions, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Fatalf("%v %v", versions, err)
	}
	for n, want := range []struct{ has, hasNot, group string }{
		{`"id":"/b"`, `"id":"/g"`, ""}, {`"cmd":"sleep 2"`, `"none"`, `"cmd":"sleep 2"`}, {`"id":"/b"`, `"cmd":"sleep 2"`, `"cmd":"sleep 1"`}, {`"id":"/g/a"`, `"id":"/b"`, `"id":"/g/a"`},
	} {
		root := r.must(200, "GET", "/v2/groups/versions/"+versions[n], "")
		if !strings.Contains(root.body, want.has) || strings.Contains(root.body, want.hasNot) || !strings.Contains(root.body, `"version":"`+versions[n]+`"`) {
			t.Errorf("version %d: %s", n, root.body)
		}
		group := r.do("GET", "/v2/groups/g/versions/"+versions[n], "")
		if (group.StatusCode == 200) != (want.group != "") || !strings.Contains(group.body, want.group) {
			t.Errorf("group at version %d: %d %s", n, group.StatusCode, group.body)
		}
	}
	r.must(404, "GET", "/v2/groups/versions/2001-01-01T00:00:00.000Z", "")
	r.must(404, "GET", "/v2/groups/g/versions", "")
	r.must(422, "GET", "/v2/groups/versions/soon", "")
}

// TestVersionOfNothing (http-api.md 6.4): the version that a group update answers is one to come back to, also when the
// update changed nothing, as scripts that put the same file again and again keep it.
func TestVersionOfNothing(t *testing.T) {
	r := newRig(t, Config{}, nil)
	const first, second = `{"apps":[{"id":"a","cmd":"sleep 1","instances":0}]}`, `{"apps":[{"id":"a","cmd":"sleep 2","instances":0}]}`
	r.must(200, "PUT", "/v2/groups/g", first)
	var kept struct{ Version string }
	if err := json.Unmarshal([]byte(r.must(200, "PUT", "/v2/groups/g?force=true", first).body), &kept); err != nil {
		t.Fatal(err)
	}
	r.must(200, "GET", "/v2/groups/g/versions/"+kept.Version, "")
	r.must(200, "PUT", "/v2/groups/g?force=true", second)
	r.must(200, "PUT", "/v2/groups/g?force=true", `{"version":"`+kept.Version+`"}`)
	if a := r.must(200, "GET", "/v2/apps/g/a", ""); !strings.Contains(a.body, `"cmd":"sleep 1"`) {
		t.Errorf("not what it was: %s", a.body)
	}
	r.must(200, "PUT", "/v2/apps/g/a?force=true", `{"cmd":"sleep 1"}`)
	var versions []string
	if err := json.Unmarshal([]byte(r.must(200, "GET", "/v2/groups/versions", "").body), &versions); err != nil || len(versions) != 4 {
		t.Errorf("an update of an app that changes nothing keeps no version: %v %v", versions, err)
	}
}
