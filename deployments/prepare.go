package deployments

import (
	"fmt"
	"slices"

	"stadion/core"
)

// Prepare makes a change ready to be stored: it applies it to the present tree, assigns service ports (behaviour.md
// 1.6), stamps versions (1.3, 1.4), checks the result (http-api.md 4.11.1, 4.12, 6.7) and computes the steps (2.1, 2.2).
// stamp must be later than the tree's own (D-20). The cost depends on the change, not on the size of the tree; only
// where now cannot tell whether a service port is taken (see portBook) are all apps looked at.
//
// Errors are *core.Error: Invalid for a broken rule, NotFound for the restart of an unknown spec, Internal when the
// range of service ports is used up (http-api.md 4.11.9).
func Prepare(now core.Tree, ch core.Change, stamp core.Timestamp, f Flags) (*Update, error) {
	p := &preparer{now: now, change: ch, stamp: stamp, flags: f, tree: newOverlay(now, stamp), restart: make(map[core.PathID]bool)}
	for _, id := range ch.Restart {
		p.restart[id] = true
	}
	for _, stage := range []func() error{p.applyGroups, p.applySpecs, p.checkRemovedGroups, p.checkNames, p.checkResidents} {
		if err := stage(); err != nil {
			return nil, err
		}
	}
	u := p.update()
	w := newWalker(p.tree)
	if err := p.checkCycles(w); err != nil {
		return nil, err
	}
	if !ch.NoPlan {
		steps, err := p.steps(w)
		if err != nil {
			return nil, err
		}
		u.Steps = steps
	}
	return u, nil
}

type preparer struct {
	now     core.Tree
	change  core.Change
	stamp   core.Timestamp
	flags   Flags
	tree    *overlay
	restart map[core.PathID]bool
	// unchanged are specs a rollback puts back although nothing differs; see steps.
	unchanged []core.RunSpec
}

// applyGroups takes out removed groups with all groups below them and puts in new and changed ones.
func (p *preparer) applyGroups() error {
	for _, id := range p.change.RemoveGroups {
		if id == core.Root {
			return invalid("/", "must not be root")
		}
		if _, ok := p.now.Group(id); !ok {
			continue
		}
		p.tree.groups[id] = nil
		for g := range p.now.GroupsBelow(id) {
			p.tree.groups[g.ID] = nil
		}
	}
	for _, g := range p.change.PutGroups {
		p.putGroup(g)
		p.ensureParents(g.ID)
	}
	return nil
}

// putGroup keeps the stored group where nothing but the version differs: groups that did not change are not written.
func (p *preparer) putGroup(g core.Group) {
	if old, ok := p.now.Group(g.ID); ok && sameGroup(old, g) {
		delete(p.tree.groups, g.ID)
		return
	}
	g.Version = p.stamp
	p.tree.groups[g.ID] = &g
}

func sameGroup(a, b core.Group) bool {
	x, y := slices.Sorted(slices.Values(a.Dependencies)), slices.Sorted(slices.Values(b.Dependencies))
	return slices.Equal(slices.Compact(x), slices.Compact(y)) && sameFlag(a.EnforceRole, b.EnforceRole)
}

func sameFlag(a, b *bool) bool { return a == b || a != nil && b != nil && *a == *b }

// ensureParents makes the groups that enclose an id where they are missing. A new top-level group gets the
// configured enforceRole (http-api.md 6.6).
func (p *preparer) ensureParents(id core.PathID) {
	for id != core.Root {
		id = id.Parent()
		if _, ok := p.tree.Group(id); ok {
			return
		}
		g := &core.Group{ID: id, Dependencies: []core.PathID{}, Version: p.stamp}
		if id.Parent() == core.Root {
			enforce := p.flags.NewGroupEnforceRole
			g.EnforceRole = &enforce
		}
		p.tree.groups[id] = g
	}
}

// applySpecs takes out removed specs, puts in stamped new versions and restarts what is to be restarted.
func (p *preparer) applySpecs() error {
	for _, id := range p.change.Remove {
		if _, ok := p.now.Spec(id); ok {
			p.tree.specs[id] = nil
		}
	}
	puts, err := p.assignPorts(p.change.Put)
	if err != nil {
		return err
	}
	kinds := make(map[core.PathID]bool, len(puts))
	for _, s := range puts {
		id := s.SpecID()
		if pod, twice := kinds[id]; twice && pod != s.IsPod() {
			return invalid("/", appOrPodText)
		}
		kinds[id] = s.IsPod()
		if err := p.putSpec(s); err != nil {
			return err
		}
	}
	for _, id := range p.change.Restart {
		s, ok := p.tree.Spec(id)
		if !ok {
			return &core.Error{Kind: core.NotFound, Message: fmt.Sprintf("App '%s' does not exist", id)}
		}
		if s.SpecVersion() == p.stamp {
			continue
		}
		p.tree.specs[id] = s.WithVersion(p.stamp, core.VersionInfo{LastScalingAt: s.Stamps().LastScalingAt, LastConfigChangeAt: p.stamp})
	}
	p.tree.seal()
	return nil
}

// putSpec stamps one definition by the tables of behaviour.md 1.3 and 1.4.
func (p *preparer) putSpec(s core.RunSpec) error {
	id := s.SpecID()
	if id == core.Root || id == "" {
		return invalid("/id", "must not be root")
	}
	old, had := p.now.Spec(id)
	if !had {
		p.tree.specs[id] = s.WithVersion(p.stamp, core.VersionInfo{LastScalingAt: p.stamp, LastConfigChangeAt: p.stamp})
		p.ensureParents(id)
		return nil
	}
	if old.IsPod() != s.IsPod() {
		return invalid("/", appOrPodText)
	}
	p.ensureParents(id)
	info, changed := stampsFor(old, s, p.stamp, p.restart[id])
	if !changed {
		delete(p.tree.specs, id) // put back what the same change took out
		if p.change.Rollback {
			p.unchanged = append(p.unchanged, old)
		}
		return nil
	}
	p.tree.specs[id] = s.WithVersion(p.stamp, info)
	return nil
}

// stampsFor decides the stamps of a definition that replaces old (behaviour.md 1.3). A change that restarts nothing
// and is no scaling makes a version of its own that keeps lastConfigChangeAt (D-05). A restart asked for together
// with new content counts as a config change.
func stampsFor(old, s core.RunSpec, stamp core.Timestamp, restart bool) (core.VersionInfo, bool) {
	info := old.Stamps()
	if !old.SameConfig(s) {
		return core.VersionInfo{LastScalingAt: stamp, LastConfigChangeAt: stamp}, true
	}
	changed := restart || !old.SameAll(s)
	if restart {
		info.LastConfigChangeAt = stamp
	}
	if old.InstanceCount() != s.InstanceCount() {
		info.LastScalingAt = stamp
	}
	return info, changed
}

// update lists what differs between the two trees, everything in order of ids.
func (p *preparer) update() *Update {
	u := &Update{Stamp: p.stamp, Target: p.tree}
	for _, id := range p.tree.specIDs {
		s := p.tree.specs[id]
		old, had := p.now.Spec(id)
		c := core.SpecChange{ID: id}
		if had {
			c.From, c.Pod = old.SpecVersion(), old.IsPod()
		}
		if s == nil {
			u.Removed = append(u.Removed, id)
		} else {
			u.Specs = append(u.Specs, s)
			c.To, c.Pod = s.SpecVersion(), s.IsPod()
		}
		u.Changes = append(u.Changes, c)
	}
	for _, id := range p.tree.groupIDs {
		g := p.tree.groups[id]
		c := core.GroupChange{ID: id, To: g}
		if old, had := p.now.Group(id); had {
			c.From = &old
		}
		if g == nil {
			u.RemovedGroups = append(u.RemovedGroups, id)
		} else {
			u.Groups = append(u.Groups, *g)
		}
		u.GroupChanges = append(u.GroupChanges, c)
	}
	return u
}
