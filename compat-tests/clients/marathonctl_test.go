package clients

import (
	"io"
	"net/http"
	"net/url"
	"strings"

	"stadion/compat-tests/harness"
)

// marathonctl sends what the command line tool of that name sends: ids with their slashes escaped, numbers with six
// decimals, bodies whose length it does not know.
func marathonctl() client {
	return client{name: "marathonctl", group: "ctl", features: []feature{
		{"apps", (*caller).ctlApps}, {"updates", (*caller).ctlUpdates}, {"tasks", (*caller).ctlTasks}, {"groups", (*caller).ctlGroups}, {"delete", (*caller).ctlDelete}}}
}

// send is a request with the headers that many tools set whether there is a body or not. A body goes in chunks.
func (c *caller) send(method, path, body string, headers map[string]string) harness.Answer {
	c.Helper()
	var reader io.Reader
	if body != "" {
		reader = io.NopCloser(strings.NewReader(body))
	}
	req, err := http.NewRequest(method, c.url+path, reader)
	if err != nil {
		c.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		c.Fatalf("%s %s: %v", method, path, err)
	}
	return harness.Answer{Status: res.StatusCode, Header: res.Header, Body: text}
}

// ctl is a request of the tool, which takes one status for success.
func (c *caller) ctl(method, path, body string, want int) any {
	c.Helper()
	res := c.send(method, path, body, nil)
	if res.Status != want {
		c.Fatalf("%s %s %s: status %d, want %d: %s", method, path, body, res.Status, want, res.Body)
	}
	return res.JSON()
}

// ctlApp is the path of the app, as the tool writes it: /v2/apps/%2Fgroup%2Fapp.
func (c *caller) ctlApp() string { return "/v2/apps/" + url.QueryEscape(c.id("app")) }

func (c *caller) ctlApps() {
	text := `{"id": "` + c.id("app") + `", "cmd": "sleep 1000", "cpus": 0.1, "mem": 16, "instances": 1, "backoffSeconds": 0}`
	made := c.ctl(http.MethodPost, "/v2/apps", text, 201)
	c.equal("id", at(made, "id"), c.id("app"))
	c.ctl(http.MethodPost, "/v2/apps", text, 409)
	c.deployed(at(made, "deployments", 0, "id"))
	c.equal("cmd", at(c.ctl(http.MethodGet, c.ctlApp(), "", 200), "app", "cmd"), "sleep 1000")
	version, _ := at(c.ctl(http.MethodGet, c.ctlApp()+"/versions", "", 200), "versions", 0).(string)
	c.equal("the newest version", any(version), at(made, "version"))
	c.equal("id of the version", at(c.ctl(http.MethodGet, c.ctlApp()+"/versions/"+url.QueryEscape(version), "", 200), "id"), c.id("app"))
}

func (c *caller) ctlUpdates() {
	for _, body := range []string{`{"instances": 2.000000}`, `{"mem": 17.500000}`, `{"cpus": 0.200000}`} {
		c.deployed(at(c.ctl(http.MethodPut, c.ctlApp()+"?force=true", body, 200), "deploymentId"))
	}
	app := c.ctl(http.MethodGet, c.ctlApp(), "", 200)
	c.equal("instances, mem and cpus", []any{at(app, "app", "instances"), at(app, "app", "mem"), at(app, "app", "cpus")}, []any{2.0, 17.5, 0.2})
	c.deployed(at(c.ctl(http.MethodPost, c.ctlApp()+"/restart?force=true", "", 200), "deploymentId"))
}

func (c *caller) ctlTasks() {
	tasks, _ := at(c.ctl(http.MethodGet, c.ctlApp()+"?embed=apps.tasks", "", 200), "app", "tasks").([]any)
	c.equal("number of tasks", len(tasks), 2)
	id, _ := at(tasks, 0, "id").(string)
	c.equal("id of the killed task", at(c.ctl(http.MethodDelete, c.ctlApp()+"/tasks/"+url.QueryEscape(id), "", 200), "task", "id"), id)
	if list, ok := at(c.ctl(http.MethodDelete, c.ctlApp()+"/tasks", "", 200), "tasks").([]any); !ok {
		c.Errorf("no list of killed tasks: %v", list)
	}
	c.ctl(http.MethodDelete, "/v2/apps/"+url.QueryEscape(c.id("none"))+"/tasks", "", 404)
}

func (c *caller) ctlGroups() {
	id := c.id("team")
	path := "/v2/groups/" + url.QueryEscape(id)
	text := `{"id": "` + id + `", "apps": [{"id": "a", "cmd": "sleep 1000", "cpus": 0.1, "mem": 16, "instances": 0}]}`
	c.deployed(at(c.ctl(http.MethodPost, "/v2/groups", text, 201), "deploymentId"))
	c.ctl(http.MethodPost, "/v2/groups", text, 409)
	got := c.ctl(http.MethodGet, path, "", 200)
	c.equal("the group and its app", []any{at(got, "id"), at(got, "apps", 0, "id")}, []any{id, id + "/a"})
	c.deployed(at(c.ctl(http.MethodPut, path+"?force=true", `{"apps": []}`, 200), "deploymentId"))
	gone, _ := at(c.ctl(http.MethodDelete, path+"?force=true", "", 200), "version").(string)
	if gone == "" {
		c.Error("the removal of a group has no version")
	}
	c.ctl(http.MethodDelete, "/v2/groups/"+url.QueryEscape(c.id("none"))+"?force=true", "", 404)
}

func (c *caller) ctlDelete() {
	c.deployed(at(c.ctl(http.MethodDelete, c.ctlApp(), "", 200), "deploymentId"))
	c.ctl(http.MethodDelete, c.ctlApp(), "", 404)
}
