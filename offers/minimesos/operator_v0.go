package minimesos

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// The unversioned operator endpoints answer in a compact form of their own, not
// in that of the protobuf messages (recording 33).

type object = map[string]any

// raw embeds a message in its protobuf JSON form.
func raw(msg any) json.RawMessage { return appendJSON(nil, msg) }

func rawList[T any](list []T) []json.RawMessage {
	out := make([]json.RawMessage, len(list))
	for i := range list {
		out[i] = raw(&list[i])
	}
	return out
}

// writeJSON answers with v, wrapped for ?jsonp=.
func writeJSON(w http.ResponseWriter, r *http.Request, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		writeText(w, http.StatusInternalServerError, err.Error())
		return
	}
	if callback := r.FormValue("jsonp"); callback != "" {
		w.Header().Set("Content-Type", "text/javascript")
		data = slices.Concat([]byte(callback+"("), data, []byte(");"))
	} else {
		w.Header().Set("Content-Type", typeJSON)
	}
	w.Write(data) //nolint:errcheck // the client is gone
}

// endpoint serves what build makes of the master's tables.
func (c *Cluster) endpoint(build func(m *master, r *http.Request) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		m := c.m
		if m == nil {
			c.mu.Unlock()
			panic(http.ErrAbortHandler)
		}
		v := build(m, r)
		c.mu.Unlock()
		writeJSON(w, r, v)
	}
}

// compact is a bag in the short form: sums by name, ranges as text.
func (b bag) compact(full bool) object {
	out := object{}
	if full {
		out = object{"cpus": 0.0, "mem": 0.0, "disk": 0.0, "gpus": 0.0}
	}
	spans, items := map[string][]span{}, map[string][]string{}
	for _, q := range b {
		if q.id.model.Revocable != nil {
			continue
		}
		switch q.id.form {
		case mesos.SCALAR:
			sum, _ := out[q.id.name].(float64)
			out[q.id.name] = float64(toMilli(sum)+q.milli) / 1000
		case mesos.RANGES:
			spans[q.id.name] = normalSpans(slices.Concat(spans[q.id.name], q.spans))
		case mesos.SET:
			items[q.id.name] = append(items[q.id.name], q.items...)
		}
	}
	for name, s := range spans {
		out[name] = spansText(s)
	}
	for name, s := range items {
		out[name] = "{" + strings.Join(s, ", ") + "}"
	}
	return out
}

// byRole splits a bag by the role it is reserved to.
func (b bag) byRole() object {
	out := object{}
	for _, q := range b {
		if role := q.id.role; role != "" && out[role] == nil {
			out[role] = b.filter(func(id *identity) bool { return id.role == role }).compact(true)
		}
	}
	return out
}

func unreserved(id *identity) bool { return id.role == "" }

func secondsOf(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMicro()) / 1e6
}

func attributesObject(attrs []mesos.Attribute) object {
	out := object{}
	for i := range attrs {
		a := &attrs[i]
		switch a.Type {
		case mesos.SCALAR:
			out[a.Name] = a.GetScalar().GetValue()
		case mesos.RANGES:
			var s []span
			for _, x := range a.GetRanges().GetRange() {
				s = append(s, span{x.Begin, x.End})
			}
			out[a.Name] = spansText(s)
		case mesos.SET:
			out[a.Name] = "{" + strings.Join(a.GetSet().GetItem(), ", ") + "}"
		default:
			out[a.Name] = a.GetText().GetValue()
		}
	}
	return out
}

func capabilityNames(list []mesos.AgentInfo_Capability) []string {
	out := make([]string, len(list))
	for i := range list {
		out[i] = list[i].Type.String()
	}
	return out
}

// agentObject is one entry of "slaves"; full adds the resources as messages.
func (m *master) agentObject(a *agent, full bool) object {
	n := a.node
	used, offered := a.usedBag(), a.offeredBag()
	out := object{
		"id": a.id, "hostname": n.cfg.Hostname, "port": n.port, "attributes": attributesObject(n.cfg.Attributes),
		"pid": n.pid(), "registered_time": secondsOf(a.registered), "resources": a.total.compact(true),
		"used_resources": used.compact(true), "offered_resources": offered.compact(true),
		"reserved_resources": a.total.byRole(), "unreserved_resources": a.total.filter(unreserved).compact(true),
		"active": a.connected && !a.deactivated, "deactivated": a.deactivated, "version": mesosVersion,
		"capabilities": capabilityNames(agentCapabilities),
	}
	if !a.reregister.IsZero() {
		out["reregistered_time"] = secondsOf(a.reregister)
	}
	if n.cfg.Domain != nil {
		out["domain"] = raw(n.cfg.Domain)
	}
	if a.drain != nil {
		out["drain_info"] = raw(m.agentMessage(a).DrainInfo)
		out["estimated_drain_start_time_seconds"] = float64(a.drain.since.Unix())
	}
	if full {
		reserved := map[string][]json.RawMessage{}
		for _, q := range a.total {
			if q.id.role != "" {
				reserved[q.id.role] = append(reserved[q.id.role], rawList(bag{q}.resources(""))...)
			}
		}
		out["reserved_resources_full"] = reserved
		out["unreserved_resources_full"] = rawList(a.total.filter(unreserved).resources(""))
		out["used_resources_full"] = rawList(used.resources(""))
		out["offered_resources_full"] = rawList(offered.resources(""))
	}
	return out
}

func (m *master) slaves() []any {
	out := []any{}
	for _, a := range m.agentOrder {
		out = append(out, m.agentObject(a, false))
	}
	return out
}

// object is the task in the short form.
func (t *task) object() object {
	out := object{
		"id": t.id, "name": t.info.Name, "framework_id": t.fw.id, "executor_id": t.executor, "slave_id": t.agent.id,
		"state": t.state.String(), "resources": t.uses.compact(true), "role": t.role,
	}
	statuses := []object{}
	for _, st := range t.statuses {
		s := object{"state": st.GetState().String(), "timestamp": st.GetTimestamp()}
		if st.ContainerStatus != nil {
			c := *st.ContainerStatus
			c.ExecutorPID = nil
			s["container_status"] = raw(&c)
		}
		if st.Healthy != nil {
			s["healthy"] = *st.Healthy
		}
		statuses = append(statuses, s)
	}
	out["statuses"] = statuses
	if list := t.info.Labels.GetLabels(); len(list) > 0 {
		out["labels"] = rawList(list)
	}
	if t.info.Discovery != nil {
		out["discovery"] = raw(t.info.Discovery)
	}
	if t.info.Container != nil {
		out["container"] = raw(t.info.Container)
	}
	if t.info.HealthCheck != nil {
		out["health_check"] = raw(t.info.HealthCheck)
	}
	return out
}

func taskObjects(tasks []*task) []object {
	out := []object{}
	for _, t := range tasks {
		out = append(out, t.object())
	}
	return out
}

func (m *master) frameworkObject(fw *framework) object {
	names := []string{}
	for i := range fw.info.Capabilities {
		names = append(names, fw.info.Capabilities[i].Type.String())
	}
	used := fw.usedBag()
	var offered bag
	offers := []any{}
	for _, o := range sortedOffers(fw.offers) {
		offered = offered.plus(o.bag)
		offers = append(offers, object{
			"id": o.id, "framework_id": fw.id, "slave_id": o.agent.id,
			"resources": o.bag.compact(true), "allocation_info": object{"role": o.role},
		})
	}
	executors := []any{}
	for _, a := range m.agentOrder {
		for key, ex := range a.executors {
			if key.framework == fw.id {
				executors = append(executors, object{"executor_id": key.task, "name": ex.info.GetName(), "framework_id": fw.id,
					"slave_id": a.id, "resources": ex.uses.compact(true), "role": ex.role})
			}
		}
	}
	out := object{
		"id": fw.id, "name": fw.info.Name, "user": fw.info.User, "roles": fw.roles, "capabilities": names,
		"hostname": fw.info.GetHostname(), "webui_url": fw.info.GetWebUiURL(), "checkpoint": fw.info.GetCheckpoint(),
		"failover_timeout": fw.info.GetFailoverTimeout(), "active": fw.stream != nil, "connected": fw.stream != nil,
		"recovered": fw.recovered, "registered_time": secondsOf(fw.registered), "unregistered_time": secondsOf(fw.gone),
		"used_resources": used.compact(true), "offered_resources": offered.compact(true),
		"resources": used.plus(offered).compact(true), "tasks": taskObjects(sortedTasks(fw.tasks)),
		"unreachable_tasks": taskObjects(sortedTasks(fw.unreachable)), "completed_tasks": taskObjects(fw.ended),
		"offers": offers, "executors": executors, "offer_constraints": fw.constraints.object(),
	}
	if !fw.able.multiRole && len(fw.roles) > 0 {
		out["role"] = fw.roles[0]
	}
	if fw.info.Principal != nil {
		out["principal"] = *fw.info.Principal
	}
	if list := fw.info.Labels.GetLabels(); len(list) > 0 {
		out["labels"] = rawList(list)
	}
	if !fw.reregister.IsZero() {
		out["reregistered_time"] = secondsOf(fw.reregister)
	}
	return out
}

// frameworksObject is /frameworks; only limits it to one framework.
func (m *master) frameworksObject(only string) object {
	live, done := []any{}, []any{}
	for _, fw := range m.sortedFrameworks() {
		if only == "" || fw.id == only {
			live = append(live, m.frameworkObject(fw))
		}
	}
	for _, fw := range m.completed {
		if only == "" || fw.id == only {
			done = append(done, m.frameworkObject(fw))
		}
	}
	return object{"frameworks": live, "completed_frameworks": done, "unregistered_frameworks": []any{}}
}

func (m *master) flagsObject() object {
	flags := object{}
	for _, f := range m.flags() {
		flags[f.Name] = f.GetValue()
	}
	return flags
}

func (m *master) state() object {
	out := m.frameworksObject("")
	names := []string{"AGENT_UPDATE", "AGENT_DRAINING", "QUOTA_V2"}
	activated := 0.0
	for _, a := range m.agentOrder {
		if a.connected && !a.deactivated {
			activated++
		}
	}
	recovered := []any{}
	for _, id := range sortedKeys(m.absent) {
		if n := m.c.reg.admitted[id]; n != nil {
			recovered = append(recovered, object{"id": id, "hostname": n.cfg.Hostname, "port": n.port})
		}
	}
	at := secondsOf(m.started)
	for k, v := range (object{
		"version": mesosVersion, "start_time": at, "elected_time": at, "id": m.id, "pid": m.info.GetPID(),
		"hostname": m.info.GetHostname(), "capabilities": names, "activated_slaves": activated,
		"deactivated_slaves": float64(len(m.agentOrder)) - activated, "unreachable_slaves": float64(len(m.c.reg.unreachable)),
		"leader": m.info.GetPID(), "flags": m.flagsObject(), "slaves": m.slaves(), "recovered_slaves": recovered,
		"leader_info":  object{"id": m.id, "pid": m.info.GetPID(), "port": m.info.GetPort(), "hostname": m.info.GetHostname()},
		"orphan_tasks": []any{},
	}) {
		out[k] = v
	}
	if d := m.c.cfg.Domain; d != nil {
		out["domain"] = raw(d)
	}
	return out
}

// tasksObject is /tasks, newest first unless order=asc, with its filters.
func (m *master) tasksObject(r *http.Request) any {
	var all []*task
	wantedFramework, wantedTask := r.FormValue("framework_id"), r.FormValue("task_id")
	for _, fw := range slices.Concat(m.sortedFrameworks(), m.completed) {
		for _, t := range slices.Concat(sortedTasks(fw.tasks), sortedTasks(fw.unreachable), fw.ended) {
			if (wantedFramework == "" || fw.id == wantedFramework) && (wantedTask == "" || t.id == wantedTask) {
				all = append(all, t)
			}
		}
	}
	began := func(t *task) float64 {
		if len(t.statuses) == 0 {
			return 0
		}
		return t.statuses[0].GetTimestamp()
	}
	slices.SortStableFunc(all, func(a, b *task) int {
		switch x, y := began(a), began(b); {
		case x < y:
			return 1
		case x > y:
			return -1
		}
		return 0
	})
	if r.FormValue("order") == "asc" {
		slices.Reverse(all)
	}
	limit, offset := 100, 0
	if n, err := strconv.Atoi(r.FormValue("limit")); err == nil && n >= 0 {
		limit = n
	}
	if n, err := strconv.Atoi(r.FormValue("offset")); err == nil && n >= 0 {
		offset = n
	}
	all = all[min(offset, len(all)):]
	return object{"tasks": taskObjects(all[:min(limit, len(all))])}
}

// summary is /state-summary: agents and frameworks with counts of task states.
func (m *master) summary() object {
	count := func(out object, tasks []*task) {
		for _, s := range []mesos.TaskState{mesos.TASK_STAGING, mesos.TASK_STARTING, mesos.TASK_RUNNING, mesos.TASK_KILLING,
			mesos.TASK_FINISHED, mesos.TASK_KILLED, mesos.TASK_FAILED, mesos.TASK_LOST, mesos.TASK_ERROR, mesos.TASK_UNREACHABLE} {
			n := 0
			for _, t := range tasks {
				if t.state == s {
					n++
				}
			}
			out[s.String()] = n
		}
	}
	slaves, frameworks := []any{}, []any{}
	byAgent := map[*agent][]*task{}
	for _, fw := range m.sortedFrameworks() {
		f := m.frameworkObject(fw)
		all := slices.Concat(sortedTasks(fw.tasks), sortedTasks(fw.unreachable), fw.ended)
		out := object{}
		for _, k := range []string{"id", "name", "used_resources", "offered_resources", "capabilities", "hostname",
			"webui_url", "active", "connected", "recovered"} {
			out[k] = f[k]
		}
		count(out, all)
		ids := []string{}
		for _, t := range all {
			byAgent[t.agent] = append(byAgent[t.agent], t)
			if !slices.Contains(ids, t.agent.id) {
				ids = append(ids, t.agent.id)
			}
		}
		out["slave_ids"] = ids
		frameworks = append(frameworks, out)
	}
	for _, a := range m.agentOrder {
		out := m.agentObject(a, false)
		count(out, byAgent[a])
		ids := []string{}
		for _, t := range byAgent[a] {
			if !slices.Contains(ids, t.fw.id) {
				ids = append(ids, t.fw.id)
			}
		}
		out["framework_ids"] = ids
		slaves = append(slaves, out)
	}
	return object{"hostname": m.info.GetHostname(), "slaves": slaves, "frameworks": frameworks}
}

func (m *master) rolesObject() object {
	out := []any{}
	for _, r := range m.viewRoles().Roles {
		ids := []string{}
		for _, f := range r.Frameworks {
			ids = append(ids, f.Value)
		}
		out = append(out, object{"name": r.Name, "weight": r.Weight, "frameworks": ids,
			"resources": m.c.ids.bagOf(r.Resources).compact(false)})
	}
	return object{"roles": out}
}

func metricsObject(list []mesos.Metric) object {
	out := object{}
	for _, x := range list {
		out[x.Name] = x.GetValue()
	}
	return out
}
