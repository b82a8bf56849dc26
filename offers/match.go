package offers

import (
	"math/rand/v2"

	"stadion/core"
)

// Config holds the flags that matching and task building depend on (behaviour.md Appendix A).
type Config struct {
	FrameworkID          string
	Principal            string // needed for reservations
	DefaultExecutor      string // flag executor, "//cmd"
	EnvPrefix            string // flag env_vars_prefix
	BridgeName           string // flag mesos_bridge_name
	AcceptedRolesDefault string // any, reserved, unreserved
	GPUBehavior          string // restricted, unrestricted
	MaintenanceMode      bool
	DrainingSeconds      int
	HomeRegion           string
	MaxInstancesPerOffer int
	ReservationTimeoutMs int64
	PlacementStrategy    string // "", spread, binpack, random
}

// Reason is why an offer did not fit, in the order of the funnel of /v2/queue (behaviour.md 4.5).
type Reason uint8

// The reasons, in funnel order.
const (
	UnfulfilledRole Reason = iota
	UnfulfilledConstraint
	NoCorrespondingReservationFound
	AgentMaintenance
	InsufficientCpus
	InsufficientMemory
	InsufficientDisk
	InsufficientGpus
	InsufficientPorts
	DeclinedScarceResources
	ReasonCount
)

// Placed is an instance that counts for constraints: where it stands and which version it runs (behaviour.md 5.2).
type Placed struct {
	Instance core.InstanceID
	Version  core.Timestamp
	Agent    *core.AgentInfo
}

// Need is what one waiting instance of a spec asks of an offer.
type Need struct {
	Spec             core.RunSpec   // in the version to launch
	Instance         *core.Instance // the waiting instance
	EnforceRole      bool           // of the top group, for the environment (behaviour.md 6.4)
	Placed           []Placed       // known instances for constraints, before the version filter
	InstancesOfFirst int            // instance count of the spec of Placed[0] (behaviour.md 5.5.2a); 0: use Spec's
}

// Match is the outcome of one need against one offer.
type Match struct {
	Operations  []Operation      // nil when it did not fit
	Reasons     []Reason         // all reasons, in funnel order, when it did not fit
	Consumed    []Resource       // what was taken from the offer
	HostPorts   map[string][]int // per container (core.AppContainer for apps), in order of the requested ports
	TaskIDs     []core.TaskID    // of the tasks launched
	Incarnation int
	Reservation *core.Reservation // set when the operations reserve instead of launch
}

// TryMatch decides whether the need fits the offer whose free resources are given, and builds the operations.
// It reads now for maintenance windows and rnd for the choice of ports. left is not changed; use Subtract.
func TryMatch(cfg *Config, now core.Timestamp, rnd *rand.Rand, offer *Offer, left []Resource, need *Need) Match {
	return Match{Reasons: []Reason{UnfulfilledRole}}
}
