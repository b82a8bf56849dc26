package machine

import (
	"slices"
	"strings"

	"stadion/core"
	"stadion/offers"
)

// The rows of instances are the ledger of reservations (behaviour.md E.1.13): a row goes only when its reservation is
// known to be gone, because a DESTROY or UNRESERVE may be lost, refused, or never sent by a leader that died. Until then
// its role is wanted, and whatever of the reservation is offered is freed again.
const (
	freedMs   = 1000   // an offer that comes so long after the whole was freed tells the truth about it
	missingMs = 30000  // what no offer of its agent holds for so long is not there; an executor that ends may hold it for a while
	unseenMs  = 600000 // freed or never used, and the agent has had nothing to offer since
)

// freeing is a reservation of an instance that is decommissioned and dead.
type freeing struct {
	id      core.InstanceID
	role    string
	since   core.Timestamp // when that was known in this term
	sent    core.Timestamp // when all of it was last freed in this term
	missing core.Timestamp // since when offers of its agent do not hold it
}

// free notes that the reservation of an instance is to be freed.
func (m *Machine) free(i *core.Instance) {
	key := freeingKey(i)
	if _, known := m.releases.Get(key); known {
		return
	}
	m.releases.Set(key, &freeing{id: i.ID, role: i.Role, since: m.now})
	if i.Reservation.New {
		m.timers.set(timerRelease, key, m.now+unseenMs)
	}
}

// freeings are ordered by agent, then instance.
func freeingKey(i *core.Instance) string {
	if i.Agent == nil {
		return "/" + string(i.ID)
	}
	return i.Agent.ID + "/" + string(i.ID)
}

// releasesRole tells whether a reservation of a role is to be freed through offers.
func (m *Machine) releasesRole(role string) (found bool) {
	m.releases.Scan(func(_ string, f *freeing) bool {
		found = f.role == role
		return !found
	})
	return found
}

// release frees reservations of ours that nobody owns any more; such an offer is used for nothing else (behaviour.md 5.7).
func (m *Machine) release(o *offers.Offer) []offers.Operation {
	c := offers.ReconcileReservations(m.ours, o, func(id string) offers.Owner {
		if m.cfg.Spared[core.InstanceID(id)] || m.spares(core.InstanceID(id).Spec()) { // its volumes are not ours to destroy
			return offers.Owner{Instance: &core.Instance{Condition: core.Running}}
		}
		i, ok := m.holder(id)
		if !ok {
			return offers.Owner{}
		}
		_, exists := m.st.Spec(i.Spec)
		return offers.Owner{Instance: i, SpecExists: exists}
	})
	for _, r := range c.Released {
		m.released(r)
	}
	return c.Operations
}

// spares: the spec is missing in the tree because it cannot be read, not because somebody deleted it (F14).
func (m *Machine) spares(id core.PathID) bool {
	if !m.cfg.SparedSpecs[id] {
		return false
	}
	_, there := m.st.Spec(id)
	return !there
}

// released notes what is being freed of an instance's reservation.
func (m *Machine) released(r offers.Released) {
	m.setGoal(r.Instance, core.GoalDecommissioned, "Orphaned")
	i, ok := m.st.Instance(r.Instance.ID)
	if !ok {
		return
	}
	f, ok := m.releases.Get(freeingKey(i))
	if !ok || i.Agent == nil {
		m.expunge(i)
		return
	}
	f.missing = 0
	if r.Whole {
		f.sent = m.now
		m.timers.set(timerRelease, freeingKey(i), m.now+freedMs)
	}
}

// missed looks for reservations that an offer of their agent should hold and does not, and forgets those that are gone.
func (m *Machine) missed(o *offers.Offer, held []string) {
	var gone []*core.Instance
	m.releases.Ascend(o.Agent.ID+"/", func(key string, f *freeing) bool {
		if !strings.HasPrefix(key, o.Agent.ID+"/") {
			return false
		}
		i, ok := m.st.Instance(f.id)
		if !ok || f.role != o.Role && o.Role != "" || slices.Contains(held, i.Reservation.ID) {
			return true
		}
		switch {
		case f.sent != 0 && o.ReceivedAt >= f.sent+freedMs:
			gone = append(gone, i)
		case f.sent != 0:
		case f.missing == 0:
			f.missing = o.ReceivedAt
			m.timers.set(timerRelease, key, m.now+missingMs)
		case o.ReceivedAt >= f.missing+missingMs:
			gone = append(gone, i)
		}
		return true
	})
	for _, i := range gone {
		m.expunge(i)
	}
}

// releaseDue asks for the offer that shows whether a reservation is gone. What was freed and does not show up again
// although offers are wanted is given up at last.
func (m *Machine) releaseDue(key string) {
	f, ok := m.releases.Get(key)
	if !ok {
		return
	}
	i, ok := m.st.Instance(f.id)
	if !ok {
		return
	}
	last := max(f.since, f.sent) + unseenMs
	empty := f.sent != 0 || i.Reservation.New // no data are on its agent that we know of
	if empty && m.now >= last && m.market.connected {
		m.expunge(i)
		return
	}
	m.market.know(f.role).fresh = true
	if empty {
		m.timers.set(timerRelease, key, max(last, m.now+missingMs))
	}
}

// reservationDue gives up a reservation that no task used in time; its resources are freed when they are offered
// again, and a replacement is made by the count of the spec (behaviour.md 5.6).
func (m *Machine) reservationDue(id core.InstanceID) {
	i, ok := m.st.Instance(id)
	if !ok || i.Reservation == nil || !i.Reservation.New || m.now < i.Reservation.Deadline {
		return
	}
	if !i.Launched() {
		m.setGoal(i, core.GoalDecommissioned, "ReservationTimeout")
	}
}

// ours: reservations of the framework that we were before the master removed it are still ours, as far as we know their
// instances (F22).
func (m *Machine) ours(framework, reservation string) bool {
	if framework == m.cfg.Offers.FrameworkID {
		return true
	}
	i, ok := m.st.Instance(core.InstanceID(reservation))
	return ok && i.Reservation != nil && i.Reservation.Framework == framework
}

// holder is the instance that a reservation belongs to. Its id is that of the instance; only reservations of old
// versions of Marathon have ids of their own (behaviour.md 5.6), which the slow way finds.
func (m *Machine) holder(id string) (*core.Instance, bool) {
	if i, ok := m.st.Instance(core.InstanceID(id)); ok {
		return i, true
	}
	for i := range m.st.Instances() {
		if i.Reservation != nil && i.Reservation.ID == id {
			return i, true
		}
	}
	return nil, false
}
