package store

import (
	"errors"
	"fmt"
	"testing"

	"stadion/core"
	"stadion/core/state"
	"stadion/core/store/etcdtest"
)

// fill makes one row or more of every durable kind.
func fill(st *state.State) {
	st.PutGroup(&core.Group{ID: "/", Version: stamp})
	st.PutGroup(&core.Group{ID: "/g", Dependencies: []core.PathID{"/web"}, Version: stamp})
	st.PutVersion(app("/g/old.dotted", stamp-1000))
	st.PutSpec(app("/g/old.dotted", stamp))
	st.PutSpec(pod("/g/pod", stamp))
	st.SetRoot(&core.RootVersion{Version: stamp, Specs: []core.SpecChange{{ID: "/g/pod", Pod: true, To: stamp}},
		Groups: []core.GroupChange{{ID: "/g", To: &core.Group{ID: "/g", Version: stamp}}}})
	st.PutDeployment(&core.Deployment{ID: "d-1", Version: stamp, Current: 1, StartedAt: stamp,
		Steps: []core.Step{{Actions: []core.Action{{Kind: core.ActionStart, Spec: "/g/pod", Pod: true, Version: stamp}}}}})
	st.PutFailure(&core.TaskFailure{AppID: "/g/old.dotted", Message: "exit 1", Timestamp: stamp, Version: stamp})
	st.SetFrameworkID("f-1")

	st.PutInstance(instance("/g/old.dotted", 1))
	st.SetLastAlive(instance("/g/old.dotted", 1).ID, true)
	full := instance("/g/pod", 2)
	no, code := false, 3
	full.Pod, full.Goal, full.Condition, full.KillReason, full.Healthy = true, core.GoalStopped, core.Unreachable, "scaled", core.Unhealthy
	full.QueuedAt = stamp - 7
	full.Agent.Region, full.Agent.Zone, full.Agent.Attributes = "r", "z", []core.Attribute{{Name: "rack", Value: "1"}}
	full.Tasks = append(full.Tasks, core.Task{ID: full.ID.Task("c2", 4), Container: "c2", Condition: core.Failed,
		Status: &core.TaskStatus{State: "TASK_UNREACHABLE", Reason: "AGENT_REMOVED", Message: "gone", At: stamp, Healthy: core.Healthy,
			Check: &core.CheckResult{ExitCode: &code, Succeeded: &no}, UnreachableSince: stamp + 900}})
	full.Reservation = &core.Reservation{ID: "res", New: true, Deadline: stamp + 20000, Principal: "p",
		Volumes: []core.Volume{{ID: "g_pod#data#1", ContainerPath: "data"}}}
	st.PutInstance(full)
	legacy := instance("/g/old.dotted", 3)
	legacy.ID = "g_old.dotted.marathon-11111111-2222-3333-4444-000000000003"
	legacy.Tasks[0].ID = "g_old.dotted.11111111-2222-3333-4444-000000000003"
	st.PutInstance(legacy)
}

func TestEveryKindOfRowSurvives(t *testing.T) {
	each(t, func(t *testing.T, open func(Options) *Store) {
		s := open(Options{PageSize: 3})
		st := load(t, s)
		fill(st)
		commit(t, s, 1, st)

		s = open(Options{PageSize: 3})
		again := load(t, s)
		if q := s.Quarantined(); len(q) > 0 {
			t.Fatalf("quarantined: %v", q)
		}
		sameState(t, &again.View, &st.View)
		if s.Seq() != 1 {
			t.Errorf("last batch is %d, want 1", s.Seq())
		}

		for _, v := range again.SpecVersions("/g/pod") {
			again.DropVersion("/g/pod", v.SpecVersion())
		}
		again.RemoveSpec("/g/pod")
		again.RemoveDeployment("d-1")
		again.RemoveFailure("/g/old.dotted")
		again.RemoveInstance(instance("/g/old.dotted", 1).ID)
		again.RemoveGroup("/g")
		again.DropRoot(stamp)
		commit(t, s, 2, again)
		last := load(t, open(Options{}))
		again.Finish()
		want := dump(&again.View)
		want["stamp"] = core.Timestamp(0) // the only root version was dropped
		if got := dump(&last.View); fmt.Sprint(len(got)) != fmt.Sprint(len(want)) {
			t.Errorf("rows after deletions: %v, want %v", got, want)
		}
	})
}

// F3, F7, R8: the fence is a condition of each write.
func TestSecondLeaderWins(t *testing.T) {
	each(t, func(t *testing.T, open func(Options) *Store) {
		first := open(Options{})
		st1 := load(t, first)
		st1.SetFrameworkID("one")
		commit(t, first, 1, st1)

		second := open(Options{})
		st2 := load(t, second)
		st1.PutInstance(instance("/late", 1))
		writes := st1.Flush()
		if err := first.Commit(etcdtest.Context(t), 2, writes); !errors.Is(err, ErrFenced) {
			t.Fatalf("commit of the old leader: %v, want ErrFenced", err)
		}
		if _, err := first.Load(etcdtest.Context(t)); !errors.Is(err, ErrFenced) {
			t.Errorf("load of the old leader: %v, want ErrFenced", err)
		}
		st2.SetFrameworkID("two")
		commit(t, second, 2, st2)
		if err := first.Commit(etcdtest.Context(t), 2, writes); !errors.Is(err, ErrFenced) {
			t.Errorf("a batch of the same number by another leader passed for ours: %v", err)
		}
		final := load(t, open(Options{}))
		if final.FrameworkID() != "two" || final.InstanceTotal() != 0 {
			t.Errorf("framework %q, %d instances; want only what the second leader wrote", final.FrameworkID(), final.InstanceTotal())
		}
	})
}

// F7: a writer that holds our very fence but is not us is noticed by the sequence.
func TestForeignSequenceEndsTheTerm(t *testing.T) {
	m := NewMemory()
	s := m.Open(Options{})
	st := load(t, s)
	commit(t, s, 1, st)
	m.Set("/marathon/v1/seq", []byte("9 9"))
	if err := s.Commit(etcdtest.Context(t), 2, nil); !errors.Is(err, ErrFenced) {
		t.Errorf("commit: %v, want ErrFenced", err)
	}
}

func TestCommitWantsOrder(t *testing.T) {
	s := NewMemory().Open(Options{})
	if err := s.Commit(etcdtest.Context(t), 1, nil); err == nil {
		t.Error("commit before load passed")
	}
	st := load(t, s)
	commit(t, s, 5, st)
	if err := s.Commit(etcdtest.Context(t), 5, nil); err == nil {
		t.Error("the same batch passed twice")
	}
	if err := s.Commit(etcdtest.Context(t), 7, []state.Write{{Table: "nonsense", Key: "x", Value: true}}); err == nil {
		t.Error("a row of an unknown table passed")
	}
}

// F9, D-20: an unknown outcome is resolved by the sequence, for each transaction of a small and of a large batch.
func TestUnknownOutcomeIsResolved(t *testing.T) {
	for _, fault := range []Fault{LoseBefore, LoseAfter, Full} {
		for _, rows := range []int{1, 300} {
			for at := 1; ; at++ {
				m := NewMemory()
				s := m.Open(Options{})
				st := load(t, s)
				for n := range rows {
					st.PutInstance(instance("/a", n))
				}
				writes, txn, hit := st.Flush(), 0, false
				m.Faults = func() Fault {
					if txn++; txn == at {
						hit = true
						return fault
					}
					return NoFault
				}
				err := s.Commit(etcdtest.Context(t), 1, writes)
				if !hit {
					break
				}
				if want := map[Fault]error{LoseBefore: ErrUnavailable, LoseAfter: ErrUnavailable, Full: ErrNoSpace}[fault]; !errors.Is(err, want) {
					t.Fatalf("fault %d at %d: %v, want %v", fault, at, err, want)
				}
				if err := s.Commit(etcdtest.Context(t), 1, writes); err != nil {
					t.Fatalf("fault %d at %d of %d rows: second attempt: %v", fault, at, rows, err)
				}
				commit(t, s, 2, st)
				if got := load(t, m.Open(Options{})); got.InstanceTotal() != rows {
					t.Fatalf("fault %d at %d: %d of %d rows", fault, at, got.InstanceTotal(), rows)
				}
			}
		}
	}
}

// F9 on a real etcd: the request passes, its answer is lost.
func TestUnknownOutcomeOnTheWire(t *testing.T) {
	srv := etcdtest.Start(t)
	proxy := etcdtest.NewProxy(t, srv.Endpoint)
	direct, c := srv.Client(t), srv.Client(t, proxy.Addr)
	s := New(c, lead(t, direct), Options{Timeout: 300 * 1e6})
	st := load(t, s)
	st.SetFrameworkID("f")
	writes := st.Flush()
	proxy.Deafen()
	if err := s.Commit(etcdtest.Context(t), 1, writes); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("commit without an answer: %v, want ErrUnavailable", err)
	}
	before, err := direct.Get(etcdtest.Context(t), "/marathon/v1/framework-id")
	if err != nil || len(before.Kvs) != 1 {
		t.Fatalf("the lost request had no effect: %v %v", before, err)
	}
	proxy.Heal()
	eventually(t, "second attempt", func() error { return s.Commit(etcdtest.Context(t), 1, writes) })
	after, err := direct.Get(etcdtest.Context(t), "/marathon/v1/framework-id")
	if err != nil || after.Kvs[0].Version != before.Kvs[0].Version {
		t.Errorf("the batch was applied twice: %v %v", after, err)
	}
}

func TestKeysAreReversible(t *testing.T) {
	for _, id := range []string{"a.instance-1", "a_b.c.instance-1-2", "x.marathon-1", "a.instance-x.instance-1", "a.marathon-x.instance-1",
		"instance-1", "a.1", ""} {
		if got := instanceID(instanceName(id)); got != id {
			t.Errorf("%q became %q by way of %q", id, got, instanceName(id))
		}
	}
	for _, id := range []core.PathID{"/", "/a", "/a/b.c-d/e"} {
		if got := fromSafe(safe(id)); got != id {
			t.Errorf("%q became %q", id, got)
		}
	}
}

// BenchmarkCommit measures rows per second through a real etcd without fsync, one full transaction each.
func BenchmarkCommit(b *testing.B) {
	c := etcdtest.Start(b).Client(b)
	s := New(c, lead(b, c), Options{})
	st := load(b, s)
	const rows = DefaultMaxTxnOps - 1
	seq := uint64(0)
	for b.Loop() {
		for n := range rows {
			st.PutInstance(instance("/bench", n))
		}
		seq++
		commit(b, s, seq, st)
	}
	b.ReportMetric(float64(b.N*rows)/b.Elapsed().Seconds(), "rows/s")
}
