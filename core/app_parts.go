package core

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
)

// Container is the container of an app (http-api.md 4.8).
type Container struct {
	Type         string        `json:"type"` // DOCKER or MESOS
	Docker       *Docker       `json:"docker,omitempty"`
	LinuxInfo    *LinuxInfo    `json:"linuxInfo,omitempty"`
	Volumes      []AppVolume   `json:"volumes"`
	PortMappings []PortMapping `json:"portMappings,omitzero"` // nil: absent (host networking)
}

// Docker names an image and how to run it.
type Docker struct {
	Credential     *Credential `json:"credential,omitempty"`
	PullConfig     *PullConfig `json:"pullConfig,omitempty"`
	ForcePullImage bool        `json:"forcePullImage"`
	Image          string      `json:"image"`
	Parameters     []Parameter `json:"parameters"`
	Privileged     bool        `json:"privileged"`
}

// Credential is the legacy registry credential.
type Credential struct {
	Principal string  `json:"principal"`
	Secret    *string `json:"secret,omitempty"`
}

// PullConfig names the secret that holds a registry's configuration.
type PullConfig struct {
	Secret string `json:"secret"`
}

// Parameter is a docker command line parameter.
type Parameter struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// LinuxInfo holds kernel-level settings of MESOS containers.
type LinuxInfo struct {
	Seccomp *Seccomp `json:"seccomp,omitempty"`
	IPCInfo *IPCInfo `json:"ipcInfo,omitempty"`
}

// Seccomp selects a system call filter.
type Seccomp struct {
	ProfileName *string `json:"profileName,omitempty"`
	Unconfined  bool    `json:"unconfined"`
}

// IPCInfo selects the IPC namespace; shmSize is MiB.
type IPCInfo struct {
	Mode    string `json:"mode"`
	ShmSize *int   `json:"shmSize,omitempty"`
}

// PortMapping is a port of a container that is not in host mode.
type PortMapping struct {
	ContainerPort int               `json:"containerPort"`
	HostPort      *int              `json:"hostPort,omitempty"`
	Labels        map[string]string `json:"labels"`
	Name          *string           `json:"name,omitempty"`
	Protocol      string            `json:"protocol"`
	ServicePort   int               `json:"servicePort"`
	NetworkNames  []string          `json:"networkNames,omitempty"`
}

// PortDefinition is a port of a task in host mode.
type PortDefinition struct {
	Port     int               `json:"port"`
	Labels   map[string]string `json:"labels,omitempty"`
	Name     *string           `json:"name,omitempty"`
	Protocol string            `json:"protocol"`
}

// The network modes.
const (
	NetworkHost      = "host"
	NetworkBridge    = "container/bridge"
	NetworkContainer = "container"
)

// Network is a network a spec joins.
type Network struct {
	Name   *string           `json:"name,omitempty"`
	Mode   string            `json:"mode"`
	Labels map[string]string `json:"labels,omitempty"`
}

// AppVolume is a volume of one of the four kinds; exactly one of HostPath, Persistent, External and Secret is set.
type AppVolume struct {
	ContainerPath string            `json:"containerPath"`
	HostPath      *string           `json:"hostPath,omitempty"`
	Persistent    *PersistentVolume `json:"persistent,omitempty"`
	External      *ExternalVolume   `json:"external,omitempty"`
	Secret        *string           `json:"secret,omitempty"`
	Mode          string            `json:"mode,omitempty"` // RO, RW; absent for secrets
}

// PersistentVolume asks for a reserved disk; sizes in MiB.
type PersistentVolume struct {
	Type        string       `json:"type"` // root, path, mount
	Size        int64        `json:"size"`
	MaxSize     *int64       `json:"maxSize,omitempty"`
	ProfileName *string      `json:"profileName,omitempty"`
	Constraints []Constraint `json:"constraints"`
}

// ExternalVolume is a volume of another system: provider dvdi or csi.
type ExternalVolume struct {
	Size     *int           `json:"size,omitempty"` // MiB
	Name     string         `json:"name"`
	Provider string         `json:"provider"`
	Options  ExternalOption `json:"options,omitzero"`
	Shared   *bool          `json:"shared,omitempty"`
}

// IsShared reports whether several instances may mount a DVDI volume.
func (e *ExternalVolume) IsShared() bool { return e.Shared != nil && *e.Shared }

// ExternalOption holds the options of an external volume: DVDI a map of strings, CSI an object.
type ExternalOption struct {
	DVDI map[string]string
	CSI  *CSIOptions
}

// IsZero makes an absent or empty map of options absent in JSON.
func (o ExternalOption) IsZero() bool { return o.CSI == nil && len(o.DVDI) == 0 }

// MarshalJSON writes whichever form is set.
func (o ExternalOption) MarshalJSON() ([]byte, error) {
	if o.CSI != nil {
		return EncodeJSON(o.CSI)
	}
	return EncodeJSON(o.DVDI)
}

// UnmarshalJSON reads a map of strings as DVDI options and everything else as CSI options; CSI options always hold
// an object, so no value is both.
func (o *ExternalOption) UnmarshalJSON(b []byte) error {
	*o = ExternalOption{}
	if json.Unmarshal(b, &o.DVDI) == nil {
		return nil
	}
	o.DVDI = nil
	if err := json.Unmarshal(b, &o.CSI); err != nil {
		return fmt.Errorf("options of an external volume: %w", err)
	}
	return nil
}

// CSIOptions configures a CSI volume.
type CSIOptions struct {
	PluginName        string            `json:"pluginName"`
	Capability        CSICapability     `json:"capability"`
	NodeStageSecret   map[string]string `json:"nodeStageSecret,omitempty"`
	NodePublishSecret map[string]string `json:"nodePublishSecret,omitempty"`
	VolumeContext     map[string]string `json:"volumeContext,omitempty"`
}

// CSICapability is how a CSI volume is accessed.
type CSICapability struct {
	AccessMode string   `json:"accessMode"`
	AccessType string   `json:"accessType"`
	FSType     *string  `json:"fsType,omitempty"`
	MountFlags []string `json:"mountFlags,omitempty"`
}

// HealthCheck is a health check of an app (http-api.md 4.8); durations are seconds.
type HealthCheck struct {
	Command                *CommandValue `json:"command,omitempty"`
	GracePeriodSeconds     int           `json:"gracePeriodSeconds"`
	IgnoreHTTP1xx          *bool         `json:"ignoreHttp1xx,omitempty"`
	IntervalSeconds        int           `json:"intervalSeconds"`
	MaxConsecutiveFailures int           `json:"maxConsecutiveFailures"`
	Path                   *string       `json:"path,omitempty"`
	Port                   *int          `json:"port,omitempty"`
	PortIndex              *int          `json:"portIndex,omitempty"`
	Protocol               string        `json:"protocol"` // HTTP HTTPS TCP COMMAND MESOS_HTTP MESOS_HTTPS MESOS_TCP
	IPProtocol             string        `json:"ipProtocol,omitempty"`
	TimeoutSeconds         int           `json:"timeoutSeconds"`
	DelaySeconds           int           `json:"delaySeconds"`
}

// ServerRun reports whether the leader itself probes (HTTP, HTTPS, TCP); the others run in the Mesos executor.
func (h HealthCheck) ServerRun() bool {
	return h.Protocol == "HTTP" || h.Protocol == "HTTPS" || h.Protocol == "TCP"
}

// CommandValue is a shell command.
type CommandValue struct {
	Value string `json:"value"`
}

// Check is a Mesos general check of an app; exactly one of Exec, HTTP and TCP is set.
type Check struct {
	HTTP            *CheckHTTP `json:"http,omitempty"`
	TCP             *CheckTCP  `json:"tcp,omitempty"`
	Exec            *CheckExec `json:"exec,omitempty"`
	IntervalSeconds int        `json:"intervalSeconds"`
	TimeoutSeconds  int        `json:"timeoutSeconds"`
	DelaySeconds    int        `json:"delaySeconds"`
}

// CheckExec runs a command.
type CheckExec struct {
	Command ShellOrArgv `json:"command"`
}

// ShellOrArgv is a command in one of two forms.
type ShellOrArgv struct {
	Shell *string  `json:"shell,omitempty"`
	Argv  []string `json:"argv,omitempty"`
}

// CheckHTTP is an HTTP request by the executor.
type CheckHTTP struct {
	PortIndex *int   `json:"portIndex,omitempty"`
	Port      *int   `json:"port,omitempty"`
	Path      string `json:"path,omitempty"`
	Scheme    string `json:"scheme"`
}

// CheckTCP is a connection attempt by the executor.
type CheckTCP struct {
	PortIndex *int `json:"portIndex,omitempty"`
	Port      *int `json:"port,omitempty"`
}

// ReadinessCheck gates deployments (behaviour.md 8.8); durations are seconds.
type ReadinessCheck struct {
	Name                    string `json:"name"`
	Protocol                string `json:"protocol"`
	Path                    string `json:"path"`
	PortName                string `json:"portName"`
	IntervalSeconds         int    `json:"intervalSeconds"`
	TimeoutSeconds          int    `json:"timeoutSeconds"`
	HTTPStatusCodesForReady []int  `json:"httpStatusCodesForReady"`
	PreserveLastResponse    bool   `json:"preserveLastResponse"`
}

func sortedConstraints(in []Constraint) []Constraint {
	if len(in) == 0 {
		return nil
	}
	out := slices.Clone(in)
	slices.SortFunc(out, func(a, b Constraint) int {
		return cmp.Or(cmp.Compare(a.Field, b.Field), cmp.Compare(a.Operator, b.Operator), cmp.Compare(a.Value, b.Value))
	})
	return slices.Compact(out)
}

// sortedChecks orders health checks by their text, because they compare as a set (behaviour.md 1.4).
func sortedChecks(in []HealthCheck) []HealthCheck {
	if len(in) < 2 {
		return nilSlice(in)
	}
	keys := make([][]byte, len(in))
	order := make([]int, len(in))
	for i, h := range in {
		// A health check holds only strings and numbers, so encoding cannot fail.
		keys[i], _ = EncodeJSON(h)
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return bytes.Compare(keys[a], keys[b]) })
	out := make([]HealthCheck, len(in))
	for i, o := range order {
		out[i] = in[o]
	}
	return out
}

func sortedPaths(in []PathID) []PathID {
	if len(in) == 0 {
		return nil
	}
	out := slices.Clone(in)
	slices.Sort(out)
	return slices.Compact(out)
}

// HostNetworking reports whether the app's tasks use the agent's network.
func (a *App) HostNetworking() bool {
	return len(a.Networks) == 0 || a.Networks[0].Mode == NetworkHost
}

// ServicePorts lists the service ports in order of the definitions or mappings (http-api.md 4.13).
func (a *App) ServicePorts() []int {
	var out []int
	if a.HostNetworking() {
		for _, p := range a.PortDefinitions {
			out = append(out, p.Port)
		}
	} else if a.Container != nil {
		for _, p := range a.Container.PortMappings {
			out = append(out, p.ServicePort)
		}
	}
	return out
}
