package marathonapi

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"stadion/core"
	"stadion/core/state"
)

// TestPodContainers pins what Marathon shows of a container in each condition (http-api.md 7.7): its id, endpoints and
// resources only while it lives, its health only once it has run, and the health of an endpoint only where it is checked.
func TestPodContainers(t *testing.T) {
	port, none := 0, (*int)(nil)
	p := podOf("/p", 1)
	p.Containers = []core.PodContainer{{Name: "web", Resources: core.PodResources{CPUs: 1, Mem: 64},
		Endpoints:   []core.Endpoint{{Name: "checked", HostPort: &port}, {Name: "inside", HostPort: none}, {Name: "open", HostPort: &port}},
		HealthCheck: &core.PodHealthCheck{TCP: &core.PodTCPCheck{Endpoint: "checked"}}}}
	const (
		alive  = `[{"name":"open","allocatedHostPort":31002},{"name":"inside"},{"name":"checked","allocatedHostPort":31000%s}]`
		well   = `,"healthy":true`
		states = "since 1700000001000, id %v, endpoints %s, resources %v, healthy %s"
	)
	shown := func(id bool, endpoints string, resources bool, healthy string) string {
		return fmt.Sprintf(states, id, endpoints, resources, healthy)
	}
	for _, c := range []struct {
		condition core.Condition
		health    core.Health
		reserved  bool
		want      string
	}{
		{core.Provisioned, core.HealthUnknown, false, shown(true, fmt.Sprintf(alive, ""), false, "")},
		{core.Staging, core.HealthUnknown, false, shown(true, fmt.Sprintf(alive, ""), true, "")},
		{core.Starting, core.HealthUnknown, false, shown(true, fmt.Sprintf(alive, ""), true, "")},
		{core.Running, core.HealthUnknown, false, shown(true, fmt.Sprintf(alive, ""), true, "false health-unreported-by-mesos")},
		{core.Running, core.Healthy, false, shown(true, fmt.Sprintf(alive, well), true, "true health-reported-by-mesos")},
		{core.Running, core.Unhealthy, false, shown(true, fmt.Sprintf(alive, `,"healthy":false`), true, "false health-reported-by-mesos")},
		{core.Unreachable, core.Healthy, false, shown(true, fmt.Sprintf(alive, well), true, "true health-reported-by-mesos")},
		{core.Killing, core.Healthy, false, shown(true, fmt.Sprintf(alive, well), true, "true health-reported-by-mesos")},
		{core.Failed, core.Healthy, false, shown(false, "[]", false, "false health-unreported-by-mesos")},
		{core.Killed, core.Healthy, true, shown(false, "[]", true, "")},
	} {
		i := podInstanceIn(p, 0, c.condition, c.health)
		if c.reserved {
			i.Reservation = &core.Reservation{ID: string(i.ID)}
		}
		task := &i.Tasks[0]
		task.StagedAt, task.StartedAt, task.HostPorts = 1_700_000_001_000, 0, []int{31000, 0, 31002}
		got, _ := podContainerOf(task, i, p)
		endpoints, err := json.Marshal(got.Endpoints)
		if err != nil {
			t.Fatal(err)
		}
		healthy := ""
		for _, k := range got.Conditions {
			healthy = k.Value + " " + k.Reason
		}
		if text := fmt.Sprintf(states, got.ContainerID != "", endpoints, got.Resources != nil, healthy); got.StatusSince != task.StagedAt || text != c.want {
			t.Errorf("%s, health %d, reserved %v:\n got %s\nwant %s", c.condition, c.health, c.reserved, text, c.want)
		}
	}
	i := podInstanceIn(p, 0, core.Killed, core.HealthUnknown)
	i.Tasks[0].IPs = nil
	if got := podInstanceOf(i, p); got.Resources == nil || got.Resources.Mem != 32 || len(got.Networks) != 0 {
		t.Errorf("an ended instance: %+v", got)
	}
}

// TestPodHistory (http-api.md 7.7): a failure that came before the tasks of now has not begun after its end; and of an
// instance that is wiped nothing is told, though its volume is still being destroyed (D-52).
func TestPodHistory(t *testing.T) {
	st, p := state.New(), podOf("/p", 1)
	st.PutSpec(p)
	i := podInstanceIn(p, 1, core.Running, core.Healthy)
	i.ActiveSince = start + 9000
	st.PutInstance(i)
	st.PutFailure(&core.TaskFailure{AppID: "/p", TaskID: core.TaskID(string(i.ID) + ".web.0"), State: "TASK_FAILED", Timestamp: start + 5000, Version: start})
	s, _ := stillServer(st)
	got := read[podInfo](t, s, "/v2/pods/p::status")
	if len(got.History) != 1 || got.History[0].StartedAt != start || got.History[0].TerminatedAt != start+5000 {
		t.Errorf("%+v", got.History)
	}
	wiped := i.Clone()
	wiped.Goal, wiped.Condition, wiped.Reservation = core.GoalDecommissioned, core.Unreachable, &core.Reservation{ID: string(i.ID)}
	st.PutInstance(wiped)
	s, _ = stillServer(st)
	for _, path := range []string{"/v2/pods/p::status", "/v2/pods/::status"} {
		if body := get(s, "GET", path).Body.String(); strings.Contains(body, string(i.ID)) {
			t.Errorf("%s: %s", path, body)
		}
	}
}
