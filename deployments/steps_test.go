package deployments

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"stadion/core"
)

func contains(s, part string) bool { return strings.Contains(s, part) }

// behaviour.md 2.1, 2.2, D.9 and the cases of Marathon's tests of the plan: what runs before, and what changes.
func TestSteps(t *testing.T) {
	d9 := []core.RunSpec{app("/db", "1", 1), app("/api", "1", 1, "/db"), app("/web", "1", 1, "/api"), app("/cron", "1", 1, "/db")}
	mongo, srv := core.PathID("/test/database/mongo"), core.PathID("/test/service/srv1")
	for name, c := range map[string]struct {
		before []core.RunSpec
		groups []core.Group
		ch     core.Change
		want   string
	}{
		"D.9 all new":       {nil, nil, put(d9...), "Start /api, Start /cron, Start /db, Start /web | Scale /db | Scale /api, Scale /cron | Scale /web"},
		"D.9 web":           {d9, nil, put(app("/web", "2", 1, "/api")), "Restart /web"},
		"D.9 db and web":    {d9, nil, put(app("/web", "2", 1, "/api"), app("/db", "2", 1)), "Restart /db | Restart /web"},
		"D.9 cron and api":  {d9, nil, put(app("/cron", "2", 1, "/db"), app("/api", "1", 3, "/db")), "Scale /api, Restart /cron"},
		"D-30 remove all":   {d9, nil, core.Change{Remove: []core.PathID{"/db", "/api", "/web", "/cron"}}, "Stop /web | Stop /api, Stop /cron | Stop /db"},
		"D.9 groups":        {nil, []core.Group{group("/shop", "/infra")}, put(app("/shop/a", "1", 1), app("/shop/sub/b", "1", 1), app("/infra/x/y", "1", 1)), "Start /infra/x/y, Start /shop/a, Start /shop/sub/b | Scale /infra/x/y | Scale /shop/a, Scale /shop/sub/b"},
		"D-30 groups":       {[]core.RunSpec{app("/shop/a", "1", 1), app("/infra/x", "1", 1)}, []core.Group{group("/shop", "/infra")}, core.Change{Remove: []core.PathID{"/infra/x", "/shop/a"}}, "Stop /shop/a | Stop /infra/x"},
		"app needs a group": {nil, nil, put(app("/a", "1", 1, "/g"), app("/g/x", "1", 1), app("/g/y", "1", 1, "/g/x")), "Start /a, Start /g/x, Start /g/y | Scale /g/x | Scale /g/y | Scale /a"},
		"pods are lowest":   {nil, nil, put(app("/a", "1", 1, "/p"), pod("/p", 1)), "Start /a, Start /p | Scale /a, Scale /p"},
		"unknown ids":       {nil, nil, put(app("/a", "1", 1, "/nope", "/g")), "Start /a | Scale /a"},
		"diamond":           {nil, nil, put(app("/a", "1", 1, "/b", "/c"), app("/b", "1", 1, "/c"), app("/c", "1", 1, "/d"), app("/d", "1", 1), app("/e", "1", 1)), "Start /a, Start /b, Start /c, Start /d, Start /e | Scale /d, Scale /e | Scale /c | Scale /b | Scale /a"},
		"mixed": {[]core.RunSpec{app("/g/app", "1", 1), app("/g/app2", "1", 1), app("/g/app3", "1", 1)}, nil,
			core.Change{Put: []core.RunSpec{app("/g/app", "2", 1), app("/g/app2", "1", 10), app("/g/app4", "1", 1)}, Remove: []core.PathID{"/g/app3"}},
			"Stop /g/app3 | Start /g/app4 | Restart /g/app, Scale /g/app2, Scale /g/app4"},
		"two restarts in order": {[]core.RunSpec{app(mongo, "1", 4), app(srv, "1", 4)}, nil, put(app(mongo, "2", 8), app(srv, "2", 10, mongo)), "Restart /test/database/mongo | Restart /test/service/srv1"},
		"two restarts at once":  {[]core.RunSpec{app(mongo, "1", 4), app(srv, "1", 4)}, nil, put(app(mongo, "2", 8), app(srv, "2", 10)), "Restart /test/database/mongo, Restart /test/service/srv1"},
		"dependent and independent": {[]core.RunSpec{app(mongo, "1", 4), app(srv, "1", 4), app("/i/app", "1", 1), app("/test/service/stop", "1", 1, mongo)}, nil,
			core.Change{Put: []core.RunSpec{app(mongo, "2", 8), app(srv, "2", 10, mongo), app("/i/app", "2", 3), app("/test/service/start", "1", 2, srv)}, Remove: []core.PathID{"/test/service/stop"}},
			"Stop /test/service/stop | Start /test/service/start | Restart /i/app, Restart /test/database/mongo | Restart /test/service/srv1 | Scale /test/service/start"},
		"config and to 0": {[]core.RunSpec{app("/a", "1", 4)}, nil, put(app("/a", "2", 0)), "Scale /a"},
		"no change":       {[]core.RunSpec{app("/a", "1", 4)}, nil, put(app("/a", "1", 4)), ""},
		"empty group":     {nil, nil, core.Change{PutGroups: []core.Group{group("/g")}}, ""},
		"group dependency of a running group": {[]core.RunSpec{app("/a/x", "1", 1), app("/b/y", "1", 1)}, nil,
			core.Change{PutGroups: []core.Group{group("/a", "/b")}, Put: []core.RunSpec{app("/a/x", "2", 1), app("/b/y", "2", 1)}}, "Restart /b/y | Restart /a/x"},
	} {
		tree, _ := change(t, newTree(), core.Change{Put: c.before, PutGroups: c.groups}, 1)
		_, u := change(t, tree, c.ch, 2)
		if got := steps(u); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
		for _, s := range u.Steps {
			for _, a := range s.Actions {
				if want := (a.Kind == core.ActionStop); (a.Version == 0) != want {
					t.Errorf("%s: version of %+v", name, a)
				}
				if a.Pod != (a.Spec == "/p") {
					t.Errorf("%s: kind of %+v", name, a)
				}
			}
		}
	}
}

// behaviour.md 2.2.4.
func TestCycles(t *testing.T) {
	base, _ := change(t, newTree(), core.Change{Put: []core.RunSpec{app("/a", "1", 1, "/b"), app("/b", "1", 1, "/late"), app("/g/x", "1", 1, "/h"), app("/h/y", "1", 1)}}, 1)
	for name, c := range map[string]struct {
		ch core.Change
		ok bool
	}{
		"self":                       {put(app("/s", "1", 1, "/s")), false},
		"two":                        {put(app("/b", "1", 1, "/a")), false},
		"an id that becomes known":   {put(app("/late", "1", 1, "/a")), false},
		"harmless":                   {put(app("/late", "1", 1)), true},
		"own group":                  {put(app("/g/x", "1", 1, "/g")), false},
		"group against app":          {core.Change{PutGroups: []core.Group{group("/h", "/g")}}, false},
		"group on itself":            {core.Change{PutGroups: []core.Group{group("/h", "/h")}}, false},
		"empty groups on each other": {core.Change{PutGroups: []core.Group{group("/e", "/f"), group("/f", "/e")}}, true},
		"same direction":             {core.Change{PutGroups: []core.Group{group("/g", "/h")}}, true},
	} {
		_, err := Prepare(base, c.ch, 2, ports)
		if c.ok {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		mustFail(t, err, core.Invalid, cycleText)
	}
}

// A circle that is stored already must not keep anyone from removing what is in it.
func TestRemoveOutOfCircle(t *testing.T) {
	tree := newTree()
	tree.specs["/a"], tree.specs["/b"] = app("/a", "1", 1, "/b"), app("/b", "1", 1, "/a")
	if _, u := change(t, tree, core.Change{Remove: []core.PathID{"/a", "/b"}}, 2); steps(u) != "Stop /a, Stop /b" {
		t.Errorf("%q", steps(u))
	}
}

// A long chain of dependencies costs one visit per app.
func TestLongChain(t *testing.T) {
	var specs []core.RunSpec
	for i := range 3000 {
		specs = append(specs, app(core.PathID(fmt.Sprintf("/c/a%04d", i)), "1", 1, core.PathID(fmt.Sprintf("/c/a%04d", i+1))))
	}
	_, u := change(t, newTree(), put(specs...), 1)
	if len(u.Steps) != 3001 || u.Steps[1].Actions[0].Spec != "/c/a2999" || u.Steps[3000].Actions[0].Spec != "/c/a0000" {
		t.Errorf("%d steps", len(u.Steps))
	}
}

// A ladder of diamonds has more paths than could ever be walked one by one.
func TestManyPaths(t *testing.T) {
	var specs []core.RunSpec
	for i := range 60 {
		left, right := core.PathID(fmt.Sprintf("/l%02d", i+1)), core.PathID(fmt.Sprintf("/r%02d", i+1))
		specs = append(specs, app(core.PathID(fmt.Sprintf("/l%02d", i)), "1", 1, left, right), app(core.PathID(fmt.Sprintf("/r%02d", i)), "1", 1, left, right))
	}
	if _, u := change(t, newTree(), put(specs...), 1); len(u.Steps) != 61 {
		t.Errorf("%d steps", len(u.Steps))
	}
}

// holders tells which of some deployments holds a spec.
func holders(running ...*core.Deployment) func(core.PathID) (*core.Deployment, bool) {
	return func(id core.PathID) (*core.Deployment, bool) {
		for _, d := range running {
			for _, a := range d.AffectedSpecs() {
				if a.Spec == id {
					return d, true
				}
			}
		}
		return nil, false
	}
}

// behaviour.md 2.4, D.10; force and delete are decided by the caller, from this list.
func TestConflicts(t *testing.T) {
	plan := func(id string, specs ...core.PathID) *core.Deployment {
		d := &core.Deployment{ID: id}
		for _, s := range specs { // one step each: a spec counts in whatever step it stands
			d.Steps = append(d.Steps, core.Step{Actions: []core.Action{{Kind: core.ActionScale, Spec: s}}})
		}
		return d
	}
	running := []*core.Deployment{plan("1", "/a", "/b"), plan("2", "/c"), plan("3", "/g/x")}
	for _, c := range []struct {
		mine []core.PathID
		want []string
	}{
		{[]core.PathID{"/d"}, nil},
		{[]core.PathID{"/b"}, []string{"1"}},
		{[]core.PathID{"/c", "/a"}, []string{"1", "2"}},
		{[]core.PathID{"/g"}, nil},
		{nil, nil},
	} {
		if got := Conflicts(plan("new", c.mine...).Steps, holders(running...)); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.mine, got, c.want)
		}
	}
}
