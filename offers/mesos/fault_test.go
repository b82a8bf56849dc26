package mesos

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	scheduler "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	"stadion/core"
	"stadion/offers"
)

// F15: a master that is gone comes back as another one: the driver subscribes there with the same id, under a new
// stream id, and calls go to the new one. Calls of the old stream are not carried over.
func TestF15MasterFailover(t *testing.T) {
	first, second := newFakeMaster(t), newFakeMaster(t)
	cfg := testConfig(strings.TrimPrefix(first.URL, "http://") + "," + strings.TrimPrefix(second.URL, "http://"))
	h := start(t, cfg, "")
	s := first.nextStream()
	s.send(subscribedEvent(t, "f1", 15), offerEvent(t, "o1"))
	want[offers.Subscribed](h)
	want[offers.Received](h)
	first.CloseClientConnections()
	first.Listener.Close()
	if e := want[offers.Disconnected](h); e.Reason == "" {
		t.Fatal("no reason")
	}
	h.Send([]offers.Call{offers.Kill{TaskID: "old"}})
	s = second.nextStream()
	if s.call.FrameworkID.GetValue() != "f1" {
		t.Fatalf("subscribed as %v", s.call.FrameworkID)
	}
	s.send(subscribedEvent(t, "f1", 15))
	if e := want[offers.Subscribed](h); e.MasterURL != second.URL {
		t.Fatalf("master %s", e.MasterURL)
	}
	h.Send([]offers.Call{launchCall("o1", "t1"), offers.Reconcile{Tasks: []offers.TaskRef{{TaskID: "t1", AgentID: "S0"}, {TaskID: "t2"}}}})
	tasks := second.nextCall(scheduler.Call_RECONCILE).call.Reconcile.Tasks
	if len(tasks) != 2 || tasks[0].AgentID.GetValue() != "S0" || tasks[1].AgentID != nil {
		t.Fatalf("reconcile %+v", tasks)
	}
	if url, ok := h.Master(); !ok || url != second.URL {
		t.Fatalf("Master() = %s %v", url, ok)
	}
	h.Close()
	noGoroutinesLeft(t)
}

// F15: the master that is asked is not the leader and redirects, also without scheme (//host:port).
func TestF15RedirectToLeader(t *testing.T) {
	for _, form := range []string{"//%s/api/v1/scheduler", "//%s", "http://%s/api/v1/scheduler"} {
		leader := newFakeMaster(t)
		other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Location"] = []string{fmt.Sprintf(form, strings.TrimPrefix(leader.URL, "http://"))}
			w.WriteHeader(http.StatusTemporaryRedirect)
		}))
		h := start(t, testConfig(other.URL), "")
		leader.nextStream().send(subscribedEvent(t, "f1", 15))
		if e := want[offers.Subscribed](h); e.MasterURL != leader.URL {
			t.Fatalf("%s: master %s", form, e.MasterURL)
		}
		h.Send([]offers.Call{offers.Revive{}})
		leader.nextCall(scheduler.Call_REVIVE)
		h.Close()
		other.Close()
	}
}

// F18: frames in pieces of one byte are read as whole ones.
func TestF18FramesInSingleBytes(t *testing.T) {
	_, s, h := connected(t)
	update := recorded(t, "UPDATE")[0]
	for _, b := range bytes.Repeat(frame(update), 3) {
		s.write([]byte{b})
	}
	for range 3 {
		if u := want[offers.StatusUpdate](h); string(u.TaskID) != update.Update.Status.TaskID.Value {
			t.Fatalf("update %+v", u)
		}
	}
}

// F18: what is no RecordIO, a frame of length 2^31, a frame that is cut, a record that is no message, an early record:
// each ends the stream, and the driver subscribes again.
func TestF18BrokenStreams(t *testing.T) {
	update := frame(recorded(t, "UPDATE")[0])
	cases := []struct {
		name   string
		bytes  []byte
		reason string
	}{
		{"length 2^31", []byte("2147483648\n"), "longer than"},
		{"length of 30 digits", []byte("000000000000000000000000000000\n"), "20 digits"},
		{"no number", []byte("HTTP/1.1 200 OK\r\n"), "broken frame"},
		{"negative length", []byte("-5\n"), "broken frame"},
		{"cut inside a frame", update[:len(update)-5], "unexpected EOF"},
		{"cut inside the length", []byte("12"), "unexpected EOF"},
		{"clean end", nil, "ended the stream"},
		{"no message", []byte("3\n\xff\xff\xff"), "broken message"},
		{"a second SUBSCRIBED", frame(subscribedEvent(t, "f1", 15)), "second SUBSCRIBED"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m, s, h := connected(t)
			s.write(c.bytes)
			s.finish()
			if e := want[offers.Disconnected](h); !strings.Contains(e.Reason, c.reason) {
				t.Fatalf("disconnected for %q", e.Reason)
			}
			m.nextStream().send(subscribedEvent(t, "f1", 15))
			want[offers.Subscribed](h)
			h.Close()
			noGoroutinesLeft(t)
		})
	}
}

// F18: a stream may not begin with anything but SUBSCRIBED or ERROR.
func TestF18EventBeforeSubscribed(t *testing.T) {
	m := newFakeMaster(t)
	h := start(t, testConfig(m.URL), "f1")
	m.nextStream().send(offerEvent(t, "o1"))
	m.nextStream().send(subscribedEvent(t, "f1", 15))
	want[offers.Subscribed](h)
}

// F18: the RecordIO reader allocates for what came, not for what was promised.
func TestF18FrameMemory(t *testing.T) {
	promised := fmt.Sprintf("%d\n", maxFrame)
	r := newFrames(io.MultiReader(strings.NewReader(promised+"abc")), maxFrame)
	if _, err := r.next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("error %v", err)
	}
	if cap(r.buf) > keptFrame {
		t.Fatalf("%d bytes kept for 3", cap(r.buf))
	}
	big := bytes.Repeat([]byte("x"), keptFrame+1)
	all := append(fmt.Appendf(nil, "%d\n", len(big)), big...)
	all = append(all, "3\nabc0\n2\nde"...)
	r = newFrames(iotest.OneByteReader(bytes.NewReader(all)), maxFrame)
	for _, wanted := range []string{string(big), "abc", "", "de"} {
		got, err := r.next()
		if err != nil || string(got) != wanted {
			t.Fatalf("frame of %d bytes, %v; want %d", len(got), err, len(wanted))
		}
	}
	if cap(r.buf) > keptFrame {
		t.Fatalf("%d bytes kept after a large frame", cap(r.buf))
	}
	if _, err := r.next(); err != io.EOF {
		t.Fatalf("error %v", err)
	}
}

// F18: a silent stream is left after the missed heartbeats; heartbeats keep it.
func TestF18HeartbeatSilence(t *testing.T) {
	m := newFakeMaster(t)
	h := start(t, testConfig(m.URL), "")
	s := m.nextStream()
	s.send(subscribedEvent(t, "f1", 0.1))
	want[offers.Subscribed](h)
	beat := frame(&scheduler.Event{Type: scheduler.Event_HEARTBEAT})
	began := time.Now()
	for time.Since(began) < 800*time.Millisecond { // more than silence allows
		if !s.write(beat) {
			t.Fatal("left in spite of heartbeats")
		}
		time.Sleep(time.Millisecond)
	}
	if e := want[offers.Disconnected](h); !strings.Contains(e.Reason, ErrSilent.Error()) {
		t.Fatalf("disconnected for %q", e.Reason)
	}
	<-s.gone
	m.nextStream()
	h.Close()
	noGoroutinesLeft(t)
}

// F18: a sink that blocks is no silence of the master.
func TestF18SlowSinkIsNoSilence(t *testing.T) {
	m := newFakeMaster(t)
	hold, events := make(chan struct{}), make(chan offers.Event, 100)
	d := New(testConfig(m.URL), func(e offers.Event) {
		if _, ok := e.(offers.StatusUpdate); ok {
			<-hold
		}
		events <- e
	})
	d.Start("f1", []string{"*"}, nil)
	t.Cleanup(d.Close)
	s := m.nextStream()
	s.send(subscribedEvent(t, "f1", 0.1), recorded(t, "UPDATE")[0])
	go func() { // heartbeats go on, and fill the buffers of the connection at worst
		for s.write(frame(&scheduler.Event{Type: scheduler.Event_HEARTBEAT})) {
			time.Sleep(time.Millisecond)
		}
	}()
	time.Sleep(800 * time.Millisecond) // more than silence allows
	close(hold)
	for _, wanted := range []string{"offers.Subscribed", "offers.StatusUpdate"} {
		if e := <-events; fmt.Sprintf("%T", e) != wanted {
			t.Fatalf("got %T, want %s", e, wanted)
		}
	}
	if _, ok := d.Master(); !ok {
		t.Fatal("not connected")
	}
}

// F18: masters that redirect to each other are left after a few hops, and asked again later.
func TestF18RedirectLoop(t *testing.T) {
	hops := make(chan struct{}, 10000)
	var other string
	redirect := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		hops <- struct{}{}
		w.Header().Set("Location", other)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	a := httptest.NewServer(redirect)
	other = a.URL + schedulerPath
	cfg := testConfig(a.URL)
	cfg.setDefaults()
	c := newClient(&cfg)
	_, _, err := c.subscribe(t.Context(), a.URL, nil)
	if !errors.Is(err, ErrRedirectLoop) || len(hops) != maxRedirects+1 {
		t.Fatalf("%v after %d requests", err, len(hops))
	}
	c.close()
	a.Close()
	noGoroutinesLeft(t)
}

// F18: redirects that must not be followed.
func TestF18BadRedirects(t *testing.T) {
	for _, location := range []string{"", "ftp://x/", "http://h:1/x", "://", "http://"} {
		from := mustURL(t, "https://a:5050/api/v1/scheduler")
		if to, err := follow(from, location); err == nil {
			t.Errorf("%q leads to %s", location, to)
		}
	}
	to, err := follow(mustURL(t, "http://a:5050/api/v1/scheduler"), "//u:p@b:5050?x=1#y")
	if err != nil || to.String() != "http://b:5050/api/v1/scheduler" {
		t.Fatalf("%v %v", to, err)
	}
}

// F18, F22, behaviour 9.4: what ERROR events lead to.
func TestF22ErrorEvents(t *testing.T) {
	cases := []struct {
		message string
		live    bool
		code    int
		hint    string
	}{
		{"Framework has been removed", false, 110, "--recover_framework"},
		{"Framework has been removed", true, 110, "f1"},
		{"Framework failed over", true, 106, "Another scheduler"},
		{"The framework failover_timeout (1e+300) is invalid", false, 106, "failover_timeout"},
		{"'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable", false, 106, "role"},
		{"Changing framework's principal is not allowed.", false, 106, "--mesos_authentication_principal"},
	}
	for _, c := range cases {
		t.Run(c.message, func(t *testing.T) {
			m := newFakeMaster(t)
			h := start(t, testConfig(m.URL), "f1")
			s := m.nextStream()
			if c.live {
				s.send(subscribedEvent(t, "f1", 15))
				want[offers.Subscribed](h)
			}
			s.send(errorEvent(t, c.message))
			s.finish()
			if c.live {
				want[offers.Disconnected](h)
			}
			e := want[offers.FatalError](h)
			if e.ExitCode != c.code || !strings.Contains(e.Message, c.message) || !strings.Contains(e.Message, c.hint) {
				t.Fatalf("fatal %+v", e)
			}
			h.Close()
			noGoroutinesLeft(t)
			if len(m.subs) != 0 || len(h.events) != 0 {
				t.Fatalf("%d more streams, %d more events", len(m.subs), len(h.events))
			}
		})
	}
}

// A master older than 1.5 is refused; a version that cannot be read is not.
func TestMinimumVersion(t *testing.T) {
	for version, old := range map[string]bool{"1.4.2": true, "0.28.1": true, "1.5.0": false, "1.12.0": false, "2.0": false, "": false, "x": false} {
		if tooOld(version) != old {
			t.Errorf("tooOld(%q) is %v", version, !old)
		}
	}
}

// F20: repeated, strange and unknown updates pass through unchanged and in order: what to do with them is decided by
// the machine. Events of unknown types are skipped.
func TestF20RepeatedAndUnknown(t *testing.T) {
	_, s, h := connected(t)
	updates := recorded(t, "UPDATE")
	for range 10 {
		s.send(updates[0])
	}
	s.write([]byte("2\n\x08\x63")) // type 99
	s.write([]byte("0\n"))         // no type at all
	s.send(&scheduler.Event{Type: scheduler.Event_UPDATE_OPERATION_STATUS})
	s.send(updates[1])
	for range 10 {
		if u := want[offers.StatusUpdate](h); string(u.UUID) != string(updates[0].Update.Status.UUID) {
			t.Fatalf("update %+v", u)
		}
	}
	if u := want[offers.StatusUpdate](h); string(u.TaskID) != updates[1].Update.Status.TaskID.Value {
		t.Fatalf("update %+v", u)
	}
	// Updates of the master have no uuid and are not acknowledged.
	h.Send([]offers.Call{offers.Acknowledge{TaskID: "x", AgentID: "y"}})
	h.Stop(true)
	if n := h.Stats().Acknowledged; n != 0 {
		t.Fatalf("%d acknowledged", n)
	}
}

// F21: with many acknowledgements waiting the stream is read no further, until they went out.
func TestF21StreamWaitsForAcknowledgements(t *testing.T) {
	m, s, h := connected(t)
	release := make(chan struct{})
	m.mu.Lock()
	m.refuse = func(call *scheduler.Call, _ *http.Request) (int, string) {
		if call.Type == scheduler.Call_ACKNOWLEDGE {
			<-release
			return http.StatusAccepted, ""
		}
		return 0, ""
	}
	m.mu.Unlock()
	var calls []offers.Call
	const n = ackHighWater + 3*ackWindow*ackConnections
	for i := range n {
		calls = append(calls, ack(fmt.Sprint(i)))
	}
	h.Send(calls)
	s.send(recorded(t, "UPDATE")[:3]...)
	h.mu.Lock()
	session := h.session
	h.mu.Unlock()
	time.Sleep(50 * time.Millisecond) // for what must not come; the reader may have been waiting for bytes already
	before := len(h.events)
	if before > 1 {
		t.Fatalf("%d updates came while acknowledgements wait", before)
	}
	session.mu.Lock()
	waiting := len(session.acks)
	session.mu.Unlock()
	if waiting <= ackHighWater {
		t.Fatalf("only %d wait", waiting)
	}
	close(release)
	for range 3 {
		want[offers.StatusUpdate](h)
	}
	h.Stop(true)
	if got := h.Stats().Acknowledged; got != n {
		t.Fatalf("%d acknowledged", got)
	}
}

// A full queue breaks the stream instead of losing calls in silence; every launch in it is reported.
func TestFullQueueBreaksStream(t *testing.T) {
	m, s, h := connected(t)
	s.send(offerEvent(t, "o1"))
	want[offers.Received](h)
	calls := make([]offers.Call, maxQueued+2)
	for i := range calls {
		calls[i] = offers.Kill{TaskID: core.TaskID(fmt.Sprint(i))}
	}
	calls[len(calls)-1] = launchCall("o1", "t1")
	h.Send(calls)
	var disconnected, dropped bool
	for !disconnected || !dropped {
		switch e := (<-h.events).(type) {
		case offers.Disconnected:
			disconnected = strings.Contains(e.Reason, ErrQueueFull.Error())
		case offers.StatusUpdate:
			dropped = e.State == "TASK_DROPPED" && e.TaskID == "t1"
		}
	}
	m.nextStream()
}

// The connection of the acknowledgements may break at any time: they are sent again on another one.
func TestAckConnectionBreaks(t *testing.T) {
	m, _, h := connected(t)
	seen := map[string]bool{}
	m.mu.Lock()
	count := 0
	m.before = func(w http.ResponseWriter, r *http.Request) bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		if count++; count != 3 {
			return false
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			err = conn.(*net.TCPConn).SetLinger(0)
		}
		if err == nil {
			err = conn.Close()
		}
		if err != nil {
			t.Error(err)
		}
		return true
	}
	m.mu.Unlock()
	var calls []offers.Call
	for i := range 20 {
		calls = append(calls, ack(fmt.Sprint(i)))
	}
	h.Send(calls)
	for len(seen) < len(calls) {
		seen[m.nextCall(scheduler.Call_ACKNOWLEDGE).call.Acknowledge.TaskID.Value] = true
	}
	if len(h.events) != 0 {
		t.Fatalf("event %+v", <-h.events)
	}
}

// S4: the credentials go out with every request, and show nowhere.
func TestS4Credentials(t *testing.T) {
	m := newFakeMaster(t)
	cfg := testConfig(m.URL)
	cfg.Framework.Principal, cfg.Secret = "marathon", "very-secret"
	h := start(t, cfg, "")
	check := func(header http.Header) {
		t.Helper()
		if got := header.Get("Authorization"); got != "Basic bWFyYXRob246dmVyeS1zZWNyZXQ=" {
			t.Fatalf("authorization %q", got)
		}
	}
	s := m.nextStream()
	check(s.head)
	if s.call.Subscribe.FrameworkInfo.GetPrincipal() != "marathon" {
		t.Fatal("no principal")
	}
	s.send(subscribedEvent(t, "f1", 15))
	want[offers.Subscribed](h)
	h.Send([]offers.Call{offers.Kill{TaskID: "a"}})
	check(m.nextCall(scheduler.Call_KILL).header)
	h.Send([]offers.Call{ack("a")})
	check(m.nextCall(scheduler.Call_ACKNOWLEDGE).header)

	cfg.Master = "zk://user:very-secret@h:1/mesos"
	for _, form := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(form, cfg); strings.Contains(got, "very-secret") {
			t.Errorf("%s shows %s", form, got)
		}
	}
	for _, bad := range []string{"zk://user:very-secret@/mesos", "zk://user:very-secret@h:1", "ftp://u:very-secret@h", "http://u:very-secret@h:1", "zk://very-secret@h/m"} {
		cfg.Master = bad
		if err := cfg.Validate(); err == nil || strings.Contains(err.Error(), "very-secret") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// S4: wrong credentials are named, and tried again: they may be mended at the master.
func TestS4Unauthorized(t *testing.T) {
	m := newFakeMaster(t)
	refused := 0
	m.refuse = func(*scheduler.Call, *http.Request) (int, string) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if refused++; refused < 4 {
			return 401, "401 Unauthorized."
		}
		return 0, ""
	}
	h := start(t, testConfig(m.URL), "")
	m.nextStream().send(subscribedEvent(t, "f1", 15))
	want[offers.Subscribed](h)
}

// F22: with Config.Recover a framework that the master has removed registers anew, without an id, instead of ending.
func TestF22RecoverFramework(t *testing.T) {
	m := newFakeMaster(t)
	cfg := testConfig(m.URL)
	cfg.Recover = true
	h := start(t, cfg, "f1")
	s := m.nextStream()
	if id := s.call.FrameworkID.GetValue(); id != "f1" {
		t.Fatalf("subscribes first as %q", id)
	}
	s.send(errorEvent(t, "Framework has been removed"))
	s.finish()
	s = m.nextStream()
	if id := s.call.FrameworkID.GetValue() + s.call.Subscribe.FrameworkInfo.ID.GetValue(); id != "" {
		t.Fatalf("subscribes again as %q", id)
	}
	s.send(subscribedEvent(t, "f2", 15))
	if e := want[offers.Subscribed](h); e.FrameworkID != "f2" {
		t.Fatalf("subscribed as %q", e.FrameworkID)
	}
	s.finish()
	want[offers.Disconnected](h)
	if id := m.nextStream().call.FrameworkID.GetValue(); id != "f2" {
		t.Fatalf("subscribes at last as %q", id)
	}
}
