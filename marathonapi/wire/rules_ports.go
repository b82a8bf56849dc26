package wire

import (
	"fmt"
	"slices"
	"strings"

	"stadion/core"
)

const textPortIndex = "Health check port indices must address an element of the ports array or container port mappings."

func ruleNetworks(_ *Config, a *core.App, v *violations) {
	checkNetworks(a.Networks, v)
	containers := 0
	for _, n := range a.Networks {
		if n.Mode == core.NetworkContainer {
			containers++
		}
	}
	if containers > 1 && a.Container != nil && a.Container.Type == "DOCKER" {
		v.add("/", "may only specify a single container network when using the Docker container engine")
	}
}

// checkNetworks checks the combination of networks of an app or pod (http-api.md 4.11.3).
func checkNetworks(nets []core.Network, v *violations) {
	var hosts, bridges, containers, unnamed int
	names := map[string]bool{}
	duplicate, hostNamed, bridgeNamed := false, false, false
	for _, n := range nets {
		if n.Name != nil {
			duplicate = duplicate || names[*n.Name]
			names[*n.Name] = true
		}
		switch n.Mode {
		case core.NetworkHost:
			hosts++
			hostNamed = hostNamed || n.Name != nil || len(n.Labels) > 0
		case core.NetworkBridge:
			bridges++
			bridgeNamed = bridgeNamed || n.Name != nil
		default:
			containers++
			if n.Name == nil {
				unnamed++
			}
		}
	}
	for _, r := range []struct {
		broken bool
		text   string
	}{
		{hostNamed, "Host networks may not have names or labels"},
		{bridgeNamed, "Bridge networks may not have names"},
		{duplicate || unnamed > 1, "Duplicate networks are not allowed"},
		{hosts > 1 || bridges > 1 || hosts*bridges+hosts*containers+bridges*containers > 0,
			"May specify a single host network, single bridge network, or else 1-to-n container networks"},
		{unnamed > 0, "Network name must be specified when container network is selected."},
	} {
		if r.broken {
			v.add("/networks", r.text)
		}
	}
}

// knownNetworks are the names that ports of a spec may refer to.
type knownNetworks struct {
	names map[string]bool
	text  string // the violation of naming another
}

// mostNames bounds the names that a violation lists.
const mostNames = 20

func newKnownNetworks(nets []core.Network) knownNetworks {
	k := knownNetworks{names: map[string]bool{}}
	var list []string
	for _, n := range nets {
		if n.Name != nil && !k.names[*n.Name] {
			k.names[*n.Name] = true
			list = append(list, *n.Name)
		}
	}
	if len(list) > mostNames {
		list = append(list[:mostNames], "…")
	}
	k.text = "is not one of (" + strings.Join(list, ",") + ")"
	return k
}

// check checks the networks that a port refers to.
func (k knownNetworks) check(refs []string, hostPort *int, at string, v *violations) {
	if hostPort != nil && len(k.names) > 1 && len(refs) != 1 {
		v.add(at, "networkNames must be a single item list when hostPort is specified and more than 1 container network is defined")
	}
	for i, n := range refs {
		if !k.names[n] {
			v.add(fmt.Sprintf("%s/networkNames(%d)", at, i), k.text)
		}
	}
}

func rulePortDefinitions(_ *Config, a *core.App, v *violations) {
	names, ports := map[string]bool{}, map[int]bool{}
	var sameName, samePort bool
	for _, p := range a.PortDefinitions {
		sameName = sameName || p.Name != nil && names[*p.Name]
		samePort = samePort || p.Port != 0 && ports[p.Port]
		if p.Name != nil {
			names[*p.Name] = true
		}
		ports[p.Port] = true
	}
	if sameName {
		v.add("/portDefinitions", "Port names must be unique.")
	}
	if samePort {
		v.add("/portDefinitions", "Ports must be unique.")
	}
}

func rulePortMappings(_ *Config, a *core.App, v *violations) {
	if a.Container == nil {
		return
	}
	names, known := map[string]bool{}, newKnownNetworks(a.Networks)
	for i, p := range a.Container.PortMappings {
		if p.Name != nil {
			if names[*p.Name] && !v.has("/container/portMappings") {
				v.add("/container/portMappings", "Port names must be unique.")
			}
			names[*p.Name] = true
		}
		known.check(p.NetworkNames, p.HostPort, fmt.Sprintf("/container/portMappings(%d)", i), v)
	}
}

func portCount(a *core.App) int {
	if a.HostNetworking() {
		return len(a.PortDefinitions)
	}
	return len(a.Container.PortMappings)
}

func ruleHealthChecks(_ *Config, a *core.App, v *violations) {
	ports, mesos := portCount(a), 0
	docker := a.Container != nil && a.Container.Type == "DOCKER"
	for i, h := range a.HealthChecks {
		at := fmt.Sprintf("/healthChecks(%d)", i)
		command := h.Protocol == protocolCommand
		executorRun := !h.ServerRun() && !command
		if executorRun {
			mesos++
		}
		switch {
		case command && h.Command == nil:
			v.add(at, "illegal protocol COMMAND for non-command health check")
		case !command && h.Command != nil:
			v.add(at, "illegal protocol "+h.Protocol+" specified with command")
		case command && (h.Path != nil || h.Port != nil):
			v.add(at, "Invalid combination of HealthCheck parameters: a command has neither path nor port")
		}
		if !command && (h.PortIndex != nil && *h.PortIndex >= ports || h.PortIndex == nil && h.Port == nil && ports != 1) {
			v.add(at, textPortIndex)
		}
		if h.IPProtocol == "IPv6" && !(docker && executorRun) {
			v.add(at, "IPv6 can only be used for container type DOCKER and Mesos http/https/tcp health checks")
		}
	}
	if mesos > 1 {
		v.add("/", "AppDefinition can contain at most one Mesos health check")
	}
}

func ruleCheck(_ *Config, a *core.App, v *violations) {
	c := a.Check
	if c == nil {
		return
	}
	if a.Container != nil && a.Container.Type == "DOCKER" {
		v.add("/", "AppDefinition must not use 'checks' if using docker")
	}
	kinds := 0
	var index, port *int
	ported := true
	switch {
	case c.HTTP != nil:
		kinds++
		index, port = c.HTTP.PortIndex, c.HTTP.Port
		if c.HTTP.Scheme != "HTTP" {
			v.add("/check/http/scheme", "a check must use the scheme HTTP")
		}
	case c.TCP != nil:
		index, port = c.TCP.PortIndex, c.TCP.Port
	default:
		ported = false
	}
	if c.TCP != nil {
		kinds++
	}
	if c.Exec != nil {
		kinds++
	}
	if kinds != 1 {
		v.add("/check", "a check must have exactly one of exec, http and tcp")
	}
	ports := portCount(a)
	if ported && (index != nil && *index >= ports || index == nil && port == nil && ports != 1) {
		v.add("/check", "check port index must address an element of the ports array or container port mappings.")
	}
}

func ruleReadiness(_ *Config, a *core.App, v *violations) {
	if len(a.ReadinessChecks) == 0 {
		return
	}
	if n := len(a.ReadinessChecks); n > 1 {
		v.add("/readinessChecks/size", fmt.Sprintf("got %d, expected 1 or less", n))
	}
	names := portNames(a)
	for i, r := range a.ReadinessChecks {
		at := fmt.Sprintf("/readinessChecks(%d)", i)
		if !slices.Contains(names, r.PortName) {
			v.add(at+"/portName", "No port definition reference for portName "+r.PortName)
		}
		if r.TimeoutSeconds >= r.IntervalSeconds {
			v.add(at+"/timeoutSeconds", fmt.Sprintf("got %d, expected less than %d", r.TimeoutSeconds, r.IntervalSeconds))
		}
	}
}

func portNames(a *core.App) []string {
	var out []string
	if a.HostNetworking() {
		for _, p := range a.PortDefinitions {
			if p.Name != nil {
				out = append(out, *p.Name)
			}
		}
		return out
	}
	for _, p := range a.Container.PortMappings {
		if p.Name != nil {
			out = append(out, *p.Name)
		}
	}
	return out
}
