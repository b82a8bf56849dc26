package cluster

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

var (
	kills = flag.Int("cluster.kills", 2, "how often the leader is killed under load")
	rate  = flag.Int("cluster.rate", 60, "launches per second meanwhile")
	pause = flag.Duration("cluster.pause", time.Second, "until a killed server is started again; at once it keeps the others from seeing that it is gone")
)

const (
	loadApps  = 10
	loadSize  = 20 // instances of each when it is up
	loadTTL   = "5"
	handOvers = 3
)

// TestFailoverUnderLoad: apps go up and down all the time, and the leader is killed over and over. Another server
// answers writes soon (P25), after a planned hand-over sooner (P26), and at the end the tasks of the API, those of
// Mesos and what was acknowledged are the same: none lost, none double, no orphan.
//
//	go test ./cluster -run Failover -v -cluster.kills 100 -cluster.rate 1000
func TestFailoverUnderLoad(t *testing.T) {
	t.Parallel()
	w := &world{t: t, dir: t.TempDir(), etcds: harness.StartEtcds(t, members), pause: *pause}
	_, master := harness.Minimesos(t, w.dir, "--agents", "8", "--simulated", "--resources", "cpus:1000;mem:100000;disk:100000;ports:[31000-39999]")
	for range servers {
		ports := harness.NewPorts(t)
		port := strconv.Itoa(ports.Next(t))
		n := &node{url: "http://127.0.0.1:" + port, args: []string{"server", "--master", master, "--etcd_endpoints", strings.Join(w.etcds.Endpoints, ","),
			"--http_address", "127.0.0.1", "--http_port", port, "--hostname", "127.0.0.1", "--etcd_lease_ttl", loadTTL, "--leader_proxy_read_timeout", "2000"}}
		n.process = harness.Start(t, n.args...)
		w.nodes = append(w.nodes, n)
	}
	stop, over := make(chan struct{}), make(chan struct{})
	var beside, clients sync.WaitGroup
	end := sync.OnceFunc(func() {
		close(stop)
		for _, n := range w.nodes {
			n.signal(9)
		}
		beside.Wait()
	})
	defer end()
	for _, n := range w.nodes {
		beside.Go(func() { w.supervise(n, stop) })
	}
	w.put("/v2/apps/probe", app("exec sleep 1000", 0, 0))

	l := &load{wanted: map[string]int{}}
	clients.Go(func() { l.run(w, over) })
	began := time.Now()
	var gaps, planned []time.Duration
	rng := rand.New(rand.NewPCG(1, 2))
	for range *kills {
		gaps = append(gaps, w.gap(func(n *node) { n.signal(9) }))
		time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond) // at any moment of the load
	}
	for range handOvers {
		planned = append(planned, w.gap(func(n *node) { _, _ = harness.NewAPI(t, n.url).Try("DELETE", "/v2/leader", nil) }))
	}
	took := time.Since(began)
	close(over)
	clients.Wait()
	t.Logf("%d writes acknowledged, %.0f launches/s asked for; without a write: kill -9 %s, hand-over %s", l.acknowledged.Load(),
		float64(l.launches.Load())/took.Seconds(), spread(gaps), spread(planned))
	l.rest(w, master)
	end()
}

// spread is the median, the 99th percentile and the largest of a list.
func spread(d []time.Duration) string {
	slices.Sort(d)
	if len(d) == 0 {
		return "-"
	}
	ms := func(d time.Duration) int64 { return d.Milliseconds() }
	return fmt.Sprintf("median %d ms, p99 %d ms, longest %d ms of %d", ms(d[len(d)/2]), ms(d[len(d)*99/100]), ms(d[len(d)-1]), len(d))
}

// gap ends the term of the leader and tells how long it takes until a write through another server is acknowledged.
func (w *world) gap(strike func(*node)) time.Duration {
	w.t.Helper()
	var lead, other *node
	harness.Await(w.t, patience, "all servers answer and one leads", func() (bool, string) {
		lead, other = nil, nil
		said := ""
		for _, n := range w.nodes {
			res, err := harness.NewAPI(w.t, n.url).Try("GET", "/v2/leader", nil)
			var body struct{ Leader string }
			if err != nil || res.Status != http.StatusOK || json.Unmarshal(res.Body, &body) != nil {
				return false, fmt.Sprint(n.url, " ", res.Status, err)
			}
			if said == "" {
				said = body.Leader
			}
			if body.Leader != said {
				return false, body.Leader + " or " + said
			}
			if n.url == "http://"+said {
				lead = n
			} else {
				other = n
			}
		}
		return lead != nil && other != nil, said
	})
	began := time.Now()
	strike(lead)
	api := harness.NewAPI(w.t, other.url)
	n := began.UnixNano() % 1e9
	harness.Await(w.t, patience, "another server takes a write", func() (bool, string) {
		n++
		res, err := api.Try("PUT", "/v2/apps/probe?force=true", app(fmt.Sprint("exec sleep ", n), 0, int(n)))
		return err == nil && res.Status/100 == 2 && res.Header.Get("X-Marathon-Leader") != lead.url, fmt.Sprint(res.Status, err)
	})
	return time.Since(began)
}

// load is apps that go up and down.
type load struct {
	acknowledged, launches atomic.Int64
	wanted                 map[string]int // as acknowledged last
}

// run changes one app after the other, at the pace of the wanted rate.
func (l *load) run(w *world, over <-chan struct{}) {
	pause := time.NewTicker(time.Duration(loadSize) * time.Second / time.Duration(2**rate))
	defer pause.Stop()
	for n := 0; ; n++ {
		select {
		case <-over:
			return
		case <-pause.C:
		}
		id, size := fmt.Sprintf("/v2/apps/load%d", n%loadApps), loadSize
		if n/loadApps%2 == 1 {
			size = 0
		}
		res, err := harness.NewAPI(w.t, w.nodes[n%servers].url).Try("PUT", id+"?force=true", app("exec sleep 1000", size, 0))
		if err == nil && res.Status/100 == 2 {
			l.acknowledged.Add(1)
			l.launches.Add(int64(size))
			l.wanted[id] = size
		} else {
			delete(l.wanted, id) // nobody knows until it is asked again (R2)
		}
	}
}

// rest waits until nothing is deployed any more and compares the tasks of the API, of Mesos, and what was acknowledged.
func (l *load) rest(w *world, master string) {
	w.t.Helper()
	harness.Await(w.t, patience, "the tasks of the API, those of Mesos and what was acknowledged are the same", func() (bool, string) {
		var apps struct {
			Apps []struct {
				ID        string
				Instances int
			}
		}
		var tasks struct{ Tasks []struct{ ID, AppID string } }
		if json.Unmarshal(w.get("/v2/apps").Body, &apps) != nil || json.Unmarshal(w.get("/v2/tasks").Body, &tasks) != nil || string(w.get("/v2/deployments").Body) != "[]" {
			return false, "deployments run"
		}
		known, per := map[string]bool{}, map[string]int{}
		for _, t := range tasks.Tasks {
			known[t.ID] = true
			per[t.AppID]++
		}
		there := l.mesos(w, master)
		if !maps.Equal(known, there) {
			return false, fmt.Sprintf("%d tasks in the API, %d in Mesos", len(known), len(there))
		}
		wanted := maps.Clone(l.wanted)
		for _, a := range apps.Apps {
			if n, told := wanted["/v2/apps"+a.ID]; per[a.ID] != a.Instances || told && n != a.Instances {
				return false, fmt.Sprintf("%s has %d tasks of %d, acknowledged were %d", a.ID, per[a.ID], a.Instances, n)
			}
			delete(wanted, "/v2/apps"+a.ID)
		}
		return len(wanted) == 0, fmt.Sprintf("lost: %v", wanted)
	})
}

// mesos lists the tasks that the master knows to be alive.
func (l *load) mesos(w *world, master string) map[string]bool {
	w.t.Helper()
	var state struct {
		Frameworks []struct{ Tasks []struct{ ID, State string } }
	}
	harness.NewAPI(w.t, "http://"+master).Get("/state", &state)
	out := map[string]bool{}
	for _, f := range state.Frameworks {
		for _, t := range f.Tasks {
			if !ended[t.State] {
				out[t.ID] = true
			}
		}
	}
	return out
}
