package loop

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stadion/core"
	"stadion/core/machine"
	"stadion/core/state"
	"stadion/offers"
)

var _ Machine = (*machine.Machine)(nil)

// fakeMachine stores one failure row per command when it settles, and answers it. A health report with a task stores a
// row at once, one with a cause makes a call.
type fakeMachine struct {
	st      *state.State
	settles int
	limit   int // rows per batch, 0: no limit
	todo    []machine.Request
	timer   core.Timestamp
	ticks   int
	began   uint64
	stepped func(machine.Event)
}

func (f *fakeMachine) Step(now core.Timestamp, ev machine.Event, b *machine.Batch) {
	if f.stepped != nil {
		f.stepped(ev)
	}
	switch e := ev.(type) {
	case machine.Begin:
		f.began = e.Seed
	case machine.Tick:
		f.ticks++
		f.timer = 0
	case machine.Request:
		f.todo = append(f.todo, e)
	case machine.HealthReport:
		if e.Task != "" {
			f.st.PutFailure(&core.TaskFailure{AppID: core.PathID(e.Task)})
		}
		switch e.Cause {
		case "":
		case "kill":
			b.Calls = append(b.Calls, offers.Kill{})
		default:
			b.Calls = append(b.Calls, offers.Reconcile{})
		}
	}
}

func (f *fakeMachine) Settle(now core.Timestamp, b *machine.Batch) {
	f.settles++
	for len(f.todo) > 0 && (f.limit == 0 || f.st.Pending() < f.limit) {
		r := f.todo[0]
		f.todo = f.todo[1:]
		spec := r.Command.(machine.ResetDelay).Spec
		f.st.PutFailure(&core.TaskFailure{AppID: spec})
		b.Replies = append(b.Replies, machine.Reply{ID: r.ID, Result: spec})
		b.Notices = append(b.Notices, core.Notice{Type: "n", Spec: spec})
	}
	b.Writes = append(b.Writes, f.st.Flush()...)
}

func (f *fakeMachine) NextTimer() (core.Timestamp, bool) { return f.timer, f.timer != 0 }
func (f *fakeMachine) Pending() bool                     { return len(f.todo) > 0 }
func (f *fakeMachine) State() *state.State               { return f.st }

// fakeStore hands each commit to the test, which decides how it ends.
type fakeStore struct {
	asked chan asked
}

type asked struct {
	seq    uint64
	writes []state.Write
	end    chan error
}

func (f *fakeStore) Commit(ctx context.Context, seq uint64, writes []state.Write) error {
	a := asked{seq, writes, make(chan error, 1)}
	select {
	case f.asked <- a:
	case <-ctx.Done():
		return again{ctx.Err()}
	}
	select {
	case err := <-a.end:
		return err
	case <-ctx.Done():
		return again{ctx.Err()}
	}
}

type again struct{ error }

func (again) Retry() bool { return true }

// edges records what leaves the loop, in order.
type edges struct {
	mu  sync.Mutex
	out []string
}

func (e *edges) add(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.out = append(e.out, fmt.Sprintf(format, args...))
}

func (e *edges) Send(calls []offers.Call)             { e.add("calls %d", len(calls)) }
func (e *edges) Publish(seq uint64, ns []core.Notice) { e.add("notices %d of %d", len(ns), seq) }
func (e *edges) Apply(ps []machine.Probe)             { e.add("probes %d", len(ps)) }
func (e *edges) seen() (out []string)                 { e.mu.Lock(); defer e.mu.Unlock(); return append(out, e.out...) }

// handClock stands still until the test moves it; pauses end at once.
type handClock struct {
	mu  sync.Mutex
	now core.Timestamp
}

func (c *handClock) Now() core.Timestamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *handClock) After(d time.Duration) <-chan time.Time {
	return time.After(min(d, time.Millisecond))
}

func (c *handClock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type bench struct {
	*Loop
	m     *fakeMachine
	store *fakeStore
	edges *edges
	clock *handClock
	ended chan error
	stop  func()
}

func start(t *testing.T, edit func(*bench, *Config)) *bench {
	t.Helper()
	b := &bench{m: &fakeMachine{st: state.New()}, store: &fakeStore{make(chan asked)}, edges: &edges{},
		clock: &handClock{now: 1000}, ended: make(chan error, 1)}
	cfg := Config{Machine: b.m, Store: b.store, Caller: b.edges, Publisher: b.edges, Prober: b.edges, Clock: b.clock,
		Seq: 10, Term: 7, Seed: 99, MaxRows: 100}
	if edit != nil {
		edit(b, &cfg)
	}
	b.Loop = New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	b.stop = cancel
	over := make(chan struct{})
	go func() { b.ended <- b.Run(ctx); close(over) }()
	t.Cleanup(func() { cancel(); <-over })
	await(t, "the batch of Begin", func() bool { return b.Snapshot().Seq == 11 })
	return b
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not come", what)
		}
	}
}

type answer struct {
	result any
	err    error
}

func (b *bench) submit(spec core.PathID) chan answer {
	c := make(chan answer, 1)
	go func() {
		r, err := b.Submit(context.Background(), machine.ResetDelay{Spec: spec})
		c <- answer{r, err}
	}()
	return c
}

func (b *bench) commit(t *testing.T) asked {
	t.Helper()
	select {
	case a := <-b.store.asked:
		return a
	case <-time.After(2 * time.Minute):
		t.Fatal("no commit was asked for")
		return asked{}
	}
}

func TestNothingLeavesBeforeTheCommit(t *testing.T) { // design 2.3, R1, R11, D-14: no launch without its stored intent
	b := start(t, nil)
	got := b.submit("/a")
	c := b.commit(t)
	if c.seq != 12 || len(c.writes) != 1 {
		t.Fatalf("batch %d with %d rows", c.seq, len(c.writes))
	}
	b.Post(machine.HealthReport{Cause: "x"})
	select {
	case a := <-got:
		t.Fatalf("answered before the commit: %v", a)
	case <-time.After(20 * time.Millisecond):
	}
	if _, shown := b.Snapshot().Failure("/a"); shown || b.Snapshot().Seq != 11 || len(b.edges.seen()) > 0 {
		t.Fatalf("visible before the commit: %v", b.edges.seen())
	}
	c.end <- nil
	a := <-got
	if a.err != nil || a.result != core.PathID("/a") {
		t.Fatalf("answer %v", a)
	}
	if _, shown := b.Snapshot().Failure("/a"); !shown || b.Snapshot().Term != 7 {
		t.Error("the answer came before the snapshot") // R11
	}
	await(t, "the second batch", func() bool { return b.Snapshot().Seq == 13 })
	await(t, "its call", func() bool { return len(b.edges.seen()) == 2 })
	if got := b.edges.seen(); got[0] != "notices 1 of 12" || got[1] != "calls 1" {
		t.Errorf("released %v", got)
	}
}

// Whoever hears of a batch finds it in the snapshot (R11).
func TestTheSnapshotComesFirst(t *testing.T) {
	shown := make(chan uint64, 1)
	b := start(t, func(b *bench, c *Config) {
		c.Publisher = publisher(func(seq uint64) { shown <- b.Snapshot().Seq - seq })
	})
	got := b.submit("/a")
	b.commit(t).end <- nil
	<-got
	if behind := <-shown; behind != 0 {
		t.Errorf("a batch is told of while the snapshot is off by %d", int64(behind))
	}
}

type publisher func(seq uint64)

func (p publisher) Publish(seq uint64, _ []core.Notice) { p(seq) }

// A command that was in the inbox when the store went away is refused, not taken (R13).
func TestQueuedCommandsAreRefusedWhileTheStoreIsAway(t *testing.T) {
	m := &fakeMachine{st: state.New()}
	l := New(Config{Machine: m, Store: &fakeStore{}, MaxRows: 1})
	why := error(again{errors.New("no answer")})
	l.away.Store(&why)
	id, answers, _ := l.waiters.add()
	l.take(command{id, machine.ResetDelay{Spec: "/a"}})
	var e *core.Error
	if a := <-answers; !errors.As(a.Err, &e) || e.Kind != core.Unavailable || len(m.todo) > 0 {
		t.Errorf("answer %v, taken %v", a, m.todo)
	}
}

// A kill waits for a commit although no row changes: only that proves the fence (R8, F3).
func TestKillsNeedTheFence(t *testing.T) {
	b := start(t, nil)
	b.Post(machine.HealthReport{Cause: "kill"})
	c := b.commit(t)
	if len(c.writes) != 0 || len(b.edges.seen()) != 0 {
		t.Fatalf("%d rows, released %v", len(c.writes), b.edges.seen())
	}
	c.end <- nil
	await(t, "the kill", func() bool { return len(b.edges.seen()) == 1 })
}

func TestTheNextBatchFillsDuringACommit(t *testing.T) {
	b := start(t, nil)
	first := b.submit("/a")
	c := b.commit(t)
	const many = 20
	var later []chan answer
	for n := range many {
		later = append(later, b.submit(core.PathID(fmt.Sprintf("/b%d", n))))
	}
	await(t, "the inbox to be drained", func() bool { return b.waiting() == many+1 && len(b.commands) == 0 })
	select {
	case <-b.store.asked:
		t.Fatal("two commits in flight")
	default:
	}
	b.Post(machine.HealthReport{Task: "/early"})
	await(t, "the event", func() bool { return len(b.events) == 0 })
	c.end <- nil
	<-first
	if s := b.Snapshot(); s.Seq != 12 { // 13 waits for the test
		t.Errorf("snapshot %d", s.Seq)
	} else if _, shown := s.Failure("/early"); shown {
		t.Error("the snapshot shows what is not durable")
	}
	c = b.commit(t)
	if c.seq != 13 || len(c.writes) != many+1 {
		t.Errorf("batch %d with %d rows, want 13 with %d", c.seq, len(c.writes), many+1)
	}
	c.end <- nil
	for _, l := range later {
		if a := <-l; a.err != nil {
			t.Error(a.err)
		}
	}
}

func (l *Loop) waiting() int {
	l.waiters.mu.Lock()
	defer l.waiters.mu.Unlock()
	return len(l.waiters.open)
}

func TestSettleGoesOnInTheNextBatch(t *testing.T) { // machine.Pending
	b := start(t, func(b *bench, c *Config) { b.m.limit = 2; c.MaxRows = 2 })
	first := b.submit("/a")
	hold := b.commit(t)
	var later []chan answer
	for n := range 5 {
		later = append(later, b.submit(core.PathID(fmt.Sprintf("/b%d", n))))
	}
	await(t, "the inbox to be drained", func() bool { return b.waiting() == 6 && len(b.commands) == 0 })
	hold.end <- nil
	<-first
	rows := 0
	for rows < 5 {
		c := b.commit(t)
		if len(c.writes) > 2 {
			t.Errorf("batch %d has %d rows", c.seq, len(c.writes))
		}
		rows += len(c.writes)
		c.end <- nil
	}
	for _, l := range later {
		<-l
	}
}

func TestFencedEndsTheTerm(t *testing.T) { // R8
	b := start(t, nil)
	fence := errors.New("fence lost")
	got, behind := b.submit("/a"), (chan answer)(nil)
	c := b.commit(t)
	behind = b.submit("/b")
	await(t, "the second command", func() bool { return b.waiting() == 2 })
	c.end <- fmt.Errorf("commit: %w", fence)
	if err := <-b.ended; !errors.Is(err, fence) {
		t.Fatalf("Run ended with %v", err)
	}
	for _, g := range []chan answer{got, behind, b.submit("/c")} {
		var e *core.Error
		if a := <-g; !errors.As(a.err, &e) || e.Kind != core.Unavailable {
			t.Errorf("answer %v, want Unavailable", a)
		}
	}
	if b.Post(machine.Tick{}) {
		t.Error("an event was taken after the end")
	}
	if err := b.WaitSeq(context.Background(), 99); !errors.Is(err, ErrEnded) {
		t.Errorf("WaitSeq: %v", err)
	}
	if _, shown := b.Snapshot().Failure("/a"); shown || len(b.edges.seen()) > 0 {
		t.Error("something of the lost batch is visible")
	}
}

func TestStoreAway(t *testing.T) { // R13, F8, F10
	b := start(t, nil)
	got := b.submit("/a")
	c := b.commit(t)
	c.end <- again{errors.New("no answer")}
	second := b.commit(t)
	if second.seq != c.seq || &second.writes[0] != &c.writes[0] {
		t.Error("not the same batch was tried again")
	}
	var e *core.Error
	if a := <-b.submit("/b"); !errors.As(a.err, &e) || e.Kind != core.Unavailable {
		t.Errorf("command while the store is away: %v", a)
	}
	if b.Away() == nil || b.Snapshot().Seq != 11 {
		t.Error("reads must go on from the last snapshot, known to be stale")
	}
	second.end <- nil
	if a := <-got; a.err != nil {
		t.Error(a.err)
	}
	if b.Away() != nil {
		t.Error("the store answers again")
	}
	again := b.submit("/b")
	b.commit(t).end <- nil
	if a := <-again; a.err != nil {
		t.Error(a.err)
	}
}

func TestBoundsHold(t *testing.T) {
	b := start(t, nil)
	first := b.submit("/a")
	c := b.commit(t)
	// Events: the batch being filled takes MaxBatch, the inbox MaxEvents, then Post waits.
	posted := make(chan bool, 1)
	var taken atomic.Int64
	go func() {
		for range MaxBatch + MaxEvents + 1 {
			b.Post(machine.HealthReport{})
			taken.Add(1)
		}
		posted <- true
	}()
	await(t, "a full batch and a full inbox", func() bool { return taken.Load() == MaxBatch+MaxEvents })
	select {
	case <-posted:
		t.Fatal("Post did not wait")
	case <-time.After(20 * time.Millisecond):
	}
	// Commands: MaxCommands wait, the next is refused.
	var waiting []chan answer
	for range MaxCommands {
		waiting = append(waiting, b.submit("/w"))
	}
	await(t, "a full queue of commands", func() bool { return len(b.commands) == MaxCommands })
	var e *core.Error
	if a := <-b.submit("/x"); !errors.As(a.err, &e) || e.Kind != core.Unavailable {
		t.Errorf("command to a full inbox: %v", a)
	}
	c.end <- nil
	<-first
	go func() {
		for a := range b.store.asked {
			a.end <- nil
		}
	}()
	if !<-posted {
		t.Error("Post failed")
	}
	for _, w := range waiting {
		if a := <-w; a.err != nil {
			t.Fatal(a.err)
		}
	}
}

func TestWaitersAreBounded(t *testing.T) {
	var w waiters
	w.init()
	var last uint64
	for range MaxWaiters {
		last, _, _ = w.add()
	}
	if _, _, ok := w.add(); ok {
		t.Fatal("more waiters than allowed")
	}
	w.drop(last)
	if _, _, ok := w.add(); !ok {
		t.Error("a dropped waiter still takes room")
	}
}

func TestContextEndsTheWaiting(t *testing.T) { // R2
	b := start(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	got := make(chan error, 1)
	go func() {
		_, err := b.Submit(ctx, machine.ResetDelay{Spec: "/a"})
		got <- err
	}()
	c := b.commit(t)
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("Submit: %v", err)
	}
	c.end <- nil
	if err := b.WaitSeq(context.Background(), 12); err != nil {
		t.Fatal(err)
	}
	if _, done := b.Snapshot().Failure("/a"); !done {
		t.Error("the command had been taken and must happen")
	}
	if n := b.waiting(); n != 0 {
		t.Errorf("%d waiters are left", n)
	}
}

func TestTimerWakesTheLoop(t *testing.T) {
	ticked := make(chan struct{}, 1)
	b := start(t, func(b *bench, _ *Config) {
		b.m.timer = 5000
		b.m.stepped = func(ev machine.Event) {
			if _, ok := ev.(machine.Tick); ok {
				ticked <- struct{}{}
			}
		}
	})
	select {
	case <-ticked:
		t.Fatal("the timer fired early")
	case <-time.After(20 * time.Millisecond):
	}
	b.clock.move(4 * time.Second)
	<-ticked
	await(t, "the batch of the tick", func() bool { return b.Snapshot().Seq == 12 })
	if at := b.Snapshot().At; at != 5000 {
		t.Errorf("snapshot of %v", at)
	}
	if time.Since(b.Beat()) > time.Minute {
		t.Error("no beat")
	}
}

func TestPlannedEndFlushes(t *testing.T) { // F6
	b := start(t, nil)
	first := b.submit("/a")
	c := b.commit(t)
	second := b.submit("/b")
	await(t, "the second command", func() bool { return b.waiting() == 2 && len(b.commands) == 0 })
	b.stop()
	c.end <- nil
	b.commit(t).end <- nil
	if err := <-b.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run ended with %v", err)
	}
	for _, g := range []chan answer{first, second} {
		if a := <-g; a.err != nil {
			t.Errorf("decided and durable, but not answered: %v", a.err)
		}
	}
}

func TestSteadyClock(t *testing.T) { // F4
	wall, mono := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Duration(0)
	begin := wall
	c := &steady{wall: func() time.Time { return wall }, mono: func() time.Duration { return mono }, at: wall}
	pass := func(d, step time.Duration) time.Duration {
		wall, mono = wall.Add(d+step), mono+d
		return c.Now().Time().Sub(begin)
	}
	if got := pass(time.Second, 0); got != time.Second {
		t.Errorf("without a step: %v", got)
	}
	if got := pass(time.Second, time.Hour); got != 2050*time.Millisecond {
		t.Errorf("after a step of +1 h: %v, want 2.05 s", got)
	}
	last := pass(time.Second, -2*time.Hour)
	if last != 3*time.Second {
		t.Errorf("after a step of -2 h: %v, want 3 s", last)
	}
	for range 2000 {
		now := pass(time.Minute, 0)
		if now <= last {
			t.Fatal("the clock went back")
		}
		last = now
	}
	if off := wall.Sub(begin) - last; off != 0 {
		t.Errorf("still %v off", off)
	}
}
