package marathonapi

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// TestBuiltinUI: / and /ui end at a page over HTTP, not in a loop (http-api.md 3.1); what is not there is a 404.
func TestBuiltinUI(t *testing.T) {
	r := newRig(t, Config{}, nil)
	for _, path := range []string{"/", "/ui", "/ui/", "/ui/index.html"} {
		res, err := r.web.Client().Get(r.web.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") || !strings.Contains(string(body), "<title>Stadion</title>") {
			t.Errorf("%s: %d %v %v", path, res.StatusCode, res.Header, err)
		}
	}
	if res := r.do("GET", "/ui", ""); res.StatusCode != 302 || res.Header.Get("Location") != "/ui/" {
		t.Errorf("/ui: %d %v", res.StatusCode, res.Header)
	}
	for _, path := range []string{"/ui/x.js", "/api-console/index.html", "/public/api/v2/apps.raml"} {
		if res := r.do("GET", path, ""); res.StatusCode != 404 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
}

// TestBuiltinUIAsksWhatIs: the page loads nothing from elsewhere, and every path it asks for is a route.
func TestBuiltinUIAsksWhatIs(t *testing.T) {
	page := string(builtinUI)
	if m := regexp.MustCompile(`(src|href)\s*=|https?://|@import|innerHTML`).FindString(strings.ReplaceAll(page, "location.href", "")); m != "" {
		t.Errorf("the page has %q", m)
	}
	paths := regexp.MustCompile(`"(v2/[^"?]+)`).FindAllStringSubmatch(page, -1)
	if len(paths) < 5 {
		t.Fatalf("paths %v", paths)
	}
	rt := newRouter(Routes())
	for _, p := range paths {
		if route, _, _ := rt.find("GET", "/"+p[1]); route == nil {
			t.Errorf("%s is no route", p[1])
		}
	}
}

// TestOwnUI: a configured UI takes the built-in one's place, also at /ui/.
func TestOwnUI(t *testing.T) {
	own := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "own "+r.URL.Path) })
	r := newRig(t, Config{UI: own}, nil)
	for _, path := range []string{"/ui/", "/ui/a/b.js", "/public/x", "/api-console/index.html"} {
		if res := r.must(200, "GET", path, ""); res.body != "own "+path {
			t.Errorf("%s: %s", path, res.body)
		}
	}
}
