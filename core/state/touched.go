package state

import (
	"iter"

	"stadion/core"
)

// Touched is the revision of everything that readers see of one spec: its definition, instances, health, readiness,
// counters, last failure and the deployment that holds it. It moves whenever any of that does and never comes back
// within a term, so an encoded spec may be kept for as long as its revision stays. Only snapshots know it; 0 stands for
// a spec that never was.
func (v *View) Touched(spec core.PathID) uint64 {
	n, _ := v.touched.Get(spec)
	return n
}

// touch notes that something of a spec changed. It runs with every status update, so it only notes the spec; what it
// costs to give revisions is paid once per snapshot.
func (s *State) touch(spec core.PathID) { s.moved[spec] = struct{}{} }

// revise gives all specs that changed since the last snapshot the next revision. A spec of which nothing is left is
// forgotten: revisions only grow, so it cannot meet its old one again.
func (s *State) revise() {
	if len(s.moved) == 0 {
		return
	}
	s.revision++
	for spec := range s.moved { // in any order: all get the same number
		_, current := s.specs.Get(spec)
		_, counted := s.counts.Get(spec)
		if current || counted {
			s.touched.Set(spec, s.revision)
		} else {
			s.touched.Delete(spec)
		}
	}
	clear(s.moved)
}

// SpecsTouched is SpecsBelow with the revision of each, for little more than the walk itself.
func (v *View) SpecsTouched(group core.PathID) iter.Seq2[core.RunSpec, uint64] {
	return func(yield func(core.RunSpec, uint64) bool) {
		at := v.touched.Iter()
		more := at.Seek(core.PathID(below(group)))
		for id, spec := range prefixed(&v.specs, below(group)) {
			for more && at.Key() < id {
				more = at.Next()
			}
			revision := uint64(0)
			if more && at.Key() == id {
				revision = at.Value()
			}
			if !yield(spec, revision) {
				return
			}
		}
	}
}
