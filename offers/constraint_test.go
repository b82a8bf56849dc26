package offers

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"stadion/core"
)

func fitsGroup(t *testing.T, constraint string, instances int, placed []string, value string) bool {
	t.Helper()
	a := app(t, fmt.Sprintf(`{"constraints":[%s],"instances":%d}`, constraint, instances))
	n := need(a)
	n.Placed = placedAt(a, placed...)
	o := offer()
	if value != "" {
		o.Agent = agent(1, "g", value)
	}
	m := try(o, n)
	if m.Operations == nil && !slices.Equal(m.Reasons, []Reason{UnfulfilledConstraint}) {
		t.Fatalf("reasons %v", m.Reasons)
	}
	return m.Operations != nil
}

// behaviour D.3: GROUP_BY with a value, five instances.
func TestGroupByWithValueD3(t *testing.T) {
	for _, c := range []struct {
		g      int
		placed string
		value  string
		want   bool
	}{
		{2, "", "r7", true},
		{2, "r1 r1", "r1", true},
		{2, "r1 r1 r1", "r1", false},
		{2, "r1", "r2", true},
		{2, "r1 r1 r1 r2", "r2", true},
		{2, "r1 r2", "r3", false},
		{4, "r1", "r1", true},
		{4, "r1 r1", "r1", false},
		{4, "r1 r1 r2", "r2", false},
		{2, "", "", false},
		{4, "r1", "", false},
	} {
		got := fitsGroup(t, fmt.Sprintf(`["g","GROUP_BY","%d"]`, c.g), 5, strings.Fields(c.placed), c.value)
		if got != c.want {
			t.Errorf("G=%d placed %q offer %q: %v", c.g, c.placed, c.value, got)
		}
	}
}

// behaviour D.4 and 5.5.2: the other operators; D-15: whole-string RE2, unusable patterns match nothing;
// D-16: GROUP_BY without a value.
func TestOperators(t *testing.T) {
	for _, c := range []struct {
		constraint, placed, value string
		want                      bool
	}{
		{`["g","UNIQUE"]`, "a b", "c", true},
		{`["g","UNIQUE"]`, "a b", "a", false},
		{`["g","UNIQUE"]`, "", "", false},
		{`["g","CLUSTER"]`, "", "a", true},
		{`["g","CLUSTER"]`, "a", "b", false},
		{`["g","CLUSTER"]`, "a", "a", true},
		{`["g","CLUSTER",""]`, "a", "b", false},
		{`["g","CLUSTER","a"]`, "x y", "a", true},
		{`["g","CLUSTER","a"]`, "a", "b", false},
		{`["g","MAX_PER","2"]`, "a a b", "a", false},
		{`["g","MAX_PER","2"]`, "a a b", "b", true},
		{`["g","MAX_PER","x"]`, "", "b", false},
		{`["g","LIKE","r[12]"]`, "", "r1", true},
		{`["g","LIKE","r[12]"]`, "", "r12", false},
		{`["g","LIKE","r1|r2"]`, "", "xr1", false},
		{`["g","LIKE","r1"]`, "", "r1", true},
		{`["g","LIKE","r1"]`, "", "r12", false},
		{`["g","LIKE","r.*"]`, "", "", false},
		{`["g","UNLIKE","r1"]`, "", "r1", false},
		{`["g","UNLIKE","r1"]`, "", "r2", true},
		{`["g","UNLIKE","r1"]`, "", "", true},
		{`["g","LIKE","(?<!x)r1"]`, "", "r1", false},
		{`["g","UNLIKE","(?<!x)r1"]`, "", "r2", false},
		{`["g","UNLIKE","(?<!x)r1"]`, "", "", false},
		{`["g","LIKE","r1)|(r2"]`, "", "r1", false},
		{`["g","IS","1.0"]`, "", "1", true},
		{`["g","IS","0.8001"]`, "", "0.8", true},
		{`["g","IS","a/b"]`, "", "a/b", true},
		{`["g","IS","a"]`, "", "b", false},
		{`["g","NEAR","a"]`, "", "a", false},
		{`["g","GROUP_BY"]`, "", "a", true},
		{`["g","GROUP_BY"]`, "a", "b", true},
		{`["g","GROUP_BY"]`, "a a b", "b", true},
		{`["g","GROUP_BY"]`, "a a b", "a", false},
		{`["g","GROUP_BY"]`, "a a b b", "a", true},
		{`["g","GROUP_BY","inf"]`, "a b c", "d", true},
		{`["hostname","UNIQUE"]`, "a", "z", true},
		{`["hostname","LIKE","h[0-9]"]`, "", "", true},
		{`["@hostname","CLUSTER","h1"]`, "", "", true},
		{`["hostname","IS","h2"]`, "", "", false},
	} {
		if got := fitsGroup(t, c.constraint, 5, strings.Fields(c.placed), c.value); got != c.want {
			t.Errorf("%s placed %q offer %q: %v", c.constraint, c.placed, c.value, got)
		}
	}
}

// behaviour 5.5.2a: a placed instance without the attribute is one more group, but cannot block GROUP_BY without value.
func TestGroupByMissingAttribute(t *testing.T) {
	if fitsGroup(t, `["g","GROUP_BY","2"]`, 5, []string{"", "a"}, "b") {
		t.Error("a third group was allowed")
	}
	if !fitsGroup(t, `["g","GROUP_BY"]`, 5, []string{"", "a", "a", "b", "b"}, "a") {
		t.Error("the group without attribute blocks the others for ever")
	}
}

// behaviour 5.5.2 and 5.4: instances older than the last config change do not count.
func TestVersionFilter(t *testing.T) {
	a := app(t, `{"constraints":[["g","UNIQUE"]]}`)
	a.VersionInfo = &core.VersionInfo{LastConfigChangeAt: now - 5000, LastScalingAt: now - 5000}
	n := need(a)
	n.Placed = placedAt(a, "a")
	o := offer()
	o.Agent = agent(1, "g", "a")
	if m := try(o, n); m.Operations != nil {
		t.Error("an instance of the same configuration does not count")
	}
	n.Placed[0].Version = now - 5001
	launched(t, try(o, n))
}

// behaviour 5.5.2a: the count is that of the spec of the placed instances.
func TestGroupByUsesInstancesOfFirst(t *testing.T) {
	a := app(t, `{"constraints":[["g","GROUP_BY","2"]],"instances":10}`)
	n := need(a)
	n.Placed = placedAt(a, "a", "a")
	n.InstancesOfFirst = 2
	o := offer()
	o.Agent = agent(1, "g", "a")
	if m := try(o, n); m.Operations != nil {
		t.Error("quota of ten instead of two")
	}
	n.InstancesOfFirst = 0
	launched(t, try(o, n))
}

// behaviour 5.5.3 and D-11: another region than the master's is an unfulfilled constraint unless a constraint
// speaks of fault domains.
func TestRegionRule(t *testing.T) {
	for _, c := range []struct {
		region, home, constraints string
		want                      bool
	}{
		{"", "", `[]`, true},
		{"", "eu", `[]`, true},
		{"eu", "eu", `[]`, true},
		{"us", "eu", `[]`, false},
		{"eu", "", `[]`, false},
		{"us", "eu", `[["@region","IS","us"]]`, true},
		{"us", "eu", `[["@zone","UNLIKE","z9"]]`, true},
		{"us", "eu", `[["@region","IS","eu"]]`, false},
		{"us", "eu", `[["hostname","UNIQUE"]]`, false},
	} {
		o := offer()
		o.Agent.Region, o.Agent.Zone = c.region, "z1"
		cfg := config()
		cfg.HomeRegion = c.home
		m := TryMatch(cfg, now, random(), o, o.Resources, need(app(t, `{"constraints":`+c.constraints+`}`)))
		if (m.Operations != nil) != c.want {
			t.Errorf("%+v: %v", c, m.Reasons)
		}
		if !c.want && !slices.Equal(m.Reasons, []Reason{UnfulfilledConstraint}) {
			t.Errorf("%+v: reasons %v", c, m.Reasons)
		}
	}
}

// behaviour 5.5.1: text forms of attributes.
func TestFormatScalar(t *testing.T) {
	for v, want := range map[float64]string{1: "1", 0.8001: "0.8", 0.0625: "0.062", 12.5: "12.5", 0: "0", -0.0001: "0", 100: "100"} {
		if got := FormatScalar(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}

// D-16: a panic while matching one spec stays with it and becomes a reason.
func TestPanicIsContainedD16(t *testing.T) {
	a := app(t, `{"constraints":[["g","LIKE","x"]]}`)
	n := need(a)
	n.Compiled = Compile(a)
	n.Compiled.constraints[0].regex = func(string) bool { panic("boom") }
	o := offer()
	o.Agent = agent(1, "g", "x")
	m := try(o, n)
	if !slices.Equal(m.Reasons, []Reason{UnfulfilledConstraint}) || !strings.Contains(m.Problem, "boom") {
		t.Errorf("%+v", m)
	}
}

// The tally kept by the caller gives the same answers as counting anew, and removal undoes addition.
func TestCountsKeptIncrementally(t *testing.T) {
	a := app(t, `{"constraints":[["g","GROUP_BY"],["g","MAX_PER","3"],["g","GROUP_BY","3"],["g","CLUSTER"]],"instances":9}`)
	c := Compile(a)
	rnd := random()
	kept := NewCounts(c, nil)
	var placed []Placed
	for step := range 2000 {
		if len(placed) > 0 && rnd.IntN(2) == 0 {
			i := rnd.IntN(len(placed))
			kept.Remove(placed[i].Instance)
			placed = slices.Delete(placed, i, i+1)
		} else {
			p := placedAt(a, []string{"a", "b", "c", "d", ""}[rnd.IntN(5)])[0]
			p.Instance = instance(a, step).ID
			placed = append(placed, p)
			kept.Add(p)
			kept.Add(p)
		}
		fresh := NewCounts(c, placed)
		for i := range fresh.tallies {
			f, k := &fresh.tallies[i], &kept.tallies[i]
			if f.min != k.min || f.missing != k.missing || f.distinct() != k.distinct() || f.above(1) != k.above(1) || f.first() != k.first() {
				t.Fatalf("step %d: kept %+v, fresh %+v", step, k, f)
			}
		}
		if kept.Len() != len(placed) {
			t.Fatalf("step %d: %d counted, %d placed", step, kept.Len(), len(placed))
		}
	}
}

// A tally goes on serving a spec that was only scaled, and never one with other constraints.
func TestCountsOfAnotherConfiguration(t *testing.T) {
	a := app(t, `{"constraints":[["g","UNIQUE"]]}`)
	a.VersionInfo = &core.VersionInfo{LastConfigChangeAt: a.Version, LastScalingAt: a.Version}
	counts := NewCounts(Compile(a), placedAt(a, "x"))
	scaled := a.WithInstances(7).WithVersion(now, core.VersionInfo{LastConfigChangeAt: a.Version, LastScalingAt: now})
	o := offer()
	o.Agent = agent(1, "g", "y")
	n := need(scaled)
	n.Counts = counts
	launched(t, try(o, n))
	for _, text := range []string{`{"constraints":[["g","UNIQUE"]]}`, `{"constraints":[["h","UNIQUE"]]}`, `{"constraints":[["g","UNIQUE"],["g","UNIQUE"]]}`} {
		other := app(t, text)
		other.Version = now
		n := need(other)
		n.Counts = counts
		if m := try(o, n); m.Operations != nil || m.Problem == "" {
			t.Errorf("%s: matched with a foreign tally", text)
		}
	}
}
