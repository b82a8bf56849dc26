package deployments

import (
	"iter"
	"slices"

	"stadion/core"
)

// overlay is the tree as it will be: a base and what a change puts on top of it. Its cost is that of the change,
// not that of the tree. Once made ready by Prepare it is not changed any more and may be shared.
type overlay struct {
	base   core.Tree
	stamp  core.Timestamp
	specs  map[core.PathID]core.RunSpec // nil: removed
	groups map[core.PathID]*core.Group  // nil: removed

	specIDs, groupIDs []core.PathID // the keys of specs and groups, sorted by seal
}

func newOverlay(base core.Tree, stamp core.Timestamp) *overlay {
	return &overlay{base: base, stamp: stamp, specs: make(map[core.PathID]core.RunSpec), groups: make(map[core.PathID]*core.Group)}
}

// seal sorts the ids of what changed, so that iteration is deterministic. It must be called after each series of changes.
func (o *overlay) seal() {
	o.specIDs = sortedKeys(o.specs)
	o.groupIDs = sortedKeys(o.groups)
}

func sortedKeys[V any](m map[core.PathID]V) []core.PathID {
	out := make([]core.PathID, 0, len(m))
	for id := range m {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// RootStamp is the stamp of the change.
func (o *overlay) RootStamp() core.Timestamp { return o.stamp }

// Spec looks at the change first and then at the base.
func (o *overlay) Spec(id core.PathID) (core.RunSpec, bool) {
	if s, changed := o.specs[id]; changed {
		return s, s != nil
	}
	return o.base.Spec(id)
}

// Group looks at the change first and then at the base.
func (o *overlay) Group(id core.PathID) (core.Group, bool) {
	g, changed := o.groups[id]
	switch {
	case !changed:
		return o.base.Group(id)
	case g == nil:
		return core.Group{}, false
	}
	return *g, true
}

// SpecsBelow merges the specs of the base with the changed ones, in order of their ids.
func (o *overlay) SpecsBelow(group core.PathID) iter.Seq[core.RunSpec] {
	return merge(o.base.SpecsBelow(group), core.RunSpec.SpecID, below(o.specIDs, group), func(id core.PathID) (core.RunSpec, bool) {
		s := o.specs[id]
		return s, s != nil
	})
}

// GroupsBelow merges the groups of the base with the changed ones, in order of their ids.
func (o *overlay) GroupsBelow(group core.PathID) iter.Seq[core.Group] {
	return merge(o.base.GroupsBelow(group), func(g core.Group) core.PathID { return g.ID }, below(o.groupIDs, group), o.Group)
}

// SpecAt finds the versions this change makes as well as the stored ones.
func (o *overlay) SpecAt(id core.PathID, version core.Timestamp) (core.RunSpec, bool) {
	if s := o.specs[id]; s != nil && s.SpecVersion() == version {
		return s, true
	}
	return o.base.SpecAt(id, version)
}

// RootAt returns this tree at its own stamp and asks the base for earlier ones.
func (o *overlay) RootAt(version core.Timestamp) (core.Tree, bool) {
	if version == o.stamp {
		return o, true
	}
	return o.base.RootAt(version)
}

// below cuts out of sorted ids those that lie strictly below a group; they stand together.
func below(ids []core.PathID, group core.PathID) []core.PathID {
	if group == core.Root {
		if len(ids) > 0 && ids[0] == core.Root {
			return ids[1:]
		}
		return ids
	}
	from, _ := slices.BinarySearch(ids, group+"/")
	to := from
	for to < len(ids) && ids[to].Below(group) {
		to++
	}
	return ids[from:to]
}

// merge walks over base and changed, both in order of ids. A changed id hides the one of the base; get returns its
// value, or false where it was removed.
func merge[V any](base iter.Seq[V], idOf func(V) core.PathID, changed []core.PathID, get func(core.PathID) (V, bool)) iter.Seq[V] {
	return func(yield func(V) bool) {
		rest := changed
		for v := range base {
			id := idOf(v)
			for len(rest) > 0 && rest[0] < id {
				if c, ok := get(rest[0]); ok && !yield(c) {
					return
				}
				rest = rest[1:]
			}
			if len(rest) > 0 && rest[0] == id {
				continue
			}
			if !yield(v) {
				return
			}
		}
		for _, id := range rest {
			if c, ok := get(id); ok && !yield(c) {
				return
			}
		}
	}
}
