package machine

import (
	"fmt"
	"testing"
	"time"

	"stadion/core"
)

// TestRetention is D-22 (behaviour 1.9, E.1.4): by timer and without deployments; never a version that the tree, a
// deployment, an instance or a kept root names.
func TestRetention(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxVersions = 3 })
	pinned := r.running(`{"id":"/pinned"}`)[0] // its instance keeps running the first version
	first := r.get(pinned).Version
	kept, _ := r.put(`{"id":"/still"}`)
	var versions []core.Timestamp
	for n := range 10 {
		r.now += 1000
		app := testApp(t, fmt.Sprintf(`{"id":"/pinned","instances":%d}`, n+2))
		res, _ := r.change(core.Change{Put: []core.RunSpec{app}, Force: true})
		versions = append(versions, res.Version)
	}
	r.put(`{"id":"/gone"}`)
	r.change(core.Change{Remove: []core.PathID{"/gone"}, Force: true})
	for range 4 {
		r.now += 1000
		r.change(core.Change{Restart: []core.PathID{"/still"}, Force: true})
	}
	r.wait(6 * time.Minute)
	roots := 0
	for range r.m.st.Roots() {
		roots++
	}
	if roots != 3 {
		t.Errorf("%d roots", roots)
	}
	has := func(id core.PathID, v core.Timestamp) bool { _, ok := r.m.st.SpecAt(id, v); return ok }
	if !has("/pinned", first) {
		t.Error("the version of an instance is dropped (c)")
	}
	for n, v := range versions {
		running := false
		for _, id := range r.ids("/pinned") {
			running = running || r.get(id).Version == v
		}
		if want := n >= len(versions)-3 || running; has("/pinned", v) != want {
			t.Errorf("version %d: %v, want %v", n, has("/pinned", v), want)
		}
	}
	if n := len(r.m.st.SpecVersions("/gone")); n != 0 {
		t.Errorf("%d versions of a removed spec", n)
	}
	if has("/still", kept.Version) {
		t.Error("an old version stays although nothing names it")
	}
	for root := range r.m.st.Roots() { // every kept root can be shown in full
		tree, ok := r.m.st.RootAt(root.Version)
		if !ok {
			t.Fatal("a kept root cannot be shown")
		}
		for s := range tree.SpecsBelow(core.Root) {
			if s == nil {
				t.Errorf("root %v lacks a spec", root.Version)
			}
		}
		if _, ok := tree.Spec("/still"); !ok {
			t.Errorf("root %v lacks /still", root.Version)
		}
	}
	r.crash() // nothing that is stored is broken by it
	if s, ok := r.m.specFor(r.get(pinned)); !ok || s.SpecVersion() != first {
		t.Errorf("%v", s)
	}
}

// TestRetentionAfterWrites: a busy server does not wait for the timer (behaviour 12.2, D-22).
func TestRetentionAfterWrites(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxVersions = 3 })
	for n := range 120 {
		r.now += 10
		r.change(core.Change{Put: []core.RunSpec{testApp(t, fmt.Sprintf(`{"id":"/web","instances":%d}`, n%2))}, Force: true})
	}
	if n := len(r.m.st.SpecVersions("/web")); n > 30 {
		t.Errorf("%d versions", n)
	}
}

// agedSpecs lists what the next retention run would look at.
func (r *rig) agedSpecs() (all []core.PathID) {
	for id, ok := r.m.st.Aged(); ok; id, ok = r.m.st.Aged() {
		all = append(all, id)
	}
	for _, id := range all {
		r.m.st.Age(id)
	}
	return all
}

// TestRetentionLooksAtChanges (P24): a retention run looks at the specs that changed since the last one, however many
// others there are, and at a bounded number of them before it lets others have their turn.
func TestRetentionLooksAtChanges(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxVersions, c.MaxRows = 3, 1<<20 })
	var many []core.RunSpec
	for n := range 2*retainSpecs + 10 {
		many = append(many, testApp(t, fmt.Sprintf(`{"id":"/many/app-%d","instances":0}`, n)))
	}
	r.change(core.Change{Put: many})
	due := r.m.retainedAt + retainEveryMs
	for left := len(many); r.m.retainedAt < due || left > 0; {
		at, _ := r.m.NextTimer()
		r.now = at
		r.do(Tick{})
		n := len(r.agedSpecs())
		if left-n > retainSpecs {
			t.Fatalf("%d specs in one go", left-n)
		}
		left = n
	}
	r.put(`{"id":"/many/app-7","instances":0,"cmd":"other"}`)
	if aged := r.agedSpecs(); len(aged) != 1 || aged[0] != "/many/app-7" {
		t.Errorf("the next run would look at %d specs: %.3v", len(aged), aged)
	}
	r.crash() // a new leader knows nothing and looks at all
	if n := len(r.agedSpecs()); n != len(many) {
		t.Errorf("after loading: %d of %d specs", n, len(many))
	}
}

// BenchmarkRetention is what one change costs with its share of the retention runs, among few and among many apps (P24).
func BenchmarkRetention(b *testing.B) {
	for _, apps := range []int{100, 10_000} {
		b.Run(fmt.Sprint(apps), func(b *testing.B) {
			r := newRig(b, func(c *Config) { c.MaxVersions, c.MaxRows = 3, 1<<20 })
			var many []core.RunSpec
			for n := range apps {
				many = append(many, testApp(b, fmt.Sprintf(`{"id":"/many/app-%d","instances":0}`, n)))
			}
			r.change(core.Change{Put: many})
			r.wait(6 * time.Minute)
			b.ResetTimer()
			for n := range b.N {
				r.now += 10
				r.put(fmt.Sprintf(`{"id":"/many/app-7","instances":0,"cmd":"v%d"}`, n))
			}
		})
	}
}
