package machine

import (
	"slices"

	"stadion/core"
	"stadion/core/state"
	"stadion/offers"
)

// Batch collects what follows from a run of events. Nothing of it leaves the process before Writes are durable
// (design.md 2.3). Order within each list is the order of release.
type Batch struct {
	Seq     uint64
	Writes  []state.Write
	Calls   []offers.Call
	Replies []Reply
	Notices []core.Notice
	Probes  []Probe
	Logs    []Log
	Marks   []Mark
}

// MarkKind says what a Mark is about.
type MarkKind int8

// The kinds of marks.
const (
	MarkOffered  MarkKind = iota // an offer was found: since the instance began to wait
	MarkRunning                  // TASK_RUNNING: since the offer was taken
	MarkHealthy                  // all health checks pass for the first time: since TASK_RUNNING
	MarkGhost                    // a task of no instance is to be killed
	MarkRetained                 // old versions were looked for
)

// Mark is something that operators measure (behaviour.md 10.2).
type Mark struct {
	Kind MarkKind
	Ms   int64 // how long it took; 0 where the machine cannot know
}

// NeedsCommit tells whether something of the batch may leave only once the store has said that we still lead: rows, what
// rests on them, and launches and kills, rows or not (R8, F3).
func (b *Batch) NeedsCommit() bool {
	return len(b.Writes)+len(b.Replies)+len(b.Notices) > 0 || slices.ContainsFunc(b.Calls, func(c offers.Call) bool {
		switch c.(type) {
		case offers.Accept, offers.Kill:
			return true
		}
		return false
	})
}

// Reply answers a Request. Result is the command's result type, nil with Err.
type Reply struct {
	ID     uint64
	Result any
	Err    error
}

// Probe starts or stops a health or readiness check at the edge.
type Probe struct {
	Stop      bool
	Readiness bool
	Instance  core.InstanceID
	Task      core.TaskID
	Check     int // index of the health check; 0 for readiness
	Name      string
	Protocol  string // HTTP HTTPS TCP
	Host      string // empty: no effective address, report a failure
	Port      int    // 0: no effective port, report a failure
	Path      string
	Ignore1xx bool
	// Ready lists the status codes that mean ready; Preserve keeps the last response.
	Ready    []int
	Preserve bool
	// IntervalMs, TimeoutMs and FirstMs (delay of the first probe) are milliseconds.
	IntervalMs, TimeoutMs, FirstMs int64
}

// Log is a line for the operator, as a value: the machine has no logger.
type Log struct {
	Warn bool
	Text string
	Spec core.PathID
}
