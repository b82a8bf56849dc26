package marathonapi

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"stadion/core"
	"stadion/core/machine"
	"stadion/core/state"
	"stadion/marathonapi/access"
)

// The users of the tests, by the letter that stands for them in the table.
var testUsers = map[byte]string{'n': "none", 'v': "viewer", 'w': "owner", 'o': "operator", 'a': "admin"}

func testRules(t *testing.T) *access.Rules {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rules")
	err := os.WriteFile(file, []byte(`
		viewer    view                      /
		owner     view,create,update,delete /team
		mate      view,create,update,delete,force /team
		operator  view,update,force         /
		operator  leader,logging,system
		admin     *                         /
	`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := access.ReadRules(file)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// twoTeams is a state in which /team and /other each have an app with a task and one that waits, a pod, a group of their
// own and a deployment.
func twoTeams() *state.State {
	st := state.New()
	root := &core.RootVersion{Version: start}
	for n, team := range []core.PathID{"/other", "/team"} {
		app := testApp(team.Child("web"), 2)
		pod := &core.Pod{ID: team.Child("pod"), Version: start, Role: "*", Containers: []core.PodContainer{{Name: "c"}}}
		for _, g := range []core.PathID{team, team.Child("sub")} {
			st.PutGroup(&core.Group{ID: g, Version: start, Dependencies: []core.PathID{}})
		}
		st.PutSpec(app)
		st.PutSpec(pod)
		st.PutInstance(running(app, n))
		waiting := running(app, 5+n)
		waiting.Condition, waiting.Agent, waiting.Tasks = core.Scheduled, nil, nil
		st.PutInstance(waiting)
		st.PutInstance(&core.Instance{ID: core.NewInstanceID(pod.ID, "0ab6b7c1-9a3b-11ea-8d8e-000000000009"), Spec: pod.ID, Version: start,
			Role: "*", Pod: true, Condition: core.Scheduled})
		st.PutDeployment(&core.Deployment{ID: "d" + team.Name(), Version: start, Current: 1,
			Steps: []core.Step{{Actions: []core.Action{{Kind: core.ActionScale, Spec: app.ID}}}}})
		root.Specs = append(root.Specs, core.SpecChange{ID: app.ID, To: start}, core.SpecChange{ID: pod.ID, To: start})
	}
	st.SetRoot(root)
	return st
}

// guardedServer is a server whose requests are made by whom the header X-Actor names.
func guardedServer(t *testing.T, s *Server) http.Handler {
	t.Helper()
	rules := testRules(t)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Handler().ServeHTTP(w, r.WithContext(access.With(r.Context(), rules.Of(r.Header.Get("X-Actor")), &access.Record{})))
	})
}

func askAs(h http.Handler, user, method, path, body string) *httptest.ResponseRecorder {
	var req *http.Request
	if body == "" {
		req = httptest.NewRequest(method, path, nil)
	} else {
		req = httptest.NewRequest(method, path, strings.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
	}
	if path == eventsPath {
		ctx, end := context.WithCancel(context.Background())
		end()
		req = req.WithContext(ctx)
		req.Header.Set("Accept", typeEvent)
	}
	req.Header.Set("X-Actor", user)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

// routeRights says who may use a route for what belongs to /team and for what belongs to /other; all others get a 403.
var routeRights = map[string][2]string{
	"GET /":                    {"nvwoa", "nvwoa"},
	"GET /ui":                  {"nvwoa", "nvwoa"},
	"GET /help":                {"nvwoa", "nvwoa"},
	"GET /ui/{file+}":          {"nvwoa", "nvwoa"},
	"GET /api-console/{file+}": {"nvwoa", "nvwoa"},
	"GET /public/{file+}":      {"nvwoa", "nvwoa"},
	"GET /ping":                {"nvwoa", "nvwoa"},
	"GET /metrics":             {"oa", "oa"},
	"GET /metrics/prometheus":  {"oa", "oa"},
	"GET /logging":             {"oa", "oa"},
	"POST /logging":            {"oa", "oa"},
	"GET /config":              {"oa", "oa"},

	"GET /v2/apps":                                {"nvwoa", "nvwoa"}, // filtered
	"POST /v2/apps":                               {"wa", "a"},
	"PUT /v2/apps":                                {"woa", "oa"},
	"PATCH /v2/apps":                              {"woa", "oa"},
	"GET /v2/apps/*/tasks":                        {"vwoa", "vwoa"}, // filtered
	"GET /v2/apps/*":                              {"vwoa", "vwoa"}, // filtered
	"GET /v2/apps/{id+}/*/tasks":                  {"vwoa", "voa"},
	"GET /v2/apps/{id+}/*":                        {"vwoa", "voa"},
	"GET /v2/apps/{id+}/tasks":                    {"vwoa", "voa"},
	"DELETE /v2/apps/{id+}/tasks":                 {"woa", "oa"},
	"DELETE /v2/apps/{id+}/tasks/{task}":          {"woa", "oa"},
	"GET /v2/apps/{id+}/versions":                 {"vwoa", "voa"},
	"GET /v2/apps/{id+}/versions/{version}":       {"vwoa", "voa"},
	"POST /v2/apps/{id+}/restart":                 {"woa", "oa"},
	"GET /v2/apps/{id+}/explain":                  {"vwoa", "voa"},
	"GET /v2/apps/{id+}":                          {"vwoa", "voa"},
	"PUT /v2/apps/{id+}":                          {"woa", "oa"},
	"PATCH /v2/apps/{id+}":                        {"woa", "oa"},
	"DELETE /v2/apps/{id+}":                       {"wa", "a"},
	"GET /v2/groups/versions/{version}":           {"vwoa", "vwoa"}, // filtered
	"GET /v2/groups/versions":                     {"vwoa", "vwoa"},
	"GET /v2/groups/apps":                         {"vwoa", "vwoa"}, // filtered
	"GET /v2/groups/{id+}/versions/{version}":     {"vwoa", "voa"},
	"GET /v2/groups/{id+}/versions":               {"vwoa", "voa"},
	"GET /v2/groups/{id+}/apps":                   {"vwoa", "voa"},
	"GET /v2/groups":                              {"vwoa", "vwoa"}, // filtered
	"POST /v2/groups":                             {"wa", "a"},
	"PUT /v2/groups":                              {"wa", "a"},
	"DELETE /v2/groups":                           {"a", "a"},
	"GET /v2/groups/{id+}":                        {"vwoa", "voa"},
	"POST /v2/groups/{id+}":                       {"wa", "a"},
	"PUT /v2/groups/{id+}":                        {"woa", "oa"},
	"PATCH /v2/groups/{id+}":                      {"woa", "oa"},
	"DELETE /v2/groups/{id+}":                     {"wa", "a"},
	"GET /v2/pods":                                {"nvwoa", "nvwoa"}, // filtered
	"POST /v2/pods":                               {"wa", "a"},
	"GET /v2/pods/::status":                       {"nvwoa", "nvwoa"}, // filtered
	"GET /v2/pods/{id+}::status":                  {"vwoa", "voa"},
	"GET /v2/pods/{id+}::versions":                {"vwoa", "voa"},
	"GET /v2/pods/{id+}::versions/{version}":      {"vwoa", "voa"},
	"DELETE /v2/pods/{id+}::instances":            {"woa", "oa"},
	"DELETE /v2/pods/{id+}::instances/{instance}": {"woa", "oa"},
	"GET /v2/pods/{id+}":                          {"vwoa", "voa"},
	"PUT /v2/pods/{id+}":                          {"woa", "oa"},
	"DELETE /v2/pods/{id+}":                       {"wa", "a"},

	"GET /v2/deployments":               {"nvwoa", "nvwoa"}, // filtered
	"DELETE /v2/deployments/{id}":       {"woa", "oa"},
	"POST /v2/deployments/{id}/pause":   {"woa", "oa"},
	"POST /v2/deployments/{id}/resume":  {"woa", "oa"},
	"POST /v2/deployments/{id}/promote": {"woa", "oa"},
	"GET /v2/tasks":                     {"nvwoa", "nvwoa"}, // filtered
	"POST /v2/tasks/delete":             {"woa", "oa"},
	"GET /v2/queue":                     {"nvwoa", "nvwoa"}, // filtered
	"DELETE /v2/queue/{id+}/delay":      {"woa", "oa"},
	"GET /v2/info":                      {"vwoa", "vwoa"},
	"GET /v2/leader":                    {"vwoa", "vwoa"},
	"DELETE /v2/leader":                 {"oa", "oa"},
	"GET /v2/openapi.json":              {"vwoa", "vwoa"},
	"GET /v2/plugins":                   {"vwoa", "vwoa"},
	"GET /v2/plugins/{id}/{path+}":      {"vwoa", "vwoa"},
	"PUT /v2/plugins/{id}/{path+}":      {"vwoa", "vwoa"},
	"POST /v2/plugins/{id}/{path+}":     {"vwoa", "vwoa"},
	"DELETE /v2/plugins/{id}/{path+}":   {"vwoa", "vwoa"},
	"GET /v2/events":                    {"vwoa", "vwoa"}, // filtered
}

const newApp = `"cmd": "sleep 1", "cpus": 0.1, "mem": 32`

// routeBodies are bodies for what belongs to a team.
func routeBody(route, team string) string {
	pod := `{"id": "/` + team + `/pod", "containers": [{"name": "c", "resources": {"cpus": 0.1, "mem": 32}, "exec": {"command": {"shell": "x"}}}]}`
	task := "other_web.instance-0ab6b7c1-9a3b-11ea-8d8e-000000000000._app.1"
	if team == "team" {
		task = "team_web.instance-0ab6b7c1-9a3b-11ea-8d8e-000000000001._app.1"
	}
	switch route {
	case "POST /logging":
		return `{"logger": "ROOT", "level": "info"}`
	case "POST /v2/apps":
		return `{"id": "/` + team + `/new", ` + newApp + `}`
	case "PUT /v2/apps", "PATCH /v2/apps":
		return `[{"id": "/` + team + `/web", "cmd": "sleep 2"}]`
	case "PUT /v2/apps/{id+}", "PATCH /v2/apps/{id+}":
		return `{"cmd": "sleep 2"}`
	case "POST /v2/groups":
		return `{"id": "/` + team + `/fresh", "apps": [{"id": "x", ` + newApp + `}]}`
	case "PUT /v2/groups": // what it does not name below the root would be removed: name everything but one thing
		return `{"id": "/` + team + `/fresh", "apps": [{"id": "x", ` + newApp + `}]}`
	case "POST /v2/groups/{id+}":
		return `{"id": "fresh"}`
	case "PUT /v2/groups/{id+}":
		return `{"dependencies": ["/` + team + `/sub"]}`
	case "PATCH /v2/groups/{id+}":
		return `{"enforceRole": true}`
	case "POST /v2/pods":
		return strings.Replace(pod, "/pod", "/newpod", 1)
	case "PUT /v2/pods/{id+}":
		return pod
	case "DELETE /v2/pods/{id+}::instances":
		return `["` + team + `_pod.instance-0ab6b7c1-9a3b-11ea-8d8e-000000000009"]`
	case "POST /v2/tasks/delete":
		return `{"ids": ["` + task + `"]}`
	}
	return ""
}

func routePath(r *Route, team string) string {
	spec := team + "/web"
	switch {
	case strings.HasPrefix(r.Pattern, "/v2/groups"), strings.Contains(r.Pattern, "{id+}/*"):
		spec = team
	case strings.HasPrefix(r.Pattern, "/v2/pods"):
		spec = team + "/pod"
	}
	task := "other_web.instance-0ab6b7c1-9a3b-11ea-8d8e-000000000000._app.1"
	if team == "team" {
		task = "team_web.instance-0ab6b7c1-9a3b-11ea-8d8e-000000000001._app.1"
	}
	return strings.NewReplacer("{id+}", spec, "{id}", "d"+team, "{task}", task, "{version}", start.String(), "{file+}", "x", "{path+}", "x",
		"{instance}", team+"_pod.instance-0ab6b7c1-9a3b-11ea-8d8e-000000000009").Replace(r.Pattern)
}

// TestRouteRights: every route, asked by everybody for what is theirs and what is not (S5).
func TestRouteRights(t *testing.T) {
	table := Routes()
	seen := map[string]bool{}
	for i := range table {
		r := &table[i]
		key := r.Method + " " + r.Pattern
		want, known := routeRights[key]
		if seen[key] = true; !known {
			t.Errorf("no rights are told of %s", key)
			continue
		}
		for n, team := range []string{"team", "other"} {
			for letter, user := range testUsers {
				s := New(Config{HostPort: "127.0.0.1:8080"}, Deps{Loop: &still{snap: twoTeams().Snapshot(17, 3, start)}, Leadership: alwaysLeader{make(chan string, 1)},
					Now: func() time.Time { return (start + 13000).Time() }})
				w := askAs(guardedServer(t, s), user, r.Method, routePath(r, team), routeBody(key, team))
				if got := w.Code != http.StatusForbidden; got != (strings.IndexByte(want[n], letter) >= 0) {
					t.Errorf("%s %s by %s: %d %s", r.Method, routePath(r, team), user, w.Code, strings.TrimSpace(w.Body.String()))
				} else if got && w.Code >= 400 && !expected(key, w.Code) {
					t.Errorf("%s %s by %s proves nothing: %d %s", r.Method, routePath(r, team), user, w.Code, strings.TrimSpace(w.Body.String()))
				}
			}
		}
	}
	for key := range routeRights {
		if !seen[key] {
			t.Errorf("%s is no route", key)
		}
	}
}

// expected are the refusals that the state of the test explains.
func expected(route string, status int) bool {
	switch {
	case strings.Contains(route, "/plugins/"), strings.Contains(route, "{file+}"):
		return status == http.StatusNotFound
	case strings.Contains(route, "/logging"):
		return status == http.StatusNotImplemented
	}
	return false
}

// TestListsAreFiltered: a list shows what its client may view, silently (S5, http-api 1.10).
func TestListsAreFiltered(t *testing.T) {
	s, _ := stillServer(twoTeams())
	h := guardedServer(t, s)
	for _, path := range []string{"/v2/apps", "/v2/apps?embed=apps.tasks", "/v2/apps/*", "/v2/apps/*/tasks", "/v2/groups", "/v2/groups?embed=group.groups&embed=group.apps&embed=group.pods",
		"/v2/groups/apps", "/v2/groups/versions/" + start.String(), "/v2/pods", "/v2/pods/::status", "/v2/deployments", "/v2/tasks", "/v2/tasks?status=running", "/v2/queue"} {
		for user, sees := range map[string][2]bool{"none": {}, "viewer": {true, true}, "owner": {true, false}, "operator": {true, true}} {
			w := askAs(h, user, "GET", path, "")
			body := w.Body.String()
			if got := [2]bool{strings.Contains(body, "/team"), strings.Contains(body, "/other")}; got != sees {
				t.Errorf("%s shows %s of team and other %v: %d %s", path, user, got, w.Code, body)
			}
		}
	}
	req := httptest.NewRequest("GET", "/v2/tasks", nil)
	req.Header.Set("Accept", "text/plain")
	req.Header.Set("X-Actor", "owner")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	if body := w.Body.String(); !strings.Contains(body, "team_web") || strings.Contains(body, "other") {
		t.Errorf("plain tasks: %s", body)
	}
}

// TestRightsGoByWhatIsTouched: ids in bodies, rollbacks, scaling, tasks and force count, not the path (S5).
func TestRightsGoByWhatIsTouched(t *testing.T) {
	app := func(id string) string { return `{"id": "` + id + `", ` + newApp + `}` }
	other, team := "other_web.instance-0ab6b7c1-9a3b-11ea-8d8e-000000000000._app.1", "team_web.instance-0ab6b7c1-9a3b-11ea-8d8e-000000000001._app.1"
	for _, c := range []struct {
		user, method, path, body string
		may                      bool
	}{
		{"owner", "PUT", "/v2/apps", `[` + app("/team/a") + `,` + app("/team/b") + `]`, true},
		{"owner", "PUT", "/v2/apps", `[` + app("/team/a") + `,` + app("/other/b") + `]`, false},
		{"owner", "PATCH", "/v2/apps", `[{"id": "/team/web", "instances": 3}, {"id": "/other/web", "instances": 3}]`, false},
		{"owner", "PATCH", "/v2/apps", `[{"id": "/team/web", "instances": 3}]`, true},
		{"owner", "POST", "/v2/apps", app("/team/../other/c"), false},
		{"owner", "PUT", "/v2/groups/team", `{"id": "/other", "dependencies": []}`, false},
		{"owner", "PUT", "/v2/groups/team", `{"groups": [{"id": "sub", "apps": [` + app("x") + `]}]}`, true},
		{"owner", "PUT", "/v2/groups", `{"id": "/", "groups": [{"id": "/team", "apps": []}]}`, false}, // would remove /other
		{"owner", "PUT", "/v2/groups", `{"id": "/", "dependencies": ["/team"]}`, false},
		{"owner", "POST", "/v2/groups", `{"id": "/fresh", "apps": [` + app("x") + `]}`, false},
		{"owner", "PUT", "/v2/groups", `{"scaleBy": 2}`, false},
		{"operator", "PUT", "/v2/groups", `{"scaleBy": 2}`, true},
		{"owner", "PUT", "/v2/groups/team", `{"scaleBy": 2}`, true},
		{"owner", "POST", "/v2/tasks/delete", `{"ids": ["` + team + `"]}`, true},
		{"owner", "POST", "/v2/tasks/delete", `{"ids": ["` + team + `", "` + other + `"]}`, false},
		{"owner", "POST", "/v2/tasks/delete?scale=true", `{"ids": ["` + other + `"]}`, false},
		{"owner", "PUT", "/v2/apps/team/web?dryRun=true", `{"cmd": "sleep 3"}`, true},
		{"viewer", "PUT", "/v2/apps/team/web?dryRun=true", `{"cmd": "sleep 3"}`, false},
		{"operator", "PUT", "/v2/apps/team/fresh", `{` + newApp + `}`, false}, // may update, not create
		{"operator", "PUT", "/v2/groups/team", `{"apps": []}`, false},         // may update, not delete
		// force is a right of its own
		{"owner", "PUT", "/v2/apps/team/web?force=true", `{"cmd": "sleep 3"}`, false},
		{"mate", "PUT", "/v2/apps/team/web?force=true", `{"cmd": "sleep 3"}`, true},
		{"owner", "DELETE", "/v2/groups/team?force=true", "", false},
		{"owner", "DELETE", "/v2/deployments/dteam?force=true", "", false},
		{"mate", "DELETE", "/v2/deployments/dteam?force=true", "", true},
		{"owner", "POST", "/v2/apps/team/web/restart?force=true", "", false},
	} {
		s, l := stillServer(twoTeams())
		w := askAs(guardedServer(t, s), c.user, c.method, c.path, c.body)
		if c.user == "owner" && w.Code == http.StatusForbidden && strings.Contains(w.Body.String(), "other") {
			t.Errorf("a refusal tells of what its reader may not see: %s", w.Body)
		}
		if got := w.Code < 300; got != c.may || !got && (w.Code != http.StatusForbidden || len(l.asked) > 0) {
			t.Errorf("%s: %s %s %s: %d %s, %d commands", c.user, c.method, c.path, c.body, w.Code, w.Body, len(l.asked))
		}
	}
}

// DELETE of an app is forced unless the client says otherwise (http-api 4.6), but not for whoever may not force.
func TestDefaultForceNeedsTheRight(t *testing.T) { // S5
	for user, forced := range map[string]bool{"owner": false, "mate": true} {
		s, l := stillServer(twoTeams())
		askAs(guardedServer(t, s), user, "DELETE", "/v2/apps/team/web", "")
		if len(l.asked) != 1 || l.asked[0].(machine.UpdateTree).Change.Force != forced {
			t.Errorf("%s: %+v", user, l.asked)
		}
	}
}

// The tree may change between the check of a request and its turn: the rights are judged again on the newer one.
func TestRightsAreJudgedOnTheNewerTree(t *testing.T) { // S5
	s, l := stillServer(twoTeams())
	askAs(guardedServer(t, s), "operator", "PUT", "/v2/apps/team/web", `{"cmd": "sleep 3"}`)
	cmd := l.asked[0].(machine.UpdateTree)
	if _, err := cmd.Rebase(twoTeams().Snapshot(18, 3, start)); err != nil {
		t.Fatal(err)
	}
	var e *core.Error
	if _, err := cmd.Rebase(state.New().Snapshot(18, 3, start)); !errors.As(err, &e) || e.Kind != core.Forbidden { // now it would create the app
		t.Errorf("%v", err)
	}
}

// TestEventsAreFiltered: each subscriber gets the events of what it may view, and learns of its own stream (S5).
func TestEventsAreFiltered(t *testing.T) {
	s, _ := stillServer(twoTeams())
	web := httptest.NewServer(guardedServer(t, s))
	t.Cleanup(func() { s.Close(); web.Close() })
	streams := map[string]*client{}
	for _, user := range []string{"none", "owner", "viewer"} {
		streams[user] = listen(t, web, "", "X-Actor", user)
	}
	if code := streams["none"].res.StatusCode; code != http.StatusForbidden {
		t.Errorf("none: %d", code)
	}
	plan := func(ids ...core.PathID) core.Plan {
		p := core.Plan{ID: "d", Steps: []core.WireStep{{}}}
		for _, id := range ids {
			p.Steps[0].Actions = append(p.Steps[0].Actions, core.WireAction{Action: "ScaleApplication", App: id})
		}
		return p
	}
	s.Publish(18, []core.Notice{
		{Type: "scheduler_registered_event", At: start, Body: core.SchedulerRegistered{Master: "m"}},
		{Type: "app_terminated_event", At: start, Spec: "/other/web", Body: core.AppTerminated{AppID: "/other/web"}},
		{Type: "status_update_event", At: start, Spec: "/team/web", Body: core.StatusUpdated{AppID: "/team/web"}},
		{Type: "group_change_success", At: start, Body: core.GroupChanged{GroupID: "/other"}},
		{Type: "group_change_failed", At: start, Body: core.GroupChanged{GroupID: "/"}}, // holds /team
		{Type: "deployment_info", At: start, Body: core.DeploymentStep{Plan: plan("/other/web")}},
		{Type: "deployment_success", At: start, Body: core.DeploymentEnd{Plan: plan("/other/web", "/team/web")}},
		{Type: "app_terminated_event", At: start, Spec: "/team/web", Body: core.AppTerminated{AppID: "/team/web"}},
		{Type: "pod_deleted_event", At: start, Spec: "/team/pod", Body: core.PodChange{}},
	})
	want := map[string][]string{
		"owner": {"event_stream_attached", "status_update_event", "group_change_failed", "deployment_success", "app_terminated_event", "pod_deleted_event"},
		"viewer": {"event_stream_attached", "scheduler_registered_event", "app_terminated_event", "status_update_event", "group_change_success",
			"group_change_failed", "deployment_info", "deployment_success", "app_terminated_event", "pod_deleted_event"},
	}
	for user, kinds := range want {
		if got, _ := streams[user].until("pod_deleted_event"); !slices.Equal(got, kinds) {
			t.Errorf("%s got %v, want %v", user, got, kinds)
		}
	}
	// A replay is filtered too.
	late := listen(t, web, "", "X-Actor", "owner", "Last-Event-ID", eventID(3, 17, 0))
	if got, _ := late.until("pod_deleted_event"); slices.Contains(got, "scheduler_registered_event") || slices.Contains(got, "group_change_success") {
		t.Errorf("a replay shows %v", got)
	}
}

// TestChangesAreRecorded: every change, refused or not, says what it is about (S8); values of secret keys do not show (S7).
func TestChangesAreRecorded(t *testing.T) {
	rules := testRules(t)
	for _, c := range []struct{ user, method, path, body, id, change, field string }{
		{"admin", "PUT", "/v2/apps/team/web", `{"env": {"A": "b"}}`, "/team/web", "update", "env"},
		{"admin", "POST", "/v2/apps", `{"id": "/team/new", ` + newApp + `}`, "/team/new", "create", "cmd"},
		{"viewer", "PATCH", "/v2/apps", `[{"id": "/other/web", "cmd": "sleep 3"}]`, "", "", ""},                   // refused at the door
		{"owner", "PATCH", "/v2/apps", `[{"id": "/other/web", "cmd": "sleep 3"}]`, "/other/web", "update", "cmd"}, // refused for what it touches
		{"admin", "DELETE", "/v2/apps/team/web", "", "/team/web", "remove", ""},
		{"admin", "POST", "/v2/apps/team/web/restart", "", "/team/web", "restart", ""},
		{"admin", "DELETE", "/v2/apps/team/web/tasks", "", "/team/web", "kill", ""},
		{"admin", "DELETE", "/v2/pods/team/pod::instances/team_pod.instance-0ab6b7c1-9a3b-11ea-8d8e-000000000009", "", "/team/pod", "kill", ""},
		{"admin", "PUT", "/v2/groups/team", `{"dependencies": ["/team/sub"]}`, "/team", "group", "dependencies"},
		{"admin", "PUT", "/v2/apps/team/web?dryRun=true", `{"cmd": "sleep 3"}`, "", "", ""},
	} {
		s, _ := stillServer(twoTeams())
		var record access.Record
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.Handler().ServeHTTP(w, r.WithContext(access.With(r.Context(), rules.Of(c.user), &record)))
		})
		w := askAs(h, c.user, c.method, c.path, c.body)
		entries, _ := record.Taken()
		switch {
		case c.id == "" && len(entries) > 0, c.id != "" && len(entries) != 1:
			t.Errorf("%s %s: %d, entries %+v", c.method, c.path, w.Code, entries)
		case c.id == "":
		case string(entries[0].ID) != c.id || entries[0].Change != c.change:
			t.Errorf("%s %s: %+v", c.method, c.path, entries[0])
		case c.field != "":
			if _, told := entries[0].Diff[c.field]; !told {
				t.Errorf("%s %s: %s is not told: %+v", c.method, c.path, c.field, entries[0])
			}
		}
	}
}

// TestBrowsers: no answer, whatever its status, may be framed, sets a cookie or lets pages of other sites read it unless
// that is configured; the page of /ui/ runs nothing from elsewhere (S10).
func TestBrowsers(t *testing.T) {
	table := Routes()
	for i := range table {
		r := &table[i]
		s, _ := stillServer(twoTeams())
		s.leader = alwaysLeader{make(chan string, 1)}
		for _, user := range []string{"admin", "none"} {
			w := askAs(guardedServer(t, s), user, r.Method, routePath(r, "team"), routeBody(r.Method+" "+r.Pattern, "team"))
			h := w.Header()
			if h.Get("X-Frame-Options") != "DENY" || h.Get("Set-Cookie") != "" || h.Get("Access-Control-Allow-Origin") != "" || h.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s %s by %s: %d %v", r.Method, r.Pattern, user, w.Code, h)
			}
		}
	}
	s, _ := stillServer(twoTeams())
	if p := get(s, "GET", "/ui/", "Origin", "http://evil").Header().Get("Content-Security-Policy"); !strings.Contains(p, "default-src 'none'") || strings.Contains(p, "http") || strings.Contains(p, "*") {
		t.Errorf("policy of the page: %q", p)
	}
}
