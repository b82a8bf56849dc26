package mesosproto

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/user"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what should come at once.
const patience = time.Minute

const (
	schedulerPath = "/api/v1/scheduler"
	streamHeader  = "Mesos-Stream-Id"
	typeJSON      = "application/json"
	typeProtobuf  = "application/x-protobuf"
)

// obj is a JSON object under construction.
type obj = map[string]any

type list = []any

type value struct {
	Value string `json:"value"`
}

// resource is one entry of an offer, as the v1 API writes it.
type resource struct {
	Name   string                             `json:"name"`
	Type   string                             `json:"type"`
	Scalar *struct{ Value float64 }           `json:"scalar"`
	Ranges *struct{ Range []portRange }       `json:"ranges"`
	Role   *string                            `json:"role"`
	Alloc  *struct{ Role string }             `json:"allocation_info"`
	Reserv []reservation                      `json:"reservations"`
	Disk   *struct{ Persistence, Volume obj } `json:"disk"`
}

type portRange struct{ Begin, End uint64 }

type reservation struct {
	Type, Role, Principal string
	Labels                obj
}

type offer struct {
	ID, FrameworkID, AgentID string
	Hostname, Role           string
	Resources                []resource
	Unavailability           obj
	Raw                      obj
}

// UnmarshalJSON keeps the raw object beside the parts most tests look at.
func (o *offer) UnmarshalJSON(b []byte) error {
	var w struct {
		ID          value                 `json:"id"`
		FrameworkID value                 `json:"framework_id"`
		AgentID     value                 `json:"agent_id"`
		Hostname    string                `json:"hostname"`
		Alloc       struct{ Role string } `json:"allocation_info"`
		Resources   []resource            `json:"resources"`
		Unavail     obj                   `json:"unavailability"`
	}
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	*o = offer{ID: w.ID.Value, FrameworkID: w.FrameworkID.Value, AgentID: w.AgentID.Value, Hostname: w.Hostname, Role: w.Alloc.Role,
		Resources: w.Resources, Unavailability: w.Unavail}
	return json.Unmarshal(b, &o.Raw)
}

// scalar is the sum of a scalar resource in the offer.
func (o offer) scalar(name string) float64 {
	sum := 0.0
	for _, r := range o.Resources {
		if r.Name == name && r.Scalar != nil {
			sum += r.Scalar.Value
		}
	}
	return sum
}

// port is the first port of the offer.
func (o offer) port(t *testing.T) uint64 {
	t.Helper()
	for _, r := range o.Resources {
		if r.Name == "ports" && r.Ranges != nil && len(r.Ranges.Range) > 0 {
			return r.Ranges.Range[0].Begin
		}
	}
	t.Fatal("the offer has no ports")
	return 0
}

type status struct {
	Task        value   `json:"task_id"`
	State       string  `json:"state"`
	Source      string  `json:"source"`
	Reason      string  `json:"reason"`
	Message     string  `json:"message"`
	UUID        string  `json:"uuid"`
	Agent       value   `json:"agent_id"`
	Executor    value   `json:"executor_id"`
	Timestamp   float64 `json:"timestamp"`
	Healthy     *bool   `json:"healthy"`
	Check       obj     `json:"check_status"`
	Container   obj     `json:"container_status"`
	Unreachable obj     `json:"unreachable_time"`
	Limitation  obj     `json:"limitation"`
	Labels      obj     `json:"labels"`
	Data        string  `json:"data"`
}

// event is one record of a stream with the time it was read.
type event struct {
	Type       string
	Subscribed struct {
		FrameworkID value   `json:"framework_id"`
		Heartbeat   float64 `json:"heartbeat_interval_seconds"`
		MasterInfo  obj     `json:"master_info"`
	}
	Offers  struct{ Offers []offer }
	Update  struct{ Status status }
	Rescind struct {
		OfferID value `json:"offer_id"`
	}
	Inverse struct {
		Offers []struct {
			ID             value `json:"id"`
			Agent          value `json:"agent_id"`
			Unavailability obj
		} `json:"inverse_offers"`
	} `json:"inverse_offers"`
	RescindInverse struct {
		ID value `json:"inverse_offer_id"`
	} `json:"rescind_inverse_offer"`
	Failure struct {
		Agent    value `json:"agent_id"`
		Executor value `json:"executor_id"`
		Status   *int
	}
	Operation struct{ Status operationStatus } `json:"update_operation_status"`
	Error     struct{ Message string }

	at   time.Time
	used bool
	raw  string
}

type operationStatus struct {
	Operation value `json:"operation_id"`
	State     string
	Message   string
	Agent     value `json:"agent_id"`
	UUID      value `json:"uuid"`
}

// reply is the whole answer to one request.
type reply struct {
	status int
	header http.Header
	body   string
}

// request sends anything anywhere and reads the whole answer.
func (m *master) request(method, path string, header map[string]string, body string) reply {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, m.url+path, strings.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := noRedirects.Do(req)
	if err != nil {
		m.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		m.t.Fatalf("%s %s: %v", method, path, err)
	}
	return reply{resp.StatusCode, resp.Header, string(text)}
}

var noRedirects = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only values of this package's own making
	}
	return string(b)
}

// call posts a scheduler call as JSON.
func (m *master) call(call obj, stream string) reply {
	m.t.Helper()
	return m.callAs("", call, stream)
}

// callAs is call with credentials.
func (m *master) callAs(auth string, call obj, stream string) reply {
	m.t.Helper()
	h := map[string]string{"Content-Type": typeJSON, "Accept": typeJSON}
	if stream != "" {
		h[streamHeader] = stream
	}
	if auth != "" {
		h["Authorization"] = auth
	}
	return m.request(http.MethodPost, schedulerPath, h, encode(call))
}

// operator posts a call of the operator API.
func (m *master) operator(call obj) reply {
	m.t.Helper()
	return m.request(http.MethodPost, "/api/v1", map[string]string{"Content-Type": typeJSON, "Accept": typeJSON}, encode(call))
}

// get reads a JSON object.
func (m *master) get(path string) obj {
	m.t.Helper()
	r := m.request(http.MethodGet, path, nil, "")
	if r.status != http.StatusOK {
		m.t.Fatalf("GET %s: %d %s", path, r.status, r.body)
	}
	var v obj
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		m.t.Fatalf("GET %s: %v", path, err)
	}
	return v
}

var allCapabilities = []string{"MULTI_ROLE", "RESERVATION_REFINEMENT", "PARTITION_AWARE", "TASK_KILLING_STATE", "REGION_AWARE"}

func capabilities(names ...string) list {
	out := list{}
	for _, n := range names {
		out = append(out, obj{"type": n})
	}
	return out
}

func taskUser() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "root"
}

// frameworkInfo is the FrameworkInfo of the recordings, changed as asked; a nil
// value takes a field out.
func frameworkInfo(changes obj) obj {
	info := obj{"user": taskUser(), "name": "compat", "roles": list{"web"}, "failover_timeout": 60.0, "checkpoint": true,
		"capabilities": capabilities(allCapabilities...)}
	for k, v := range changes {
		if info[k] = v; v == nil {
			delete(info, k)
		}
	}
	return info
}

// framework is one scheduler with its stream. Everything that came is kept, and
// each event is given out once.
type framework struct {
	m       *master
	info    obj
	extra   obj    // beside framework_info in SUBSCRIBE
	auth    string // Authorization of all its requests
	id      string
	header  http.Header // of the answer to SUBSCRIBE
	autoAck bool

	mu      sync.Mutex
	stream  string
	log     []*event
	known   map[string]bool // updates by uuid
	ended   bool
	endErr  error // nil for a clean end of the body
	changed chan struct{}
	cancel  context.CancelFunc
}

func (m *master) framework(changes obj) *framework {
	return &framework{m: m, info: frameworkInfo(changes), autoAck: true, known: map[string]bool{}}
}

// oldFramework has none of the capabilities.
func (m *master) oldFramework() *framework {
	return m.framework(obj{"capabilities": list{}, "roles": nil, "role": "web"})
}

// subscribe opens a stream and waits for SUBSCRIBED. The framework is torn down
// when the test ends.
func (f *framework) subscribe() *framework {
	f.m.t.Helper()
	first := f.id == ""
	f.open(typeJSON)
	ev := f.await("SUBSCRIBED", patience, func(e *event) bool { return e.Type == "SUBSCRIBED" })
	f.id = ev.Subscribed.FrameworkID.Value
	if first {
		f.m.t.Cleanup(func() {
			if f.m.proc != nil || realURL != "" {
				f.m.callAs(f.auth, obj{"type": "TEARDOWN", "framework_id": obj{"value": f.id}}, f.streamID())
			}
			f.close()
		})
	}
	return f
}

func (f *framework) streamID() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stream
}

// open sends SUBSCRIBE and starts to read; it fails the test unless the answer is 200.
func (f *framework) open(accept string) {
	f.m.t.Helper()
	sub := obj{"framework_info": f.info}
	for k, v := range f.extra {
		sub[k] = v
	}
	call := obj{"type": "SUBSCRIBE", "subscribe": sub}
	if f.id != "" {
		f.info["id"] = obj{"value": f.id}
		call["framework_id"] = f.info["id"]
	}
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.m.url+schedulerPath, strings.NewReader(encode(call)))
	if err != nil {
		f.m.t.Fatal(err)
	}
	req.Header.Set("Content-Type", typeJSON)
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	if f.auth != "" {
		req.Header.Set("Authorization", f.auth)
	}
	transport := &http.Transport{} // closing it closes the connection for certain
	resp, err := transport.RoundTrip(req)
	if err != nil {
		cancel()
		f.m.t.Fatalf("SUBSCRIBE: %v", err)
	}
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body) // only for the message
		cancel()
		f.m.t.Fatalf("SUBSCRIBE: %d %s", resp.StatusCode, text)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.header, f.stream, f.cancel = resp.Header, resp.Header.Get(streamHeader), cancel
	f.log, f.ended, f.endErr, f.changed = nil, false, nil, make(chan struct{})
	go f.read(resp.Body, transport, f.stream)
}

// close ends the connection as a framework does that goes away.
func (f *framework) close() {
	if f.cancel != nil {
		f.cancel()
	}
}

// readRecord reads one RecordIO record: its length in decimal, LF, that many bytes.
func readRecord(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		if line != "" && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	size, err := strconv.Atoi(strings.TrimSuffix(line, "\n"))
	if err != nil {
		return nil, fmt.Errorf("length of a record: %w", err)
	}
	data := make([]byte, size)
	_, err = io.ReadFull(r, data)
	return data, err
}

func (f *framework) read(body io.ReadCloser, transport *http.Transport, stream string) {
	defer transport.CloseIdleConnections()
	defer body.Close()
	for r := bufio.NewReader(body); ; {
		data, err := readRecord(r)
		ev := &event{at: time.Now(), raw: string(data)}
		if err == nil {
			err = json.Unmarshal(data, ev)
		}
		if err != nil && errors.Is(err, io.EOF) {
			f.note(stream, nil, nil)
			return
		}
		if err != nil {
			f.note(stream, nil, err)
			return
		}
		if st := ev.Update.Status; f.autoAck && ev.Type == "UPDATE" && st.UUID != "" {
			f.acknowledge(stream, st)
		}
		if st := ev.Operation.Status; f.autoAck && ev.Type == "UPDATE_OPERATION_STATUS" && st.UUID.Value != "" {
			f.post(stream, obj{"type": "ACKNOWLEDGE_OPERATION_STATUS", "framework_id": obj{"value": f.frameworkID()}, "acknowledge_operation_status": obj{
				"agent_id": st.Agent, "operation_id": st.Operation, "uuid": st.UUID.Value}})
		}
		f.note(stream, ev, nil)
	}
}

func (f *framework) frameworkID() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.log {
		if e.Type == "SUBSCRIBED" {
			return e.Subscribed.FrameworkID.Value
		}
	}
	return f.id
}

// note adds an event to the log, or the end of the stream. A stream that was
// replaced by a newer one has no say.
func (f *framework) note(stream string, ev *event, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if stream != f.stream {
		return
	}
	if ev != nil {
		// What was acknowledged too late comes once more; a framework that acknowledges by itself takes no notice.
		if id := ev.Update.Status.UUID; f.autoAck && ev.Type == "UPDATE" && id != "" {
			ev.used = f.known[id]
			f.known[id] = true
		}
		f.log = append(f.log, ev)
	} else {
		f.ended, f.endErr = true, err
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

// post sends a call from the reader, where a test cannot be failed: a lost
// acknowledgement shows by what then does not come.
func (f *framework) post(stream string, call obj) {
	req, err := http.NewRequest(http.MethodPost, f.m.url+schedulerPath, bytes.NewReader([]byte(encode(call))))
	if err != nil {
		return
	}
	req.Header = http.Header{"Content-Type": {typeJSON}, "Accept": {typeJSON}, streamHeader: {stream}}
	if f.auth != "" {
		req.Header.Set("Authorization", f.auth)
	}
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
	}
}

func (f *framework) acknowledge(stream string, st status) {
	f.post(stream, obj{"type": "ACKNOWLEDGE", "framework_id": obj{"value": f.frameworkID()},
		"acknowledge": obj{"agent_id": st.Agent, "task_id": st.Task, "uuid": st.UUID}})
}

// find gives the first event not yet used that fits.
func (f *framework) find(fits func(*event) bool) (ev *event, ended bool, changed chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.log {
		if !e.used && fits(e) {
			e.used = true
			return e, false, nil
		}
	}
	return nil, f.ended, f.changed
}

// seek waits for an event that fits; nil when none came in time.
func (f *framework) seek(within time.Duration, fits func(*event) bool) *event {
	deadline := time.After(within)
	for {
		ev, ended, changed := f.find(fits)
		if ev != nil || ended {
			return ev
		}
		select {
		case <-changed:
		case <-deadline:
			return nil
		}
	}
}

// await is seek for what must come.
func (f *framework) await(what string, within time.Duration, fits func(*event) bool) *event {
	f.m.t.Helper()
	return f.awaitIn(f.m.t, what, within, fits)
}

// awaitIn fails the subtest t instead of the test that has the master.
func (f *framework) awaitIn(t *testing.T, what string, within time.Duration, fits func(*event) bool) *event {
	t.Helper()
	ev := f.seek(within, fits)
	if ev == nil {
		t.Fatalf("no %s in %s; unused: %s", what, within, f.unused())
	}
	return ev
}

// never fails when an event that fits comes within a time.
func (f *framework) never(t *testing.T, what string, within time.Duration, fits func(*event) bool) {
	t.Helper()
	if ev := f.seek(within, fits); ev != nil {
		t.Fatalf("%s came: %s", what, ev.raw)
	}
}

// unused lists what came and was not asked for, for messages.
func (f *framework) unused() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	for _, e := range f.log {
		if !e.used && e.Type != "HEARTBEAT" {
			text := e.raw
			if len(text) > 400 {
				text = text[:400] + "..."
			}
			b.WriteString("\n  " + text)
		}
	}
	if f.ended {
		fmt.Fprintf(&b, "\n  end of the stream: %v", f.endErr)
	}
	return b.String()
}

// awaitEnd waits for the end of the stream; nil is a clean one.
func (f *framework) awaitEnd(t *testing.T, within time.Duration) error {
	t.Helper()
	deadline := time.After(within)
	for {
		f.mu.Lock()
		ended, err, changed := f.ended, f.endErr, f.changed
		f.mu.Unlock()
		if ended {
			return err
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("the stream did not end in %s", within)
		}
	}
}

// send makes a call of the framework.
func (f *framework) send(kind string, body obj) reply {
	f.m.t.Helper()
	call := obj{"type": kind, "framework_id": obj{"value": f.id}}
	if body != nil {
		call[strings.ToLower(kind)] = body
	}
	return f.m.callAs(f.auth, call, f.streamID())
}

// must is send for calls that the master takes.
func (f *framework) must(t *testing.T, kind string, body obj) {
	t.Helper()
	if r := f.send(kind, body); r.status != http.StatusAccepted || r.body != "" {
		t.Fatalf("%s: %d %q, want 202 without body", kind, r.status, r.body)
	}
}
