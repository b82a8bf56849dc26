package machine

import (
	"stadion/core"
	"stadion/offers"
)

// volume makes an app resident; role is not *, as for all residents.
const volume = `"role":"db","unreachableStrategy":"disabled","portDefinitions":[],"upgradeStrategy":{"minimumHealthCapacity":0.5,"maximumOverCapacity":0},
"container":{"type":"MESOS","volumes":[{"containerPath":"data","mode":"RW","persistent":{"type":"root","size":100}}]}`

// dbOffer is an offer for role db with what an agent has free, and what is reserved there for instances.
func (r *rig) dbOffer(agent string, reserved ...core.InstanceID) offers.Offer {
	o := r.offerOf(agent)
	o.Role = "db"
	for k := range o.Resources {
		o.Resources[k].AllocationRole = "db"
	}
	for _, id := range reserved {
		i := r.get(id)
		o.Resources = append(o.Resources, reservedFor(i)...)
	}
	return o
}

// reservedFor is what a reservation of the test volume holds.
func reservedFor(i *core.Instance) []offers.Resource {
	by := []offers.ReservationInfo{{Dynamic: true, Role: i.Role, Principal: "p", Labels: []offers.Label{
		{Key: "marathon_framework_id", Value: "fw"}, {Key: "marathon_task_id", Value: i.Reservation.ID}}}}
	return []offers.Resource{
		{Name: "cpus", Value: 1, Reservations: by, AllocationRole: i.Role}, {Name: "mem", Value: 128, Reservations: by, AllocationRole: i.Role},
		{Name: "disk", Value: 100, Reservations: by, AllocationRole: i.Role, Disk: &offers.DiskInfo{PersistenceID: i.Reservation.Volumes[0].ID, ContainerPath: "data", Mode: "RW"}},
	}
}

func (r *rig) give(o ...offers.Offer) *Batch { return r.do(Mesos{offers.Received{Offers: o}}) }

// resident deploys an app with one instance on a reservation of agent a and lets it run.
func (r *rig) resident(text string) core.InstanceID {
	r.t.Helper()
	r.put(text)
	id := r.ids(testApp(r.t, text).ID)[0]
	r.give(r.dbOffer("a"))
	if r.get(id).Reservation == nil {
		r.t.Fatal("nothing was reserved")
	}
	r.give(r.dbOffer("a", id))
	r.status(id, "TASK_RUNNING")
	return id
}
