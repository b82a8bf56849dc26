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

// live repeats the script until the server has died often enough, and once more to its end.
func live(t *testing.T, seed uint64, share int) {
	w := newWorld(t, seed)
	s := &script{t: t, w: w, pids: map[string]int{}}
	defer w.report(s)
	s.do(operation{"create the untouched", "PUT", "/v2/apps/stable", map[string]any{"cmd": "exec sleep 1000", "cpus": 0.01, "mem": 16, "instances": stableTasks},
		func(a *app, found bool) bool { return found && a.Instances == stableTasks }, size(stableTasks)})
	stable := taskIDs(s.find("/v2/apps/stable"))
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
			if now := taskIDs(s.find("/v2/apps/stable")); !slices.Equal(now, stable) {
				t.Fatalf("after %s: the untouched app has tasks %v, it had %v", op.name, now, stable)
			}
		}
	}
	s.do(operation{"delete the untouched", "DELETE", "/v2/apps/stable", nil, func(_ *app, found bool) bool { return !found }, size(0)})
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
	return strings.TrimSuffix(id, "/restart"), query, ok
}
