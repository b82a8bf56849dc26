package marathonapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"stadion/core/machine"
)

// fixture is one file of http-api.md section 16.
type fixture struct {
	Name        string
	Method      string
	Path        string
	Request     json.RawMessage
	RequestText *string `json:"request_text"`
	Setup       []struct {
		Method, Path string
		Request      json.RawMessage
	}
	Config map[string]string
	Expect fixtureExpect
	Then   *struct {
		Method, Path string
		Expect       fixtureExpect
	}
}

type fixtureExpect struct {
	Status         int
	BodySubset     any      `json:"body_subset"`
	BodyAbsent     []string `json:"body_absent"`
	HeadersPresent []string `json:"headers_present"`
}

// TestFixtures runs every fixture against the real router, machine and loop (http-api.md 16).
func TestFixtures(t *testing.T) {
	files, err := filepath.Glob("testdata/fixtures/*.json")
	if err != nil || len(files) < 250 {
		t.Fatalf("only %d fixtures: %v", len(files), err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".json"), func(t *testing.T) { runFixture(t, f) })
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
	r := newRig(t, fixtureConfig(f.Config), func(c *machine.Config) {
		if n, err := strconv.Atoi(f.Config["max_running_deployments"]); err == nil {
			c.MaxRunningDeployments = n
		}
	})
	for _, s := range f.Setup {
		if got := r.do(s.Method, s.Path, string(s.Request)); got.StatusCode >= 300 {
			t.Fatalf("setup %s %s: %d %s", s.Method, s.Path, got.StatusCode, got.body)
		}
	}
	body, header := string(f.Request), []string{"Content-Type", "application/json"}
	if f.RequestText != nil {
		body = *f.RequestText
	}
	checkFixture(t, f.Expect, r.do(f.Method, f.Path, body, header...))
	if f.Then != nil {
		checkFixture(t, f.Then.Expect, r.do(f.Then.Method, f.Then.Path, ""))
	}
}

func checkFixture(t *testing.T, want fixtureExpect, got reply) {
	t.Helper()
	if got.StatusCode != want.Status {
		t.Fatalf("status %d, want %d: %s", got.StatusCode, want.Status, got.body)
	}
	for _, h := range want.HeadersPresent {
		if got.Header.Get(h) == "" {
			t.Errorf("header %s is missing", h)
		}
	}
	if got.Request.Method == http.MethodHead {
		if got.body != "" {
			t.Errorf("HEAD has the body %q", got.body)
		}
		return
	}
	v := got.json(t)
	if text := differs(want.BodySubset, v, ""); want.BodySubset != nil && text != "" {
		t.Errorf("%s\nanswer %s", text, got.body)
	}
	for _, p := range want.BodyAbsent {
		if present(v, p) {
			t.Errorf("%s must be absent\nanswer %s", p, got.body)
		}
	}
}

// anyOrder are the lists of which every wanted element must be found somewhere.
var anyOrder = []string{".details", ".errors", ".deployments"}

// differs explains the first difference between an expected subset and an answer, empty without.
func differs(want, got any, at string) string {
	switch w := want.(type) {
	case map[string]any:
		return differsObject(w, got, at)
	case []any:
		g, ok := got.([]any)
		if !ok {
			return fmt.Sprintf("%s is %v, want a list", at, got)
		}
		loose := false
		for _, s := range anyOrder {
			loose = loose || strings.HasSuffix(at, s)
		}
		if !loose && len(w) != len(g) {
			return fmt.Sprintf("%s has %d elements, want %d", at, len(g), len(w))
		}
		for i, e := range w {
			if loose {
				if !some(g, e, at) {
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

func some(list []any, want any, at string) bool {
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
		if kind == jsonType(got) {
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

func jsonType(v any) string {
	switch v.(type) {
	case string:
		return "string"
	case float64:
		return "number"
	case bool:
		return "boolean"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	}
	return "null"
}

// present reports whether a dotted path exists; [n] selects an element.
func present(v any, path string) bool {
	for _, step := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		switch x := v.(type) {
		case map[string]any:
			next, ok := x[step]
			if !ok {
				return false
			}
			v = next
		case []any:
			n, err := strconv.Atoi(step)
			if err != nil || n >= len(x) {
				return false
			}
			v = x[n]
		default:
			return false
		}
	}
	return true
}
