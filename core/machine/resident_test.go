package machine

import (
	"slices"
	"testing"
	"time"

	"stadion/core"
	"stadion/core/state"
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

const db = `{"id":"/db",` + volume + `}`

// freed counts the operations of a batch that free reservations.
func freed(b *Batch) (destroyed, unreserved int) {
	for _, a := range calls[offers.Accept](b) {
		for _, op := range a.Operations {
			destroyed += len(op.Destroy)
			unreserved += len(op.Unreserve)
		}
	}
	return destroyed, unreserved
}

// frees expects that the offer frees the reservation of the test volume, and that the next ones show it.
func (r *rig) frees(id core.InstanceID, offer offers.Offer) {
	r.t.Helper()
	if d, u := freed(r.give(offer)); d != 1 || u != 3 {
		r.t.Errorf("%d destroyed, %d unreserved", d, u)
	}
	r.wait(2 * time.Second)
	if r.give(r.dbOffer(offer.Agent.Host)); !r.gone(id) {
		r.t.Errorf("%s is kept without its reservation", id)
	}
}

// TestResidentLife is behaviour 5.6: reserve, launch on the reservation, stop and keep it, wake on it again with the same id.
func TestResidentLife(t *testing.T) {
	r := newRig(t)
	r.put(db)
	id := r.ids("/db")[0]
	b := r.give(r.dbOffer("a"))
	i := r.get(id)
	if i.Condition != core.Scheduled || i.Reservation == nil || !i.Reservation.New || i.Agent.Host != "a" || len(launches(b)) > 0 {
		t.Fatalf("reserved: %+v", i)
	}
	if acc := calls[offers.Accept](b); len(acc) != 1 || acc[0].Operations[0].Reserve == nil || acc[0].Operations[1].Create == nil {
		t.Errorf("%+v", acc)
	}
	if b = r.give(r.dbOffer("b")); len(calls[offers.Accept](b)) > 0 {
		t.Error("it takes more than its own reservation")
	}
	if s := r.m.st.Stats("/db"); s == nil || s.Funnel[offers.NoCorrespondingReservationFound] != 1 {
		r.wait(2 * time.Second)
		if s = r.m.st.Stats("/db"); s == nil || s.Funnel[offers.NoCorrespondingReservationFound] != 1 {
			t.Errorf("%+v", s)
		}
	}
	if b = r.give(r.dbOffer("a", id)); !slices.Equal(launches(b), []core.TaskID{id.Task("_app", 1)}) {
		t.Fatalf("launched %v", launches(b))
	}
	r.status(id, "TASK_RUNNING")
	r.force(`{"id":"/db","instances":0,` + volume + `}`)
	r.status(id, "TASK_KILLED")
	if d, u := freed(r.give(r.dbOffer("a", id))); d+u > 0 {
		t.Fatal("a stopped one lost its volume")
	}
	r.wait(time.Hour)
	r.crash()
	r.force(db)
	if ids := r.ids("/db"); !slices.Equal(ids, []core.InstanceID{id}) || !r.get(id).Scheduled() {
		t.Fatalf("not woken: %v", ids)
	}
	if b = r.give(r.dbOffer("a", id)); !slices.Equal(launches(b), []core.TaskID{id.Task("_app", 2)}) {
		t.Errorf("launched %v", launches(b))
	}
}

// TestResidentsFindTheirAgents: each goes back to its own volume, whichever waits first (5.6.1, D-40: before all others).
func TestResidentsFindTheirAgents(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Offers.MaxInstancesPerOffer = 1 })
	two := `{"id":"/db","instances":2,"backoffSeconds":0,` + volume + `}`
	r.put(two)
	for _, a := range []string{"a", "b"} {
		r.give(r.dbOffer(a))
	}
	ids := r.ids("/db")
	on := map[string]core.InstanceID{}
	for _, id := range ids {
		on[r.get(id).Agent.Host] = id
	}
	if len(on) != 2 {
		t.Fatalf("%v", on)
	}
	r.put(`{"id":"/aaa","role":"db","instances":3}`)
	for _, a := range []string{"b", "a"} {
		if got := launches(r.give(r.dbOffer(a, on[a]))); !slices.Equal(got, []core.TaskID{on[a].Task("_app", 1)}) {
			t.Errorf("%s: launched %v", a, got)
		}
	}
}

// TestReservationTimeout is behaviour 5.6: a reservation that is not used in time is given up, replaced, and freed by
// the next offer (5.7); also after a failover.
func TestReservationTimeout(t *testing.T) {
	for _, crash := range []bool{false, true} {
		r := newRig(t)
		r.put(db)
		id := r.ids("/db")[0]
		r.give(r.dbOffer("a"))
		offer := r.dbOffer("a", id)
		r.wait(19 * time.Second)
		if r.gone(id) {
			t.Fatal("too early")
		}
		if crash {
			r.crash()
		}
		r.wait(2 * time.Second)
		if r.get(id).Goal != core.GoalDecommissioned || len(r.ids("/db")) != 2 {
			t.Fatalf("crash %v: kept", crash)
		}
		r.frees(id, offer)
	}
	r := newRig(t) // one that runs keeps it, even while it is being killed for good
	id := r.resident(db)
	r.request(KillInstances{IDs: []core.InstanceID{id}, Wipe: true})
	if r.wait(30 * time.Second); r.gone(id) {
		t.Error("a live task lost its record")
	}
}

// TestResidentWipe is behaviour 7.11 and 5.7: decommissioned, killed, answered when dead; reservation freed by an offer.
func TestResidentWipe(t *testing.T) {
	r := newRig(t)
	id := r.resident(db)
	offer := r.dbOffer("a", id)
	if _, b, _ := r.request(KillInstances{IDs: []core.InstanceID{id}, Wipe: true}); len(kills(b)) != 1 || len(b.Replies) > 0 {
		t.Fatalf("%+v", b)
	}
	b := r.status(id, "TASK_KILLED")
	if len(b.Replies) != 1 || r.get(id).Goal != core.GoalDecommissioned || len(calls[offers.Revive](b)) == 0 { // offers are wanted to free it
		t.Errorf("%+v", b)
	}
	r.crash()
	r.frees(id, offer)
}

// TestResidentOutOfReach: a resident instance waits for its agent (7.6), and as that may come back without the task, which
// Mesos tells only those who ask, the task is asked for again and again.
func TestResidentOutOfReach(t *testing.T) {
	r := newRig(t)
	id := r.resident(db)
	task := id.Task("_app", 1)
	asked := func(d time.Duration) (n int) {
		for _, c := range r.wait(d).Calls {
			if q, ok := c.(offers.Reconcile); ok && slices.Contains(q.Tasks, offers.TaskRef{TaskID: task, AgentID: r.get(id).Agent.ID}) {
				n++
			}
		}
		return n
	}
	if n := asked(time.Minute); n != 0 {
		t.Fatalf("asked for a running task %d times", n)
	}
	r.status(id, "TASK_UNREACHABLE")
	for range 3 {
		if asked(time.Minute) == 0 {
			t.Fatal("not asked within a minute")
		}
		r.status(id, "TASK_UNREACHABLE", reason("RECONCILIATION"))
	}
	r.status(id, "TASK_GONE")
	if i := r.get(id); i.Launched() || i.Reservation == nil {
		t.Fatalf("%+v", i)
	}
	if n := asked(5 * time.Minute); n != 0 {
		t.Errorf("asked for what is known %d times", n)
	}
	if got := launches(r.give(r.dbOffer("a", id))); !slices.Equal(got, []core.TaskID{id.Task("_app", 2)}) {
		t.Errorf("launched %v", got)
	}
}

// TestRemovedResident: the deletion of a resident app does not wait for its reservations (2.6). What they belong to is
// ending, which is nothing to warn of.
func TestRemovedResident(t *testing.T) {
	r := newRig(t)
	id := r.resident(db)
	offer := r.dbOffer("a", id)
	r.change(core.Change{Remove: []core.PathID{"/db"}})
	b := r.status(id, "TASK_KILLED")
	if !tells(b, "deployment_success") {
		t.Errorf("%v", told(b))
	}
	if b.add(r.wait(time.Second)); len(b.Logs) > 0 {
		t.Errorf("%+v", b.Logs)
	}
	r.frees(id, offer)
}

// TestGoneByOperator is behaviour 5.6 and D-48: the agent is gone for good, so the reservation is abandoned and the
// instance may run anywhere.
func TestGoneByOperator(t *testing.T) {
	r := newRig(t)
	id := r.resident(db)
	r.status(id, "TASK_UNREACHABLE")
	r.status(id, "TASK_GONE_BY_OPERATOR")
	if i := r.get(id); i.Reservation != nil || i.Agent != nil || i.Condition != core.Scheduled {
		t.Fatalf("%+v", i)
	}
	r.wait(2 * time.Second)
	r.give(r.dbOffer("b"))
	if i := r.get(id); i.Reservation == nil || i.Agent.Host != "b" {
		t.Errorf("%+v", i)
	}
	if got := launches(r.give(r.dbOffer("b", id))); !slices.Equal(got, []core.TaskID{id.Task("_app", 2)}) {
		t.Errorf("launched %v", got)
	}
}

// TestResidentUpgrade: the old one stops first and the same instance runs the new version on its volume (3.2, D-62).
func TestResidentUpgrade(t *testing.T) {
	r := newRig(t)
	id := r.resident(db)
	res, b := r.put(`{"id":"/db","cmd":"new",` + volume + `}`)
	if len(kills(b)) != 1 {
		t.Fatalf("kills %v", kills(b))
	}
	r.status(id, "TASK_KILLED")
	if ids := r.ids("/db"); !slices.Equal(ids, []core.InstanceID{id}) {
		t.Fatalf("%v", ids)
	}
	r.give(r.dbOffer("a", id))
	if i := r.get(id); i.Version != res.Version || i.Incarnation != 2 {
		t.Fatalf("%+v", i)
	}
	if _, _, err := r.request(CancelDeployment{ID: res.Deployment}); err != nil { // and back again
		t.Fatal(err)
	}
	r.status(id, "TASK_KILLED")
	r.give(r.dbOffer("a", id))
	if b := r.status(id, "TASK_RUNNING"); !tells(b, "deployment_success") || len(r.ids("/db")) != 1 || r.get(id).Reservation == nil {
		t.Errorf("%v, %v", told(b), r.ids("/db"))
	}
}

// TestReservedCounts is D-34: an instance that only holds a reservation counts for constraints.
func TestReservedCounts(t *testing.T) {
	r := newRig(t)
	r.put(`{"id":"/db","instances":2,"constraints":[["hostname","UNIQUE"]],` + volume + `}`)
	r.give(r.dbOffer("a"))
	r.give(r.dbOffer("a"))
	n := 0
	for _, id := range r.ids("/db") {
		if r.get(id).Reservation != nil {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d reservations on one agent", n)
	}
}

// TestFrozenRole is behaviour 5.9: an instance keeps its role; both roles are asked for.
func TestFrozenRole(t *testing.T) {
	r := newRig(t)
	id := r.resident(db)
	r.status(id, "TASK_KILLED")
	other := testApp(t, `{"id":"/db","instances":2,`+volume+`}`)
	other.Role = "new"
	_, b := r.change(core.Change{Put: []core.RunSpec{other}, Force: true})
	if r.get(id).Role != "db" {
		t.Errorf("role %s", r.get(id).Role)
	}
	for _, role := range []string{"db", "new"} {
		if !r.m.wants(role) {
			t.Errorf("offers of %s are not wanted: %+v", role, b.Calls)
		}
	}
}

// TestOldReservation: a reservation whose id is not that of its instance is not taken for one that nobody owns (5.6, 5.7).
func TestOldReservation(t *testing.T) {
	r := newRig(t)
	id := r.resident(db)
	c := r.get(id).Clone()
	old := *c.Reservation
	old.ID = "db.00000000-0000-1000-8000-000000000000"
	c.Reservation = &old
	r.m.st.PutInstance(c)
	r.status(id, "TASK_KILLED")
	b := r.give(r.dbOffer("a", id))
	if d, u := freed(b); d+u > 0 || !slices.Equal(launches(b), []core.TaskID{id.Task("_app", 2)}) {
		t.Errorf("%d destroyed, launched %v", d, launches(b))
	}
}

// offersWanted: the master was last told to offer the role, or has not been told otherwise.
func (r *rig) offersWanted(role string) bool {
	s, ok := r.m.market.roles.Get(role)
	return ok && s.wanted
}

// TestReleaseIsRetried: a reservation is owned by a record until it is gone (E.1.13, I6). However often the operations
// that free it get lost, offers are wanted and they are sent again; also by the next leader, when the last one died
// between the commit and the call.
func TestReleaseIsRetried(t *testing.T) {
	for name, end := range map[string]func(*rig, core.InstanceID){
		"wiped":   func(r *rig, id core.InstanceID) { r.request(KillInstances{IDs: []core.InstanceID{id}, Wipe: true}) },
		"deleted": func(r *rig, _ core.InstanceID) { r.change(core.Change{Remove: []core.PathID{"/db"}}) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			id := r.resident(db)
			offer := func() offers.Offer { return r.dbOffer("a", id) }
			end(r, id)
			r.status(id, "TASK_KILLED")
			for n, lost := range []func(){func() {}, func() { r.wait(5 * time.Second) }, func() { r.crash() }, func() { r.wait(5 * time.Minute) }} {
				o := offer()
				if d, u := freed(r.give(o)); d != 1 || u != 3 {
					t.Fatalf("%d: %d destroyed, %d unreserved", n, d, u)
				}
				lost()
				if r.gone(id) || !r.offersWanted("db") {
					t.Fatalf("%d: forgotten %v although nobody knows that it is gone", n, r.gone(id))
				}
			}
			r.give(offer())
			r.give(r.dbOffer("a")) // one that was on its way
			if r.gone(id) {
				t.Fatal("forgotten because of an offer of the same moment")
			}
			r.give(r.dbOffer("b"))
			r.wait(2 * time.Second)
			if r.give(r.dbOffer("b")); r.gone(id) {
				t.Fatal("forgotten because of another agent")
			}
			if r.give(r.dbOffer("a")); !r.gone(id) {
				t.Error("kept although its agent offers all but it")
			}
			if name == "deleted" && r.offersWanted("db") {
				t.Error("offers are wanted for nothing")
			}
		})
	}
}

// TestReleasedBefore: a new leader does not know what the last one has freed; what an agent does not offer for long
// enough is gone.
func TestReleasedBefore(t *testing.T) {
	r := newRig(t)
	id := r.resident(db)
	r.change(core.Change{Remove: []core.PathID{"/db"}})
	r.status(id, "TASK_KILLED")
	r.crash()
	r.give(r.dbOffer("a"))
	r.wait(5 * time.Second)
	r.give(r.dbOffer("a"))
	if b := r.wait(24 * time.Second); r.gone(id) || len(calls[offers.Revive](b)) > 1 {
		t.Fatal("an executor that ends may hold it so long")
	}
	if b := r.wait(2 * time.Second); len(calls[offers.Revive](b)) != 1 {
		t.Errorf("nobody asks whether it is still there: %+v", b.Calls)
	}
	if r.give(r.dbOffer("a")); !r.gone(id) {
		t.Error("kept")
	}
	r = newRig(t) // freed, and then no offer of the agent comes: all it has is taken by others
	id = r.resident(db)
	r.change(core.Change{Remove: []core.PathID{"/db"}})
	r.status(id, "TASK_KILLED")
	r.give(r.dbOffer("a", id))
	if r.wait(9 * time.Minute); r.gone(id) {
		t.Fatal("too early")
	}
	if r.wait(2 * time.Minute); !r.gone(id) {
		t.Error("wanted for ever")
	}
}

// TestReleaseInParts: what ends last of a pod is its executor, which holds the volumes. Freeing the rest before is not
// the end of the reservation.
func TestReleaseInParts(t *testing.T) {
	r := newRig(t)
	id := r.resident(db)
	r.change(core.Change{Remove: []core.PathID{"/db"}})
	r.status(id, "TASK_KILLED")
	part := r.dbOffer("a", id)
	part.Resources = part.Resources[:len(part.Resources)-1]
	if d, u := freed(r.give(part)); d != 0 || u != 2 {
		t.Fatalf("%d destroyed, %d unreserved", d, u)
	}
	r.wait(5 * time.Second)
	if r.give(r.dbOffer("a")); r.gone(id) {
		t.Fatal("forgotten although its volume was not seen")
	}
	last := r.dbOffer("a", id)
	last.Resources = append(plenty(), last.Resources[len(last.Resources)-1])
	if d, u := freed(r.give(last)); d != 1 || u != 1 {
		t.Errorf("%d destroyed, %d unreserved", d, u)
	}
	r.wait(2 * time.Second)
	if r.give(r.dbOffer("a")); !r.gone(id) {
		t.Error("kept")
	}
}

// TestAgentGoneLater is D-48: one that waits for its agent learns by reconciliation that the operator has given that
// up, although no task of it runs any more; so does one whose reservation is to be freed.
func TestAgentGoneLater(t *testing.T) {
	r := newRig(t)
	id := r.resident(db)
	r.status(id, "TASK_FAILED")
	r.wait(11 * time.Minute)
	asked := func(b *Batch) (n int) {
		for _, c := range calls[offers.Reconcile](b) {
			n += len(c.Tasks)
		}
		return n
	}
	if b := r.crash(); asked(b) != 1 {
		t.Fatalf("%+v", b.Calls)
	}
	r.status(id, "TASK_GONE") // the agent is there
	if i := r.get(id); i.Reservation == nil || i.Agent == nil {
		t.Fatalf("%+v", i)
	}
	r.status(id, "TASK_GONE_BY_OPERATOR")
	if i := r.get(id); i.Reservation != nil || i.Agent != nil || !i.Scheduled() {
		t.Errorf("%+v", i)
	}
	r.wait(2 * time.Second)
	r.give(r.dbOffer("b"))
	r.status(id, "TASK_GONE_BY_OPERATOR", func(u *offers.StatusUpdate) { u.AgentID = "S-a" })
	if i := r.get(id); i.Reservation == nil || i.Agent.Host != "b" {
		t.Errorf("the end of its old agent takes its new reservation: %+v", i)
	}

	r = newRig(t)
	id = r.resident(db)
	r.change(core.Change{Remove: []core.PathID{"/db"}})
	r.status(id, "TASK_KILLED")
	if b := r.wait(11 * time.Minute); asked(b) == 0 {
		t.Fatal("not asked")
	}
	if r.status(id, "TASK_GONE_BY_OPERATOR"); !r.gone(id) {
		t.Error("kept")
	}
}

// TestUnreadDefinition is F14: an app that is missing because its definition cannot be read was not deleted. Its tasks are
// no orphans and its volumes are not leaked, until it is put again.
func TestUnreadDefinition(t *testing.T) {
	r := newRig(t, func(c *Config) { c.SparedSpecs = map[core.PathID]bool{"/db": true} })
	id := r.resident(db)
	st := state.New()
	for _, w := range r.m.st.Durable() {
		if w.Table == state.TableSpec || w.Table == state.TableVersion {
			continue
		}
		if err := st.Load(w); err != nil {
			t.Fatal(err)
		}
	}
	st.Finish()
	r.m = New(r.cfg, st)
	r.do(Begin{Seed: 2})
	r.subscribe()
	if b := r.status(id, "TASK_RUNNING"); len(kills(b)) > 0 || r.get(id).Goal != core.GoalRunning {
		t.Fatalf("its task is killed: %+v", r.get(id))
	}
	r.status(id, "TASK_FAILED")
	if d, u := freed(r.give(r.dbOffer("a", id))); d+u > 0 || r.get(id).Goal != core.GoalRunning {
		t.Fatalf("%d destroyed, %d unreserved", d, u)
	}
	r.put(db)
	r.wait(2 * time.Second)
	if got := launches(r.give(r.dbOffer("a", id))); len(got) != 1 || r.get(id).Incarnation != 2 {
		t.Errorf("launched %v", got)
	}
}

// F22: the master has removed the framework, and it registers as a new one. What it had reserved before stays reserved,
// under the old id; the residents are launched on it again, and it is freed with them.
func TestResidentOfARemovedFramework(t *testing.T) {
	r := newRig(t)
	id := r.resident(db)
	r.reload()
	r.do(Mesos{offers.Subscribed{FrameworkID: "fw2", MasterURL: "http://m:5050"}})
	r.status(id, "TASK_GONE", reason("RECONCILIATION"))
	r.wait(time.Minute) // the delay of what has failed
	if got := launches(r.give(r.dbOffer("a", id))); len(got) != 1 {
		t.Fatalf("launches on the old reservation: %v", got)
	}
	r.status(id, "TASK_RUNNING")
	offer := r.dbOffer("a", id)
	r.change(core.Change{Remove: []core.PathID{"/db"}})
	r.status(id, "TASK_KILLED")
	if d, u := freed(r.give(offer)); d == 0 || u == 0 {
		t.Errorf("with the app %d volumes are destroyed, %d reservations are freed", d, u)
	}
}
