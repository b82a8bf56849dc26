package machine

import (
	"stadion/core"
	"stadion/core/state"
	"stadion/deployments"
)

// forDelay is what an action waits for whose waiting instances are held up by a launch delay (D-54).
const forDelay deployments.Waiting = "delay"

// stallKey is an action of the running step of a deployment.
type stallKey struct {
	deployment string
	spec       core.PathID
}

// progress is how far an action has ever come. Only what surpasses it counts as progress, or an app that starts and
// crashes over and over would never be seen to stall (D-02).
type progress struct {
	step    int
	running int // most instances of the target version that ran at once
	good    int // … and were healthy and ready
	left    int // fewest instances of other versions, or of any when they are to stop
	since   core.Timestamp
}

// noteProgress keeps what a stall description needs (D-02), and publishes one when nothing has moved for StallMs, or at
// once when it is a person's turn.
func (m *Machine) noteProgress(d *core.Deployment, a core.Action, v *deployments.SpecView, dec deployments.Decision) {
	k := stallKey{d.ID, a.Spec}
	now := progress{step: d.Current, since: m.now}
	for _, i := range v.Instances {
		switch {
		case v.Target == nil || i.Version != v.Target.SpecVersion():
			now.left++
		case i.Condition == core.Running:
			now.running++
			if v.Healthy(i) && v.Ready(i) {
				now.good++
			}
		}
	}
	p := m.stalls[k]
	if p == nil || now.step != p.step {
		p = &now
		m.stalls[k] = p
	}
	if now.running > p.running || now.good > p.good || now.left < p.left {
		p.since = m.now
	}
	p.running, p.good, p.left = max(p.running, now.running), max(p.good, now.good), min(p.left, now.left)
	stalled := !dec.Done && (m.now >= p.since.Add(ms(m.cfg.StallMs)) || dec.Waiting == deployments.ForPromotion)
	was, shown := m.st.Stall(d.ID)
	switch {
	case stalled && (!shown || was.Spec == a.Spec || p.since < was.Since): // the action that has waited longest (D-57)
		row := state.Stall{Deployment: d.ID, Since: p.since, Spec: a.Spec, WaitingFor: string(m.waitingFor(a, dec)), Missing: dec.Missing}
		if row != was {
			m.st.SetStall(row)
		}
	case !stalled && shown && was.Spec == a.Spec:
		m.st.DropStall(d.ID)
	}
}

// notePaused says that a deployment goes on when someone resumes it.
func (m *Machine) notePaused(d *core.Deployment, a core.Action) {
	if was, shown := m.st.Stall(d.ID); !shown || was.WaitingFor != string(deployments.ForResume) {
		m.st.SetStall(state.Stall{Deployment: d.ID, Since: m.now, Spec: a.Spec, WaitingFor: string(deployments.ForResume)})
	}
}

// waitingFor tells a delay from a lack of offers.
func (m *Machine) waitingFor(a core.Action, dec deployments.Decision) deployments.Waiting {
	if dec.Waiting != deployments.ForOffers {
		return dec.Waiting
	}
	if s, ok := m.st.SpecAt(a.Spec, a.Version); ok {
		if _, wait := m.delayed(core.RefOf(s)); wait {
			return forDelay
		}
	}
	return dec.Waiting
}

// forgetDeployment drops what is remembered of a deployment that ended.
func (m *Machine) forgetDeployment(d *core.Deployment) {
	delete(m.done, d.ID)
	for _, a := range d.AffectedSpecs() {
		delete(m.stalls, stallKey{d.ID, a.Spec})
	}
	m.timers.drop(timerDeadline, d.ID)
}
