package marathonapi

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"stadion/core/loop"
	"stadion/core/machine"
	"stadion/core/state"
)

// TestCompressedBodies (F25): a compressed body is refused before a byte of it is read, whatever it unfolds to.
func TestCompressedBodies(t *testing.T) {
	r := newRig(t, Config{}, nil)
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	if _, err := z.Write(make([]byte, 64<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, coding := range []string{"gzip", "deflate", "br", "gzip, gzip"} {
		r.must(415, "POST", "/v2/apps", bomb.String(), "Content-Encoding", coding)
	}
	r.must(400, "POST", "/v2/apps", bomb.String())
	r.must(201, "POST", "/v2/apps", `{"id":"/a","cmd":"sleep 1"}`, "Content-Encoding", "identity")
}

// countingBody notes how much of it was read.
type countingBody struct{ left, read int }

func (b *countingBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), b.left)
	b.left -= n
	b.read += n
	return n, nil
}

// TestBodyLimit (F25): of a body without a length, not more than the limit is taken; with one, nothing.
func TestBodyLimit(t *testing.T) {
	s, _ := stillServer(filled(1, 0))
	for _, c := range []struct {
		length int64
		most   int
	}{{-1, 33 << 20}, {100 << 20, 0}} {
		body := &countingBody{left: 100 << 20}
		req := httptest.NewRequest("POST", "/v2/apps", body)
		req.ContentLength = c.length
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, req)
		if w.Code != 413 || body.read > c.most {
			t.Errorf("length %d: %d after %d bytes", c.length, w.Code, body.read)
		}
	}
}

// TestManyHeaders (F25): a heap of headers is a 431 and never reaches a handler.
func TestManyHeaders(t *testing.T) {
	r := newRig(t, Config{}, nil)
	c, err := net.Dial("tcp", r.web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		w := bufio.NewWriter(c)
		fmt.Fprint(w, "GET /v2/apps HTTP/1.1\r\nHost: x\r\n")
		for n := range 1000000 {
			if _, err := fmt.Fprintf(w, "X-%d: y\r\n", n); err != nil {
				return
			}
		}
	}()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%d", res.StatusCode)
	}
}

// slowStore takes no batch until it is opened.
type slowStore struct{ open chan struct{} }

func (s slowStore) Commit(ctx context.Context, _ uint64, _ []state.Write) error {
	select {
	case <-s.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestFlood (F28): of 10,000 POSTs at once while the store stands still, those beyond what may wait are told to come
// back, the others are answered when it moves again; none fails.
func TestFlood(t *testing.T) {
	mc := machine.DefaultConfig()
	mc.MaxRunningDeployments = 100000
	publisher, store := &late{}, slowStore{make(chan struct{})}
	l := loop.New(loop.Config{Machine: machine.New(mc, state.New()), Store: store, Publisher: publisher, Term: 7, Seed: 1, MaxRows: mc.MaxRows})
	s := New(Config{HostPort: "127.0.0.1:8080", Plan: mc.Plan}, Deps{Loop: l, Leadership: alwaysLeader{}})
	publisher.s = s
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = l.Run(ctx) }()
	defer func() { stop(); <-ended }()
	const floods = 10000
	var once, done sync.WaitGroup
	once.Add(1)
	answers := make(chan *httptest.ResponseRecorder, floods)
	for n := range floods {
		done.Go(func() {
			once.Wait()
			answers <- send(s, "POST", "/v2/apps", fmt.Sprintf(`{"id":"/f%d","cmd":"sleep 1","instances":0}`, n))
		})
	}
	once.Done()
	count := map[int]int{}
	note := func(w *httptest.ResponseRecorder) {
		count[w.Code]++
		if w.Code != 201 && w.Code != 503 || w.Code == 503 && w.Header().Get("Retry-After") == "" {
			t.Fatalf("%d %s %v", w.Code, w.Body, w.Header())
		}
	}
	note(<-answers) // while the store stands still only refusals come
	close(store.open)
	done.Wait()
	close(answers)
	for w := range answers {
		note(w)
	}
	if count[503] == 0 || count[201] == 0 || count[201]+count[503] != floods {
		t.Errorf("answers %v", count)
	}
}

// TestStalledStreams (F27): 1,000 readers that take nothing are cut; who reads misses nothing, and what the stalled ones
// hold is bounded.
func TestStalledStreams(t *testing.T) {
	s, _ := stillServer(filled(1, 0))
	s.streamWrite = 200 * time.Millisecond
	web := httptest.NewUnstartedServer(s.Handler())
	web.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if err := c.(*net.TCPConn).SetWriteBuffer(8 << 10); err != nil {
			t.Error(err)
		}
		return ctx
	}
	web.Start()
	defer web.Close()
	defer s.Close()
	reader := listen(t, web, "?event_type=app_terminated_event&event_type=event_stream_detached")
	const stalled = 1000
	for range stalled {
		c, err := net.Dial("tcp", web.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(c, "GET /v2/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nAccept-Encoding: gzip\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil { // it has begun
			t.Fatal(err)
		}
	}
	const batches, each = 20, 100
	got, cut := 0, 0
	for seq := range uint64(batches) {
		s.Publish(100+seq, notices(each))
		for k := 0; k < each; {
			switch kinds, _ := reader.next(); kinds {
			case "app_terminated_event":
				got, k = got+1, k+1
			case "event_stream_detached":
				cut++
			}
		}
	}
	for seq := uint64(1000); cut < stalled; { // whoever still has room in the pipes gets more
		s.Publish(seq, notices(each))
		seq++
		for k := 0; k < each && cut < stalled; {
			if kind, _ := reader.next(); kind == "event_stream_detached" {
				cut++
			} else {
				k++
			}
		}
	}
	if got != batches*each {
		t.Errorf("the reader got %d events", got)
	}
	if n := s.hub.count(); n != 1 {
		t.Errorf("%d streams are open", n)
	}
}

// next is the kind and id of the next event.
func (c *client) next() (kind, id string) {
	c.t.Helper()
	f := c.frame()
	if len(f) != 3 {
		c.t.Fatalf("frame %q", f)
	}
	return strings.TrimPrefix(f[1], "event: "), strings.TrimPrefix(f[0], "id: ")
}

// TestGoneClientIsNoError: a client that goes away in the middle of an answer leaves no error in the log.
func TestGoneClientIsNoError(t *testing.T) {
	seen, logs := observer.New(zapcore.DebugLevel)
	l := &still{snap: filled(2000, 5).Snapshot(1, 1, start)}
	s := New(Config{}, Deps{Loop: l, Leadership: alwaysLeader{}, Log: zap.New(seen)})
	ended := make(chan struct{}, 1)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Handler().ServeHTTP(w, r)
		ended <- struct{}{}
	}))
	defer web.Close()
	for _, path := range []string{"/v2/apps?embed=apps.tasks", "/v2/tasks", "/v2/groups"} {
		c, err := net.Dial("tcp", web.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
		if _, err := c.Read(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		if err := c.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		c.Close()
		<-ended
	}
	if bad := logs.FilterLevelExact(zapcore.ErrorLevel).All(); len(bad) > 0 {
		t.Errorf("logged %v", bad)
	}
	if logs.FilterMessage("answer not taken").Len() == 0 {
		t.Error("no answer was broken off: the test shows nothing")
	}
}

// TestStreamsStayPlain: an event stream is never compressed, whatever the client takes.
func TestStreamsStayPlain(t *testing.T) {
	s, _ := stillServer(filled(1, 0))
	web := streamServer(t, s)
	l := listen(t, web, "", "Accept-Encoding", "gzip")
	if h := l.res.Header; h.Get("Content-Encoding") != "" || l.res.Uncompressed {
		t.Errorf("headers %v", h)
	}
	if kinds, _ := l.until("event_stream_attached"); len(kinds) != 1 {
		t.Errorf("events %v", kinds)
	}
}

// TestKeepAlive (D-33): a silent stream gets an empty line now and then; Marathon's interval is 10 s.
func TestKeepAlive(t *testing.T) {
	s, _ := stillServer(filled(1, 0))
	if s.keepAlive != 10*time.Second {
		t.Errorf("every %v", s.keepAlive)
	}
	s.keepAlive = 20 * time.Millisecond
	web := streamServer(t, s)
	l := listen(t, web, "?event_type=none")
	for range 3 {
		if line, err := l.in.ReadString('\n'); err != nil || line != "\r\n" {
			t.Fatalf("%q %v", line, err)
		}
	}
}

// TestOddIDs (F30): one parser judges ids wherever they come from; none is a fault of the server.
func TestOddIDs(t *testing.T) {
	r := newRig(t, Config{}, nil)
	deep := strings.Repeat("/a", 1000)
	for _, c := range []struct {
		id, path string // as JSON text, and as it stands in a path
		ok       bool
	}{
		{"/ok", "/ok", true}, {"//ok2", "//ok2", true}, {"/g/../x", "/g/%2e%2e/x", true}, {"/../../x", "/../../x", false}, {"/UPPER", "/UPPER", false},
		{"/a b", "/a%20b", false}, {"/a%2Fb", "/a%252Fb", false}, {"/a\\u0000b", "/a%00b", false}, {"/ä", "/%C3%A4", false}, {"/-a", "/-a", false},
		{"/a*", "/a*", false}, {"/a;b", "/a;b", false}, {"/a?b", "/a%3Fb", false}, {"/a#b", "/a%23b", false}, {deep, deep, false},
	} {
		create := r.do("POST", "/v2/apps", fmt.Sprintf(`{"id":"%s","cmd":"sleep 1","instances":0}`, c.id))
		read := r.do("GET", "/v2/apps"+c.path, "")
		if (create.StatusCode == 201) != c.ok || (read.StatusCode == 200) != c.ok || create.StatusCode >= 500 || read.StatusCode >= 500 {
			t.Errorf("%.40s: created %d, read %d, want %v: %.200s", c.id, create.StatusCode, read.StatusCode, c.ok, create.body)
		}
		put := r.do("PUT", "/v2/apps"+c.path+"?force=true", `{"cmd":"sleep 2","instances":0}`)
		group := r.do("PUT", "/v2/groups"+c.path+"?force=true&dryRun=true", `{}`)
		for _, res := range []reply{put, group} {
			if res.StatusCode >= 500 || !c.ok && res.StatusCode < 400 {
				t.Errorf("%s %.40s: %d %.200s", res.Request.URL.Path[:10], c.id, res.StatusCode, res.body)
			}
		}
	}
}
