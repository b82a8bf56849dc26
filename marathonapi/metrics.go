package marathonapi

import (
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"stadion/core"
	"stadion/core/state"
	"stadion/marathonapi/metrics"
)

// httpStats counts and times requests and answers (behaviour.md 10.2).
type httpStats struct {
	active atomic.Int64
	to     *metrics.Registry
}

var statusMeters = [6]string{1: "http.responses.1xx.rate.meter", 2: "http.responses.2xx.rate.meter", 3: "http.responses.3xx.rate.meter",
	4: "http.responses.4xx.rate.meter", 5: "http.responses.5xx.rate.meter"}

// methodTimers are the timers of the methods that have one of their own.
var methodTimers = map[string]string{}

func init() {
	for _, m := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"} {
		methodTimers[m] = "http.requests." + strings.ToLower(m) + ".duration.timer.seconds"
	}
}

func (h *httpStats) middleware(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h.active.Add(1)
		defer h.active.Add(-1)
		began := time.Now()
		err := next(c)
		if err != nil {
			c.Error(err)
		}
		h.count(c, time.Since(began))
		return nil
	}
}

func (h *httpStats) count(c echo.Context, took time.Duration) {
	if n := c.Response().Status / 100; n > 0 && n < len(statusMeters) {
		h.to.Mark(statusMeters[n])
	}
	size := int(c.Response().Size)
	if c.Path() == eventsPath || c.Request().URL.Path == eventsPath {
		h.to.Count("http.responses.event-stream.size.counter.bytes", size)
		return // a stream's age is no duration of a request
	}
	name := "http.responses.size.counter.bytes"
	if c.Response().Header().Get("Content-Encoding") == "gzip" {
		name = "http.responses.size.gzipped.counter.bytes"
	}
	h.to.Count(name, size)
	h.to.Count("http.requests.size.counter.bytes", int(max(c.Request().ContentLength, 0)))
	h.to.Time("http.requests.duration.timer.seconds", took)
	timer := methodTimers[c.Request().Method]
	if timer == "" {
		timer = "http.requests.other.duration.timer.seconds"
	}
	h.to.Time(timer, took)
}

// setGauges says where the gauges of the API and of the state take their values from.
func (s *Server) setGauges() {
	r := s.stats.to
	kinds := func(pods bool) func() float64 {
		return func() (n float64) {
			for spec := range s.loop.Snapshot().SpecsBelow(core.Root) {
				if spec.IsPod() == pods {
					n++
				}
			}
			return n
		}
	}
	r.Gauge("apps.active.gauge", kinds(false))
	r.Gauge("pods.active.gauge", kinds(true))
	r.Gauge("groups.active.gauge", func() float64 { return float64(s.loop.Snapshot().GroupCount()) })
	r.Gauge("deployments.active.gauge", func() float64 { return float64(s.loop.Snapshot().DeploymentCount()) })
	r.Gauge("instances.running.gauge", func() float64 { _, n := s.loop.Snapshot().Totals(); return float64(n) })
	r.Gauge("instances.staged.gauge", func() float64 { n, _ := s.loop.Snapshot().Totals(); return float64(n) })
	r.Gauge("stadion.instances.waiting.gauge", func() float64 { return float64(s.loop.Snapshot().WaitingCount()) })
	for name, value := range map[string]func(state.Gauges) int{
		"instances.launch-overdue.gauge":         func(g state.Gauges) int { return g.Overdue },
		"instances.inflight-kills.gauge":         func(g state.Gauges) int { return g.Kills },
		"instances.inflight-kill-attempts.gauge": func(g state.Gauges) int { return g.KillAttempts },
		"stadion.queue.specs.gauge":              func(g state.Gauges) int { return g.Ready },
		"debug.offer-matcher.queue.size.gauge":   func(g state.Gauges) int { return g.HeldOffers },
		"debug.offer-matcher.tokens.gauge":       func(g state.Gauges) int { return g.Tokens },
	} {
		r.Gauge(name, func() float64 { return float64(value(s.loop.Snapshot().Gauges())) })
	}
	r.Gauge("uptime.gauge.seconds", func() float64 { return s.now().Sub(s.started).Truncate(time.Millisecond).Seconds() })
	r.Gauge("http.requests.active.gauge", func() float64 { return float64(s.stats.active.Load()) })
	r.Gauge("http.event-streams.active.gauge", func() float64 { return float64(s.hub.count()) })
}

func (h *hub) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.streams)
}

// metricsJSON keeps the layout of Marathon's reporter: a version and five maps (http-api.md 3.3).
func (s *Server) metricsJSON(r *request) error {
	return r.answer(http.StatusOK, s.stats.to.JSON())
}

func (s *Server) metricsPrometheus(r *request) error {
	if s.cfg.NoPrometheus {
		return missingText("Prometheus reporter is disabled")
	}
	r.Response().Header().Set("Content-Type", metrics.TextFormat)
	return s.stats.to.Prometheus(r.Response())
}
