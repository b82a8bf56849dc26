package wire

import "stadion/core"

// mayCycle reports whether the change adds edges that a cycle could use: an edge starts at a changed spec with
// dependencies of its own or of a group around it, or at a group with changed dependencies (behaviour.md 2.2).
func (m *merged) mayCycle() bool {
	for _, g := range m.groups {
		if len(g.Dependencies) > 0 {
			return true
		}
	}
	for _, s := range m.change.Put {
		if s.IsPod() {
			continue
		}
		if len(s.DependsOn()) > 0 {
			return true
		}
		for id := s.SpecID().Parent(); ; id = id.Parent() {
			if g, ok := m.group(id); ok && len(g.Dependencies) > 0 {
				return true
			}
			if id == core.Root {
				break
			}
		}
	}
	return false
}

// vertex is a point of the dependency graph: an app, or a group as the target of a dependency. With a point for the
// group the graph grows with the tree and not with the square of it.
type vertex struct {
	id    core.PathID
	group bool
}

// next are the points that v depends on. Unknown ids and pods have none.
func (m *merged) next(v vertex) []vertex {
	if v.group {
		return m.appsBelow(v.id)
	}
	s, ok := m.spec(v.id)
	if !ok || s.IsPod() {
		return nil
	}
	var out []vertex
	add := func(deps []core.PathID) {
		for _, d := range deps {
			_, group := m.group(d)
			out = append(out, vertex{d, group})
		}
	}
	add(s.DependsOn())
	for id := v.id; id != core.Root; {
		id = id.Parent()
		if g, ok := m.group(id); ok {
			add(g.Dependencies)
		}
	}
	return out
}

func (m *merged) appsBelow(group core.PathID) []vertex {
	var out []vertex
	for s := range m.tree.SpecsBelow(group) {
		if _, replaced := m.put[s.SpecID()]; !replaced && !m.removed[s.SpecID()] && !s.IsPod() {
			out = append(out, vertex{id: s.SpecID()})
		}
	}
	for _, s := range m.change.Put {
		if s.SpecID().Below(group) && !s.IsPod() {
			out = append(out, vertex{id: s.SpecID()})
		}
	}
	return out
}

// cyclic searches what can be reached from the changed specs and groups: the tree had no cycle before, so a new one
// passes through a change.
func (m *merged) cyclic() bool {
	var starts []vertex
	for _, s := range m.change.Put {
		starts = append(starts, vertex{id: s.SpecID()})
	}
	for _, g := range m.change.PutGroups {
		if len(g.Dependencies) > 0 {
			starts = append(starts, vertex{g.ID, true})
		}
	}
	const (
		open   = 1
		closed = 2
	)
	state := map[vertex]byte{}
	type frame struct {
		v    vertex
		rest []vertex
	}
	for _, s := range starts {
		if state[s] != 0 {
			continue
		}
		state[s] = open
		// A stack of its own, because chains may be as long as the tree has apps.
		stack := []frame{{s, m.next(s)}}
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if len(top.rest) == 0 {
				state[top.v] = closed
				stack = stack[:len(stack)-1]
				continue
			}
			n := top.rest[0]
			top.rest = top.rest[1:]
			switch state[n] {
			case open:
				return true
			case 0:
				state[n] = open
				stack = append(stack, frame{n, m.next(n)})
			}
		}
	}
	return false
}
