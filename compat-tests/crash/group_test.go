package crash

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

const (
	groupApps   = 300 // more rows than one etcd transaction holds
	groupTrials = 8
)

// TestGroupIsAtomic: the server dies while a change of 300 apps is being stored.
// Afterwards all of them are changed or none is, all of them if the change was
// acknowledged, and the deployment goes on to its end.
func TestGroupIsAtomic(t *testing.T) {
	t.Parallel()
	t.Logf("seed %d", *seed)
	rng := rand.New(rand.NewPCG(*seed, groupApps))
	ports := harness.NewPorts(t)
	etcd := harness.StartEtcd(t, ports)
	master := "127.0.0.1:" + strconv.Itoa(ports.Next(t))
	harness.Start(t, "minimesos", "--port", master[len("127.0.0.1:"):], "--work_dir", t.TempDir(), "--simulated", "--resources", ports.Resources()).Ready()
	port := ports.Next(t)
	start := func() *harness.Process {
		return harness.Start(t, "server", "--master", master, "--etcd_endpoints", etcd.Endpoint, "--http_address", "127.0.0.1",
			"--http_port", strconv.Itoa(port), "--hostname", "127.0.0.1", "--etcd_lease_ttl", leaseTTL)
	}
	srv := start()
	api := harness.NewAPI(t, srv.Ready())
	began := time.Now()
	api.Must("PUT", "/v2/groups/big?force=true", bigGroup(0), http.StatusOK, http.StatusCreated)
	took := time.Since(began)
	settleGroup(t, api, 0)
	whole, none, acknowledged := 0, 0, 0
	for n := 1; n <= groupTrials; n++ {
		answered, moment := make(chan int, 1), time.Duration(rng.Int64N(int64(took*5/4)))
		body := bigGroup(n)
		began = time.Now()
		go func() {
			res, err := api.Try("PUT", "/v2/groups/big?force=true", body)
			if err != nil {
				res.Status = 0
			} else {
				took = min(took, time.Since(began)) // the first one is slow on a busy machine
			}
			answered <- res.Status
		}()
		time.Sleep(moment) // the random moment
		srv.Kill()
		status := <-answered
		srv = start()
		srv.Ready()
		got := generations(t, api)
		switch {
		case len(got) != 1 || got[n]+got[n-1] != groupApps:
			t.Fatalf("trial %d: apps by generation: %v", n, got)
		case status == http.StatusOK && got[n] != groupApps:
			t.Fatalf("trial %d: an acknowledged change is lost: %v", n, got)
		case got[n] > 0:
			whole++
		default:
			none++
		}
		if status == http.StatusOK {
			acknowledged++
		}
		if got[n] == 0 {
			api.Must("PUT", "/v2/groups/big?force=true", bigGroup(n), http.StatusOK)
		}
		settleGroup(t, api, n)
	}
	t.Logf("a change of %d apps takes %s; %d deaths within it: %d changes stored whole (%d acknowledged), %d not at all", groupApps,
		took.Round(time.Millisecond), groupTrials, whole, acknowledged, none)
}

func bigGroup(generation int) map[string]any {
	apps := make([]any, groupApps)
	for n := range apps {
		apps[n] = map[string]any{"id": fmt.Sprintf("app%d", n), "cmd": "sleep 1000", "cpus": 0.01, "mem": 4, "portDefinitions": []any{},
			"env": map[string]string{"GENERATION": strconv.Itoa(generation)}}
	}
	return map[string]any{"apps": apps}
}

type bigAnswer struct {
	Apps []struct {
		Env                     map[string]string
		Instances, TasksRunning int
	}
}

// generations counts the apps by the change they carry.
func generations(t *testing.T, api *harness.API) map[int]int {
	t.Helper()
	var list bigAnswer
	api.Get("/v2/apps", &list)
	out := map[int]int{}
	for _, a := range list.Apps {
		n, err := strconv.Atoi(a.Env["GENERATION"])
		if err != nil {
			t.Fatal(err)
		}
		out[n]++
	}
	return out
}

// settleGroup waits until the change is deployed.
func settleGroup(t *testing.T, api *harness.API, generation int) {
	t.Helper()
	harness.Await(t, settleLimit, fmt.Sprintf("generation %d is deployed", generation), func() (bool, string) {
		if body := string(api.Must("GET", "/v2/deployments", nil).Body); body != "[]" {
			return false, fmt.Sprintf("%.300s", body)
		}
		var list bigAnswer
		api.Get("/v2/apps", &list)
		running := 0
		for _, a := range list.Apps {
			running += a.TasksRunning
		}
		return running == groupApps && generations(t, api)[generation] == groupApps, fmt.Sprintf("%d tasks run, apps by generation %v", running, generations(t, api))
	})
}
