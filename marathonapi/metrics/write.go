package metrics

import (
	"fmt"
	"io"

	"github.com/prometheus/common/expfmt"
)

// JSON is the layout of /metrics: a version and five maps (http-api.md 3.3).
func (r *Registry) JSON() map[string]any {
	out := map[string]any{"version": "4.0.0"}
	maps := map[Kind]map[string]any{}
	for kind, name := range mapNames {
		maps[kind] = map[string]any{}
		out[name] = maps[kind]
	}
	for i, row := range table {
		maps[row.Kind][r.prefix+"."+row.Name] = r.entries[i].json()
	}
	return out
}

// mapNames are the names of the five maps.
var mapNames = map[Kind]string{CounterKind: "counters", GaugeKind: "gauges", MeterKind: "meters", TimerKind: "timers", HistogramKind: "histograms"}

// TextFormat is the content type of what Prometheus writes (http-api.md 3.4).
const TextFormat = "text/plain; version=0.0.4"

// Prometheus writes the text exposition (behaviour.md 10.1).
func (r *Registry) Prometheus(w io.Writer) error {
	families, err := r.all.Gather()
	if err != nil {
		return fmt.Errorf("gather metrics: %w", err)
	}
	to := expfmt.NewEncoder(w, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, f := range families {
		if err := to.Encode(f); err != nil {
			return fmt.Errorf("write metrics: %w", err)
		}
	}
	return nil
}
