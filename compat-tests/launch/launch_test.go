package launch

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

const (
	runLimit  = 60 * time.Second
	perSleep  = 0.01 // cpus of one instance
	resources = "cpus:100;mem:100000;disk:10000;ports:[20000-29999]"
)

func TestMain(m *testing.M) { harness.Main(m) }

// BenchmarkLaunch creates one app and waits until all its instances run; each
// round deletes it again outside the clock.
func BenchmarkLaunch(b *testing.B) {
	for _, instances := range []int{200, 2000} {
		b.Run(fmt.Sprint(instances, " instances"), func(b *testing.B) { launch(b, instances) })
	}
}

func launch(b *testing.B, instances int) {
	ports := harness.NewPorts(b)
	etcd := harness.StartEtcd(b, ports)
	master := strconv.Itoa(ports.Next(b))
	harness.Start(b, "minimesos", "--port", master, "--agents", "10", "--work_dir", b.TempDir(), "--simulated", "--resources", resources).Ready()
	api := harness.NewAPI(b, harness.Start(b, "server", "--master", "127.0.0.1:"+master, "--etcd_endpoints", etcd.Endpoint,
		"--http_address", "127.0.0.1", "--http_port", strconv.Itoa(ports.Next(b)), "--hostname", "127.0.0.1").Ready())
	revision := func() int64 {
		res, err := etcd.Client.Get(context.Background(), "none")
		if err != nil {
			b.Fatal(err)
		}
		return res.Header.Revision
	}
	app := map[string]any{"id": "/app", "cmd": "sleep 1000", "cpus": perSleep, "mem": 16, "instances": instances}
	running := func(n int) {
		harness.Await(b, runLimit, fmt.Sprintf("%d run", n), func() (bool, string) {
			var list struct{ Apps []struct{ TasksRunning int } }
			api.Get("/v2/apps", &list)
			total := 0
			for _, a := range list.Apps {
				total += a.TasksRunning
			}
			return total == n && string(api.Must("GET", "/v2/deployments", nil).Body) == "[]", fmt.Sprint(total)
		})
	}
	var transactions int64
	for b.Loop() {
		before := revision()
		api.Must("POST", "/v2/apps", app, http.StatusCreated)
		running(instances)
		b.StopTimer()
		transactions += revision() - before
		api.Must("DELETE", "/v2/apps/app?force=true", nil)
		running(0)
		b.StartTimer()
	}
	b.ReportMetric(float64(instances)*float64(b.N)/b.Elapsed().Seconds(), "instances/s")
	b.ReportMetric(float64(transactions)/float64(b.N), "etcd-txns/op")
}
