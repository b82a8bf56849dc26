package state

import (
	"iter"

	"stadion/core"
)

// versionRef names a version of a spec.
type versionRef struct {
	spec    core.PathID
	version core.Timestamp
}

// use counts who needs a version of a spec beside the present tree: instances, deployments and stored roots. When the
// last one lets go of it, the spec is to be looked at again by whoever drops old versions.
func (s *State) use(spec core.PathID, v core.Timestamp, by int) {
	k := versionRef{spec, v}
	if n := s.uses[k] + by; n > 0 {
		s.uses[k] = n
		return
	}
	delete(s.uses, k)
	s.aged.Insert(spec)
}

// useAll is use for a list of versions.
func (s *State) useAll(refs iter.Seq[versionRef], by int) {
	for r := range refs {
		s.use(r.spec, r.version, by)
	}
}

func refsOfChanges(changes []core.SpecChange) iter.Seq[versionRef] {
	return func(yield func(versionRef) bool) {
		for _, c := range changes {
			if !yield(versionRef{c.ID, c.From}) || !yield(versionRef{c.ID, c.To}) {
				return
			}
		}
	}
}

// refsOfDeployment are the versions a deployment goes from and to.
func refsOfDeployment(d *core.Deployment) iter.Seq[versionRef] {
	return func(yield func(versionRef) bool) {
		for r := range refsOfChanges(d.Specs) {
			if !yield(r) {
				return
			}
		}
		for _, step := range d.Steps {
			for _, a := range step.Actions {
				if !yield(versionRef{a.Spec, a.Version}) {
					return
				}
			}
		}
	}
}

// Used reports whether an instance, a deployment or a stored root names a version of a spec.
func (s *State) Used(spec core.PathID, v core.Timestamp) bool { return s.uses[versionRef{spec, v}] > 0 }

// Aged takes a spec that may have versions which nobody needs any more: it got a new version or was removed, or a
// version of it lost its last use, since it was last taken. After loading these are all specs with versions. What
// changed nothing is never looked at, however many specs there are.
func (s *State) Aged() (core.PathID, bool) { return s.aged.PopMin() }

// Age puts a spec back among the aged ones.
func (s *State) Age(spec core.PathID) { s.aged.Insert(spec) }

// RootCount is the number of stored root versions.
func (v *View) RootCount() int { return v.roots.Len() }

// OldestRoot is the oldest stored root version.
func (v *View) OldestRoot() (*core.RootVersion, bool) {
	_, r, ok := v.roots.Min()
	return r, ok
}
