package clients

import (
	"embed"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"stadion/compat-tests/harness"
)

//go:embed scripts
var scriptFiles embed.FS

func shellReady(t *testing.T) string {
	for _, name := range []string{"bash", "curl", "jq"} {
		if why := harness.Program(t, name); why != "" {
			return why
		}
	}
	return ""
}

// scripts are deployment scripts as users write them.
func scripts() client {
	return client{name: "curl and jq", group: "sh", ready: shellReady, features: []feature{
		{"apps", (*caller).shDeploy}, {"updates", (*caller).shUpdate}, {"deployments", (*caller).shLocked}, {"traffic", (*caller).shBlueGreen}}}
}

// dcos are the calls behind the commands of dcos marathon.
func dcos() client {
	cl := client{name: "dcos marathon", group: "dcos", ready: shellReady}
	for _, step := range []struct{ column, name string }{{"system", "system"}, {"apps", "add"}, {"updates", "update"}, {"scaling", "scale"}, {"tasks", "task"},
		{"deployments", "deployment"}, {"groups", "group"}, {podsColumn, "pod"}, {"delete", "remove"}} {
		cl.features = append(cl.features, feature{step.column, func(c *caller) {
			if out, code := c.shell("dcos.sh", c.url, c.base, step.name); code != 0 {
				c.Errorf("dcos.sh %s ends with %d: %s", step.name, code, out)
			}
		}})
	}
	return cl
}

// shell runs a script and returns what it said and its exit code.
func (c *caller) shell(name string, args ...string) (string, int) {
	c.Helper()
	text, err := scriptFiles.ReadFile("scripts/" + name)
	if err != nil {
		c.Fatal(err)
	}
	cmd := exec.Command("bash", append([]string{"-s", "--"}, args...)...)
	cmd.Stdin = strings.NewReader(string(text))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.Fatal(err)
	}
	return strings.TrimSpace(string(out)), cmd.ProcessState.ExitCode()
}

// file writes an app where scripts find it.
func (c *caller) file(app object) string {
	c.Helper()
	text, err := json.Marshal(app)
	if err != nil {
		c.Fatal(err)
	}
	name := filepath.Join(c.TempDir(), "app.json")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		c.Fatal(err)
	}
	return name
}

func (c *caller) shApp(word string) object {
	return c.webService(c.id("web"), word, 2, object{"labels": object{"HAPROXY_GROUP": "external", "HAPROXY_0_VHOST": vhost}})
}

func (c *caller) shDeploy() {
	if out, code := c.shell("deploy.sh", c.url, c.file(c.shApp("one"))); code != 0 {
		c.Fatalf("deploy.sh ends with %d: %s", code, out)
	}
	if n := len(c.tasksOf(c.id("web"))); n != 2 {
		c.Errorf("%d tasks", n)
	}
	bad := c.shApp("one")
	bad["cpus"] = -1
	if out, code := c.shell("deploy.sh", c.url, c.file(bad)); code != 2 || !strings.Contains(out, "/cpus") {
		c.Errorf("deploy.sh of a bad app ends with %d: %s", code, out)
	}
}

// shUpdate: a good version replaces the old one, a broken one is rolled back.
func (c *caller) shUpdate() {
	if out, code := c.shell("deploy.sh", c.url, c.file(c.shApp("two"))); code != 0 {
		c.Fatalf("deploy.sh ends with %d: %s", code, out)
	}
	broken := c.shApp("three")
	broken["cmd"] = "exit 7"
	if out, code := c.shell("deploy.sh", c.url, c.file(broken), "2"); code != 1 || !strings.Contains(out, "rolled back") {
		c.Fatalf("deploy.sh of a broken app ends with %d: %s", code, out)
	}
	app := c.api.Must(http.MethodGet, "/v2/apps"+c.id("web"), nil).JSON()
	if cmd, _ := at(app, "app", "cmd").(string); !strings.HasSuffix(cmd, " two") || at(app, "app", "tasksHealthy") != 2.0 {
		c.Errorf("after the rollback: %v, %v healthy", cmd, at(app, "app", "tasksHealthy"))
	}
}

// shLocked: a locked app is taken over with force after the 409 that names the deployment.
func (c *caller) shLocked() {
	stuck := c.shApp("four")
	stuck["cpus"] = 10000
	made := c.api.Must(http.MethodPut, "/v2/apps"+c.id("web"), stuck, 200)
	out, code := c.shell("deploy.sh", c.url, c.file(c.shApp("five")))
	if id, _ := at(made.JSON(), "deploymentId").(string); code != 0 || !strings.Contains(out, id) {
		c.Errorf("deploy.sh ends with %d: %s; the lock is %s", code, out, made.Body)
	}
}

// shBlueGreen: the name moves from one app to the other, and traffic would find one of them at any time.
func (c *caller) shBlueGreen() {
	if out, code := c.shell("bluegreen.sh", c.url, c.id("web"), c.id("web-green")); code != 0 {
		c.Fatalf("bluegreen.sh ends with %d: %s", code, out)
	}
	green := c.api.Must(http.MethodGet, "/v2/apps/"+c.id("web-green"), nil).JSON()
	if at(green, "app", "labels", "HAPROXY_0_VHOST") != vhost || at(green, "app", "env", "COLOUR") != "green" || at(green, "app", "tasksHealthy") != 2.0 {
		c.Errorf("green: labels %v, env %v, %v healthy", at(green, "app", "labels"), at(green, "app", "env", "COLOUR"), at(green, "app", "tasksHealthy"))
	}
	if res := c.api.Do(http.MethodGet, "/v2/apps"+c.id("web"), nil); res.Status != http.StatusNotFound {
		c.Errorf("blue: %d %s", res.Status, res.Body)
	}
}
