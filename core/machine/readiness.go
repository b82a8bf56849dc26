package machine

import (
	"slices"

	"stadion/core"
	"stadion/core/state"
	"stadion/deployments"
)

// watchReadiness starts the readiness checks of the running instances that an action brings in (behaviour.md 8.8). Those
// that were there before are not asked: nothing depends on their answer, and Marathon does not list them.
func (m *Machine) watchReadiness(a core.Action, v *deployments.SpecView) {
	app, ok := v.Target.(*core.App)
	if !ok || len(app.ReadinessChecks) == 0 {
		return
	}
	for _, i := range v.Instances {
		if !broughtIn(a, v.Target, i) || i.Condition != core.Running || i.Goal != core.GoalRunning || v.Ready(i) {
			continue
		}
		own, ok := m.app(i)
		if !ok {
			continue
		}
		for n, rc := range own.ReadinessChecks {
			key := probeKey{instance: i.ID, check: n, readiness: true}
			if m.probes[key] {
				continue
			}
			m.probes[key] = true
			host, port := readinessTarget(own, i, rc.PortName)
			m.b.Probes = append(m.b.Probes, Probe{Readiness: true, Instance: i.ID, Task: i.Tasks[0].ID, Check: n, Name: rc.Name, Protocol: rc.Protocol,
				Host: host, Port: port, Path: rc.Path, Ready: rc.HTTPStatusCodesForReady, Preserve: rc.PreserveLastResponse,
				IntervalMs: int64(rc.IntervalSeconds) * 1000, TimeoutMs: int64(rc.TimeoutSeconds) * 1000})
		}
	}
}

// broughtIn: the instance belongs to what the action works towards: its version when it scales, its configuration when
// it replaces (deployments.Next counts the same ones).
func broughtIn(a core.Action, target core.RunSpec, i *core.Instance) bool {
	switch a.Kind {
	case core.ActionScale:
		return i.Version == target.SpecVersion()
	case core.ActionRestart:
		return i.Version >= target.Stamps().LastConfigChangeAt
	}
	return false
}

// readinessTarget is where the port of a name answers; port 0 when there is none (D-27).
func readinessTarget(app *core.App, i *core.Instance, name string) (string, int) {
	find := func(n int, p *string) bool { return p != nil && *p == name && n >= 0 }
	if app.HostNetworking() {
		for n, p := range app.PortDefinitions {
			if find(n, p.Name) {
				return effective(app, i, &n, nil)
			}
		}
		return "", 0
	}
	if app.Container != nil {
		for n, p := range app.Container.PortMappings {
			if find(n, p.Name) {
				return effective(app, i, &n, nil)
			}
		}
	}
	return "", 0
}

// readinessReport takes in one probe result; the first ready answer ends the probing.
func (m *Machine) readinessReport(r ReadinessReport) {
	key := probeKey{instance: r.Instance, check: 0, readiness: true}
	i, ok := m.st.Instance(r.Instance)
	if !ok || !m.probes[key] || len(i.Tasks) == 0 || i.Tasks[0].ID != r.Task {
		return
	}
	m.st.SetReadiness(state.Readiness{Name: r.Name, Task: r.Task, Instance: r.Instance, Ready: r.Ready, LastStatus: r.Status, ContentType: r.ContentType, Body: r.Body})
	if r.Ready {
		m.stopProbe(key)
		m.touch(i.Spec)
	}
}

// stopReadiness ends the readiness checks of a spec when no action watches it any more. Their results are those of the
// action's deployment, and go with it (behaviour.md 8.8.1, 8.8.7).
func (m *Machine) stopReadiness(id core.PathID) {
	if !slices.ContainsFunc(m.st.SpecVersions(id), core.RunSpec.HasReadinessChecks) {
		return // not to look at many thousand instances for nothing
	}
	for i := range m.st.InstancesOf(id) {
		m.stopProbe(probeKey{instance: i.ID, check: 0, readiness: true})
		for _, t := range i.Tasks {
			m.st.DropReadiness(t.ID)
		}
	}
}
