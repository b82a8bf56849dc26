package minimesos

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	operator "github.com/mesos/mesos-go/api/v1/lib/master"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

func get(t *testing.T, c *Cluster, path string) (int, string, http.Header) {
	t.Helper()
	plain := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := plain.Get("http://" + c.Addr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text), resp.Header
}

func operatorCall(t *testing.T, c *Cluster, body string) (int, string) {
	t.Helper()
	return post(t, c, "/api/v1", http.Header{"Content-Type": {typeJSON}, "Accept": {typeJSON}}, body)
}

func at(t *testing.T, v any, path ...any) any {
	t.Helper()
	for _, p := range path {
		switch k := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[k]
		case int:
			l, _ := v.([]any)
			if k >= len(l) {
				t.Fatalf("no element %d in %v", k, v)
			}
			v = l[k]
		}
	}
	return v
}

// Recording 33: the compact endpoints.
func TestOperatorEndpoints(t *testing.T) {
	c := testCluster(t, 1, nil)
	f := newFramework(t, c, "web").subscribe()
	f.runTask("t1", f.offers()[0])
	f.offers()
	for _, path := range []string{"/state", "/master/state", "/state.json"} {
		_, text, _ := get(t, c, path)
		v := decodeJSON(t, text)
		if got := at(t, v, "frameworks", 0, "tasks", 0, "state"); got != "TASK_RUNNING" {
			t.Errorf("%s: task is %v", path, got)
		}
		if got := at(t, v, "slaves", 0, "used_resources", "cpus"); got != 0.1 {
			t.Errorf("%s: used cpus %v", path, got)
		}
		if got := at(t, v, "slaves", 0, "offered_resources", "cpus"); got != 3.9 {
			t.Errorf("%s: offered cpus %v", path, got)
		}
		if got := at(t, v, "slaves", 0, "resources", "ports"); got != "[31000-31499]" {
			t.Errorf("%s: ports %v", path, got)
		}
	}
	_, text, _ := get(t, c, "/master/tasks?task_id=t1")
	if got := at(t, decodeJSON(t, text), "tasks", 0, "id"); got != "t1" {
		t.Errorf("tasks: %s", text)
	}
	_, text, _ = get(t, c, "/master/slaves")
	if got := at(t, decodeJSON(t, text), "slaves", 0, "attributes", "rack"); got != "r1" {
		t.Errorf("slaves: %s", text)
	}
	_, text, _ = get(t, c, "/metrics/snapshot")
	if got := at(t, decodeJSON(t, text), "master/tasks_running"); got != 1.0 {
		t.Errorf("metrics: %s", text)
	}
	status, _, header := get(t, c, "/redirect")
	if status != 307 || header.Get("Location") != "//"+c.Addr() {
		t.Errorf("redirect: %d %s", status, header.Get("Location"))
	}
	if status, text, _ := get(t, c, "/health"); status != 200 || text != "" {
		t.Errorf("health: %d %q", status, text)
	}
	if status, text, _ := get(t, c, "/nosuch"); status != 404 || text != "404 Not Found." {
		t.Errorf("nosuch: %d %q", status, text)
	}
	if _, text, _ := get(t, c, "/master/state?jsonp=cb"); !strings.HasPrefix(text, "cb({") {
		t.Errorf("jsonp: %.20q", text)
	}
	header = http.Header{}
	if status, text := post(t, c, "/master/teardown", header, "frameworkId=nosuch"); status != 400 || text != "No framework found with specified ID" {
		t.Errorf("teardown: %d %s", status, text)
	}
	if status, _ := post(t, c, "/master/teardown", header, "frameworkId="+f.id); status != 200 {
		t.Errorf("teardown: %d", status)
	}
	if err := <-f.ended; err != nil {
		t.Errorf("end of the stream: %v", err)
	}
}

// Recordings 26, 27 and 33: the calls of POST /api/v1.
func TestOperatorCalls(t *testing.T) {
	c := testCluster(t, 2, nil)
	f := newFramework(t, c, "web").subscribe()
	offers := f.offers()
	f.runTask("t1", offers[0])
	id := offers[0].AgentID.Value
	if status, text := operatorCall(t, c, `{"type":"GET_HEALTH"}`); status != 200 || text != `{"type":"GET_HEALTH","get_health":{"healthy":true}}` {
		t.Errorf("GET_HEALTH: %d %s", status, text)
	}
	_, text := operatorCall(t, c, `{"type":"GET_STATE"}`)
	v := decodeJSON(t, text)
	if got := at(t, v, "get_state", "get_tasks", "tasks", 0, "task_id", "value"); got != "t1" {
		t.Errorf("GET_STATE: %s", text)
	}
	if n := len(at(t, v, "get_state", "get_agents", "agents").([]any)); n != 2 {
		t.Errorf("GET_STATE: %d agents", n)
	}
	if status, text := operatorCall(t, c, `{"type":"NOSUCH"}`); status != 400 || text != "Failed to validate master::Call: Expecting 'type' to be present" {
		t.Errorf("NOSUCH: %d %s", status, text)
	}
	agent := func(kind, field string) (int, string) {
		return operatorCall(t, c, fmt.Sprintf(`{"type":"%s","%s":{"agent_id":{"value":"%s"}}}`, kind, field, id))
	}
	if status, text := agent("REACTIVATE_AGENT", "reactivate_agent"); status != 400 || text != "Agent is not deactivated" {
		t.Errorf("REACTIVATE_AGENT of an active one: %d %s", status, text)
	}
	if status, _ := agent("DRAIN_AGENT", "drain_agent"); status != 200 {
		t.Errorf("DRAIN_AGENT: %d", status)
	}
	if st := f.update("t1", mesos.TASK_KILLING); st.GetReason() != mesos.REASON_AGENT_DRAINING {
		t.Errorf("killing: %s", appendJSON(nil, st))
	}
	f.update("t1", mesos.TASK_KILLED)
	_, text = operatorCall(t, c, `{"type":"GET_AGENTS"}`)
	if !strings.Contains(text, `"drain_info":{"state":"DRAINED"`) {
		t.Errorf("not drained: %s", text)
	}
	if status, _ := agent("REACTIVATE_AGENT", "reactivate_agent"); status != 200 {
		t.Error("REACTIVATE_AGENT of a drained one")
	}
	f.offers()
	if status, _ := agent("MARK_AGENT_GONE", "mark_agent_gone"); status != 200 {
		t.Error("MARK_AGENT_GONE")
	}
	f.seek("FAILURE", isEvent(scheduler.Event_FAILURE))
	if status, _ := agent("MARK_AGENT_GONE", "mark_agent_gone"); status != 200 {
		t.Error("MARK_AGENT_GONE again")
	}
	id = "x"
	if status, text := agent("MARK_AGENT_GONE", "mark_agent_gone"); status != 404 || text != "Agent 'x' not found" {
		t.Errorf("MARK_AGENT_GONE of an unknown one: %d %s", status, text)
	}
	if status, text := agent("DRAIN_AGENT", "drain_agent"); status != 400 || text != "Unknown agent" {
		t.Errorf("DRAIN_AGENT of an unknown one: %d %s", status, text)
	}
}

// Recording 28.
func TestMaintenance(t *testing.T) {
	c := testCluster(t, 1, nil)
	f := newFramework(t, c, "web").subscribe()
	f.runTask("t1", f.offers()[0])
	f.offers()
	machine := `{"hostname":"agent1","ip":"127.0.0.2"}`
	start := `{"type":"START_MAINTENANCE","start_maintenance":{"machines":[` + machine + `]}}`
	if status, text := operatorCall(t, c, start); status != 400 || text != "Machine '"+machine+"' is not in DRAINING mode and cannot be brought down" {
		t.Errorf("not scheduled: %d %s", status, text)
	}
	operatorCall(t, c, `{"type":"UPDATE_MAINTENANCE_SCHEDULE","update_maintenance_schedule":{"schedule":{"windows":[{"machine_ids":[`+machine+
		`],"unavailability":{"start":{"nanoseconds":1795233998849192192},"duration":{"nanoseconds":600000000000}}}]}}}`)
	f.seek("RESCIND", isEvent(scheduler.Event_RESCIND))
	if o := f.offers(); o[0].Unavailability == nil {
		t.Error("offer without unavailability")
	}
	inverse := f.seek("INVERSE_OFFERS", isEvent(scheduler.Event_INVERSE_OFFERS)).InverseOffers.InverseOffers
	zero := 0.0
	f.must(&scheduler.Call{Type: scheduler.Call_DECLINE_INVERSE_OFFERS, DeclineInverseOffers: &scheduler.Call_DeclineInverseOffers{
		InverseOfferIDs: []mesos.OfferID{inverse[0].OfferID}, Filters: &mesos.Filters{RefuseSeconds: &zero}}})
	f.seek("INVERSE_OFFERS", isEvent(scheduler.Event_INVERSE_OFFERS))
	if _, text := operatorCall(t, c, `{"type":"GET_MAINTENANCE_STATUS"}`); !strings.Contains(text, `"status":"DECLINE"`) {
		t.Errorf("status %s", text)
	}
	if status, text := operatorCall(t, c, start); status != 200 {
		t.Errorf("START_MAINTENANCE: %d %s", status, text)
	}
	if st := f.update("t1", mesos.TASK_LOST); st.GetMessage() != "Agent agent1 removed: Operator initiated 'Machine DOWN'" {
		t.Errorf("lost: %q", st.GetMessage())
	}
	f.seek("RESCIND_INVERSE_OFFER", isEvent(scheduler.Event_RESCIND_INVERSE_OFFER))
	f.seek("FAILURE", isEvent(scheduler.Event_FAILURE))
	if status, _ := operatorCall(t, c, strings.ReplaceAll(strings.ReplaceAll(start, "START", "STOP"), "start", "stop")); status != 200 {
		t.Error("STOP_MAINTENANCE")
	}
	if o := f.offers(); o[0].Unavailability != nil {
		t.Error("offer still with unavailability")
	}
}

// Recording 34: the operator event stream.
func TestOperatorStream(t *testing.T) {
	c := testCluster(t, 1, nil)
	resp, err := http.Post("http://"+c.Addr()+"/api/v1", typeJSON, strings.NewReader(`{"type":"SUBSCRIBE"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	kinds := make(chan string, 100)
	go func() {
		defer close(kinds)
		for {
			var size int
			if _, err := fmt.Fscanf(resp.Body, "%d\n", &size); err != nil {
				return
			}
			data := make([]byte, size)
			if _, err := io.ReadFull(resp.Body, data); err != nil {
				return
			}
			ev := &operator.Event{}
			if _, err := parseJSON(data, ev, "Event"); err != nil {
				return
			}
			kinds <- ev.Type.String()
		}
	}()
	f := newFramework(t, c, "web").subscribe()
	f.runTask("t1", f.offers()[0])
	f.must(&scheduler.Call{Type: scheduler.Call_TEARDOWN})
	for _, want := range []string{"SUBSCRIBED", "HEARTBEAT", "FRAMEWORK_ADDED", "TASK_ADDED", "TASK_UPDATED", "TASK_UPDATED", "FRAMEWORK_REMOVED"} {
		if got := <-kinds; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// Recording 33: files of a sandbox, as the master and the agent serve them.
func TestFiles(t *testing.T) {
	c := processCluster(t)
	f := newFramework(t, c, "web").subscribe()
	o := f.offers()[0]
	f.accept([]mesos.Offer{o}, launchOp(shellTask("t1", &o, "echo out; sleep 1000")))
	f.update("t1", mesos.TASK_RUNNING)
	dir := "/frameworks/" + f.id + "/executors/t1/runs/latest"
	path := "path=" + url.QueryEscape(dir+"/stdout")
	var text string
	f.seekFile(func() bool {
		_, text, _ = get(t, c, "/files/read?offset=0&"+path)
		return strings.Contains(text, "out")
	})
	if _, text, _ = get(t, c, "/files/read?"+path); !strings.HasPrefix(text, `{"data":"","offset":`) || strings.HasSuffix(text, ":0}") {
		t.Errorf("size: %s", text)
	}
	if status, _, _ := get(t, c, "/files/read?path=/etc/passwd&offset=0"); status != 404 {
		t.Errorf("a file outside: %d", status)
	}
	if status, text, _ := get(t, c, "/files/read?offset=x&"+path); status != 400 || text != "Failed to parse offset: Failed to convert 'x' to number.\n" {
		t.Errorf("bad offset: %d %q", status, text)
	}
	if status, text, _ := get(t, c, "/files/read?offset=0&path="+url.QueryEscape(dir)); status != 400 || text != "Cannot read a directory.\n" {
		t.Errorf("directory: %d %q", status, text)
	}
	if _, text, _ = get(t, c, "/files/browse?path="+url.QueryEscape(dir)); !strings.Contains(text, dir+"/stdout") {
		t.Errorf("browse: %s", text)
	}
	resp, err := http.Get(fmt.Sprintf("http://%s:%d/slave(1)/state", o.URL.Address.GetIP(), o.URL.Address.Port))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got := at(t, decodeJSON(t, string(body)), "frameworks", 0, "executors", 0, "directory"); got == "" || got == nil {
		t.Errorf("agent state: %s", body)
	}
}
