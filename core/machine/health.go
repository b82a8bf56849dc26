package machine

import (
	"cmp"

	"stadion/core"
	"stadion/core/state"
	"stadion/offers"
)

const firstProbeMs = 5000 // a first health probe comes after min(interval, this) (behaviour.md 8.2)

// probeKey names a probe at the edge.
type probeKey struct {
	instance  core.InstanceID
	check     int
	readiness bool
}

// app returns the definition an instance runs if it is an app.
func (m *Machine) app(i *core.Instance) (*core.App, bool) {
	s, ok := m.specFor(i)
	if !ok {
		return nil, false
	}
	a, ok := s.(*core.App)
	return a, ok
}

// startHealthProbes starts the server-run checks of an instance that has begun to run (behaviour.md 8.2).
func (m *Machine) startHealthProbes(i *core.Instance) {
	app, ok := m.app(i)
	if !ok || len(app.HealthChecks) == 0 {
		return
	}
	if m.st.Health(i.ID) == nil {
		m.st.PutHealth(i.ID, &state.HealthBook{Results: make([]state.HealthResult, len(app.HealthChecks))})
	}
	for n, hc := range app.HealthChecks {
		key := probeKey{instance: i.ID, check: n}
		if !hc.ServerRun() || m.probes[key] {
			continue
		}
		host, port := effective(app, i, hc.PortIndex, hc.Port)
		p := Probe{Instance: i.ID, Task: i.Tasks[0].ID, Check: n, Protocol: hc.Protocol, Host: host, Port: port,
			IntervalMs: int64(hc.IntervalSeconds) * 1000, TimeoutMs: int64(hc.TimeoutSeconds) * 1000,
			Ignore1xx: hc.IgnoreHTTP1xx != nil && *hc.IgnoreHTTP1xx}
		if hc.Path != nil {
			p.Path = *hc.Path
		}
		p.FirstMs = min(p.IntervalMs, firstProbeMs)
		if m.now.Sub(i.ActiveSince) > ms(p.IntervalMs) && p.IntervalMs > 0 { // a term begins: spread (D-60)
			p.FirstMs = m.rnd.Int64N(p.IntervalMs)
		}
		m.probes[key] = true
		m.b.Probes = append(m.b.Probes, p)
	}
}

// retarget begins the checks of an instance anew whose address has changed: the agent may tell it only after the task runs.
func (m *Machine) retarget(i *core.Instance) {
	app, ok := m.app(i)
	if !ok {
		return
	}
	for n := range app.HealthChecks {
		delete(m.probes, probeKey{instance: i.ID, check: n})
	}
	for n := range app.ReadinessChecks {
		delete(m.probes, probeKey{instance: i.ID, check: n, readiness: true})
	}
	m.startHealthProbes(i)
	m.touch(i.Spec) // a running action asks for readiness
}

// recallHealth takes up what was last known of an instance: of the last term (D-45), or before its agent was out of
// reach. Unknown is not unhealthy: an upgrade would take it for the first to go.
func (m *Machine) recallHealth(i *core.Instance) {
	if alive, known := m.st.LastAlive(i.ID); known {
		m.seedHealth(i, alive)
	}
	m.seedExecutorHealth(i)
}

// stopProbes ends all probes of an instance and forgets its health, its last one too unless keep is set.
func (m *Machine) stopProbes(i *core.Instance, keep bool) {
	app, ok := m.app(i)
	if !ok {
		return
	}
	for n := range app.HealthChecks {
		m.stopProbe(probeKey{instance: i.ID, check: n})
	}
	for n := range app.ReadinessChecks {
		m.stopProbe(probeKey{instance: i.ID, check: n, readiness: true})
	}
	if len(app.HealthChecks) > 0 {
		m.st.PutHealth(i.ID, nil)
		if !keep {
			m.st.DropLastAlive(i.ID)
		}
	}
}

func (m *Machine) stopProbe(k probeKey) {
	if m.probes[k] {
		delete(m.probes, k)
		m.b.Probes = append(m.b.Probes, Probe{Stop: true, Readiness: k.readiness, Instance: k.instance, Check: k.check})
	}
}

// effective is the address and port of a port assignment (behaviour.md 6.7). Both are zero when not known.
func effective(app *core.App, i *core.Instance, index, fixed *int) (string, int) {
	if i.Agent == nil || len(i.Tasks) == 0 {
		return "", 0
	}
	host, t := i.Agent.Host, i.Tasks[0]
	ip := ""
	if len(t.IPs) > 0 {
		ip = t.IPs[0].Address
	}
	if len(app.Networks) > 0 && app.Networks[0].Mode == core.NetworkContainer {
		host = ip
	}
	if fixed != nil {
		return host, *fixed
	}
	n := 0
	if index != nil {
		n = *index
	}
	if n < len(t.HostPorts) && t.HostPorts[n] != 0 {
		return i.Agent.Host, t.HostPorts[n]
	}
	if !app.HostNetworking() && app.Container != nil && n < len(app.Container.PortMappings) {
		return ip, app.Container.PortMappings[n].ContainerPort
	}
	return host, 0
}

// seedHealth shows the health of the last term until the first probe of this one (D-45).
func (m *Machine) seedHealth(i *core.Instance, alive bool) {
	app, ok := m.app(i)
	if !ok || len(app.HealthChecks) == 0 || i.Condition != core.Running {
		return
	}
	b := &state.HealthBook{Results: make([]state.HealthResult, len(app.HealthChecks)), Seeded: true}
	for n := range b.Results {
		b.Results[n] = state.HealthResult{Reported: true, Alive: alive}
	}
	m.st.PutHealth(i.ID, b)
}

// seedExecutorHealth takes up what the last status said of the executor-run checks: a new term hears of them again only
// when they change (D-27, D-45).
func (m *Machine) seedExecutorHealth(i *core.Instance) {
	app, ok := m.app(i)
	if !ok || i.Tasks[0].Status == nil || i.Tasks[0].Status.Healthy == core.HealthUnknown {
		return
	}
	b := &state.HealthBook{Results: make([]state.HealthResult, len(app.HealthChecks)), Seeded: true}
	if old := m.st.Health(i.ID); old != nil {
		copy(b.Results, old.Results)
	}
	for n, hc := range app.HealthChecks {
		if !hc.ServerRun() {
			b.Results[n] = state.HealthResult{Reported: true, Alive: i.Tasks[0].Status.Healthy == core.Healthy}
		}
	}
	if len(app.HealthChecks) > 0 {
		m.st.PutHealth(i.ID, b)
	}
}

// healthReport takes in one probe result (behaviour.md 8.2, D-27).
func (m *Machine) healthReport(r HealthReport) {
	i, ok := m.st.Instance(r.Instance)
	if !ok || len(i.Tasks) == 0 || i.Tasks[0].ID != r.Task {
		return
	}
	app, ok := m.app(i)
	if !ok || r.Check >= len(app.HealthChecks) || r.Outcome == ProbeIgnored {
		return
	}
	m.healthResult(i, app, r.Check, r.Outcome == ProbeHealthy, r.Cause)
}

// healthResult books one result and does what it asks for.
func (m *Machine) healthResult(i *core.Instance, app *core.App, check int, healthy bool, cause string) {
	hc := app.HealthChecks[check]
	old := m.st.Health(i.ID)
	b := &state.HealthBook{Results: make([]state.HealthResult, len(app.HealthChecks))}
	if old != nil {
		copy(b.Results, old.Results)
		b.Seeded = old.Seeded
	}
	was := b.Results[check]
	r := was
	seeded := b.Seeded
	if seeded && was.LastSuccess == 0 && was.LastFailure == 0 {
		r = state.HealthResult{Alive: was.Alive}
	}
	switch {
	case healthy:
		if r.FirstSuccess == 0 {
			r.FirstSuccess = m.now
		}
		r.LastSuccess, r.ConsecutiveFailures, r.Alive = m.now, 0, true
	case i.Condition != core.Running:
		return
	case r.FirstSuccess == 0 && !(seeded && was.Alive) && m.now < i.ActiveSince.Add(ms(int64(hc.GracePeriodSeconds)*1000)):
		return
	default:
		m.notify("failed_health_check_event", i.Spec, core.HealthCheckFailed{AppID: i.Spec, TaskID: i.ID, HealthCheck: hc})
		r.LastFailure, r.LastFailureCause, r.Alive = m.now, cause, false
		r.ConsecutiveFailures++
	}
	r.Reported = true
	b.Results[check] = r
	before := old.Aggregate()
	m.st.PutHealth(i.ID, b)
	if was.Alive != r.Alive {
		m.notify("health_status_changed_event", i.Spec, core.HealthStatusChanged{AppID: i.Spec, InstanceID: i.ID, Version: i.Version, Alive: r.Alive})
	}
	if after := b.Aggregate(); after != before {
		if after == core.Healthy && before == core.HealthUnknown {
			m.mark(MarkHealthy, i.ActiveSince)
		}
		m.notify("instance_health_changed_event", i.Spec,
			core.InstanceHealthChanged{InstanceID: i.ID, RunSpecID: i.Spec, Healthy: after.Ptr(), RunSpecVersion: i.Version})
		m.touch(i.Spec)
	}
	if _, alive := b.Any(); hc.ServerRun() {
		m.st.SetLastAlive(i.ID, alive)
	}
	if n := hc.MaxConsecutiveFailures; !healthy && hc.ServerRun() && n > 0 && r.ConsecutiveFailures >= n && !m.termIsYoung(hc) {
		m.killUnhealthy(i, cmp.Or(was.LastFailureCause, cause))
	}
}

// termIsYoung: failures of the first interval of a term do not kill, they may be the server's own (D-45).
func (m *Machine) termIsYoung(hc core.HealthCheck) bool {
	return m.now < m.began.Add(ms(int64(hc.IntervalSeconds)*1000))
}

// killUnhealthy ends an instance whose check failed too often; it runs again (behaviour.md 8.4).
func (m *Machine) killUnhealthy(i *core.Instance, cause string) {
	if m.kills.pending(i.ID) {
		return
	}
	if cause == "" {
		cause = "unknown"
	}
	t := i.Tasks[0]
	ev := core.UnhealthyKill{AppID: i.Spec, TaskID: t.ID, InstanceID: i.ID, Version: i.Version, Reason: cause}
	f := &core.TaskFailure{AppID: i.Spec, Message: "Task was killed since health check failed. Reason: " + cause, State: "TASK_KILLED",
		TaskID: t.ID, Timestamp: m.now, Version: i.Version}
	if i.Agent != nil {
		ev.Host, ev.SlaveID, f.Host, f.SlaveID = i.Agent.Host, i.Agent.ID, i.Agent.Host, i.Agent.ID
	}
	m.notify("unhealthy_instance_kill_event", i.Spec, ev)
	m.st.PutFailure(f)
	m.killToRestart(i, "FailedHealthChecks")
}

// followHealth books what an executor-run check reported in a status: only transitions count (D-27).
func (m *Machine) followHealth(old, c *core.Instance, k int, u offers.StatusUpdate) {
	if u.Healthy == core.HealthUnknown || c.Condition != core.Running {
		return
	}
	if s := old.Tasks[k].Status; s != nil && s.Healthy == u.Healthy && old.Condition == core.Running {
		return
	}
	app, ok := m.app(c)
	if !ok { // of a pod statusNotices tells
		return
	}
	for n, hc := range app.HealthChecks {
		if !hc.ServerRun() {
			m.healthResult(c, app, n, u.Healthy == core.Healthy, u.Message)
		}
	}
}

// announceChecks publishes the checks of the versions that a step brings in (behaviour.md 8.3).
func (m *Machine) announceChecks(d *core.Deployment) {
	for _, a := range d.CurrentActions() {
		if a.Kind == core.ActionStop || touchedBefore(d, a.Spec) {
			continue
		}
		s, ok := m.st.SpecAt(a.Spec, a.Version)
		if !ok {
			continue
		}
		if app, ok := s.(*core.App); ok {
			for _, hc := range app.HealthChecks {
				m.notify("add_health_check_event", a.Spec, core.HealthCheckAdded{AppID: a.Spec, HealthCheck: hc, Version: a.Version})
			}
		}
	}
}

// touchedBefore: an earlier step of the deployment touched the spec already.
func touchedBefore(d *core.Deployment, id core.PathID) bool {
	for _, s := range d.Steps[:d.Current-1] {
		for _, a := range s.Actions {
			if a.Spec == id {
				return true
			}
		}
	}
	return false
}
