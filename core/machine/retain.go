package machine

import (
	"fmt"

	"stadion/core"
)

// retain drops versions that nothing needs any more: all but the newest MaxVersions roots, and spec versions that are
// older than the newest MaxVersions of their spec and that no present tree, deployment, instance or kept root names
// (behaviour.md 1.9, D-22). It runs on a timer and drops as much as one batch holds.
func (m *Machine) retain() {
	if m.writes < retainAfterWrites && m.now < m.retainedAt+retainEveryMs {
		return
	}
	m.writes, m.retainedAt = 0, m.now
	used := m.usedVersions()
	var roots []core.Timestamp
	touched := make(map[core.PathID]bool)
	var order []core.PathID
	for r := range m.st.Roots() {
		roots = append(roots, r.Version)
		for _, c := range r.Specs {
			if !touched[c.ID] {
				touched[c.ID] = true
				order = append(order, c.ID)
			}
		}
	}
	for n := len(roots) - m.cfg.MaxVersions; n > 0 && m.room(); n-- {
		m.st.DropRoot(roots[0])
		roots = roots[1:]
	}
	for _, id := range order {
		_, present := m.st.Spec(id)
		all := m.st.SpecVersions(id)
		keep := m.cfg.MaxVersions
		if !present {
			keep = 0
		}
		for n := 0; n < len(all)-keep && m.room(); n++ {
			if v := all[n].SpecVersion(); !used[usedKey(id, v)] {
				m.st.DropVersion(id, v)
			}
		}
	}
}

func usedKey(id core.PathID, v core.Timestamp) string { return fmt.Sprintf("%s@%d", id, v) }

// usedVersions are the spec versions that must stay whatever their age.
func (m *Machine) usedVersions() map[string]bool {
	used := make(map[string]bool)
	for s := range m.st.SpecsBelow(core.Root) {
		used[usedKey(s.SpecID(), s.SpecVersion())] = true
	}
	for i := range m.st.Instances() {
		used[usedKey(i.Spec, i.Version)] = true
	}
	note := func(changes []core.SpecChange) {
		for _, c := range changes {
			used[usedKey(c.ID, c.From)] = true
			used[usedKey(c.ID, c.To)] = true
		}
	}
	for d := range m.st.Deployments() {
		note(d.Specs)
	}
	n := 0
	for r := range m.st.Roots() {
		if n++; n > m.rootCount()-m.cfg.MaxVersions {
			note(r.Specs)
		}
	}
	return used
}

func (m *Machine) rootCount() (n int) {
	for range m.st.Roots() {
		n++
	}
	return n
}
