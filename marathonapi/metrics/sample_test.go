package metrics

import (
	"math"
	"testing"
	"time"
)

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Max(1, math.Abs(b)) }

// TestSpread: percentiles between two values are interpolated as Marathon's library does it (behaviour 10.1).
func TestSpread(t *testing.T) {
	var s sample
	if got := s.spread(); got != (spread{}) {
		t.Errorf("nothing yet: %v", got)
	}
	s.add(7)
	if got, want := s.spread(), (spread{min: 7, max: 7, mean: 7, q: [6]float64{7, 7, 7, 7, 7, 7}}); got != want {
		t.Errorf("one value: %v", got)
	}
	s.clear()
	for n := 100; n >= 1; n-- {
		s.add(float64(n))
	}
	got := s.spread()
	if got.min != 1 || got.max != 100 || !near(got.mean, 50.5) || !near(got.stddev, math.Sqrt(833.25)) {
		t.Errorf("1 to 100: %v", got)
	}
	for i, want := range [6]float64{50.5, 75.75, 95.95, 98.98, 99.99, 100} {
		if !near(got.q[i], want) {
			t.Errorf("%s is %v, wanted %v", quantileNames[i], got.q[i], want)
		}
	}
}

// TestReservoir: however many values come, so many are kept, and they are no worse a choice of the late ones than of the early.
func TestReservoir(t *testing.T) {
	var s sample
	for n := range 100 * reservoir {
		s.add(float64(n))
	}
	if len(s.values) != reservoir {
		t.Errorf("%d values are kept", len(s.values))
	}
	if got := s.spread().q[0] / (100 * reservoir); got < 0.4 || got > 0.6 { // six standard deviations
		t.Errorf("the median is at %v of all values", got)
	}
}

// TestRates: the first average is what happened in the first 5 s; from then on old rates fade with e^(-t/1min) and so on.
func TestRates(t *testing.T) {
	var r rates
	r.count.Add(50)
	r.tick()
	if m1, m5, m15, mean := r.all(10 * time.Second); m1 != 10 || m5 != 10 || m15 != 10 || mean != 5 {
		t.Errorf("50 events: %v %v %v, mean %v", m1, m5, m15, mean)
	}
	for range 12 {
		r.tick()
	}
	m1, m5, m15, _ := r.all(0)
	for i, got := range []float64{m1, m5, m15} {
		if want := 10 * math.Exp(-1/[]float64{1, 5, 15}[i]); !near(got, want) {
			t.Errorf("after a minute of silence: %v, wanted %v", got, want)
		}
	}
}

// TestNothingIsAllocated: what happens at every launch and every request costs no allocation.
func TestNothingIsAllocated(t *testing.T) {
	r := New("marathon")
	one := func() {
		r.Count("tasks.launched.counter", 1)
		r.TaskUpdate("TASK_RUNNING")
		r.Time("stadion.launch.queued-to-offer.timer.seconds", time.Second)
		r.Note("stadion.batch.rows.histogram", 7)
		r.Mark("http.responses.2xx.rate.meter")
	}
	for range reservoir { // until the samples have their size
		one()
	}
	if n := testing.AllocsPerRun(1000, one); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
