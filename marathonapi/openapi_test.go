package marathonapi

import (
	"bytes"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// apiSchemas compiles the schemas of the document once.
var apiSchemas = sync.OnceValues(func() (*jsonschema.Compiler, error) {
	text, err := document()
	if err != nil {
		return nil, err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	return c, c.AddResource("openapi.json", doc)
})

var compiled sync.Map // JSON pointer → *jsonschema.Schema

// conform holds a request of the test suite that was accepted, and its answer, against the document: path, method and
// status must stand there, and both bodies must be as described.
func conform(t *testing.T, method, path, sent string, res reply) {
	t.Helper()
	path, _, _ = strings.Cut(path, "?")
	route, _, _ := newRouter(Routes()).find(method, path)
	if route != nil && res.StatusCode < 300 && sent != "" {
		if _, described := bodyOf[method+" "+route.Pattern]; described {
			open, _ := openPath(*route)
			validate(t, "the request "+method+" "+path, "#/paths/"+escapePointer(open)+"/"+strings.ToLower(method)+"/requestBody/content/application~1json/schema", sent)
		}
	}
	if route == nil || method == http.MethodHead || !strings.HasPrefix(res.Header.Get("Content-Type"), typeJSON) || res.body == "" {
		return
	}
	open, _ := openPath(*route)
	status := itoa(res.StatusCode)
	if res.StatusCode >= 400 {
		status = "default"
	} else if _, described := answerOf[method+" "+route.Pattern]; !described {
		return
	}
	validate(t, "the answer to "+method+" "+path+" ("+itoa(res.StatusCode)+")",
		"#/paths/"+escapePointer(open)+"/"+strings.ToLower(method)+"/responses/"+status+"/content/application~1json/schema", res.body)
}

// validate holds a JSON text against the schema at a place of the document.
func validate(t *testing.T, what, pointer, text string) {
	t.Helper()
	at := "openapi.json" + pointer
	s, ok := compiled.Load(at)
	if !ok {
		c, err := apiSchemas()
		if err != nil {
			t.Fatal(err)
		}
		fresh, err := c.Compile(at)
		if err != nil {
			t.Fatalf("%s is not in the OpenAPI document: %v", what, err)
		}
		s, _ = compiled.LoadOrStore(at, fresh)
	}
	body, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	if err := s.(*jsonschema.Schema).Validate(body); err != nil {
		t.Errorf("%s is not as the OpenAPI document says: %v\n%s", what, err, text)
	}
}

func escapePointer(s string) string {
	return strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(s)
}

// TestOpenAPI: the document is a schema that compiles, names every route of the table, and is served.
func TestOpenAPI(t *testing.T) {
	r := newRig(t, Config{}, nil)
	got := r.do("GET", "/v2/openapi.json", "")
	if got.StatusCode != http.StatusOK || !strings.Contains(got.body, `"openapi": "3.1.0"`) {
		t.Fatalf("%d %.200s", got.StatusCode, got.body)
	}
	for _, table := range []map[string]object{answerOf, bodyOf} {
		for key := range table {
			method, pattern, _ := strings.Cut(key, " ")
			found := false
			for _, route := range Routes() {
				found = found || route.Method == method && route.Pattern == pattern
			}
			if !found {
				t.Errorf("%s is described but no route", key)
			}
		}
	}
	c, err := apiSchemas()
	if err != nil {
		t.Fatal(err)
	}
	for name := range schemas() {
		if _, err := c.Compile("openapi.json#/components/schemas/" + name); err != nil {
			t.Errorf("schema %s: %v", name, err)
		}
	}
}
