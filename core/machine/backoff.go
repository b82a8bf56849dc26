package machine

import (
	"stadion/core"
	"stadion/offers"
)

// backoffAfter moves the launch delay when an instance's condition changed (behaviour.md 4.3). Unlike Marathon a
// launch that makes progress leaves the window where it is (D-10).
func (m *Machine) backoffAfter(old, c *core.Instance, u offers.StatusUpdate) {
	spec, ok := m.specFor(c)
	if !ok {
		return
	}
	ref := core.RefOf(spec)
	if u.Reason == "AGENT_DRAINING" && (u.State == "TASK_KILLED" || u.State == "TASK_GONE_BY_OPERATOR") {
		m.st.DropDelay(ref)
		return
	}
	if old.Condition.Terminal() || !c.Condition.IncreasesBackoff() { // a pod fails once, however many containers do
		return
	}
	m.increaseBackoff(ref, spec.BackoffPolicy())
}

func (m *Machine) increaseBackoff(ref core.ConfigRef, p core.Backoff) {
	limit := p.MaxLaunchDelaySec * 1000
	d, ok := m.st.Delay(ref)
	if ok {
		d.Current = min(d.Current*p.Factor, limit)
	} else {
		d.Current = min(p.Seconds*1000, limit)
	}
	d.Reference, d.Max = m.now, limit
	m.st.SetDelay(ref, d)
	m.timers.set(timerBackoff, string(ref.Spec)+"@"+ref.ConfigChange.String(), d.Deadline())
}

// resetBackoff forgets the delays of every configuration of a spec.
func (m *Machine) resetBackoff(id core.PathID) {
	if s, ok := m.st.Spec(id); ok {
		m.st.DropDelay(core.RefOf(s))
	}
	for _, s := range m.st.SpecVersions(id) {
		m.st.DropDelay(core.RefOf(s))
	}
	m.queue.stale(id)
	m.market.demand(m, id)
}

// delayed tells whether launches of a configuration must wait, and until when.
func (m *Machine) delayed(ref core.ConfigRef) (until core.Timestamp, wait bool) {
	if !m.st.Delayed() {
		return 0, false
	}
	d, ok := m.st.Delay(ref)
	if !ok || m.now >= d.Deadline() {
		return 0, false
	}
	return d.Deadline(), true
}

// resetDelay is DELETE /v2/queue/{id}/delay.
func (m *Machine) resetDelay(id uint64, c ResetDelay) {
	if m.st.Counts(c.Spec).Waiting == 0 {
		m.reply(id, nil, &core.Error{Kind: core.NotFound, Message: "Application " + string(c.Spec) + " not found in tasks queue.", Direct: true})
		return
	}
	m.resetBackoff(c.Spec)
	m.reply(id, nil, nil)
}

// sweepDelays forgets delays without a failure for the longest delay (behaviour.md 4.3).
func (m *Machine) sweepDelays() {
	var over []string
	for k, d := range m.st.Delays() {
		if m.now > d.Reference+core.Timestamp(d.Max) {
			over = append(over, k)
		}
	}
	for _, k := range over {
		m.st.DropDelayKey(k)
	}
}
