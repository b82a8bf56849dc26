package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"stadion/core"
)

// walk calls visit for every value below the root, with its path and a way to replace it in the tree.
func walk(v any, at *path, visit func(p *path, v any, replace func(any))) {
	switch x := v.(type) {
	case map[string]any:
		for _, k := range sortedKeys(x) {
			old := x[k]
			visit(at.field(k), old, func(n any) { x[k] = n })
			x[k] = old
			walk(old, at.field(k), visit)
		}
	case []any:
		for i := range x {
			old := x[i]
			visit(at.at(i), old, func(n any) { x[i] = n })
			x[i] = old
			walk(old, at.at(i), visit)
		}
	}
}

// wrong is a value of another type than v, and the key that http-api.md 1.13 wants for it.
func wrong(v any) (any, string) {
	switch v.(type) {
	case string:
		return 17.5, errString
	case float64:
		return "x", errNumber
	case bool:
		return "x", errBoolean
	case []any:
		return map[string]any{}, errArray
	}
	return []any{}, errObject
}

// unions and silent defaults answer otherwise (http-api.md 1.13); their rules have tests of their own.
var otherAnswer = map[string]bool{"/env/A": true, "/env/B": true, "/environment/A": true, "/environment/B": true,
	"/containers(0)/environment/A": true, "/resourceLimits/cpus": true, "/resourceLimits/mem": true,
	"/containers(0)/resourceLimits/cpus": true, "/containers(0)/resourceLimits/mem": true, "/scaling/instances": true, "/scaling/kind": true,
	"/container/volumes(2)/external/provider": true, "/container/volumes(3)/external/provider": true,
	"/check/exec/command/shell": true, "/containers(0)/exec/command/shell": true}

// every holds the two bodies that use every field there is, with the functions that read them.
var every = []struct {
	file string
	read func([]byte) error
}{
	{"testdata/every_app.json", func(b []byte) error { _, err := (&Config{}).CreateApp(b, newTree()); return err }},
	{"testdata/every_pod.json", func(b []byte) error { _, err := (&Config{}).CreatePod(b, newTree()); return err }},
}

func loadTree(t *testing.T, file string) any {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func details(err error) (string, violations) {
	var e *core.Error
	if !errors.As(err, &e) {
		return fmt.Sprint(err), nil
	}
	return e.Message, e.Details
}

func (v violations) holds(path, text string) bool {
	for _, d := range v {
		if d.Path == path {
			for _, e := range d.Errors {
				if e == text {
					return true
				}
			}
		}
	}
	return false
}

func TestEveryFieldPassesTheSchema(t *testing.T) {
	for _, e := range every {
		text, err := os.ReadFile(e.file)
		if err != nil {
			t.Fatal(err)
		}
		// The bodies combine what excludes each other, so rules complain, but the schema must not.
		if msg, d := details(e.read(text)); msg != msgNotValid {
			t.Errorf("%s: %s %v", e.file, msg, d)
		}
	}
}

// wordFields are the texts of which only some words are allowed, and what a value of another type is to them.
var wordFields = map[string]string{"accessMode": errEnum, "accessType": errEnum, "ipProtocol": errEnum, "killSelection": errEnum, "kind": errEnum,
	"mode": errEnum, "network": errEnum, "operator": errEnum, "protocol": errEnum, "scheme": errEnum, "taskLostBehavior": errEnum, "type": errEnum,
	"version": errDate}

func TestEveryFieldOfWrongType(t *testing.T) {
	for _, e := range every {
		root, n := loadTree(t, e.file), 0
		walk(root, &path{}, func(p *path, v any, replace func(any)) {
			if otherAnswer[p.String()] {
				return
			}
			n++
			bad, key := wrong(v)
			if key == errString && wordFields[p.name] != "" {
				key = wordFields[p.name]
			}
			replace(bad)
			if msg, d := details(e.read(mustJSON(root))); msg != msgInvalidJSON || !d.holds(p.String(), key) {
				t.Errorf("%s = %v: %s %v, want %s", p, bad, msg, d, key)
			}
		})
		if n < 90 {
			t.Errorf("%s has only %d values", e.file, n)
		}
	}
}

// TestEveryNumberBelowItsMinimum: no field of the API takes a negative number.
func TestEveryNumberBelowItsMinimum(t *testing.T) {
	for _, e := range every {
		root := loadTree(t, e.file)
		walk(root, &path{}, func(p *path, v any, replace func(any)) {
			if _, ok := v.(float64); !ok {
				return
			}
			replace(-1)
			if msg, d := details(e.read(mustJSON(root))); msg != msgInvalidJSON || !d.holds(p.String(), errMin) {
				t.Errorf("%s = -1: %s %v", p, msg, d)
			}
		})
	}
}

func TestEveryNumberAboveItsMaximum(t *testing.T) {
	for _, e := range every {
		root, n := loadTree(t, e.file), 0
		walk(root, &path{}, func(p *path, v any, replace func(any)) {
			name := strings.ToLower(p.name)
			_, isNumber := v.(float64)
			inPorts := p.up.name == "ports"
			if !isNumber || !inPorts && name != "port" && name != "number" && !strings.HasSuffix(name, "port") && !strings.HasSuffix(name, "capacity") {
				return
			}
			n++
			replace(65536)
			if msg, d := details(e.read(mustJSON(root))); msg != msgInvalidJSON || !d.holds(p.String(), errMax) {
				t.Errorf("%s = 65536: %s %v", p, msg, d)
			}
		})
		if n < 4 {
			t.Errorf("%s has only %d bounded numbers", e.file, n)
		}
	}
}

// TestEveryFieldNull: null equals absent, so it is a violation only where a field is required (http-api.md 1.13).
func TestEveryFieldNull(t *testing.T) {
	for _, e := range every {
		root := loadTree(t, e.file)
		walk(root, &path{}, func(p *path, v any, replace func(any)) {
			if p.name == "" || isMapEntry(p) {
				return
			}
			replace(nil)
			_, withNull := details(e.read(mustJSON(root)))
			m := parentOf(root, p)
			delete(m, p.name)
			_, without := details(e.read(mustJSON(root)))
			if a, b := undefinedPaths(withNull), undefinedPaths(without); a != b {
				t.Errorf("%s = null: %s, absent: %s", p, a, b)
			}
		})
	}
}

func isMapEntry(p *path) bool {
	switch p.up.name {
	case "labels", "env", "environment", "secrets", "options", "nodeStageSecret", "nodePublishSecret", "volumeContext":
		return true
	}
	return false
}

func parentOf(root any, p *path) map[string]any {
	var steps []*path
	for q := p.up; q.up != nil; q = q.up {
		steps = append(steps, q)
	}
	v := root
	for i := len(steps) - 1; i >= 0; i-- {
		if steps[i].name != "" {
			v = v.(map[string]any)[steps[i].name]
		} else {
			v = v.([]any)[steps[i].index]
		}
	}
	return v.(map[string]any)
}

func undefinedPaths(v violations) string {
	var out []string
	for _, d := range v {
		out = append(out, d.Path)
	}
	return strings.Join(out, " ")
}

func TestEnumsIgnoreCase(t *testing.T) {
	body := `{"id":"/a","cmd":"run","killSelection":"oldest_first","networks":[{"mode":"HOST"}],"healthChecks":[{"protocol":"mesos_http"}],` +
		`"unreachableStrategy":"DISABLED"}`
	a, err := (&Config{}).CreateApp([]byte(body), newTree())
	if err != nil {
		t.Fatal(err)
	}
	if a.KillSelection != core.OldestFirst || a.Networks[0].Mode != "host" || a.HealthChecks[0].Protocol != "MESOS_HTTP" ||
		!a.UnreachableStrategy.Disabled {
		t.Errorf("%s", mustJSON(a))
	}
}

// TestSchemaAnswers pins unions, lengths, patterns and numbers one by one (http-api.md 1.13, 4.7, 4.8).
func TestSchemaAnswers(t *testing.T) {
	long := strings.Repeat("x", 1025)
	for _, c := range []struct{ body, path, key string }{
		{`{"id":"","cmd":"run"}`, "/id", errMinLength},
		{`{"id":"/a//B","cmd":"run"}`, "/id", errPattern},
		{`{"cmd":"run"}`, "/id", "'id' is undefined on object: {\"cmd\":\"run\"}"},
		{`[]`, "/", errObject},
		{`"x"`, "/", errObject},
		{`{"id":"/a","instances":1.5}`, "/instances", errInt},
		{`{"id":"/a","instances":4294967296}`, "/instances", errInt},
		{`{"id":"/a","mem":1e999}`, "/mem", errNumber},
		{`{"id":"/a","backoffFactor":0.5}`, "/backoffFactor", errMin},
		{`{"id":"/a","ports":[1.5]}`, "/ports(0)", errInt},
		{`{"id":null,"cmd":"run"}`, "/id", errString},
		{`{"id":"/a","version":"yesterday"}`, "/version", errDateForm},
		{`{"id":"/a","executor":"a//b"}`, "/executor", errPattern},
		{`{"id":"/a","env":{"K":1}}`, "/env/K/secret", "'secret' is undefined on object: 1"},
		{`{"id":"/a","env":{"K":{"secret":1}}}`, "/env/K/secret", errString},
		{`{"id":"/a","secrets":{"s":{"source":""}}}`, "/secrets/s/source", errMinLength},
		{`{"id":"/a","labels":{"K":null}}`, "/labels/K", errString},
		{`{"id":"/a","unreachableStrategy":"off"}`, "/unreachableStrategy", errObject},
		{`{"id":"/a","unreachableStrategy":{"inactiveAfterSeconds":-1}}`, "/unreachableStrategy/inactiveAfterSeconds", errMin},
		{`{"id":"/a","resourceLimits":{"mem":true}}`, "/resourceLimits/mem", errNumber},
		{`{"id":"/a","fetch":[{"uri":""}]}`, "/fetch(0)/uri", errMinLength},
		{`{"id":"/a","fetch":[{"uri":"` + long + `"}]}`, "/fetch(0)/uri", errMaxLength},
		{`{"id":"/a","constraints":["hostname"]}`, "/constraints(0)", errArray},
		{`{"id":"/a","networks":[{"mode":"bridge"}]}`, "/networks(0)/mode", errEnum},
		{`{"id":"/a","portDefinitions":[{"name":"-x"}]}`, "/portDefinitions(0)/name", errPattern},
		{`{"id":"/a","networks":[{"name":"` + strings.Repeat("a", 64) + `"}]}`, "/networks(0)/name", errMaxLength},
		{`{"id":"/a","container":{"volumes":[{}]}}`, "/container/volumes(0)/hostPath", "'hostPath' is undefined on object: {}"},
		{`{"id":"/a","container":{"volumes":[{"containerPath":"x","hostPath":"y"}]}}`, "/container/volumes(0)/mode",
			`'mode' is undefined on object: {"containerPath":"x","hostPath":"y"}`},
		{`{"id":"/a","readinessChecks":[{"timeoutSeconds":0}]}`, "/readinessChecks(0)/timeoutSeconds", errMin},
		{`{"id":"/a","readinessChecks":[{"httpStatusCodesForReady":[]}]}`, "/readinessChecks(0)/httpStatusCodesForReady", errMinLength},
		{`{"id":"/a","executorResources":{"mem":31}}`, "/executorResources/mem", errMin},
		{`{"id":"/a","executorResources":{"disk":9}}`, "/executorResources/disk", errMin},
		{`{"id":"/a","ports":[70000]}`, "/ports(0)", errMax},
		{`{"id":"/a","ipAddress":{"networkName":""}}`, "/ipAddress/networkName", errMinLength},
		{`{"id":"/a","ipAddress":{"discovery":{"ports":[{}]}}}`, "/ipAddress/discovery/ports(0)/name", "'name' is undefined on object: {}"},
		{`{"id":"/a","healthChecks":[{"command":{}}]}`, "/healthChecks(0)/command/value", "'value' is undefined on object: {}"},
		{`{"id":"/a","check":{"exec":{"command":{}}}}`, "/check/exec/command/argv", "'argv' is undefined on object: {}"},
		{`{"id":"/a","container":{"docker":{}}}`, "/container/docker/image", "'image' is undefined on object: {}"},
	} {
		_, err := (&Config{}).CreateApp([]byte(c.body), newTree())
		if msg, d := details(err); msg != msgInvalidJSON || !d.holds(c.path, c.key) {
			t.Errorf("%s: %s %v, want %s %s", c.body, msg, d, c.path, c.key)
		}
	}
}

func TestWholeDoublesAreIntegers(t *testing.T) {
	a, err := (&Config{}).CreateApp([]byte(`{"id":"/a","cmd":"run","instances":2.0,"gpus":0e5,"maxLaunchDelaySeconds":1e2}`), newTree())
	if err != nil {
		t.Fatal(err)
	}
	if a.Instances != 2 || a.MaxLaunchDelaySeconds != 100 {
		t.Errorf("%d %d", a.Instances, a.MaxLaunchDelaySeconds)
	}
}

// TestByteOrderMark: a mark before the text is no part of it, as for Marathon's reader.
func TestByteOrderMark(t *testing.T) {
	if _, err := (&Config{}).CreateApp([]byte("\ufeff"+`{"id":"/a","cmd":"run"}`), newTree()); err != nil {
		t.Error(err)
	}
}

func TestMalformedJSON(t *testing.T) {
	for _, body := range []string{`{"id": `, `{"id":"/a"} x`, `{"id":"/a"}{}`, `{'id':1}`, "{\"id\":\"a\nb\"}", `nul`} {
		_, err := (&Config{}).CreateApp([]byte(body), newTree())
		var e *core.Error
		if !errors.As(err, &e) || e.Kind != core.BadRequest || e.Message != msgInvalidJSON || e.DetailText == "" {
			t.Errorf("%s: %v", body, err)
		}
	}
}
