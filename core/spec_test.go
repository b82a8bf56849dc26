package core

import (
	"encoding/json"
	"testing"
)

func decodeApp(t *testing.T, text string) *App {
	t.Helper()
	var a App
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		t.Fatal(err)
	}
	return &a
}

func decodePod(t *testing.T, text string) *Pod {
	t.Helper()
	var p Pod
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	return &p
}

// TestAppSameConfig pins behaviour 1.4 and D-05: which fields restart instances of an app.
func TestAppSameConfig(t *testing.T) {
	const base = `{"id":"/a","cmd":"x","instances":1,"constraints":[["a","UNIQUE"],["b","CLUSTER","c"]],"dependencies":["/b","/c"],` +
		`"healthChecks":[{"path":"/1","protocol":"HTTP"},{"path":"/2","protocol":"HTTP"}],"version":"2020-01-01T00:00:00.000Z",` +
		`"executorResources":{"cpus":1},"args":["p","q"]}`
	for _, c := range []struct {
		change       string
		config, same bool
	}{
		{`{}`, true, true},
		{`{"instances":5}`, true, false},
		{`{"version":"2021-01-01T00:00:00.000Z"}`, true, true},
		{`{"versionInfo":{"lastScalingAt":"2021-01-01T00:00:00.000Z","lastConfigChangeAt":"2021-01-01T00:00:00.000Z"}}`, true, true},
		{`{"executorResources":{"cpus":2}}`, true, false},
		{`{"constraints":[["b","CLUSTER","c"],["a","UNIQUE"]]}`, true, true},
		{`{"dependencies":["/c","/b"]}`, true, true},
		{`{"healthChecks":[{"path":"/2","protocol":"HTTP"},{"path":"/1","protocol":"HTTP"}]}`, true, true},
		{`{"healthChecks":[{"path":"/1","protocol":"HTTP"}]}`, false, false},
		{`{"args":["q","p"]}`, false, false},
		{`{"labels":{}}`, true, true},
		{`{"labels":{"a":"b"}}`, false, false},
		{`{"upgradeStrategy":{"maximumOverCapacity":1}}`, false, false},
		{`{"killSelection":"OLDEST_FIRST"}`, false, false},
		{`{"unreachableStrategy":"disabled"}`, false, false},
		{`{"backoffSeconds":2}`, false, false},
		{`{"env":{"A":"b"}}`, false, false},
		{`{"resourceLimits":{"mem":1}}`, false, false},
		{`{"tty":true}`, false, false},
		{`{"role":"x"}`, false, false},
	} {
		a, b := decodeApp(t, base), decodeApp(t, base)
		if err := json.Unmarshal([]byte(c.change), b); err != nil {
			t.Fatal(err)
		}
		if a.SameConfig(b) != c.config || b.SameConfig(a) != c.config || a.SameAll(b) != c.same {
			t.Errorf("%s: same config %v, same %v", c.change, a.SameConfig(b), a.SameAll(b))
		}
	}
	if a := decodeApp(t, base); a.SameConfig(decodePod(t, `{"id":"/a"}`)) || a.SameAll(decodePod(t, `{"id":"/a"}`)) {
		t.Error("an app is no pod")
	}
}

// TestPodSameConfig pins behaviour 1.4 and D-05 for pods.
func TestPodSameConfig(t *testing.T) {
	const base = `{"id":"/p","containers":[{"name":"c","resources":{"cpus":1}}],"scaling":{"kind":"fixed","instances":1},` +
		`"scheduling":{"placement":{"constraints":[{"fieldName":"a","operator":"UNIQUE"},{"fieldName":"a","operator":"LIKE","value":"x"}]}}}`
	for _, c := range []struct {
		change       string
		config, same bool
	}{
		{`{}`, true, true},
		{`{"labels":{}}`, true, true},
		{`{"scaling":{"instances":2}}`, true, false},
		{`{"version":"2021-01-01T00:00:00.000Z"}`, true, true},
		{`{"executorResources":{"cpus":2}}`, true, false},
		{`{"legacySharedCgroups":true}`, true, false},
		{`{"scheduling":{"killSelection":"OLDEST_FIRST"}}`, true, false},
		{`{"scheduling":{"unreachableStrategy":"disabled"}}`, true, false},
		{`{"scheduling":{"placement":{"constraints":[{"fieldName":"a","operator":"LIKE","value":"x"},{"fieldName":"a","operator":"UNIQUE"}]}}}`, true, true},
		{`{"scheduling":{"backoff":{"backoff":2}}}`, false, false},
		{`{"scheduling":{"upgrade":{"maximumOverCapacity":1}}}`, false, false},
		{`{"containers":[{"name":"d"}]}`, false, false},
		{`{"volumes":[{"name":"v"}]}`, false, false},
		{`{"networks":[{"mode":"container"}]}`, false, false},
		{`{"role":"x"}`, false, false},
		{`{"user":"x"}`, false, false},
	} {
		a, b := decodePod(t, base), decodePod(t, base)
		b.Scheduling.Placement.Constraints = append([]PodConstraint(nil), a.Scheduling.Placement.Constraints...)
		if err := json.Unmarshal([]byte(c.change), b); err != nil {
			t.Fatal(err)
		}
		if len(b.Scheduling.Placement.Constraints) == 2 && b.Scheduling.Placement.Constraints[1].Operator == "UNIQUE" {
			b.Scheduling.Placement.Constraints[1].Value = nil // the decoder reuses the old element
		}
		if a.SameConfig(b) != c.config || b.SameConfig(a) != c.config || a.SameAll(b) != c.same {
			t.Errorf("%s: same config %v, same %v", c.change, a.SameConfig(b), a.SameAll(b))
		}
	}
}

func TestRunSpecOfPod(t *testing.T) {
	p := decodePod(t, `{"id":"/p","role":"r","scaling":{"instances":3},"containers":[{"name":"c","healthCheck":{}}],"volumes":[{"name":"v","persistent":{"size":1}}],`+
		`"scheduling":{"backoff":{"backoff":1,"backoffFactor":1.15,"maxLaunchDelay":300},"upgrade":{"minimumHealthCapacity":0.5,"maximumOverCapacity":0.25},`+
		`"placement":{"constraints":[{"fieldName":"a","operator":"LIKE","value":"x"},{"fieldName":"b","operator":"UNIQUE"}]}}}`)
	var s RunSpec = p.WithInstances(4).WithVersion(7, VersionInfo{5, 6})
	if p.InstanceCount() != 3 || p.Version != 0 || s.InstanceCount() != 4 || s.SpecVersion() != 7 || s.Stamps() != (VersionInfo{5, 6}) {
		t.Errorf("copies: %+v %+v", p, s)
	}
	if p.Stamps() != (VersionInfo{}) || !s.IsPod() || !s.Resident() || !s.HasHealthChecks() || s.HasReadinessChecks() || s.DependsOn() != nil || s.SpecRole() != "r" {
		t.Errorf("%+v", s)
	}
	if s.Upgrade() != (UpgradeStrategy{MaximumOverCapacity: 0.25, MinimumHealthCapacity: 0.5}) || s.BackoffPolicy() != (Backoff{1, 1.15, 300}) {
		t.Errorf("%+v %+v", s.Upgrade(), s.BackoffPolicy())
	}
	want := []Constraint{{Field: "a", Operator: "LIKE", Value: "x", HasValue: true}, {Field: "b", Operator: "UNIQUE"}}
	if got := s.PlacementConstraints(); len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%+v", got)
	}
}

// TestEncodeJSON pins http-api 1.12: numbers with a fraction, text as it is, nothing null.
func TestEncodeJSON(t *testing.T) {
	a := decodeApp(t, `{"id":"/a","cmd":"a <b> && c","mem":128,"cpus":0.1,"labels":{"<":"&"},"env":{"A":"<","B":{"secret":"&"}},`+
		`"constraints":[["a","LIKE","<.*>"]],"networks":[],"version":"2020-01-01T00:00:00Z"}`)
	text, err := EncodeJSON(a)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"/a","backoffFactor":0.0,"backoffSeconds":0,"cmd":"a <b> && c","constraints":[["a","LIKE","<.*>"]],"cpus":0.1,"disk":0.0,` +
		`"env":{"A":"<","B":{"secret":"&"}},"executor":"","instances":0,"labels":{"<":"&"},"maxLaunchDelaySeconds":0,"mem":128.0,"gpus":0,` +
		`"networks":[],"requirePorts":false,"upgradeStrategy":{"maximumOverCapacity":0.0,"minimumHealthCapacity":0.0},"version":"2020-01-01T00:00:00.000Z",` +
		`"killSelection":"","unreachableStrategy":{"inactiveAfterSeconds":0,"expungeAfterSeconds":0},"role":""}`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

func TestExternalOptions(t *testing.T) {
	for _, text := range []string{
		`{"name":"v","provider":"dvdi","options":{"dvdi/driver":"rexray"},"shared":false}`,
		`{"name":"v","provider":"dvdi","shared":true}`,
		`{"name":"v","provider":"csi","options":{"pluginName":"p","capability":{"accessMode":"SINGLE_NODE_WRITER","accessType":"block"},` +
			`"volumeContext":{"a":"b"}}}`,
	} {
		var v ExternalVolume
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		got, err := EncodeJSON(v)
		if err != nil || string(got) != text {
			t.Errorf("got  %s (%v)\nwant %s", got, err, text)
		}
	}
}
