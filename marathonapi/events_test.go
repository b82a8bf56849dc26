package marathonapi

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"stadion/core"
)

// client is an open event stream.
type client struct {
	t   *testing.T
	res *http.Response
	in  *bufio.Reader
}

func (r *rig) listen(query string, header ...string) *client {
	return listen(r.T, r.web, query, header...)
}

func listen(t *testing.T, web *httptest.Server, query string, header ...string) *client {
	t.Helper()
	req, err := http.NewRequest("GET", web.URL+"/v2/events"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return &client{t, res, bufio.NewReader(res.Body)}
}

// frame reads the lines up to the next empty one; nil at the end of the stream.
func (c *client) frame() []string {
	var lines []string
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return lines
		}
		if !strings.HasSuffix(line, "\r\n") {
			c.t.Fatalf("line %q does not end in CRLF", line)
		}
		if line = strings.TrimSuffix(line, "\r\n"); line == "" {
			return lines
		}
		lines = append(lines, line)
	}
}

// until reads frames up to one of the kind and returns the kinds seen and the last id.
func (c *client) until(kind string) (kinds []string, id string) {
	c.t.Helper()
	for {
		f := c.frame()
		if f == nil {
			c.t.Fatalf("stream ended after %v", kinds)
		}
		if len(f) != 3 || !strings.HasPrefix(f[1], "event: ") || !strings.HasPrefix(f[2], "data: {") {
			c.t.Fatalf("frame %q", f)
		}
		id = strings.TrimPrefix(f[0], "id: ")
		kinds = append(kinds, strings.TrimPrefix(f[1], "event: "))
		if kinds[len(kinds)-1] == kind {
			return kinds, id
		}
	}
}

// TestEventStream: the course of a POST (http-api.md 11.5) in exact framing, with the filter.
func TestEventStream(t *testing.T) {
	r := newRig(t, Config{}, nil)
	all, some := r.listen(""), r.listen("?event_type=api_post_event&event_type=deployment_info")
	if h := all.res.Header.Get("Content-Type"); h != "text/event-stream;charset=utf-8" || all.res.Header.Get("Content-Encoding") != "" {
		t.Errorf("headers %v", all.res.Header)
	}
	r.must(201, "POST", "/v2/apps", `{"id":"/a","cmd":"sleep 1"}`)
	kinds, _ := all.until("deployment_info")
	if kinds[0] != "event_stream_attached" || !slices.Contains(kinds, "group_change_success") || !slices.Contains(kinds, "api_post_event") {
		t.Errorf("events %v", kinds)
	}
	if kinds, _ := some.until("deployment_info"); !slices.Equal(kinds, []string{"api_post_event", "deployment_info"}) {
		t.Errorf("filtered events %v", kinds)
	}
}

// TestEventsNeedExactAccept (http-api.md 11.1).
func TestEventsNeedExactAccept(t *testing.T) {
	s, _ := stillServer(filled(1, 0))
	for _, a := range []string{"", "*/*", "text/event-stream, */*", "text/event-stream;q=1", "application/json"} {
		if w := get(s, "GET", "/v2/events", "Accept", a); w.Code != 405 || w.Body.String() != `{"message":"Method Not Allowed"}` {
			t.Errorf("Accept %q: %d %s", a, w.Code, w.Body)
		}
	}
}

// TestEventsAcceptTwice: Go's event source library adds its headers once more when a standby sends it to the leader, where
// Go's own client has copied them already (http-api.md 11.1).
func TestEventsAcceptTwice(t *testing.T) {
	s, _ := stillServer(filled(1, 0))
	web := streamServer(t, s)
	for _, again := range []string{"text/event-stream", "*/*"} {
		if res := listen(t, web, "", "Accept", again).res; res.StatusCode != http.StatusOK {
			t.Errorf("a second line %q: %d", again, res.StatusCode)
		}
	}
}

// streamServer serves s and ends its streams before it waits for them.
func streamServer(t *testing.T, s *Server) *httptest.Server {
	web := httptest.NewServer(s.Handler())
	t.Cleanup(func() { s.Close(); web.Close() })
	return web
}

func notices(n int) []core.Notice {
	out := make([]core.Notice, n)
	for i := range out {
		out[i] = core.Notice{Type: "app_terminated_event", At: start, Body: core.AppTerminated{AppID: core.PathID(fmt.Sprintf("/a%d", i))}}
	}
	return out
}

// TestReplay (D-33): Last-Event-ID of this term brings what was missed; an ETag of a read does, too.
func TestReplay(t *testing.T) {
	s, _ := stillServer(filled(1, 0))
	web := streamServer(t, s)
	s.Publish(18, notices(2))
	s.Publish(19, notices(1))
	for _, c := range []struct {
		last string
		want []string // ids before the own attaching
	}{
		{"", nil},
		{"3-17", []string{"3-18.1", "3-18.2", "3-19.1"}},
		{"3-18", []string{"3-19.1"}},
		{"3-18.1", []string{"3-18.2", "3-19.1"}},
	} {
		l := listen(t, web, "?event_type=app_terminated_event", "Last-Event-ID", c.last)
		for _, id := range c.want {
			if f := l.frame(); len(f) != 3 || f[0] != "id: "+id {
				t.Errorf("after %q: %q, want id %s", c.last, f, id)
			}
		}
	}
	for _, last := range []string{"2-17", "nonsense", "3-"} {
		l := listen(t, web, "", "Last-Event-ID", last)
		if f := l.frame(); len(f) != 1 || !strings.HasPrefix(f[0], ": ") {
			t.Errorf("id %q: %q, want a comment", last, f)
		}
		if kinds, _ := l.until("event_stream_attached"); len(kinds) != 1 {
			t.Errorf("id %q: replayed %v", last, kinds)
		}
	}
}

// TestReplayBound: what the ring lost is not replayed in part.
func TestReplayBound(t *testing.T) {
	h := newHub(4, 10)
	if err := h.publish(1, 1, notices(6)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		id     string
		missed bool
	}{{"1-0", true}, {"1-1.1", true}, {"1-1.2", true}, {"1-1.4", false}, {"1-1.6", false}} {
		if _, missed, err := h.attach(1, c.id, nil, false, notices(1)[0]); err != nil || missed != c.missed {
			t.Errorf("%s: missed %v, want %v (%v)", c.id, missed, c.missed, err)
		}
		h.n--
		h.next--
		h.first = h.next - 4
	}
}

// TestIDsGrowOverTerms: an id is never lower than the one before it, and what an earlier term said is not replayed with
// ids of the present one (R10).
func TestIDsGrowOverTerms(t *testing.T) {
	h := newHub(64, 10)
	all := func(string) bool { return true }
	publish := func(term int64, seq uint64) {
		if err := h.publish(term, seq, notices(1)); err != nil {
			t.Fatal(err)
		}
	}
	seen := func(st *stream) (ids []string) {
		out, _, why := h.take(st, all, nil, 0, 10)
		if why != "" {
			t.Fatal(why)
		}
		for line := range strings.Lines(string(out)) {
			if id, ok := strings.CutPrefix(strings.TrimSpace(line), "id: "); ok {
				ids = append(ids, id)
			}
		}
		return ids
	}
	attach := func(term int64, last string) *stream {
		st, missed, err := h.attach(term, last, nil, true, notices(1)[0])
		if err != nil || missed {
			t.Fatal(missed, err)
		}
		return st
	}
	st := attach(1, "")
	publish(1, 50)
	publish(1, 49)
	if got := seen(st); !slices.Equal(got, []string{"1-0.1", "1-50.1", "1-50.2"}) {
		t.Errorf("ids of one term %v", got)
	}
	publish(2, 2)
	if got := seen(attach(2, "2-1")); !slices.Equal(got, []string{"2-2.1", "2-2.2"}) {
		t.Errorf("replayed in the next term: %v", got)
	}
}

// TestSlowReader (D-33, F27): more than the backlog published during one write cuts the stream; events that are not
// wanted do not count; a batch of any size published between writes does not either.
func TestSlowReader(t *testing.T) {
	h := newHub(64, 10)
	all := func(string) bool { return true }
	none := func(string) bool { return false }
	st, _, err := h.attach(1, "", nil, false, notices(1)[0])
	if err != nil {
		t.Fatal(err)
	}
	publish := func(seq uint64, n int) {
		if err := h.publish(1, seq, notices(n)); err != nil {
			t.Fatal(err)
		}
	}
	publish(1, 30)
	if buf, _, why := h.take(st, all, nil, 0, 10); why != "" || strings.Count(string(buf), "\r\n\r\n") != 31 {
		t.Fatalf("between writes: %q %q", why, buf)
	}
	mark := h.end()
	publish(2, 11)
	if _, _, why := h.take(st, none, nil, mark, 10); why != "" {
		t.Errorf("unwanted events: %q", why)
	}
	mark = h.end()
	publish(3, 11)
	if _, _, why := h.take(st, all, nil, mark, 10); why == "" {
		t.Error("a slow reader was not cut")
	}
	publish(4, 65)
	if _, _, why := h.take(st, all, nil, 0, 1000); why == "" {
		t.Error("a reader that fell out of the ring was not cut")
	}
}

// TestFarewell: a stream that the server ends says why in a last comment (D-33), and frees its place.
func TestFarewell(t *testing.T) {
	s, _ := stillServer(filled(1, 0))
	web := streamServer(t, s)
	l := listen(t, web, "")
	l.until("event_stream_attached")
	s.EndTerm()
	if f := l.frame(); len(f) != 1 || f[0] != ": leadership ended" {
		t.Errorf("last frame %q", f)
	}
	if f := l.frame(); f != nil {
		t.Errorf("after the farewell: %q", f)
	}
	again := listen(t, web, "?event_type=event_stream_detached")
	other := listen(t, web, "")
	other.until("event_stream_attached")
	other.res.Body.Close()
	again.until("event_stream_detached")
	s.Close()
	if f := again.frame(); len(f) != 1 || !strings.HasPrefix(f[0], ": server") {
		t.Errorf("last frame %q", f)
	}
	if w := get(s, "GET", "/v2/events", "Accept", "text/event-stream"); w.Code != 503 {
		t.Errorf("closed server: %d", w.Code)
	}
}

// TestStreamBound: streams beyond the limit are refused, others go on.
func TestStreamBound(t *testing.T) {
	l := &still{snap: filled(1, 0).Snapshot(1, 1, start)}
	s := New(Config{MaxStreams: 2}, Deps{Loop: l, Leadership: alwaysLeader{}})
	web := streamServer(t, s)
	a := listen(t, web, "?event_type=app_terminated_event")
	b := listen(t, web, "")
	b.until("event_stream_attached")
	if c := listen(t, web, ""); c.res.StatusCode != 503 {
		t.Errorf("third stream: %d", c.res.StatusCode)
	}
	s.Publish(2, notices(1))
	a.until("app_terminated_event")
}

// TestEventStreamGauge: http.event-streams.active is the number of streams there are now, not of those before the latest
// change (D-66). A stream that is refused never counts, one that has gone counts no more once others hear of it.
func TestEventStreamGauge(t *testing.T) {
	l := &still{snap: filled(1, 0).Snapshot(1, 1, start)}
	s := New(Config{MaxStreams: 2}, Deps{Loop: l, Leadership: alwaysLeader{}})
	web := streamServer(t, s)
	counts := func(want float64, when string) {
		t.Helper()
		w := get(s, "GET", "/metrics")
		var m struct {
			Gauges map[string]struct{ Value float64 } `json:"gauges"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		if g, ok := m.Gauges["marathon.http.event-streams.active.gauge"]; !ok || g.Value != want {
			t.Errorf("%s: gauge %+v (there: %v), want %v", when, g, ok, want)
		}
	}
	counts(0, "before any stream")
	a := listen(t, web, "")
	counts(1, "when the first has its headers")
	a.until("event_stream_attached")
	b := listen(t, web, "")
	counts(2, "when the second has its headers")
	if c := listen(t, web, ""); c.res.StatusCode != http.StatusServiceUnavailable {
		t.Fatalf("third stream: %d", c.res.StatusCode)
	}
	counts(2, "after one was refused")
	b.res.Body.Close()
	a.until("event_stream_detached")
	counts(1, "when the end of the second is told")
	listen(t, web, "")
	counts(2, "when the place is taken again")
}

// TestStreamsAreNoRequestsAtWork: an open stream takes nothing of --http_max_concurrent_requests (http-api.md 1.2).
func TestStreamsAreNoRequestsAtWork(t *testing.T) {
	r := newRig(t, Config{MaxConcurrent: 1}, nil)
	r.listen("").until("event_stream_attached")
	r.must(200, "GET", "/ping", "")
}

// TestPlainNumbersInEvents: SSE payloads have no forced fractions (http-api.md 1.12).
func TestPlainNumbersInEvents(t *testing.T) {
	r := newRig(t, Config{}, nil)
	l := r.listen("?event_type=api_post_event")
	r.must(201, "POST", "/v2/apps", `{"id":"/a","cmd":"sleep 1","mem":64}`)
	f := l.frame()
	if len(f) != 3 || !strings.Contains(f[2], `"mem":64,`) || !strings.Contains(f[2], `"uri":"/v2/apps"`) {
		t.Errorf("frame %q", f)
	}
}

// TestWhoAndWhereInEvents: events name clients by their address without the port, and what they called without the
// query; markup stays as it was written.
func TestWhoAndWhereInEvents(t *testing.T) {
	r := newRig(t, Config{}, nil)
	l := r.listen("?event_type=api_post_event&event_type=event_stream_attached")
	if f := l.frame(); len(f) != 3 || !strings.Contains(f[2], `{"remoteAddress":"127.0.0.1","eventType"`) {
		t.Errorf("frame %q", f)
	}
	r.must(201, "PUT", "/v2/apps//a?force=true", `{"cmd":"a < b && c"}`)
	f := l.frame()
	if len(f) != 3 || !strings.Contains(f[2], `{"clientIp":"127.0.0.1","uri":"/v2/apps//a","appDefinition":{"id":"/a",`) || !strings.Contains(f[2], `"cmd":"a < b && c"`) {
		t.Errorf("frame %q", f)
	}
}

// BenchmarkPublish is the share of P19 that the loop pays: encoding once, waking 1,000 streams.
func BenchmarkPublish(b *testing.B) {
	h := newHub(EventRing, 2000)
	for range 1000 {
		if _, _, err := h.attach(1, "", nil, false, notices(1)[0]); err != nil {
			b.Fatal(err)
		}
	}
	batch := notices(10)
	seq := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		seq++
		if err := h.publish(1, seq, batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(time.Second)/float64(b.Elapsed())*float64(b.N*len(batch)), "events/s")
}
