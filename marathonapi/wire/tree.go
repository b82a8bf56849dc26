package wire

import (
	"fmt"
	"maps"
	"slices"

	"stadion/core"
)

// ValidateTree checks the tree as it would be after a change (http-api.md 6.7, 4.12): names, cycles, names of
// external volumes, the limit of apps, and what may not change on specs with persistent volumes. Its cost is that
// of the change, except where dependencies, external volumes or a limit of apps make it look at the whole tree.
func (c *Config) ValidateTree(tree core.Tree, ch core.Change) error {
	m := newMerged(tree, ch)
	var v violations
	m.checkNames(&v)
	if m.mayCycle() && m.cyclic() {
		v.add("/", "Dependency graph has cyclic dependencies.")
	}
	m.checkVolumeNames(&v)
	c.checkMaxApps(m, &v)
	single := len(ch.Put) == 1 && len(ch.PutGroups)+len(ch.Remove) == 0
	for _, s := range ch.Put {
		prefix := ""
		if !single {
			prefix = "/apps/" + string(s.SpecID())
		}
		if !ch.Force && !ch.Rollback {
			checkResidentRole(tree, s, prefix, &v)
		}
	}
	checkResidentChanges(tree, ch, &v)
	return v.err(msgNotValid)
}

// merged is a tree with a change on top.
type merged struct {
	tree     core.Tree
	change   core.Change
	put      map[core.PathID]core.RunSpec
	removed  map[core.PathID]bool
	groups   map[core.PathID]core.Group // put, and parents that come into being
	noGroups map[core.PathID]bool
}

func newMerged(tree core.Tree, ch core.Change) *merged {
	m := &merged{tree: tree, change: ch, put: make(map[core.PathID]core.RunSpec, len(ch.Put)), removed: map[core.PathID]bool{},
		groups: map[core.PathID]core.Group{}, noGroups: map[core.PathID]bool{}}
	for _, id := range ch.Remove {
		m.removed[id] = true
	}
	for _, id := range ch.RemoveGroups {
		m.noGroups[id] = true
	}
	for _, g := range ch.PutGroups {
		m.groups[g.ID] = g
	}
	for _, s := range ch.Put {
		m.put[s.SpecID()] = s
	}
	for _, g := range ch.PutGroups {
		m.addParents(g.ID)
	}
	for _, s := range ch.Put {
		m.addParents(s.SpecID())
	}
	return m
}

func (m *merged) addParents(id core.PathID) {
	for p := id.Parent(); p != core.Root; p = p.Parent() {
		if _, ok := m.group(p); ok {
			return
		}
		m.groups[p] = core.Group{ID: p}
	}
}

func (m *merged) spec(id core.PathID) (core.RunSpec, bool) {
	if s, ok := m.put[id]; ok {
		return s, true
	}
	if m.removed[id] {
		return nil, false
	}
	return m.tree.Spec(id)
}

func (m *merged) group(id core.PathID) (core.Group, bool) {
	if g, ok := m.groups[id]; ok {
		return g, true
	}
	if m.noGroups[id] {
		return core.Group{}, false
	}
	return m.tree.Group(id)
}

// specs are all specs of the merged tree in order of their ids, as far as the tree's own order goes.
func (m *merged) specs(visit func(core.RunSpec)) {
	for s := range m.tree.SpecsBelow(core.Root) {
		if _, replaced := m.put[s.SpecID()]; !replaced && !m.removed[s.SpecID()] {
			visit(s)
		}
	}
	for _, s := range m.change.Put {
		visit(s)
	}
}

func (m *merged) checkNames(v *violations) {
	told := map[string]bool{}
	once := func(text string) {
		if !told[text] {
			told[text] = true
			v.add("/", text)
		}
	}
	clash := func(s core.RunSpec) {
		if s.IsPod() {
			once("Groups and Pods may not have the same identifier.")
		} else {
			once("Groups and Applications may not have the same identifier.")
		}
	}
	for _, s := range m.change.Put {
		if _, ok := m.group(s.SpecID()); ok {
			clash(s)
		}
		if old, ok := m.tree.Spec(s.SpecID()); ok && old.IsPod() != s.IsPod() && !m.removed[s.SpecID()] && !m.change.Rollback {
			once("Applications and Pods may not share the same id")
		}
	}
	for _, id := range slices.Sorted(maps.Keys(m.groups)) {
		if s, ok := m.spec(id); ok {
			clash(s)
		}
	}
}

func (c *Config) checkMaxApps(m *merged, v *violations) {
	if c.MaxApps <= 0 {
		return
	}
	added := false
	for _, s := range m.change.Put {
		if _, ok := m.tree.Spec(s.SpecID()); !ok && !s.IsPod() {
			added = true
		}
	}
	if !added {
		return
	}
	n := 0
	m.specs(func(s core.RunSpec) {
		if !s.IsPod() {
			n++
		}
	})
	if n > c.MaxApps {
		v.add("/", fmt.Sprintf("the number of apps would be %d, more than the allowed maximum of %d (--max_apps)", n, c.MaxApps))
	}
}
