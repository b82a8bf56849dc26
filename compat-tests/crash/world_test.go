package crash

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"strconv"
	"sync"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

const (
	leaseTTL    = "2"             // seconds
	runMoment   = 2 * time.Second // a running server dies within this time
	startMoment = 300 * time.Millisecond
	earlyShare  = 4 // one of so many kills strikes a server that is still starting
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
	early     int            // kills before the server was ready
	back      []time.Duration
	server    *harness.Process
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), rng: rand.New(rand.NewPCG(seed, seed)), struck: map[string]int{}}
	harness.KillLeftovers(t, w.dir)
	ports := harness.NewPorts(t)
	etcd := harness.StartEtcd(t, ports)
	_, master := harness.Minimesos(t, w.dir)
	port := strconv.Itoa(ports.Next(t))
	w.args = []string{"server", "--master", master, "--etcd_endpoints", etcd.Endpoint, "--http_address", "127.0.0.1", "--http_port", port,
		"--hostname", "127.0.0.1", "--etcd_lease_ttl", leaseTTL}
	w.server = harness.Start(t, w.args...)
	w.api = harness.NewAPI(t, w.server.Ready())
	return w
}

// say tells the killer's count what the script is doing.
func (w *world) say(operation string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.operation = operation
}

// kill kills the server n times and leaves one running, or ends early when stop is
// closed. It runs beside the script.
func (w *world) kill(n int, stop <-chan struct{}) error {
	ready := true
	for range n {
		moment := time.Duration(w.rng.Int64N(int64(runMoment)))
		if !ready {
			moment = time.Duration(w.rng.Int64N(int64(startMoment)))
		}
		select {
		case <-stop:
			return nil
		case <-time.After(moment):
		}
		if w.server.Ended() {
			return fmt.Errorf("the server has ended by itself:\n%s", w.server.Stderr())
		}
		w.server.Kill()
		died := time.Now()
		w.mu.Lock()
		w.struck[w.operation]++
		if !ready {
			w.early++
		}
		w.mu.Unlock()
		w.server = harness.Start(w.t, w.args...)
		if ready = w.rng.IntN(earlyShare) > 0; !ready {
			continue
		}
		if _, err := w.server.AwaitReady(harness.ReadyTimeout); err != nil {
			return err
		}
		w.back = append(w.back, time.Since(died))
	}
	if !ready {
		_, err := w.server.AwaitReady(harness.ReadyTimeout)
		return err
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
	w.t.Logf("%d kills (%d of a starting server) during %v", kills, w.early, w.struck)
	if len(w.back) > 0 {
		w.t.Logf("from kill to ready: median %s, longest %s (the lease lasts %s s)", w.back[len(w.back)/2].Round(time.Millisecond),
			w.back[len(w.back)-1].Round(time.Millisecond), leaseTTL)
	}
	w.t.Logf("%d operations, %d acknowledged writes, %d lost; %d tasks seen, %d restarted, %d orphaned, %d double",
		s.operations, s.acknowledged, s.lost, len(s.pids), s.restarted, s.orphaned, s.doubled)
}
