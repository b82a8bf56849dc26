package metrics

import (
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"time"
)

// quantiles of summaries, with their names in JSON.
var quantiles = []float64{0.5, 0.75, 0.95, 0.98, 0.99, 0.999}

var quantileNames = []string{"p50", "p75", "p95", "p98", "p99", "p999"}

// spread is what histograms and timers have in common; timers in seconds.
type spread struct {
	count                  int64
	min, max, mean, stddev float64
	q                      []float64
}

func spreadOf(h interface {
	Count() int64
	Min() int64
	Max() int64
	Mean() float64
	StdDev() float64
	Percentiles([]float64) []float64
}, unit float64) spread {
	s := spread{count: h.Count(), min: float64(h.Min()) / unit, max: float64(h.Max()) / unit, mean: clean(h.Mean() / unit), stddev: clean(h.StdDev() / unit)}
	for _, v := range h.Percentiles(quantiles) {
		s.q = append(s.q, clean(v/unit))
	}
	return s
}

// clean writes NaN as 0 (behaviour.md 10.1).
func clean(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return v
}

func (s spread) json() map[string]any {
	out := map[string]any{"count": s.count, "min": s.min, "mean": s.mean, "max": s.max, "stddev": s.stddev}
	for i, name := range quantileNames {
		out[name] = s.q[i]
	}
	return out
}

type rates struct{ m1, m5, m15, mean float64 }

func (r rates) add(out map[string]any) {
	out["m1_rate"], out["m5_rate"], out["m15_rate"], out["mean_rate"] = clean(r.m1), clean(r.m5), clean(r.m15), clean(r.mean)
}

func ratesOf(m interface {
	Rate1() float64
	Rate5() float64
	Rate15() float64
	RateMean() float64
}) rates {
	return rates{m.Rate1(), m.Rate5(), m.Rate15(), m.RateMean()}
}

// JSON is the layout of /metrics: a version and five maps (http-api.md 3.3).
func (r *Registry) JSON(prefix string) map[string]any {
	counters, gauges, histograms, meters, timers := map[string]any{}, map[string]any{}, map[string]any{}, map[string]any{}, map[string]any{}
	for _, row := range table {
		name := prefix + "." + row.Name
		switch row.Kind {
		case CounterKind:
			counters[name] = map[string]any{"count": r.counters[row.Name].Count()}
		case GaugeKind:
			gauges[name] = map[string]any{"value": clean(r.gauge(row.Name))}
		case MeterKind:
			m := r.meters[row.Name].Snapshot()
			out := map[string]any{"count": m.Count(), "units": "events/second"}
			ratesOf(m).add(out)
			meters[name] = out
		case HistogramKind:
			histograms[name] = spreadOf(r.histograms[row.Name].snapshot(), 1).json()
		case TimerKind:
			t := r.timers[row.Name]
			out := spreadOf(t.snapshot(), float64(time.Second)).json()
			ratesOf(t.meter.Snapshot()).add(out)
			out["duration_units"], out["rate_units"] = "seconds", "calls/second"
			timers[name] = out
		}
	}
	return map[string]any{"version": "4.0.0", "counters": counters, "gauges": gauges, "histograms": histograms, "meters": meters, "timers": timers}
}

var notPrometheus = regexp.MustCompile(`[^a-zA-Z0-9_]`)

// meterAlias is the series name that shipped alert examples use besides the real one (D-46).
var meterAlias = regexp.MustCompile(`^(.*)_rate_meter$`)

// Prometheus writes the text exposition (behaviour.md 10.1).
func (r *Registry) Prometheus(w io.Writer, prefix string) error {
	p := printer{w: w}
	for _, row := range table {
		n := notPrometheus.ReplaceAllString(prefix+"."+row.Name, "_")
		p.help = row.Help
		switch row.Kind {
		case CounterKind:
			p.one("counter", n, float64(r.counters[row.Name].Count()))
		case GaugeKind:
			p.one("gauge", n, r.gauge(row.Name))
		case MeterKind:
			m := r.meters[row.Name].Snapshot()
			p.one("gauge", n+"_count", float64(m.Count()))
			p.rates(n, ratesOf(m))
			if a := meterAlias.FindStringSubmatch(n); a != nil {
				p.one("gauge", a[1]+"_rate_m1_rate_meter", m.Rate1())
			}
		case HistogramKind:
			p.summary(n, spreadOf(r.histograms[row.Name].snapshot(), 1))
		case TimerKind:
			t := r.timers[row.Name]
			p.summary(n, spreadOf(t.snapshot(), float64(time.Second)))
			p.rates(n, ratesOf(t.meter.Snapshot()))
		}
	}
	return p.err
}

// printer writes lines until the first error.
type printer struct {
	w    io.Writer
	help string
	err  error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

func number(v float64) string { return strconv.FormatFloat(clean(v), 'g', -1, 64) }

func (p *printer) one(kind, name string, v float64) {
	p.line("# HELP %s %s\n# TYPE %s %s\n%s %s\n", name, p.help, name, kind, name, number(v))
}

func (p *printer) rates(n string, r rates) {
	p.one("gauge", n+"_mean_rate", r.mean)
	p.one("gauge", n+"_m1_rate", r.m1)
	p.one("gauge", n+"_m5_rate", r.m5)
	p.one("gauge", n+"_m15_rate", r.m15)
}

func (p *printer) summary(n string, s spread) {
	p.line("# HELP %s %s\n# TYPE %s summary\n", n, p.help, n)
	for i, q := range quantiles {
		p.line("%s{quantile=\"%s\"} %s\n", n, number(q), number(s.q[i]))
	}
	p.line("%s_count %d\n", n, s.count)
	for _, g := range []struct {
		name string
		v    float64
	}{{"_min", s.min}, {"_max", s.max}, {"_mean", s.mean}, {"_stddev", s.stddev}} {
		p.one("gauge", n+g.name, g.v)
	}
}
