package deployments

import "stadion/core"

// Flags are the settings that planning depends on.
type Flags struct {
	PortMin, PortMax int // local_port_min, local_port_max: range of service ports, inclusive (behaviour.md 1.6)
	// NewGroupEnforceRole is the enforceRole of top-level groups that a change makes without naming them: true with
	// --new_group_enforce_role=top (http-api.md 6.6).
	NewGroupEnforceRole bool
}

// Update is a change made ready to be stored: everything stamped, the plan computed.
type Update struct {
	Stamp         core.Timestamp
	Specs         []core.RunSpec // new versions to store, in order of their ids
	Removed       []core.PathID  // specs to take out of the tree
	Groups        []core.Group   // groups to store
	RemovedGroups []core.PathID
	Changes       []core.SpecChange
	GroupChanges  []core.GroupChange
	Steps         []core.Step
	Target        core.Tree // the tree as it will be
}

// Waiting names what an action waits for (D-02): offers, health, readiness, kill.
type Waiting string

// The things an action can wait for.
const (
	ForNothing   Waiting = ""
	ForOffers    Waiting = "offers"
	ForHealth    Waiting = "health"
	ForReadiness Waiting = "readiness"
	ForKill      Waiting = "kill"
	ForPromotion Waiting = "promotion"
	ForResume    Waiting = "resume" // it is paused; Next does not know of that
)

// SpecView is what Next sees of one spec.
type SpecView struct {
	Target    core.RunSpec     // the version the action works towards; nil for Stop
	Instances []*core.Instance // all instances of the spec, whatever their goal, in order of their ids
	// Healthy reports whether an instance that runs counts as healthy: all its health checks alive, or running
	// when it has none (D-01). Ready reports a passed readiness check, or true when there is none. Both are asked only
	// about instances in condition Running; nil counts all of them so.
	Healthy, Ready func(*core.Instance) bool
	// Sentenced tells which instances a kill-and-scale request named; nil for none. It is asked once per instance.
	Sentenced func(core.InstanceID) bool
	// ConstraintKills picks up to n of live, which stand in the kill order, whose end keeps GROUP_BY even (behaviour.md
	// 5.5.4); nil for none. It is asked only when something has to be stopped.
	ConstraintKills func(live []*core.Instance, n int) []core.InstanceID
	// Hold is the number of new instances after which a canary waits for promotion; 0 for none (extension).
	Hold int
	// Now is the moment of the question. With it an upgrade tells instances that have proven themselves from those
	// that have only just begun to run (see trust); zero stands for long after all that ever happened.
	Now core.Timestamp
}

// Decision is what an action needs now.
type Decision struct {
	Start   int               // instances of Target to schedule
	Stop    []core.InstanceID // instances to stop, in order
	Done    bool
	Waiting Waiting        // what it waits for when nothing is to be done
	Missing int            // how many instances that concerns: wait for an offer, are not healthy, are not dead yet …
	Again   core.Timestamp // when the answer will be another one though nothing has happened; 0 for never
}
