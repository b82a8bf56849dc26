package loop

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"stadion/core"
	"stadion/core/machine"
	"stadion/core/state"
	"stadion/offers"
)

// Bounds of what the loop holds.
const (
	MaxCommands = 1024  // commands that wait to be looked at
	MaxEvents   = 8192  // events of the master and the probes that wait to be looked at
	MaxBatch    = 4096  // events in one batch
	drainAtOnce = 1024  // of them taken in one turn, some milliseconds' work; more come in while the store is at work
	MaxWaiters  = 16384 // commands that wait for their answer
	MaxEffects  = 16384 // calls, replies and notices in one batch before it takes no more events

	retryMin     = 50 * time.Millisecond // pause before a commit is tried again; doubles
	retryMax     = 2 * time.Second
	beatInterval = time.Second     // at least this often Run shows that it is alive
	stopTimeout  = 5 * time.Second // for the last commits of a term that ends as planned
)

// Machine is what decides; *machine.Machine is one.
type Machine interface {
	Step(now core.Timestamp, ev machine.Event, b *machine.Batch)
	// Settle derives what follows and takes the journal into the batch.
	Settle(now core.Timestamp, b *machine.Batch)
	NextTimer() (core.Timestamp, bool)
	// Pending: Settle has more to do in the next batch.
	Pending() bool
	State() *state.State
}

// Store makes batches durable. After an error with a method Retry() bool the same batch is committed again; any other
// error ends the term.
type Store interface {
	Commit(ctx context.Context, seq uint64, writes []state.Write) error
}

// Caller sends calls to the Mesos master, in order. Send must not wait for the network.
type Caller interface{ Send([]offers.Call) }

// Publisher takes the notices of a batch. It must not wait for subscribers.
type Publisher interface {
	Publish(seq uint64, notices []core.Notice)
}

// Prober starts and stops health and readiness probes. It must not wait for them.
type Prober interface{ Apply([]machine.Probe) }

// Meter is told how long things take. It is called from two goroutines and must not wait.
type Meter interface {
	// Settled: a batch was closed; it holds so many events, and deriving what follows from them took so long.
	Settled(b *machine.Batch, events int, took time.Duration)
	// Stored: one attempt to make a batch durable has ended.
	Stored(b *machine.Batch, took time.Duration, err error)
	// Released: a batch went out, so long after it was closed.
	Released(b *machine.Batch, after time.Duration)
}

type noMeter struct{}

func (noMeter) Settled(*machine.Batch, int, time.Duration)  {}
func (noMeter) Stored(*machine.Batch, time.Duration, error) {}
func (noMeter) Released(*machine.Batch, time.Duration)      {}

// Clock is the time of the loop.
type Clock interface {
	Now() core.Timestamp
	After(d time.Duration) <-chan time.Time
}

// Config is what a loop is made of. Machine and Store are required; without the others their effects go nowhere.
type Config struct {
	Machine   Machine
	Store     Store
	Caller    Caller
	Publisher Publisher
	Prober    Prober
	Meter     Meter
	Log       *zap.Logger
	Clock     Clock // SystemClock
	Seq       uint64
	Term      int64
	Seed      uint64 // for the machine's Begin
	MaxRows   int    // changed rows from which a batch takes no more events; as in machine.Config
}

// Loop is the goroutine around the machine. Run it once.
type Loop struct {
	cfg      Config
	commands chan command
	events   chan machine.Event
	begun    chan struct{}
	ended    chan struct{}
	waiters  waiters
	snapshot atomic.Pointer[state.Snapshot]
	away     atomic.Pointer[error]
	beat     atomic.Pointer[time.Time]
	behind   atomic.Int64 // when the batch being committed was closed, in nanoseconds since 1970; 0: none is
	turns    turns

	mu      sync.Mutex
	updated chan struct{} // closed by the next published snapshot

	// Owned by the goroutine of Run.
	seq     uint64
	batch   *machine.Batch // being filled
	stepped int            // events in it
	woke    time.Time      // when the present turn began
	flying  *closed        // being committed
	commits chan *closed
	done    chan error
}

// closed is a batch that takes no more events, with the state as of its end.
type closed struct {
	*machine.Batch
	snapshot *state.Snapshot
	at       time.Time
}

type command struct {
	id      uint64
	command machine.Command
}

// New makes a loop whose first snapshot is the loaded state. MaxRows must be positive.
func New(cfg Config) *Loop {
	if cfg.Clock == nil {
		cfg.Clock = SystemClock()
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	if cfg.Meter == nil {
		cfg.Meter = noMeter{}
	}
	l := &Loop{cfg: cfg, seq: cfg.Seq, batch: &machine.Batch{},
		commands: make(chan command, MaxCommands), events: make(chan machine.Event, MaxEvents),
		begun: make(chan struct{}), ended: make(chan struct{}), updated: make(chan struct{}),
		commits: make(chan *closed, 1), done: make(chan error, 1)}
	l.waiters.init()
	l.snapshot.Store(cfg.Machine.State().Snapshot(cfg.Seq, cfg.Term, cfg.Clock.Now()))
	return l
}

// Snapshot is the state as of the last durable batch.
func (l *Loop) Snapshot() *state.Snapshot { return l.snapshot.Load() }

// Begun is closed when the machine has taken up what was loaded, which takes its time; then commands need not wait for it.
func (l *Loop) Begun() <-chan struct{} { return l.begun }

// Depth is how many commands and events wait to be looked at.
func (l *Loop) Depth() (commands, events int) { return len(l.commands), len(l.events) }

// Lag is how long readers have not seen what is decided, because the store has not yet taken it; 0: they see all of it.
func (l *Loop) Lag() time.Duration {
	if at := l.behind.Load(); at != 0 {
		return max(time.Since(time.Unix(0, at)), 0)
	}
	return 0
}

// Away tells why the store does not take writes at present; nil while it does. Reads are stale meanwhile (R13).
func (l *Loop) Away() error {
	if p := l.away.Load(); p != nil {
		return *p
	}
	return nil
}

// Beat is when Run last came round, at most about a second ago while the loop is alive; zero before it runs. The lease
// must not outlive it (design.md 6).
func (l *Loop) Beat() time.Time {
	if p := l.beat.Load(); p != nil {
		return *p
	}
	return time.Time{}
}

// Submit hands a command to the machine and waits for its answer, which is durable when it comes. Errors of kind
// Unavailable before the command was taken say that it was not; when the context or the term ends while it waits,
// whether it took effect is open and only reading can tell (R2).
func (l *Loop) Submit(ctx context.Context, c machine.Command) (any, error) {
	if err := l.Away(); err != nil {
		return nil, unavailable("The store does not take writes at present: " + err.Error())
	}
	id, answer, ok := l.waiters.add()
	if !ok {
		return nil, unavailable("Too many requests wait for their answer.")
	}
	defer l.waiters.drop(id)
	select {
	case <-l.ended:
		return nil, unavailable("This server no longer leads.")
	default:
	}
	select {
	case l.commands <- command{id, c}:
	default:
		return nil, unavailable("Too many requests at once.")
	}
	select {
	case a := <-answer:
		return a.Result, a.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.ended:
		select {
		case a := <-answer:
			return a.Result, a.Err
		default:
			return nil, unavailable("This server lost its leadership before the change was confirmed.")
		}
	}
}

// Post hands an event to the machine. It waits while the inbox is full and reports false when the term has ended.
func (l *Loop) Post(ev machine.Event) bool {
	select {
	case <-l.ended:
		return false
	default:
	}
	select {
	case l.events <- ev:
		return true
	case <-l.ended:
		return false
	}
}

// Updated is closed when a newer snapshot than the present one is published.
func (l *Loop) Updated() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.updated
}

// ErrEnded says that the loop no longer runs.
var ErrEnded = errors.New("the term has ended")

// WaitSeq waits until a snapshot of batch seq or a later one is published.
func (l *Loop) WaitSeq(ctx context.Context, seq uint64) error {
	for {
		next := l.Updated()
		if l.Snapshot().Seq >= seq {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return ctx.Err()
		case <-l.ended:
			return ErrEnded
		}
	}
}

func unavailable(text string) error { return &core.Error{Kind: core.Unavailable, Message: text} }
