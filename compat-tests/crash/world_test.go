package crash

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sort"
	"strconv"
	"sync"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

const (
	leaseTTL    = "60"                   // seconds; nobody waits for its end, and a busy machine must not cost it
	awaitedTTL  = "20"                   // seconds, where a test waits for the end of a lease
	runMoment   = 2 * time.Second        // a running server dies within this time
	workMoment  = 120 * time.Millisecond // or within this time after the script began some operation
	startMoment = 300 * time.Millisecond // a starting server dies within this time
	workShare   = 4                      // all but one of so many kills are counted from an operation's begin: operations are short
	earlyShare  = 4                      // one of so many kills strikes a server that is still starting
)

// world is an etcd, a cluster and a server that dies again and again.
type world struct {
	t         *testing.T
	api       *harness.API
	dir       string // of the tasks
	args      []string
	rng       *rand.Rand
	mu        sync.Mutex
	operation string         // what the script is doing
	struck    map[string]int // kills by operation
	began     chan struct{}  // receives when the script begins an operation and the killer waits for it
	early     int            // kills before the server was ready
	resumed   int            // returns that found a deployment to finish
	back      []time.Duration
	server    *harness.Process
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), rng: rand.New(rand.NewPCG(seed, seed)), struck: map[string]int{}, began: make(chan struct{})}
	harness.KillLeftovers(t, w.dir)
	ports := harness.NewPorts(t)
	etcd := harness.StartEtcd(t, ports)
	_, master := harness.Minimesos(t, w.dir)
	port := strconv.Itoa(ports.Next(t))
	w.args = []string{"server", "--master", master, "--etcd_endpoints", etcd.Endpoint, "--http_address", "127.0.0.1", "--http_port", port,
		"--hostname", "127.0.0.1", "--etcd_lease_ttl", leaseTTL, "--mesos_role", "stadion", "--mesos_authentication_principal", "stadion"}
	w.server = harness.Start(t, w.args...)
	w.api = harness.NewAPI(t, w.server.Ready())
	return w
}

// say tells the killer what the script is doing.
func (w *world) say(operation string) {
	w.mu.Lock()
	w.operation = operation
	w.mu.Unlock()
	select {
	case w.began <- struct{}{}:
	default:
	}
}

// moment waits for the next random moment to kill; false: stop came first. Nothing
// is awaited here but the moment itself.
func (w *world) moment(ready bool, stop <-chan struct{}) bool {
	within := runMoment
	switch {
	case !ready:
		within = startMoment
	case w.rng.IntN(workShare) > 0:
		within = workMoment
		for range 1 + w.rng.IntN(operationsPerRound) {
			select {
			case <-stop:
				return false
			case <-w.began:
			}
		}
	}
	select {
	case <-stop:
		return false
	case <-time.After(time.Duration(w.rng.Int64N(int64(within)))):
		return true
	}
}

// kill kills the server n times and leaves one running, or ends early when stop is
// closed. It runs beside the script.
func (w *world) kill(n int, stop <-chan struct{}) error {
	ready := true
	for left := n; left > 0; left-- {
		if !w.moment(ready, stop) {
			return nil
		}
		if w.server.Ended() {
			return fmt.Errorf("the server has ended by itself:\n%s", w.server.Stderr())
		}
		w.server.Kill()
		died := time.Now()
		w.mu.Lock()
		w.struck[w.operation]++
		w.mu.Unlock()
		if !ready {
			w.early++
		}
		w.server = harness.Start(w.t, w.args...)
		if ready = left == 1 || w.rng.IntN(earlyShare) > 0; !ready {
			continue
		}
		if _, err := w.server.AwaitReady(harness.ReadyTimeout); err != nil {
			return err
		}
		w.back = append(w.back, time.Since(died))
		if res, err := w.api.Try(http.MethodGet, "/v2/deployments", nil); err == nil && string(res.Body) != "[]" {
			w.resumed++
		}
	}
	return nil
}

// report prints the counts of a finished run.
func (w *world) report(s *script) {
	sort.Slice(w.back, func(i, j int) bool { return w.back[i] < w.back[j] })
	kills := 0
	for _, n := range w.struck {
		kills += n
	}
	w.t.Logf("%d kills (%d of a starting server) during %v; %d returns found a deployment to finish", kills, w.early, w.struck, w.resumed)
	if len(w.back) > 0 {
		w.t.Logf("from kill to ready: median %s, longest %s (the lease lasts %s s)", w.back[len(w.back)/2].Round(time.Millisecond),
			w.back[len(w.back)-1].Round(time.Millisecond), leaseTTL)
	}
	w.t.Logf("%d operations, %d acknowledged writes, %d lost; %d tasks seen, %d restarted, %d orphaned, %d double",
		s.operations, s.acknowledged, s.lost, len(s.pids), s.restarted, s.orphaned, s.doubled)
}
