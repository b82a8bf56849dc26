package metrics

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sort"
	"strings"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

const limit = 2 * time.Minute

func TestMain(m *testing.M) { harness.Main(m) }

// still are the metrics that this run does not move, and why.
var still = map[string]string{
	"http.responses.1xx.rate.meter":                     "the server has no 1xx of its own",
	"http.responses.5xx.rate.meter":                     "a 5xx is an error of the server",
	"instances.launch-overdue.gauge":                    "launches are looked at for the first time after 30 s; a test of core/machine moves it",
	"mesos.task.oom.memory-limit-exceeded.counter":      "no task exceeds its memory; a test of cmd/stadion moves it",
	"mesos.task.oom.memory-limit-unfulfillable.counter": "no master says so (D-50)",
	"persistence.gc.compaction.duration.timer.seconds":  "etcd is compacted every minute",
	"debug.mesos.offers.unprocessable.counter":          "no offer waits for so long",
	"debug.mesos.offers.saving-tasks-errors.counter":    "etcd takes all writes",
	"debug.killing-unknown-task-duration.timer.seconds": "there is no unknown task; a test of cmd/stadion moves it",
	"debug.offer-matcher.queue.size.gauge":              "offers wait for a moment only",
	"debug.root-group.updates.active.gauge":             "changes wait for a moment only",
	"stadion.inbox.commands.gauge":                      "changes wait for a moment only",
	"stadion.inbox.events.gauge":                        "events wait for a moment only",
	"stadion.snapshot.age.gauge.seconds":                "readers are behind for a moment only",
	"stadion.store.away.gauge":                          "etcd takes all writes",
	"stadion.gc.longest-pause.gauge.seconds":            "there may be no garbage collection for 20 s",
	"mesos.task-updates.task-staging.counter":           "only a reconciliation in the moment of a launch sees it",
	"mesos.task-updates.task-error.counter":             "needs a master's fault", "mesos.task-updates.task-lost.counter": "not sent to partition-aware frameworks",
	"mesos.task-updates.task-dropped.counter": "needs a master's fault", "mesos.task-updates.task-gone.counter": "needs a master's fault",
	"mesos.task-updates.task-gone-by-operator.counter": "needs an operator", "mesos.task-updates.task-unknown.counter": "needs a master's fault",
	"mesos.task-updates.task-unreachable.counter": "needs a lost agent",
}

type object = map[string]any

// TestAllMove runs one of everything and wants a value other than zero of every metric that is not in the list.
func TestAllMove(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	harness.KillLeftovers(t, dir)
	ports := harness.NewPorts(t)
	etcd := harness.StartEtcd(t, ports)
	_, master := harness.Minimesos(t, dir)
	p := harness.Start(t, "server", "--master", master, "--etcd_endpoints", etcd.Endpoint, "--http_address", "127.0.0.1", "--http_port", fmt.Sprint(ports.Next(t)), "--hostname", "127.0.0.1",
		"--mesos_role", "stadion", "--mesos_authentication_principal", "stadion", "--enable_features", "task_killing", "--max_running_deployments", "2", "--launch_tokens", "1000",
		"--disable_metrics_histogram_reservoir_reset_periodically", "--kill_retry_timeout", "200")
	w := &run{T: t, API: harness.NewAPI(t, p.Ready()), moved: map[string]bool{}}
	stream := w.OpenEvents("", nil)
	w.launches()
	w.look()
	w.kills()
	w.refusals()
	w.methods()
	w.versions()
	stream.Cancel()
	harness.Await(t, limit, "every metric has moved", func() (bool, string) {
		w.look()
		var left []string
		for name, moved := range w.moved {
			if !moved && still[name] == "" {
				left = append(left, name)
			}
		}
		sort.Strings(left)
		return len(left) == 0, strings.Join(left, " ")
	})
	for name := range still {
		if _, there := w.moved[name]; !there {
			t.Errorf("%s is no metric", name)
		}
	}
}

// run is a server with what its metrics have shown so far.
type run struct {
	*testing.T
	*harness.API
	moved map[string]bool // by name without prefix: was other than zero at some time
}

// look reads all metrics.
func (w *run) look() {
	w.Helper()
	var m struct {
		Counters, Meters, Timers, Histograms map[string]struct{ Count float64 }
		Gauges                               map[string]struct{ Value float64 }
	}
	res := w.Must(http.MethodGet, "/metrics", nil)
	if err := json.Unmarshal(res.Body, &m); err != nil {
		w.Fatalf("%v in %s", err, res.Body)
	}
	note := func(name string, v float64) {
		name = strings.TrimPrefix(name, "marathon.")
		w.moved[name] = w.moved[name] || v != 0
	}
	for _, kind := range []map[string]struct{ Count float64 }{m.Counters, m.Meters, m.Timers, m.Histograms} {
		for name, v := range kind {
			note(name, v.Count)
		}
	}
	for name, v := range m.Gauges {
		note(name, v.Value)
	}
}

func (w *run) until(what, name string) {
	w.Helper()
	harness.Await(w, limit, what, func() (bool, string) { w.look(); return w.moved[name], name })
}

func (w *run) quiet() {
	w.Helper()
	harness.Await(w, limit, "no deployment runs", func() (bool, string) {
		body := string(w.Must(http.MethodGet, "/v2/deployments", nil).Body)
		return body == "[]", body
	})
}

// launches starts an app with a health check, a pod, a resident app and tasks that fail and finish.
func (w *run) launches() {
	web := object{"id": "/web", "cmd": "exec python3 -S -m http.server $PORT0 --bind $HOST", "cpus": 0.1, "mem": 32, "portDefinitions": []any{object{"port": 0}},
		"healthChecks": []any{object{"protocol": "HTTP", "path": "/", "portIndex": 0, "intervalSeconds": 1, "timeoutSeconds": 5, "gracePeriodSeconds": 60}}}
	w.Must(http.MethodPost, "/v2/apps", web, 201)
	w.quiet()
	w.Must(http.MethodPost, "/v2/pods", object{"id": "/pod", "containers": []any{object{"name": "one", "exec": object{"command": object{"shell": "sleep 1000"}}, "resources": object{"cpus": 0.1, "mem": 32}}}}, 201)
	w.quiet()
	w.Must(http.MethodPost, "/v2/apps", object{"id": "/resident", "cmd": "sleep 1000", "cpus": 0.1, "mem": 32,
		"container": object{"type": "MESOS", "volumes": []any{object{"containerPath": "data", "mode": "RW", "persistent": object{"size": 10}}}}}, 201)
	w.quiet()
	for id, cmd := range map[string]string{"/fails": "exit 7", "/ends": "exit 0"} {
		w.Must(http.MethodPost, "/v2/apps", object{"id": id, "cmd": cmd, "cpus": 0.1, "mem": 32}, 201)
		w.until("a task ends", map[string]string{"/fails": "mesos.task-updates.task-failed.counter", "/ends": "mesos.task-updates.task-finished.counter"}[id])
		w.Must(http.MethodDelete, "/v2/apps"+id+"?force=true", nil)
		w.quiet()
	}
}

// kills ends a task that does not want to end, so that the kill can be seen in flight.
func (w *run) kills() {
	w.Must(http.MethodPost, "/v2/apps", object{"id": "/stubborn", "cmd": "trap '' TERM; while true; do sleep 0.1; done", "cpus": 0.1, "mem": 32, "taskKillGracePeriodSeconds": 2}, 201)
	w.quiet()
	w.Must(http.MethodDelete, "/v2/apps/stubborn/tasks", nil)
	w.until("a kill is in flight", "instances.inflight-kills.gauge")
	w.until("it was sent", "instances.inflight-kill-attempts.gauge")
	w.until("its task is killed", "mesos.task-updates.task-killed.counter")
	w.Must(http.MethodDelete, "/v2/apps/stubborn?force=true", nil)
	w.quiet()
}

// refusals starts as many deployments as may run, and one more.
func (w *run) refusals() {
	for n := range 2 {
		w.Must(http.MethodPost, "/v2/apps", object{"id": fmt.Sprintf("/big%d", n), "cmd": "sleep 1", "cpus": 1000, "mem": 32}, 201)
	}
	w.look()
	w.Must(http.MethodPost, "/v2/apps", object{"id": "/big2", "cmd": "sleep 1", "cpus": 1000, "mem": 32}, 403)
	for n := range 2 {
		w.Must(http.MethodDelete, fmt.Sprintf("/v2/apps/big%d?force=true", n), nil)
	}
	w.quiet()
}

// methods asks with every method, for a redirection and for a compressed answer.
func (w *run) methods() {
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "PATCH", "PUT", "TRACE"} {
		w.Do(method, "/v2/apps", nil)
	}
	w.Must(http.MethodGet, "/", nil, 302)
	req, err := http.NewRequest(http.MethodGet, w.URL+"/v2/apps", nil)
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "gzip")
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		w.Fatal(err)
	}
	_ = res.Body.Close()
}

// versions makes so many changes that old versions are looked for.
func (w *run) versions() {
	for n := range 110 {
		w.Must(http.MethodPut, "/v2/apps/many", object{"id": "/many", "cmd": fmt.Sprint("sleep ", n), "instances": 0, "cpus": 0.1, "mem": 32}, 200, 201)
		if n%20 == 0 {
			w.quiet()
		}
	}
}
