package wire

import (
	"slices"

	"stadion/core"
)

const textEnforceServices = "enforceRole cannot be modified in a request that adds, removes or modifies services; " +
	"please make these changes in separate requests."

// groupMerge collects the change that a group body asks for.
type groupMerge struct {
	conf    *Config
	tree    core.Tree
	change  core.Change
	bytes   int      // length of the body
	enforce []string // places that change enforceRole of an existing group
}

// merge applies a checked body; enforce is the value that the request gives to the top-level group, nil where the
// tree decides.
func (m *groupMerge) merge(d *groupDraft, enforce *bool) error {
	if err := m.group(d, enforce); err != nil {
		return err
	}
	if !d.namesServices() {
		return nil
	}
	var v violations
	for _, place := range m.enforce {
		v.add(place, textEnforceServices)
	}
	return v.err(msgNotValid)
}

// enforceOf is the enforceRole that a body gives to its group: only top-level groups have one, and leaving it out
// resets it to the configured default (bug-compatible, http-api.md 6.6).
func (c *Config) enforceOf(d *groupDraft, id core.PathID) *bool {
	if id == core.Root || id.Top() != id {
		return nil
	}
	if d.enforceRole != nil {
		return d.enforceRole
	}
	return ptr(c.NewGroupEnforceRole)
}

func (m *groupMerge) group(d *groupDraft, enforce *bool) error {
	g, exists := m.tree.Group(d.id)
	if !exists {
		g = core.Group{ID: d.id, Dependencies: []core.PathID{}}
	}
	if d.dependencies != nil {
		g.Dependencies = d.deps
	}
	if want := m.conf.enforceOf(d, d.id); want != nil {
		// Like Marathon: only where the body names the group, not where the URL alone does.
		if was := g.EnforceRole != nil && *g.EnforceRole; exists && was != *want && d.idText != nil {
			m.enforce = append(m.enforce, d.place.field("enforceRole").String())
		}
		if g.EnforceRole == nil || *g.EnforceRole != *want {
			g.EnforceRole = want
		}
	}
	putIfChanged(&m.change, g, m.tree)
	if d.apps != nil {
		if err := m.apps(d, enforce); err != nil {
			return err
		}
	}
	if d.groups == nil {
		return nil
	}
	return m.children(d, enforce)
}

func putIfChanged(ch *core.Change, g core.Group, tree core.Tree) {
	old, ok := tree.Group(g.ID)
	same := ok && slices.Equal(old.Dependencies, g.Dependencies) && (old.EnforceRole == nil) == (g.EnforceRole == nil) &&
		(g.EnforceRole == nil || *g.EnforceRole == *old.EnforceRole)
	if !same {
		ch.PutGroups = append(ch.PutGroups, g)
	}
}

// apps replaces the apps directly in a group; its pods stay. Of several apps with one id the last counts.
func (m *groupMerge) apps(d *groupDraft, enforce *bool) error {
	last := make(map[core.PathID]int, len(d.apps))
	for i, id := range d.appIDs {
		last[id] = i
	}
	for i, a := range d.apps {
		app, err := m.conf.build(a, d.id, m.tree, enforce)
		if err != nil {
			return err
		}
		if last[app.ID] != i {
			continue
		}
		if err := m.conf.checkSize(app, m.bytes); err != nil {
			return err
		}
		if old, ok := appAt(m.tree, app.ID); !ok || !sameButPorts(app, old) {
			m.change.Put = append(m.change.Put, app)
		}
	}
	for s := range m.tree.SpecsBelow(d.id) {
		if _, keep := last[s.SpecID()]; !keep && !s.IsPod() && s.SpecID().Parent() == d.id {
			m.change.Remove = append(m.change.Remove, s.SpecID())
		}
	}
	return nil
}

// children replaces the groups directly in a group. Of several with one id the last counts, as among apps.
func (m *groupMerge) children(d *groupDraft, enforce *bool) error {
	last := make(map[core.PathID]int, len(d.groups))
	for i, g := range d.groups {
		last[g.id] = i
	}
	for i, g := range d.groups {
		if last[g.id] != i {
			continue
		}
		e := enforce
		if d.id == core.Root {
			e = m.conf.enforceOf(g, g.id)
		}
		if err := m.group(g, e); err != nil {
			return err
		}
	}
	for g := range m.tree.GroupsBelow(d.id) {
		if _, keep := last[g.ID]; !keep && g.ID.Parent() == d.id {
			removeBelow(&m.change, g.ID, m.tree)
			m.change.RemoveGroups = append(m.change.RemoveGroups, g.ID)
		}
	}
	return nil
}

// sameButPorts reports whether a new definition only repeats the old one. A service port of 0 stands for the one the
// old definition was given (http-api.md 4.13).
func sameButPorts(a, old *core.App) bool {
	c := *a
	if len(c.PortDefinitions) == len(old.PortDefinitions) {
		c.PortDefinitions = slices.Clone(c.PortDefinitions)
		for i := range c.PortDefinitions {
			if c.PortDefinitions[i].Port == 0 {
				c.PortDefinitions[i].Port = old.PortDefinitions[i].Port
			}
		}
	}
	if c.Container != nil && old.Container != nil && len(c.Container.PortMappings) == len(old.Container.PortMappings) {
		k := *c.Container
		k.PortMappings = slices.Clone(k.PortMappings)
		for i := range k.PortMappings {
			if k.PortMappings[i].ServicePort == 0 {
				k.PortMappings[i].ServicePort = old.Container.PortMappings[i].ServicePort
			}
		}
		c.Container = &k
	}
	return c.SameAll(old)
}

// addTops puts the top-level group that comes into being only as a parent of the group of the request.
func (m *groupMerge) addTops(id core.PathID) {
	top := id.Top()
	_, exists := m.tree.Group(top)
	if exists || slices.ContainsFunc(m.change.PutGroups, func(g core.Group) bool { return g.ID == top }) {
		return
	}
	m.change.PutGroups = append(m.change.PutGroups,
		core.Group{ID: top, Dependencies: []core.PathID{}, EnforceRole: ptr(m.conf.NewGroupEnforceRole)})
}
