package mesos

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	scheduler "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	"stadion/core"
	"stadion/offers"
)

// patience bounds every wait of a test for something that must come.
const patience = 20 * time.Second

// fakeMaster answers as the recordings do. Tests script what a SUBSCRIBE gets and see every call.
type fakeMaster struct {
	*httptest.Server
	t     *testing.T
	calls chan received // every call but SUBSCRIBE
	subs  chan *fakeStream

	mu     sync.Mutex
	refuse func(*scheduler.Call, *http.Request) (status int, text string) // nil: all is taken
	before func(w http.ResponseWriter, r *http.Request) bool              // true: it has answered
	stream *fakeStream
	next   int
}

type received struct {
	call     scheduler.Call
	raw      []byte
	streamID string
	header   http.Header
}

// fakeStream is the stream of one SUBSCRIBE.
type fakeStream struct {
	id   string
	call scheduler.Call
	head http.Header
	out  chan []byte
	gone chan struct{} // the client has left, or the stream was ended
	end  chan struct{}
	once sync.Once
}

func newFakeMaster(t *testing.T) *fakeMaster {
	m := &fakeMaster{t: t, calls: make(chan received, 10000), subs: make(chan *fakeStream, 100)}
	m.Server = httptest.NewServer(m)
	t.Cleanup(func() {
		m.CloseClientConnections()
		m.Close()
	})
	return m
}

func (m *fakeMaster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	before, refuse := m.before, m.refuse
	m.mu.Unlock()
	if before != nil && before(w, r) {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var call scheduler.Call
	if err := call.Unmarshal(body); err != nil {
		http.Error(w, "Failed to parse body into Call protobuf", http.StatusBadRequest)
		return
	}
	if r.Header.Get("Content-Type") != protobuf {
		http.Error(w, "Expecting 'Content-Type' of application/json or application/x-protobuf", http.StatusUnsupportedMediaType)
		return
	}
	if refuse != nil {
		if status, text := refuse(&call, r); status != 0 {
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text)
			return
		}
	}
	if call.Type == scheduler.Call_SUBSCRIBE {
		m.subscribe(w, r, call)
		return
	}
	m.mu.Lock()
	current := m.stream
	m.mu.Unlock()
	if current == nil || r.Header.Get(streamIDHeader) != current.id {
		http.Error(w, fmt.Sprintf("The stream ID '%s' included in this request didn't match the stream ID currently associated with framework ID x",
			r.Header.Get(streamIDHeader)), http.StatusBadRequest)
		return
	}
	m.calls <- received{call: call, raw: body, streamID: current.id, header: r.Header}
	w.WriteHeader(http.StatusAccepted)
}

func (m *fakeMaster) subscribe(w http.ResponseWriter, r *http.Request, call scheduler.Call) {
	m.mu.Lock()
	m.next++
	s := &fakeStream{
		id: fmt.Sprintf("stream-%d", m.next), call: call, head: r.Header,
		out: make(chan []byte), gone: make(chan struct{}), end: make(chan struct{}),
	}
	m.stream = s
	m.mu.Unlock()
	defer close(s.gone)
	w.Header().Set(streamIDHeader, s.id)
	w.Header().Set("Content-Type", protobuf)
	w.WriteHeader(http.StatusOK)
	flusher := w.(http.Flusher)
	flusher.Flush()
	m.subs <- s
	for {
		select {
		case b := <-s.out:
			if _, err := w.Write(b); err != nil {
				return
			}
			flusher.Flush()
		case <-s.end:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// finish ends the stream cleanly.
func (s *fakeStream) finish() { s.once.Do(func() { close(s.end) }) }

// write sends raw bytes; it reports whether the stream still stood.
func (s *fakeStream) write(b []byte) bool {
	select {
	case s.out <- b:
		return true
	case <-s.gone:
		return false
	}
}

func (s *fakeStream) send(events ...*scheduler.Event) {
	for _, e := range events {
		s.write(frame(e))
	}
}

func frame(e *scheduler.Event) []byte {
	b, err := e.Marshal()
	if err != nil {
		panic(err)
	}
	return append(fmt.Appendf(nil, "%d\n", len(b)), b...)
}

// json reads an event in the form of the recordings.
func jsonEvent(t testing.TB, text string) *scheduler.Event {
	t.Helper()
	text = strings.ReplaceAll(text, `, {"type": "QUOTA_V2"}`, "") // newer than mesos-go, whose JSON reader is strict
	var e scheduler.Event
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		t.Fatalf("event %s: %v", text, err)
	}
	return &e
}

// recorded are the recorded events of testdata, of a type.
func recorded(t testing.TB, kind string) (list []*scheduler.Event) {
	t.Helper()
	b, err := os.ReadFile("testdata/events.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		var line struct{ Event json.RawMessage }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(string(line.Event), `{"type": "`+kind+`"`) {
			list = append(list, jsonEvent(t, string(line.Event)))
		}
	}
	if len(list) == 0 {
		t.Fatalf("no recorded %s", kind)
	}
	return list
}

func subscribedEvent(t testing.TB, framework string, heartbeat float64) *scheduler.Event {
	t.Helper()
	return jsonEvent(t, fmt.Sprintf(`{"type":"SUBSCRIBED","subscribed":{"framework_id":{"value":%q},"heartbeat_interval_seconds":%g,
		"master_info":{"id":"m1","ip":16777343,"port":5050,"version":"1.12.0","domain":{"fault_domain":{"region":{"name":"r1"},"zone":{"name":"z1"}}}}}}`, framework, heartbeat))
}

func offerEvent(t testing.TB, ids ...string) *scheduler.Event {
	t.Helper()
	var list []string
	for _, id := range ids {
		list = append(list, fmt.Sprintf(`{"id":{"value":%q},"framework_id":{"value":"f1"},"agent_id":{"value":"S0"},"hostname":"agent1"}`, id))
	}
	return jsonEvent(t, `{"type":"OFFERS","offers":{"offers":[`+strings.Join(list, ",")+`]}}`)
}

func errorEvent(t testing.TB, message string) *scheduler.Event {
	t.Helper()
	return jsonEvent(t, fmt.Sprintf(`{"type":"ERROR","error":{"message":%q}}`, message))
}

// harness is a driver whose events a test reads one by one.
type harness struct {
	*Driver
	t      *testing.T
	events chan offers.Event
}

func testConfig(master string) Config {
	return Config{
		Master:     master,
		Framework:  FrameworkInfo{Name: "stadion", User: "root", Capabilities: []string{"PARTITION_AWARE", "MULTI_ROLE", "REGION_AWARE"}, FailoverTimeout: 60},
		BackoffMin: 2 * time.Millisecond, BackoffMax: 10 * time.Millisecond, StopTimeout: 2 * patience,
	}
}

func start(t *testing.T, cfg Config, id string, roles ...string) *harness {
	t.Helper()
	h := &harness{t: t, events: make(chan offers.Event, 100000)}
	h.Driver = New(cfg, func(e offers.Event) { h.events <- e })
	if len(roles) == 0 {
		roles = []string{"*"}
	}
	h.Start(id, roles, nil)
	t.Cleanup(h.Close)
	return h
}

// want waits for the next event, which must be of the type T.
func want[T offers.Event](h *harness) T {
	h.t.Helper()
	select {
	case e := <-h.events:
		v, ok := e.(T)
		if !ok {
			h.t.Fatalf("got %T %+v, want %T", e, e, v)
		}
		return v
	case <-time.After(patience):
		var v T
		h.t.Fatalf("no %T came", v)
		return v
	}
}

func (m *fakeMaster) nextStream() *fakeStream {
	m.t.Helper()
	select {
	case s := <-m.subs:
		return s
	case <-time.After(patience):
		m.t.Fatal("no SUBSCRIBE came")
		return nil
	}
}

func (m *fakeMaster) nextCall(kind scheduler.Call_Type) received {
	m.t.Helper()
	select {
	case c := <-m.calls:
		if c.call.Type != kind {
			m.t.Fatalf("got call %s, want %s", c.call.Type, kind)
		}
		return c
	case <-time.After(patience):
		m.t.Fatalf("no call %s came", kind)
		return received{}
	}
}

// connected starts a driver and brings it to Subscribed.
func connected(t *testing.T) (*fakeMaster, *fakeStream, *harness) {
	t.Helper()
	m := newFakeMaster(t)
	h := start(t, testConfig(m.URL), "")
	s := m.nextStream()
	s.send(subscribedEvent(t, "f1", 15))
	if e := want[offers.Subscribed](h); e.FrameworkID != "f1" || e.HomeRegion != "r1" || e.MasterURL != m.URL || e.MasterID != "m1" {
		t.Fatalf("Subscribed is %+v", e)
	}
	return m, s, h
}

// noGoroutinesLeft waits until nothing of this package runs but the tests themselves.
func noGoroutinesLeft(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		buf := make([]byte, 1<<20)
		stacks := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
		var left []string
		for _, s := range stacks[1:] {
			if strings.Contains(s, "mesos.(*session)") || strings.Contains(s, "mesos.(*Driver)") || strings.Contains(s, "mesos.(*zkDetector)") ||
				strings.Contains(s, "persistConn") || strings.Contains(s, "zk.(*Conn)") {
				left = append(left, s)
			}
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("goroutines left:\n%s", strings.Join(left, "\n\n"))
		}
	}
}

func launchCall(offer, task string) offers.Accept {
	value := "sleep 1"
	return offers.Accept{OfferIDs: []string{offer}, AgentID: "S0", Operations: []offers.Operation{{Launch: &offers.TaskInfo{
		Name: "x", TaskID: task, AgentID: "S0", Command: &offers.CommandInfo{Shell: true, Value: &value},
		Resources: []offers.Resource{{Name: "cpus", Value: 0.1, AllocationRole: "*"}},
	}}}}
}

func ack(task string) offers.Acknowledge {
	return offers.Acknowledge{TaskID: core.TaskID(task), AgentID: "S0", UUID: []byte("0123456789abcdef")}
}
