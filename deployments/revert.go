package deployments

import (
	"fmt"
	"slices"
	"strings"

	"stadion/core"
)

// Revert computes the change that undoes a deployment on the present tree, which may hold later changes of others
// (behaviour.md 2.5). Specs and groups the plan did not touch stay as they are. The definitions of before are looked
// up with now.SpecAt; the error is an Unavailable *core.Error when one of them is no longer stored.
//
// Resident specs keep their reservations: they cannot change what is reserved, so the definition put back fits the
// same volumes (D-62).
func Revert(d *core.Deployment, now core.Tree) (core.Change, error) {
	ch := core.Change{Force: true, Rollback: true, GroupID: core.Root}
	gone := make(map[core.PathID]bool)
	for _, c := range d.Specs {
		if c.From == 0 {
			if s, ok := now.Spec(c.ID); ok && s.IsPod() == c.Pod {
				gone[c.ID] = true
				ch.Remove = append(ch.Remove, c.ID)
			}
			continue
		}
		s, ok := now.SpecAt(c.ID, c.From)
		if !ok {
			return core.Change{}, &core.Error{Kind: core.Unavailable,
				Message: fmt.Sprintf("deployment %s cannot be reverted: version %s of %s is no longer stored", d.ID, c.From, c.ID)}
		}
		ch.Put = append(ch.Put, s)
	}
	revertGroups(d.Groups, now, gone, &ch)
	slices.Sort(ch.Remove)
	slices.Sort(ch.RemoveGroups)
	slices.SortFunc(ch.Put, func(a, b core.RunSpec) int { return comparePaths(a.SpecID(), b.SpecID()) })
	slices.SortFunc(ch.PutGroups, func(a, b core.Group) int { return comparePaths(a.ID, b.ID) })
	return ch, nil
}

// revertGroups undoes the changes of groups, innermost first, so that a group is looked at when those in it have gone.
func revertGroups(changes []core.GroupChange, now core.Tree, gone map[core.PathID]bool, ch *core.Change) {
	inner := slices.Clone(changes)
	slices.SortStableFunc(inner, func(a, b core.GroupChange) int {
		if x, y := strings.Count(string(a.ID), "/"), strings.Count(string(b.ID), "/"); x != y {
			return y - x
		}
		return comparePaths(a.ID, b.ID)
	})
	for _, c := range inner {
		g, exists := now.Group(c.ID)
		switch {
		case c.To == nil && c.From == nil:
		case c.To == nil: // the plan removed it
			back := core.Group{ID: c.ID, EnforceRole: c.From.EnforceRole, Dependencies: with(nil, c.From.Dependencies)}
			if exists {
				back.EnforceRole = g.EnforceRole
				back.Dependencies = with(g.Dependencies, c.From.Dependencies)
			}
			ch.PutGroups = append(ch.PutGroups, back)
		case !exists: // someone removed it since
		case c.From == nil && c.ID != core.Root && sameGroup(g, *c.To) && empty(c.ID, now, gone):
			gone[c.ID] = true
			ch.RemoveGroups = append(ch.RemoveGroups, c.ID)
		case c.From == nil:
			g.Dependencies = without(g.Dependencies, c.To.Dependencies)
			ch.PutGroups = append(ch.PutGroups, g)
		default:
			added, removed := without(c.To.Dependencies, c.From.Dependencies), without(c.From.Dependencies, c.To.Dependencies)
			g.Dependencies = with(without(g.Dependencies, added), removed)
			if sameFlag(g.EnforceRole, c.To.EnforceRole) {
				g.EnforceRole = c.From.EnforceRole
			}
			ch.PutGroups = append(ch.PutGroups, g)
		}
	}
}

// empty reports whether a group will hold nothing once what is in gone has gone.
func empty(group core.PathID, now core.Tree, gone map[core.PathID]bool) bool {
	for s := range now.SpecsBelow(group) {
		if !gone[s.SpecID()] {
			return false
		}
	}
	for g := range now.GroupsBelow(group) {
		if !gone[g.ID] {
			return false
		}
	}
	return true
}

// with is list and those of more it lacks; without is list less those of fewer. Both keep the order and return a
// list of their own that is never nil.
func with(list, more []core.PathID) []core.PathID {
	out := append([]core.PathID{}, list...)
	for _, id := range more {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

func without(list, fewer []core.PathID) []core.PathID {
	return slices.DeleteFunc(append([]core.PathID{}, list...), func(id core.PathID) bool { return slices.Contains(fewer, id) })
}
