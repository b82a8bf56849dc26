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
)

// reconciliation asks the master for the state of every task until each is known (D-23, behaviour.md 7.12).
type reconciliation struct {
	open    btree.Map[core.TaskID, string] // unanswered: agent id
	waitMs  int64
	due     bool
	heard   bool // the master answered in this term: what we do not know can be judged
	request bool // send the open ones now
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

// begin starts a full reconciliation: explicit for every task that may live, then implicit for those we do not know.
// Intents whose launch may never have left a former leader are asked for too, and what has ended but holds a
// reservation: the answer tells when its agent is gone for good (D-48).
func (r *reconciliation) begin(m *Machine) {
	r.open.Clear()
	for i := range m.st.Instances() {
		if i.Agent == nil || !i.Launched() && i.Reservation == nil {
			continue
		}
		for _, t := range i.Tasks {
			if !t.Condition.Terminal() || !i.Launched() && !i.Reservation.New {
				r.open.Set(t.ID, i.Agent.ID)
			}
		}
	}
	if r.open.Len() == 0 {
		m.hear()
	}
	r.due, r.request, r.waitMs = true, true, reconcileFirstMs
	m.timers.set(timerReconcile, "", m.now.Add(ms(m.cfg.ReconcileIntervalMs)))
}

// settleReconciliation sends what is due.
func (m *Machine) settleReconciliation() {
	r := &m.recon
	if !m.market.connected || !r.request {
		return
	}
	r.request = false
	var chunk []offers.TaskRef
	send := func() {
		if len(chunk) > 0 {
			m.call(offers.Reconcile{Tasks: chunk})
			chunk = nil
		}
	}
	r.open.Scan(func(t core.TaskID, agent string) bool {
		if chunk = append(chunk, offers.TaskRef{TaskID: t, AgentID: agent}); len(chunk) == reconcileChunk {
			send()
		}
		return true
	})
	send()
	if r.due {
		m.call(offers.Reconcile{})
		r.due = false
	}
	if r.open.Len() > 0 {
		m.timers.set(timerRetry, "", m.now.Add(ms(r.waitMs)))
		r.waitMs = min(2*r.waitMs, reconcileMaxMs)
	}
}
