package zookeeper

import (
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"stadion/compat-tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

const (
	jarsPattern = "/usr/share/java/*.jar"
	session     = time.Minute      // a busy machine must not cost the masters their nodes
	try         = 10 * time.Second // for one connection to a server that may still be starting
	limit       = 3 * time.Minute  // until a JVM has started, or something is seen
)

// install makes sure that Debian's ZooKeeper is there.
func install(t *testing.T) {
	if _, err := os.Stat("/usr/share/java/zookeeper.jar"); err == nil {
		return
	}
	if why := harness.Install(t, "zookeeper"); why != "" {
		t.Skip("Debian's zookeeper cannot be installed here: " + why)
	}
}

// start runs one ZooKeeper server on loopback and returns its address.
func start(t *testing.T) string {
	install(t)
	dir := t.TempDir()
	port := harness.NewPorts(t).Next(t)
	cfg := filepath.Join(dir, "zoo.cfg")
	text := fmt.Sprintf("tickTime=3000\ndataDir=%s\nclientPort=%d\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n", dir, port)
	if err := os.WriteFile(cfg, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	jars, err := filepath.Glob(jarsPattern)
	if err != nil || len(jars) == 0 {
		t.Fatalf("no jars in %s: %v", jarsPattern, err)
	}
	cmd := exec.Command("java", "-Xmx128m", "-cp", strings.Join(jars, ":"), "org.apache.zookeeper.server.quorum.QuorumPeerMain", cfg)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			b, _ := os.ReadFile(log.Name())
			t.Logf("zookeeper:\n%s", b[max(0, len(b)-2000):])
		}
	})
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// connect opens a session as soon as the server grants one. A server that is still starting may take a connection
// and never answer it, so each try has its own.
func connect(t *testing.T, addr string) *zk.Conn {
	for over := time.Now().Add(limit); time.Now().Before(over); {
		c, events, err := zk.Connect([]string{addr}, session, zk.WithLogInfo(false), zk.WithLogger(quiet{}))
		if err != nil {
			t.Fatal(err)
		}
		if granted(events) {
			t.Cleanup(c.Close)
			return c
		}
		c.Close()
	}
	t.Fatal("ZooKeeper does not answer")
	return nil
}

// granted says whether the session begins within one try.
func granted(events <-chan zk.Event) bool {
	for over := time.After(try); ; {
		select {
		case e := <-events:
			if e.State == zk.StateHasSession {
				return true
			}
		case <-over:
			return false
		}
	}
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}

// publish makes a node as Mesos masters do: the smallest sequence leads.
func publish(t *testing.T, c *zk.Conn, master string) string {
	u, err := url.Parse("http://" + master)
	if err != nil {
		t.Fatal(err)
	}
	port, _ := strconv.Atoi(u.Port())
	body, _ := json.Marshal(map[string]any{"address": map[string]any{"hostname": u.Hostname(), "ip": u.Hostname(), "port": port},
		"hostname": u.Hostname(), "id": "m-" + u.Port(), "pid": "master@" + u.Host, "port": port, "version": "1.11.0"})
	node, err := c.Create("/mesos/json.info_", body, zk.FlagEphemeral|zk.FlagSequence, zk.WorldACL(zk.PermAll))
	if err != nil {
		t.Fatal(err)
	}
	return node
}

// TestMasterThroughZooKeeper: --master zk://…/mesos finds the leading master, and when another one takes over the server
// follows it; tasks are launched through either (behaviour 9.4, D-25, F15).
func TestMasterThroughZooKeeper(t *testing.T) {
	addr := start(t)
	c := connect(t, addr)
	if _, err := c.Create("/mesos", nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	ports := harness.NewPorts(t)
	etcd := harness.StartEtcd(t, ports)
	_, first := harness.Minimesos(t, t.TempDir(), "--simulated")
	_, second := harness.Minimesos(t, t.TempDir(), "--simulated")
	leading := publish(t, c, first)
	publish(t, c, second)
	server := harness.Start(t, "server", "--master", "zk://"+addr+"/mesos", "--etcd_endpoints", etcd.Endpoint, "--http_address", "127.0.0.1", "--hostname", "127.0.0.1",
		"--http_port", strconv.Itoa(ports.Next(t)), "--etcd_lease_ttl", "60")
	api := harness.NewAPI(t, server.Ready())
	running := func(id string) {
		t.Helper()
		api.Must("POST", "/v2/apps", map[string]any{"id": id, "cmd": "sleep 1000", "cpus": 0.1, "mem": 16})
		harness.Await(t, limit, id+" runs", func() (bool, string) {
			var got struct {
				App struct {
					TasksRunning int `json:"tasksRunning"`
				} `json:"app"`
			}
			api.Get("/v2/apps"+id, &got)
			return got.App.TasksRunning == 1, fmt.Sprint(got.App.TasksRunning)
		})
	}
	running("/through-the-first")
	if err := c.Delete(leading, -1); err != nil {
		t.Fatal(err)
	}
	harness.Await(t, limit, "the server follows", func() (bool, string) {
		text := server.Stderr()
		return strings.Contains(text, second), text
	})
	running("/through-the-second")
}
