package core

import (
	"cmp"
	"reflect"
	"slices"
)

// Pod is the normalised definition of a pod. Its JSON is what the API shows; fields stand in the API's order
// (http-api.md 7.3). cpus are shares, mem and disk MiB, durations seconds.
type Pod struct {
	ID                  PathID              `json:"id"`
	Labels              map[string]string   `json:"labels,omitempty"`
	Version             Timestamp           `json:"version"`
	User                *string             `json:"user,omitempty"`
	Environment         map[string]EnvValue `json:"environment,omitempty"`
	Containers          []PodContainer      `json:"containers"`
	Secrets             map[string]Secret   `json:"secrets,omitempty"`
	Volumes             []PodVolume         `json:"volumes,omitempty"`
	Networks            []Network           `json:"networks,omitempty"` // none: host networking
	Scaling             PodScaling          `json:"scaling"`
	Scheduling          PodScheduling       `json:"scheduling"`
	ExecutorResources   ExecutorResources   `json:"executorResources"`
	Role                string              `json:"role"`
	LinuxInfo           *LinuxInfo          `json:"linuxInfo,omitempty"`
	LegacySharedCgroups bool                `json:"legacySharedCgroups,omitempty"`

	// VersionInfo is not part of the API's object; the store keeps it beside the definition (D-31).
	VersionInfo *VersionInfo `json:"-"`
}

// PodContainer is one container of a pod.
type PodContainer struct {
	Name           string              `json:"name"`
	Exec           *PodExec            `json:"exec,omitempty"`
	Resources      PodResources        `json:"resources"`
	ResourceLimits *ResourceLimits     `json:"resourceLimits,omitempty"`
	Endpoints      []Endpoint          `json:"endpoints,omitempty"`
	LinuxInfo      *LinuxInfo          `json:"linuxInfo,omitempty"`
	Image          *PodImage           `json:"image,omitempty"`
	Environment    map[string]EnvValue `json:"environment,omitempty"`
	User           *string             `json:"user,omitempty"`
	HealthCheck    *PodHealthCheck     `json:"healthCheck,omitempty"`
	VolumeMounts   []VolumeMount       `json:"volumeMounts,omitempty"`
	Artifacts      []Artifact          `json:"artifacts,omitempty"`
	Labels         map[string]string   `json:"labels,omitempty"`
	Lifecycle      *PodLifecycle       `json:"lifecycle,omitempty"`
	TTY            *bool               `json:"tty,omitempty"`
}

// PodExec is the command of a container; without it the image's entrypoint runs.
type PodExec struct {
	Command            ShellOrArgv `json:"command"`
	OverrideEntrypoint *bool       `json:"overrideEntrypoint,omitempty"`
}

// PodResources are what one container of a pod asks for.
type PodResources struct {
	CPUs Num `json:"cpus"`
	Mem  Num `json:"mem"`
	Disk Num `json:"disk"`
	GPUs int `json:"gpus"`
}

// PodImage names a container image.
type PodImage struct {
	Kind       string            `json:"kind"` // DOCKER
	ID         string            `json:"id"`
	PullConfig *PullConfig       `json:"pullConfig,omitempty"`
	ForcePull  *bool             `json:"forcePull,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
}

// Endpoint is a named port of a container of a pod.
type Endpoint struct {
	Name          string            `json:"name"`
	ContainerPort *int              `json:"containerPort,omitempty"`
	HostPort      *int              `json:"hostPort,omitempty"` // 0: any port of the offer
	Protocol      []string          `json:"protocol,omitempty"` // tcp, udp, or any word for discovery
	Labels        map[string]string `json:"labels,omitempty"`
	NetworkNames  []string          `json:"networkNames,omitempty"`
}

// PodHealthCheck is the check of one container, run by Mesos; exactly one of HTTP, TCP and Exec is set.
type PodHealthCheck struct {
	HTTP                   *PodHTTPCheck `json:"http,omitempty"`
	TCP                    *PodTCPCheck  `json:"tcp,omitempty"`
	Exec                   *CheckExec    `json:"exec,omitempty"`
	GracePeriodSeconds     int           `json:"gracePeriodSeconds"`
	IntervalSeconds        int           `json:"intervalSeconds"`
	MaxConsecutiveFailures int           `json:"maxConsecutiveFailures"`
	TimeoutSeconds         int           `json:"timeoutSeconds"`
	DelaySeconds           int           `json:"delaySeconds"`
}

// PodHTTPCheck asks an endpoint by HTTP.
type PodHTTPCheck struct {
	Endpoint string  `json:"endpoint"`
	Path     *string `json:"path,omitempty"`
	Scheme   *string `json:"scheme,omitempty"` // HTTP, HTTPS
}

// PodTCPCheck connects to an endpoint.
type PodTCPCheck struct {
	Endpoint string `json:"endpoint"`
}

// VolumeMount makes a volume of the pod visible in a container.
type VolumeMount struct {
	Name      string `json:"name"`
	MountPath string `json:"mountPath"`
	ReadOnly  bool   `json:"readOnly"`
}

// PodLifecycle bounds the time between SIGTERM and SIGKILL.
type PodLifecycle struct {
	KillGracePeriodSeconds *Num `json:"killGracePeriodSeconds,omitempty"`
}

// PodVolume is a volume of a pod: ephemeral where none of Host, Secret and Persistent is set.
type PodVolume struct {
	Name       string            `json:"name"`
	Host       *string           `json:"host,omitempty"`
	Secret     *string           `json:"secret,omitempty"`
	Persistent *PersistentVolume `json:"persistent,omitempty"`
}

// PodScaling is the wanted number of instances.
type PodScaling struct {
	Kind         string `json:"kind"` // fixed
	Instances    int    `json:"instances"`
	MaxInstances *int   `json:"maxInstances,omitempty"`
}

// PodScheduling says where, how fast and in which order instances come and go (http-api.md 7.4).
type PodScheduling struct {
	Backoff             PodBackoff          `json:"backoff"`
	Upgrade             PodUpgrade          `json:"upgrade"`
	Placement           PodPlacement        `json:"placement"`
	KillSelection       KillSelection       `json:"killSelection"`
	UnreachableStrategy UnreachableStrategy `json:"unreachableStrategy"`
}

// PodBackoff is the launch delay policy in seconds.
type PodBackoff struct {
	Backoff        Num `json:"backoff"`
	BackoffFactor  Num `json:"backoffFactor"`
	MaxLaunchDelay Num `json:"maxLaunchDelay"`
}

// PodUpgrade is the upgrade strategy in the order pods show it.
type PodUpgrade struct {
	MinimumHealthCapacity Num `json:"minimumHealthCapacity"`
	MaximumOverCapacity   Num `json:"maximumOverCapacity"`
}

// PodPlacement restricts the agents and resources a pod may use.
type PodPlacement struct {
	Constraints           []PodConstraint `json:"constraints,omitempty"`
	AcceptedResourceRoles []string        `json:"acceptedResourceRoles,omitempty"`
}

// PodConstraint is a constraint in the object form of pods.
type PodConstraint struct {
	FieldName string  `json:"fieldName"`
	Operator  string  `json:"operator"`
	Value     *string `json:"value,omitempty"`
}

// SpecID and its siblings implement RunSpec.
func (p *Pod) SpecID() PathID { return p.ID }

// IsPod is true.
func (p *Pod) IsPod() bool { return true }

// SpecVersion is the version stamp.
func (p *Pod) SpecVersion() Timestamp { return p.Version }

// Stamps falls back to the version where versionInfo is unknown.
func (p *Pod) Stamps() VersionInfo {
	if p.VersionInfo == nil {
		return VersionInfo{p.Version, p.Version}
	}
	return *p.VersionInfo
}

// WithVersion copies the pod with other stamps.
func (p *Pod) WithVersion(v Timestamp, info VersionInfo) RunSpec {
	c := *p
	c.Version, c.VersionInfo = v, &info
	return &c
}

// InstanceCount is the wanted number of instances.
func (p *Pod) InstanceCount() int { return p.Scaling.Instances }

// WithInstances copies the pod with another count.
func (p *Pod) WithInstances(n int) RunSpec {
	c := *p
	c.Scaling.Instances = n
	return &c
}

// SpecRole is the Mesos role.
func (p *Pod) SpecRole() string { return p.Role }

// SpecLabels are the labels; not to be changed.
func (p *Pod) SpecLabels() map[string]string { return p.Labels }

// DependsOn is empty: pods have no dependencies (behaviour.md 2.2).
func (p *Pod) DependsOn() []PathID { return nil }

// Upgrade is the upgrade strategy.
func (p *Pod) Upgrade() UpgradeStrategy {
	u := p.Scheduling.Upgrade
	return UpgradeStrategy{MaximumOverCapacity: u.MaximumOverCapacity, MinimumHealthCapacity: u.MinimumHealthCapacity}
}

// BackoffPolicy is the launch delay policy.
func (p *Pod) BackoffPolicy() Backoff {
	b := p.Scheduling.Backoff
	return Backoff{float64(b.Backoff), float64(b.BackoffFactor), float64(b.MaxLaunchDelay)}
}

// Kill is the kill selection.
func (p *Pod) Kill() KillSelection { return p.Scheduling.KillSelection }

// Unreachable is the unreachable strategy.
func (p *Pod) Unreachable() UnreachableStrategy { return p.Scheduling.UnreachableStrategy }

// PlacementConstraints are the constraints in the form apps use.
func (p *Pod) PlacementConstraints() []Constraint {
	if len(p.Scheduling.Placement.Constraints) == 0 {
		return nil
	}
	out := make([]Constraint, len(p.Scheduling.Placement.Constraints))
	for i, c := range p.Scheduling.Placement.Constraints {
		out[i] = Constraint{Field: c.FieldName, Operator: c.Operator}
		if c.Value != nil {
			out[i].Value, out[i].HasValue = *c.Value, true
		}
	}
	return out
}

// Resident reports a persistent volume.
func (p *Pod) Resident() bool {
	return slices.ContainsFunc(p.Volumes, func(v PodVolume) bool { return v.Persistent != nil })
}

// HasHealthChecks reports a health check in any container.
func (p *Pod) HasHealthChecks() bool {
	return slices.ContainsFunc(p.Containers, func(c PodContainer) bool { return c.HealthCheck != nil })
}

// HasReadinessChecks is false: pods have none.
func (p *Pod) HasReadinessChecks() bool { return false }

// HostNetworking reports whether the pod's containers use the agent's network.
func (p *Pod) HostNetworking() bool {
	return len(p.Networks) == 0 || p.Networks[0].Mode == NetworkHost
}

// SameConfig compares what restarts instances (behaviour.md 1.4): everything but instances, versions,
// executorResources, unreachableStrategy, killSelection and legacySharedCgroups (D-05).
func (p *Pod) SameConfig(o RunSpec) bool {
	q, ok := o.(*Pod)
	if !ok {
		return false
	}
	x, y := *p, *q
	for _, d := range []*Pod{&x, &y} {
		d.Scaling.Instances = 0
		d.ExecutorResources = ExecutorResources{}
		d.Scheduling.UnreachableStrategy, d.Scheduling.KillSelection = UnreachableStrategy{}, ""
		d.LegacySharedCgroups = false
	}
	return samePod(x, y)
}

// SameAll compares all but version stamps.
func (p *Pod) SameAll(o RunSpec) bool {
	q, ok := o.(*Pod)
	return ok && samePod(*p, *q)
}

func samePod(x, y Pod) bool {
	x.Version, y.Version, x.VersionInfo, y.VersionInfo = 0, 0, nil, nil
	return reflect.DeepEqual(canonicalPod(x), canonicalPod(y))
}

// canonicalPod makes empty and absent collections equal and constraints order-free. Collections inside containers
// are normalised at the edge already.
func canonicalPod(p Pod) Pod {
	p.Labels, p.Environment, p.Secrets = nilMap(p.Labels), nilMap(p.Environment), nilMap(p.Secrets)
	p.Volumes, p.Networks = nilSlice(p.Volumes), nilSlice(p.Networks)
	p.Scheduling.Placement.AcceptedResourceRoles = nilSlice(p.Scheduling.Placement.AcceptedResourceRoles)
	c := slices.Clone(nilSlice(p.Scheduling.Placement.Constraints))
	slices.SortFunc(c, func(a, b PodConstraint) int {
		return cmp.Or(cmp.Compare(a.FieldName, b.FieldName), cmp.Compare(a.Operator, b.Operator), comparePtr(a.Value, b.Value))
	})
	p.Scheduling.Placement.Constraints = c
	return p
}

func comparePtr(a, b *string) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	return cmp.Compare(*a, *b)
}

func nilMap[K comparable, V any](m map[K]V) map[K]V {
	if len(m) == 0 {
		return nil
	}
	return m
}

func nilSlice[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	return s
}
