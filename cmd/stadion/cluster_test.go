package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"stadion/core/store/etcdtest"
)

// beMain makes the test binary behave as stadion itself, so that tests can kill, stop and restart real processes.
const beMain = "STADION_TEST_IS_THE_BINARY"

func TestMain(m *testing.M) {
	if os.Getenv(beMain) != "" {
		main()
	}
	os.Exit(m.Run())
}

// atMost is how long it takes for what comes by itself, on whatever machine.
const atMost = 2 * time.Minute

// cluster is an etcd, a miniature Mesos with simulated tasks, and servers as processes of their own.
type cluster struct {
	t        *testing.T
	endpoint string
	master   string
	ttl      int // seconds
	servers  []*server
	flags    []string // of every server
}

func newCluster(t *testing.T, ttl, servers int, flags ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, endpoint: "http://" + etcdtest.Start(t).Endpoint, master: mini(t), ttl: ttl, flags: flags}
	for range servers {
		c.start(etcdtest.FreePort(t))
	}
	return c
}

func mini(t *testing.T) string {
	t.Helper()
	m, err := startMinimesos(miniature{agents: 2, dir: t.TempDir(), resources: "cpus:100;mem:100000;disk:100000;ports:[31000-31999]", simulated: true, log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close(true) })
	return m.Addr()
}

// server is one process.
type server struct {
	t      *testing.T
	addr   string
	cmd    *exec.Cmd
	exited chan struct{}
	mu     sync.Mutex
	stderr bytes.Buffer
}

func (s *server) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stderr.Write(b)
}

func (s *server) log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stderr.String()
}

// launch runs a sub-command until the test ends.
func launch(t *testing.T, addr string, args ...string) *server {
	t.Helper()
	s := &server{t: t, addr: addr, cmd: exec.Command(os.Args[0], args...), exited: make(chan struct{})}
	s.cmd.Env = append(os.Environ(), beMain+"=1")
	s.cmd.Stdout, s.cmd.Stderr = s, s
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.cmd.Wait(); close(s.exited) }()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		<-s.exited
		if t.Failed() {
			t.Logf("%s said:\n%s", addr, s.log())
		}
	})
	return s
}

func (c *cluster) start(port int, flags ...string) *server {
	c.t.Helper()
	args := append([]string{"server", "--master", c.master, "--etcd_endpoints", c.endpoint, "--hostname", "127.0.0.1", "--http_address", "127.0.0.1",
		"--http_port", strconv.Itoa(port), "--etcd_lease_ttl", strconv.Itoa(c.ttl)}, c.flags...)
	s := launch(c.t, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), append(args, flags...)...)
	c.servers = append(c.servers, s)
	within(c.t, atMost, "the server listens", func() bool {
		select {
		case <-s.exited:
			return true
		default:
		}
		conn, err := net.DialTimeout("tcp", s.addr, atMost)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return s
}

// port is where the server listens. Nobody waits for the lease of one that was killed there.
func (s *server) port() int {
	s.t.Helper()
	_, text, _ := net.SplitHostPort(s.addr)
	n, err := strconv.Atoi(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// within waits for something to become true.
func within(t *testing.T, limit time.Duration, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !f(); {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", limit, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// call sends a request without following redirects; status 0 stands for no answer.
func (s *server) call(method, path, body string) (int, http.Header, string) {
	return callURL(method, "http://"+s.addr+path, body)
}

var testTransport = &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: atMost}).DialContext, ResponseHeaderTimeout: atMost}

func callURL(method, url, body string) (int, http.Header, string) {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return 0, nil, err.Error()
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := testTransport.RoundTrip(req)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, nil, err.Error()
	}
	return res.StatusCode, res.Header, string(b)
}

// leads is who this server thinks leads.
func (s *server) leads() string {
	status, _, text := s.call("GET", "/v2/leader", "")
	var l struct{ Leader string }
	if status != 200 || json.Unmarshal([]byte(text), &l) != nil {
		return ""
	}
	return l.Leader
}

// leader waits until the servers that live agree on one of them, and returns it and the others.
func (c *cluster) leader() (*server, []*server) {
	c.t.Helper()
	var lead *server
	var others []*server
	within(c.t, atMost, "a leader that all name", func() bool {
		lead, others = nil, nil
		name := ""
		for _, s := range c.servers {
			if s.gone() {
				continue
			}
			who := s.leads()
			if who == "" || name != "" && who != name {
				return false
			}
			if name = who; who == s.addr {
				lead = s
			} else {
				others = append(others, s)
			}
		}
		return lead != nil
	})
	return lead, others
}

func (s *server) gone() bool {
	select {
	case <-s.exited:
		return true
	default:
		return false
	}
}

// code waits for the end of the process.
func (s *server) code(limit time.Duration) int {
	s.t.Helper()
	select {
	case <-s.exited:
		return s.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		s.t.Fatalf("%s still runs after %s", s.addr, limit)
		return -1
	}
}

func (s *server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

func testApp(id string, instances int) string {
	return fmt.Sprintf(`{"id":%q,"cmd":"sleep 1000","cpus":0.1,"mem":16,"instances":%d}`, id, instances)
}

// apps lists the ids of all apps.
func (s *server) apps() []string {
	status, _, text := s.call("GET", "/v2/apps", "")
	var l struct{ Apps []struct{ ID string } }
	if status != 200 || json.Unmarshal([]byte(text), &l) != nil {
		return nil
	}
	out := []string{}
	for _, a := range l.Apps {
		out = append(out, a.ID)
	}
	slices.Sort(out)
	return out
}

// tasks lists the ids of the running tasks of an app.
func (s *server) tasks(app string) []string {
	status, _, text := s.call("GET", "/v2/apps"+app+"/tasks", "")
	var l struct{ Tasks []struct{ ID, State string } }
	if status != 200 || json.Unmarshal([]byte(text), &l) != nil {
		return nil
	}
	out := []string{}
	for _, k := range l.Tasks {
		if k.State == "TASK_RUNNING" {
			out = append(out, k.ID)
		}
	}
	slices.Sort(out)
	return out
}

// deploy posts an app and waits for its tasks.
func (s *server) deploy(id string, instances int) []string {
	s.t.Helper()
	if status, _, text := s.call("POST", "/v2/apps", testApp(id, instances)); status != 201 {
		s.t.Fatalf("POST %s: %d %s", id, status, text)
	}
	within(s.t, atMost, "the tasks of "+id+" run", func() bool { return len(s.tasks(id)) == instances })
	return s.tasks(id)
}
