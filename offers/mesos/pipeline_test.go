package mesos

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	scheduler "github.com/mesos/mesos-go/api/v1/lib/scheduler"

	"stadion/core"
	"stadion/offers"
)

func TestReadAnswer(t *testing.T) {
	cases := []struct {
		in     string
		status int
		text   string
		ended  bool
		err    bool
	}{
		{"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nDate: x\r\n\r\n", 202, "", false, false},
		{"HTTP/1.1 202 Accepted\ncontent-length:0\n\n", 202, "", false, false},
		{"HTTP/1.1 400 Bad Request\r\nContent-Length: 5\r\n\r\nwhy?\n", 400, "why?", false, false},
		{"HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\nConnection: close\r\n\r\nwhy?", 400, "why?", true, false},
		{"HTTP/1.0 202 Accepted\r\nContent-Length: 0\r\n\r\n", 202, "", true, false},
		{"HTTP/1.1 503 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 503, "", true, false},
		{"HTTP/1.1 500 X\r\nContent-Length: 100000\r\n\r\n", 500, "", true, false},
		{"HTTP/1.1 400 X\r\nContent-Length: 4\r\n\r\nwh", 0, "", true, true},
		{"HTTP/1.1 400 X\r\nContent-Length: -4\r\n\r\n", 0, "", true, true},
		{"HTTP/1.1 40x X\r\n\r\n", 0, "", true, true},
		{"HTTP/1.1 202 X\r\nConte", 0, "", true, true},
		{"HTTP/2 202\r\n\r\n", 0, "", true, true},
		{"SSH-2.0-OpenSSH\r\n", 0, "", true, true},
		{strings.Repeat("x", 100), 0, "", true, true},
		{"", 0, "", true, true},
	}
	for _, c := range cases {
		status, text, ended, err := readAnswer(bufio.NewReaderSize(strings.NewReader(c.in), 64))
		if (err != nil) != c.err || !c.err && (status != c.status || text != c.text || ended != c.ended) {
			t.Errorf("%q: %d %q %v %v", c.in, status, text, ended, err)
		}
	}
}

// A connection that the master closed while it was idle is no reason to leave the stream.
func TestIdleConnectionIsTested(t *testing.T) {
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests++
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(server.Close)
	cfg := testConfig(server.URL)
	cfg.setDefaults()
	c := newClient(&cfg)
	to := mustURL(t, server.URL+schedulerPath)
	p := &pipeline{client: c, to: to, head: c.callHead(to, "s")}
	t.Cleanup(p.close)
	a := ack("t")
	send := func() error {
		_, err := p.exchange(t.Context(), &window{n: 3, size: func(int) int { return ackSize(nil, &a) },
			body: func(b []byte, _ int) []byte { return appendAck(b, nil, &a) }, answer: func(_ int, answer *answerError) {
				if answer != nil {
					t.Error(answer)
				}
			}})
		return err
	}
	if err := send(); err != nil {
		t.Fatal(err)
	}
	first := p.conn
	p.used = time.Now().Add(-2 * idleTest)
	if err := send(); err != nil || p.conn != first {
		t.Fatalf("a good connection was left: %v", err)
	}
	server.CloseClientConnections()
	p.used = time.Now().Add(-2 * idleTest)
	if err := send(); err != nil || p.conn == first {
		t.Fatalf("same connection %v, error %v", p.conn == first, err)
	}
	if requests != 9 {
		t.Fatalf("%d requests", requests)
	}
}

// Windows larger than the buffers of a connection: nobody waits for the other for ever.
func TestLargeCalls(t *testing.T) {
	m, s, h := connected(t)
	var ids []string
	for i := range 64 {
		ids = append(ids, fmt.Sprintf("o%d", i))
	}
	s.send(offerEvent(t, ids...))
	want[offers.Received](h)
	var calls []offers.Call
	for i, id := range ids {
		c := launchCall(id, fmt.Sprintf("t%d", i))
		c.Operations[0].Launch.Command.Env = []offers.EnvVar{{Name: "BIG", Value: strings.Repeat("x", 200<<10)}}
		calls = append(calls, c)
	}
	h.Send(calls)
	for i := range ids {
		c := m.nextCall(scheduler.Call_ACCEPT).call.Accept.Operations[0].Launch.TaskInfos[0]
		if c.TaskID.Value != fmt.Sprintf("t%d", i) || len(c.Command.Environment.Variables[0].GetValue()) != 200<<10 {
			t.Fatalf("call %d is task %s", i, c.TaskID.Value)
		}
	}
}

// A call refused in the middle of a window leaves the ones around it as they are.
func TestRefusalInsideWindow(t *testing.T) {
	m, _, h := connected(t)
	m.mu.Lock()
	m.refuse = func(call *scheduler.Call, _ *http.Request) (int, string) {
		if strings.HasSuffix(call.GetKill().GetTaskID().Value, "7") {
			return 400, "no"
		}
		return 0, ""
	}
	m.mu.Unlock()
	var calls []offers.Call
	for i := range 50 {
		calls = append(calls, offers.Kill{TaskID: core.TaskID(fmt.Sprint(i))})
	}
	h.Send(calls)
	for i := range 50 {
		if i%10 == 7 {
			continue
		}
		if c := m.nextCall(scheduler.Call_KILL); c.call.Kill.TaskID.Value != fmt.Sprint(i) {
			t.Fatalf("kill %s instead of %d", c.call.Kill.TaskID.Value, i)
		}
	}
	h.Stop(true)
	if n := h.Stats().Refused; n != 5 {
		t.Fatalf("%d refused", n)
	}
}

// S4: TLS for stream, calls and acknowledgements; a certificate of an unknown authority is refused.
func TestS4TLS(t *testing.T) {
	m := &fakeMaster{t: t, calls: make(chan received, 100), subs: make(chan *fakeStream, 10)}
	m.Server = httptest.NewUnstartedServer(m)
	m.Config.ErrorLog = nil
	m.EnableHTTP2 = true // and yet the driver speaks 1.1
	m.StartTLS()
	t.Cleanup(func() {
		m.CloseClientConnections()
		m.Close()
	})
	pool := x509.NewCertPool()
	pool.AddCert(m.Certificate())
	cfg := testConfig(strings.TrimPrefix(m.URL, "https://"))
	cfg.TLS = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	h := start(t, cfg, "")
	m.nextStream().send(subscribedEvent(t, "f1", 15))
	if e := want[offers.Subscribed](h); e.MasterURL != m.URL {
		t.Fatalf("master %s", e.MasterURL)
	}
	h.Send([]offers.Call{offers.Kill{TaskID: "a"}})
	m.nextCall(scheduler.Call_KILL)
	h.Send([]offers.Call{ack("a")})
	m.nextCall(scheduler.Call_ACKNOWLEDGE)
	h.Stop(true)

	cfg.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
	cfg.setDefaults()
	_, _, err := newClient(&cfg).subscribe(t.Context(), m.URL, nil)
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Fatalf("error %v", err)
	}
	noGoroutinesLeft(t)
}
