package marathonapi

import (
	"bytes"
	"strings"

	"stadion/core"
	"stadion/core/state"
)

// taskForm says how a task is shown.
type taskForm struct {
	spec         core.RunSpec
	servicePorts bool // only in GET /v2/tasks (http-api.md 5.1)
	allChecks    bool // show checks without result too (behaviour.md 8.6: single lookups)
	tails        *fragments[core.Instance]
}

// listed reports whether the tasks of an instance are shown: it was launched, is not waiting to be launched again and
// not forgotten.
func listed(i *core.Instance) bool {
	return len(i.Tasks) > 0 && i.Agent != nil && !i.Scheduled() && !i.Erased()
}

// tasksOf encodes the tasks of an instance that are shown.
func (e *encoder) tasksOf(snap *state.Snapshot, i *core.Instance, first *bool, f taskForm) {
	if !listed(i) {
		return
	}
	for n := range i.Tasks {
		e.comma(first)
		e.task(snap, i, &i.Tasks[n], f)
	}
}

// task encodes one task, fields in the order of http-api.md 5.1.
func (e *encoder) task(snap *state.Snapshot, i *core.Instance, t *core.Task, f taskForm) {
	e.field(`{"appId":`, string(i.Spec))
	e.raw(`,"healthCheckResults":[`)
	e.healthResults(snap.Health(i.ID), i, f)
	e.raw("]")
	if f.tails != nil && len(i.Tasks) == 1 && !f.servicePorts {
		tail, err := f.tails.of(i)
		if err != nil {
			e.err = err
		}
		e.b = append(e.b, tail...)
		return
	}
	e.taskTail(i, t, f)
}

// taskTail encodes the only task of an instance behind its health results: all that changes only with the instance.
func taskTail(i *core.Instance) ([]byte, error) {
	var e encoder
	e.taskTail(i, &i.Tasks[0], taskForm{})
	return bytes.Clone(e.b), e.err
}

func (e *encoder) taskTail(i *core.Instance, t *core.Task, f taskForm) {
	if t.Status != nil && t.Status.Check != nil {
		e.checkResult(t.Status.Check)
	}
	if i.Agent != nil && i.Agent.Host != "" {
		e.field(`,"host":`, i.Agent.Host)
	}
	e.field(`,"id":`, string(t.ID))
	e.raw(`,"ipAddresses":[`)
	for n, a := range t.IPs {
		e.raw([]string{"", ","}[min(n, 1)])
		e.field(`{"ipAddress":`, a.Address)
		e.field(`,"protocol":`, a.Protocol)
		e.raw("}")
	}
	active := i.Condition.Active()
	e.raw(`],"ports":[`)
	if active {
		e.ports(t.HostPorts)
	}
	e.raw(`],"servicePorts":[`)
	if a, ok := f.spec.(*core.App); ok && f.servicePorts {
		e.numbers(a.ServicePorts())
	}
	e.raw("]")
	if i.Agent != nil && i.Agent.ID != "" {
		e.field(`,"slaveId":`, i.Agent.ID)
	}
	e.field(`,"state":`, taskState(t))
	if active {
		if t.StagedAt != 0 {
			e.raw(`,"stagedAt":`)
			e.stamp(t.StagedAt)
		}
		if t.StartedAt != 0 {
			e.raw(`,"startedAt":`)
			e.stamp(t.StartedAt)
		}
		e.raw(`,"version":`)
		e.stamp(i.Version)
	}
	e.localVolumes(i)
	e.place(i.Agent)
	e.field(`,"role":`, i.Role)
	e.raw("}")
}

// taskState is the Mesos name of the task's condition; TASK_STAGING before the first status.
func taskState(t *core.Task) string {
	if t.Status == nil && !t.Condition.Terminal() && t.Condition != core.Killing {
		return "TASK_STAGING"
	}
	return t.Condition.TaskState()
}

func (e *encoder) place(a *core.AgentInfo) {
	if a == nil {
		return
	}
	if a.Region != "" {
		e.field(`,"region":`, a.Region)
	}
	if a.Zone != "" {
		e.field(`,"zone":`, a.Zone)
	}
}

func (e *encoder) numbers(list []int) {
	for n, p := range list {
		if n > 0 {
			e.raw(",")
		}
		e.number(p)
	}
}

// ports encodes host ports; slots without one are left out.
func (e *encoder) ports(list []int) {
	first := true
	for _, p := range list {
		if p != 0 {
			e.comma(&first)
			e.number(p)
		}
	}
}

func (e *encoder) localVolumes(i *core.Instance) {
	e.raw(`,"localVolumes":[`)
	if i.Reservation != nil {
		first := true
		for _, v := range i.Reservation.Volumes {
			e.comma(&first)
			e.field(`{"runSpecId":`, string(i.Spec))
			e.field(`,"containerPath":`, v.ContainerPath)
			e.field(`,"uuid":`, v.ID[strings.LastIndexByte(v.ID, '#')+1:])
			e.field(`,"persistenceId":`, v.ID)
			e.raw("}")
		}
	}
	e.raw("]")
}

// healthResults encodes the results in order of the checks. Listings leave out checks that have not reported.
func (e *encoder) healthResults(book *state.HealthBook, i *core.Instance, f taskForm) {
	first := true
	if book == nil {
		a, ok := f.spec.(*core.App)
		if !ok || !f.allChecks {
			return
		}
		for range a.HealthChecks {
			e.comma(&first)
			e.healthResult(&state.HealthResult{}, i)
		}
		return
	}
	for n := range book.Results {
		if r := &book.Results[n]; r.Reported || f.allChecks {
			e.comma(&first)
			e.healthResult(r, i)
		}
	}
}

func (e *encoder) healthResult(r *state.HealthResult, i *core.Instance) {
	e.raw(`{"alive":`)
	e.raw(map[bool]string{true: "true", false: "false"}[r.Alive])
	e.count(`,"consecutiveFailures":`, r.ConsecutiveFailures)
	if r.FirstSuccess != 0 {
		e.raw(`,"firstSuccess":`)
		e.stamp(r.FirstSuccess)
	}
	if r.LastFailure != 0 {
		e.raw(`,"lastFailure":`)
		e.stamp(r.LastFailure)
	}
	if r.LastFailureCause != "" {
		e.field(`,"lastFailureCause":`, r.LastFailureCause)
	}
	e.raw(`,"instanceId":"instance [`)
	e.raw(string(i.ID)) // of letters that JSON leaves alone (behaviour.md 6.1)
	e.raw(`]"`)
	if r.LastSuccess != 0 {
		e.raw(`,"lastSuccess":`)
		e.stamp(r.LastSuccess)
	}
	e.raw("}")
}

func (e *encoder) checkResult(c *core.CheckResult) {
	e.raw(`,"checkResult":`)
	switch {
	case c.StatusCode != nil:
		e.count(`{"http":{"statusCode":`, *c.StatusCode)
		e.raw("}}")
	case c.Succeeded != nil:
		e.raw(`{"tcp":{"succeeded":`)
		e.json(*c.Succeeded)
		e.raw("}}")
	case c.ExitCode != nil:
		e.count(`{"command":{"exitCode":`, *c.ExitCode)
		e.raw("}}")
	default:
		e.raw("{}")
	}
}
