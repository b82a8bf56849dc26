package minimesos

import (
	"fmt"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	operator "github.com/mesos/mesos-go/api/v1/lib/master"
)

func timeInfo(t time.Time) *mesos.TimeInfo {
	if t.IsZero() {
		return nil
	}
	return &mesos.TimeInfo{Nanoseconds: t.UnixNano()}
}

// info is the agent as it describes itself.
func (n *node) info() mesos.AgentInfo {
	port := n.port
	return mesos.AgentInfo{
		Hostname: n.cfg.Hostname, Port: &port, Resources: n.cfg.Resources, Attributes: n.cfg.Attributes,
		ID: &mesos.AgentID{Value: n.id}, Domain: n.cfg.Domain,
	}
}

func (n *node) pid() string { return fmt.Sprintf("slave(1)@%s:%d", n.cfg.IP, n.port) }

// agentCapabilities are what an agent of Mesos 1.12 can do.
var agentCapabilities = []mesos.AgentInfo_Capability{
	{Type: mesos.AgentInfo_Capability_MULTI_ROLE}, {Type: mesos.AgentInfo_Capability_HIERARCHICAL_ROLE},
	{Type: mesos.AgentInfo_Capability_RESERVATION_REFINEMENT}, {Type: mesos.AgentInfo_Capability_RESOURCE_PROVIDER},
	{Type: mesos.AgentInfo_Capability_RESIZE_VOLUME}, {Type: mesos.AgentInfo_Capability_AGENT_OPERATION_FEEDBACK},
	{Type: mesos.AgentInfo_Capability_AGENT_DRAINING}, {Type: mesos.AgentInfo_Capability_TASK_RESOURCE_LIMITS},
}

// usedBy sums what tasks and executors of an agent use.
func (a *agent) usedBag() bag {
	var used bag
	for _, t := range a.tasks {
		used = used.plus(t.uses)
	}
	for _, ex := range a.executors {
		used = used.plus(ex.uses)
	}
	return used
}

func (a *agent) offeredBag() bag {
	var offered bag
	for _, o := range a.offers {
		offered = offered.plus(o.bag)
	}
	return offered
}

func (m *master) agentMessage(a *agent) operator.Response_GetAgents_Agent {
	pid, deactivated := a.node.pid(), a.deactivated
	msg := operator.Response_GetAgents_Agent{
		AgentInfo: a.node.info(), Active: a.connected && !a.deactivated, Deactivated: &deactivated, Version: mesosVersion,
		PID: &pid, RegisteredTime: timeInfo(a.registered), ReregisteredTime: timeInfo(a.reregister),
		TotalResources: a.total.resources(""), AllocatedResources: a.usedBag().resources(""),
		OfferedResources: a.offeredBag().resources(""), Capabilities: agentCapabilities,
	}
	if a.drain != nil {
		gone := a.drain.gone
		msg.DrainInfo = &mesos.DrainInfo{State: mesos.DrainState_DRAINING,
			Config: mesos.DrainConfig{MaxGracePeriod: a.drain.grace, MarkGone: &gone}}
		if a.drain.drained {
			msg.DrainInfo.State = mesos.DrainState_DRAINED
		}
		msg.EstimatedDrainStartTime = timeInfo(a.drain.since)
	}
	return msg
}

func (m *master) frameworkMessage(fw *framework) operator.Response_GetFrameworks_Framework {
	back := fw.reregister
	if back.IsZero() {
		back = fw.registered
	}
	msg := operator.Response_GetFrameworks_Framework{
		FrameworkInfo: *fw.info, Active: fw.stream != nil, Connected: fw.stream != nil, Recovered: fw.recovered,
		RegisteredTime: timeInfo(fw.registered), ReregisteredTime: timeInfo(back), UnregisteredTime: timeInfo(fw.gone),
	}
	var offered bag
	for _, o := range sortedOffers(fw.offers) {
		msg.Offers = append(msg.Offers, m.offerMessage(o))
		offered = offered.plus(o.bag)
	}
	msg.OfferedResources = offered.resources("")
	msg.AllocatedResources = fw.usedBag().resources("")
	return msg
}

// usedBag sums what the tasks of a framework and their executors use.
func (fw *framework) usedBag() bag {
	var used bag
	seen := map[*executor]bool{}
	for _, t := range fw.tasks {
		used = used.plus(t.uses)
		if t.executor == "" {
			continue
		}
		if ex := t.agent.executors[taskKey{fw.id, t.executor}]; ex != nil && !seen[ex] {
			seen[ex] = true
			used = used.plus(ex.uses)
		}
	}
	return used
}

// message is the task as the operator API shows it.
func (t *task) message() mesos.Task {
	msg := mesos.Task{
		Name: t.info.Name, TaskID: mesos.TaskID{Value: t.id}, FrameworkID: mesos.FrameworkID{Value: t.fw.id},
		AgentID: mesos.AgentID{Value: t.agent.id}, State: t.state.Enum(), Resources: t.uses.resources(t.role),
		Labels: t.info.Labels, Discovery: t.info.Discovery, Container: t.info.Container,
		HealthCheck: t.info.HealthCheck, KillPolicy: t.info.KillPolicy,
	}
	if t.executor != "" {
		msg.ExecutorID = &mesos.ExecutorID{Value: t.executor}
	}
	for _, st := range t.statuses {
		msg.Statuses = append(msg.Statuses, *st)
	}
	if t.last != nil {
		msg.StatusUpdateState, msg.StatusUpdateUUID = t.last.State, t.last.UUID
	}
	if user := t.info.Command.GetUser(); user != "" {
		msg.User = &user
	}
	return msg
}

// flags are the settings a user may want to see; the miniature has no others.
func (m *master) flags() []mesos.Flag {
	cfg := &m.c.cfg
	auth := fmt.Sprint(cfg.Credentials != nil)
	var out []mesos.Flag
	for _, x := range [][2]string{
		{"agent_reregister_timeout", durationText(cfg.AgentReregisterTimeout)},
		{"allocation_interval", durationText(cfg.AllocationInterval)},
		{"allocator", "hierarchical"},
		{"authenticate_frameworks", auth},
		{"authenticate_http_frameworks", auth},
		{"authenticate_http_readwrite", auth},
		{"framework_sorter", "drf"},
		{"hostname", m.info.GetHostname()},
		{"ip", m.info.Address.GetIP()},
		{"max_completed_frameworks", fmt.Sprint(maxCompletedFrameworks)},
		{"max_completed_tasks_per_framework", fmt.Sprint(maxCompletedTasks)},
		{"min_allocatable_resources", "cpus:0.01|mem:32"},
		{"port", fmt.Sprint(m.info.GetPort())},
		{"role_sorter", "drf"},
		{"work_dir", cfg.WorkDir},
	} {
		value := x[1]
		out = append(out, mesos.Flag{Name: x[0], Value: &value})
	}
	return out
}

// durationText writes a duration as Mesos flags do, in the largest whole unit.
func durationText(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{time.Minute, "mins"}, {time.Second, "secs"}, {time.Millisecond, "ms"}} {
		if d >= u.unit && d%u.unit == 0 {
			return fmt.Sprint(int64(d/u.unit)) + u.name
		}
	}
	return fmt.Sprint(d.Nanoseconds()) + "ns"
}

// metrics is a choice of what /metrics/snapshot of Mesos has.
func (m *master) metrics() []mesos.Metric {
	var out []mesos.Metric
	put := func(name string, v float64) { out = append(out, mesos.Metric{Name: name, Value: &v}) }
	states := map[mesos.TaskState]int{}
	connected, used := 0, totals{}
	for _, fw := range m.frameworks {
		for _, t := range fw.tasks {
			states[t.state]++
		}
		for range fw.unreachable {
			states[mesos.TASK_UNREACHABLE]++
		}
		if fw.stream != nil {
			connected++
		}
	}
	active := 0
	for _, a := range m.agentOrder {
		if a.connected && !a.deactivated {
			active++
		}
		b := a.usedBag()
		used.cpus += b.scalar("cpus")
		used.mem += b.scalar("mem")
		used.disk += b.scalar("disk")
	}
	all := m.clusterTotals()
	put("allocator/mesos/allocation_runs", float64(m.rounds))
	for _, x := range []struct {
		name       string
		total, has int64
	}{{"cpus", all.cpus, used.cpus}, {"mem", all.mem, used.mem}, {"disk", all.disk, used.disk}} {
		put("master/"+x.name+"_total", float64(x.total)/1000)
		put("master/"+x.name+"_used", float64(x.has)/1000)
	}
	put("master/elected", 1)
	put("master/frameworks_active", float64(connected))
	put("master/frameworks_connected", float64(connected))
	put("master/frameworks_disconnected", float64(len(m.frameworks)-connected))
	put("master/outstanding_offers", float64(len(m.offers)))
	put("master/slaves_active", float64(active))
	put("master/slaves_connected", float64(len(m.agentOrder)))
	put("master/slaves_unreachable", float64(len(m.c.reg.unreachable)))
	for _, x := range []struct {
		name  string
		state mesos.TaskState
	}{{"staging", mesos.TASK_STAGING}, {"starting", mesos.TASK_STARTING}, {"running", mesos.TASK_RUNNING},
		{"killing", mesos.TASK_KILLING}, {"unreachable", mesos.TASK_UNREACHABLE}} {
		put("master/tasks_"+x.name, float64(states[x.state]))
	}
	for _, x := range []struct {
		name  string
		state mesos.TaskState
	}{{"finished", mesos.TASK_FINISHED}, {"failed", mesos.TASK_FAILED}, {"killed", mesos.TASK_KILLED},
		{"lost", mesos.TASK_LOST}, {"error", mesos.TASK_ERROR}, {"dropped", mesos.TASK_DROPPED}} {
		put("master/tasks_"+x.name, float64(m.tally.tasks[x.state]))
	}
	put("master/uptime_secs", time.Since(m.started).Seconds())
	put("master/valid_status_updates", float64(m.tally.messages))
	return out
}
