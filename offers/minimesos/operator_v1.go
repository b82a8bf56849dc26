package minimesos

import (
	"net/http"
	"slices"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/allocator"
	"github.com/mesos/mesos-go/api/v1/lib/maintenance"
	operator "github.com/mesos/mesos-go/api/v1/lib/master"
)

// Call types of Mesos 1.12 are all in mesos-go, so the operator API needs no
// decoding by hand. What follows answers them.

// handleOperator is POST /api/v1.
func (c *Cluster) handleOperator(w http.ResponseWriter, r *http.Request) {
	if _, ok := c.authenticated(r); !ok {
		unauthorized(w, "mesos-master-readwrite")
		return
	}
	if c.notReady(w) {
		return
	}
	call := &operator.Call{}
	if !readCall(w, r, call) {
		return
	}
	if text := validateOperatorCall(call); text != "" {
		bad("Failed to validate master::Call: %s", text).write(w)
		return
	}
	asJSON, ok := acceptedCodec(w, r)
	if !ok {
		return
	}
	if call.Type == operator.Call_SUBSCRIBE {
		c.serveWatcher(w, r, asJSON)
		return
	}
	resp, a := c.operate(call)
	if resp == nil {
		a.write(w)
		return
	}
	if asJSON {
		w.Header().Set("Content-Type", typeJSON)
		w.Write(appendJSON(nil, resp)) //nolint:errcheck // the client is gone
		return
	}
	data, err := resp.Marshal()
	if err != nil {
		writeText(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", typeProtobuf)
	w.Write(data) //nolint:errcheck // the client is gone
}

func onlyPost(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Allow", "POST")
	writeText(w, http.StatusMethodNotAllowed,
		"405 Method Not Allowed. Expecting one of { 'POST' }, but received '"+r.Method+"'.")
}

func validateOperatorCall(call *operator.Call) string {
	if call.Type == operator.Call_UNKNOWN || operator.Call_Type_name[int32(call.Type)] == "" {
		return "Expecting 'type' to be present"
	}
	for _, x := range []struct {
		kind operator.Call_Type
		name string
		set  bool
	}{
		{operator.Call_UPDATE_MAINTENANCE_SCHEDULE, "update_maintenance_schedule", call.UpdateMaintenanceSchedule != nil},
		{operator.Call_START_MAINTENANCE, "start_maintenance", call.StartMaintenance != nil},
		{operator.Call_STOP_MAINTENANCE, "stop_maintenance", call.StopMaintenance != nil},
		{operator.Call_DRAIN_AGENT, "drain_agent", call.DrainAgent != nil},
		{operator.Call_DEACTIVATE_AGENT, "deactivate_agent", call.DeactivateAgent != nil},
		{operator.Call_REACTIVATE_AGENT, "reactivate_agent", call.ReactivateAgent != nil},
		{operator.Call_TEARDOWN, "teardown", call.Teardown != nil},
		{operator.Call_MARK_AGENT_GONE, "mark_agent_gone", call.MarkAgentGone != nil},
		{operator.Call_LIST_FILES, "list_files", call.ListFiles != nil},
		{operator.Call_READ_FILE, "read_file", call.ReadFile != nil},
		{operator.Call_GET_METRICS, "get_metrics", call.GetMetrics != nil},
	} {
		if call.Type == x.kind && !x.set {
			return "Expecting '" + x.name + "' to be present"
		}
	}
	return ""
}

// operate answers a call with a response, or with a status alone.
func (c *Cluster) operate(call *operator.Call) (*operator.Response, answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.m
	if m == nil {
		panic(http.ErrAbortHandler)
	}
	if resp := m.view(call); resp != nil {
		return resp, answer{}
	}
	switch call.Type {
	case operator.Call_LIST_FILES, operator.Call_READ_FILE:
		return nil, answer{status: http.StatusNotFound} // the master has no files of its own
	case operator.Call_UPDATE_MAINTENANCE_SCHEDULE:
		return nil, okOr(m.schedule(&call.UpdateMaintenanceSchedule.Schedule))
	case operator.Call_START_MAINTENANCE:
		return nil, okOr(m.startMaintenance(call.StartMaintenance.Machines))
	case operator.Call_STOP_MAINTENANCE:
		return nil, okOr(m.stopMaintenance(call.StopMaintenance.Machines))
	case operator.Call_DRAIN_AGENT, operator.Call_DEACTIVATE_AGENT, operator.Call_REACTIVATE_AGENT:
		return nil, m.agentCall(call)
	case operator.Call_TEARDOWN:
		return nil, m.teardownByOperator(call.Teardown.FrameworkID.Value)
	case operator.Call_MARK_AGENT_GONE:
		id := call.MarkAgentGone.AgentID.Value
		if !m.markGone(id) {
			return nil, answer{http.StatusNotFound, "Agent '" + id + "' not found"}
		}
		return nil, answer{status: http.StatusOK}
	}
	return nil, answer{http.StatusNotImplemented, "The call " + call.Type.String() + " is not supported"}
}

func okOr(text string) answer {
	if text != "" {
		return bad("%s", text)
	}
	return answer{status: http.StatusOK}
}

func (m *master) teardownByOperator(id string) answer {
	fw := m.frameworks[id]
	if fw == nil {
		return bad("No framework found with specified ID")
	}
	m.removeFramework(fw)
	return answer{status: http.StatusOK}
}

// agentCall is DRAIN_AGENT, DEACTIVATE_AGENT and REACTIVATE_AGENT.
func (m *master) agentCall(call *operator.Call) answer {
	var id string
	switch call.Type {
	case operator.Call_DRAIN_AGENT:
		id = call.DrainAgent.AgentID.Value
	case operator.Call_DEACTIVATE_AGENT:
		id = call.DeactivateAgent.AgentID.Value
	default:
		id = call.ReactivateAgent.AgentID.Value
	}
	a := m.agents[id]
	if a == nil {
		return bad("Unknown agent")
	}
	switch call.Type {
	case operator.Call_DRAIN_AGENT:
		var grace *mesos.DurationInfo
		if d := call.DrainAgent.MaxGracePeriod; d != nil {
			grace = &mesos.DurationInfo{Nanoseconds: d.GetSeconds()*1e9 + int64(d.GetNanos())}
		}
		m.drainAgent(a, grace, call.DrainAgent.GetMarkGone())
	case operator.Call_DEACTIVATE_AGENT:
		a.deactivated = true
		m.rescindAgent(a)
		m.rescindInverseAgent(a)
	default:
		if !a.deactivated {
			return bad("Agent is not deactivated")
		}
		if a.drain != nil && !a.drain.drained {
			return bad("Agent is still in the DRAINING state")
		}
		a.deactivated, a.drain = false, nil
	}
	return answer{status: http.StatusOK}
}

// view answers the calls that only read.
func (m *master) view(call *operator.Call) *operator.Response {
	resp := &operator.Response{Type: operator.Response_Type(operator.Response_Type_value[call.Type.String()])}
	switch call.Type {
	case operator.Call_GET_HEALTH:
		resp.GetHealth = &operator.Response_GetHealth{Healthy: true}
	case operator.Call_GET_VERSION:
		resp.GetVersion = &operator.Response_GetVersion{VersionInfo: mesos.VersionInfo{Version: mesosVersion}}
	case operator.Call_GET_MASTER:
		at := float64(m.started.UnixMicro()) / 1e6
		resp.GetMaster = &operator.Response_GetMaster{MasterInfo: m.info, StartTime: &at, ElectedTime: &at}
	case operator.Call_GET_AGENTS:
		resp.GetAgents = m.viewAgents()
	case operator.Call_GET_FRAMEWORKS:
		resp.GetFrameworks = m.viewFrameworks()
	case operator.Call_GET_TASKS:
		resp.GetTasks = m.viewTasks()
	case operator.Call_GET_EXECUTORS:
		resp.GetExecutors = m.viewExecutors()
	case operator.Call_GET_STATE:
		resp.GetState = m.viewState()
	case operator.Call_GET_ROLES:
		resp.GetRoles = m.viewRoles()
	case operator.Call_GET_OPERATIONS:
		resp.GetOperations = m.viewOperations()
	case operator.Call_GET_METRICS:
		resp.GetMetrics = &operator.Response_GetMetrics{Metrics: m.metrics()}
	case operator.Call_GET_FLAGS:
		resp.GetFlags = &operator.Response_GetFlags{Flags: m.flags()}
	case operator.Call_GET_QUOTA:
		resp.GetQuota = &operator.Response_GetQuota{}
	case operator.Call_GET_WEIGHTS:
	case operator.Call_GET_LOGGING_LEVEL:
		resp.GetLoggingLevel = &operator.Response_GetLoggingLevel{}
	case operator.Call_GET_MAINTENANCE_SCHEDULE:
		resp.GetMaintenanceSchedule = &operator.Response_GetMaintenanceSchedule{Schedule: m.viewSchedule()}
	case operator.Call_GET_MAINTENANCE_STATUS:
		resp.GetMaintenanceStatus = &operator.Response_GetMaintenanceStatus{Status: m.viewMachines()}
	default:
		return nil
	}
	return resp
}

func (m *master) viewState() *operator.Response_GetState {
	return &operator.Response_GetState{
		GetTasks: m.viewTasks(), GetExecutors: m.viewExecutors(),
		GetFrameworks: m.viewFrameworks(), GetAgents: m.viewAgents(),
	}
}

func (m *master) viewAgents() *operator.Response_GetAgents {
	out := &operator.Response_GetAgents{}
	for _, a := range m.agentOrder {
		out.Agents = append(out.Agents, m.agentMessage(a))
	}
	for _, id := range sortedKeys(m.absent) {
		if n := m.c.reg.admitted[id]; n != nil {
			out.RecoveredAgents = append(out.RecoveredAgents, n.info())
		}
	}
	return out
}

func (m *master) viewFrameworks() *operator.Response_GetFrameworks {
	out := &operator.Response_GetFrameworks{}
	for _, fw := range m.sortedFrameworks() {
		out.Frameworks = append(out.Frameworks, m.frameworkMessage(fw))
	}
	for _, fw := range m.completed {
		out.CompletedFrameworks = append(out.CompletedFrameworks, m.frameworkMessage(fw))
	}
	return out
}

func (m *master) viewTasks() *operator.Response_GetTasks {
	out := &operator.Response_GetTasks{}
	for _, fw := range slices.Concat(m.sortedFrameworks(), m.completed) {
		for _, t := range sortedTasks(fw.tasks) {
			out.Tasks = append(out.Tasks, t.message())
		}
		for _, t := range sortedTasks(fw.unreachable) {
			out.UnreachableTasks = append(out.UnreachableTasks, t.message())
		}
		for _, t := range fw.ended {
			out.CompletedTasks = append(out.CompletedTasks, t.message())
		}
	}
	return out
}

func (m *master) viewExecutors() *operator.Response_GetExecutors {
	out := &operator.Response_GetExecutors{}
	for _, a := range m.agentOrder {
		for _, ex := range a.executors {
			out.Executors = append(out.Executors, operator.Response_GetExecutors_Executor{
				ExecutorInfo: *ex.info, AgentID: mesos.AgentID{Value: a.id}})
		}
	}
	return out
}

func (m *master) viewRoles() *operator.Response_GetRoles {
	byName := map[string]*mesos.Role{}
	used := map[string]bag{}
	for _, fw := range m.sortedFrameworks() {
		for _, name := range fw.roles {
			if byName[name] == nil {
				byName[name] = &mesos.Role{Name: name, Weight: 1}
			}
			byName[name].Frameworks = append(byName[name].Frameworks, mesos.FrameworkID{Value: fw.id})
			used[name] = used[name].plus(fw.used[name])
		}
	}
	out := &operator.Response_GetRoles{}
	for _, name := range sortedKeys(byName) {
		byName[name].Resources = used[name].resources("")
		out.Roles = append(out.Roles, *byName[name])
	}
	return out
}

func (m *master) viewOperations() *operator.Response_GetOperations {
	out := &operator.Response_GetOperations{}
	for _, fw := range m.sortedFrameworks() {
		for _, key := range sortedKeys(fw.operations) {
			op := fw.operations[key]
			out.Operations = append(out.Operations, mesos.Operation{
				FrameworkID: &mesos.FrameworkID{Value: fw.id}, AgentID: &mesos.AgentID{Value: op.agent.id},
				Info: *op.info, LatestStatus: *op.status, Statuses: []mesos.OperationStatus{*op.status},
				UUID: mesos.UUID{Value: []byte(op.uuid)},
			})
		}
	}
	return out
}

func (m *master) viewSchedule() maintenance.Schedule {
	var s maintenance.Schedule
	for _, key := range sortedKeys(m.c.reg.machines) {
		mc := m.c.reg.machines[key]
		s.Windows = append(s.Windows, maintenance.Window{MachineIDs: []mesos.MachineID{mc.id}, Unavailability: *mc.window})
	}
	return s
}

func (m *master) viewMachines() maintenance.ClusterStatus {
	var s maintenance.ClusterStatus
	for _, key := range sortedKeys(m.c.reg.machines) {
		mc := m.c.reg.machines[key]
		if mc.down {
			s.DownMachines = append(s.DownMachines, mc.id)
			continue
		}
		d := maintenance.ClusterStatus_DrainingMachine{ID: mc.id}
		for _, a := range m.agentOrder {
			if a.node.machine() != mc {
				continue
			}
			for _, fid := range sortedKeys(a.answers) {
				status := allocator.InverseOfferStatus_DECLINE
				if a.answers[fid].accepted {
					status = allocator.InverseOfferStatus_ACCEPT
				}
				d.Statuses = append(d.Statuses, allocator.InverseOfferStatus{Status: status.Enum(),
					FrameworkID: mesos.FrameworkID{Value: fid}, Timestamp: mesos.TimeInfo{Nanoseconds: a.answers[fid].at.UnixNano()}})
			}
		}
		s.DrainingMachines = append(s.DrainingMachines, d)
	}
	return s
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
