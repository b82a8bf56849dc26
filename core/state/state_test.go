package state

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"stadion/core"
)

var specs = []core.PathID{"/a", "/a/b", "/a.b", "/a-b", "/g/c"}

func drawInstance(t *rapid.T, n int) *core.Instance {
	spec := rapid.SampledFrom(specs).Draw(t, "spec")
	i := &core.Instance{ID: core.NewInstanceID(spec, fmt.Sprintf("%08d", n)), Spec: spec, Role: "*", Version: 1,
		Goal:      core.Goal(rapid.IntRange(0, 2).Draw(t, "goal")),
		Condition: core.Condition(rapid.IntRange(0, 14).Draw(t, "condition"))}
	if rapid.Bool().Draw(t, "launched") {
		i.Agent, i.Incarnation = &core.AgentInfo{ID: "S", Host: "h"}, 1
		task := core.Task{ID: i.ID.Task(core.AppContainer, 1), Condition: i.Condition}
		if rapid.Bool().Draw(t, "reported") {
			task.Status = &core.TaskStatus{State: rapid.SampledFrom([]string{"TASK_STAGING", "TASK_RUNNING", "TASK_KILLING"}).Draw(t, "state")}
		}
		i.Tasks = []core.Task{task}
	}
	return i
}

// TestCountsFollow: whatever is put and removed, the counters that are kept equal a fresh count, the waiting set equals
// the scheduled instances, and instances of one spec are never mixed with those of another whose name begins alike.
func TestCountsFollow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := New()
		held := map[core.InstanceID]*core.Instance{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			i := drawInstance(t, rapid.IntRange(0, 8).Draw(t, "n"))
			switch rapid.IntRange(0, 3).Draw(t, "deed") {
			case 0:
				s.RemoveInstance(i.ID)
				delete(held, i.ID)
			case 1:
				s.PutHealth(i.ID, &HealthBook{Results: []HealthResult{{Reported: true, Alive: rapid.Bool().Draw(t, "alive")}}})
			default:
				s.PutInstance(i)
				held[i.ID] = i
			}
		}
		fresh := New()
		for _, i := range held {
			fresh.PutInstance(i)
			fresh.PutHealth(i.ID, s.Health(i.ID))
		}
		for _, id := range specs {
			if got, want := s.Counts(id), fresh.Counts(id); got != want {
				t.Fatalf("%s: counts %+v, counted anew %+v", id, got, want)
			}
			n, waiting := 0, 0
			for i := range s.InstancesOf(id) {
				n++
				if i.Spec != id {
					t.Fatalf("%s lists an instance of %s", id, i.Spec)
				}
				if i.Scheduled() {
					waiting++
				}
			}
			if n != s.Counts(id).Instances || waiting != len(slices.Collect(s.WaitingOf(id))) {
				t.Fatalf("%s: %d instances and %d waiting differ from the indexes", id, n, waiting)
			}
		}
	})
}

// TestSnapshotsStand: a snapshot shows the state of its moment for ever.
func TestSnapshotsStand(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := New()
		var snaps []*Snapshot
		var texts []string
		show := func(v *View) (out string) {
			for i := range v.Instances() {
				out += fmt.Sprintf("%s %s %s;", i.ID, i.Goal, i.Condition)
			}
			return out + fmt.Sprint(v.Counts("/a"), v.WaitingTotal())
		}
		for k := range rapid.IntRange(1, 20).Draw(t, "steps") {
			i := drawInstance(t, rapid.IntRange(0, 8).Draw(t, "n"))
			if rapid.Bool().Draw(t, "remove") {
				s.RemoveInstance(i.ID)
			} else {
				s.PutInstance(i)
			}
			snap := s.Snapshot(uint64(k), 1, 0)
			snaps, texts = append(snaps, snap), append(texts, show(&snap.View))
		}
		for k, snap := range snaps {
			if got := show(&snap.View); got != texts[k] {
				t.Fatalf("snapshot %d changed from %s to %s", k, texts[k], got)
			}
		}
	})
}

// TestJournal: one write per changed row, the last value wins, rows that are derived are not written, and what was
// written rebuilds the state (I13).
func TestJournal(t *testing.T) {
	s := New()
	waiting := &core.Instance{ID: core.NewInstanceID("/a", "1"), Spec: "/a"}
	s.PutInstance(waiting)
	if w := s.Flush(); len(w) != 0 {
		t.Fatalf("an instance without agent was written: %v", w)
	}
	placed := waiting.Clone()
	placed.Agent, placed.Incarnation, placed.Condition = &core.AgentInfo{ID: "S"}, 1, core.Provisioned
	s.PutInstance(placed)
	running := placed.Clone()
	running.Condition = core.Running
	s.PutInstance(running)
	cmd := "x"
	app := &core.App{ID: "/a", Version: 5, Cmd: &cmd, PortDefinitions: []core.PortDefinition{{Port: 10000}}}
	s.PutSpec(app)
	s.PutDeployment(&core.Deployment{ID: "d", Steps: []core.Step{{Actions: []core.Action{{Kind: core.ActionScale, Spec: "/a"}}}}})
	s.PutFailure(&core.TaskFailure{AppID: "/a"})
	s.SetFrameworkID("fw")
	s.SetLastAlive(running.ID, true)
	s.SetRoot(&core.RootVersion{Version: 5, Specs: []core.SpecChange{{ID: "/a", To: 5}}})
	writes := s.Flush()
	again := New()
	for _, w := range writes {
		if w.Table == TableInstance && w.Value.(*core.Instance).Condition != core.Running {
			t.Errorf("the last value of a row does not win: %+v", w)
		}
		if err := again.Load(w); err != nil {
			t.Fatal(err)
		}
	}
	if broken := again.Finish(); len(broken) > 0 {
		t.Fatalf("broken: %v", broken)
	}
	if d, ok := again.DeploymentOf("/a"); !ok || d.ID != "d" || again.FrameworkID() != "fw" || again.RootStamp() != 5 || !again.ServicePortUsed(10000) || again.Counts("/a").Instances != 1 {
		t.Error("the loaded state differs")
	}
	if got, want := len(again.Durable()), len(s.Durable()); got != want {
		t.Errorf("%d durable rows after loading, %d before", got, want)
	}
	s.RemoveDeployment("d")
	s.RemoveInstance(running.ID)
	s.RemoveSpec("/a")
	if _, ok := s.DeploymentOf("/a"); ok || s.ServicePortUsed(10000) {
		t.Error("a removed deployment still holds its spec, or a removed app its port")
	}
	for _, w := range s.Flush() {
		if w.Value != nil {
			t.Errorf("expected only deletions, got %+v", w)
		}
	}
}

// TestJournalOfShortLives: a deployment that begins and ends in one batch leaves nothing to write, whatever else is in it;
// one that was written is deleted (E.1.14).
func TestJournalOfShortLives(t *testing.T) {
	names := func(s *State) (out []string) {
		if n, writes := s.Pending(), s.Flush(); n == len(writes) {
			for _, w := range writes {
				out = append(out, fmt.Sprintf("%s %s %t", w.Table, w.Key, w.Value != nil))
			}
			return out
		}
		return []string{"Pending is not what Flush yields"}
	}
	d := func(id string, step int) *core.Deployment { return &core.Deployment{ID: id, Current: step} }
	s := New()
	s.PutDeployment(d("short", 1))
	s.SetFrameworkID("fw")
	s.PutDeployment(d("long", 1))
	s.PutDeployment(d("short", 2))
	s.RemoveDeployment("short")
	s.PutDeployment(d("again", 1))
	s.RemoveDeployment("again")
	s.PutDeployment(d("again", 1))
	if got := names(s); !slices.Equal(got, []string{"framework id true", "deployments long true", "deployments again true"}) {
		t.Errorf("first batch: %q", got)
	}
	s.PutDeployment(d("long", 2))
	s.RemoveDeployment("long")
	s.RemoveDeployment("again")
	if got := names(s); !slices.Equal(got, []string{"deployments long false", "deployments again false"}) {
		t.Errorf("second batch: %q", got)
	}
	s.PutDeployment(d("short", 1))
	s.RemoveDeployment("short")
	if got := names(s); len(got) != 0 {
		t.Errorf("third batch: %q", got)
	}
}

// TestMissingVersion: a current pointer without its version falls back to the newest stored one, else the spec stays out
// of the tree and is reported (F14).
func TestMissingVersion(t *testing.T) {
	s := New()
	for _, w := range []Write{{TableSpec, "/a", core.Timestamp(9)}, {TableVersion, "", &core.App{ID: "/a", Version: 7}}, {TableSpec, "/b", core.Timestamp(9)}} {
		if err := s.Load(w); err != nil {
			t.Fatal(err)
		}
	}
	if broken := s.Finish(); !slices.Equal(broken, []core.PathID{"/a", "/b"}) {
		t.Errorf("reported %v", broken)
	}
	if a, ok := s.Spec("/a"); !ok || a.SpecVersion() != 7 {
		t.Error("the newest stored version of /a is not used")
	}
	if _, ok := s.Spec("/b"); ok {
		t.Error("/b has no version and is in the tree")
	}
}

// TestRootAt: the tree at an earlier version is the present one with later updates undone (behaviour.md 1.9, D-22).
func TestRootAt(t *testing.T) {
	s := New()
	put := func(v core.Timestamp, id core.PathID, from core.Timestamp) {
		s.PutSpec(&core.App{ID: id, Version: v})
		s.SetRoot(&core.RootVersion{Version: v, Specs: []core.SpecChange{{ID: id, From: from, To: v}}})
	}
	put(1, "/a", 0)
	put(2, "/b", 0)
	put(3, "/a", 1)
	s.RemoveSpec("/b")
	s.SetRoot(&core.RootVersion{Version: 4, Specs: []core.SpecChange{{ID: "/b", From: 2}}})
	for version, want := range map[core.Timestamp]string{1: "/a@1 ", 2: "/a@1 /b@2 ", 3: "/a@3 /b@2 ", 4: "/a@3 "} {
		tree, ok := s.RootAt(version)
		if !ok {
			t.Fatalf("version %d is unknown", version)
		}
		got := ""
		for spec := range tree.SpecsBelow(core.Root) {
			got += fmt.Sprintf("%s@%d ", spec.SpecID(), spec.SpecVersion())
		}
		if got != want {
			t.Errorf("at %d: %s, wanted %s", version, got, want)
		}
	}
	if _, ok := s.RootAt(99); ok {
		t.Error("an unknown version has a tree")
	}
}

// TestFreeServicePort: what is watched answers like a search, whatever comes and goes (behaviour 1.6).
func TestFreeServicePort(t *testing.T) {
	const from, to = 100, 120
	rnd := rand.New(rand.NewPCG(1, 2))
	s, used := New(), map[core.PathID]int{}
	s.WatchServicePorts(from)
	for n := range 2000 {
		id := core.PathID(fmt.Sprintf("/a%d", rnd.IntN(to-from)))
		if _, has := used[id]; has && rnd.IntN(2) == 0 {
			s.RemoveSpec(id)
			delete(used, id)
		} else {
			used[id] = from - 2 + rnd.IntN(to-from)
			s.PutSpec(&core.App{ID: id, Version: core.Timestamp(n + 1), PortDefinitions: []core.PortDefinition{{Port: used[id]}}})
		}
		taken := map[int]bool{}
		for _, p := range used {
			taken[p] = true
		}
		for _, at := range []int{from, from + rnd.IntN(to-from)} {
			want := at
			for taken[want] {
				want++
			}
			if got := s.Snapshot(1, 1, 1).FreeServicePort(at); got != want {
				t.Fatalf("step %d: free from %d is %d, want %d of %v", n, at, got, want, taken)
			}
		}
	}
}
