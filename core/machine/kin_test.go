package machine

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"stadion/core"
	"stadion/offers"
)

// tallied are the published statistics of a spec as the sum of the funnel's rows and of the last offers.
func (r *rig) tallied(id core.PathID) (processed, unused, funnel, agents int) {
	s := r.m.st.Stats(id)
	if s == nil {
		return 0, 0, 0, 0
	}
	for _, n := range s.Funnel {
		funnel += n
	}
	return s.Processed, s.Unused, funnel, len(lastOf(s))
}

// TestKinShareRefusals is behaviour 4.5 with D-12 and D-53 for specs that ask the same: each has the offers it saw since
// it began to wait, and keeps them when it asks for something else or leaves.
func TestKinShareRefusals(t *testing.T) {
	r := newRig(t)
	want := func(id core.PathID, processed, agents int) {
		t.Helper()
		r.wait(2 * time.Second)
		if p, u, f, a := r.tallied(id); p != processed || u != processed || f != processed || a != agents {
			t.Errorf("%s: %d processed, %d unused, %d in the funnel, %d agents; want %d and %d", id, p, u, f, a, processed, agents)
		}
	}
	r.put(`{"id":"/a","cpus":4}`)
	r.offer("x", cpus(1)...)
	r.put(`{"id":"/b","cpus":4}`)
	r.offer("y", cpus(1)...)
	r.offer("y", cpus(2)...)
	want("/a", 3, 2)
	want("/b", 2, 1)
	if n := r.m.queue.kins.Len(); n != 1 {
		t.Errorf("%d kins", n)
	}
	r.put(`{"id":"/c","cpus":5}`) // asks for more
	r.offer("z", cpus(1)...)
	want("/a", 4, 3)
	want("/c", 1, 1)
	if d, _ := r.m.queue.waiting.Get("/a"); len(d.stats.LastOffers) != 0 || d.stats.Processed != 0 {
		t.Errorf("a refusal of all is counted for each: %+v", d.stats)
	}
	r.up("/b", "big") // both find their place
	if p, u, _, a := r.tallied("/b"); p != 4 || u != 3 || a != 2 {
		t.Errorf("after the launch: %d processed, %d unused, %d agents", p, u, a)
	}
	if n := r.m.queue.kins.Len() + r.m.queue.loners.Len(); n != 0 {
		t.Errorf("%d are still looked for", n)
	}
}

// TestSeveralVersionsWait is behaviour 5.2.3: where instances of several versions wait, each version is tried, and an offer
// that fits none counts once.
func TestSeveralVersionsWait(t *testing.T) {
	r := newRig(t)
	r.put(`{"id":"/web","cpus":3}`)
	first, _ := r.m.st.Spec("/web")
	r.force(`{"id":"/web","cpus":1,"instances":2}`)
	for n, id := range r.ids("/web") {
		if n == 0 { // the first in the order of ids, so that it is tried first
			c := r.get(id).Clone()
			c.Version = first.SpecVersion()
			r.m.put(c)
		}
	}
	if r.offer("tiny", cpus(0.5)...); r.m.queue.loners.Len() != 1 {
		t.Fatal("not looked at one by one")
	}
	r.wait(2 * time.Second)
	if p, u, f, a := r.tallied("/web"); p != 1 || u != 1 || f != 1 || a != 1 {
		t.Errorf("%d processed, %d unused, %d in the funnel, %d agents", p, u, f, a)
	}
	if n := launches(r.offer("small", cpus(1)...)); len(n) != 1 {
		t.Errorf("launched %v: only the new version fits", n)
	}
	if n := launches(r.offer("big", cpus(3)...)); len(n) != 1 {
		t.Errorf("launched %v: now the old one fits", n)
	}
}

// TestKinFindPlaces: on random clusters and demands, nobody waits while an offer that would fit is declined, no offer
// is used beyond what it holds (I7), and each is answered once (I8), however small the batches are.
func TestKinFindPlaces(t *testing.T) {
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		r := newRig(t, func(c *Config) { c.MaxRows = 1 + rnd.IntN(40) })
		specs := 1 + rnd.IntN(6)
		for n := range specs {
			text := fmt.Sprintf(`{"id":"/s%d","cpus":%d,"mem":1,"instances":%d`, n, 1+rnd.IntN(2), 1+rnd.IntN(4))
			switch rnd.IntN(4) {
			case 0:
				text += `,"constraints":[["hostname","MAX_PER","2"]]`
			case 1:
				text += `,"labels":{"STADION_PLACEMENT":"binpack"}`
			}
			r.put(text + "}")
		}
		var list []offers.Offer
		for k := range 1 + rnd.IntN(4) {
			list = append(list, r.offerOf(fmt.Sprintf("h%d", k), cpus(float64(rnd.IntN(8)))...))
		}
		b := r.give(list...)
		left := map[string]float64{}
		for _, o := range list {
			left[o.Agent.ID] = o.Resources[0].Value
		}
		for i := range r.m.st.Instances() {
			if i.Launched() {
				s, _ := r.m.specFor(i)
				left[i.Agent.ID] -= float64(s.(*core.App).CPUs)
			}
		}
		for id, n := range left {
			if n < 0 { // I7
				t.Errorf("seed %d: %v cpus too many on %s", seed, -n, id)
			}
		}
		if n := answered(b); n != len(list) { // I8
			t.Errorf("seed %d: %d of %d offers are answered", seed, n, len(list))
		}
		declined := map[string]bool{}
		for _, d := range calls[offers.Decline](b) {
			for _, id := range d.OfferIDs {
				declined[id] = true
			}
		}
		for n := range specs {
			id := core.PathID(fmt.Sprintf("/s%d", n))
			s, _ := r.m.st.Spec(id)
			app := s.(*core.App)
			if len(app.Constraints) > 0 || !r.m.st.Waits(id) {
				continue
			}
			for _, o := range list {
				if cpus := o.Resources[0].Value; declined[o.ID] && cpus >= float64(app.CPUs) {
					t.Errorf("seed %d: %s waits for %v cpus, an offer of %v is declined", seed, id, app.CPUs, cpus)
				}
			}
		}
	}
}

// BenchmarkWaitingSpecs is the curve G6: what one offer costs that fits none of the waiting specs of 20 shapes.
func BenchmarkWaitingSpecs(b *testing.B) {
	for _, n := range []int{20, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := newRig(b, func(c *Config) { c.MaxRunningDeployments = 1 << 30 })
			for k := range n {
				r.put(fmt.Sprintf(`{"id":"/never-%d","cpus":%d}`, k, 1000+k%20))
			}
			var list []offers.Offer
			for k := range 100 {
				list = append(list, r.offerOf(fmt.Sprintf("h%d", k)))
			}
			b.ResetTimer()
			for range b.N {
				r.now += 1000
				r.give(list...)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/100, "µs/offer")
		})
	}
}
