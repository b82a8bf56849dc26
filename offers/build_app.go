package offers

import (
	"maps"
	"math"
	"slices"
	"strings"

	"stadion/core"
)

// commandExecutor is Mesos's own executor for single commands (behaviour.md 6.3).
const commandExecutor = "//cmd"

// appPort is a requested port of an app with what it got.
type appPort struct {
	name      string
	requested int // containerPort of a mapping, port of a definition
	container int // port inside the container; in host mode the host port
	host      int // 0: none
	protocols []string
	labels    map[string]string
	networks  []string // networkNames of a mapping
}

// appPorts pairs the requested ports with the allocated ones. containerPort 0 with a host port means "the same"
// (behaviour.md 6.5).
func appPorts(a *core.App, host []int) []appPort {
	out := make([]appPort, len(host))
	for i := range host {
		p := &out[i]
		p.host = host[i]
		if a.HostNetworking() {
			d := &a.PortDefinitions[i]
			*p = appPort{name: text(d.Name), requested: d.Port, container: host[i], host: host[i], protocols: protocols(d.Protocol), labels: d.Labels}
			continue
		}
		m := &a.Container.PortMappings[i]
		*p = appPort{name: text(m.Name), requested: m.ContainerPort, container: m.ContainerPort, host: host[i],
			protocols: protocols(m.Protocol), labels: m.Labels, networks: m.NetworkNames}
		if p.container == 0 {
			p.container = p.host
		}
	}
	return out
}

// protocols splits "udp,tcp".
func protocols(p string) []string {
	if p == "" {
		return []string{"tcp"}
	}
	return strings.Split(p, ",")
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// sortedLabels is a label map as a list sorted by key.
func sortedLabels(m map[string]string) []Label {
	if len(m) == 0 {
		return nil
	}
	out := make([]Label, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, Label{k, m[k]})
	}
	return out
}

// launchApp builds the task of an app (behaviour.md 6.2).
func (t *attempt) launchApp(m *Match, got pieces, ports, volumes []Resource, host []int) {
	a := t.c.app
	id := t.inst.ID.Task(core.AppContainer, m.Incarnation)
	list := appPorts(a, host)
	custom := t.customExecutor(a)
	var executorRes []Resource
	if custom != "" {
		executorRes = got.deal(t.c.executor)
	}
	task := &TaskInfo{
		Name:        t.c.name,
		TaskID:      string(id),
		AgentID:     t.offer.Agent.ID,
		Resources:   slices.Concat(got.all(), ports, volumes),
		Limits:      limits(a.ResourceLimits, scalars{cpus: milli(float64(a.CPUs)), mem: milli(float64(a.Mem))}),
		Labels:      t.c.labels,
		Discovery:   discovery(t.c.name, a.HostNetworking(), a.Networks, list),
		HealthCheck: appHealthCheck(a, list),
		Check:       appCheck(a, list),
	}
	if a.TaskKillGracePeriodSeconds != nil {
		ms := int64(*a.TaskKillGracePeriodSeconds) * 1000
		task.KillGraceMillis = &ms
	}
	container := appContainer(t.cfg, a, string(id), list)
	env := t.appEnv(id, list)
	if custom == "" {
		task.Command, task.Container = appCommand(a, env), container
	} else {
		task.Executor = &ExecutorInfo{ID: "marathon-" + string(id), Command: pathCommand(a, custom, env), Resources: executorRes, Container: container}
	}
	m.Operations = []Operation{{Launch: task}}
	m.TaskIDs = []core.TaskID{id}
	m.HostPorts = map[string][]int{core.AppContainer: host}
}

// customExecutor is the path of the app's own executor, empty for the command executor (behaviour.md 6.3).
func (t *attempt) customExecutor(a *core.App) string {
	e := a.Executor
	if e == "" {
		e = t.cfg.DefaultExecutor
	}
	if e == commandExecutor {
		return ""
	}
	return e
}

// limits are the limits of a task that requests so much. The master refuses a limit below the request, so both are
// rounded alike, and a limit of what is not requested at all, so that one is left out (validateResourceLimits in
// Mesos's src/master/validation.cpp).
func limits(l *core.ResourceLimits, request scalars) map[string]float64 {
	if l == nil {
		return nil
	}
	out := make(map[string]float64, 2)
	put := func(name string, v *core.Limit, requested int64) {
		switch {
		case v == nil || requested == 0:
		case v.Unlimited:
			out[name] = math.Inf(1)
		default:
			out[name] = fromMilli(milli(float64(v.Value)))
		}
	}
	put("cpus", l.CPUs, request.cpus)
	put("mem", l.Mem, request.mem)
	if len(out) == 0 {
		return nil
	}
	return out
}

// appCommand is the command for the command executor (behaviour.md 6.3).
func appCommand(a *core.App, env []EnvVar) *CommandInfo {
	c := &CommandInfo{URIs: uris(a.Fetch), User: a.User, Env: env}
	if cmd := text(a.Cmd); cmd != "" {
		c.Shell, c.Value = true, &cmd
	}
	if len(a.Args) > 0 {
		c.Shell, c.Arguments = false, slices.Clone(a.Args)
		// The entrypoint of an image stays. Without an image there is none, and the executor dies of a command without
		// a value ("Executor terminated"): so end Marathon's tasks whose container has no image.
		if a.Container == nil || a.Container.Docker == nil {
			c.Value = &c.Arguments[0]
		}
	}
	return c
}

// pathCommand starts a custom executor that was fetched into the sandbox (behaviour.md 6.3).
func pathCommand(a *core.App, path string, env []EnvVar) *CommandInfo {
	what := text(a.Cmd)
	if what == "" {
		what = strings.Join(a.Args, " ")
	}
	value := strings.TrimSpace("chmod ug+rx '" + path + "' && exec '" + path + "' " + what)
	return &CommandInfo{Shell: true, Value: &value, URIs: uris(a.Fetch), User: a.User, Env: env}
}

func uris(list []core.Artifact) []URI {
	if len(list) == 0 {
		return nil
	}
	out := make([]URI, len(list))
	for i, f := range list {
		out[i] = URI{Value: f.URI, Executable: f.Executable, Extract: f.Extract, Cache: f.Cache, OutputFile: text(f.DestPath)}
	}
	return out
}

// discovery is behaviour.md 6.6. hostNet tells whether the tasks use the agent's network.
func discovery(name string, hostNet bool, nets []core.Network, ports []appPort) *DiscoveryInfo {
	d := &DiscoveryInfo{Name: name}
	for i := range ports {
		p := &ports[i]
		for _, proto := range p.protocols {
			switch {
			case hostNet:
				d.Ports = append(d.Ports, DiscoveryPort{Number: p.host, Name: p.name, Protocol: proto, Labels: sortedLabels(p.labels)})
			case p.host != 0:
				d.Ports = append(d.Ports, DiscoveryPort{p.host, p.name, proto, scoped(p.labels, "host", "")})
			default:
				for _, net := range portNetworks(p.networks, nets) {
					d.Ports = append(d.Ports, DiscoveryPort{p.container, p.name, proto, scoped(p.labels, "container", net)})
				}
			}
		}
	}
	return d
}

// portNetworks are the networks a port is visible in: those it names, else all container networks.
func portNetworks(named []string, all []core.Network) []string {
	if len(named) > 0 {
		return named
	}
	var out []string
	for i := range all {
		if all[i].Mode == core.NetworkContainer {
			out = append(out, text(all[i].Name))
		}
	}
	return out
}

func scoped(labels map[string]string, scope, network string) []Label {
	m := make(map[string]string, len(labels)+2)
	maps.Copy(m, labels)
	m["network-scope"] = scope
	if network != "" {
		m["network-name"] = network
	}
	return sortedLabels(m)
}
