package machine

import (
	"github.com/tidwall/btree"

	"stadion/core"
	"stadion/offers"
)

const (
	reconcileChunk   = 1000   // tasks per RECONCILE call (behaviour.md 12.2, D-23)
	reconcileFirstMs = 5000   // first repetition for unanswered tasks
	reconcileMaxMs   = 300000 // longest time between repetitions
	reconcileStep    = 10000  // instances looked at, or tasks asked for, in one batch: nobody waits for a million of them (P28)
)

// reconciliation asks the master for the state of every task until each is known (D-23, behaviour.md 7.12). It goes from
// batch to batch: all instances are looked at for open tasks, then all open tasks are asked for, then the unknown ones.
type reconciliation struct {
	open     btree.Map[core.TaskID, string] // unanswered: agent id
	waitMs   int64
	heard    bool // the master answered in this term: what we do not know can be judged
	looking  bool // for open tasks, from instance on
	instance core.InstanceID
	asking   bool // for open tasks, from task on
	task     core.TaskID
	due      bool // ask for what we do not know, after that
}

// answered notes that a task's state is known.
func (m *Machine) answered(t core.TaskID) {
	m.recon.open.Delete(t)
	m.hear()
}

// hear notes that the master has been heard in this term: what belongs to nobody can be judged now (D-42).
func (m *Machine) hear() {
	if m.recon.heard {
		return
	}
	m.recon.heard = true
	for id := range m.st.Counted() {
		if _, ok := m.st.Spec(id); !ok {
			m.touch(id)
		}
	}
}

// doubtful: a task that ran is unknown to a master that may not have heard of its agent yet. A master that keeps no registry
// (--registry=in_memory) knows agents only once they have registered with it, and answers for the others that it knows
// nothing. Such a task is asked for again instead of being replaced (F15).
func (m *Machine) doubtful(t *core.Task, u *offers.StatusUpdate) bool {
	if u.State != "TASK_UNKNOWN" || u.Reason != "RECONCILIATION" || t.Status == nil || m.now >= m.market.since.Add(ms(m.cfg.DoubtMs)) {
		return false
	}
	m.recon.open.Set(u.TaskID, u.AgentID)
	m.timers.ensure(timerRetry, "", m.now+reconcileFirstMs)
	return true
}

// begin starts a full reconciliation: explicit for every task that may live, then implicit for those we do not know.
// Intents whose launch may never have left a former leader are asked for too, and what has ended but holds a
// reservation: the answer tells when its agent is gone for good (D-48).
func (r *reconciliation) begin(m *Machine) {
	r.open.Clear()
	r.looking, r.instance, r.asking, r.due, r.waitMs = true, "", false, true, reconcileFirstMs
	m.timers.set(timerReconcile, "", m.now.Add(ms(m.cfg.ReconcileIntervalMs)))
}

// ask sends the open tasks from the first one on.
func (r *reconciliation) ask() {
	if !r.looking {
		r.asking, r.task = true, ""
	}
}

// settleReconciliation goes on with what is to be asked for.
func (m *Machine) settleReconciliation() {
	r := &m.recon
	if !m.market.connected {
		return
	}
	if r.looking && r.look(m) {
		r.looking = false
		if r.ask(); r.open.Len() == 0 {
			m.hear()
		}
	}
	if !r.asking {
		m.full = m.full || r.looking
		return
	}
	if r.asking = !r.send(m); r.asking {
		m.full = true
		return
	}
	if r.due {
		m.call(offers.Reconcile{})
		r.due = false
	}
	if r.open.Len() > 0 {
		m.timers.set(timerRetry, "", m.now.Add(ms(r.waitMs)))
		r.waitMs = min(2*r.waitMs, reconcileMaxMs)
	}
}

// look finds open tasks; true: all of them are found.
func (r *reconciliation) look(m *Machine) bool {
	seen := 0
	for i := range m.st.InstancesFrom(r.instance) {
		if seen == reconcileStep {
			r.instance = i.ID
			return false
		}
		seen++
		if i.Agent == nil || !i.Launched() && i.Reservation == nil {
			continue
		}
		for _, t := range i.Tasks {
			if !t.Condition.Terminal() || !i.Launched() && !i.Reservation.New {
				r.open.Set(t.ID, i.Agent.ID)
			}
		}
	}
	return true
}

// send asks for open tasks; true: all of them are asked for.
func (r *reconciliation) send(m *Machine) (all bool) {
	var chunk []offers.TaskRef
	sent := 0
	all = true
	r.open.Ascend(r.task, func(t core.TaskID, agent string) bool {
		if sent == reconcileStep {
			r.task, all = t, false
			return false
		}
		sent++
		if chunk = append(chunk, offers.TaskRef{TaskID: t, AgentID: agent}); len(chunk) == reconcileChunk {
			m.call(offers.Reconcile{Tasks: chunk})
			chunk = nil
		}
		return true
	})
	if len(chunk) > 0 {
		m.call(offers.Reconcile{Tasks: chunk})
	}
	return all
}
