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
		kept.pages = newPages(rapid.SampledFrom([]int{3000, 100000}).Draw(t, "bytes"), rapid.IntRange(1, 5).Draw(t, "apps per page"))
		kept.appInfos = newInfos(rapid.IntRange(1, 20).Draw(t, "apps kept"), 100000)
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
