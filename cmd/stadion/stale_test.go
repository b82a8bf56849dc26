package main

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"stadion/core/store/etcdtest"
)

// behindLink starts a leader with one app of one instance and its standby; both reach etcd through the link.
func behindLink(t *testing.T, ttl int) (link *etcdtest.Proxy, lead, standby *server) {
	t.Helper()
	link = etcdtest.NewProxy(t, etcdtest.Start(t).Endpoint)
	c := &cluster{t: t, endpoint: "http://" + link.Addr, master: mini(t), ttl: ttl}
	lead = c.start(etcdtest.FreePort(t))
	within(t, 60*time.Second, "the server leads", func() bool { return lead.leads() == lead.addr })
	lead.deploy("/app", 1)
	standby = c.start(etcdtest.FreePort(t))
	within(t, 60*time.Second, "the standby knows the leader", func() bool { return standby.leads() == lead.addr })
	return link, lead, standby
}

// While a leader cannot reach etcd its reads go on and say that they are old, directly and through a standby; when etcd
// is there again they no longer do. Nothing is written meanwhile: an idle leader has to notice by itself.
func TestStaleReadsAreMarked(t *testing.T) { // R13
	t.Parallel()
	link, lead, standby := behindLink(t, 600)
	marked := func(s *server) bool {
		status, head, text := s.call("GET", "/v2/apps/app/tasks", "")
		if status != 200 || len(s.tasks("/app")) != 1 {
			t.Errorf("a read without etcd: %d %s", status, text)
		}
		age, err := strconv.Atoi(head.Get("Age"))
		if head.Get("Warning") == "" {
			return false
		}
		if err != nil || age < int(freshFor.Seconds()) || head.Get("Warning") != `110 - "Response is Stale"` {
			t.Errorf("Age %q, Warning %q", head.Get("Age"), head.Get("Warning"))
		}
		return true
	}
	link.Cut()
	within(t, 60*time.Second, "reads are marked", func() bool { return marked(lead) && marked(standby) })
	link.Heal()
	within(t, 60*time.Second, "reads are fresh again", func() bool { return !marked(lead) && !marked(standby) })
}

// When etcd is silent for longer than a lease lasts and Mesos knows no successor, reads go on, marked as old, directly and
// through a standby, and changes are refused. When etcd is back the term is over, and the standby leads.
func TestReadsOutlastTheLease(t *testing.T) { // R13, F8
	t.Parallel()
	link, lead, standby := behindLink(t, 5)
	link.Cut()
	for _, s := range []*server{lead, standby} {
		within(t, 60*time.Second, "changes are refused", func() bool {
			status, _, text := s.call("PUT", "/v2/apps/app", `{"instances": 2}`)
			return status == 503 && strings.Contains(text, "nothing can be changed")
		})
		status, head, text := s.call("GET", "/v2/apps/app/tasks", "")
		if status != 200 || len(s.tasks("/app")) != 1 || head.Get("Warning") == "" {
			t.Errorf("a read after the lease: %d %v %s", status, head, text)
		}
	}
	if lead.gone() {
		t.Fatal("the server ended while nobody else can lead")
	}
	link.Heal()
	if code := lead.code(time.Minute); code != exitLeadershipLost && code != exitMesosError { // etcd or Mesos told it first
		t.Errorf("exit code %d, want %d or %d", code, exitLeadershipLost, exitMesosError)
	}
	within(t, 60*time.Second, "the standby leads", func() bool { return standby.leads() == standby.addr })
	if n := len(standby.tasks("/app")); n != 1 {
		t.Errorf("%d tasks, want 1", n)
	}
}
