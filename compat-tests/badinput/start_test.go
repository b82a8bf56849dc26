package badinput

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

// The exit codes of behaviour.md 9.6.
const (
	exitStore = 100
	exitBind  = 111
	exitFlag  = 112
)

const (
	refuseLimit = 10 * time.Second // a wrong command line is refused at once, even on a busy machine
	runLimit    = 60 * time.Second
)

// TestFlags: a wrong command line ends with 112 and names the flag.
func TestFlags(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		line  string
		env   string
		names string // what the message must hold
	}{
		{"server --no_such_flag 1", "", "no_such_flag"},
		{"dev --no_such_flag", "", "no_such_flag"},
		{"minimesos --no_such_flag", "", "no_such_flag"},
		{"server --http_port", "", "http_port"},
		{"server --http_port abc", "", "http_port"},
		{"server --http_port=-1", "", "http_port"},
		{"server --http_port 8.5", "", "http_port"},
		{"server", "", "--master"},
		{"server --master 127.0.0.1:1", "", "--etcd_endpoints"},
		{"server --master 127.0.0.1:1 --zk zk://127.0.0.1:2181/marathon", "", "--etcd_endpoints"},
		{base + "--http_port 70000", "", "--http_port"},
		{base + "--http_credentials broken", "", "--http_credentials"},
		{base + "--enable_features moon", "", "--enable_features"},
		{base + "--new_group_enforce_role maybe", "", "--new_group_enforce_role"},
		{base + "--accepted_resource_roles_default_behavior maybe", "", "--accepted_resource_roles_default_behavior"},
		{base + "--gpu_scheduling_behavior maybe", "", "--gpu_scheduling_behavior"},
		{base + "--placement_strategy best", "", "--placement_strategy"},
		{base + "--local_port_min 20 --local_port_max 10", "", "--local_port_min"},
		{base + "--etcd_lease_ttl soon", "", "--etcd_lease_ttl"},
		{base + "--etcd_prefix nowhere", "", "--etcd_prefix"},
		{base + "--etcd_ca_file /nonexistent/ca.pem", "", "/nonexistent/ca.pem"},
		{base + "--mesos_authentication_secret_file /nonexistent/secret", "", "--mesos_authentication_secret_file"},
		{base + "--logging_level loud", "", "--logging_level"},
		{base + "surplus", "", "surplus"},
		{base, "MARATHON_HTTP_PORT=abc", "http_port"},
		{base + "--hostname a", "MARATHON_HOSTNAME=b", "hostname"},
		{"minimesos", "", "--work_dir"},
		{"minimesos --work_dir . --port x", "", "--port"},
		{"minimesos --work_dir . --port 0 --resources cpus:many", "", "--resources"},
		{"minimesos --work_dir . --port 0 --attributes rack", "", "--attributes"},
	} {
		t.Run(strings.TrimSpace(row.line+" "+row.env), func(t *testing.T) {
			t.Parallel()
			p := harness.StartEnv(t, strings.Fields(row.env), strings.Fields(row.line)...)
			if code := p.Exit(refuseLimit); code != exitFlag {
				t.Errorf("exit code %d, want %d", code, exitFlag)
			}
			if !strings.Contains(strings.ToLower(p.Stderr()), row.names) {
				t.Errorf("%q does not name %q", p.Stderr(), row.names)
			}
		})
	}
}

// base is a command line of a server that lacks nothing.
const base = "server --master 127.0.0.1:1 --etcd_endpoints http://127.0.0.1:1 --http_address 127.0.0.1 --http_port 0 "

// TestHelp: asking is no mistake.
func TestHelp(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"version", "server --help", "dev --help", "minimesos --help", "--help"} {
		if code := harness.Start(t, strings.Fields(line)...).Exit(refuseLimit); code != 0 {
			t.Errorf("stadion %s: exit code %d", line, code)
		}
	}
}

// TestPortTaken: a port somebody else has ends the process with 111.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	for _, line := range []string{
		"server --master 127.0.0.1:1 --etcd_endpoints http://127.0.0.1:1 --http_address 127.0.0.1 --http_port " + port,
		"dev --http_address 127.0.0.1 --data_dir " + t.TempDir() + " --http_port " + port,
		"minimesos --work_dir " + t.TempDir() + " --port " + port,
	} {
		p := harness.Start(t, strings.Fields(line)...)
		if code := p.Exit(refuseLimit); code != exitBind {
			t.Errorf("stadion %s: exit code %d, want %d", line, code, exitBind)
		}
		if !strings.Contains(p.Stderr(), port) {
			t.Errorf("stadion %s: %q does not name the port", line, p.Stderr())
		}
	}
}

// TestDirectoryTaken: a second process on the data of a running one says so and ends, and leaves the first alone.
func TestDirectoryTaken(t *testing.T) {
	t.Parallel()
	first := harness.Dev(t)
	dir := filepath.Join(first.Dir, "data")
	p := harness.Start(t, "dev", "--data_dir", dir, "--http_address", "127.0.0.1", "--http_port", "0")
	if code := p.Exit(refuseLimit); code != exitFlag {
		t.Errorf("exit code %d, want %d", code, exitFlag)
	}
	if !strings.Contains(p.Stderr(), dir) {
		t.Errorf("%q does not name the directory", p.Stderr())
	}
	first.Must(http.MethodGet, "/v2/apps", nil)
}

// TestNoEtcd: a store that does not answer ends the start with 100 and its name,
// after a bounded wait.
func TestNoEtcd(t *testing.T) {
	t.Parallel()
	nobody := fmt.Sprintf("http://127.0.0.1:%d", harness.NewPorts(t).Next(t))
	p := harness.Start(t, "server", "--master", "127.0.0.1:1", "--etcd_endpoints", nobody, "--http_address", "127.0.0.1", "--http_port", "0",
		"--zk_connection_timeout", "1500")
	if code := p.Exit(refuseLimit); code != exitStore {
		t.Errorf("exit code %d, want %d", code, exitStore)
	}
	if !strings.Contains(p.Stderr(), nobody) {
		t.Errorf("%q does not name %s", p.Stderr(), nobody)
	}
}

// TestNoMesos: without a master the API is readable, writes are accepted and wait,
// and they happen once the master is there.
func TestNoMesos(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	harness.KillLeftovers(t, dir)
	ports := harness.NewPorts(t)
	etcd := harness.StartEtcd(t, ports)
	master := strconv.Itoa(ports.Next(t))
	p := harness.Start(t, "server", "--master", "127.0.0.1:"+master, "--etcd_endpoints", etcd.Endpoint, "--http_address", "127.0.0.1",
		"--http_port", strconv.Itoa(ports.Next(t)), "--hostname", "127.0.0.1", "--zk", "zk://127.0.0.1:2181/marathon")
	api := harness.NewAPI(t, p.Ready())
	if log := p.Stderr(); !strings.Contains(log, "zk") || !strings.Contains(log, "etcd") {
		t.Errorf("no warning tells where the state of --zk lives now: %s", log)
	}
	for _, path := range []string{"/ping", "/v2/apps", "/v2/groups", "/v2/deployments", "/v2/queue", "/v2/tasks", "/v2/info", "/v2/leader"} {
		api.Must("GET", path, nil, http.StatusOK)
	}
	api.Must("POST", "/v2/apps", map[string]any{"id": "/waits", "cmd": "exec sleep 1000", "cpus": 0.1, "mem": 16, "instances": 2}, http.StatusCreated)
	var waiting struct {
		App struct {
			TasksRunning int
			Deployments  []struct{ ID string }
		}
	}
	api.Get("/v2/apps/waits", &waiting)
	if waiting.App.TasksRunning != 0 || len(waiting.App.Deployments) != 1 {
		t.Errorf("without a master: %+v", waiting.App)
	}
	mesos := harness.Start(t, "minimesos", "--port", master, "--work_dir", dir, "--resources", ports.Resources())
	mesos.Ready()
	harness.Await(t, runLimit, "the app runs once the master is there", func() (bool, string) {
		api.Get("/v2/apps/waits", &waiting)
		return waiting.App.TasksRunning == 2 && len(waiting.App.Deployments) == 0, fmt.Sprintf("%+v", waiting.App)
	})
	api.Must("DELETE", "/v2/apps/waits", nil)
	harness.NoneLeft(t, dir, runLimit)
	if code := p.Stop(); code != 0 {
		t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
	if code := mesos.Stop(); code != 0 {
		t.Errorf("exit code %d of minimesos after SIGTERM, want 0", code)
	}
}
