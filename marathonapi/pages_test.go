package marathonapi

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"stadion/core"
	"stadion/core/state"
)

// TestKeptListsAreFresh (P15, D-39): whatever changes, a server that keeps encoded apps and runs of lists answers as one that
// has never answered before. Small bounds make the caches turn over all the time.
func TestKeptListsAreFresh(t *testing.T) {
	paths := []string{"/v2/apps", "/v2/apps?embed=apps.tasks&embed=apps.readiness", "/v2/apps?label=env==prod&id=app-1", "/v2/tasks", "/v2/tasks?status=running",
		"/v2/apps/*", "/v2/apps/group-1/*/tasks", "/v2/groups", "/v2/groups?embed=group.groups&embed=group.apps", "/v2/groups/apps", "/v2/apps/group-1/app-1/tasks"}
	rapid.Check(t, func(t *rapid.T) {
		st := state.New()
		for g := range 3 {
			st.PutGroup(&core.Group{ID: core.PathID(fmt.Sprintf("/group-%d", g)), Version: start})
		}
		kept, loop := stillServer(st)
		kept.pages.maxBytes, kept.pages.maxApps = rapid.SampledFrom([]int{3000, 100000}).Draw(t, "bytes"), rapid.IntRange(1, 5).Draw(t, "apps per page")
		kept.appInfos.maxBytes = rapid.SampledFrom([]int{1000, 10000, 100000}).Draw(t, "bytes of apps")
		for n := range rapid.IntRange(1, 25).Draw(t, "steps") {
			mutate(t, st, n)
			loop.snap = st.Snapshot(uint64(100+n), 3, start)
			path := rapid.SampledFrom(paths).Draw(t, "path")
			fresh, l := stillServer(state.New())
			l.snap = loop.snap
			got, want := get(kept, "GET", path).Body.String(), get(fresh, "GET", path).Body.String()
			if got != want {
				t.Fatalf("%s\ngot  %s\nwant %s", path, got, want)
			}
		}
	})
}

// mutate changes one row.
func mutate(t *rapid.T, st *state.State, n int) {
	k := rapid.IntRange(0, 11).Draw(t, "app")
	app := testApp(core.PathID(fmt.Sprintf("/group-%d/app-%d", k%3, k)), 1)
	app.Version += core.Timestamp(n)
	i := running(app, rapid.IntRange(0, 3).Draw(t, "instance"))
	switch rapid.IntRange(0, 7).Draw(t, "deed") {
	case 0, 1:
		app.Mem = core.Num(n)
		st.PutSpec(app)
	case 2:
		st.RemoveSpec(app.ID)
	case 3, 4:
		i.Tasks[0].HostPorts[0] = 20000 + n
		st.PutInstance(i)
	case 5:
		st.RemoveInstance(i.ID)
	case 6:
		st.PutHealth(i.ID, &state.HealthBook{Results: []state.HealthResult{{Reported: true, Alive: n%2 == 0, ConsecutiveFailures: n}}})
	case 7:
		d := &core.Deployment{ID: fmt.Sprint(k % 2), Steps: []core.Step{{Actions: []core.Action{{Spec: app.ID}}}}}
		if _, runs := st.Deployment(d.ID); runs {
			st.RemoveDeployment(d.ID)
		} else {
			st.PutDeployment(d)
		}
	}
}

// TestBigAppIsNotKept: an app with many instances is written piece by piece and right.
func TestBigAppIsNotKept(t *testing.T) {
	s, _ := stillServer(filled(3, maxInfoInstances+1))
	for _, path := range []string{"/v2/apps?embed=apps.tasks", "/v2/tasks"} {
		first, again := get(s, "GET", path).Body.String(), get(s, "GET", path).Body.String()
		if first != again || len(first) < 100*3*maxInfoInstances {
			t.Errorf("%s: %d and %d bytes", path, len(first), len(again))
		}
	}
	if s.pages.bytes != 0 || s.appInfos.bytes != 0 {
		t.Errorf("kept %d and %d bytes", s.pages.bytes, s.appInfos.bytes)
	}
}

// kept is the number of bytes that the caches hold.
func (s *Server) kept() (bytes int) {
	for _, g := range []map[*core.App][]byte{s.appHeads.young, s.appHeads.old} {
		for _, t := range g {
			bytes += len(t)
		}
	}
	for _, g := range []map[*core.Instance][]byte{s.taskTails.young, s.taskTails.old} {
		for _, t := range g {
			bytes += len(t)
		}
	}
	for _, g := range []map[infoKey]info{s.appInfos.young, s.appInfos.old} {
		for _, v := range g {
			bytes += len(v.text)
		}
	}
	for _, g := range []map[pageKey]*page{s.pages.young, s.pages.old} {
		for _, p := range g {
			bytes += len(p.text)
		}
	}
	return bytes
}

// TestCachesForget: what is kept depends on what there is to show, not on how much there has been.
func TestCachesForget(t *testing.T) {
	const apps, rounds = 50, 40
	st := filled(apps, 2)
	s, loop := stillServer(st)
	list := func() int {
		n := 0
		for _, path := range []string{"/v2/apps?embed=apps.tasks", "/v2/apps", "/v2/tasks"} {
			n += get(s, "GET", path).Body.Len()
		}
		return n
	}
	shown := list()
	for n := range rounds {
		for spec := range st.SpecsBelow(core.Root) {
			next := *spec.(*core.App)
			next.Version += core.Timestamp(n + 1)
			next.Mem = core.Num(n)
			st.PutSpec(&next)
			for i := range st.InstancesOf(next.ID) {
				moved := i.Clone()
				moved.Since++
				st.PutInstance(moved)
			}
		}
		loop.snap = st.Snapshot(uint64(100+n), 3, start)
		if now := list(); now < shown*9/10 {
			t.Fatalf("round %d: %d bytes shown, %d at first", n, now, shown)
		}
	}
	// heads, tails, apps and runs: each text is in several of them, in two generations, and in up to two rounds
	if got := s.kept(); got > 12*shown {
		t.Errorf("%d bytes are kept to show %d", got, shown)
	} else {
		t.Logf("%d bytes are kept to show %d", got, shown)
	}
	if got := s.kept(); got < shown {
		t.Errorf("%d bytes are kept to show %d: nothing is", got, shown)
	}
}
