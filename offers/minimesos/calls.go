package minimesos

import (
	"fmt"
	"net/http"
	"slices"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	operator "github.com/mesos/mesos-go/api/v1/lib/master"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

// answerCall takes the lock for the call of a request.
func (c *Cluster) answerCall(call *scheduler.Call, wide *wideCall, principal, streamID string) answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		panic(http.ErrAbortHandler)
	}
	return c.m.answerCall(call, wide, principal, streamID)
}

// answerCall carries out a call other than SUBSCRIBE.
func (m *master) answerCall(call *scheduler.Call, wide *wideCall, principal, streamID string) answer {
	fw := m.frameworks[call.FrameworkID.Value]
	if fw == nil {
		return bad("Framework cannot be found")
	}
	if text := principalMismatch(principal, fw.info.Principal); text != "" {
		return bad("%s", text)
	}
	if fw.stream == nil {
		return answer{http.StatusForbidden, "Framework is not subscribed"}
	}
	if streamID == "" {
		return bad("All non-subscribe calls should include the 'Mesos-Stream-Id' header")
	}
	if streamID != fw.stream.id {
		return bad("The stream ID '%s' included in this request didn't match the stream ID currently associated with framework ID %s",
			streamID, fw.id)
	}
	m.tally.calls[call.Type]++
	if call.Type == scheduler.Call_UPDATE_FRAMEWORK {
		return m.updateFramework(fw, call.UpdateFramework, wide)
	}
	m.perform(fw, call)
	return accepted
}

// perform carries out the calls that are accepted whatever comes of them.
func (m *master) perform(fw *framework, call *scheduler.Call) {
	switch call.Type {
	case scheduler.Call_TEARDOWN:
		m.removeFramework(fw)
	case scheduler.Call_ACCEPT:
		m.accept(fw, call.Accept)
	case scheduler.Call_DECLINE:
		m.decline(fw, call.Decline)
	case scheduler.Call_ACCEPT_INVERSE_OFFERS:
		m.answerInverse(fw, call.AcceptInverseOffers.InverseOfferIDs, call.AcceptInverseOffers.Filters, true)
	case scheduler.Call_DECLINE_INVERSE_OFFERS:
		m.answerInverse(fw, call.DeclineInverseOffers.InverseOfferIDs, call.DeclineInverseOffers.Filters, false)
	case scheduler.Call_REVIVE:
		m.revive(fw, call.Revive.GetRoles())
	case scheduler.Call_SUPPRESS:
		m.suppress(fw, call.Suppress.GetRoles())
	case scheduler.Call_KILL:
		m.kill(fw, call.Kill)
	case scheduler.Call_SHUTDOWN:
		m.shutdownExecutor(fw, call.Shutdown)
	case scheduler.Call_ACKNOWLEDGE:
		m.acknowledge(fw, call.Acknowledge)
	case scheduler.Call_ACKNOWLEDGE_OPERATION_STATUS:
		m.acknowledgeOperation(fw, call.AcknowledgeOperationStatus)
	case scheduler.Call_RECONCILE:
		m.reconcile(fw, call.Reconcile)
	case scheduler.Call_RECONCILE_OPERATIONS:
		m.reconcileOperations(fw, call.ReconcileOperations)
	case scheduler.Call_MESSAGE, scheduler.Call_REQUEST:
		// Messages reach executors only, and default and command executors ignore
		// them; REQUEST is ignored by the allocator of Mesos as well.
	}
}

func (m *master) decline(fw *framework, call *scheduler.Call_Decline) {
	m.c.ledger.answeredAll(call.OfferIDs)
	for _, id := range call.OfferIDs {
		o := m.offers[id.Value]
		if o == nil || o.fw != fw {
			continue
		}
		m.takeOffer(o)
		m.release(o.agent, fw, o.role, o.bag)
		m.refuse(fw, o.agent, o.role, o.bag, call.Filters)
	}
}

// revive lifts suppression and filters of roles (none: of all) and offers at once.
func (m *master) revive(fw *framework, roles []string) {
	if len(roles) == 0 {
		clear(fw.suppressed)
		clear(fw.filters)
		clear(fw.inverseHold)
	}
	for _, role := range roles {
		if !fw.hasRole(role) {
			continue
		}
		delete(fw.suppressed, role)
		for key := range fw.filters {
			if key.role == role {
				delete(fw.filters, key)
			}
		}
	}
	m.allocate(fw)
}

func (m *master) suppress(fw *framework, roles []string) {
	if len(roles) == 0 {
		roles = fw.roles
	}
	for _, role := range roles {
		if fw.hasRole(role) {
			fw.suppressed[role] = true
		}
	}
}

// shutdownExecutor kills all tasks of an executor; unknown ones are ignored.
func (m *master) shutdownExecutor(fw *framework, call *scheduler.Call_Shutdown) {
	a := m.agents[call.AgentID.Value]
	if a == nil || !a.connected {
		return
	}
	id := call.ExecutorID.Value
	for _, key := range a.node.tasksOf(fw.id) {
		t := a.node.tasks[key]
		own := key.task
		if t.executor != nil {
			own = t.executor.ExecutorID.Value
		}
		if own == id {
			a.node.runner.kill(fw.id, key.task, nil)
		}
	}
}

// updateFramework is UPDATE_FRAMEWORK, which unlike SUBSCRIBE refuses changes of
// what cannot be changed.
func (m *master) updateFramework(fw *framework, call *scheduler.Call_UpdateFramework, wide *wideCall) answer {
	info := &call.FrameworkInfo
	if text := validateFrameworkInfo(info); text != "" {
		return bad("Supplied FrameworkInfo is not valid: %s", text)
	}
	if text := immutable(fw.info, info); text != "" {
		return bad("FrameworkInfo update is not valid: %s", text)
	}
	if text := validateRoleLists(info, call.SuppressedRoles, wide); text != "" {
		return bad("'UpdateFramework' call is not valid: %s", text)
	}
	info = cloneFramework(info)
	if info.Principal == nil {
		info.Principal = fw.info.Principal
	}
	before := fw.roles
	fw.setInfo(info)
	for _, role := range before {
		if fw.hasRole(role) {
			continue
		}
		for _, o := range sortedOffers(fw.offers) {
			if o.role == role {
				m.rescind(o)
			}
		}
		for key := range fw.filters {
			if key.role == role {
				delete(fw.filters, key)
			}
		}
	}
	wasSuppressed := fw.suppressed
	fw.suppressed = setOf(call.SuppressedRoles)
	for role := range wasSuppressed { // what is lifted this way is revived
		if !fw.suppressed[role] {
			for key := range fw.filters {
				if key.role == role {
					delete(fw.filters, key)
				}
			}
		}
	}
	fw.constraints = wide.constraints()
	m.tellAgents(fw)
	m.watchFramework(fw, operator.Event_FRAMEWORK_UPDATED)
	m.allocate(fw)
	return answer{status: http.StatusOK}
}

// immutable names what may not change: user, checkpoint and principal.
func immutable(was, is *mesos.FrameworkInfo) string {
	switch {
	case was.User != is.User:
		return "Updating 'FrameworkInfo.user' is unsupported; attempted to update from '" + was.User + "' to '" + is.User + "'"
	case was.GetCheckpoint() != is.GetCheckpoint():
		return fmt.Sprintf("Updating 'FrameworkInfo.checkpoint' is unsupported; attempted to update from '%t' to '%t'",
			was.GetCheckpoint(), is.GetCheckpoint())
	case is.Principal != nil && was.GetPrincipal() != is.GetPrincipal():
		return "Changing framework's principal is not allowed."
	}
	return ""
}

// allTasks collects the tasks of an operation that launches.
func allTasks(op *mesos.Offer_Operation) []mesos.TaskInfo {
	switch {
	case op.Launch != nil:
		return op.Launch.TaskInfos
	case op.LaunchGroup != nil:
		return slices.Clip(op.LaunchGroup.TaskGroup.Tasks)
	}
	return nil
}
