package wire

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"stadion/core"
	"stadion/marathonapi/internal/fixture"
)

// needServer are fixtures about reads, locks and limits, which the server's own tests run.
var needServer = map[string]string{
	"app-313": "DELETE", "app-314": "GET", "app-315": "restart", "app-316": "tasks", "app-317": "tasks", "app-318": "GET",
	"app-319": "routing", "app-320": "deployments", "app-321": "queue", "app-330": "lock", "app-331": "limit",
	"group-019": "GET", "pod-042": "GET", "pod-045": "HEAD", "pod-048": "GET",
}

func TestFixtures(t *testing.T) {
	all, err := fixture.Load("../testdata")
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range all {
		server := f.Server
		for id := range needServer {
			server = server || strings.HasPrefix(name, id)
		}
		if !server {
			t.Run(name, func(t *testing.T) { runFixture(t, f) })
		}
	}
}

func runFixture(t *testing.T, f *fixture.Fixture) {
	srv := &fakeServer{conf: fixtureConfig(f.Config), tree: newTree()}
	for _, s := range f.Setup {
		if status, body := srv.call(s.Method, s.Path, s.Request); status >= 300 {
			t.Fatalf("setup %s %s: %d %s", s.Method, s.Path, status, body)
		}
	}
	if text := f.Expect.Check(srv.call(f.Method, f.Path, []byte(f.Body()))); text != "" {
		t.Fatal(text)
	}
	if f.Then != nil {
		if text := f.Then.Expect.Check(srv.call(f.Then.Method, f.Then.Path, f.Then.Request)); text != "" {
			t.Error(text)
		}
	}
}

func fixtureConfig(m map[string]string) *Config {
	c := &Config{MesosRole: m["mesos_role"], DefaultNetworkName: m["default_network_name"], Features: map[string]bool{},
		NewGroupEnforceRole: m["new_group_enforce_role"] == "top"}
	for _, f := range strings.Split(m["enable_features"], ",") {
		c.Features[f] = true
	}
	return c
}

// errorAnswer is what the API makes of an error (http-api.md 1.14).
func errorAnswer(err error) (int, []byte) {
	var e *core.Error
	if !errors.As(err, &e) {
		return 500, []byte(`{"message":"` + err.Error() + `"}`)
	}
	body := map[string]any{"message": e.Message}
	if e.DetailText != "" {
		body["details"] = e.DetailText
	} else if e.Details != nil {
		body["details"] = e.Details
	}
	text, _ := json.Marshal(body)
	return map[core.ErrorKind]int{core.BadRequest: 400, core.Invalid: 422, core.NotFound: 404, core.Conflict: 409}[e.Kind], text
}
