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

// goChecks name the methods of the client that each of its features is about.
var goChecks = []struct {
	column, methods string
	run             func(*goCaller)
}{
	{"system", "GetMarathonURL Ping Info Leader", (*goCaller).system},
	{"callbacks", "Subscribe Unsubscribe Subscriptions", (*goCaller).callbacks},
	{"events", "AddEventsListener RemoveEventsListener CreateApplication WaitOnApplication", (*goCaller).events},
	{"apps", "Application ApplicationBy Applications ListApplications ApplicationOK ApplicationVersions HasApplicationVersion ApplicationByVersion", (*goCaller).apps},
	{"updates", "UpdateApplication ScaleApplicationInstances SetApplicationVersion RestartApplication", (*goCaller).updates},
	{"tasks", "Tasks AllTasks KillTasks KillApplicationTasks KillTask TaskEndpoints", (*goCaller).tasks},
	{"deployments", "Deployments HasDeployment WaitOnDeployment DeleteDeployment ApplicationDeployments Queue DeleteQueueDelay", (*goCaller).waiting},
	{"groups", "CreateGroup WaitOnGroup Groups GroupsBy Group GroupBy HasGroup UpdateGroup DeleteGroup", (*goCaller).groups},
	{"delete", "DeleteApplication", (*goCaller).deleting},
	{leaderColumn, "AbdicateLeader", (*goCaller).abdication},
}

// goMarathon calls every method of go-marathon 0.7.1.
func goMarathon() client {
	cl := client{name: "go-marathon 0.7.1", group: "go"}
	for _, check := range goChecks {
		cl.features = append(cl.features, feature{check.column, func(c *caller) { check.run(goClient(c)) }})
	}
	return cl
}

// goCaller is a feature with a go-marathon client.
type goCaller struct {
	*caller
	m   marathon.Marathon
	one string // the app that all features are about
}

func goClient(c *caller) *goCaller {
	c.Helper()
	config := marathon.NewDefaultConfig()
	config.URL, config.PollingWaitTime, config.EventsTransport = c.url, pollInterval, marathon.EventsTransportSSE
	m, err := marathon.NewClient(config)
	if err != nil {
		c.Fatal(err)
	}
	return &goCaller{caller: c, m: m, one: c.id("one")}
}

// TestGoMarathonMethods: every method of the client has a check.
func TestGoMarathonMethods(t *testing.T) {
	var named []string
	for _, c := range goChecks {
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
}

// value unpacks a result that has to be there.
func value[V any](v V, err error) func(*goCaller) V {
	return func(c *goCaller) V {
		c.Helper()
		if err != nil {
			c.Fatal(err)
		}
		return v
	}
}

// fails wants an API error of the class.
func (c *goCaller) fails(what string, err error, class int) {
	c.Helper()
	var e *marathon.APIError
	if !errors.As(err, &e) || e.ErrCode != class {
		c.Errorf("%s: error %v, want class %d", what, err, class)
	}
}

// wait waits for the deployment of a change.
func (c *goCaller) wait(id *marathon.DeploymentID, err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
	if id.DeploymentID == "" || id.Version == "" {
		c.Fatalf("an empty deployment result: %+v", id)
	}
	if err := c.m.WaitOnDeployment(id.DeploymentID, waitLimit); err != nil {
		c.Fatalf("%v: %s", err, c.api.Do("GET", "/v2/deployments", nil).Body)
	}
}

func sleeper(id string) *marathon.Application {
	return new(marathon.Application).Name(id).Command("sleep 1000").CPU(0.1).Memory(16)
}

func (c *goCaller) system() {
	c.equal("GetMarathonURL", c.m.GetMarathonURL(), c.url)
	c.equal("Ping", value(c.m.Ping())(c), true)
	var info *marathon.Info
	harness.Await(c, waitLimit, "the framework has an id", func() (bool, string) {
		info = value(c.m.Info())(c)
		return info.FrameworkID != "", fmt.Sprintf("%+v", info)
	})
	if !strings.HasPrefix(info.Version, "1.") || c.own && !strings.HasPrefix(info.Version, "1.11.") {
		c.Errorf("version %s", info.Version)
	}
	c.equal("Leader", value(c.m.Leader())(c), info.Leader)
	if !c.own {
		return // its flags are its owner's
	}
	if host := strings.TrimPrefix(c.url, "http://"); (info.Leader == host) != c.alone {
		c.Errorf("the leader is %s, the entry %s", info.Leader, host)
	}
	c.equal("http_port", fmt.Sprintf("127.0.0.1:%.0f", info.HTTPConfig.HTTPPort), info.Leader)
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
func (c *goCaller) callbacks() {
	_, err := c.m.Subscriptions()
	c.fails("Subscriptions", err, marathon.ErrCodeNotFound)
	c.fails("Subscribe", c.m.Subscribe("http://127.0.0.1:1/event"), marathon.ErrCodeNotFound)
	c.fails("Unsubscribe", c.m.Unsubscribe("http://127.0.0.1:1/event"), marathon.ErrCodeNotFound)
}

// events creates an app and follows it through the event stream.
func (c *goCaller) events() {
	wanted := marathon.EventIDApplications | marathon.EventIDAPIRequest | marathon.EventIDGroupChangeSuccess |
		marathon.EventIDDeploymentInfo | marathon.EventIDDeploymentStepSuccess | marathon.EventIDDeploymentSuccess
	channel := value(c.m.AddEventsListener(wanted))(c)
	app := sleeper(c.one).Count(2).AddLabel("tier", "front")
	made := value(c.m.CreateApplication(app))(c)
	c.equal("id", made.ID, c.one)
	c.equal("instances", *made.Instances, 2)
	c.equal("number of deployments", len(made.Deployments), 1)
	if err := c.m.WaitOnApplication(c.one, waitLimit); err != nil {
		c.Fatal(err)
	}
	seen, running := map[string]bool{}, map[string]bool{}
	limit := time.After(waitLimit)
	for len(running) < 2 || !seen["deployment_success"] || !seen["api_post_event"] || !seen["group_change_success"] ||
		!seen["deployment_info"] || !seen["deployment_step_success"] {
		select {
		case e := <-channel:
			if c.judge(e, made, running) {
				seen[e.Name] = true
			}
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

// judge checks the content of an event that is about the app; others come from other clients.
func (c *goCaller) judge(e *marathon.Event, made *marathon.Application, running map[string]bool) bool {
	c.Helper()
	switch body := e.Event.(type) {
	case *marathon.EventAPIRequest:
		if body.AppDefinition == nil || body.AppDefinition.ID != c.one {
			return false
		}
		c.equal("uri of api_post_event", body.URI, "/v2/apps")
	case *marathon.EventStatusUpdate:
		if body.AppID != c.one {
			return false
		}
		c.equal("number of ports", len(body.Ports), 1)
		c.equal("version", body.Version, made.Version)
		if body.TaskStatus == "TASK_RUNNING" {
			running[body.TaskID] = true
		}
	case *marathon.EventDeploymentSuccess:
		return body.ID == made.Deployments[0]["id"]
	case *marathon.EventDeploymentStepSuccess:
		return body.Plan.ID == made.Deployments[0]["id"]
	case *marathon.EventDeploymentInfo:
		if body.Plan.ID != made.Deployments[0]["id"] {
			return false
		}
		c.equal("number of steps", len(body.Plan.Steps), 2)
		if a := body.CurrentStep.Actions; len(a) != 1 || a[0].App != c.one {
			c.Errorf("actions of the step: %+v", a)
		}
	case *marathon.EventGroupChangeSuccess:
		return body.GroupID == c.base
	}
	return true
}

func (c *goCaller) apps() {
	app := value(c.m.Application(c.one))(c)
	c.equal("cmd", *app.Cmd, "sleep 1000")
	c.equal("tasksRunning", app.TasksRunning, 2)
	c.equal("number of tasks", len(app.Tasks), 2)
	c.equal("labels", *app.Labels, map[string]string{"tier": "front"})
	c.equal("upgrade strategy", *app.UpgradeStrategy.MinimumHealthCapacity, 1.0)
	c.equal("number of port definitions", len(*app.PortDefinitions), 1)
	if app.VersionInfo == nil || app.VersionInfo.LastConfigChangeAt != app.Version {
		c.Errorf("versionInfo is %+v, version %s", app.VersionInfo, app.Version)
	}
	with := value(c.m.ApplicationBy(c.one, &marathon.GetAppOpts{Embed: []string{"app.taskStats", "app.counts"}}))(c)
	c.equal("id", with.ID, c.one)
	c.equal("number of tasks", len(with.Tasks), 2) // GET of one app always has them
	all := value(c.m.Applications(url.Values{"embed": {"apps.tasks"}, "id": {c.base}, "label": {"tier==front"}}))(c)
	if len(all.Apps) != 1 || len(all.Apps[0].Tasks) != 2 {
		c.Errorf("Applications by label: %+v", all.Apps)
	}
	c.equal("apps with another label", len(value(c.m.Applications(url.Values{"id": {c.base}, "label": {"tier==back"}}))(c).Apps), 0)
	if all := value(c.m.ListApplications(nil))(c); !slices.Contains(all, c.one) {
		c.Errorf("ListApplications: %v", all)
	}
	c.equal("ListApplications by id", value(c.m.ListApplications(url.Values{"id": {strings.ToUpper(c.base) + "/ON"}}))(c), []string{c.one})
	c.equal("ApplicationOK", value(c.m.ApplicationOK(c.one))(c), true)
	c.equal("versions", value(c.m.ApplicationVersions(c.one))(c).Versions, []string{app.Version})
	c.equal("HasApplicationVersion", value(c.m.HasApplicationVersion(c.one, app.Version))(c), true)
	c.equal("HasApplicationVersion", value(c.m.HasApplicationVersion(c.one, "2015-01-22T12:34:56.789Z"))(c), false)
	old := value(c.m.ApplicationByVersion(c.one, app.Version))(c)
	c.equal("version", old.Version, app.Version)
	c.equal("cmd", *old.Cmd, "sleep 1000")
	_, err := c.m.Application(c.id("none"))
	c.fails("Application", err, marathon.ErrCodeNotFound)
	_, err = c.m.CreateApplication(sleeper(c.one))
	c.fails("CreateApplication again", err, marathon.ErrCodeDuplicateID)
	_, err = c.m.CreateApplication(new(marathon.Application).Name(c.id("bad")))
	c.fails("CreateApplication without a command", err, marathon.ErrCodeInvalidBean)
	_, err = c.m.ApplicationByVersion(c.one, "2015-01-22T12:34:56.789Z")
	c.fails("ApplicationByVersion", err, marathon.ErrCodeNotFound)
}

func (c *goCaller) updates() {
	first := value(c.m.Application(c.one))(c)
	// What users do: read, change, write back. The version alone would ask for a rollback.
	changed := value(c.m.Application(c.one))(c)
	changed.Version = ""
	c.wait(c.m.UpdateApplication(changed.AddEnv("COLOUR", "green").Count(1), false))
	app := value(c.m.Application(c.one))(c)
	c.equal("env", *app.Env, map[string]string{"COLOUR": "green"})
	c.equal("tasksRunning", app.TasksRunning, 1)
	c.equal("number of versions", len(value(c.m.ApplicationVersions(c.one))(c).Versions), 2)
	c.wait(c.m.ScaleApplicationInstances(c.one, 3, false))
	scaled := value(c.m.Application(c.one))(c)
	c.equal("tasksRunning", scaled.TasksRunning, 3)
	c.equal("lastConfigChangeAt after scaling", scaled.VersionInfo.LastConfigChangeAt, app.VersionInfo.LastConfigChangeAt)
	c.equal("lastScalingAt", scaled.VersionInfo.LastScalingAt, scaled.Version)
	c.wait(c.m.RestartApplication(c.one, false))
	c.wait(c.m.SetApplicationVersion(c.one, &marathon.ApplicationVersion{Version: first.Version}))
	back := value(c.m.Application(c.one))(c)
	c.equal("instances", *back.Instances, 2)
	if back.Env != nil && len(*back.Env) > 0 {
		c.Errorf("env after the rollback: %v", *back.Env)
	}
	_, err := c.m.SetApplicationVersion(c.one, &marathon.ApplicationVersion{Version: "2015-01-22T12:34:56.789Z"})
	c.fails("SetApplicationVersion", err, marathon.ErrCodeNotFound)
	_, err = c.m.RestartApplication(c.id("none"), false)
	c.fails("RestartApplication", err, marathon.ErrCodeNotFound)
	_, err = c.m.ScaleApplicationInstances(c.one, -1, false)
	c.fails("ScaleApplicationInstances", err, marathon.ErrCodeInvalidBean)
}

// running waits until the app has n running tasks, none of them in without.
func (c *goCaller) running(id string, n int, without ...string) []marathon.Task {
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

func (c *goCaller) tasks() {
	two := c.running(c.one, 2)
	for _, task := range two {
		c.equal("appId", task.AppID, c.one)
		c.equal("number of ports", len(task.Ports), 1)
		if task.Host == "" || task.SlaveID == "" || task.StagedAt == "" || task.StartedAt == "" || task.Version == "" {
			c.Errorf("incomplete task %+v", task)
		}
	}
	for status, n := range map[string]int{"running": 2, "staging": 0} {
		mine := slices.DeleteFunc(value(c.m.AllTasks(&marathon.AllTasksOpts{Status: status}))(c).Tasks, func(t marathon.Task) bool { return t.AppID != c.one })
		c.equal("AllTasks "+status, len(mine), n)
	}
	if err := c.m.KillTasks([]string{two[0].ID}, &marathon.KillTaskOpts{}); err != nil {
		c.Fatal(err)
	}
	two = c.running(c.one, 2, two[0].ID)
	on := 0
	for _, task := range two {
		if task.Host == two[0].Host {
			on++
		}
	}
	killed := value(c.m.KillApplicationTasks(c.one, &marathon.KillApplicationTasksOpts{Host: two[0].Host}))(c)
	c.equal("number of victims", len(killed.Tasks), on)
	two = c.running(c.one, 2, two[0].ID)
	c.equal("victims on another host", len(value(c.m.KillApplicationTasks(c.one, &marathon.KillApplicationTasksOpts{Host: "elsewhere"}))(c).Tasks), 0)
	if err := c.m.KillTasks([]string{two[0].ID}, &marathon.KillTaskOpts{Scale: true}); err != nil {
		c.Fatal(err)
	}
	c.running(c.one, 1, two[0].ID)
	c.equal("instances after a kill with scale", *value(c.m.Application(c.one))(c).Instances, 1)
	// KillTask takes all before the last dot of a task id for the id of its app, which is not so since Marathon 1.5.
	_, err := c.m.KillTask(two[1].ID, nil)
	c.fails("KillTask", err, marathon.ErrCodeNotFound)
	c.running(c.one, 1, two[0].ID)
	// TaskEndpoints looks for port mappings where Marathon has not shown them since 1.5.
	docker := new(marathon.Application).Name(c.id("docker")).CPU(0.1).Memory(16).Count(0)
	docker.Container = new(marathon.Container)
	docker.Container.Type, docker.Container.Docker = "DOCKER", &marathon.Docker{Image: "busybox", Network: "BRIDGE",
		PortMappings: &[]marathon.PortMapping{{ContainerPort: 80, Protocol: "tcp"}}}
	made := value(c.m.CreateApplication(docker))(c)
	c.wait(&marathon.DeploymentID{DeploymentID: made.Deployments[0]["id"], Version: made.Version}, nil)
	if list, err := c.m.TaskEndpoints(c.id("docker"), 80, false); err == nil || !strings.Contains(err.Error(), "port mappings") {
		c.Errorf("TaskEndpoints: %v %v", list, err)
	}
	c.wait(c.m.DeleteApplication(c.id("docker"), false))
}

// waiting looks at an app that finds no offer.
func (c *goCaller) waiting() {
	made := value(c.m.CreateApplication(sleeper(c.id("big")).CPU(1000)))(c)
	id := made.Deployments[0]["id"]
	mine := func() *marathon.Deployment {
		for _, d := range value(c.m.Deployments())(c) {
			if d.ID == id {
				return d
			}
		}
		c.Fatalf("Deployments does not name %s", id)
		return nil
	}
	if d := mine(); !slices.Equal(d.AffectedApps, []string{c.id("big")}) || d.TotalSteps != 2 || len(d.Steps) != 2 || d.Version != made.Version {
		c.Fatalf("Deployments: %+v", d)
	}
	harness.Await(c, waitLimit, "the second step is running", func() (bool, string) {
		d := mine()
		ok := d.CurrentStep == 2 && len(d.CurrentActions) == 1 && d.CurrentActions[0].Action == "ScaleApplication" && d.CurrentActions[0].App == c.id("big")
		return ok, fmt.Sprintf("%+v", d)
	})
	c.equal("HasDeployment", value(c.m.HasDeployment(id))(c), true)
	c.equal("HasDeployment of another", value(c.m.HasDeployment("nope"))(c), false)
	c.equal("WaitOnDeployment", c.m.WaitOnDeployment(id, 2*pollInterval), marathon.ErrTimeoutError)
	deployments := value(c.m.ApplicationDeployments(c.id("big")))(c)
	if len(deployments) != 1 || deployments[0].DeploymentID != id {
		c.Errorf("ApplicationDeployments: %+v", deployments)
	}
	harness.Await(c, waitLimit, "the app is in the queue", func() (bool, string) {
		q := value(c.m.Queue())(c)
		return slices.ContainsFunc(q.Items, func(i marathon.Item) bool {
			return i.Application.ID == c.id("big") && i.Count == 1 && i.Delay.Overdue
		}), fmt.Sprintf("%+v", q)
	})
	if err := c.m.DeleteQueueDelay(c.id("big")); err != nil {
		c.Error(err)
	}
	c.fails("DeleteQueueDelay", c.m.DeleteQueueDelay(c.id("none")), marathon.ErrCodeNotFound)
	_, err := c.m.UpdateApplication(sleeper(c.id("big")), false)
	c.fails("UpdateApplication of a locked app", err, marathon.ErrCodeAppLocked)
	c.wait(c.m.DeleteDeployment(id, false)) // a deployment that restores what was before: no app
	_, err = c.m.Application(c.id("big"))
	c.fails("Application after its deployment was taken back", err, marathon.ErrCodeNotFound)
	_, err = c.m.DeleteDeployment(id, false)
	c.fails("DeleteDeployment", err, marathon.ErrCodeNotFound)
}

func (c *goCaller) groups() {
	group := marathon.NewApplicationGroup(c.id("team")).App(sleeper(c.id("team/a"))).App(sleeper(c.id("team/b")).Count(2))
	group.Groups = append(group.Groups, marathon.NewApplicationGroup(c.id("team/sub")).App(sleeper(c.id("team/sub/c"))))
	if err := c.m.CreateGroup(group); err != nil {
		c.Fatal(err)
	}
	if err := c.m.WaitOnGroup(c.id("team"), waitLimit); err != nil {
		c.Fatal(err)
	}
	if root := value(c.m.Groups())(c); root.ID != "/" || !slices.ContainsFunc(root.Groups, func(g *marathon.Group) bool { return strings.HasPrefix(c.base, g.ID+"/") }) {
		c.Errorf("Groups: %+v", root)
	}
	c.equal("id of GroupsBy", value(c.m.GroupsBy(&marathon.GetGroupOpts{Embed: []string{"group.groups"}}))(c).ID, "/")
	team := value(c.m.Group(c.id("team")))(c)
	c.equal("apps of the group", len(team.Apps), 2)
	if len(team.Groups) != 1 || team.Groups[0].ID != c.id("team/sub") || len(team.Groups[0].Apps) != 1 {
		c.Errorf("Group: %+v", team)
	}
	with := value(c.m.GroupBy(c.id("team"), &marathon.GetGroupOpts{Embed: []string{"group.apps", "group.apps.counts"}}))(c)
	if len(with.Apps) != 2 || with.Apps[0].TasksRunning+with.Apps[1].TasksRunning != 3 {
		c.Errorf("GroupBy: %+v", with)
	}
	c.equal("HasGroup", value(c.m.HasGroup(c.id("team/sub")))(c), true)
	c.equal("HasGroup", value(c.m.HasGroup(c.id("nowhere")))(c), false)
	c.fails("CreateGroup again", c.m.CreateGroup(group), marathon.ErrCodeDuplicateID)
	c.wait(c.m.UpdateGroup(c.id("team"), marathon.NewApplicationGroup(c.id("team")).App(sleeper(c.id("team/a")).Count(2)), false))
	team = value(c.m.Group(c.id("team")))(c)
	if len(team.Apps) != 1 || team.Apps[0].ID != c.id("team/a") || *team.Apps[0].Instances != 2 {
		c.Errorf("Group after its update: %+v", team)
	}
	c.wait(c.m.DeleteGroup(c.id("team"), true))
	_, err := c.m.Group(c.id("team"))
	c.fails("Group", err, marathon.ErrCodeNotFound)
	_, err = c.m.DeleteGroup(c.id("team"), false)
	c.fails("DeleteGroup", err, marathon.ErrCodeNotFound)
}

func (c *goCaller) deleting() {
	c.wait(c.m.DeleteApplication(c.one, false))
	_, err := c.m.DeleteApplication(c.one, false)
	c.fails("DeleteApplication", err, marathon.ErrCodeNotFound)
	for _, task := range value(c.m.AllTasks(&marathon.AllTasksOpts{}))(c).Tasks {
		if task.AppID == c.one {
			c.Errorf("a task is left: %+v", task)
		}
	}
}

// abdication ends the process, as leaving leadership does (http-api.md 10.2).
func (c *goCaller) abdication() {
	c.mayAbdicate()
	c.equal("message", value(c.m.AbdicateLeader())(c), "Leadership abdicated")
	c.abdicated()
}
