package wire

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"stadion/core"
)

// legacyRules refuse contradicting or misplaced old forms (http-api.md 4.9, 4.11.2). They see one draft as it was given.
var legacyRules = []func(*draft, *violations){
	ruleURIs, rulePorts, ruleLegacyNetworks, ruleDiscovery, ruleDockerFields,
}

// mergeRules are those of them that hold for a partial update too; Marathon looks for the others only in the merged
// app, where the old forms are gone.
var mergeRules = []func(*draft, *violations){ruleURIs, ruleLegacyNetworks, ruleDiscovery, ruleDockerFields}

func ruleURIs(d *draft, v *violations) {
	if len(d.legacy.URIs) > 0 && len(d.app.Fetch) > 0 {
		v.add("/uris", "may not be set in conjunction with fetch")
	}
	for i, u := range d.legacy.URIs {
		if !validURI(u) {
			v.add(fmt.Sprintf("/uris(%d)", i), textBadURI)
		}
	}
}

func rulePorts(d *draft, v *violations) {
	l := &d.legacy
	if d.given.has(fPortDefinitions) && l.Ports != nil && !slices.EqualFunc(d.app.PortDefinitions, l.Ports,
		func(d core.PortDefinition, p int) bool { return d.Port == p }) {
		v.add("/", "cannot specify both ports and port definitions")
	}
	if l.IPAddress != nil && (len(l.Ports) > 0 || len(d.app.PortDefinitions) > 0) {
		v.add("/", "cannot specify both an IP address and port")
	}
	seen := map[int]bool{}
	for _, p := range l.Ports {
		if p != 0 && seen[p] {
			v.add("/", "ports must be unique")
			return
		}
		seen[p] = true
	}
}

func ruleLegacyNetworks(d *draft, v *violations) {
	if len(d.app.Networks) > 0 && d.legacy.DockerNetwork != "" {
		v.add("/", "must not specify both container.docker.network and networks")
	}
	if len(d.app.Networks) > 0 && d.legacy.IPAddress != nil {
		v.add("/", "must not specify both networks and ipAddress")
	}
	if d.legacy.DockerNetwork == "NONE" {
		v.add("/container/docker/network", "unsupported docker network type NONE")
	}
	c := d.app.Container
	if c == nil {
		return
	}
	if c.PortMappings != nil && len(d.legacy.DockerMappings) > 0 {
		v.add("/container/portMappings", "cannot specify both portMappings and docker.portMappings")
	}
	if c.PortMappings != nil && d.legacy.IPAddress != nil && len(d.legacy.IPAddress.Discovery) > 0 {
		v.add("/ipAddress/discovery/ports", "container.portMappings and ipAddress.discovery.ports must not both be set")
	}
}

func ruleDiscovery(d *draft, v *violations) {
	if d.legacy.IPAddress != nil && d.legacy.IPAddress.HasPorts && d.app.Container != nil && d.app.Container.Type == "DOCKER" {
		v.add("/ipAddress", "ipAddress/discovery is not allowed for Docker containers")
	}
}

func ruleDockerFields(d *draft, v *violations) {
	const empty = "must be empty"
	c := d.app.Container
	if c == nil {
		return
	}
	if c.Docker == nil {
		if c.Type == "DOCKER" {
			v.add("/container/docker", "not defined")
		}
		return
	}
	if c.Docker.Credential != nil {
		v.add("/container/docker/credential", empty)
	}
	if c.Type != "MESOS" {
		return
	}
	if d.legacy.DockerNetwork != "" {
		v.add("/container/docker/network", empty)
	}
	if len(c.Docker.Parameters) > 0 {
		v.add("/container/docker/parameters", empty)
	}
	if d.legacy.DockerMappings != nil {
		v.add("/container/docker/portMappings", empty)
	}
}

// translate replaces the old forms of a draft that passed the legacy rules by canonical ones (http-api.md 4.9).
func (c *Config) translate(d *draft) {
	if l := d.legacy.URIs; l != nil && len(d.app.Fetch) == 0 {
		d.app.Fetch = make([]core.Artifact, len(l))
		for i, u := range l {
			d.app.Fetch[i] = core.Artifact{URI: u, Extract: isArchive(u)}
		}
		d.given.set(fFetch)
	}
	if p := d.legacy.Ports; p != nil && !d.given.has(fPortDefinitions) {
		d.app.PortDefinitions = make([]core.PortDefinition, len(p))
		for i, n := range p {
			d.app.PortDefinitions[i] = core.PortDefinition{Port: n, Protocol: "tcp"}
		}
		d.given.set(fPortDefinitions)
	}
	c.translateNetworks(d)
	if m := d.legacy.DockerMappings; m != nil && d.app.Container != nil && d.app.Container.PortMappings == nil {
		d.app.Container.PortMappings = m
	}
}

func (c *Config) translateNetworks(d *draft) {
	ip := d.legacy.IPAddress
	var n core.Network
	switch {
	case d.legacy.DockerNetwork == "HOST":
		n.Mode = core.NetworkHost
	case d.legacy.DockerNetwork == "BRIDGE":
		n.Mode = core.NetworkBridge
	case d.legacy.DockerNetwork == "USER" || ip != nil:
		n.Mode = core.NetworkContainer
	default:
		return
	}
	if n.Mode != core.NetworkHost && ip != nil && len(ip.Labels) > 0 {
		n.Labels = ip.Labels
	}
	if n.Mode == core.NetworkContainer && ip != nil {
		n.Name = ip.NetworkName
		if d.legacy.DockerNetwork == "" && n.Name != nil && *n.Name == c.mesosBridge() {
			n = core.Network{Mode: core.NetworkBridge, Labels: n.Labels}
		}
	}
	d.app.Networks = []core.Network{n}
	d.given.set(fNetworks)
	if ip == nil || n.Mode == core.NetworkHost {
		return
	}
	if len(ip.Discovery) == 0 {
		return
	}
	if d.app.Container == nil {
		d.app.Container = emptyContainer()
		d.given.set(fContainer)
	}
	d.app.Container.PortMappings = ip.Discovery
}

func emptyContainer() *core.Container {
	return &core.Container{Type: "MESOS", Volumes: []core.AppVolume{}}
}

var archiveSuffixes = []string{".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".gz", ".tgz", ".tbz2", ".txz", ".zip"}

// isArchive reports whether the fetcher unpacks what an old uris entry names; the query does not count.
func isArchive(uri string) bool {
	p := uri
	if u, err := url.Parse(uri); err == nil && u.Path != "" {
		p = u.Path
	}
	return slices.ContainsFunc(archiveSuffixes, func(s string) bool { return strings.HasSuffix(p, s) })
}
