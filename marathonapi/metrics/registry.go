package metrics

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	gometrics "github.com/rcrowley/go-metrics"
)

// distribution is what histograms and timers show: a count of all times and a sample that may begin anew.
type distribution struct {
	count  atomic.Int64
	sample gometrics.Sample
}

func newDistribution() *distribution {
	return &distribution{sample: gometrics.NewUniformSample(reservoir)}
}

func (d *distribution) update(v int64) {
	d.count.Add(1)
	d.sample.Update(v)
}

// snapshot is a copy with the count of all times.
func (d *distribution) snapshot() counted {
	return counted{d.sample.Snapshot(), d.count.Load()}
}

type counted struct {
	gometrics.Sample
	all int64
}

// Count hides the number of samples.
func (c counted) Count() int64 { return c.all }

// timer is a distribution of nanoseconds with the rates of its updates.
type timer struct {
	*distribution
	meter gometrics.Meter
}

// Reset empties the samples of all distributions every interval until ctx ends; counts and rates stay (behaviour.md 10.1).
func (r *Registry) Reset(ctx context.Context, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.reset()
		}
	}
}

func (r *Registry) reset() {
	for _, t := range r.timers {
		t.sample.Clear()
	}
	for _, h := range r.histograms {
		h.sample.Clear()
	}
}

// reservoir is how many samples a histogram or timer keeps for its percentiles.
const reservoir = 1028

// Registry holds all metrics of a process. Its methods may be called from many goroutines.
type Registry struct {
	counters   map[string]gometrics.Counter
	meters     map[string]gometrics.Meter
	timers     map[string]*timer
	histograms map[string]*distribution

	mu     sync.RWMutex
	gauges map[string]func() float64
}

// New makes a registry that has every metric of the table. Close ends the goroutine that ticks its rates.
func New() *Registry {
	r := &Registry{counters: map[string]gometrics.Counter{}, meters: map[string]gometrics.Meter{}, timers: map[string]*timer{},
		histograms: map[string]*distribution{}, gauges: map[string]func() float64{}}
	for _, row := range table {
		switch row.Kind {
		case CounterKind:
			r.counters[row.Name] = gometrics.NewCounter()
		case GaugeKind:
			r.gauges[row.Name] = func() float64 { return 0 }
		case MeterKind:
			r.meters[row.Name] = gometrics.NewMeter()
		case TimerKind:
			r.timers[row.Name] = &timer{newDistribution(), gometrics.NewMeter()}
		case HistogramKind:
			r.histograms[row.Name] = newDistribution()
		}
	}
	return r
}

// Close stops the rates.
func (r *Registry) Close() {
	for _, m := range r.meters {
		m.Stop()
	}
	for _, t := range r.timers {
		t.meter.Stop()
	}
}

// Count adds to a counter. A name that is not in the table is a mistake of the caller and panics.
func (r *Registry) Count(name string, n int) {
	if n != 0 {
		r.counters[name].Inc(int64(n))
	}
}

// TaskUpdate counts a status update by its Mesos state; unknown states are not counted.
func (r *Registry) TaskUpdate(state string) {
	if c := r.counters["mesos.task-updates."+strings.ReplaceAll(strings.ToLower(state), "_", "-")+".counter"]; c != nil {
		c.Inc(1)
	}
}

// Mark counts an event of a meter.
func (r *Registry) Mark(name string) { r.meters[name].Mark(1) }

// Time notes a duration.
func (r *Registry) Time(name string, d time.Duration) {
	t := r.timers[name]
	t.update(int64(d))
	t.meter.Mark(1)
}

// Note adds a value to a histogram.
func (r *Registry) Note(name string, v int64) { r.histograms[name].update(v) }

// Gauge sets where a gauge takes its value from.
func (r *Registry) Gauge(name string, value func() float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.gauges[name]; !known {
		panic("gauge " + name + " is not in the table")
	}
	r.gauges[name] = value
}

func (r *Registry) gauge(name string) float64 {
	r.mu.RLock()
	f := r.gauges[name]
	r.mu.RUnlock()
	return f()
}
