package wire

import (
	"maps"
	"slices"

	"stadion/core"
)

// SpecChange is the change of the tree that puts the given apps or pods. Top-level groups that come into being with
// them get the configured enforceRole (http-api.md 6.6).
func (c *Config) SpecChange(tree core.Tree, specs ...core.RunSpec) core.Change {
	ch := core.Change{Put: specs, GroupID: core.Root}
	if len(specs) == 1 {
		ch.GroupID = specs[0].SpecID().Parent()
	}
	tops := map[core.PathID]bool{}
	for _, s := range specs {
		top := s.SpecID().Top()
		if _, ok := tree.Group(top); !ok && top != s.SpecID() {
			tops[top] = true
		}
	}
	for _, top := range slices.Sorted(maps.Keys(tops)) {
		ch.PutGroups = append(ch.PutGroups, core.Group{ID: top, Dependencies: []core.PathID{}, EnforceRole: ptr(c.NewGroupEnforceRole)})
	}
	return ch
}
