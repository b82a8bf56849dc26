package wire

import (
	"encoding/json"
	"testing"

	"stadion/core"
	"stadion/marathonapi/internal/fixture"
)

// TestTranslation pins http-api.md 4.9 and 4.10: what the forms of old and the short forms become.
func TestTranslation(t *testing.T) {
	const dynamic = `{"containerPort":0,"labels":{},"name":"default","protocol":"tcp","servicePort":0}`
	for _, c := range []struct {
		name, body, want string
		absent           []string
	}{
		{"uris", `{"uris":["http://x/a.tar.bz2","http://x/a.tbz2","http://x/a.xz","hdfs://x/a.txz"]}`,
			`{"fetch":[{"extract":true},{"extract":true},{"extract":false},{"extract":true}]}`, []string{"uris"}},
		{"empty uris", `{"uris":[]}`, `{}`, []string{"fetch"}},
		{"empty uris beside fetch", `{"uris":[],"fetch":[{"uri":"http://x/y"}]}`, `{"fetch":[{"uri":"http://x/y"}]}`, nil},
		{"empty ports", `{"ports":[]}`, `{"portDefinitions":[]}`, nil},
		{"equal ports keep the names", `{"ports":[1],"portDefinitions":[{"port":1,"name":"a"}]}`, `{"portDefinitions":[{"port":1,"name":"a"}]}`, nil},
		{"network in lower case", `{"container":{"docker":{"image":"x","network":"bridge"}}}`,
			`{"networks":[{"mode":"container/bridge"}],"container":{"portMappings":[{"hostPort":0,"name":"default"}]}}`, nil},
		{"user network without address takes the default name", `{"container":{"docker":{"image":"x","network":"USER"}}}`,
			`{"networks":[{"mode":"container","name":"std"}],"container":{"portMappings":[` + dynamic + `]}}`, []string{"container.portMappings[0].hostPort"}},
		{"empty address", `{"ipAddress":{}}`, `{"networks":[{"mode":"container","name":"std"}],"container":{"type":"MESOS"}}`, []string{"portDefinitions"}},
		{"address with the bridge's name", `{"ipAddress":{"networkName":"br-0","labels":{"a":"b"}}}`,
			`{"networks":[{"mode":"container/bridge","labels":{"a":"b"}}]}`, []string{"networks[0].name"}},
		{"address for a docker image", `{"container":{"docker":{"image":"x"}},"ipAddress":{"networkName":"n"}}`,
			`{"networks":[{"mode":"container","name":"n"}],"container":{"type":"DOCKER"}}`, nil},
		{"host network drops address and mappings", `{"container":{"docker":{"image":"x","network":"HOST","portMappings":[{"containerPort":1}]}}}`,
			`{"networks":[{"mode":"host"}],"portDefinitions":[{"name":"default"}]}`, []string{"container.portMappings"}},
		{"mappings without a network are host networking", `{"container":{"docker":{"image":"x","portMappings":[{"containerPort":1}]}}}`,
			`{"networks":[{"mode":"host"}]}`, []string{"container.portMappings"}},
		{"legacy mappings in canonical networks", `{"networks":[{"mode":"container/bridge"}],"container":{"docker":{"image":"x","portMappings":[{"containerPort":1}]}}}`,
			`{"container":{"portMappings":[{"containerPort":1,"hostPort":0}]}}`, nil},
		{"empty networks", `{"networks":[]}`, `{"networks":[{"mode":"host"}]}`, nil},
		{"mode defaults to container", `{"networks":[{}]}`, `{"networks":[{"mode":"container","name":"std"}]}`, nil},
		{"surplus definitions", `{"networks":[{"mode":"container","name":"n"}],"container":{"type":"MESOS","portMappings":[{"containerPort":1}]},` +
			`"portDefinitions":[{"port":7},{"port":8,"name":"b","labels":{"x":"y"},"protocol":"udp"}]}`,
			`{"container":{"portMappings":[{"containerPort":1},{"containerPort":0,"servicePort":0,"labels":{},"protocol":"tcp"}]}}`, []string{"portDefinitions", "container.portMappings[1].name"}},
		{"definitions without a container are dropped", `{"networks":[{"mode":"container/bridge"}],"portDefinitions":[{"port":7}],"requirePorts":true}`,
			`{"requirePorts":false,"container":{"type":"MESOS","portMappings":[{"servicePort":0,"name":"default"}]}}`, []string{"portDefinitions"}},
		{"check on mappings", `{"networks":[{"mode":"container/bridge"}],"healthChecks":[{"protocol":"MESOS_HTTP"},{"protocol":"COMMAND","command":{"value":"x"}}]}`,
			`{"healthChecks":[{"portIndex":0},{"protocol":"COMMAND","ipProtocol":"IPv4"}]}`, []string{"healthChecks[1].portIndex"}},
		{"command check with the empty path of go-marathon's defaults", `{"healthChecks":[{"protocol":"COMMAND","command":{"value":"x"},"path":"","portIndex":0}]}`,
			`{"healthChecks":[{"protocol":"COMMAND","command":{"value":"x"}}]}`, []string{"healthChecks[0].path", "healthChecks[0].portIndex"}},
		{"check with a port", `{"portDefinitions":[{"port":1},{"port":2}],"healthChecks":[{"port":80}]}`, `{"healthChecks":[{"port":80}]}`, []string{"healthChecks[0].portIndex"}},
		{"set-like lists", `{"constraints":[["a","UNIQUE"],["a","UNIQUE"]],"acceptedResourceRoles":["*","*"]}`,
			`{"constraints":[["a","UNIQUE"]],"acceptedResourceRoles":["*"]}`, nil},
		{"empty lists", `{"args":[],"constraints":[],"dependencies":[],"env":{},"fetch":[],"healthChecks":[],"readinessChecks":[],"secrets":{}}`, `{}`,
			[]string{"args", "constraints", "dependencies", "env", "fetch", "healthChecks", "readinessChecks", "secrets"}},
		{"residency is fixed", `{"residency":{"taskLostBehavior":"RELAUNCH_AFTER_TIMEOUT"}}`, `{}`, []string{"residency"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m map[string]any
			if err := json.Unmarshal([]byte(c.body), &m); err != nil {
				t.Fatal(err)
			}
			m["id"], m["cmd"] = "/a", "run"
			conf := &Config{DefaultNetworkName: "std", MesosBridgeName: "br-0"}
			a, err := conf.CreateApp(mustJSON(m), newTree())
			if err != nil {
				t.Fatal(err)
			}
			var want, got any
			if err := json.Unmarshal([]byte(c.want), &want); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(mustJSON(a), &got); err != nil {
				t.Fatal(err)
			}
			if text := fixture.Differs(want, got); text != "" {
				t.Errorf("%s\n%s", text, mustJSON(a))
			}
			for _, p := range c.absent {
				if fixture.Present(got, p) {
					t.Errorf("%s must be absent: %s", p, mustJSON(a))
				}
			}
		})
	}
}

// TestDiscoveryKeepsTheStoredContainer: ports in the oldest form go into the container that is there.
func TestDiscoveryKeepsTheStoredContainer(t *testing.T) {
	c := &Config{}
	tree := with(t, c, `{"id":"/a","container":{"type":"MESOS","docker":{"image":"x"}},"networks":[{"mode":"container","name":"n"}]}`)
	a, _, err := c.PutApp("/a", []byte(`{"ipAddress":{"networkName":"m","discovery":{"ports":[{"number":80,"name":"h"}]}}}`), true, tree)
	if err != nil {
		t.Fatal(err)
	}
	if a.Container.Docker.Image != "x" || len(a.Container.PortMappings) != 1 || a.Container.PortMappings[0].ContainerPort != 80 || *a.Networks[0].Name != "m" {
		t.Errorf("%s", mustJSON(a))
	}
	stored, _ := tree.Spec("/a")
	if stored.(*core.App).Container.PortMappings[0].ContainerPort != 0 {
		t.Error("the stored app changed")
	}
}
