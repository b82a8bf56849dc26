package marathonapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"stadion/core"
	"stadion/core/machine"
	"stadion/core/state"
	"stadion/marathonapi/wire"
)

// tasksAnswer streams the tasks of apps, as JSON or in the plain form.
func (s *Server) tasksAnswer(r *request, list []shownApp, keep func(*core.Task) bool, servicePorts bool) error {
	if r.produces == typeText {
		return r.plainTasks(list)
	}
	if r.unchanged() {
		return nil
	}
	return r.stream(func(e *encoder) {
		e.raw(`{"tasks":[`)
		first := true
		form := formTaskList
		task := taskForm{servicePorts: servicePorts}
		if servicePorts {
			form |= formServicePorts
		} else {
			task.tails = s.taskTails
		}
		one := func(a *core.App, first *bool) {
			task := task
			task.spec = a
			e.tasksOfApp(r.snap, a, first, keep, task)
		}
		if keep != nil {
			for _, a := range list {
				one(a.app, &first)
			}
		} else {
			s.list(e, r.snap, list, form, &first, func(a *core.App, first *bool) { s.keptTasks(e, r.snap, infoKey{a, form}, first, one) })
		}
		e.raw("]}")
	})
}

// keptTasks writes the tasks of an app through the cache, where each has a comma before it.
func (s *Server) keptTasks(e *encoder, snap *state.Snapshot, k infoKey, first *bool, one func(*core.App, *bool)) {
	begin := len(e.b)
	kept := s.appInfos.text(e, snap, k, func() {
		inner := false
		one(k.app, &inner)
	})
	if !kept {
		one(k.app, first)
	} else if *first && len(e.b) > begin {
		e.b, *first = slices.Delete(e.b, begin, begin+1), false
	}
	e.spill()
}

// tasksOfApp encodes the tasks of an app that are shown and wanted.
func (e *encoder) tasksOfApp(snap *state.Snapshot, a *core.App, first *bool, keep func(*core.Task) bool, form taskForm) {
	for i := range snap.InstancesOf(a.ID) {
		if listed(i) && (keep == nil || keep(&i.Tasks[0])) {
			e.tasksOf(snap, i, first, form)
			e.spill()
		}
	}
}

func (s *Server) allTasks(r *request) error {
	q := r.QueryParams()
	words := slices.Concat(q["status"][:min(1, len(q["status"]))], q["status[]"])
	want := map[string]bool{}
	for _, w := range words {
		switch strings.ToLower(w) {
		case "running":
			want["TASK_RUNNING"] = true
		case "staging":
			want["TASK_STAGING"] = true
		}
	}
	var keep func(*core.Task) bool
	if len(want) > 0 {
		keep = func(t *core.Task) bool { return want[taskState(t)] }
	}
	return s.tasksAnswer(r, r.shownApps(core.Root), keep, true)
}

func (s *Server) appTasks(r *request) error {
	a, err := r.theApp()
	if err != nil {
		return err
	}
	return s.tasksAnswer(r, []shownApp{{app: a}}, nil, false)
}

func (s *Server) groupTasks(r *request) error {
	id, _ := r.id()
	if _, ok := r.snap.Group(id); !ok {
		return missing("Group", id)
	}
	return s.tasksAnswer(r, r.shownApps(id), nil, false)
}

// plainTasks is the text form of 1.9: a line per app and service port with the addresses of running tasks (5.3).
func (r *request) plainTasks(list []shownApp) error {
	var networks []string
	for _, n := range r.QueryParams()["containerNetworks"] {
		networks = append(networks, strings.Split(n, ",")...)
	}
	h := r.Response().Header()
	h.Set("Content-Type", typeText)
	e := &encoder{out: r.Response()}
	for _, a := range list {
		r.plainApp(e, a.app, networks)
		e.spill()
	}
	e.flush()
	return e.err
}

func (r *request) plainApp(e *encoder, a *core.App, networks []string) {
	var running []*core.Instance
	for i := range r.snap.InstancesOf(a.ID) {
		if listed(i) && taskState(&i.Tasks[0]) == "TASK_RUNNING" {
			running = append(running, i)
		}
	}
	name, ports := a.ID.SafePath(), a.ServicePorts()
	if len(ports) == 0 {
		e.raw(name + "\t \t")
		for _, i := range running {
			e.raw(i.Agent.Host + "\t")
		}
		e.raw("\n")
	}
	for n, port := range ports {
		e.raw(fmt.Sprintf("%s\t%d\t", name, port))
		for _, i := range running {
			if at := plainAddress(a, i, n, networks); at != "" {
				e.raw(at + "\t")
			}
		}
		e.raw("\n")
	}
}

// plainAddress is host:port of the n-th port of a task, or its container's address for the named networks.
func plainAddress(a *core.App, i *core.Instance, n int, networks []string) string {
	t := &i.Tasks[0]
	if onNetwork(a, networks) && len(t.IPs) > 0 && n < len(a.Container.PortMappings) {
		return fmt.Sprintf("%s:%d", t.IPs[0].Address, a.Container.PortMappings[n].ContainerPort)
	}
	if n < len(t.HostPorts) && t.HostPorts[n] != 0 {
		return fmt.Sprintf("%s:%d", i.Agent.Host, t.HostPorts[n])
	}
	return ""
}

func onNetwork(a *core.App, names []string) bool {
	if a.Container == nil {
		return false
	}
	for _, n := range a.Networks {
		if n.Mode == core.NetworkContainer && n.Name != nil && slices.Contains(names, *n.Name) {
			return true
		}
	}
	return false
}

// killMode reads scale and wipe, which exclude each other.
func (r *request) killMode() (scale, wipe bool, err error) {
	scale, wipe = r.flag("scale"), r.flag("wipe")
	if scale && wipe {
		err = badRequest("You cannot use scale and wipe at the same time.")
	}
	return scale, wipe, err
}

func (s *Server) killAppTasks(r *request) error {
	scale, wipe, err := r.killMode()
	if err != nil {
		return err
	}
	id, _ := r.id()
	host, byHost := r.QueryParam("host"), r.QueryParams().Has("host")
	var victims []*core.Instance
	any := false
	for i := range r.snap.InstancesOf(id) {
		any = true
		if byHost && host != "*" && (i.Agent == nil || i.Agent.Host != host) {
			continue
		}
		if wipe || len(i.Tasks) > 0 {
			victims = append(victims, i)
		}
	}
	if scale {
		if _, err := existing(r.snap, id); err != nil || !any {
			return notFound("Path '" + string(id) + "' does not exist")
		}
		return s.killAndScale(r, victims)
	}
	if _, err := r.theApp(); err != nil {
		return err
	}
	return s.killAndList(r, victims, wipe)
}

func (s *Server) killOneTask(r *request) error {
	scale, wipe, err := r.killMode()
	if err != nil {
		return err
	}
	a, err := r.theApp()
	if err != nil {
		return err
	}
	id := core.TaskID(r.vars["task"])
	i := instanceOfTask(r.snap, id)
	if i != nil && i.Spec != a.ID {
		i = nil
	}
	switch {
	case scale && i != nil:
		return s.killAndScale(r, []*core.Instance{i})
	case scale && hasInstances(r.snap, a.ID):
		return s.killAndScale(r, nil) // nothing to kill is a deployment of nothing
	case scale:
		return notFound("Path '" + string(a.ID) + "' does not exist")
	case i == nil:
		return missing("Task", id)
	}
	r.recordKill([]*core.Instance{i})
	if _, err := submit[machine.KillResult](s, r, machine.KillInstances{IDs: []core.InstanceID{i.ID}, Wipe: wipe}); err != nil {
		return err
	}
	return r.stream(func(e *encoder) {
		e.raw(`{"task":`)
		first := true
		for n := range i.Tasks {
			if i.Tasks[n].ID == id && first {
				first = false
				e.task(r.snap, i, &i.Tasks[n], taskForm{spec: a, allChecks: true})
			}
		}
		e.raw("}")
	})
}

func hasInstances(snap *state.Snapshot, id core.PathID) bool {
	for range snap.InstancesOf(id) {
		return true
	}
	return false
}

// instanceOfTask finds the instance that has the task now.
func instanceOfTask(snap *state.Snapshot, id core.TaskID) *core.Instance {
	name, err := core.ParseTaskID(id)
	if err != nil {
		return nil
	}
	i, ok := snap.Instance(name.Instance)
	if !ok || i.Erased() || !slices.ContainsFunc(i.Tasks, func(t core.Task) bool { return t.ID == id }) {
		return nil
	}
	return i
}

// killAndList kills and answers with the tasks of the victims as they were.
func (s *Server) killAndList(r *request, victims []*core.Instance, wipe bool) error {
	before := r.snap
	r.recordKill(victims)
	if len(victims) > 0 {
		if _, err := submit[machine.KillResult](s, r, machine.KillInstances{IDs: idsOf(victims), Wipe: wipe}); err != nil {
			return err
		}
	}
	return r.stream(func(e *encoder) {
		e.raw(`{"tasks":[`)
		first := true
		for _, i := range victims {
			spec, _ := before.Spec(i.Spec)
			e.tasksOf(before, i, &first, taskForm{spec: spec})
		}
		e.raw("]}")
	})
}

func idsOf(list []*core.Instance) []core.InstanceID {
	out := make([]core.InstanceID, len(list))
	for n, i := range list {
		out[n] = i.ID
	}
	return out
}

// killAndScale lowers the instance counts by the victims that live and names them as first to die (http-api.md 5.2).
func (s *Server) killAndScale(r *request, victims []*core.Instance) error {
	less := map[core.PathID]int{}
	var order []core.PathID
	for _, i := range victims {
		if _, known := less[i.Spec]; !known {
			order = append(order, i.Spec)
			less[i.Spec] = 0
		}
		if i.Goal == core.GoalRunning && i.Condition.Active() && i.Condition != core.Killing {
			less[i.Spec]++
		}
	}
	sentenced := idsOf(victims)
	res, err := s.update(r, r.flag("force"), nil, func(tree core.Tree) (core.Change, error) {
		ch := core.Change{Sentenced: sentenced, GroupID: core.Root}
		for _, id := range order {
			spec, ok := tree.Spec(id)
			if !ok {
				return ch, notFound("App '" + string(id) + "' does not exist")
			}
			ch.Put = append(ch.Put, spec.WithInstances(max(0, spec.InstanceCount()-less[id])))
		}
		if len(order) == 1 {
			ch.GroupID = order[0].Parent()
		}
		return ch, nil
	})
	if err != nil {
		return err
	}
	return r.deployed(http.StatusOK, res)
}

func (s *Server) killTasks(r *request) error {
	scale, wipe, err := r.killMode()
	if err != nil {
		return err
	}
	body, err := r.body()
	if err != nil {
		return err
	}
	ids, err := readIDs(body)
	if err != nil {
		return err
	}
	var victims []*core.Instance
	seen := map[core.InstanceID]bool{}
	for _, id := range ids {
		if _, err := core.ParseTaskID(core.TaskID(id)); err != nil {
			return badRequest(fmt.Sprintf("Invalid task id '%s'. [%s (of class java.lang.String)]", id, id))
		}
		i := instanceOfTask(r.snap, core.TaskID(id))
		if i != nil && !seen[i.ID] && (scale || !i.Pod) {
			seen[i.ID] = true
			victims = append(victims, i)
		}
	}
	if err := r.mayKill(victims); err != nil {
		return err
	}
	if scale {
		return s.killAndScale(r, victims)
	}
	return s.killAndList(r, victims, wipe)
}

// readIDs reads {"ids":[…]}. Paths are relative to the list, as Marathon tells them.
func readIDs(body []byte) ([]string, error) {
	var raw map[string]json.RawMessage
	if err := decodeBody(body, &raw); err != nil {
		return nil, err
	}
	given, ok := raw["ids"]
	if !ok {
		return nil, invalidJSON("", "'ids' is undefined on object: "+string(body[:min(len(body), 200)]))
	}
	var list []json.RawMessage
	if json.Unmarshal(given, &list) != nil || list == nil {
		return nil, invalidJSON("", "error.expected.jsarray")
	}
	out := make([]string, len(list))
	for i, v := range list {
		if v[0] != '"' || json.Unmarshal(v, &out[i]) != nil {
			return nil, invalidJSON(fmt.Sprintf("(%d)", i), "error.expected.jsstring")
		}
	}
	return out, nil
}

func invalidJSON(path, text string) error {
	return &core.Error{Kind: core.Invalid, Message: "Invalid JSON", Details: []core.Detail{{Path: path, Errors: []string{text}}}}
}

// decodeBody reads the small bodies that are no definitions (http-api.md 1.14).
func decodeBody(body []byte, into any) error {
	err := wire.Parse(body, into)
	var kind *json.UnmarshalTypeError
	if !errors.As(err, &kind) {
		return err
	}
	if kind.Field == "" {
		return invalidJSON("/", expectedKind(reflect.TypeOf(into).Elem()))
	}
	return invalidJSON("/"+strings.ReplaceAll(kind.Field, ".", "/"), expectedKind(kind.Type))
}

// expectedKind is the key of a violation by a value that is not of the type (http-api.md 1.13).
func expectedKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "error.expected.jsstring"
	case reflect.Slice:
		return "error.expected.jsarray"
	case reflect.Struct, reflect.Map:
		return "error.expected.jsobject"
	default:
		return "error.expected.jsnumber"
	}
}
