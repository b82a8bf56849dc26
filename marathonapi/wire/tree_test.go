package wire

import (
	"iter"
	"maps"
	"slices"
	"testing"

	"stadion/core"
)

// memTree is a small tree in memory that applies changes the way the machine does: stamps, parents, history.
type memTree struct {
	stamp  core.Timestamp
	specs  map[core.PathID]core.RunSpec
	groups map[core.PathID]core.Group
	past   map[core.Timestamp]*memTree
}

func newTree() *memTree {
	return &memTree{stamp: 1000, specs: map[core.PathID]core.RunSpec{}, groups: map[core.PathID]core.Group{core.Root: {ID: core.Root}},
		past: map[core.Timestamp]*memTree{}}
}

func (t *memTree) RootStamp() core.Timestamp                { return t.stamp }
func (t *memTree) Spec(id core.PathID) (core.RunSpec, bool) { s, ok := t.specs[id]; return s, ok }
func (t *memTree) Group(id core.PathID) (core.Group, bool)  { g, ok := t.groups[id]; return g, ok }
func (t *memTree) SpecsBelow(g core.PathID) iter.Seq[core.RunSpec] {
	return func(yield func(core.RunSpec) bool) {
		for _, id := range slices.Sorted(maps.Keys(t.specs)) {
			if id.Below(g) && !yield(t.specs[id]) {
				return
			}
		}
	}
}

func (t *memTree) GroupsBelow(g core.PathID) iter.Seq[core.Group] {
	return func(yield func(core.Group) bool) {
		for _, id := range slices.Sorted(maps.Keys(t.groups)) {
			if id.Below(g) && !yield(t.groups[id]) {
				return
			}
		}
	}
}

func (t *memTree) SpecAt(id core.PathID, v core.Timestamp) (core.RunSpec, bool) {
	for _, old := range t.past {
		if s, ok := old.specs[id]; ok && s.SpecVersion() == v {
			return s, true
		}
	}
	return nil, false
}

func (t *memTree) RootAt(v core.Timestamp) (core.Tree, bool) {
	old, ok := t.past[v]
	return old, ok
}

func (t *memTree) apply(ch core.Change) {
	t.stamp++
	for _, id := range ch.Remove {
		delete(t.specs, id)
	}
	for _, id := range ch.RemoveGroups {
		delete(t.groups, id)
	}
	for _, g := range ch.PutGroups {
		t.parents(g.ID)
		t.groups[g.ID] = g
	}
	for _, s := range ch.Put {
		t.parents(s.SpecID())
		t.specs[s.SpecID()] = s.WithVersion(t.stamp, core.VersionInfo{LastScalingAt: t.stamp, LastConfigChangeAt: t.stamp})
	}
	t.past[t.stamp] = &memTree{t.stamp, maps.Clone(t.specs), maps.Clone(t.groups), t.past}
}

func (t *memTree) parents(id core.PathID) {
	for p := id.Parent(); p != core.Root; p = p.Parent() {
		if _, ok := t.groups[p]; !ok {
			t.groups[p] = core.Group{ID: p}
		}
	}
}

// with is a tree that holds the apps of the given bodies.
func with(t testing.TB, c *Config, bodies ...string) *memTree {
	t.Helper()
	tree := newTree()
	for _, b := range bodies {
		a, err := c.CreateApp([]byte(b), tree)
		if err != nil {
			t.Fatalf("create %s: %v", b, err)
		}
		tree.apply(core.Change{Put: []core.RunSpec{a}})
	}
	return tree
}
