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

// vertex is a point of the dependency graph. A group is two points, so that the graph grows with the tree and not
// with the square of it: apps below G lead to out(G), which leads to whatever G depends on; in(G) leads to all that
// lies in G.
type vertex struct {
	kind byte // 'a' app, 'i' into a group, 'o' out of a group
	id   core.PathID
}

// cyclic searches the whole merged tree for a cycle. Unknown ids and pods have no edges.
func (m *merged) cyclic() bool {
	edges := map[vertex][]vertex{}
	add := func(from, to vertex) { edges[from] = append(edges[from], to) }
	to := func(id core.PathID) vertex {
		if _, ok := m.group(id); ok {
			return vertex{'i', id}
		}
		return vertex{'a', id}
	}
	seen := map[core.PathID]bool{}
	var around func(id core.PathID) // group edges, once per group
	around = func(id core.PathID) {
		if seen[id] {
			return
		}
		seen[id] = true
		if g, ok := m.group(id); ok {
			for _, d := range g.Dependencies {
				add(vertex{'o', id}, to(d))
			}
		}
		if id != core.Root {
			add(vertex{'i', id.Parent()}, vertex{'i', id})
			add(vertex{'o', id}, vertex{'o', id.Parent()})
			around(id.Parent())
		}
	}
	var apps []vertex
	m.specs(func(s core.RunSpec) {
		if s.IsPod() {
			return
		}
		a := vertex{'a', s.SpecID()}
		apps = append(apps, a)
		add(vertex{'i', a.id.Parent()}, a)
		add(a, vertex{'o', a.id.Parent()})
		for _, d := range s.DependsOn() {
			add(a, to(d))
		}
		around(a.id.Parent())
	})
	return hasCycle(apps, edges)
}

// hasCycle searches in depth with a stack of its own, because chains may be as long as the tree has apps.
func hasCycle(starts []vertex, edges map[vertex][]vertex) bool {
	const (
		open   = 1
		closed = 2
	)
	state := map[vertex]byte{}
	type frame struct {
		v    vertex
		next int
	}
	for _, s := range starts {
		if state[s] != 0 {
			continue
		}
		state[s] = open
		stack := []frame{{v: s}}
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if top.next == len(edges[top.v]) {
				state[top.v] = closed
				stack = stack[:len(stack)-1]
				continue
			}
			n := edges[top.v][top.next]
			top.next++
			switch state[n] {
			case open:
				return true
			case 0:
				state[n] = open
				stack = append(stack, frame{v: n})
			}
		}
	}
	return false
}
