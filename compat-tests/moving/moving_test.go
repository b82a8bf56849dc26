package moving

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

const limit = 60 * time.Second

func TestMain(m *testing.M) { harness.Main(m) }

// commands are the blocks of a part of the guide, in order. Some stand indented in a list.
func commands(t *testing.T, part string) (out []string) {
	t.Helper()
	guide, err := os.ReadFile(filepath.Join("..", "..", "cmd", "stadion", "packaging", "MOVING.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(guide), "\n# "+part)
	if !found {
		t.Fatalf("the guide has no part %q", part)
	}
	text, _, _ = strings.Cut(text, "\n# ")
	for _, block := range regexp.MustCompile("(?ms)^( *)```[a-z]*\n(.*?)^ *```$").FindAllStringSubmatch(text, -1) {
		out = append(out, strings.ReplaceAll("\n"+block[2], "\n"+block[1], "\n")[1:])
	}
	return out
}

// move is a move in a directory of its own.
type move struct {
	*testing.T
	dir      string
	blocks   []string // not yet run
	old, new *harness.API
	env      []string          // of the shell
	hosts    map[string]string // what stands for the addresses in the guide besides Marathon's and Stadion's
}

// here puts this machine's addresses in place of the guide's.
func (m *move) here(block string) string {
	for there, here := range m.hosts {
		block = strings.ReplaceAll(block, there, here)
	}
	return strings.NewReplacer("http://marathon:8080", m.old.URL, "http://stadion:8080", m.new.URL).Replace(block)
}

func (m *move) noneLeft() {
	m.Helper()
	for _, block := range m.blocks {
		m.Errorf("not tried: %s", block)
	}
}

func needPrograms(t *testing.T) {
	t.Helper()
	for _, name := range []string{"bash", "curl", "jq"} {
		if why := harness.Program(t, name); why != "" {
			t.Skip(why)
		}
	}
}

// take takes the next block, which must begin so.
func (m *move) take(begin string) string {
	m.Helper()
	if len(m.blocks) == 0 || !strings.HasPrefix(m.blocks[0], begin) {
		m.Fatalf("the guide goes on with %q, not with %q", m.blocks, begin)
	}
	block := m.blocks[0]
	m.blocks = m.blocks[1:]
	return block
}

// run runs the next block as a user would in a shell.
func (m *move) run(begin string) string {
	m.Helper()
	block := m.here(m.take(begin))
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", block)
	cmd.Dir, cmd.Env = m.dir, append(os.Environ(), m.env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.Fatalf("%v: %s\n%s", err, block, out)
	}
	return string(out)
}

// TestSideBySide: apps, groups and pods of the old server run at the new one after the guide's steps, and the old ones can go.
func TestSideBySide(t *testing.T) {
	t.Parallel()
	needPrograms(t)
	dir := t.TempDir()
	harness.KillLeftovers(t, dir)
	ports := harness.NewPorts(t)
	etcd := harness.StartEtcd(t, ports)
	_, master := harness.Minimesos(t, dir)
	m := &move{T: t, dir: t.TempDir(), blocks: commands(t, "B. Side by side")}
	m.old = server(t, ports, "server", "--master", master, "--etcd_endpoints", etcd.Endpoint, "--etcd_prefix", "/old", "--hostname", "127.0.0.1")
	m.new = harness.NewAPI(t, "")
	furnish(t, m.old)
	m.run("curl -s http://marathon:8080/v2/groups")
	m.run("jq 'del(.version, .pods)'")
	m.new = server(t, ports, "server", "--master", master, "--etcd_endpoints", etcd.Endpoint, "--framework_name", "stadion", "--hostname", "127.0.0.1")
	plan := m.run("curl -s -X PUT 'http://stadion:8080/v2/groups?dryRun=true'")
	for _, id := range []string{"/shop/web", "/shop/db", "/alone"} {
		if !strings.Contains(plan, `"`+id+`"`) {
			t.Errorf("the dry run does not name %s: %s", id, plan)
		}
	}
	if got := shape(t, m.new); len(got) > 0 {
		t.Errorf("the dry run has stored %v", got)
	}
	answer := m.run("curl -s -X PUT http://stadion:8080/v2/groups")
	if !strings.Contains(answer, "deploymentId") {
		t.Fatalf("the import: %s", answer)
	}
	m.run("jq -c '.[]' pods.json")
	quiet(t, m.new)
	if got, want := shape(t, m.new), shape(t, m.old); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("there runs %v, here %v", want, got)
	}
	m.noneLeft()
	m.old.Must(http.MethodPut, "/v2/groups/shop?force=true", map[string]any{"scaleBy": 0}, 200)
	quiet(t, m.old)
	if res := m.new.Must(http.MethodGet, "/v2/apps/shop/web", nil); !strings.Contains(string(res.Body), `"tasksRunning":2`) {
		t.Errorf("after the old ones ended: %s", res.Body)
	}
}

// server starts a server on a free port.
func server(t *testing.T, ports *harness.Ports, args ...string) *harness.API {
	t.Helper()
	p := harness.Start(t, append(args, "--http_address", "127.0.0.1", "--http_port", fmt.Sprint(ports.Next(t)))...)
	return harness.NewAPI(t, p.Ready())
}

// furnish deploys what a Marathon typically runs.
func furnish(t *testing.T, api *harness.API) {
	t.Helper()
	type object = map[string]any
	sleeper := func(id string, instances int, more object) object {
		app := object{"id": id, "cmd": "exec sleep 1000", "cpus": 0.1, "mem": 16, "instances": instances}
		for k, v := range more {
			app[k] = v
		}
		return app
	}
	api.Must(http.MethodPut, "/v2/groups", object{"apps": []any{sleeper("alone", 1, object{"labels": object{"version": "7"}})}, "groups": []any{
		object{"id": "shop", "apps": []any{
			sleeper("web", 2, object{"dependencies": []string{"db"}, "labels": object{"HAPROXY_GROUP": "external"}, "env": object{"COLOUR": "red"}, "portDefinitions": []any{object{"port": 10800, "name": "http"}},
				"constraints": []any{[]string{"hostname", "LIKE", ".*"}}, "upgradeStrategy": object{"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0.5}}),
			sleeper("db", 1, object{"healthChecks": []any{object{"protocol": "COMMAND", "command": object{"value": "true"}, "intervalSeconds": 1, "delaySeconds": 0}}})},
			"groups": []any{object{"id": "jobs", "apps": []any{sleeper("nightly", 0, nil)}}}}}}, 200, 201)
	quiet(t, api)
	for _, id := range []string{"/pod", "/shop/jobs/pod"} {
		api.Must(http.MethodPost, "/v2/pods", object{"id": id, "containers": []any{object{"name": "one", "exec": object{"command": object{"shell": "sleep 1000"}}, "resources": object{"cpus": 0.1, "mem": 16}}}}, 201)
	}
	quiet(t, api)
}

func quiet(t *testing.T, api *harness.API) {
	t.Helper()
	harness.Await(t, limit, "no deployment runs", func() (bool, string) {
		body := string(api.Must(http.MethodGet, "/v2/deployments", nil).Body)
		return body == "[]", body
	})
}

// shape are the apps and pods of a server with what must survive a move, in order.
func shape(t *testing.T, api *harness.API) (out []string) {
	t.Helper()
	var apps struct {
		Apps []struct {
			ID, Cmd                 string
			Instances, TasksRunning int
			Labels, Env             map[string]string
			Dependencies            []string
			Constraints             [][]string
			PortDefinitions         []struct{ Port int }
			UpgradeStrategy, Mem    any
			HealthChecks            []any
		}
	}
	api.Get("/v2/apps?embed=apps.counts", &apps)
	for _, a := range apps.Apps {
		text, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(text))
	}
	var pods []struct{ ID string }
	api.Get("/v2/pods", &pods)
	for _, p := range pods {
		out = append(out, "pod "+p.ID)
	}
	sort.Strings(out)
	return out
}
