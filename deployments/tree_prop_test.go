package deployments

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"stadion/core"
)

var (
	someGroups = []core.PathID{"/g", "/g/h", "/g/h/i", "/k", "/k-l"}
	someSpecs  = []core.PathID{"/a", "/g/a", "/g/b", "/g/h/a", "/g/h/i/a", "/k/a", "/k-l/a", "/k/p"}
)

// drawChange draws a change that may or may not be acceptable.
func drawChange(t *rapid.T, tree *memTree) core.Change {
	var ch core.Change
	used := map[core.PathID]bool{}
	for range rapid.IntRange(0, 4).Draw(t, "puts") {
		id := rapid.SampledFrom(someSpecs).Draw(t, "spec")
		if used[id] {
			continue
		}
		used[id] = true
		n := rapid.IntRange(0, 3).Draw(t, "instances")
		if id == "/k/p" {
			ch.Put = append(ch.Put, pod(id, n))
			continue
		}
		a := host(id, rapid.SampledFrom([]int{0, 0, 10001, 9}).Draw(t, "port"))
		cmd := rapid.SampledFrom([]string{"x", "y"}).Draw(t, "cmd")
		a.Cmd, a.Instances = &cmd, n
		for range rapid.IntRange(0, 2).Draw(t, "deps") {
			a.Dependencies = append(a.Dependencies, rapid.SampledFrom(append(someSpecs, someGroups...)).Draw(t, "dep"))
		}
		ch.Put = append(ch.Put, a)
	}
	for range rapid.IntRange(0, 2).Draw(t, "removes") {
		if id := rapid.SampledFrom(someSpecs).Draw(t, "spec"); !used[id] {
			used[id] = true
			ch.Remove = append(ch.Remove, id)
		}
	}
	if rapid.IntRange(0, 2).Draw(t, "drop group") == 0 {
		g := rapid.SampledFrom(someGroups).Draw(t, "group")
		ch.RemoveGroups = []core.PathID{g}
		for s := range tree.SpecsBelow(g) {
			ch.Remove = append(ch.Remove, s.SpecID())
		}
	}
	if rapid.IntRange(0, 2).Draw(t, "put group") == 0 {
		g := group(rapid.SampledFrom(someGroups).Draw(t, "group"))
		g.Dependencies = rapid.SliceOfNDistinct(rapid.SampledFrom(someGroups), 0, 2, func(p core.PathID) core.PathID { return p }).Draw(t, "group deps")
		ch.PutGroups = []core.Group{g}
	}
	for id := range tree.SpecsBelow(core.Root) {
		if !used[id.SpecID()] && rapid.IntRange(0, 9).Draw(t, "restart") == 0 && !slices.Contains(ch.Remove, id.SpecID()) {
			ch.Restart = append(ch.Restart, id.SpecID())
		}
	}
	return ch
}

// What Prepare says of a change holds: the target is what storing yields, unchanged things are not written, each
// action has its place, and Revert brings the tree back (R9 for rollbacks, behaviour.md 2.5).
func TestPrepareProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tree := newTree()
		for n := range rapid.IntRange(1, 5).Draw(t, "changes") {
			stamp := core.Timestamp(2*n + 1)
			ch := drawChange(t, tree)
			u, err := Prepare(tree, ch, stamp, ports)
			if err != nil {
				if e, ok := err.(*core.Error); !ok || e.Kind == core.Internal {
					t.Fatalf("%v", err)
				}
				continue
			}
			next := tree.with(u)
			if treeText(u.Target) != next.text() {
				t.Fatalf("target:\n%s\nstored:\n%s", treeText(u.Target), next.text())
			}
			judgeUpdate(t, tree, next, u)
			back, err := Revert(deploymentOf(u), next)
			if err != nil {
				t.Fatal(err)
			}
			again, err := Prepare(next, back, stamp+1, ports)
			if err != nil {
				t.Fatalf("the revert is refused: %v", err)
			}
			if got := next.with(again).text(); got != tree.text() {
				t.Fatalf("reverted:\n%s\nbefore:\n%s", got, tree.text())
			}
			if len(Conflicts(again.Steps, holders(deploymentOf(u)))) == 0 && len(u.Steps) > 0 {
				t.Fatalf("the revert %q does not take over from %q", steps(again), steps(u))
			}
			tree = next
		}
	})
}

func judgeUpdate(t *rapid.T, before, after *memTree, u *Update) {
	for _, s := range u.Specs {
		if old, had := before.specs[s.SpecID()]; s.SpecVersion() != u.Stamp || had && old.SameAll(s) && s.Stamps().LastConfigChangeAt != u.Stamp {
			t.Fatalf("%s is written without need", s.SpecID())
		}
	}
	for id, s := range after.specs {
		if _, ok := after.groups[id.Parent()]; !ok {
			t.Fatalf("%s has no group", id)
		}
		if _, clash := after.groups[id]; clash {
			t.Fatalf("%s is a group too", id)
		}
		old, had := before.specs[id]
		if had && old != s && s.SpecVersion() <= old.SpecVersion() {
			t.Fatalf("E.1.3: %s goes from %d to %d", id, old.SpecVersion(), s.SpecVersion())
		}
	}
	place := map[core.PathID]int{}
	for n, step := range u.Steps {
		if len(step.Actions) == 0 {
			t.Fatal("empty step")
		}
		for _, a := range step.Actions {
			if a.Kind != core.ActionStart {
				if place[a.Spec] != 0 {
					t.Fatalf("%s stands in two steps", a.Spec)
				}
				place[a.Spec] = n + 1
			}
		}
	}
	for id, n := range place {
		if s, ok := after.specs[id]; ok {
			for _, dep := range s.DependsOn() {
				if d, ok := after.specs[dep]; ok && !d.IsPod() && place[dep] >= n && !s.IsPod() {
					t.Fatalf("%s in step %d needs %s of step %d", id, n, dep, place[dep])
				}
			}
		}
	}
}
