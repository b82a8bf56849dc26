package badinput

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"stadion/compat-tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

const (
	definitionLimit = 512 << 10 // bytes of one definition (D-38)
	bodyLimit       = 32 << 20  // bytes of a request
)

// request is one bad request and what must come back.
type request struct {
	name, method, path string
	body               any
	status             int
	message            string // part of the answer's message
	details            string // "text", "path error" that must be found, or "" for no claim
}

var requests = []request{
	{"broken JSON", "POST", "/v2/apps", `{"id":"/a",`, 400, "Invalid JSON", "text"},
	{"broken JSON for a group", "POST", "/v2/groups", `{"id":`, 400, "Invalid JSON", "text"},
	{"broken JSON for a pod", "POST", "/v2/pods", `{"id"`, 400, "Invalid JSON", "text"},
	{"broken JSON for a kill", "POST", "/v2/tasks/delete", `{"ids"`, 400, "Invalid JSON", "text"},
	{"no JSON at all", "POST", "/v2/apps", "hello", 400, "Invalid JSON", "text"},
	{"two values", "POST", "/v2/apps", `{"id":"/a","cmd":"sleep 1"} x`, 400, "Invalid JSON", "text"},
	{"deep nesting", "POST", "/v2/apps", strings.Repeat("[", 200_000), 400, "Invalid JSON", "text"},
	{"empty body", "POST", "/v2/apps", "", 400, "Please specify data in JSON format", "text"},
	{"an array for an app", "POST", "/v2/apps", `[]`, 422, "Invalid JSON", ""},
	{"number for the id", "POST", "/v2/apps", `{"id":1}`, 422, "Invalid JSON", "/id error.expected.jsstring"},
	{"text for a number", "POST", "/v2/apps", `{"id":"/a","cmd":"sleep 1","instances":"3"}`, 422, "Invalid JSON", "/instances error.expected.jsnumber"},
	{"text for cpus", "POST", "/v2/apps", `{"id":"/a","cmd":"sleep 1","cpus":"1"}`, 422, "Invalid JSON", "/cpus error.expected.jsnumber"},
	{"object for an array", "POST", "/v2/apps", `{"id":"/a","cmd":"sleep 1","constraints":{}}`, 422, "Invalid JSON", "/constraints error.expected.jsarray"},
	{"array for an object", "POST", "/v2/apps", `{"id":"/a","cmd":"sleep 1","labels":[]}`, 422, "Invalid JSON", "/labels error.expected.jsobject"},
	{"text for a boolean", "POST", "/v2/apps", `{"id":"/a","cmd":"sleep 1","requirePorts":"yes"}`, 422, "Invalid JSON", "/requirePorts error.expected.jsboolean"},
	{"unknown word", "POST", "/v2/apps", `{"id":"/a","cmd":"sleep 1","networks":[{"mode":"moon"}]}`, 422, "Invalid JSON", "/networks(0)/mode error.unknown.enum.literal"},
	{"several mistakes", "POST", "/v2/apps", `{"id":"/a","cmd":"sleep 1","mem":"x","cpus":"y"}`, 422, "Invalid JSON", "/mem error.expected.jsnumber"},
	{"negative instances", "POST", "/v2/apps", `{"id":"/a","cmd":"sleep 1","instances":-1}`, 422, "", ""},
	{"negative cpus", "POST", "/v2/apps", `{"id":"/a","cmd":"sleep 1","cpus":-1}`, 422, "", ""},
	{"negative mem", "POST", "/v2/apps", `{"id":"/a","cmd":"sleep 1","mem":-1}`, 422, "", ""},
	{"negative disk", "POST", "/v2/apps", `{"id":"/a","cmd":"sleep 1","disk":-1}`, 422, "", ""},
	{"huge instances", "POST", "/v2/apps", `{"id":"/a","cmd":"sleep 1","instances":1e99}`, 422, "", ""},
	{"port beyond the range", "POST", "/v2/apps", `{"id":"/a","cmd":"sleep 1","ports":[70000]}`, 422, "", ""},
	{"nothing to run", "POST", "/v2/apps", `{"id":"/a"}`, 422, "Object is not valid", "/ AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'."},
	{"bad id", "POST", "/v2/apps", `{"id":"/A_b","cmd":"sleep 1"}`, 422, "", ""},
	{"id taken", "POST", "/v2/apps", `{"id":"/taken","cmd":"sleep 1"}`, 409, "An app with id [/taken] already exists.", ""},
	{"id taken by an app, group wanted", "POST", "/v2/groups", `{"id":"/taken"}`, 409, "An app with the path /taken already exists.", ""},
	{"locked", "PUT", "/v2/apps/taken", `{"instances":2}`, 409, "App is locked by one or more deployments.", ""},
	{"negative scale", "PUT", "/v2/apps/taken?force=true", `{"instances":-3}`, 422, "", ""},
	{"scale to text", "PUT", "/v2/apps/taken?force=true", `{"instances":"many"}`, 422, "Invalid JSON", "/instances error.expected.jsnumber"},
	{"unknown version", "PUT", "/v2/apps/taken?force=true", `{"version":"2015-01-22T12:34:56.789Z"}`, 404, "App '/taken' does not exist", ""},
	{"bad version", "GET", "/v2/apps/taken/versions/yesterday", nil, 422, "Invalid timestamp provided 'yesterday'", ""},
	{"unknown app", "GET", "/v2/apps/nobody", nil, 404, "App '/nobody' does not exist", ""},
	{"unknown app's tasks", "GET", "/v2/apps/nobody/tasks", nil, 404, "App '/nobody' does not exist", ""},
	{"unknown app's versions", "GET", "/v2/apps/nobody/versions", nil, 404, "App '/nobody' does not exist", ""},
	{"unknown app restarted", "POST", "/v2/apps/nobody/restart", nil, 404, "App '/nobody' does not exist", ""},
	{"unknown app deleted", "DELETE", "/v2/apps/nobody", nil, 404, "App '/nobody' does not exist", ""},
	{"unknown app patched", "PATCH", "/v2/apps/nobody", `{"cmd":"sleep 1"}`, 404, "App '/nobody' does not exist", ""},
	{"unknown group", "GET", "/v2/groups/nobody", nil, 404, "Group '/nobody' does not exist", ""},
	{"unknown group deleted", "DELETE", "/v2/groups/nobody", nil, 404, "Group '/nobody' does not exist", ""},
	{"unknown pod", "GET", "/v2/pods/nobody", nil, 404, "pod with /nobody does not exist", ""},
	{"unknown pod's status", "GET", "/v2/pods/nobody::status", nil, 404, "Pod '/nobody' does not exist", ""},
	{"unknown task", "DELETE", "/v2/apps/taken/tasks/taken.instance-3f0c5a1e-9d1b-11ec-8d5d-0242ac110002._app.1", nil, 404, "does not exist", ""},
	{"unknown deployment", "DELETE", "/v2/deployments/3f0c5a1e-9d1b-11ec-8d5d-0242ac110002", nil, 404, "DeploymentPlan 3f0c5a1e-9d1b-11ec-8d5d-0242ac110002 does not exist", ""},
	{"delay of an unknown app", "DELETE", "/v2/queue//nobody/delay", nil, 404, "Application /nobody not found in tasks queue.", ""},
	{"ids of the wrong type", "POST", "/v2/tasks/delete", `{"ids":1}`, 422, "Invalid JSON", ""},
	{"no ids", "POST", "/v2/tasks/delete", `{}`, 422, "Invalid JSON", ""},
	{"bad selector", "GET", "/v2/apps?label=a%20b", nil, 422, "Can not parse label selector", ""},
	{"unknown route", "GET", "/v2/moon", nil, 404, "URI not found", ""},
	{"wrong method", "DELETE", "/v2/info", nil, 405, "Method Not Allowed", ""},
	{"an app beyond the limit of one definition", "POST", "/v2/apps",
		map[string]any{"id": "/a", "cmd": "sleep 1", "labels": map[string]string{"x": strings.Repeat("x", definitionLimit)}}, 422, "", ""},
	{"a body beyond the limit", "POST", "/v2/apps", strings.Repeat(" ", bodyLimit+1), 413, "", ""},
}

// TestRequests sends every bad request to one server and looks afterwards at what it holds.
func TestRequests(t *testing.T) {
	t.Parallel()
	srv := harness.Dev(t, "--agents", "0")
	srv.Must("POST", "/v2/apps", map[string]any{"id": "/taken", "cmd": "sleep 1"}, http.StatusCreated)
	before := state(srv)
	for _, r := range requests {
		t.Run(r.name, func(t *testing.T) {
			r.check(t, harness.NewAPI(t, srv.URL).Do(r.method, r.path, r.body))
			if after := state(srv); after != before {
				t.Errorf("the state has changed from\n%s\nto\n%s", before, after)
			}
		})
	}
	if srv.Ended() {
		t.Fatal("the server has ended")
	}
	if body := string(srv.Must("GET", "/ping", nil, http.StatusOK).Body); body != "pong" {
		t.Errorf("/ping answers %q", body)
	}
	srv.Must("POST", "/v2/apps", map[string]any{"id": "/good", "cmd": "sleep 1"}, http.StatusCreated)
}

// state is what a bad request must leave as it is.
func state(srv *harness.Server) string {
	return string(srv.Must("GET", "/v2/groups", nil).Body) + string(srv.Must("GET", "/v2/deployments", nil).Body)
}

func (r request) check(t *testing.T, res harness.Answer) {
	t.Helper()
	if res.Status != r.status {
		t.Errorf("status %d, want %d: %.300s", res.Status, r.status, res.Body)
	}
	if got := res.Header.Get("Content-Type"); !strings.HasPrefix(got, "application/json") {
		t.Errorf("content type %q, want JSON", got)
	}
	var body struct {
		Message     *string
		Details     json.RawMessage
		Deployments []struct{ ID string }
	}
	if err := json.Unmarshal(res.Body, &body); err != nil || body.Message == nil {
		t.Fatalf("no message in %.300s (%v)", res.Body, err)
	}
	if !strings.Contains(*body.Message, r.message) {
		t.Errorf("message %q, want %q in it", *body.Message, r.message)
	}
	if r.status == http.StatusConflict && (len(body.Deployments) > 0) != (r.name == "locked") {
		t.Errorf("deployments are %v: their presence tells a lock from a taken id", body.Deployments)
	}
	switch r.details {
	case "":
	case "text":
		var text string
		if err := json.Unmarshal(body.Details, &text); err != nil || text == "" {
			t.Errorf("details are %s, want a text", body.Details)
		}
	default:
		path, want, _ := strings.Cut(r.details, " ")
		if !hasDetail(body.Details, path, want) {
			t.Errorf("details are %s, want %q at %q", body.Details, want, path)
		}
	}
}

func hasDetail(details json.RawMessage, path, want string) bool {
	var list []struct {
		Path   string
		Errors []string
	}
	if json.Unmarshal(details, &list) != nil {
		return false
	}
	for _, d := range list {
		for _, e := range d.Errors {
			if d.Path == path && e == want {
				return true
			}
		}
	}
	return false
}

// TestHeaders: content types nobody can read or write (http-api.md 1.7, 1.9).
func TestHeaders(t *testing.T) {
	t.Parallel()
	srv := harness.Dev(t, "--agents", "0")
	for _, row := range []struct {
		name, header, value, method, path string
		status                            int
		message                           string
	}{
		{"a form for an app", "Content-Type", "application/x-www-form-urlencoded", "POST", "/v2/apps", 415, "Unsupported Media Type"},
		{"an app as an image", "Accept", "image/png", "GET", "/v2/apps", 406, "Not Acceptable"},
		{"events for everybody", "Accept", "*/*", "GET", "/v2/events", 405, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			req, err := http.NewRequest(row.method, srv.URL+row.path, strings.NewReader(`{"id":"/x","cmd":"sleep 1"}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set(row.header, row.value)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			var body struct{ Message string }
			if err := json.NewDecoder(res.Body).Decode(&body); row.message != "" && (err != nil || body.Message != row.message) {
				t.Errorf("message %q (%v), want %q", body.Message, err, row.message)
			}
			if res.StatusCode != row.status {
				t.Errorf("status %d, want %d", res.StatusCode, row.status)
			}
		})
	}
}
