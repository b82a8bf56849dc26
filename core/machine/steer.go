package machine

import (
	"fmt"

	"stadion/core"
	"stadion/deployments"
)

// steer pauses, resumes or promotes a deployment (extension; state rides in the deployment's record).
func (m *Machine) steer(id uint64, c SteerDeployment) {
	d, ok := m.st.Deployment(c.ID)
	if !ok {
		m.reply(id, nil, &core.Error{Kind: core.NotFound, Message: "DeploymentPlan " + c.ID + " does not exist", Direct: true})
		return
	}
	n := *d
	r := core.Rollout{}
	if d.Settings != nil {
		r = *d.Settings
	}
	switch c.Action {
	case "pause":
		r.Paused = true
	case "resume":
		r.Paused = false
	case "promote":
		r.Paused, r.Promoted = false, d.Current
	default:
		m.reply(id, nil, &core.Error{Kind: core.Invalid, Message: fmt.Sprintf("unknown action %q of a deployment", c.Action)})
		return
	}
	n.Settings = &r
	m.st.PutDeployment(&n)
	if was, shown := m.st.Stall(d.ID); shown && !r.Paused && was.WaitingFor == string(deployments.ForResume) {
		m.st.DropStall(d.ID)
	}
	m.touchActions(&n)
	m.reply(id, nil, nil)
}
