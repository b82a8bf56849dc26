package machine

import (
	"stadion/core"
)

// usedVersion names a version of a spec that must stay.
type usedVersion struct {
	id core.PathID
	at core.Timestamp
}

// retain drops versions that nothing needs any more: all but the newest MaxVersions roots, and spec versions that are
// older than the newest MaxVersions of their spec and that no present tree, deployment, instance or kept root names
// (behaviour.md 1.9, D-22). It runs on a timer and drops as much as a batch holds.
func (m *Machine) retain() {
	if m.writes < retainAfterWrites && m.now < m.retainedAt+retainEveryMs {
		return
	}
	m.writes, m.retainedAt = 0, m.now
	m.mark(MarkRetained, 0)
	var roots []*core.RootVersion
	for r := range m.st.Roots() {
		roots = append(roots, r)
	}
	for ; len(roots) > m.cfg.MaxVersions && m.room(); roots = roots[1:] {
		m.st.DropRoot(roots[0].Version)
	}
	used := m.usedVersions(roots)
	for _, all := range m.versionsBySpec() {
		m.retainSpec(all, used)
	}
	if m.full { // the rest in the next batch
		m.retainedAt = m.now - retainEveryMs
		m.timers.ensure(timerSweep, "", m.now)
	}
}

// versionsBySpec groups all stored versions, oldest first; specs stand in order of their ids.
func (m *Machine) versionsBySpec() (out [][]core.RunSpec) {
	for s := range m.st.Versions() {
		if n := len(out); n > 0 && out[n-1][0].SpecID() == s.SpecID() {
			out[n-1] = append(out[n-1], s)
		} else {
			out = append(out, []core.RunSpec{s})
		}
	}
	return out
}

// retainSpec drops the versions of one spec that may go.
func (m *Machine) retainSpec(all []core.RunSpec, used map[usedVersion]bool) {
	id, keep := all[0].SpecID(), m.cfg.MaxVersions
	now, present := m.st.Spec(id)
	if !present {
		keep = 0
	}
	if len(all) <= keep {
		return
	}
	running := make(map[core.Timestamp]bool)
	for i := range m.st.InstancesOf(id) {
		running[i.Version] = true
	}
	for _, s := range all[:len(all)-keep] {
		v := s.SpecVersion()
		if used[usedVersion{id, v}] || running[v] || present && now.SpecVersion() == v {
			continue
		}
		if !m.room() {
			return
		}
		m.st.DropVersion(id, v)
	}
}

// usedVersions are the spec versions that deployments and the kept roots name.
func (m *Machine) usedVersions(roots []*core.RootVersion) map[usedVersion]bool {
	used := make(map[usedVersion]bool)
	note := func(changes []core.SpecChange) {
		for _, c := range changes {
			used[usedVersion{c.ID, c.From}] = true
			used[usedVersion{c.ID, c.To}] = true
		}
	}
	for d := range m.st.Deployments() {
		note(d.Specs)
		for _, a := range d.AffectedSpecs() {
			used[usedVersion{a.Spec, a.Version}] = true
		}
	}
	for _, r := range roots {
		note(r.Specs)
	}
	return used
}
