package clients

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	marathon "github.com/gambol99/go-marathon"

	"stadion/compat-tests/harness"
)

const (
	waitLimit    = 30 * time.Second
	pollInterval = 20 * time.Millisecond
	exitGraceful = 105 // behaviour.md 9.6: leadership ended gracefully
)

func TestMain(m *testing.M) { harness.Main(m) }

// caller is one client of one server.
type caller struct {
	*testing.T
	srv *harness.Server
	m   marathon.Marathon
}

// check is a part of the table: the methods it is about and what it does.
type check struct {
	methods string
	run     func(*caller)
}

// checks run in this order on one server.
var checks = []check{
	{"GetMarathonURL Ping Info Leader", (*caller).system},
	{"Subscribe Unsubscribe Subscriptions", (*caller).callbacks},
	{"AddEventsListener RemoveEventsListener CreateApplication WaitOnApplication", (*caller).events},
	{"Application ApplicationBy Applications ListApplications ApplicationOK ApplicationVersions HasApplicationVersion ApplicationByVersion", (*caller).apps},
	{"UpdateApplication ScaleApplicationInstances SetApplicationVersion RestartApplication", (*caller).updates},
	{"Tasks AllTasks KillTasks KillApplicationTasks KillTask TaskEndpoints", (*caller).tasks},
	{"Deployments HasDeployment WaitOnDeployment DeleteDeployment ApplicationDeployments Queue DeleteQueueDelay", (*caller).waiting},
	{"CreateGroup WaitOnGroup Groups GroupsBy Group GroupBy HasGroup UpdateGroup DeleteGroup", (*caller).groups},
	{"DeleteApplication", (*caller).deleting},
	{"AbdicateLeader", (*caller).abdication},
}

// TestGoMarathon runs the table after a look whether it names every method.
func TestGoMarathon(t *testing.T) {
	t.Parallel()
	var named []string
	for _, c := range checks {
		named = append(named, strings.Fields(c.methods)...)
	}
	methods := reflect.TypeOf((*marathon.Marathon)(nil)).Elem()
	for n := range methods.NumMethod() {
		if name := methods.Method(n).Name; !slices.Contains(named, name) {
			t.Errorf("no check calls %s", name)
		}
	}
	if len(named) != methods.NumMethod() {
		t.Errorf("%d methods are named, the client has %d", len(named), methods.NumMethod())
	}
	srv := harness.Dev(t, "--simulated")
	config := marathon.NewDefaultConfig()
	config.URL, config.PollingWaitTime, config.EventsTransport = srv.URL, pollInterval, marathon.EventsTransportSSE
	m, err := marathon.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		if !t.Run(c.methods, func(t *testing.T) { c.run(&caller{T: t, srv: srv, m: m}) }) && srv.Ended() {
			t.Fatal("the server has ended")
		}
	}
}

// value unpacks a result that has to be there.
func value[V any](v V, err error) func(*caller) V {
	return func(c *caller) V {
		c.Helper()
		if err != nil {
			c.Fatal(err)
		}
		return v
	}
}

// fails wants an API error of the class.
func (c *caller) fails(what string, err error, class int) {
	c.Helper()
	var e *marathon.APIError
	if !errors.As(err, &e) || e.ErrCode != class {
		c.Errorf("%s: error %v, want class %d", what, err, class)
	}
}

func (c *caller) equal(what string, got, want any) {
	c.Helper()
	if !reflect.DeepEqual(got, want) {
		c.Errorf("%s is %v, want %v", what, got, want)
	}
}

// wait waits for the deployment of a change.
func (c *caller) wait(id *marathon.DeploymentID, err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
	if id.DeploymentID == "" || id.Version == "" {
		c.Fatalf("an empty deployment result: %+v", id)
	}
	if err := c.m.WaitOnDeployment(id.DeploymentID, waitLimit); err != nil {
		c.Fatalf("%v: %s", err, c.srv.Do("GET", "/v2/deployments", nil).Body)
	}
}

func sleeper(id string) *marathon.Application {
	return new(marathon.Application).Name(id).Command("sleep 1000").CPU(0.1).Memory(16)
}

func (c *caller) system() {
	c.equal("GetMarathonURL", c.m.GetMarathonURL(), c.srv.URL)
	c.equal("Ping", value(c.m.Ping())(c), true)
	var info *marathon.Info
	harness.Await(c, waitLimit, "the framework has an id", func() (bool, string) {
		info = value(c.m.Info())(c)
		return info.FrameworkID != "", fmt.Sprintf("%+v", info)
	})
	c.equal("name", info.Name, "marathon")
	if !strings.HasPrefix(info.Version, "1.11.") {
		c.Errorf("version %s", info.Version)
	}
	host := strings.TrimPrefix(c.srv.URL, "http://")
	c.equal("leader in the info", info.Leader, host)
	c.equal("Leader", value(c.m.Leader())(c), host)
	c.equal("http_port", fmt.Sprintf("127.0.0.1:%.0f", info.HTTPConfig.HTTPPort), host)
	config := info.MarathonConfig
	c.equal("framework_name", config.FrameworkName, "marathon")
	c.equal("executor", config.Executor, "//cmd")
	c.equal("failover_timeout", config.FailoverTimeout, 604800.0)
	c.equal("checkpoint", config.Checkpoint, true)
	c.equal("hostname", config.Hostname, "127.0.0.1")
	c.equal("local_port_min", config.LocalPortMin, 10000.0)
	c.equal("local_port_max", config.LocalPortMax, 20000.0)
	c.equal("mesos_role", config.MesosRole, "*")
}

// callbacks were removed in Marathon 1.5 (http-api.md 10.4).
func (c *caller) callbacks() {
	_, err := c.m.Subscriptions()
	c.fails("Subscriptions", err, marathon.ErrCodeNotFound)
	c.fails("Subscribe", c.m.Subscribe("http://127.0.0.1:1/event"), marathon.ErrCodeNotFound)
	c.fails("Unsubscribe", c.m.Unsubscribe("http://127.0.0.1:1/event"), marathon.ErrCodeNotFound)
}

// events creates the app /one and follows it through the event stream.
func (c *caller) events() {
	wanted := marathon.EventIDApplications | marathon.EventIDAPIRequest | marathon.EventIDGroupChangeSuccess |
		marathon.EventIDDeploymentInfo | marathon.EventIDDeploymentStepSuccess | marathon.EventIDDeploymentSuccess
	channel := value(c.m.AddEventsListener(wanted))(c)
	app := sleeper("/one").Count(2).AddLabel("tier", "front")
	made := value(c.m.CreateApplication(app))(c)
	c.equal("id", made.ID, "/one")
	c.equal("instances", *made.Instances, 2)
	c.equal("number of deployments", len(made.Deployments), 1)
	if err := c.m.WaitOnApplication("/one", waitLimit); err != nil {
		c.Fatal(err)
	}
	seen, running := map[string]bool{}, map[string]bool{}
	limit := time.After(waitLimit)
	for len(running) < 2 || !seen["deployment_success"] || !seen["api_post_event"] || !seen["group_change_success"] ||
		!seen["deployment_info"] || !seen["deployment_step_success"] {
		select {
		case e := <-channel:
			seen[e.Name] = true
			c.judge(e, made, running)
		case <-limit:
			c.Fatalf("events seen: %v, tasks running: %v", seen, running)
		}
	}
	c.m.RemoveEventsListener(channel)
	for {
		select {
		case _, open := <-channel:
			if !open {
				return
			}
		case <-limit:
			c.Fatal("the channel of a removed listener stays open")
		}
	}
}

// judge checks the content of an event about the app /one.
func (c *caller) judge(e *marathon.Event, made *marathon.Application, running map[string]bool) {
	c.Helper()
	switch body := e.Event.(type) {
	case *marathon.EventAPIRequest:
		c.equal("uri of api_post_event", body.URI, "/v2/apps")
		c.equal("appDefinition.id", body.AppDefinition.ID, "/one")
	case *marathon.EventStatusUpdate:
		c.equal("appId of status_update_event", body.AppID, "/one")
		c.equal("number of ports", len(body.Ports), 1)
		c.equal("version", body.Version, made.Version)
		if body.TaskStatus == "TASK_RUNNING" {
			running[body.TaskID] = true
		}
	case *marathon.EventDeploymentSuccess:
		c.equal("id of deployment_success", body.ID, made.Deployments[0]["id"])
	case *marathon.EventDeploymentInfo:
		c.equal("plan of deployment_info", body.Plan.ID, made.Deployments[0]["id"])
		c.equal("number of steps", len(body.Plan.Steps), 2)
		if a := body.CurrentStep.Actions; len(a) != 1 || a[0].App != "/one" {
			c.Errorf("actions of the step: %+v", a)
		}
	case *marathon.EventGroupChangeSuccess:
		c.equal("groupId", body.GroupID, "/")
	}
}

func (c *caller) apps() {
	app := value(c.m.Application("/one"))(c)
	c.equal("cmd", *app.Cmd, "sleep 1000")
	c.equal("tasksRunning", app.TasksRunning, 2)
	c.equal("number of tasks", len(app.Tasks), 2)
	c.equal("labels", *app.Labels, map[string]string{"tier": "front"})
	c.equal("upgrade strategy", *app.UpgradeStrategy.MinimumHealthCapacity, 1.0)
	c.equal("number of port definitions", len(*app.PortDefinitions), 1)
	if app.VersionInfo == nil || app.VersionInfo.LastConfigChangeAt != app.Version {
		c.Errorf("versionInfo is %+v, version %s", app.VersionInfo, app.Version)
	}
	with := value(c.m.ApplicationBy("/one", &marathon.GetAppOpts{Embed: []string{"app.taskStats", "app.counts"}}))(c)
	c.equal("id", with.ID, "/one")
	c.equal("number of tasks", len(with.Tasks), 2) // GET of one app always has them
	all := value(c.m.Applications(url.Values{"embed": {"apps.tasks"}, "label": {"tier==front"}}))(c)
	if len(all.Apps) != 1 || len(all.Apps[0].Tasks) != 2 {
		c.Errorf("Applications by label: %+v", all.Apps)
	}
	c.equal("apps with another label", len(value(c.m.Applications(url.Values{"label": {"tier==back"}}))(c).Apps), 0)
	c.equal("ListApplications", value(c.m.ListApplications(nil))(c), []string{"/one"})
	c.equal("ListApplications by id", value(c.m.ListApplications(url.Values{"id": {"ON"}}))(c), []string{"/one"})
	c.equal("ApplicationOK", value(c.m.ApplicationOK("/one"))(c), true)
	c.equal("versions", value(c.m.ApplicationVersions("/one"))(c).Versions, []string{app.Version})
	c.equal("HasApplicationVersion", value(c.m.HasApplicationVersion("/one", app.Version))(c), true)
	c.equal("HasApplicationVersion", value(c.m.HasApplicationVersion("/one", "2015-01-22T12:34:56.789Z"))(c), false)
	old := value(c.m.ApplicationByVersion("/one", app.Version))(c)
	c.equal("version", old.Version, app.Version)
	c.equal("cmd", *old.Cmd, "sleep 1000")
	_, err := c.m.Application("/none")
	c.fails("Application", err, marathon.ErrCodeNotFound)
	_, err = c.m.CreateApplication(sleeper("/one"))
	c.fails("CreateApplication again", err, marathon.ErrCodeDuplicateID)
	_, err = c.m.CreateApplication(new(marathon.Application).Name("/bad"))
	c.fails("CreateApplication without a command", err, marathon.ErrCodeInvalidBean)
	_, err = c.m.ApplicationByVersion("/one", "2015-01-22T12:34:56.789Z")
	c.fails("ApplicationByVersion", err, marathon.ErrCodeNotFound)
}

func (c *caller) updates() {
	first := value(c.m.Application("/one"))(c)
	// What users do: read, change, write back. The version alone would ask for a rollback.
	changed := value(c.m.Application("/one"))(c)
	changed.Version = ""
	c.wait(c.m.UpdateApplication(changed.AddEnv("COLOUR", "green").Count(1), false))
	app := value(c.m.Application("/one"))(c)
	c.equal("env", *app.Env, map[string]string{"COLOUR": "green"})
	c.equal("tasksRunning", app.TasksRunning, 1)
	c.equal("number of versions", len(value(c.m.ApplicationVersions("/one"))(c).Versions), 2)
	c.wait(c.m.ScaleApplicationInstances("/one", 3, false))
	scaled := value(c.m.Application("/one"))(c)
	c.equal("tasksRunning", scaled.TasksRunning, 3)
	c.equal("lastConfigChangeAt after scaling", scaled.VersionInfo.LastConfigChangeAt, app.VersionInfo.LastConfigChangeAt)
	c.equal("lastScalingAt", scaled.VersionInfo.LastScalingAt, scaled.Version)
	c.wait(c.m.RestartApplication("/one", false))
	c.wait(c.m.SetApplicationVersion("/one", &marathon.ApplicationVersion{Version: first.Version}))
	back := value(c.m.Application("/one"))(c)
	c.equal("instances", *back.Instances, 2)
	if back.Env != nil && len(*back.Env) > 0 {
		c.Errorf("env after the rollback: %v", *back.Env)
	}
	_, err := c.m.SetApplicationVersion("/one", &marathon.ApplicationVersion{Version: "2015-01-22T12:34:56.789Z"})
	c.fails("SetApplicationVersion", err, marathon.ErrCodeNotFound)
	_, err = c.m.RestartApplication("/none", false)
	c.fails("RestartApplication", err, marathon.ErrCodeNotFound)
	_, err = c.m.ScaleApplicationInstances("/one", -1, false)
	c.fails("ScaleApplicationInstances", err, marathon.ErrCodeInvalidBean)
}

// running waits until the app has n running tasks, none of them in without.
func (c *caller) running(id string, n int, without ...string) []marathon.Task {
	c.Helper()
	var out []marathon.Task
	harness.Await(c, waitLimit, fmt.Sprintf("%s has %d tasks", id, n), func() (bool, string) {
		out = value(c.m.Tasks(id))(c).Tasks
		ok := len(out) == n
		for _, task := range out {
			ok = ok && task.State == "TASK_RUNNING" && !slices.Contains(without, task.ID)
		}
		return ok, fmt.Sprintf("%+v", out)
	})
	return out
}

func (c *caller) tasks() {
	two := c.running("/one", 2)
	for _, task := range two {
		c.equal("appId", task.AppID, "/one")
		c.equal("host", task.Host, "127.0.0.1")
		c.equal("number of ports", len(task.Ports), 1)
		if task.SlaveID == "" || task.StagedAt == "" || task.StartedAt == "" || task.Version == "" {
			c.Errorf("incomplete task %+v", task)
		}
	}
	c.equal("AllTasks", len(value(c.m.AllTasks(&marathon.AllTasksOpts{Status: "running"}))(c).Tasks), 2)
	c.equal("AllTasks staging", len(value(c.m.AllTasks(&marathon.AllTasksOpts{Status: "staging"}))(c).Tasks), 0)
	if err := c.m.KillTasks([]string{two[0].ID}, &marathon.KillTaskOpts{}); err != nil {
		c.Fatal(err)
	}
	two = c.running("/one", 2, two[0].ID)
	killed := value(c.m.KillApplicationTasks("/one", &marathon.KillApplicationTasksOpts{Host: "127.0.0.1"}))(c)
	c.equal("number of victims", len(killed.Tasks), 2)
	two = c.running("/one", 2, two[0].ID, two[1].ID)
	c.equal("victims on another host", len(value(c.m.KillApplicationTasks("/one", &marathon.KillApplicationTasksOpts{Host: "elsewhere"}))(c).Tasks), 0)
	if err := c.m.KillTasks([]string{two[0].ID}, &marathon.KillTaskOpts{Scale: true}); err != nil {
		c.Fatal(err)
	}
	c.running("/one", 1, two[0].ID)
	c.equal("instances after a kill with scale", *value(c.m.Application("/one"))(c).Instances, 1)
	// KillTask takes all before the last dot of a task id for the id of its app, which is not so since Marathon 1.5.
	_, err := c.m.KillTask(two[1].ID, nil)
	c.fails("KillTask", err, marathon.ErrCodeNotFound)
	c.running("/one", 1, two[0].ID)
	// TaskEndpoints looks for port mappings where Marathon has not shown them since 1.5.
	docker := new(marathon.Application).Name("/docker").CPU(0.1).Memory(16)
	docker.Container = new(marathon.Container)
	docker.Container.Type, docker.Container.Docker = "DOCKER", &marathon.Docker{Image: "busybox", Network: "BRIDGE",
		PortMappings: &[]marathon.PortMapping{{ContainerPort: 80, Protocol: "tcp"}}}
	made := value(c.m.CreateApplication(docker))(c)
	c.wait(&marathon.DeploymentID{DeploymentID: made.Deployments[0]["id"], Version: made.Version}, nil)
	if list, err := c.m.TaskEndpoints("/docker", 80, false); err == nil || !strings.Contains(err.Error(), "port mappings") {
		c.Errorf("TaskEndpoints: %v %v", list, err)
	}
	c.wait(c.m.DeleteApplication("/docker", false))
}

// waiting looks at an app that finds no offer.
func (c *caller) waiting() {
	made := value(c.m.CreateApplication(sleeper("/big").CPU(1000)))(c)
	id := made.Deployments[0]["id"]
	list := value(c.m.Deployments())(c)
	if len(list) != 1 || list[0].ID != id || !slices.Equal(list[0].AffectedApps, []string{"/big"}) || list[0].TotalSteps != 2 || len(list[0].Steps) != 2 ||
		list[0].Version != made.Version {
		c.Fatalf("Deployments: %+v", list)
	}
	harness.Await(c, waitLimit, "the second step is running", func() (bool, string) {
		d := value(c.m.Deployments())(c)[0]
		ok := d.CurrentStep == 2 && len(d.CurrentActions) == 1 && d.CurrentActions[0].Action == "ScaleApplication" && d.CurrentActions[0].App == "/big"
		return ok, fmt.Sprintf("%+v", d)
	})
	c.equal("HasDeployment", value(c.m.HasDeployment(id))(c), true)
	c.equal("HasDeployment of another", value(c.m.HasDeployment("nope"))(c), false)
	c.equal("WaitOnDeployment", c.m.WaitOnDeployment(id, 2*pollInterval), marathon.ErrTimeoutError)
	deployments := value(c.m.ApplicationDeployments("/big"))(c)
	if len(deployments) != 1 || deployments[0].DeploymentID != id {
		c.Errorf("ApplicationDeployments: %+v", deployments)
	}
	harness.Await(c, waitLimit, "the app is in the queue", func() (bool, string) {
		q := value(c.m.Queue())(c)
		return len(q.Items) == 1 && q.Items[0].Application.ID == "/big" && q.Items[0].Count == 1 && q.Items[0].Delay.Overdue, fmt.Sprintf("%+v", q)
	})
	if err := c.m.DeleteQueueDelay("/big"); err != nil {
		c.Error(err)
	}
	c.fails("DeleteQueueDelay", c.m.DeleteQueueDelay("/none"), marathon.ErrCodeNotFound)
	_, err := c.m.UpdateApplication(sleeper("/big"), false)
	c.fails("UpdateApplication of a locked app", err, marathon.ErrCodeAppLocked)
	c.wait(c.m.DeleteDeployment(id, false)) // a deployment that restores what was before: no app
	_, err = c.m.Application("/big")
	c.fails("Application after its deployment was taken back", err, marathon.ErrCodeNotFound)
	_, err = c.m.DeleteDeployment(id, false)
	c.fails("DeleteDeployment", err, marathon.ErrCodeNotFound)
}

func (c *caller) groups() {
	group := marathon.NewApplicationGroup("/team").App(sleeper("/team/a")).App(sleeper("/team/b").Count(2))
	group.Groups = append(group.Groups, marathon.NewApplicationGroup("/team/sub").App(sleeper("/team/sub/c")))
	if err := c.m.CreateGroup(group); err != nil {
		c.Fatal(err)
	}
	if err := c.m.WaitOnGroup("/team", waitLimit); err != nil {
		c.Fatal(err)
	}
	root := value(c.m.Groups())(c)
	if len(root.Groups) != 1 || root.Groups[0].ID != "/team" || len(root.Apps) != 1 || root.Apps[0].ID != "/one" {
		c.Errorf("Groups: %+v", root)
	}
	c.equal("id of GroupsBy", value(c.m.GroupsBy(&marathon.GetGroupOpts{Embed: []string{"group.groups"}}))(c).ID, "/")
	team := value(c.m.Group("/team"))(c)
	c.equal("apps of the group", len(team.Apps), 2)
	if len(team.Groups) != 1 || team.Groups[0].ID != "/team/sub" || len(team.Groups[0].Apps) != 1 {
		c.Errorf("Group: %+v", team)
	}
	with := value(c.m.GroupBy("/team", &marathon.GetGroupOpts{Embed: []string{"group.apps", "group.apps.counts"}}))(c)
	if len(with.Apps) != 2 || with.Apps[0].TasksRunning+with.Apps[1].TasksRunning != 3 {
		c.Errorf("GroupBy: %+v", with)
	}
	c.equal("HasGroup", value(c.m.HasGroup("/team/sub"))(c), true)
	c.equal("HasGroup", value(c.m.HasGroup("/nowhere"))(c), false)
	c.fails("CreateGroup again", c.m.CreateGroup(group), marathon.ErrCodeDuplicateID)
	c.wait(c.m.UpdateGroup("/team", marathon.NewApplicationGroup("/team").App(sleeper("/team/a").Count(2)), false))
	team = value(c.m.Group("/team"))(c)
	if len(team.Apps) != 1 || team.Apps[0].ID != "/team/a" || *team.Apps[0].Instances != 2 {
		c.Errorf("Group after its update: %+v", team)
	}
	c.wait(c.m.DeleteGroup("/team", true))
	_, err := c.m.Group("/team")
	c.fails("Group", err, marathon.ErrCodeNotFound)
	_, err = c.m.DeleteGroup("/team", false)
	c.fails("DeleteGroup", err, marathon.ErrCodeNotFound)
}

func (c *caller) deleting() {
	c.wait(c.m.DeleteApplication("/one", false))
	_, err := c.m.DeleteApplication("/one", false)
	c.fails("DeleteApplication", err, marathon.ErrCodeNotFound)
	c.equal("tasks", len(value(c.m.AllTasks(&marathon.AllTasksOpts{}))(c).Tasks), 0)
}

// abdication ends the process, as leaving leadership does (http-api.md 10.2).
func (c *caller) abdication() {
	c.equal("message", value(c.m.AbdicateLeader())(c), "Leadership abdicated")
	c.equal("exit code", c.srv.Exit(waitLimit), exitGraceful)
}
