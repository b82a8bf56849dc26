package loop

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"stadion/core/machine"
)

// Run begins the term and works until it ends: with the store's error when the fence is lost or a batch cannot be
// stored, or with the context's when that ends. In the latter case what is already decided is still committed and
// released, within stopTimeout. Whoever still waits for an answer then gets Unavailable.
func (l *Loop) Run(ctx context.Context) error {
	defer close(l.ended)
	// Commits outlive ctx: a planned end flushes.
	storing, stop := context.WithCancel(context.WithoutCancel(ctx))
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		l.commitAll(storing)
	}()
	defer func() {
		close(l.commits)
		stop()
		<-stopped
	}()
	ticker := time.NewTicker(beatInterval)
	defer ticker.Stop()
	l.woke = time.Now()
	l.step(machine.Begin{Seed: l.cfg.Seed})
	l.closeBatch()
	close(l.begun)
	for {
		now := time.Now()
		l.beat.Store(&now)
		l.turns.note(now.Sub(l.woke), now)
		l.woke = now
		if ctx.Err() != nil {
			return l.flush(ctx, stop)
		}
		if l.flying == nil {
			l.drain()
			if l.closeBatch() {
				continue
			}
		}
		if err := l.wait(ctx, ticker.C); err != nil {
			return err
		}
	}
}

// wait takes the next thing that happens: an event, the end of a commit, a timer.
func (l *Loop) wait(ctx context.Context, beat <-chan time.Time) error {
	commands, events := l.commands, l.events
	if l.full() {
		events = nil
		if l.Away() == nil { // otherwise commands are refused, which takes no room
			commands = nil
		}
	}
	var timer <-chan time.Time
	if at, ok := l.cfg.Machine.NextTimer(); ok && l.flying == nil {
		timer = l.cfg.Clock.After(max(at.Sub(l.cfg.Clock.Now()), time.Millisecond))
	}
	now := time.Now()
	l.turns.note(now.Sub(l.woke), now)
	var act func() error
	select {
	case c := <-commands:
		act = func() error { l.take(c); return nil }
	case ev := <-events:
		act = func() error { l.step(ev); return nil }
	case <-timer:
	case <-beat:
	case err := <-l.done:
		act = func() error { return l.landed(err) }
	case <-ctx.Done():
	}
	l.woke = time.Now()
	if act != nil {
		return act()
	}
	return nil
}

// drain steps what waits in the inbox, commands and events by turns, until the batch is full or has got enough at once:
// whoever gave a command waits for all of the batch (P28).
func (l *Loop) drain() {
	for enough := l.stepped + drainAtOnce; l.stepped < enough && !l.full(); {
		idle := true
		select {
		case ev := <-l.events:
			l.step(ev)
			idle = false
		default:
		}
		select {
		case c := <-l.commands:
			l.take(c)
			idle = false
		default:
		}
		if idle {
			return
		}
	}
}

// full reports that the batch being filled takes no more events.
func (l *Loop) full() bool {
	b := l.batch
	return l.stepped >= MaxBatch || l.cfg.Machine.State().Pending() >= l.cfg.MaxRows ||
		len(b.Calls)+len(b.Replies)+len(b.Notices) >= MaxEffects
}

func (l *Loop) take(c command) {
	if err := l.Away(); err != nil {
		l.waiters.answer(machine.Reply{ID: c.id, Err: unavailable("The store does not take writes at present: " + err.Error())})
		return
	}
	l.step(machine.Request{ID: c.id, Command: c.command})
}

func (l *Loop) step(ev machine.Event) {
	l.cfg.Machine.Step(l.cfg.Clock.Now(), ev, l.batch)
	l.stepped++
}

// closeBatch settles the batch being filled and sends it on its way, if there is anything in it. Nothing is in flight.
func (l *Loop) closeBatch() bool {
	now, began := l.cfg.Clock.Now(), time.Now()
	if at, ok := l.cfg.Machine.NextTimer(); ok && at <= now {
		l.step(machine.Tick{})
	}
	if l.stepped == 0 && !l.cfg.Machine.Pending() {
		return false
	}
	l.cfg.Machine.Settle(now, l.batch)
	l.cfg.Meter.Settled(l.batch, l.stepped, time.Since(began))
	l.seq++
	l.batch.Seq = l.seq
	c := &closed{l.batch, l.cfg.Machine.State().Snapshot(l.seq, l.cfg.Term, now), time.Now()}
	l.batch, l.stepped = &machine.Batch{}, 0
	if !c.NeedsCommit() {
		l.release(c)
		return true
	}
	l.behind.Store(c.at.UnixNano())
	l.flying = c
	l.commits <- c
	return false
}

// landed ends the commit in flight.
func (l *Loop) landed(err error) error {
	c := l.flying
	l.flying = nil
	if err != nil {
		return fmt.Errorf("batch %d: %w", c.Seq, err)
	}
	l.release(c)
	return nil
}

// flush ends a term as planned: what is in flight and what is decided become durable and go out. The machine and all
// that wait in the inbox are left as they are.
func (l *Loop) flush(ctx context.Context, stop func()) error {
	late := time.AfterFunc(stopTimeout, stop)
	defer late.Stop()
	if l.flying != nil {
		if err := l.landed(<-l.done); err != nil {
			return err
		}
	}
	if l.stepped > 0 {
		l.closeBatch()
		if l.flying != nil {
			if err := l.landed(<-l.done); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// release lets out what a durable batch decided, in the order the package's doc.go tells.
func (l *Loop) release(c *closed) {
	l.snapshot.Store(c.snapshot)
	l.behind.Store(0)
	l.mu.Lock()
	close(l.updated)
	l.updated = make(chan struct{})
	l.mu.Unlock()
	for _, r := range c.Replies {
		l.waiters.answer(r)
	}
	if len(c.Calls) > 0 && l.cfg.Caller != nil {
		l.cfg.Caller.Send(c.Calls)
	}
	if len(c.Probes) > 0 && l.cfg.Prober != nil {
		l.cfg.Prober.Apply(c.Probes)
	}
	if len(c.Notices) > 0 && l.cfg.Publisher != nil {
		l.cfg.Publisher.Publish(c.Seq, c.Notices)
	}
	l.cfg.Meter.Released(c.Batch, time.Since(c.at))
	for _, g := range c.Logs {
		fields := []zap.Field{zap.Uint64("batch", c.Seq)}
		if g.Spec != "" {
			fields = append(fields, zap.String("spec", string(g.Spec)))
		}
		if g.Warn {
			l.cfg.Log.Warn(g.Text, fields...)
		} else {
			l.cfg.Log.Info(g.Text, fields...)
		}
	}
}

// commitAll commits one batch after the other, so that encoding and waiting happen beside the machine's work.
func (l *Loop) commitAll(ctx context.Context) {
	for c := range l.commits {
		l.done <- l.commit(ctx, c)
	}
}

// commit tries until the batch is durable, the error is final or ctx ends.
func (l *Loop) commit(ctx context.Context, c *closed) error {
	for pause := retryMin; ; pause = min(2*pause, retryMax) {
		began := time.Now()
		err := l.cfg.Store.Commit(ctx, c.Seq, c.Writes)
		l.cfg.Meter.Stored(c.Batch, time.Since(began), err)
		var retry interface{ Retry() bool }
		switch {
		case err == nil:
			if l.away.Swap(nil) != nil {
				l.cfg.Log.Info("the store takes writes again", zap.Uint64("batch", c.Seq))
			}
			return nil
		case !errors.As(err, &retry) || ctx.Err() != nil:
			return err
		}
		if l.away.Swap(&err) == nil {
			l.cfg.Log.Warn("the store does not take writes", zap.Uint64("batch", c.Seq), zap.Error(err))
		}
		select {
		case <-l.cfg.Clock.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}
