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
	size  = flag.Int("cluster.size", 20, "instances of each app of the load when it is up")
	pause = flag.Duration("cluster.pause", time.Second, "until a killed server is started again")
	calm  = flag.Duration("cluster.calm", 300*time.Millisecond, "longest time between the return of a killed server and the next kill")
)

const (
	loadClients = 4
	loadApps    = 5 // of each client
	loadTTL     = "5"
	handOvers   = 3
	steadyTasks = 20
)

// TestFailoverUnderLoad: apps go up and down all the time, and the leader is killed over and over. Another server
// answers writes soon (P25), after a planned hand-over sooner (P26). From the first launch to the last no task id is
// used twice, no instance has two tasks and what nobody touches lives on and is shown by every read; at the end the tasks of the API, those of
// Mesos and what was acknowledged are the same: none lost, none double, no orphan.
//
//	go test ./cluster -run Failover -v -cluster.kills 100 -cluster.rate 1500 -cluster.size 50 -cluster.calm 2s
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
	_, _, end := w.keepUp()
	defer end()
	over := make(chan struct{})
	var clients sync.WaitGroup
	lives := harness.FollowMaster(t, master, "steady.")
	w.put("/v2/apps/probe", app("exec sleep 100000", 0, 0))
	w.put("/v2/apps/steady", app("exec sleep 100000", steadyTasks, 0))
	harness.Await(t, patience, "the steady app runs", func() (bool, string) {
		n := len(lives.Living())
		return n == steadyTasks, fmt.Sprint(n, " tasks")
	})

	l := &load{wanted: map[string]int{}, lives: lives}
	for id := range loadClients {
		clients.Go(func() { l.run(w, id, over) })
	}
	clients.Go(func() { l.look(w, over) })
	var gaps, planned, between []time.Duration
	launched := 0 // between the kills
	rng := rand.New(rand.NewPCG(1, 2))
	for range *kills {
		began, before := time.Now(), lives.Launches()
		gaps = append(gaps, w.gap(func(n *node) {
			time.Sleep(time.Duration(rng.Int64N(int64(*calm)))) // at any moment of the load
			between, launched = append(between, time.Since(began)), launched+lives.Launches()-before
			n.signal(9)
		}))
	}
	for range handOvers {
		planned = append(planned, w.gap(func(n *node) { _, _ = harness.NewAPI(t, n.url).Try("DELETE", "/v2/leader", nil) }))
	}
	close(over)
	clients.Wait()
	t.Logf("%d writes acknowledged, %d reads, %d tasks launched, %.0f/s between the kills; without a write: kill -9 %s, hand-over %s", l.acknowledged.Load(), l.reads.Load(),
		lives.Launches(), float64(launched)/sum(between).Seconds(), spread(gaps), spread(planned))
	l.rest(w)
	lives.Judge(t)
	end()
}

func sum(d []time.Duration) (total time.Duration) {
	for _, x := range d {
		total += x
	}
	return total
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

// gap ends the term of the leader and tells for how long no write through another server is acknowledged.
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
	strike(lead)
	began := time.Now() // of the gap: the end of the term, or the last write that was taken in it (a leader that was asked to leave takes some)
	api := harness.NewAPI(w.t, other.url)
	n := began.UnixNano() % 1e9
	harness.Await(w.t, patience, "another server takes a write", func() (bool, string) {
		n++
		res, err := api.Try("PUT", "/v2/apps/probe?force=true", app(fmt.Sprint("exec sleep ", n), 0, int(n)))
		taken := err == nil && res.Status/100 == 2
		if taken && res.Header.Get("X-Marathon-Leader") == lead.url {
			began = time.Now()
			taken = false
		}
		return taken, fmt.Sprint(res.Status, err)
	})
	return time.Since(began)
}

// load is apps that go up and down.
type load struct {
	lives               *harness.Chronicle
	acknowledged, reads atomic.Int64
	mu                  sync.Mutex
	wanted              map[string]int // as acknowledged last
}

// run is one client, which changes one of its apps after the other, at its share of the wanted rate.
func (l *load) run(w *world, client int, over <-chan struct{}) {
	pause := time.NewTicker(time.Duration(*size*loadClients) * time.Second / time.Duration(2**rate))
	defer pause.Stop()
	for n := 0; ; n++ {
		select {
		case <-over:
			return
		case <-pause.C:
		}
		id, up := fmt.Sprintf("/v2/apps/load%d-%d", client, n%loadApps), *size
		if n/loadApps%2 == 1 {
			up = 0
		}
		res, err := harness.NewAPI(w.t, w.nodes[(client+n)%servers].url).Try("PUT", id+"?force=true", app("exec sleep 100000", up, 0))
		l.told(id, up, err == nil && res.Status/100 == 2)
	}
}

// look reads what nobody touches all the time, through every server: whatever answer comes must show it (R11).
func (l *load) look(w *world, over <-chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-over:
			return
		case <-time.After(time.Millisecond):
		}
		res, err := harness.NewAPI(w.t, w.nodes[n%servers].url).Try("GET", "/v2/apps/steady/tasks", nil)
		if err != nil || res.Status >= http.StatusInternalServerError {
			continue // that much is said openly
		}
		var list struct{ Tasks []struct{ State string } }
		if res.Status != http.StatusOK || json.Unmarshal(res.Body, &list) != nil || len(list.Tasks) != steadyTasks {
			w.t.Errorf("a read of %d tasks that nobody touches: %d %.300s", steadyTasks, res.Status, res.Body)
		}
		l.reads.Add(1)
	}
}

// told notes what a client knows of an app: without an answer nothing, until it is asked again (R2).
func (l *load) told(id string, instances int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !ok {
		delete(l.wanted, id)
		return
	}
	l.acknowledged.Add(1)
	l.wanted[id] = instances
}

// rest waits until nothing is deployed any more and compares the tasks of the API, of Mesos, and what was acknowledged.
func (l *load) rest(w *world) {
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
		if there := l.lives.Living(); !maps.Equal(known, there) {
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
