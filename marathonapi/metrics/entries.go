package metrics

import (
	"math"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// entry is one metric as its readers see it: Prometheus through Collect, /metrics through json, StatsD and DataDog through report.
type entry interface {
	prometheus.Collector
	json() map[string]any
	report(name string, each func(name string, v float64))
}

// counter counts up.
type counter struct{ prometheus.Counter }

func newCounter(name, help string) counter {
	return counter{prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})}
}

func (c counter) value() float64 {
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		return 0
	}
	return m.GetCounter().GetValue()
}

func (c counter) json() map[string]any { return map[string]any{"count": int64(c.value())} }

func (c counter) report(name string, each func(string, float64)) { each(name, c.value()) }

// gauge asks a function, which can be set when what it looks at is there.
type gauge struct {
	prometheus.GaugeFunc
	from atomic.Pointer[func() float64]
}

func newGauge(name, help string) *gauge {
	g := &gauge{}
	g.GaugeFunc = prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, g.value)
	return g
}

// value is 0 while there is no function, and for what is no number (behaviour.md 10.1).
func (g *gauge) value() float64 {
	f := g.from.Load()
	if f == nil {
		return 0
	}
	if v := (*f)(); !math.IsNaN(v) && !math.IsInf(v, 0) {
		return v
	}
	return 0
}

func (g *gauge) json() map[string]any { return map[string]any{"value": g.value()} }

func (g *gauge) report(name string, each func(string, float64)) { each(name, g.value()) }

// gauges are several series of one metric, whose values are told at once.
type gauges []*prometheus.Desc

func newGauges(help string, names ...string) (out gauges) {
	for _, name := range names {
		out = append(out, prometheus.NewDesc(name, help, nil, nil))
	}
	return out
}

func (g gauges) Describe(to chan<- *prometheus.Desc) {
	for _, d := range g {
		to <- d
	}
}

func (g gauges) send(to chan<- prometheus.Metric, values ...float64) {
	for i, v := range values {
		to <- prometheus.MustNewConstMetric(g[i], prometheus.GaugeValue, v)
	}
}

// meter shows how often something happens.
type meter struct {
	rates
	gauges
	age func() time.Duration
}

// newMeter gives a meter one series more than it should have: the name that shipped alert examples use besides the real one (D-46).
func newMeter(name, help string, age func() time.Duration) *meter {
	names := []string{name + "_count", name + "_m1_rate", name + "_m5_rate", name + "_m15_rate", name + "_mean_rate"}
	if stem, ok := strings.CutSuffix(name, "_rate_meter"); ok {
		names = append(names, stem+"_rate_m1_rate_meter")
	}
	return &meter{gauges: newGauges(help, names...), age: age}
}

func (m *meter) Collect(to chan<- prometheus.Metric) {
	m1, m5, m15, mean := m.all(m.age())
	m.send(to, []float64{float64(m.count.Load()), m1, m5, m15, mean, m1}[:len(m.gauges)]...)
}

func (r *rates) json(age time.Duration) map[string]any {
	m1, m5, m15, mean := r.all(age)
	return map[string]any{"m1_rate": m1, "m5_rate": m5, "m15_rate": m15, "mean_rate": mean}
}

func (m *meter) json() map[string]any {
	out := m.rates.json(m.age())
	out["count"], out["units"] = m.count.Load(), "events/second"
	return out
}

func (m *meter) report(name string, each func(string, float64)) {
	m1, _, _, _ := m.all(m.age())
	each(name+".count", float64(m.count.Load()))
	each(name+".m1_rate", m1)
}

// histogram shows how values are distributed: counted and summed up for all times, with percentiles of a sample that may begin anew.
type histogram struct {
	gauges
	total   prometheus.Histogram // with buckets for those that have them
	sample  sample
	summary *prometheus.Desc
}

func newHistogram(name, help string, bucketsName string) *histogram {
	h := &histogram{gauges: newGauges(help, name+"_min", name+"_max", name+"_mean", name+"_stddev"), summary: prometheus.NewDesc(name, help, nil, nil)}
	o := prometheus.HistogramOpts{Name: bucketsName, Help: help, Buckets: buckets}
	if bucketsName == "" {
		o.Name, o.Buckets = name, []float64{math.Inf(1)}
	}
	h.total = prometheus.NewHistogram(o)
	return h
}

func (h *histogram) add(v float64) {
	h.total.Observe(v)
	h.sample.add(v)
}

// counted are number and sum of all values.
func (h *histogram) counted() (n uint64, sum float64) {
	var m dto.Metric
	if err := h.total.Write(&m); err != nil {
		return 0, 0
	}
	return m.GetHistogram().GetSampleCount(), m.GetHistogram().GetSampleSum()
}

func (h *histogram) Describe(to chan<- *prometheus.Desc) {
	to <- h.summary
	h.gauges.Describe(to)
}

func (h *histogram) Collect(to chan<- prometheus.Metric) {
	n, sum := h.counted()
	s := h.sample.spread()
	q := map[float64]float64{}
	for i := range quantiles {
		q[quantiles[i]] = s.q[i]
	}
	to <- prometheus.MustNewConstSummary(h.summary, n, sum, q)
	h.send(to, s.min, s.max, s.mean, s.stddev)
}

func (h *histogram) json() map[string]any {
	n, _ := h.counted()
	s := h.sample.spread()
	out := map[string]any{"count": n, "min": s.min, "mean": s.mean, "max": s.max, "stddev": s.stddev}
	for i, name := range quantileNames {
		out[name] = s.q[i]
	}
	return out
}

func (h *histogram) report(name string, each func(string, float64)) {
	n, _ := h.counted()
	s := h.sample.spread()
	each(name+".count", float64(n))
	each(name+".mean", s.mean)
	each(name+".p99", s.q[4])
}

// timer is a histogram of seconds with the rates of its values.
type timer struct {
	*histogram
	*meter
}

func newTimer(name, help, bucketsName string, age func() time.Duration) *timer {
	return &timer{newHistogram(name, help, bucketsName),
		&meter{gauges: newGauges(help, name+"_m1_rate", name+"_m5_rate", name+"_m15_rate", name+"_mean_rate"), age: age}}
}

func (t *timer) add(d time.Duration) {
	t.histogram.add(d.Seconds())
	t.count.Add(1)
}

func (t *timer) Describe(to chan<- *prometheus.Desc) {
	t.histogram.Describe(to)
	t.meter.gauges.Describe(to)
}

func (t *timer) Collect(to chan<- prometheus.Metric) {
	t.histogram.Collect(to)
	m1, m5, m15, mean := t.all(t.age())
	t.meter.send(to, m1, m5, m15, mean)
}

func (t *timer) json() map[string]any {
	out := t.rates.json(t.age())
	for k, v := range t.histogram.json() {
		out[k] = v
	}
	out["duration_units"], out["rate_units"] = "seconds", "calls/second"
	return out
}

func (t *timer) report(name string, each func(string, float64)) { t.histogram.report(name, each) }
