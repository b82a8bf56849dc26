package wire

import (
	"stadion/core"
)

// The words of enumerations, in canonical spelling (http-api.md 4.8).
var (
	containerTypes  = []string{"DOCKER", "MESOS"}
	dockerNetworks  = []string{"BRIDGE", "HOST", "NONE", "USER"}
	networkModes    = []string{core.NetworkHost, core.NetworkBridge, core.NetworkContainer}
	portProtocols   = []string{"tcp", "udp", "udp,tcp"}
	volumeModes     = []string{"RO", "RW"}
	persistentTypes = []string{"root", "path", "mount"}
	ipcModes        = []string{"PRIVATE", "SHARE_PARENT"}
	csiAccessTypes  = []string{csiMount, "block"}
	csiAccessModes  = []string{"SINGLE_NODE_WRITER", "SINGLE_NODE_READER_ONLY", "MULTI_NODE_READER_ONLY",
		"MULTI_NODE_SINGLE_WRITER", "MULTI_NODE_MULTI_WRITER"}
)

// csiMount is the access type that has a file system.
const csiMount = "mount"

// maxPort is the highest port.
const maxPort = 65535

// The providers of external volumes.
const (
	providerDVDI = "dvdi"
	providerCSI  = "csi"
)

func readContainer(o object, d *draft) {
	c, ok := o.child("container")
	if !ok {
		return
	}
	out := &core.Container{Type: c.enum("type", "DOCKER", containerTypes)}
	if dk, ok := c.child("docker"); ok {
		out.Docker = readDocker(dk, d)
	}
	out.LinuxInfo = readLinuxInfo(c)
	out.Volumes = objects(c, "volumes", readVolume)
	if out.Volumes == nil {
		out.Volumes = []core.AppVolume{}
	}
	out.PortMappings = objects(c, "portMappings", readPortMapping)
	d.app.Container = out
}

func readDocker(o object, d *draft) *core.Docker {
	out := &core.Docker{Image: o.requiredText("image"), ForcePullImage: o.boolean("forcePullImage", false),
		Privileged: o.boolean("privileged", false), Parameters: objects(o, "parameters", readParameter), PullConfig: readPullConfig(o)}
	if out.Parameters == nil {
		out.Parameters = []core.Parameter{}
	}
	if c, ok := o.child("credential"); ok {
		out.Credential = &core.Credential{Principal: c.requiredText("principal"), Secret: c.optText("secret")}
	}
	d.legacy.DockerNetwork = o.enum("network", "", dockerNetworks)
	d.legacy.DockerMappings = objects(o, "portMappings", readPortMapping)
	return out
}

func readParameter(o object) core.Parameter {
	return core.Parameter{Key: o.requiredText("key"), Value: o.requiredText("value")}
}

func readPullConfig(o object) *core.PullConfig {
	p, ok := o.child("pullConfig")
	if !ok {
		return nil
	}
	return &core.PullConfig{Secret: p.requiredText("secret")}
}

func readLinuxInfo(o object) *core.LinuxInfo {
	l, ok := o.child("linuxInfo")
	if !ok {
		return nil
	}
	out := &core.LinuxInfo{}
	if s, ok := l.child("seccomp"); ok {
		out.Seccomp = &core.Seccomp{ProfileName: s.optText("profileName")}
		// A wrong type falls back to the default instead of failing (http-api.md 1.13, bug-compatible).
		out.Seccomp.Unconfined, _ = s.m["unconfined"].(bool)
	}
	if i, ok := l.child("ipcInfo"); ok {
		i.require("mode")
		out.IPCInfo = &core.IPCInfo{Mode: i.enum("mode", "", ipcModes), ShmSize: i.optInteger("shmSize")}
	}
	return out
}

func readPortMapping(o object) core.PortMapping {
	return core.PortMapping{ContainerPort: o.integer("containerPort", 0), HostPort: o.optInteger("hostPort"), Labels: labels(o),
		Name: o.optText("name"), Protocol: o.enum("protocol", "tcp", portProtocols), ServicePort: o.integer("servicePort", 0),
		NetworkNames: nonEmpty(o.texts("networkNames"))}
}

// readDiscoveryPort reads a port of ipAddress.discovery as the mapping it becomes (http-api.md 4.9).
func readDiscoveryPort(o object) core.PortMapping {
	name := o.requiredText("name")
	p := core.PortMapping{ContainerPort: o.integer("number", 0), Labels: labels(o), Name: &name,
		Protocol: o.enum("protocol", "tcp", portProtocols)}
	switch n := p.ContainerPort; {
	case n < 0:
		o.fail("number", errMin)
		p.ContainerPort = 0
	case n > maxPort:
		o.fail("number", errMax)
		p.ContainerPort = 0
	}
	return p
}

func readPortDefinition(o object) core.PortDefinition {
	d := core.PortDefinition{Port: o.integer("port", 0), Labels: o.textMap("labels"), Name: o.optText("name"),
		Protocol: o.enum("protocol", "tcp", portProtocols)}
	if len(d.Labels) == 0 {
		d.Labels = nil
	}
	return d
}

func readNetwork(o object) core.Network {
	n := core.Network{Name: o.optText("name"), Mode: o.enum("mode", core.NetworkContainer, networkModes), Labels: o.textMap("labels")}
	if len(n.Labels) == 0 {
		n.Labels = nil
	}
	return n
}

// labels reads the labels that are always shown, even when empty.
func labels(o object) map[string]string {
	if m := o.textMap("labels"); m != nil {
		return m
	}
	return map[string]string{}
}

func nonEmpty[T any](l []T) []T {
	if len(l) == 0 {
		return nil
	}
	return l
}

// readVolume takes the first kind that the object names. Where that kind is incomplete Marathon goes on to the next
// and ends by missing hostPath; both the precise violation and that one are reported (http-api.md 1.13).
func readVolume(o object) core.AppVolume {
	v := core.AppVolume{ContainerPath: o.requiredText("containerPath")}
	before := len(o.r.schema)
	switch {
	case o.has("persistent"):
		if p, ok := o.child("persistent"); ok {
			v.Persistent = readPersistent(p)
		}
	case o.has("external"):
		if e, ok := o.child("external"); ok {
			v.External = readExternal(e)
		}
	case o.has("secret"):
		s := o.text("secret", "")
		v.Secret = &s
	default:
		p := o.requiredText("hostPath")
		v.HostPath = &p
	}
	if v.Secret == nil && o.require("mode") {
		v.Mode = o.enum("mode", "RW", volumeModes)
	}
	if v.HostPath == nil && len(o.r.schema) > before && !o.has("hostPath") {
		o.missing("hostPath")
	}
	return v
}

func (o object) has(name string) bool {
	_, ok := o.get(name)
	return ok
}

func readPersistent(o object) *core.PersistentVolume {
	p := &core.PersistentVolume{ProfileName: o.optText("profileName")}
	def := "root"
	if p.ProfileName != nil {
		def = "mount"
	}
	p.Type = o.enum("type", def, persistentTypes)
	if o.require("size") {
		p.Size = o.long("size", 0)
	}
	if o.has("maxSize") {
		m := o.long("maxSize", 0)
		p.MaxSize = &m
	}
	p.Constraints = []core.Constraint{}
	for i, c := range readConstraints(o, "constraints") {
		if con, text := volumeConstraint(c); text != "" {
			o.r.late.add(o.path.field("constraints").at(i).String(), text)
		} else {
			p.Constraints = append(p.Constraints, con)
		}
	}
	// A profile makes the type mount, but Marathon's rules look at what was written.
	if !o.has("type") && p.ProfileName != nil {
		written := *p
		written.Type = "root"
		checkDisk(&written, o.path.String(), &o.r.late)
	}
	return p
}

func readExternal(o object) *core.ExternalVolume {
	e := &core.ExternalVolume{Name: o.text("name", ""), Provider: o.text("provider", "")}
	if e.Provider == providerCSI {
		if opt, ok := o.child("options"); ok {
			e.Options.CSI = readCSI(opt)
		} else if !o.has("options") {
			o.missing("options")
		}
		return e
	}
	if o.has("size") {
		e.Size = ptr(int(o.long("size", 0)))
	}
	e.Shared = o.optBoolean("shared")
	if e.Shared == nil {
		no := false
		e.Shared = &no
	}
	if opts := o.textMap("options"); len(opts) > 0 {
		e.Options.DVDI = opts
	}
	return e
}

func readCSI(o object) *core.CSIOptions {
	c := &core.CSIOptions{PluginName: o.requiredText("pluginName"), NodeStageSecret: orNil(o.textMap("nodeStageSecret")),
		NodePublishSecret: orNil(o.textMap("nodePublishSecret")), VolumeContext: orNil(o.textMap("volumeContext"))}
	cp, ok := o.child("capability")
	if !ok {
		if !o.has("capability") {
			o.missing("capability")
		}
		return c
	}
	if cp.require("accessType") {
		c.Capability.AccessType = cp.enum("accessType", "", csiAccessTypes)
	}
	if cp.require("accessMode") {
		c.Capability.AccessMode = cp.enum("accessMode", "", csiAccessModes)
	}
	fsType, flags := cp.optText("fsType"), nonEmpty(cp.texts("mountFlags"))
	if c.Capability.AccessType == csiMount {
		c.Capability.FSType, c.Capability.MountFlags = fsType, flags
	}
	return c
}

func orNil(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	return m
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
