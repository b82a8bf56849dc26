package leader

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"stadion/core/store/etcdtest"
)

// process is a server at an address, until it is killed.
func process(t *testing.T, l net.Listener, h http.Handler) (kill func()) {
	t.Helper()
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	kill = func() { _ = s.Close(); <-done }
	t.Cleanup(kill)
	return kill
}

func listenAt(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A leader that was killed and that a supervisor started again at once, at the same address, does not count as alive.
func TestTakeOverFromARestartedProcess(t *testing.T) { // P25
	c := etcdtest.Start(t).Client(t)
	l := listenAt(t, "127.0.0.1:0")
	addr := l.Addr().String()
	dead := New(c, Options{TTL: longLease})
	first := campaign(t, dead, addr)
	kill := process(t, l, dead.Open(http.NotFoundHandler()))

	reached := make(chan struct{}, 1)
	won, _ := run(etcdtest.Context(t), New(c, Options{TTL: longLease, Reach: func(ctx context.Context, identity, candidacy string) error {
		err := Door{}.Knock(ctx, identity, candidacy)
		if err == nil {
			select {
			case reached <- struct{}{}:
			default:
			}
		}
		return err
	}}), "b:1")
	select {
	case <-reached:
	case <-time.After(longLease / 2):
		t.Fatal("the leader was never reached")
	}
	kill()
	process(t, listenAt(t, addr), New(c, Options{TTL: longLease}).Open(http.NotFoundHandler()))
	select {
	case second := <-won:
		if second.Rev <= first.Rev {
			t.Errorf("term %d after %d", second.Rev, first.Rev)
		}
	case <-time.After(longLease / 2):
		t.Fatal("the lease is waited for")
	}
	ended(t, first)
}

// A process that was started again where it listened before removes what it left; one that listens elsewhere does not,
// and its name counts as a twin's.
func TestOwnCandidateOfBefore(t *testing.T) { // P25, F7
	c := etcdtest.Start(t).Client(t)
	dead := campaign(t, New(c, Options{TTL: longLease, Seat: "here"}), "a:1")
	again := campaign(t, New(c, Options{TTL: longLease, Seat: "here"}), "a:1")
	ended(t, dead)
	if again.Rev <= dead.Rev {
		t.Errorf("term %d after %d", again.Rev, dead.Rev)
	}
	for _, seat := range []string{"there", "", "ere"} {
		limited, cancel := context.WithTimeout(etcdtest.Context(t), 300*time.Millisecond)
		if _, err := New(c, Options{TTL: longLease, Seat: seat}).Campaign(limited, "a:1"); err == nil {
			t.Errorf("a twin in the seat %q leads", seat)
		}
		cancel()
		select {
		case <-again.Lost():
			t.Fatalf("a twin in the seat %q disturbed the leader", seat)
		default:
		}
	}
}

// A server of an older version reads the value of the key as the leader's identity, whatever the key is called.
func TestIdentityStaysReadable(t *testing.T) { // U1
	c := etcdtest.Start(t).Client(t)
	term := campaign(t, New(c, Options{Seat: "here"}), "a:1")
	resp, err := c.Get(etcdtest.Context(t), term.Key)
	if err != nil || len(resp.Kvs) != 1 || string(resp.Kvs[0].Value) != "a:1" {
		t.Fatalf("%v %v", resp, err)
	}
	if !strings.HasSuffix(term.Key, ".here") {
		t.Errorf("key %s", term.Key)
	}
}

// What a knock tells of each who may listen.
func TestKnock(t *testing.T) { // P25, U1
	e := New(nil, Options{})
	e.candidacy.Store("1.here")
	older := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("pong")) })
	for name, x := range map[string]struct {
		h         http.Handler
		candidacy string
		want      error
	}{
		"the process itself":      {e.Open(older), "1.here", nil},
		"another process":         {e.Open(older), "2.here", ErrAnother},
		"no candidate yet":        {New(nil, Options{}).Open(older), "1.here", ErrAnother},
		"an older version":        {older, "1.here", nil},
		"an older one with users": {http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(401) }), "1.here", nil},
		"no sense at all":         {http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), "1.here", nil},
	} {
		plain, secure := httptest.NewServer(x.h), httptest.NewTLSServer(x.h)
		trusting := secure.Client().Transport.(*http.Transport).TLSClientConfig
		for d, url := range map[*Door]string{{}: plain.URL, {TLS: trusting}: secure.URL} {
			if err := d.Knock(etcdtest.Context(t), url[strings.LastIndexByte(url, '/')+1:], x.candidacy); !errors.Is(err, x.want) {
				t.Errorf("%s at %s: %v, want %v", name, url, err, x.want)
			}
		}
		if err := (Door{TLS: &tls.Config{MinVersion: tls.VersionTLS12}}).Knock(etcdtest.Context(t), secure.Listener.Addr().String(), "2.here"); err != nil {
			t.Errorf("%s that is not trusted: %v, want nil: it proves nothing", name, err)
		}
		plain.Close()
		secure.Close()
		if err := (Door{}).Knock(etcdtest.Context(t), plain.Listener.Addr().String(), x.candidacy); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s that is gone: %v", name, err)
		}
	}
	asked := httptest.NewRecorder()
	e.Open(older).ServeHTTP(asked, httptest.NewRequest(http.MethodGet, "/ping", nil))
	if asked.Body.String() != "pong" || asked.Header().Get(candidacyName) != "" {
		t.Errorf("a plain ping: %v", asked)
	}
}
