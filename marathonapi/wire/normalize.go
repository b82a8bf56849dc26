package wire

import (
	"slices"

	"stadion/core"
)

// normalize brings an app into the one canonical form (http-api.md 4.10). given says which fields the request named,
// update whether the rest comes from a stored app. It changes no value that a stored app shares.
func (c *Config) normalize(a *core.App, given fieldSet, update bool, r roles) {
	c.normalizeNetworks(a)
	if a.HostNetworking() {
		hostPorts(a)
	} else {
		containerPorts(a)
	}
	normalizeVolumes(a, given, update)
	if given.has(fHealthChecks) {
		fillPortIndex(a, given, update)
		for i := range a.HealthChecks {
			trimHealthCheck(&a.HealthChecks[i])
		}
	}
	if given.has(fContainer) {
		trimContainer(a)
	}
	if a.Role == "" {
		a.Role = r.fallback
	}
	a.Constraints = nonEmpty(unique(a.Constraints))
	a.Dependencies = nonEmpty(unique(a.Dependencies))
	a.Args, a.Fetch, a.HealthChecks, a.ReadinessChecks = nonEmpty(a.Args), nonEmpty(a.Fetch), nonEmpty(a.HealthChecks), nonEmpty(a.ReadinessChecks)
	if len(a.Env) == 0 {
		a.Env = nil
	}
	if len(a.Secrets) == 0 {
		a.Secrets = nil
	}
	a.Labels = orEmpty(a.Labels)
}

func (c *Config) normalizeNetworks(a *core.App) {
	if len(a.Networks) == 0 {
		a.Networks = []core.Network{{Mode: core.NetworkHost}}
		return
	}
	a.Networks = c.nameNetworks(a.Networks)
}

// nameNetworks fills in --default_network_name.
func (c *Config) nameNetworks(in []core.Network) []core.Network {
	if c.DefaultNetworkName == "" {
		return in
	}
	out := slices.Clone(in)
	for i := range out {
		if out[i].Mode == core.NetworkContainer && out[i].Name == nil {
			name := c.DefaultNetworkName
			out[i].Name = &name
		}
	}
	return out
}

func hostPorts(a *core.App) {
	if a.Container != nil && a.Container.PortMappings != nil {
		k := *a.Container
		k.PortMappings = nil
		a.Container = &k
	}
	if a.PortDefinitions == nil {
		a.PortDefinitions = []core.PortDefinition{{Name: ptr(defaultPortName), Protocol: "tcp"}}
	}
}

func ptr[T any](v T) *T { return &v }

// trimContainer drops what the container's engine has no use for, as Marathon's model does.
func trimContainer(a *core.App) {
	if a.Container == nil {
		return
	}
	k := *a.Container
	if k.Type == "DOCKER" {
		k.LinuxInfo = nil
	} else if k.Docker != nil {
		d := *k.Docker
		d.Privileged = false
		k.Docker = &d
	}
	a.Container = &k
}

// containerPorts gives a bridge or container app its mappings: none at all means one dynamic port, and definitions
// beyond the mappings, be they given or those of an app that leaves host networking, become further mappings, of which
// only the number counts.
func containerPorts(a *core.App) {
	k, surplus := emptyContainer(), a.Container != nil
	if a.Container != nil {
		*k = *a.Container
	}
	a.Container = k
	bridge := a.Networks[0].Mode == core.NetworkBridge
	k.PortMappings = slices.Clone(k.PortMappings)
	if k.PortMappings == nil {
		k.PortMappings = []core.PortMapping{{Name: ptr(defaultPortName), Protocol: "tcp", Labels: map[string]string{}}}
	}
	for surplus && len(a.PortDefinitions) > len(k.PortMappings) {
		k.PortMappings = append(k.PortMappings, core.PortMapping{Protocol: "tcp", Labels: map[string]string{}})
	}
	if bridge {
		for i := range k.PortMappings {
			if k.PortMappings[i].HostPort == nil {
				k.PortMappings[i].HostPort = ptr(0)
			}
		}
	}
	a.PortDefinitions, a.RequirePorts = nil, false
}

// normalizeVolumes sets what depends on the kinds of volumes (http-api.md 4.10.3).
func normalizeVolumes(a *core.App, given fieldSet, update bool) {
	resident, external := a.Resident(), hasExternal(a)
	a.Residency = nil
	if resident {
		a.Residency = &core.Residency{RelaunchEscalationTimeoutSeconds: 3600, TaskLostBehavior: "WAIT_FOREVER"}
	}
	if update {
		return
	}
	if (resident || external) && !given.has(fUpgradeStrategy) {
		a.UpgradeStrategy = core.UpgradeStrategy{MaximumOverCapacity: 0, MinimumHealthCapacity: 0.5}
	}
	if resident && !given.has(fUnreachable) {
		a.UnreachableStrategy = core.UnreachableStrategy{Disabled: true}
	}
}

func hasExternal(a *core.App) bool {
	return a.Container != nil && slices.ContainsFunc(a.Container.Volumes, func(v core.AppVolume) bool { return v.External != nil })
}

// fillPortIndex points checks without a port at the first port (http-api.md 4.10.4).
func fillPortIndex(a *core.App, given fieldSet, update bool) {
	explicit := given.has(fPortDefinitions) && len(a.PortDefinitions) > 0
	if !update && !explicit && (a.Container == nil || len(a.Container.PortMappings) == 0) {
		return
	}
	for i := range a.HealthChecks {
		h := &a.HealthChecks[i]
		if h.Protocol != protocolCommand && h.Port == nil && h.PortIndex == nil {
			h.PortIndex = ptr(0)
		}
	}
}
