package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"stadion/core"
)

// fixture is one file of http-api.md section 16.
type fixture struct {
	Name        string
	Method      string
	Path        string
	Request     json.RawMessage
	RequestText *string `json:"request_text"`
	Setup       []fixtureCall
	Config      map[string]string
	Expect      fixtureExpect
	Then        *struct {
		Path   string
		Expect fixtureExpect
	}
}

type fixtureCall struct {
	Method, Path string
	Request      json.RawMessage
}

type fixtureExpect struct {
	Status     int
	BodySubset any      `json:"body_subset"`
	BodyAbsent []string `json:"body_absent"`
}

// needServer are fixtures about reads, locks and limits, which the server's own tests run.
var needServer = map[string]string{
	"app-313": "DELETE", "app-314": "GET", "app-315": "restart", "app-316": "tasks", "app-317": "tasks", "app-318": "GET",
	"app-319": "routing", "app-320": "deployments", "app-321": "queue", "app-330": "lock", "app-331": "limit",
	"group-019": "GET", "pod-042": "GET", "pod-045": "HEAD", "pod-048": "GET",
}

func TestFixtures(t *testing.T) {
	files, err := filepath.Glob("../testdata/fixtures/*.json")
	if err != nil || len(files) < 250 {
		t.Fatalf("only %d fixtures: %v", len(files), err)
	}
	for _, f := range files {
		base := strings.TrimSuffix(filepath.Base(f), ".json")
		id := base[:strings.Index(base, "-")+4]
		if needServer[id] != "" {
			continue
		}
		t.Run(base, func(t *testing.T) { runFixture(t, f) })
	}
}

func runFixture(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var f fixture
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	srv := &fakeServer{conf: fixtureConfig(f.Config), tree: newTree()}
	for _, s := range f.Setup {
		if status, body := srv.call(s.Method, s.Path, s.Request); status >= 300 {
			t.Fatalf("setup %s %s: %d %s", s.Method, s.Path, status, body)
		}
	}
	body := []byte(f.Request)
	if f.RequestText != nil {
		body = []byte(*f.RequestText)
	}
	status, answer := srv.call(f.Method, f.Path, body)
	checkAnswer(t, f.Expect, status, answer)
	if f.Then != nil {
		status, answer := srv.call("GET", f.Then.Path, nil)
		checkAnswer(t, f.Then.Expect, status, answer)
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

func checkAnswer(t *testing.T, want fixtureExpect, status int, answer []byte) {
	t.Helper()
	if status != want.Status {
		t.Fatalf("status %d, want %d: %s", status, want.Status, answer)
	}
	var got any
	if err := json.Unmarshal(answer, &got); err != nil {
		t.Fatalf("answer %q: %v", answer, err)
	}
	if text := differs(want.BodySubset, got, ""); text != "" {
		t.Errorf("%s\nanswer %s", text, answer)
	}
	for _, p := range want.BodyAbsent {
		if present(got, p) {
			t.Errorf("%s must be absent\nanswer %s", p, answer)
		}
	}
}

// differs explains the first difference between an expected subset and an answer (http-api.md 16).
func differs(want, got any, at string) string {
	switch w := want.(type) {
	case map[string]any:
		return differsObject(w, got, at)
	case []any:
		g, ok := got.([]any)
		if !ok {
			return fmt.Sprintf("%s is %v, want a list", at, got)
		}
		anywhere := strings.HasSuffix(at, ".details") || strings.HasSuffix(at, ".errors") || strings.HasSuffix(at, ".deployments")
		if !anywhere && len(w) != len(g) {
			return fmt.Sprintf("%s has %d elements, want %d", at, len(g), len(w))
		}
		for i, e := range w {
			if anywhere {
				if !containsMatch(g, e, at) {
					return fmt.Sprintf("%s has no %v", at, e)
				}
			} else if text := differs(e, g[i], fmt.Sprintf("%s[%d]", at, i)); text != "" {
				return text
			}
		}
		return ""
	}
	if !reflect.DeepEqual(want, got) {
		return fmt.Sprintf("%s is %v, want %v", at, got, want)
	}
	return ""
}

func containsMatch(list []any, want any, at string) bool {
	for _, g := range list {
		if differs(want, g, at+"[]") == "" {
			return true
		}
	}
	return false
}

func differsObject(w map[string]any, got any, at string) string {
	if text, ok := w["$contains"].(string); ok {
		if s, _ := got.(string); strings.Contains(s, text) {
			return ""
		}
		return fmt.Sprintf("%s is %v, want something with %q", at, got, text)
	}
	if kind, ok := w["$type"].(string); ok {
		if (kind == "string") == (reflect.TypeOf(got) == reflect.TypeFor[string]()) {
			return ""
		}
		return fmt.Sprintf("%s is %v, want a %s", at, got, kind)
	}
	g, ok := got.(map[string]any)
	if !ok {
		return fmt.Sprintf("%s is %v, want an object", at, got)
	}
	for k, v := range w {
		if _, ok := g[k]; !ok {
			return fmt.Sprintf("%s.%s is missing", at, k)
		}
		if text := differs(v, g[k], at+"."+k); text != "" {
			return text
		}
	}
	return ""
}

func present(v any, path string) bool {
	for _, step := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		var n int
		switch x := v.(type) {
		case map[string]any:
			next, ok := x[step]
			if !ok {
				return false
			}
			v = next
		case []any:
			if _, err := fmt.Sscan(step, &n); err != nil || n >= len(x) {
				return false
			}
			v = x[n]
		default:
			return false
		}
	}
	return true
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
