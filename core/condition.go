package core

// Goal is what we want of an instance. Allowed moves: Running ⇄ Stopped → Decommissioned, and Running →
// Decommissioned; nothing leaves Decommissioned (behaviour.md E.1, 5).
type Goal int8

// The goals.
const (
	GoalRunning        Goal = iota // keep it alive
	GoalStopped                    // kill it, keep the record and the reservation
	GoalDecommissioned             // kill it and forget it
)

var goalNames = [...]string{"Running", "Stopped", "Decommissioned"}

func (g Goal) String() string { return goalNames[g] }

// ParseGoal reads the text form.
func ParseGoal(s string) (Goal, bool) {
	for i, n := range goalNames {
		if n == s {
			return Goal(i), true
		}
	}
	return 0, false
}

// MayBecome reports whether the goal may change to g.
func (g Goal) MayBecome(to Goal) bool { return g == to || g != GoalDecommissioned }

// Condition is what we know of an instance or a task: Marathon's list (behaviour.md 7.1).
type Condition int8

// The conditions.
const (
	Scheduled Condition = iota
	Provisioned
	Staging
	Starting
	Running
	Killing
	Unreachable
	UnreachableInactive
	Finished
	Killed
	ErrorCondition
	Failed
	Gone
	Dropped
	Unknown
	conditionCount
)

var conditionNames = [conditionCount]string{"Scheduled", "Provisioned", "Staging", "Starting", "Running", "Killing",
	"Unreachable", "UnreachableInactive", "Finished", "Killed", "Error", "Failed", "Gone", "Dropped", "Unknown"}

func (c Condition) String() string { return conditionNames[c] }

// ParseCondition reads the text form.
func ParseCondition(s string) (Condition, bool) {
	for i, n := range conditionNames {
		if n == s {
			return Condition(i), true
		}
	}
	return 0, false
}

type conditionSet uint32

func setOf(cs ...Condition) (s conditionSet) {
	for _, c := range cs {
		s |= 1 << c
	}
	return s
}

func (s conditionSet) has(c Condition) bool { return s&(1<<c) != 0 }

var (
	launchSet   = setOf(Provisioned, Staging, Starting)
	activeSet   = setOf(Provisioned, Staging, Starting, Running, Killing, Unreachable)
	terminalSet = setOf(Finished, Killed, ErrorCondition, Failed, Gone, Dropped, Unknown)
	failureSet  = setOf(Finished, ErrorCondition, Failed, Gone, Dropped)
	lostSet     = setOf(Gone, Unreachable, Unknown, Dropped)
)

// Launching: launched, and not known to run.
func (c Condition) Launching() bool { return launchSet.has(c) }

// Active: a task of it may be alive on an agent.
func (c Condition) Active() bool { return activeSet.has(c) }

// Terminal: its tasks have ended.
func (c Condition) Terminal() bool { return terminalSet.has(c) }

// ConsideredTerminal: terminal, or unreachable in either form, which deployments do not wait for (behaviour.md 7.1).
func (c Condition) ConsideredTerminal() bool {
	return c.Terminal() || c == Unreachable || c == UnreachableInactive
}

// Lost: Mesos lost sight of it; such instances do not count for constraints (behaviour.md 5.2).
func (c Condition) Lost() bool { return lostSet.has(c) }

// IncreasesBackoff: a change to this condition delays the next launch (behaviour.md 4.3).
func (c Condition) IncreasesBackoff() bool { return failureSet.has(c) }

// TaskState is the Mesos name that the API shows for a task in this condition (behaviour.md 7.3).
func (c Condition) TaskState() string { return taskStates[c] }

var taskStates = [conditionCount]string{"TASK_STAGING", "TASK_STAGING", "TASK_STAGING", "TASK_STARTING", "TASK_RUNNING", "TASK_KILLING",
	"TASK_UNREACHABLE", "TASK_UNREACHABLE", "TASK_FINISHED", "TASK_KILLED", "TASK_ERROR", "TASK_FAILED", "TASK_GONE", "TASK_DROPPED", "TASK_UNKNOWN"}

// transitions is the one table of allowed moves of an instance (design.md 2.5, I10). A launched task may report
// any later state, unreachable ones may come back, and only a relaunch leads out of a terminal condition.
var transitions = func() (t [conditionCount]conditionSet) {
	ends := terminalSet
	t[Scheduled] = setOf(Provisioned)
	t[Provisioned] = setOf(Scheduled, Staging, Starting, Running, Killing, Unreachable, UnreachableInactive) | ends
	t[Staging] = setOf(Starting, Running, Killing, Unreachable, UnreachableInactive) | ends
	t[Starting] = setOf(Staging, Running, Killing, Unreachable, UnreachableInactive) | ends
	t[Running] = setOf(Staging, Starting, Killing, Unreachable, UnreachableInactive) | ends
	t[Killing] = setOf(Running, Unreachable, UnreachableInactive) | ends
	t[Unreachable] = setOf(Staging, Starting, Running, Killing, UnreachableInactive) | ends
	t[UnreachableInactive] = setOf(Staging, Starting, Running, Killing, Unreachable) | ends
	for c := Scheduled; c < conditionCount; c++ {
		if terminalSet.has(c) {
			t[c] = setOf(Provisioned, Scheduled) | ends
		}
		t[c] |= setOf(c)
	}
	return t
}()

// MayBecome reports whether an instance may move from c to next.
func (c Condition) MayBecome(next Condition) bool { return transitions[c].has(next) }
