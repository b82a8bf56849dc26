package deployments

import (
	"slices"
	"testing"

	"stadion/core"
)

func deploymentOf(u *Update) *core.Deployment {
	return &core.Deployment{ID: "d", Version: u.Stamp, Steps: u.Steps, Specs: u.Changes, Groups: u.GroupChanges}
}

func deps(id core.PathID, on ...core.PathID) core.Change {
	return core.Change{PutGroups: []core.Group{{ID: id, Dependencies: append([]core.PathID{}, on...)}}}
}

// behaviour.md 2.5 and Marathon's cases of reverting: the first change is reverted after the others happened; the
// tree must then be as if only the others had happened.
func TestRevert(t *testing.T) {
	setup := []core.Change{
		{PutGroups: []core.Group{group("/other1"), group("/other2"), group("/other3")}},
		{PutGroups: []core.Group{group("/c", "/other1", "/other2")}, Put: []core.RunSpec{app("/c/app1", "x", 1), app("/c/app2", "x", 2)}},
		put(host("/p", 0)),
	}
	for name, c := range map[string]struct {
		setup  []core.Change
		first  core.Change
		others []core.Change
	}{
		"app added":                 {nil, put(app("/test", "x", 1)), nil},
		"app added with groups":     {nil, put(app("/n/m/test", "x", 1)), nil},
		"app changed":               {nil, put(app("/c/app1", "y", 3)), nil},
		"app scaled":                {nil, put(app("/c/app1", "x", 3)), nil},
		"port reassigned":           {nil, put(host("/p", 12345)), nil},
		"app removed":               {nil, core.Change{Remove: []core.PathID{"/c/app1"}}, nil},
		"empty group removed":       {nil, core.Change{RemoveGroups: []core.PathID{"/other3"}}, nil},
		"group with apps removed":   {nil, core.Change{RemoveGroups: []core.PathID{"/c"}, Remove: []core.PathID{"/c/app1", "/c/app2"}}, nil},
		"group dependencies":        {nil, deps("/c", "/other2", "/other3"), nil},
		"root dependencies":         {nil, deps("/", "/nowhere"), nil},
		"many at once":              {nil, core.Change{Put: []core.RunSpec{app("/c/app1", "z", 1), app("/new/x", "x", 1)}, Remove: []core.PathID{"/c/app2"}, PutGroups: deps("/other1", "/other2").PutGroups}, nil},
		"removed, others go on":     {nil, core.Change{Remove: []core.PathID{"/c/app1"}}, []core.Change{put(app("/c/app3", "x", 1)), put(app("/other/app4", "x", 1)), {Remove: []core.PathID{"/c/app2"}}}},
		"group removed, unrelated":  {nil, core.Change{RemoveGroups: []core.PathID{"/other3"}}, []core.Change{deps("/c", "/other1", "/other4")}},
		"group kept for a new one":  {[]core.Change{deps("/c/some")}, deps("/c/some/a"), []core.Change{deps("/c/some/b")}},
		"group kept for other apps": {nil, put(app("/c/some/a", "x", 1)), []core.Change{put(app("/c/some/b/a", "x", 1), app("/c/some/b/b", "x", 1)), put(app("/c/some/b/c", "x", 1))}},
		"added and then removed":    {nil, put(app("/n/test", "x", 1)), []core.Change{{Remove: []core.PathID{"/n/test"}, RemoveGroups: []core.PathID{"/n"}}}},
	} {
		stamp := core.Timestamp(1)
		apply := func(tree *memTree, chs ...core.Change) (*memTree, *Update) {
			var u *Update
			for _, ch := range chs {
				stamp++
				tree, u = change(t, tree, ch, stamp)
			}
			return tree, u
		}
		base, _ := apply(newTree(), append(slices.Clone(setup), c.setup...)...)
		tree, first := apply(base, c.first)
		tree, _ = apply(tree, c.others...)
		ch, err := Revert(deploymentOf(first), tree)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !ch.Rollback || !ch.Force || ch.GroupID != core.Root {
			t.Errorf("%s: %+v", name, ch)
		}
		back, u := apply(tree, ch)
		reverted := stamp
		want := base
		if name != "added and then removed" { // there, the others cannot happen without the first
			want, _ = apply(base, c.others...)
		}
		if back.text() != want.text() {
			t.Errorf("%s:\n%s\nwant\n%s", name, back.text(), want.text())
		}
		for _, s := range u.Specs { // D-19: stamps go on, also back to an old definition
			if s.SpecVersion() != reverted {
				t.Errorf("%s: %s has version %d", name, s.SpecID(), s.SpecVersion())
			}
		}
	}
}

// 2.5 rule 2: a group made by the plan loses the plan's dependencies when it has to stay.
func TestRevertStripsDependencies(t *testing.T) {
	tree, first := change(t, newTree(), deps("/w", "/a", "/b"), 1)
	tree, _ = change(t, tree, deps("/w", "/a", "/b", "/mine"), 2)
	filled, _ := change(t, tree, put(app("/w/x", "x", 1)), 3)
	for _, tree := range []*memTree{tree, filled} { // empty, but someone else changed it; or not empty
		ch, err := Revert(deploymentOf(first), tree)
		if err != nil {
			t.Fatal(err)
		}
		back, _ := change(t, tree, ch, 4)
		if g := back.groups["/w"]; !slices.Equal(g.Dependencies, []core.PathID{"/mine"}) || len(back.specs) != len(tree.specs) {
			t.Errorf("%+v", g)
		}
	}
}

// 2.5 rule 2: only what the plan did to the dependencies is undone. Here it took out 1 and put in 3, someone else then
// took out 2 and put in 4.
func TestRevertDependenciesAgainst(t *testing.T) {
	tree, _ := change(t, newTree(), deps("/c", "/1", "/2"), 1)
	tree, first := change(t, tree, deps("/c", "/2", "/3"), 2)
	tree, _ = change(t, tree, deps("/c", "/3", "/4"), 3)
	ch, err := Revert(deploymentOf(first), tree)
	if err != nil {
		t.Fatal(err)
	}
	back, _ := change(t, tree, ch, 4)
	if g := back.groups["/c"]; !slices.Equal(g.Dependencies, []core.PathID{"/4", "/1"}) {
		t.Errorf("%v", g.Dependencies)
	}
}

// enforceRole is put back unless someone changed it since.
func TestRevertEnforceRole(t *testing.T) {
	yes, no := true, false
	tree, _ := change(t, newTree(), core.Change{PutGroups: []core.Group{{ID: "/g", EnforceRole: &no}}}, 1)
	next, u := change(t, tree, core.Change{PutGroups: []core.Group{{ID: "/g", EnforceRole: &yes}}}, 2)
	ch, err := Revert(deploymentOf(u), next)
	if err != nil {
		t.Fatal(err)
	}
	if back, _ := change(t, next, ch, 3); *back.groups["/g"].EnforceRole {
		t.Error("still enforced")
	}
}

// The revert of a restart has the same content. It must still take the spec over, or the restart would go on.
func TestRevertOfRestart(t *testing.T) {
	tree, _ := change(t, newTree(), put(app("/a", "x", 2)), 1)
	tree, u := change(t, tree, core.Change{Restart: []core.PathID{"/a"}}, 2)
	d := deploymentOf(u)
	ch, err := Revert(d, tree)
	if err != nil {
		t.Fatal(err)
	}
	_, u = change(t, tree, ch, 3)
	if steps(u) != "Scale /a" || len(u.Specs) != 0 || u.Steps[0].Actions[0].Version != 2 {
		t.Errorf("%q, %d specs", steps(u), len(u.Specs))
	}
	if got := Conflicts(u.Steps, holders(d)); len(got) != 1 {
		t.Errorf("conflicts %v", got)
	}
	if _, u = change(t, tree, core.Change{Put: ch.Put}, 3); steps(u) != "" {
		t.Errorf("an ordinary update without a difference has no steps: %q", steps(u))
	}
}

// D-62: the revert of an upgrade of a resident spec keeps what is reserved.
func TestRevertResident(t *testing.T) {
	tree, _ := change(t, newTree(), put(resident("/r")), 1)
	a := resident("/r")
	a.Role, a.Instances = "s", 4
	next, u := change(t, tree, core.Change{Put: []core.RunSpec{a}, Force: true}, 2)
	ch, err := Revert(deploymentOf(u), next)
	if err != nil {
		t.Fatal(err)
	}
	if back, u := change(t, next, ch, 3); back.text() != tree.text() || steps(u) != "Restart /r" {
		t.Errorf("%s %q", back.text(), steps(u))
	}
}

func TestRevertWithoutBody(t *testing.T) {
	tree, _ := change(t, newTree(), put(app("/a", "x", 1)), 1)
	tree, u := change(t, tree, put(app("/a", "y", 1)), 2)
	clear(tree.versions)
	_, err := Revert(deploymentOf(u), tree)
	mustFail(t, err, core.Unavailable, "no longer stored")
}
