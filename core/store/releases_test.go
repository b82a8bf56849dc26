package store

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"stadion/core"
	"stadion/core/store/etcdtest"
)

// writeRelease makes the store of the present layout anew; do it once per layout, before its release, and never again.
var writeRelease = flag.Bool("release", false, "write testdata/releases/schema-<version>.tar.gz")

// TestReleasedStores: what each released layout stored is read, all of it, and written back with all its fields (U2, R14).
func TestReleasedStores(t *testing.T) {
	if *writeRelease {
		release(t)
	}
	files, err := filepath.Glob("testdata/releases/*.tar.gz")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stores of released layouts: %v", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		a := archive(t, raw)
		m := NewMemory()
		if err := m.Open(Options{}).Restore(etcdtest.Context(t), a); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		s := m.Open(Options{})
		st := load(t, s)
		for _, q := range s.Quarantined() {
			t.Errorf("%s: %+v", file, q)
		}
		if got, err := parseSchema([]byte(at(m, keySchema))); err != nil || got.Version < own().Version {
			t.Errorf("%s: after a load the schema is %+v %v", file, got, err)
		}
		tables := map[string]int{}
		for key, value := range a.pairs {
			if !isReserved(key) && !strings.HasPrefix(key, dirParts) {
				tables[strings.SplitN(key, "/", 2)[0]]++
				checkReleasedRow(t, file, key, value)
			}
		}
		for _, table := range []string{"specs", "apps", "pods", "groups", "root", "instances", "deployments", "failures", "health", "framework-id"} {
			if tables[table] == 0 {
				t.Errorf("%s has no %s: %v", file, table, tables)
			}
		}
		if n := len(dump(&st.View)); n < 10 {
			t.Errorf("%s: only %d rows are there", file, n)
		}
	}
}

// checkReleasedRow: the row is known in all its fields, and comes out with each of them as it was.
func checkReleasedRow(t *testing.T, file, key string, raw []byte) {
	t.Helper()
	w, unknown, err := decodeRow(key, raw, nil)
	if err != nil || unknown != nil {
		t.Errorf("%s, %s: %v, unknown fields %v", file, key, err, unknown)
		return
	}
	again, err := encodeRow(w, nil)
	if err != nil {
		t.Errorf("%s, %s: %v", file, key, err)
		return
	}
	if i, ok := w.Value.(*core.Instance); ok { // its form may be another one now
		if back, _, err := decodeRow(key, again, nil); err != nil || !reflect.DeepEqual(back.Value, w.Value) {
			t.Errorf("%s, %s: %+v becomes %+v (%v)", file, key, i, back.Value, err)
		}
		if raw[0] == packInstance {
			return
		}
		if again, err = encodeJSON(w); err != nil {
			t.Errorf("%s, %s: %v", file, key, err)
			return
		}
	}
	var was, is map[string]any
	if json.Unmarshal(raw, &was) != nil { // no object: the framework id, a health flag
		if string(again) != string(raw) {
			t.Errorf("%s, %s: %s becomes %s", file, key, raw, again)
		}
		return
	}
	if err := json.Unmarshal(again, &is); err != nil {
		t.Errorf("%s, %s: %v", file, key, err)
	}
	for field, v := range was {
		if !reflect.DeepEqual(is[field], v) {
			t.Errorf("%s, %s: %s was %v and becomes %v", file, key, field, v, is[field])
		}
	}
}

// release writes a store in which every field of every kind of row is set.
func release(t *testing.T) {
	t.Helper()
	m := NewMemory()
	s := m.Open(Options{})
	st := load(t, s)
	a, p, g, root, d, f, i := &core.App{}, &core.Pod{}, &core.Group{}, &core.RootVersion{}, &core.Deployment{}, &core.TaskFailure{}, &core.Instance{}
	for _, v := range []any{a, p, g, root, d, f, i} {
		fillAll(reflect.ValueOf(v).Elem())
	}
	a.ID, p.ID, g.ID, f.AppID, i.ID, i.Spec, d.ID = "/g/a", "/g/p", "/g", "/g/a", "g_a.instance-1", "/g/a", "d-1"
	i.Tasks[0].ID, i.Tasks[0].Status.State = "g_a.instance-1.text.1", "TASK_FAILED"
	st.PutGroup(g)
	for _, spec := range []core.RunSpec{a, p, app("/plain", stamp), app("/plain", stamp+1), pod("/plainpod", stamp)} {
		st.PutSpec(spec)
	}
	for _, n := range []*core.Instance{i, packed("/plain", 3), instance("/plain", 1), instance("/plain", 2)} {
		st.PutInstance(n)
		st.SetLastAlive(n.ID, n != i)
	}
	st.PutDeployment(d)
	st.PutFailure(f)
	st.SetRoot(root)
	st.SetFrameworkID("f-1")
	commit(t, s, 1, st)
	if err := os.WriteFile("testdata/releases/schema-"+layoutVersion+".tar.gz", backup(t, s), 0o600); err != nil {
		t.Fatal(err)
	}
}
