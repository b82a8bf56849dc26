package wire

import (
	"strings"
	"testing"

	"stadion/core"
)

// all switches every feature on.
func all() *Config {
	return &Config{MesosRole: "dev", Features: map[string]bool{FeatureSecrets: true, FeatureExternalVolumes: true, FeatureGPUs: true}}
}

// app completes the inside of a definition that only shows the fields of interest.
func app(fields string) string { return `{"id":"/a","cmd":"run",` + fields + `}` }

const (
	persistentVolume = `"container":{"type":"MESOS","volumes":[{"containerPath":"data","mode":"RW","persistent":{"size":10}}]}`
	twoNetworks      = `"networks":[{"mode":"container","name":"1"},{"mode":"container","name":"2"}]`
)

// TestRuleTexts pins path and text of every rule of http-api.md 4.9 and 4.11 that the fixtures leave open.
func TestRuleTexts(t *testing.T) {
	for _, c := range []struct{ body, path, text string }{
		{app(`"ports":[1],"portDefinitions":[]`), "/", "cannot specify both ports and port definitions"},
		{app(`"portDefinitions":[{"port":1}],"ipAddress":{}`), "/", "cannot specify both an IP address and port"},
		{app(`"container":{"type":"MESOS","portMappings":[{}]},"ipAddress":{"discovery":{"ports":[{"name":"h"}]}}`),
			"/ipAddress/discovery/ports", "container.portMappings and ipAddress.discovery.ports must not both be set"},
		{app(`"container":{"docker":{"image":"x"}},"ipAddress":{"discovery":{}}`), "/ipAddress", "ipAddress/discovery is not allowed for Docker containers"},
		{`{"id":"/a/tasks","cmd":"run"}`, "/id", "must not end with any of the following reserved keywords: restart, tasks, versions, ., .."},
		{`{"id":"/a/versions","cmd":"run"}`, "/id", "must not end with any of the following reserved keywords: restart, tasks, versions, ., .."},
		{`{"id":"/a","container":{"type":"MESOS"}}`, "/", "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'."},
		{`{"id":"/a","args":[]}`, "/", "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'."},
		{app(`"networks":[{"mode":"host","labels":{"a":"b"}}]`), "/networks", "Host networks may not have names or labels"},
		{app(`"networks":[{"mode":"host"},{"mode":"host"}]`), "/networks", "May specify a single host network, single bridge network, or else 1-to-n container networks"},
		{app(`"networks":[{"mode":"container/bridge"},{"mode":"container/bridge"}]`), "/networks", "May specify a single host network, single bridge network, or else 1-to-n container networks"},
		{app(`"networks":[{"mode":"container","name":"n"},{"mode":"container","name":"n"}]`), "/networks", "Duplicate networks are not allowed"},
		{app(`"networks":[{"mode":"container"}]`), "/networks", "Network name must be specified when container network is selected."},
		{app(twoNetworks + `,"container":{"type":"MESOS","portMappings":[{"networkNames":["3"]}]}`), "/container/portMappings(0)/networkNames(0)", "is not one of (1,2)"},
		{app(`"healthChecks":[{"protocol":"TCP","ipProtocol":"IPv6"}]`), "/healthChecks(0)", "IPv6 can only be used for container type DOCKER and Mesos http/https/tcp health checks"},
		{app(`"portDefinitions":[{"port":1},{"port":2}],"healthChecks":[{"protocol":"MESOS_TCP","portIndex":2}]`), "/healthChecks(0)", textPortIndex},
		{app(`"healthChecks":[{"command":{"value":"true"}}]`), "/healthChecks(0)", "illegal protocol HTTP specified with command"},
		{app(`"healthChecks":[{"protocol":"COMMAND"}]`), "/healthChecks(0)", "illegal protocol COMMAND for non-command health check"},
		{app(`"check":{}`), "/check", "a check must have exactly one of exec, http and tcp"},
		{app(`"check":{"tcp":{},"http":{}}`), "/check", "a check must have exactly one of exec, http and tcp"},
		{app(`"check":{"http":{"scheme":"HTTPS"}}`), "/check/http/scheme", "a check must use the scheme HTTP"},
		{app(`"check":{"tcp":{"portIndex":1}}`), "/check", "check port index must address an element of the ports array or container port mappings."},
		{app(`"readinessChecks":[{"portName":"default"},{"portName":"default"}]`), "/readinessChecks/size", "got 2, expected 1 or less"},
		{app(`"readinessChecks":[{"portName":"default","intervalSeconds":10}]`), "/readinessChecks(0)/timeoutSeconds", "got 10, expected less than 10"},
		{app(`"readinessChecks":[{}]`), "/readinessChecks(0)/portName", "No port definition reference for portName http-api"},
		{app(`"labels":{"MARATHON_SINGLE_INSTANCE_APP":"true"},"instances":2`), "/", "Single instance app may only have one instance"},
		{app(`"labels":{"MARATHON_SINGLE_INSTANCE_APP":"true"}`), "/upgradeStrategy/maximumOverCapacity", "got 1.0, expected 0.0"},
		{app(`"labels":{"MARATHON_SINGLE_INSTANCE_APP":"true"}`), "/upgradeStrategy/minimumHealthCapacity", "got 1.0, expected 0.0"},
		{app(`"labels":{"DCOS_MIGRATION_API_VERSION":"v1"}`), "/", "DCOS_PACKAGE_FRAMEWORK_NAME and DCOS_MIGRATION_API_PATH must be defined when using DCOS_MIGRATION_API_VERSION"},
		{app(persistentVolume + `,"upgradeStrategy":{"maximumOverCapacity":1,"minimumHealthCapacity":1}`), "/upgradeStrategy/maximumOverCapacity", "got 1.0, expected 0.0"},
		{app(`"container":{"type":"MESOS","volumes":[{"containerPath":"/data","mode":"RW","persistent":{"size":10}}]}`), "/container/volumes(0)/containerPath", `value must not contain "/"`},
		{app(`"container":{"type":"MESOS","volumes":[{"containerPath":"..","mode":"RW","persistent":{"size":10}}]}`), "/container/volumes(0)/containerPath", "can not be one of (.,..)"},
		{app(`"container":{"type":"MESOS","volumes":[{"containerPath":"d","mode":"RW","persistent":{"size":10,"constraints":[["path","LIKE","x"]]}}]}`),
			"/container/volumes(0)/persistent", "Constraints on root volumes are not supported"},
		{app(`"container":{"type":"MESOS","volumes":[{"containerPath":"d","mode":"RW","persistent":{"size":10,"type":"mount","constraints":[["path"]]}}]}`),
			"/container/volumes(0)/persistent/constraints(0)", "Unsupported constraint path"},
		{app(`"container":{"type":"MESOS","volumes":[{"containerPath":"d","mode":"RW","persistent":{"size":10,"maxSize":20}}]}`), "/container/volumes(0)/persistent", "Only mount volumes can have maxSize"},
		{app(`"container":{"type":"MESOS","volumes":[{"containerPath":"d","mode":"RW","persistent":{"type":"mount","size":10,"maxSize":10}}]}`), "/container/volumes(0)/persistent", "Max size must be larger than size"},
		{app(`"instances":2,"container":{"type":"MESOS","volumes":[` + dvdi("v") + `]}`), "/instances", "Number of instances is limited to 1 when declaring DVDI volumes in app [/a]"},
		{app(`"container":{"type":"MESOS","volumes":[` + dvdi("v") + `,` + dvdi("v") + `]}`), "/container/volumes", "Volume names must be unique"},
		{`{"id":"/a","container":{"docker":{"image":"x"},"volumes":[{"containerPath":"d","mode":"RW","external":{"name":"v","provider":"dvdi","options":{"dvdi/driver":"d","o":"p"}}}]}}`,
			"/container/volumes(0)/external/options", "must only contain dvdi/driver"},
		{app(`"acceptedResourceRoles":["*","other"]`), "/acceptedResourceRoles", "acceptedResourceRoles can only contain * and dev"},
		{app(`"acceptedResourceRoles":[""]`), "/acceptedResourceRoles(0)", `A role name must not be "".`},
		{app(`"acceptedResourceRoles":["-x"]`), "/acceptedResourceRoles(0)", "A role name must not start with a '-'."},
		{app(`"acceptedResourceRoles":["a b"]`), "/acceptedResourceRoles(0)(1)", `A role name must not include a space (\x20) character.`},
		{`{"id":"/g/a","cmd":"run","role":"x"}`, "/role", "got x, expected one of: [dev, g]"},
		{app(`"constraints":[["a","CLUSTER"],["hostname"]]`), "/constraints(1)", textConstraintLength},
		{app(`"constraints":[["a","unique"]]`), "/constraints(0)", "illegal constraint specification: operator unique must be written in upper case"},
		{app(`"constraints":[["a","LIKE","("]]`), "/constraints(0)", textBadPattern},
		{app(`"constraints":[["a","LIKE","(?=x)"]]`), "/constraints(0)", textBadPattern}, // D-15: look-ahead is not RE2
		{app(`"constraints":[["a","IS","[1-2]"]]`), "/constraints(0)", "IS only supports Mesos text and float values (see http://mesos.apache.org/documentation/latest/attributes-resources/)"},
		{app(`"constraints":[["a","MAX_PER","x"]]`), "/constraints(0)", "MAX_PER requires an integer value"},
	} {
		_, err := all().CreateApp([]byte(c.body), newTree())
		if msg, d := details(err); msg != msgNotValid || !d.holds(c.path, c.text) {
			t.Errorf("%s:\n got %s %v\nwant %s %s", c.body, msg, d, c.path, c.text)
		}
	}
}

func dvdi(name string) string {
	return `{"containerPath":"d","mode":"RW","external":{"name":"` + name + `","provider":"dvdi","options":{"dvdi/driver":"d"}}}`
}

func TestFeatureTexts(t *testing.T) {
	for _, c := range []struct{ body, path, text string }{
		{app(`"container":{"type":"MESOS","volumes":[` + dvdi("v") + `]}`), "/container/volumes(0)", featureText(FeatureExternalVolumes)},
		{app(`"secrets":{"s":{"source":"x"}}`), "/secrets", featureText(FeatureSecrets)},
		{app(`"env":{"A":{"secret":"s"}}`), "/env", "use of secret-references in the environment requires the secrets feature to be enabled"},
		{app(`"secrets":{"s":{"source":"x"}},"container":{"type":"MESOS","volumes":[{"containerPath":"p","secret":"s"}]}`), "/container/volumes(0)", featureText(FeatureSecrets)},
	} {
		_, err := (&Config{}).CreateApp([]byte(c.body), newTree())
		if msg, d := details(err); msg != msgNotValid || !d.holds(c.path, c.text) {
			t.Errorf("%s: got %s %v, want %s %s", c.body, msg, d, c.path, c.text)
		}
	}
}

// TestStagesStop: rules on constraints are reached only when the others are satisfied (http-api.md 4.5).
func TestStagesStop(t *testing.T) {
	_, err := (&Config{}).CreateApp([]byte(`{"id":"/a","cmd":"x","constraints":[["a"]]}`), newTree())
	if _, d := details(err); !d.holds("/", "must not be an empty string") || d.has("/constraints(0)") {
		t.Error(d)
	}
}

// TestGroupedByPath: all texts of one path stand in one entry (http-api.md 1.14).
func TestGroupedByPath(t *testing.T) {
	_, err := (&Config{}).CreateApp([]byte(`{"id":"/a","gpus":1,"container":{"docker":{"image":"x"}}}`), newTree())
	if _, d := details(err); len(d) != 1 || len(d[0].Errors) != 2 {
		t.Error(d)
	}
}

// TestDefinitionSize pins D-38: a definition that would not fit into one stored value is refused by size.
func TestDefinitionSize(t *testing.T) {
	c := &Config{MaxDefinitionBytes: 2000}
	if _, err := c.CreateApp([]byte(app(`"labels":{"l":"`+strings.Repeat("x", 1000)+`"}`)), newTree()); err != nil {
		t.Error(err)
	}
	_, err := c.CreateApp([]byte(app(`"labels":{"l":"`+strings.Repeat("x", 3000)+`"}`)), newTree())
	if _, d := details(err); len(d) != 1 || !strings.Contains(d[0].Errors[0], "bytes, more than the allowed 2000") {
		t.Error(err)
	}
	mappings := strings.Repeat("{},", 30) + "{}"
	_, err = c.CreateApp([]byte(app(`"networks":[{"mode":"container/bridge"}],"container":{"type":"MESOS","portMappings":[`+mappings+`]}`)), newTree())
	if msg, _ := details(err); msg != msgNotValid {
		t.Errorf("short body, long definition: %v", err)
	}
}

func TestFieldTableIsComplete(t *testing.T) {
	if len(appFields) > 64 {
		t.Fatal("fieldSet has only 64 bits")
	}
	for i, f := range appFields {
		if f.name == "" || f.read == nil || f.move == nil {
			t.Errorf("field %d has a gap", i)
		}
	}
}

func TestEnforcedDefaults(t *testing.T) {
	yes, no := true, false
	for _, c := range []struct {
		id      core.PathID
		group   *bool // enforceRole of /g; nil: no such group
		flag    bool
		want    string
		allowed []string
	}{
		{"/a", nil, true, "dev", []string{"dev"}},
		{"/g/a", nil, false, "dev", []string{"dev", "g"}},
		{"/g/a", nil, true, "g", []string{"g"}},
		{"/g/x/a", &yes, false, "g", []string{"g"}},
		{"/g/x/a", &no, true, "dev", []string{"dev", "g"}},
	} {
		tree := newTree()
		if c.group != nil {
			tree.groups["/g"] = core.Group{ID: "/g", EnforceRole: c.group}
		}
		r := (&Config{MesosRole: "dev", NewGroupEnforceRole: c.flag}).rolesFor(c.id, tree, nil)
		if r.fallback != c.want || strings.Join(r.allowed, ",") != strings.Join(c.allowed, ",") {
			t.Errorf("%+v: %+v", c, r)
		}
	}
}
