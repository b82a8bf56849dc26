package mesos

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	scheduler "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	"stadion/core"
	"stadion/offers"
)

// A whole life against a master that serves recorded events: subscribe, offers, launch, updates, acknowledge, end.
func TestLifeWithRecordedMaster(t *testing.T) {
	m, s, h := connected(t)
	if info := s.call.Subscribe.FrameworkInfo; info.ID != nil || info.Name != "stadion" || len(info.Roles) != 1 || info.Role != nil {
		t.Fatalf("framework info %+v", info)
	}
	if url, ok := h.Master(); !ok || url != m.URL {
		t.Fatalf("Master() = %s %v", url, ok)
	}
	event := recorded(t, "OFFERS")[0]
	s.send(&scheduler.Event{Type: scheduler.Event_HEARTBEAT}, event)
	got := want[offers.Received](h)
	if len(got.Offers) != len(event.Offers.Offers) || got.Offers[0].Agent.Host != event.Offers.Offers[0].Hostname {
		t.Fatalf("offers %+v", got)
	}
	h.Send([]offers.Call{launchCall(got.Offers[0].ID, "t1")})
	accept := m.nextCall(scheduler.Call_ACCEPT)
	if accept.streamID != s.id || accept.call.FrameworkID.Value != "f1" || accept.call.Accept.Operations[0].Launch.TaskInfos[0].TaskID.Value != "t1" {
		t.Fatalf("accept %+v", accept.call)
	}
	update := recorded(t, "UPDATE")[0]
	s.send(update)
	u := want[offers.StatusUpdate](h)
	if string(u.TaskID) != update.Update.Status.TaskID.Value || len(u.UUID) != 16 {
		t.Fatalf("update %+v", u)
	}
	h.Send([]offers.Call{offers.Acknowledge{TaskID: u.TaskID, AgentID: u.AgentID, UUID: u.UUID}})
	a := m.nextCall(scheduler.Call_ACKNOWLEDGE).call.Acknowledge
	if a.TaskID.Value != string(u.TaskID) || a.AgentID.Value != u.AgentID || string(a.UUID) != string(u.UUID) {
		t.Fatalf("acknowledge %+v", a)
	}
	h.Stop(false)
	m.nextCall(scheduler.Call_TEARDOWN)
	noGoroutinesLeft(t)
}

// D-25: with failover the framework stays; no TEARDOWN is sent, but what waits is.
func TestStopWithFailoverFlushes(t *testing.T) {
	m, _, h := connected(t)
	calls := []offers.Call{offers.Kill{TaskID: "a"}, ack("a"), offers.Revive{Roles: []string{"*"}}}
	h.Send(calls)
	h.Stop(true)
	seen := map[scheduler.Call_Type]int{}
	for range calls {
		seen[(<-m.calls).call.Type]++
	}
	if seen[scheduler.Call_KILL] != 1 || seen[scheduler.Call_ACKNOWLEDGE] != 1 || seen[scheduler.Call_REVIVE] != 1 || len(m.calls) != 0 {
		t.Fatalf("calls %v, and %d more", seen, len(m.calls))
	}
	noGoroutinesLeft(t)
}

// F5, F8: whoever may no longer lead keeps its stream as long as it lasts, and never subscribes again: that would take the
// framework back from a successor.
func TestHeldStreamIsTheLast(t *testing.T) {
	m, s, h := connected(t)
	if !h.Hold() {
		t.Fatal("no stream to hold")
	}
	s.send(offerEvent(t, "o1"))
	want[offers.Received](h)
	s.finish()
	want[offers.Disconnected](h)
	if e := want[offers.FatalError](h); e.ExitCode != exitSchedulerError {
		t.Fatalf("fatal %+v", e)
	}
	h.Close()
	noGoroutinesLeft(t)
	if len(m.subs) != 0 {
		t.Fatalf("%d more streams", len(m.subs))
	}
	if h := start(t, testConfig("127.0.0.1:1"), "f1"); h.Hold() {
		t.Fatal("held without a stream")
	}
}

func TestCallsKeepTheirOrder(t *testing.T) {
	m, _, h := connected(t)
	const n = 500
	for i := range n {
		h.Send([]offers.Call{offers.Kill{TaskID: core.TaskID(fmt.Sprint(i))}, ack(fmt.Sprint(i))})
	}
	next, acks := 0, map[string]bool{}
	for range 2 * n {
		c := <-m.calls
		if c.call.Type == scheduler.Call_ACKNOWLEDGE {
			acks[c.call.Acknowledge.TaskID.Value] = true
			continue
		}
		if got := c.call.Kill.TaskID.Value; got != fmt.Sprint(next) {
			t.Fatalf("kill %s came at place %d", got, next)
		}
		next++
	}
	if len(acks) != n || next != n {
		t.Fatalf("%d acknowledgements, %d kills", len(acks), next)
	}
}

// D-25: while unsubscribed nothing is sent; a launch is reported as dropped, the rest counted.
func TestUnsubscribedCallsAreDropped(t *testing.T) {
	m := newFakeMaster(t)
	h := start(t, testConfig(m.URL), "f1")
	s := m.nextStream() // no SUBSCRIBED yet
	h.Send([]offers.Call{launchCall("o1", "t1"), offers.Kill{TaskID: "t2"}})
	u := want[offers.StatusUpdate](h)
	if u.TaskID != "t1" || u.State != "TASK_DROPPED" || u.Reason != "MASTER_DISCONNECTED" || len(u.UUID) != 0 || u.AgentID != "S0" {
		t.Fatalf("update %+v", u)
	}
	s.send(subscribedEvent(t, "f1", 15))
	want[offers.Subscribed](h)
	h.Send([]offers.Call{offers.Reconcile{}})
	m.nextCall(scheduler.Call_RECONCILE)
	if got := h.Stats().Dropped; got != 2 {
		t.Fatalf("%d dropped", got)
	}
}

// D-25: an ACCEPT of offers from an older stream never goes out on the newer one.
func TestAcceptOfOldStreamIsDropped(t *testing.T) {
	m, s, h := connected(t)
	s.send(offerEvent(t, "o1", "o2"))
	want[offers.Received](h)
	s.finish()
	want[offers.Disconnected](h)
	s2 := m.nextStream()
	if s2.call.FrameworkID.GetValue() != "f1" || s2.call.Subscribe.FrameworkInfo.ID.GetValue() != "f1" {
		t.Fatalf("subscribes again as %v", s2.call.FrameworkID)
	}
	s2.send(subscribedEvent(t, "f1", 15), offerEvent(t, "o3", "o4", "o5"), &scheduler.Event{Type: scheduler.Event_RESCIND,
		Rescind: &scheduler.Event_Rescind{OfferID: mesos.OfferID{Value: "o5"}}})
	want[offers.Subscribed](h)
	want[offers.Received](h)
	want[offers.Rescinded](h)
	mixed := launchCall("o1", "t1")
	mixed.OfferIDs = append(mixed.OfferIDs, "o4")
	h.Send([]offers.Call{mixed, offers.Decline{OfferIDs: []string{"o2"}}, launchCall("o3", "t2"), launchCall("o3", "t3"), launchCall("o5", "t4")})
	for _, task := range []core.TaskID{"t1", "t3", "t4"} { // t3: its offer is used; t4: rescinded
		if u := want[offers.StatusUpdate](h); u.TaskID != task || u.State != "TASK_DROPPED" {
			t.Fatalf("update %+v", u)
		}
	}
	if c := m.nextCall(scheduler.Call_ACCEPT); c.call.Accept.OfferIDs[0].Value != "o3" || c.streamID != s2.id {
		t.Fatalf("accept %+v", c.call.Accept)
	}
	if c := m.nextCall(scheduler.Call_DECLINE); len(c.call.Decline.OfferIDs) != 1 || c.call.Decline.OfferIDs[0].Value != "o4" {
		t.Fatalf("decline %+v", c.call.Decline)
	}
}

// What every answer to a call leads to.
func TestAnswersToCalls(t *testing.T) {
	cases := []struct {
		name   string
		status int
		text   string
		reason error // nil: only the call is refused
	}{
		{"stale stream", 400, "The stream ID 'a' included in this request didn't match the stream ID currently associated with framework ID f1", ErrStaleStream},
		{"unknown framework", 400, "Framework cannot be found", ErrStaleStream},
		{"unauthorized", 401, "401 Unauthorized.", ErrUnauthorized},
		{"disconnected", 403, "Framework is not subscribed", ErrNotSubscribed},
		{"no scheduler API", 404, "404 Not Found.", ErrNotFound},
		{"moved", 307, "", ErrMoved},
		{"no leader", 503, "No leader elected", ErrNoLeader},
		{"invalid call", 400, "Failed to validate scheduler::Call: Expecting 'kill' to be present", nil},
	}
	for _, c := range cases {
		for _, kind := range []scheduler.Call_Type{scheduler.Call_KILL, scheduler.Call_ACKNOWLEDGE} {
			t.Run(c.name+" "+kind.String(), func(t *testing.T) {
				m, _, h := connected(t)
				m.mu.Lock()
				m.refuse = func(call *scheduler.Call, _ *http.Request) (int, string) {
					if call.Type == kind && strings.HasPrefix(call.GetKill().GetTaskID().Value+call.GetAcknowledge().GetTaskID().Value, "bad") {
						return c.status, c.text
					}
					return 0, ""
				}
				m.mu.Unlock()
				if kind == scheduler.Call_KILL {
					h.Send([]offers.Call{offers.Kill{TaskID: "bad"}, offers.Kill{TaskID: "good"}})
				} else {
					h.Send([]offers.Call{ack("bad"), ack("good")})
				}
				if c.reason == nil {
					m.nextCall(kind)
					h.Stop(true) // the counters are complete
					if h.Stats().Refused != 1 {
						t.Fatalf("stats %+v", h.Stats())
					}
					return
				}
				if e := want[offers.Disconnected](h); !strings.Contains(e.Reason, c.reason.Error()) {
					t.Fatalf("disconnected for %q", e.Reason)
				}
				m.nextStream()
			})
		}
	}
}

// A launch that the master refuses as a call is reported, and its offers are given back.
func TestRefusedAccept(t *testing.T) {
	m, s, h := connected(t)
	m.mu.Lock()
	m.refuse = func(call *scheduler.Call, _ *http.Request) (int, string) {
		if call.Type == scheduler.Call_ACCEPT {
			return 400, "Failed to validate scheduler::Call: no"
		}
		return 0, ""
	}
	m.mu.Unlock()
	s.send(offerEvent(t, "o1"))
	want[offers.Received](h)
	h.Send([]offers.Call{launchCall("o1", "t1")})
	if u := want[offers.StatusUpdate](h); u.State != "TASK_ERROR" || u.TaskID != "t1" {
		t.Fatalf("update %+v", u)
	}
	if c := m.nextCall(scheduler.Call_DECLINE); c.call.Decline.OfferIDs[0].Value != "o1" {
		t.Fatalf("decline %+v", c.call.Decline)
	}
}

// The latest wish for roles is what a new SUBSCRIBE says, also while not subscribed (behaviour 5.8).
func TestSubscribeAgainWithLatestRoles(t *testing.T) {
	m, s, h := connected(t)
	h.Send([]offers.Call{offers.UpdateFramework{Roles: []string{"*", "dev", "prod"}, Suppressed: []string{"dev", "gone"}}, offers.Suppress{Roles: []string{"prod"}}, offers.Revive{Roles: []string{"dev"}}})
	c := m.nextCall(scheduler.Call_UPDATE_FRAMEWORK).call.UpdateFramework
	if c.FrameworkInfo.ID.GetValue() != "f1" || len(c.FrameworkInfo.Roles) != 3 || len(c.SuppressedRoles) != 1 {
		t.Fatalf("update %+v", c)
	}
	m.nextCall(scheduler.Call_SUPPRESS)
	m.nextCall(scheduler.Call_REVIVE)
	s.finish()
	sub := m.nextStream().call.Subscribe
	if fmt.Sprint(sub.FrameworkInfo.Roles) != "[* dev prod]" || fmt.Sprint(sub.SuppressedRoles) != "[prod]" {
		t.Fatalf("roles %v, suppressed %v", sub.FrameworkInfo.Roles, sub.SuppressedRoles)
	}
}

// refuseUpdates makes the master refuse UPDATE_FRAMEWORK.
func (m *fakeMaster) refuseUpdates(status int, text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse = func(call *scheduler.Call, _ *http.Request) (int, string) {
		if call.Type == scheduler.Call_UPDATE_FRAMEWORK {
			return status, text
		}
		return 0, ""
	}
}

// D-49: a refused role does not stop the framework. The texts are those of Mesos up to 1.9 and from 1.10 on.
func TestRoleRefused(t *testing.T) {
	for _, c := range []struct {
		status int
		text   string
	}{
		{403, "Not authorized to use roles '{ *, secret }'"},
		{403, "Not authorized to register framework f1 with roles { *, secret }"},
		{400, "Authorization failure: no answer"},
		{400, "Supplied FrameworkInfo is not valid: Roles { secret } are not present in the master's --roles"},
	} {
		t.Run("at UPDATE_FRAMEWORK: "+c.text, func(t *testing.T) {
			m, _, h := connected(t)
			m.refuseUpdates(c.status, c.text)
			h.Send([]offers.Call{offers.UpdateFramework{Roles: []string{"*", "secret"}}})
			if e := want[offers.RoleRefused](h); fmt.Sprint(e.Roles) != "[secret]" || e.Message != c.text {
				t.Fatalf("refused %+v", e)
			}
			h.Send([]offers.Call{offers.Kill{TaskID: "a"}})
			m.nextCall(scheduler.Call_KILL) // on the same stream
		})
	}
	for _, text := range []string{
		"'FrameworkInfo.roles' contains invalid role: Role component 'a b' is invalid because it contains backspace or whitespace",
		"Not authorized to use roles '{ *, a b }'",
		"Not authorized to register framework f1 with roles { *, a b }",
		"Roles { a b } are not present in the master's --roles",
	} {
		t.Run("at SUBSCRIBE: "+text, func(t *testing.T) {
			m := newFakeMaster(t)
			h := start(t, testConfig(m.URL), "f1", "*", "a b")
			s := m.nextStream()
			s.send(errorEvent(t, text))
			s.finish()
			if e := want[offers.RoleRefused](h); fmt.Sprint(e.Roles) != "[a b]" {
				t.Fatalf("refused %+v", e)
			}
			s = m.nextStream()
			if fmt.Sprint(s.call.Subscribe.FrameworkInfo.Roles) != "[*]" {
				t.Fatalf("subscribes with %v", s.call.Subscribe.FrameworkInfo.Roles)
			}
			s.send(subscribedEvent(t, "f1", 15))
			want[offers.Subscribed](h)
		})
	}
}

// Another user or checkpoint than at the first subscription makes every UPDATE_FRAMEWORK fail, while SUBSCRIBE
// overlooks it (recordings 02 and 17): new roles then take a new stream, and nothing else does.
func TestRolesByNewSubscription(t *testing.T) {
	m, _, h := connected(t)
	m.refuseUpdates(400, "FrameworkInfo update is not valid: Updating 'FrameworkInfo.user' is unsupported; attempted to update from 'old' to 'root'")
	h.Send([]offers.Call{offers.UpdateFramework{Roles: []string{"*"}}, offers.Kill{TaskID: "a"}})
	m.nextCall(scheduler.Call_KILL) // nothing new: the stream stays
	h.Send([]offers.Call{offers.UpdateFramework{Roles: []string{"*", "dev"}, Suppressed: []string{"*"}}})
	if e := want[offers.Disconnected](h); !strings.Contains(e.Reason, ErrNotUpdated.Error()) || !strings.Contains(e.Reason, "FrameworkInfo.user") {
		t.Fatalf("disconnected for %q", e.Reason)
	}
	s := m.nextStream()
	if sub := s.call.Subscribe; fmt.Sprint(sub.FrameworkInfo.Roles, sub.SuppressedRoles) != "[* dev] [*]" {
		t.Fatalf("subscribes with %v, suppressed %v", sub.FrameworkInfo.Roles, sub.SuppressedRoles)
	}
	s.send(subscribedEvent(t, "f1", 15))
	want[offers.Subscribed](h)
	h.Send([]offers.Call{offers.UpdateFramework{Roles: []string{"*", "dev"}, Suppressed: []string{"*"}}, offers.Kill{TaskID: "b"}})
	m.nextCall(scheduler.Call_KILL)
}

// F22: a master that answers with another framework id is not the one of the stored state.
func TestF22OtherFrameworkID(t *testing.T) {
	m := newFakeMaster(t)
	h := start(t, testConfig(m.URL), "f1")
	m.nextStream().send(subscribedEvent(t, "f2", 15))
	if e := want[offers.FatalError](h); e.ExitCode != exitSchedulerError || !strings.Contains(e.Message, "f1") || !strings.Contains(e.Message, "f2") || !strings.Contains(e.Message, "--master") {
		t.Fatalf("fatal %+v", e)
	}
}
