package machine

import "stadion/core"

// beginRetaining starts a retention run when one is due.
func (m *Machine) beginRetaining() {
	if m.writes < retainAfterWrites && m.now < m.retainedAt+retainEveryMs {
		return
	}
	m.writes, m.retainedAt = 0, m.now
	m.mark(MarkRetained, 0)
	m.retain()
}

// retain drops versions that nothing needs any more: all but the newest MaxVersions roots, and spec versions that are
// older than the newest MaxVersions of their spec and that no present tree, deployment, instance or kept root names
// (behaviour.md 1.9, D-22). It looks only at specs that something happened to (state.State.Aged), at so many in one
// go, and drops as much as a batch holds: neither many specs nor many versions keep anybody waiting (P24).
func (m *Machine) retain() {
	for m.st.RootCount() > m.cfg.MaxVersions && m.room() {
		oldest, _ := m.st.OldestRoot()
		m.st.DropRoot(oldest.Version)
	}
	for range retainSpecs {
		if !m.room() {
			break
		}
		id, ok := m.st.Aged()
		if !ok {
			return
		}
		if !m.retainSpec(id) {
			m.st.Age(id)
		}
	}
	m.timers.ensure(timerRetain, "", m.now+retainPauseMs)
}

// retainSpec drops the versions of one spec that may go; false when the batch is full before all are gone.
func (m *Machine) retainSpec(id core.PathID) bool {
	now, present := m.st.Spec(id)
	all, keep := m.st.SpecVersions(id), m.cfg.MaxVersions
	if !present {
		keep = 0
	}
	for _, s := range all[:max(len(all)-keep, 0)] {
		v := s.SpecVersion()
		if m.st.Used(id, v) || present && now.SpecVersion() == v {
			continue
		}
		if !m.room() {
			return false
		}
		m.st.DropVersion(id, v)
	}
	return true
}
