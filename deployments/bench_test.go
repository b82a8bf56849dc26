package deployments

import (
	"fmt"
	"testing"

	"stadion/core"
)

// One look at a spec of 100,000 instances: with nothing to do, with a few to stop, and with half of them to stop.
func BenchmarkNext(b *testing.B) {
	const n = 100_000
	for name, c := range map[string]struct {
		kind       core.ActionKind
		old, fresh int
		sick       int
		target     int
	}{
		"restart waits":     {core.ActionRestart, n / 2, n / 2, n / 2, n},
		"restart stops one": {core.ActionRestart, n - 1, 1, 0, n},
		"restart stops 50k": {core.ActionRestart, n, 0, 0, n / 2},
		"scale done":        {core.ActionScale, 0, n, 0, n},
		"scale stops 10":    {core.ActionScale, 0, n, 0, n - 10},
	} {
		b.Run(name, func(b *testing.B) {
			k := newCluster(upgrade(c.target, 1, 0))
			k.addMany(c.old, 1, core.Running)
			k.addMany(c.fresh, 2, core.Running)
			v := k.view()
			v.Healthy = func(i *core.Instance) bool { return c.sick == 0 || i.Version == 1 }
			b.ReportAllocs()
			for b.Loop() {
				Next(core.Action{Kind: c.kind}, v)
			}
		})
	}
}

// One change in trees of different sizes: the cost must not grow with the tree.
func BenchmarkPrepare(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			tree := newTree()
			for i := range n {
				id := core.PathID(fmt.Sprintf("/g%d/a", i))
				tree.specs[id], tree.groups[id.Parent()] = host(id, 20000+i), group(id.Parent())
			}
			busy := bookedTree{tree}
			a := host("/g1/a", 0, 0)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Prepare(busy, put(a), 9, Flags{PortMin: 10000, PortMax: 20000}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

type bookedTree struct{ *memTree }

func (bookedTree) FreeServicePort(from int) int { return from | 1 }
