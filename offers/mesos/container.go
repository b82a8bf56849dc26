package mesos

import (
	"fmt"

	mesos "github.com/mesos/mesos-go/api/v1/lib"

	"stadion/offers"
)

// container converts behaviour 6.5's container.
func (e *encoder) container(c *offers.ContainerInfo) (*mesos.ContainerInfo, error) {
	if c == nil {
		return nil, nil
	}
	out := &mesos.ContainerInfo{Type: mesos.ContainerInfo_MESOS.Enum()}
	if c.Docker {
		out.Type = mesos.ContainerInfo_DOCKER.Enum()
	} else {
		out.Mesos = &mesos.ContainerInfo_MesosInfo{Image: toImage(c.Image)}
	}
	var err error
	if out.Docker, err = toDocker(c.DockerInfo); err != nil {
		return nil, err
	}
	for i := range c.Networks {
		out.NetworkInfos = append(out.NetworkInfos, toNetwork(&c.Networks[i]))
	}
	for i := range c.Volumes {
		v, err := e.volume(&c.Volumes[i])
		if err != nil {
			return nil, fmt.Errorf("volume at %s: %w", c.Volumes[i].ContainerPath, err)
		}
		out.Volumes = append(out.Volumes, v)
	}
	if c.TTY {
		out.TTYInfo = &mesos.TTYInfo{}
	}
	out.LinuxInfo, err = toLinux(c.LinuxInfo)
	return out, err
}

func toImage(i *offers.Image) *mesos.Image {
	if i == nil {
		return nil
	}
	out := &mesos.Image{Type: mesos.Image_DOCKER.Enum(), Docker: &mesos.Image_Docker{Name: i.Name}, Cached: flag(i.Cached)}
	if i.PullConfigSecret != "" {
		out.Docker.Config = secretReference(i.PullConfigSecret)
	}
	if i.Principal != "" {
		out.Docker.Credential = &mesos.Credential{Principal: i.Principal, Secret: optional(i.PrincipalSecret)}
	}
	return out
}

func toDocker(d *offers.DockerInfo) (*mesos.ContainerInfo_DockerInfo, error) {
	if d == nil {
		return nil, nil
	}
	out := &mesos.ContainerInfo_DockerInfo{Image: d.Image, Privileged: flag(d.Privileged), ForcePullImage: flag(d.ForcePullImage)}
	if d.Network != "" {
		network, ok := mesos.ContainerInfo_DockerInfo_Network_value[d.Network]
		if !ok {
			return nil, fmt.Errorf("unknown docker network %q", d.Network)
		}
		out.Network = mesos.ContainerInfo_DockerInfo_Network(network).Enum()
	}
	for _, p := range d.PortMappings {
		out.PortMappings = append(out.PortMappings, mesos.ContainerInfo_DockerInfo_PortMapping{
			HostPort: uint32(p.HostPort), ContainerPort: uint32(p.ContainerPort), Protocol: optional(p.Protocol),
		})
	}
	out.Parameters = toParameters(d.Parameters)
	return out, nil
}

func toParameters(list []offers.Label) []mesos.Parameter {
	if len(list) == 0 {
		return nil
	}
	out := make([]mesos.Parameter, len(list))
	for i := range list {
		out[i] = mesos.Parameter{Key: list[i].Key, Value: list[i].Value}
	}
	return out
}

func toNetwork(n *offers.NetworkInfo) mesos.NetworkInfo {
	out := mesos.NetworkInfo{Name: optional(n.Name), Labels: toLabels(n.Labels)}
	for _, protocol := range n.IPProtocols {
		p := mesos.IPv4
		if protocol == "IPv6" {
			p = mesos.IPv6
		}
		out.IPAddresses = append(out.IPAddresses, mesos.NetworkInfo_IPAddress{Protocol: p.Enum()})
	}
	for _, p := range n.PortMappings {
		out.PortMappings = append(out.PortMappings, mesos.NetworkInfo_PortMapping{
			HostPort: uint32(p.HostPort), ContainerPort: uint32(p.ContainerPort), Protocol: optional(p.Protocol),
		})
	}
	return out
}

func (e *encoder) volume(v *offers.VolumeInfo) (mesos.Volume, error) {
	mode, err := volumeMode(v.Mode)
	if err != nil {
		return mesos.Volume{}, err
	}
	out := mesos.Volume{ContainerPath: v.ContainerPath, Mode: mode, HostPath: v.HostPath}
	switch {
	case v.SandboxParent != "":
		out.Source = &mesos.Volume_Source{
			Type:        mesos.Volume_Source_SANDBOX_PATH,
			SandboxPath: &mesos.Volume_Source_SandboxPath{Type: mesos.Volume_Source_SandboxPath_PARENT, Path: v.SandboxParent},
		}
	case v.DockerName != "":
		docker := &mesos.Volume_Source_DockerVolume{Driver: optional(v.DockerDriver), Name: v.DockerName}
		if len(v.DockerOptions) > 0 {
			docker.DriverOptions = &mesos.Parameters{Parameter: toParameters(v.DockerOptions)}
		}
		out.Source = &mesos.Volume_Source{Type: mesos.Volume_Source_DOCKER_VOLUME, DockerVolume: docker}
	case v.Secret != "":
		out.Source = &mesos.Volume_Source{Type: mesos.Volume_Source_SECRET, Secret: secretReference(v.Secret)}
	case v.CSI != nil:
		csi, err := encodeCSI(v.CSI)
		if err != nil {
			return out, err
		}
		e.csi = true
		out.Source = &mesos.Volume_Source{Type: csiVolume, DockerVolume: &mesos.Volume_Source_DockerVolume{Driver: text(string(csi))}}
	}
	return out, nil
}

// toLinux converts the kernel-level settings; shm sizes are MiB on both sides.
func toLinux(l *offers.LinuxInfo) (*mesos.LinuxInfo, error) {
	if l == nil {
		return nil, nil
	}
	out := &mesos.LinuxInfo{ShareCgroups: l.ShareCgroups}
	if l.SeccompProfile != "" || l.SeccompUnconfined {
		out.Seccomp = &mesos.SeccompInfo{ProfileName: optional(l.SeccompProfile)}
		if l.SeccompUnconfined {
			out.Seccomp.Unconfined = flag(true)
		}
	}
	switch l.IPCMode {
	case "":
	case "PRIVATE":
		out.IPCMode = mesos.LinuxInfo_PRIVATE.Enum()
	case "SHARE_PARENT":
		out.IPCMode = mesos.LinuxInfo_SHARE_PARENT.Enum()
	default:
		return nil, fmt.Errorf("unknown ipc mode %q", l.IPCMode)
	}
	if l.ShmSize > 0 {
		size := uint32(l.ShmSize)
		out.SHMSize = &size
	}
	return out, nil
}
