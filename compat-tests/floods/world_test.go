package floods

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

// patience is for what comes as fast as the machine can.
const patience = 10 * time.Minute

func TestMain(m *testing.M) { harness.Main(m) }

type object = map[string]any

// world is an etcd, a cluster of simulated agents and one server.
type world struct {
	*testing.T
	server *harness.Process
	api    *harness.API
	master *harness.API
	faults *harness.API
	lives  *harness.Chronicle
}

const resources = "cpus:1000;mem:1000000;disk:1000000;ports:[10000-60000]"

func newWorld(t *testing.T, agents int, flags ...string) *world {
	t.Helper()
	ports := harness.NewPorts(t)
	side := strconv.Itoa(ports.Next(t))
	w := &world{T: t, faults: harness.NewAPI(t, "http://127.0.0.1:"+side)}
	etcd := harness.StartEtcd(t, ports)
	_, master := harness.Minimesos(t, t.TempDir(), append([]string{"--simulated", "--agents", strconv.Itoa(agents), "--resources", resources,
		"--allocation_interval", "100", "--faults_port", side}, flags...)...)
	w.master = harness.NewAPI(t, "http://"+master)
	w.lives = harness.FollowMaster(t, master, "steady.")
	w.server = harness.Start(t, "server", "--master", master, "--etcd_endpoints", etcd.Endpoint, "--http_address", "127.0.0.1",
		"--http_port", strconv.Itoa(ports.Next(t)), "--hostname", "127.0.0.1", "--etcd_lease_ttl", "60")
	w.api = harness.NewAPI(t, w.server.Ready())
	return w
}

func app(id string, instances int, more object) object {
	a := object{"id": id, "cmd": "sleep 100000", "cpus": 0.01, "mem": 1, "instances": instances, "portDefinitions": []any{},
		"backoffSeconds": 1, "backoffFactor": 1}
	maps.Copy(a, more)
	return a
}

// fault makes the master misbehave; args are key=value.
func (w *world) fault(name string, args ...string) {
	w.Helper()
	w.faults.Must(http.MethodPost, "/"+name+"?"+strings.Join(args, "&"), nil, 200)
}

// account is the master's book of answers; see minimesos.Account.
type account struct {
	Offers, Inverse struct{ Made, Open, Answered, TakenBy, Late, Again, Strange int }
	Updates         struct{ Made, Sent, Acknowledged, Open, TooOften, Strange int }
	Launches        int
	Dropped         int
	Kills           map[string]int
}

func (w *world) account() (a account) {
	w.Helper()
	w.faults.Get("/account", &a)
	return a
}

// awaitAccount waits for a state of the account.
func (w *world) awaitAccount(what string, ok func(account) bool) (a account) {
	w.Helper()
	harness.Await(w, patience, what, func() (bool, string) {
		a = w.account()
		return ok(a), fmt.Sprintf("%+v", a)
	})
	return a
}

// task is what must not change by an update that says nothing new.
type task struct {
	ID, State, StagedAt, StartedAt, Version, SlaveID string
}

// running waits until all tasks of an app run and no deployment does, and returns them by id.
func (w *world) running(id string, n int) map[string]task {
	w.Helper()
	var out map[string]task
	harness.Await(w, patience, fmt.Sprintf("%s has %d running tasks", id, n), func() (bool, string) {
		var a struct {
			App struct {
				TasksRunning int
				Tasks        []task
				Deployments  []any
			}
		}
		w.api.Get("/v2/apps"+id+"?embed=app.tasks&embed=app.deployments&embed=app.counts", &a)
		out = map[string]task{}
		for _, x := range a.App.Tasks {
			out[x.ID] = x
		}
		return a.App.TasksRunning == n && len(out) == n && len(a.App.Deployments) == 0, fmt.Sprintf("%d running", a.App.TasksRunning)
	})
	return out
}

// settled: tasks of the API and of the master are the same, and nothing was lost, doubled or ended that must not be.
func (w *world) settled() {
	w.Helper()
	harness.Await(w, patience, "API and master have the same tasks", func() (bool, string) {
		var list struct{ Tasks []task }
		w.api.Get("/v2/tasks", &list)
		there, here := slices.Sorted(maps.Keys(w.lives.Living())), []string{}
		for _, x := range list.Tasks {
			here = append(here, x.ID)
		}
		slices.Sort(here)
		return slices.Equal(here, there), fmt.Sprintf("%d in the API, %d at the master: %.300s", len(here), len(there), fmt.Sprint(here, there))
	})
	w.lives.Judge(w)
}

// clients ask the API all the time; every answer must be a good one.
type clients struct {
	w      *world
	cancel context.CancelFunc
	done   sync.WaitGroup
	mu     sync.Mutex
	took   map[string][]time.Duration
	bad    []string
	began  time.Time
	cpu    time.Duration
	rss    int // MiB, when they began
}

const pace = 20 * time.Millisecond // between two requests

func (w *world) clients() *clients {
	w.Helper()
	w.api.Must(http.MethodPut, "/v2/apps/poke", app("/poke", 0, nil), 200, 201)
	ctx, cancel := context.WithCancel(context.Background())
	c := &clients{w: w, cancel: cancel, took: map[string][]time.Duration{}, began: time.Now()}
	w.Cleanup(cancel)
	c.forgetPeak()
	c.cpu, c.rss = c.used(), c.memory("VmRSS")
	c.done.Go(func() {
		tick := time.NewTicker(pace)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				c.ask(n)
			}
		}
	})
	return c
}

// ask reads four times and writes once in five.
func (c *clients) ask(n int) {
	paths := []string{"/v2/apps?embed=apps.counts", "/v2/info", "/v2/deployments", "/v2/queue", "/v2/apps/poke?force=true"}
	path, began := paths[n%len(paths)], time.Now()
	var res harness.Answer
	var err error
	if n%len(paths) == len(paths)-1 {
		res, err = c.w.api.Try(http.MethodPut, path, object{"labels": object{"n": strconv.Itoa(n)}})
	} else {
		res, err = c.w.api.Try(http.MethodGet, path, nil)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || res.Status != http.StatusOK {
		c.bad = append(c.bad, fmt.Sprintf("%s: %d %s %v", path, res.Status, res.Body, err))
		return
	}
	kind := "reads"
	if strings.Contains(path, "force") {
		kind = "writes"
	}
	c.took[kind] = append(c.took[kind], time.Since(began))
}

// judge ends the clients, tells what they saw and what the server used meanwhile, and fails for every bad answer and for
// memory beyond room MiB more than before.
func (c *clients) judge(what string, room int) {
	c.w.Helper()
	c.cancel()
	c.done.Wait()
	wall, cpu, peak := time.Since(c.began), c.used()-c.cpu, c.memory("VmHWM")
	c.w.Logf("%s: %v, server used %.0f%% of a core, RSS %d MiB before, %d MiB at most; reads %s; writes %s",
		what, wall.Round(time.Millisecond), 100*cpu.Seconds()/wall.Seconds(), c.rss, peak, spread(c.took["reads"]), spread(c.took["writes"]))
	for _, b := range c.bad[:min(len(c.bad), 5)] {
		c.w.Error(b)
	}
	if peak > c.rss+room {
		c.w.Errorf("%d MiB of memory, %d before", peak, c.rss)
	}
	if len(c.took["reads"]) == 0 {
		c.w.Error("nothing was asked")
	}
}

func spread(d []time.Duration) string {
	if len(d) == 0 {
		return "none"
	}
	slices.Sort(d)
	at := func(q float64) time.Duration { return d[int(q*float64(len(d)-1))].Round(10 * time.Microsecond) }
	return fmt.Sprintf("%d, median %v, p99 %v, longest %v", len(d), at(0.5), at(0.99), at(1))
}

// used is the processor time of the server so far.
func (c *clients) used() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.w.server.Pid()))
	if err != nil {
		c.w.Fatal(err)
	}
	f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond // the clock of /proc has 100 ticks a second
}

// memory is a row of /proc/pid/status in MiB.
func (c *clients) memory(row string) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.w.server.Pid()))
	if err != nil {
		c.w.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), row+":")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		c.w.Fatal(err)
	}
	return kib >> 10
}

// forgetPeak sets the highest RSS back to the present one; where that is not allowed the peak is that of the whole life.
func (c *clients) forgetPeak() {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", c.w.server.Pid()), []byte("5"), 0)
}
