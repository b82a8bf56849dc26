package machine

import (
	"strconv"

	"stadion/core"
)

// Labels of a spec that steer its deployments (extension; all off by default).
const (
	LabelCanary   = "STADION_CANARY"                      // new instances after which a rolling upgrade waits for promotion
	LabelDeadline = "STADION_DEPLOYMENT_DEADLINE_SECONDS" // a deployment that runs longer is taken back
	LabelFailures = "STADION_ROLLBACK_ON_FAILURES"        // so many failures of new instances take the deployment back
)

// rollout are the settings of a spec's deployments; zero means off.
type rollout struct {
	canary   int
	deadline int // seconds
	failures int
}

// rolloutOf reads the settings of a spec; what is no positive number is off.
func rolloutOf(spec core.RunSpec) rollout {
	labels := spec.SpecLabels()
	if len(labels) == 0 {
		return rollout{}
	}
	number := func(name string) int {
		text, set := labels[name]
		if !set {
			return 0
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			return 0
		}
		return max(0, n)
	}
	return rollout{number(LabelCanary), number(LabelDeadline), number(LabelFailures)}
}

// holdOf is the number of new instances at which a deployment stops until it is promoted, 0 for none.
func holdOf(d *core.Deployment, spec core.RunSpec) int {
	if d == nil || d.Settings != nil && (d.Settings.Revert || d.Settings.Promoted >= d.Current) {
		return 0
	}
	return rolloutOf(spec).canary
}

// reverts tells whether a deployment takes back another one; nothing takes that back by itself.
func reverts(d *core.Deployment) bool { return d.Settings != nil && d.Settings.Revert }

// armDeadline sets the timer of the earliest deadline that a spec of the deployment sets.
func (m *Machine) armDeadline(d *core.Deployment) {
	if reverts(d) {
		return
	}
	for _, a := range d.AffectedSpecs() {
		if s, ok := m.st.SpecAt(a.Spec, a.Version); ok {
			if n := rolloutOf(s).deadline; n > 0 {
				m.timers.ensure(timerDeadline, d.ID, d.StartedAt.Add(ms(int64(n)*1000)))
			}
		}
	}
}

// deadlinePassed takes back a deployment that ran too long.
func (m *Machine) deadlinePassed(id string) {
	if d, ok := m.st.Deployment(id); ok {
		m.takeBack(d, "its deadline has passed")
	}
}

// countFailure counts the failure of an instance of the version that a deployment brings in, and takes the deployment
// back at the number that the spec's label names.
func (m *Machine) countFailure(c *core.Instance) {
	if !c.Condition.IncreasesBackoff() {
		return
	}
	d, ok := m.st.DeploymentOf(c.Spec)
	if !ok || reverts(d) {
		return
	}
	spec, ok := m.st.Spec(c.Spec)
	if !ok || c.Version < spec.Stamps().LastConfigChangeAt {
		return
	}
	limit := rolloutOf(spec).failures
	if limit == 0 {
		return
	}
	n := *d
	r := core.Rollout{}
	if d.Settings != nil {
		r = *d.Settings
	}
	r.Failures++
	n.Settings = &r
	m.st.PutDeployment(&n)
	if r.Failures >= limit {
		m.takeBack(&n, strconv.Itoa(r.Failures)+" new instances failed")
	}
}

// takeBack reverts a deployment as a client could (behaviour.md 2.5).
func (m *Machine) takeBack(d *core.Deployment, why string) {
	if _, err := m.revert(d); err != nil {
		m.log(true, "", "deployment %s cannot be taken back, although %s: %v", d.ID, why, err)
		return
	}
	m.log(true, "", "deployment %s is taken back: %s", d.ID, why)
}
