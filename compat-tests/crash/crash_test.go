package crash

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"stadion/compat-tests/harness"
)

var (
	seed  = flag.Uint64("crash.seed", 0, "seed of the random moments; 0: any")
	kills = flag.Int("crash.kills", 20, "how often the server is killed")
)

// worlds run side by side: most of the time a world waits for a lease to end.
const worlds = 2

func TestMain(m *testing.M) {
	flag.Parse()
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	harness.Main(m)
}

// TestKill: the server dies at random moments and nothing else does.
func TestKill(t *testing.T) {
	t.Parallel()
	t.Logf("seed %d", *seed)
	for n := range worlds {
		t.Run(fmt.Sprint("world ", n), func(t *testing.T) {
			t.Parallel()
			share := *kills / worlds
			if n < *kills%worlds {
				share++
			}
			live(t, *seed+uint64(n), share)
		})
	}
}

// stable is what lives through all rounds: an app, one with a volume, and a pod.
var stable = []operation{
	{"create an app", "PUT", "/v2/apps/stable", map[string]any{"cmd": "exec sleep 100000", "cpus": 0.01, "mem": 16, "instances": 3}, nil, size(3)},
	{"create an app with a volume", "PUT", "/v2/apps/stable-volume", map[string]any{"cmd": "exec sleep 100000", "cpus": 0.01, "mem": 16, "instances": 2,
		"container": map[string]any{"type": "MESOS", "volumes": []any{map[string]any{"containerPath": "data", "mode": "RW", "persistent": map[string]any{"size": 16}}}}},
		nil, size(2)},
	{"create a pod", "PUT", "/v2/pods/stable-pod", map[string]any{"id": "/stable-pod", "scaling": map[string]any{"kind": "fixed", "instances": 1},
		"containers": []any{container("a"), container("b")}}, nil, size(0)},
}

const stableTasks = 3 + 2 + 2

func container(name string) map[string]any {
	return map[string]any{"name": name, "resources": map[string]any{"cpus": 0.01, "mem": 16},
		"exec": map[string]any{"command": map[string]any{"shell": "exec sleep 100000"}}}
}

// live repeats the script until the server has died often enough, and once more to its end.
func live(t *testing.T, seed uint64, share int) {
	w := newWorld(t, seed)
	s := &script{t: t, w: w, pids: map[string]int{}}
	defer w.report(s)
	for _, op := range stable {
		s.do(op)
	}
	before := s.untouched()
	if len(before) != stableTasks {
		t.Fatalf("untouched tasks: %v, want %d", before, stableTasks)
	}
	done, stop, finished := make(chan error, 1), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(finished)
		done <- w.kill(share, stop)
	}()
	defer func() { // a failed script must not leave a killer behind
		close(stop)
		<-finished
	}()
	over := false
	for n := 0; !over; n++ {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			over = true
		default:
		}
		for _, op := range s.round(n) {
			s.do(op)
			if now := s.untouched(); !slices.Equal(now, before) {
				t.Fatalf("after %s: the untouched tasks are %v, they were %v", op.name, now, before)
			}
		}
	}
	for _, op := range stable {
		op.name, op.method, op.body, op.applied, op.expect = "delete "+op.path, "DELETE", nil, nil, size(0)
		s.do(op)
	}
	harness.NoneLeft(t, w.dir, processLimit)
}

// taskIDs are the ids of an app's tasks, sorted.
func taskIDs(a *app, _ bool) []string {
	var out []string
	for _, task := range a.Tasks {
		out = append(out, task.ID)
	}
	slices.Sort(out)
	return out
}

// cutQuery splits a path from its query and from the sub-resource of an operation.
func cutQuery(path string) (id, query string, ok bool) {
	id, query, ok = strings.Cut(path, "?")
	return strings.TrimSuffix(strings.TrimSuffix(id, "/restart"), "/tasks"), query, ok
}
