package marathonapi

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"stadion/core/state"
)

// TestRouting pins the rules of http-api.md 1.7, 1.9 and 18 on paths, methods and content types.
func TestRouting(t *testing.T) {
	s, _ := stillServer(filled(1, 1))
	for _, c := range []struct {
		method, path string
		header       string // name=value
		status       int
		body         string // the answer contains it
	}{
		{"GET", "/v2/apps/", "", 200, `{"apps":[`},
		{"GET", "/v2/apps//group-0/app-0", "", 200, `{"app":{"id":"/group-0/app-0"`},
		{"GET", "/v2/apps/%2Fgroup-0%2Fapp-0", "", 200, `{"app":{"id":"/group-0/app-0"`},
		{"GET", "/v2/apps/group-0/app-0/", "", 200, `{"app":`},
		{"HEAD", "/v2/apps/group-0/app-0", "", 200, ``},
		{"GET", "/v2/apps//group-0/app-0/tasks", "", 200, `{"tasks":[{`},
		{"GET", "/v2/apps//group-0/*/tasks", "", 200, `{"tasks":[{`},
		{"GET", "/v2/apps/group-0/app-0/versions", "", 200, `{"versions":["2020-05-07T09:00:00.000Z"]}`},
		{"GET", "/v2/apps/group-0/app-0/versions/2020-05-07T09:00:00.000Z", "", 200, `{"id":"/group-0/app-0"`},
		{"GET", "/v2/apps/group-0/app-0/versions/2019-05-07T09:00:00.000Z", "", 404, `in version 2019`},
		{"GET", "/v2/apps/group-0/app-0/versions/soon", "", 422, `Invalid timestamp provided 'soon'.`},
		{"GET", "/v2/apps/UPPER", "", 404, `App '/UPPER' does not exist`},
		{"GET", "/v2/apps/../../x", "", 404, `does not exist`},
		{"DELETE", "/v2/apps/group-0/app-0/restart", "", 404, `{"message":"App '/group-0/app-0/restart' does not exist"}`},
		{"PUT", "/v2/apps/group-0/app-0/tasks", "", 405, `{"message":"Method Not Allowed"}`},
		{"POST", "/v2/info", "", 405, `{"message":"Method Not Allowed"}`},
		{"GET", "/v2/Apps", "", 404, `{"message":"URI not found"}`},
		{"GET", "/v2/schemas", "", 404, `{"message":"URI not found"}`},
		{"GET", "/v2/apps", "Accept=text/csv", 406, `{"message":"Not Acceptable"}`},
		{"GET", "/v2/apps", "Accept=text/html;q=0.9, */*;q=0.1", 200, `{"apps":[`},
		{"GET", "/v2/apps", "Accept=", 200, `{"apps":[`}, // an empty line says nothing
		{"GET", "/v2/apps?cmd=50%", "", 400, `{"message":"The query cannot be read: invalid URL escape \"%\""}`},
		{"GET", "/v2/apps?embed=%zz", "", 400, `{"message":"The query cannot be read`},
		{"GET", "/v2/apps?id=x;y", "", 200, `{"apps":[]}`}, // a semicolon is a character like others
		{"GET", "/v2/apps?label=x;y", "", 422, `Can not parse label selector x;y.`},
		{"OPTIONS", "/v2/leader", "", 200, ``},
		{"GET", "/v2/groups/apps", "", 200, `[{"id":"/group-0/app-0"`},
		{"GET", "/v2/groups//group-0/apps", "", 200, `[{"id":"/group-0/app-0"`},
		{"GET", "/v2/pods/::status", "", 200, `[]`},
		{"GET", "/v2/pods/x%3A%3Astatus", "", 404, `Pod '/x' does not exist`},
		{"GET", "/v2/plugins/a/b/c", "", 404, `No plugin with this pluginId: a`},
		{"GET", "/ping", "", 200, `pong`},
		{"GET", "/ping", "Accept=application/json", 200, `"pong"`},
		{"GET", "/ping", "Accept=image/png", 204, ``},
		{"GET", "/", "", 302, ``},
		{"GET", "/metrics", "", 200, `"version":"4.0.0"`},
		{"GET", "/metrics/prometheus", "", 200, "# TYPE marathon_apps_active_gauge gauge\nmarathon_apps_active_gauge 1\n"},
		{"GET", "/v2/info", "", 200, `"frameworkId":null`},
		{"GET", "/v2/leader", "", 200, `{"leader":"127.0.0.1:8080"}`},
		{"GET", "/v2/queue", "", 200, `{"queue":[]}`},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			name, value, _ := strings.Cut(c.header, "=")
			w := get(s, c.method, c.path, name, value)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.body) {
				t.Errorf("%d %s, want %d with %s", w.Code, w.Body, c.status, c.body)
			}
			if w.Header().Get("X-Marathon-Leader") != "http://127.0.0.1:8080" || w.Header().Get("Pragma") != "no-cache" {
				t.Errorf("headers %v", w.Header())
			}
		})
	}
}

// quiet has one logger, whose level nothing depends on.
type quiet struct{}

func (quiet) Levels() map[string]string                    { return map[string]string{"ROOT": "info"} }
func (quiet) SetLevel(string, string, time.Duration) error { return nil }

// TestBodies: content types and sizes of request bodies (http-api.md 1.9, 1.14).
func TestBodies(t *testing.T) {
	r := newRig(t, Config{MaxBody: 1000}, nil)
	r.Server.logging = quiet{}
	const app = `{"id":"/a","cmd":"sleep 1"}`
	r.must(415, "POST", "/v2/apps", app, "Content-Type", "application/x-www-form-urlencoded")
	r.must(201, "POST", "/v2/apps", app, "Content-Type", "application/json; charset=utf-8")
	r.must(200, "PUT", "/v2/groups/g", `{"apps":[]}`, "Content-Type", "application/x-www-form-urlencoded")
	r.must(413, "POST", "/v2/apps", `{"id":"/b","cmd":"`+strings.Repeat("x", 1000)+`"}`)
	// Text that is no UTF-8 would be stored as something else.
	for _, call := range [][2]string{{"POST", "/v2/apps"}, {"PUT", "/v2/apps/a"}, {"PUT", "/v2/groups/g"}, {"POST", "/v2/tasks/delete"}} {
		if body := r.must(400, call[0], call[1], "{\"id\":\"/u\",\"cmd\":\"caf\xe9 1\"}").body; !strings.Contains(body, `"details":"invalid UTF-8 at offset 21"`) {
			t.Errorf("%s %s: %s", call[0], call[1], body)
		}
	}
	for body, want := range map[string]string{ // small bodies say where and which field, like all others
		`{"logger":`:                  `400 {"message":"Invalid JSON","details":"unexpected end-of-input at offset`,
		`{"logger":7,"level":"info"}`: `422 {"message":"Invalid JSON","details":[{"path":"/logger","errors":["error.expected.jsstring"]}]}`,
		`{"logger":"ROOT","level":"info","durationSeconds":"1"}`: `422 {"message":"Invalid JSON","details":[{"path":"/durationSeconds","errors":["error.expected.jsnumber"]}]}`,
		`{"logger":"ROOT","level":"info","durationSeconds":-1}`:  `422 {"message":"Invalid JSON","details":[{"path":"/durationSeconds","errors":["error.min"]}]}`,
		`{"level":"info"}`: `422 {"message":"Object is not valid","details":[{"path":"/logger"`,
		`[]`:               `422 {"message":"Invalid JSON","details":[{"path":"/","errors":["error.expected.jsobject"]}]}`,
	} {
		got := r.do("POST", "/logging", body)
		if text := fmt.Sprint(got.StatusCode, " ", got.body); !strings.HasPrefix(text, want) {
			t.Errorf("POST /logging %s: %s, want %s", body, text, want)
		}
	}
	req, err := http.NewRequest("POST", r.web.URL+"/v2/apps", struct{ *strings.Reader }{strings.NewReader(`{"id":"/c","cmd":"` + strings.Repeat("x", 2000) + `"}`)})
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 413 {
		t.Errorf("chunked body: %d", res.StatusCode)
	}
	if got := r.must(400, "POST", "/v2/apps", `{`); !strings.Contains(got.body, `"details":"`) {
		t.Errorf("details of malformed JSON: %s", got.body)
	}
}

// TestGate: CORS, compression and the bound on requests at once (http-api.md 1.2, 1.4, 1.5, 18).
func TestGate(t *testing.T) {
	l := &still{snap: state.New().Snapshot(1, 1, start)}
	s := New(Config{AllowOrigins: []string{"http://a", "http://b"}}, Deps{Loop: l, Leadership: alwaysLeader{}})
	call := func(origin, encoding string) *httptest.ResponseRecorder {
		req := httptest.NewRequest("GET", "/v2/apps", nil)
		req.Header.Set("Origin", origin)
		req.Header.Set("Accept-Encoding", encoding)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, req)
		return w
	}
	if w := call("http://a", ""); w.Code != 200 || w.Header().Get("Access-Control-Allow-Origin") != "http://a" {
		t.Errorf("origin a: %d %v", w.Code, w.Header())
	}
	if w := call("http://c", ""); w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("foreign origin: %v", w.Header())
	}
	l.snap = filled(2, 0).Snapshot(1, 1, start)
	if w := call("", "gzip"); w.Header().Get("Content-Encoding") != "gzip" {
		t.Errorf("compression: %v", w.Header())
	}
}

func TestConcurrencyLimit(t *testing.T) {
	l := &still{snap: state.New().Snapshot(1, 1, start)}
	s := New(Config{MaxConcurrent: 1}, Deps{Loop: l, Leadership: alwaysLeader{}})
	body, client := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/v2/groups", body))
	}()
	if _, err := io.WriteString(client, "{"); err != nil { // taken by the handler: it is at work now
		t.Fatal(err)
	}
	w := get(s, "GET", "/v2/apps")
	if w.Code != 503 || w.Body.String() != "Too many concurrent requests! Allowed: 1." {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	<-done
	if w := get(s, "GET", "/v2/apps"); w.Code != 200 {
		t.Errorf("afterwards: %d %s", w.Code, w.Body)
	}
}

// TestSelectors (http-api.md 4.3).
func TestSelectors(t *testing.T) {
	labels := map[string]string{"env": "prod,eu", "tier": "web"}
	for text, want := range map[string]bool{
		"": true, "env": true, "none": false, "tier==web": true, " tier == web ": true, "tier!=web": false, "tier!=db": true,
		"none!=x": false, "none notin (x)": false, `env in (prod\,eu, dev)`: true, "tier notin (a, b)": true, "tier in (a)": false,
		"tier in ()": false, "tier notin ()": true, "tier==web,env": true, "tier==web, none": false,
	} {
		sel, err := parseSelector(text)
		if err != nil || sel.matches(labels) != want {
			t.Errorf("%q: %v, %v", text, sel, err)
		}
	}
	for _, text := range []string{"a b", "a==", "a in b", "a in (", "a in (b,)", "a,", ",a", "a=b", "foo some (one)", strings.Repeat("a", maxSelector+1)} {
		if _, err := parseSelector(text); err == nil || !strings.HasPrefix(err.Error(), "Can not parse label selector") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestFilters: list filters combine with "and" (http-api.md 4.2).
func TestFilters(t *testing.T) {
	s, _ := stillServer(filled(3, 0))
	for query, want := range map[string]int{"": 3, "?id=APP-1": 1, "?cmd=SLEEP": 3, "?cmd=sleep&id=app-2": 1, "?label=env==prod": 3, "?label=env==x": 0, "?id=": 3} {
		if n := strings.Count(get(s, "GET", "/v2/apps"+query).Body.String(), `"backoffFactor"`); n != want {
			t.Errorf("%q: %d apps, want %d", query, n, want)
		}
	}
}

// TestAbdication answers before it leaves (http-api.md 10.2).
func TestAbdication(t *testing.T) {
	r := newRig(t, Config{}, nil)
	r.must(422, "DELETE", "/v2/leader?backup=ftp://x", "")
	r.must(422, "DELETE", "/v2/leader?restore=file://elsewhere/x", "") // the leader that is next could not read it
	if got := r.must(200, "DELETE", "/v2/leader?backup=file:///x", ""); got.body != `{"details":[],"message":"Leadership abdicated"}` {
		t.Errorf("answer %s", got.body)
	}
	if uri := <-r.lead.left; uri != "file:///x" {
		t.Errorf("backup %s", uri)
	}
}

// TestReadYourWrites (R11): every answer is visible at once, deployments included (http-api.md 4.5, 8.5).
func TestReadYourWrites(t *testing.T) {
	r := newRig(t, Config{}, nil)
	got := r.must(201, "POST", "/v2/apps", `{"id":"/a","cmd":"sleep 1"}`)
	id := got.Header.Get("Marathon-Deployment-Id")
	if id == "" || !strings.HasSuffix(got.Header.Get("Location"), "/a") {
		t.Errorf("headers %v", got.Header)
	}
	if list := r.must(200, "GET", "/v2/deployments", ""); !strings.Contains(list.body, id) {
		t.Errorf("deployment %s is not in %s", id, list.body)
	}
	if q := r.must(200, "GET", "/v2/queue", ""); !strings.Contains(q.body, `"count":1`) || strings.Count(q.body, "DeclinedScarceResources") != 2 {
		t.Errorf("queue %s", q.body)
	}
	r.must(204, "DELETE", "/v2/queue//a/delay", "")
	if got := r.must(409, "PUT", "/v2/apps/a", `{"cmd":"sleep 2"}`); !strings.Contains(got.body, `"deployments":[{"id":"`+id+`"}]`) {
		t.Errorf("lock %s", got.body)
	}
	r.must(202, "DELETE", "/v2/deployments/"+id+"?force=true", "")
	r.must(200, "PUT", "/v2/apps/a", `{"cmd":"sleep 2"}`)
	r.must(200, "DELETE", "/v2/apps/a", "")
}
