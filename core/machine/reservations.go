package machine

import (
	"stadion/core"
)

// releasesRole tells whether a reservation of a role is to be freed through offers.
func (m *Machine) releasesRole(role string) (found bool) {
	m.releases.Scan(func(id core.InstanceID) bool {
		i, ok := m.st.Instance(id)
		found = ok && i.Role == role
		return !found
	})
	return found
}

// reservationDue gives up a reservation that no task used in time; its resources are freed when they are offered
// again, and a replacement is made by the count of the spec (behaviour.md 5.6).
func (m *Machine) reservationDue(id core.InstanceID) {
	i, ok := m.st.Instance(id)
	if !ok || i.Reservation == nil || !i.Reservation.New || m.now < i.Reservation.Deadline {
		return
	}
	if !i.Launched() {
		m.expunge(i)
	}
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
