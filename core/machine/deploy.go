package machine

import (
	"slices"

	"stadion/core"
	"stadion/core/state"
	"stadion/deployments"
	"stadion/offers"
)

const (
	bigSpec      = 500  // instances from which a spec is looked at only every lookEveryMs
	lookEveryMs  = 100  // milliseconds; longer for very large ones
	looksPerMs   = 100  // instances looked at per millisecond: a look takes time by the instance, so its share of a core stays the same
	maxRounds    = 20   // what was done to a spec may touch it again; more rounds go on in the next batch
	createChunk  = 5000 // scheduled instances made in one batch; the last spec of it may make as many again
	stopChunk    = 2000 // instances told to stop for one decision in one batch, which may make it larger than one transaction
	topUpEveryMs = 5000 // a running action is looked at at least this often (behaviour.md 12.2)
)

// enough reports that a Settle has scheduled as many instances as one may: they take no room in a transaction, and a
// million of them must not keep the loop busy for longer than a lease.
func (m *Machine) enough() bool {
	if m.created < createChunk {
		return false
	}
	m.full = true
	return true
}

// settleSpecs looks at every touched spec: by its deployment's running action or, without one, by the scale check.
func (m *Machine) settleSpecs() {
	for round := 0; m.touched.Len() > 0; round++ {
		if round == maxRounds {
			m.full = true
			return
		}
		for _, id := range m.touched.Keys() {
			if !m.room() || m.enough() {
				return
			}
			m.touched.Delete(id)
			if !m.tooSoon(id) {
				m.settleSpec(id)
			}
		}
	}
}

// tooSoon puts off a look at a large spec that was looked at a moment ago, so that a storm of updates costs few looks.
func (m *Machine) tooSoon(id core.PathID) bool {
	n := m.st.Counts(id).Instances
	if n < bigSpec {
		delete(m.looked, id)
		return false
	}
	pause := core.Timestamp(max(lookEveryMs, n/looksPerMs))
	if last, ok := m.looked[id]; ok && m.now < last+pause {
		m.timers.ensure(timerSpec, string(id), last+pause)
		return true
	}
	m.looked[id] = m.now
	return false
}

func (m *Machine) settleSpec(id core.PathID) {
	d, locked := m.st.DeploymentOf(id)
	if !locked {
		m.scaleCheck(id)
		return
	}
	for _, a := range d.CurrentActions() {
		if a.Spec == id {
			m.workOn(d, a)
			m.advance(d.ID)
			return
		}
	}
}

// workOn does what an action of the running step needs now.
func (m *Machine) workOn(d *core.Deployment, a core.Action) {
	if m.done[d.ID][a.Spec] {
		return
	}
	if d.Settings != nil && d.Settings.Paused {
		m.notePaused(d, a)
		return
	}
	v := m.view(a, d)
	dec := deployments.Next(a, v)
	m.carryOut(a, v, dec)
	m.watchReadiness(a, v)
	m.noteProgress(d, a, v, dec)
	if !dec.Done {
		m.timers.ensure(timerSpec, string(a.Spec), m.now+topUpEveryMs)
		if dec.Again != 0 {
			m.timers.ensure(timerSpec, string(a.Spec), dec.Again)
		}
		return
	}
	if a.Kind == core.ActionStop {
		m.terminated(a.Spec)
	}
	if m.done[d.ID] == nil {
		m.done[d.ID] = make(map[core.PathID]bool)
	}
	m.done[d.ID][a.Spec] = true
}

// carryOut stops and starts what a decision says.
func (m *Machine) carryOut(a core.Action, v *deployments.SpecView, dec deployments.Decision) {
	reason := map[core.ActionKind]string{core.ActionStop: "DeletingApp", core.ActionScale: "DeploymentScaling", core.ActionRestart: "Upgrading"}[a.Kind]
	if m.stopAll(a.Spec, dec.Stop, reason, a.Kind == core.ActionStop) && dec.Start > 0 && v.Target != nil {
		m.schedule(v.Target, dec.Start)
	}
}

// stopAll ends the victims of a decision. More than stopChunk go on in the next batch, with a new decision; a look at
// all instances for each transaction's worth of them would cost the square of their number.
func (m *Machine) stopAll(spec core.PathID, victims []core.InstanceID, reason string, forGood bool) (all bool) {
	for n, id := range victims {
		if n == stopChunk {
			m.touch(spec)
			delete(m.looked, spec)
			m.full = true
			return false
		}
		if i, ok := m.st.Instance(id); ok {
			m.stop(i, reason, forGood)
		}
	}
	return true
}

// view collects what deployments.Next sees of a spec.
func (m *Machine) view(a core.Action, d *core.Deployment) *deployments.SpecView {
	var spec core.RunSpec
	if a.Kind != core.ActionStop {
		var ok bool
		if spec, ok = m.st.SpecAt(a.Spec, a.Version); !ok {
			spec, _ = m.st.Spec(a.Spec)
		}
	}
	var sentenced []core.InstanceID
	if d != nil {
		sentenced = d.Sentenced
	}
	v := ViewOf(&m.st.View, a.Spec, spec, sentenced)
	v.Now = m.now
	if spec != nil {
		v.Hold = holdOf(d, spec)
	}
	return v
}

// ViewOf is what deployments.Next sees of a spec that is to become target, nil if it is to go. What a client is told
// beforehand (dryRun) is decided on the same view as what is done.
func ViewOf(st *state.View, id core.PathID, target core.RunSpec, sentenced []core.InstanceID) *deployments.SpecView {
	own := definitions(st)
	v := &deployments.SpecView{Target: target,
		Instances: slices.AppendSeq(make([]*core.Instance, 0, st.Counts(id).Instances), st.InstancesOf(id)),
		Healthy:   func(i *core.Instance) bool { return consideredHealthy(st, own, i) },
		Ready:     func(i *core.Instance) bool { return consideredReady(st, own, i) }}
	if target == nil {
		return v
	}
	if len(sentenced) > 0 {
		named := make(map[core.InstanceID]bool, len(sentenced))
		for _, id := range sentenced {
			named[id] = true
		}
		v.Sentenced = func(id core.InstanceID) bool { return named[id] }
	}
	v.ConstraintKills = func(live []*core.Instance, n int) []core.InstanceID { return offers.ConstraintKills(target, live, n) }
	return v
}

// definitions is specFor for the instances of one spec in a row, which nearly all have the same version.
func definitions(st *state.View) func(*core.Instance) (core.RunSpec, bool) {
	var last *core.Instance
	var spec core.RunSpec
	var known bool
	return func(i *core.Instance) (core.RunSpec, bool) {
		if last == nil || last.Version != i.Version || last.Spec != i.Spec {
			last = i
			spec, known = specFor(st, i)
		}
		return spec, known
	}
}

// consideredHealthy: runs, and all its health checks are alive when its version has any (D-01).
func consideredHealthy(st *state.View, own func(*core.Instance) (core.RunSpec, bool), i *core.Instance) bool {
	if i.Condition != core.Running {
		return false
	}
	s, ok := own(i)
	if !ok || !s.HasHealthChecks() {
		return true
	}
	if pod, ok := s.(*core.Pod); ok {
		return podHealthy(pod, i)
	}
	return st.Health(i.ID).Aggregate() == core.Healthy
}

// podHealthy: every container with a check reports that it is healthy (behaviour.md 11.6). One that has finished while
// others run is asked nothing more: its last status carries no health (behaviour.md 7.1).
func podHealthy(pod *core.Pod, i *core.Instance) bool {
	for n := range pod.Containers {
		c := &pod.Containers[n]
		if c.HealthCheck == nil {
			continue
		}
		k := slices.IndexFunc(i.Tasks, func(t core.Task) bool { return t.Container == c.Name })
		if k >= 0 && i.Tasks[k].Condition == core.Finished {
			continue
		}
		if k < 0 || i.Tasks[k].Status == nil || i.Tasks[k].Status.Healthy != core.Healthy {
			return false
		}
	}
	return true
}

// consideredReady: its readiness check has passed, or there is none.
func consideredReady(st *state.View, own func(*core.Instance) (core.RunSpec, bool), i *core.Instance) bool {
	s, ok := own(i)
	if !ok || !s.HasReadinessChecks() {
		return true
	}
	if len(i.Tasks) == 0 {
		return false
	}
	r, ok := st.Readiness(i.Tasks[0].ID)
	return ok && r.Ready
}

// scaleCheck brings an unlocked spec to its count; it never waits (behaviour.md 2.8, D-06).
func (m *Machine) scaleCheck(id core.PathID) {
	spec, ok := m.st.Spec(id)
	if !ok {
		m.orphans(id)
		return
	}
	c := m.st.Counts(id)
	if c.Instances == spec.InstanceCount() && c.Instances == c.Running+c.Waiting+c.Staged && c.Waiting == 0 {
		return
	}
	a := core.Action{Kind: core.ActionScale, Spec: id, Pod: spec.IsPod(), Version: spec.SpecVersion()}
	v := m.view(a, nil)
	dec := deployments.ScaleCheck(spec.InstanceCount(), v)
	if m.stopAll(id, dec.Stop, "OverCapacity", false) && dec.Start > 0 {
		m.schedule(spec, dec.Start)
	}
}

// beginStep makes step n (1-based) the running one and announces it.
func (m *Machine) beginStep(d *core.Deployment, n int) {
	c := *d
	c.Current, c.StepAt = n, m.now
	m.st.PutDeployment(&c)
	delete(m.done, d.ID)
	m.deploymentNotice("deployment_info", &c, stepBody(&c))
	m.announceChecks(&c)
	for _, a := range c.CurrentActions() {
		if a.Kind == core.ActionRestart {
			m.resetBackoff(a.Spec) // behaviour.md 4.3
		}
	}
	m.touchActions(&c)
}

func (m *Machine) touchActions(d *core.Deployment) {
	for _, a := range d.CurrentActions() {
		m.touch(a.Spec)
		delete(m.looked, a.Spec)
	}
}

func stepBody(d *core.Deployment) core.DeploymentStep {
	return core.DeploymentStep{Plan: core.PlanOf(d), CurrentStep: core.WireSteps([]core.Step{d.Steps[d.Current-1]})[0]}
}

// advance goes to the next step when all actions of the running one are done, and ends the deployment after the last.
func (m *Machine) advance(id string) {
	d, ok := m.st.Deployment(id)
	if !ok {
		return
	}
	for _, a := range d.CurrentActions() {
		if !m.done[id][a.Spec] {
			return
		}
	}
	m.deploymentNotice("deployment_step_success", d, stepBody(d))
	for _, a := range d.CurrentActions() {
		m.stopReadiness(a.Spec)
	}
	if d.Current < len(d.Steps) {
		m.beginStep(d, d.Current+1)
		return
	}
	m.st.RemoveDeployment(id)
	m.forgetDeployment(d)
	m.deploymentNotice("deployment_success", d, core.DeploymentEnd{ID: id, Plan: core.PlanOf(d)})
	for _, a := range d.AffectedSpecs() {
		m.touch(a.Spec)
	}
}

// terminated cleans up after the last instance of a removed spec (behaviour.md 1.7, 4.3, Appendix C).
func (m *Machine) terminated(id core.PathID) {
	m.st.RemoveFailure(id)
	m.resetBackoff(id)
	m.st.SetStats(id, nil)
	for range m.lastHealthChecks(id) {
		m.notify("remove_health_check_event", id, core.HealthCheckRemoved{AppID: id})
	}
	m.notify("app_terminated_event", id, core.AppTerminated{AppID: id})
}

// lastHealthChecks is how many health checks the newest definition of a removed app has.
func (m *Machine) lastHealthChecks(id core.PathID) int {
	versions := m.st.SpecVersions(id)
	if len(versions) == 0 {
		return 0
	}
	if a, ok := versions[len(versions)-1].(*core.App); ok {
		return len(a.HealthChecks)
	}
	return 0
}
