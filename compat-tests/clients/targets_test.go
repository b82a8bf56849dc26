package clients

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"stadion/compat-tests/harness"
)

// devTarget is stadion dev with two agents and real processes.
func devTarget(t *testing.T) *target {
	tg := &target{alone: true}
	tg.again = func() {
		srv := harness.Dev(t, "--agents", "2", "--enable_features", "task_killing")
		tg.url = srv.URL
		tg.ended = func() {
			if code := srv.Exit(waitLimit); code != exitGraceful {
				t.Errorf("exit code %d, want %d", code, exitGraceful)
			}
		}
	}
	tg.again()
	return tg
}

// clusterTarget is an etcd, a cluster and three servers; the entry is a standby. A server that ends is started again, as
// a supervisor does.
func clusterTarget(t *testing.T) *target {
	dir := t.TempDir()
	harness.KillLeftovers(t, dir)
	ports := harness.NewPorts(t)
	etcd := harness.StartEtcd(t, ports)
	_, master := harness.Minimesos(t, dir, "--agents", "2")
	var args [3][]string
	var servers [3]*harness.Process
	for n := range servers {
		args[n] = []string{"server", "--master", master, "--etcd_endpoints", etcd.Endpoint, "--http_address", "127.0.0.1", "--http_port", strconv.Itoa(ports.Next(t)),
			"--hostname", "127.0.0.1", "--etcd_lease_ttl", "3", "--enable_features", "task_killing"}
		servers[n] = harness.Start(t, args[n]...)
		if n == 0 {
			servers[n].Ready()
		}
	}
	tg := &target{url: "http://127.0.0.1:" + args[2][8]}
	tg.ended = func() {
		harness.Await(t, waitLimit, "the deposed leader ends", func() (bool, string) {
			for n, p := range servers {
				if p.Ended() {
					if code := p.Exit(waitLimit); code != exitGraceful {
						t.Errorf("exit code %d, want %d", code, exitGraceful)
					}
					servers[n] = harness.Start(t, args[n]...)
					return true, ""
				}
			}
			return false, "all run"
		})
	}
	entry := harness.NewAPI(t, tg.url)
	harness.Await(t, waitLimit, "the standby knows its leader", func() (bool, string) {
		res, err := entry.Try(http.MethodGet, "/v2/leader", nil)
		if err != nil || res.Status != http.StatusOK {
			return false, fmt.Sprint(res.Status, err)
		}
		if strings.Contains(string(res.Body), args[2][8]) {
			t.Fatalf("the entry leads: %s", res.Body)
		}
		return true, ""
	})
	return tg
}
