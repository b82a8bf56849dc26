package spine

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	marathon "github.com/gambol99/go-marathon"

	"stadion/compat-tests/harness"
)

const (
	deployLimit  = 2 * time.Minute
	reachLimit   = time.Minute
	pollInterval = 20 * time.Millisecond
)

func TestMain(m *testing.M) { harness.Main(m) }

// story is one server with the client that drives it.
type story struct {
	*testing.T
	srv *harness.Server
	m   marathon.Marathon
}

func newStory(t *testing.T, flags ...string) *story {
	t.Helper()
	srv := harness.Dev(t, flags...)
	config := marathon.NewDefaultConfig()
	config.URL, config.PollingWaitTime = srv.URL, pollInterval
	m, err := marathon.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	return &story{T: t, srv: srv, m: m}
}

// step runs a part of the story; when it fails the rest has no ground to stand on.
func (s *story) step(name string, f func(*story)) {
	s.Helper()
	if !s.Run(name, func(t *testing.T) { f(&story{T: t, srv: s.srv, m: s.m}) }) {
		s.FailNow()
	}
}

// must unpacks a result that has to be there.
func must[V any](v V, err error) func(*story) V {
	return func(s *story) V {
		s.Helper()
		if err != nil {
			s.Fatal(err)
		}
		return v
	}
}

// wait waits until a deployment has left the list.
func (s *story) wait(id *marathon.DeploymentID, err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
	if id.DeploymentID == "" || id.Version == "" {
		s.Fatalf("an empty deployment result: %+v", id)
	}
	if err := s.m.WaitOnDeployment(id.DeploymentID, deployLimit); err != nil {
		s.Fatalf("deployment %s: %v; the list: %s", id.DeploymentID, err, s.srv.Do("GET", "/v2/deployments", nil).Body)
	}
}

// create creates an app and waits for its deployment.
func (s *story) create(app *marathon.Application) {
	s.Helper()
	made := must(s.m.CreateApplication(app))(s)
	if len(made.Deployments) != 1 {
		s.Fatalf("POST answers %d deployments, want 1", len(made.Deployments))
	}
	s.wait(&marathon.DeploymentID{DeploymentID: made.Deployments[0]["id"], Version: made.Version}, nil)
}

// tasks are the running tasks of an app; exactly n are expected.
func (s *story) tasks(id string, n int) []marathon.Task {
	s.Helper()
	app := must(s.m.Application(id))(s)
	list := must(s.m.Tasks(id))(s).Tasks
	if len(list) != n || app.TasksRunning != n || len(app.Tasks) != n {
		s.Fatalf("%s has %d tasks, tasksRunning %d, %d tasks in the app; want %d", id, len(list), app.TasksRunning, len(app.Tasks), n)
	}
	for _, task := range list {
		if task.State != "TASK_RUNNING" {
			s.Fatalf("task %s is %s", task.ID, task.State)
		}
	}
	return list
}

// reach asks each task over HTTP, until it answers, and returns the answers.
func (s *story) reach(tasks []marathon.Task) []string {
	s.Helper()
	var out []string
	for _, task := range tasks {
		if len(task.Ports) != 1 {
			s.Fatalf("task %s has ports %v, want one", task.ID, task.Ports)
		}
		api := harness.NewAPI(s, fmt.Sprintf("http://%s:%d", task.Host, task.Ports[0]))
		harness.Await(s, reachLimit, "task "+task.ID+" answers", func() (bool, string) {
			res, err := api.Try(http.MethodGet, "/", nil)
			if err != nil || res.Status != http.StatusOK {
				return false, fmt.Sprint(res.Status, err)
			}
			out = append(out, string(res.Body))
			return true, ""
		})
	}
	return out
}

func ids(tasks []marathon.Task) map[string]bool {
	out := map[string]bool{}
	for _, task := range tasks {
		out[task.ID] = true
	}
	return out
}

// plain is the app of the README: a file server on the port it is given.
func plain(id string) *marathon.Application {
	return new(marathon.Application).Name(id).Command("exec python3 -m http.server $PORT0").CPU(0.1).Memory(32)
}

// graceful is an app of the harness's web service that says word.
func graceful(script, id, word string) *marathon.Application {
	app := new(marathon.Application).Name(id).CPU(0.1).Memory(32).Count(3).
		Command(fmt.Sprintf("exec python3 %s $PORT0 %s", script, word)).SetTaskKillGracePeriod(120)
	path, index, failures := "/health", 0, 10
	app.AddHealthCheck(marathon.HealthCheck{Protocol: "HTTP", Path: &path, PortIndex: &index, MaxConsecutiveFailures: &failures,
		GracePeriodSeconds: 120, IntervalSeconds: 1, TimeoutSeconds: 30})
	return app.SetUpgradeStrategy(marathon.UpgradeStrategy{}.SetMinimumHealthCapacity(1).SetMaximumOverCapacity(1))
}

// TestSpine is the whole way of apps on one server, ended by the question whether
// any process is left.
func TestSpine(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.step("create and reach", func(s *story) {
		s.create(plain("/web"))
		for _, body := range s.reach(s.tasks("/web", 1)) {
			if !strings.Contains(body, "stdout") { // the sandbox is the working directory
				s.Errorf("not the listing of a sandbox: %s", body)
			}
		}
	})
	s.step("scale 1 to 5 to 2", (*story).scale)
	s.step("a killed task is replaced", (*story).loseTasks)
	s.step("restart", func(s *story) {
		before := ids(s.tasks("/web", 2))
		s.wait(s.m.RestartApplication("/web", false))
		after := s.tasks("/web", 2)
		for id := range ids(after) {
			if before[id] {
				s.Errorf("task %s survived the restart", id)
			}
		}
		s.reach(after)
	})
	s.step("a crashing app backs off", (*story).crash)
	s.step("nested ids", (*story).nest)
	s.step("delete", func(s *story) {
		s.wait(s.m.DeleteApplication("/web", false))
		if apps := must(s.m.ListApplications(nil))(s); len(apps) != 0 {
			s.Errorf("still there: %v", apps)
		}
		harness.NoneLeft(s, s.srv.Dir, reachLimit)
	})
	if code := s.srv.Stop(); code != 0 {
		t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
}

func (s *story) scale() {
	first := s.tasks("/web", 1)
	s.wait(s.m.ScaleApplicationInstances("/web", 5, false))
	five := s.tasks("/web", 5)
	if !ids(five)[first[0].ID] {
		s.Errorf("scaling up replaced task %s", first[0].ID)
	}
	ports := map[int]bool{}
	for _, task := range five {
		ports[task.Ports[0]] = true
	}
	if len(ports) != 5 {
		s.Errorf("5 tasks share %d host ports", len(ports))
	}
	s.reach(five)
	s.wait(s.m.ScaleApplicationInstances("/web", 2, false))
	two := s.tasks("/web", 2)
	for id := range ids(two) {
		if !ids(five)[id] {
			s.Errorf("scaling down started task %s", id)
		}
	}
	// Marathon stops the youngest first (behaviour 3.6).
	if !ids(two)[first[0].ID] {
		s.Errorf("scaling down stopped the oldest task %s", first[0].ID)
	}
	s.reach(two)
	harness.Await(s, reachLimit, "the processes of 3 tasks end", func() (bool, string) {
		pids := harness.TaskPids(s, s.srv.Dir)
		return len(pids) == 2, fmt.Sprint(pids)
	})
}

// loseTasks kills one task through the API and one behind the server's back.
func (s *story) loseTasks() {
	before := s.tasks("/web", 2)
	kills := map[string]func(id string) error{
		"API": func(id string) error { return s.m.KillTasks([]string{id}, nil) },
		"signal": func(id string) error {
			pids := harness.TaskPids(s, s.srv.Dir)[id]
			if len(pids) != 1 {
				return fmt.Errorf("task %s has processes %v, want one", id, pids)
			}
			return syscall.Kill(pids[0], syscall.SIGKILL)
		},
	}
	n := 0
	for name, kill := range kills {
		victim := before[n]
		n++
		if err := kill(victim.ID); err != nil {
			s.Fatal(err)
		}
		harness.Await(s, deployLimit, "a task killed by "+name+" is replaced", func() (bool, string) {
			list := must(s.m.Tasks("/web"))(s).Tasks
			running := 0
			for _, task := range list {
				if task.State == "TASK_RUNNING" {
					running++
				}
			}
			return len(list) == 2 && running == 2 && !ids(list)[victim.ID], fmt.Sprintf("%+v", list)
		})
	}
	s.reach(s.tasks("/web", 2))
	failed := must(s.m.ApplicationBy("/web", &marathon.GetAppOpts{Embed: []string{"app.lastTaskFailure"}}))(s)
	if f := failed.LastTaskFailure; f == nil || f.State != "TASK_FAILED" || f.AppID != "/web" {
		s.Errorf("lastTaskFailure is %+v, want TASK_FAILED", f)
	}
}

// crash shows how back-off grows in the launch queue, and how it is forgotten on demand.
func (s *story) crash() {
	backoff, factor := 1.0, 40.0
	app := new(marathon.Application).Name("/crash").Command("exit 3").CPU(0.1).Memory(16)
	app.BackoffSeconds, app.BackoffFactor = &backoff, &factor
	must(s.m.CreateApplication(app))(s)
	delayed := func() {
		s.Helper()
		harness.Await(s, reachLimit, "the second failure makes a delay of 40 s", func() (bool, string) {
			for _, item := range must(s.m.Queue())(s).Items {
				if left := item.Delay.TimeLeftSeconds; item.Application.ID == "/crash" && !item.Delay.Overdue && item.Count == 1 && left > 20 && left <= 40 {
					return true, ""
				}
			}
			return false, string(s.srv.Do("GET", "/v2/queue", nil).Body)
		})
	}
	failed := func() string {
		s.Helper()
		app := must(s.m.ApplicationBy("/crash", &marathon.GetAppOpts{Embed: []string{"app.lastTaskFailure"}}))(s)
		if app.LastTaskFailure == nil {
			s.Fatal("a failed app has no lastTaskFailure")
		}
		return app.LastTaskFailure.TaskID
	}
	delayed()
	before := failed()
	if err := s.m.DeleteQueueDelay("/crash"); err != nil {
		s.Fatal(err)
	}
	harness.Await(s, reachLimit, "the app is launched again at once", func() (bool, string) { return failed() != before, before })
	delayed()
	s.wait(s.m.DeleteApplication("/crash", true))
	harness.Await(s, reachLimit, "the queue is empty", func() (bool, string) {
		q := must(s.m.Queue())(s)
		return len(q.Items) == 0, fmt.Sprint(q.Items)
	})
}

func (s *story) nest() {
	s.create(plain("/prod/shop/web"))
	s.create(plain("/prod/shop/db"))
	s.reach(s.tasks("/prod/shop/web", 1))
	group := must(s.m.Group("/prod"))(s)
	if len(group.Groups) != 1 || group.Groups[0].ID != "/prod/shop" || len(group.Groups[0].Apps) != 2 {
		s.Errorf("group /prod: %+v", group)
	}
	s.wait(s.m.ScaleApplicationInstances("/prod/shop/web", 2, false))
	s.reach(s.tasks("/prod/shop/web", 2))
	s.wait(s.m.DeleteApplication("/prod/shop/web", false))
	if _, err := s.m.Application("/prod/shop/web"); err == nil {
		s.Error("a deleted app is still found")
	}
	s.wait(s.m.DeleteGroup("/prod", false))
	if has := must(s.m.HasGroup("/prod"))(s); has {
		s.Error("a deleted group is still found")
	}
}

// TestUpgradeUnderLoad replaces all tasks twice while a client asks the service
// without a pause: no request may be refused at minimumHealthCapacity 1.
func TestUpgradeUnderLoad(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	script := filepath.Join(s.srv.Dir, "web.py")
	harness.WriteWebService(t, script)
	s.create(graceful(script, "/service", "first"))
	if ok := must(s.m.ApplicationOK("/service"))(s); !ok {
		t.Fatal("deployed, yet not OK")
	}
	first := must(s.m.Application("/service"))(s)
	load := harness.StartLoad(t, nil, func() ([]string, error) { return s.srv.Addresses("/service", true) })
	s.step("rolling upgrade", func(s *story) {
		s.wait(s.m.UpdateApplication(graceful(script, "/service", "second"), false))
		s.says("second", 3)
	})
	s.step("rollback to the first version", func(s *story) {
		if has := must(s.m.HasApplicationVersion("/service", first.Version))(s); !has {
			s.Fatalf("version %s is not listed", first.Version)
		}
		s.wait(s.m.SetApplicationVersion("/service", &marathon.ApplicationVersion{Version: first.Version}))
		s.says("first", 3)
	})
	load.Judge(t, "first", "second")
	s.wait(s.m.DeleteApplication("/service", false))
	harness.NoneLeft(t, s.srv.Dir, reachLimit)
}

// says checks what all tasks of the service answer.
func (s *story) says(word string, n int) {
	s.Helper()
	for _, body := range s.reach(s.tasks("/service", n)) {
		if !strings.HasPrefix(body, word+" ") {
			s.Errorf("a task answers %q, want %q", body, word)
		}
	}
}
