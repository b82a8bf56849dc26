package takeover

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"stadion/core"
)

// conditions of the Mesos states that a living task can show.
var conditions = map[string]core.Condition{"TASK_STAGING": core.Staging, "TASK_STARTING": core.Starting, "TASK_RUNNING": core.Running,
	"TASK_KILLING": core.Killing, "TASK_UNREACHABLE": core.Unreachable}

// volumeText is a persistent volume as the API shows it.
type volumeText struct {
	ContainerPath string `json:"containerPath"`
	PersistenceID string `json:"persistenceId"`
}

// taskText is a task of an app as the API shows it (http-api.md 5.1).
type taskText struct {
	ID          core.TaskID      `json:"id"`
	App         core.PathID      `json:"appId"`
	Host        string           `json:"host"`
	Agent       string           `json:"slaveId"`
	State       string           `json:"state"`
	Ports       []int            `json:"ports"`
	IPs         []core.IPAddress `json:"ipAddresses"`
	StagedAt    core.Timestamp   `json:"stagedAt"`
	StartedAt   core.Timestamp   `json:"startedAt"`
	Version     core.Timestamp   `json:"version"`
	Region      string           `json:"region"`
	Zone        string           `json:"zone"`
	Role        string           `json:"role"`
	Volumes     []volumeText     `json:"localVolumes"`
	HealthCheck []struct {
		Alive bool `json:"alive"`
	} `json:"healthCheckResults"`
}

// agents reads the attributes of agents, which constraints compare and which Marathon does not show.
func (b *building) agents() error {
	if len(b.src.Agents) == 0 {
		b.r.Warnings = append(b.r.Warnings, "attributes of agents are not known: constraints on them do not count the tasks that run now")
		return nil
	}
	var list struct {
		Slaves []struct {
			ID         string                     `json:"id"`
			Attributes map[string]json.RawMessage `json:"attributes"`
		} `json:"slaves"`
	}
	if err := decode("agents of the Mesos master", b.src.Agents, &list); err != nil {
		return err
	}
	for _, s := range list.Slaves {
		a := &core.AgentInfo{ID: s.ID}
		for _, name := range slices.Sorted(maps.Keys(s.Attributes)) {
			a.Attributes = append(a.Attributes, core.Attribute{Name: name, Value: attributeText(s.Attributes[name])})
		}
		b.r.agents[s.ID] = a
	}
	return nil
}

// attributeText is an attribute of /slaves in the form of behaviour.md 5.5.1.
func attributeText(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var number float64
	if json.Unmarshal(raw, &number) == nil {
		return strconv.FormatFloat(number, 'f', -1, 64)
	}
	return string(raw)
}

// agent is one value per agent, shared by its instances.
func (b *building) agent(id, host, region, zone string) *core.AgentInfo {
	a := b.r.agents[id]
	if a == nil {
		a = &core.AgentInfo{ID: id}
		b.r.agents[id] = a
	}
	if a.Host == "" {
		a.Host, a.Region, a.Zone = host, region, zone
	}
	return a
}

func (b *building) leave(task core.TaskID, why string) {
	b.r.Left = append(b.r.Left, fmt.Sprintf("%s: %s", task, why))
}

func (b *building) tasks() error {
	var list struct {
		Tasks []taskText `json:"tasks"`
	}
	if err := decode("/v2/tasks", b.src.Tasks, &list); err != nil {
		return err
	}
	for n := range list.Tasks {
		b.task(&list.Tasks[n])
	}
	return nil
}

func (b *building) task(t *taskText) {
	condition, lives := conditions[t.State]
	spec, known := b.st.Spec(t.App)
	name, err := core.ParseTaskID(t.ID)
	switch {
	case !lives:
		return // it has ended, or never began
	case !known:
		b.leave(t.ID, "its app "+string(t.App)+" does not exist")
		return
	case spec.IsPod():
		return // shown with the pod
	case err != nil:
		b.leave(t.ID, err.Error())
		return
	case name.Instance.Spec() != t.App:
		b.leave(t.ID, "its id is that of a version of Marathon before 1.4")
		return
	}
	i := b.instance(name, t.Version, t.Role, condition, max(t.StartedAt, t.StagedAt))
	i.Spec, i.ActiveSince = t.App, t.StartedAt
	i.Agent = b.agent(t.Agent, t.Host, t.Region, t.Zone)
	i.Reservation = b.reservation(i.ID, t.Volumes)
	status := &core.TaskStatus{State: t.State, At: i.Since}
	if condition == core.Unreachable {
		status.UnreachableSince = i.Since
	}
	i.Tasks = []core.Task{{ID: t.ID, Container: core.AppContainer, Condition: condition, StagedAt: t.StagedAt, StartedAt: t.StartedAt,
		Status: status, HostPorts: t.Ports, IPs: t.IPs}}
	b.adopt(i)
	if len(t.HealthCheck) > 0 { // so that no load balancer drops it until the first check of ours
		alive := true
		for _, h := range t.HealthCheck {
			alive = alive && h.Alive
		}
		b.st.SetLastAlive(i.ID, alive)
	}
}

func (b *building) instance(name core.TaskName, version core.Timestamp, role string, c core.Condition, since core.Timestamp) *core.Instance {
	if role == "" {
		role = b.wire.MesosRole
	}
	if role == "" {
		role = "*"
	}
	return &core.Instance{ID: name.Instance, Version: version, Role: role, Goal: core.GoalRunning, Condition: c, Since: since, Incarnation: max(1, name.Incarnation)}
}

func (b *building) reservation(id core.InstanceID, volumes []volumeText) *core.Reservation {
	if len(volumes) == 0 {
		return nil
	}
	r := &core.Reservation{ID: string(id), Principal: b.src.Principal}
	for _, v := range volumes {
		r.Volumes = append(r.Volumes, core.Volume{ID: v.PersistenceID, ContainerPath: v.ContainerPath})
	}
	return r
}

func (b *building) adopt(i *core.Instance) {
	b.st.PutInstance(i)
	b.r.Tasks += len(i.Tasks)
	b.r.adopted[i.Spec]++
	if b.r.versions[i.Spec] == nil {
		b.r.versions[i.Spec] = map[core.Timestamp]bool{}
	}
	b.r.versions[i.Spec][i.Version] = true
}

// podText is a pod as /v2/pods/::status shows it (http-api.md 7.7).
type podText struct {
	ID        core.PathID `json:"id"`
	Instances []struct {
		ID        core.InstanceID `json:"id"`
		Host      string          `json:"agentHostname"`
		Agent     string          `json:"agentId"`
		Region    string          `json:"agentRegion"`
		Zone      string          `json:"agentZone"`
		Since     core.Timestamp  `json:"statusSince"`
		Reference string          `json:"specReference"`
		Role      string          `json:"role"`
		Volumes   []volumeText    `json:"localVolumes"`
		Networks  []struct {
			Addresses []string `json:"addresses"`
		} `json:"networks"`
		Containers []struct {
			Name      string         `json:"name"`
			Status    string         `json:"status"`
			Since     core.Timestamp `json:"statusSince"`
			Task      core.TaskID    `json:"containerId"`
			Endpoints []struct {
				Name string `json:"name"`
				Port int    `json:"allocatedHostPort"`
			} `json:"endpoints"`
		} `json:"containers"`
	} `json:"instances"`
}

func (b *building) podInstances() error {
	if len(b.src.PodStatuses) == 0 {
		return nil
	}
	var list []podText
	if err := decode("/v2/pods/::status", b.src.PodStatuses, &list); err != nil {
		return err
	}
	for n := range list {
		b.podOf(&list[n])
	}
	return nil
}

func (b *building) podOf(p *podText) {
	if s, known := b.st.Spec(p.ID); !known || !s.IsPod() {
		b.leave(core.TaskID(p.ID), "the pod does not exist")
		return
	}
	for n := range p.Instances {
		t := &p.Instances[n]
		_, reference, _ := strings.Cut(t.Reference, "::versions/")
		version, err := core.ParseTimestamp(reference)
		if err != nil || len(t.Containers) == 0 {
			continue // it waits for an offer
		}
		i := b.instance(core.TaskName{Instance: t.ID}, version, t.Role, core.Running, t.Since)
		i.Spec, i.Pod = p.ID, true
		i.Agent = b.agent(t.Agent, t.Host, t.Region, t.Zone)
		i.Reservation = b.reservation(t.ID, t.Volumes)
		var ips []core.IPAddress
		for _, w := range t.Networks {
			for _, a := range w.Addresses {
				kind := "IPv4"
				if strings.Contains(a, ":") {
					kind = "IPv6"
				}
				ips = append(ips, core.IPAddress{Address: a, Protocol: kind})
			}
		}
		ended := false
		for _, c := range t.Containers {
			condition, lives := conditions[c.Status]
			if !lives {
				ended = true
				continue
			}
			name, err := core.ParseTaskID(c.Task)
			if err != nil || name.Instance != t.ID {
				b.leave(c.Task, "its id is not that of a container of "+string(t.ID))
				ended = true
				continue
			}
			i.Incarnation = max(i.Incarnation, name.Incarnation)
			task := core.Task{ID: c.Task, Container: c.Name, Condition: condition, StagedAt: c.Since, Status: &core.TaskStatus{State: c.Status, At: c.Since}, IPs: ips}
			if condition != core.Staging && condition != core.Starting {
				task.StartedAt = c.Since
			}
			if i.ActiveSince == 0 || task.StartedAt < i.ActiveSince {
				i.ActiveSince = task.StartedAt
			}
			if condition != core.Running { // one container that does not run yet, or no more, makes the whole pod so
				i.Condition = condition
			}
			for _, e := range c.Endpoints {
				task.HostPorts = append(task.HostPorts, e.Port)
			}
			i.Tasks = append(i.Tasks, task)
		}
		if ended {
			for _, task := range i.Tasks {
				b.leave(task.ID, "another container of its pod has ended")
			}
			continue
		}
		b.adopt(i)
	}
}
