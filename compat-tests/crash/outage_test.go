package crash

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

// parts are an etcd, a cluster and servers that die one at a time.
type parts struct {
	t        *testing.T
	dir      string
	ports    *harness.Ports
	etcd     *harness.Etcd
	endpoint string // of etcd, for servers
	lease    string // of servers, in seconds
	mesos    *harness.Process
	master   string
}

func newParts(t *testing.T) *parts {
	t.Helper()
	p := &parts{t: t, dir: t.TempDir(), ports: harness.NewPorts(t), lease: leaseTTL}
	harness.KillLeftovers(t, p.dir)
	p.etcd = harness.StartEtcd(t, p.ports)
	p.endpoint = p.etcd.Endpoint
	p.master = "127.0.0.1:" + strconv.Itoa(p.ports.Next(t))
	p.startMesos()
	return p
}

func (p *parts) startMesos() {
	p.t.Helper()
	_, port, _ := strings.Cut(p.master, ":")
	p.mesos = harness.Start(p.t, "minimesos", "--port", port, "--work_dir", p.dir, "--resources", p.ports.Resources())
	p.mesos.Ready()
}

// server starts a server on the port without waiting for it.
func (p *parts) server(port int) *harness.Process {
	p.t.Helper()
	return harness.Start(p.t, "server", "--master", p.master, "--etcd_endpoints", p.endpoint, "--http_address", "127.0.0.1",
		"--http_port", strconv.Itoa(port), "--hostname", "127.0.0.1", "--etcd_lease_ttl", p.lease)
}

// settled waits until the app has n running tasks and each has one process, and no
// other process runs.
func (p *parts) settled(api *harness.API, id string, n int) map[string]int {
	p.t.Helper()
	out := map[string]int{}
	harness.Await(p.t, settleLimit, fmt.Sprintf("%s runs as %d processes", id, n), func() (bool, string) {
		var list struct{ Tasks []task }
		api.Get("/v2/apps"+id+"/tasks", &list)
		pids := harness.TaskPids(p.t, p.dir)
		clear(out)
		ok := len(list.Tasks) == n && len(pids) == n
		for _, task := range list.Tasks {
			if ok = ok && task.State == "TASK_RUNNING" && len(pids[task.ID]) == 1; ok {
				out[task.ID] = pids[task.ID][0]
			}
		}
		return ok, fmt.Sprintf("tasks %v, processes %v", list.Tasks, pids)
	})
	return out
}

func sleepers(n int) map[string]any {
	return map[string]any{"id": "/app", "cmd": "exec sleep 100000", "cpus": 0.01, "mem": 16, "instances": n}
}

// TestTasksDieMeanwhile: a task that ends while no server runs is replaced once
// there is one again, and only that task.
func TestTasksDieMeanwhile(t *testing.T) {
	t.Parallel()
	p := newParts(t)
	port := p.ports.Next(t)
	srv := p.server(port)
	api := harness.NewAPI(t, srv.Ready())
	api.Must("POST", "/v2/apps", sleepers(4), http.StatusCreated)
	before := p.settled(api, "/app", 4)
	srv.Kill()
	victim := slices.Sorted(maps.Keys(before))[0]
	if err := syscall.Kill(before[victim], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	srv = p.server(port)
	srv.Ready()
	after := p.settled(api, "/app", 4)
	if _, there := after[victim]; there {
		t.Errorf("task %s is still listed", victim)
	}
	for id, pid := range before {
		if id != victim && after[id] != pid {
			t.Errorf("task %s had process %d, now %d", id, pid, after[id])
		}
	}
	api.Must("DELETE", "/v2/apps/app", nil)
	harness.NoneLeft(t, p.dir, processLimit)
}

// TestMasterReturns: a cluster that dies and comes back finds its tasks, and the
// server finds the cluster; nothing is restarted (D-25: the server stays leader).
func TestMasterReturns(t *testing.T) {
	t.Parallel()
	p := newParts(t)
	srv := p.server(p.ports.Next(t))
	api := harness.NewAPI(t, srv.Ready())
	api.Must("POST", "/v2/apps", sleepers(3), http.StatusCreated)
	before := p.settled(api, "/app", 3)
	for range 2 {
		p.mesos.Kill()
		api.Must("GET", "/v2/apps/app", nil, http.StatusOK)
		api.Must("PUT", "/v2/apps/later", map[string]any{"cmd": "exec sleep 100000", "cpus": 0.01, "mem": 16, "instances": 0})
		p.startMesos()
		if after := p.settled(api, "/app", 3); !maps.Equal(after, before) {
			t.Errorf("tasks and processes are %v, they were %v", after, before)
		}
	}
	api.Must("PUT", "/v2/apps/app?force=true", map[string]any{"instances": 5})
	for id, pid := range before {
		if after := p.settled(api, "/app", 5); after[id] != pid {
			t.Errorf("task %s had process %d, now %d", id, pid, after[id])
		}
	}
	if srv.Ended() {
		t.Error("the server has ended")
	}
	api.Must("DELETE", "/v2/apps/app?force=true", nil)
	harness.NoneLeft(t, p.dir, processLimit)
}

// TestStandby: a second server passes requests on, and takes over when the first
// dies; the tasks do not notice (http-api.md 1.6).
func TestStandby(t *testing.T) {
	t.Parallel()
	p := newParts(t)
	first := p.server(p.ports.Next(t))
	leader := harness.NewAPI(t, first.Ready())
	port := p.ports.Next(t)
	second := p.server(port)
	standby := harness.NewAPI(t, fmt.Sprintf("http://127.0.0.1:%d", port))
	harness.Await(t, settleLimit, "the standby answers", func() (bool, string) {
		res, err := standby.Try(http.MethodGet, "/ping", nil)
		return err == nil && res.Status == http.StatusOK && string(res.Body) == "pong", fmt.Sprint(res.Status, err)
	})
	res := standby.Must("POST", "/v2/apps", sleepers(3), http.StatusCreated)
	for name, want := range map[string]string{"X-Marathon-Via": fmt.Sprintf("1.1 127.0.0.1:%d", port), "X-Marathon-Leader": leader.URL} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if res := standby.Do("GET", "/v2/events?event_type=x", nil); res.Status != http.StatusFound || res.Header.Get("Location") != leader.URL+"/v2/events?event_type=x" {
		t.Errorf("events on the standby: %d to %q", res.Status, res.Header.Get("Location"))
	}
	before := p.settled(standby, "/app", 3)
	first.Kill()
	died := time.Now()
	second.Ready()
	t.Logf("the standby leads after %s", time.Since(died).Round(time.Millisecond))
	if after := p.settled(standby, "/app", 3); !maps.Equal(after, before) {
		t.Errorf("tasks and processes are %v, they were %v", after, before)
	}
	if got := standby.Must("GET", "/v2/apps", nil).Header.Get("X-Marathon-Leader"); got != standby.URL {
		t.Errorf("the new leader says it is %q", got)
	}
	standby.Must("DELETE", "/v2/apps/app?force=true", nil)
	harness.NoneLeft(t, p.dir, processLimit)
}
