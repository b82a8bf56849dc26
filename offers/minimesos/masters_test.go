package minimesos

import (
	"net/http"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

// ask sends a request to one of several masters and does not follow redirects.
func ask(t *testing.T, addr, method, path string) (status int, location string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode, resp.Header.Get("Location")
}

// Two masters: the other one redirects, says that nobody leads while nobody does, and
// takes over with all agents under a new id (high-availability.md).
func TestTwoMasters(t *testing.T) {
	c := testCluster(t, 2, func(cfg *Config) { cfg.Masters = 2 })
	first, second := c.Masters()[0], c.Masters()[1]
	f := newFramework(t, c, "web").subscribe()
	f.runTask("t1", f.offers()[0])
	check := func(when, addr, path string, wantStatus int, wantLocation string) {
		t.Helper()
		if status, location := ask(t, addr, "GET", path); status != wantStatus || location != wantLocation {
			t.Errorf("%s: %s%s: %d %q, want %d %q", when, addr, path, status, location, wantStatus, wantLocation)
		}
	}
	check("at first", second, "/api/v1/scheduler", 307, "//"+first+"/api/v1/scheduler")
	check("at first", second, "/master/state?x=1", 307, "//"+first+"/master/state?x=1")
	check("at first", second, "/redirect", 307, "//"+first)
	check("at first", first, "/master/redirect", 307, "//"+first)
	check("at first", second, "/health", 200, "")
	if err := c.KillMaster(); err != nil {
		t.Fatal(err)
	}
	if err := <-f.ended; err == nil {
		t.Error("clean end of the stream of a killed master")
	}
	check("without leader", second, "/api/v1/scheduler", 503, "")
	check("without leader", second, "/redirect", 503, "")
	if err := c.StartMaster(); err != nil {
		t.Fatal(err)
	}
	check("after the failover", first, "/api/v1/scheduler", 307, "//"+second+"/api/v1/scheduler")
	f.subscribe() // by way of the redirect
	f.offers()
	f.reconcile("t1", nil)
	if st := f.update("t1", mesos.TASK_RUNNING); st.GetReason() != mesos.REASON_RECONCILIATION {
		t.Errorf("after the failover: %s", appendJSON(nil, st))
	}
	if err := c.RestartMaster(0); err != nil { // and back
		t.Fatal(err)
	}
	check("after the second failover", second, "/redirect", 307, "//"+first)
}

// A master that has not read its registry answers 503, also to the agents.
func TestSlowRecovery(t *testing.T) {
	c := testCluster(t, 1, nil)
	f := newFramework(t, c, "web").subscribe()
	c.SlowRecovery(time.Hour)
	if err := c.RestartMaster(0); err != nil {
		t.Fatal(err)
	}
	if status, text := f.call(&scheduler.Call{Type: scheduler.Call_REVIVE}); status != 503 || text != "Master has not finished recovery" {
		t.Errorf("%d %s", status, text)
	}
	c.SlowRecovery(0)
	if err := c.RestartMaster(0); err != nil {
		t.Fatal(err)
	}
	f.subscribe()
	f.offers()
}

// Agents come back to a new master over a settable time (F15).
func TestAgentsReturnOneByOne(t *testing.T) {
	c := testCluster(t, 2, func(cfg *Config) { cfg.AgentReregisterSpread = 2 * time.Hour })
	f := newFramework(t, c, "web").subscribe()
	second := f.offers()[1]
	if err := c.RestartMaster(0); err != nil {
		t.Fatal(err)
	}
	f.subscribe()
	if back := f.offers(); len(back) != 1 {
		t.Errorf("%d agents are back, want the first", len(back))
	}
	f.reconcile("x", &second.AgentID) // silence
	f.reconcile("y", &mesos.AgentID{Value: "nosuch"})
	f.update("y", mesos.TASK_UNKNOWN)
}
