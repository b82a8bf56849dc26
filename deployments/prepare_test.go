package deployments

import (
	"iter"
	"slices"
	"testing"

	"stadion/core"
)

// behaviour.md D.7: stamps and steps over the life of one app, with the rows that D-05 and a combination add.
func TestStamps(t *testing.T) {
	tree := newTree()
	withResources := func(a *core.App, cpus core.Num) *core.App {
		a.ExecutorResources = &core.ExecutorResources{CPUs: cpus}
		return a
	}
	for _, c := range []struct {
		name                     string
		change                   core.Change
		stamp                    core.Timestamp
		version, scaling, config core.Timestamp
		steps                    string
		stored                   int
	}{
		{"create", put(app("/a", "x", 2)), 1, 1, 1, 1, "Start /a | Scale /a", 1},
		{"instances 4", put(app("/a", "x", 4)), 2, 2, 2, 1, "Scale /a", 1},
		{"cmd", put(app("/a", "y", 4)), 3, 3, 3, 3, "Restart /a", 1},
		{"cmd and instances", put(app("/a", "z", 1)), 4, 4, 4, 4, "Restart /a", 1},
		{"identical", put(app("/a", "z", 1)), 5, 4, 4, 4, "", 0},
		{"restart", core.Change{Restart: []core.PathID{"/a"}}, 6, 6, 4, 6, "Restart /a", 1},
		{"cmd and instances 0", put(app("/a", "w", 0)), 7, 7, 7, 7, "Scale /a", 1},
		{"cmd while at 0", put(app("/a", "v", 0)), 8, 8, 8, 8, "Scale /a", 1},
		{"restart at 0", core.Change{Restart: []core.PathID{"/a"}}, 9, 9, 8, 9, "Scale /a", 1},
		{"up again", put(app("/a", "v", 3)), 10, 10, 10, 9, "Scale /a", 1},
		{"D-05 executorResources", put(withResources(app("/a", "v", 3), 1)), 11, 11, 10, 9, "", 1},
		{"D-05 with instances", put(withResources(app("/a", "v", 4), 2)), 12, 12, 12, 9, "Scale /a", 1},
		{"same and restart", core.Change{Put: []core.RunSpec{withResources(app("/a", "v", 4), 2)}, Restart: []core.PathID{"/a"}}, 13, 13, 12, 13, "Restart /a", 1},
	} {
		next, u := change(t, tree, c.change, c.stamp)
		tree = next
		s := tree.specs["/a"]
		if s.SpecVersion() != c.version || s.Stamps() != (core.VersionInfo{LastScalingAt: c.scaling, LastConfigChangeAt: c.config}) {
			t.Errorf("%s: version %d, stamps %v", c.name, s.SpecVersion(), s.Stamps())
		}
		if got := steps(u); got != c.steps {
			t.Errorf("%s: steps %q, want %q", c.name, got, c.steps)
		}
		if len(u.Specs) != c.stored || len(u.Changes) != c.stored {
			t.Errorf("%s: stores %d specs, %d changes", c.name, len(u.Specs), len(u.Changes))
		}
	}
}

// D-05 for pods: killSelection, unreachableStrategy, executorResources and legacySharedCgroups restart nothing.
func TestPodStamps(t *testing.T) {
	tree, _ := change(t, newTree(), put(pod("/p", 1)), 1)
	quiet := pod("/p", 1)
	quiet.LegacySharedCgroups, quiet.Scheduling.KillSelection = true, core.OldestFirst
	tree, u := change(t, tree, put(quiet), 2)
	if s := tree.specs["/p"]; s.SpecVersion() != 2 || s.Stamps().LastConfigChangeAt != 1 || steps(u) != "" {
		t.Errorf("quiet change: %v, %q", s.Stamps(), steps(u))
	}
	loud := *quiet
	loud.Labels = map[string]string{"a": "b"}
	if _, u = change(t, tree, put(&loud), 3); steps(u) != "Restart /p" {
		t.Errorf("label change (D-41): %q", steps(u))
	}
}

func TestGroups(t *testing.T) {
	tree, u := change(t, newTree(), put(app("/a/b/c", "x", 1)), 1)
	if len(u.Groups) != 2 || u.Groups[0].ID != "/a" || u.Groups[0].Version != 1 || u.Groups[0].EnforceRole == nil || u.Groups[1].EnforceRole != nil {
		t.Fatalf("missing parents are made, the top one with enforceRole: %+v", u.Groups)
	}
	tree, u = change(t, tree, core.Change{Remove: []core.PathID{"/a/b/c"}}, 2)
	if len(u.Groups)+len(u.RemovedGroups) != 0 || len(u.Removed) != 1 {
		t.Errorf("removing the last app keeps its group: %+v", u)
	}
	if c := u.Changes[0]; c.From != 1 || c.To != 0 {
		t.Errorf("change of a removed spec: %+v", c)
	}
	_, u = change(t, tree, core.Change{PutGroups: []core.Group{{ID: "/a/b", Dependencies: []core.PathID{}}}}, 3)
	if len(u.Groups) != 0 || len(u.GroupChanges) != 0 {
		t.Errorf("an unchanged group is not written: %+v", u.Groups)
	}
	next, u := change(t, tree, core.Change{PutGroups: []core.Group{group("/a/b", "/x")}}, 3)
	if len(u.Groups) != 1 || u.GroupChanges[0].From == nil || u.Groups[0].Version != 3 {
		t.Errorf("changed group: %+v", u.GroupChanges)
	}
	if treeText(u.Target) != next.text() {
		t.Errorf("target tree differs from the stored one:\n%s\n%s", treeText(u.Target), next.text())
	}
	_, u = change(t, tree, core.Change{RemoveGroups: []core.PathID{"/a"}}, 3)
	if !slices.Equal(u.RemovedGroups, []core.PathID{"/a", "/a/b"}) {
		t.Errorf("removed groups: %v", u.RemovedGroups)
	}
	full, _ := change(t, tree, put(app("/a/b/c", "x", 1)), 4)
	if _, err := Prepare(full, core.Change{RemoveGroups: []core.PathID{"/a"}}, 5, ports); err == nil {
		t.Error("a group went without what is in it")
	}
	if _, err := Prepare(full, core.Change{RemoveGroups: []core.PathID{core.Root}}, 5, ports); err == nil {
		t.Error("the root went")
	}
	if _, u = change(t, full, core.Change{RemoveGroups: []core.PathID{"/a"}, Remove: []core.PathID{"/a/b/c"}}, 5); steps(u) != "Stop /a/b/c" {
		t.Errorf("removal with content: %q", steps(u))
	}
	// Removed and put again in one change: kept where nothing differs.
	same := core.Change{RemoveGroups: []core.PathID{"/a"}, Remove: []core.PathID{"/a/b/c"}, Put: []core.RunSpec{app("/a/b/c", "x", 1)}}
	if next, u = change(t, full, same, 5); steps(u) != "" || len(next.specs) != 1 || len(next.groups) != 3 {
		t.Errorf("put again: %q\n%s", steps(u), next.text())
	}
}

// http-api.md 6.7.
func TestNameClashes(t *testing.T) {
	tree, _ := change(t, newTree(), put(app("/g/a", "x", 1), pod("/g/p", 1)), 1)
	for name, c := range map[string]struct {
		ch   core.Change
		text string
	}{
		"app named as a group":     {put(app("/g", "x", 1)), groupOrAppText},
		"pod named as a group":     {put(pod("/g", 1)), groupOrPodText},
		"group named as an app":    {core.Change{PutGroups: []core.Group{group("/g/a")}}, groupOrAppText},
		"app below an app":         {put(app("/g/a/b", "x", 1)), groupOrAppText},
		"app below a pod":          {put(app("/g/p/b", "x", 1)), groupOrPodText},
		"app named as a pod":       {put(app("/g/p", "x", 1)), appOrPodText},
		"pod named as an app":      {put(pod("/g/a", 1)), appOrPodText},
		"app and pod in one":       {put(app("/n", "x", 1), pod("/n", 1)), appOrPodText},
		"app below another in one": {put(app("/n", "x", 1), app("/n/m", "x", 1)), groupOrAppText},
		"root":                     {put(app("/", "x", 1)), "must not be root"},
	} {
		_, err := Prepare(tree, c.ch, 2, ports)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		mustFail(t, err, core.Invalid, c.text)
	}
	ok := core.Change{Remove: []core.PathID{"/g/a"}, Put: []core.RunSpec{app("/g/a/b", "x", 1)}}
	if _, err := Prepare(tree, ok, 2, ports); err != nil {
		t.Errorf("an app that goes makes room for a group: %v", err)
	}
	_, err := Prepare(tree, core.Change{Restart: []core.PathID{"/none"}}, 2, ports)
	mustFail(t, err, core.NotFound, "App '/none' does not exist")
}

func host(id core.PathID, nums ...int) *core.App {
	a := app(id, "x", 1)
	for _, n := range nums {
		a.PortDefinitions = append(a.PortDefinitions, core.PortDefinition{Port: n, Protocol: "tcp"})
	}
	return a
}

func bridge(id core.PathID, nums ...int) *core.App {
	a := app(id, "x", 1)
	a.Networks = []core.Network{{Mode: core.NetworkBridge}}
	a.Container = &core.Container{Type: "MESOS"}
	for _, n := range nums {
		a.Container.PortMappings = append(a.Container.PortMappings, core.PortMapping{ServicePort: n, Protocol: "tcp"})
	}
	return a
}

// behaviour.md 1.6, http-api.md 4.13.
func TestServicePorts(t *testing.T) {
	base, _ := change(t, newTree(), put(host("/used", 10000, 10002)), 1)
	for name, c := range map[string]struct {
		old, put *core.App
		want     []int
	}{
		"lowest free ones":              {nil, host("/a", 0, 0), []int{10001, 10003}},
		"explicit ones are kept":        {nil, host("/a", 0, 80, 10001), []int{10003, 80, 10001}},
		"mappings":                      {nil, bridge("/a", 0, 10001, 0), []int{10003, 10001, 10004}},
		"posting 0 again keeps":         {host("/a", 10005, 10004), host("/a", 0, 0), []int{10005, 10004}},
		"kept ones in old order":        {host("/a", 10005, 10004), host("/a", 10004, 0, 0), []int{10004, 10005, 10001}},
		"ports outside are not kept":    {host("/a", 80, 10010, 10007), host("/a", 0, 0), []int{10007, 10001}},
		"from host to bridge":           {host("/a", 10005), bridge("/a", 0), []int{10005}},
		"a shared explicit port stands": {nil, host("/a", 10000), []int{10000}},
	} {
		tree := base
		if c.old != nil {
			tree, _ = change(t, tree, put(c.old), 2)
		}
		before := slices.Clone(c.put.ServicePorts())
		_, u := change(t, tree, put(c.put), 3)
		s, _ := u.Target.Spec("/a")
		if got := s.(*core.App).ServicePorts(); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		if name == "posting 0 again keeps" && steps(u) != "" {
			t.Errorf("posting 0 again restarts: %q", steps(u))
		}
		if !slices.Equal(c.put.ServicePorts(), before) {
			t.Errorf("%s: the request was changed", name)
		}
	}
	_, u := change(t, base, put(host("/a", 0), host("/b", 0), host("/c", 10001)), 3)
	if got := treeText(u.Target); !contains(got, "/a x n=1 deps=[] ports=[10003]") || !contains(got, "/b x n=1 deps=[] ports=[10004]") {
		t.Errorf("ports explicit anywhere in the change are taken:\n%s", got)
	}
	_, err := Prepare(base, put(host("/a", make([]int, 9)...)), 3, ports)
	mustFail(t, err, core.Internal, "All ports in the range [10000-10009) are already in use")
}

// bookTree knows the next free port and refuses to list all apps: a change must not cost what the tree costs.
type bookTree struct {
	*memTree
	t *testing.T
}

func (b bookTree) FreeServicePort(from int) int { return max(from, 10003) }

func (b bookTree) SpecsBelow(g core.PathID) iter.Seq[core.RunSpec] {
	if g == core.Root {
		b.t.Error("all apps were listed")
	}
	return b.memTree.SpecsBelow(g)
}

func TestCostOfOneChange(t *testing.T) {
	tree, _ := change(t, newTree(), put(app("/g/db", "x", 1), app("/g/web", "x", 1, "/g/db")), 1)
	u, err := Prepare(bookTree{tree, t}, put(host("/n", 0), app("/g/web", "y", 1, "/g/db")), 2, ports)
	if err != nil {
		t.Fatal(err)
	}
	if s, _ := u.Target.Spec("/n"); s.(*core.App).ServicePorts()[0] != 10003 {
		t.Errorf("port %v", s.(*core.App).ServicePorts())
	}
}

func resident(id core.PathID) *core.App {
	a := host(id, 31000)
	a.Container = &core.Container{Type: "MESOS", Volumes: []core.AppVolume{{ContainerPath: "data", Mode: "RW",
		Persistent: &core.PersistentVolume{Type: "root", Size: 10}}}}
	a.UpgradeStrategy = core.UpgradeStrategy{MinimumHealthCapacity: 0.5}
	a.CPUs, a.Role = 1, "r"
	return a
}

func residentPod(id core.PathID) *core.Pod {
	p := pod(id, 1)
	p.Role = "r"
	p.Volumes = []core.PodVolume{{Name: "v", Persistent: &core.PersistentVolume{Type: "root", Size: 10}}}
	zero := 0
	p.Containers[0].Endpoints = []core.Endpoint{{Name: "e", HostPort: &zero}}
	return p
}

// behaviour.md 1.8, http-api.md 4.12 and 7.6.
func TestResidentChanges(t *testing.T) {
	base, _ := change(t, newTree(), put(resident("/r"), residentPod("/p"), app("/plain", "x", 1)), 1)
	appWith := func(f func(*core.App)) core.Change { a := resident("/r"); f(a); return put(a) }
	podWith := func(f func(*core.Pod)) core.Change { p := residentPod("/p"); f(p); return put(p) }
	forced := appWith(func(a *core.App) { a.Role = "s" })
	forced.Force = true
	reverted := appWith(func(a *core.App) { a.Role = "s" })
	reverted.Rollback = true
	for name, c := range map[string]struct {
		ch   core.Change
		text string // empty: accepted
	}{
		"scale":           {appWith(func(a *core.App) { a.Instances = 5 }), ""},
		"cmd":             {appWith(func(a *core.App) { y := "y"; a.Cmd = &y }), ""},
		"mem":             {appWith(func(a *core.App) { a.Mem = 5 }), resourcesText},
		"gpus":            {appWith(func(a *core.App) { a.GPUs = 5 }), resourcesText},
		"requirePorts":    {appWith(func(a *core.App) { a.RequirePorts = true }), resourcesText},
		"ports":           {appWith(func(a *core.App) { a.PortDefinitions[0].Port = 31001 }), hostPortsText},
		"size":            {appWith(func(a *core.App) { a.Container.Volumes[0].Persistent.Size = 11 }), volumesText},
		"no volume":       {appWith(func(a *core.App) { a.Container = nil }), volumesText},
		"becomes one":     {put(func() core.RunSpec { a := resident("/plain"); return a }()), volumesText},
		"role":            {appWith(func(a *core.App) { a.Role = "s" }), "previous role, r. Only new instances will be allocated with the new role, s."},
		"role, forced":    {forced, ""},
		"role, reverted":  {reverted, ""},
		"pod scale":       {podWith(func(p *core.Pod) { p.Scaling.Instances = 3 }), ""},
		"pod volume":      {podWith(func(p *core.Pod) { p.Volumes[0].Persistent.Size = 1 }), podVolumesText},
		"pod cpus":        {podWith(func(p *core.Pod) { p.Containers[0].Resources.CPUs = 2 }), "cpus cannot be updated"},
		"pod gpus":        {podWith(func(p *core.Pod) { p.Containers[0].Resources.GPUs = 2 }), "gpus cannot be updated"},
		"pod host ports":  {podWith(func(p *core.Pod) { p.Containers[0].Endpoints = nil }), podHostPortsText},
		"pod role change": {podWith(func(p *core.Pod) { p.Role = "s" }), "previous role, r."},
	} {
		_, err := Prepare(base, c.ch, 2, ports)
		if c.text == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		mustFail(t, err, core.Invalid, c.text)
	}
}

func TestNoPlan(t *testing.T) {
	tree, _ := change(t, newTree(), put(app("/g/a", "x", 1)), 1)
	yes := true
	_, u := change(t, tree, core.Change{PutGroups: []core.Group{{ID: "/g", EnforceRole: &yes}}, NoPlan: true}, 2)
	if len(u.Steps) != 0 || len(u.Groups) != 1 || !*u.Groups[0].EnforceRole {
		t.Errorf("%+v", u)
	}
}

// The target tree shows the change over the base: changed, removed and new entries, in order, bounded by the group.
func TestTargetTree(t *testing.T) {
	tree, _ := change(t, newTree(), put(app("/a/x", "1", 1), app("/a-b/y", "1", 1), app("/c/z", "1", 1)), 1)
	next, u := change(t, tree, core.Change{Put: []core.RunSpec{app("/a/x", "2", 1), app("/a/b", "1", 1), app("/d", "1", 1)},
		Remove: []core.PathID{"/c/z"}, RemoveGroups: []core.PathID{"/c"}}, 2)
	if treeText(u.Target) != next.text() {
		t.Errorf("target:\n%s\nstored:\n%s", treeText(u.Target), next.text())
	}
	var got []core.PathID
	for s := range u.Target.SpecsBelow("/a") {
		got = append(got, s.SpecID())
	}
	if !slices.Equal(got, []core.PathID{"/a/b", "/a/x"}) {
		t.Errorf("below /a: %v", got)
	}
	for s := range u.Target.SpecsBelow(core.Root) {
		got = append(got[:0], s.SpecID())
		break
	}
	if _, there := u.Target.Group("/c"); there || got[0] != "/a-b/y" || u.Target.RootStamp() != 2 {
		t.Errorf("first %v", got)
	}
	if s, ok := u.Target.SpecAt("/a/x", 1); !ok || s.SpecVersion() != 1 {
		t.Error("the old version is gone")
	}
	if s, ok := u.Target.SpecAt("/a/x", 2); !ok || deref(s.(*core.App).Cmd) != "2" {
		t.Error("the new version is not seen")
	}
	if r, ok := u.Target.RootAt(1); !ok || r.RootStamp() != 1 {
		t.Error("the old root is gone")
	}
	if r, ok := u.Target.RootAt(2); !ok || r.RootStamp() != 2 {
		t.Error("the new root is not seen")
	}
}
