package takeover

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"stadion/core"
)

const uuid = "0ab6b7c1-9a3b-11ea-8d8e-7085c2d6b5a1"

// source is a small Marathon; edits replace parts of its texts.
func source(edits ...string) Source {
	info := `{"frameworkId":"f-1","marathon_config":{"mesos_role":"prod","features":[],"default_network_name":null,"new_group_enforce_role":"off"}}`
	groups := `{"id":"/","apps":[],"groups":[{"id":"/team","apps":[
		{"id":"/team/web","cmd":"sleep 1","instances":3,"cpus":0.1,"mem":32,"role":"prod","portDefinitions":[{"port":10000,"protocol":"tcp"}],
		 "version":"2020-05-07T10:00:00.000Z","versionInfo":{"lastScalingAt":"2020-05-07T10:00:00.000Z","lastConfigChangeAt":"2020-05-07T09:00:00.000Z"},
		 "tasksRunning":3,"tasksStaged":0,"tasksHealthy":0,"tasksUnhealthy":0,"deployments":[]}],
		"groups":[],"pods":[],"dependencies":["/base"],"version":"2020-05-07T10:00:00.000Z"},
		{"id":"/base","apps":[],"groups":[],"dependencies":[],"version":"2020-05-07T08:00:00.000Z"}],"dependencies":[],"version":"2020-05-07T10:00:00.000Z"}`
	task := func(n int, state, version string) string {
		return fmt.Sprintf(`{"appId":"/team/web","host":"a1","id":"team_web.instance-%s%d._app.%d","ipAddresses":[{"ipAddress":"10.0.0.1","protocol":"IPv4"}],"ports":[%d],
			"servicePorts":[10000],"slaveId":"S0","state":"%s","stagedAt":"2020-05-07T09:00:01.000Z","startedAt":"2020-05-07T09:00:02.000Z","version":"%s",
			"localVolumes":[],"region":"eu","zone":"z1","role":"prod","healthCheckResults":[{"alive":%v,"consecutiveFailures":0}]}`,
			uuid[:len(uuid)-1], n, n, 31000+n, state, version, n != 2)
	}
	tasks := `{"tasks":[` + task(1, "TASK_RUNNING", "2020-05-07T09:00:00.000Z") + `,` + task(2, "TASK_RUNNING", "2020-05-07T10:00:00.000Z") + `,` +
		task(3, "TASK_UNREACHABLE", "2020-05-07T10:00:00.000Z") + `,` + task(4, "TASK_FAILED", "2020-05-07T10:00:00.000Z") + `,
		{"appId":"/gone","id":"gone.instance-` + uuid + `._app.1","state":"TASK_RUNNING"},
		{"appId":"/team/web","id":"team_web.` + uuid + `","state":"TASK_RUNNING"}]}`
	pods := `[{"id":"/pod","version":"2020-05-07T10:00:00.000Z","scaling":{"kind":"fixed","instances":2},"containers":[{"name":"c","resources":{"cpus":0.1,"mem":32},
		"exec":{"command":{"shell":"x"}},"endpoints":[{"name":"e","hostPort":0,"containerPort":2},{"name":"f","containerPort":1}]}],"networks":[{"mode":"container","name":"n"}]}]`
	instance := func(n int, reference string, status string) string {
		return fmt.Sprintf(`{"id":"pod.instance-%s%d","agentHostname":"a2","agentId":"S1","status":"STABLE","statusSince":"2020-05-07T10:00:05.000Z",
			"specReference":"/v2/pods/pod::versions/%s","networks":[{"name":"n","addresses":["10.1.0.%d"]}],"localVolumes":[],"role":"prod",
			"containers":[{"name":"c","status":"%s","statusSince":"2020-05-07T10:00:04.000Z","containerId":"pod.instance-%s%d.c.1","endpoints":[{"name":"e","allocatedHostPort":31500},{"name":"f"}]}]}`,
			uuid[:len(uuid)-1], n, reference, n, status, uuid[:len(uuid)-1], n)
	}
	statuses := `[{"id":"/pod","instances":[` + instance(1, "2020-05-07T10:00:00.000Z", "TASK_RUNNING") + `,` + instance(2, "2020-05-07T09:30:00.000Z", "TASK_RUNNING") + `]}]`
	agents := `{"slaves":[{"id":"S0","attributes":{"rack":"r1","num":1.5}}]}`
	r := strings.NewReplacer(edits...)
	return Source{Info: []byte(r.Replace(info)), Groups: []byte(r.Replace(groups)), Tasks: []byte(r.Replace(tasks)), Deployments: []byte(r.Replace(`[]`)),
		Pods: []byte(r.Replace(pods)), PodStatuses: []byte(r.Replace(statuses)), Agents: []byte(r.Replace(agents)), Principal: "marathon",
		Version: func(core.PathID, bool, core.Timestamp) ([]byte, error) { return nil, nil }}
}

// TestBuild: what Marathon shows is what a server loads; stamps stay, so that nothing is outdated that was not (U3).
func TestBuild(t *testing.T) {
	src := source()
	src.Version = func(id core.PathID, pod bool, at core.Timestamp) ([]byte, error) {
		if pod {
			var text = string(src.Pods)
			return []byte(strings.Replace(text[1:len(text)-1], `"instances":2`, `"instances":1`, 1)), nil
		}
		return []byte(`{"id":"` + string(id) + `","cmd":"sleep 1","instances":1,"cpus":0.1,"mem":32,"role":"prod","portDefinitions":[{"port":10000,"protocol":"tcp"}],"version":"` + at.String() + `"}`), nil
	}
	st, report, err := Build(src, false)
	if err != nil {
		t.Fatal(err)
	}
	if report.FrameworkID != "f-1" || st.FrameworkID() != "f-1" || report.Groups != 2 || report.Apps != 1 || report.Pods != 1 || report.Tasks != 5 {
		t.Errorf("%+v", report)
	}
	if len(report.Left) != 2 || !strings.Contains(strings.Join(report.Left, "\n"), "/gone does not exist") || !strings.Contains(strings.Join(report.Left, "\n"), "before 1.4") || len(report.Warnings) > 0 {
		t.Errorf("left %q, warnings %q", report.Left, report.Warnings)
	}
	spec, _ := st.Spec("/team/web")
	if spec.SpecVersion().String() != "2020-05-07T10:00:00.000Z" || spec.Stamps().LastConfigChangeAt.String() != "2020-05-07T09:00:00.000Z" || spec.SpecRole() != "prod" {
		t.Errorf("app %+v", spec)
	}
	if old, ok := st.SpecAt("/team/web", spec.Stamps().LastConfigChangeAt); !ok || old.InstanceCount() != 1 {
		t.Errorf("the version that a task runs is not there: %+v", old)
	}
	if g, ok := st.Group("/team"); !ok || !slices.Equal(g.Dependencies, []core.PathID{"/base"}) {
		t.Errorf("group %+v", g)
	}
	instances := slices.Collect(st.InstancesOf("/team/web"))
	if len(instances) != 3 {
		t.Fatalf("%d instances", len(instances))
	}
	for n, i := range instances {
		task := i.Tasks[0]
		want := []core.Condition{core.Running, core.Running, core.Unreachable}[n]
		if i.Condition != want || task.Condition != want || task.HostPorts[0] != 31001+n || i.Agent.Host != "a1" || i.Agent.Region != "eu" || i.Incarnation != n+1 ||
			len(i.Agent.Attributes) != 2 || i.Agent.Attributes[1] != (core.Attribute{Name: "rack", Value: "r1"}) || i.Agent.Attributes[0].Value != "1.5" || task.IPs[0].Address != "10.0.0.1" {
			t.Errorf("instance %+v of %+v", i, i.Agent)
		}
		if name, err := core.ParseTaskID(task.ID); err != nil || name.Instance != i.ID {
			t.Errorf("a status of task %s would not find instance %s", task.ID, i.ID)
		}
		if alive, known := st.LastAlive(i.ID); !known || alive != (n != 1) {
			t.Errorf("%s: alive %v %v", i.ID, alive, known)
		}
		if outdated := i.Version < spec.Stamps().LastConfigChangeAt; outdated {
			t.Errorf("%s would be replaced", i.ID)
		}
	}
	pod, _ := st.Spec("/pod")
	for i := range st.InstancesOf("/pod") {
		if !i.Pod || i.Condition != core.Running || !slices.Equal(i.Tasks[0].HostPorts, []int{31500, 0}) || i.Version < pod.Stamps().LastConfigChangeAt {
			t.Errorf("pod instance %+v of %+v", i, pod.Stamps())
		}
	}
}

// What stands in the way of a move without loss is told, all of it at once (U3).
func TestBuildRefuses(t *testing.T) {
	resident := `"residency":{"taskLostBehavior":"WAIT_FOREVER","relaunchEscalationTimeoutSeconds":3600},"unreachableStrategy":"disabled","container":{"type":"MESOS",` +
		`"volumes":[{"containerPath":"data","mode":"RW","persistent":{"size":10}}]},"instances":5`
	for name, c := range map[string]struct {
		edits []string
		want  []string
		force bool // helps
	}{
		"never registered":   {[]string{`"frameworkId":"f-1"`, `"frameworkId":null`}, []string{"never registered"}, false},
		"bad definitions":    {[]string{`"cmd":"sleep 1"`, `"cpus":-1`, `"mem":32,"role"`, `"mem":"x","role"`}, []string{"app /team/web", "/mem"}, false},
		"running deployment": {[]string{`[]`, `[]`, `{"id":"/","apps"`, `{"id":"/","apps"`}, nil, true},
		"hidden residents":   {[]string{`"instances":3`, resident}, []string{"/team/web has persistent volumes and only 3 of 5"}, true},
		"no JSON":            {[]string{`{"slaves"`, `<html>`}, []string{"agents of the Mesos master"}, false},
	} {
		src := source(c.edits...)
		if name == "running deployment" {
			src.Deployments, c.want = []byte(`[{"id":"d-1"}]`), []string{"deployment d-1 runs"}
		}
		_, _, err := Build(src, false)
		for _, w := range c.want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v, want %s", name, err, w)
			}
		}
		if _, _, err := Build(src, true); (err == nil) != c.force {
			t.Errorf("%s: with force %v", name, err)
		}
	}
}

// Reservations keep Marathon's ids, so that their volumes find their owners (U3, behaviour 5.6).
func TestBuildResidents(t *testing.T) {
	resident := `"residency":{"taskLostBehavior":"WAIT_FOREVER","relaunchEscalationTimeoutSeconds":3600},"unreachableStrategy":"disabled","container":{"type":"MESOS",` +
		`"volumes":[{"containerPath":"data","mode":"RW","persistent":{"size":10}}]},"instances":3`
	st, _, err := Build(source(`"instances":3`, resident, `"localVolumes":[],"region"`,
		`"localVolumes":[{"runSpecId":"/team/web","containerPath":"data","uuid":"u","persistenceId":"team_web#data#u"}],"region"`), false)
	if err != nil {
		t.Fatal(err)
	}
	for i := range st.InstancesOf("/team/web") {
		r := i.Reservation
		if r == nil || r.ID != string(i.ID) || r.New || r.Principal != "marathon" || len(r.Volumes) != 1 || r.Volumes[0] != (core.Volume{ID: "team_web#data#u", ContainerPath: "data"}) {
			t.Errorf("%s holds %+v", i.ID, r)
		}
	}
}
