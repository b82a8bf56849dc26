package proxies

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

const limit = 2 * time.Minute

func TestMain(m *testing.M) { harness.Main(m) }

// web is a service whose proxies want to know everything about it.
func web(id string, instances int) map[string]any {
	return map[string]any{"id": id, "cmd": "exec python3 -m http.server $PORT0", "cpus": 0.1, "mem": 32, "instances": instances,
		"labels":          map[string]string{"HAPROXY_GROUP": "external", "HAPROXY_0_VHOST": "web.example.com"},
		"portDefinitions": []any{map[string]any{"port": 0, "name": "http", "protocol": "tcp", "labels": map[string]string{"VIP_0": "/web:80"}}},
		"healthChecks": []any{map[string]any{"protocol": "HTTP", "path": "/", "portIndex": 0, "gracePeriodSeconds": 120, "intervalSeconds": 1,
			"timeoutSeconds": 30, "maxConsecutiveFailures": 5}},
		"readinessChecks": []any{map[string]any{"name": "up", "portName": "http", "path": "/", "intervalSeconds": 2, "timeoutSeconds": 1}}}
}

// at walks into decoded JSON by field names and indexes, as scripts do; nil where
// nothing is.
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

// deploy creates an app and waits for the end of its deployment, as scripts do.
func deploy(t *testing.T, api *harness.API, app map[string]any) {
	t.Helper()
	id := at(api.Must("PUT", "/v2/apps/"+app["id"].(string), app, http.StatusCreated).JSON(), "deploymentId")
	harness.Await(t, limit, fmt.Sprint("the deployment ", id, " disappears"), func() (bool, string) {
		body := string(api.Must("GET", "/v2/deployments", nil).Body)
		return !strings.Contains(body, id.(string)), body
	})
}

// TestReads deploys one service and reads it in the ways of section 15.
func TestReads(t *testing.T) {
	t.Parallel()
	srv := harness.Dev(t)
	deploy(t, srv.API, web("/prod/web", 2))
	for name, read := range map[string]func(*testing.T, *harness.API){
		"marathon-lb": marathonLB, "traefik": traefik, "prometheus": prometheus, "marathon-ui": marathonUI, "plain text": plainText, "gzip": compressed, "HEAD": head,
	} {
		t.Run(name, func(t *testing.T) { read(t, harness.NewAPI(t, srv.URL)) })
	}
	srv.Must("DELETE", "/v2/groups/prod?force=true", nil)
	harness.NoneLeft(t, srv.Dir, limit)
}

// has wants a value at a path, of the kind of the example.
func has[V any](t *testing.T, v any, path ...any) V {
	t.Helper()
	out, ok := at(v, path...).(V)
	if !ok {
		t.Errorf("%v is %v (%T), want a %T", path, at(v, path...), at(v, path...), out)
	}
	return out
}

func marathonLB(t *testing.T, api *harness.API) {
	for _, path := range []string{"/v2/apps?embed=apps.tasks", "/v2/apps/?embed=apps.tasks"} {
		app := at(api.Must("GET", path, nil).JSON(), "apps", 0)
		has[map[string]any](t, app, "labels")
		if id := has[string](t, app, "id"); id != "/prod/web" {
			t.Errorf("id %s", id)
		}
		has[string](t, app, "versionInfo", "lastScalingAt")
		for _, field := range []string{"timeoutSeconds", "intervalSeconds", "gracePeriodSeconds", "maxConsecutiveFailures"} {
			has[float64](t, app, "healthChecks", 0, field)
		}
		has[string](t, app, "healthChecks", 0, "protocol")
		if n := len(has[[]any](t, app, "tasks")); n != 2 {
			t.Errorf("%d tasks", n)
		}
		for n := range 2 {
			has[string](t, app, "tasks", n, "host")
			if alive := has[bool](t, app, "tasks", n, "healthCheckResults", 0, "alive"); !alive {
				t.Error("a deployed task is not alive")
			}
			if state := has[string](t, app, "tasks", n, "state"); state != "TASK_RUNNING" {
				t.Errorf("state %s", state)
			}
		}
	}
	if id := at(api.Must("GET", "/v2/apps//prod/web", nil).JSON(), "app", "id"); id != "/prod/web" {
		t.Errorf("a double slash leads to %v", id)
	}
	if n := len(has[[]any](t, api.Must("GET", "/v2/apps//prod/*", nil).JSON(), "*")); n != 1 {
		t.Errorf("%d apps below /prod", n)
	}
}

func traefik(t *testing.T, api *harness.API) {
	app := at(api.Must("GET", "/v2/apps?embed=apps.tasks&embed=apps.deployments&embed=apps.readiness", nil).JSON(), "apps", 0)
	if mode := has[string](t, app, "networks", 0, "mode"); mode != "host" {
		t.Errorf("mode %s", mode)
	}
	if port := has[float64](t, app, "portDefinitions", 0, "port"); port < 10000 || port > 20000 {
		t.Errorf("service port %v", port)
	}
	has[float64](t, app, "tasks", 0, "ports", 0)
	has[[]any](t, app, "tasks", 0, "ipAddresses")
	has[[]any](t, app, "readinessCheckResults")
	if n := len(has[[]any](t, app, "deployments")); n != 0 {
		t.Errorf("%d deployments", n)
	}
}

func prometheus(t *testing.T, api *harness.API) {
	app := at(api.Must("GET", "/v2/apps/?embed=apps.tasks", nil).JSON(), "apps", 0)
	if vip := has[string](t, app, "portDefinitions", 0, "labels", "VIP_0"); vip != "/web:80" {
		t.Errorf("label %s", vip)
	}
	if at(app, "container") != nil {
		t.Error("an app without a container shows one")
	}
	if at(app, "requirePorts") != false {
		t.Errorf("requirePorts is %v", at(app, "requirePorts"))
	}
}

func marathonUI(t *testing.T, api *harness.API) {
	root := api.Must("GET", "/v2/groups?embed=group.groups&embed=group.apps&embed=group.pods&embed=group.apps.deployments&embed=group.apps.counts&embed=group.apps.readiness", nil).JSON()
	app := at(root, "groups", 0, "apps", 0)
	if has[float64](t, app, "tasksHealthy") != 2 || has[float64](t, app, "tasksRunning") != 2 || has[float64](t, app, "tasksUnhealthy") != 0 {
		t.Errorf("counts of %v", app)
	}
	has[[]any](t, root, "groups", 0, "pods")
	has[[]any](t, app, "deployments")
	one := at(api.Must("GET", "/v2/apps//prod/web?embed=app.taskStats&embed=app.readiness", nil).JSON(), "app")
	if n := has[float64](t, one, "tasksStats", "totalSummary", "stats", "counts", "healthy"); n != 2 {
		t.Errorf("%v healthy tasks in the statistics", n)
	}
	has[float64](t, one, "tasksStats", "withLatestConfig", "stats", "lifeTime", "averageSeconds")
	for path, key := range map[string]string{"/v2/plugins": "plugins", "/v2/queue": "queue", "/v2/info": "marathon_config", "/v2/apps//prod/web/versions": "versions"} {
		if at(api.Must("GET", path, nil).JSON(), key) == nil {
			t.Errorf("%s has no %s", path, key)
		}
	}
	if res := api.Do("GET", "/", nil); res.Status != http.StatusFound || !strings.HasSuffix(res.Header.Get("Location"), "/ui/") {
		t.Errorf("/ answers %d %s", res.Status, res.Header.Get("Location"))
	}
}

// get asks with one header and without the transport's own compression.
func get(t *testing.T, method, url, name, value string) *http.Response {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(name, value)
	res, err := (&http.Transport{DisableCompression: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

var plainLine = regexp.MustCompile(`^prod_web\t1[0-9]{4}\t127\.0\.0\.1:2[0-9]{4}\t127\.0\.0\.1:2[0-9]{4}\t\n$`)

func plainText(t *testing.T, api *harness.API) {
	for _, path := range []string{"/v2/tasks", "/v2/apps/prod/web/tasks"} {
		res := get(t, "GET", api.URL+path, "Accept", "text/plain")
		text, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK || !plainLine.Match(text) {
			t.Errorf("%s: %d %q %v", path, res.StatusCode, text, err)
		}
	}
}

func compressed(t *testing.T, api *harness.API) {
	res := get(t, "GET", api.URL+"/v2/apps", "Accept-Encoding", "gzip")
	if got := res.Header.Get("Content-Encoding"); got != "gzip" {
		t.Errorf("content encoding %q", got)
	}
}

func head(t *testing.T, api *harness.API) {
	for _, path := range []string{"/v2/apps", "/v2/pods", "/v2/info", "/ping"} {
		res := get(t, "HEAD", api.URL+path, "Accept", "*/*")
		text := make([]byte, 1)
		if n, _ := res.Body.Read(text); res.StatusCode != http.StatusOK || n != 0 {
			t.Errorf("HEAD %s: %d and a body of %d bytes", path, res.StatusCode, n)
		}
	}
}
