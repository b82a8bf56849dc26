package offers

import "stadion/core"

// Call is something to tell the Mesos master. Calls go out in the order of the batch, after its commit.
type Call interface{ call() }

// Operation is one operation of an ACCEPT; exactly one field is set.
type Operation struct {
	Launch      *TaskInfo
	LaunchGroup *TaskGroup
	Reserve     []Resource
	Unreserve   []Resource
	Create      []Resource
	Destroy     []Resource
}

// TaskGroup is a pod to launch.
type TaskGroup struct {
	Executor ExecutorInfo
	Tasks    []TaskInfo
}

// Accept uses offers of one agent.
type Accept struct {
	OfferIDs      []string
	AgentID       string
	Operations    []Operation
	RefuseSeconds float64
}

// Decline refuses offers; a nil RefuseSeconds leaves Mesos's default of 5 s.
type Decline struct {
	OfferIDs      []string
	RefuseSeconds *float64
}

// Kill ends a task, with the grace period that it was launched with or with another one, which all executors but the
// old command executor obey.
type Kill struct {
	TaskID      core.TaskID
	AgentID     string // empty if unknown
	GraceMillis *int64 // nil: that of the task
}

// Acknowledge confirms a status update.
type Acknowledge struct {
	TaskID  core.TaskID
	AgentID string
	UUID    []byte
}

// TaskRef names a task on an agent.
type TaskRef struct {
	TaskID  core.TaskID
	AgentID string
}

// Reconcile asks for the state of tasks; without tasks for all (implicit).
type Reconcile struct{ Tasks []TaskRef }

// Revive removes filters and suppression for roles (all roles when empty).
type Revive struct{ Roles []string }

// Suppress stops offers for roles (all roles when empty).
type Suppress struct{ Roles []string }

// UpdateFramework changes the set of roles and which of them are suppressed.
type UpdateFramework struct {
	Roles      []string
	Suppressed []string
	Quieted    int // how many of the suppressed ones it tells of for the first time: a SUPPRESS by other means (behaviour.md 5.8.8)
}

// AcceptInverse and DeclineInverse answer inverse offers.
type AcceptInverse struct{ IDs []string }

// DeclineInverse refuses inverse offers.
type DeclineInverse struct{ IDs []string }

func (Accept) call()          {}
func (Decline) call()         {}
func (Kill) call()            {}
func (Acknowledge) call()     {}
func (Reconcile) call()       {}
func (Revive) call()          {}
func (Suppress) call()        {}
func (UpdateFramework) call() {}
func (AcceptInverse) call()   {}
func (DeclineInverse) call()  {}

// Event is something the Mesos master told us.
type Event interface{ event() }

// Subscribed begins a stream. The adapter sends it before any other event of the stream.
type Subscribed struct {
	FrameworkID string
	MasterURL   string // http://host:port of the leading master
	MasterID    string
	HomeRegion  string // region of the master's domain, empty if unknown
}

// Disconnected ends a stream: offers of it are void, calls must wait for the next Subscribed (D-25).
type Disconnected struct{ Reason string }

// Received brings offers.
type Received struct{ Offers []Offer }

// Rescinded takes one back.
type Rescinded struct{ OfferID string }

// StatusUpdate is a task status. UUID is empty where no acknowledgement is wanted.
type StatusUpdate struct {
	TaskID           core.TaskID
	AgentID          string
	State            string // TASK_RUNNING …
	Source           string // without SOURCE_
	Reason           string // without REASON_
	Message          string // at most 10,000 characters (behaviour.md 7.2)
	Timestamp        core.Timestamp
	UUID             []byte
	Healthy          core.Health
	Check            *core.CheckResult
	IPs              []core.IPAddress
	UnreachableSince core.Timestamp
	ExecutorID       string
}

// InverseOffers asks to leave an agent.
type InverseOffers struct{ IDs []string }

// Failure reports a lost agent or ended executor.
type Failure struct {
	AgentID, ExecutorID string
	Status              *int32
}

// Message is data from an executor.
type Message struct {
	AgentID, ExecutorID string
	Data                []byte
}

// FatalError means that the framework cannot go on with this identity (behaviour.md 9.4).
type FatalError struct {
	Message  string
	ExitCode int // 106, 108 or 110
}

// RoleRefused reports that the master refuses a role (D-49).
type RoleRefused struct {
	Roles   []string
	Message string
}

func (Subscribed) event()    {}
func (Disconnected) event()  {}
func (Received) event()      {}
func (Rescinded) event()     {}
func (StatusUpdate) event()  {}
func (InverseOffers) event() {}
func (Failure) event()       {}
func (Message) event()       {}
func (FatalError) event()    {}
func (RoleRefused) event()   {}
