package state

import (
	"iter"
	"maps"
	"slices"

	"stadion/core"
)

// oldTree is the tree as it was at an earlier root version: the present one with later changes undone.
type oldTree struct {
	now    *View
	stamp  core.Timestamp
	specs  map[core.PathID]core.Timestamp // zero: was absent
	groups map[core.PathID]*core.Group    // nil: was absent
}

// RootAt returns the tree at a stored root version. It is rebuilt by undoing every later update, newest first.
func (v *View) RootAt(version core.Timestamp) (core.Tree, bool) {
	if _, ok := v.roots.Get(version); !ok {
		return nil, false
	}
	t := &oldTree{now: v, stamp: version, specs: map[core.PathID]core.Timestamp{}, groups: map[core.PathID]*core.Group{}}
	v.roots.Reverse(func(at core.Timestamp, r *core.RootVersion) bool {
		if at <= version {
			return false
		}
		for _, c := range r.Specs {
			t.specs[c.ID] = c.From
		}
		for _, c := range r.Groups {
			t.groups[c.ID] = c.From
		}
		return true
	})
	return t, true
}

func (t *oldTree) RootStamp() core.Timestamp { return t.stamp }

func (t *oldTree) Spec(id core.PathID) (core.RunSpec, bool) {
	if at, changed := t.specs[id]; changed {
		if at == 0 {
			return nil, false
		}
		return t.now.SpecAt(id, at)
	}
	return t.now.Spec(id)
}

func (t *oldTree) Group(id core.PathID) (core.Group, bool) {
	if g, changed := t.groups[id]; changed {
		if g == nil {
			return core.Group{}, id == core.Root
		}
		return *g, true
	}
	return t.now.Group(id)
}

func (t *oldTree) SpecsBelow(group core.PathID) iter.Seq[core.RunSpec] {
	ids := make(map[core.PathID]bool)
	for s := range t.now.SpecsBelow(group) {
		ids[s.SpecID()] = true
	}
	for id := range t.specs {
		if id.Below(group) {
			ids[id] = true
		}
	}
	return func(yield func(core.RunSpec) bool) {
		for _, id := range sorted(ids) {
			if s, ok := t.Spec(id); ok && !yield(s) {
				return
			}
		}
	}
}

func (t *oldTree) GroupsBelow(group core.PathID) iter.Seq[core.Group] {
	ids := make(map[core.PathID]bool)
	for g := range t.now.GroupsBelow(group) {
		ids[g.ID] = true
	}
	for id := range t.groups {
		if id.Below(group) {
			ids[id] = true
		}
	}
	return func(yield func(core.Group) bool) {
		for _, id := range sorted(ids) {
			if g, ok := t.Group(id); ok && !yield(g) {
				return
			}
		}
	}
}

func (t *oldTree) SpecAt(id core.PathID, version core.Timestamp) (core.RunSpec, bool) {
	return t.now.SpecAt(id, version)
}

func (t *oldTree) RootAt(version core.Timestamp) (core.Tree, bool) { return t.now.RootAt(version) }

func sorted(ids map[core.PathID]bool) []core.PathID {
	return slices.Sorted(maps.Keys(ids))
}
