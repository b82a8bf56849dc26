package metrics

import "strings"

// Kind is the type of a metric; it stands in its name too.
type Kind int8

// The kinds.
const (
	CounterKind Kind = iota
	GaugeKind
	MeterKind
	TimerKind
	HistogramKind
)

// Row is one metric of the table. Name lacks the prefix; its end says type and unit.
type Row struct {
	Name string
	Kind Kind
	Help string
}

// table is behaviour.md 10.2, and behind it what Stadion adds.
var table = []Row{
	{"apps.active.gauge", GaugeKind, "apps in the tree"},
	{"pods.active.gauge", GaugeKind, "pods in the tree"},
	{"groups.active.gauge", GaugeKind, "groups in the tree, the root included"},
	{"deployments.active.gauge", GaugeKind, "running deployments"},
	{"instances.running.gauge", GaugeKind, "instances that run"},
	{"instances.staged.gauge", GaugeKind, "instances that are launched and do not run yet"},
	{"instances.launch-overdue.gauge", GaugeKind, "launches that take too long"},
	{"instances.inflight-kills.gauge", GaugeKind, "instances that are being killed"},
	{"instances.inflight-kill-attempts.gauge", GaugeKind, "attempts of the kills in flight"},
	{"uptime.gauge.seconds", GaugeKind, "age of the process"},
	{"leadership.duration.gauge.seconds", GaugeKind, "age of this server's leadership, 0 on a standby"},
	{"http.requests.active.gauge", GaugeKind, "requests being served"},
	{"http.event-streams.active.gauge", GaugeKind, "open event streams"},
	{"debug.offer-matcher.tokens.gauge", GaugeKind, "launch tokens left"},
	{"debug.offer-matcher.queue.size.gauge", GaugeKind, "offers that wait to be looked at"},
	{"debug.root-group.updates.active.gauge", GaugeKind, "changes of the tree that wait"},
	{"jvm.memory.heap.used.gauge.bytes", GaugeKind, "heap in use"},
	{"jvm.memory.heap.committed.gauge.bytes", GaugeKind, "heap taken from the system"},
	{"jvm.memory.heap.max.gauge.bytes", GaugeKind, "memory limit, or what the system gave"},
	{"jvm.memory.total.used.gauge.bytes", GaugeKind, "memory taken from the system"},
	{"jvm.threads.active.gauge", GaugeKind, "goroutines"},
	{"jvm.gc.go.collections.count.gauge", GaugeKind, "garbage collections"},

	{"deployments.counter", CounterKind, "deployments begun"},
	{"deployments.dismissed.counter", CounterKind, "changes refused because too many deployments run"},
	{"tasks.launched.counter", CounterKind, "tasks and task groups launched"},
	{"mesos.calls.revive.counter", CounterKind, "roles for which offers were asked for again"},
	{"mesos.calls.suppress.counter", CounterKind, "roles for which offers were suppressed"},
	{"mesos.offer-operations.launch.counter", CounterKind, "LAUNCH operations"},
	{"mesos.offer-operations.launch-group.counter", CounterKind, "LAUNCH_GROUP operations"},
	{"mesos.offer-operations.reserve.counter", CounterKind, "RESERVE operations"},
	{"mesos.offers.incoming.counter", CounterKind, "offers received"},
	{"mesos.offers.used.counter", CounterKind, "offers accepted with an operation"},
	{"mesos.offers.declined.counter", CounterKind, "offers declined"},
	{"mesos.task.oom.memory-limit-exceeded.counter", CounterKind, "tasks that exceeded their memory limit"},
	{"mesos.task.oom.memory-limit-unfulfillable.counter", CounterKind, "tasks whose memory request could not be met (D-50)"},
	{"persistence.gc.runs.counter", CounterKind, "runs of version retention"},
	{"http.requests.size.counter.bytes", CounterKind, "bytes of request bodies"},
	{"http.responses.size.counter.bytes", CounterKind, "bytes of answers"},
	{"http.responses.size.gzipped.counter.bytes", CounterKind, "bytes of compressed answers"},
	{"http.responses.event-stream.size.counter.bytes", CounterKind, "bytes of event streams"},
	{"debug.mesos.offers.unprocessable.counter", CounterKind, "offers given up unseen"},
	{"debug.mesos.offers.saving-tasks-errors.counter", CounterKind, "launch intents that could not be stored"},

	{"http.requests.duration.timer.seconds", TimerKind, "requests"},
	{"http.requests.get.duration.timer.seconds", TimerKind, "GET requests"},
	{"http.requests.post.duration.timer.seconds", TimerKind, "POST requests"},
	{"http.requests.put.duration.timer.seconds", TimerKind, "PUT requests"},
	{"http.requests.patch.duration.timer.seconds", TimerKind, "PATCH requests"},
	{"http.requests.delete.duration.timer.seconds", TimerKind, "DELETE requests"},
	{"http.requests.head.duration.timer.seconds", TimerKind, "HEAD requests"},
	{"http.requests.options.duration.timer.seconds", TimerKind, "OPTIONS requests"},
	{"http.requests.other.duration.timer.seconds", TimerKind, "other requests"},
	{"persistence.gc.scan.duration.timer.seconds", TimerKind, "looks for old versions"},
	{"persistence.gc.compaction.duration.timer.seconds", TimerKind, "compactions of etcd"},
	{"debug.mesos.offers.matching-duration.timer.seconds", TimerKind, "matching"},
	{"debug.mesos.offers.saving-tasks-duration.timer.seconds", TimerKind, "storing of launch intents"},
	{"debug.publishing-task-status-update-duration.timer.seconds", TimerKind, "publishing of status updates"},
	{"debug.killing-unknown-task-duration.timer.seconds", TimerKind, "kills of unknown tasks"},
	{"debug.persistence.operations.store.duration.timer.seconds", TimerKind, "commits of batches to etcd"},
	{"debug.persistence.operations.get.duration.timer.seconds", TimerKind, "loads of the state"},

	{"http.responses.1xx.rate.meter", MeterKind, "answers 1xx"},
	{"http.responses.2xx.rate.meter", MeterKind, "answers 2xx"},
	{"http.responses.3xx.rate.meter", MeterKind, "answers 3xx"},
	{"http.responses.4xx.rate.meter", MeterKind, "answers 4xx"},
	{"http.responses.5xx.rate.meter", MeterKind, "answers 5xx"},

	{"stadion.batch.rows.histogram", HistogramKind, "rows per committed batch"},
	{"stadion.batch.events.histogram", HistogramKind, "events per batch"},
	{"stadion.launch.post-to-durable.timer.seconds", TimerKind, "changes, from their arrival until they are stored"},
	{"stadion.launch.queued-to-offer.timer.seconds", TimerKind, "from an instance's begin of waiting until an offer fits"},
	{"stadion.launch.offer-to-accept.timer.seconds", TimerKind, "from a fitting offer until the launch is stored and sent"},
	{"stadion.launch.accept-to-running.timer.seconds", TimerKind, "from a fitting offer to TASK_RUNNING"},
	{"stadion.launch.running-to-healthy.timer.seconds", TimerKind, "from TASK_RUNNING until all health checks pass for the first time"},
	{"stadion.instances.waiting.gauge", GaugeKind, "instances that wait for an offer or for the end of a delay"},
	{"stadion.queue.specs.gauge", GaugeKind, "apps and pods that wait for offers and not for a delay"},
	{"stadion.inbox.commands.gauge", GaugeKind, "changes that wait to be looked at"},
	{"stadion.inbox.events.gauge", GaugeKind, "events of the master and of probes that wait to be looked at"},
	{"stadion.snapshot.age.gauge.seconds", GaugeKind, "how long readers have not seen what is decided but not stored yet"},
	{"stadion.loop.longest-turn.gauge.seconds", GaugeKind, "longest time in the last 10 to 20 seconds in which the loop looked at nothing new"},
	{"stadion.gc.longest-pause.gauge.seconds", GaugeKind, "longest stop of everything by a garbage collection in the last 20 seconds"},
	{"stadion.store.rows.counter", CounterKind, "rows that etcd has taken"},
	{"stadion.store.busy.counter.microseconds", CounterKind, "time that commits to etcd have taken"},
	{"stadion.store.away.gauge", GaugeKind, "1 while etcd takes no writes"},
}

// taskStates are the states of mesos.task-updates.<state>.counter.
var taskStates = []string{"task-staging", "task-starting", "task-running", "task-killing", "task-finished", "task-failed", "task-killed", "task-error",
	"task-lost", "task-dropped", "task-unreachable", "task-gone", "task-gone-by-operator", "task-unknown"}

// taskUpdate names the counter of each state, by the state as Mesos says it.
var taskUpdate = map[string]string{}

func init() {
	for _, s := range taskStates {
		name := "mesos.task-updates." + s + ".counter"
		taskUpdate[strings.ToUpper(strings.ReplaceAll(s, "-", "_"))] = name
		table = append(table, Row{name, CounterKind, "status updates"})
	}
}

// withBuckets are the timers that Prometheus gets as a histogram besides, under the same name with "histogram" for "timer":
// unlike percentiles of a short sample, buckets miss nothing between two scrapes and add up over servers.
var withBuckets = map[string]bool{
	"http.requests.duration.timer.seconds":                      true,
	"debug.mesos.offers.matching-duration.timer.seconds":        true,
	"debug.persistence.operations.store.duration.timer.seconds": true,
	"stadion.launch.post-to-durable.timer.seconds":              true,
	"stadion.launch.queued-to-offer.timer.seconds":              true,
	"stadion.launch.offer-to-accept.timer.seconds":              true,
	"stadion.launch.accept-to-running.timer.seconds":            true,
	"stadion.launch.running-to-healthy.timer.seconds":           true,
}

// buckets reach from a commit on a fast disk to an image that takes ten minutes to fetch; seconds.
var buckets = []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600}
