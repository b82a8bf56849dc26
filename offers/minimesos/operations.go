package minimesos

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

// operation is an offer operation with an id, until its status is acknowledged.
type operation struct {
	uuid   string // key, the operation's own
	fw     *framework
	agent  *agent
	info   *mesos.Offer_Operation
	status *mesos.OperationStatus
}

// nodeOperation is the update stream of one operation on its agent.
type nodeOperation struct {
	framework string
	op        *operation
	status    *mesos.OperationStatus
	retry     time.Duration
	resend    *timer
}

// operationError reports a failed operation, if it has an id; else it is silent.
func (m *master) operationError(fw *framework, id *mesos.OperationID, text string) {
	if id == nil {
		return
	}
	fw.sendOperation(&mesos.OperationStatus{OperationID: id, State: mesos.OPERATION_ERROR, Message: &text})
}

func (fw *framework) sendOperation(st *mesos.OperationStatus) {
	fw.send(&scheduler.Event{Type: scheduler.Event_UPDATE_OPERATION_STATUS,
		UpdateOperationStatus: &scheduler.Event_UpdateOperationStatus{Status: *st}})
}

// change is what an operation does to the resources of an agent.
type change struct {
	take, give bag
	text       string // why not
	bare       bool   // text stands alone, without the agent
}

// operate carries out RESERVE, UNRESERVE, CREATE or DESTROY on what is left of
// the offers; each operation is judged for itself.
func (x *acceptance) operate(op *mesos.Offer_Operation) {
	ch := x.plan(op)
	if ch.text == "" && !x.left.contains(ch.take) {
		ch.text = x.left.text(x.role) + " does not contain " + ch.take.text(x.role)
		ch.bare = true
	}
	n := x.agent.node
	if ch.text != "" {
		if !ch.bare {
			ch.text += fmt.Sprintf("; on agent %s at slave(1)@%s:%d (%s)", x.agent.id, n.cfg.IP, n.port, n.cfg.Hostname)
		}
		x.m.operationError(x.fw, op.ID, ch.text)
		return
	}
	x.left = x.left.minus(ch.take).plus(ch.give)
	n.total = n.total.minus(ch.take).plus(ch.give).inOrder()
	x.agent.total = n.total
	x.fw.book(x.role, ch.take, -1)
	x.fw.book(x.role, ch.give, 1)
	x.tellVolumes(op, ch)
	x.m.c.saveRegistry()
	if op.ID != nil {
		x.m.startOperation(x.fw, x.agent, op)
	}
}

// tellVolumes makes or removes the directories of volumes.
func (x *acceptance) tellVolumes(op *mesos.Offer_Operation, ch change) {
	switch op.Type {
	case mesos.Offer_Operation_CREATE:
		for i, q := range ch.give {
			if len(ch.give) == len(op.Create.Volumes) {
				q.id.model.Disk = op.Create.Volumes[i].Disk // an id may come again with another mount
			}
			x.agent.node.runner.createVolume(q.id.role, q.id.model.Disk.Persistence.ID)
		}
	case mesos.Offer_Operation_DESTROY:
		for _, q := range ch.take {
			x.agent.node.runner.destroyVolume(q.id.role, q.id.model.Disk.Persistence.ID)
		}
	}
}

func (x *acceptance) plan(op *mesos.Offer_Operation) change {
	var rs []mesos.Resource
	switch op.Type {
	case mesos.Offer_Operation_RESERVE:
		rs = op.Reserve.GetResources()
	case mesos.Offer_Operation_UNRESERVE:
		rs = op.Unreserve.GetResources()
	case mesos.Offer_Operation_CREATE:
		rs = op.Create.GetVolumes()
	case mesos.Offer_Operation_DESTROY:
		rs = op.Destroy.GetVolumes()
	}
	if text := validateResources(rs); text != "" {
		return change{text: "Operation attempted with invalid resources: " + text, bare: true}
	}
	for _, rule := range []func([]mesos.Resource) string{usableText, providersText} {
		if text := rule(rs); text != "" {
			return change{text: "Invalid resources: " + text}
		}
	}
	switch op.Type {
	case mesos.Offer_Operation_RESERVE:
		return x.planReserve(rs)
	case mesos.Offer_Operation_UNRESERVE:
		return x.planUnreserve(rs)
	case mesos.Offer_Operation_CREATE:
		return x.planCreate(rs)
	}
	return x.planDestroy(rs)
}

// dynamic is the innermost reservation of r if that is a dynamic one.
func dynamic(r *mesos.Resource) *mesos.Resource_ReservationInfo {
	stack := reservationsOf(r)
	if len(stack) == 0 || stack[len(stack)-1].GetType() != mesos.Resource_ReservationInfo_DYNAMIC {
		return nil
	}
	return &stack[len(stack)-1]
}

func (x *acceptance) planReserve(rs []mesos.Resource) change {
	principal := x.fw.info.GetPrincipal()
	source := make([]mesos.Resource, len(rs))
	for i := range rs {
		info := dynamic(&rs[i])
		if info == nil {
			return change{text: "Resource " + resourceText(&rs[i]) + " is not dynamically reserved"}
		}
		if principal != "" && info.Principal == nil {
			return change{text: "A reserve operation was attempted by principal '" + principal +
				"', but there is a reserved resource in the request with no principal set"}
		}
		if info.Principal != nil && *info.Principal != principal {
			return change{text: "A reserve operation was attempted by authenticated principal '" + principal +
				"', which does not match a reserved resource in the request with principal '" + *info.Principal + "'"}
		}
		if role := info.GetRole(); role != x.role {
			return change{text: "A reserve operation was attempted for a resource with role '" + role +
				"', but the resource was allocated to role '" + x.role + "'"}
		}
		if rs[i].Disk.GetPersistence() != nil {
			return change{text: "A persistent volume " + resourceText(&rs[i]) + " must already be reserved"}
		}
		source[i] = rs[i]
		stack := reservationsOf(&rs[i])
		source[i].Reservations = slices.Clone(stack[:len(stack)-1])
		source[i].Role, source[i].Reservation = nil, nil
	}
	return change{take: x.m.c.ids.bagOf(source), give: x.m.c.ids.bagOf(rs)}
}

func (x *acceptance) planUnreserve(rs []mesos.Resource) change {
	target := make([]mesos.Resource, len(rs))
	for i := range rs {
		if dynamic(&rs[i]) == nil {
			return change{text: "Resource " + resourceText(&rs[i]) + " is not dynamically reserved"}
		}
		if rs[i].Disk.GetPersistence() != nil {
			return change{text: "A dynamically reserved persistent volume " + resourceText(&rs[i]) + " cannot be unreserved directly. Please destroy the persistent volume first then unreserve the resource"}
		}
		target[i] = rs[i]
		stack := reservationsOf(&rs[i])
		target[i].Reservations = slices.Clone(stack[:len(stack)-1])
		target[i].Role, target[i].Reservation = nil, nil
	}
	return change{take: x.m.c.ids.bagOf(rs), give: x.m.c.ids.bagOf(target)}
}

func (x *acceptance) planCreate(rs []mesos.Resource) change {
	principal := x.fw.info.GetPrincipal()
	source := make([]mesos.Resource, len(rs))
	for i := range rs {
		d := rs[i].Disk
		if text := persistentText(&rs[i]); text != "" {
			return change{text: text}
		}
		if d.Persistence.Principal == nil && principal != "" {
			return change{text: "Create volume operation attempted by principal '" + principal +
				"', but there is a volume in the operation with no principal set in 'disk.persistence'"}
		}
		if p := d.Persistence.Principal; p != nil && *p != principal {
			return change{text: "Create volume operation attempted by authenticated principal '" + principal +
				"', which does not match a volume in the operation with principal '" + *p + "' set in 'disk.persistence'"}
		}
		if x.volumeInUse(&rs[i]) {
			return change{text: "Persistence ID '" + d.Persistence.ID + "' is not unique"}
		}
		source[i] = rs[i]
		source[i].Disk = nil
		if d.Source != nil {
			source[i].Disk = &mesos.Resource_DiskInfo{Source: d.Source}
		}
		source[i].Shared = nil
	}
	if text := sameIDText(rs); text != "" {
		return change{text: text}
	}
	return change{take: x.m.c.ids.bagOf(source), give: x.m.c.ids.bagOf(rs)}
}

// persistentText refuses what is no volume that can be made or destroyed.
func persistentText(r *mesos.Resource) string {
	switch d := r.Disk; {
	case d == nil:
		return "Not a persistent volume: Resource " + resourceText(r) + " does not have DiskInfo"
	case d.Persistence == nil:
		return "Not a persistent volume: 'persistence' is not set in DiskInfo"
	case d.Volume.GetMode() == mesos.RO:
		return "Not a persistent volume: Read-only persistent volume not supported"
	}
	return ""
}

// volumeInUse tells whether the agent has a volume of the same role and id.
func (x *acceptance) volumeInUse(r *mesos.Resource) bool {
	id := x.m.c.ids.of(r)
	for _, q := range x.agent.total {
		if q.id.persistent() && q.id.role == id.role && q.id.model.Disk.Persistence.ID == r.Disk.Persistence.ID {
			return true
		}
	}
	return false
}

func (x *acceptance) planDestroy(rs []mesos.Resource) change {
	source := make([]mesos.Resource, len(rs))
	for i := range rs {
		if text := persistentText(&rs[i]); text != "" {
			return change{text: text}
		}
		if !x.agent.total.contains(x.m.c.ids.bagOf(rs[i : i+1])) {
			return change{text: "Persistent volumes not found"}
		}
		source[i] = rs[i]
		source[i].Disk = nil
		if s := rs[i].Disk.Source; s != nil {
			source[i].Disk = &mesos.Resource_DiskInfo{Source: s}
		}
		source[i].Shared = nil
	}
	return change{take: x.m.c.ids.bagOf(rs), give: x.m.c.ids.bagOf(source)}
}

// startOperation reports a finished operation until it is acknowledged.
func (m *master) startOperation(fw *framework, a *agent, info *mesos.Offer_Operation) {
	op := &operation{uuid: m.c.uuidText(), fw: fw, agent: a, info: info}
	op.status = &mesos.OperationStatus{
		OperationID: info.ID, State: mesos.OPERATION_FINISHED,
		UUID: &mesos.UUID{Value: m.c.uuid()}, AgentID: &mesos.AgentID{Value: a.id},
	}
	fw.operations[op.uuid] = op
	nop := &nodeOperation{framework: fw.id, op: op, status: op.status, retry: m.c.cfg.UpdateRetry}
	a.node.operations[op.uuid] = nop
	a.node.sendOperation(nop)
}

func (n *node) sendOperation(nop *nodeOperation) {
	nop.resend = n.c.timers.after(nop.retry, func() {
		nop.retry = min(2*nop.retry, maxUpdateRetry)
		n.sendOperation(nop)
	})
	if m := n.master(); m != nil {
		if fw := m.frameworks[nop.framework]; fw != nil {
			if fw.operations[nop.op.uuid] == nil { // a new master learns of it here
				nop.op.fw, nop.op.agent = fw, m.agents[n.id]
				fw.operations[nop.op.uuid] = nop.op
			}
			fw.sendOperation(nop.status)
		}
	}
}

// resendOperations repeats all open operation statuses at once.
func (n *node) resendOperations() {
	for _, nop := range n.operations {
		n.c.timers.stop(nop.resend)
		nop.retry = n.c.cfg.UpdateRetry
		n.sendOperation(nop)
	}
}

// dropOperation forgets an operation on both sides.
func (m *master) dropOperation(op *operation) {
	delete(op.fw.operations, op.uuid)
	if nop := op.agent.node.operations[op.uuid]; nop != nil {
		m.c.timers.stop(nop.resend)
		delete(op.agent.node.operations, op.uuid)
	}
}

func (m *master) acknowledgeOperation(fw *framework, call *scheduler.Call_AcknowledgeOperationStatus) {
	for _, op := range fw.operations {
		if op.info.ID.Value == call.OperationID.Value && bytes.Equal(op.status.UUID.Value, call.UUID) {
			m.dropOperation(op)
			return
		}
	}
}

func (m *master) reconcileOperations(fw *framework, call *scheduler.Call_ReconcileOperations) {
	if len(call.Operations) == 0 {
		for _, op := range fw.operations {
			fw.sendOperation(op.reconciled())
		}
		return
	}
	for i := range call.Operations {
		q := &call.Operations[i]
		if op := fw.operationByID(q.OperationID.Value); op != nil {
			fw.sendOperation(op.reconciled())
			continue
		}
		id, state := q.OperationID, mesos.OPERATION_UNKNOWN
		text := "Reconciliation: Operation is unknown"
		if q.AgentID == nil {
			text += " and no 'agent_id' was provided"
		} else if m.absent[q.AgentID.Value] {
			state, text = mesos.OPERATION_RECOVERING, "Reconciliation: Agent is recovered but has not re-registered"
		} else if _, away := m.c.reg.unreachable[q.AgentID.Value]; away {
			state, text = mesos.OPERATION_UNREACHABLE, "Reconciliation: Agent is unreachable"
		} else if _, gone := m.c.reg.gone[q.AgentID.Value]; gone {
			state, text = mesos.OPERATION_GONE_BY_OPERATOR, "Reconciliation: Agent marked gone by operator"
		}
		fw.sendOperation(&mesos.OperationStatus{OperationID: &id, State: state, Message: &text, AgentID: q.AgentID})
	}
}

func (fw *framework) operationByID(id string) *operation {
	for _, op := range fw.operations {
		if op.info.ID.Value == id {
			return op
		}
	}
	return nil
}

// reconciled is the latest status of an operation as a reconciliation gives it.
func (op *operation) reconciled() *mesos.OperationStatus {
	text := "Reconciliation: Latest operation status"
	st := *op.status
	st.UUID, st.Message = nil, &text
	return &st
}
