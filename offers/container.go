package offers

import (
	"slices"

	"stadion/core"
)

// appContainer is the ContainerInfo of an app's task, nil where none is needed (behaviour.md 6.5).
func appContainer(cfg *Config, a *core.App, taskID string, ports []appPort) *ContainerInfo {
	if a.Container == nil && a.HostNetworking() {
		return nil
	}
	c := &ContainerInfo{TTY: a.TTY != nil && *a.TTY}
	if a.Container == nil {
		c.Networks = mesosNetworks(cfg, a.Networks, ports)
		return c
	}
	c.Volumes = appVolumes(a.Container.Volumes)
	if a.Container.Type == "DOCKER" && a.Container.Docker != nil {
		dockerContainer(c, a, taskID, ports)
		return c
	}
	c.Networks = mesosNetworks(cfg, a.Networks, ports)
	c.LinuxInfo = linuxInfo(a.Container.LinuxInfo)
	if d := a.Container.Docker; d != nil {
		c.Image = &Image{Name: d.Image, Cached: !d.ForcePullImage}
		if d.PullConfig != nil {
			c.Image.PullConfigSecret = d.PullConfig.Secret
		}
		if d.Credential != nil {
			c.Image.Principal, c.Image.PrincipalSecret = d.Credential.Principal, text(d.Credential.Secret)
		}
	}
	return c
}

// dockerContainer fills in what Docker's own containerizer needs.
func dockerContainer(c *ContainerInfo, a *core.App, taskID string, ports []appPort) {
	d := a.Container.Docker
	c.Docker = true
	c.DockerInfo = &DockerInfo{Image: d.Image, Privileged: d.Privileged, ForcePullImage: d.ForcePullImage, Network: "HOST"}
	for _, p := range d.Parameters {
		c.DockerInfo.Parameters = append(c.DockerInfo.Parameters, Label(p))
	}
	c.DockerInfo.Parameters = append(c.DockerInfo.Parameters, Label{"label", "MESOS_TASK_ID=" + taskID})
	if a.HostNetworking() {
		return
	}
	c.DockerInfo.PortMappings = portMappings(ports, "")
	if a.Networks[0].Mode == core.NetworkBridge {
		c.DockerInfo.Network = "BRIDGE"
		return
	}
	c.DockerInfo.Network = "USER"
	c.Networks = []NetworkInfo{{Name: text(a.Networks[0].Name)}}
}

// portMappings maps every port with a host port, one mapping per protocol (D-35). With a network only the ports
// that are for all networks or name this one among others (D-37).
func portMappings(ports []appPort, network string) []PortMapping {
	var out []PortMapping
	for i := range ports {
		p := &ports[i]
		if p.host == 0 || network != "" && len(p.networks) > 0 && !slices.Contains(p.networks, network) {
			continue
		}
		for _, proto := range p.protocols {
			out = append(out, PortMapping{p.host, p.container, proto})
		}
	}
	return out
}

// mesosNetworks are the networks of a MESOS container (behaviour.md 6.5); each gets one default address.
func mesosNetworks(cfg *Config, nets []core.Network, ports []appPort) []NetworkInfo {
	var out []NetworkInfo
	for i := range nets {
		n := &nets[i]
		info := NetworkInfo{Labels: sortedLabels(n.Labels), IPProtocols: []string{"IPv4"}}
		switch n.Mode {
		case core.NetworkBridge:
			info.Name = cfg.BridgeName
			info.PortMappings = portMappings(ports, "")
		case core.NetworkContainer:
			info.Name = text(n.Name)
			info.PortMappings = portMappings(ports, info.Name)
		default:
			continue
		}
		out = append(out, info)
	}
	return out
}

// appVolumes are the volumes besides persistent ones, which come as resources, and secrets, which need a plugin.
func appVolumes(list []core.AppVolume) []VolumeInfo {
	var out []VolumeInfo
	for i := range list {
		v := &list[i]
		info := VolumeInfo{ContainerPath: v.ContainerPath, Mode: v.Mode}
		switch {
		case v.HostPath != nil:
			info.HostPath = v.HostPath
		case v.External != nil:
			externalVolume(&info, v.External)
		default:
			continue
		}
		out = append(out, info)
	}
	return out
}

// optionDriver names the driver among the options of a DVDI volume; the others go to the driver.
const optionDriver = "dvdi/driver"

func externalVolume(info *VolumeInfo, e *core.ExternalVolume) {
	if csi := e.Options.CSI; csi != nil {
		info.CSI = &CSIVolume{Plugin: csi.PluginName, VolumeID: e.Name, AccessType: csi.Capability.AccessType,
			AccessMode: csi.Capability.AccessMode, FSType: text(csi.Capability.FSType), MountFlags: csi.Capability.MountFlags,
			ReadOnly: info.Mode == "RO", NodeStageSecrets: sortedLabels(csi.NodeStageSecret),
			NodePublishSecrets: sortedLabels(csi.NodePublishSecret), Context: sortedLabels(csi.VolumeContext)}
		return
	}
	info.DockerName, info.DockerDriver = e.Name, e.Options.DVDI[optionDriver]
	for _, l := range sortedLabels(e.Options.DVDI) {
		if l.Key != optionDriver {
			info.DockerOptions = append(info.DockerOptions, l)
		}
	}
}

func linuxInfo(l *core.LinuxInfo) *LinuxInfo {
	if l == nil || l.Seccomp == nil && l.IPCInfo == nil {
		return nil
	}
	out := &LinuxInfo{}
	if s := l.Seccomp; s != nil {
		out.SeccompProfile, out.SeccompUnconfined = text(s.ProfileName), s.Unconfined
	}
	if i := l.IPCInfo; i != nil {
		out.IPCMode = i.Mode
		if i.ShmSize != nil {
			out.ShmSize = *i.ShmSize
		}
	}
	return out
}
