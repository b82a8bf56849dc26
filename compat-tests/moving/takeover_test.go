package moving

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stadion/compat-tests/harness"
)

// principal is the one that the guide names.
const principal = "marathon"

// path is a directory to be first in PATH: with stadion, and with a host name that is an address of this machine.
func path(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(harness.Binary(t), filepath.Join(dir, "stadion")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "hostname"), []byte("#!/bin/sh\necho 127.0.0.1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestTakeThePlace runs part A of the guide word for word, with a server of this kind in Marathon's place: every process of
// before lives on, volumes included, and the way back is open (U3).
func TestTakeThePlace(t *testing.T) {
	t.Parallel()
	needPrograms(t)
	dir := t.TempDir()
	harness.KillLeftovers(t, dir)
	ports := harness.NewPorts(t)
	_, master := harness.Minimesos(t, dir)
	etcd, theirs := harness.StartEtcd(t, ports), harness.StartEtcd(t, ports)
	bin, port := path(t), ports.Next(t)
	m := &move{T: t, dir: t.TempDir(), blocks: commands(t, "A. Take Marathon's place"),
		env:   []string{"PATH=" + bin + ":" + os.Getenv("PATH")},
		hosts: map[string]string{"zk://mesos1:2181,mesos2:2181/mesos": master, "http://etcd1:2379,http://etcd2:2379,http://etcd3:2379": etcd.Endpoint}}
	flags := []string{"server", "--master", master, "--etcd_endpoints", theirs.Endpoint, "--hostname", "127.0.0.1", "--http_address", "127.0.0.1", "--http_port", fmt.Sprint(ports.Next(t)),
		"--framework_name", "prod", "--mesos_role", "prod", "--mesos_authentication_principal", principal, "--mesos_leader_ui_url", "http://" + master}
	marathon := harness.Start(t, flags...)
	m.old, m.new = harness.NewAPI(t, marathon.Ready()), harness.NewAPI(t, fmt.Sprint("http://127.0.0.1:", port))
	furnish(t, m.old)
	m.old.Must(http.MethodPost, "/v2/apps", map[string]any{"id": "/resident", "cmd": "echo begun >> data/begun; exec sleep 1000", "cpus": 0.1, "mem": 16,
		"container": map[string]any{"type": "MESOS", "volumes": []any{map[string]any{"containerPath": "data", "mode": "RW", "persistent": map[string]any{"size": 10}}}}}, 201)
	quiet(t, m.old)
	before, shown := harness.TaskPids(t, dir), shape(t, m.old)

	if out := m.run("curl -s http://marathon:8080/v2/deployments"); out != "[]" {
		t.Errorf("a deployment runs: %s", out)
	}
	if out := m.run("stadion import"); strings.Contains(out, "warning") || strings.Contains(out, "not taken over") || !strings.Contains(out, " 5 apps, 2 pods, 7 tasks") {
		t.Errorf("import says %s", out)
	}
	marathon.Stop()
	m.run("stadion restore")
	stadion := harness.StartBinary(t, "/bin/bash", append(m.env, // as in a start script of Marathon
		"MARATHON_HTTP_ADDRESS=127.0.0.1", fmt.Sprint("MARATHON_HTTP_PORT=", port), "MARATHON_FRAMEWORK_NAME=prod", "MARATHON_MESOS_ROLE=prod", "MARATHON_MESOS_AUTHENTICATION_PRINCIPAL="+principal),
		"-c", "exec "+m.here(m.take("stadion server")))
	stadion.Ready()
	reconciled(t, m.new)
	if out := m.run("curl -s http://stadion:8080/v2/deployments"); out != "[]{\"queue\":[]}no task has restarted\n" {
		t.Errorf("afterwards: %s", out)
	}
	if got := shape(t, m.new); !slices.Equal(got, shown) {
		t.Errorf("there was %v, here is %v", shown, got)
	}
	if now := harness.TaskPids(t, dir); !maps.EqualFunc(now, before, slices.Equal) {
		t.Errorf("processes were %v and are %v", before, now)
	}

	// What was taken over can be changed, and the change taken back to Marathon.
	m.new.Must(http.MethodPut, "/v2/apps/alone", map[string]any{"instances": 2})
	quiet(t, m.new)
	changed := shape(t, m.new)
	m.run("curl -s http://stadion:8080/v2/groups")
	stadion.Stop()
	marathon = harness.Start(t, flags...)
	m.old.URL = marathon.Ready()
	if got := shape(t, m.old); !slices.Equal(got, shown) {
		t.Errorf("back again there is %v", got)
	}
	if out := m.run("curl -s -X PUT http://marathon:8080/v2/groups"); !strings.Contains(out, "deploymentId") {
		t.Errorf("putting the change back: %s", out)
	}
	quiet(t, m.old)
	if got := shape(t, m.old); !slices.Equal(got, changed) {
		t.Errorf("the change was %v and came back as %v", changed, got)
	}
	after := harness.TaskPids(t, dir)
	for id, pids := range before {
		if !slices.Equal(after[id], pids) {
			t.Errorf("%s had processes %v and has %v", id, pids, after[id])
		}
	}
	m.noneLeft()
}

// reconciled waits until Mesos has told of every task: until then a server goes by what it remembers.
func reconciled(t *testing.T, api *harness.API) {
	t.Helper()
	harness.Await(t, limit, "every task was reconciled", func() (bool, string) {
		var m struct {
			Counters map[string]struct{ Count int }
		}
		res := api.Must(http.MethodGet, "/metrics", nil)
		if err := json.Unmarshal(res.Body, &m); err != nil {
			t.Fatal(err)
		}
		n := m.Counters["marathon.mesos.task-updates.task-running.counter"].Count
		return n >= 7, fmt.Sprint(n, " of 7")
	})
}
