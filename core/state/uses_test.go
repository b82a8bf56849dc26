package state

import (
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"

	"stadion/core"
)

// TestUsesFollow (D-22): whatever is put, replaced and removed, the uses of versions that are kept equal a fresh count,
// and a version that loses its last use makes its spec aged.
func TestUsesFollow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := New()
		version := func() core.Timestamp { return core.Timestamp(rapid.IntRange(1, 3).Draw(t, "version")) }
		change := func() []core.SpecChange {
			return []core.SpecChange{{ID: rapid.SampledFrom(specs).Draw(t, "changed"), From: version(), To: version()}}
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			for _, more := s.Aged(); more; _, more = s.Aged() {
			}
			before := maps.Clone(s.uses)
			i := drawInstance(t, rapid.IntRange(0, 3).Draw(t, "n"))
			i.Version = version()
			id := fmt.Sprint(rapid.IntRange(0, 2).Draw(t, "deployment"))
			switch rapid.IntRange(0, 5).Draw(t, "deed") {
			case 0:
				s.PutInstance(i)
			case 1:
				s.RemoveInstance(i.ID)
			case 2:
				s.PutDeployment(&core.Deployment{ID: id, Specs: change(), Steps: []core.Step{{Actions: []core.Action{{Spec: i.Spec, Version: version()}}}}})
			case 3:
				s.RemoveDeployment(id)
			case 4:
				s.SetRoot(&core.RootVersion{Version: version(), Specs: change()})
			case 5:
				s.DropRoot(version())
			}
			fresh := New()
			for i := range s.Instances() {
				fresh.PutInstance(i)
			}
			for d := range s.Deployments() {
				fresh.PutDeployment(d)
			}
			for r := range s.Roots() {
				fresh.SetRoot(r)
			}
			if !maps.Equal(s.uses, fresh.uses) {
				t.Fatalf("uses %v, counted anew %v", s.uses, fresh.uses)
			}
			for k := range before {
				if !s.Used(k.spec, k.version) && !s.aged.Contains(k.spec) {
					t.Fatalf("nobody needs %v any more and nobody will look", k)
				}
			}
		}
	})
}
