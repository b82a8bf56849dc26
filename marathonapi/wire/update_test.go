package wire

import (
	"encoding/json"
	"errors"
	"testing"

	"stadion/core"
	"stadion/marathonapi/internal/fixture"
)

// TestPartialUpdates pins what an update keeps, replaces and drops (http-api.md 4.6).
func TestPartialUpdates(t *testing.T) {
	const host = `{"id":"/a","cmd":"run","env":{"A":"1"},"portDefinitions":[{"port":8080,"name":"web"}],"requirePorts":true,` +
		`"executorResources":{"cpus":0.2},"resourceLimits":{"mem":256},"healthChecks":[{"protocol":"HTTP","portIndex":0}]}`
	const bridge = `{"id":"/a","container":{"docker":{"image":"x"},"portMappings":[{"containerPort":80,"servicePort":10001}]},"networks":[{"mode":"container/bridge"}]}`
	const user = `{"id":"/a","container":{"docker":{"image":"x"}},"networks":[{"mode":"container","name":"n"}]}`
	for _, c := range []struct {
		name, stored, update, want string
		absent                     []string
	}{
		{"nothing", host, `{}`, `{"cmd":"run","env":{"A":"1"},"requirePorts":true}`, nil},
		{"null keeps", host, `{"cmd":null,"env":null}`, `{"cmd":"run","env":{"A":"1"}}`, nil},
		{"empty value unsets", host, `{"env":{},"healthChecks":[]}`, `{}`, []string{"env", "healthChecks"}},
		{"D-32 keeps limits", host, `{"instances":2}`, `{"executorResources":{"cpus":0.2,"mem":32,"disk":10},"resourceLimits":{"mem":256},"instances":2}`, nil},
		{"the URL wins", host, `{"id":"/other"}`, `{"id":"/a"}`, nil},
		{"the URL wins over nonsense", host, `{"id":17}`, `{"id":"/a"}`, nil},
		{"legacy ports", host, `{"ports":[1,2]}`, `{"portDefinitions":[{"port":1,"protocol":"tcp"},{"port":2,"protocol":"tcp"}]}`, nil},
		{"legacy uris", host, `{"uris":["http://x/a.zip"]}`, `{"fetch":[{"uri":"http://x/a.zip","extract":true}]}`, nil},
		{"host to bridge", host, `{"networks":[{"mode":"container/bridge"}]}`,
			`{"requirePorts":false,"container":{"type":"MESOS","portMappings":[{"containerPort":0,"hostPort":0,"name":"default"}]}}`, []string{"portDefinitions"}},
		{"bridge to host", bridge, `{"networks":[{"mode":"host"}]}`, `{"networks":[{"mode":"host"}],"portDefinitions":[{"name":"default"}]}`,
			[]string{"container.portMappings"}},
		{"legacy network to host", bridge, `{"container":{"docker":{"image":"y","network":"HOST"}}}`, `{"networks":[{"mode":"host"}],"container":{"docker":{"image":"y"}}}`,
			[]string{"container.portMappings"}},
		{"container without network data keeps networks", user, `{"container":{"docker":{"image":"y"}}}`, `{"networks":[{"mode":"container","name":"n"}]}`, nil},
		{"container is replaced as a whole", bridge, `{"container":{"docker":{"image":"y"}}}`,
			`{"container":{"portMappings":[{"containerPort":0,"hostPort":0,"name":"default","servicePort":0}]}}`, nil},
		{"checks always get an index", host, `{"healthChecks":[{"path":"/x"}]}`, `{"healthChecks":[{"path":"/x","portIndex":0}]}`, nil},
		{"dependencies", host, `{"dependencies":["db","/x/y"]}`, `{"dependencies":["/db","/x/y"]}`, nil},
		{"counters are ignored", host, `{"tasksRunning":3,"tasks":[],"deployments":[],"versionInfo":{}}`, `{"cmd":"run"}`, nil},
		{"cmd to args is refused by rules elsewhere, docker image is not", host, `{"container":{"docker":{"image":"x"}}}`, `{"cmd":"run"}`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			conf := &Config{}
			tree := with(t, conf, c.stored)
			before := mustJSON(tree.specs["/a"])
			a, existed, err := conf.PutApp("/a", []byte(c.update), true, tree)
			if err != nil || !existed {
				t.Fatal(existed, err)
			}
			var want, got any
			if err := errors.Join(json.Unmarshal([]byte(c.want), &want), json.Unmarshal(mustJSON(a), &got)); err != nil {
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
			if after := mustJSON(tree.specs["/a"]); string(after) != string(before) {
				t.Errorf("the update changed the stored value\nbefore %s\nafter  %s", before, after)
			}
		})
	}
}

// TestUpdateRulesSeeTheMergedApp: violations can name fields the request did not contain (http-api.md 4.5).
func TestUpdateRulesSeeTheMergedApp(t *testing.T) {
	c := &Config{}
	tree := with(t, c, `{"id":"/a","cmd":"run"}`)
	_, _, err := c.PutApp("/a", []byte(`{"args":["x"]}`), true, tree)
	if _, d := details(err); !d.holds("/", "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'.") {
		t.Error(err)
	}
}

func TestRoleStaysAllowed(t *testing.T) {
	tree := with(t, &Config{MesosRole: "old"}, `{"id":"/a","cmd":"run"}`)
	a, _, err := (&Config{MesosRole: "new"}).PutApp("/a", []byte(`{"instances":2}`), true, tree)
	if err != nil || a.Role != "old" {
		t.Fatal(a, err)
	}
}

func TestReplacement(t *testing.T) {
	c := &Config{}
	tree := with(t, c, `{"id":"/a","cmd":"run","env":{"A":"1"}}`)
	a, existed, err := c.PutApp("/a", []byte(`{"cmd":"other","version":"2020-05-07T09:00:00.000Z"}`), false, tree)
	if err != nil || !existed || a.Env != nil || *a.Cmd != "other" {
		t.Fatal(a, existed, err)
	}
	a, existed, err = c.PutApp("/b", []byte(`{"id":"/x","cmd":"other"}`), true, tree)
	if err != nil || existed || a.ID != "/b" {
		t.Fatal(a, existed, err)
	}
}

func TestRollback(t *testing.T) {
	c := &Config{}
	tree := with(t, c, `{"id":"/a","cmd":"one"}`)
	first := tree.specs["/a"].SpecVersion()
	a, _, err := c.PutApp("/a", []byte(`{"cmd":"two"}`), true, tree)
	if err != nil {
		t.Fatal(err)
	}
	tree.apply(c.SpecChange(tree, a))
	back, _, err := c.PutApp("/a", []byte(`{"id":"/a","version":"`+first.String()+`"}`), true, tree)
	if err != nil || *back.Cmd != "one" {
		t.Fatal(back, err)
	}
	for _, body := range []string{`{"version":"` + first.String() + `","instances":1}`, `{"version":"` + first.String() + `","ports":[1]}`} {
		_, _, err = c.PutApp("/a", []byte(body), true, tree)
		if _, d := details(err); !d.holds("/", "The 'version' field may only be combined with the 'id' field.") {
			t.Error(body, err)
		}
	}
	_, _, err = c.PutApp("/a", []byte(`{"version":"soon"}`), true, tree)
	if msg, d := details(err); msg != msgInvalidJSON || !d.holds("/version", errDateForm) {
		t.Error(err)
	}
}

func TestArrays(t *testing.T) {
	c := &Config{}
	tree := with(t, c, `{"id":"/a","cmd":"one"}`)
	list, err := c.PutApps([]byte(`[{"id":"a","instances":3},{"id":"/b","cmd":"two"},{"id":"/a","cmd":"three"}]`), true, true, tree)
	if err != nil || len(list) != 2 || list[0].Instances != 3 || *list[0].Cmd != "three" || list[1].ID != "/b" {
		t.Fatal(list, err)
	}
	for _, x := range []struct {
		body   string
		create bool
		kind   core.ErrorKind
		msg    string
	}{
		{`{}`, true, core.Invalid, msgInvalidJSON},
		{`[1]`, true, core.Invalid, msgInvalidJSON},
		{`[{"id":"/a","mem":"x"}]`, true, core.Invalid, msgInvalidJSON},
		{`[{"cmd":"run"}]`, true, core.Invalid, "requirement failed: App Update must have app id set"},
		{`[{"id":"/b","cmd":"two"}]`, false, core.NotFound, "App '/b' does not exist"},
		{`[{"id":"/b"}]`, false, core.Invalid, msgNotValid},
		{`[`, true, core.BadRequest, msgInvalidJSON},
	} {
		_, err := c.PutApps([]byte(x.body), true, x.create, tree)
		var e *core.Error
		if !errors.As(err, &e) || e.Kind != x.kind || e.Message != x.msg {
			t.Errorf("%s: %v", x.body, err)
		}
	}
	_, err = c.PutApps([]byte(`[{"id":"/a"},{"id":"/a","mem":"x"}]`), true, true, tree)
	if _, d := details(err); !d.holds("(1)/mem", errNumber) {
		t.Error(err)
	}
}

func TestPatchMissing(t *testing.T) {
	_, err := (&Config{}).PatchApp("/x", []byte(`{"instances":2}`), newTree())
	if msg, _ := details(err); msg != msgNotValid {
		t.Error("the body is read as a full definition first:", err)
	}
	_, err = (&Config{}).PatchApp("/x", []byte(`{"cmd":"run"}`), newTree())
	var e *core.Error
	if !errors.As(err, &e) || e.Kind != core.NotFound || e.Direct {
		t.Error(err)
	}
}

func TestPlainNumbers(t *testing.T) {
	for in, want := range map[string]string{
		`{"mem":128.0,"cpus":0.1,"n":100,"s":"1.0 \" 2.0","a":[-1.0,1.50,1e21,0]}`: `{"mem":128,"cpus":0.1,"n":100,"s":"1.0 \" 2.0","a":[-1,1.50,1e21,0]}`,
		`[1.6777216E7,1.0E-5,-2.5E8,1.0E25]`:                                       `[16777216,0.00001,-250000000,1.0E25]`,
		`128.0`:                                                                    `128`, `"1.0"`: `"1.0"`, `0.0`: `0`, `"\\"`: `"\\"`, `10`: `10`,
	} {
		if got := string(PlainNumbers([]byte(in))); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}
