package offers

import (
	"slices"

	"stadion/core"
)

// Owner is what the caller knows of the instance a reservation belongs to.
type Owner struct {
	Instance   *core.Instance // nil: unknown
	SpecExists bool
}

// Cleanup is what the reservation reconciler wants done with an offer. With operations the rest of the offer is not
// to be used for launches (behaviour.md 5.7).
type Cleanup struct {
	Operations []Operation // DESTROY and UNRESERVE
	Consumed   []Resource  // what they free, as it was offered
	Released   []Released  // instances whose reservations they free
}

// Released is an instance whose reservation is being freed.
type Released struct {
	Instance *core.Instance
	Whole    bool // all volumes of the reservation are destroyed
}

// ReconcileReservations finds reservations of this framework in the offer that nobody owns any more and builds the
// operations that free them (behaviour.md 5.7, E.1 13). owner looks up the value of the label marathon_task_id. A
// reservation is freed when its instance is unknown, or its spec is gone, or it is decommissioned and its tasks have
// ended, or it holds no reservation at all (given up after TASK_GONE_BY_OPERATOR, behaviour.md 5.6).
func ReconcileReservations(ours Ours, offer *Offer, owner func(reservationID string) Owner) Cleanup {
	var c Cleanup
	for _, id := range ReservationIDs(ours, offer) {
		o := owner(id)
		free, owned := leaked(o)
		if !free {
			continue
		}
		volumes := c.release(ours, offer, id)
		if owned {
			c.Released = append(c.Released, Released{o.Instance, all(o.Instance.Reservation, volumes)})
		}
	}
	return c
}

// Ours tells whether the reservation with these labels was made by this framework, or by what it was before it had to
// register anew (F22).
type Ours func(framework, reservation string) bool

// ReservationIDs lists our reservations that the offer holds, in order of their appearance.
func ReservationIDs(ours Ours, offer *Offer) (ids []string) {
	for i := range offer.Resources {
		fw, id := reservationLabels(&offer.Resources[i])
		if id != "" && ours(fw, id) && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// all tells whether volumes are all that a reservation has.
func all(r *core.Reservation, volumes []Resource) bool {
	return r != nil && !slices.ContainsFunc(r.Volumes, func(v core.Volume) bool {
		return !slices.ContainsFunc(volumes, func(d Resource) bool { return d.Disk.PersistenceID == v.ID })
	})
}

// leaked decides whether a reservation is to be freed and whether it is that of an instance which then is to end.
func leaked(o Owner) (free, owned bool) {
	switch i := o.Instance; {
	case i == nil:
		return true, false
	case i.Launched():
		return false, false
	case !o.SpecExists, i.Goal == core.GoalDecommissioned:
		return true, true
	default:
		return i.Reservation == nil, false
	}
}

// release destroys the volumes of a reservation and gives its resources back, per provider; disks are unreserved
// without their volume, keeping the source. The result is the destroyed volumes.
func (c *Cleanup) release(ours Ours, offer *Offer, id string) []Resource {
	var all, volumes, plain []Resource
	for i := range offer.Resources {
		r := offer.Resources[i]
		fw, rid := reservationLabels(&r)
		if rid != id || !ours(fw, rid) {
			continue
		}
		all = append(all, r)
		if r.Disk != nil && r.Disk.PersistenceID != "" {
			volumes = append(volumes, r)
			if r.Disk.Source != nil {
				r.Disk = &DiskInfo{Source: r.Disk.Source}
			} else {
				r.Disk = nil
			}
		}
		plain = append(plain, r)
	}
	c.Consumed = append(c.Consumed, all...)
	for _, g := range byProvider(volumes) {
		c.Operations = append(c.Operations, Operation{Destroy: g})
	}
	for _, g := range byProvider(merged(plain)) {
		c.Operations = append(c.Operations, Operation{Unreserve: g})
	}
	return volumes
}
