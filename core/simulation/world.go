package simulation

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"stadion/core"
	"stadion/core/machine"
	"stadion/core/state"
	"stadion/offers"
)

// Options say how much happens.
type Options struct {
	Agents  int
	Actions int   // changes by clients while there are faults
	Span    int64 // virtual milliseconds of faults
	Crashes bool
	Losses  bool // agents go out of sight
}

// quietMs is how long a world without faults may take to come to rest: a full reconciliation and the longest delay.
const quietMs = 12 * 60 * 1000

// World is one run. It is deterministic: the same seed and options give the same trace (I14).
type World struct {
	Seed    uint64
	Failure string // the first broken invariant, empty when all hold
	Crashes int
	Commits int

	opt    Options
	rnd    *rand.Rand
	clock  clock
	faults bool
	moved  bool // a task or a row changed since the last check

	rows   map[string]state.Write // what is durable
	master *master
	srv    *server
	life   int // of the server; everything of an earlier life is void

	promised map[core.PathID]promise // acknowledged by a reply
	apps     []core.PathID
	request  uint64
	trace    strings.Builder
}

// promise is what a client was told of an app.
type promise struct {
	instances int
	cmd       string
	deleted   bool
}

// server is one life of the server process.
type server struct {
	life    int
	m       *machine.Machine
	batches []*machine.Batch // not yet durable
	busy    bool             // a commit is under way
	waiting map[uint64]func(machine.Reply)
	stream  int
	wake    core.Timestamp
}

// Run lets a world live: faults first, then quiet, then the judgement.
func Run(seed uint64, opt Options) *World {
	w := &World{Seed: seed, opt: opt, rnd: rand.New(rand.NewPCG(seed, 42)), rows: map[string]state.Write{}, promised: map[core.PathID]promise{}, faults: true}
	w.clock.now = 1_700_000_000_000
	start := w.clock.now
	w.master = newMaster(w, opt.Agents)
	w.start()
	for k := range opt.Actions {
		w.clock.after(int64(k)*opt.Span/int64(opt.Actions)+w.rnd.Int64N(500), w.act)
	}
	if opt.Losses {
		for range 3 {
			w.clock.after(w.rnd.Int64N(opt.Span), func() {
				w.master.lose(w.master.agents[w.rnd.IntN(opt.Agents)], 1000+w.rnd.Int64N(90000))
			})
		}
	}
	w.until(start + core.Timestamp(opt.Span))
	w.faults = false
	w.until(w.clock.now + quietMs)
	w.judge()
	return w
}

func (w *World) until(end core.Timestamp) {
	for w.Failure == "" && w.clock.next(end) {
		if w.moved {
			w.moved = false
			w.check()
		}
	}
}

func (w *World) fail(format string, args ...any) {
	if w.Failure == "" {
		w.Failure = fmt.Sprintf("seed %d at %s: %s", w.Seed, w.clock.now, fmt.Sprintf(format, args...))
	}
}

func (w *World) note(format string, args ...any) {
	fmt.Fprintf(&w.trace, "%d "+format+"\n", append([]any{w.clock.now}, args...)...)
}

// start begins a life: load, begin, subscribe.
func (w *World) start() {
	st := state.New()
	for _, wr := range w.sortedRows() {
		if err := st.Load(wr); err != nil {
			w.fail("load: %v", err)
			return
		}
	}
	if broken := st.Finish(); len(broken) > 0 {
		w.fail("I1: specs %v lost their version", broken)
	}
	w.life++
	w.srv = &server{life: w.life, m: machine.New(machine.DefaultConfig(), st), waiting: map[uint64]func(machine.Reply){}}
	w.note("life %d", w.life)
	w.input(machine.Begin{Seed: w.Seed + uint64(w.life)<<32})
	w.subscribe()
}

func (w *World) subscribe() {
	life := w.life
	w.clock.after(10+w.rnd.Int64N(500), func() {
		if w.srv != nil && w.srv.life == life {
			w.srv.stream = life*1000 + w.rnd.IntN(1000) + 1
			w.master.subscribe(w.srv.stream)
		}
	})
}

// stream brings an event of the master to the server, late but in order.
func (w *World) stream(stream int, ev offers.Event) {
	w.clock.after(1, func() {
		if w.srv != nil && w.srv.stream == stream {
			w.input(machine.Mesos{Event: ev})
		}
	})
}

// input is the loop: one event, one batch; batches become durable one after the other.
func (w *World) input(ev machine.Event) {
	s := w.srv
	b := &machine.Batch{}
	s.m.Step(w.clock.now, ev, b)
	s.m.Settle(w.clock.now, b)
	s.batches = append(s.batches, b)
	for s.m.Pending() {
		b = &machine.Batch{}
		s.m.Settle(w.clock.now, b)
		s.batches = append(s.batches, b)
	}
	w.commit(s)
	w.alarm(s)
}

// alarm plans the next tick.
func (w *World) alarm(s *server) {
	due, ok := s.m.NextTimer()
	if !ok || s.wake > w.clock.now && s.wake <= due {
		return
	}
	s.wake = max(due, w.clock.now+1)
	at := s.wake
	w.clock.after(int64(at-w.clock.now), func() {
		if w.srv == s && s.wake == at {
			s.wake = 0
			w.input(machine.Tick{})
		}
	})
}

// commit makes the oldest batch durable after a while, then releases its effects one by one. The server may die at
// every point between.
func (w *World) commit(s *server) {
	if s.busy || len(s.batches) == 0 {
		return
	}
	s.busy = true
	w.clock.after(1+w.rnd.Int64N(5), func() {
		if w.srv != s || w.dies("before the commit") {
			return
		}
		b := s.batches[0]
		s.batches = s.batches[1:]
		w.moved = w.moved || len(b.Writes) > 0
		for _, wr := range b.Writes {
			key := string(wr.Table) + "/" + wr.Key
			if wr.Value == nil {
				delete(w.rows, key)
			} else {
				w.rows[key] = wr
			}
		}
		w.Commits++
		w.release(s, b)
		s.busy = false
		if w.srv == s {
			w.commit(s)
		}
	})
}

func (w *World) release(s *server, b *machine.Batch) {
	if w.dies("after the commit") {
		return
	}
	for _, r := range b.Replies {
		if f := s.waiting[r.ID]; f != nil {
			delete(s.waiting, r.ID)
			f(r)
		}
		if w.dies("after an answer") {
			return
		}
	}
	stream := s.stream
	for _, c := range b.Calls {
		w.clock.after(1, func() { w.master.take(stream, c) })
		if w.dies("after a call") {
			return
		}
	}
}

// dies kills the server now and then.
func (w *World) dies(where string) bool {
	if !w.opt.Crashes || !w.faults || w.rnd.IntN(400) != 0 {
		return false
	}
	w.note("crash %s", where)
	w.Crashes++
	w.srv = nil
	w.master.gone()
	w.clock.after(500+w.rnd.Int64N(5000), func() {
		if w.srv == nil {
			w.start()
		}
	})
	return true
}
