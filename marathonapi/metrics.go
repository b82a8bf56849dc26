package marathonapi

import (
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"stadion/core/state"
)

// httpStats counts requests and answers.
type httpStats struct {
	active    atomic.Int64
	responses [6]atomic.Int64 // by hundreds of the status
	bytes     atomic.Int64
}

func (h *httpStats) middleware(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h.active.Add(1)
		defer h.active.Add(-1)
		err := next(c)
		if err != nil {
			c.Error(err)
		}
		if n := c.Response().Status / 100; n > 0 && n < len(h.responses) {
			h.responses[n].Add(1)
		}
		h.bytes.Add(c.Response().Size)
		return nil
	}
}

// Sample is one metric: a counter or a gauge, named without the prefix (http-api.md 3.4).
type Sample struct {
	Name    string
	Counter bool
	Value   float64
}

func (s *Server) samples(snap *state.Snapshot) []Sample {
	apps, pods := 0, 0
	for spec := range snap.SpecsBelow("/") {
		if spec.IsPod() {
			pods++
		} else {
			apps++
		}
	}
	staged, running := snap.Totals()
	out := []Sample{
		{"apps.active.gauge", false, float64(apps)},
		{"pods.active.gauge", false, float64(pods)},
		{"groups.active.gauge", false, float64(snap.GroupCount())},
		{"deployments.active.gauge", false, float64(snap.DeploymentCount())},
		{"instances.running.gauge", false, float64(running)},
		{"instances.staged.gauge", false, float64(staged)},
		{"uptime.gauge.seconds", false, s.now().Sub(s.started).Truncate(time.Millisecond).Seconds()},
		{"http.requests.active.gauge", false, float64(s.stats.active.Load())},
		{"http.event-streams.active.gauge", false, float64(s.hub.count())},
		{"http.responses.size.counter.bytes", true, float64(s.stats.bytes.Load())},
	}
	for n := 1; n < len(s.stats.responses); n++ {
		out = append(out, Sample{"http.responses." + string(rune('0'+n)) + "xx.counter", true, float64(s.stats.responses[n].Load())})
	}
	if s.moreSamples != nil {
		out = append(out, s.moreSamples()...)
	}
	return out
}

func (h *hub) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.streams)
}

// metricsJSON keeps the layout of Marathon's reporter: a version and five maps (http-api.md 3.3).
func (s *Server) metricsJSON(r *request) error {
	counters, gauges := map[string]any{}, map[string]any{}
	for _, m := range s.samples(r.snap) {
		name := s.cfg.MetricsPrefix + "." + m.Name
		if m.Counter {
			counters[name] = map[string]float64{"count": m.Value}
		} else {
			gauges[name] = map[string]float64{"value": m.Value}
		}
	}
	none := map[string]any{}
	return r.answer(http.StatusOK, map[string]any{"version": "4.0.0", "counters": counters, "gauges": gauges,
		"histograms": none, "meters": none, "timers": none})
}

var promName = strings.NewReplacer(".", "_", "-", "_")

func (s *Server) metricsPrometheus(r *request) error {
	if s.cfg.NoPrometheus {
		return missingText("Prometheus reporter is disabled")
	}
	r.Response().Header().Set("Content-Type", "text/plain; version=0.0.4")
	e := &encoder{out: r.Response()}
	for _, m := range s.samples(r.snap) {
		name := promName.Replace(s.cfg.MetricsPrefix + "." + m.Name)
		kind := "gauge"
		if m.Counter {
			kind = "counter"
		}
		e.raw("# TYPE " + name + " " + kind + "\n" + name + " ")
		e.json(m.Value)
		e.raw("\n")
	}
	e.flush()
	return e.err
}
