package machine

import (
	"stadion/core"
	"stadion/offers"
)

// Event is one input of the machine.
type Event interface{ event() }

// Begin starts a term on a loaded state. Seed feeds the generator for ids and random choices.
type Begin struct{ Seed uint64 }

// Tick says that time has passed; the loop sends it when a timer is due.
type Tick struct{}

// Request is a command of a client; its answer carries the same ID.
type Request struct {
	ID      uint64
	Command Command
}

// Mesos is something the master told us.
type Mesos struct{ Event offers.Event }

// HealthReport is the result of one server-run health probe (behaviour.md 8.2).
type HealthReport struct {
	Instance core.InstanceID
	Task     core.TaskID
	Check    int // index into the health checks of the instance's version
	Outcome  Outcome
	Cause    string // why it failed
}

// Outcome is the verdict of a probe.
type Outcome int8

// The verdicts.
const (
	ProbeHealthy Outcome = iota
	ProbeFailed
	ProbeIgnored
)

// ReadinessReport is the result of one readiness probe (behaviour.md 8.8).
type ReadinessReport struct {
	Instance    core.InstanceID
	Task        core.TaskID
	Name        string
	Ready       bool
	Status      int
	ContentType string
	Body        string // only with preserveLastResponse
}

func (Begin) event()           {}
func (Tick) event()            {}
func (Request) event()         {}
func (Mesos) event()           {}
func (HealthReport) event()    {}
func (ReadinessReport) event() {}

// Command is what a client asks for.
type Command interface{ command() }

// UpdateTree changes the tree. Change was computed on a snapshot whose root stamp was Base; when the tree has
// changed since, the machine calls Rebase on the present tree instead of making the client try again. Rebase must
// be a pure function. Result: UpdateResult.
type UpdateTree struct {
	Base   core.Timestamp
	Change core.Change
	Rebase func(core.Tree) (core.Change, error)
	Origin *Origin // nil: no api_post_event
}

// Origin is what api_post_event and the pod events tell of the request.
type Origin struct {
	ClientIP string
	URI      string
	Event    string      // api_post_event, pod_created_event, pod_updated_event, pod_deleted_event
	App      core.PathID // whose definition api_post_event carries
}

// UpdateResult answers UpdateTree and CancelDeployment.
type UpdateResult struct {
	Version    core.Timestamp
	Deployment string // empty when no deployment was made (NoPlan, forced cancel)
	Created    bool   // the one spec or group of the request did not exist before
}

// KillInstances kills the tasks of instances (behaviour.md 7.11). Unknown ids are ignored. With Wipe the instances
// are decommissioned and the answer waits until they are gone. Result: KillResult. Kill-and-scale is an UpdateTree.
type KillInstances struct {
	IDs  []core.InstanceID
	Wipe bool
}

// KillResult lists the instances found, as they were before the kill.
type KillResult struct{ Instances []*core.Instance }

// CancelDeployment reverts a deployment or, with Force, only stops it (behaviour.md 2.5). Result: UpdateResult.
type CancelDeployment struct {
	ID    string
	Force bool
}

// ResetDelay forgets the backoff of a waiting spec (behaviour.md 4.3). No result.
type ResetDelay struct{ Spec core.PathID }

// SteerDeployment pauses, resumes or promotes a deployment (extension). No result.
type SteerDeployment struct {
	ID     string
	Action string // pause, resume, promote
}

func (UpdateTree) command()       {}
func (KillInstances) command()    {}
func (CancelDeployment) command() {}
func (ResetDelay) command()       {}
func (SteerDeployment) command()  {}
