package wire

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"stadion/core"
)

// shop is a tree with two groups and four apps below /shop, and an app outside.
func shop(t *testing.T, c *Config) *memTree {
	tree := newTree()
	put(t, c, tree, "/", `{"groups":[{"id":"shop","enforceRole":false,"apps":[{"id":"web","cmd":"run","instances":3},{"id":"api","cmd":"run"}],
	 "groups":[{"id":"db","dependencies":["/base"],"apps":[{"id":"pg","cmd":"run","instances":2}]},{"id":"old","apps":[{"id":"x","cmd":"run"}]}]},
	 {"id":"/other","enforceRole":false,"apps":[{"id":"y","cmd":"run"}]}]}`)
	return tree
}

func put(t *testing.T, c *Config, tree *memTree, id core.PathID, body string) core.Change {
	t.Helper()
	ch, err := c.PutGroup(id, []byte(body), false, tree)
	if err != nil {
		t.Fatalf("PUT %s %s: %v", id, body, err)
	}
	if err := c.ValidateTree(tree, ch); err != nil {
		t.Fatalf("PUT %s %s: %v", id, body, err)
	}
	tree.apply(ch)
	return ch
}

// summary is a change in short: what is put, removed, and which groups.
func summary(ch core.Change) string {
	var out []string
	for _, s := range ch.Put {
		out = append(out, "+"+string(s.SpecID()))
	}
	for _, id := range ch.Remove {
		out = append(out, "-"+string(id))
	}
	for _, g := range ch.PutGroups {
		out = append(out, "+g"+string(g.ID))
	}
	for _, id := range ch.RemoveGroups {
		out = append(out, "-g"+string(id))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// TestGroupChanges pins which part of the tree a body touches (http-api.md 6.4).
func TestGroupChanges(t *testing.T) {
	for _, c := range []struct{ id, body, want string }{
		{"/shop", `{}`, ""},
		{"/shop", `{"apps":[{"id":"web","cmd":"run","instances":3},{"id":"/shop/api","cmd":"run"}]}`, ""},
		{"/shop", `{"apps":[{"id":"web","cmd":"run"}]}`, "+/shop/web -/shop/api"},
		{"/shop", `{"apps":[]}`, "-/shop/api -/shop/web"},
		{"/shop", `{"groups":[{"id":"db"}]}`, "-/shop/old/x -g/shop/old"},
		{"/shop", `{"groups":[{"id":"db","apps":[]},{"id":"/shop/new","apps":[{"id":"n","cmd":"run"}]}]}`,
			"+/shop/new/n +g/shop/new -/shop/db/pg -/shop/old/x -g/shop/old"},
		{"/shop", `{"dependencies":["../other","/base"]}`, "+g/shop"},
		{"/shop", `{"pods":[{"id":"p"}],"unknown":1}`, ""},
		{"/", `{"groups":[{"id":"shop"}]}`, "-/other/y -g/other"},
		{"/", `{"id":"/deep/er","apps":[{"id":"a","cmd":"run"}]}`, "+/deep/er/a +g/deep +g/deep/er"},
		{"/shop", `{"scaleBy":1.5}`, "+/shop/api +/shop/db/pg +/shop/old/x +/shop/web"},
		{"/shop", `{"scaleBy":1}`, ""},
		{"/shop", `{"apps":[{"id":"api","cmd":"one"},{"id":"api","cmd":"run"},{"id":"web","cmd":"run","instances":3}]}`, ""},
	} {
		conf := &Config{}
		tree := shop(t, conf)
		if got := summary(put(t, conf, tree, core.PathID(c.id), c.body)); got != c.want {
			t.Errorf("PUT %s %s:\n got %s\nwant %s", c.id, c.body, got, c.want)
		}
	}
}

// TestScaleRoundsUp pins http-api.md 6.4: instances times scaleBy, rounded up.
func TestScaleRoundsUp(t *testing.T) {
	c := &Config{}
	tree := shop(t, c)
	put(t, c, tree, "/shop", `{"scaleBy":1.4}`)
	for id, n := range map[core.PathID]int{"/shop/web": 5, "/shop/api": 2, "/shop/db/pg": 3, "/other/y": 1} {
		if got := tree.specs[id].InstanceCount(); got != n {
			t.Errorf("%s has %d instances, want %d", id, got, n)
		}
	}
}

func TestGroupRollback(t *testing.T) {
	c := &Config{}
	tree := shop(t, c)
	v := tree.stamp
	put(t, c, tree, "/shop", `{"apps":[{"id":"web","cmd":"changed"},{"id":"fresh","cmd":"run"}],"groups":[{"id":"db"},{"id":"extra"}]}`)
	ch := put(t, c, tree, "/shop", `{"version":"`+v.String()+`"}`)
	want := "+/shop/api +/shop/old/x +/shop/web +g/shop/old -/shop/fresh -g/shop/extra"
	if got := summary(ch); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	_, err := c.PutGroup("/shop", []byte(`{"version":"2001-01-01T00:00:00.000Z"}`), false, tree)
	if msg, d := details(err); msg != "Group /shop not available in version 2001-01-01T00:00:00.000Z" || d != nil {
		t.Error(err)
	}
}

func TestGroupRefusals(t *testing.T) {
	c := &Config{}
	for _, x := range []struct{ id, body, path, text string }{
		{"/shop", `{"apps":[{"id":"/elsewhere/web","cmd":"run"}]}`, "/apps(0)/id", "Identifier is not child of '/shop'"},
		{"/shop", `{"apps":[{"id":"db/web","cmd":"run"}]}`, "/apps(0)/id", "Identifier is not child of '/shop'"},
		{"/foo", `{"groups":[{"id":"sub","apps":[{"id":"/foo/web","cmd":"run"}]}]}`, "/groups(0)/apps(0)/id", "Identifier is not child of '/foo/sub'"},
		{"/shop", `{"groups":[{"apps":[]}]}`, "/groups(0)/id", "'id' is undefined on object: a nested group must have an id"},
		{"/shop", `{"groups":[{"id":"/x"}]}`, "/groups(0)/id", "Identifier is not child of '/shop'"},
		{"/shop/db", `{"enforceRole":true}`, "/enforceRole", "enforceRole can only be set for top-level groups, and /shop/db is not top-level"},
		{"/", `{"enforceRole":true}`, "/enforceRole", "enforceRole can only be set for top-level groups, and / is not top-level"},
		{"/shop", `{"id":"/shop","enforceRole":true,"apps":[]}`, "/enforceRole", textEnforceServices},
		{"/", `{"groups":[{"id":"other"},{"id":"shop","enforceRole":true,"apps":[]}]}`, "/groups(1)/enforceRole", textEnforceServices},
		{"/shop", `{"apps":[{"id":"a","cmd":"run","role":"x"}]}`, "/role", "got x, expected one of: [*, shop]"},
		{"/shop", `{"apps":[{"id":"a","cmd":"run","resourceLimits":{"mem":"max"}}]}`, "/resourceLimits/mem", "'max' is an invalid resource limit. It must be 'unlimited' or a number"},
		{"/shop", `{"scaleBy":2,"version":"2001-01-01T00:00:00.000Z"}`, "/version", "not allowed in conjunction with other properties."},
		{"/shop", `{"groups":[{"id":"db","scaleBy":2}]}`, "/groups(0)/scaleBy", "not allowed in conjunction with other properties."},
	} {
		_, err := c.PutGroup(core.PathID(x.id), []byte(x.body), false, shop(t, c))
		if msg, d := details(err); msg != msgNotValid || !d.holds(x.path, x.text) {
			t.Errorf("%s %s: got %s %v, want %s %s", x.id, x.body, msg, d, x.path, x.text)
		}
	}
	for _, x := range []struct{ body, path, key string }{
		{`{"apps":[{"cmd":"run"}]}`, "/apps(0)/id", "'id' is undefined on object"},
		{`{"apps":[{"id":"a","mem":"x"}]}`, "/apps(0)/mem", errNumber},
		{`{"groups":[{"id":"g","apps":[{"id":"a","fetch":[{}]}]}]}`, "/groups(0)/apps(0)/fetch(0)/uri", "'uri' is undefined on object: {}"},
		{`{"apps":{}}`, "/apps", errArray}, {`{"groups":1}`, "/groups", errArray}, {`{"groups":[1]}`, "/groups(0)", errObject},
		{`{"scaleBy":"x"}`, "/scaleBy", errNumber}, {`{"scaleBy":-1}`, "/scaleBy", errMin},
		{`{"enforceRole":"x"}`, "/enforceRole", errBoolean}, {`{"id":"A"}`, "/id", errPattern}, {`[]`, "/", errObject},
	} {
		_, err := c.PutGroup("/shop", []byte(x.body), false, shop(t, c))
		if msg, d := details(err); msg != msgInvalidJSON || !d.holds(x.path, x.key) {
			t.Errorf("%s: got %s %v, want %s %s", x.body, msg, d, x.path, x.key)
		}
	}
}

// TestEnforceResets pins http-api.md 6.6: leaving enforceRole out of a PUT resets it to the configured default.
func TestEnforceResets(t *testing.T) {
	c := &Config{NewGroupEnforceRole: true}
	ch := put(t, c, shop(t, c), "/shop", `{}`)
	if len(ch.PutGroups) != 1 || !*ch.PutGroups[0].EnforceRole {
		t.Errorf("%+v", ch.PutGroups)
	}
	tree := shop(t, c)
	ch, err := c.PatchGroup("/shop", []byte(`{}`), tree)
	if err != nil || !ch.NoPlan || !*ch.PutGroups[0].EnforceRole {
		t.Error(ch, err)
	}
	_, err = c.PatchGroup("/missing", []byte(`{"enforceRole":true}`), tree)
	var e *core.Error
	if !errors.As(err, &e) || e.Kind != core.NotFound || !e.Direct {
		t.Error(err)
	}
}

// TestNewGroupEnforces: apps that the same request puts below a new enforcing group take its role.
func TestNewGroupEnforces(t *testing.T) {
	c := &Config{}
	tree := newTree()
	put(t, c, tree, "/", `{"groups":[{"id":"e","enforceRole":true,"groups":[{"id":"sub","apps":[{"id":"a","cmd":"run"}]}]},{"id":"f","apps":[{"id":"b","cmd":"run"}]}]}`)
	if r := tree.specs["/e/sub/a"].SpecRole(); r != "e" {
		t.Error(r)
	}
	if r := tree.specs["/f/b"].SpecRole(); r != "*" {
		t.Error(r)
	}
}

func TestRemoveGroup(t *testing.T) {
	c := &Config{}
	tree := shop(t, c)
	ch, err := c.RemoveGroup("/shop", tree)
	if want := "-/shop/api -/shop/db/pg -/shop/old/x -/shop/web -g/shop -g/shop/db -g/shop/old"; err != nil || summary(ch) != want {
		t.Error(summary(ch), err)
	}
	ch, err = c.RemoveGroup(core.Root, tree)
	if err != nil || slices.Contains(ch.RemoveGroups, core.Root) || len(ch.Remove) != 5 {
		t.Error(summary(ch), err)
	}
}

// TestTreeRules pins http-api.md 6.7.
func TestTreeRules(t *testing.T) {
	const cycle = "Dependency graph has cyclic dependencies."
	for _, x := range []struct{ id, body, path, text string }{
		{"/shop", `{"groups":[{"id":"db"},{"id":"web"}]}`, "/", "Groups and Applications may not have the same identifier."},
		{"/", `{"id":"/shop/web/sub","apps":[{"id":"a","cmd":"run"}]}`, "/", "Groups and Applications may not have the same identifier."},
		{"/shop", `{"apps":[{"id":"db","cmd":"run"}]}`, "/", "Groups and Applications may not have the same identifier."},
		{"/shop", `{"apps":[{"id":"a","cmd":"run","dependencies":["a"]}]}`, "/", cycle},
		{"/shop", `{"apps":[{"id":"a","cmd":"run","dependencies":["b"]},{"id":"b","cmd":"run","dependencies":["/shop/a"]}]}`, "/", cycle},
		{"/shop", `{"apps":[{"id":"a","cmd":"run","dependencies":["/shop"]}]}`, "/", cycle},
		{"/shop", `{"dependencies":["/other"],"groups":[]}`, "", ""},
		{"/", `{"groups":[{"id":"shop","dependencies":["/other"]},{"id":"other","dependencies":["/shop"]}]}`, "/", cycle},
		{"/", `{"id":"/base","apps":[{"id":"a","cmd":"run","dependencies":["/shop/db/pg"]}]}`, "/", cycle},
		{"/", `{"id":"/base","dependencies":["/shop"],"apps":[{"id":"a","cmd":"run"}]}`, "/", cycle},
		{"/", `{"id":"/base","apps":[{"id":"a","cmd":"run","dependencies":["/nowhere"]}]}`, "", ""},
		{"/", `{"id":"/v","apps":[` + volumeApp("a", "one") + `,` + volumeApp("b", "one") + `]}`, "/groups(2)/apps(0)/container",
			"Volume name 'one' in /v/a conflicts with volume(s) of same name in app(s): /v/b"},
		{"/", `{"id":"/v","apps":[` + volumeApp("a", "one") + `,` + volumeApp("b", "two") + `]}`, "", ""},
	} {
		c := &Config{Features: map[string]bool{FeatureExternalVolumes: true}}
		tree := shop(t, c)
		ch, err := c.PutGroup(core.PathID(x.id), []byte(x.body), false, tree)
		if err != nil {
			t.Fatal(x.body, err)
		}
		err = c.ValidateTree(tree, ch)
		if _, d := details(err); x.path == "" && err != nil || x.path != "" && !d.holds(x.path, x.text) {
			t.Errorf("%s: got %v, want %s %s", x.body, err, x.path, x.text)
		}
	}
}

func volumeApp(id, volume string) string {
	return `{"id":"` + id + `","cmd":"run","container":{"type":"MESOS","volumes":[` + dvdi(volume) + `]}}`
}

func TestMaxApps(t *testing.T) {
	c := &Config{}
	tree := shop(t, c)
	c.MaxApps = 5
	a, err := c.CreateApp([]byte(`{"id":"/sixth","cmd":"run"}`), tree)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.ValidateTree(tree, c.SpecChange(tree, a)); err == nil || !strings.Contains(err.Error(), "5 (--max_apps)") {
		t.Error(err)
	}
	old, _, err := c.PutApp("/shop/web", []byte(`{"instances":9}`), true, tree)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.ValidateTree(tree, c.SpecChange(tree, old)); err != nil {
		t.Error("a change of an app that is there must pass:", err)
	}
}

// TestResidentChanges pins http-api.md 4.12: what may not change once volumes are reserved.
func TestResidentChanges(t *testing.T) {
	const stored = `{"id":"/g/db","cmd":"run","role":"dev","portDefinitions":[{"port":9000}],"requirePorts":true,` + persistentVolume + `}`
	for _, x := range []struct{ update, path, text string }{
		{`{"instances":3,"cmd":"other"}`, "", ""},
		{`{"container":{"type":"MESOS","volumes":[{"containerPath":"data","mode":"RW","persistent":{"size":11}}]}}`, "/app(0)", textFixedVolumes},
		{`{"container":{"type":"MESOS"}}`, "/app(0)", textFixedVolumes},
		{`{"cpus":2}`, "/app(0)/cpus", textFixedResources}, {`{"mem":2}`, "/app(0)/mem", textFixedResources}, {`{"disk":2}`, "/app(0)/disk", textFixedResources},
		{`{"requirePorts":false}`, "/app(0)/requirePorts", textFixedResources},
		{`{"portDefinitions":[{"port":9001}]}`, "/app(0)", textFixedPorts},
		{`{"role":"g"}`, "/role", fmt.Sprintf(textFixedRole, "dev", "g")},
	} {
		c := &Config{MesosRole: "dev"}
		tree := with(t, c, stored)
		a, _, err := c.PutApp("/g/db", []byte(x.update), true, tree)
		if err != nil {
			t.Fatal(x.update, err)
		}
		ch := c.SpecChange(tree, a)
		err = c.ValidateTree(tree, ch)
		if _, d := details(err); x.path == "" && err != nil || x.path != "" && !d.holds(x.path, x.text) {
			t.Errorf("%s: got %v, want %s %s", x.update, err, x.path, x.text)
		}
		ch.Force = true
		if err := c.ValidateTree(tree, ch); x.path == "/role" && err != nil {
			t.Error("force must allow another role:", err)
		}
	}
}

// TestDeepNesting pins F30: no body makes trees of absurd depth, and none exhausts the stack.
func TestDeepNesting(t *testing.T) {
	for _, depth := range []int{300, 5000} {
		body := strings.Repeat(`{"id":"g","groups":[`, depth) + strings.Repeat(`]}`, depth)
		if _, err := (&Config{}).PutGroup(core.Root, []byte(body), false, newTree()); err == nil {
			t.Error(depth, "levels passed")
		}
	}
}

func TestSpecChangeMakesTopGroups(t *testing.T) {
	c := &Config{NewGroupEnforceRole: true}
	a, err := c.CreateApp([]byte(`{"id":"/n/sub/a","cmd":"run"}`), newTree())
	if err != nil {
		t.Fatal(err)
	}
	ch := c.SpecChange(newTree(), a)
	if summary(ch) != "+/n/sub/a +g/n" || !*ch.PutGroups[0].EnforceRole || ch.GroupID != "/n/sub" {
		t.Errorf("%+v", ch)
	}
}

// TestSamePortsAreNoChange: a service port of 0 stands for the assigned one, so repeating a body changes nothing and
// keeps the versions of the apps (http-api.md 4.13, 6.4).
func TestSamePortsAreNoChange(t *testing.T) {
	c := &Config{}
	tree := newTree()
	const body = `{"id":"/g","apps":[{"id":"host","cmd":"run"},{"id":"bridge","cmd":"run","networks":[{"mode":"container/bridge"}]}]}`
	put(t, c, tree, "/", body)
	host, bridge := *tree.specs["/g/host"].(*core.App), *tree.specs["/g/bridge"].(*core.App)
	host.PortDefinitions = []core.PortDefinition{{Port: 10000, Name: ptr("default"), Protocol: "tcp"}}
	k := *bridge.Container
	k.PortMappings = slices.Clone(k.PortMappings)
	k.PortMappings[0].ServicePort = 10001
	bridge.Container = &k
	tree.specs["/g/host"], tree.specs["/g/bridge"] = &host, &bridge
	if got := summary(put(t, c, tree, "/", body)); got != "" {
		t.Error(got)
	}
}

// TestManyMistakes: an answer is bounded, and so is the time to find it.
func TestManyMistakes(t *testing.T) {
	body := `{"id":"/a","cmd":"run","ports":["x"` + strings.Repeat(`,"x"`, 200_000) + `]}`
	_, err := (&Config{}).CreateApp([]byte(body), newTree())
	if _, d := details(err); len(d) != maxViolations {
		t.Error(len(d))
	}
}

// TestLongChains: a chain as long as the tree is no problem, and closing it is found.
func TestLongChains(t *testing.T) {
	c, tree := &Config{}, newTree()
	const n = 20_000
	tree.groups["/g"] = core.Group{ID: "/g"}
	for i := range n {
		a := defaultApp()
		a.ID = core.PathID(fmt.Sprintf("/g/a%d", i))
		if i > 0 {
			a.Dependencies = []core.PathID{core.PathID(fmt.Sprintf("/g/a%d", i-1))}
		}
		tree.specs[a.ID] = &a
	}
	for dep, cyclic := range map[string]bool{"/elsewhere": false, "/g/a19999": true, "/g": true} {
		a, _, err := c.PutApp("/g/a0", []byte(`{"dependencies":["`+dep+`"],"cmd":"run"}`), true, tree)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.ValidateTree(tree, core.Change{Put: []core.RunSpec{a}}); (err != nil) != cyclic {
			t.Errorf("%s: %v", dep, err)
		}
	}
}
