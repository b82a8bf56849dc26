package rolling

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

const (
	fixedApps  = 4
	fixedTasks = 3
	moment     = 60 * time.Second // for anything that is to happen soon
	pace       = 10 * time.Millisecond
)

// world is two servers on one etcd and one cluster.
type world struct {
	t       *testing.T
	etcd    *harness.Etcd
	master  string
	args    [2][]string
	servers [2]*harness.Process
	apis    [2]*harness.API
}

func newWorld(t *testing.T, binary string) *world {
	t.Helper()
	ports := harness.NewPorts(t)
	w := &world{t: t, etcd: harness.StartEtcd(t, ports)}
	_, w.master = harness.Minimesos(t, t.TempDir(), "--simulated", "--agents", "2", "--resources", "cpus:100;mem:100000;disk:100000;ports:[31000-31999]")
	for n := range w.servers {
		port := strconv.Itoa(ports.Next(t))
		w.args[n] = []string{"server", "--master", w.master, "--etcd_endpoints", w.etcd.Endpoint, "--http_address", "127.0.0.1", "--http_port", port,
			"--hostname", "127.0.0.1", "--etcd_lease_ttl", "5"}
		w.apis[n] = harness.NewAPI(t, "http://127.0.0.1:"+port)
		w.start(n, binary)
	}
	return w
}

func (w *world) start(n int, binary string) {
	w.t.Helper()
	w.servers[n] = harness.StartBinary(w.t, binary, nil, w.args[n]...)
	harness.Await(w.t, moment, "the server passes requests on or answers them", func() (bool, string) {
		res, err := w.apis[n].Try(http.MethodGet, "/v2/leader", nil)
		return err == nil && res.Status == http.StatusOK, fmt.Sprint(res.Status, " ", err, w.servers[n].Stderr())
	})
}

// leader is the number of the server that leads.
func (w *world) leader() (leader int) {
	w.t.Helper()
	harness.Await(w.t, moment, "somebody leads", func() (bool, string) {
		for n := range w.apis {
			res, err := w.apis[n].Try(http.MethodGet, "/v2/leader", nil)
			if err != nil || res.Status != http.StatusOK {
				continue
			}
			for k := range w.apis {
				if strings.Contains(string(res.Body), strings.TrimPrefix(w.apis[k].URL, "http://")) {
					leader = k
					return true, ""
				}
			}
		}
		return false, "no answer names a server"
	})
	return leader
}

// roll replaces one server after the other, the leader last.
func (w *world) roll(binary string) {
	w.t.Helper()
	first := 1 - w.leader()
	for _, n := range []int{first, 1 - first} {
		if code := w.servers[n].Stop(); code != 0 {
			w.t.Errorf("a stopped server ends with %d:\n%s", code, w.servers[n].Stderr())
		}
		w.start(n, binary)
	}
}

// ask asks one server after the other until one answers.
func (w *world) ask(method, path string, body any) (res harness.Answer) {
	w.t.Helper()
	harness.Await(w.t, moment, method+" "+path, func() (bool, string) {
		var err error
		for n := range w.apis {
			if res, err = w.apis[n].Try(method, path, body); err == nil && res.Status < 500 {
				return true, ""
			}
		}
		return false, fmt.Sprintf("%d %s %v", res.Status, res.Body, err)
	})
	return res
}

// tasks are the ids of the tasks of the fixed apps, by what the API says.
func (w *world) tasks() map[string]bool {
	w.t.Helper()
	var list struct{ Tasks []struct{ ID string } }
	res := w.ask(http.MethodGet, "/v2/apps/fixed/*/tasks", nil)
	if err := json.Unmarshal(res.Body, &list); err != nil {
		w.t.Fatalf("%v in %s", err, res.Body)
	}
	out := map[string]bool{}
	for _, task := range list.Tasks {
		out[task.ID] = true
	}
	return out
}

// load writes until ctx ends: new apps, each acknowledged by whichever server answers. It returns the ids.
func (w *world) load(ctx context.Context) (acknowledged []string) {
	for n := 0; ctx.Err() == nil; n++ {
		id := fmt.Sprintf("/load/app-%d", n)
		for ctx.Err() == nil {
			res, err := w.apis[n%2].Try(http.MethodPut, "/v2/apps"+id, map[string]any{"cmd": "sleep 1000", "cpus": 0.01, "mem": 1})
			if err == nil && res.Status/100 == 2 {
				acknowledged = append(acknowledged, id)
				break
			}
			n++ // the other server, another app: what was not acknowledged may be there or not
			id = fmt.Sprintf("/load/app-%d", n)
		}
		time.Sleep(pace)
	}
	return acknowledged
}

// cluster is what the master knows: tasks that live, and tasks that have ended.
func (w *world) cluster() (live, ended []string) {
	w.t.Helper()
	res, err := http.Get("http://" + w.master + "/master/state")
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	var state struct {
		Frameworks []struct {
			Tasks          []struct{ ID string }
			CompletedTasks []struct{ ID string } `json:"completed_tasks"`
		}
	}
	if err := json.Unmarshal(text, &state); err != nil || len(state.Frameworks) != 1 {
		w.t.Fatalf("%v in %s", err, text)
	}
	for _, task := range state.Frameworks[0].Tasks {
		live = append(live, task.ID)
	}
	for _, task := range state.Frameworks[0].CompletedTasks {
		ended = append(ended, task.ID)
	}
	return live, ended
}

func (w *world) schema() string {
	w.t.Helper()
	res, err := w.etcd.Client.Get(context.Background(), "/marathon/v1/schema")
	if err != nil || len(res.Kvs) != 1 {
		w.t.Fatalf("schema: %v %v", res, err)
	}
	return string(res.Kvs[0].Value)
}

// TestRollingUpgradeAndBack: N -> N+1, which writes a later layout, and back, while clients write (U1, R14): zero task
// restarts, nothing acknowledged is lost.
func TestRollingUpgradeAndBack(t *testing.T) {
	t.Parallel()
	now := harness.Binary(t)
	next := harness.Build(t, "main.buildVersion=next", "stadion/core/store.layoutVersion=3")
	w := newWorld(t, now)
	for n := range fixedApps {
		w.ask(http.MethodPut, fmt.Sprintf("/v2/apps/fixed/app-%d", n), map[string]any{"cmd": "sleep 1000", "cpus": 0.1, "mem": 32, "instances": fixedTasks,
			"portDefinitions": []any{map[string]any{"port": 0}}})
	}
	var before map[string]bool
	harness.Await(t, moment, "the apps run", func() (bool, string) {
		before = w.tasks()
		busy := w.ask(http.MethodGet, "/v2/deployments", nil)
		return len(before) == fixedApps*fixedTasks && string(busy.Body) == "[]", fmt.Sprint(len(before), string(busy.Body))
	})
	ctx, end := context.WithCancel(context.Background())
	var acknowledged []string
	var loading sync.WaitGroup
	loading.Go(func() { acknowledged = w.load(ctx) })
	for _, step := range []struct{ name, binary, schema string }{
		{"up", next, `"version":3`},
		{"back", now, `"version":3`}, // the older one works on what the newer one wrote and leaves its stamp
	} {
		w.roll(step.binary)
		if after := w.tasks(); !maps.Equal(before, after) {
			t.Errorf("%s: tasks were %v and are %v", step.name, before, after)
		}
		if got := w.schema(); !strings.Contains(got, step.schema) {
			t.Errorf("%s: schema %s", step.name, got)
		}
	}
	end()
	loading.Wait()
	if len(acknowledged) < 10 {
		t.Errorf("only %d writes were acknowledged: that is no load", len(acknowledged))
	}
	harness.Await(t, moment, "all deployments end", func() (bool, string) {
		res := w.ask(http.MethodGet, "/v2/deployments", nil)
		return string(res.Body) == "[]", string(res.Body)
	})
	for _, id := range acknowledged {
		if res := w.ask(http.MethodGet, "/v2/apps"+id, nil); res.Status != http.StatusOK || !strings.Contains(string(res.Body), `"tasksRunning":1`) {
			t.Errorf("%s was acknowledged: %d %.300s", id, res.Status, res.Body)
		}
	}
	live, ended := w.cluster()
	if len(ended) > 0 {
		t.Errorf("tasks have ended: %v", ended)
	}
	var all struct{ Tasks []struct{ ID string } }
	if err := json.Unmarshal(w.ask(http.MethodGet, "/v2/tasks", nil).Body, &all); err != nil || len(all.Tasks) != len(live) {
		t.Errorf("the API knows %d tasks, the cluster has %d: %v", len(all.Tasks), len(live), err)
	}
	t.Logf("%d writes acknowledged over 4 hand-overs; %d tasks, none restarted", len(acknowledged), len(live))
	for n := range w.servers {
		w.servers[n].Stop()
	}
}
