package offers

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"stadion/core"
)

// behaviour 5.3: every check reports its reason, all of them are collected, ports only when nothing else is wrong.
func TestReasons(t *testing.T) {
	gpu := func(o *Offer) { o.Resources = append(o.Resources, scalar("gpus", 2, "*")) }
	for name, c := range map[string]struct {
		app    string
		change func(*Offer)
		want   []Reason
	}{
		"fits":           {`{}`, nil, nil},
		"cpus":           {`{"cpus":4.001}`, nil, []Reason{InsufficientCpus}},
		"exactly":        {`{"cpus":4,"mem":4096,"disk":10000}`, nil, nil},
		"nothing wanted": {`{"cpus":0,"mem":0}`, nil, nil},
		"mem":            {`{"mem":5000}`, nil, []Reason{InsufficientMemory}},
		"disk":           {`{"disk":10001}`, nil, []Reason{InsufficientDisk}},
		"gpus":           {`{"gpus":3}`, gpu, []Reason{InsufficientGpus}},
		"gpus fit":       {`{"gpus":2}`, gpu, nil},
		"scarce":         {`{}`, gpu, []Reason{DeclinedScarceResources}},
		"scarce allowed": {`{"labels":{"GPU_SCHEDULING_BEHAVIOR":"unrestricted"}}`, gpu, nil},
		"scarce unknown": {`{"labels":{"GPU_SCHEDULING_BEHAVIOR":"maybe"}}`, gpu, []Reason{DeclinedScarceResources}},
		"all, no ports": {`{"cpus":9,"mem":9000,"disk":20000,"requirePorts":true,"portDefinitions":[{"port":80}],"constraints":[["x","IS","y"]]}`, nil,
			[]Reason{UnfulfilledConstraint, InsufficientCpus, InsufficientMemory, InsufficientDisk}},
		"ports":      {`{"requirePorts":true,"portDefinitions":[{"port":80}]}`, nil, []Reason{InsufficientPorts}},
		"wrong role": {`{}`, func(o *Offer) { o.Role = "db" }, []Reason{UnfulfilledRole}},
		"no resources": {`{}`, func(o *Offer) { o.Resources = nil },
			[]Reason{UnfulfilledRole, InsufficientCpus, InsufficientMemory}},
		"path disk is no scratch": {`{"disk":10}`, func(o *Offer) {
			o.Resources[3].Disk = &DiskInfo{Source: &DiskSource{Type: "PATH", Root: "/d"}}
		}, []Reason{InsufficientDisk}},
		"revocable": {`{}`, func(o *Offer) { o.Resources[1].Revocable = true }, []Reason{InsufficientCpus}},
	} {
		t.Run(name, func(t *testing.T) {
			o := offer()
			if c.change != nil {
				c.change(o)
			}
			m := try(o, need(app(t, c.app)))
			if !slices.Equal(m.Reasons, c.want) || (m.Operations != nil) != (c.want == nil) {
				t.Errorf("reasons %v, want %v", m.Reasons, c.want)
			}
		})
	}
}

// behaviour 5.3: which roles a spec accepts, and that our reservations are not for everybody.
func TestAcceptedRoles(t *testing.T) {
	labelled := func(key string) Resource {
		r := scalar("cpus", 4, "web")
		r.Reservations[0].Dynamic = true
		r.Reservations[0].Labels = []Label{{key, "x"}}
		return r
	}
	mem := []Resource{scalar("mem", 1000, "*"), scalar("mem", 1000, "web")}
	for name, c := range map[string]struct {
		accepted, behaviour string
		cpus                Resource
		want                bool
	}{
		"any takes star":              {`[]`, "any", scalar("cpus", 4, "*"), true},
		"any takes own":               {`[]`, "any", scalar("cpus", 4, "web"), true},
		"any leaves foreign":          {`[]`, "any", scalar("cpus", 4, "db"), false},
		"unreserved leaves own":       {`[]`, "unreserved", scalar("cpus", 4, "web"), false},
		"unreserved takes star":       {`[]`, "unreserved", scalar("cpus", 4, "*"), true},
		"reserved leaves star":        {`[]`, "reserved", scalar("cpus", 4, "*"), false},
		"reserved takes own":          {`[]`, "reserved", scalar("cpus", 4, "web"), true},
		"list wins":                   {`["*"]`, "reserved", scalar("cpus", 4, "*"), true},
		"list excludes":               {`["*"]`, "any", scalar("cpus", 4, "web"), false},
		"dynamic with other label":    {`[]`, "any", labelled("owner"), true},
		"dynamic with framework id":   {`[]`, "any", labelled("marathon_framework_id"), false},
		"dynamic with reservation id": {`[]`, "any", labelled("marathon_task_id"), false},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config()
			cfg.AcceptedRolesDefault = c.behaviour
			o := offer(append(slices.Clone(mem), c.cpus)...)
			m := TryMatch(cfg, now, random(), o, o.Resources, need(app(t, `{"acceptedResourceRoles":`+c.accepted+`}`)))
			if (m.Operations != nil) != c.want {
				t.Errorf("reasons %v", m.Reasons)
			}
		})
	}
}

// behaviour 5.3.1: a requirement is split over pieces in the order of the offer; pieces keep what they are.
func TestScalarsAreSplit(t *testing.T) {
	first, second := scalar("cpus", 0.3, "web"), scalar("cpus", 2, "*")
	second.ProviderID = "p1"
	o := offer(first, second, scalar("mem", 500, "*"))
	task := launched(t, try(o, need(app(t, `{"cpus":0.4,"mem":500}`))))
	if len(task.Resources) != 3 || task.Resources[0].Value != 0.3 || task.Resources[0].Role() != "web" ||
		task.Resources[1].Value != 0.1 || task.Resources[1].ProviderID != "p1" || task.Resources[2].Value != 500 {
		t.Errorf("%+v", task.Resources)
	}
}

// behaviour 5.5.5: maintenance windows.
func TestMaintenance(t *testing.T) {
	for name, c := range map[string]struct {
		start    core.Timestamp
		duration int64
		draining int
		off      bool
		rejected bool
	}{
		"before":            {now + 1, 0, 0, false, false},
		"at start":          {now, 0, 0, false, false},
		"within, endless":   {now - 1, 0, 0, false, true},
		"within":            {now - 1000, 1000, 0, false, true},
		"over":              {now - 1001, 1000, 0, false, false},
		"draining":          {now + 9_999, 0, 10, false, true},
		"not yet draining":  {now + 10_000, 0, 10, false, false},
		"windows disrgaded": {now - 1, 0, 0, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config()
			cfg.MaintenanceMode, cfg.DrainingSeconds = !c.off, c.draining
			o := offer()
			o.Unavailability = &Unavailability{Start: c.start, Duration: c.duration}
			m := TryMatch(cfg, now, random(), o, o.Resources, need(app(t, `{}`)))
			if c.rejected != slices.Equal(m.Reasons, []Reason{UnfulfilledConstraint, AgentMaintenance}) || c.rejected == (m.Operations != nil) {
				t.Errorf("reasons %v", m.Reasons)
			}
		})
	}
}

// I7: what is subtracted is gone, never more than was there, and the arguments stay as they were.
func TestSubtract(t *testing.T) {
	volume := scalar("disk", 100, "web")
	volume.Disk = &DiskInfo{PersistenceID: "v"}
	mount := scalar("disk", 500, "*")
	mount.Disk = &DiskInfo{Source: &DiskSource{Type: "MOUNT", Root: "/m"}}
	set := Resource{Name: "names", Type: Set, Items: []string{"a", "b"}}
	left := []Resource{scalar("cpus", 1, "*"), scalar("cpus", 2, "web"), ports("*", 1, 10, 20, 30), volume, mount, set}
	got := Subtract(left, []Resource{scalar("cpus", 0.9, "*"), scalar("cpus", 5, "web"), scalar("mem", 7, "*"),
		ports("*", 1, 1, 5, 6, 30, 40), ports("web", 2, 3), {Name: "names", Type: Set, Items: []string{"b"}}})
	if len(got) != 5 || got[0].Value != 0.1 || !slices.Equal(got[1].Ranges, []Range{{2, 4}, {7, 10}, {20, 29}}) || !slices.Equal(got[4].Items, []string{"a"}) {
		t.Errorf("%+v", got)
	}
	if left[0].Value != 1 || len(left[2].Ranges) != 2 || len(left[5].Items) != 2 {
		t.Errorf("the argument was changed: %+v", left)
	}
	volume.Value, mount.Value = 10, 10
	if got := Subtract(left, []Resource{volume, mount}); len(got) != 4 {
		t.Errorf("volumes and mount disks are taken whole: %+v", got)
	}
}

// behaviour 4.5: ten rows, each offer under its first reason only; D-11: it always adds up.
func TestFunnel(t *testing.T) {
	var f Funnel
	f.Add([]Reason{InsufficientCpus, InsufficientMemory})
	f.Add([]Reason{UnfulfilledConstraint, AgentMaintenance})
	f.Add([]Reason{InsufficientPorts})
	f.Add(nil)
	f.Add([]Reason{DeclinedScarceResources})
	f.Remove([]Reason{DeclinedScarceResources})
	rows := f.Rows(10)
	want := []FunnelRow{{"UnfulfilledRole", 0, 10}, {"UnfulfilledConstraint", 2, 10}, {"NoCorrespondingReservationFound", 0, 8},
		{"AgentMaintenance", 0, 8}, {"InsufficientCpus", 1, 8}, {"InsufficientMemory", 0, 7}, {"InsufficientDisk", 0, 7},
		{"InsufficientGpus", 0, 7}, {"InsufficientPorts", 1, 7}, {"DeclinedScarceResources", 0, 6}}
	if !slices.Equal(rows, want) {
		t.Errorf("%+v", rows)
	}
	if top, ok := f.Top(); !ok || top != UnfulfilledConstraint {
		t.Errorf("top %v %v", top, ok)
	}
	if _, ok := new(Funnel).Top(); ok {
		t.Error("an empty funnel has a top reason")
	}
}

// Placement strategies: spread avoids agents with the spec and then full ones, binpack prefers the fullest.
func TestScore(t *testing.T) {
	a := app(t, `{}`)
	n := need(a)
	full, empty := offer(scalar("cpus", 1, "*"), scalar("mem", 200, "*")), offer()
	empty.Agent = agent(2)
	score := func(strategy string, o *Offer) float64 { return Score(strategy, random(), o, o.Resources, n) }
	if score("spread", empty) <= score("spread", full) || score("binpack", empty) >= score("binpack", full) || score("first", empty) != score("", full) {
		t.Error("capacity is rated wrongly")
	}
	if a, b := score("random", empty), score("random", full); a != b || a == 0 { // the generator alone decides
		t.Errorf("random rates %v and %v", a, b)
	}
	n.Placed = []Placed{{Instance: "a.instance-1", Version: a.Version, Agent: empty.Agent}}
	if score("spread", empty) >= score("spread", full) {
		t.Error("spread prefers the agent that runs the spec already")
	}
	plain := score("spread", empty)
	n.Counts = NewCounts(Compile(a), n.Placed)
	if score("spread", empty) != plain {
		t.Error("the kept tally rates otherwise")
	}
}

func live(values ...string) []*core.Instance {
	var out []*core.Instance
	for i, v := range values {
		a := &core.App{ID: "/a"}
		in := instance(a, i)
		in.Agent = &core.AgentInfo{Host: v}
		out = append(out, in)
	}
	return out
}

// behaviour 5.5.4 and D.3: 20 on h1, 10 on h2, kill 10: all from h1.
func TestConstraintKills(t *testing.T) {
	hosts := slices.Concat(slices.Repeat([]string{"h2"}, 10), slices.Repeat([]string{"h1"}, 20))
	a := app(t, `{"constraints":[["hostname","GROUP_BY"]]}`)
	all := live(hosts...)
	dead := ConstraintKills(a, all, 10)
	if len(dead) != 10 {
		t.Fatalf("%d killed", len(dead))
	}
	for i, id := range dead {
		if id != all[10+i].ID {
			t.Errorf("victim %d is %s", i, id)
		}
	}
	if got := ConstraintKills(a, all, 40); len(got) != 30 {
		t.Errorf("%d of 30 when all must go", len(got))
	}
	even := live("a", "b", "a", "b")
	if got := ConstraintKills(a, even, 3); len(got) != 3 || got[0] != even[0].ID {
		t.Errorf("even: %v", got)
	}
	if got := ConstraintKills(app(t, `{"constraints":[["hostname","UNIQUE"]]}`), all, 3); got != nil {
		t.Errorf("UNIQUE chose %v", got)
	}
}

// behaviour 5.5.4: every distribution counts, two equally large groups are no dead end, and with one field the result is
// as even as it can be.
func TestConstraintKillsKeepAllEven(t *testing.T) {
	two := app(t, `{"constraints":[["hostname","GROUP_BY"],["rack","GROUP_BY"]]}`)
	all := live("h1", "h1", "h1", "h2")
	for i, rack := range []string{"a", "b", "b", "b"} {
		all[i].Agent.Attributes = []core.Attribute{{Name: "rack", Value: rack}}
	}
	if got := ConstraintKills(two, all, 1); len(got) != 1 || got[0] != all[1].ID {
		t.Errorf("%v: the one of h1 outside the small rack should go", got)
	}
	one := app(t, `{"constraints":[["hostname","GROUP_BY"]]}`)
	rapid.Check(t, func(t *rapid.T) {
		hosts := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 1, 40).Draw(t, "hosts")
		n := rapid.IntRange(0, len(hosts)).Draw(t, "n")
		all := live(hosts...)
		want := map[string]int{}
		for _, h := range hosts {
			want[h]++
		}
		got := maps.Clone(want)
		dead := ConstraintKills(one, all, n)
		for _, id := range dead {
			got[all[slices.IndexFunc(all, func(i *core.Instance) bool { return i.ID == id })].Agent.Host]--
		}
		for range n {
			largest := slices.Sorted(maps.Keys(want))[0]
			for h, k := range want {
				if k > want[largest] {
					largest = h
				}
			}
			want[largest]--
		}
		if len(dead) != n || !slices.Equal(slices.Sorted(maps.Values(got)), slices.Sorted(maps.Values(want))) {
			t.Fatalf("%v kill %d: left %v, want %v", hosts, n, got, want)
		}
	})
}

// D-15: what the API may accept as a pattern.
func TestValidPattern(t *testing.T) {
	for p, want := range map[string]bool{"r[12]": true, "(?i)x": true, "a|b": true, "": true, "(?<!x)y": false, "a)|(b": false, "[": false, `(a)\1`: false} {
		if ValidPattern(p) != want {
			t.Errorf("%q", p)
		}
	}
}
