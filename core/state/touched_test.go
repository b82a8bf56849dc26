package state

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"stadion/core"
)

// shown is all that readers see of a spec.
func shown(s *Snapshot, id core.PathID) string {
	spec, _ := s.Spec(id)
	failure, _ := s.Failure(id)
	text := fmt.Sprintf("%p %p %+v", spec, failure, s.Counts(id))
	if d, ok := s.DeploymentOf(id); ok {
		text += " " + d.ID
	}
	for i := range s.InstancesOf(id) {
		text += fmt.Sprintf(" %p %p", i, s.Health(i.ID))
	}
	for r := range s.ReadinessOf(id) {
		text += fmt.Sprintf(" %+v", r)
	}
	return text
}

// TestTouched: whenever what is seen of a spec changes its revision moves, and it never comes back; that of a spec
// nobody touched stays (P15: encoded lists rest on it).
func TestTouched(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := New()
		before := s.Snapshot(0, 1, 0)
		past := map[uint64]bool{}
		for n := range rapid.IntRange(1, 30).Draw(t, "steps") {
			id := rapid.SampledFrom(specs).Draw(t, "spec")
			i := drawInstance(t, rapid.IntRange(0, 4).Draw(t, "n"))
			deployment := &core.Deployment{ID: fmt.Sprint(rapid.IntRange(0, 1).Draw(t, "deployment")), Steps: []core.Step{{Actions: []core.Action{{Spec: id}}}}}
			switch rapid.IntRange(0, 9).Draw(t, "deed") {
			case 0:
				s.PutSpec(&core.App{ID: id, Version: core.Timestamp(n + 1)})
			case 1:
				s.RemoveSpec(id)
			case 2, 3:
				s.PutInstance(i)
			case 4:
				s.RemoveInstance(i.ID)
			case 5:
				s.PutHealth(i.ID, &HealthBook{})
			case 6:
				if _, runs := s.Deployment(deployment.ID); !runs {
					s.PutDeployment(deployment)
				} else {
					s.RemoveDeployment(deployment.ID)
				}
			case 7:
				s.PutFailure(&core.TaskFailure{AppID: id})
			case 8:
				s.SetReadiness(Readiness{Task: i.ID.Task("c", 1), Instance: i.ID, LastStatus: n})
			case 9:
				s.DropReadiness(i.ID.Task("c", 1))
			}
			after := s.Snapshot(uint64(n), 1, 0)
			for _, id := range specs {
				was, is := before.Touched(id), after.Touched(id)
				_, current := after.Spec(id)
				if was == is && is != 0 && shown(before, id) != shown(after, id) {
					t.Fatalf("%s changed, its revision stays %d", id, is)
				}
				if current && is == 0 {
					t.Fatalf("%s is there and has no revision", id)
				}
				if was != is && past[is] && is != 0 {
					t.Fatalf("%s: revision %d came back", id, is)
				}
			}
			for spec, revision := range after.SpecsTouched("/a") {
				if id := spec.SpecID(); revision != after.Touched(id) || !id.Below("/a") {
					t.Fatalf("%s: revision %d in the walk, %d alone", id, revision, after.Touched(id))
				}
			}
			for _, id := range specs {
				past[before.Touched(id)] = true
			}
			before = after
		}
	})
}

// TestTouchedByLoading: rows that were loaded have revisions too.
func TestTouchedByLoading(t *testing.T) {
	first := New()
	first.PutSpec(&core.App{ID: "/a", Version: 1})
	again := New()
	for _, w := range first.Durable() {
		if w.Table == TableSpec {
			w.Value = core.Timestamp(1)
		}
		if err := again.Load(w); err != nil {
			t.Fatal(err)
		}
	}
	if broken := again.Finish(); broken != nil {
		t.Fatal(broken)
	}
	if again.Snapshot(1, 1, 0).Touched("/a") == 0 {
		t.Error("no revision")
	}
}
