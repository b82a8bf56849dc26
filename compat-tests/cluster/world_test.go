package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

const (
	servers  = 3
	members  = 3
	leaseTTL = "2" // seconds
	patience = 90 * time.Second
)

// node is one server with links of its own to all that it talks to.
type node struct {
	url   string // for clients
	name  string // URL by which the servers know it
	args  []string
	etcd  []*harness.Link
	mesos *harness.Link
	door  *harness.Link // through which the other servers come

	mu       sync.Mutex
	process  *harness.Process
	troubled time.Time // until then its reads may be old: it does not know yet what it missed
}

type world struct {
	t     *testing.T
	dir   string
	etcds *harness.Etcds
	mesos *harness.Process

	mesosArgs []string

	nodes []*node
	rng   *rand.Rand
	done  map[string]int // faults by kind
	pause time.Duration  // until a server that ended is started again
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), rng: rand.New(rand.NewPCG(seed, 0)), done: map[string]int{}, pause: 200 * time.Millisecond}
	harness.KillLeftovers(t, w.dir)
	mesos := harness.NewPorts(t)
	w.mesosArgs = []string{"minimesos", "--port", strconv.Itoa(mesos.Next(t)), "--work_dir", w.dir, "--resources", mesos.Resources(), "--agents", "3"}
	w.mesos = harness.Start(t, w.mesosArgs...)
	master := strings.TrimPrefix(w.mesos.Ready(), "http://")
	w.etcds = harness.StartEtcds(t, members)
	for i := range servers {
		ports := harness.NewPorts(t)
		port := strconv.Itoa(ports.Next(t))
		name := fmt.Sprintf("127.0.0.%d", 101+i) // as the others know it
		n := &node{url: "http://127.0.0.1:" + port, name: "http://" + name + ":" + port, mesos: harness.NewLink(t, ports, master), door: harness.NewLinkAt(t, name+":"+port, "127.0.0.1:"+port)}
		var endpoints []string
		for _, e := range w.etcds.Endpoints {
			l := harness.NewLink(t, ports, strings.TrimPrefix(e, "http://"))
			n.etcd, endpoints = append(n.etcd, l), append(endpoints, "http://"+l.Addr())
		}
		n.args = []string{"server", "--master", n.mesos.Addr(), "--etcd_endpoints", strings.Join(endpoints, ","), "--http_address", "127.0.0.1", "--http_port", port,
			"--hostname", name, "--etcd_lease_ttl", leaseTTL, "--leader_proxy_read_timeout", "3000"}
		n.process = harness.Start(t, n.args...)
		w.nodes = append(w.nodes, n)
	}
	return w
}

// keepUp starts every server again whenever it ends, until end is called. What runs beside the servers is
// waited for by end and stops when stop is closed.
func (w *world) keepUp() (beside *sync.WaitGroup, stop chan struct{}, end func()) {
	beside, stop = &sync.WaitGroup{}, make(chan struct{})
	for _, n := range w.nodes {
		beside.Go(func() { w.supervise(n, stop) })
	}
	return beside, stop, sync.OnceFunc(func() {
		close(stop)
		for _, n := range w.nodes {
			n.signal(9)
		}
		beside.Wait()
	})
}

// supervise starts a server again whenever it ends, as systemd does, until stop is closed.
func (w *world) supervise(n *node, stop <-chan struct{}) {
	for {
		n.mu.Lock()
		p := n.process
		n.mu.Unlock()
		p.Wait()
		select {
		case <-stop:
			return
		case <-time.After(w.pause): // systemd's
		}
		n.mu.Lock()
		n.process = harness.Start(w.t, n.args...)
		n.mu.Unlock()
	}
}

func (n *node) signal(s syscall.Signal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	_ = syscall.Kill(n.process.Pid(), s)
}

// trouble notes that what the server reads may be old, from now until a lease after the trouble is over.
func (n *node) trouble(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.troubled = time.Now().Add(d + 6*time.Second)
}

func (n *node) sane() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Now().After(n.troubled)
}

type fault struct {
	name string
	do   func(w *world, n *node, d time.Duration) error
}

// faults are what goes wrong; each takes effect, lasts and ends.
var faults = []fault{
	{"kill -9", func(_ *world, n *node, _ time.Duration) error { n.signal(syscall.SIGKILL); return nil }}, // F2
	{"abdicate", func(w *world, n *node, _ time.Duration) error {
		_, _ = harness.NewAPI(w.t, n.url).Try("DELETE", "/v2/leader", nil)
		return nil
	}}, // F6
	{"stop", func(_ *world, n *node, d time.Duration) error { // F3
		n.trouble(d)
		n.signal(syscall.SIGSTOP)
		time.Sleep(d)
		n.signal(syscall.SIGCONT)
		return nil
	}},
	{"cut from etcd", func(_ *world, n *node, d time.Duration) error {
		n.trouble(d)
		return during(n.etcd, d, (*harness.Link).Cut)
	}}, // F5
	{"frozen to etcd", func(_ *world, n *node, d time.Duration) error {
		n.trouble(d)
		return during(n.etcd, d, (*harness.Link).Freeze)
	}}, // F5
	{"cut from Mesos", func(_ *world, n *node, d time.Duration) error {
		return during([]*harness.Link{n.mesos}, d, (*harness.Link).Cut)
	}}, // F5
	{"etcd is asked and its answers wait", func(_ *world, n *node, d time.Duration) error {
		n.trouble(d)
		return during(n.etcd, d, (*harness.Link).Mute)
	}}, // F5
	{"Mesos is asked and its answers wait", func(_ *world, n *node, d time.Duration) error {
		return during([]*harness.Link{n.mesos}, d, (*harness.Link).Mute)
	}}, // F5
	{"cut from the other servers", func(_ *world, n *node, d time.Duration) error {
		n.trouble(d) // a leader that nobody reaches is deposed, and does not know it yet
		return during([]*harness.Link{n.door}, d, (*harness.Link).Cut)
	}}, // F5
	{"Mesos master restarted", func(w *world, _ *node, d time.Duration) error { // F15: tasks and what the agents know outlive it
		w.mesos.Kill()
		time.Sleep(d)
		w.mesos = harness.Start(w.t, w.mesosArgs...)
		_, err := w.mesos.AwaitReady(patience)
		return err
	}},
	{"etcd member down", func(w *world, _ *node, d time.Duration) error { // F8, one of three
		i := w.rng.IntN(members)
		w.etcds.Stop(i)
		time.Sleep(d)
		return w.etcds.Start(i)
	}},
	{"etcd member replaced", func(w *world, _ *node, _ time.Duration) error { // F13
		i := w.rng.IntN(members)
		w.etcds.Stop(i)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		return w.etcds.Replace(ctx, i)
	}},
	{"etcd leader moved", func(w *world, _ *node, _ time.Duration) error { // F13
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = w.etcds.MoveLeader(ctx) // no other member may be ready for it
		return nil
	}},
}

func during(links []*harness.Link, d time.Duration, do func(*harness.Link)) error {
	for _, l := range links {
		do(l)
	}
	time.Sleep(d)
	for _, l := range links {
		l.Mend()
	}
	return nil
}

// rage lets one thing after the other go wrong, until end. The first of them come in order, so that none is left out
// of a run that is long enough.
func (w *world) rage(end time.Time) error {
	chosen, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	faults := slices.DeleteFunc(slices.Clone(faults), func(f fault) bool { return !chosen.MatchString(f.name) })
	if len(faults) == 0 {
		return fmt.Errorf("no fault is named like %s", *only)
	}
	for n := 0; time.Now().Before(end); n++ {
		f := faults[w.rng.IntN(len(faults))]
		if n < len(faults) {
			f = faults[(n+int(w.rng.Uint64()%3))%len(faults)]
		}
		w.done[f.name]++
		if err := f.do(w, w.nodes[w.rng.IntN(servers)], time.Duration(300+w.rng.IntN(2500))*time.Millisecond); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		time.Sleep(time.Duration(w.rng.Int64N(2 * int64(*every)))) // the faults are spread at random
	}
	return nil
}
