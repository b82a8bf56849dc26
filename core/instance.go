package core

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// InstanceID is "<safePath>.instance-<uuid>" (behaviour.md 6.1); the older ".marathon-" form is understood.
type InstanceID string

// TaskID is "<instance id>.<container or _app>.<incarnation>"; older forms are understood.
type TaskID string

// AppContainer stands for the container name in the task ids of apps.
const AppContainer = "_app"

// NewInstanceID makes an id from a spec id and a UUID text.
func NewInstanceID(spec PathID, uuid string) InstanceID {
	return InstanceID(spec.SafePath() + ".instance-" + uuid)
}

var instanceForm = regexp.MustCompile(`^(.+)\.(instance-|marathon-)([^\.]+)$`)

// ParseInstanceID checks the form of an instance id and reports whether it is one.
func ParseInstanceID(s string) (InstanceID, bool) {
	return InstanceID(s), instanceForm.MatchString(s)
}

// Spec is the id of the spec the instance belongs to.
func (i InstanceID) Spec() PathID {
	const marker = ".instance-"
	if at := strings.LastIndex(string(i), marker); at > 0 && at+len(marker) < len(i) && strings.IndexByte(string(i[at+len(marker):]), '.') < 0 {
		return FromSafePath(string(i[:at])) // the form that is made today, without the cost of an expression
	}
	if m := instanceForm.FindStringSubmatch(string(i)); m != nil {
		return FromSafePath(m[1])
	}
	return ""
}

// Task makes the id of the task of one container in one incarnation (1 for the first launch).
func (i InstanceID) Task(container string, incarnation int) TaskID {
	return TaskID(string(i) + "." + container + "." + strconv.Itoa(incarnation))
}

var (
	taskNumbered   = regexp.MustCompile(`^((.+)\.(?:instance-|marathon-)[^_\.]+)[\._]([^\.]+)\.(\d+)$`)
	taskUnnumbered = regexp.MustCompile(`^((.+)\.(?:instance-|marathon-)[^_\.]+)[\._]([^\.]+)$`)
	taskResident   = regexp.MustCompile(`^((.+)[\._][^_\.]+)\.(\d+)$`)
	taskLegacy     = regexp.MustCompile(`^((.+)[\._][^_\.]+)$`)
)

// TaskName is a task id taken apart.
type TaskName struct {
	Instance    InstanceID
	Spec        PathID
	Container   string // AppContainer for apps
	Incarnation int    // 0 where the id has none
}

// Instance is the instance in a task id of the form that is made today; ok is false for all others, which ParseTaskID
// knows.
func (t TaskID) Instance() (id InstanceID, ok bool) {
	s := string(t)
	at := strings.LastIndex(s, ".instance-")
	if at <= 0 {
		return "", false
	}
	end := strings.IndexByte(s[at+1:], '.')
	if end < 0 {
		return "", false
	}
	return InstanceID(s[:at+1+end]), true
}

// parseCurrent takes apart the one form that is made today, without the cost of an expression: this runs for every
// status update.
func parseCurrent(s string) (TaskName, bool) {
	dot := strings.LastIndexByte(s, '.')
	at := strings.LastIndex(s, ".instance-")
	if dot < 0 || at <= 0 || dot <= at {
		return TaskName{}, false
	}
	n, err := strconv.Atoi(s[dot+1:])
	if err != nil || n < 0 || s[dot+1] == '+' {
		return TaskName{}, false
	}
	uuid, container, ok := strings.Cut(s[at+len(".instance-"):dot], ".")
	if !ok || uuid == "" || container == "" || strings.ContainsAny(uuid, "_.") || strings.IndexByte(container, '.') >= 0 {
		return TaskName{}, false
	}
	return TaskName{InstanceID(s[:at+len(".instance-")+len(uuid)]), FromSafePath(s[:at]), container, n}, true
}

// ParseTaskID takes a task id apart, trying the forms of behaviour.md 6.1 from the newest to the oldest.
func ParseTaskID(id TaskID) (TaskName, error) {
	s := string(id)
	if n, ok := parseCurrent(s); ok {
		return n, nil
	}
	if m := taskNumbered.FindStringSubmatch(s); m != nil {
		n, err := strconv.Atoi(m[4])
		if err != nil {
			return TaskName{}, fmt.Errorf("task id %q: incarnation: %w", s, err)
		}
		return TaskName{InstanceID(m[1]), FromSafePath(m[2]), m[3], n}, nil
	}
	if m := taskUnnumbered.FindStringSubmatch(s); m != nil {
		return TaskName{InstanceID(m[1]), FromSafePath(m[2]), m[3], 0}, nil
	}
	if m := taskResident.FindStringSubmatch(s); m != nil {
		n, err := strconv.Atoi(m[3])
		if err != nil {
			return TaskName{}, fmt.Errorf("task id %q: attempt: %w", s, err)
		}
		return TaskName{InstanceID(m[1]), FromSafePath(m[2]), AppContainer, n}, nil
	}
	if m := taskLegacy.FindStringSubmatch(s); m != nil {
		return TaskName{InstanceID(m[1]), FromSafePath(m[2]), AppContainer, 0}, nil
	}
	return TaskName{}, fmt.Errorf("task id %q has no known form", s)
}

// Health is what is known of a health flag.
type Health int8

// The values of a health flag.
const (
	HealthUnknown Health = iota
	Healthy
	Unhealthy
)

// Ptr is the flag as the API shows it: null when unknown.
func (h Health) Ptr() *bool {
	if h == HealthUnknown {
		return nil
	}
	v := h == Healthy
	return &v
}

// AgentInfo is what an instance remembers of its agent from its last launch or reservation (behaviour.md 5.5.1).
// Values are shared between instances of one agent and never changed.
type AgentInfo struct {
	Host       string
	ID         string
	Region     string
	Zone       string
	Attributes []Attribute // in the order of the offer
}

// Attribute is an agent attribute in its text form (behaviour.md 5.5.1).
type Attribute struct{ Name, Value string }

// IPAddress is an address of a task's container.
type IPAddress struct {
	Address  string `json:"ipAddress"`
	Protocol string `json:"protocol"` // IPv4, IPv6
}

// CheckResult is the last result of a Mesos general check; exactly one field is set (behaviour.md 8.7).
type CheckResult struct {
	ExitCode   *int  `json:"exitCode,omitempty"`
	StatusCode *int  `json:"statusCode,omitempty"`
	Succeeded  *bool `json:"succeeded,omitempty"`
}

// TaskStatus is what is kept of the last status update of a task.
type TaskStatus struct {
	State            string // TASK_RUNNING …
	Reason           string // without prefix REASON_
	Message          string
	At               Timestamp
	Healthy          Health
	Check            *CheckResult
	UnreachableSince Timestamp // start of the unreachable clock, zero while reachable (behaviour.md 7.9)
}

// Task is one task of an instance: the only one of an app's, one per container of a pod's.
type Task struct {
	ID        TaskID
	Container string // AppContainer for apps
	Condition Condition
	StagedAt  Timestamp // when the launch was decided
	StartedAt Timestamp // first RUNNING, zero before
	Status    *TaskStatus
	HostPorts []int // in order of the requested ports; 0 is an empty slot (no host port)
	IPs       []IPAddress
}

// Volume is a persistent volume of a reservation.
type Volume struct {
	ID            string // persistence id
	ContainerPath string
}

// Reservation is what a resident instance holds on its agent (behaviour.md 5.6).
type Reservation struct {
	ID        string // value of the label marathon_task_id
	Volumes   []Volume
	New       bool // not yet used by a task: Deadline counts
	Deadline  Timestamp
	Principal string
	Framework string // value of the label marathon_framework_id; empty: the present framework
}

// Instance is one wanted or running copy of a spec. Values are immutable once stored: change a Clone.
type Instance struct {
	ID          InstanceID
	Spec        PathID
	Pod         bool
	Version     Timestamp // of the spec it runs or will run
	Role        string    // frozen at creation (behaviour.md 5.9)
	Goal        Goal
	Condition   Condition
	Since       Timestamp // last change of condition or health
	ActiveSince Timestamp // earliest StartedAt of its tasks
	QueuedAt    Timestamp // when it last began to wait for an offer
	Healthy     Health    // as reported by Mesos (behaviour.md 7.1)
	Incarnation int       // of the last launch, 0 before the first
	Agent       *AgentInfo
	Tasks       []Task
	Reservation *Reservation
	KillReason  string // why it was told to stop; R6
}

// Clone copies the instance so that it may be changed; the tasks are copied, what they point to is shared.
func (i *Instance) Clone() *Instance {
	c := *i
	c.Tasks = append([]Task(nil), i.Tasks...)
	return &c
}

// CloneWithStatus is a Clone with room for the status of one task. Of an instance with one task all of it is one piece of
// memory: a status update makes one of each, for ever.
func (i *Instance) CloneWithStatus() (*Instance, *TaskStatus) {
	if len(i.Tasks) != 1 {
		return i.Clone(), new(TaskStatus)
	}
	all := &struct {
		Instance
		task   [1]Task
		status TaskStatus
	}{Instance: *i, task: [1]Task{i.Tasks[0]}}
	all.Tasks = all.task[:]
	return &all.Instance, &all.status
}

// Scheduled: waits for an offer (goal Running and not on any agent). behaviour.md 2.7, 4.1.
func (i *Instance) Scheduled() bool {
	return i.Goal == GoalRunning && (i.Condition == Scheduled || i.Condition.Terminal() && !i.remains())
}

// remains: the instance has ended by its condition, but not all of its tasks have: the executor of a pod whose
// container failed ends the other containers a moment later (behaviour.md 11.1). Until then it may not run again.
func (i *Instance) remains() bool {
	if len(i.Tasks) < 2 {
		return false
	}
	for n := range i.Tasks {
		if !i.Tasks[n].Condition.Terminal() {
			return true
		}
	}
	return false
}

// Queued: stands in the launch queue: scheduled or provisioned (behaviour.md 4.1).
func (i *Instance) Queued() bool {
	return i.Scheduled() || i.Goal == GoalRunning && i.Condition == Provisioned
}

// Launched: some task of it may exist on an agent.
func (i *Instance) Launched() bool {
	return i.Condition.Active() || i.Condition == UnreachableInactive || i.Condition.Terminal() && i.remains()
}

// Erased: it was given up for good and only its reservation is left, which the agent has yet to release. Marathon
// forgets such an instance at once; it is shown to nobody (D-52).
func (i *Instance) Erased() bool {
	return i.Goal == GoalDecommissioned && i.Reservation != nil && (!i.Launched() || i.Condition == Unreachable || i.Condition == UnreachableInactive)
}

// Durable reports whether the row must be stored. An instance that never had an agent is derived from the spec's
// count and is made again after a failover, so storing it would only double the writes of a launch.
func (i *Instance) Durable() bool {
	return i.Incarnation > 0 || i.Agent != nil || i.Reservation != nil || len(i.Tasks) > 0
}

// TaskFailure is the record behind lastTaskFailure (behaviour.md 1.7).
type TaskFailure struct {
	AppID     PathID    `json:"appId"`
	Host      string    `json:"host"`
	Message   string    `json:"message"`
	State     string    `json:"state"`
	TaskID    TaskID    `json:"taskId"`
	Timestamp Timestamp `json:"timestamp"`
	Version   Timestamp `json:"version"`
	SlaveID   string    `json:"slaveId,omitempty"`
}
