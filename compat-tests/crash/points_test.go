package crash

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"stadion/compat-tests/harness"
)

var matrix = flag.Int("crash.points", 6, "how many pairs of a place to die and a workload are tried; 0: all")

// points are the places where the server kills itself, with the largest count: it dies when it comes there for a random
// time up to that (cmd/stadion/failpoints.go).
var points = map[string]int{"inside the load": 2, "after a step": 3, "after settling": 8, "before the commit": 5, "inside the commit": 3,
	"after the transaction": 8, "after the commit": 5, "before the events": 5, "before a launch": 3, "between launches": 1, "after a launch": 3,
	"before a kill": 2, "after a kill": 2, "after an update": 4, "before an ack": 4, "after a reconciliation": 2, "inside a compaction": 3, "before resigning": 1}

// workloads are those of Marathon's Jepsen suite. Each is repeated until the server has died; with every one comes what
// leads past all places: a group too large for one transaction, an app on several agents, an abdication, removals.
var workloads = map[string]func(*script, int) []operation{
	"app": func(s *script, n int) []operation {
		return []operation{{"create", "PUT", "/v2/apps/web?force=true", sleeper(n, 2), nil, size(2)}}
	},
	"instances": func(s *script, n int) []operation {
		return []operation{{"create", "PUT", "/v2/apps/web?force=true", sleeper(n, 3), nil, size(3)},
			{"kill its tasks", "DELETE", "/v2/apps/web/tasks?force=true", nil, nil, both(size(3), keepsNone)}}
	},
	"pod": func(s *script, n int) []operation {
		pod := func(image string) map[string]any {
			return map[string]any{"id": "/web", "environment": map[string]any{"GENERATION": image}, "scaling": map[string]any{"kind": "fixed", "instances": 2},
				"scheduling": map[string]any{"upgrade": map[string]any{"maximumOverCapacity": 0, "minimumHealthCapacity": 0}},
				"containers": []any{container("a"), container("b")}}
		}
		return []operation{{"create a pod", "PUT", "/v2/pods/web?force=true", pod(fmt.Sprint(n, "a")), nil, s.lists("web", 4)},
			{"change a pod", "PUT", "/v2/pods/web?force=true", pod(fmt.Sprint(n, "b")), nil, s.lists("web", 4)}}
	},
	"destroy": func(s *script, n int) []operation {
		gone := func(_ *app, found bool) bool { return !found }
		return []operation{{"create", "PUT", "/v2/apps/web?force=true", sleeper(n, 3), nil, size(3)},
			{"destroy", "DELETE", "/v2/apps/web?force=true", nil, gone, size(0)}}
	},
	"groups": func(s *script, n int) []operation {
		return []operation{{"create a group", "PUT", "/v2/groups/web?force=true", chain(fmt.Sprint(n, "a"), "db", "api", "ui"), nil, s.lists("web", 3)},
			{"change a group", "PUT", "/v2/groups/web?force=true", chain(fmt.Sprint(n, "b"), "db", "api", "ui"), nil, s.lists("web", 3)}}
	},
	"abdication": func(s *script, n int) []operation {
		return []operation{{"create", "PUT", "/v2/apps/web?force=true", sleeper(n, 2), nil, size(2)}, abdicate,
			{"scale up", "PUT", "/v2/apps/web?force=true", map[string]any{"instances": 4}, nil, both(size(4), keepsAll)}}
	},
	"scale": func(s *script, n int) []operation {
		return []operation{{"create", "PUT", "/v2/apps/web?force=true", sleeper(n, 1), nil, size(1)},
			{"scale up", "PUT", "/v2/apps/web?force=true", map[string]any{"instances": 6}, nil, both(size(6), keepsAll)},
			{"scale down", "PUT", "/v2/apps/web?force=true", map[string]any{"instances": 2}, nil, both(size(2), startsNone)}}
	},
}

var abdicate = operation{"abdicate", "DELETE", "/v2/leader", nil, nil, size(0)}

func sleeper(n, instances int) map[string]any {
	return map[string]any{"cmd": "exec sleep 100000", "cpus": 0.01, "mem": 16, "instances": instances, "env": map[string]string{"GENERATION": strconv.Itoa(n)}}
}

// chain is a group of apps that depend on each other, and of more that run nothing: too many rows for one transaction of
// the small etcd limit that these tests set.
func chain(generation string, ids ...string) map[string]any {
	var apps []any
	before := ""
	for _, id := range ids {
		a := map[string]any{"id": id, "cmd": "exec sleep 100000", "cpus": 0.01, "mem": 16, "env": map[string]string{"GENERATION": generation}}
		if before != "" {
			a["dependencies"] = []string{"/web/" + before}
		}
		apps, before = append(apps, a), id
	}
	for n := range 12 {
		apps = append(apps, map[string]any{"id": fmt.Sprint("none", n), "cmd": "exec sleep " + generation, "instances": 0})
	}
	return map[string]any{"apps": apps}
}

// lists expects so many tasks whose names begin so.
func (s *script) lists(prefix string, want int) func(_, _ []string) string {
	return func(_, _ []string) string {
		var found []string
		for _, t := range s.listed() {
			if strings.HasPrefix(t.ID, prefix) {
				found = append(found, t.ID)
			}
		}
		if len(found) != want {
			return fmt.Sprintf("%v are listed, want %d", found, want)
		}
		return ""
	}
}

// TestPoints: the server dies at a named place of a workload and nothing else does (F1). No acknowledged change is
// lost, every deployment ends, tasks and processes are the same, and what nobody touched lives on.
func TestPoints(t *testing.T) {
	t.Parallel()
	var pairs [][2]string
	for point := range points {
		for name := range workloads {
			pairs = append(pairs, [2]string{point, name})
		}
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return strings.Compare(a[0]+"/"+a[1], b[0]+"/"+b[1]) })
	rng := rand.New(rand.NewPCG(*seed, 1))
	rng.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
	if *matrix > 0 {
		pairs = pairs[:min(*matrix, len(pairs))]
	}
	t.Logf("seed %d", *seed)
	for _, p := range pairs {
		count := 1 + rng.IntN(points[p[0]])
		t.Run(p[0]+"/"+p[1], func(t *testing.T) {
			t.Parallel()
			dieAt(t, p[0], count, workloads[p[1]])
		})
	}
}

// rounds bounds how often a workload is repeated until the server has come to its place.
const rounds = 4

func dieAt(t *testing.T, point string, count int, workload func(*script, int) []operation) {
	w := newPlace(t)
	s := &script{t: t, w: w, pids: map[string]int{}}
	s.do(operation{"create what is not touched", "PUT", "/v2/apps/stable", sleeper(0, 2), nil, size(2)})
	before := s.untouched()
	w.server.Stop()
	v := supervise(w, fmt.Sprintf("STADION_DIE_AT=%s:%d", point, count))
	defer v.end()
	for n := 0; n < rounds && !v.died(); n++ {
		common := []operation{{"create many", "PUT", "/v2/groups/many?force=true", chain(strconv.Itoa(n)), nil, size(0)},
			{"create on several agents", "PUT", "/v2/apps/more?force=true", sleeper(n, 3), nil, size(3)}, abdicate,
			removal(s, "/v2/apps/more"), removal(s, "/v2/groups/web"), removal(s, "/v2/pods/web"), removal(s, "/v2/apps/web")}
		for _, op := range append(workload(s, n), common...) {
			if op.method == "DELETE" && !s.exists(op) {
				continue
			}
			s.do(op)
			if now := s.untouched(); !slices.Equal(now, before) {
				t.Fatalf("after %s: the untouched tasks are %v, they were %v", op.name, now, before)
			}
		}
	}
	// A compaction comes by itself, not by operations, and the terms of a fast machine may have been too short for it.
	harness.Await(t, processLimit, fmt.Sprintf("the server comes %s for the %d. time", point, count), func() (bool, string) { return v.died(), "it lives" })
	t.Logf("died %s for the %d. time; %d operations, %d acknowledged", point, count, s.operations, s.acknowledged)
}

func removal(s *script, path string) operation {
	return operation{"remove " + path, "DELETE", path + "?force=true", nil, func(*app, bool) bool { return !s.there(path) }, size(0)}
}

// there tells whether a GET finds something.
func (s *script) there(path string) bool { s.t.Helper(); return s.read(path).Status == 200 }

// exists tells whether there is something for a DELETE.
func (s *script) exists(op operation) bool {
	path, _, _ := cutQuery(op.path)
	return op.path == abdicate.path || s.there(path)
}

// newPlace is a world with several agents that each take one launch per offer, and an etcd whose transactions hold
// little.
func newPlace(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	harness.KillLeftovers(t, w.dir)
	ports := harness.NewPorts(t)
	etcd := harness.StartEtcd(t, ports)
	_, master := harness.Minimesos(t, w.dir, "--agents", "3")
	w.args = []string{"server", "--master", master, "--etcd_endpoints", etcd.Endpoint, "--http_address", "127.0.0.1", "--http_port", strconv.Itoa(ports.Next(t)),
		"--hostname", "127.0.0.1", "--etcd_lease_ttl", leaseTTL, "--etcd_max_txn_ops", "8", "--max_instances_per_offer", "1"}
	w.server = harness.Start(t, w.args...)
	w.api = harness.NewAPI(t, w.server.Ready())
	return w
}

// supervisor starts a server again whenever it ends, as systemd does. Until one has died at its place all are to.
type supervisor struct {
	mu     sync.Mutex
	server *harness.Process
	over   bool
	deaths int
	done   chan struct{}
}

// killed is the exit code of a process that SIGKILL ended.
const killed = 128 + 9

func supervise(w *world, place string) *supervisor {
	v := &supervisor{server: harness.StartEnv(w.t, []string{place}, w.args...), done: make(chan struct{})}
	go func() {
		defer close(v.done)
		for server := v.server; ; {
			code := server.Wait()
			v.mu.Lock()
			if v.over {
				v.mu.Unlock()
				return
			}
			if code == killed {
				v.deaths++
			}
			var env []string
			if v.deaths == 0 {
				env = []string{place}
			}
			server = harness.StartEnv(w.t, env, w.args...)
			v.server = server
			v.mu.Unlock()
		}
	}()
	return v
}

func (v *supervisor) died() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.deaths > 0
}

func (v *supervisor) end() {
	v.mu.Lock()
	v.over = true
	v.mu.Unlock()
	v.server.Kill()
	<-v.done
}
