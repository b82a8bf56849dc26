package mesosproto

import (
	"strings"
	"testing"
	"time"
)

const principal = "framework"

// owned is a resource under a dynamic reservation of the framework's principal.
func owned(r obj, labels ...any) obj {
	res := obj{"type": "DYNAMIC", "role": "web", "principal": principal}
	if len(labels) > 0 {
		res["labels"] = obj{"labels": labels}
	}
	return reserved(r, res)
}

func reserved(r, reservation obj) obj {
	out := obj{"reservations": list{reservation}}
	for k, v := range r {
		out[k] = v
	}
	return out
}

// volume makes a disk a persistent volume.
func volume(disk obj, id, path string) obj {
	out := obj{"disk": obj{"persistence": obj{"id": id, "principal": principal}, "volume": obj{"container_path": path, "mode": "RW"}}}
	for k, v := range disk {
		out[k] = v
	}
	return out
}

func operation(kind string, id string, resources ...obj) obj {
	field := "resources"
	if kind == "CREATE" || kind == "DESTROY" {
		field = "volumes"
	}
	op := obj{"type": kind, strings.ToLower(kind): obj{field: resources}}
	if id != "" {
		op["id"] = obj{"value": id}
	}
	return op
}

// part is the reserved part of an offer: cpus and the persistent volumes' ids.
func part(o offer) (reservedCpus float64, volumes []string) {
	for _, r := range o.Resources {
		if r.Name == "cpus" && len(r.Reserv) > 0 {
			reservedCpus += r.Scalar.Value
		}
		if r.Disk != nil && r.Disk.Persistence != nil {
			id, _ := r.Disk.Persistence["id"].(string)
			volumes = append(volumes, id)
		}
	}
	return reservedCpus, volumes
}

// TestReserve is RESERVE to UNRESERVE without feedback (REC 19).
func TestReserve(t *testing.T) {
	m := newMaster(t)
	f := m.framework(obj{"principal": principal}).subscribe()
	labels := list{obj{"key": "marathon_task_id", "value": "pv.1"}, obj{"key": "marathon_framework_id", "value": "x"}}
	c, mb, d := owned(cpus(0.5, "web"), labels...), owned(mem(64, "web"), labels...), owned(amount("disk", 100, "web"), labels...)
	vol := volume(d, "data#pv-1", "data")
	o := f.offers(t, agentCount)[0]
	again := func(t *testing.T) offer { t.Helper(); return f.offerOf(t, o.AgentID) }
	t.Run("RESERVE and CREATE show in the next offer", func(t *testing.T) {
		start := time.Now()
		f.accept(t, []offer{o}, operation("RESERVE", "", c, mb, d), operation("CREATE", "", vol))
		o = again(t)
		span{0, 1500 * time.Millisecond}.check(t, time.Since(start))
		n, volumes := part(o)
		if n != 0.5 || len(volumes) != 1 || volumes[0] != "data#pv-1" {
			t.Fatalf("reserved cpus %v, volumes %v", n, volumes)
		}
	})
	t.Run("reserved resources stand before unreserved ones of their name", func(t *testing.T) {
		plain := map[string]bool{}
		for _, r := range o.Resources {
			if len(r.Reserv) == 0 {
				plain[r.Name] = true
			} else if plain[r.Name] {
				t.Errorf("reserved %s after unreserved", r.Name)
			}
		}
	})
	t.Run("reservation has type, role, principal and labels", func(t *testing.T) {
		for _, r := range o.Resources {
			if len(r.Reserv) == 0 {
				continue
			}
			got := r.Reserv[0]
			if len(r.Reserv) != 1 || got.Type != "DYNAMIC" || got.Role != "web" || got.Principal != principal || encode(got.Labels) != encode(obj{"labels": labels}) {
				t.Errorf("%s: %+v", r.Name, r.Reserv)
			}
		}
	})
	t.Run("volume has persistence and volume", func(t *testing.T) {
		for _, r := range o.Resources {
			if r.Disk != nil {
				if got := encode(r.Disk.Persistence) + encode(r.Disk.Volume); got != `{"id":"data#pv-1","principal":"framework"}{"container_path":"data","mode":"RW"}` {
					t.Errorf("%s", got)
				}
			}
		}
	})
	pinned := obj{"resources": list{c, mb, vol}}
	finished := []want{starting, running, ended("TASK_FINISHED", status0)}
	t.Run("task on the volume", func(t *testing.T) {
		f.accept(t, []offer{o}, launch(task("pv.1", o, "echo x > data/f", pinned)))
		f.course(t, "pv.1", finished...)
	})
	t.Run("data is there for the next task", func(t *testing.T) {
		o = f.offerWith(t, "offer of the volume", func(o offer) bool { _, v := part(o); return len(v) == 1 })
		f.accept(t, []offer{o}, launch(task("pv.2", o, "grep -q x data/f", pinned)))
		f.course(t, "pv.2", finished...)
		o = f.offerWith(t, "offer of the volume", func(o offer) bool { _, v := part(o); return len(v) == 1 })
	})
	t.Run("labels are part of the reservation", func(t *testing.T) {
		f.accept(t, []offer{o}, launch(task("pv.3", o, "true", obj{"resources": list{owned(cpus(0.5, "web")), owned(mem(64, "web"))}})))
		f.course(t, "pv.3", fromMaster("TASK_ERROR", "REASON_TASK_INVALID", "Total resources cpus(allocated: web)(reservations: [(DYNAMIC,web,framework)]):0.5; "+
			"mem(allocated: web)(reservations: [(DYNAMIC,web,framework)]):64 required by task and its executor is more than available ..."))
		o = again(t)
	})
	t.Run("UNRESERVE under a volume has no effect and no answer", func(t *testing.T) {
		f.accept(t, []offer{o}, operation("UNRESERVE", "", c, mb, d))
		o = again(t)
		if n, v := part(o); n != 0.5 || len(v) != 1 {
			t.Errorf("reserved cpus %v, volumes %v", n, v)
		}
	})
	t.Run("DESTROY and UNRESERVE in one ACCEPT", func(t *testing.T) {
		f.accept(t, []offer{o}, operation("DESTROY", "", vol), operation("UNRESERVE", "", c, mb, d))
		o = again(t)
		if n, v := part(o); n != 0 || len(v) != 0 {
			t.Errorf("reserved cpus %v, volumes %v", n, v)
		}
	})
	t.Run("RESERVE, CREATE and LAUNCH in one ACCEPT; DESTROY of a used volume has no effect", func(t *testing.T) {
		f.accept(t, []offer{o}, operation("RESERVE", "", c, mb, d), operation("CREATE", "", vol), launch(task("pv.4", o, m.gate("pv.4"), pinned)))
		f.course(t, "pv.4", starting, running)
		o = again(t)
		f.accept(t, []offer{o}, operation("DESTROY", "", vol))
		m.open(t, "pv.4")
		f.course(t, "pv.4", ended("TASK_FINISHED", status0))
		o = f.offerWith(t, "offer of the volume", func(o offer) bool { _, v := part(o); return len(v) == 1 })
		f.accept(t, []offer{o}, operation("DESTROY", "", vol), operation("UNRESERVE", "", c, mb, d))
		o = again(t)
		f.never(t, "operation status", 0, func(e *event) bool { return e.Type == "UPDATE_OPERATION_STATUS" })
	})
}

// outcome waits for the status of an operation.
func (f *framework) outcome(t *testing.T, id, state, message string) operationStatus {
	t.Helper()
	ev := f.awaitIn(t, "status of operation "+id, patience, func(e *event) bool {
		return e.Type == "UPDATE_OPERATION_STATUS" && e.Operation.Status.Operation.Value == id
	})
	st := ev.Operation.Status
	start, open := strings.CutSuffix(message, "...")
	if st.State != state || (st.Message != message && (!open || !strings.HasPrefix(st.Message, start))) {
		t.Fatalf("operation %s is %s %q, want %s %q", id, st.State, st.Message, state, message)
	}
	if finished := state == "OPERATION_FINISHED"; (st.UUID.Value != "") != finished || finished && st.Agent.Value == "" {
		t.Errorf("operation %s is %s with uuid %q, agent %q", id, st.State, st.UUID.Value, st.Agent.Value)
	}
	return st
}

// TestOperations is feedback, and operations that are invalid (REC 20).
func TestOperations(t *testing.T) {
	m := newMaster(t)
	f := m.framework(obj{"principal": principal}).subscribe()
	o := f.offers(t, agentCount)[0]
	on := func(t *testing.T, ops ...obj) {
		t.Helper()
		f.accept(t, []offer{o}, ops...)
		o = f.offerOf(t, o.AgentID)
	}
	half := owned(cpus(0.5, "web"))
	disk := owned(amount("disk", 10, "web"))
	with := func(changes obj) obj {
		r := obj{"type": "DYNAMIC", "role": "web", "principal": principal}
		for k, v := range changes {
			if r[k] = v; v == nil {
				delete(r, k)
			}
		}
		return reserved(cpus(0.5, "web"), r)
	}
	const wrongRole = "A reserve operation was attempted for a resource with role 'other', but the resource was allocated to role 'web'; on agent ..."
	t.Run("RESERVE and UNRESERVE with ids", func(t *testing.T) {
		on(t, operation("RESERVE", "op-1", half))
		f.outcome(t, "op-1", "OPERATION_FINISHED", "")
		on(t, operation("UNRESERVE", "op-2", half))
		f.outcome(t, "op-2", "OPERATION_FINISHED", "")
	})
	t.Run("RECONCILE_OPERATIONS", func(t *testing.T) {
		f.must(t, "RECONCILE_OPERATIONS", obj{"operations": list{
			obj{"operation_id": obj{"value": "op-2"}, "agent_id": obj{"value": o.AgentID}}, obj{"operation_id": obj{"value": "ghost"}},
			obj{"operation_id": obj{"value": "ghost2"}, "agent_id": obj{"value": o.AgentID}}}})
		f.outcome(t, "op-2", "OPERATION_UNKNOWN", "Reconciliation: Operation is unknown")
		f.outcome(t, "ghost", "OPERATION_UNKNOWN", "Reconciliation: Operation is unknown and no 'agent_id' was provided")
		f.outcome(t, "ghost2", "OPERATION_UNKNOWN", "Reconciliation: Operation is unknown")
		f.must(t, "RECONCILE_OPERATIONS", obj{"operations": list{}})
		f.never(t, "operation status", 300*time.Millisecond, func(e *event) bool { return e.Type == "UPDATE_OPERATION_STATUS" })
	})
	for _, c := range []struct {
		name, id string
		op       obj
		message  string
	}{
		{"RESERVE for another role", "bad-role", operation("RESERVE", "bad-role", with(obj{"role": "other"})), wrongRole},
		{"RESERVE with another principal", "bad-principal", operation("RESERVE", "bad-principal", with(obj{"principal": "other"})),
			"A reserve operation was attempted by authenticated principal 'framework', which does not match a reserved resource in the request with principal 'other'; on agent " + o.AgentID + " at slave(1)@..."},
		{"RESERVE without principal", "no-principal", operation("RESERVE", "no-principal", with(obj{"principal": nil})),
			"A reserve operation was attempted by principal 'framework', but there is a reserved resource in the request with no principal set; on agent " + o.AgentID + " at slave(1)@..."},
		{"RESERVE of the role *", "star", operation("RESERVE", "star", with(obj{"role": "*"})),
			`Operation attempted with invalid resources: Resource 'cpus(allocated: web)(reservations: [(DYNAMIC,*,framework)]):0.5' is invalid: Invalid reservation: role "*" cannot be reserved`},
		{"CREATE on unreserved disk", "cr-unres", operation("CREATE", "cr-unres", obj{"name": "disk", "type": "SCALAR", "scalar": obj{"value": 10}, "allocation_info": obj{"role": "web"},
			"disk": obj{"persistence": obj{"id": "v1"}, "volume": obj{"container_path": "d", "mode": "RW"}}}),
			"Invalid resources: Invalid DiskInfo: Persistent volumes cannot be created from unreserved resources; on agent " + o.AgentID + " at slave(1)@..."},
		{"DESTROY of an unknown volume", "de", operation("DESTROY", "de", volume(disk, "nosuch", "d")), "Persistent volumes not found; on agent " + o.AgentID + " at slave(1)@..."},
	} {
		t.Run("error: "+c.name, func(t *testing.T) {
			on(t, c.op)
			f.outcome(t, c.id, "OPERATION_ERROR", c.message)
		})
	}
	for _, c := range []struct {
		name, id string
		op       obj
		missing  string
	}{
		{"RESERVE of more than offered", "too-much", operation("RESERVE", "too-much", owned(cpus(100, "web"))), "cpus(allocated: web):100"},
		{"UNRESERVE of what is not reserved", "un", operation("UNRESERVE", "un", half), "cpus(allocated: web)(reservations: [(DYNAMIC,web,framework)]):0.5"},
	} {
		t.Run("error: "+c.name, func(t *testing.T) {
			on(t, c.op)
			if st := f.outcome(t, c.id, "OPERATION_ERROR", "..."); !strings.HasSuffix(st.Message, " does not contain "+c.missing) {
				t.Errorf("%q", st.Message)
			}
		})
	}
	t.Run("without id an error is silent", func(t *testing.T) {
		on(t, operation("RESERVE", "", with(obj{"role": "other"})))
		f.never(t, "operation status", 300*time.Millisecond, func(e *event) bool { return e.Type == "UPDATE_OPERATION_STATUS" })
	})
	t.Run("CREATE without persistence, between two that work", func(t *testing.T) {
		on(t, operation("RESERVE", "rd", disk), operation("CREATE", "cr-nop", disk), operation("UNRESERVE", "rd-u", disk))
		f.outcome(t, "cr-nop", "OPERATION_ERROR", "Not a persistent volume: Resource disk(allocated: web)(reservations: [(DYNAMIC,web,framework)]):10 does not have DiskInfo; on agent ...")
		f.outcome(t, "rd", "OPERATION_FINISHED", "")
		f.outcome(t, "rd-u", "OPERATION_FINISHED", "")
	})
	t.Run("CREATE with an absolute container path works", func(t *testing.T) {
		on(t, operation("RESERVE", "re", disk), operation("CREATE", "cr-abs", volume(disk, "v2", "/d")))
		f.outcome(t, "cr-abs", "OPERATION_FINISHED", "")
		on(t, operation("DESTROY", "de-abs", volume(disk, "v2", "/d")), operation("UNRESERVE", "re-u", disk))
		f.outcome(t, "re-u", "OPERATION_FINISHED", "")
	})
	t.Run("each operation is judged for itself", func(t *testing.T) {
		on(t, operation("RESERVE", "i1", with(obj{"role": "other"})), operation("RESERVE", "i2", half), operation("UNRESERVE", "i3", half))
		f.outcome(t, "i1", "OPERATION_ERROR", wrongRole)
		f.outcome(t, "i2", "OPERATION_FINISHED", "")
		f.outcome(t, "i3", "OPERATION_FINISHED", "")
	})
	t.Run("LAUNCH after an invalid RESERVE", func(t *testing.T) {
		f.accept(t, []offer{o}, operation("RESERVE", "j1", with(obj{"role": "other"})), launch(task("j2", o, "true")))
		f.outcome(t, "j1", "OPERATION_ERROR", wrongRole)
		f.course(t, "j2", starting, running, ended("TASK_FINISHED", status0))
		o = f.offerOf(t, o.AgentID)
	})
	t.Run("an id may be used twice", func(t *testing.T) {
		on(t, operation("RESERVE", "twice", half), operation("UNRESERVE", "twice", half))
		f.outcome(t, "twice", "OPERATION_FINISHED", "")
		f.outcome(t, "twice", "OPERATION_FINISHED", "")
	})
	t.Run("unknown offer", func(t *testing.T) {
		f.accept(t, []offer{{ID: "nosuch"}}, operation("RESERVE", "nooffer", half), operation("RESERVE", "", half))
		f.outcome(t, "nooffer", "OPERATION_ERROR", "Operation attempted with invalid offers: Offer nosuch is no longer valid")
	})
	t.Run("LAUNCH with an operation id", func(t *testing.T) {
		op := launch(task("lid", o, "true"))
		op["id"] = obj{"value": "launch-id"}
		on(t, op)
		f.course(t, "lid", fromMaster("TASK_ERROR", "REASON_TASK_INVALID", "The `id` field cannot be set on LAUNCH operations"))
	})
}

// TestOperationsNotAcknowledged: statuses of operations come again too (REC 20, timings).
func TestOperationsNotAcknowledged(t *testing.T) {
	m := newMaster(t)
	f := m.framework(obj{"principal": principal})
	f.autoAck = false
	f.subscribe()
	o := f.offers(t, agentCount)[0]
	half := owned(cpus(0.5, "web"))
	f.accept(t, []offer{o}, operation("RESERVE", "noack", half))
	status := func(e *event) bool { return e.Type == "UPDATE_OPERATION_STATUS" }
	first := f.await("status", patience, status)
	for _, after := range []time.Duration{10 * time.Second, 20 * time.Second} {
		t.Run("again after "+after.String(), func(t *testing.T) {
			next := f.awaitIn(t, "status", after+patience, status)
			span{after * 7 / 10, after + 3*time.Second/2}.check(t, next.at.Sub(first.at))
			if next.raw != first.raw {
				t.Errorf("%s\nthen %s", first.raw, next.raw)
			}
			first = next
		})
	}
	st := first.Operation.Status
	f.must(t, "ACKNOWLEDGE_OPERATION_STATUS", obj{"agent_id": st.Agent, "operation_id": st.Operation, "uuid": st.UUID.Value})
	o = f.offerOf(t, o.AgentID)
	f.accept(t, []offer{o}, operation("UNRESERVE", "", half))
	f.offerOf(t, o.AgentID)
}
