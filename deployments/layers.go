package deployments

import (
	"stadion/core"
)

// walker finds the dependency layer of specs by walking from them along their dependencies, and nothing else of the
// tree (behaviour.md 2.2). Layers are remembered, so a group that many depend on is visited once.
type walker struct {
	tree   core.Tree
	layers map[core.PathID]int // of specs; 0 while the walk is inside
	groups map[core.PathID]int // highest layer of the apps below a group, 0 without any
}

func newWalker(t core.Tree) *walker {
	return &walker{tree: t, layers: make(map[core.PathID]int), groups: make(map[core.PathID]int)}
}

// layer is the number of specs on the longest dependency path that begins at s: 1 without dependencies. The error is
// an Invalid one when the path leads back to itself.
func (w *walker) layer(s core.RunSpec) (int, error) {
	id := s.SpecID()
	if n, seen := w.layers[id]; seen {
		if n == 0 {
			return 0, invalid("/", cycleText)
		}
		return n, nil
	}
	if s.IsPod() {
		return 1, nil // pods have no dependencies
	}
	w.layers[id] = 0
	deepest := 0
	for _, dep := range s.DependsOn() {
		n, err := w.named(dep)
		if err != nil {
			return 0, err
		}
		deepest = max(deepest, n)
	}
	for g := id; g != core.Root; {
		g = g.Parent()
		group, _ := w.tree.Group(g)
		for _, dep := range group.Dependencies {
			n, err := w.group(dep)
			if err != nil {
				return 0, err
			}
			deepest = max(deepest, n)
		}
	}
	w.layers[id] = deepest + 1
	return deepest + 1, nil
}

// named is the layer of what an app names as its dependency: an app, or all apps below a group. Unknown ids and
// pods count nothing.
func (w *walker) named(id core.PathID) (int, error) {
	if s, ok := w.tree.Spec(id); ok {
		if s.IsPod() {
			return 0, nil
		}
		return w.layer(s)
	}
	return w.group(id)
}

// group is the highest layer of the apps below a group, 0 when it is unknown or holds none.
func (w *walker) group(id core.PathID) (int, error) {
	if n, seen := w.groups[id]; seen {
		return n, nil
	}
	if _, ok := w.tree.Group(id); !ok {
		return 0, nil
	}
	highest := 0
	for s := range w.tree.SpecsBelow(id) {
		if s.IsPod() {
			continue
		}
		n, err := w.layer(s)
		if err != nil {
			return 0, err
		}
		highest = max(highest, n)
	}
	w.groups[id] = highest
	return highest, nil
}

// checkCycles refuses a tree whose dependencies run in a circle. A new circle leads through something that changed,
// so the walk begins there: at the changed specs, and at all apps below a group whose own dependencies grew.
func (p *preparer) checkCycles(w *walker) error {
	for _, id := range p.tree.specIDs {
		if s := p.tree.specs[id]; s != nil {
			if _, err := w.layer(s); err != nil {
				return err
			}
		}
	}
	for _, id := range p.tree.groupIDs {
		g := p.tree.groups[id]
		if g == nil || len(g.Dependencies) == 0 {
			continue
		}
		if _, err := w.group(id); err != nil {
			return err
		}
	}
	return nil
}
