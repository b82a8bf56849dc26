package core

// VersionInfo is the pair of stamps beside a spec's version (behaviour.md 1.3).
type VersionInfo struct {
	LastScalingAt      Timestamp `json:"lastScalingAt"`
	LastConfigChangeAt Timestamp `json:"lastConfigChangeAt"`
}

// Backoff is the delay policy of failing launches, in seconds (behaviour.md 4.3).
type Backoff struct {
	Seconds           float64
	Factor            float64
	MaxLaunchDelaySec float64
}

// UpgradeStrategy bounds a rolling upgrade by fractions of the instance count (behaviour.md 3).
type UpgradeStrategy struct {
	MaximumOverCapacity   Num `json:"maximumOverCapacity"`
	MinimumHealthCapacity Num `json:"minimumHealthCapacity"`
}

// KillSelection says which of two equal instances dies first (behaviour.md 3.6).
type KillSelection string

// The kill selections.
const (
	YoungestFirst KillSelection = "YOUNGEST_FIRST"
	OldestFirst   KillSelection = "OLDEST_FIRST"
)

// RunSpec is what an app and a pod have in common: all that planning, queueing and matching need to know.
// *App and *Pod implement it. Implementations are immutable once shared.
type RunSpec interface {
	SpecID() PathID
	IsPod() bool
	SpecVersion() Timestamp
	Stamps() VersionInfo // both equal the version where the spec never knew better
	// WithVersion returns a copy that carries the given stamps.
	WithVersion(version Timestamp, info VersionInfo) RunSpec
	InstanceCount() int
	WithInstances(n int) RunSpec
	SpecRole() string
	SpecLabels() map[string]string
	DependsOn() []PathID
	Upgrade() UpgradeStrategy
	BackoffPolicy() Backoff
	Kill() KillSelection
	Unreachable() UnreachableStrategy
	PlacementConstraints() []Constraint
	Resident() bool // has at least one persistent volume (behaviour.md 1.8)
	// SameConfig reports whether other differs in nothing that would restart instances (behaviour.md 1.4).
	SameConfig(other RunSpec) bool
	// SameAll reports whether other differs in nothing but version stamps.
	SameAll(other RunSpec) bool
	// Checks reports which kinds of checks gate "healthy" and "ready" (behaviour.md 3.5).
	HasHealthChecks() bool
	HasReadinessChecks() bool
}

// ConfigRef names one configuration of a spec: scaling keeps it, a config change makes a new one (behaviour.md 4.3).
type ConfigRef struct {
	Spec         PathID
	ConfigChange Timestamp
}

// RefOf is the configuration reference of a spec.
func RefOf(s RunSpec) ConfigRef { return ConfigRef{s.SpecID(), s.Stamps().LastConfigChangeAt} }
