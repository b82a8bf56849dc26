package simulation

import (
	"context"
	"errors"
	"strings"

	"stadion/core"
	"stadion/core/machine"
	"stadion/core/state"
	"stadion/core/store"
	"stadion/offers"
)

const (
	leaseMs   = 3000 // a leader that is not seen for so long is replaced
	hourMs    = 3600e3
	maxRounds = 10000 // batches in a row without anything happening outside
)

// life is one term of one server process: from winning the lease to the end, which it may not notice.
type life struct {
	w      *World
	number int
	store  *store.Store
	m      *machine.Machine
	dead   bool
	leave  bool // hands over as soon as nothing is in flight

	asleep core.Timestamp // stopped until then
	cut    core.Timestamp // from the store until then
	upset  core.Timestamp // when the store last did not take a batch
	skew   core.Timestamp // of its clock
	rate   float64        // of its clock
	paused core.Timestamp // how much of its life its clock did not count
	born   core.Timestamp

	batch   *machine.Batch // being filled
	stepped int
	flying  *machine.Batch // being committed
	tries   int
	next    *state.Snapshot // of flying
	snap    *state.Snapshot // published
	seq     uint64
	wake    core.Timestamp

	stream  *stream
	waiting map[uint64]func(machine.Reply)
	probes  map[probeKey]*probe
	book    *book // what the judge knows of this life
}

// takeOver begins a term: the fence, the load, the connection.
func (w *World) takeOver() {
	w.Lives++
	l := &life{w: w, number: w.Lives, rate: 1, born: w.clock.now, batch: &machine.Batch{}, waiting: map[uint64]func(machine.Reply){}, probes: map[probeKey]*probe{}}
	if w.opt.Clocks {
		l.skew, l.rate = core.Timestamp(w.rnd.Int64N(2*hourMs)-hourMs), 0.99+0.02*w.rnd.Float64()
	}
	o := store.Options{}
	if w.opt.Store || w.opt.Crashes {
		o.MaxTxnOps = 24 // so that many batches need the redo log
	}
	l.store = w.disk.Open(o)
	w.lead = l
	alive := w.lives[:0]
	for _, x := range w.lives {
		if !x.dead {
			alive = append(alive, x)
		}
	}
	w.lives = append(alive, l)
	w.note("life %d begins", l.number)
	l.load()
}

// elect lets another server take over after a while, unless one did.
func (w *World) elect(ms int64) {
	gone := w.lead
	w.clock.after(ms, func() {
		if w.lead == gone {
			w.takeOver()
		}
	})
}

// now is the life's own clock.
func (l *life) now() core.Timestamp {
	return l.born + l.skew + core.Timestamp(float64(l.w.clock.now-l.born)*l.rate) - l.paused
}

// after plans something that the process does; it waits while the process is stopped and dies with it.
func (l *life) after(ms int64, do func()) { l.w.clock.after(ms, func() { l.run(do) }) }

func (l *life) run(do func()) {
	switch {
	case l.dead:
	case l.w.clock.now < l.asleep:
		l.w.clock.after(int64(l.asleep-l.w.clock.now), func() { l.run(do) })
	default:
		do()
	}
}

func (l *life) load() {
	w := l.w
	w.trip(20)
	st, err := l.store.Load(context.Background())
	w.fault = store.NoFault
	switch {
	case w.fatal && err != nil:
		l.struck("inside the load")
		return
	case err == nil && l.dies("after the load"):
		return
	case errors.Is(err, store.ErrFenced):
		l.end("fenced while it loaded")
		return
	case retryable(err):
		l.after(200, l.load) // D-56: a term does not begin on half a state
		return
	case err != nil:
		w.fail("load: %v", err)
		return
	}
	cfg := machine.DefaultConfig()
	cfg.Offers.Principal = "p"
	cfg.MaxVersions, cfg.LaunchMs, cfg.LaunchConfirmMs, cfg.KillRetryMs = 3, 60_000, 60_000, 10_000
	cfg.ReconcileIntervalMs, cfg.ScaleIntervalMs, cfg.KillChunk, cfg.MaxRows = 90_000, 60_000, 5, 40
	for _, q := range l.store.Quarantined() {
		if q.Instance != "" {
			if cfg.Spared == nil {
				cfg.Spared = map[core.InstanceID]bool{}
			}
			cfg.Spared[q.Instance] = true
		}
	}
	l.m, l.seq = machine.New(cfg, st), l.store.Seq()
	w.judge.loaded(l, st)
	l.snap = st.Snapshot(l.seq, int64(l.number), l.now())
	l.step(machine.Begin{Seed: w.Seed + uint64(l.number)<<32})
	l.connect(10)
}

func retryable(err error) bool {
	var r interface{ Retry() bool }
	return errors.As(err, &r)
}

// end is the death of the process, wanted or not.
func (l *life) end(why string) {
	if l.dead {
		return
	}
	l.w.note("life %d ends: %s", l.number, why)
	l.dead = true
	if l.stream != nil {
		l.w.master.hangUp(l.stream)
	}
}

// step brings in one event. While a batch is in flight the next one fills (design.md 1).
func (l *life) step(ev machine.Event) {
	if l.dead || l.m == nil {
		return
	}
	l.m.Step(l.now(), ev, l.batch)
	l.stepped++
	if !l.dies(boundaryOf(ev)) {
		l.pump()
	}
}

// pump is the loop: it closes batches while nothing is in flight and something is to be done.
func (l *life) pump() {
	for round := 0; !l.dead && l.flying == nil; round++ {
		now := l.now()
		if at, ok := l.m.NextTimer(); ok && at <= now {
			l.m.Step(now, machine.Tick{}, l.batch)
			l.stepped++
		}
		if l.stepped == 0 && !l.m.Pending() {
			if l.leave {
				l.end("hands over")
				l.w.elect(l.w.rnd.Int64N(500))
			}
			break
		}
		if round > maxRounds {
			l.w.fail("R12: the machine does not come to an end")
			return
		}
		l.close(now)
	}
	l.alarm()
}

// close settles the batch and sends it on its way.
func (l *life) close(now core.Timestamp) {
	l.m.Settle(now, l.batch)
	l.seq++
	b := l.batch
	b.Seq = l.seq
	l.batch, l.stepped = &machine.Batch{}, 0
	l.next = l.m.State().Snapshot(l.seq, int64(l.number), now)
	l.w.judge.decided(l, b)
	if !b.NeedsCommit() {
		l.release(b)
		return
	}
	l.flying, l.tries = b, 0
	l.after(l.w.storeMs(), l.commit)
}

// storeMs is how long a request to the store takes.
func (w *World) storeMs() int64 {
	if w.chance(w.opt.Store, 40) {
		return 1000 // F9
	}
	return 1 + w.rnd.Int64N(3)
}

// trip prepares the fault of one of the next transactions; after a fatal one, once in so many times, the process is
// dead.
func (w *World) trip(fatal int) {
	w.fault, w.faultIn, w.fatal = store.NoFault, 0, false
	switch {
	case w.chance(w.opt.Store, 12):
		w.faultIn = w.rnd.IntN(3)
		w.fault = []store.Fault{store.LoseBefore, store.LoseAfter, store.Full}[w.rnd.IntN(3)]
	case w.chance(w.opt.Crashes, fatal):
		w.faultIn, w.fatal = w.rnd.IntN(4), true
		w.fault = []store.Fault{store.LoseBefore, store.LoseAfter}[w.rnd.IntN(2)]
	}
}

// alarm plans the next tick.
func (l *life) alarm() {
	due, ok := l.m.NextTimer()
	if !ok || l.flying != nil {
		return
	}
	w := l.w
	at := w.clock.now + max(due-l.now(), 1)
	if l.wake > w.clock.now && l.wake <= at {
		return
	}
	l.wake = at
	l.after(int64(at-w.clock.now), func() {
		if l.wake == at {
			l.wake = 0
			l.pump()
		}
	})
}

// commit tries to make the batch in flight durable; what it learns it learns later.
func (l *life) commit() {
	w, b := l.w, l.flying
	if l.dies("before the commit") {
		return
	}
	if w.clock.now < l.cut {
		l.after(100, l.commit)
		return
	}
	w.trip(200)
	err := l.store.Commit(context.Background(), b.Seq, b.Writes)
	w.fault = store.NoFault
	switch {
	case err == nil:
		if l != w.lead {
			w.fail("R8: life %d committed batch %d although life %d has the fence", l.number, b.Seq, w.lead.number)
		}
		w.open = nil
		w.durable.put(b.Writes)
		w.moved = w.moved || len(b.Writes) > 0
		w.Commits++
		w.judge.committed(l, b)
		l.after(w.rnd.Int64N(3), l.landed)
	case errors.Is(err, store.ErrFenced):
		if l == w.lead {
			w.fail("the store refuses the leader: %v", err)
		}
		w.Fenced++
		l.end("fenced")
	case retryable(err):
		if l == w.lead {
			w.open = b
		}
		if w.fatal {
			l.struck("inside the commit")
			return
		}
		l.tries++
		l.upset = w.clock.now
		l.after(int64(min(20<<min(l.tries, 6), 1000)), l.commit)
	default:
		w.fail("commit: %v", err)
	}
}

func (l *life) landed() {
	if l.dies("after the commit") {
		return
	}
	b := l.flying
	l.flying = nil
	l.release(b)
	l.pump()
}

// release lets out what a durable batch decided; the process may die between any two effects (F1).
func (l *life) release(b *machine.Batch) {
	l.snap = l.next
	for _, r := range b.Replies {
		if f := l.waiting[r.ID]; f != nil {
			delete(l.waiting, r.ID)
			f(r)
		}
		if l.dies("after an answer") {
			return
		}
	}
	for _, c := range b.Calls {
		if _, launch := c.(offers.Accept); launch && l.dies("before a launch") {
			return
		}
		l.send(c)
		if l.dies(boundaryAfter(c)) {
			return
		}
	}
	for _, p := range b.Probes {
		l.probe(p)
	}
	l.dies("after all effects")
}

// strike makes the leader one that does not know that it is not any more (F3, F5), or ends its term by plan (F6) or
// by a mistake (F7).
func (w *World) strike() {
	l := w.lead
	if l.dead || l.m == nil {
		return
	}
	ms := 500 + w.rnd.Int64N(15000)
	switch w.rnd.IntN(4) {
	case 0:
		w.note("life %d is stopped for %d ms", l.number, ms)
		l.asleep = w.clock.now + core.Timestamp(ms)
		if w.opt.Clocks && w.rnd.IntN(2) == 0 {
			l.paused += core.Timestamp(float64(ms) * l.rate)
		}
		if ms > leaseMs {
			w.elect(leaseMs)
		}
	case 1:
		w.note("life %d is cut off from the store for %d ms", l.number, ms)
		l.cut = w.clock.now + core.Timestamp(ms)
		if ms > leaseMs {
			w.elect(leaseMs)
			if w.rnd.IntN(3) > 0 { // it notices that it could not renew its lease
				l.after(leaseMs+w.rnd.Int64N(1000), func() { l.end("lost its lease") })
			}
		}
	case 2:
		w.note("life %d hands over", l.number)
		l.leave = true
		l.after(0, l.pump)
	default:
		w.note("life %d is usurped", l.number)
		w.takeOver()
	}
}

// connect subscribes after a while.
func (l *life) connect(ms int64) {
	l.after(ms+l.w.rnd.Int64N(500), func() {
		if l.stream == nil && !l.w.master.subscribe(l) {
			l.connect(500)
		}
	})
}

// hear takes an event of the master.
func (l *life) hear(s *stream, ev offers.Event) {
	if l.stream != s {
		return
	}
	switch e := ev.(type) {
	case offers.FatalError:
		l.end(e.Message)
		if l == l.w.lead {
			l.w.elect(l.w.rnd.Int64N(500))
		}
		return
	case offers.Disconnected:
		l.stream = nil
		l.connect(500)
	case offers.StatusUpdate:
		l.book.heard(e)
	}
	l.step(machine.Mesos{Event: ev})
}

// send brings a call to the master, acknowledgements by a connection of their own.
func (l *life) send(c offers.Call) {
	w, s := l.w, l.stream
	why := w.judge.call(c)
	if l == w.lead && why != "" {
		w.fail("%s", why)
	}
	if s == nil {
		return
	}
	way := &s.calls
	if _, ack := c.(offers.Acknowledge); ack {
		way = &s.acks
	}
	way.send(&w.clock, 1+w.rnd.Int64N(4), func() { w.master.take(s, c, why) })
}

// rot makes a stored row unreadable (F14). It shows at the next load.
func (w *World) rot() {
	tables := []state.Table{state.TableFailure, state.TableHealth, state.TableInstance}
	if l := w.lead; l.dead || l.flying != nil || w.open != nil {
		return
	}
	keys := w.durable.of(tables[w.rnd.IntN(len(tables))])
	if len(keys) == 0 {
		return
	}
	wr := w.durable.rows[keys[w.rnd.IntN(len(keys))]]
	w.judge.rotten = append(w.judge.rotten, rowKey(wr))
	name := strings.Replace(wr.Key, ".instance-", "/", 1)
	if wr.Table == state.TableFailure {
		name = core.PathID(wr.Key).SafePath()
	}
	name = store.DefaultPrefix + "/v1/" + string(wr.Table) + "/" + name
	if _, there := w.disk.Keys()[name]; !there {
		w.fail("%s is not where %s was expected", rowKey(wr), name)
	}
	w.note("%s becomes unreadable", name)
	w.disk.Set(name, []byte(`{"v":`))
	w.takeOver()
}
