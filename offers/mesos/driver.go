package mesos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"stadion/core"
	"stadion/offers"
)

// Driver keeps a framework subscribed. Make one for each term of leadership: Start and Stop work once.
type Driver struct {
	cfg    Config
	sink   func(offers.Event)
	client *client
	ctx    context.Context
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when everything has ended

	sinkMu sync.Mutex // one event at a time

	mu       sync.Mutex
	who      identity
	accepted []string // roles that the master took last
	session  *session // nil while not subscribed
	url      string
	started  bool
	last     bool           // the present stream is the last one
	undone   []offers.Event // statuses of tasks whose launch was dropped
	wake     chan struct{}  // there is something in undone

	counters counters
}

type counters struct {
	subscribed, dropped, refused, acknowledged, updates, offers atomic.Uint64
}

// Stats are counters since New.
type Stats struct {
	Subscribed   uint64 // streams that came to SUBSCRIBED
	Dropped      uint64 // calls that were not sent because their stream had ended
	Refused      uint64 // calls that the master did not take
	Acknowledged uint64
	Updates      uint64
	Offers       uint64
}

// New makes a driver that gives events to sink. sink may block: the stream is then read more slowly.
func New(cfg Config, sink func(offers.Event)) *Driver {
	cfg.setDefaults()
	d := &Driver{cfg: cfg, sink: sink, client: newClient(&cfg), done: make(chan struct{}), wake: make(chan struct{}, 1)}
	d.ctx, d.cancel = context.WithCancelCause(context.Background())
	return d
}

// Start subscribes in the background, with the stored framework id (empty: the master gives one), and goes on until
// Stop or Close, or until the framework cannot go on (offers.FatalError).
func (d *Driver) Start(frameworkID string, roles, suppressed []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.started || d.ctx.Err() != nil {
		return
	}
	d.started = true
	d.who = identity{id: frameworkID, roles: append([]string(nil), roles...), suppressed: append([]string(nil), suppressed...)}
	var running sync.WaitGroup
	running.Go(d.run)
	running.Go(d.tellUndone)
	go func() {
		running.Wait()
		d.client.close()
		close(d.done)
	}()
}

// Stats reads the counters.
func (d *Driver) Stats() Stats {
	c := &d.counters
	return Stats{
		Subscribed: c.subscribed.Load(), Dropped: c.dropped.Load(), Refused: c.refused.Load(),
		Acknowledged: c.acknowledged.Load(), Updates: c.updates.Load(), Offers: c.offers.Load(),
	}
}

// Master is the leading master as http://host:port, and whether the driver is subscribed there. While it is not, url is
// the last one known.
func (d *Driver) Master() (url string, connected bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.url, d.session != nil
}

// Hold makes the present stream the last one: whoever may no longer lead must not take the framework back from a
// successor. When the stream ends the sink gets a FatalError. False: there is no stream now.
func (d *Driver) Hold() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = d.last || d.session != nil
	return d.last
}

// forget drops the id of the framework: the next SUBSCRIBE asks for a new one.
func (d *Driver) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.who.id = ""
}

// held reports whether no other stream may follow.
func (d *Driver) held() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}

// Send queues calls in their order and never blocks. Calls that cannot go out on the current stream are dropped and
// counted; for the tasks of a dropped launch the sink gets TASK_DROPPED.
func (d *Driver) Send(calls []offers.Call) {
	d.mu.Lock()
	for _, c := range calls {
		d.remember(c)
	}
	s := d.session
	d.mu.Unlock()
	if s == nil {
		d.drop(calls, "the framework is not subscribed")
		return
	}
	if left := s.enqueue(calls); len(left) > 0 {
		d.drop(left, "the stream to the master has ended")
	}
}

// remember keeps what the next SUBSCRIBE must say. d.mu is held.
func (d *Driver) remember(c offers.Call) {
	switch c := c.(type) {
	case offers.UpdateFramework:
		d.who.roles = append([]string(nil), c.Roles...)
		d.who.suppressed = append([]string(nil), c.Suppressed...)
	case offers.Suppress:
		roles := c.Roles
		if len(roles) == 0 {
			roles = d.who.roles
		}
		d.who.suppressed = append(without(d.who.suppressed, roles), roles...)
	case offers.Revive:
		roles := c.Roles
		if len(roles) == 0 {
			roles = d.who.suppressed
		}
		d.who.suppressed = without(d.who.suppressed, roles)
	}
}

// drop counts calls that are not sent, and reports the tasks that will not start.
func (d *Driver) drop(calls []offers.Call, why string) {
	d.counters.dropped.Add(uint64(len(calls)))
	for _, c := range calls {
		if a, ok := c.(offers.Accept); ok {
			d.report(launched(&a, "TASK_DROPPED", "MASTER_DISCONNECTED", "Launch was not sent: "+why, d.now()))
		}
	}
}

// report hands events to the sink from a goroutine of their own, as the caller may be what empties the sink.
func (d *Driver) report(events []offers.Event) {
	if len(events) == 0 {
		return
	}
	if d.ctx.Err() != nil {
		return // nobody listens any more
	}
	d.mu.Lock()
	d.undone = append(d.undone, events...)
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *Driver) tellUndone() {
	for {
		select {
		case <-d.ctx.Done():
			return
		case <-d.wake:
		}
		d.mu.Lock()
		events := d.undone
		d.undone = nil
		d.mu.Unlock()
		for _, e := range events {
			d.tell(e)
		}
	}
}

// tell gives one event to the sink, unless the driver was closed.
func (d *Driver) tell(e offers.Event) {
	d.sinkMu.Lock()
	defer d.sinkMu.Unlock()
	if d.ctx.Err() == nil {
		d.sink(e)
	}
}

func (d *Driver) now() core.Timestamp { return core.At(time.Now()) }

// Stop ends the driver after sending what waits, for at most Config.StopTimeout. With failover the framework stays
// registered at the master, for its failover timeout; without, TEARDOWN ends it and all its tasks.
func (d *Driver) Stop(failover bool) {
	d.mu.Lock()
	s := d.session
	d.mu.Unlock()
	if s == nil && !failover {
		d.cfg.Log.Warn("the framework stays registered at Mesos: TEARDOWN needs a stream")
	}
	if s != nil {
		ctx, cancel := context.WithTimeout(d.ctx, d.cfg.StopTimeout)
		if err := s.flush(ctx, !failover); err != nil {
			d.cfg.Log.Warn("not all calls to Mesos could be sent before stopping", zap.Error(err))
		}
		cancel()
	}
	d.Close()
}

// Close ends the driver at once; the framework stays registered. It waits for the end of all goroutines, but no longer
// than Config.StopTimeout in case the sink does not return.
func (d *Driver) Close() {
	d.cancel(errClosed)
	d.mu.Lock()
	started := d.started
	d.mu.Unlock()
	if !started {
		return
	}
	select {
	case <-d.done:
	case <-time.After(d.cfg.StopTimeout):
		d.cfg.Log.Warn("the Mesos driver did not end in time")
	}
}

// fatalError ends the driver.
type fatalError struct{ event offers.FatalError }

func (e *fatalError) Error() string { return e.event.Message }

// run subscribes again and again.
func (d *Driver) run() {
	if err := d.cfg.Validate(); err != nil {
		d.tell(offers.FatalError{Message: err.Error(), ExitCode: exitSchedulerError})
		return
	}
	var finder detector
	defer func() {
		if finder != nil {
			finder.close()
		}
	}()
	wait := d.cfg.BackoffMin
	for d.ctx.Err() == nil {
		began := time.Now()
		err := d.find(&finder)
		var fatal *fatalError
		if !errors.As(err, &fatal) && d.held() && d.ctx.Err() == nil {
			fatal = &fatalError{offers.FatalError{Message: fmt.Sprintf("the stream from Mesos has ended: %v", err), ExitCode: exitSchedulerError}}
		}
		if fatal != nil {
			d.cfg.Log.Error("the framework cannot go on", zap.String("reason", fatal.event.Message))
			d.tell(fatal.event)
			return
		}
		if d.ctx.Err() != nil {
			return
		}
		if time.Since(began) >= d.cfg.BackoffMax {
			wait = d.cfg.BackoffMin // it held: this is a new trouble
		}
		pause := jitter(wait)
		d.cfg.Log.Warn("no stream from Mesos, trying again", zap.Error(err), zap.Duration("in", pause))
		select {
		case <-d.ctx.Done():
		case <-time.After(pause):
		}
		wait = min(2*wait, d.cfg.BackoffMax)
	}
}

// jitter is between half of and the whole wait, so that frameworks do not come all at once after a master failover.
func jitter(wait time.Duration) time.Duration {
	return wait/2 + rand.N(wait/2+1)
}

// find detects the leader and lives through one stream there; of a list it tries each master once.
func (d *Driver) find(finder *detector) error {
	if *finder == nil {
		f, err := newDetector(&d.cfg)
		if err != nil {
			return err
		}
		*finder = f
	}
	for {
		base, changed, err := (*finder).leader(d.ctx)
		if err != nil {
			return err
		}
		err = d.stream(base, changed)
		if another := (*finder).failed(base); another && d.ctx.Err() == nil && elsewhere(err) {
			continue
		}
		if strings.HasPrefix(d.cfg.Master, "file://") {
			(*finder).close()
			*finder = nil // the file may say something else now
		}
		return err
	}
}

// elsewhere reports whether another master may give a better answer at once: this one was not reached, or does not lead.
func elsewhere(err error) bool {
	var answer *answerError
	var network *url.Error
	if errors.As(err, &answer) {
		return errors.Is(err, ErrNoLeader) || errors.Is(err, ErrNotFound)
	}
	return errors.As(err, &network)
}

// stream subscribes at base and reads the stream to its end. The error is never nil.
func (d *Driver) stream(base string, changed <-chan struct{}) error {
	ctx, cancel := context.WithCancelCause(d.ctx)
	defer cancel(nil)
	d.mu.Lock()
	who := d.who
	d.mu.Unlock()
	body, err := d.cfg.encodeSubscribe(who)
	if err != nil {
		return &fatalError{offers.FatalError{Message: fmt.Sprintf("encode SUBSCRIBE: %v", err), ExitCode: exitSchedulerError}}
	}
	resp, to, err := d.client.subscribe(ctx, base, body)
	if err != nil {
		var answer *answerError
		if errors.As(err, &answer) && roleRefusal(answer.text) {
			d.refuseRoles(who.roles, answer.text)
		}
		return err
	}
	defer closeBody(resp)
	s := newSession(d, ctx, cancel, to, resp.Header.Get(streamIDHeader), who)
	err = s.read(resp.Body, changed)
	s.end(err)
	return err
}

// refuseRoles tells of refused roles and wants them no more; without any other role they are tried again (D-49).
func (d *Driver) refuseRoles(wanted []string, message string) {
	d.mu.Lock()
	refused := refusedRoles(wanted, d.accepted, message)
	if rest := without(d.who.roles, refused); len(rest) > 0 {
		d.who.roles = rest
		d.who.suppressed = without(d.who.suppressed, refused)
	}
	d.mu.Unlock()
	d.tell(offers.RoleRefused{Roles: refused, Message: message})
}
