package marathonapi

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"stadion/core"
	"stadion/core/state"
	"stadion/marathonapi/wire"
)

// The states of pods and their instances (http-api.md 7.7, behaviour.md 11.5).
const (
	podStable   = "STABLE"
	podDegraded = "DEGRADED"
	podTerminal = "TERMINAL"
	podStaging  = "STAGING"
	podPending  = "PENDING"
)

type podInfo struct {
	ID          core.PathID      `json:"id"`
	Spec        *core.Pod        `json:"spec"`
	Status      string           `json:"status"`
	StatusSince core.Timestamp   `json:"statusSince"`
	Instances   []podInstance    `json:"instances"`
	History     []podTermination `json:"terminationHistory"`
	LastUpdated core.Timestamp   `json:"lastUpdated"`
	LastChanged core.Timestamp   `json:"lastChanged"`
}

type podInstance struct {
	ID            core.InstanceID    `json:"id"`
	Status        string             `json:"status"`
	StatusSince   core.Timestamp     `json:"statusSince"`
	Message       string             `json:"message,omitempty"`
	Conditions    []podCondition     `json:"conditions"`
	AgentHostname string             `json:"agentHostname,omitempty"`
	AgentID       string             `json:"agentId,omitempty"`
	AgentRegion   string             `json:"agentRegion,omitempty"`
	AgentZone     string             `json:"agentZone,omitempty"`
	Resources     *core.PodResources `json:"resources,omitempty"`
	Networks      []podNetwork       `json:"networks"`
	Containers    []podContainer     `json:"containers"`
	SpecReference string             `json:"specReference"`
	LocalVolumes  []podVolume        `json:"localVolumes"`
	LastUpdated   core.Timestamp     `json:"lastUpdated"`
	LastChanged   core.Timestamp     `json:"lastChanged"`
	Role          string             `json:"role"`
}

type podCondition struct {
	Name        string         `json:"name"`
	Value       string         `json:"value"`
	Reason      string         `json:"reason,omitempty"`
	LastChanged core.Timestamp `json:"lastChanged"`
	LastUpdated core.Timestamp `json:"lastUpdated"`
}

type podNetwork struct {
	Name      *string  `json:"name,omitempty"`
	Addresses []string `json:"addresses"`
}

type podVolume struct {
	RunSpec       core.PathID `json:"runSpecId"`
	ContainerPath string      `json:"containerPath"`
	UUID          string      `json:"uuid"`
	PersistenceID string      `json:"persistenceId"`
}

type podContainer struct {
	Name        string             `json:"name"`
	Status      string             `json:"status"`
	StatusSince core.Timestamp     `json:"statusSince"`
	Message     string             `json:"message,omitempty"`
	Conditions  []podCondition     `json:"conditions"`
	ContainerID core.TaskID        `json:"containerId,omitempty"`
	Endpoints   []podEndpoint      `json:"endpoints"`
	Resources   *core.PodResources `json:"resources,omitempty"`
	LastUpdated core.Timestamp     `json:"lastUpdated"`
	LastChanged core.Timestamp     `json:"lastChanged"`
}

type podEndpoint struct {
	Name     string `json:"name"`
	HostPort *int   `json:"allocatedHostPort,omitempty"`
	Healthy  *bool  `json:"healthy,omitempty"`
}

// podTermination is the last failed instance; the capital ID is Marathon's.
type podTermination struct {
	InstanceID   core.InstanceID  `json:"instanceID"`
	StartedAt    core.Timestamp   `json:"startedAt"`
	TerminatedAt core.Timestamp   `json:"terminatedAt"`
	Message      string           `json:"message"`
	Containers   []endedContainer `json:"containers"`
}

type endedContainer struct {
	ContainerID core.TaskID `json:"containerId"`
	LastState   string      `json:"lastKnownState"`
}

func (s *Server) podStatuses(r *request) error {
	return r.stream(func(e *encoder) {
		e.raw("[")
		first := true
		for p := range r.shownPods {
			e.comma(&first)
			s.podStatusText(e, r.snap, p)
		}
		e.raw("]")
	})
}

func (s *Server) podStatus(r *request) error {
	p, err := r.thePod()
	if err != nil {
		return err
	}
	t, err := marshal(podInfoOf(r.snap, p))
	if err != nil {
		return err
	}
	return r.Blob(http.StatusOK, typeJSON, wire.PlainNumbers(t))
}

func (s *Server) podStatusText(e *encoder, snap *state.Snapshot, p *core.Pod) {
	t, err := marshal(podInfoOf(snap, p))
	if err != nil {
		e.err = err
		return
	}
	e.b = append(e.b, wire.PlainNumbers(t)...)
	e.spill()
}

func podInfoOf(snap *state.Snapshot, p *core.Pod) podInfo {
	out := podInfo{ID: p.ID, Spec: p, Instances: []podInstance{}, History: []podTermination{}}
	stable := 0
	for i := range snap.InstancesOf(p.ID) {
		if i.Agent == nil || i.Erased() {
			continue // never placed, or forgotten
		}
		spec := p
		if old, ok := snap.SpecAt(p.ID, i.Version); ok {
			if op, isPod := old.(*core.Pod); isPod {
				spec = op
			}
		}
		info := podInstanceOf(i, spec)
		if info.Status == podStable {
			stable++
		}
		out.StatusSince = max(out.StatusSince, info.StatusSince)
		out.Instances = append(out.Instances, info)
	}
	if len(out.Instances) == 0 {
		out.StatusSince = max(p.Version, snap.At)
	}
	out.LastUpdated, out.LastChanged = max(out.StatusSince, snap.At), out.StatusSince
	out.Status = podDegraded
	if stable >= p.InstanceCount() {
		out.Status = podStable
	}
	if f, ok := snap.Failure(p.ID); ok {
		out.addFailure(snap, f)
	}
	return out
}

// addFailure shows the last failed task while its instance exists.
func (p *podInfo) addFailure(snap *state.Snapshot, f *core.TaskFailure) {
	name, err := core.ParseTaskID(f.TaskID)
	if err != nil {
		return
	}
	i, ok := snap.Instance(name.Instance)
	if !ok || i.Erased() {
		return
	}
	started := f.Version // the least that is known of a task that has been replaced
	if i.ActiveSince <= f.Timestamp {
		started = max(started, i.ActiveSince)
	}
	for _, t := range i.Tasks {
		if t.ID == f.TaskID {
			started = cmp.Or(t.StartedAt, t.StagedAt)
		}
	}
	p.History = append(p.History, podTermination{InstanceID: i.ID, StartedAt: started, TerminatedAt: f.Timestamp,
		Message: f.Message, Containers: []endedContainer{{f.TaskID, f.State}}})
}

func podInstanceOf(i *core.Instance, spec *core.Pod) podInstance {
	out := podInstance{ID: i.ID, StatusSince: i.Since, Conditions: []podCondition{}, Networks: podNetworks(i, spec),
		Containers: []podContainer{}, SpecReference: "/v2/pods" + string(spec.ID) + "::versions/" + i.Version.String(),
		LocalVolumes: []podVolume{}, LastUpdated: i.Since, LastChanged: i.Since, Role: i.Role}
	if a := i.Agent; a != nil {
		out.AgentHostname, out.AgentID, out.AgentRegion, out.AgentZone = a.Host, a.ID, a.Region, a.Zone
	}
	sick := false
	total := core.PodResources{CPUs: spec.ExecutorResources.CPUs, Mem: spec.ExecutorResources.Mem, Disk: spec.ExecutorResources.Disk}
	for n := range i.Tasks {
		c, healthy := podContainerOf(&i.Tasks[n], i, spec)
		sick = sick || !healthy
		if r := c.Resources; r != nil {
			total.CPUs, total.Mem, total.Disk, total.GPUs = total.CPUs+r.CPUs, total.Mem+r.Mem, total.Disk+r.Disk, total.GPUs+r.GPUs
		}
		out.Containers = append(out.Containers, c)
	}
	out.Resources = &total
	if i.Reservation != nil {
		for _, v := range i.Reservation.Volumes {
			out.LocalVolumes = append(out.LocalVolumes, podVolume{i.Spec, v.ContainerPath, v.ID[strings.LastIndexByte(v.ID, '#')+1:], v.ID})
		}
	}
	out.Status, out.Message = instanceStatus(i, sick)
	return out
}

// instanceStatus is the table of behaviour.md 11.5.
func instanceStatus(i *core.Instance, sick bool) (status, message string) {
	switch i.Condition {
	case core.Scheduled, core.Provisioned:
		if i.Goal == core.GoalRunning {
			return podPending, ""
		}
	case core.Staging, core.Starting:
		return podStaging, ""
	case core.Running:
		if sick {
			return podDegraded, "at least one container is not healthy"
		}
		return podStable, ""
	case core.Unreachable, core.UnreachableInactive:
		return podDegraded, "pod instance has become unreachable"
	}
	return podTerminal, ""
}

// podContainerOf describes one container; healthy is false when its check says so or has not spoken yet. The times are
// those of its start, or of its launch before that.
func podContainerOf(t *core.Task, i *core.Instance, spec *core.Pod) (c podContainer, healthy bool) {
	since := cmp.Or(t.StartedAt, t.StagedAt)
	c = podContainer{Name: t.Container, Status: taskState(t), StatusSince: since, Conditions: []podCondition{},
		Endpoints: []podEndpoint{}, LastUpdated: since, LastChanged: since}
	if t.Status != nil {
		c.Message = t.Status.Message
	}
	active := t.Condition.Active()
	if active {
		c.ContainerID = t.ID
	}
	at := slices.IndexFunc(spec.Containers, func(k core.PodContainer) bool { return k.Name == t.Container })
	if at < 0 {
		return c, true
	}
	def, health := &spec.Containers[at], core.HealthUnknown
	if t.Status != nil {
		health = t.Status.Healthy
	}
	if active {
		c.Endpoints = podEndpoints(def, t.HostPorts, health)
	} else if def.HealthCheck != nil && def.HealthCheck.Exec == nil {
		health = core.HealthUnknown // it is shown of the endpoint, which is not there
	}
	healthy = true
	if def.HealthCheck != nil && showsHealth(t, i) {
		cond := podCondition{Name: "healthy", Value: "false", Reason: "health-unreported-by-mesos", LastChanged: since, LastUpdated: since}
		if health != core.HealthUnknown {
			cond.Reason = "health-reported-by-mesos"
		}
		if healthy = health == core.Healthy; healthy {
			cond.Value = "true"
		}
		c.Conditions = append(c.Conditions, cond)
	}
	if i.Reservation != nil || active && t.Condition != core.Provisioned {
		r := def.Resources
		c.Resources = &r
	}
	return c, healthy
}

// showsHealth: a container that never ran has no health, and neither has one that only rests on its volumes.
func showsHealth(t *core.Task, i *core.Instance) bool {
	switch t.Condition {
	case core.Scheduled, core.Provisioned, core.Staging, core.Starting:
		return false
	}
	return i.Reservation == nil || !t.Condition.Terminal()
}

// podEndpoints lists the endpoints of a live container in Marathon's order: those with a host port, those without, and
// at last the one that its health check asks, which alone has a health.
func podEndpoints(def *core.PodContainer, ports []int, health core.Health) []podEndpoint {
	checked := ""
	if h := def.HealthCheck; h != nil && h.HTTP != nil {
		checked = h.HTTP.Endpoint
	} else if h != nil && h.TCP != nil {
		checked = h.TCP.Endpoint
	}
	rank := func(n int) int {
		switch e := &def.Endpoints[n]; {
		case e.Name == checked:
			return 2
		case e.HostPort == nil:
			return 1
		}
		return 0
	}
	order := make([]int, len(def.Endpoints))
	for n := range order {
		order[n] = n
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(rank(a), rank(b)) })
	out := make([]podEndpoint, 0, len(order))
	for _, n := range order {
		info := podEndpoint{Name: def.Endpoints[n].Name}
		if n < len(ports) && ports[n] != 0 {
			info.HostPort = &ports[n]
		}
		if info.Name == checked {
			info.Healthy = health.Ptr()
		}
		out = append(out, info)
	}
	return out
}

// podNetworks lists the addresses of an instance by network; all its containers share them.
func podNetworks(i *core.Instance, spec *core.Pod) []podNetwork {
	addresses := []string{}
	if len(i.Tasks) > 0 {
		for _, a := range i.Tasks[0].IPs {
			addresses = append(addresses, a.Address)
		}
	}
	if len(addresses) == 0 {
		return []podNetwork{}
	}
	if len(spec.Networks) == 0 {
		return []podNetwork{{Addresses: addresses}}
	}
	out := make([]podNetwork, len(spec.Networks))
	for n, w := range spec.Networks {
		out[n] = podNetwork{Name: w.Name, Addresses: []string{}}
		switch {
		case len(spec.Networks) == 1:
			out[n].Addresses = addresses
		case n < len(addresses):
			out[n].Addresses = addresses[n : n+1]
		}
	}
	return out
}
