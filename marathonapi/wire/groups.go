package wire

import (
	"fmt"
	"math"

	"stadion/core"
)

// PutGroup reads the body of POST (create) and PUT of /v2/groups and /v2/groups/{id} (http-api.md 6.4): nested
// creation, replacement and removal, scaleBy, or rollback to a version. id is the path of the URL. The change puts
// only what differs from the tree; ValidateTree checks the merged result.
func (c *Config) PutGroup(id core.PathID, body []byte, create bool, tree core.Tree) (core.Change, error) {
	none := core.Change{}
	v, err := parse(body)
	if err != nil {
		return none, err
	}
	d, err := decodeGroup(v)
	if err != nil {
		return none, err
	}
	var reserved violations
	checkReserved(id, "/", &reserved)
	if create || !d.alone() {
		if id, err = d.target(id); err != nil {
			return none, err
		}
		checkReserved(id, "/", &reserved)
	}
	if err := reserved.err(msgNotValid); err != nil {
		return none, err
	}
	if err := d.check(id); err != nil {
		return none, err
	}
	_, exists := tree.Group(id)
	switch {
	case d.scaleBy != nil && !exists:
		return none, notFound("Group", id)
	case d.scaleBy != nil:
		return c.scale(id, float64(*d.scaleBy), tree)
	case d.version != nil:
		return rollbackGroup(id, *d.version, tree)
	}
	m := &groupMerge{conf: c, tree: tree, bytes: len(body), change: core.Change{GroupID: id.Parent(), Kept: true}}
	if err := m.merge(d, c.enforceOf(d, id)); err != nil {
		return none, err
	}
	if create {
		if exists {
			return none, &core.Error{Kind: core.Conflict, Message: fmt.Sprintf("Group %s is already created. Use PUT to change this group.", id)}
		}
		if _, ok := tree.Spec(id); ok {
			return none, &core.Error{Kind: core.Conflict, Message: fmt.Sprintf("An app with the path %s already exists.", id)}
		}
	}
	m.addTops(id)
	return m.change, nil
}

// PatchGroup reads the body of PATCH /v2/groups/{id}: enforceRole of a top-level group, by a change without a
// deployment (http-api.md 6.6).
func (c *Config) PatchGroup(id core.PathID, body []byte, tree core.Tree) (core.Change, error) {
	v, err := parse(body)
	if err != nil {
		return core.Change{}, err
	}
	r := &reading{}
	o, ok := r.rootObject(v)
	if ok {
		o.boolean("enforceRole", false)
	}
	if err := r.err(); err != nil {
		return core.Change{}, err
	}
	if id == core.Root || id.Top() != id {
		return core.Change{}, notValid("/", "Path needs to be top-level")
	}
	g, ok := tree.Group(id)
	if !ok {
		return core.Change{}, &core.Error{Kind: core.NotFound, Message: fmt.Sprintf("Group '%s' does not exist", id), Direct: true}
	}
	g.EnforceRole = ptr(o.boolean("enforceRole", c.NewGroupEnforceRole))
	return core.Change{PutGroups: []core.Group{g}, GroupID: core.Root, NoPlan: true}, nil
}

// RemoveGroup is DELETE of /v2/groups and /v2/groups/{id}: everything below goes; the root itself stays.
func (c *Config) RemoveGroup(id core.PathID, tree core.Tree) (core.Change, error) {
	if _, ok := tree.Group(id); !ok {
		return core.Change{}, notFound("Group", id)
	}
	ch := core.Change{GroupID: id.Parent()}
	removeBelow(&ch, id, tree)
	if id != core.Root {
		ch.RemoveGroups = append(ch.RemoveGroups, id)
	}
	return ch, nil
}

func removeBelow(ch *core.Change, id core.PathID, tree core.Tree) {
	for s := range tree.SpecsBelow(id) {
		ch.Remove = append(ch.Remove, s.SpecID())
	}
	for g := range tree.GroupsBelow(id) {
		ch.RemoveGroups = append(ch.RemoveGroups, g.ID)
	}
}

// scale multiplies the instances of all apps below a group, rounding up. Pods keep theirs, as in Marathon.
func (c *Config) scale(id core.PathID, by float64, tree core.Tree) (core.Change, error) {
	ch := core.Change{GroupID: id.Parent(), Kept: true}
	for s := range tree.SpecsBelow(id) {
		if s.IsPod() {
			continue
		}
		n := math.Ceil(float64(s.InstanceCount()) * by)
		if n > math.MaxInt32 {
			return core.Change{}, notValid("/scaleBy", fmt.Sprintf("%s would have %g instances", s.SpecID(), n))
		}
		scaled := s.WithInstances(int(n)).(*core.App)
		var v violations
		ruleSingleInstance(c, scaled, &v)
		if err := v.err(msgNotValid); err != nil {
			return core.Change{}, err
		}
		if !scaled.SameAll(s) {
			ch.Put = append(ch.Put, scaled)
		}
	}
	return ch, nil
}

// rollbackGroup brings back what a group was at a stored version of the tree.
func rollbackGroup(id core.PathID, v core.Timestamp, tree core.Tree) (core.Change, error) {
	gone := &core.Error{Kind: core.Invalid, Message: fmt.Sprintf("Group %s not available in version %s", id, v)}
	old, ok := tree.RootAt(v)
	if !ok {
		return core.Change{}, gone
	}
	g, ok := old.Group(id)
	if !ok {
		return core.Change{}, gone
	}
	ch := core.Change{GroupID: core.Root, Kept: true}
	for s := range old.SpecsBelow(id) {
		if now, ok := tree.Spec(s.SpecID()); !ok || now.SpecVersion() != s.SpecVersion() || now.IsPod() != s.IsPod() {
			ch.Put = append(ch.Put, s)
		}
	}
	for s := range tree.SpecsBelow(id) {
		if _, ok := old.Spec(s.SpecID()); !ok {
			ch.Remove = append(ch.Remove, s.SpecID())
		}
	}
	putIfChanged(&ch, g, tree)
	for g := range old.GroupsBelow(id) {
		putIfChanged(&ch, g, tree)
	}
	for g := range tree.GroupsBelow(id) {
		if _, ok := old.Group(g.ID); !ok {
			ch.RemoveGroups = append(ch.RemoveGroups, g.ID)
		}
	}
	return ch, nil
}
