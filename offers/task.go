package offers

// TaskInfo is a task to launch, in plain values that mirror Mesos's TaskInfo (behaviour.md 6.2).
type TaskInfo struct {
	Name            string
	TaskID          string
	AgentID         string
	Resources       []Resource
	Limits          map[string]float64 // cpus, mem; +Inf is "unlimited"
	Command         *CommandInfo       // nil with a custom executor
	Executor        *ExecutorInfo
	Container       *ContainerInfo
	Labels          []Label // sorted by key
	Discovery       *DiscoveryInfo
	HealthCheck     *HealthCheck
	Check           *CheckInfo
	KillGraceMillis *int64 // kill_policy.grace_period
	MaxCompletionMs *int64
}

// CommandInfo is what to run.
type CommandInfo struct {
	Shell     bool
	Value     *string
	Arguments []string
	User      *string
	URIs      []URI
	Env       []EnvVar // sorted by name
}

// URI is something to fetch.
type URI struct {
	Value      string
	Executable bool
	Extract    bool
	Cache      bool
	OutputFile string
}

// EnvVar is an environment variable: a value or a reference to a secret.
type EnvVar struct {
	Name   string
	Value  string
	Secret string
}

// ExecutorInfo is an executor: DEFAULT for pods, CUSTOM for path executors.
type ExecutorInfo struct {
	Default   bool
	ID        string
	Command   *CommandInfo
	Resources []Resource
	Labels    []Label
	Container *ContainerInfo
}

// ContainerInfo mirrors Mesos's ContainerInfo (behaviour.md 6.5).
type ContainerInfo struct {
	Docker     bool // type DOCKER, else MESOS
	DockerInfo *DockerInfo
	Image      *Image // MESOS with an image
	Networks   []NetworkInfo
	Volumes    []VolumeInfo
	TTY        bool
	LinuxInfo  *LinuxInfo
}

// DockerInfo mirrors ContainerInfo.DockerInfo.
type DockerInfo struct {
	Image          string
	Network        string // HOST BRIDGE NONE USER
	PortMappings   []PortMapping
	Privileged     bool
	Parameters     []Label
	ForcePullImage bool
}

// PortMapping maps a host port to a container port.
type PortMapping struct {
	HostPort, ContainerPort int
	Protocol                string
}

// Image is a docker image run by the Mesos containerizer.
type Image struct {
	Name             string
	Cached           bool
	PullConfigSecret string
	Principal        string // legacy credential
	PrincipalSecret  string
}

// NetworkInfo is a CNI network.
type NetworkInfo struct {
	Name         string
	Labels       []Label
	PortMappings []PortMapping
	IPProtocols  []string // one default address each when non-empty
}

// VolumeInfo is a volume of a container; exactly one source besides HostPath may be set.
type VolumeInfo struct {
	ContainerPath string
	Mode          string
	HostPath      *string
	SandboxParent string // SANDBOX_PATH type PARENT
	DockerDriver  string // DOCKER_VOLUME
	DockerName    string
	DockerOptions []Label
	CSI           *CSIVolume
	Secret        string // SECRET reference
}

// CSIVolume mirrors the CSI_VOLUME source.
type CSIVolume struct {
	Plugin, VolumeID, AccessType, AccessMode, FSType string
	MountFlags                                       []string
	ReadOnly                                         bool
	NodeStageSecrets, NodePublishSecrets, Context    []Label
}

// LinuxInfo mirrors the kernel-level settings.
type LinuxInfo struct {
	ShareCgroups      *bool
	SeccompProfile    string
	SeccompUnconfined bool
	IPCMode           string // PRIVATE, SHARE_PARENT
	ShmSize           int    // MiB, 0 unset
}

// DiscoveryInfo mirrors DiscoveryInfo with visibility FRAMEWORK.
type DiscoveryInfo struct {
	Name  string
	Ports []DiscoveryPort
}

// DiscoveryPort is a port of the discovery info.
type DiscoveryPort struct {
	Number   int
	Name     string
	Protocol string
	Labels   []Label
}

// HealthCheck mirrors Mesos's HealthCheck; durations in seconds.
type HealthCheck struct {
	Type                string // COMMAND HTTP TCP
	Command             *CommandInfo
	Scheme, Path        string
	HasPath             bool
	Port                int
	IPv6                bool
	Delay, Interval     float64
	Timeout, Grace      float64
	ConsecutiveFailures int
}

// CheckInfo mirrors Mesos's general check; durations in seconds.
type CheckInfo struct {
	Type                     string // COMMAND HTTP TCP
	Command                  *CommandInfo
	Path                     string
	Port                     int
	Delay, Interval, Timeout float64
}
