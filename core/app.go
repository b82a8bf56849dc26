package core

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
)

// App is the normalised definition of an app. Its JSON is what the API shows and what the store keeps; fields stand
// in the API's order (http-api.md 4.7). cpus are shares, mem and disk MiB.
type App struct {
	ID                         PathID              `json:"id"`
	AcceptedResourceRoles      []string            `json:"acceptedResourceRoles,omitempty"`
	Args                       []string            `json:"args,omitempty"`
	BackoffFactor              Num                 `json:"backoffFactor"`
	BackoffSeconds             int                 `json:"backoffSeconds"`
	Cmd                        *string             `json:"cmd,omitempty"`
	Constraints                []Constraint        `json:"constraints,omitempty"`
	Container                  *Container          `json:"container,omitempty"`
	CPUs                       Num                 `json:"cpus"`
	Dependencies               []PathID            `json:"dependencies,omitempty"`
	Disk                       Num                 `json:"disk"`
	Env                        map[string]EnvValue `json:"env,omitempty"`
	Executor                   string              `json:"executor"`
	ExecutorResources          *ExecutorResources  `json:"executorResources,omitempty"`
	Fetch                      []Artifact          `json:"fetch,omitempty"`
	HealthChecks               []HealthCheck       `json:"healthChecks,omitempty"`
	Check                      *Check              `json:"check,omitempty"`
	Instances                  int                 `json:"instances"`
	Labels                     map[string]string   `json:"labels"`
	MaxLaunchDelaySeconds      int                 `json:"maxLaunchDelaySeconds"`
	Mem                        Num                 `json:"mem"`
	GPUs                       int                 `json:"gpus"`
	Networks                   []Network           `json:"networks"`
	PortDefinitions            []PortDefinition    `json:"portDefinitions,omitzero"` // nil: absent; empty: []
	ReadinessChecks            []ReadinessCheck    `json:"readinessChecks,omitempty"`
	Residency                  *Residency          `json:"residency,omitempty"`
	ResourceLimits             *ResourceLimits     `json:"resourceLimits,omitempty"`
	RequirePorts               bool                `json:"requirePorts"`
	Secrets                    map[string]Secret   `json:"secrets,omitempty"`
	TaskKillGracePeriodSeconds *int                `json:"taskKillGracePeriodSeconds,omitempty"`
	UpgradeStrategy            UpgradeStrategy     `json:"upgradeStrategy"`
	User                       *string             `json:"user,omitempty"`
	Version                    Timestamp           `json:"version"`
	VersionInfo                *VersionInfo        `json:"versionInfo,omitempty"`
	KillSelection              KillSelection       `json:"killSelection"`
	UnreachableStrategy        UnreachableStrategy `json:"unreachableStrategy"`
	TTY                        *bool               `json:"tty,omitempty"`
	Role                       string              `json:"role"`
}

// Constraint is [field, operator] or [field, operator, value] (behaviour.md 5.5).
type Constraint struct {
	Field    string
	Operator string // UNIQUE, CLUSTER, GROUP_BY, LIKE, UNLIKE, MAX_PER, IS
	Value    string
	HasValue bool
}

// MarshalJSON writes the list form.
func (c Constraint) MarshalJSON() ([]byte, error) {
	if c.HasValue {
		return EncodeJSON([]string{c.Field, c.Operator, c.Value})
	}
	return EncodeJSON([]string{c.Field, c.Operator})
}

// UnmarshalJSON reads the list form.
func (c *Constraint) UnmarshalJSON(b []byte) error {
	var l []string
	if err := json.Unmarshal(b, &l); err != nil {
		return fmt.Errorf("constraint: %w", err)
	}
	if len(l) < 2 || len(l) > 3 {
		return fmt.Errorf("constraint has %d fields, expected 2 or 3", len(l))
	}
	*c = Constraint{Field: l[0], Operator: l[1]}
	if len(l) == 3 {
		c.Value, c.HasValue = l[2], true
	}
	return nil
}

// EnvValue is a plain value or a reference to one of the spec's secrets.
type EnvValue struct {
	Value  string
	Secret string // not empty: a reference, Value is unused
}

// MarshalJSON writes a string or {"secret": name}.
func (v EnvValue) MarshalJSON() ([]byte, error) {
	if v.Secret != "" {
		return EncodeJSON(map[string]string{"secret": v.Secret})
	}
	return EncodeJSON(v.Value)
}

// UnmarshalJSON reads a string or {"secret": name}.
func (v *EnvValue) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(bytes.TrimSpace(b), []byte("{")) {
		var o struct {
			Secret string `json:"secret"`
		}
		if err := json.Unmarshal(b, &o); err != nil {
			return err
		}
		*v = EnvValue{Secret: o.Secret}
		return nil
	}
	*v = EnvValue{}
	return json.Unmarshal(b, &v.Value)
}

// EncodeJSON writes any value of the API as Marathon does: <, > and & stand as they are (http-api.md 1.12). Whoever
// writes App, Pod or Group by other means gets valid but differently escaped text.
func EncodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Secret names where a secret's value is kept.
type Secret struct {
	Source string `json:"source"`
}

// ExecutorResources are what a custom executor or a pod's executor needs for itself.
type ExecutorResources struct {
	CPUs Num `json:"cpus"`
	Mem  Num `json:"mem"`
	Disk Num `json:"disk"`
}

// Limit is a resource limit: a number or "unlimited".
type Limit struct {
	Value     Num
	Unlimited bool
}

// MarshalJSON writes the number or the word.
func (l Limit) MarshalJSON() ([]byte, error) {
	if l.Unlimited {
		return []byte(`"unlimited"`), nil
	}
	return l.Value.MarshalJSON()
}

// UnmarshalJSON reads the number or the word.
func (l *Limit) UnmarshalJSON(b []byte) error {
	if string(b) == `"unlimited"` {
		*l = Limit{Unlimited: true}
		return nil
	}
	*l = Limit{}
	return json.Unmarshal(b, &l.Value)
}

// ResourceLimits bound a task above its requests.
type ResourceLimits struct {
	CPUs *Limit `json:"cpus,omitempty"`
	Mem  *Limit `json:"mem,omitempty"`
}

// Artifact is something the Mesos fetcher brings into the sandbox.
type Artifact struct {
	URI        string  `json:"uri"`
	Extract    bool    `json:"extract"`
	Executable bool    `json:"executable"`
	Cache      bool    `json:"cache"`
	DestPath   *string `json:"destPath,omitempty"`
}

// Residency is the fixed object that apps with persistent volumes show.
type Residency struct {
	RelaunchEscalationTimeoutSeconds int    `json:"relaunchEscalationTimeoutSeconds"`
	TaskLostBehavior                 string `json:"taskLostBehavior"`
}

// UnreachableStrategy says when an unreachable instance is replaced and forgotten, in seconds (behaviour.md 7.9).
type UnreachableStrategy struct {
	Disabled             bool
	InactiveAfterSeconds int
	ExpungeAfterSeconds  int
}

type unreachableJSON struct {
	InactiveAfterSeconds int `json:"inactiveAfterSeconds"`
	ExpungeAfterSeconds  int `json:"expungeAfterSeconds"`
}

// MarshalJSON writes "disabled" or the object.
func (u UnreachableStrategy) MarshalJSON() ([]byte, error) {
	if u.Disabled {
		return []byte(`"disabled"`), nil
	}
	return json.Marshal(unreachableJSON{u.InactiveAfterSeconds, u.ExpungeAfterSeconds})
}

// UnmarshalJSON reads "disabled" or the object.
func (u *UnreachableStrategy) UnmarshalJSON(b []byte) error {
	if string(b) == `"disabled"` {
		*u = UnreachableStrategy{Disabled: true}
		return nil
	}
	var o unreachableJSON
	if err := json.Unmarshal(b, &o); err != nil {
		return fmt.Errorf("unreachable strategy: %w", err)
	}
	*u = UnreachableStrategy{InactiveAfterSeconds: o.InactiveAfterSeconds, ExpungeAfterSeconds: o.ExpungeAfterSeconds}
	return nil
}

// SpecID and its siblings implement RunSpec.
func (a *App) SpecID() PathID { return a.ID }

// IsPod is false.
func (a *App) IsPod() bool { return false }

// SpecVersion is the version stamp.
func (a *App) SpecVersion() Timestamp { return a.Version }

// Stamps falls back to the version where versionInfo is unknown.
func (a *App) Stamps() VersionInfo {
	if a.VersionInfo == nil {
		return VersionInfo{a.Version, a.Version}
	}
	return *a.VersionInfo
}

// WithVersion copies the app with other stamps.
func (a *App) WithVersion(v Timestamp, info VersionInfo) RunSpec {
	c := *a
	c.Version, c.VersionInfo = v, &info
	return &c
}

// InstanceCount is the wanted number of instances.
func (a *App) InstanceCount() int { return a.Instances }

// WithInstances copies the app with another count.
func (a *App) WithInstances(n int) RunSpec {
	c := *a
	c.Instances = n
	return &c
}

// SpecRole is the Mesos role.
func (a *App) SpecRole() string { return a.Role }

// SpecLabels are the labels; not to be changed.
func (a *App) SpecLabels() map[string]string { return a.Labels }

// DependsOn lists the ids of apps and groups it needs first.
func (a *App) DependsOn() []PathID { return a.Dependencies }

// Upgrade is the upgrade strategy.
func (a *App) Upgrade() UpgradeStrategy { return a.UpgradeStrategy }

// BackoffPolicy is the launch delay policy.
func (a *App) BackoffPolicy() Backoff {
	return Backoff{float64(a.BackoffSeconds), float64(a.BackoffFactor), float64(a.MaxLaunchDelaySeconds)}
}

// Kill is the kill selection.
func (a *App) Kill() KillSelection { return a.KillSelection }

// Unreachable is the unreachable strategy.
func (a *App) Unreachable() UnreachableStrategy { return a.UnreachableStrategy }

// PlacementConstraints are the constraints.
func (a *App) PlacementConstraints() []Constraint { return a.Constraints }

// Resident reports a persistent volume.
func (a *App) Resident() bool {
	if a.Container == nil {
		return false
	}
	for _, v := range a.Container.Volumes {
		if v.Persistent != nil {
			return true
		}
	}
	return false
}

// HasHealthChecks reports any health check, server-run or executor-run.
func (a *App) HasHealthChecks() bool { return len(a.HealthChecks) > 0 }

// HasReadinessChecks reports a readiness check.
func (a *App) HasReadinessChecks() bool { return len(a.ReadinessChecks) > 0 }

// SameConfig compares what restarts instances (behaviour.md 1.4): everything but instances, versions and
// executorResources (D-05).
func (a *App) SameConfig(o RunSpec) bool {
	b, ok := o.(*App)
	if !ok {
		return false
	}
	x, y := *a, *b
	x.Instances, y.Instances = 0, 0
	x.ExecutorResources, y.ExecutorResources = nil, nil
	return sameApp(x, y)
}

// SameAll compares all but version stamps.
func (a *App) SameAll(o RunSpec) bool {
	b, ok := o.(*App)
	return ok && sameApp(*a, *b)
}

func sameApp(x, y App) bool {
	x.Version, y.Version, x.VersionInfo, y.VersionInfo = 0, 0, nil, nil
	return reflect.DeepEqual(canonical(x), canonical(y))
}

// canonical makes empty and absent lists equal and set-like lists order-free, so that only real changes count.
func canonical(a App) App {
	a.Constraints = sortedConstraints(a.Constraints)
	a.Dependencies = sortedPaths(a.Dependencies)
	a.HealthChecks = sortedChecks(a.HealthChecks)
	a.Args, a.Fetch, a.ReadinessChecks = nilSlice(a.Args), nilSlice(a.Fetch), nilSlice(a.ReadinessChecks)
	a.AcceptedResourceRoles, a.PortDefinitions = nilSlice(a.AcceptedResourceRoles), nilSlice(a.PortDefinitions)
	a.Env, a.Labels, a.Secrets = nilMap(a.Env), nilMap(a.Labels), nilMap(a.Secrets)
	return a
}
