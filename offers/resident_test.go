package offers

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"stadion/core"
)

const residentApp = `{"cmd":"x","cpus":1,"mem":128,"disk":5,"portDefinitions":[{"port":0}],
	"container":{"type":"MESOS","volumes":[{"containerPath":"data","mode":"RW","persistent":{"type":"root","size":100,"constraints":[]}}]}}`

var volumeID = regexp.MustCompile(`^prod_shop#data#[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// behaviour 5.6.2: without a reservation an instance reserves: RESERVE of everything, CREATE of the volumes, no launch.
func TestReserve(t *testing.T) {
	o := offer()
	n := need(app(t, residentApp))
	m := try(o, n)
	if len(m.Operations) != 2 || m.Reservation == nil || len(m.TaskIDs) != 0 || m.Incarnation != 0 {
		t.Fatalf("%+v", m)
	}
	r := m.Reservation
	if r.ID != string(n.Instance.ID) || !r.New || r.Deadline != now+20_000 || r.Principal != "prin" ||
		len(r.Volumes) != 1 || r.Volumes[0].ContainerPath != "data" || !volumeID.MatchString(r.Volumes[0].ID) {
		t.Errorf("reservation %+v", r)
	}
	amounts := map[string]float64{}
	if n := len(m.Operations[0].Reserve); n != 4 {
		t.Errorf("%d resources reserved, each kind is to be named once", n)
	}
	for _, x := range m.Operations[0].Reserve {
		amounts[x.Name] += x.Value
		want := []Label{{"marathon_framework_id", "fw"}, {"marathon_task_id", r.ID}}
		if got := x.Reservations; len(got) != 1 || !got[0].Dynamic || got[0].Role != "web" || got[0].Principal != "prin" || !slices.Equal(got[0].Labels, want) {
			t.Errorf("%s reserved as %+v", x.Name, got)
		}
		if x.Disk != nil {
			t.Errorf("RESERVE names a volume: %+v", x.Disk)
		}
	}
	if amounts["cpus"] != 1 || amounts["mem"] != 128 || amounts["disk"] != 105 {
		t.Errorf("reserved %v", amounts)
	}
	created := m.Operations[1].Create
	if len(created) != 1 || created[0].Value != 100 || created[0].Disk.PersistenceID != r.Volumes[0].ID || created[0].Disk.ContainerPath != "data" ||
		created[0].Disk.Mode != "RW" || created[0].Disk.Principal != "prin" || created[0].Role() != "web" {
		t.Errorf("created %+v", created)
	}
	if rest := Subtract(o.Resources, m.Consumed); rest[1].Value != 3 || rest[3].Value != 9895 {
		t.Errorf("rest %+v", rest)
	}
}

// reservedOffer is what the agent offers after the reservation of m was made.
func reservedOffer(m Match) *Offer {
	held := slices.Clone(m.Operations[0].Reserve)
	for _, v := range m.Operations[1].Create {
		from := v
		from.Disk = nil
		held = append(Subtract(held, []Resource{from}), v)
	}
	return offer(append(held, scalar("cpus", 4, "*"), scalar("mem", 4096, "*"), scalar("disk", 10000, "*"), ports("*", 32000, 32999))...)
}

// behaviour 5.6.1: with a reservation the launch uses exactly what is reserved, and adds the volumes to the task.
func TestLaunchOnReservation(t *testing.T) {
	n := need(app(t, residentApp))
	first := try(offer(), n)
	o := reservedOffer(first)
	n.Instance.Reservation = first.Reservation
	m := try(o, n)
	task := launched(t, m)
	for i := range task.Resources {
		if _, id := reservationLabels(&task.Resources[i]); id != first.Reservation.ID {
			t.Errorf("not from the reservation: %+v", task.Resources[i])
		}
	}
	if last := task.Resources[len(task.Resources)-1]; last.Disk == nil || last.Disk.PersistenceID != first.Reservation.Volumes[0].ID {
		t.Errorf("no volume: %+v", task.Resources)
	}
	if p := m.HostPorts["_app"]; len(p) != 1 || p[0] >= 32000 {
		t.Errorf("ports %v", p)
	}
	if rest := Subtract(o.Resources, m.Consumed); len(rest) != 4 {
		t.Errorf("rest %+v", rest)
	}

	other := config()
	other.FrameworkID = "fw2"
	if m := TryMatch(other, now, random(), o, o.Resources, n); m.Operations == nil {
		t.Error("did not use the reservation that it made as the framework that it was before (F22)")
	}
	foreign := *first.Reservation
	for _, foreign.Framework = range []string{"fw2", ""} {
		n.Instance.Reservation = &foreign
		if m := TryMatch(other, now, random(), o, o.Resources, n); m.Operations != nil {
			t.Error("used the reservation of another framework")
		}
	}
	n.Instance.Reservation = &core.Reservation{ID: first.Reservation.ID, Volumes: []core.Volume{{ID: "gone"}}}
	if m := try(o, n); !slices.Equal(m.Reasons, []Reason{NoCorrespondingReservationFound}) {
		t.Errorf("volume missing: %v", m.Reasons)
	}
}

// behaviour 5.6: constraints ignore the instance itself; D-34: reserved ones of others count.
func TestReservedConstraints(t *testing.T) {
	a := app(t, strings.Replace(residentApp, `"cmd"`, `"constraints":[["hostname","UNIQUE"]],"cmd"`, 1))
	n := need(a)
	first := try(offer(), n)
	o := reservedOffer(first)
	n.Instance.Reservation = first.Reservation
	n.Placed = []Placed{{Instance: n.Instance.ID, Version: a.Version, Agent: o.Agent}}
	launched(t, try(o, n))
	n.Counts = NewCounts(Compile(a), n.Placed)
	launched(t, try(o, n))
	if n.Counts.Len() != 1 {
		t.Error("the caller's tally was changed")
	}
	n.Placed[0].Instance, n.Counts = "other.instance-1", nil
	if m := try(o, n); m.Operations != nil {
		t.Error("two of a UNIQUE app on one agent")
	}
}

// behaviour 5.6.2: only unreserved resources are reserved, and only with a principal.
func TestReserveNeeds(t *testing.T) {
	o := offer(scalar("cpus", 4, "web"), scalar("mem", 4096, "*"), scalar("disk", 10000, "*"), ports("*", 1, 9))
	if m := try(o, need(app(t, residentApp))); !slices.Equal(m.Reasons, []Reason{InsufficientCpus}) {
		t.Errorf("%v", m.Reasons)
	}
	cfg := config()
	cfg.Principal = ""
	o = offer()
	m := TryMatch(cfg, now, random(), o, o.Resources, need(app(t, residentApp)))
	if m.Operations != nil || !strings.HasPrefix(m.Problem, "No principal set.") {
		t.Errorf("%+v", m)
	}
}

// TestVolumeIDTooLong: Mesos drops a CREATE with too long an id without a word; reserving again and again would tell
// nobody why (behaviour 5.6).
func TestVolumeIDTooLong(t *testing.T) {
	fits := 255 - len("#data#") - 36
	for _, n := range []int{fits, fits + 1} {
		a := app(t, strings.Replace(residentApp, `"cmd"`, `"id":"/`+strings.Repeat("a", n)+`","cmd"`, 1))
		for i := range a.Container.Volumes {
			a.Container.Volumes[i].ContainerPath = "data"
		}
		m := try(offer(), need(a))
		if good := n == fits; good != (len(m.Operations) > 0) || good != (m.Problem == "") {
			t.Errorf("%d: %q, %d operations", n, m.Problem, len(m.Operations))
		}
	}
}

// behaviour 5.3.2: which disks serve which volumes.
func TestVolumeDisks(t *testing.T) {
	disk := func(size float64, typ, root, profile string) Resource {
		r := scalar("disk", size, "*")
		if typ != "" {
			r.Disk = &DiskInfo{Source: &DiskSource{Type: typ, Root: root, Profile: profile}}
		}
		return r
	}
	all := []Resource{scalar("cpus", 4, "*"), scalar("mem", 4096, "*"), disk(200, "", "", ""), disk(300, "PATH", "/p1", ""), disk(400, "PATH", "/p2", ""),
		disk(900, "MOUNT", "/m1", ""), disk(500, "MOUNT", "/m2", ""), disk(600, "MOUNT", "/fast", "ssd"), disk(9999, "BLOCK", "/b", ""), disk(9999, "RAW", "", "")}
	for name, c := range map[string]struct {
		volumes, scratch string
		want             []float64 // sizes and roots of the volumes in order of the spec; nil: no match
		roots            []string
	}{
		"root":               {`{"type":"root","size":100,"constraints":[]}`, "0", []float64{100}, []string{""}},
		"root after scratch": {`{"type":"root","size":100,"constraints":[]}`, "101", nil, nil},
		"root too large":     {`{"type":"root","size":201,"constraints":[]}`, "0", nil, nil},
		"path largest first": {`{"type":"path","size":100,"constraints":[]}`, "0", []float64{100}, []string{"/p2"}},
		"two paths, larger request first": {`{"type":"path","size":250,"constraints":[]} {"type":"path","size":350,"constraints":[]}`, "0",
			[]float64{250, 350}, []string{"/p1", "/p2"}},
		"mount is whole and smallest": {`{"type":"mount","size":100,"constraints":[]}`, "0", []float64{500}, []string{"/m2"}},
		"mount is exclusive": {`{"type":"mount","size":100,"constraints":[]} {"type":"mount","size":100,"constraints":[]}`, "0",
			[]float64{500, 900}, []string{"/m2", "/m1"}},
		"mount below maxSize": {`{"type":"mount","size":100,"maxSize":499,"constraints":[]}`, "0", nil, nil},
		"profile":             {`{"type":"mount","size":100,"profileName":"ssd","constraints":[]}`, "0", []float64{600}, []string{"/fast"}},
		"no such profile":     {`{"type":"mount","size":100,"profileName":"hdd","constraints":[]}`, "0", nil, nil},
		"path LIKE":           {`{"type":"mount","size":100,"constraints":[["path","LIKE","/m1"]]}`, "0", []float64{900}, []string{"/m1"}},
		"path UNLIKE":         {`{"type":"path","size":100,"constraints":[["path","UNLIKE","/p2"]]}`, "0", []float64{100}, []string{"/p1"}},
		"other constraint":    {`{"type":"path","size":100,"constraints":[["root","LIKE",".*"]]}`, "0", nil, nil},
		"other operator":      {`{"type":"path","size":100,"constraints":[["path","IS","/p1"]]}`, "0", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var volumes []string
			for i, v := range strings.Split(c.volumes, "} {") {
				v = "{" + strings.Trim(v, "{}") + "}"
				volumes = append(volumes, `{"containerPath":"v`+string(rune('0'+i))+`","mode":"RW","persistent":`+v+`}`)
			}
			a := app(t, `{"cmd":"x","disk":`+c.scratch+`,"portDefinitions":[],"container":{"type":"MESOS","volumes":[`+strings.Join(volumes, ",")+`]}}`)
			m := try(offer(all...), need(a))
			if c.want == nil {
				if !slices.Equal(m.Reasons, []Reason{InsufficientDisk}) {
					t.Fatalf("%+v", m)
				}
				return
			}
			if m.Operations == nil {
				t.Fatalf("reasons %v", m.Reasons)
			}
			for i, v := range m.Operations[1].Create {
				root := ""
				if v.Disk.Source != nil {
					root = v.Disk.Source.Root
				}
				if v.Value != c.want[i] || root != c.roots[i] || v.Disk.PersistenceID != m.Reservation.Volumes[i].ID {
					t.Errorf("volume %d: %v MiB of %q", i, v.Value, root)
				}
			}
		})
	}
}

// behaviour 5.6.2: one operation per resource provider.
func TestReservePerProvider(t *testing.T) {
	o := offer()
	o.Resources[3].ProviderID = "local"
	m := try(o, need(app(t, residentApp)))
	if len(m.Operations) != 3 || len(m.Operations[1].Reserve) != 1 || m.Operations[1].Reserve[0].ProviderID != "local" || m.Operations[2].Create == nil {
		t.Errorf("%+v", m.Operations)
	}
}

// behaviour 5.7 and E.1 13: what is freed, and how.
func TestReconcileReservations(t *testing.T) {
	n := need(app(t, residentApp))
	first := try(offer(), n)
	o := reservedOffer(first)
	id := first.Reservation.ID
	holder := func(goal core.Goal, c core.Condition) *core.Instance {
		i := n.Instance.Clone()
		i.Goal, i.Condition, i.Reservation = goal, c, first.Reservation
		return i
	}
	abandoned := holder(core.GoalRunning, core.Scheduled)
	abandoned.Reservation = nil
	for name, c := range map[string]struct {
		owner         Owner
		frees, forget bool
	}{
		"unknown":                  {Owner{}, true, false},
		"spec gone":                {Owner{holder(core.GoalStopped, core.Killed), false}, true, true},
		"spec gone, still running": {Owner{holder(core.GoalRunning, core.Running), false}, false, false},
		"decommissioned, ended":    {Owner{holder(core.GoalDecommissioned, core.Killed), true}, true, true},
		"decommissioned, killing":  {Owner{holder(core.GoalDecommissioned, core.Killing), true}, false, false},
		"stopped":                  {Owner{holder(core.GoalStopped, core.Killed), true}, false, false},
		"scheduled":                {Owner{holder(core.GoalRunning, core.Scheduled), true}, false, false},
		"given up":                 {Owner{abandoned, true}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			got := ReconcileReservations(ofFramework(config()), o, func(asked string) Owner {
				if asked != id {
					t.Errorf("asked for %q", asked)
				}
				return c.owner
			})
			if (len(got.Operations) > 0) != c.frees || (len(got.Released) > 0) != c.forget {
				t.Fatalf("%+v", got)
			}
			if !c.frees {
				return
			}
			destroy, unreserve := got.Operations[0].Destroy, got.Operations[1].Unreserve
			if len(destroy) != 1 || destroy[0].Disk.PersistenceID == "" || len(unreserve) != 4 {
				t.Errorf("%+v", got.Operations)
			}
			for _, r := range unreserve {
				if r.Disk != nil {
					t.Errorf("unreserves a volume: %+v", r)
				}
			}
			if rest := Subtract(o.Resources, got.Consumed); len(rest) != 4 {
				t.Errorf("rest %+v", rest)
			}
		})
	}
	foreign := config()
	foreign.FrameworkID = "fw2"
	if got := ReconcileReservations(ofFramework(foreign), o, func(string) Owner { return Owner{} }); got.Operations != nil {
		t.Errorf("freed the reservation of another framework: %+v", got)
	}
}

// behaviour 11.2: a resident pod's volumes and ports are resources of its executor.
func TestResidentPod(t *testing.T) {
	spec := definition(t, []byte(`{"volumes":[{"name":"db","persistent":{"type":"root","size":50,"constraints":[]}}],
		"containers":[{"name":"c","resources":{"cpus":0.5,"mem":64,"disk":0,"gpus":0},"endpoints":[{"name":"e","hostPort":0}],
		"volumeMounts":[{"name":"db","mountPath":"/db","readOnly":false}]}]}`))
	n := need(spec)
	first := try(offer(), n)
	if first.Reservation == nil || !strings.HasPrefix(first.Reservation.Volumes[0].ID, "prod_pod#db#") {
		t.Fatalf("%+v", first)
	}
	n.Instance.Reservation, n.Instance.Incarnation = first.Reservation, 4
	m := try(reservedOffer(first), n)
	if m.Operations == nil || m.Incarnation != 5 || m.TaskIDs[0] != n.Instance.ID.Task("c", 5) {
		t.Fatalf("%+v", m)
	}
	g := m.Operations[0].LaunchGroup
	names := func(list []Resource) (out []string) {
		for _, r := range list {
			out = append(out, r.Name)
		}
		return out
	}
	if got := names(g.Executor.Resources); !slices.Equal(got, []string{"cpus", "mem", "disk", "ports", "disk"}) {
		t.Errorf("executor has %v", got)
	}
	if got := names(g.Tasks[0].Resources); !slices.Equal(got, []string{"cpus", "mem"}) {
		t.Errorf("task has %v", got)
	}
	if v := g.Tasks[0].Container.Volumes; len(v) != 1 || v[0].SandboxParent != "db" || v[0].ContainerPath != "/db" {
		t.Errorf("volumes %+v", v)
	}
	if s := g.Executor.Container.LinuxInfo.ShareCgroups; s == nil || *s {
		t.Error("share_cgroups is not told to be false")
	}
}

// TestExecutorFloor: a master refuses a group whose executor has less than 0.01 cpus, for ever; the API takes that, so the
// executor gets as much, and the offer must have it (behaviour 11.2, 11.4).
func TestExecutorFloor(t *testing.T) {
	for _, c := range []struct{ asked, given float64 }{{0, 0.01}, {0.005, 0.01}, {0.01, 0.01}, {0.1, 0.1}} {
		p := &core.Pod{ID: "/p", Role: "web", ExecutorResources: core.ExecutorResources{CPUs: core.Num(c.asked), Mem: 32, Disk: 10},
			Containers: []core.PodContainer{{Name: "c", Resources: core.PodResources{CPUs: 1, Mem: 32}}},
			Networks:   []core.Network{{Mode: core.NetworkHost}}}
		m := try(offer(), need(p))
		if len(m.Operations) != 1 {
			t.Fatalf("%v: %v %s", c.asked, m.Reasons, m.Problem)
		}
		got := 0.0
		for _, r := range m.Operations[0].LaunchGroup.Executor.Resources {
			if r.Name == "cpus" {
				got += r.Value
			}
		}
		if got != c.given {
			t.Errorf("%v cpus: the executor has %v", c.asked, got)
		}
		if m := try(offer(scalar("cpus", c.given+0.999, "*"), scalar("mem", 4096, "*"), scalar("disk", 100, "*")), need(p)); len(m.Operations) > 0 {
			t.Errorf("%v cpus: launched with too little", c.asked)
		}
	}
}

func ofFramework(cfg *Config) Ours { return func(fw, _ string) bool { return fw == cfg.FrameworkID } }
