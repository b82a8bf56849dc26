package wire

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"stadion/core"
)

// prune draws a smaller variant of a JSON value: fields and elements go, elements repeat, some scalars take another
// value of their type. Required fields survive often enough for many bodies to pass all rules.
func prune(t *rapid.T, v any) any {
	switch x := v.(type) {
	case map[string]any:
		out := map[string]any{}
		if kinds := exclusive(x); len(kinds) > 1 {
			one := rapid.SampledFrom(kinds).Draw(t, "kind")
			x = map[string]any{one: x[one]}
		}
		for _, k := range sortedKeys(x) {
			if required[k] || rapid.IntRange(0, 2).Draw(t, "keep "+k) == 0 {
				out[k] = prune(t, x[k])
			}
		}
		return out
	case []any:
		out := []any{}
		for _, e := range x {
			for range rapid.SampledFrom([]int{0, 1, 1, 1, 2}).Draw(t, "copies") {
				out = append(out, prune(t, e))
			}
		}
		return out
	case float64:
		return rapid.SampledFrom([]float64{x, x, x, x, x, x, x, x, x, x, x, x, 0, 1, 2, 0.5, 80}).Draw(t, "number")
	case string:
		if rapid.IntRange(0, 15).Draw(t, "change") > 0 {
			return x
		}
		return rapid.SampledFrom([]string{"host", "DOCKER", "tcp", "HTTP", "web", "COMMAND"}).Draw(t, "text")
	}
	return v
}

// exclusive lists the kinds of check in an object of which only one may stand.
func exclusive(m map[string]any) (out []string) {
	for _, k := range []string{"exec", "http", "tcp"} {
		if _, ok := m[k]; ok {
			out = append(out, k)
		}
	}
	return out
}

var required = map[string]bool{"id": true, "cmd": true, "image": true, "containerPath": true, "mode": true, "size": true, "hostPath": true, "uri": true,
	"number": true, "value": true, "key": true, "principal": true, "secret": true, "source": true, "command": true, "name": true, "containers": true,
	"resources": true, "cpus": true, "mem": true, "kind": true, "endpoint": true, "mountPath": true, "fieldName": true, "operator": true,
	"maximumOverCapacity": true, "minimumHealthCapacity": true, "shell": true, "argv": true, "pluginName": true, "capability": true}

func loadEvery(t *testing.T, file string) any {
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

// TestRandomApps: whatever combination of fields is accepted decodes to the same value, replaces itself, and an empty
// update changes nothing; whatever is refused is refused with paths.
func TestRandomApps(t *testing.T) {
	full := loadEvery(t, "testdata/every_app.json")
	accepted := 0
	untilSome(t, &accepted, func(rt *rapid.T) {
		m := prune(rt, full).(map[string]any)
		for _, k := range rapid.SampledFrom([][]string{{"uris", "ports", "ipAddress", "args", "check"}, {"fetch", "networks", "portDefinitions", "args"}, {}}).Draw(rt, "without") {
			delete(m, k)
		}
		delete(m, "version") // refused as a whole when misspelt
		c, tree := all(), newTree()
		c.DefaultNetworkName = "one"
		body := mustJSON(m)
		a, err := c.CreateApp(body, tree)
		if err != nil {
			if msg, d := details(err); len(d) == 0 || msg != msgNotValid && msg != msgInvalidJSON {
				rt.Fatalf("%s: %v", body, err)
			}
			return
		}
		accepted++
		checkStored(rt, c, a)
	})
}

func checkStored(t *rapid.T, c *Config, a *core.App) {
	tree := newTree()
	text := mustJSON(a)
	if strings.Contains(string(text), ":null") {
		t.Fatalf("null in %s", text)
	}
	var back core.App
	if err := json.Unmarshal(text, &back); err != nil || string(mustJSON(&back)) != string(text) || !back.SameAll(a) {
		t.Fatalf("decoded %s\nstored  %s: %v", mustJSON(&back), text, err)
	}
	tree.apply(c.SpecChange(tree, a))
	again, _, err := c.PutApp(a.ID, text, false, tree)
	if err != nil {
		t.Fatalf("replaced by itself: %v\n%s", err, text)
	}
	if len(a.HealthChecks) == 0 && !again.SameAll(a) {
		t.Fatalf("replaced by itself\nbefore %s\nafter  %s", text, mustJSON(again))
	}
	same, _, err := c.PutApp(a.ID, []byte(`{}`), true, tree)
	if err != nil || !same.SameAll(a) {
		t.Fatalf("empty update: %v\nbefore %s\nafter  %s", err, text, mustJSON(same))
	}
}

// TestRandomPods: as TestRandomApps.
func TestRandomPods(t *testing.T) {
	full := loadEvery(t, "testdata/every_pod.json")
	accepted := 0
	untilSome(t, &accepted, func(rt *rapid.T) {
		body := mustJSON(prune(rt, full))
		p, err := all().CreatePod(body, newTree())
		if err != nil {
			if msg, d := details(err); len(d) == 0 || msg != msgNotValid && msg != msgInvalidJSON {
				rt.Fatalf("%s: %v", body, err)
			}
			return
		}
		accepted++
		text := mustJSON(p)
		var back core.Pod
		if err := json.Unmarshal(text, &back); err != nil || string(mustJSON(&back)) != string(text) || !back.SameAll(p) {
			rt.Fatalf("decoded %s\nstored  %s: %v", mustJSON(&back), text, err)
		}
		again, err := all().CreatePod(text, newTree())
		if err != nil || !again.SameAll(p) {
			rt.Fatalf("posted again: %v\n%s", err, text)
		}
	})
}

// untilSome checks a property until it has looked at something: of a hundred random bodies a few are accepted, and
// now and then none.
func untilSome(t *testing.T, accepted *int, property func(*rapid.T)) {
	t.Helper()
	const rounds = 50
	for range rounds {
		rapid.Check(t, property)
		if *accepted > 0 || t.Failed() {
			t.Logf("%d accepted", *accepted)
			return
		}
	}
	t.Error("no body was accepted, so nothing was shown")
}
