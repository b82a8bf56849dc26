package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"stadion/core"
	"stadion/core/state"
	"stadion/core/store/etcdtest"
)

// F14: rows that cannot be read are left alone and reported; the rest goes on.
func TestCorruptRowsAreQuarantined(t *testing.T) {
	m := NewMemory()
	s := m.Open(Options{})
	st := load(t, s)
	fill(st)
	commit(t, s, 1, st)
	const root = "/marathon/v1/"
	bad := map[string]string{
		"apps/x/2026-01-01T00:00:00.000Z": `{"id":"/y","version":"2026-01-01T00:00:00.000Z"}`,
		"apps/broken":                     `{"id":`,
		"pods/p/2026-01-01T00:00:00.000Z": `{}`,
		"groups/a":                        "\x01not deflate",
		"groups/b":                        "\x02",
		"instances/a/1":                   `{"v":9}`,
		"instances/a/2":                   `{"v":1,"cond":"Asleep"}`,
		"instances/a/3":                   "\x00\xff",
		"instances/noid":                  `{"v":1,"cond":"Running"}`,
		"deployments/d":                   `[]`,
		"deployments/e":                   string(partsHead(3)),
		"specs/lost":                      `{"version":"2026-01-01T00:00:00.000Z"}`,
		"health/a/1":                      `"yes"`,
		"foreign":                         `hello`,
		"dir/foreign":                     `hello`,
		"root/versions/x":                 `{"version":"2026-01-01T00:00:00.000Z"} trailing`,
		"redo":                            `{"seq":1,"chunks":2}`,
		"seq":                             `many`,
		"schema":                          `?`,
	}
	for k, v := range bad {
		m.Set(root+k, []byte(v))
	}
	s = m.Open(Options{})
	got := load(t, s)
	reported := map[string]bool{}
	for _, q := range s.Quarantined() {
		if q.Err == nil {
			t.Errorf("%s: no cause", q.Key)
		}
		reported[strings.TrimPrefix(q.Key, root)] = true
		if q.Key == root+"instances/a/1" && q.Instance != "a.instance-1" {
			t.Errorf("instance %q", q.Instance)
		}
		if want := map[string]core.PathID{"specs/lost": "/lost", "apps/x/2026-01-01T00:00:00.000Z": "/x", "pods/p/2026-01-01T00:00:00.000Z": "/p"}[strings.TrimPrefix(q.Key, root)]; want != "" && q.Spec != want {
			t.Errorf("%s: spec %q", q.Key, q.Spec)
		}
	}
	for k := range bad {
		if !reported[k] {
			t.Errorf("%s was not reported", k)
		}
		delete(reported, k)
	}
	if len(reported) > 0 {
		t.Errorf("sound rows were reported: %v", reported)
	}
	sameState(t, &got.View, &st.View)
	got.SetFrameworkID("still writing")
	commit(t, s, s.Seq()+1, got)
	if m.Keys()[root+"instances/a/1"] == 0 {
		t.Error("a quarantined row was touched")
	}
}

// U4: fields of a later version are written back when the row is written again.
func TestUnknownFieldsSurvive(t *testing.T) {
	m := NewMemory()
	s := m.Open(Options{})
	st := load(t, s)
	fill(st)
	commit(t, s, 1, st)
	raw := func(key string) string { return at(m, key) }
	fields, err := encodeJSON(state.Write{Value: instance("/g/old.dotted", 1)}) // an instance with such a field is not packed
	if err != nil {
		t.Fatal(err)
	}
	m.Set("/marathon/v1/instances/g_old.dotted/11111111-2222-3333-4444-000000000001", fields)
	for _, key := range []string{"groups/g", "instances/g_old.dotted/11111111-2222-3333-4444-000000000001", "deployments/d-1"} {
		m.Set("/marathon/v1/"+key, []byte(`{"future":{"deep":[1,2]},`+raw(key)[1:]))
	}
	s = m.Open(Options{})
	st = load(t, s)
	if q := s.Quarantined(); len(q) > 0 {
		t.Fatalf("quarantined: %v", q)
	}
	st.PutGroup(&core.Group{ID: "/g", Version: stamp + 1})
	i, _ := st.Instance(instance("/g/old.dotted", 1).ID)
	c := i.Clone()
	c.Condition = core.Killing
	st.PutInstance(c)
	d, _ := st.Deployment("d-1")
	next := *d
	next.Current = 2
	st.PutDeployment(&next)
	commit(t, s, 2, st)
	for key, changed := range map[string]string{"groups/g": "version", "deployments/d-1": "current",
		"instances/g_old.dotted/11111111-2222-3333-4444-000000000001": "cond"} {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal([]byte(raw(key)), &fields); err != nil {
			t.Fatal(err)
		}
		if string(fields["future"]) != `{"deep":[1,2]}` || fields[changed] == nil {
			t.Errorf("%s: %s", key, raw(key))
		}
	}
	sameState(t, &load(t, m.Open(Options{})).View, &st.View)
}

// behaviour 1.11, R14: what a later version wrote is not touched.
func TestNewerSchemaIsRefused(t *testing.T) {
	m := NewMemory()
	m.Set("/marathon/v1/schema", []byte(`{"version":3}`))
	if _, err := m.Open(Options{}).Load(etcdtest.Context(t)); !errors.Is(err, ErrNewerSchema) {
		t.Errorf("load: %v, want ErrNewerSchema", err)
	}
}

// R14, U1: a later layout that says that this one can read it is worked on and left as it is; an older one is brought up.
func TestSchemaMovesOneVersion(t *testing.T) {
	for _, c := range []struct{ found, left string }{
		{`{"version":3,"readers":2}`, `{"version":3,"readers":2}`},
		{`{"version":2}`, `{"version":2}`},
		{`{"version":1,"readers":1}`, `{"version":2,"readers":2}`},
	} {
		m := NewMemory()
		m.Set("/marathon/v1/schema", []byte(c.found))
		load(t, m.Open(Options{}))
		if got := at(m, "schema"); got != c.left {
			t.Errorf("%s becomes %s, want %s", c.found, got, c.left)
		}
	}
}

// behaviour 1.10: a current version that is gone falls back to the newest stored one, and is reported.
func TestMissingVersionFallsBack(t *testing.T) {
	m := NewMemory()
	s := m.Open(Options{})
	st := load(t, s)
	st.PutVersion(app("/a", stamp))
	st.PutSpec(app("/a", stamp+1))
	commit(t, s, 1, st)
	m.Set("/marathon/v1/apps/a/"+(stamp+1).String(), nil)
	s = m.Open(Options{})
	got, ok := load(t, s).Spec("/a")
	if !ok || got.SpecVersion() != stamp {
		t.Errorf("current version %v, want the one before", got)
	}
	if q := s.Quarantined(); len(q) != 1 || q[0].Key != "/marathon/v1/specs/a" {
		t.Errorf("quarantined: %v", q)
	}
}

func TestLoadTenThousandRows(t *testing.T) {
	c := etcdtest.Start(t).Client(t)
	patient := Options{Timeout: time.Minute}
	s := New(c, lead(t, c), patient)
	st := load(t, s)
	const rows = 10000
	for n := range rows {
		st.PutInstance(instance("/many", n))
	}
	commit(t, s, 1, st)
	began := time.Now()
	got := load(t, New(c, lead(t, c), patient))
	t.Logf("%d rows loaded in %v", rows, time.Since(began))
	if got.InstanceTotal() != rows || got.Counts("/many").Running != rows {
		t.Errorf("%d rows, %d running", got.InstanceTotal(), got.Counts("/many").Running)
	}
}

// performance P10: at most 400 bytes per running instance, key and etcd's own overhead aside.
func TestInstanceRowIsSmall(t *testing.T) {
	m := NewMemory()
	s := m.Open(Options{})
	st := load(t, s)
	i := instance("/team/service", 1)
	st.PutInstance(i)
	commit(t, s, 1, st)
	for k, size := range m.Keys() {
		if strings.Contains(k, "/instances/") && len(k)+size > 400 {
			t.Errorf("%s takes %d bytes", k, len(k)+size)
		}
	}
}

// F10: a full etcd takes no writes, says so, and heals without a new term.
func TestNoSpace(t *testing.T) {
	srv := etcdtest.Start(t, func(cfg *embed.Config) { cfg.QuotaBackendBytes = 4 << 20 })
	c := srv.Client(t)
	s := New(c, lead(t, c), Options{})
	st := load(t, s)
	ctx := etcdtest.Context(t)
	filler := strings.Repeat("x", 200<<10)
	for { // etcd notices its size with a delay
		if _, err := c.Put(ctx, "/filler", filler); errors.Is(err, rpctypes.ErrNoSpace) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	st.SetFrameworkID("f")
	writes := st.Flush()
	if err := s.Commit(ctx, 1, writes); !errors.Is(err, ErrNoSpace) {
		t.Fatalf("commit to a full store: %v, want ErrNoSpace", err)
	}
	now, err := c.Get(ctx, "/filler")
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Compact(ctx, now.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "commit after the alarm", func() error { // the alarm may be raised again until the size is known
		if _, err := c.Defragment(ctx, srv.Endpoint); err != nil {
			return err
		}
		if _, err := c.AlarmDisarm(ctx, &clientv3.AlarmMember{}); err != nil {
			return err
		}
		return s.Commit(ctx, 1, writes)
	})
}

// F11, P14: compaction forgets history and nothing else.
func TestCompaction(t *testing.T) {
	c := etcdtest.Start(t).Client(t)
	s := New(c, lead(t, c), Options{})
	st := load(t, s)
	ctx := etcdtest.Context(t)
	for seq := uint64(1); seq <= 4; seq++ {
		st.SetFrameworkID("f-" + string(rune('0'+seq)))
		commit(t, s, seq, st)
		if err := s.Compact(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Compact(ctx); err != nil {
		t.Fatalf("compaction without progress: %v", err)
	}
	if _, err := c.Get(ctx, "x", clientv3.WithRev(1)); !errors.Is(err, rpctypes.ErrCompacted) {
		t.Errorf("history is still there: %v", err)
	}
	if got := load(t, New(c, lead(t, c), Options{})); got.FrameworkID() != "f-4" {
		t.Errorf("framework %q after compaction", got.FrameworkID())
	}
}

// asked notes at which revisions a backend is read and compacted.
type asked struct {
	backend
	scans, compactions []int64
}

func (a *asked) scan(ctx context.Context, from, end string, rev int64, limit int) (page, error) {
	a.scans = append(a.scans, rev)
	return a.backend.scan(ctx, from, end, rev, limit)
}

func (a *asked) compact(_ context.Context, rev int64) error {
	a.compactions = append(a.compactions, rev)
	return nil
}

// All pages of a load are of one revision: of the first (R1).
func TestLoadIsOfOneRevision(t *testing.T) {
	m := NewMemory()
	s := m.Open(Options{})
	st := load(t, s)
	for n := range 10 {
		st.PutInstance(instance("/a", n))
	}
	commit(t, s, 1, st)
	a := &asked{backend: m}
	load(t, newStore(a, s.fence, Options{PageSize: 4}.withDefaults()))
	pages := a.scans[1:] // the first looks for a redo log
	if len(pages) < 3 || pages[0] != 0 {
		t.Fatalf("read at %v", pages)
	}
	for _, rev := range pages[1:] {
		if rev != m.rev {
			t.Errorf("read at %v, the revision is %d", pages, m.rev)
		}
	}
}

// Watchers have one interval to catch up: what is compacted is what was old at the call before (F11).
func TestCompactionLeavesAnInterval(t *testing.T) {
	m := NewMemory()
	s := m.Open(Options{})
	st := load(t, s)
	a := &asked{backend: m}
	s.db = a
	var revs []int64
	for seq := uint64(1); seq <= 3; seq++ {
		st.SetFrameworkID(string(rune('a' + seq)))
		commit(t, s, seq, st)
		revs = append(revs, m.rev)
		if err := s.Compact(etcdtest.Context(t)); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(a.compactions, revs[:2]) {
		t.Errorf("compacted at %v, batches at %v", a.compactions, revs)
	}
}

// P14, F11: much written makes a compaction due; it begins anew with each.
func TestGrown(t *testing.T) {
	s := NewMemory().Open(Options{})
	st := load(t, s)
	for seq := uint64(1); seq <= 2; seq++ {
		s.written.Add(CompactBytes - 1)
		if s.Grown() {
			t.Errorf("batch %d: much was written already", seq)
		}
		st.PutFailure(&core.TaskFailure{AppID: "/a", Message: fmt.Sprint(seq)})
		commit(t, s, seq, st)
		if !s.Grown() {
			t.Errorf("batch %d: nothing was written", seq)
		}
		if err := s.Compact(etcdtest.Context(t)); err != nil {
			t.Fatal(err)
		}
	}
}

// at is the stored value of a key.
func at(m *Memory, key string) string {
	v, _ := m.data.Get("/marathon/v1/" + key)
	return string(v)
}

// F14: reports are bounded, but not those that keep tasks and volumes alive.
func TestEveryUnreadInstanceIsReported(t *testing.T) {
	m := NewMemory()
	load(t, m.Open(Options{}))
	for n := range maxQuarantined + 10 {
		m.Set(fmt.Sprintf("/marathon/v1/foreign-%d", n), []byte("hello"))
		m.Set(fmt.Sprintf("/marathon/v1/instances/z/%d", n), []byte("{"))
	}
	s := m.Open(Options{})
	load(t, s)
	instances := 0
	for _, q := range s.Quarantined() {
		if q.Instance != "" {
			instances++
		}
	}
	if n := len(s.Quarantined()); instances != maxQuarantined+10 || n > 2*maxQuarantined+10 {
		t.Errorf("%d instances of %d reports", instances, n)
	}
}
