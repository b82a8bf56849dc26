package agent

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

const (
	sick = "RUNNING executor TASK_HEALTH_CHECK_STATUS_UPDATED healthy=false"
	well = "RUNNING executor TASK_HEALTH_CHECK_STATUS_UPDATED healthy=true"
)

func healthEvery(interval, grace time.Duration, failures uint32) *mesos.HealthCheck {
	return &mesos.HealthCheck{DelaySeconds: ptr(0.0), IntervalSeconds: ptr(interval.Seconds()), TimeoutSeconds: ptr(5.0),
		GracePeriodSeconds: ptr(grace.Seconds()), ConsecutiveFailures: &failures}
}

func commandHealth(command string, grace time.Duration, failures uint32) *mesos.HealthCheck {
	hc := healthEvery(50*time.Millisecond, grace, failures)
	hc.Type, hc.Command = mesos.HealthCheck_COMMAND, &mesos.CommandInfo{Value: &command}
	return hc
}

func portOf(t *testing.T, address string) uint32 {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}

// 22-health-checks: too many failures in a row give KILLING and KILLED with
// healthy false; consecutive_failures 0 does so at the first.
func TestHealthKills(t *testing.T) {
	cases := map[string]struct {
		check *mesos.HealthCheck
		want  []string
	}{
		"never": {commandHealth("exit 9", 0, 3), []string{starting, running, sick, sick, sick, killing, killed + " healthy=false"}},
		"zero":  {commandHealth("false", 0, 0), []string{starting, running, sick, killing, killed + " healthy=false"}},
		"cmd": {commandHealth("echo x >> n; [ $(wc -l < n) = 1 ]", 0, 2),
			[]string{starting, running, well, sick, sick, killing, killed + " healthy=false"}},
	}
	slow := commandHealth("sleep 1000", 0, 2)
	slow.TimeoutSeconds = ptr(0.1)
	cases["slow"] = struct {
		check *mesos.HealthCheck
		want  []string
	}{slow, []string{starting, running, sick, sick, killing, killed + " healthy=false"}}
	bothModes(t, func(t *testing.T, cfg Config) {
		b := newBench(t, cfg)
		for id, c := range cases {
			task := shellTask(id, "sleep 1000")
			task.HealthCheck = c.check
			b.agent.Launch(killingFramework(), task)
		}
		for id, c := range cases {
			b.awaitEnd(id, c.want...)
		}
		if left := processesOf(b.agent.Sandbox("fw-1", "slow")); len(left) > 0 {
			t.Errorf("processes %v of a check are left", left)
		}
	})
}

// 22-health-checks: failures in the grace period are neither told nor counted;
// a success is told when it changes something; KILL carries no health.
func TestHealthGraceAndChanges(t *testing.T) {
	var answer atomic.Int32
	answer.Store(500)
	var asked atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/health" {
			w.WriteHeader(500)
			return
		}
		asked.Add(1)
		w.WriteHeader(int(answer.Load()))
	}))
	defer srv.Close()
	b := newBench(t, Config{})
	task := shellTask("h", "sleep 1000")
	task.HealthCheck = healthEvery(20*time.Millisecond, time.Hour, 1000)
	task.HealthCheck.Type = mesos.HealthCheck_HTTP
	task.HealthCheck.HTTP = &mesos.HealthCheck_HTTPCheckInfo{Port: portOf(t, srv.Listener.Addr().String()), Path: ptr("/health")}
	b.agent.Launch(killingFramework(), task)
	b.awaitState("h", mesos.TASK_RUNNING)
	awaitCount := func(n int32) {
		t.Helper()
		for deadline := time.Now().Add(eventTimeout); asked.Load() < n; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("only %d checks", asked.Load())
			}
		}
	}
	awaitCount(3)
	if got := b.describe("h"); strings.Contains(got, "healthy") {
		t.Errorf("told in the grace period:\n%s", got)
	}
	answer.Store(399)
	b.await("healthy", func() bool { return strings.Contains(lines(b.ofLocked("h")), "healthy=true") })
	awaitCount(asked.Load() + 3)
	answer.Store(404) // the grace period has ended with the success
	b.await("unhealthy", func() bool { return strings.Contains(lines(b.ofLocked("h")), "healthy=false") })
	answer.Store(200)
	b.await("healthy again", func() bool { return strings.HasSuffix(lines(b.ofLocked("h")), "healthy=true") })
	b.agent.Kill("fw-1", "h", nil)
	b.await("end", func() bool { return strings.Contains(lines(b.ofLocked("h")), "KILLED") })
	var got []string
	for _, l := range strings.Split(b.describe("h"), "\n") {
		if l != sick || got[len(got)-1] != sick { // the number of failures is a matter of time
			got = append(got, l)
		}
	}
	want := []string{starting, running, well, sick, well, killing, killed}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("statuses:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func lines(all []mesos.TaskStatus) string {
	var out []string
	for _, st := range all {
		out = append(out, line(st))
	}
	return strings.Join(out, "\n")
}

// HTTPS with a certificate nobody knows and redirects count as healthy; TCP is
// a connection.
func TestHealthProtocols(t *testing.T) {
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/there", http.StatusFound)
		}
	}))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // a TCP check is no handshake
	secure.StartTLS()
	defer secure.Close()
	port := portOf(t, secure.Listener.Addr().String())
	b := newBench(t, Config{})
	https := shellTask("https", "sleep 1000")
	https.HealthCheck = healthEvery(20*time.Millisecond, 0, 1)
	https.HealthCheck.Type = mesos.HealthCheck_HTTP
	https.HealthCheck.HTTP = &mesos.HealthCheck_HTTPCheckInfo{Port: port, Scheme: ptr("https"), Path: ptr("/")}
	tcp := shellTask("tcp", "sleep 1000")
	tcp.HealthCheck = healthEvery(20*time.Millisecond, 0, 1)
	tcp.HealthCheck.Type, tcp.HealthCheck.TCP = mesos.HealthCheck_TCP, &mesos.HealthCheck_TCPCheckInfo{Port: port}
	for _, task := range []mesos.TaskInfo{https, tcp} {
		b.agent.Launch(killingFramework(), task)
		id := task.TaskID.Value
		b.await("health of "+id, func() bool { return strings.Contains(lines(b.ofLocked(id)), "healthy=true") })
	}
}

// 22-health-checks (chk, chkhttp, chktcp): the empty form in STARTING, first
// RUNNING, KILLING and KILLED, only changes in between, and a check never kills.
func TestChecks(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	port := portOf(t, srv.Listener.Addr().String())
	every := func(c mesos.CheckInfo) *mesos.CheckInfo {
		c.DelaySeconds, c.IntervalSeconds, c.TimeoutSeconds = ptr(0.0), ptr(0.03), ptr(5.0)
		return &c
	}
	changed := "RUNNING executor TASK_CHECK_STATUS_UPDATED check="
	cases := map[string]struct {
		check   *mesos.CheckInfo
		kind    string
		results []string
	}{
		"chk": {every(mesos.CheckInfo{Type: mesos.CheckInfo_COMMAND, Command: &mesos.CheckInfo_Command{Command: mesos.CommandInfo{
			Value: ptr("echo x >> n; [ $(wc -l < n) -gt 2 ] && exit 7; exit 0")}}}), "COMMAND", []string{":0", ":7"}},
		"chkhttp": {every(mesos.CheckInfo{Type: mesos.CheckInfo_HTTP, HTTP: &mesos.CheckInfo_Http{Port: port, Path: ptr("nope")}}), "HTTP", []string{":404"}},
		"chktcp":  {every(mesos.CheckInfo{Type: mesos.CheckInfo_TCP, TCP: &mesos.CheckInfo_Tcp{Port: port}}), "TCP", []string{":true"}},
		"chkdown": {every(mesos.CheckInfo{Type: mesos.CheckInfo_TCP, TCP: &mesos.CheckInfo_Tcp{Port: 1}}), "TCP", []string{":false"}},
	}
	b := newBench(t, Config{})
	for id, c := range cases {
		task := shellTask(id, "sleep 1000")
		task.Check = c.check
		b.agent.Launch(killingFramework(), task)
	}
	for id, c := range cases {
		last := changed + c.kind + c.results[len(c.results)-1]
		b.await(last, func() bool { return strings.HasSuffix(lines(b.ofLocked(id)), last) })
		b.agent.Kill("fw-1", id, nil)
		empty := fmt.Sprintf(" check=%s", c.kind)
		want := []string{starting + empty, running + empty}
		for _, r := range c.results {
			want = append(want, changed+c.kind+r)
		}
		b.awaitEnd(id, append(want, killing+empty, killed+empty)...)
	}
}
