package minimesos

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

// patience is how long a test waits for an event before it fails.
const patience = 10 * time.Second

// client keeps enough connections for all goroutines of a test.
var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}

// again lets the client repeat a call on a new connection when the one it has kept
// turns out to lead to a master that was restarted. The header is not sent.
func again(req *http.Request) *http.Request {
	req.Header["Idempotency-Key"] = nil
	return req
}

// testCluster starts a cluster of simulated agents with quick timings.
func testCluster(t *testing.T, agents int, change func(*Config)) *Cluster {
	t.Helper()
	cfg := Config{
		WorkDir: t.TempDir(), Simulated: &Simulation{}, AllocationInterval: 50 * time.Millisecond,
		AgentReregisterBackoff: 5 * time.Millisecond,
	}
	for i := range agents {
		rs, err := ParseResources(fmt.Sprintf("cpus:4;mem:4096;disk:10000;ports:[%d-%d]", 31000+500*i, 31499+500*i), "*")
		if err != nil {
			t.Fatal(err)
		}
		as, err := ParseAttributes(fmt.Sprintf("rack:r%d", i+1))
		if err != nil {
			t.Fatal(err)
		}
		cfg.Agents = append(cfg.Agents, AgentConfig{Hostname: fmt.Sprintf("agent%d", i+1),
			IP: fmt.Sprintf("127.0.0.%d", i+2), Resources: rs, Attributes: as})
	}
	if change != nil {
		change(&cfg)
	}
	c, err := Start(cfg)
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

// testFramework speaks the scheduler API over real HTTP.
type testFramework struct {
	t      *testing.T
	c      *Cluster
	json   bool
	info   *mesos.FrameworkInfo
	id     string
	stream string
	header http.Header
	cancel context.CancelFunc
	events chan *scheduler.Event
	ended  chan error // nil for a clean end
	autoAk bool
}

func allCapabilities() []mesos.FrameworkInfo_Capability {
	return []mesos.FrameworkInfo_Capability{
		{Type: mesos.FrameworkInfo_Capability_MULTI_ROLE}, {Type: mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT},
		{Type: mesos.FrameworkInfo_Capability_PARTITION_AWARE}, {Type: mesos.FrameworkInfo_Capability_TASK_KILLING_STATE},
		{Type: mesos.FrameworkInfo_Capability_REGION_AWARE},
	}
}

func newFramework(t *testing.T, c *Cluster, roles ...string) *testFramework {
	timeout, checkpoint := 60.0, true
	return &testFramework{t: t, c: c, autoAk: true, info: &mesos.FrameworkInfo{
		User: "root", Name: "test", Roles: roles, FailoverTimeout: &timeout, Checkpoint: &checkpoint,
		Capabilities: allCapabilities(),
	}}
}

func (f *testFramework) encode(call *scheduler.Call) (string, []byte) {
	if f.json {
		return typeJSON, appendJSON(nil, call)
	}
	b, err := call.Marshal()
	if err != nil {
		f.t.Fatal(err)
	}
	return typeProtobuf, b
}

// subscribe opens the stream and reads SUBSCRIBED.
func (f *testFramework) subscribe() *testFramework {
	f.t.Helper()
	call := &scheduler.Call{Type: scheduler.Call_SUBSCRIBE, Subscribe: &scheduler.Call_Subscribe{FrameworkInfo: f.info}}
	if f.id != "" {
		f.info.ID = &mesos.FrameworkID{Value: f.id}
		call.FrameworkID = f.info.ID
	}
	f.open(call)
	ev := f.next(scheduler.Event_SUBSCRIBED)
	f.id = ev.Subscribed.FrameworkID.Value
	return f
}

// open sends a SUBSCRIBE and starts to read its stream.
func (f *testFramework) open(call *scheduler.Call) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	f.t.Cleanup(cancel)
	kind, body := f.encode(call)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+f.c.Addr()+"/api/v1/scheduler", bytes.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header = f.header.Clone()
	if req.Header == nil {
		req.Header = http.Header{}
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Accept", kind)
	resp, err := client.Do(again(req))
	if err != nil {
		f.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		f.t.Fatalf("SUBSCRIBE: %d %s", resp.StatusCode, text)
	}
	if got := resp.Header.Get("Content-Type"); got != kind {
		f.t.Fatalf("stream is %q, want %q", got, kind)
	}
	f.stream = resp.Header.Get(streamHeader)
	f.events, f.ended = make(chan *scheduler.Event, 100000), make(chan error, 1)
	go f.read(resp.Body, f.events, f.ended)
}

func (f *testFramework) read(body io.ReadCloser, events chan<- *scheduler.Event, ended chan<- error) {
	defer body.Close()
	r := bufio.NewReader(body)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			if err == io.EOF {
				err = nil
			}
			ended <- err
			close(events)
			return
		}
		size, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			ended <- err
			close(events)
			return
		}
		data := make([]byte, size)
		if _, err := io.ReadFull(r, data); err != nil {
			ended <- err
			close(events)
			return
		}
		ev := &scheduler.Event{}
		if f.json {
			_, err = parseJSON(data, ev, "Event")
		} else {
			err = ev.Unmarshal(data)
		}
		if err != nil {
			ended <- err
			close(events)
			return
		}
		events <- ev
	}
}

// next waits for an event of the given type; heartbeats between are skipped, any
// other event is an error.
func (f *testFramework) next(kind scheduler.Event_Type) *scheduler.Event {
	f.t.Helper()
	for {
		select {
		case ev, ok := <-f.events:
			if !ok {
				f.t.Fatalf("stream ended while waiting for %s", kind)
			}
			if ev.Type == kind {
				return ev
			}
			if ev.Type != scheduler.Event_HEARTBEAT {
				f.t.Fatalf("got %s %s, want %s", ev.Type, appendJSON(nil, ev), kind)
			}
		case <-time.After(patience):
			f.t.Fatalf("no %s in %s", kind, patience)
		}
	}
}

// seek waits for an event that fits and drops all others.
func (f *testFramework) seek(what string, fits func(*scheduler.Event) bool) *scheduler.Event {
	f.t.Helper()
	deadline := time.After(patience)
	var last *scheduler.Event
	for {
		select {
		case ev, ok := <-f.events:
			if !ok {
				f.t.Fatalf("stream ended while waiting for %s", what)
			}
			if ev.Type == scheduler.Event_UPDATE && f.autoAk && len(ev.Update.Status.UUID) > 0 {
				f.acknowledge(&ev.Update.Status)
			}
			if fits(ev) {
				return ev
			}
			last = ev
		case <-deadline:
			text := "nothing"
			if last != nil {
				text = string(appendJSON(nil, last))
			}
			f.t.Fatalf("no %s in %s; last came %s", what, patience, text)
		}
	}
}

func (f *testFramework) offers() []mesos.Offer {
	f.t.Helper()
	return f.seek("OFFERS", func(ev *scheduler.Event) bool { return ev.Type == scheduler.Event_OFFERS }).Offers.Offers
}

// update waits for a status of a task in the given state.
func (f *testFramework) update(task string, state mesos.TaskState) *mesos.TaskStatus {
	f.t.Helper()
	ev := f.seek(task+" "+state.String(), func(ev *scheduler.Event) bool {
		return ev.Type == scheduler.Event_UPDATE && ev.Update.Status.TaskID.Value == task && ev.Update.Status.GetState() == state
	})
	return &ev.Update.Status
}

func (f *testFramework) acknowledge(st *mesos.TaskStatus) {
	f.t.Helper()
	f.must(&scheduler.Call{Type: scheduler.Call_ACKNOWLEDGE, Acknowledge: &scheduler.Call_Acknowledge{
		AgentID: *st.AgentID, TaskID: st.TaskID, UUID: st.UUID}})
}

// call sends a call of the framework and returns status and body.
func (f *testFramework) call(call *scheduler.Call) (int, string) {
	f.t.Helper()
	call.FrameworkID = &mesos.FrameworkID{Value: f.id}
	kind, body := f.encode(call)
	header := f.header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header.Set("Content-Type", kind)
	header.Set("Accept", kind)
	header.Set(streamHeader, f.stream)
	return post(f.t, f.c, "/api/v1/scheduler", header, string(body))
}

func (f *testFramework) must(call *scheduler.Call) {
	f.t.Helper()
	if status, text := f.call(call); status != http.StatusAccepted {
		f.t.Fatalf("%s: %d %s", call.Type, status, text)
	}
}

func post(t *testing.T, c *Cluster, path string, header http.Header, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+c.Addr()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header.Clone()
	if req.Header == nil {
		req.Header = http.Header{}
	}
	resp, err := client.Do(again(req))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func scalar(name string, v float64) mesos.Resource {
	return mesos.Resource{Name: name, Type: mesos.SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: v}}
}

func testTask(id string, o *mesos.Offer, cpus float64) mesos.TaskInfo {
	value := "sleep 1000"
	return mesos.TaskInfo{Name: id, TaskID: mesos.TaskID{Value: id}, AgentID: o.AgentID,
		Resources: []mesos.Resource{scalar("cpus", cpus), scalar("mem", 32)}, Command: &mesos.CommandInfo{Value: &value}}
}

func noFilter() *mesos.Filters {
	zero := 0.0
	return &mesos.Filters{RefuseSeconds: &zero}
}

func (f *testFramework) accept(offers []mesos.Offer, ops ...mesos.Offer_Operation) {
	f.t.Helper()
	call := &scheduler.Call{Type: scheduler.Call_ACCEPT, Accept: &scheduler.Call_Accept{Operations: ops, Filters: noFilter()}}
	for i := range offers {
		call.Accept.OfferIDs = append(call.Accept.OfferIDs, offers[i].ID)
	}
	f.must(call)
}

func launchOp(tasks ...mesos.TaskInfo) mesos.Offer_Operation {
	return mesos.Offer_Operation{Type: mesos.Offer_Operation_LAUNCH, Launch: &mesos.Offer_Operation_Launch{TaskInfos: tasks}}
}

// runTask launches one task and waits until it runs.
func (f *testFramework) runTask(id string, o mesos.Offer) *mesos.TaskStatus {
	f.t.Helper()
	f.accept([]mesos.Offer{o}, launchOp(testTask(id, &o, 0.1)))
	return f.update(id, mesos.TASK_RUNNING)
}

func decodeJSON(t *testing.T, text string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

// seekFile polls what a process does, of which no event tells.
func (f *testFramework) seekFile(there func() bool) {
	f.t.Helper()
	for deadline := time.Now().Add(patience); !there(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Fatal("the file does not get its content")
		}
	}
}
