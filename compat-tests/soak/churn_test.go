package soak

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

var (
	duration = flag.Duration("soak.duration", 5*time.Second, "length of the churn")
	apps     = flag.Int("soak.apps", 30, "number of apps")
	report   = flag.String("soak.report", "", "where the report goes, without its ending; empty: nowhere")
	pace     = flag.Duration("soak.pace", 100*time.Millisecond, "pause of each of the workers between two changes")
)

const (
	workers   = 4
	agents    = 20
	handOvers = 3 // leaders that hand over during a run
	losses    = 12
	group     = "/soak"
	limit     = 2 * time.Minute
	pulse     = 200 * time.Millisecond // of the supervisor
)

func TestMain(m *testing.M) { harness.Main(m) }

// TestChurn churns, samples and judges.
func TestChurn(t *testing.T) {
	w := newWorld(t)
	w.deployAll()
	s := &sampler{w: w, began: time.Now()}
	ctx, cancel := context.WithTimeout(context.Background(), *duration)
	defer cancel()
	var all sync.WaitGroup
	for n := range workers {
		all.Go(func() { w.churn(ctx, uint64(n)) })
	}
	all.Go(func() { w.every(ctx, *duration/losses, w.loseAgent) })
	all.Go(func() { w.every(ctx, *duration/(handOvers+1), w.handOver) })
	supervised, release := context.WithCancel(context.Background())
	var supervisor sync.WaitGroup
	supervisor.Go(func() { w.every(supervised, pulse, w.supervise) })
	defer func() {
		release()
		supervisor.Wait()
	}()
	s.run(ctx)
	all.Wait()
	s.finish(t)
	w.quiet()
	t.Logf("%d changes (%d refused as locked), %d failed while leaders changed, %d hand-overs, %d servers started again, %d agents lost and back", w.changes.Load(), w.locked.Load(), w.failed.Load(), w.handed.Load(), w.again.Load(), w.lost.Load())
	if w.changes.Load() == 0 || w.handed.Load() == 0 || w.lost.Load() == 0 || len(s.samples) < 3 {
		t.Errorf("the run was idle: %d samples", len(s.samples))
	}
}

// every does something at each interval.
func (w *world) every(ctx context.Context, interval time.Duration, do func(n int)) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if ctx.Err() != nil {
				return
			}
			do(n)
		}
	}
}

// world is an etcd, a cluster and two servers that are started again when they end.
type world struct {
	*testing.T
	etcd    *harness.Etcd
	faults  *harness.API
	cluster *harness.Process
	mu      sync.Mutex
	servers [2]*harness.Process
	args    [2][]string
	apis    [2]*harness.API

	changes, locked, failed, handed, again, lost atomic.Int64
}

const httpPort = 10 // index of the port among a server's arguments

func newWorld(t *testing.T) *world {
	ports := harness.NewPorts(t)
	faults := fmt.Sprint(ports.Next(t))
	w := &world{T: t, etcd: harness.StartEtcd(t, ports), faults: harness.NewAPI(t, "http://127.0.0.1:"+faults)}
	var master string
	w.cluster, master = harness.Minimesos(t, t.TempDir(), "--simulated", "--agents", fmt.Sprint(agents), "--resources", "cpus:64;mem:65536;disk:100000;ports:[10000-20000]", "--faults_port", faults)
	for n := range w.servers {
		w.args[n] = []string{"server", "--master", master, "--etcd_endpoints", w.etcd.Endpoint, "--http_address", "127.0.0.1", "--hostname", "127.0.0.1",
			"--http_port", fmt.Sprint(ports.Next(t)), "--etcd_lease_ttl", "10", "--zk_max_versions", "3"}
		w.apis[n] = harness.NewAPI(t, "http://127.0.0.1:"+w.args[n][httpPort])
		w.servers[n] = harness.Start(t, w.args[n]...)
		if n == 0 {
			w.servers[n].Ready()
		}
	}
	return w
}

func appID(n int) string { return fmt.Sprintf("%s/%d/app%d", group, n%10, n) }

func app(n int) map[string]any {
	return map[string]any{"id": appID(n), "cmd": "sleep 100000", "cpus": 0.01, "mem": 1, "instances": 2, "backoffSeconds": 1, "backoffFactor": 1,
		"upgradeStrategy":     map[string]any{"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0.5},
		"unreachableStrategy": map[string]any{"inactiveAfterSeconds": 2, "expungeAfterSeconds": 10}}
}

func (w *world) deployAll() {
	const chunk = 100
	for first := 0; first < *apps; first += chunk {
		var list []any
		for n := first; n < min(first+chunk, *apps); n++ {
			list = append(list, app(n))
		}
		w.apis[0].Must(http.MethodPut, "/v2/apps", list, 200, 201)
	}
	w.quiet()
}

// quiet waits until no deployment runs.
func (w *world) quiet() {
	harness.Await(w, limit, "no deployment runs", func() (bool, string) {
		res, err := w.apis[0].Try(http.MethodGet, "/v2/deployments", nil)
		return err == nil && string(res.Body) == "[]", fmt.Sprintf("%.500s %v", res.Body, err)
	})
}

// churn makes changes until ctx ends. A refusal of a locked app and an answer that says that no leader is known are part of it.
func (w *world) churn(ctx context.Context, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	tick := time.NewTicker(*pace)
	defer tick.Stop()
	for ctx.Err() == nil {
		id := appID(rng.IntN(*apps))
		method, path, body := http.MethodPut, "/v2/apps"+id, any(nil)
		switch rng.IntN(10) {
		case 0, 1, 2:
			body = map[string]any{"env": map[string]any{"N": fmt.Sprint(rng.Uint64())}}
		case 3, 4:
			body = map[string]any{"instances": 1 + rng.IntN(4)}
		case 5:
			method, path = http.MethodPost, path+"/restart?force=true"
		case 6, 7:
			method, path = http.MethodDelete, path+"/tasks"
		case 8:
			method, path = http.MethodGet, "/v2/apps?embed=apps.tasks&embed=apps.counts"
		default:
			path += "?force=true"
			body = map[string]any{"cmd": fmt.Sprintf("sleep %d", 1000+rng.IntN(1000))}
		}
		res, err := w.apis[rng.IntN(2)].Try(method, path, body)
		switch {
		case err != nil || res.Status >= 500:
			w.failed.Add(1)
		case res.Status == http.StatusConflict:
			w.locked.Add(1)
		case res.Status >= 300:
			w.Errorf("%s %s: %d %s", method, path, res.Status, res.Body)
		default:
			w.changes.Add(1)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// loseAgent lets an agent go out of sight, or brings the last one back.
func (w *world) loseAgent(n int) {
	fault := "lose_agent"
	if n%2 == 1 {
		fault = "return_agent"
	}
	if res, err := w.faults.Try(http.MethodPost, fmt.Sprintf("/%s?host=127.0.0.%d", fault, 1+n/2%agents), nil); err != nil || res.Status != http.StatusOK {
		w.Errorf("%s: %v %s", fault, err, res.Body)
		return
	}
	w.lost.Add(int64(n % 2))
}

// handOver deposes the leader.
func (w *world) handOver(int) {
	res, err := w.apis[0].Try(http.MethodDelete, "/v2/leader", nil)
	if err != nil || res.Status != http.StatusOK {
		w.failed.Add(1)
		return
	}
	w.handed.Add(1)
}

// supervise starts servers again that have ended, as systemd would: deposed leaders, and those that lost their lease
// because the machine was too busy.
func (w *world) supervise(int) {
	for n := range w.servers {
		if w.process(n).Ended() {
			again := harness.Start(w, w.args[n]...)
			w.mu.Lock()
			w.servers[n] = again
			w.mu.Unlock()
			w.again.Add(1)
		}
	}
}

func (w *world) process(n int) *harness.Process {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.servers[n]
}
