package deployments

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"

	"stadion/core"
)

// memTree is a tree in memory that remembers all versions, as the real one does.
type memTree struct {
	stamp    core.Timestamp
	specs    map[core.PathID]core.RunSpec
	groups   map[core.PathID]core.Group
	versions map[string]core.RunSpec
	roots    map[core.Timestamp]*memTree
}

func newTree() *memTree {
	return &memTree{specs: map[core.PathID]core.RunSpec{}, groups: map[core.PathID]core.Group{core.Root: {ID: core.Root}},
		versions: map[string]core.RunSpec{}, roots: map[core.Timestamp]*memTree{}}
}

func (t *memTree) RootStamp() core.Timestamp { return t.stamp }

func (t *memTree) Spec(id core.PathID) (core.RunSpec, bool) {
	s, ok := t.specs[id]
	return s, ok
}

func (t *memTree) Group(id core.PathID) (core.Group, bool) {
	g, ok := t.groups[id]
	return g, ok
}

func (t *memTree) SpecsBelow(group core.PathID) iter.Seq[core.RunSpec] {
	return func(yield func(core.RunSpec) bool) {
		for _, id := range sortedKeys(t.specs) {
			if id.Below(group) && !yield(t.specs[id]) {
				return
			}
		}
	}
}

func (t *memTree) GroupsBelow(group core.PathID) iter.Seq[core.Group] {
	return func(yield func(core.Group) bool) {
		for _, id := range sortedKeys(t.groups) {
			if id.Below(group) && !yield(t.groups[id]) {
				return
			}
		}
	}
}

func (t *memTree) SpecAt(id core.PathID, v core.Timestamp) (core.RunSpec, bool) {
	s, ok := t.versions[fmt.Sprint(id, v)]
	return s, ok
}

func (t *memTree) RootAt(v core.Timestamp) (core.Tree, bool) {
	r, ok := t.roots[v]
	return r, ok
}

// with returns the tree after an update; the receiver stays as it is.
func (t *memTree) with(u *Update) *memTree {
	n := &memTree{stamp: u.Stamp, specs: maps.Clone(t.specs), groups: maps.Clone(t.groups), versions: maps.Clone(t.versions), roots: maps.Clone(t.roots)}
	for _, s := range u.Specs {
		n.specs[s.SpecID()] = s
		n.versions[fmt.Sprint(s.SpecID(), s.SpecVersion())] = s
	}
	for _, id := range u.Removed {
		delete(n.specs, id)
	}
	for _, g := range u.Groups {
		n.groups[g.ID] = g
	}
	for _, id := range u.RemovedGroups {
		delete(n.groups, id)
	}
	n.roots[n.stamp] = n
	return n
}

// text shows specs with all that a user cares for but the stamps, and groups with their dependencies.
func (t *memTree) text() string { return treeText(t) }

func treeText(t core.Tree) string {
	var b strings.Builder
	for s := range t.SpecsBelow(core.Root) {
		if a, ok := s.(*core.App); ok {
			fmt.Fprintf(&b, "%s %s n=%d deps=%v ports=%v\n", a.ID, deref(a.Cmd), a.Instances, a.Dependencies, a.ServicePorts())
		} else {
			fmt.Fprintf(&b, "%s pod n=%d\n", s.SpecID(), s.InstanceCount())
		}
	}
	root, _ := t.Group(core.Root)
	fmt.Fprintf(&b, "/ -> %v\n", root.Dependencies)
	for g := range t.GroupsBelow(core.Root) {
		fmt.Fprintf(&b, "%s/ -> %v\n", g.ID, slices.Sorted(slices.Values(g.Dependencies)))
	}
	return b.String()
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func app(id core.PathID, cmd string, n int, deps ...core.PathID) *core.App {
	return &core.App{ID: id, Cmd: &cmd, Instances: n, Dependencies: deps, Role: "*", Executor: "", Labels: map[string]string{},
		UpgradeStrategy: core.UpgradeStrategy{MaximumOverCapacity: 1, MinimumHealthCapacity: 1}, KillSelection: core.YoungestFirst}
}

func pod(id core.PathID, n int) *core.Pod {
	return &core.Pod{ID: id, Scaling: core.PodScaling{Kind: "fixed", Instances: n}, Role: "*",
		Containers: []core.PodContainer{{Name: "c", Resources: core.PodResources{CPUs: 1, Mem: 32}}}}
}

func group(id core.PathID, deps ...core.PathID) core.Group {
	return core.Group{ID: id, Dependencies: deps}
}

func put(specs ...core.RunSpec) core.Change { return core.Change{Put: specs} }

var ports = Flags{PortMin: 10000, PortMax: 10009}

// change applies a change that must succeed.
func change(t interface{ Fatal(...any) }, tree *memTree, ch core.Change, stamp core.Timestamp) (*memTree, *Update) {
	u, err := Prepare(tree, ch, stamp, ports)
	if err != nil {
		t.Fatal(err)
	}
	return tree.with(u), u
}

// steps shows a plan as "Start /a, Start /b | Scale /a".
func steps(u *Update) string {
	var out []string
	for _, s := range u.Steps {
		var as []string
		for _, a := range s.Actions {
			as = append(as, string(a.Kind)+" "+string(a.Spec))
		}
		out = append(out, strings.Join(as, ", "))
	}
	return strings.Join(out, " | ")
}

func mustFail(t *testing.T, err error, kind core.ErrorKind, text string) {
	t.Helper()
	e, ok := err.(*core.Error)
	if !ok || e.Kind != kind || !strings.Contains(e.Error(), text) {
		t.Fatalf("got %v, want kind %d with %q", err, kind, text)
	}
}
