package clients

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"stadion/compat-tests/harness"
)

// What programs rely on that hear of changes by events and then read: each in the manner of its own requests.

// marathonConsul registers tasks as services: it sends a password that nobody set, and asks for one app with two slashes.
func marathonConsul() client {
	return client{name: "marathon-consul", group: "consul", features: []feature{{"discovery", (*caller).consulDiscovery}, {"events", (*caller).consulEvents}}}
}

// bamboo and nixy write configurations of HAProxy and nginx.
func bamboo() client {
	return client{name: "Bamboo", group: "bamboo", features: []feature{{"discovery", (*caller).bambooDiscovery}}}
}

func nixy() client {
	return client{name: "nixy", group: "nixy", features: []feature{{"system", (*caller).nixySystem}, {"discovery", (*caller).nixyDiscovery}}}
}

// marathonAcme gets certificates for what it reads in labels.
func marathonAcme() client {
	return client{name: "marathon-acme", group: "acme", features: []feature{{"events", (*caller).acmeEvents}}}
}

// zdd is marathon-lb's script for blue/green deployments.
func zdd() client {
	return client{name: "zdd.py", group: "zdd", features: []feature{{"scaling", (*caller).zddSwap}}}
}

// exporter shows metrics to Prometheus: those of apps and those of the server, in their old JSON form.
func exporter() client {
	return client{name: "marathon_exporter", group: "exporter", features: []feature{{"system", (*caller).exporterMetrics}, {"discovery", (*caller).exporterApps}}}
}

// bridge is the script that came with Marathon and makes a configuration of HAProxy out of a plain text list of tasks.
func bridge() client {
	return client{name: "haproxy-marathon-bridge", group: "bridge", features: []feature{{"discovery", (*caller).bridgeDiscovery}}}
}

// anonymous are the headers of a client whose user and password are empty.
var anonymous = map[string]string{"Authorization": "Basic Og==", "User-Agent": "Marathon-Consul"}

// read is a GET that expects 200.
func (c *caller) read(path string, headers map[string]string) any {
	c.Helper()
	res := c.send(http.MethodGet, path, "", headers)
	if res.Status != http.StatusOK {
		c.Fatalf("GET %s: %d %s", path, res.Status, res.Body)
	}
	return res.JSON()
}

// named is an app out of a list, nil if it is not there.
func named(list any, id string) any {
	apps, _ := at(list, "apps").([]any)
	for _, a := range apps {
		if at(a, "id") == id {
			return a
		}
	}
	return nil
}

// sleeperOf starts an app that only sleeps. more overrides.
func (c *caller) sleeperOf(id string, instances int, more object) {
	c.Helper()
	app := object{"id": id, "cmd": "sleep 1000", "cpus": 0.1, "mem": 16, "instances": instances}
	for k, v := range more {
		app[k] = v
	}
	c.put(app)
}

func (c *caller) consulDiscovery() {
	c.sleeperOf(c.id("web"), 1, object{"labels": object{"consul": "", "varnish": "tag"}})
	c.sleeperOf(c.id("other"), 0, nil)
	list := c.read("/v2/apps?embed=apps.tasks&label=consul", anonymous)
	if named(list, c.id("web")) == nil || named(list, c.id("other")) != nil {
		c.Errorf("apps with the label: %v", list)
	}
	app := c.read("/v2/apps/"+c.id("web")+"?embed=apps.tasks", anonymous)
	c.equal("app, label and state of the task", []any{at(app, "app", "id"), at(app, "app", "labels", "varnish"), at(app, "app", "tasks", 0, "state")},
		[]any{c.id("web"), "tag", "TASK_RUNNING"})
	tasks := c.read("/v2/apps"+c.id("web")+"/tasks", anonymous)
	c.equal("task by its own path", at(tasks, "tasks", 0, "id"), at(app, "app", "tasks", 0, "id"))
}

// consulEvents: a service is taken out once its task is about to end, by the id it was registered with.
func (c *caller) consulEvents() {
	events := c.api.OpenEvents("?event_type=status_update_event&event_type=health_status_changed_event", anonymous)
	id := c.read("/v2/apps"+c.id("web")+"/tasks", anonymous)
	c.deployed(at(c.api.Must(http.MethodDelete, "/v2/apps"+c.id("web"), nil).JSON(), "deploymentId"))
	last, before := events.Next(waitLimit, "the task is killed", func(e harness.Event) bool {
		return e.Data["appId"] == c.id("web") && e.Data["taskStatus"] == "TASK_KILLED"
	})
	c.equal("taskId", last.Data["taskId"], at(id, "tasks", 0, "id"))
	killing := false
	for _, e := range before {
		if e.Type != "status_update_event" && e.Type != "health_status_changed_event" {
			c.Errorf("an event that was not asked for: %s", e.Type)
		}
		killing = killing || e.Data["taskId"] == last.Data["taskId"] && e.Data["taskStatus"] == "TASK_KILLING"
	}
	if c.own && !killing { // of other servers it is not known whether they have task_killing
		c.Error("no TASK_KILLING before")
	}
}

// bambooDiscovery: what is to be embedded is named app.… in the list too.
func (c *caller) bambooDiscovery() {
	c.sleeperOf(c.id("web"), 1, object{"env": object{"BAMBOO_TCP_PORT": "1080"}})
	app := named(c.read("/v2/apps?embed=app.tasks&embed=app.deployments&embed=app.readiness", nil), c.id("web"))
	for _, field := range []string{"tasks", "deployments", "readinessCheckResults"} {
		if _, ok := at(app, field).([]any); !ok {
			c.Errorf("%s is missing: %v", field, app)
		}
	}
	c.equal("env", at(app, "env", "BAMBOO_TCP_PORT"), "1080")
	if ports, _ := at(app, "tasks", 0, "ports").([]any); len(ports) != 1 {
		c.Errorf("ports of the task: %v", ports)
	}
}

// nixySystem: every server of a list is up when it answers /ping, and a stream that says nothing for 15 s is given up.
func (c *caller) nixySystem() {
	c.api.Must(http.MethodGet, "/ping", nil, http.StatusOK)
	c.api.OpenEvents("", nil).Next(waitLimit, "the first event", func(e harness.Event) bool { return e.Type == "event_stream_attached" })
}

func (c *caller) nixyDiscovery() {
	c.sleeperOf(c.id("web"), 1, object{"labels": object{"subdomain": "web"}, "portDefinitions": []any{object{"port": 0, "name": "http", "labels": object{"k": "v"}}}})
	app := named(c.read("/v2/apps?embed=apps.tasks", nil), c.id("web"))
	task := at(app, "tasks", 0)
	c.equal("label, port and state", []any{at(app, "labels", "subdomain"), at(app, "portDefinitions", 0, "name"), at(app, "portDefinitions", 0, "labels", "k"), at(task, "state")},
		[]any{"web", "http", "v", "TASK_RUNNING"})
	for _, field := range []string{"appId", "host", "id", "slaveId", "stagedAt", "startedAt", "version"} {
		if text, _ := at(task, field).(string); text == "" {
			c.Errorf("%s of the task is missing: %v", field, task)
		}
	}
}

func (c *caller) exporterMetrics() {
	got := c.read("/metrics", nil)
	for kind, field := range map[string]string{"counters": "count", "gauges": "value", "histograms": "count", "meters": "count", "timers": "count"} {
		list, ok := at(got, kind).(map[string]any)
		if !ok {
			c.Errorf("no %s in /metrics", kind)
		}
		for name, one := range list {
			value := at(one, field)
			if kind == "gauges" && value == nil {
				value = at(one, "max")
			}
			if _, number := value.(float64); !number && kind != "gauges" { // a gauge may have no value
				c.Errorf("%s %s has no %s: %v", kind, name, field, one)
			}
		}
	}
	if _, number := at(got, "gauges", "marathon.uptime.gauge.seconds", "value").(float64); !number && c.own {
		c.Error("no uptime")
	}
}

func (c *caller) exporterApps() {
	c.sleeperOf(c.id("web"), 1, nil)
	app := named(c.read("/v2/apps?embed=apps.taskStats", nil), c.id("web"))
	for _, field := range []string{"instances", "tasksRunning", "tasksStaged", "tasksHealthy", "tasksUnhealthy", "cpus", "mem", "disk", "gpus"} {
		if _, number := at(app, field).(float64); !number {
			c.Errorf("%s is missing: %v", field, app)
		}
	}
	if text, _ := at(app, "version").(string); text == "" {
		c.Errorf("no version: %v", app)
	}
}

// bridgeDiscovery: name, service port and the addresses of all tasks stand on one line.
func (c *caller) bridgeDiscovery() {
	c.sleeperOf(c.id("web"), 2, nil)
	name := strings.ReplaceAll(strings.TrimPrefix(c.id("web"), "/"), "/", "_")
	text := string(c.send(http.MethodGet, "/v2/tasks", "", map[string]string{"Accept": "text/plain"}).Body)
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); len(words) > 0 && words[0] == name {
			port, err := strconv.Atoi(words[1])
			if err != nil || port == 0 || len(words) != 4 || !strings.Contains(words[2], ":") {
				c.Errorf("the line is %q", line)
			}
			return
		}
	}
	c.Errorf("%s is missing in %q", name, text)
}

// acmeEvents: after the event about a new app its list has it, and content types are compared as a whole.
func (c *caller) acmeEvents() {
	events := c.api.OpenEvents("?event_type=api_post_event&event_type=event_stream_attached", map[string]string{"Cache-Control": "no-store"})
	hello, _ := events.Next(waitLimit, "the first event", func(e harness.Event) bool { return e.Type == "event_stream_attached" })
	if hello.Data["remoteAddress"] == nil || hello.Data["timestamp"] == nil {
		c.Errorf("the first event: %v", hello.Data)
	}
	c.api.Must(http.MethodPost, "/v2/apps", object{"id": c.id("web"), "cmd": "sleep 1000", "instances": 0, "labels": object{"MARATHON_ACME_0_DOMAIN": "www.example.com"}}, 201)
	posted, _ := events.Next(waitLimit, "the app is posted", func(e harness.Event) bool { return at(e.Data, "appDefinition", "id") == c.id("web") })
	c.equal("uri", posted.Data["uri"], any("/v2/apps"))
	res := c.send(http.MethodGet, "/v2/apps", "", nil)
	c.equal("content type", res.Header.Get("Content-Type"), "application/json")
	app := named(res.JSON(), c.id("web"))
	c.equal("domain and network", []any{at(app, "labels", "MARATHON_ACME_0_DOMAIN"), at(app, "networks", 0, "mode")}, []any{"www.example.com", "host"})
}

// zddSwap: the old colour loses exactly the drained task and one instance, at once, while the new colour grows; then it goes.
func (c *caller) zddSwap() {
	labels := func(colour, port string) object {
		return object{"labels": object{"HAPROXY_DEPLOYMENT_GROUP": "shop", "HAPROXY_DEPLOYMENT_COLOUR": colour, "HAPROXY_0_PORT": port, "HAPROXY_APP_ID": "shop"}}
	}
	blue, green := c.id("shop-blue"), c.id("shop-green")
	c.sleeperOf(blue, 2, labels("blue", "10101"))
	c.sleeperOf(green, 1, labels("green", "10102"))
	app := c.read("/v2/apps"+blue, nil)
	c.equal("deployments", at(app, "app", "deployments"), any([]any{}))
	drained, left := at(app, "app", "tasks", 0, "id"), at(app, "app", "tasks", 1, "id")
	killed := c.ctl(http.MethodPost, "/v2/tasks/delete?scale=true", fmt.Sprintf(`{"ids": [%q]}`, drained), 200)
	c.equal("instances after the kill", at(c.read("/v2/apps"+blue, nil), "app", "instances"), 1.0)
	grown := c.ctl(http.MethodPut, "/v2/apps"+green, `{"instances": 2}`, 200)
	c.deployed(at(killed, "deploymentId"))
	c.deployed(at(grown, "deploymentId"))
	app = c.read("/v2/apps"+blue, nil)
	c.equal("tasks of the old colour", []any{at(app, "app", "tasks", 0, "id"), at(app, "app", "tasks", 1, "id")}, []any{left, nil})
	c.equal("instances of the new colour", at(c.read("/v2/apps"+green, nil), "app", "tasksRunning"), 2.0)
	c.deployed(at(c.ctl(http.MethodDelete, "/v2/apps"+blue, "", 200), "deploymentId"))
	if list := c.send(http.MethodGet, "/v2/apps", "", nil); strings.Contains(string(list.Body), blue) {
		c.Error("the old colour is left")
	}
}
