package probe

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stadion/core/machine"
)

func target(t *testing.T, h http.HandlerFunc) machine.Probe {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	u, _ := url.Parse(s.URL)
	port, _ := strconv.Atoi(u.Port())
	return machine.Probe{Instance: "i", Task: "t", Protocol: "HTTP", Host: u.Hostname(), Port: port, IntervalMs: 100, TimeoutMs: patience}
}

// patience is a time-out in milliseconds of probes that get an answer.
const patience = 60_000

func start(t *testing.T, inFlight int) (*Prober, chan machine.Event) {
	ch := make(chan machine.Event, 1000)
	p := New(func(e machine.Event) { ch <- e }, inFlight)
	t.Cleanup(p.Close)
	return p, ch
}

func next(t *testing.T, ch chan machine.Event) machine.Event {
	t.Helper()
	select {
	case e := <-ch:
		return e
	case <-time.After(2 * patience * time.Millisecond):
		t.Fatal("no verdict")
		return nil
	}
}

// TestHealthVerdicts is the probe table of behaviour.md 8.2.
func TestHealthVerdicts(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	trickle := func(w http.ResponseWriter, r *http.Request) { // D-27: a trickling server times out
		for r.Context().Err() == nil {
			_, _ = w.Write([]byte("."))
			w.(http.Flusher).Flush()
			time.Sleep(20 * time.Millisecond)
		}
	}
	refused := machine.Probe{Protocol: "TCP", Host: "127.0.0.1", Port: 1, TimeoutMs: patience} // nobody listens on tcpmux
	slow := target(t, trickle)
	slow.TimeoutMs = 300
	tcp := target(t, status(200))
	tcp.Protocol = "TCP"
	for name, c := range map[string]struct {
		probe machine.Probe
		want  machine.Outcome
		cause string
	}{
		"200":     {target(t, status(200)), machine.ProbeHealthy, ""},
		"302":     {target(t, status(302)), machine.ProbeHealthy, ""},
		"404":     {target(t, status(404)), machine.ProbeFailed, "404 Not Found"},
		"500":     {target(t, status(500)), machine.ProbeFailed, "500 Internal Server Error"},
		"trickle": {slow, machine.ProbeFailed, "deadline exceeded"},
		"tcp":     {tcp, machine.ProbeHealthy, ""},
		"refused": {refused, machine.ProbeFailed, "ConnectException"},
		"no host": {machine.Probe{Protocol: "HTTP", Port: 1, TimeoutMs: patience}, machine.ProbeFailed, "effective IP address"},
		"no port": {machine.Probe{Protocol: "HTTP", Host: "127.0.0.1", TimeoutMs: patience}, machine.ProbeFailed, "effectivePort"},
	} {
		t.Run(name, func(t *testing.T) {
			p, ch := start(t, 0)
			p.Apply([]machine.Probe{c.probe})
			got := next(t, ch).(machine.HealthReport)
			if got.Outcome != c.want || !strings.Contains(got.Cause, c.cause) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestReadiness: the wanted status makes ready, responses are preserved when asked for (behaviour.md 8.8, D-27).
func TestReadiness(t *testing.T) {
	x := target(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503); _, _ = w.Write([]byte("warming")) })
	x.Readiness, x.Ready, x.Preserve = true, []int{200}, true
	p, ch := start(t, 0)
	p.Apply([]machine.Probe{x})
	if r := next(t, ch).(machine.ReadinessReport); r.Ready || r.Status != 503 || r.Body != "warming" {
		t.Errorf("got %+v", r)
	}
	x.Port = 0
	p.Apply([]machine.Probe{x})
	for {
		r := next(t, ch).(machine.ReadinessReport)
		if r.Status == 504 {
			if r.Ready || !strings.HasPrefix(r.Body, "Marathon could not query") {
				t.Errorf("got %+v", r)
			}
			break
		}
	}
}

// TestStopEndsAProbe: after a stop no verdict of the probe arrives.
func TestStopEndsAProbe(t *testing.T) {
	x := target(t, func(http.ResponseWriter, *http.Request) {})
	p, ch := start(t, 0)
	p.Apply([]machine.Probe{x})
	next(t, ch)
	p.Apply([]machine.Probe{{Stop: true, Instance: "i"}})
	if p.Count() != 0 {
		t.Fatal("the probe is still there")
	}
	other := x
	other.Instance = "other"
	for len(ch) > 0 {
		<-ch
	}
	p.Apply([]machine.Probe{other})
	for went, late := 0, 0; went < 3; { // the other probe goes on; the stopped one is silent but for a verdict that was under way
		if r := next(t, ch).(machine.HealthReport); r.Instance == "other" {
			went++
		} else if late++; late > 1 {
			t.Fatalf("verdict of a stopped probe: %+v", r)
		}
	}
}

// TestInFlightIsBounded fills the bound: with 3 places never more than 3 probes run at once.
func TestInFlightIsBounded(t *testing.T) {
	var now, most atomic.Int32
	var once sync.Once
	full := make(chan struct{}) // all places are taken
	x := target(t, func(http.ResponseWriter, *http.Request) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if n == 3 {
			once.Do(func() { close(full) })
		}
		<-full
		time.Sleep(5 * time.Millisecond) // for one too many to come
		now.Add(-1)
	})
	p, ch := start(t, 3)
	var list []machine.Probe
	for n := range 30 {
		y := x
		y.Check, y.IntervalMs = n, 60000
		list = append(list, y)
	}
	p.Apply(list)
	for range 30 {
		next(t, ch)
	}
	if most.Load() != 3 {
		t.Errorf("%d probes at once, the bound is 3", most.Load())
	}
}

// TestSpread: the second probe comes between a tenth of an interval and a whole one after the first, at another moment for each
// check; from then on, and for readiness checks always, the interval is kept (D-60, behaviour 8.2).
func TestSpread(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 100 {
		r := &row{Probe: machine.Probe{IntervalMs: 10_000}}
		first := r.pause()
		seen[first] = true
		if first < time.Second || first > 10*time.Second || r.pause() != 10*time.Second || r.pause() != 10*time.Second {
			t.Fatalf("%v, then %v", first, r.pause())
		}
	}
	if len(seen) < 50 {
		t.Errorf("%d different moments of 100", len(seen))
	}
	ready := &row{Probe: machine.Probe{IntervalMs: 10_000, Readiness: true}}
	if got := ready.pause(); got != 10*time.Second {
		t.Errorf("readiness: %v", got)
	}
}

// TestReadinessAnswers: what becomes of an answer, with and without preserveLastResponse (behaviour 8.8): Marathon's cases
// of results and of its executor: ready at once, ready in the end, an error in between.
func TestReadinessAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		status   int
		preserve bool
		want     machine.ReadinessReport
	}{
		"ready, kept":         {200, true, machine.ReadinessReport{Ready: true, Status: 200, ContentType: "text/plain", Body: "word"}},
		"ready, not kept":     {201, false, machine.ReadinessReport{Ready: true}},
		"not ready, kept":     {503, true, machine.ReadinessReport{Status: 503, ContentType: "text/plain", Body: "word"}},
		"not ready, not kept": {404, false, machine.ReadinessReport{}},
	} {
		x := target(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte("word"))
		})
		x.Readiness, x.Ready, x.Preserve, x.Name = true, []int{200, 201}, c.preserve, "gate"
		p, ch := start(t, 0)
		p.Apply([]machine.Probe{x})
		c.want.Instance, c.want.Task, c.want.Name = x.Instance, x.Task, "gate"
		if got := next(t, ch).(machine.ReadinessReport); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	t.Run("an error, then not ready, then ready", func(t *testing.T) {
		var asked atomic.Int32
		x := target(t, func(w http.ResponseWriter, r *http.Request) {
			switch asked.Add(1) {
			case 1:
				panic(http.ErrAbortHandler)
			case 2:
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		})
		x.Readiness, x.Ready, x.Preserve = true, []int{200}, true
		p, ch := start(t, 0)
		p.Apply([]machine.Probe{x})
		for n, want := range []machine.ReadinessReport{{Status: 504}, {Status: 503}, {Ready: true, Status: 200}} {
			if got := next(t, ch).(machine.ReadinessReport); got.Ready != want.Ready || got.Status != want.Status {
				t.Errorf("answer %d: %+v", n, got)
			}
		}
	})
}

// TestIPv6: an address with colons is asked like any other (behaviour 8.2, 6.7).
func TestIPv6(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("this machine has no IPv6: %v", err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Host, "[::1]:") || r.URL.Path != "/health" {
			w.WriteHeader(http.StatusBadRequest)
		}
	})}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	for _, protocol := range []string{"HTTP", "TCP"} {
		p, ch := start(t, 0)
		p.Apply([]machine.Probe{{Instance: "i", Task: "t", Protocol: protocol, Host: "::1", Port: l.Addr().(*net.TCPAddr).Port, Path: "health", IntervalMs: 1000, TimeoutMs: patience}})
		if got := next(t, ch).(machine.HealthReport); got.Outcome != machine.ProbeHealthy {
			t.Errorf("%s: %+v", protocol, got)
		}
	}
}

// TestHTTPS: certificates and names of tasks are not verified (behaviour 8.2).
func TestHTTPS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(s.Close)
	u, _ := url.Parse(s.URL)
	port, _ := strconv.Atoi(u.Port())
	p, ch := start(t, 0)
	p.Apply([]machine.Probe{{Instance: "i", Task: "t", Protocol: "HTTPS", Host: u.Hostname(), Port: port, IntervalMs: 1000, TimeoutMs: patience}})
	if got := next(t, ch).(machine.HealthReport); got.Outcome != machine.ProbeHealthy {
		t.Errorf("%+v", got)
	}
}
