package upgrade

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

const (
	deployLimit = 3 * time.Minute
	service     = "/shop/service"
)

func TestMain(m *testing.M) { harness.Main(m) }

type object = map[string]any

// world is a server with two agents and the service's program.
type world struct {
	*testing.T
	*harness.Server
	script string
	args   []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	harness.KillLeftovers(t, dir)
	ports := harness.NewPorts(t)
	w := &world{T: t, script: filepath.Join(dir, "web.py"), args: []string{"dev", "--data_dir", filepath.Join(dir, "data"), "--http_address", "127.0.0.1",
		"--http_port", strconv.Itoa(ports.Next(t)), "--resources", ports.Resources(), "--agents", "2"}}
	harness.WriteWebService(t, w.script)
	w.start(dir)
	return w
}

func (w *world) start(dir string) {
	w.Helper()
	p := harness.Start(w, w.args...)
	w.Server = &harness.Server{Process: p, API: harness.NewAPI(w, p.Ready()), Dir: dir}
}

// crash kills the server with kill -9 and starts it again; the tasks go on.
func (w *world) crash() {
	w.Helper()
	w.Kill()
	w.start(w.Dir)
}

// web is the service that answers word; more overrides.
func (w *world) web(word string, instances int, more object) object {
	app := object{"id": service, "instances": instances, "cpus": 0.01, "mem": 32, "taskKillGracePeriodSeconds": 120,
		"cmd":             fmt.Sprintf("exec python3 -S %s $PORT0 %s", w.script, word),
		"portDefinitions": []any{object{"port": 0, "name": "http"}}, "backoffSeconds": 1, "backoffFactor": 1,
		"upgradeStrategy": object{"minimumHealthCapacity": 1, "maximumOverCapacity": 0.2},
		"healthChecks": []any{object{"protocol": "HTTP", "path": "/health", "portIndex": 0, "gracePeriodSeconds": 120, "intervalSeconds": 1,
			"timeoutSeconds": 30, "maxConsecutiveFailures": 10}}}
	for k, v := range more {
		app[k] = v
	}
	return app
}

// load sends requests until it is judged, to what proxies take from the API by polling or by events.
func (w *world) load(byEvents bool) *harness.Load {
	w.Helper()
	var news <-chan harness.Event
	if byEvents {
		news = w.OpenEvents("?event_type=status_update_event&event_type=health_status_changed_event", nil).Events
	}
	return harness.StartLoad(w, news, func() ([]string, error) { return w.Addresses(service, true) })
}

// crashing is a version whose tasks fail at once.
func (w *world) crashing(instances int, more object) object {
	app := w.web("broken", instances, more)
	app["cmd"] = "exit 7"
	return app
}

type deployed struct {
	Version, DeploymentID string
}

// put changes the service and returns the deployment.
func (w *world) put(app object, query string) string {
	w.Helper()
	var d deployed
	w.decode(w.Must("PUT", "/v2/apps"+service+query, app, 200, 201), &d)
	return d.DeploymentID
}

type deployment struct {
	ID             string
	CurrentStep    int
	CurrentActions []struct {
		Action                string
		ReadinessCheckResults []struct {
			Ready  bool
			TaskID string
		}
	}
}

func (w *world) deployments() []deployment {
	w.Helper()
	var out []deployment
	w.Get("/v2/deployments", &out)
	return out
}

// quiet waits until no deployment runs.
func (w *world) quiet() {
	w.Helper()
	harness.Await(w, deployLimit, "no deployment runs", func() (bool, string) {
		list := w.deployments()
		return len(list) == 0, fmt.Sprintf("%+v; %s", list, w.counts())
	})
}

type task struct {
	ID, Host, State, Version, StartedAt string
	Ports                               []int
	HealthCheckResults                  []struct{ Alive bool }
}

type appAnswer struct {
	App struct {
		Version                                                            string
		Cmd                                                                string
		Instances, TasksRunning, TasksStaged, TasksHealthy, TasksUnhealthy int
		Tasks                                                              []task
		LastTaskFailure                                                    *struct{ State, TaskID, Message string }
	}
}

func (w *world) app() appAnswer {
	w.Helper()
	var a appAnswer
	w.Get("/v2/apps"+service+"?embed=app.tasks&embed=app.lastTaskFailure", &a)
	return a
}

func (w *world) counts() string {
	a := w.app().App
	return fmt.Sprintf("instances %d, staged %d, running %d, healthy %d, unhealthy %d", a.Instances, a.TasksStaged, a.TasksRunning, a.TasksHealthy, a.TasksUnhealthy)
}

// complete waits until the service has exactly n healthy tasks, and returns their ids.
func (w *world) complete(n int) []string {
	w.Helper()
	var out []string
	harness.Await(w, deployLimit, fmt.Sprintf("%d tasks are healthy and no others run", n), func() (bool, string) {
		a := w.app().App
		out = nil
		for _, t := range a.Tasks {
			out = append(out, t.ID)
		}
		slices.Sort(out)
		return a.TasksHealthy == n && len(a.Tasks) == n && a.Instances == n, w.counts()
	})
	return out
}

// says waits until every task of the service answers word.
func (w *world) says(word string) {
	w.Helper()
	for _, t := range w.app().App.Tasks {
		res, err := harness.NewAPI(w, fmt.Sprintf("http://%s:%d", t.Host, t.Ports[0])).Try("GET", "/", nil)
		if err != nil || !strings.HasPrefix(string(res.Body), word+" ") {
			w.Errorf("task %s answers %q (%v), want %q", t.ID, res.Body, err, word)
		}
	}
}
