package machine

import (
	"slices"
	"testing"
	"time"

	"stadion/core"
	"stadion/core/state"
	"stadion/offers"
)

// TestRegistration is behaviour 9.4: the events of a connection and what is told to the master; D-25.
func TestRegistration(t *testing.T) {
	r := &rig{t: t, now: rigStart, agents: map[string]*core.AgentInfo{}, cfg: DefaultConfig()}
	r.m = New(r.cfg, state.New())
	r.do(Begin{Seed: 1})
	b := r.subscribe()
	if want := []string{"scheduler_registered_event"}; !slices.Equal(told(b), want) || r.m.st.FrameworkID() != "fw" || len(b.Writes) != 1 {
		t.Errorf("first: %v, %+v", told(b), b.Writes)
	}
	if body, ok := b.Notices[0].Body.(core.SchedulerRegistered); !ok || body.FrameworkID != "fw" || body.Master != "http://m:5050" {
		t.Errorf("%+v", b.Notices[0])
	}
	b = r.do(Mesos{offers.Disconnected{Reason: "x"}})
	if want := []string{"scheduler_disconnected_event"}; !slices.Equal(told(b), want) || r.m.st.Mesos().Connected {
		t.Errorf("lost: %v", told(b))
	}
	if b = r.do(Mesos{offers.Disconnected{Reason: "x"}}); len(b.Notices) > 0 {
		t.Error("told twice")
	}
	b = r.subscribe()
	if want := []string{"scheduler_reregistered_event"}; !slices.Equal(told(b), want) || !r.m.st.Mesos().Connected {
		t.Errorf("again: %v", told(b))
	}
	if u := calls[offers.UpdateFramework](b); len(u) != 1 || !slices.Equal(u[0].Roles, []string{"*"}) || !slices.Equal(u[0].Suppressed, []string{"*"}) || u[0].Quieted != 1 {
		t.Errorf("%+v", u)
	}
	if len(calls[offers.Reconcile](b)) == 0 {
		t.Error("no reconciliation after the subscription")
	}
}

// TestDisconnected is D-25: offers of a lost connection are void, nothing is accepted without one, and demand is told anew.
func TestDisconnected(t *testing.T) {
	r := newRig(t)
	r.do(Mesos{offers.Disconnected{Reason: "x"}})
	_, b := r.put(`{"id":"/web"}`)
	if len(b.Calls) > 0 {
		t.Errorf("calls without a connection: %+v", b.Calls)
	}
	b = r.subscribe()
	if len(calls[offers.Revive](b)) != 1 {
		t.Errorf("%+v", b.Calls)
	}
	if len(launches(r.offer("a"))) != 1 {
		t.Error("not launched")
	}
}

// TestDemand is behaviour 5.8 with D-40 and D-43: suppress when idle, revive for new demand at most once per interval, one repetition.
func TestDemand(t *testing.T) {
	revives := func(b *Batch) int { return len(calls[offers.Revive](b)) }
	t.Run("idle: suppressed; waiting: revived; served: suppressed", func(t *testing.T) {
		r := newRig(t)
		_, b := r.put(`{"id":"/web"}`)
		if v := calls[offers.Revive](b); len(v) != 1 || !slices.Equal(v[0].Roles, []string{"*"}) {
			t.Errorf("%+v", b.Calls)
		}
		b = r.offer("a")
		if v := calls[offers.Suppress](b); len(v) != 1 || !slices.Equal(v[0].Roles, []string{"*"}) {
			t.Errorf("%+v", b.Calls)
		}
	})
	t.Run("newer demand, coalesced", func(t *testing.T) {
		r := newRig(t)
		r.put(`{"id":"/web"}`)
		n := 0
		for _, id := range []string{"/a", "/b", "/c"} {
			_, b := r.put(`{"id":"` + id + `"}`)
			n += revives(b)
		}
		if n != 0 {
			t.Errorf("%d revives within the interval", n)
		}
		if n = revives(r.wait(1100 * time.Millisecond)); n != 1 {
			t.Errorf("%d revives after it", n)
		}
		if n = revives(r.wait(2 * time.Second)); n != 1 {
			t.Errorf("%d repetitions", n)
		}
		if n = revives(r.wait(time.Minute)); n != 0 {
			t.Errorf("%d more although nothing is new", n)
		}
	})
	t.Run("a re-scheduled instance is new demand (D-43)", func(t *testing.T) {
		r := newRig(t)
		ids := r.running(`{"id":"/web","instances":2}`)
		r.force(`{"id":"/web","instances":3}`)
		r.wait(time.Minute)
		if n := revives(r.status(ids[0], "TASK_KILLED")); n != 1 {
			t.Errorf("%d revives", n)
		}
	})
	t.Run("a deleted instance is no demand (D-43)", func(t *testing.T) {
		r := newRig(t)
		r.put(`{"id":"/web"}`)
		_, b := r.change(core.Change{Remove: []core.PathID{"/web"}, Force: true})
		b.add(r.wait(time.Minute))
		if len(calls[offers.Suppress](b)) != 1 || revives(b) != 0 {
			t.Errorf("%+v", b.Calls)
		}
	})
	t.Run("all wait for a delay: suppressed until it is over", func(t *testing.T) {
		r := newRig(t)
		id := r.running(`{"id":"/web","backoffSeconds":60}`)[0]
		b := r.status(id, "TASK_FAILED")
		b.add(r.wait(59 * time.Second))
		if revives(b) != 0 {
			t.Errorf("%+v", b.Calls)
		}
		if n := revives(r.wait(2 * time.Second)); n != 1 {
			t.Errorf("%d revives", n)
		}
	})
	t.Run("never suppressed where the flag says so (5.8.6)", func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.SuppressOffers = false })
		b := r.offer("a")
		if d := calls[offers.Decline](b); len(d) != 1 || d[0].RefuseSeconds == nil || *d[0].RefuseSeconds != 120 || len(calls[offers.Suppress](b)) > 0 {
			t.Errorf("%+v", b.Calls)
		}
	})
}

// TestRolesOfATerm (behaviour 5.8.1): a term begins with the server's own role, those of the specs and those of all
// instances, also of one whose spec has another role by now (5.9).
func TestRolesOfATerm(t *testing.T) {
	r := newRig(t)
	id := r.resident(db)
	r.status(id, "TASK_KILLED")
	other := testApp(t, `{"id":"/db",`+volume+`}`)
	other.Role = "new"
	r.change(core.Change{Put: []core.RunSpec{other}, Force: true})
	u := calls[offers.UpdateFramework](r.crash())
	if len(u) != 1 || !slices.Equal(u[0].Roles, []string{"*", "db", "new"}) || !slices.Equal(u[0].Suppressed, []string{"*", "new"}) {
		t.Errorf("%+v", u)
	}
}

// TestRoles: a new role is told with UPDATE_FRAMEWORK (5.8.3), and given up when nothing has used it for 10 min (D-43).
func TestRoles(t *testing.T) {
	r := newRig(t)
	_, b := r.put(`{"id":"/dev/web","role":"dev"}`)
	if u := calls[offers.UpdateFramework](b); len(u) != 1 || !slices.Equal(u[0].Roles, []string{"*", "dev"}) || !slices.Equal(u[0].Suppressed, []string{"*"}) {
		t.Fatalf("%+v", b.Calls)
	}
	if b = r.offer("a"); len(launches(b)) != 0 {
		t.Error("launched on an offer of another role")
	}
	if s := r.m.st.Stats("/dev/web"); s != nil && s.Processed > 0 { // 4.5: a foreign role is not counted
		t.Errorf("%+v", s)
	}
	o := r.offerOf("a")
	o.Role = "dev"
	b = r.do(Mesos{offers.Received{Offers: []offers.Offer{o}}})
	if len(launches(b)) != 1 {
		t.Fatal("not launched")
	}
	id := r.ids("/dev/web")[0]
	r.status(id, "TASK_RUNNING")
	if b = r.wait(time.Hour); len(calls[offers.UpdateFramework](b)) > 0 {
		t.Error("a role in use is given up")
	}
	r.change(core.Change{Remove: []core.PathID{"/dev/web"}})
	r.status(id, "TASK_KILLED")
	if b = r.wait(9 * time.Minute); len(calls[offers.UpdateFramework](b)) > 0 {
		t.Error("given up too early")
	}
	b = r.wait(3 * time.Minute)
	if u := calls[offers.UpdateFramework](b); len(u) != 1 || !slices.Equal(u[0].Roles, []string{"*"}) {
		t.Errorf("%+v", u)
	}
}

// TestRefusedRole is D-49: the role is left out, its specs say why they wait, the others go on, and after 5 min it is
// tried again.
func TestRefusedRole(t *testing.T) {
	r := newRig(t)
	r.put(`{"id":"/dev/web","role":"dev"}`)
	b := r.do(Mesos{offers.RoleRefused{Roles: []string{"dev"}, Message: "not authorized"}})
	if u := calls[offers.UpdateFramework](b); len(u) != 1 || !slices.Equal(u[0].Roles, []string{"*"}) {
		t.Fatalf("%+v", b.Calls)
	}
	if why, refused := r.m.st.Refused("dev"); !refused || why != "not authorized" {
		t.Errorf("%q", why)
	}
	r.put(`{"id":"/web"}`)
	if len(launches(r.offer("a"))) != 1 {
		t.Error("other roles are held up")
	}
	if b = r.wait(299 * time.Second); len(calls[offers.UpdateFramework](b)) > 0 {
		t.Errorf("tried again too early")
	}
	b = r.wait(2 * time.Second)
	if u := calls[offers.UpdateFramework](b); len(u) != 1 || !slices.Equal(u[0].Roles, []string{"*", "dev"}) || len(u[0].Suppressed) != 1 {
		t.Errorf("%+v", u)
	}
	if _, refused := r.m.st.Refused("dev"); refused {
		t.Error("still marked")
	}
	b = r.do(Mesos{offers.RoleRefused{Roles: []string{"dev"}}})
	if u := calls[offers.UpdateFramework](b); len(u) != 1 || !slices.Equal(u[0].Roles, []string{"*"}) {
		t.Errorf("refused again: %+v", u)
	}
}

// TestInverseOffersAndMessages: inverse offers are declined, messages of executors become events (Appendix C).
func TestInverseOffersAndMessages(t *testing.T) {
	r := newRig(t)
	b := r.do(Mesos{offers.InverseOffers{IDs: []string{"i1"}}})
	if d := calls[offers.DeclineInverse](b); len(d) != 1 || !slices.Equal(d[0].IDs, []string{"i1"}) {
		t.Errorf("%+v", b.Calls)
	}
	b = r.do(Mesos{offers.Message{AgentID: "S", ExecutorID: "e", Data: []byte{1, 0xff}}})
	if m, ok := b.Notices[0].Body.(core.FrameworkMessage); !ok || !slices.Equal(m.Message, []int8{1, -1}) {
		t.Errorf("%+v", b.Notices)
	}
}

// D-49: two roles were new in the call that the master refused, and it does not say which of them it means. Each is tried
// alone before long, so that the one that may be used does not wait with the other.
func TestRolesRefusedTogether(t *testing.T) {
	r := newRig(t)
	r.put(`{"id":"/a","role":"dev"}`)
	r.put(`{"id":"/b","role":"ops"}`)
	r.do(Mesos{offers.RoleRefused{Roles: []string{"dev", "ops"}, Message: "Not authorized to register with roles { *, dev, ops }"}})
	tried := func(d time.Duration) (roles [][]string) {
		for _, u := range calls[offers.UpdateFramework](r.wait(d)) {
			roles = append(roles, u.Roles)
		}
		return roles
	}
	if got := tried(roleAloneMs * time.Millisecond); len(got) != 1 || !slices.Equal(got[0], []string{"*", "dev"}) {
		t.Fatalf("tried first: %v", got)
	}
	r.do(Mesos{offers.RoleRefused{Roles: []string{"dev"}, Message: "Not authorized to register with roles { *, dev }"}})
	if got := tried(roleAloneMs * time.Millisecond); len(got) == 0 || !slices.Equal(got[len(got)-1], []string{"*", "ops"}) {
		t.Fatalf("tried then: %v", got)
	}
	r.do(Mesos{offers.RoleRefused{Roles: []string{"dev", "ops"}, Message: "late"}}) // of a call from before
	if got := tried(time.Minute); len(got) != 1 || !slices.Equal(got[0], []string{"*", "ops"}) {
		t.Fatalf("tried at last, dev being known: %v", got)
	}
}
