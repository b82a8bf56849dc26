package mesos_test

import (
	"fmt"
	"testing"
	"time"

	"stadion/core"
	"stadion/offers"
	"stadion/offers/mesos"
	"stadion/offers/minimesos"
)

const patience = 20 * time.Second

func cluster(t *testing.T, change func(*minimesos.Config)) *minimesos.Cluster {
	t.Helper()
	resources, err := minimesos.ParseResources("cpus:4;mem:4096;disk:10000;ports:[31000-31499]", "*")
	if err != nil {
		t.Fatal(err)
	}
	attributes, err := minimesos.ParseAttributes("rack:r1;level:3.5")
	if err != nil {
		t.Fatal(err)
	}
	cfg := minimesos.Config{
		WorkDir: t.TempDir(), Simulated: &minimesos.Simulation{}, AllocationInterval: 20 * time.Millisecond, AgentReregisterBackoff: 5 * time.Millisecond,
		Agents: []minimesos.AgentConfig{{Hostname: "agent1", IP: "127.0.0.2", Resources: resources, Attributes: attributes}},
	}
	if change != nil {
		change(&cfg)
	}
	c, err := minimesos.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(true); err != nil {
			t.Error(err)
		}
	})
	return c
}

// life drives one framework and reads its events.
type life struct {
	*mesos.Driver
	t      *testing.T
	events chan offers.Event
	id     string
}

func newLife(t *testing.T, addr, id string, change func(*mesos.Config)) *life {
	t.Helper()
	l := &life{t: t, events: make(chan offers.Event, 100000), id: id}
	cfg := mesos.Config{
		Master: addr, BackoffMin: 5 * time.Millisecond, BackoffMax: 50 * time.Millisecond,
		Framework: mesos.FrameworkInfo{Name: "stadion", User: "root", FailoverTimeout: 60, Checkpoint: true,
			Capabilities: []string{"PARTITION_AWARE", "REGION_AWARE", "MULTI_ROLE", "TASK_KILLING_STATE"}},
	}
	if change != nil {
		change(&cfg)
	}
	l.Driver = mesos.New(cfg, func(e offers.Event) { l.events <- e })
	l.Start(id, []string{"web"}, nil)
	t.Cleanup(l.Close)
	l.id = seek(l, func(offers.Subscribed) bool { return true }).FrameworkID
	return l
}

// seek skips events until one of type T suits.
func seek[T offers.Event](l *life, suits func(T) bool) T {
	l.t.Helper()
	end := time.After(patience)
	for {
		select {
		case e := <-l.events:
			if f, ok := e.(offers.FatalError); ok {
				l.t.Fatalf("fatal: %+v", f)
			}
			if v, ok := e.(T); ok && suits(v) {
				return v
			}
		case <-end:
			var v T
			l.t.Fatalf("no fitting %T came", v)
			return v
		}
	}
}

func (l *life) offer() offers.Offer {
	l.t.Helper()
	return seek(l, func(r offers.Received) bool { return len(r.Offers) > 0 }).Offers[0]
}

// update waits for a state of a task and acknowledges on the way what wants to be.
func (l *life) update(task, state string) offers.StatusUpdate {
	l.t.Helper()
	return seek(l, func(u offers.StatusUpdate) bool {
		l.Send([]offers.Call{offers.Acknowledge{TaskID: u.TaskID, AgentID: u.AgentID, UUID: u.UUID}})
		return string(u.TaskID) == task && u.State == state
	})
}

func (l *life) launch(o offers.Offer, tasks ...string) {
	value := "sleep 1000"
	accept := offers.Accept{OfferIDs: []string{o.ID}, AgentID: o.Agent.ID}
	for _, id := range tasks {
		accept.Operations = append(accept.Operations, offers.Operation{Launch: &offers.TaskInfo{
			Name: "x", TaskID: id, AgentID: o.Agent.ID, Command: &offers.CommandInfo{Shell: true, Value: &value},
			Resources: []offers.Resource{{Name: "cpus", Value: 0.001, AllocationRole: o.Role}, {Name: "mem", Value: 1, AllocationRole: o.Role}},
		}})
	}
	l.Send([]offers.Call{accept})
}

// Subscribe, offers, launch, updates, acknowledge, reconcile, kill, teardown: the whole life of a task.
func TestLifeOnMinimesos(t *testing.T) {
	c := cluster(t, nil)
	l := newLife(t, c.Addr(), "", nil)
	o := l.offer()
	if o.Role != "web" || o.Agent.Host != "agent1" || fmt.Sprint(o.Agent.Attributes) != "[{rack r1} {level 3.5}]" || len(o.Resources) < 4 || o.Resources[0].Role() != "*" {
		t.Fatalf("offer %+v of %+v", o, o.Agent)
	}
	l.launch(o, "t1")
	l.update("t1", "TASK_STARTING")
	if u := l.update("t1", "TASK_RUNNING"); u.AgentID != o.Agent.ID || len(u.UUID) != 16 || u.Source != "EXECUTOR" {
		t.Fatalf("running %+v", u)
	}
	l.Send([]offers.Call{offers.Reconcile{Tasks: []offers.TaskRef{{TaskID: "t1", AgentID: o.Agent.ID}, {TaskID: "t0"}}}})
	if u := l.update("t1", "TASK_RUNNING"); u.Reason != "RECONCILIATION" || len(u.UUID) != 0 {
		t.Fatalf("reconciled %+v", u)
	}
	l.update("t0", "TASK_UNKNOWN")
	l.Send([]offers.Call{offers.Reconcile{}})
	if u := l.update("t1", "TASK_RUNNING"); u.Reason != "RECONCILIATION" {
		t.Fatalf("implicitly reconciled %+v", u)
	}
	l.Send([]offers.Call{offers.Kill{TaskID: "t1", AgentID: o.Agent.ID}})
	l.update("t1", "TASK_KILLED")
	l.Stop(false)
	if s := l.Stats(); s.Refused != 0 || s.Acknowledged < 3 {
		t.Fatalf("stats %+v", s)
	}
	// F22: the id is of no use any more, and the exit code says so.
	gone := make(chan offers.Event, 100)
	d := mesos.New(mesos.Config{Master: c.Addr(), Framework: mesos.FrameworkInfo{Name: "stadion", User: "root", Capabilities: []string{"MULTI_ROLE"}}},
		func(e offers.Event) { gone <- e })
	d.Start(l.id, []string{"web"}, nil)
	t.Cleanup(d.Close)
	select {
	case e := <-gone:
		if f, ok := e.(offers.FatalError); !ok || f.ExitCode != 110 {
			t.Fatalf("%T %+v", e, e)
		}
	case <-time.After(patience):
		t.Fatal("nothing was said")
	}
}

// Reservations and volumes in the form of a framework without RESERVATION_REFINEMENT, and with it.
func TestReservationsOnMinimesos(t *testing.T) {
	for _, capabilities := range [][]string{{"MULTI_ROLE"}, {"MULTI_ROLE", "RESERVATION_REFINEMENT"}} {
		t.Run(fmt.Sprint(capabilities), func(t *testing.T) {
			c := cluster(t, nil)
			l := newLife(t, c.Addr(), "", func(cfg *mesos.Config) {
				cfg.Framework.Capabilities, cfg.Framework.Principal = capabilities, "p"
			})
			o := l.offer()
			reserved := offers.Resource{Name: "disk", Value: 10, AllocationRole: "web",
				Reservations: []offers.ReservationInfo{{Dynamic: true, Role: "web", Principal: "p", Labels: []offers.Label{{Key: "marathon_task_id", Value: "x"}}}}}
			volume := reserved
			volume.Disk = &offers.DiskInfo{PersistenceID: "v1", Principal: "p", ContainerPath: "data", Mode: "RW"}
			l.Send([]offers.Call{offers.Accept{OfferIDs: []string{o.ID}, AgentID: o.Agent.ID, Operations: []offers.Operation{
				{Reserve: []offers.Resource{reserved}}, {Create: []offers.Resource{volume}}}}})
			find := func(o offers.Offer) *offers.Resource {
				for i := range o.Resources {
					if d := o.Resources[i].Disk; d != nil && d.PersistenceID == "v1" {
						return &o.Resources[i]
					}
				}
				return nil
			}
			o = l.offer()
			got := find(o)
			if got == nil || got.Role() != "web" || got.Reservations[0].Principal != "p" || got.Reservations[0].Labels[0].Value != "x" || got.Disk.ContainerPath != "data" {
				t.Fatalf("offer %+v", o)
			}
			back := *got
			back.Disk = nil
			l.Send([]offers.Call{offers.Accept{OfferIDs: []string{o.ID}, AgentID: o.Agent.ID, Operations: []offers.Operation{
				{Destroy: []offers.Resource{*got}}, {Unreserve: []offers.Resource{back}}}}})
			if o = l.offer(); find(o) != nil {
				t.Fatalf("offer %+v", o)
			}
			for _, r := range o.Resources {
				if r.Role() != "*" {
					t.Fatalf("still reserved: %+v", r)
				}
			}
		})
	}
}

// F15, F18: cut streams and a new master; the task lives on and is found again.
func TestFaultsOnMinimesos(t *testing.T) {
	c := cluster(t, nil)
	l := newLife(t, c.Addr(), "", nil)
	o := l.offer()
	l.launch(o, "t1")
	l.update("t1", "TASK_RUNNING")
	again := func() {
		t.Helper()
		seek(l, func(offers.Disconnected) bool { return true })
		if s := seek(l, func(offers.Subscribed) bool { return true }); s.FrameworkID != l.id {
			t.Fatalf("subscribed as %s", s.FrameworkID)
		}
	}
	for _, inside := range []bool{false, true} {
		c.CutStreams(inside)
		again()
	}
	if err := c.RestartMaster(20 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	again()
	l.offer() // the agent is back
	l.Send([]offers.Call{offers.Reconcile{Tasks: []offers.TaskRef{{TaskID: "t1", AgentID: o.Agent.ID}}}})
	l.update("t1", "TASK_RUNNING")
	c.RefuseCalls(1, 503)
	l.Send([]offers.Call{offers.Revive{}})
	again()
}

// F15: two masters behind one list. The one that does not lead is asked and redirects; the leader dies, nobody leads for
// a while, the other one takes over, and back; the task lives on.
func TestF15TwoMasters(t *testing.T) {
	c := cluster(t, func(cfg *minimesos.Config) { cfg.Masters = 2 })
	m := c.Masters()
	l := newLife(t, m[1]+","+m[0], "", nil)
	if url, ok := l.Master(); !ok || url != "http://"+m[0] {
		t.Fatalf("subscribed at %s, want the leader %s", url, m[0])
	}
	o := l.offer()
	l.launch(o, "t1")
	l.update("t1", "TASK_RUNNING")
	for _, next := range []string{m[1], m[0]} {
		if err := c.KillMaster(); err != nil {
			t.Fatal(err)
		}
		seek(l, func(offers.Disconnected) bool { return true })
		if err := c.StartMaster(); err != nil {
			t.Fatal(err)
		}
		if s := seek(l, func(offers.Subscribed) bool { return true }); s.FrameworkID != l.id || s.MasterURL != "http://"+next {
			t.Fatalf("subscribed as %s at %s, want %s at %s", s.FrameworkID, s.MasterURL, l.id, next)
		}
		l.offer() // the agent is back
		l.Send([]offers.Call{offers.Reconcile{Tasks: []offers.TaskRef{{TaskID: "t1", AgentID: o.Agent.ID}}}})
		l.update("t1", "TASK_RUNNING")
	}
}

// A framework that comes back with another user gets its new roles all the same (recordings 02 and 17).
func TestRolesAfterAnotherUserOnMinimesos(t *testing.T) {
	c := cluster(t, nil)
	first := newLife(t, c.Addr(), "", nil)
	first.Stop(true)
	l := newLife(t, c.Addr(), first.id, func(cfg *mesos.Config) { cfg.Framework.User = "nobody" })
	l.offer()
	l.Send([]offers.Call{offers.UpdateFramework{Roles: []string{"night"}}})
	seek(l, func(offers.Subscribed) bool { return true })
	seek(l, func(e offers.Received) bool { return len(e.Offers) > 0 && e.Offers[0].Role == "night" })
}

// F20: updates that come twice pass twice; both acknowledgements are fine.
func TestF20DuplicateUpdatesOnMinimesos(t *testing.T) {
	c := cluster(t, nil)
	l := newLife(t, c.Addr(), "", nil)
	o := l.offer()
	c.DuplicateUpdates(1, 1)
	l.launch(o, "t1")
	first := l.update("t1", "TASK_STARTING")
	if second := l.update("t1", "TASK_STARTING"); string(first.UUID) != string(second.UUID) {
		t.Fatal("not the same update")
	}
	l.update("t1", "TASK_RUNNING")
}

// S4: with the right secret the framework is let in; with a wrong one it waits without an end.
func TestS4CredentialsOnMinimesos(t *testing.T) {
	c := cluster(t, func(cfg *minimesos.Config) { cfg.Credentials = map[string]string{"p": "secret"} })
	l := newLife(t, c.Addr(), "", func(cfg *mesos.Config) { cfg.Framework.Principal, cfg.Secret = "p", "secret" })
	l.launch(l.offer(), "t1")
	l.update("t1", "TASK_RUNNING")
}

// A thousand tasks at once: every update arrives and every acknowledgement is taken.
func TestManyTasksOnMinimesos(t *testing.T) {
	c := cluster(t, nil)
	l := newLife(t, c.Addr(), "", nil)
	const n = 1000
	var ids []string
	for i := range n {
		ids = append(ids, fmt.Sprintf("t%d", i))
	}
	l.launch(l.offer(), ids...)
	running := map[core.TaskID]bool{}
	for len(running) < n {
		u := seek(l, func(offers.StatusUpdate) bool { return true })
		l.Send([]offers.Call{offers.Acknowledge{TaskID: u.TaskID, AgentID: u.AgentID, UUID: u.UUID}})
		if u.State == "TASK_RUNNING" {
			running[u.TaskID] = true
		}
	}
	l.Stop(true)
	if s := l.Stats(); s.Acknowledged != 2*n || s.Refused != 0 || s.Dropped != 0 {
		t.Fatalf("stats %+v", s)
	}
}
