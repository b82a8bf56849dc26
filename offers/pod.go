package offers

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"stadion/core"
)

// minExecutorCPUs is what a master asks for of an executor, in thousandths; it refuses a group with less for ever, and the
// API takes less (its schema's minimum counts as 0), so the executor gets it.
const minExecutorCPUs = 10

// compilePod adds up executor and containers: the sum is matched and dealt out again at launch (behaviour.md 11.4).
func (c *Compiled) compilePod(p *core.Pod) {
	c.pod = p
	c.roles = p.Scheduling.Placement.AcceptedResourceRoles
	e := &p.ExecutorResources
	c.executor = scalars{cpus: max(milli(float64(e.CPUs)), minExecutorCPUs), mem: milli(float64(e.Mem)), disk: milli(float64(e.Disk))}
	c.total = c.executor
	for i := range p.Containers {
		k := &p.Containers[i]
		want := scalars{milli(float64(k.Resources.CPUs)), milli(float64(k.Resources.Mem)), milli(float64(k.Resources.Disk)), milli(float64(k.Resources.GPUs))}
		c.parts = append(c.parts, want)
		c.total = c.total.plus(want)
		for j := range k.Endpoints {
			c.ports = append(c.ports, endpointWant(p, &k.Endpoints[j]))
		}
	}
	for i := range p.Volumes {
		if v := &p.Volumes[i]; v.Persistent != nil {
			c.volumes = append(c.volumes, persistentWant(v.Name, v.Name, "RW", v.Persistent))
		}
	}
}

// endpointWant is the requested host port of an endpoint; outside container networks it defaults to any
// (behaviour.md 11.3).
func endpointWant(p *core.Pod, e *core.Endpoint) int32 {
	switch {
	case e.HostPort != nil:
		return int32(*e.HostPort)
	case p.HostNetworking() || p.Networks[0].Mode == core.NetworkBridge:
		return anyPort
	}
	return noHostPort
}

// podLaunch is one launch of a pod.
type podLaunch struct {
	*attempt
	pod      *core.Pod
	executor string
	ports    [][]appPort // per container, per endpoint
}

// launchPod builds the task group of a pod (behaviour.md 11.2). All host ports and volumes go to the executor.
func (t *attempt) launchPod(m *Match, got pieces, ports, volumes []Resource, host []int) {
	own := *t // so that t itself need not live on the heap for every offer that does not fit
	l := podLaunch{attempt: &own, pod: t.c.pod, executor: executorID(t.inst.ID, m.Incarnation)}
	m.HostPorts = make(map[string][]int, len(l.pod.Containers))
	for i := range l.pod.Containers {
		k := &l.pod.Containers[i]
		mine := host[:len(k.Endpoints):len(k.Endpoints)]
		host = host[len(k.Endpoints):]
		m.HostPorts[k.Name] = mine
		l.ports = append(l.ports, endpointPorts(k.Endpoints, mine))
	}
	group := &TaskGroup{Executor: ExecutorInfo{Default: true, ID: l.executor, Labels: l.c.labels, Container: l.executorContainer()}}
	group.Executor.Resources = slices.Concat(got.deal(t.c.executor), ports, volumes)
	for i := range l.pod.Containers {
		id := t.inst.ID.Task(l.pod.Containers[i].Name, m.Incarnation)
		m.TaskIDs = append(m.TaskIDs, id)
		group.Tasks = append(group.Tasks, l.task(i, id, got.deal(t.c.parts[i])))
	}
	m.Operations = []Operation{{LaunchGroup: group}}
}

// executorID is "instance-<safePath>.<uuid>" for the first launch of the instance "<safePath>.instance-<uuid>"
// (behaviour.md 6.1). Each further one has an executor of its own, ".2" and so on: an agent hands a group whose executor
// it still knows to that one, which is about to end and takes the group with it ("Executor terminated").
func executorID(id core.InstanceID, incarnation int) string {
	out := "instance-" + string(id)
	at := strings.LastIndexByte(string(id), '.')
	path, rest := string(id)[:max(at, 0)], string(id)[at+1:]
	if prefix, uuid, ok := strings.Cut(rest, "-"); ok {
		out = prefix + "-" + path + "." + uuid
	}
	if incarnation > 1 {
		out += "." + strconv.Itoa(incarnation)
	}
	return out
}

func endpointPorts(list []core.Endpoint, host []int) []appPort {
	out := make([]appPort, len(list))
	for i := range list {
		e := &list[i]
		out[i] = appPort{name: e.Name, host: host[i], protocols: e.Protocol, labels: e.Labels, networks: e.NetworkNames}
		if len(e.Protocol) == 0 {
			out[i].protocols = []string{"tcp"}
		}
		if e.ContainerPort != nil {
			out[i].container = *e.ContainerPort
		}
		if out[i].container == 0 {
			out[i].container = host[i]
		}
	}
	return out
}

// executorContainer is the outer container that holds the pod's networks and shared settings.
func (l *podLaunch) executorContainer() *ContainerInfo {
	c := &ContainerInfo{Networks: mesosNetworks(l.cfg, l.pod.Networks, slices.Concat(l.ports...))}
	c.LinuxInfo = l.linuxInfo(l.pod.LinuxInfo)
	return c
}

// linuxInfo always tells whether the containers share the cgroups of the executor.
func (l *podLaunch) linuxInfo(own *core.LinuxInfo) *LinuxInfo {
	info := linuxInfo(own)
	if info == nil {
		info = &LinuxInfo{}
	}
	shared := l.pod.LegacySharedCgroups
	info.ShareCgroups = &shared
	return info
}

func (l *podLaunch) task(i int, id core.TaskID, resources []Resource) TaskInfo {
	k := &l.pod.Containers[i]
	task := TaskInfo{
		Name:        k.Name,
		TaskID:      string(id),
		AgentID:     l.offer.Agent.ID,
		Resources:   resources,
		Limits:      limits(k.ResourceLimits, l.c.parts[i]),
		Command:     l.command(k, id),
		Container:   l.container(k),
		Labels:      sortedLabels(k.Labels),
		Discovery:   discovery(l.c.name, l.pod.HostNetworking(), l.pod.Networks, l.ports[i]),
		HealthCheck: l.healthCheck(k, l.ports[i]),
	}
	if k.Lifecycle != nil && k.Lifecycle.KillGracePeriodSeconds != nil {
		ms := milli(float64(*k.Lifecycle.KillGracePeriodSeconds))
		task.KillGraceMillis = &ms
	}
	return task
}

func (l *podLaunch) command(k *core.PodContainer, id core.TaskID) *CommandInfo {
	c := &CommandInfo{}
	if x := k.Exec; x != nil {
		c = shellOrArgv(x.Command)
		// The entrypoint of an image stays unless it is to be overridden. Without an image there is none, and the
		// containerizer wants to know what to run ("Executable path is not specified"): Marathon's tasks fail there.
		if !c.Shell && k.Image != nil && (x.OverrideEntrypoint == nil || !*x.OverrideEntrypoint) {
			c.Value = nil
		}
	}
	c.User = l.pod.User
	if k.User != nil {
		c.User = k.User
	}
	c.URIs, c.Env = uris(k.Artifacts), l.env(k, id)
	return c
}

func (l *podLaunch) container(k *core.PodContainer) *ContainerInfo {
	c := &ContainerInfo{TTY: k.TTY != nil && *k.TTY, LinuxInfo: l.linuxInfo(k.LinuxInfo), Volumes: l.volumes(k)}
	if i := k.Image; i != nil {
		c.Image = &Image{Name: i.ID, Cached: i.ForcePull == nil || !*i.ForcePull}
		if i.PullConfig != nil {
			c.Image.PullConfigSecret = i.PullConfig.Secret
		}
	}
	return c
}

// volumes are the mounts of a container; secrets need a plugin and are left out (behaviour.md 11.2).
func (l *podLaunch) volumes(k *core.PodContainer) []VolumeInfo {
	var out []VolumeInfo
	for _, m := range k.VolumeMounts {
		at := slices.IndexFunc(l.pod.Volumes, func(v core.PodVolume) bool { return v.Name == m.Name })
		if at < 0 {
			continue
		}
		v, info := &l.pod.Volumes[at], VolumeInfo{ContainerPath: m.MountPath, Mode: "RW"}
		if m.ReadOnly {
			info.Mode = "RO"
		}
		switch {
		case v.Host != nil:
			info.HostPath = v.Host
		case v.Secret != nil:
			continue
		case v.Persistent != nil:
			info.SandboxParent = v.Name
		default:
			info.SandboxParent = "volumes/" + v.Name
		}
		out = append(out, info)
	}
	return out
}

// env is the environment of a container; what the system sets overrides what the user set, the reverse of apps
// (behaviour.md 11.3).
func (l *podLaunch) env(k *core.PodContainer, id core.TaskID) []EnvVar {
	env := make(map[string]string, 16+len(l.pod.Environment)+len(k.Environment))
	userEnv(env, l.pod.Environment)
	userEnv(env, k.Environment)
	env["HOST"] = l.offer.Agent.Host
	env["MESOS_TASK_ID"] = string(id)
	env["MESOS_EXECUTOR_ID"] = l.executor
	env["MARATHON_APP_ID"] = string(l.pod.ID)
	env["MARATHON_APP_VERSION"] = l.pod.Version.String()
	env["MARATHON_CONTAINER_ID"] = k.Name
	env["MARATHON_CONTAINER_RESOURCE_CPUS"] = javaDouble(float64(k.Resources.CPUs))
	env["MARATHON_CONTAINER_RESOURCE_MEM"] = javaDouble(float64(k.Resources.Mem))
	env["MARATHON_CONTAINER_RESOURCE_DISK"] = javaDouble(float64(k.Resources.Disk))
	env["MARATHON_CONTAINER_RESOURCE_GPUS"] = strconv.Itoa(k.Resources.GPUs)
	env["MARATHON_APP_ENFORCE_GROUP_ROLE"] = upperBool(l.need.EnforceRole)
	labels := make(map[string]string, len(l.pod.Labels)+len(k.Labels))
	maps.Copy(labels, l.pod.Labels)
	maps.Copy(labels, k.Labels)
	labelEnv(env, labels)
	l.endpointEnv(env)
	return sortedEnv(env)
}

// endpointEnv tells every container of the endpoints of all.
func (l *podLaunch) endpointEnv(env map[string]string) {
	prefix := l.cfg.EnvPrefix
	for _, ports := range l.ports {
		for i := range ports {
			p, name := &ports[i], escapeLabel(ports[i].name)
			effective := p.container
			if l.pod.HostNetworking() {
				effective = p.host
			}
			env[prefix+"ENDPOINT_"+name] = strconv.Itoa(effective)
			if p.host != 0 {
				env[prefix+"EP_HOST_"+name] = strconv.Itoa(p.host)
			}
			if p.container != 0 {
				env[prefix+"EP_CONTAINER_"+name] = strconv.Itoa(p.container)
			}
		}
	}
}

// healthCheck is the check of a container, nil without one or when its endpoint has no port (behaviour.md 8.5).
func (l *podLaunch) healthCheck(k *core.PodContainer, ports []appPort) *HealthCheck {
	h := k.HealthCheck
	if h == nil {
		return nil
	}
	out := &HealthCheck{Delay: float64(h.DelaySeconds), Interval: float64(h.IntervalSeconds), Timeout: float64(h.TimeoutSeconds),
		Grace: float64(h.GracePeriodSeconds), ConsecutiveFailures: h.MaxConsecutiveFailures}
	endpoint := ""
	switch {
	case h.Exec != nil:
		out.Type, out.Command = "COMMAND", shellOrArgv(h.Exec.Command)
		return out
	case h.HTTP != nil:
		endpoint, out.Type, out.Scheme = h.HTTP.Endpoint, "HTTP", "http"
		if strings.EqualFold(text(h.HTTP.Scheme), "https") {
			out.Scheme = "https"
		}
		out.Path, out.HasPath = slashed(h.HTTP.Path)
	case h.TCP != nil:
		endpoint, out.Type = h.TCP.Endpoint, "TCP"
	}
	at := slices.IndexFunc(ports, func(p appPort) bool { return p.name == endpoint })
	if at < 0 {
		return nil
	}
	out.Port = ports[at].host
	if !l.pod.HostNetworking() {
		out.Port = ports[at].container
	}
	if out.Port == 0 {
		return nil
	}
	return out
}
