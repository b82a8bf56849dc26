package minimesos

import (
	"fmt"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

// acceptance is one ACCEPT while it is carried out.
type acceptance struct {
	m     *master
	fw    *framework
	agent *agent
	role  string
	left  bag // of the offers, after the operations so far
}

// accept carries out ACCEPT. It never fails as a call: what is wrong with offers
// or tasks comes as statuses, and all offers it names are used up.
func (m *master) accept(fw *framework, call *scheduler.Call_Accept) {
	m.overtake(call.OfferIDs, call.Operations)
	text := m.checkOffers(fw, call.OfferIDs)
	m.c.ledger.answeredAll(call.OfferIDs)
	m.c.ledger.launched(call.Operations, text != "")
	x := &acceptance{m: m, fw: fw}
	for _, id := range call.OfferIDs {
		o := m.offers[id.Value]
		if o == nil {
			continue
		}
		m.takeOffer(o)
		if text != "" {
			m.release(o.agent, o.fw, o.role, o.bag)
			continue
		}
		x.agent, x.role = o.agent, o.role
		x.left = x.left.plus(o.bag)
	}
	if text != "" {
		m.refuseOperations(fw, call.Operations, text)
		return
	}
	for i := range call.Operations {
		x.perform(&call.Operations[i])
	}
	m.release(x.agent, fw, x.role, x.left)
	m.refuse(fw, x.agent, x.role, x.left, call.Filters)
}

// checkOffers tells what is wrong with the offers of an ACCEPT, in Mesos's order.
func (m *master) checkOffers(fw *framework, ids []mesos.OfferID) string {
	if len(ids) == 0 {
		return "No offers specified"
	}
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		if seen[id.Value] {
			return "Duplicate offer " + id.Value + " in offer list"
		}
		seen[id.Value] = true
	}
	for _, id := range ids {
		if m.offers[id.Value] == nil {
			return "Offer " + id.Value + " is no longer valid"
		}
	}
	for _, id := range ids {
		if o := m.offers[id.Value]; o.fw != fw {
			return "Offer " + id.Value + " has invalid framework " + o.fw.id + " while framework " + fw.id + " is expected"
		}
	}
	first := m.offers[ids[0].Value]
	for _, id := range ids[1:] {
		if o := m.offers[id.Value]; o.role != first.role {
			return "Aggregated offers must be allocated to the same role. Offer " + id.Value + " uses role '" + o.role +
				" but another is using role '" + first.role
		}
	}
	for _, id := range ids[1:] {
		if o := m.offers[id.Value]; o.agent != first.agent {
			return "Aggregated offers must belong to one single agent. Offer " + id.Value + " uses agent " + o.agent.id +
				" and agent " + first.agent.id
		}
	}
	return ""
}

// refuseOperations reports every task and every operation with an id of an ACCEPT
// whose offers are bad.
func (m *master) refuseOperations(fw *framework, ops []mesos.Offer_Operation, text string) {
	for i := range ops {
		for _, t := range allTasks(&ops[i]) {
			fw.sendStatus(masterStatus(t.TaskID.Value, t.AgentID.Value, fw.lostOr(mesos.TASK_DROPPED),
				mesos.REASON_INVALID_OFFERS, "Task launched with invalid offers: "+text))
		}
		if ops[i].ID != nil && len(allTasks(&ops[i])) == 0 {
			m.operationError(fw, ops[i].ID, "Operation attempted with invalid offers: "+text)
		}
	}
}

func (x *acceptance) perform(op *mesos.Offer_Operation) {
	switch op.Type {
	case mesos.Offer_Operation_LAUNCH:
		if op.Launch != nil {
			x.launch(op)
		}
	case mesos.Offer_Operation_LAUNCH_GROUP:
		if op.LaunchGroup != nil {
			x.launchGroup(op)
		}
	case mesos.Offer_Operation_RESERVE, mesos.Offer_Operation_UNRESERVE,
		mesos.Offer_Operation_CREATE, mesos.Offer_Operation_DESTROY:
		x.operate(op)
	case mesos.Offer_Operation_UNKNOWN:
		// counts as a decline
	default:
		x.m.operationError(x.fw, op.ID, "Unsupported operation")
	}
}

func (x *acceptance) launch(op *mesos.Offer_Operation) {
	wrong := x.upgrade(op)
	for i := range op.Launch.TaskInfos {
		info := &op.Launch.TaskInfos[i]
		if op.ID != nil {
			x.fail(info, mesos.REASON_TASK_INVALID, "The `id` field cannot be set on LAUNCH operations")
			continue
		}
		if wrong != "" {
			x.fail(info, mesos.REASON_TASK_INVALID, wrong)
			continue
		}
		uses, execUses, text := x.check(info)
		if text != "" {
			x.fail(info, mesos.REASON_TASK_INVALID, text)
			continue
		}
		x.left = x.left.minus(uses)
		if info.Executor != nil {
			x.addExecutor(info.Executor, execUses)
		}
		x.add(info, info.Executor, uses)
		x.agent.node.launch(x.fw.info, info, uses, x.role)
	}
}

// upgrade checks the form of all resources of a LAUNCH or LAUNCH_GROUP, of which one that is wrong spoils the whole
// operation, and fills in the allocation where it was left out (Master::accept in Mesos's src/master/master.cpp).
func (x *acceptance) upgrade(op *mesos.Offer_Operation) string {
	var lists [][]mesos.Resource
	tasks := allTasks(op)
	if g := op.LaunchGroup; g != nil {
		lists = append(lists, g.Executor.Resources)
	}
	for i := range tasks {
		lists = append(lists, tasks[i].Resources, tasks[i].Executor.GetResources())
	}
	for _, rs := range lists {
		if text := validateResources(rs); text != "" {
			return text
		}
	}
	for _, rs := range lists {
		x.allocate(rs)
	}
	return ""
}

// fail reports a task that is not launched.
func (x *acceptance) fail(info *mesos.TaskInfo, reason mesos.TaskStatus_Reason, text string) {
	x.m.tally.tasks[mesos.TASK_ERROR]++
	x.fw.sendStatus(masterStatus(info.TaskID.Value, info.AgentID.Value, mesos.TASK_ERROR, reason, text))
}

// allocate fills in the allocation that tasks may leave out.
func (x *acceptance) allocate(rs []mesos.Resource) {
	for i := range rs {
		if rs[i].AllocationInfo == nil {
			rs[i].AllocationInfo = &mesos.Resource_AllocationInfo{Role: &x.role}
		}
	}
}

// add enters a task that is about to be launched.
func (x *acceptance) add(info *mesos.TaskInfo, ex *mesos.ExecutorInfo, uses bag) {
	t := &task{id: info.TaskID.Value, fw: x.fw, agent: x.agent, info: info, uses: uses, role: x.role, state: mesos.TASK_STAGING}
	if ex != nil {
		t.executor = ex.ExecutorID.Value
		x.agent.executors[taskKey{x.fw.id, t.executor}].tasks++
	}
	x.fw.tasks[t.id] = t
	x.agent.tasks[taskKey{x.fw.id, t.id}] = t
	x.m.watchAdded(t)
}

// addExecutor enters an executor unless it runs already.
func (x *acceptance) addExecutor(info *mesos.ExecutorInfo, uses bag) {
	key := taskKey{x.fw.id, info.ExecutorID.Value}
	if x.agent.executors[key] != nil {
		return
	}
	x.left = x.left.minus(uses)
	x.agent.executors[key] = &executor{info: info, uses: uses, role: x.role}
}

// groupError is the status text of an invalid group: every task gets it.
func (x *acceptance) groupError(tasks []mesos.TaskInfo, text string) {
	for i := range tasks {
		x.fail(&tasks[i], mesos.REASON_TASK_GROUP_INVALID, text)
	}
}

func (x *acceptance) launchGroup(op *mesos.Offer_Operation) {
	ex, tasks := &op.LaunchGroup.Executor, op.LaunchGroup.TaskGroup.Tasks
	if op.ID != nil {
		for i := range tasks {
			x.fail(&tasks[i], mesos.REASON_TASK_INVALID, "The `id` field cannot be set on LAUNCH_GROUP operations")
		}
		return
	}
	var uses []bag
	var execUses bag
	text := x.upgrade(op)
	if text == "" {
		uses, execUses, text = x.checkGroup(ex, tasks)
	}
	if text != "" {
		x.groupError(tasks, text)
		return
	}
	x.addExecutor(ex, execUses)
	for i := range tasks {
		x.left = x.left.minus(uses[i])
		x.add(&tasks[i], ex, uses[i])
	}
	x.agent.node.launchGroup(x.fw.info, ex, tasks, uses, x.role)
}

// bagAllocated converts resources of a task and tells whether all are allocated
// to the role of the offer.
func (x *acceptance) bagAllocated(rs []mesos.Resource) (bag, bool) {
	for i := range rs {
		if a := rs[i].AllocationInfo; a != nil && a.GetRole() != x.role {
			return x.m.c.ids.bagOf(rs), false
		}
	}
	return x.m.c.ids.bagOf(rs), true
}

// exceeds words the refusal of a task that does not fit into what is left.
func (x *acceptance) exceeds(rs []mesos.Resource, by string) string {
	role := x.role
	for i := range rs {
		if a := rs[i].AllocationInfo; a != nil {
			role = a.GetRole()
		}
	}
	return fmt.Sprintf("Total resources %s required by %s is more than available %s",
		x.m.c.ids.bagOf(rs).text(role), by, x.left.text(x.role))
}
