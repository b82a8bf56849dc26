package machine

import (
	"fmt"

	"stadion/core"
	"stadion/deployments"
)

const cancelledReason = "The upgrade has been cancelled"

// updateTree answers a change of the tree (behaviour.md 1.5).
func (m *Machine) updateTree(id uint64, c UpdateTree) {
	ch := c.Change
	if c.Base != m.st.RootStamp() && c.Rebase != nil {
		fresh, err := c.Rebase(&m.st.View)
		if err != nil {
			m.reply(id, nil, err)
			return
		}
		ch = fresh
	}
	res, err := m.apply(ch, c.Origin)
	m.reply(id, res, err)
}

// apply makes a change of the tree: all of it in one batch, or nothing (D-21).
func (m *Machine) apply(ch core.Change, origin *Origin) (UpdateResult, error) {
	stamp := max(m.now, m.st.RootStamp()+1) // D-20
	groupID := ch.GroupID
	if groupID == "" {
		groupID = core.Root
	}
	u, err := deployments.Prepare(&m.st.View, ch, stamp, m.cfg.Plan)
	if err != nil {
		m.notify("group_change_failed", "", core.GroupChanged{GroupID: groupID, Version: stamp, Reason: err.Error()})
		return UpdateResult{}, err
	}
	deployments.Repair(u, m.st.InstancesOf)
	d := &core.Deployment{ID: m.uuid(), Version: stamp, Steps: u.Steps, Specs: u.Changes, Groups: u.GroupChanges,
		Sentenced: ch.Sentenced, StartedAt: m.now}
	if ch.Rollback {
		d.Settings = &core.Rollout{Revert: true}
	}
	conflicts := deployments.Conflicts(u.Steps, m.st.DeploymentOf)
	if err := m.admit(ch, d, conflicts); err != nil {
		m.notify("group_change_failed", "", core.GroupChanged{GroupID: groupID, Version: stamp, Reason: err.Error()})
		return UpdateResult{}, err
	}
	for _, other := range conflicts {
		m.abandon(other)
	}
	created := len(ch.Put)+len(ch.PutGroups) > 0
	for _, c := range u.Changes {
		created = created && c.From == 0
	}
	m.storeTree(u, ch.Kept)
	m.publishOrigin(origin, u)
	m.notify("group_change_success", "", core.GroupChanged{GroupID: groupID, Version: stamp})
	if ch.NoPlan {
		return UpdateResult{Version: stamp}, nil
	}
	m.launchPlan(d)
	return UpdateResult{Version: stamp, Deployment: d.ID, Created: created && len(u.Changes)+len(u.GroupChanges) > 0}, nil
}

// admit checks the number of running deployments and the locks (behaviour.md 1.5.1, 2.4, D-29).
func (m *Machine) admit(ch core.Change, d *core.Deployment, conflicts []string) error {
	force := ch.Force || ch.Rollback
	running := m.st.DeploymentCount()
	if force {
		running -= len(conflicts)
	}
	if limit := m.cfg.MaxRunningDeployments; !ch.Rollback && running >= limit && !ch.NoPlan {
		return &core.Error{Kind: core.LimitReached, Message: fmt.Sprintf("Max number (%d) of running deployments is achieved. "+
			"Wait for existing deployments to complete or cancel oneusing force=true parameter. You can increase max deployment number "+
			"by using --max_running_deployments parameter but be advised that this can have negative effects on the performance.", limit)}
	}
	if len(conflicts) > 0 && !force {
		err := &core.Error{Kind: core.Locked, Message: core.LockedMessage, Deployments: conflicts}
		m.deploymentNotice("deployment_failed", d, core.DeploymentEnd{ID: d.ID, Plan: core.PlanOf(d), Reason: err.Message})
		return err
	}
	return nil
}

// storeTree writes the stamped versions, groups and the new root; of a change of nothing the root alone, if it is to be
// kept.
func (m *Machine) storeTree(u *deployments.Update, keep bool) {
	if !keep && len(u.Specs)+len(u.Removed)+len(u.Groups)+len(u.RemovedGroups) == 0 {
		return
	}
	for _, s := range u.Specs {
		m.st.PutSpec(s)
		m.market.know(s.SpecRole())
		m.touch(s.SpecID())
	}
	for _, id := range u.Removed {
		m.st.RemoveSpec(id)
		m.touch(id)
	}
	for i := range u.Groups {
		m.st.PutGroup(&u.Groups[i])
	}
	for _, id := range u.RemovedGroups {
		m.st.RemoveGroup(id)
	}
	m.st.SetRoot(&core.RootVersion{Version: u.Stamp, Specs: u.Changes, Groups: u.GroupChanges})
	m.writes++
	if m.writes >= retainAfterWrites {
		m.timers.ensure(timerSweep, "", m.now)
	}
}

func (m *Machine) publishOrigin(o *Origin, u *deployments.Update) {
	if o == nil {
		return
	}
	if o.Event != "api_post_event" {
		m.notify(o.Event, o.App, core.PodChange{ClientIP: o.ClientIP, URI: o.URI})
		return
	}
	if app, ok := u.Target.Spec(o.App); ok {
		m.notify(o.Event, o.App, core.APIPost{ClientIP: o.ClientIP, URI: o.URI, AppDefinition: app})
	}
}

// launchPlan stores a plan and begins its first step; an empty plan succeeds at once (behaviour.md 2.6.5).
func (m *Machine) launchPlan(d *core.Deployment) {
	if len(d.Steps) == 0 {
		m.deploymentNotice("deployment_success", d, core.DeploymentEnd{ID: d.ID, Plan: core.PlanOf(d)})
		return
	}
	m.beginStep(d, 1)
	m.armDeadline(d)
}

// abandon ends a deployment without a new one: goals already set stay as they are (behaviour.md 2.4).
func (m *Machine) abandon(id string) {
	d, ok := m.st.Deployment(id)
	if !ok {
		return
	}
	m.st.RemoveDeployment(id)
	m.forgetDeployment(d)
	m.deploymentNotice("deployment_failed", d, core.DeploymentEnd{ID: d.ID, Plan: core.PlanOf(d), Reason: cancelledReason})
	for _, a := range d.AffectedSpecs() {
		m.stopReadiness(a.Spec)
		m.touch(a.Spec)
		m.reportHalfDone(a.Spec)
	}
}

// reportHalfDone warns about instances of an older configuration that no deployment will replace (D-58).
func (m *Machine) reportHalfDone(id core.PathID) {
	spec, ok := m.st.Spec(id)
	if !ok {
		return
	}
	if old := deployments.Outdated(spec, m.st.InstancesOf(id)); old > 0 {
		m.log(true, id, "%d instances keep an outdated configuration until the next deployment of %s", old, id)
	}
}

// cancelDeployment reverts a deployment or, forced, only stops it (behaviour.md 2.5).
func (m *Machine) cancelDeployment(id uint64, c CancelDeployment) {
	d, ok := m.st.Deployment(c.ID)
	if !ok {
		m.reply(id, nil, &core.Error{Kind: core.NotFound, Message: "DeploymentPlan " + c.ID + " does not exist", Direct: true})
		return
	}
	if c.Force {
		m.abandon(c.ID)
		m.reply(id, UpdateResult{}, nil)
		return
	}
	res, err := m.revert(d)
	m.reply(id, res, err)
}

// revert takes a deployment back by a forced one (behaviour.md 2.5).
func (m *Machine) revert(d *core.Deployment) (UpdateResult, error) {
	ch, err := deployments.Revert(d, &m.st.View)
	if err != nil {
		return UpdateResult{}, err
	}
	ch.Rollback, ch.Force = true, true
	res, err := m.apply(ch, nil)
	if err != nil {
		return UpdateResult{}, err
	}
	m.abandon(d.ID) // where the new one did not conflict with it
	return res, nil
}

func (m *Machine) deploymentNotice(kind string, d *core.Deployment, body any) {
	m.b.Notices = append(m.b.Notices, core.Notice{Type: kind, At: m.now, Body: body, Deployment: d.ID})
}
