package agent

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// Defaults of Mesos where a check leaves a field out.
const (
	defaultCheckDelay    = 15 * time.Second
	defaultCheckInterval = 10 * time.Second
	defaultCheckTimeout  = 20 * time.Second
	defaultCheckGrace    = 10 * time.Second
	defaultCheckFailures = 3
)

// signalExitBase plus the signal is the exit code of a killed check, as in a
// shell.
const signalExitBase = 128

// maxCheckBody is how much of the answer of an HTTP check is read.
const maxCheckBody = 64 << 10

// checkResult is one result of a health check or a check.
type checkResult struct {
	health bool // from the health check
	ok     bool // of a health check
	at     time.Time
	status *mesos.CheckStatusInfo // of a check
}

// probe is one way to look at a task. value is the exit code or the HTTP
// status; answered is false if there was none: a timeout, no connection.
type probe func(ctx context.Context) (value int, answered bool)

// schedule says when to probe.
type schedule struct{ delay, interval, timeout time.Duration }

func seconds(v *float64, def time.Duration) time.Duration {
	if v == nil {
		return def
	}
	return max(0, time.Duration(*v*float64(time.Second)))
}

// startChecks starts the checks of the task; they end with the context.
func (t *task) startChecks(ctx context.Context, wg *sync.WaitGroup, results chan<- checkResult) {
	if hc := t.info.HealthCheck; hc != nil {
		s := schedule{seconds(hc.DelaySeconds, defaultCheckDelay), seconds(hc.IntervalSeconds, defaultCheckInterval),
			seconds(hc.TimeoutSeconds, defaultCheckTimeout)}
		if look, healthyValue := t.healthProbe(hc); look != nil {
			wg.Go(func() {
				s.repeat(ctx, look, results, func(value int, answered bool) checkResult {
					return checkResult{health: true, ok: answered && healthyValue(value)}
				})
			})
		}
	}
	if c := t.info.Check; c != nil {
		s := schedule{seconds(c.DelaySeconds, defaultCheckDelay), seconds(c.IntervalSeconds, defaultCheckInterval),
			seconds(c.TimeoutSeconds, defaultCheckTimeout)}
		if look := t.checkProbe(c); look != nil {
			wg.Go(func() {
				s.repeat(ctx, look, results, func(value int, answered bool) checkResult {
					return checkResult{status: checkStatus(c, value, answered)}
				})
			})
		}
	}
}

// repeat probes until the context ends. The interval counts from the end of
// one probe to the start of the next.
func (s schedule) repeat(ctx context.Context, look probe, results chan<- checkResult, result func(int, bool) checkResult) {
	pause := time.NewTimer(s.delay)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		limited, cancel := ctx, context.CancelFunc(func() {})
		if s.timeout > 0 {
			limited, cancel = context.WithTimeout(ctx, s.timeout)
		}
		value, answered := look(limited)
		cancel()
		r := result(value, answered)
		r.at = time.Now()
		select {
		case <-ctx.Done():
			return
		case results <- r:
		}
		pause.Reset(s.interval)
	}
}

func (t *task) healthProbe(hc *mesos.HealthCheck) (look probe, healthy func(int) bool) {
	zero := func(v int) bool { return v == 0 }
	switch {
	case hc.Type == mesos.HealthCheck_HTTP && hc.HTTP != nil:
		h := hc.HTTP
		scheme := h.GetScheme()
		if scheme == "" {
			scheme = "http"
		}
		url := checkURL(scheme, h.Protocol, t.reachablePort(h.Port), h.GetPath())
		// 200 to 399, whatever HTTPCheckInfo.statuses says: Mesos ignores it.
		return httpProbe(url), func(v int) bool { return v >= 200 && v < 400 }
	case hc.Type == mesos.HealthCheck_TCP && hc.TCP != nil:
		return tcpProbe(checkAddress(hc.TCP.Protocol, t.reachablePort(hc.TCP.Port))), zero
	case hc.Type == mesos.HealthCheck_COMMAND && hc.Command != nil:
		return t.commandProbe(hc.Command), zero
	}
	return nil, nil
}

func (t *task) checkProbe(c *mesos.CheckInfo) probe {
	switch {
	case c.Type == mesos.CheckInfo_HTTP && c.HTTP != nil:
		return httpProbe(checkURL("http", nil, t.reachablePort(c.HTTP.Port), c.HTTP.GetPath()))
	case c.Type == mesos.CheckInfo_TCP && c.TCP != nil:
		return tcpProbe(checkAddress(nil, t.reachablePort(c.TCP.Port)))
	case c.Type == mesos.CheckInfo_COMMAND && c.Command != nil:
		return t.commandProbe(&c.Command.Command)
	}
	return nil
}

// checkAddress is where a task is probed: on the loopback address, as Mesos
// does.
func checkAddress(protocol *mesos.NetworkInfo_Protocol, port uint32) string {
	host := "127.0.0.1"
	if protocol != nil && *protocol == mesos.IPv6 {
		host = "::1"
	}
	return net.JoinHostPort(host, strconv.FormatUint(uint64(port), 10))
}

func checkURL(scheme string, protocol *mesos.NetworkInfo_Protocol, port uint32, path string) string {
	if path != "" && !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return fmt.Sprintf("%s://%s%s", scheme, checkAddress(protocol, port), path)
}

// httpProbe asks with GET, follows redirects and accepts every certificate, as
// Mesos does: the question is whether the task answers.
func httpProbe(url string) probe {
	return func(ctx context.Context) (int, bool) {
		client := http.Client{Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		}}
		defer client.CloseIdleConnections()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return 0, false
		}
		resp, err := client.Do(req)
		if err != nil {
			return 0, false
		}
		_, _ = io.CopyN(io.Discard, resp.Body, maxCheckBody)
		_ = resp.Body.Close()
		return resp.StatusCode, true
	}
}

// tcpProbe gives 0 if a connection can be opened, else 1.
func tcpProbe(address string) probe {
	return func(ctx context.Context) (int, bool) {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return 1, ctx.Err() == nil
		}
		_ = conn.Close()
		return 0, true
	}
}

// commandProbe runs a command in the sandbox with the environment of the task
// and gives its exit code. What it writes is discarded, for it would fill the
// files of the task.
func (t *task) commandProbe(cmd *mesos.CommandInfo) probe {
	return func(ctx context.Context) (int, bool) {
		if t.isDocker() {
			return t.runCheck(ctx, t.dockerCheck(cmd))
		}
		base, err := withVariables(t.baseEnvironment(), t.info.GetCommand().GetEnvironment())
		if err != nil {
			return 0, false
		}
		spec, err := t.inContainer(commandSpec(cmd, t.sandbox, base, t.user))
		if err != nil {
			return 0, false
		}
		return t.runCheck(ctx, spec)
	}
}

// runCheck runs the process of a check until it or the context ends.
func (t *task) runCheck(ctx context.Context, spec processSpec) (code int, answered bool) {
	spec.Stdout, spec.Stderr = "", ""
	id, err := startProcess(spec)
	if err != nil {
		return 1, true
	}
	waitErr := id.awaitEnd(ctx)
	_ = id.sweep()
	if waitErr != nil {
		// Killed by the sweep, but it has to be reaped.
		_ = id.awaitEnd(context.Background())
	}
	raw, ok := reap(id.PID)
	ws := syscall.WaitStatus(raw)
	if waitErr != nil || !ok {
		return 0, false
	}
	if ws.Signaled() {
		return signalExitBase + int(ws.Signal()), true
	}
	return ws.ExitStatus(), true
}

// checkStatus words the result of a check; without an answer it is empty.
func checkStatus(c *mesos.CheckInfo, value int, answered bool) *mesos.CheckStatusInfo {
	st := emptyCheck(c)
	switch c.Type {
	case mesos.CheckInfo_COMMAND:
		if answered {
			code := int32(value)
			st.Command.ExitCode = &code
		}
	case mesos.CheckInfo_HTTP:
		if answered {
			code := uint32(value)
			st.HTTP.StatusCode = &code
		}
	case mesos.CheckInfo_TCP:
		up := answered && value == 0
		st.TCP.Succeeded = &up
	}
	return st
}

// checked takes a result: what is new is told, and too many failures of the
// health check in a row end the task.
func (t *task) checked(r checkResult) {
	if t.killing != nil {
		return
	}
	if !r.health {
		if t.check.Equal(r.status) {
			return
		}
		t.check = r.status
		t.emitRunning(mesos.REASON_TASK_CHECK_STATUS_UPDATED)
		return
	}
	hc := t.info.HealthCheck
	if r.ok {
		t.succeeded, t.failures = true, 0
		if t.healthy == nil || !*t.healthy {
			t.setHealth(true)
		}
		return
	}
	// The grace period lasts until its time is over or the first success.
	if !t.succeeded && r.at.Sub(t.runningAt) <= seconds(hc.GracePeriodSeconds, defaultCheckGrace) {
		return
	}
	t.failures++
	t.setHealth(false)
	limit := uint32(defaultCheckFailures)
	if hc.ConsecutiveFailures != nil {
		limit = *hc.ConsecutiveFailures
	}
	if t.failures >= limit {
		t.kill(causeHealth, t.grace(nil))
	}
}

func (t *task) setHealth(healthy bool) {
	t.healthy = &healthy
	t.emitRunning(mesos.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED)
}

// emitRunning repeats TASK_RUNNING with the last health and check result.
func (t *task) emitRunning(reason mesos.TaskStatus_Reason) {
	t.emit(statusParts{state: mesos.TASK_RUNNING, source: mesos.SOURCE_EXECUTOR, reason: reason.Enum(),
		healthy: t.healthy, check: t.check, contents: containerFull})
}
