package clients

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	marathon "github.com/gambol99/go-marathon"

	"stadion/compat-tests/harness"
)

// traefik reads apps as the Marathon provider of Traefik 1.7 does: go-marathon with events, and on each event all apps
// with their tasks, deployments and readiness results.
func traefik() client {
	return client{name: "Traefik 1.7", group: "traefik", features: []feature{
		{"events", (*caller).traefikEvents}, {"discovery", (*caller).traefikDiscovery}, {"health", (*caller).traefikReadiness}, {"delete", (*caller).traefikDelete}}}
}

// traefikMask are the events the provider listens for.
const traefikMask = marathon.EventIDApplications | marathon.EventIDAddHealthCheck | marathon.EventIDDeploymentSuccess | marathon.EventIDDeploymentFailed |
	marathon.EventIDDeploymentInfo | marathon.EventIDDeploymentStepSuccess | marathon.EventIDDeploymentStepFailed

// traefikClient makes the provider's client.
func (c *caller) traefikClient() marathon.Marathon {
	c.Helper()
	config := marathon.NewDefaultConfig()
	config.URL, config.EventsTransport = c.url, marathon.EventsTransportSSE
	config.HTTPClient = &http.Client{Transport: &http.Transport{ResponseHeaderTimeout: time.Minute}}
	m, err := marathon.NewClient(config)
	if err != nil {
		c.Fatal(err)
	}
	return m
}

// traefikApp is what the provider reads of an app; its go-marathon is a later one than ours and has all of it.
type traefikApp struct {
	ID              string
	Labels          map[string]string
	Deployments     []struct{ ID string }
	Networks        []struct{ Mode string }
	PortDefinitions []struct{ Port int }
	Tasks           []struct {
		ID, Host, State, StartedAt string
		Ports                      []int
	}
	ReadinessChecks       []struct{ TimeoutSeconds int }
	ReadinessCheckResults []struct {
		TaskID string
		Ready  bool
	}
}

// traefikApps are the apps the provider would see below our group.
func (c *caller) traefikApps() []traefikApp {
	c.Helper()
	var all struct{ Apps []traefikApp }
	c.api.Get("/v2/apps?"+url.Values{"embed": {"apps.tasks", "apps.deployments", "apps.readiness"}}.Encode(), &all)
	return slices.DeleteFunc(all.Apps, func(a traefikApp) bool { return !strings.HasPrefix(a.ID, c.base+"/") })
}

// traefikBackend is the rule of the app's frontend and the URLs of its servers; tasks that do not run or are not ready
// are left out.
func traefikBackend(a traefikApp) (rule string, servers []string) {
	label := func(name string) string { return a.Labels[name] }
	if label("traefik.enable") == "false" {
		return "", nil
	}
	if rule = label("traefik.frontend.rule"); rule == "" {
		rule = "Host:" + strings.ReplaceAll(strings.TrimPrefix(a.ID, "/"), "/", "-") + ".marathon.localhost"
	}
	scheme := "http"
	if p := label("traefik.protocol"); p != "" {
		scheme = p
	}
	for _, task := range a.Tasks {
		if task.State != "TASK_RUNNING" || !traefikReady(task.ID, task.StartedAt, a) {
			continue
		}
		ports := task.Ports
		if len(ports) == 0 {
			for _, def := range a.PortDefinitions {
				ports = append(ports, def.Port)
			}
		}
		index := 0
		if label("traefik.portIndex") == "1" {
			index = 1
		}
		if index < len(ports) {
			servers = append(servers, fmt.Sprintf("%s://%s:%d", scheme, task.Host, ports[index]))
		}
	}
	slices.Sort(servers)
	return rule, servers
}

// traefikReady is the provider's rule with respectReadinessChecks.
func traefikReady(id, startedAt string, a traefikApp) bool {
	if len(a.Deployments) == 0 || len(a.ReadinessChecks) == 0 {
		return true
	}
	for _, r := range a.ReadinessCheckResults {
		if r.TaskID == id {
			return r.Ready
		}
	}
	started, err := time.Parse(time.RFC3339, startedAt)
	return err == nil && time.Since(started) > time.Duration(a.ReadinessChecks[0].TimeoutSeconds)*time.Second+5*time.Second
}

// traefikEvents: a start is heard of, and the look that follows in the end shows it.
func (c *caller) traefikEvents() {
	m := c.traefikClient()
	events, err := m.AddEventsListener(traefikMask)
	if err != nil {
		c.Fatal(err)
	}
	defer m.RemoveEventsListener(events)
	app := c.webService(c.id("web"), "hello", 2, object{"labels": object{"traefik.frontend.rule": "Host:web.example.com", "traefik.portIndex": "1", "traefik.protocol": "http"},
		"portDefinitions": []any{object{"port": 0, "name": "admin"}, object{"port": 0, "name": "http"}}})
	app["cmd"] = "exec python3 -S -c \"$SERVICE\" $PORT1 hello"
	app["healthChecks"].([]any)[0].(object)["portIndex"] = 1
	c.api.Must(http.MethodPost, "/v2/apps", app, http.StatusCreated)
	limit := time.After(waitLimit)
	for {
		select {
		case <-events:
			for _, a := range c.traefikApps() {
				if _, servers := traefikBackend(a); len(servers) == 2 && len(a.Deployments) == 0 {
					return
				}
			}
		case <-limit:
			c.Fatalf("no event led to two servers: %+v", c.traefikApps())
		}
	}
}

// traefikDiscovery: rule, port and scheme follow the labels, and the servers answer.
func (c *caller) traefikDiscovery() {
	apps := c.traefikApps()
	if len(apps) != 1 {
		c.Fatalf("%d apps: %+v", len(apps), apps)
	}
	rule, servers := traefikBackend(apps[0])
	c.equal("the rule", rule, "Host:web.example.com")
	c.equal("the number of servers", len(servers), 2)
	if len(apps[0].Networks) != 1 || apps[0].Networks[0].Mode != "host" {
		c.Errorf("networks %+v", apps[0].Networks)
	}
	for _, server := range servers {
		res, err := harness.NewAPI(c, server).Try(http.MethodGet, "/", nil)
		if err != nil && !c.own {
			c.Skipf("tasks cannot be reached from here: %v", err)
		}
		if err != nil || !strings.HasPrefix(string(res.Body), "hello ") {
			c.Errorf("%s answers %q, %v", server, res.Body, err)
		}
	}
}

// traefikReadiness: while a deployment waits for the readiness of its new tasks they are no servers.
func (c *caller) traefikReadiness() {
	id := c.id("slow")
	app := c.webService(id, "slow", 1, object{"readinessChecks": []any{object{"name": "up", "portName": "http", "path": "/", "intervalSeconds": 2, "timeoutSeconds": 1,
		"httpStatusCodesForReady": []int{418}}}})
	made := c.api.Must(http.MethodPost, "/v2/apps", app, http.StatusCreated).JSON()
	look := func() traefikApp {
		for _, a := range c.traefikApps() {
			if a.ID == id {
				return a
			}
		}
		c.Fatalf("%s is missing", id)
		return traefikApp{}
	}
	harness.Await(c, waitLimit, "the task runs and has a readiness result", func() (bool, string) {
		a := look()
		return len(a.Tasks) == 1 && a.Tasks[0].State == "TASK_RUNNING" && len(a.ReadinessCheckResults) == 1, fmt.Sprintf("%+v", a)
	})
	a := look()
	if _, servers := traefikBackend(a); len(servers) > 0 || len(a.Deployments) != 1 {
		c.Errorf("a task that is not ready is a server: %v, deployments %v", servers, a.Deployments)
	}
	c.api.Must(http.MethodDelete, fmt.Sprintf("/v2/deployments/%v?force=true", at(made, "deployments", 0, "id")), nil)
	harness.Await(c, waitLimit, "without a deployment it is a server", func() (bool, string) {
		a := look()
		_, servers := traefikBackend(a)
		return len(servers) == 1, fmt.Sprintf("%+v", a)
	})
	c.deployed(at(c.api.Must(http.MethodDelete, "/v2/apps"+id, nil).JSON(), "deploymentId"))
}

// traefikDelete: a deleted app is seen no more.
func (c *caller) traefikDelete() {
	c.deployed(at(c.api.Must(http.MethodDelete, "/v2/apps"+c.id("web"), nil).JSON(), "deploymentId"))
	if apps := c.traefikApps(); len(apps) > 0 {
		c.Errorf("apps are left: %+v", apps)
	}
}
