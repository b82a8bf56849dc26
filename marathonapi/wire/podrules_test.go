package wire

import (
	"errors"
	"strings"
	"testing"

	"stadion/core"
)

// pod completes a pod that only shows the fields of interest.
func pod(container, fields string) string {
	return `{"id":"/p","containers":[{"name":"c1","resources":{"cpus":1,"mem":64}` + container + `}]` + fields + `}`
}

const podVolume = `,"volumes":[{"name":"v","persistent":{"size":10}}]`

// TestPodRuleTexts pins what the fixtures leave open of http-api.md 7.6.
func TestPodRuleTexts(t *testing.T) {
	for _, c := range []struct{ body, path, text string }{
		{pod(`,"endpoints":[{"name":"e"}],"healthCheck":{}`, ``), "/containers(0)/healthCheck", "Only one of http, tcp, or command may be specified"},
		{pod(`,"endpoints":[{"name":"e"}],"healthCheck":{"tcp":{"endpoint":"e"},"http":{"endpoint":"e"}}`, ``), "/containers(0)/healthCheck", "Only one of http, tcp, or command may be specified"},
		{pod(`,"healthCheck":{"http":{"endpoint":"x"}}`, ``), "/containers(0)/healthCheck/http/endpoint", "contained in the container endpoints"},
		{pod(`,"healthCheck":{"exec":{"command":{"shell":"x"}},"timeoutSeconds":60}`, ``), "/containers(0)/healthCheck/timeoutSeconds", "got 60, expected less than 60"},
		{pod(`,"check":{"http":{"endpoint":"x","scheme":"HTTPS"}}`, ``), "/containers(0)/check/http/scheme", "a check must use the scheme HTTP"},
		{pod(`,"endpoints":[{"name":"e","containerPort":1,"networkNames":["z"]}]`, `,"networks":[{"mode":"container","name":"n"}]`),
			"/containers(0)/endpoints(0)/networkNames(0)", "is not one of (n)"},
		{pod(`,"environment":{"A":{"secret":"s"}}`, ``), "/containers(0)/environment/A/secret", "references an undefined secret"},
		{pod(`,"volumeMounts":[{"name":"v","mountPath":"m"}]`, `,"volumes":[{"name":"v","secret":"s"}]`), "/volumes(0)", "volume.secret must refer to an existing secret"},
		{pod(``, `,"scheduling":{"placement":{"constraints":[{"fieldName":"a","operator":"LIKE"}]}}`),
			"/scheduling/placement/constraints(0)", "LIKE and UNLIKE require a non-empty, regular expression value"},
		{pod(``, `,"networks":[{"mode":"host"},{"mode":"container/bridge"}]`), "/networks", "May specify a single host network, single bridge network, or else 1-to-n container networks"},
		{pod(`,"volumeMounts":[{"name":"v","mountPath":"m"}]`, podVolume+`,"scheduling":{"upgrade":{}}`), "/upgrade/maximumOverCapacity", "got 1.0, expected 0.0"},
		{`{"id":"/a/restart","containers":[{"name":"c","resources":{"cpus":1,"mem":1}}]}`, "/id", "must not end with any of the following reserved keywords: restart, tasks, versions, ., .."},
	} {
		_, err := all().CreatePod([]byte(c.body), newTree())
		if msg, d := details(err); msg != msgNotValid || !d.holds(c.path, c.text) {
			t.Errorf("%s:\n got %s %v\nwant %s %s", c.body, msg, d, c.path, c.text)
		}
	}
}

func TestPodSchemaAnswers(t *testing.T) {
	for _, c := range []struct{ body, path, key string }{
		{`{"id":"/p","containers":[]}`, "/containers", errMinLength},
		{`{"id":"/p"}`, "/containers", "'containers' is undefined on object: {\"id\":\"/p\"}"},
		{pod(`,"environment":{"9x":"y"}`, ``), "/containers(0)/environment/9x", errPattern},
		{pod(``, `,"environment":{"a-b":"y"}`), "/environment/a-b", errPattern},
		{pod(``, `,"scaling":{"kind":"auto"}`), "/scaling", errString},
		{pod(``, `,"scaling":{"kind":"fixed","instances":-1}`), "/scaling/instances", errMin},
		{pod(``, `,"executorResources":{"mem":31}`), "/executorResources/mem", errMin},
		{pod(``, `,"executorResources":{"disk":9}`), "/executorResources/disk", errMin},
		{pod(`,"endpoints":[{"name":"e","containerPort":0}]`, ``), "/containers(0)/endpoints(0)/containerPort", errMin},
		{pod(`,"endpoints":[{"name":"e","protocol":[]}]`, ``), "/containers(0)/endpoints(0)/protocol", errMinLength},
		{pod(`,"image":{"id":"x"}`, ``), "/containers(0)/image/kind", `'kind' is undefined on object: {"id":"x"}`},
		{`{"id":"/p","containers":[{"name":"C","resources":{"cpus":1,"mem":1}}]}`, "/containers(0)/name", errPattern},
		{`{"id":"/p","containers":[{"name":"c","resources":{"cpus":1}}]}`, "/containers(0)/resources/mem", `'mem' is undefined on object: {"cpus":1}`},
	} {
		_, err := (&Config{}).CreatePod([]byte(c.body), newTree())
		if msg, d := details(err); msg != msgInvalidJSON || !d.holds(c.path, c.key) {
			t.Errorf("%s: got %s %v, want %s %s", c.body, msg, d, c.path, c.key)
		}
	}
	// A count of a wrong type falls back silently (http-api.md 1.13).
	p, err := (&Config{}).CreatePod([]byte(pod(``, `,"scaling":{"kind":"FIXED","instances":"many"}`)), newTree())
	if err != nil || p.Scaling.Instances != 1 || p.Scaling.Kind != "fixed" {
		t.Error(p, err)
	}
}

// TestResidentPodChanges pins the update rules of pods with persistent volumes (http-api.md 7.6).
func TestResidentPodChanges(t *testing.T) {
	resident := func(resources, hostPort, size string) string {
		return `{"id":"/g/p","role":"dev","containers":[{"name":"c1","resources":` + resources + `,"endpoints":[{"name":"e","hostPort":` + hostPort +
			`}],"volumeMounts":[{"name":"v","mountPath":"m"}]}],"volumes":[{"name":"v","persistent":{"size":` + size + `}}]}`
	}
	const same = `{"cpus":1,"mem":64}`
	for _, x := range []struct{ body, text string }{
		{resident(same, "31000", "10"), ""},
		{resident(same, "31000", "11"), "persistent volumes cannot be updated"},
		{resident(same, "31001", "10"), "host ports cannot be updated if a pod has persistent volumes"},
		{resident(`{"cpus":2,"mem":64}`, "31000", "10"), "cpus cannot be updated if a pod has persistent volumes"},
		{resident(`{"cpus":1,"mem":65}`, "31000", "10"), "mem cannot be updated if a pod has persistent volumes"},
		{resident(`{"cpus":1,"mem":64,"disk":1}`, "31000", "10"), "disk cannot be updated if a pod has persistent volumes"},
		{resident(`{"cpus":1,"mem":64,"gpus":1}`, "31000", "10"), "gpus cannot be updated if a pod has persistent volumes"},
	} {
		c, tree := &Config{MesosRole: "dev"}, newTree()
		first, err := c.CreatePod([]byte(resident(same, "31000", "10")), tree)
		if err != nil {
			t.Fatal(err)
		}
		tree.apply(c.SpecChange(tree, first))
		p, existed, err := c.PutPod("/g/p", []byte(x.body), tree)
		if err != nil || !existed {
			t.Fatal(existed, err)
		}
		err = c.ValidateTree(tree, c.SpecChange(tree, p))
		if _, d := details(err); x.text == "" && err != nil || x.text != "" && !d.holds("/pod(0)", x.text) {
			t.Errorf("%s: got %v, want %s", x.body, err, x.text)
		}
	}
}

func TestPodsShareTheNamesOfTheTree(t *testing.T) {
	c := &Config{}
	tree := with(t, c, `{"id":"/p","cmd":"run"}`, `{"id":"/g/a","cmd":"run"}`)
	for _, x := range []struct{ id, text string }{
		{"/p", "Applications and Pods may not share the same id"},
		{"/g", "Groups and Pods may not have the same identifier."},
	} {
		p, err := c.CreatePod([]byte(strings.Replace(pod(``, ``), `"/p"`, `"`+x.id+`"`, 1)), tree)
		if err != nil {
			t.Fatal(err)
		}
		if _, d := details(c.ValidateTree(tree, c.SpecChange(tree, p))); !d.holds("/", x.text) {
			t.Errorf("%s: %v", x.id, d)
		}
	}
	p, err := c.CreatePod([]byte(strings.Replace(pod(``, ``), `"/p"`, `"/q"`, 1)), tree)
	if err != nil {
		t.Fatal(err)
	}
	tree.apply(c.SpecChange(tree, p))
	_, err = c.CreatePod([]byte(strings.Replace(pod(``, ``), `"/p"`, `"/q"`, 1)), tree)
	var e *core.Error
	if !errors.As(err, &e) || e.Kind != core.Conflict || e.Message != "A pod with id [/q] already exists." || e.Deployments != nil {
		t.Error(err)
	}
}
