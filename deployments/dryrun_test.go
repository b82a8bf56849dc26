package deployments

import (
	"iter"
	"slices"
	"testing"

	"stadion/core"
)

// D-41, http-api.md 6.5: a preview names the fields that differ and what would happen at first.
func TestDryRun(t *testing.T) {
	tree, _ := change(t, newTree(), put(app("/a", "x", 2, "/b", "/c"), app("/b", "x", 1), app("/gone", "x", 1), app("/quiet", "x", 1)), 1)
	labelled := app("/a", "y", 3, "/c", "/b")
	labelled.Labels = map[string]string{"l": "1"}
	quiet := app("/quiet", "x", 1)
	quiet.ExecutorResources = &core.ExecutorResources{CPUs: 1}
	_, u := change(t, tree, core.Change{Put: []core.RunSpec{labelled, app("/b", "x", 0), app("/n", "x", 4), quiet}, Remove: []core.PathID{"/gone"}}, 2)
	instances := func(id core.PathID) iter.Seq[*core.Instance] {
		var out []*core.Instance
		for n := range 3 {
			if id != "/n" {
				out = append(out, &core.Instance{ID: core.InstanceID(id[1:]) + ".instance-" + core.InstanceID(rune('0'+n)), Version: 1, Condition: core.Running})
			}
		}
		return slices.Values(out)
	}
	p, err := DryRun(tree, u, instances, func(id core.PathID, target core.RunSpec) *SpecView {
		return &SpecView{Target: target, Instances: slices.Collect(instances(id))}
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		id          core.PathID
		action      core.ActionKind
		fields      []string
		restart     bool
		start, stop int
	}{
		{"/a", core.ActionRestart, []string{"cmd", "instances", "labels"}, true, 3, 0},
		{"/b", core.ActionScale, []string{"instances"}, false, 0, 3},
		{"/gone", core.ActionStop, nil, false, 0, 3},
		{"/n", core.ActionScale, nil, false, 4, 0},
		{"/quiet", "", []string{"executorResources"}, false, 0, 0},
	}
	if len(p.Specs) != len(want) || len(p.Steps) != len(u.Steps) {
		t.Fatalf("%+v", p.Specs)
	}
	for n, w := range want {
		s := p.Specs[n]
		if s.ID != w.id || s.Action != w.action || !slices.Equal(s.Fields, w.fields) || s.Restart != w.restart || s.First.Start != w.start || len(s.First.Stop) != w.stop {
			t.Errorf("got %+v, want %+v", s, w)
		}
	}
}

func TestChangedFields(t *testing.T) {
	a := app("/a", "x", 1)
	b := app("/a", "x", 1)
	b.Version, b.Constraints, b.PortDefinitions = 7, []core.Constraint{}, []core.PortDefinition{}
	if got, err := ChangedFields(a, b); err != nil || got != nil {
		t.Errorf("%v %v", got, err)
	}
	a.Constraints = []core.Constraint{{Field: "h", Operator: "UNIQUE"}, {Field: "r", Operator: "GROUP_BY"}}
	b.Constraints = []core.Constraint{a.Constraints[1], a.Constraints[0]}
	b.User = b.Cmd
	if got, err := ChangedFields(a, b); err != nil || !slices.Equal(got, []string{"user"}) {
		t.Errorf("%v %v", got, err)
	}
	p, q := pod("/p", 1), pod("/p", 2)
	if got, err := ChangedFields(p, q); err != nil || !slices.Equal(got, []string{"scaling"}) {
		t.Errorf("%v %v", got, err)
	}
}
