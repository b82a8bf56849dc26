package main

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"stadion/core/store/etcdtest"
)

// Three servers on one etcd: one leads, the others pass on; abdication and SIGTERM hand over in order.
func TestThreeServers(t *testing.T) { // behaviour 9.1, 9.3; http-api 10.2; F6, P26
	const lease = 60 // seconds; nobody waits for it
	c := newCluster(t, lease, 3)
	lead, others := c.leader()
	running := lead.deploy("/first", 2)

	status, head, text := others[0].call("POST", "/v2/apps", testApp("/second", 1))
	if status != 201 || head.Get("X-Marathon-Via") != "1.1 "+others[0].addr || head.Get("X-Marathon-Leader") != "http://"+lead.addr || head.Get("Marathon-Deployment-Id") == "" {
		t.Errorf("through a standby: %d %v %s", status, head, text)
	}
	if got := others[1].apps(); !slices.Equal(got, []string{"/first", "/second"}) { // R11
		t.Errorf("another standby lists %v", got)
	}
	if status, head, _ = others[0].call("GET", "/v2/events?event_type=x", ""); status != 302 || head.Get("Location") != "http://"+lead.addr+"/v2/events?event_type=x" {
		t.Errorf("events of a standby: %d %v", status, head)
	}
	for path, local := range map[string]bool{"/ping": true, "/metrics": false, "/metrics?local=true": true, "/v2/info": false} { // D-44
		if status, head, _ = others[0].call("GET", path, ""); status != 200 || (head.Get("X-Marathon-Via") == "") != local {
			t.Errorf("%s of a standby: %d via %q", path, status, head.Get("X-Marathon-Via"))
		}
	}

	status, _, text = others[0].call("DELETE", "/v2/leader", "")
	if status != 200 || !strings.Contains(text, `"Leadership abdicated"`) {
		t.Fatalf("abdication: %d %s", status, text)
	}
	if code := lead.code(atMost); code != exitAbdicated {
		t.Errorf("exit code %d, want %d", code, exitAbdicated)
	}
	lead, others = c.leader()
	if got := lead.tasks("/first"); !slices.Equal(got, running) {
		t.Errorf("tasks after the hand-over: %v, were %v", got, running)
	}

	last := others[0]
	longest := gap(last, func() {
		lead.signal(syscall.SIGTERM)
		if code := lead.code(atMost); code != 0 {
			t.Errorf("exit code after SIGTERM: %d", code)
		}
	})
	if longest > lease*time.Second/2 {
		t.Errorf("no write for %s in a planned hand-over", longest)
	}
	t.Logf("planned hand-over: %s without a write", longest)
	if got := last.tasks("/first"); !slices.Equal(got, running) {
		t.Errorf("tasks after SIGTERM: %v, were %v", got, running)
	}
}

// gap writes all the time through a server while f runs and until writes succeed again. It returns the longest time
// from the beginning of one successful write to the end of the next.
func gap(s *server, f func()) time.Duration {
	var done atomic.Bool
	result := make(chan time.Duration)
	go func() {
		var longest time.Duration
		since := time.Now()
		for n := 0; ; n++ {
			over := done.Load()
			if status, _, _ := s.call("PUT", "/v2/apps/written?force=true", fmt.Sprintf(`{"cmd":"sleep %d","instances":0}`, n)); status/100 == 2 {
				longest = max(longest, time.Since(since))
				since = time.Now()
				if over {
					result <- longest
					return
				}
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	time.Sleep(100 * time.Millisecond) // some writes before
	f()
	done.Store(true)
	return <-result
}

// kill -9: another server answers a write long before the lease of the dead one has ended, also when a supervisor
// starts the dead one again at once, and without the early take-over soon after it.
func TestKilledLeader(t *testing.T) { // P25, R1
	const halfLease = 30 * time.Second
	for name, row := range map[string]struct {
		ttl, servers int
		flag         string
		back         bool
		limit        time.Duration
	}{
		"early take-over":         {60, 2, "--etcd_early_takeover", false, halfLease},
		"the lease":               {4, 2, "--disable_etcd_early_takeover", false, atMost},
		"started again":           {60, 2, "--etcd_early_takeover", true, halfLease},
		"started again and alone": {60, 1, "--etcd_early_takeover", true, halfLease},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, row.ttl, row.servers, row.flag)
			lead, others := c.leader()
			running := lead.deploy("/app", 3)
			asked := append(others, lead)[0]
			longest := gap(asked, func() {
				lead.signal(syscall.SIGKILL)
				<-lead.exited
				if row.back {
					c.start(lead.port())
				}
			})
			if longest > row.limit {
				t.Errorf("no write for %s, want at most %s", longest, row.limit)
			}
			t.Logf("kill -9, lease of %d s: %s without a write", row.ttl, longest)
			within(t, atMost, "the tasks are known again", func() bool { return slices.Equal(asked.tasks("/app"), running) })
		})
	}
}

// A leader that is stopped for longer than its lease finds itself replaced, writes nothing, and ends.
func TestZombieLeader(t *testing.T) { // F3, R8
	c := newCluster(t, 4, 2, "--leader_proxy_read_timeout", "500") // nobody waits long for the stopped one
	zombie, others := c.leader()
	running := zombie.deploy("/app", 3)
	zombie.signal(syscall.SIGSTOP)
	next := others[0]
	within(t, atMost, "another leads", func() bool { return next.leads() == next.addr })
	if status, _, text := next.call("PUT", "/v2/apps/app?force=true", testApp("/app", 5)); status != 200 {
		t.Fatalf("write to the new leader: %d %s", status, text)
	}
	within(t, atMost, "five tasks run", func() bool { return len(next.tasks("/app")) == 5 })
	before := next.tasks("/app")
	wrote := make(chan int, 1)
	go func() {
		status, _, _ := zombie.call("POST", "/v2/apps", testApp("/ghost", 1))
		wrote <- status
	}()
	time.Sleep(50 * time.Millisecond) // the request lies in its socket when it wakes up
	zombie.signal(syscall.SIGCONT)
	began := time.Now()
	if code := zombie.code(atMost); code != exitLeadershipLost && code != exitMesosError { // etcd or Mesos told it first
		t.Errorf("exit code %d, want %d or %d", code, exitLeadershipLost, exitMesosError)
	}
	t.Logf("ended %s after waking up; its write got %d", time.Since(began), <-wrote)
	for _, id := range append(running, before...) {
		if !slices.Contains(next.tasks("/app"), id) {
			t.Errorf("task %s is lost", id)
		}
	}
	if got := next.tasks("/app"); len(got) != 5 {
		t.Errorf("%d tasks, want 5", len(got))
	}
	// Whatever became of the write, nobody was told of a success that the new leader does not know.
	if next.leads() != next.addr {
		t.Error("the new leader was disturbed")
	}
}

// Two servers of different clusters on one root: one of them leads, the other one only passes on. Two with one name:
// the second refuses to start.
func TestTwoClustersOneRoot(t *testing.T) { // F7
	c := newCluster(t, 60, 1)
	lead, _ := c.leader()
	lead.deploy("/app", 1)
	first := c.master
	c.master = mini(t)
	stray := c.start(etcdtest.FreePort(t))
	within(t, atMost, "the stray server is a standby", func() bool { return stray.leads() == lead.addr })
	if got := stray.tasks("/app"); len(got) != 1 {
		t.Errorf("tasks through the stray server: %v", got)
	}
	c.master = first
	twin := launch(t, lead.addr, "server", "--master", c.master, "--etcd_endpoints", c.endpoint, "--hostname", "127.0.0.1", "--http_address", "127.0.0.2",
		"--http_port", lead.addr[strings.LastIndexByte(lead.addr, ':')+1:], "--etcd_lease_ttl", "2")
	if code := twin.code(atMost); code != exitStoreUnreachable || !strings.Contains(twin.log(), "another server has the same --hostname and port") {
		t.Errorf("a twin: exit code %d, %s", code, twin.log())
	}
	if lead.leads() != lead.addr {
		t.Error("the leader was disturbed")
	}
}
