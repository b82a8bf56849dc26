package cluster

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

var (
	seed   = flag.Uint64("cluster.seed", 0, "seed of faults and clients; 0: any")
	length = flag.Duration("cluster.for", 8*time.Second, "how long things go wrong")
	only   = flag.String("cluster.faults", "", "only faults whose name matches this expression")
	every  = flag.Duration("cluster.every", 400*time.Millisecond, "mean time from the end of a fault to the next one")
	least  = flag.Float64("cluster.available", 0, "least share of the time in which writes are acknowledged, by quarters of a second")
)

func TestMain(m *testing.M) { harness.Main(m) }

// rolling is upgraded over and over: from 4 instances at most one more may live, at least two must.
const (
	rollingMost  = 5
	rollingLeast = 2
	stableTasks  = 3
)

func app(cmd string, instances int, generation int) map[string]any {
	return map[string]any{"cmd": cmd, "cpus": 0.01, "mem": 16, "instances": instances, "env": map[string]string{"GENERATION": fmt.Sprint(generation)},
		"backoffSeconds": 0, "upgradeStrategy": map[string]any{"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0.25}}
}

// TestCluster: whatever goes wrong with servers, etcd and the network, no acknowledged write is lost and registers are
// linearizable, upgrades keep to their capacity, nothing runs twice or unknown, what nobody touched lives on, and all
// goes on when it is over (R1 to R10, F2, F3, F5, F8, F13). F2 alone and in full:
//
//	go test ./cluster -run 'TestCluster$' -v -timeout 2h -cluster.for 1h -cluster.faults 'kill -9' -cluster.every 3s -cluster.available 0.6
func TestCluster(t *testing.T) {
	t.Parallel()
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("seed %d", *seed)
	w := newWorld(t, *seed)
	beside, stop, end := w.keepUp()
	defer end()
	w.put("/v2/apps/stable", app("exec sleep 100000", stableTasks, 0))
	w.put("/v2/apps/rolling", app("exec sleep 100000", 4, 0))
	w.settle("stable", stableTasks)
	w.settle("rolling", 4)
	before := tasksOf(harness.TaskPids(t, w.dir), "stable")

	l := &listener{running: map[string]bool{}}
	beside.Go(func() { w.listen(l, stop) })
	over := time.Now().Add(*length)
	h := &history{began: time.Now()}
	var clients sync.WaitGroup
	for id := range 4 {
		rng := rand.New(rand.NewPCG(*seed, uint64(id)+1))
		clients.Go(func() { w.work(h, id+1, rng, over) })
	}
	upgrades := 0
	clients.Go(func() { upgrades = w.upgrade(over) })
	var bad []string
	clients.Go(func() { bad = w.watch(over) })
	raged := make(chan error, 1)
	go func() { raged <- w.rage(over) }()
	clients.Wait()
	if err := <-raged; err != nil {
		t.Fatal(err)
	}
	share := h.available(*length)
	t.Logf("faults: %v; %d upgrades acknowledged; writes were acknowledged in %.1f %% of the time", w.done, upgrades, 100*share)
	if share < *least {
		t.Errorf("writes were acknowledged in %.1f %% of the time, at least %.1f %% are wanted", 100*share, 100**least)
	}
	for _, b := range bad {
		t.Error(b)
	}

	// All is healed. Writes are taken again, deployments end, everything is as the clients were told.
	healed := time.Now()
	w.put("/v2/apps/rolling?force=true", app("exec sleep 100000", 4, 1_000_000))
	t.Logf("a write is taken %s after the last fault", time.Since(healed).Round(time.Millisecond))
	w.settle("rolling", 4)
	w.settle("stable", stableTasks)
	if after := tasksOf(harness.TaskPids(t, w.dir), "stable"); !maps.EqualFunc(before, after, slices.Equal) {
		t.Errorf("processes of what nobody touched: %v, were %v", after, before)
	}
	for key := range 3 {
		began := h.since()
		if v, ok := valueOf(w.get(fmt.Sprintf("/v2/apps/register%d", key))); ok {
			h.add(porcupineRead(key, v, began, h.since()))
		}
	}
	h.linearizable(t)
	w.heard(l)
	end()
}

// put repeats a write until it is acknowledged.
func (w *world) put(path string, body any) {
	w.t.Helper()
	n := 0
	harness.Await(w.t, patience, "PUT "+path, func() (bool, string) {
		n++
		res, err := harness.NewAPI(w.t, w.nodes[n%servers].url).Try("PUT", path, body)
		return err == nil && res.Status/100 == 2, fmt.Sprint(res.Status, " ", string(res.Body), err)
	})
}

// get repeats a read until some leader answers.
func (w *world) get(path string) (out harness.Answer) {
	w.t.Helper()
	n := 0
	harness.Await(w.t, patience, "GET "+path, func() (bool, string) {
		n++
		res, err := harness.NewAPI(w.t, w.nodes[n%servers].url).Try("GET", path, nil)
		out = res
		return err == nil && res.Status < 500, fmt.Sprint(res.Status, err)
	})
	return out
}

// settle waits until no deployment runs, and the tasks of an app and the processes are the same and so many.
func (w *world) settle(id string, want int) {
	w.t.Helper()
	harness.Await(w.t, patience, id+" comes to rest", func() (bool, string) {
		var list struct{ Tasks []struct{ ID, State string } }
		open, tasks := w.get("/v2/deployments"), w.get("/v2/apps/"+id+"/tasks")
		pids := tasksOf(harness.TaskPids(w.t, w.dir), id)
		ok := string(open.Body) == "[]" && json.Unmarshal(tasks.Body, &list) == nil && len(list.Tasks) == want && len(pids) == want
		for _, t := range list.Tasks {
			ok = ok && t.State == "TASK_RUNNING" && len(pids[t.ID]) == 1
		}
		return ok, fmt.Sprintf("deployments %s, tasks %v, processes %v", open.Body, list.Tasks, pids)
	})
}

func tasksOf(pids map[string][]int, id string) map[string][]int {
	out := map[string][]int{}
	for task, p := range pids {
		if strings.HasPrefix(task, id+".") {
			out[task] = p
		}
	}
	return out
}

// upgrade replaces the rolling app over and over.
func (w *world) upgrade(end time.Time) (acknowledged int) {
	for n := 1; time.Now().Before(end); n++ {
		res, err := harness.NewAPI(w.t, w.nodes[n%servers].url).Try("PUT", "/v2/apps/rolling?force=true", app("exec sleep 100000", 4, n))
		if err == nil && res.Status == http.StatusOK {
			acknowledged++
		}
		time.Sleep(700 * time.Millisecond) // the pace of a client
	}
	return acknowledged
}

// watch looks at the processes themselves: the truth that no server can colour. A look takes a while, so two in a row
// are taken together: what both saw lived between them, and whatever lived between them was seen by one of them.
func (w *world) watch(end time.Time) (bad []string) {
	last := map[string][]int{}
	for first := true; time.Now().Before(end); first = false {
		now, err := look(w.dir)
		if err != nil {
			return append(bad, err.Error())
		}
		for task, p := range now {
			if len(p) > 1 && slices.Equal(p, last[task]) {
				bad = append(bad, fmt.Sprintf("task %s has processes %v", task, p))
			}
		}
		either, both := maps.Clone(now), map[string][]int{}
		for task, p := range last {
			if _, still := now[task]; still {
				both[task] = p
			}
			either[task] = p
		}
		if n := len(tasksOf(either, "stable")); n != stableTasks {
			bad = append(bad, fmt.Sprintf("%d processes of what nobody touches", n))
		}
		if least, most := len(tasksOf(either, "rolling")), len(tasksOf(both, "rolling")); !first && (most > rollingMost || least < rollingLeast) {
			bad = append(bad, fmt.Sprintf("%d to %d processes of the rolling app, allowed are %d to %d", most, least, rollingLeast, rollingMost))
		}
		last = now
		time.Sleep(20 * time.Millisecond) // between two looks
	}
	return bad
}

// look lists the processes of each task.
func look(dir string) (map[string][]int, error) {
	all, err := harness.Processes(dir)
	out := map[string][]int{}
	for _, p := range all {
		if p.TaskID != "" {
			out[p.TaskID] = append(out[p.TaskID], p.Pid)
		}
	}
	return out, err
}

// heard compares what the event stream told with what is there.
func (w *world) heard(l *listener) {
	w.t.Helper()
	harness.Await(w.t, patience, "the listener knows what runs", func() (bool, string) {
		var list struct{ Tasks []struct{ ID string } }
		if json.Unmarshal(w.get("/v2/tasks").Body, &list) != nil {
			return false, "no tasks"
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		ok := len(list.Tasks) == len(l.running)
		for _, t := range list.Tasks {
			ok = ok && l.running[t.ID]
		}
		return ok, fmt.Sprintf("tasks %v, heard %v", list.Tasks, l.running)
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	w.t.Logf("%d event streams", l.streams)
	for _, b := range l.bad {
		w.t.Errorf("event ids do not grow: %s", b)
	}
}
