package offers

import (
	"cmp"
	"slices"

	"stadion/core"
)

// The labels of our reservations (behaviour.md 5.6).
const (
	labelFramework   = "marathon_framework_id"
	labelReservation = "marathon_task_id"
)

// filter says which resources of an offer a need may use.
type filter struct {
	roles       []string          // accepted roles; empty: star and own decide
	star, own   bool              // resources without role, resources of the need's role
	unreserved  bool              // only what is not reserved at all, for new reservations
	role        string            // the instance's role
	reservation *core.Reservation // only what belongs to this reservation
	framework   string            // with a reservation: the framework that made it
}

// accepts reports whether the need may use r (behaviour.md 5.3, 5.6). Persistent volumes are never used as plain
// disk, and what carries our reservation labels belongs to a resident.
func (f *filter) accepts(r *Resource) bool {
	if r.Revocable || r.Disk != nil && r.Disk.PersistenceID != "" {
		return false
	}
	if f.reservation != nil {
		return f.owns(r)
	}
	if f.unreserved {
		return len(r.Reservations) == 0
	}
	if !f.acceptsRole(r.Role()) {
		return false
	}
	for i := range r.Reservations {
		for j := range r.Reservations[i].Labels {
			if k := r.Reservations[i].Labels[j].Key; k == labelFramework || k == labelReservation {
				return false
			}
		}
	}
	return true
}

func (f *filter) acceptsRole(role string) bool {
	if len(f.roles) > 0 {
		return slices.Contains(f.roles, role)
	}
	return f.star && role == "*" || f.own && role == f.role
}

func (f *filter) owns(r *Resource) bool {
	if r.Role() != f.role {
		return false
	}
	fw, id := reservationLabels(r)
	return id == f.reservation.ID && fw == cmp.Or(f.reservation.Framework, f.framework)
}

// reservationLabels are the values of our two labels on a resource, empty where it has none.
func reservationLabels(r *Resource) (framework, reservation string) {
	if n := len(r.Reservations); n > 0 {
		for _, l := range r.Reservations[n-1].Labels {
			switch l.Key {
			case labelFramework:
				framework = l.Value
			case labelReservation:
				reservation = l.Value
			}
		}
	}
	return framework, reservation
}

// acceptedRoles is the filter of a spec without reservation. Without a list in the spec the flag
// accepted_resource_roles_default_behavior decides (behaviour.md 5.3).
func acceptedRoles(cfg *Config, c *Compiled, role string) filter {
	return filter{role: role, roles: c.roles, star: cfg.AcceptedRolesDefault != "reserved", own: cfg.AcceptedRolesDefault != "unreserved"}
}
