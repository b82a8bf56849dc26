package minimesos

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

// Both codecs: subscribe, heartbeat, offers, launch, statuses, kill, reconcile, teardown.
func TestLifeOfATask(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		name := "protobuf"
		if asJSON {
			name = "json"
		}
		t.Run(name, func(t *testing.T) {
			c := testCluster(t, 2, nil)
			f := newFramework(t, c, "web")
			f.json = asJSON
			f.subscribe()
			f.next(scheduler.Event_HEARTBEAT)
			offers := f.next(scheduler.Event_OFFERS).Offers.Offers
			if len(offers) != 2 || offers[0].AllocationInfo.GetRole() != "web" || len(offers[0].Resources) != 4 {
				t.Fatalf("offers %v", offers)
			}
			f.accept(offers[:1], launchOp(testTask("t1", &offers[0], 1)))
			starting := f.update("t1", mesos.TASK_STARTING)
			if starting.GetSource() != mesos.SOURCE_EXECUTOR || len(starting.UUID) != 16 || starting.Reason != nil ||
				starting.ExecutorID.GetValue() != "t1" || starting.ContainerStatus == nil {
				t.Errorf("starting %s", appendJSON(nil, starting))
			}
			f.update("t1", mesos.TASK_RUNNING)
			rest := f.offers()
			if len(rest) != 1 || rest[0].Resources[1].Scalar.GetValue() != 3 {
				t.Errorf("rest of the offer %v", rest)
			}
			f.must(&scheduler.Call{Type: scheduler.Call_RECONCILE, Reconcile: &scheduler.Call_Reconcile{}})
			if st := f.update("t1", mesos.TASK_RUNNING); st.UUID != nil || st.GetReason() != mesos.REASON_RECONCILIATION {
				t.Errorf("reconciliation %s", appendJSON(nil, st))
			}
			f.must(&scheduler.Call{Type: scheduler.Call_KILL, Kill: &scheduler.Call_Kill{TaskID: mesos.TaskID{Value: "t1"}}})
			f.update("t1", mesos.TASK_KILLING)
			killed := f.update("t1", mesos.TASK_KILLED)
			if killed.GetMessage() != "Command terminated with signal Terminated" {
				t.Errorf("killed %s", appendJSON(nil, killed))
			}
			f.must(&scheduler.Call{Type: scheduler.Call_TEARDOWN})
			if err := <-f.ended; err != nil {
				t.Errorf("end of the stream: %v", err)
			}
			if status, text := f.call(&scheduler.Call{Type: scheduler.Call_REVIVE}); status != 400 || text != "Framework cannot be found" {
				t.Errorf("after teardown: %d %s", status, text)
			}
		})
	}
}

// Recording 11: one update per task under way, re-sent unchanged until the right
// acknowledgement; resources come back only after the terminal one.
func TestUpdatesAreResentUntilAcknowledged(t *testing.T) {
	c := testCluster(t, 1, func(cfg *Config) { cfg.UpdateRetry = 30 * time.Millisecond })
	f := newFramework(t, c, "web").subscribe()
	f.autoAk = false
	offers := f.offers()
	f.accept(offers, launchOp(testTask("t1", &offers[0], 1)))
	first := f.update("t1", mesos.TASK_STARTING)
	again := f.update("t1", mesos.TASK_STARTING)
	if !bytes.Equal(first.UUID, again.UUID) || first.GetTimestamp() != again.GetTimestamp() {
		t.Errorf("re-sent update differs")
	}
	wrong := *first
	wrong.UUID = bytes.Repeat([]byte{7}, 16)
	f.acknowledge(&wrong)
	f.update("t1", mesos.TASK_STARTING)
	f.acknowledge(first)
	f.acknowledge(f.update("t1", mesos.TASK_RUNNING))
}

func TestRefusals(t *testing.T) {
	c := testCluster(t, 1, nil)
	f := newFramework(t, c, "web").subscribe()
	jsonHeader := func(extra ...string) http.Header {
		h := http.Header{"Content-Type": {typeJSON}, "Accept": {typeJSON}}
		for i := 0; i < len(extra); i += 2 {
			h.Set(extra[i], extra[i+1])
		}
		return h
	}
	own := jsonHeader(streamHeader, f.stream)
	id := `"framework_id":{"value":"` + f.id + `"}`
	for _, x := range []struct {
		name   string
		header http.Header
		body   string
		status int
		text   string
	}{
		{"no content type", http.Header{"Accept": {typeJSON}}, `{}`, 400, "Expecting 'Content-Type' to be present"},
		{"charset", http.Header{"Content-Type": {"application/json; charset=utf-8"}}, `{}`, 415,
			"Expecting 'Content-Type' of application/json or application/x-protobuf"},
		{"accept", http.Header{"Content-Type": {typeJSON}, "Accept": {"text/html"}},
			`{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"","name":""}}}`, 406,
			"Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'"},
		{"no JSON", own, `{"type":"SUBSCRIBE"`, 400, "Failed to parse body into JSON: syntax error at line 1 near: "},
		{"list", own, `[]`, 400, "Failed to convert JSON into Call protobuf: Expecting a JSON object"},
		{"unknown type", own, `{"type":"NOSUCH"}`, 400, "Failed to validate scheduler::Call: Expecting 'type' to be present"},
		{"no body", own, `{"type":"SUBSCRIBE"}`, 400, "Failed to validate scheduler::Call: Expecting 'subscribe' to be present"},
		{"required", own, `{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"root"}}}`, 400,
			"Failed to convert JSON into Call protobuf: Missing required fields: subscribe.framework_info.name"},
		{"required twice", own, `{"type":"ACKNOWLEDGE",` + id + `,"acknowledge":{"task_id":{"value":"x"}}}`, 400,
			"Failed to convert JSON into Call protobuf: Missing required fields: acknowledge.agent_id, acknowledge.uuid"},
		{"deep", own, `{"type":"ACCEPT",` + id + `,"accept":{"operations":[{"type":"LAUNCH","launch":{"task_infos":[{"task_id":{"value":"x"},"agent_id":{"value":"y"}}]}}]}}`, 400,
			"Failed to convert JSON into Call protobuf: Missing required fields: accept.operations[0].launch.task_infos[0].name"},
		{"boolean", own, `{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"root","name":"a","checkpoint":"yes"}}}`, 400,
			"Failed to convert JSON into Call protobuf: Failed to parse 'yes' as a JSON boolean for field 'checkpoint': syntax error at line 1 near: yes"},
		{"base64", own, `{"type":"ACKNOWLEDGE",` + id + `,"acknowledge":{"agent_id":{"value":"x"},"task_id":{"value":"x"},"uuid":"!!!"}}`, 400,
			"Failed to convert JSON into Call protobuf: Failed to base64 decode bytes field 'uuid': Invalid character '!'"},
		{"no uuid", own, `{"type":"ACKNOWLEDGE",` + id + `,"acknowledge":{"agent_id":{"value":"x"},"task_id":{"value":"x"},"uuid":"c2hvcnQ="}}`, 400,
			"Failed to validate scheduler::Call: Not a valid UUID"},
		{"no framework", own, `{"type":"REVIVE"}`, 400, "Failed to validate scheduler::Call: Expecting 'framework_id' to be present"},
		{"unknown framework", own, `{"type":"REVIVE","framework_id":{"value":"nosuch"}}`, 400, "Framework cannot be found"},
		{"no stream id", jsonHeader(), `{"type":"REVIVE",` + id + `}`, 400, "All non-subscribe calls should include the 'Mesos-Stream-Id' header"},
		{"wrong stream id", jsonHeader(streamHeader, "not a uuid"), `{"type":"REVIVE",` + id + `}`, 400,
			"The stream ID 'not a uuid' included in this request didn't match the stream ID currently associated with framework ID " + f.id},
		{"stream id at SUBSCRIBE", own, `{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"root","name":"a"}}}`, 400,
			"Subscribe calls should not include the 'Mesos-Stream-Id' header"},
		{"ids differ", jsonHeader(), `{"type":"SUBSCRIBE","framework_id":{"value":"aaa"},"subscribe":{"framework_info":{"user":"root","name":"a"}}}`, 400,
			"Failed to validate scheduler::Call: 'framework_id' differs from 'subscribe.framework_info.id'"},
		{"good", own, `{"type":"REVIVE",` + id + `}`, 202, ""},
		{"no protobuf", http.Header{"Content-Type": {typeProtobuf}}, `{"type":"REVIVE"}`, 400, "Failed to parse body into Call protobuf"},
	} {
		status, text := post(t, c, "/api/v1/scheduler", x.header, x.body)
		if status != x.status || text != x.text {
			t.Errorf("%s: %d %q, want %d %q", x.name, status, text, x.status, x.text)
		}
	}
	resp, err := http.Get("http://" + c.Addr() + "/api/v1/scheduler")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 405 || resp.Header.Get("Allow") != "POST" {
		t.Errorf("GET: %d %v", resp.StatusCode, resp.Header)
	}
}

// What is wrong with the content of FrameworkInfo is an ERROR event (recording 01).
func TestRefusedFrameworks(t *testing.T) {
	c := testCluster(t, 0, nil)
	web := "web"
	large := 1e300
	for _, x := range []struct {
		text   string
		change func(*mesos.FrameworkInfo)
	}{
		{"'FrameworkInfo.roles' contains invalid role: Role component 'a b' is invalid because it contains backspace or whitespace",
			func(i *mesos.FrameworkInfo) { i.Roles = []string{"a b"} }},
		{"'FrameworkInfo.roles' contains invalid role: Role '/a' cannot start with a slash",
			func(i *mesos.FrameworkInfo) { i.Roles = []string{"/a"} }},
		{"'FrameworkInfo.roles' contains invalid role: Role component '-a' is invalid because it starts with a dash",
			func(i *mesos.FrameworkInfo) { i.Roles = []string{"-a"} }},
		{"'FrameworkInfo.roles' contains invalid role: Role '.' cannot include '.' as a component",
			func(i *mesos.FrameworkInfo) { i.Roles = []string{"."} }},
		{"'FrameworkInfo.roles' contains invalid role: Role names cannot be the empty string",
			func(i *mesos.FrameworkInfo) { i.Roles = []string{""} }},
		{"'FrameworkInfo.roles' contains duplicate items: { a }",
			func(i *mesos.FrameworkInfo) { i.Roles = []string{"a", "a"} }},
		{"'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable",
			func(i *mesos.FrameworkInfo) { i.Role = &web }},
		{"'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable",
			func(i *mesos.FrameworkInfo) { i.Capabilities = nil }},
		{"The framework failover_timeout (1e+300) is invalid",
			func(i *mesos.FrameworkInfo) { i.FailoverTimeout = &large }},
	} {
		f := newFramework(t, c, "web")
		x.change(f.info)
		f.open(&scheduler.Call{Type: scheduler.Call_SUBSCRIBE, Subscribe: &scheduler.Call_Subscribe{FrameworkInfo: f.info}})
		if ev := f.next(scheduler.Event_ERROR); ev.Error.Message != x.text {
			t.Errorf("got %q, want %q", ev.Error.Message, x.text)
		}
		if err := <-f.ended; err != nil {
			t.Errorf("end of the stream: %v", err)
		}
	}
}

// Recording 02: a second SUBSCRIBE wins; after TEARDOWN the id is refused.
func TestFailoverByID(t *testing.T) {
	c := testCluster(t, 1, nil)
	a := newFramework(t, c, "web").subscribe()
	o := a.offers()[0]
	a.runTask("t1", o)
	b := newFramework(t, c, "web")
	b.id = a.id
	b.subscribe()
	ev := a.seek("ERROR", func(ev *scheduler.Event) bool { return ev.Type == scheduler.Event_ERROR })
	if ev.Error.Message != "Framework failed over" {
		t.Errorf("error %q", ev.Error.Message)
	}
	if err := <-a.ended; err != nil {
		t.Errorf("old stream: %v", err)
	}
	if status, _ := a.call(&scheduler.Call{Type: scheduler.Call_REVIVE}); status != 400 {
		t.Errorf("old stream id is still good: %d", status)
	}
	b.must(&scheduler.Call{Type: scheduler.Call_RECONCILE, Reconcile: &scheduler.Call_Reconcile{}})
	b.update("t1", mesos.TASK_RUNNING)
	b.must(&scheduler.Call{Type: scheduler.Call_TEARDOWN})
	d := newFramework(t, c, "web")
	d.info.ID = &mesos.FrameworkID{Value: a.id}
	d.open(&scheduler.Call{Type: scheduler.Call_SUBSCRIBE, FrameworkID: d.info.ID,
		Subscribe: &scheduler.Call_Subscribe{FrameworkInfo: d.info}})
	if ev := d.next(scheduler.Event_ERROR); ev.Error.Message != "Framework has been removed" {
		t.Errorf("after TEARDOWN: %q", ev.Error.Message)
	}
}

// Recording 04: filters hold an agent back, REVIVE lifts them at once.
func TestDeclineReviveSuppress(t *testing.T) {
	c := testCluster(t, 1, nil)
	f := newFramework(t, c, "web").subscribe()
	decline := func(o mesos.Offer, wait float64) {
		t.Helper()
		f.must(&scheduler.Call{Type: scheduler.Call_DECLINE, Decline: &scheduler.Call_Decline{
			OfferIDs: []mesos.OfferID{o.ID}, Filters: &mesos.Filters{RefuseSeconds: &wait}}})
	}
	decline(f.offers()[0], 0)
	begin := time.Now()
	decline(f.offers()[0], 0.3)
	o := f.offers()[0]
	if waited := time.Since(begin); waited < 300*time.Millisecond {
		t.Errorf("filter of 0.3 s held for %s", waited)
	}
	decline(o, 1e30)
	f.must(&scheduler.Call{Type: scheduler.Call_REVIVE})
	o = f.offers()[0]
	f.must(&scheduler.Call{Type: scheduler.Call_SUPPRESS})
	decline(o, 0)
	c.waitRounds(t, 3)
	select {
	case ev := <-f.events:
		t.Errorf("suppressed, but got %s", ev.Type)
	default:
	}
	f.must(&scheduler.Call{Type: scheduler.Call_REVIVE, Revive: &scheduler.Call_Revive{Roles: []string{"web"}}})
	f.offers()
}

// waitRounds waits until the allocator has run n more times.
func (c *Cluster) waitRounds(t *testing.T, n uint64) {
	t.Helper()
	rounds := func() uint64 {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.m.rounds
	}
	until := rounds() + n
	for deadline := time.Now().Add(patience); rounds() < until; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the allocator does not run")
		}
	}
}

// Recording 05 and 06: bad offers and bad tasks come as statuses of the master.
func TestBadOffersAndTasks(t *testing.T) {
	c := testCluster(t, 2, nil)
	f := newFramework(t, c, "web").subscribe()
	offers := f.offers()
	ghost := mesos.Offer{ID: mesos.OfferID{Value: "nosuch"}, AgentID: offers[0].AgentID}
	f.accept([]mesos.Offer{ghost}, launchOp(testTask("g", &offers[0], 1)))
	st := f.update("g", mesos.TASK_DROPPED)
	if st.GetReason() != mesos.REASON_INVALID_OFFERS || st.UUID != nil ||
		st.GetMessage() != "Task launched with invalid offers: Offer nosuch is no longer valid" {
		t.Errorf("unknown offer: %s", appendJSON(nil, st))
	}
	f.accept(offers, launchOp(testTask("two", &offers[0], 1)))
	st = f.update("two", mesos.TASK_DROPPED)
	if !strings.HasPrefix(st.GetMessage(), "Task launched with invalid offers: Aggregated offers must belong to one single agent. Offer ") {
		t.Errorf("two agents: %q", st.GetMessage())
	}
	offers = f.offers()
	if len(offers) != 2 {
		t.Fatalf("used up offers come back: %d", len(offers))
	}
	o := offers[0]
	ports := spansText([]span{{o.Resources[0].Ranges.Range[0].Begin, o.Resources[0].Ranges.Range[0].End}})
	f.accept([]mesos.Offer{o}, launchOp(testTask("big", &o, 100), testTask("a/b", &o, 1), testTask("", &o, 1),
		testTask("ok", &o, 1), testTask("ok", &o, 1)))
	want := "Total resources cpus(allocated: web):100; mem(allocated: web):32 required by task and its executor is more than available " +
		"ports(allocated: web):" + ports + "; cpus(allocated: web):4; mem(allocated: web):4096; disk(allocated: web):10000"
	if st := f.update("big", mesos.TASK_ERROR); st.GetMessage() != want || st.GetReason() != mesos.REASON_TASK_INVALID {
		t.Errorf("too big: %q\nwant %q", st.GetMessage(), want)
	}
	if st := f.update("a/b", mesos.TASK_ERROR); st.GetMessage() != "'a/b' contains invalid characters" {
		t.Errorf("slash: %q", st.GetMessage())
	}
	if st := f.update("", mesos.TASK_ERROR); st.GetMessage() != "ID must not be empty" {
		t.Errorf("empty: %q", st.GetMessage())
	}
	if st := f.update("ok", mesos.TASK_ERROR); st.GetMessage() != "Task has duplicate ID: ok" {
		t.Errorf("duplicate: %q", st.GetMessage())
	}
}
