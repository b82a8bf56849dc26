package marathonapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// lead is a Leadership that can be told who leads.
type lead struct {
	who     atomic.Value // string
	leading atomic.Bool
	polls   atomic.Int64
}

func (l *lead) Leader() (string, bool) {
	who, _ := l.who.Load().(string)
	return who, who != ""
}
func (l *lead) Leading() bool                                  { l.polls.Add(1); return l.leading.Load() }
func (l *lead) Abdicate(context.Context, string, string) error { return nil }

const standbySelf = "standby.example:8080"

// proxyPatience is how long a proxy waits for what comes, and impatient makes it wait shortly for what never comes.
const proxyPatience = time.Minute

func impatient(c *ProxyConfig) { c.ReadTimeout = 300 * time.Millisecond }

// standby serves a proxy in front of a leader at address over real HTTP.
func standby(t *testing.T, address string, edit ...func(*ProxyConfig)) (base string, l *lead) {
	t.Helper()
	cfg := ProxyConfig{Self: standbySelf, ConnectTimeout: proxyPatience, ReadTimeout: proxyPatience}
	for _, f := range edit {
		f(&cfg)
	}
	l = &lead{}
	l.who.Store(address)
	local := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "local "+r.URL.Path) })
	s := httptest.NewServer(NewProxy(cfg, l, local))
	t.Cleanup(s.Close)
	return s.URL, l
}

func leaderAt(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// ask sends one request and does not follow redirects.
func ask(t *testing.T, method, url string, body io.Reader, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: body: %v", method, url, err)
	}
	return res, string(b)
}

func TestProxyPassesOn(t *testing.T) { // http-api 1.6, S6
	var got *http.Request
	var body string
	leader := leaderAt(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got, body = r, string(b)
		w.Header().Set("X-Marathon-Leader", "http://leader:1")
		w.Header().Set("Marathon-Deployment-Id", "d1")
		w.Header().Set("Location", "/v2/apps/a")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"id":"/a"}`)
	})
	base, _ := standby(t, leader)
	res, text := ask(t, "PUT", base+"/v2/apps//a%2Fb?force=true&x=a;b", strings.NewReader(`{"cmd":"x"}`),
		"Authorization", "Basic dTpw", "X-Forwarded-For", "10.0.0.1", headerVia, "1.1 other:8080", "Connection", "X-Hop", "X-Hop", "1", "Accept-Encoding", "br")
	if res.StatusCode != http.StatusCreated || text != `{"id":"/a"}` {
		t.Errorf("answer %d %s", res.StatusCode, text)
	}
	for name, want := range map[string]string{"X-Marathon-Leader": "http://leader:1", "Marathon-Deployment-Id": "d1",
		"Location": "/v2/apps/a", headerVia: "1.1 " + standbySelf} {
		if res.Header.Get(name) != want {
			t.Errorf("answer: %s is %q, want %q", name, res.Header.Get(name), want)
		}
	}
	if got.Method != "PUT" || got.URL.EscapedPath() != "/v2/apps//a%2Fb" || got.URL.RawQuery != "force=true&x=a;b" || body != `{"cmd":"x"}` || got.Host != leader {
		t.Errorf("the leader saw %s %s %q with %q for host %s", got.Method, got.URL.EscapedPath(), got.URL.RawQuery, body, got.Host)
	}
	for name, want := range map[string]string{"Authorization": "Basic dTpw", "X-Forwarded-For": "10.0.0.1, 127.0.0.1",
		"X-Hop": "", "Connection": "", "Accept-Encoding": "br"} {
		if have := got.Header.Get(name); have != want {
			t.Errorf("the leader saw %s %q, want %q", name, have, want)
		}
	}
	if via := strings.Join(got.Header.Values(headerVia), " | "); via != "1.1 other:8080 | 1.1 "+standbySelf {
		t.Errorf("the leader saw %s %q", headerVia, via)
	}
}

func TestProxyStreamsBothWays(t *testing.T) { // D-55: chunked bodies arrive, piece by piece
	leader := leaderAt(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.EnableFullDuplex()
		in := bufio.NewReader(r.Body)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			_, _ = io.WriteString(w, "got "+line)
			_ = rc.Flush()
		}
	})
	base, _ := standby(t, leader, func(c *ProxyConfig) { c.ReadTimeout = 2 * time.Second })
	// Uploading in pieces: the leader answers only after all of them, so that plain HTTP/1.1 clients can do it too.
	pr, pw := io.Pipe()
	go func() {
		for i := range 5 {
			_, _ = fmt.Fprintf(pw, "%d\n", i)
			time.Sleep(500 * time.Millisecond) // longer in all than the proxy waits for a silent leader
		}
		_ = pw.Close()
	}()
	res, text := ask(t, "POST", base+"/v2/apps", pr)
	if res.StatusCode != 200 || text != "got 0\ngot 1\ngot 2\ngot 3\ngot 4\n" {
		t.Errorf("%d %q", res.StatusCode, text)
	}
}

func TestProxyStreamsAnswers(t *testing.T) { // D-55
	more := make(chan struct{})
	leader := leaderAt(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "first\n")
		_ = http.NewResponseController(w).Flush()
		<-more
		_, _ = io.WriteString(w, "second\n")
	})
	base, _ := standby(t, leader)
	res, err := http.Get(base + "/v2/apps")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	in := bufio.NewReader(res.Body)
	if line, err := in.ReadString('\n'); err != nil || line != "first\n" {
		t.Fatalf("%q %v", line, err)
	}
	close(more)
	if line, err := in.ReadString('\n'); err != nil || line != "second\n" {
		t.Fatalf("%q %v", line, err)
	}
}

func TestProxyRefusals(t *testing.T) { // behaviour 9.3, D-55, F29
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and never answers
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	rude, err := net.Listen("tcp", "127.0.0.1:0") // hangs up after the request
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rude.Close() })
	go func() {
		for {
			c, err := rude.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096))
			_ = c.Close()
		}
	}()
	for _, c := range []struct {
		name, leader string
		header       []string
		status       int
		text         string
	}{
		{"loop", silent.Addr().String(), []string{headerVia, "1.1 " + standbySelf}, 502, textProxyLoop},
		{"loop further back", silent.Addr().String(), []string{headerVia, "1.1 a:1", headerVia, "1.1 b:1, 1.1 " + standbySelf}, 502, textProxyLoop},
		{"no leader", "", nil, 502, textNoLeader},
		{"itself, not ready", standbySelf, nil, 502, textNoLeader},
		{"refused", "127.0.0.1:1", nil, 502, textRefused},
		{"hangs up", rude.Addr().String(), nil, 502, textNotConnected},
		{"silent", silent.Addr().String(), nil, 504, textTimedOut},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			base, _ := standby(t, c.leader, impatient)
			res, text := ask(t, "POST", base+"/v2/apps", strings.NewReader("{}"), c.header...)
			if res.StatusCode != c.status || strings.TrimSpace(text) != c.text {
				t.Errorf("%d %q, want %d %q", res.StatusCode, text, c.status, c.text)
			}
		})
	}
}

// What a server passed on to a leader that ends comes back to it when it is the one elected next. It waits until it
// leads, and is no loop.
func TestProxyBackFromTheLastLeader(t *testing.T) { // P26, D-55
	base, l := standby(t, standbySelf)
	polls := l.polls.Load()
	got := make(chan string, 1)
	go func() {
		res, text := ask(t, "GET", base+"/v2/apps", nil, headerVia, "1.1 "+standbySelf+", 1.1 last:8080")
		got <- fmt.Sprint(res.StatusCode, " ", text)
	}()
	for l.polls.Load() < polls+3 { // it waits
		select {
		case text := <-got:
			t.Fatalf("answered %q before it leads", text)
		case <-time.After(time.Millisecond):
		}
	}
	l.leading.Store(true)
	if text := <-got; text != "200 local /v2/apps" {
		t.Errorf("answered %q", text)
	}
}

func TestProxyLeaderGoneInTheMiddle(t *testing.T) { // F29
	leader := leaderAt(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done() // silent, until the proxy gives up
	})
	base, _ := standby(t, leader, impatient)
	res, err := http.Get(base + "/v2/apps")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if b, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("a cut answer looks whole: %q", b)
	}
}

func TestProxyEventsAreRedirected(t *testing.T) { // behaviour 9.3
	base, _ := standby(t, "leader:8080")
	res, _ := ask(t, "GET", base+"/v2/events?event_type=a&event_type=b&plan-format=light", nil)
	if want := "http://leader:8080/v2/events?event_type=a&event_type=b&plan-format=light"; res.StatusCode != 302 || res.Header.Get("Location") != want {
		t.Errorf("%d to %q, want %q", res.StatusCode, res.Header.Get("Location"), want)
	}
	base, _ = standby(t, "leader:8443", func(c *ProxyConfig) { c.Scheme = "https" })
	if res, _ = ask(t, "GET", base+"/v2/events", nil); res.Header.Get("Location") != "https://leader:8443/v2/events" {
		t.Errorf("redirected to %q", res.Header.Get("Location"))
	}
}

func TestProxyServesItsOwn(t *testing.T) { // D-44
	leader := leaderAt(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "leader "+r.URL.Path) })
	base, l := standby(t, leader)
	for path, want := range map[string]string{"/ping": "local /ping", "/metrics": "leader /metrics", "/metrics?local=true": "local /metrics",
		"/metrics/prometheus?local=true": "local /metrics/prometheus", "/metrics/prometheus": "leader /metrics/prometheus",
		"/metricsx?local=true": "leader /metricsx", "/v2/info": "leader /v2/info"} {
		if _, text := ask(t, "GET", base+path, nil); text != want {
			t.Errorf("%s: %q, want %q", path, text, want)
		}
	}
	l.who.Store("")
	if _, text := ask(t, "GET", base+"/ping", nil); text != "local /ping" {
		t.Errorf("/ping without a leader: %q", text)
	}
	l.leading.Store(true)
	if _, text := ask(t, "GET", base+"/v2/info", nil); text != "local /v2/info" {
		t.Errorf("while leading: %q", text)
	}
}

func TestProxyWaitsForALeader(t *testing.T) { // http-api 1.6: re-checks
	leader := leaderAt(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "leader") })
	base, l := standby(t, "")
	time.AfterFunc(leaderPause, func() { l.who.Store(leader) })
	if res, text := ask(t, "GET", base+"/v2/apps", nil); res.StatusCode != 200 || text != "leader" {
		t.Errorf("%d %q", res.StatusCode, text)
	}
}

func TestProxyBoundsConnections(t *testing.T) { // D-55: bounded, with queueing
	var now, most atomic.Int64
	free := make(chan struct{})
	leader := leaderAt(t, func(w http.ResponseWriter, _ *http.Request) {
		most.Store(max(most.Load(), now.Add(1)))
		<-free
		now.Add(-1)
	})
	base, _ := standby(t, leader, func(c *ProxyConfig) { c.MaxConnections = 2 })
	done := make(chan int, 6)
	for range 6 {
		go func() {
			res, err := http.Get(base + "/v2/apps")
			if err != nil {
				done <- 0
				return
			}
			_ = res.Body.Close()
			done <- res.StatusCode
		}()
	}
	for now.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	close(free)
	for range 6 {
		if s := <-done; s != 200 {
			t.Errorf("status %d", s)
		}
	}
	if most.Load() != 2 {
		t.Errorf("%d at once, want 2", most.Load())
	}
}

func TestProxyQueueHasAnEnd(t *testing.T) { // D-55: a full pool is a 502 with a text
	hold := make(chan struct{})
	entered := make(chan struct{}, 1)
	leader := leaderAt(t, func(w http.ResponseWriter, _ *http.Request) { // answers at once, then goes on slowly
		_ = http.NewResponseController(w).Flush()
		entered <- struct{}{}
		for {
			select {
			case <-hold:
				return
			case <-time.After(50 * time.Millisecond):
				_, _ = io.WriteString(w, ".")
				_ = http.NewResponseController(w).Flush()
			}
		}
	})
	base, _ := standby(t, leader, func(c *ProxyConfig) { c.MaxConnections, c.ReadTimeout = 1, 2*time.Second })
	res, err := http.Get(base + "/v2/apps")
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	second, text := ask(t, "GET", base+"/v2/apps", nil)
	if second.StatusCode != 502 || strings.TrimSpace(text) != textNotConnected {
		t.Errorf("%d %q", second.StatusCode, text)
	}
	close(hold)
	_ = res.Body.Close()
}

func TestProxyClientWhoseBodyBreaksOff(t *testing.T) {
	leader := leaderAt(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body) })
	base, _ := standby(t, leader)
	c, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "POST /v2/apps HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnot a chunk\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusRequestTimeout {
		t.Errorf("status %d: the leader is blamed", res.StatusCode)
	}
}
