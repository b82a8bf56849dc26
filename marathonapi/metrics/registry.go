package metrics

import (
	"strings"
	"sync"
	"time"

	gometrics "github.com/rcrowley/go-metrics"
)

// reservoir is how many samples a histogram or timer keeps for its percentiles.
const reservoir = 1028

// Registry holds all metrics of a process. Its methods may be called from many goroutines.
type Registry struct {
	counters   map[string]gometrics.Counter
	meters     map[string]gometrics.Meter
	timers     map[string]gometrics.Timer
	histograms map[string]gometrics.Histogram

	mu     sync.RWMutex
	gauges map[string]func() float64
}

// New makes a registry that has every metric of the table. Close ends the goroutine that ticks its rates.
func New() *Registry {
	r := &Registry{counters: map[string]gometrics.Counter{}, meters: map[string]gometrics.Meter{}, timers: map[string]gometrics.Timer{},
		histograms: map[string]gometrics.Histogram{}, gauges: map[string]func() float64{}}
	for _, row := range table {
		switch row.Kind {
		case CounterKind:
			r.counters[row.Name] = gometrics.NewCounter()
		case GaugeKind:
			r.gauges[row.Name] = func() float64 { return 0 }
		case MeterKind:
			r.meters[row.Name] = gometrics.NewMeter()
		case TimerKind:
			r.timers[row.Name] = gometrics.NewTimer()
		case HistogramKind:
			r.histograms[row.Name] = gometrics.NewHistogram(gometrics.NewUniformSample(reservoir))
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
		t.Stop()
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
func (r *Registry) Time(name string, d time.Duration) { r.timers[name].Update(d) }

// Note adds a value to a histogram.
func (r *Registry) Note(name string, v int64) { r.histograms[name].Update(v) }

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
