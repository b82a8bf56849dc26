package wire

import (
	"fmt"
	"slices"
	"strings"

	"stadion/core"
)

// CreatePod reads the body of POST /v2/pods: a full definition whose id is new (http-api.md 7.1, 7.5). The result has
// no version stamps.
func (c *Config) CreatePod(body []byte, tree core.Tree) (*core.Pod, error) {
	p, err := c.readPod(body, tree)
	if err != nil {
		return nil, err
	}
	if s, ok := tree.Spec(p.ID); ok && s.IsPod() {
		return nil, &core.Error{Kind: core.Conflict, Message: fmt.Sprintf("A pod with id [%s] already exists.", p.ID)}
	}
	return p, nil
}

// PutPod reads the body of PUT /v2/pods/{id}: a full definition that replaces or creates the pod. There is no partial
// update. existed says whether the pod was there.
func (c *Config) PutPod(id core.PathID, body []byte, tree core.Tree) (pod *core.Pod, existed bool, err error) {
	pod, err = c.readPod(body, tree)
	if err != nil {
		return nil, false, err
	}
	if pod.ID != id {
		return nil, false, &core.Error{Kind: core.BadRequest, Message: fmt.Sprintf("'%s' does not match definition's id ('%s')", id, pod.ID)}
	}
	s, ok := tree.Spec(id)
	return pod, ok && s.IsPod(), nil
}

// readPod decodes, checks and normalises a pod. Rules on the request come before defaults (http-api.md 7.5).
func (c *Config) readPod(body []byte, tree core.Tree) (*core.Pod, error) {
	v, err := parse(body)
	if err != nil {
		return nil, err
	}
	d, err := decodePod(v)
	if err != nil {
		return nil, err
	}
	if d.pod.ID, err = podID(d.idText); err != nil {
		return nil, err
	}
	r := c.rolesFor(d.pod.ID, tree, nil)
	c.normalizePod(d, r)
	if err := c.checkPod(d, r); err != nil {
		return nil, err
	}
	return &d.pod, c.checkSize(&d.pod, len(body))
}

func podID(text string) (core.PathID, error) {
	if !strings.HasPrefix(text, "/") {
		return "", notValid("/id", "Path needs to be absolute")
	}
	id, err := core.ParsePath(text, core.Root)
	switch {
	case err != nil:
		return "", notValid("/id", err.Error())
	case id == core.Root:
		return "", notValid("/id", "Path must contain at least one path element")
	}
	return id, nil
}

// normalizePod fills in what depends on other fields.
func (c *Config) normalizePod(d *podDraft, r roles) {
	p := &d.pod
	p.Networks = c.nameNetworks(p.Networks)
	if p.HostNetworking() || p.Networks[0].Mode == core.NetworkBridge {
		for i := range p.Containers {
			for j := range p.Containers[i].Endpoints {
				if e := &p.Containers[i].Endpoints[j]; e.HostPort == nil {
					e.HostPort = ptr(0)
				}
			}
		}
	}
	if p.Role == "" {
		p.Role = r.fallback
	}
	if !p.Resident() {
		return
	}
	if !d.upgradeGiven {
		p.Scheduling.Upgrade = core.PodUpgrade{MinimumHealthCapacity: 0.5, MaximumOverCapacity: 0}
	}
	if !d.unreachableGiven {
		p.Scheduling.UnreachableStrategy = core.UnreachableStrategy{Disabled: true}
	}
}

// podRules are the rules between fields of a normalised pod (http-api.md 7.6).
var podRules = []func(c *Config, p *core.Pod, v *violations){
	rulePodIdentity, rulePodPorts, rulePodContainers, rulePodVolumes, rulePodMounts, rulePodScheduling, rulePodResident,
}

func (c *Config) checkPod(d *podDraft, r roles) error {
	v := d.late
	p := &d.pod
	for _, rule := range podRules {
		rule(c, p, &v)
	}
	checkRole(p.Role, r, &v)
	checkAcceptedRoles(p.Scheduling.Placement.AcceptedResourceRoles, p.Role, p.Resident(), "pod", &v)
	return v.err(msgNotValid)
}

func rulePodIdentity(c *Config, p *core.Pod, v *violations) {
	checkReserved(p.ID, "/id", v)
	if p.User != nil && *p.User == "" {
		v.add("/user", "must not be empty")
	}
	checkNetworks(p.Networks, v)
	c.checkSecrets(p.Secrets, v)
	c.checkSecretRefs(p.Environment, p.Secrets, "/environment", v)
	checkLinuxInfo(p.LinuxInfo, "/linuxInfo", v)
	if p.LinuxInfo != nil && p.LinuxInfo.Seccomp != nil {
		v.add("/linuxInfo", "Seccomp configuration on executor level is not supported")
	}
}

// rulePodPorts checks the endpoints of all containers together.
func rulePodPorts(_ *Config, p *core.Pod, v *violations) {
	names, inside, outside := map[string]bool{}, map[int]bool{}, map[int]bool{}
	var sameName, sameInside, sameOutside bool
	for _, c := range p.Containers {
		for _, e := range c.Endpoints {
			sameName = sameName || names[e.Name]
			names[e.Name] = true
			if e.ContainerPort != nil {
				sameInside = sameInside || inside[*e.ContainerPort]
				inside[*e.ContainerPort] = true
			}
			if e.HostPort != nil && *e.HostPort != 0 {
				sameOutside = sameOutside || outside[*e.HostPort]
				outside[*e.HostPort] = true
			}
		}
	}
	if sameName {
		v.add("/", "endpoint names nust be unique across all containers") // the spelling is Marathon's
	}
	if sameInside {
		v.add("/", "container ports must be unique across all containers")
	}
	if sameOutside {
		v.add("/", "host ports must be unique across all containers")
	}
}

func rulePodContainers(c *Config, p *core.Pod, v *violations) {
	names, nets := map[string]bool{}, newKnownNetworks(p.Networks)
	for i, k := range p.Containers {
		if names[k.Name] && !v.has("/containers") {
			v.add("/containers", "container names must be unique")
		}
		names[k.Name] = true
		at := fmt.Sprintf("/containers(%d)", i)
		c.checkSecretRefs(k.Environment, p.Secrets, at+"/environment", v)
		if k.Image != nil {
			c.checkPullConfig(k.Image.PullConfig, p.Secrets, at+"/image/pullConfig", v)
		}
		checkLinuxInfo(k.LinuxInfo, at+"/linuxInfo", v)
		checkLimits(k.ResourceLimits, k.Resources.CPUs, k.Resources.Mem, at+"/resourceLimits", v)
		if p.LegacySharedCgroups && k.ResourceLimits != nil {
			v.add(at+"/resourceLimits", "resourceLimits cannot be defined if legacySharedCgroups is enabled")
		}
		for j, e := range k.Endpoints {
			place := fmt.Sprintf("%s/endpoints(%d)", at, j)
			checkEndpoint(p, e, place, v)
			nets.check(e.NetworkNames, e.HostPort, place, v)
		}
		checkPodHealth(k, at+"/healthCheck", v)
	}
}

func checkEndpoint(p *core.Pod, e core.Endpoint, at string, v *violations) {
	switch {
	case len(p.Networks) == 0:
		// Marathon judges the request: without a word about networks any port is taken, though such a pod is on the host's.
	case p.HostNetworking() && e.ContainerPort != nil:
		v.add(at+"/containerPort", "is not allowed when using host-mode networking")
	case p.Networks[0].Mode == core.NetworkContainer && e.ContainerPort == nil:
		v.add(at+"/containerPort", "is required when using container-mode networking")
	}
	if len(unique(e.Protocol)) != len(e.Protocol) {
		v.add(at+"/protocol", "Duplicate protocols within the same endpoint are not allowed")
	}
}

func checkPodHealth(k core.PodContainer, at string, v *violations) {
	h := k.HealthCheck
	if h == nil {
		return
	}
	kinds := 0
	check := func(kind, endpoint string) {
		kinds++
		if kind != "" && !slices.ContainsFunc(k.Endpoints, func(e core.Endpoint) bool { return e.Name == endpoint }) {
			v.add(at+"/"+kind+"/endpoint", "contained in the container endpoints")
		}
	}
	if h.HTTP != nil {
		check("http", h.HTTP.Endpoint)
	}
	if h.TCP != nil {
		check("tcp", h.TCP.Endpoint)
	}
	if h.Exec != nil {
		check("", "")
	}
	if kinds != 1 {
		v.add(at, "Only one of http, tcp, or command may be specified")
	}
	if h.TimeoutSeconds >= h.IntervalSeconds {
		v.add(at+"/timeoutSeconds", fmt.Sprintf("got %d, expected less than %d", h.TimeoutSeconds, h.IntervalSeconds))
	}
}

func rulePodVolumes(c *Config, p *core.Pod, v *violations) {
	mounted, names := map[string]bool{}, map[string]bool{}
	for _, k := range p.Containers {
		for _, m := range k.VolumeMounts {
			mounted[m.Name] = true
		}
	}
	for i, vol := range p.Volumes {
		at := fmt.Sprintf("/volumes(%d)", i)
		if names[vol.Name] && !v.has("/volumes") {
			v.add("/volumes", "volume names must be unique")
		}
		names[vol.Name] = true
		if vol.Secret != nil {
			if !c.Features[FeatureSecrets] {
				v.add(at, featureText(FeatureSecrets))
			}
			if _, ok := p.Secrets[*vol.Secret]; !ok {
				v.add(at, textSecretVolume)
			}
		}
		if vol.Persistent != nil {
			checkPersistent(vol.Persistent, at+"/persistent", v)
		}
		if !mounted[vol.Name] {
			v.add(at, "volume must be referenced by at least one container")
		}
	}
}

func rulePodMounts(_ *Config, p *core.Pod, v *violations) {
	volumes := make(map[string]bool, len(p.Volumes))
	for _, vol := range p.Volumes {
		volumes[vol.Name] = true
	}
	for i, k := range p.Containers {
		for j, m := range k.VolumeMounts {
			if !volumes[m.Name] {
				v.add(fmt.Sprintf("/containers(%d)/volumeMounts(%d)/name", i, j), "Referenced Volume in VolumeMount should exist")
			}
		}
	}
}

func rulePodScheduling(_ *Config, p *core.Pod, v *violations) {
	check := constraintChecks()
	for i, con := range p.PlacementConstraints() {
		text := check(con)
		if con.Field == "" {
			text = "missing field for constraint declaration"
		}
		if text != "" {
			v.add(fmt.Sprintf("/scheduling/placement/constraints(%d)", i), text)
		}
	}
}

func rulePodResident(_ *Config, p *core.Pod, v *violations) {
	if !p.Resident() {
		return
	}
	if p.Role == "*" {
		v.add("/role", "Resident pods cannot have the role *")
	}
	expectZero(p.Scheduling.Upgrade.MaximumOverCapacity, "/upgrade/maximumOverCapacity", v)
	if !p.Scheduling.UnreachableStrategy.Disabled {
		v.add("/", "unreachableStrategy must be disabled for pods with persistent volumes")
	}
}
