package clients

import (
	"fmt"
	"net/http"
	"strings"

	"stadion/compat-tests/harness"
)

type object = map[string]any

// webService is an app that answers word over HTTP. Its program travels in the environment, so that it runs on any agent
// that has python3. more overrides.
func (c *caller) webService(id, word string, instances int, more object) object {
	app := object{"id": id, "instances": instances, "cpus": 0.1, "mem": 32, "taskKillGracePeriodSeconds": 60, "backoffSeconds": 1,
		"env": object{"SERVICE": harness.WebService}, "cmd": "exec python3 -S -c \"$SERVICE\" $PORT0 " + word,
		"portDefinitions": []any{object{"port": 0, "name": "http", "protocol": "tcp"}},
		"upgradeStrategy": object{"minimumHealthCapacity": 1, "maximumOverCapacity": 1},
		"healthChecks": []any{object{"protocol": "HTTP", "path": "/health", "portIndex": 0, "gracePeriodSeconds": 60, "intervalSeconds": 1,
			"timeoutSeconds": 10, "maxConsecutiveFailures": 20}}}
	for k, v := range more {
		app[k] = v
	}
	return app
}

// put changes an app and waits until its deployment has left the list.
func (c *caller) put(app object) {
	c.Helper()
	res := c.api.Must(http.MethodPut, "/v2/apps"+app["id"].(string), app, 200, 201)
	c.deployed(at(res.JSON(), "deploymentId"))
}

// deployed waits until a deployment has left the list, as scripts do.
func (c *caller) deployed(id any) {
	c.Helper()
	name, ok := id.(string)
	if !ok || name == "" {
		c.Fatalf("no deployment id: %v", id)
	}
	harness.Await(c, waitLimit, "the deployment "+name+" ends", func() (bool, string) {
		body := string(c.api.Must(http.MethodGet, "/v2/deployments", nil).Body)
		return !strings.Contains(body, name), body
	})
}

// at walks into decoded JSON by field names and indexes; nil where nothing is.
func at(v any, path ...any) any {
	for _, p := range path {
		switch key := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[key]
		case int:
			l, _ := v.([]any)
			if key >= len(l) {
				return nil
			}
			v = l[key]
		}
	}
	return v
}

// tasksOf are the addresses of an app's running tasks.
func (c *caller) tasksOf(id string) []string {
	c.Helper()
	list, _ := at(c.api.Must(http.MethodGet, "/v2/apps"+id+"/tasks", nil).JSON(), "tasks").([]any)
	var out []string
	for _, task := range list {
		if at(task, "state") == "TASK_RUNNING" {
			out = append(out, fmt.Sprintf("%v:%.0f", at(task, "host"), at(task, "ports", 0)))
		}
	}
	return out
}

// reachable skips the feature where the agents' addresses cannot be reached from here.
func (c *caller) reachable(id string) {
	c.Helper()
	for _, addr := range c.tasksOf(id) {
		if _, err := harness.NewAPI(c, "http://"+addr).Try(http.MethodGet, "/", nil); err != nil {
			if c.own {
				c.Fatalf("the service: %v", err)
			}
			c.Skipf("tasks cannot be reached from here: %v", err)
		}
	}
}
