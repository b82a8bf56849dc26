package store

import (
	"fmt"
	"strings"

	"stadion/core"
)

// instanceVersion is the version of the stored form of instances.
const instanceVersion = 1

// instanceRow is the stored form of an instance that is not packed (packed.go). Not stored is what the key says (id and
// spec) and what follows from other fields: task ids of the usual form, a task condition equal to the instance's. Stamps
// are milliseconds since 1970 for Since and the spec version, and milliseconds relative to Since for all others.
type instanceRow struct {
	V        int             `json:"v"`
	Version  int64           `json:"ver"`
	Since    int64           `json:"at"`
	Pod      bool            `json:"pod,omitempty"`
	Role     string          `json:"role,omitempty"`
	Goal     string          `json:"goal,omitempty"` // Running is left out
	Cond     string          `json:"cond"`
	Active   *int64          `json:"act,omitempty"`
	Queued   *int64          `json:"que,omitempty"`
	Healthy  core.Health     `json:"hl,omitempty"`
	Inc      int             `json:"inc,omitempty"`
	Agent    *agentRow       `json:"ag,omitempty"`
	Tasks    []taskRow       `json:"ts,omitempty"`
	Reserved *reservationRow `json:"res,omitempty"`
	Why      string          `json:"why,omitempty"`
}

type agentRow struct {
	Host   string      `json:"h,omitempty"`
	ID     string      `json:"id,omitempty"`
	Region string      `json:"r,omitempty"`
	Zone   string      `json:"z,omitempty"`
	Attrs  [][2]string `json:"a,omitempty"`
}

type taskRow struct {
	ID        string           `json:"id,omitempty"` // only when it is not <instance>.<container>.<number>
	Number    int              `json:"n,omitempty"`
	Container string           `json:"c,omitempty"` // left out for apps
	Cond      string           `json:"cond,omitempty"`
	Staged    *int64           `json:"sta,omitempty"`
	Started   *int64           `json:"run,omitempty"`
	Status    *statusRow       `json:"st,omitempty"`
	Ports     []int            `json:"p,omitempty"`
	IPs       []core.IPAddress `json:"ip,omitempty"`
}

type statusRow struct {
	State       string            `json:"s"` // without TASK_
	Reason      string            `json:"why,omitempty"`
	Message     string            `json:"msg,omitempty"`
	At          *int64            `json:"at,omitempty"`
	Healthy     core.Health       `json:"hl,omitempty"`
	Check       *core.CheckResult `json:"chk,omitempty"`
	Unreachable *int64            `json:"un,omitempty"`
}

type reservationRow struct {
	ID        string      `json:"id"`
	Volumes   [][2]string `json:"vol,omitempty"` // persistence id, container path
	New       bool        `json:"new,omitempty"`
	Deadline  *int64      `json:"dl,omitempty"`
	Principal string      `json:"pr,omitempty"`
	Framework string      `json:"fw,omitempty"`
}

// rel makes a stamp relative to a base; an unset stamp is nil.
func rel(t, base core.Timestamp) *int64 {
	if t == 0 {
		return nil
	}
	d := int64(t - base)
	return &d
}

func abs(d *int64, base core.Timestamp) core.Timestamp {
	if d == nil {
		return 0
	}
	return base + core.Timestamp(*d)
}

func instanceToRow(i *core.Instance) instanceRow {
	r := instanceRow{V: instanceVersion, Version: int64(i.Version), Since: int64(i.Since), Pod: i.Pod, Role: i.Role,
		Cond: i.Condition.String(), Active: rel(i.ActiveSince, i.Since), Queued: rel(i.QueuedAt, i.Since),
		Healthy: i.Healthy, Inc: i.Incarnation, Why: i.KillReason}
	if i.Goal != core.GoalRunning {
		r.Goal = i.Goal.String()
	}
	if a := i.Agent; a != nil {
		r.Agent = &agentRow{Host: a.Host, ID: a.ID, Region: a.Region, Zone: a.Zone}
		for _, x := range a.Attributes {
			r.Agent.Attrs = append(r.Agent.Attrs, [2]string{x.Name, x.Value})
		}
	}
	for n := range i.Tasks {
		r.Tasks = append(r.Tasks, taskToRow(i, &i.Tasks[n]))
	}
	if v := i.Reservation; v != nil {
		r.Reserved = &reservationRow{ID: v.ID, New: v.New, Deadline: rel(v.Deadline, i.Since), Principal: v.Principal, Framework: v.Framework}
		for _, x := range v.Volumes {
			r.Reserved.Volumes = append(r.Reserved.Volumes, [2]string{x.ID, x.ContainerPath})
		}
	}
	return r
}

func taskToRow(i *core.Instance, t *core.Task) taskRow {
	r := taskRow{Staged: rel(t.StagedAt, i.Since), Started: rel(t.StartedAt, i.Since), Ports: t.HostPorts, IPs: t.IPs}
	if t.Container != core.AppContainer {
		r.Container = t.Container
	}
	r.Number = taskNumber(i.ID, t)
	if r.Number == 0 {
		r.ID = string(t.ID)
	}
	if t.Condition != i.Condition {
		r.Cond = t.Condition.String()
	}
	if s := t.Status; s != nil {
		r.Status = &statusRow{State: strings.TrimPrefix(s.State, "TASK_"), Reason: s.Reason, Message: s.Message,
			At: rel(s.At, i.Since), Healthy: s.Healthy, Check: s.Check, Unreachable: rel(s.UnreachableSince, i.Since)}
	}
	return r
}

// instance is the reverse of instanceToRow.
func (r *instanceRow) instance(id core.InstanceID) (*core.Instance, error) {
	if r.V < 1 || r.V > instanceVersion {
		return nil, fmt.Errorf("stored form %d is not known", r.V)
	}
	since := core.Timestamp(r.Since)
	i := &core.Instance{ID: id, Spec: id.Spec(), Pod: r.Pod, Version: core.Timestamp(r.Version), Role: r.Role, Since: since,
		ActiveSince: abs(r.Active, since), QueuedAt: abs(r.Queued, since), Healthy: r.Healthy, Incarnation: r.Inc, KillReason: r.Why}
	if i.Spec == "" {
		return nil, fmt.Errorf("%q is no instance id", id)
	}
	var ok bool
	if i.Condition, ok = core.ParseCondition(r.Cond); !ok {
		return nil, fmt.Errorf("condition %q is not known", r.Cond)
	}
	if r.Goal != "" {
		if i.Goal, ok = core.ParseGoal(r.Goal); !ok {
			return nil, fmt.Errorf("goal %q is not known", r.Goal)
		}
	}
	if a := r.Agent; a != nil {
		i.Agent = &core.AgentInfo{Host: a.Host, ID: a.ID, Region: a.Region, Zone: a.Zone}
		for _, x := range a.Attrs {
			i.Agent.Attributes = append(i.Agent.Attributes, core.Attribute{Name: x[0], Value: x[1]})
		}
	}
	for n := range r.Tasks {
		t, err := r.Tasks[n].task(i)
		if err != nil {
			return nil, err
		}
		i.Tasks = append(i.Tasks, t)
	}
	if v := r.Reserved; v != nil {
		i.Reservation = &core.Reservation{ID: v.ID, New: v.New, Deadline: abs(v.Deadline, since), Principal: v.Principal, Framework: v.Framework}
		for _, x := range v.Volumes {
			i.Reservation.Volumes = append(i.Reservation.Volumes, core.Volume{ID: x[0], ContainerPath: x[1]})
		}
	}
	return i, nil
}

func (r *taskRow) task(i *core.Instance) (core.Task, error) {
	t := core.Task{ID: core.TaskID(r.ID), Container: r.Container, Condition: i.Condition,
		StagedAt: abs(r.Staged, i.Since), StartedAt: abs(r.Started, i.Since), HostPorts: r.Ports, IPs: r.IPs}
	if t.Container == "" {
		t.Container = core.AppContainer
	}
	if t.ID == "" {
		t.ID = i.ID.Task(t.Container, r.Number)
	}
	if r.Cond != "" {
		var ok bool
		if t.Condition, ok = core.ParseCondition(r.Cond); !ok {
			return t, fmt.Errorf("condition %q of task %s is not known", r.Cond, t.ID)
		}
	}
	if s := r.Status; s != nil {
		t.Status = &core.TaskStatus{State: "TASK_" + s.State, Reason: s.Reason, Message: s.Message, At: abs(s.At, i.Since),
			Healthy: s.Healthy, Check: s.Check, UnreachableSince: abs(s.Unreachable, i.Since)}
	}
	return t, nil
}
