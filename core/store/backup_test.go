package store

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"stadion/core/state"
	"stadion/core/store/etcdtest"
)

func backup(t *testing.T, s *Store) []byte {
	t.Helper()
	var b bytes.Buffer
	_, n, _, err := s.Backup(etcdtest.Context(t), &b)
	if err != nil || n == 0 {
		t.Fatalf("backup of %d keys: %v", n, err)
	}
	return b.Bytes()
}

func archive(t *testing.T, raw []byte) *Archive {
	t.Helper()
	a, err := ReadBackup(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// change makes a state that shares some rows with fill's, lacks some and has others.
func change(st *state.State) {
	st.PutSpec(app("/later", stamp+1))
	st.PutSpec(app("/g/old.dotted", stamp+2))
	for n := range 30 {
		st.PutInstance(instance("/later", n+100))
	}
	st.SetFrameworkID("f-2")
}

// A restored store is what was backed up, whatever came since, in one transaction or through the redo log.
func TestBackupAndRestore(t *testing.T) { // behaviour 1.11
	for _, ops := range []int{DefaultMaxTxnOps, 8} {
		each(t, func(t *testing.T, open func(Options) *Store) {
			o := Options{PageSize: 3, MaxTxnOps: ops}
			s := open(o)
			st := load(t, s)
			if empty, err := open(o).Empty(etcdtest.Context(t)); err != nil || empty {
				t.Errorf("a store with a schema is empty: %v %v", empty, err)
			}
			s = open(o)
			load(t, s)
			fill(st)
			commit(t, s, 1, st)
			raw := backup(t, s)
			change(st)
			commit(t, s, 7, st)

			s = open(o)
			if err := s.Restore(etcdtest.Context(t), archive(t, raw)); err != nil {
				t.Fatal(err)
			}
			if err := s.Commit(etcdtest.Context(t), 9, nil); err == nil {
				t.Error("committed on a state that was not loaded")
			}
			want := state.New()
			fill(want)
			want.Flush()
			again := load(t, s)
			sameState(t, &again.View, &want.View)
			if s.Seq() <= 7 {
				t.Errorf("batches count backwards: %d after 7", s.Seq())
			}
			if string(backup(t, s)) == "" || len(s.Quarantined()) > 0 {
				t.Errorf("quarantined: %v", s.Quarantined())
			}
		})
	}
}

func TestRestoreIntoNothing(t *testing.T) {
	each(t, func(t *testing.T, open func(Options) *Store) {
		s := open(Options{})
		st := load(t, s)
		fill(st)
		commit(t, s, 1, st)
		raw := backup(t, s)
		other := Options{Prefix: "/elsewhere"}
		s = open(other)
		if empty, err := s.Empty(etcdtest.Context(t)); err != nil || !empty {
			t.Fatalf("nothing is not empty: %v", err)
		}
		if err := s.Restore(etcdtest.Context(t), archive(t, raw)); err != nil {
			t.Fatal(err)
		}
		again := load(t, s)
		sameState(t, &again.View, &st.View)
	})
}

// A process that dies anywhere in a restore leaves the old state or the new one.
func TestRestoreIsWholeOrNothing(t *testing.T) { // F1, R2
	o := Options{MaxTxnOps: 8}
	for n := 1; ; n++ {
		m := NewMemory()
		s := m.Open(o)
		st := load(t, s)
		fill(st)
		commit(t, s, 1, st)
		raw := backup(t, s)
		change(st)
		commit(t, s, 2, st)

		s = m.Open(o)
		dead := errors.New("dead")
		c := &counting{backend: m, beforeEachTxn: func(i int) error {
			if i >= n {
				return dead
			}
			return nil
		}}
		s.db = c
		err := s.Restore(context.Background(), archive(t, raw))
		next := m.Open(o)
		again := load(t, next)
		if q := next.Quarantined(); len(q) > 0 {
			t.Fatalf("quarantined: %v", q)
		}
		before := dump(&st.View)
		then := state.New()
		fill(then)
		then.Flush()
		if got := fmt.Sprint(dump(&again.View)); len(dump(&again.View)) == len(before) {
			sameState(t, &again.View, &st.View)
			if err == nil {
				t.Fatalf("restored without an effect: %s", got)
			}
		} else {
			sameState(t, &again.View, &then.View)
		}
		if t.Failed() {
			t.Fatalf("died before transaction %d", n)
		}
		if err == nil {
			if n < 5 {
				t.Fatalf("only %d transactions: nothing was tried", n)
			}
			return
		}
	}
}

func TestRestoreNeedsTheFence(t *testing.T) { // R8
	each(t, func(t *testing.T, open func(Options) *Store) {
		s := open(Options{})
		st := load(t, s)
		fill(st)
		commit(t, s, 1, st)
		raw := backup(t, s)
		open(Options{})
		if err := s.Restore(etcdtest.Context(t), archive(t, raw)); err != nil && !errors.Is(err, ErrFenced) {
			t.Errorf("restore: %v", err)
		}
		if err := s.PutRuntime(etcdtest.Context(t), Runtime{Backup: "x"}); !errors.Is(err, ErrFenced) {
			t.Errorf("runtime configuration: %v, want ErrFenced", err)
		}
	})
}

// A backup that falls into a large batch holds all of it.
func TestBackupInsideALargeBatch(t *testing.T) {
	m := NewMemory()
	o := Options{MaxTxnOps: 8}
	s := m.Open(o)
	st := load(t, s)
	fill(st)
	commit(t, s, 1, st)
	change(st)
	writes := st.Flush()
	var raw []byte
	s.db = &counting{backend: m, beforeEachTxn: func(int) error {
		if _, marked := m.Keys()[s.root+keyRedo]; marked && raw == nil {
			raw = backup(t, m.Join(o))
		}
		return nil
	}}
	if err := s.Commit(context.Background(), 2, writes); err != nil || raw == nil {
		t.Fatalf("no backup was made: %v", err)
	}
	s = NewMemory().Open(o)
	if err := s.Restore(context.Background(), archive(t, raw)); err != nil {
		t.Fatal(err)
	}
	again := load(t, s)
	sameState(t, &again.View, &st.View)
}

// Whatever is not exactly a backup is refused before anything is touched.
func TestDamagedBackups(t *testing.T) {
	s := NewMemory().Open(Options{})
	st := load(t, s)
	fill(st)
	commit(t, s, 1, st)
	raw := backup(t, s)
	for n := range raw {
		bad := bytes.Clone(raw)
		bad[n] ^= 0x40
		if a, err := ReadBackup(bytes.NewReader(bad)); err == nil {
			// Some bytes say the same either way: the time in the header, the distance to one of many zeros.
			if !reflect.DeepEqual(a, archive(t, raw)) {
				t.Errorf("byte %d of %d changed: accepted", n, len(raw))
			}
		}
		if _, err := ReadBackup(bytes.NewReader(raw[:n])); err == nil {
			t.Errorf("cut after %d of %d bytes: accepted", n, len(raw))
		}
	}
	for name, edit := range map[string]func(h *tar.Header, data []byte) (*tar.Header, []byte){
		"newer format": func(h *tar.Header, d []byte) (*tar.Header, []byte) {
			return h, bytes.Replace(d, []byte(`"format":1`), []byte(`"format":2`), 1)
		},
		"changed value": func(h *tar.Header, d []byte) (*tar.Header, []byte) {
			return h, bytes.Replace(d, []byte(`f-1`), []byte(`f-9`), 1)
		},
		"row left out": func(h *tar.Header, d []byte) (*tar.Header, []byte) {
			if strings.HasSuffix(h.Name, keyFramework) {
				return nil, nil
			}
			return h, d
		},
		"no checksum": func(h *tar.Header, d []byte) (*tar.Header, []byte) {
			if h.Name == backupChecksum {
				return nil, nil
			}
			return h, d
		},
		"no manifest": func(h *tar.Header, d []byte) (*tar.Header, []byte) {
			if h.Name == backupManifest {
				return nil, nil
			}
			return h, d
		},
	} {
		if _, err := ReadBackup(bytes.NewReader(rewrite(t, raw, edit))); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := ReadBackup(strings.NewReader("{}")); err == nil {
		t.Error("a text was accepted")
	}
}

// A backup of a later layout is refused (U2).
func TestBackupOfANewerSchema(t *testing.T) {
	m := NewMemory()
	s := m.Open(Options{})
	load(t, s)
	m.Set("/marathon/v1/schema", []byte(`{"version":99}`))
	if _, err := ReadBackup(bytes.NewReader(backup(t, s))); !errors.Is(err, ErrNewerSchema) {
		t.Errorf("%v, want ErrNewerSchema", err)
	}
}

// Rows of a later version with fields this one does not know, and keys of others, come back as they were.
func TestBackupKeepsWhatItDoesNotKnow(t *testing.T) { // U4, F14
	m := NewMemory()
	s := m.Open(Options{})
	load(t, s)
	m.Set("/marathon/v1/specs/x", []byte(`{"version":"2026-01-01T00:00:00.000Z","later":[1]}`))
	m.Set("/marathon/v1/foreign/key", []byte{0, 1, 2, 255})
	m.Set("/marathon/v1/zero\x00key", []byte("left out"))
	m.Set("/marathon/v1/runtime-config", []byte(`{}`))
	var b bytes.Buffer
	if _, n, left, err := s.Backup(context.Background(), &b); err != nil || left != 1 || n != 3 { // schema and two
		t.Fatalf("%d keys, %d left out: %v", n, left, err)
	}
	to := NewMemory()
	if err := to.Open(Options{}).Restore(context.Background(), archive(t, b.Bytes())); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"/marathon/v1/specs/x", "/marathon/v1/foreign/key"} {
		have, _ := to.data.Get(key)
		want, _ := m.data.Get(key)
		if !bytes.Equal(have, want) {
			t.Errorf("%s: %q, want %q", key, have, want)
		}
	}
}

func TestRuntimeConfigurationIsTakenOnce(t *testing.T) { // behaviour 1.11
	each(t, func(t *testing.T, open func(Options) *Store) {
		ctx := etcdtest.Context(t)
		want := Runtime{Backup: "file:///a", Restore: "file:///b"}
		if err := open(Options{}).PutRuntime(ctx, want); err != nil {
			t.Fatal(err)
		}
		s := open(Options{})
		if got, err := s.TakeRuntime(ctx); err != nil || got != want {
			t.Errorf("%+v %v, want %+v", got, err, want)
		}
		if got, err := s.TakeRuntime(ctx); err != nil || got != (Runtime{}) {
			t.Errorf("a second time: %+v %v", got, err)
		}
		if err := s.PutRuntime(ctx, want); err != nil {
			t.Fatal(err)
		}
		load(t, s)
		if len(s.Quarantined()) > 0 {
			t.Errorf("the request counts as a row: %v", s.Quarantined())
		}
	})
}

// rewrite makes another archive out of one.
func rewrite(t *testing.T, raw []byte, edit func(*tar.Header, []byte) (*tar.Header, []byte)) []byte {
	t.Helper()
	packed, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	in := tar.NewReader(packed)
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	out := tar.NewWriter(zip)
	for {
		h, err := in.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		if h, data = edit(h, data); h == nil {
			continue
		}
		h.Size = int64(len(data))
		if err := out.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(out.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A small log that begins with a deletion is not taken for a compressed one.
func TestLogThatBeginsWithADeletion(t *testing.T) { // F1
	for _, kind := range []opKind{opPut, opDelete, opDeleteTree} {
		ops := []op{{kind, "/p/v1/a", []byte{}}, {opPut, "/p/v1/b", []byte("b")}}
		raw, err := pack(encodeOps(ops, len("/p/v1/")))
		if err != nil {
			t.Fatal(err)
		}
		if raw, err = unpack(raw); err != nil {
			t.Fatal(err)
		}
		got, err := decodeOps(raw, "/p/v1/")
		if err != nil || !reflect.DeepEqual(got, ops) {
			t.Errorf("%d: %+v %v", kind, got, err)
		}
	}
}
