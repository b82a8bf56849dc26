package stateful

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

var (
	seed        = flag.Uint64("stateful.seed", 0, "seed of the random moments; 0: any")
	serverKills = flag.Int("stateful.kills", 20, "how often the server dies under the counter")
)

const killMoment = 700 * time.Millisecond // the server dies within this time after a change

// counter is a service that counts into a file on its volume.
type counter struct {
	*world
	script string
	volume string                       // persistence id
	at     func() (task, volume string) // where it runs
}

func (w *world) counter() *counter {
	c := &counter{world: w, script: w.script("counter.sh")}
	c.at = func() (string, string) {
		t := w.running("/counter", 1)[0]
		if len(t.LocalVolumes) != 1 {
			w.Fatalf("task %+v has no volume", t)
		}
		return t.ID, t.LocalVolumes[0].PersistenceID
	}
	return c
}

func (c *counter) app(word string) object {
	return object{"id": "/counter", "cmd": "exec bash " + c.script, "cpus": 0.1, "mem": 32, "instances": 1, "env": object{"WORD": word},
		"portDefinitions": []any{}, "backoffSeconds": 1, "backoffFactor": 1, "container": volume()}
}

// lines are the counter's lines; the numbers must be 1, 2, 3 ... and nobody may
// have found a second writer.
func (c *counter) lines() []string {
	c.Helper()
	task, id := c.at()
	if c.volume != id {
		if c.volume != "" {
			c.Fatalf("the volume was %s, is %s", c.volume, id)
		}
		c.volume = id
	}
	data := filepath.Join(c.sandbox(task), "data")
	if text, err := os.ReadFile(filepath.Join(data, "second")); err == nil {
		c.Fatalf("two writers at once: %s", text)
	}
	text, err := os.ReadFile(filepath.Join(data, "count"))
	if err != nil && !os.IsNotExist(err) {
		c.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	lines = lines[:len(lines)-1]
	for n, line := range lines {
		if !strings.HasPrefix(line, fmt.Sprintf("%d ", n+1)) {
			c.Fatalf("line %d of %d is %q", n+1, len(lines), line)
		}
	}
	return lines
}

// goesOn waits until the counter has grown by a line that accept accepts.
func (c *counter) goesOn(what string, accept func(line string) bool) {
	c.Helper()
	before := len(c.lines())
	harness.Await(c, limit, what, func() (bool, string) {
		lines := c.lines()
		if len(lines) < before {
			c.Fatalf("%s: %d lines were there, %d are left", what, before, len(lines))
		}
		if len(lines) == before {
			return false, "no new line"
		}
		last := lines[len(lines)-1]
		return accept(last), last
	})
}

func anyLine(string) bool { return true }

// TestCounter: data on a volume outlive restarts, upgrades, the server's death at any
// moment and the death of the agent's process (I4, I6).
func TestCounter(t *testing.T) {
	t.Parallel()
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("seed %d", *seed)
	rng := rand.New(rand.NewPCG(*seed, 0))
	w := newWorld(t)
	c := w.counter()
	w.Must("PUT", "/v2/apps/counter", c.app("one"), 201)
	w.quiet()
	c.goesOn("it counts", anyLine)
	t1 := w.running("/counter", 1)[0].ID
	w.Must("POST", "/v2/apps/counter/restart", nil, 200)
	w.quiet()
	c.goesOn("it counts after a restart", func(line string) bool { return !strings.Contains(line, t1) })

	for n := range *serverKills {
		word := fmt.Sprint("word", n)
		w.Must("PUT", "/v2/apps/counter", c.app(word), 200)
		time.Sleep(time.Duration(rng.Int64N(int64(killMoment)))) // the random moment
		w.server.Kill()
		w.startServer()
		w.quiet()
		c.goesOn(word+" counts", func(line string) bool { return strings.HasSuffix(line, " "+word) })
		w.holds(1)
	}

	before := w.running("/counter", 1)[0].ID
	w.mesos.Kill()
	w.startMesos()
	c.goesOn("it counts on without master and agent", anyLine)
	w.Must("PUT", "/v2/apps/counter", c.app("last"), 200)
	w.quiet()
	c.goesOn("it is upgraded after the agent's return", func(line string) bool { return strings.HasSuffix(line, " last") })
	if now := w.running("/counter", 1)[0].ID; now == before {
		t.Errorf("task %s was not upgraded", now)
	}
	t.Logf("%d numbers, %d server starts", len(c.lines()), w.serverStarts)
	w.Must("DELETE", "/v2/apps/counter", nil, 200)
	w.quiet()
	w.holds(0)
	harness.NoneLeft(t, w.dir, limit)
}

// TestRelease: volumes and reservations end with a wiped task and with a deleted app.
// Nothing else ends them: instances that are scaled away rest on their volumes and
// wake up on them (behaviour 1.8, 2.7).
func TestRelease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	app := object{"id": "/db", "cmd": "echo here >> data/log; exec sleep 1000", "cpus": 0.1, "mem": 32, "instances": 3, "portDefinitions": []any{},
		"backoffSeconds": 1, "backoffFactor": 1, "container": volume()}
	w.Must("PUT", "/v2/apps/db", app, 201)
	w.quiet()
	three := w.holds(3)
	tasks := w.running("/db", 3)
	w.Must("DELETE", "/v2/apps/db/tasks/"+tasks[0].ID, nil, 200)
	harness.Await(t, limit, "a killed task returns to its volume", func() (bool, string) {
		now := w.running("/db", 3)
		text := fmt.Sprint(now)
		return !strings.Contains(text, tasks[0].ID) && strings.Contains(text, tasks[0].LocalVolumes[0].PersistenceID), text
	})
	if now := w.holds(3); strings.Join(sorted(now), " ") != strings.Join(sorted(three), " ") {
		t.Errorf("volumes were %v, are %v", three, now)
	}
	victim := w.running("/db", 3)[1]
	w.Must("DELETE", "/v2/apps/db/tasks/"+victim.ID+"?wipe=true", nil, 200)
	w.forgotten("/v2/apps/db/tasks", victim.ID)
	harness.Await(t, limit, "a wiped task's volume is destroyed and replaced", func() (bool, string) {
		now := w.holds(3)
		return !strings.Contains(fmt.Sprint(now), victim.LocalVolumes[0].PersistenceID), fmt.Sprint(now)
	})
	w.running("/db", 3)
	volumes := sorted(w.holds(3))
	w.Must("PUT", "/v2/apps/db", object{"instances": 1}, 200)
	w.quiet()
	resting := w.rest(1, 2)
	if now := sorted(w.holds(3)); !slices.Equal(now, volumes) {
		t.Errorf("scaling down: volumes were %v, are %v", volumes, now)
	}
	w.Must("DELETE", "/v2/apps/db/tasks/"+resting[0].ID+"?wipe=true", nil, 200)
	w.forgotten("/v2/apps/db/tasks", resting[0].ID)
	w.rest(1, 1)
	if now := fmt.Sprint(w.holds(2)); strings.Contains(now, resting[0].LocalVolumes[0].PersistenceID) {
		t.Errorf("the wiped volume %s is among %s", resting[0].LocalVolumes[0].PersistenceID, now)
	}
	w.Must("PUT", "/v2/apps/db", object{"instances": 2}, 200)
	w.quiet()
	if now := fmt.Sprint(w.running("/db", 2)); !strings.Contains(now, resting[1].LocalVolumes[0].PersistenceID) {
		t.Errorf("scaled up, yet volume %s is not used again: %s", resting[1].LocalVolumes[0].PersistenceID, now)
	}
	w.holds(2)
	w.Must("DELETE", "/v2/apps/db", nil, 200)
	w.quiet()
	w.holds(0)
	harness.NoneLeft(t, w.dir, limit)
}

// forgotten checks that nothing shows what was wiped, from the answer on (D-52), though its volume may still be there.
func (w *world) forgotten(path, id string) {
	w.Helper()
	if body := string(w.Must("GET", path, nil, 200).Body); strings.Contains(body, id) {
		w.Errorf("%s is wiped, yet shown: %s", id, body)
	}
}

// rest waits until n tasks run and others rest, and returns these.
func (w *world) rest(n, others int) []task {
	w.Helper()
	var out []task
	harness.Await(w, limit, fmt.Sprintf("%d tasks run and %d rest", n, others), func() (bool, string) {
		var list struct{ Tasks []task }
		w.Get("/v2/apps/db/tasks", &list)
		out = slices.DeleteFunc(slices.Clone(list.Tasks), func(t task) bool { return t.State != "TASK_KILLED" })
		return len(out) == others && len(list.Tasks) == n+others, fmt.Sprintf("%+v", list.Tasks)
	})
	return out
}
