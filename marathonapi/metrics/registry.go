package metrics

import (
	"cmp"
	"context"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Registry holds all metrics of a process. Its methods may be called from many goroutines.
type Registry struct {
	prefix     string
	entries    []entry // one per row of the table, in its order
	counters   map[string]counter
	gauges     map[string]*gauge
	meters     map[string]*meter
	timers     map[string]*timer
	histograms map[string]*histogram
	all        *prometheus.Registry
}

// New makes a registry that has every metric of the table, with names that begin with prefix; empty: marathon. Run keeps its rates.
func New(prefix string) *Registry {
	prefix = cmp.Or(prefix, "marathon")
	r := &Registry{prefix: prefix, counters: map[string]counter{}, gauges: map[string]*gauge{}, meters: map[string]*meter{}, timers: map[string]*timer{},
		histograms: map[string]*histogram{}, all: prometheus.NewRegistry()}
	began := time.Now()
	age := func() time.Duration { return time.Since(began) }
	for _, row := range table {
		e := r.add(row, age)
		r.entries = append(r.entries, e)
		r.all.MustRegister(e)
	}
	r.all.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

func (r *Registry) add(row Row, age func() time.Duration) entry {
	name, help := r.series(row.Name), row.Help
	switch row.Kind {
	case CounterKind:
		r.counters[row.Name] = newCounter(name, help)
		return r.counters[row.Name]
	case GaugeKind:
		r.gauges[row.Name] = newGauge(name, help)
		return r.gauges[row.Name]
	case MeterKind:
		r.meters[row.Name] = newMeter(name, help, age)
		return r.meters[row.Name]
	case HistogramKind:
		r.histograms[row.Name] = newHistogram(name, help, "")
		return r.histograms[row.Name]
	default:
		bucketsName := ""
		if withBuckets[row.Name] {
			bucketsName = r.series(strings.Replace(row.Name, ".timer.", ".histogram.", 1))
		}
		t := newTimer(name, help, bucketsName, age)
		if bucketsName != "" {
			r.all.MustRegister(t.total)
		}
		r.timers[row.Name] = t
		return t
	}
}

var notPrometheus = regexp.MustCompile(`[^a-zA-Z0-9_]`)

// series is a metric's name for Prometheus (behaviour.md 10.1). A digit cannot begin one.
func (r *Registry) series(name string) string {
	name = notPrometheus.ReplaceAllString(r.prefix+"."+name, "_")
	if name[0] >= '0' && name[0] <= '9' {
		return "_" + name
	}
	return name
}

// Run keeps moving averages up to date, and empties the samples of all distributions every reset, until ctx ends; counts,
// sums and rates stay (behaviour.md 10.1). With 0 samples are never emptied.
func (r *Registry) Run(ctx context.Context, reset time.Duration) {
	rate := time.NewTicker(rateTick)
	defer rate.Stop()
	var clear <-chan time.Time
	if reset > 0 {
		tick := time.NewTicker(reset)
		defer tick.Stop()
		clear = tick.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-rate.C:
			r.tick()
		case <-clear:
			r.clear()
		}
	}
}

func (r *Registry) tick() {
	for _, m := range r.meters {
		m.tick()
	}
	for _, t := range r.timers {
		t.tick()
	}
}

func (r *Registry) clear() {
	for _, t := range r.timers {
		t.sample.clear()
	}
	for _, h := range r.histograms {
		h.sample.clear()
	}
}

// Count adds to a counter. A name that is not in the table is a mistake of the caller and panics.
func (r *Registry) Count(name string, n int) {
	if n != 0 {
		r.counters[name].Add(float64(n))
	}
}

// TaskUpdate counts a status update by its Mesos state; unknown states are not counted.
func (r *Registry) TaskUpdate(state string) {
	if c, ok := r.counters[taskUpdate[state]]; ok {
		c.Inc()
	}
}

// Mark counts an event of a meter.
func (r *Registry) Mark(name string) { r.meters[name].count.Add(1) }

// Time notes a duration.
func (r *Registry) Time(name string, d time.Duration) { r.timers[name].add(d) }

// Note adds a value to a histogram.
func (r *Registry) Note(name string, v int64) { r.histograms[name].add(float64(v)) }

// Gauge sets where a gauge takes its value from.
func (r *Registry) Gauge(name string, value func() float64) {
	g, known := r.gauges[name]
	if !known {
		panic("gauge " + name + " is not in the table")
	}
	g.from.Store(&value)
}
