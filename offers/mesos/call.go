package mesos

import (
	"fmt"
	"sort"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	scheduler "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	"stadion/core"
	"stadion/offers"
)

// encode makes the body of a call. UpdateFramework needs more than the call and is made by encodeUpdate.
func (e *encoder) encode(c offers.Call) ([]byte, error) {
	out := scheduler.Call{FrameworkID: &mesos.FrameworkID{Value: e.frameworkID}}
	switch c := c.(type) {
	case offers.Accept:
		accept, err := e.accept(&c)
		if err != nil {
			return nil, err
		}
		out.Type, out.Accept = scheduler.Call_ACCEPT, accept
	case offers.Decline:
		out.Type, out.Decline = scheduler.Call_DECLINE, &scheduler.Call_Decline{OfferIDs: offerIDs(c.OfferIDs)}
		if c.RefuseSeconds != nil {
			out.Decline.Filters = &mesos.Filters{RefuseSeconds: c.RefuseSeconds}
		}
	case offers.Kill:
		out.Type = scheduler.Call_KILL
		out.Kill = &scheduler.Call_Kill{TaskID: mesos.TaskID{Value: string(c.TaskID)}, AgentID: optionalAgent(c.AgentID)}
		if c.GraceMillis != nil {
			out.Kill.KillPolicy = &mesos.KillPolicy{GracePeriod: millis(*c.GraceMillis)}
		}
	case offers.Acknowledge:
		return appendAck(nil, ackPrefix(e.frameworkID), &c), nil
	case offers.Reconcile:
		out.Type, out.Reconcile = scheduler.Call_RECONCILE, &scheduler.Call_Reconcile{}
		for _, t := range c.Tasks {
			out.Reconcile.Tasks = append(out.Reconcile.Tasks, scheduler.Call_Reconcile_Task{
				TaskID: mesos.TaskID{Value: string(t.TaskID)}, AgentID: optionalAgent(t.AgentID),
			})
		}
	case offers.Revive:
		out.Type, out.Revive = scheduler.Call_REVIVE, &scheduler.Call_Revive{Roles: c.Roles}
	case offers.Suppress:
		out.Type, out.Suppress = scheduler.Call_SUPPRESS, &scheduler.Call_Suppress{Roles: c.Roles}
	case offers.AcceptInverse:
		out.Type = scheduler.Call_ACCEPT_INVERSE_OFFERS
		out.AcceptInverseOffers = &scheduler.Call_AcceptInverseOffers{InverseOfferIDs: offerIDs(c.IDs)}
	case offers.DeclineInverse:
		out.Type = scheduler.Call_DECLINE_INVERSE_OFFERS
		out.DeclineInverseOffers = &scheduler.Call_DeclineInverseOffers{InverseOfferIDs: offerIDs(c.IDs)}
	default:
		return nil, fmt.Errorf("no call to Mesos: %T", c)
	}
	body, err := out.Marshal()
	if err != nil || !e.csi {
		return body, err
	}
	e.csi = false
	return placeCSI(body)
}

func offerIDs(ids []string) []mesos.OfferID {
	out := make([]mesos.OfferID, len(ids))
	for i, id := range ids {
		out[i] = mesos.OfferID{Value: id}
	}
	return out
}

func optionalAgent(id string) *mesos.AgentID {
	if id == "" {
		return nil
	}
	return &mesos.AgentID{Value: id}
}

func (e *encoder) accept(a *offers.Accept) (*scheduler.Call_Accept, error) {
	out := &scheduler.Call_Accept{
		OfferIDs:   offerIDs(a.OfferIDs),
		Operations: make([]mesos.Offer_Operation, len(a.Operations)),
		Filters:    &mesos.Filters{RefuseSeconds: &a.RefuseSeconds},
	}
	for i := range a.Operations {
		op, err := e.operation(&a.Operations[i])
		if err != nil {
			return nil, fmt.Errorf("operation %d: %w", i, err)
		}
		out.Operations[i] = op
	}
	return out, nil
}

func (e *encoder) operation(o *offers.Operation) (op mesos.Offer_Operation, err error) {
	var list []mesos.Resource
	switch {
	case o.Launch != nil:
		task, err := e.task(o.Launch)
		if err != nil {
			return op, fmt.Errorf("task %s: %w", o.Launch.TaskID, err)
		}
		op.Type, op.Launch = mesos.Offer_Operation_LAUNCH, &mesos.Offer_Operation_Launch{TaskInfos: []mesos.TaskInfo{task}}
	case o.LaunchGroup != nil:
		group, err := e.group(o.LaunchGroup)
		if err != nil {
			return op, err
		}
		op.Type, op.LaunchGroup = mesos.Offer_Operation_LAUNCH_GROUP, group
	case o.Reserve != nil:
		list, err = toResources(o.Reserve, e.refinement)
		op.Type, op.Reserve = mesos.Offer_Operation_RESERVE, &mesos.Offer_Operation_Reserve{Resources: list}
	case o.Unreserve != nil:
		list, err = toResources(o.Unreserve, e.refinement)
		op.Type, op.Unreserve = mesos.Offer_Operation_UNRESERVE, &mesos.Offer_Operation_Unreserve{Resources: list}
	case o.Create != nil:
		list, err = toResources(o.Create, e.refinement)
		op.Type, op.Create = mesos.Offer_Operation_CREATE, &mesos.Offer_Operation_Create{Volumes: list}
	case o.Destroy != nil:
		list, err = toResources(o.Destroy, e.refinement)
		op.Type, op.Destroy = mesos.Offer_Operation_DESTROY, &mesos.Offer_Operation_Destroy{Volumes: list}
	default:
		return op, fmt.Errorf("it is empty")
	}
	return op, err
}

func (e *encoder) group(g *offers.TaskGroup) (*mesos.Offer_Operation_LaunchGroup, error) {
	executor, err := e.executor(&g.Executor)
	if err != nil {
		return nil, fmt.Errorf("executor %s: %w", g.Executor.ID, err)
	}
	out := &mesos.Offer_Operation_LaunchGroup{Executor: *executor}
	for i := range g.Tasks {
		task, err := e.task(&g.Tasks[i])
		if err != nil {
			return nil, fmt.Errorf("task %s: %w", g.Tasks[i].TaskID, err)
		}
		out.TaskGroup.Tasks = append(out.TaskGroup.Tasks, task)
	}
	return out, nil
}

// launched lists the tasks that a call launches, as statuses of tasks that were not launched.
func launched(a *offers.Accept, state, reason, message string, now core.Timestamp) []offers.Event {
	var out []offers.Event
	add := func(t *offers.TaskInfo, executor string) {
		out = append(out, offers.StatusUpdate{
			TaskID: core.TaskID(t.TaskID), AgentID: t.AgentID, State: state, Source: "MASTER", Reason: reason,
			Message: message, Timestamp: now, ExecutorID: executor,
		})
	}
	for i := range a.Operations {
		if t := a.Operations[i].Launch; t != nil {
			add(t, "")
		}
		if g := a.Operations[i].LaunchGroup; g != nil {
			for j := range g.Tasks {
				add(&g.Tasks[j], g.Executor.ID)
			}
		}
	}
	return out
}

// identity is what the framework is called and which roles it wants, for SUBSCRIBE and UPDATE_FRAMEWORK.
type identity struct {
	id         string
	roles      []string
	suppressed []string
}

// quiet are the suppressed roles among the wanted ones: others make the master refuse the whole call.
func (who *identity) quiet() []string {
	return filter(who.suppressed, func(r string) bool { return contains(who.roles, r) })
}

func (c *Config) frameworkInfo(who identity) *mesos.FrameworkInfo {
	f := &c.Framework
	out := &mesos.FrameworkInfo{
		User: f.User, Name: f.Name, FailoverTimeout: &f.FailoverTimeout, Checkpoint: flag(f.Checkpoint),
		Hostname: optional(f.Hostname), Principal: optional(f.Principal), WebUiURL: optional(f.WebUIURL),
	}
	if who.id != "" {
		out.ID = &mesos.FrameworkID{Value: who.id}
	}
	if c.capable("MULTI_ROLE") {
		out.Roles = who.roles
	} else if len(who.roles) > 0 {
		out.Role = text(who.roles[0])
	}
	for _, name := range f.Capabilities {
		kind := mesos.FrameworkInfo_Capability_Type(mesos.FrameworkInfo_Capability_Type_value[name])
		out.Capabilities = append(out.Capabilities, mesos.FrameworkInfo_Capability{Type: kind})
	}
	if len(f.Labels) > 0 {
		list := make([]offers.Label, 0, len(f.Labels))
		for k, v := range f.Labels {
			list = append(list, offers.Label{Key: k, Value: v})
		}
		sort.Slice(list, func(i, j int) bool { return list[i].Key < list[j].Key })
		out.Labels = toLabels(list)
	}
	return out
}

func (c *Config) encodeSubscribe(who identity) ([]byte, error) {
	info := c.frameworkInfo(who)
	call := scheduler.Call{
		Type: scheduler.Call_SUBSCRIBE, FrameworkID: info.ID,
		Subscribe: &scheduler.Call_Subscribe{FrameworkInfo: info, SuppressedRoles: who.quiet()},
	}
	return call.Marshal()
}

func (c *Config) encodeUpdate(who identity) ([]byte, error) {
	info := c.frameworkInfo(who)
	call := scheduler.Call{
		Type: scheduler.Call_UPDATE_FRAMEWORK, FrameworkID: info.ID,
		UpdateFramework: &scheduler.Call_UpdateFramework{FrameworkInfo: *info, SuppressedRoles: who.quiet()},
	}
	return call.Marshal()
}

func encodeTeardown(id string) ([]byte, error) {
	call := scheduler.Call{Type: scheduler.Call_TEARDOWN, FrameworkID: &mesos.FrameworkID{Value: id}}
	return call.Marshal()
}
