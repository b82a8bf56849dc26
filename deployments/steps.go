package deployments

import (
	"maps"
	"slices"

	"stadion/core"
)

// steps computes the plan (behaviour.md 2.1): first Stop for what is gone, in reverse order of the old dependencies
// (D-30), then one step of Start for what is new, then the layers of the new tree from the lowest up. Actions within
// a step stand in order of ids; steps without actions do not exist.
func (p *preparer) steps(w *walker) ([]core.Step, error) {
	before := newWalker(p.now)
	stops, layers := make(map[int][]core.Action), make(map[int][]core.Action)
	var starts []core.Action
	add := func(a core.Action, s core.RunSpec) error {
		n, err := w.layer(s)
		layers[n] = append(layers[n], a)
		return err
	}
	for _, id := range p.tree.specIDs {
		old, had := p.now.Spec(id)
		s := p.tree.specs[id]
		if s == nil {
			n, err := before.layer(old)
			if err != nil {
				n = 1 // a circle that was stored before this change must not keep anyone from removing it
			}
			stops[n] = append(stops[n], core.Action{Kind: core.ActionStop, Spec: id, Pod: old.IsPod()})
			continue
		}
		a := core.Action{Kind: core.ActionScale, Spec: id, Pod: s.IsPod(), Version: s.SpecVersion()}
		if !had {
			starts = append(starts, core.Action{Kind: core.ActionStart, Spec: id, Pod: s.IsPod(), Version: s.SpecVersion()})
		} else if a.Kind = actionFor(old, s); a.Kind == "" {
			continue
		}
		if err := add(a, s); err != nil {
			return nil, err
		}
	}
	// A rollback names every spec it puts back, even one whose content is the same (revert of a restart): so it takes
	// the spec over from the plan it reverts. Scaling to the present count starts and kills nothing but what is
	// missing or superfluous.
	for _, s := range p.unchanged {
		if err := add(core.Action{Kind: core.ActionScale, Spec: s.SpecID(), Pod: s.IsPod(), Version: s.SpecVersion()}, s); err != nil {
			return nil, err
		}
	}
	out := appendLayers(nil, stops, true)
	if len(starts) > 0 {
		out = append(out, core.Step{Actions: starts})
	}
	return appendLayers(out, layers, false), nil
}

// actionFor is the table of behaviour.md 2.1 for a spec that exists in both trees; empty for none. A change outside
// the fields that restart (D-05) needs no action: only later launches use it.
func actionFor(old, s core.RunSpec) core.ActionKind {
	switch {
	case s.Stamps().LastConfigChangeAt != old.Stamps().LastConfigChangeAt:
		if s.InstanceCount() == 0 {
			return core.ActionScale
		}
		return core.ActionRestart
	case s.InstanceCount() != old.InstanceCount():
		return core.ActionScale
	}
	return ""
}

func appendLayers(out []core.Step, layers map[int][]core.Action, reverse bool) []core.Step {
	order := slices.Sorted(maps.Keys(layers))
	if reverse {
		slices.Reverse(order)
	}
	for _, n := range order {
		actions := layers[n]
		slices.SortFunc(actions, func(a, b core.Action) int { return comparePaths(a.Spec, b.Spec) })
		out = append(out, core.Step{Actions: actions})
	}
	return out
}

func comparePaths(a, b core.PathID) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Conflicts lists the running deployments that touch a spec which the steps touch too, in the order of their ids
// (behaviour.md 2.4). holder tells which deployment holds a spec; at most one does (D-24). Groups never conflict, and a
// plan without steps conflicts with nothing.
func Conflicts(steps []core.Step, holder func(core.PathID) (*core.Deployment, bool)) []string {
	var out []string
	for _, s := range steps {
		for _, a := range s.Actions {
			if d, held := holder(a.Spec); held && !slices.Contains(out, d.ID) {
				out = append(out, d.ID)
			}
		}
	}
	slices.Sort(out)
	return out
}
