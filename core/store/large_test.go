package store

import (
	"errors"
	"fmt"
	"testing"

	"go.etcd.io/etcd/server/v3/embed"

	"stadion/core"
	"stadion/core/state"
	"stadion/core/store/etcdtest"
)

// big is a group of n apps as one update: versions, pointers, a root version and a deployment that name them all.
func big(st *state.State, n int) {
	root := &core.RootVersion{Version: stamp}
	d := &core.Deployment{ID: "big", Version: stamp, StartedAt: stamp, Steps: []core.Step{{}}}
	for i := range n {
		a := app(core.PathID(fmt.Sprintf("/big/app-%06d", i)), stamp)
		st.PutSpec(a)
		root.Specs = append(root.Specs, core.SpecChange{ID: a.ID, To: stamp})
		d.Specs = append(d.Specs, core.SpecChange{ID: a.ID, To: stamp})
		d.Steps[0].Actions = append(d.Steps[0].Actions, core.Action{Kind: core.ActionStart, Spec: a.ID, Version: stamp})
	}
	st.SetRoot(root)
	st.PutDeployment(d)
}

// I12, D-38, D-21: no transaction and no value passes its limit, whatever the size of the change.
func TestLargeBatchKeepsTheLimits(t *testing.T) {
	each(t, func(t *testing.T, open func(Options) *Store) {
		s := open(Options{})
		count := &counting{backend: s.db}
		s.db = count
		st := load(t, s)
		big(st, 2000)
		commit(t, s, 1, st)
		if count.ops > s.opts.MaxTxnOps || count.bytes > etcdRequestLimit-requestSlack || count.value > MaxValue {
			t.Errorf("largest transaction: %d operations, %d bytes; largest value %d", count.ops, count.bytes, count.value)
		}
		if count.txns < max(3, 4000/s.opts.MaxTxnOps) {
			t.Errorf("only %d transactions: the batch was not large", count.txns)
		}
		st.SetFrameworkID("after")
		commit(t, s, 2, st)
		sameState(t, &load(t, open(Options{})).View, &st.View)
	})
}

// An etcd takes a batch of NestedOps operations as one transaction, and one more as several (I12).
func TestNestedTransaction(t *testing.T) {
	const limit = 20
	for _, c := range []struct{ rows, txns int }{{limit - 1, 1}, {limit, 1}, {NestedOps(limit) - 1, 1}, {NestedOps(limit), 3}} {
		db := etcdtest.Start(t, func(cfg *embed.Config) { cfg.MaxTxnOps = limit }).Client(t)
		s := New(db, lead(t, db), Options{MaxTxnOps: limit})
		count := &counting{backend: s.db}
		st := load(t, s)
		s.db = count
		for n := range c.rows {
			st.PutInstance(instance("/nested", n))
		}
		commit(t, s, 1, st)
		if count.txns != c.txns || s.opts.MaxTxnOps != NestedOps(limit) {
			t.Errorf("%d rows: %d transactions, want %d; the limit is %d now", c.rows, count.txns, c.txns, s.opts.MaxTxnOps)
		}
		sameState(t, &load(t, New(db, lead(t, db), Options{})).View, &st.View)
	}
}

// D-38: a value beyond MaxValue stands in parts, which come and go with it.
func TestValueInParts(t *testing.T) {
	m := NewMemory()
	s := m.Open(Options{})
	st := load(t, s)
	d := &core.Deployment{ID: "wide", Version: stamp, StartedAt: stamp, Steps: []core.Step{}}
	for i := range 40000 {
		d.Sentenced = append(d.Sentenced, core.InstanceID(fmt.Sprintf("a.instance-%08x-%08x", uint32(i)*2654435761, uint32(i)*40503)))
	}
	st.PutDeployment(d)
	commit(t, s, 1, st)
	parts := func() (n int) {
		for k, size := range m.Keys() {
			if size > MaxValue {
				t.Errorf("%s has %d bytes", k, size)
			}
			if len(k) > 19 && k[:19] == "/marathon/v1/parts/" {
				n++
			}
		}
		return n
	}
	if parts() < 2 {
		t.Fatal("the value is not in parts")
	}
	s = m.Open(Options{PageSize: 2})
	st = load(t, s)
	got, _ := st.Deployment("wide")
	if len(got.Sentenced) != 40000 || got.Sentenced[39999] != d.Sentenced[39999] {
		t.Fatal("the value did not survive")
	}
	short := *d
	short.Sentenced = d.Sentenced[:15000]
	before := parts()
	st.PutDeployment(&short)
	commit(t, s, 2, st)
	if n := parts(); n >= before {
		t.Errorf("%d parts after the value became smaller, %d before", n, before)
	}
	st.RemoveDeployment("wide")
	commit(t, s, 3, st)
	if n := parts(); n != 0 {
		t.Errorf("%d parts are left of a deleted value", n)
	}
}

// F1, D-21: a leader that dies at any transaction of a large batch leaves all of it or nothing.
func TestCrashInsideLargeBatch(t *testing.T) {
	all, none := 0, 0
	for at := 1; ; at++ {
		m := NewMemory()
		s := m.Open(Options{MaxTxnOps: 16})
		st := load(t, s)
		st.SetFrameworkID("before")
		commit(t, s, 1, st)
		big(st, 60)
		st.SetFrameworkID("after")
		txn := 0
		m.Faults = func() Fault {
			txn++
			switch {
			case txn < at:
				return NoFault
			case txn == at && at%2 == 0:
				return LoseAfter
			}
			return LoseBefore
		}
		err := s.Commit(etcdtest.Context(t), 2, st.Flush())
		m.Faults = nil
		if err == nil {
			break
		}
		next := m.Open(Options{MaxTxnOps: 16})
		got := load(t, next)
		switch specs := got.SpecCount(); {
		case specs == 60 && got.FrameworkID() == "after" && got.DeploymentCount() == 1 && next.Seq() == 2:
			sameState(t, &got.View, &st.View)
			all++
		case specs == 0 && got.FrameworkID() == "before" && got.DeploymentCount() == 0 && next.Seq() == 1:
			none++
		default:
			t.Fatalf("crash at transaction %d: %d specs, framework %q, %d deployments, batch %d",
				at, specs, got.FrameworkID(), got.DeploymentCount(), next.Seq())
		}
		for k := range m.Keys() {
			if len(k) >= 17 && k[:17] == "/marathon/v1/redo" {
				t.Errorf("crash at transaction %d left %s", at, k)
			}
		}
		if q := next.Quarantined(); len(q) > 0 {
			t.Errorf("crash at transaction %d: quarantined %v", at, q)
		}
	}
	if all == 0 || none == 0 {
		t.Errorf("%d crashes kept the batch, %d dropped it: both must occur", all, none)
	}
}

// F1: a crash during the recovery of a crash.
func TestCrashDuringRecovery(t *testing.T) {
	m := NewMemory()
	s := m.Open(Options{MaxTxnOps: 16})
	st := load(t, s)
	big(st, 60)
	txn := 0
	m.Faults = func() Fault {
		if txn++; txn > 4 {
			return LoseBefore
		}
		return NoFault
	}
	if err := s.Commit(etcdtest.Context(t), 1, st.Flush()); err == nil {
		t.Fatal("the commit was not interrupted")
	}
	for tries := 0; ; tries++ {
		txn = 0
		next := m.Open(Options{MaxTxnOps: 16})
		got, err := next.Load(etcdtest.Context(t))
		if err == nil {
			sameState(t, &got.View, &st.View)
			break
		}
		if !errors.Is(err, ErrUnavailable) || tries > 20 {
			t.Fatal(err)
		}
		m.Faults = func() Fault {
			if txn++; txn > 4+tries {
				return LoseBefore
			}
			return NoFault
		}
	}
}

// An etcd with smaller limits than the defaults is noticed and served.
func TestSmallerServerLimits(t *testing.T) {
	c := etcdtest.Start(t, func(cfg *embed.Config) { cfg.MaxTxnOps, cfg.MaxRequestBytes = 20, 400<<10 }).Client(t)
	s := New(c, lead(t, c), Options{})
	st := load(t, s)
	big(st, 100)
	commit(t, s, 1, st)
	sameState(t, &load(t, New(c, lead(t, c), Options{})).View, &st.View)
}

func TestCommitPointIsOneTransaction(t *testing.T) {
	s := NewMemory().Open(Options{MaxTxnOps: 4})
	for n := 2; n < 20; n++ {
		var ops []op
		for i := range n {
			ops = append(ops, op{opPut, fmt.Sprint(i), nil})
		}
		total, parts := 0, s.stages(ops)
		for _, p := range parts {
			if len(p) == 0 || len(p) > 4 || p[0].key != fmt.Sprint(total) {
				t.Errorf("%d operations: part %v", n, p)
			}
			total += len(p)
		}
		if total != n || len(parts[len(parts)-1]) < 2 {
			t.Errorf("%d operations: %d in parts, %d in the last", n, total, len(parts[len(parts)-1]))
		}
	}
}
