package crash

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

const (
	shortAway = 500 * time.Millisecond // less than the lease lasts
	clients   = 16
	perClient = 12
)

// The exit codes a server may end with when its store has gone (behaviour.md 9.6):
// the store or the lease was missed first, or the master told of a successor.
var storeGone = map[int]bool{101: true, 103: true, 106: true}

// TestStoreShortlyAway: the connection to etcd is lost for less than a lease, and the server goes on (R13, F8).
func TestStoreShortlyAway(t *testing.T) {
	t.Parallel()
	p := newParts(t)
	link := p.linkStore()
	srv := p.server(p.ports.Next(t))
	api := harness.NewAPI(t, srv.Ready())
	api.Must("POST", "/v2/apps", sleepers(3), http.StatusCreated)
	before := p.settled(api, "/app", 3)
	for _, lose := range []func(){link.Cut, link.Freeze} {
		n := len(before) + 1
		lose()
		answered := p.change(api, n)
		api.Must("GET", "/v2/apps/app", nil, http.StatusOK)
		time.Sleep(shortAway) // the outage itself
		link.Mend()
		if res := <-answered; res.Status != http.StatusOK {
			t.Errorf("a write during a short outage: %d %s", res.Status, res.Body)
		}
		if srv.Ended() {
			t.Fatalf("the server ended with code %d in an outage shorter than its lease", srv.Exit(0))
		}
		after := p.settled(api, "/app", n)
		for id, pid := range before {
			if after[id] != pid {
				t.Errorf("task %s had process %d, now %d", id, pid, after[id])
			}
		}
		before = after
	}
	api.Must("DELETE", "/v2/apps/app?force=true", nil)
	harness.NoneLeft(t, p.dir, processLimit)
}

// TestStoreAway: the connection to etcd is lost for longer than a lease: the server shows what it knows, marked as old,
// changes nothing, and ends by itself when etcd is back: the next one finds everything as it was (R13, F8).
func TestStoreAway(t *testing.T) {
	t.Parallel()
	p := newParts(t)
	p.lease = awaitedTTL
	link := p.linkStore()
	port := p.ports.Next(t)
	srv := p.server(port)
	api := harness.NewAPI(t, srv.Ready())
	api.Must("POST", "/v2/apps", sleepers(3), http.StatusCreated)
	before := p.settled(api, "/app", 3)
	for _, lose := range []func(){link.Cut, link.Freeze} {
		lose()
		harness.Await(t, settleLimit, "changes are refused for good", func() (bool, string) {
			res, err := api.Try("PUT", "/v2/apps/app?force=true", map[string]any{"instances": 9})
			return err == nil && res.Status == http.StatusServiceUnavailable && strings.Contains(string(res.Body), "nothing can be changed"), fmt.Sprint(res.Status, string(res.Body), err)
		})
		res := api.Must("GET", "/v2/apps/app/tasks", nil, http.StatusOK)
		var list struct{ Tasks []task }
		if json.Unmarshal(res.Body, &list) != nil || len(list.Tasks) != len(before) || res.Header.Get("Warning") == "" {
			t.Errorf("a read in a long outage: %v %s, want %d tasks and a warning", res.Header, res.Body, len(before))
		}
		if srv.Ended() {
			t.Fatalf("the server ended with code %d while nobody else can lead", srv.Exit(0))
		}
		link.Mend()
		began := time.Now()
		if code := srv.Exit(settleLimit); !storeGone[code] {
			t.Errorf("exit code %d after a long outage, want 101, 103 or 106", code)
		}
		t.Logf("the server ended %s after its store was back", time.Since(began).Round(time.Millisecond))
		srv = p.server(port)
		srv.Ready()
		if after := p.settled(api, "/app", len(before)); !maps.Equal(after, before) {
			t.Errorf("tasks and processes are %v, they were %v", after, before)
		}
	}
	api.Must("DELETE", "/v2/apps/app?force=true", nil)
	harness.NoneLeft(t, p.dir, processLimit)
}

// linkStore puts a link between etcd and the servers that are started from now on.
func (p *parts) linkStore() *harness.Link {
	p.t.Helper()
	link := harness.NewLink(p.t, p.ports, strings.TrimPrefix(p.etcd.Endpoint, "http://"))
	p.endpoint = "http://" + link.Addr()
	return link
}

// change asks for another number of instances and hands over the answer when it comes.
func (p *parts) change(api *harness.API, instances int) <-chan harness.Answer {
	out := make(chan harness.Answer, 1)
	go func() {
		res, err := api.Try("PUT", "/v2/apps/app?force=true", map[string]any{"instances": instances})
		if err != nil {
			res.Body = []byte(err.Error())
		}
		out <- res
	}()
	return out
}

// TestPartitionedLeader: a leader that cannot reach etcd while everybody else can
// must stop before another one acts: it acknowledges nothing that is not stored,
// ends by itself, and the new leader's decisions stand.
func TestPartitionedLeader(t *testing.T) {
	t.Parallel()
	p := newParts(t)
	p.lease = awaitedTTL
	link := p.linkStore()
	first := p.server(p.ports.Next(t))
	old := harness.NewAPI(t, first.Ready())
	old.Must("POST", "/v2/apps", sleepers(3), http.StatusCreated)
	before := p.settled(old, "/app", 3)
	p.endpoint = p.etcd.Endpoint
	port := p.ports.Next(t)
	second := p.server(port)
	link.Freeze()
	answered := p.change(old, 8)
	began := time.Now()
	second.Ready()
	took := time.Since(began)
	young := harness.NewAPI(t, fmt.Sprintf("http://127.0.0.1:%d", port))
	if after := p.settled(young, "/app", 3); !maps.Equal(after, before) {
		t.Errorf("tasks and processes are %v, they were %v", after, before)
	}
	young.Must("PUT", "/v2/apps/app?force=true", map[string]any{"instances": 4})
	four := p.settled(young, "/app", 4)
	if code := first.Exit(settleLimit); !storeGone[code] {
		t.Errorf("the partitioned leader ended with code %d, want 101, 103 or 106", code)
	}
	t.Logf("the other server leads after %s, the partitioned one has ended after %s", took.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	if res := <-answered; res.Status/100 == 2 {
		t.Errorf("a write without a store was acknowledged: %d %s", res.Status, res.Body)
	}
	link.Mend() // what the old leader had on the wire arrives now, behind the new leader's fence
	harness.Await(t, settleLimit, "the new leader still leads", func() (bool, string) {
		res, err := young.Try("GET", "/v2/leader", nil)
		return err == nil && res.Status == http.StatusOK, fmt.Sprint(res.Status, err)
	})
	if after := p.settled(young, "/app", 4); !maps.Equal(after, four) {
		t.Errorf("tasks and processes are %v, they were %v", after, four)
	}
	young.Must("DELETE", "/v2/apps/app?force=true", nil)
	harness.NoneLeft(t, p.dir, processLimit)
}

// TestReadYourWrites: whoever got a 2xx sees what was written at once, on the
// leader and on a standby, with many clients at work.
func TestReadYourWrites(t *testing.T) {
	t.Parallel()
	p := newParts(t)
	servers := make([]*harness.API, 2)
	for n := range servers {
		port := p.ports.Next(t)
		srv := p.server(port)
		servers[n] = harness.NewAPI(t, fmt.Sprintf("http://127.0.0.1:%d", port))
		if n == 0 {
			srv.Ready()
		}
		harness.Await(t, settleLimit, "the server answers", func() (bool, string) {
			res, err := servers[n].Try("GET", "/ping", nil)
			return err == nil && res.Status == http.StatusOK, fmt.Sprint(res.Status, err)
		})
	}
	var stale atomic.Int64
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			for n := range perClient {
				if bad := writeAndRead(servers[c%2], servers[(c+n)%2], fmt.Sprintf("/w%d/app%d", c, n)); bad != "" {
					stale.Add(1)
					t.Error(bad)
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d clients, %d apps created, changed and deleted, %d stale answers", clients, clients*perClient, stale.Load())
	servers[0].Must("DELETE", "/v2/groups?force=true", nil)
	harness.NoneLeft(t, p.dir, processLimit)
}

// writeAndRead creates, changes and deletes an app through one server and looks
// after each step through the other; it returns what was not as it should be.
func writeAndRead(write, read *harness.API, id string) string {
	step := func(method string, body any, want int) string {
		res, err := write.Try(method, "/v2/apps"+id+"?force=true", body)
		if err != nil || res.Status != want {
			return fmt.Sprintf("%s %s: %d %s %v", method, id, res.Status, res.Body, err)
		}
		return ""
	}
	look := func(status int, instances float64) string {
		res, err := read.Try("GET", "/v2/apps"+id, nil)
		if err != nil || res.Status != status {
			return fmt.Sprintf("GET %s after a write: %d %s %v, want %d", id, res.Status, res.Body, err, status)
		}
		app, _ := res.JSON().(map[string]any)["app"].(map[string]any)
		if status == http.StatusOK && app["instances"] != instances {
			return fmt.Sprintf("GET %s after a write: instances %v, want %v", id, app["instances"], instances)
		}
		return ""
	}
	app := map[string]any{"cmd": "exec sleep 100000", "cpus": 0.01, "mem": 16, "instances": 0}
	for _, bad := range []func() string{
		func() string { return step("PUT", app, http.StatusCreated) },
		func() string { return look(http.StatusOK, 0) },
		func() string { return step("PUT", map[string]any{"instances": 1}, http.StatusOK) },
		func() string { return look(http.StatusOK, 1) },
		func() string { return step("DELETE", nil, http.StatusOK) },
		func() string { return look(http.StatusNotFound, 0) },
	} {
		if text := bad(); text != "" {
			return text
		}
	}
	return ""
}
