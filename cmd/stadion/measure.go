package main

import (
	"context"
	"math"
	"runtime/debug"
	rmetrics "runtime/metrics"
	"time"

	"go.uber.org/zap"

	"stadion/core"
	"stadion/core/loop"
	"stadion/core/machine"
	"stadion/marathonapi/metrics"
	"stadion/offers"
)

// measured counts what passes between the loop and the edges (behaviour.md 10.2).
type measured struct {
	to *metrics.Registry
}

// calls counts the calls of a batch on their way to the master.
func (m measured) calls(list []offers.Call) {
	for _, c := range list {
		switch c := c.(type) {
		case offers.Accept:
			m.accept(c)
		case offers.Decline:
			m.to.Count("mesos.offers.declined.counter", len(c.OfferIDs))
		case offers.Revive:
			m.to.Count("mesos.calls.revive.counter", max(len(c.Roles), 1))
		case offers.Suppress:
			m.to.Count("mesos.calls.suppress.counter", max(len(c.Roles), 1))
		case offers.UpdateFramework:
			m.to.Count("mesos.calls.suppress.counter", c.Quieted)
		}
	}
}

func (m measured) accept(c offers.Accept) {
	if len(c.Operations) > 0 {
		m.to.Count("mesos.offers.used.counter", len(c.OfferIDs))
	}
	for _, op := range c.Operations {
		switch {
		case op.Launch != nil:
			m.to.Count("mesos.offer-operations.launch.counter", 1)
			m.to.Count("tasks.launched.counter", 1)
		case op.LaunchGroup != nil:
			m.to.Count("mesos.offer-operations.launch-group.counter", 1)
			m.to.Count("tasks.launched.counter", 1)
		case len(op.Reserve) > 0:
			m.to.Count("mesos.offer-operations.reserve.counter", 1)
		}
	}
}

// event counts what the master tells.
func (m measured) event(e offers.Event) {
	switch e := e.(type) {
	case offers.Received:
		m.to.Count("mesos.offers.incoming.counter", len(e.Offers))
	case offers.StatusUpdate:
		m.to.TaskUpdate(e.State)
		if e.Reason == "CONTAINER_LIMITATION_MEMORY" {
			m.to.Count("mesos.task.oom.memory-limit-exceeded.counter", 1)
		}
	}
}

// notices counts what was published, which took so long: each deployment begins with the announcement of its first step.
func (m measured) notices(list []core.Notice, took time.Duration) {
	for _, n := range list {
		switch b := n.Body.(type) {
		case *core.StatusUpdated:
			m.to.Time("debug.publishing-task-status-update-duration.timer.seconds", took)
		case core.DeploymentStep:
			if n.Type == "deployment_info" && len(b.Plan.Steps) > 0 && sameStep(b.CurrentStep, b.Plan.Steps[0]) {
				m.to.Count("deployments.counter", 1)
			}
		case core.DeploymentEnd:
			if len(b.Plan.Steps) == 0 {
				m.to.Count("deployments.counter", 1)
			}
		}
	}
}

func sameStep(a, b core.WireStep) bool {
	return len(a.Actions) == len(b.Actions) && len(a.Actions) > 0 && a.Actions[0] == b.Actions[0]
}

// caller counts calls before they go to the driver.
type caller struct {
	measured
	next loop.Caller
}

func (c caller) Send(list []offers.Call) {
	c.calls(list)
	c.next.Send(list)
}

// timerOf names the timer of each mark that has a duration.
var timerOf = map[machine.MarkKind]string{
	machine.MarkOffered: "stadion.launch.queued-to-offer.timer.seconds",
	machine.MarkRunning: "stadion.launch.accept-to-running.timer.seconds",
	machine.MarkHealthy: "stadion.launch.running-to-healthy.timer.seconds",
}

// Settled times matching and the looks for old versions: a batch in which offers were answered was matched, and one with
// the mark of retention looked.
func (m measured) Settled(b *machine.Batch, events int, took time.Duration) {
	m.to.Note("stadion.batch.events.histogram", int64(events))
	answered := false
	for _, c := range b.Calls {
		switch c := c.(type) {
		case offers.Accept:
			answered = true
		case offers.Decline:
			answered = true
			if c.RefuseSeconds == nil {
				m.to.Count("debug.mesos.offers.unprocessable.counter", len(c.OfferIDs))
			}
		}
	}
	if answered {
		m.to.Time("debug.mesos.offers.matching-duration.timer.seconds", took)
	}
	for _, mark := range b.Marks {
		if mark.Kind == machine.MarkRetained {
			m.to.Count("persistence.gc.runs.counter", 1)
			m.to.Time("persistence.gc.scan.duration.timer.seconds", took)
		}
	}
}

// Stored times the store.
func (m measured) Stored(b *machine.Batch, took time.Duration, err error) {
	launches := launchesIn(b)
	if err != nil {
		m.to.Count("debug.mesos.offers.saving-tasks-errors.counter", launches)
		return
	}
	m.to.Time("debug.persistence.operations.store.duration.timer.seconds", took)
	m.to.Note("stadion.batch.rows.histogram", int64(len(b.Writes)))
	m.to.Count("stadion.store.rows.counter", len(b.Writes))
	m.to.Count("stadion.store.busy.counter.microseconds", int(took.Microseconds()))
	if launches > 0 {
		m.to.Time("debug.mesos.offers.saving-tasks-duration.timer.seconds", took)
	}
}

// Released times the stages of launches, and what else ended with the batch.
func (m measured) Released(b *machine.Batch, after time.Duration) {
	for range launchesIn(b) {
		m.to.Time("stadion.launch.offer-to-accept.timer.seconds", after)
	}
	for _, mark := range b.Marks {
		if name := timerOf[mark.Kind]; name != "" {
			m.to.Time(name, time.Duration(mark.Ms)*time.Millisecond)
		}
		if mark.Kind == machine.MarkGhost {
			m.to.Time("debug.killing-unknown-task-duration.timer.seconds", after)
		}
	}
}

// launchesIn counts the launches that wait for a batch.
func launchesIn(b *machine.Batch) (n int) {
	for _, mark := range b.Marks {
		if mark.Kind == machine.MarkOffered {
			n++
		}
	}
	return n
}

// processGauges are the gauges of the process itself, under the names that shipped dashboards chart.
func processGauges(r *metrics.Registry) {
	read := func(name string) func() float64 {
		return func() float64 {
			s := []rmetrics.Sample{{Name: name}}
			rmetrics.Read(s)
			if s[0].Value.Kind() != rmetrics.KindUint64 {
				return 0
			}
			return float64(s[0].Value.Uint64())
		}
	}
	total := read("/memory/classes/total:bytes")
	r.Gauge("jvm.memory.heap.used.gauge.bytes", read("/memory/classes/heap/objects:bytes"))
	r.Gauge("jvm.memory.heap.committed.gauge.bytes", func() float64 { return total() - read("/memory/classes/heap/released:bytes")() })
	r.Gauge("jvm.memory.heap.max.gauge.bytes", func() float64 {
		if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
			return float64(limit)
		}
		return total()
	})
	r.Gauge("jvm.memory.total.used.gauge.bytes", total)
	r.Gauge("jvm.threads.active.gauge", read("/sched/goroutines:goroutines"))
	r.Gauge("jvm.gc.go.collections.count.gauge", read("/gc/cycles/total:gc-cycles"))
	r.Gauge("stadion.gc.longest-pause.gauge.seconds", func() float64 {
		var s debug.GCStats
		debug.ReadGCStats(&s)
		return longestSince(s, time.Now().Add(-pauseWindow)).Seconds()
	})
}

const pauseWindow = 20 * time.Second // of the gauge of garbage collections

// longestSince is the longest pause that ended after a time; the runtime remembers the last 256.
func longestSince(s debug.GCStats, since time.Time) (longest time.Duration) {
	for i, end := range s.PauseEnd {
		if end.After(since) {
			longest = max(longest, s.Pause[i])
		}
	}
	return longest
}

// startMetrics keeps rates and samples up to date and sends metrics to StatsD and DataDog as the flags ask, until ctx ends.
func startMetrics(ctx context.Context, f *flagSet, r *metrics.Registry, log *zap.Logger) {
	reset := time.Duration(0)
	if f.on("metrics_histogram_reservoir_reset_periodically") {
		reset = max(time.Duration(f.int64("metrics_histogram_reservoir_resetting_interval_ms"))*time.Millisecond, time.Second)
	}
	go r.Run(ctx, reset)
	start := func(name string, t metrics.Target) {
		failing := false
		go r.Report(ctx, t, func(err error) {
			if !failing { // once is enough; the next interval tries again
				log.Warn("report metrics to "+name, zap.Error(err))
			}
			failing = true
		})
	}
	address := func(kind string) string {
		return f.text("metrics_"+kind+"_host") + ":" + f.text("metrics_"+kind+"_port")
	}
	every := func(kind string) time.Duration {
		return max(time.Duration(f.int64("metrics_"+kind+"_transmission_interval_ms"))*time.Millisecond, time.Second)
	}
	if f.on("metrics_statsd") {
		start("StatsD", metrics.Target{Address: address("statsd"), Interval: every("statsd")})
	}
	if f.on("metrics_datadog") {
		t := metrics.Target{Address: address("datadog"), Interval: every("datadog")}
		if f.text("metrics_datadog_protocol") == "api" {
			t.APIURL, t.APIKey = datadogAPI, f.text("metrics_datadog_api_key")
		}
		start("DataDog", t)
	}
}

const datadogAPI = "https://api.datadoghq.com/api/v1/series"
