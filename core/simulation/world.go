package simulation

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"

	"stadion/core"
	"stadion/core/machine"
	"stadion/core/store"
)

// Options say how much happens in a world, and what goes wrong.
type Options struct {
	Agents  int
	Actions int   // changes by clients while there are faults
	Span    int64 // virtual milliseconds of faults
	Quiet   int64 // virtual milliseconds to come to rest afterwards

	Crashes bool // the leader dies between any two effects (F1)
	Zombies bool // leaders that do not know that they were replaced: stopped, cut off, handed over (F3, F5, F6, F7)
	Store   bool // commits are slow or end with an unknown outcome (F8, F9)
	Losses  bool // agents go out of sight, come back, go for good (F16, F17)
	Network bool // streams break, masters fail over, kills and acknowledgements get lost (F15, D-25)
	Updates bool // updates come again and late, of unknown tasks and of unknown form (F20)
	Clocks  bool // clocks of different servers are up to an hour apart and lose time in a pause (F4)
	Rot     bool // stored rows become unreadable (F14)
	Failing bool // tasks fail and get sick
	Trace   bool // note what every batch does, and keep all notes (I14)
}

// World is one run. It is deterministic: the same seed and options give the same trace (I14).
type World struct {
	Seed    uint64
	Failure string // the first broken invariant, empty when all hold
	Lives   int
	Deaths  map[string]int // by boundary
	Commits int
	Steps   int
	Refused int // calls of stale leaders that the master refused
	Fenced  int // commits of stale leaders that the store refused

	opt    Options
	rnd    *rand.Rand
	clock  clock
	start  core.Timestamp
	faults bool
	moved  bool // a task or a durable row changed since the last look

	disk    *store.Memory
	durable *shelf
	open    *machine.Batch // a batch whose outcome nobody knows, of the life that held the fence
	fault   store.Fault    // of a transaction to come
	faultIn int            // transactions before it
	fatal   bool           // it is the last thing that the process meets

	master *master
	lead   *life // holds the newest fence
	lives  []*life
	client *client
	judge  *judge

	notes  []string // the last ones
	digest uint64
}

// keptNotes bounds the notes that a failure shows.
const keptNotes = 60

// Run lets a world live: faults first, then quiet, then the judgement.
func Run(seed uint64, opt Options) *World {
	w := &World{Seed: seed, opt: opt, rnd: rand.New(rand.NewPCG(seed, 42)), faults: true, disk: store.NewMemory(), durable: newShelf(), Deaths: map[string]int{}}
	w.disk.Faults = w.nextFault
	w.clock.now = 1_700_000_000_000
	w.start = w.clock.now
	w.judge = newJudge(w)
	w.master = newMaster(w, opt.Agents)
	w.client = newClient(w)
	w.takeOver()
	for k := range opt.Actions {
		w.clock.after(int64(k)*opt.Span/int64(opt.Actions)+w.rnd.Int64N(500), w.client.act)
	}
	w.planFaults()
	w.until(w.start + core.Timestamp(opt.Span))
	w.faults = false
	w.note("quiet")
	w.heal()
	w.until(w.clock.now + core.Timestamp(opt.Quiet))
	w.judge.rest()
	return w
}

func (w *World) nextFault() store.Fault {
	if w.faultIn > 0 {
		w.faultIn--
		return store.NoFault
	}
	return w.fault
}

func (w *World) until(end core.Timestamp) {
	for w.Failure == "" && w.clock.next(end) {
		w.Steps++
		if w.moved {
			w.moved = false
			w.judge.look()
		}
	}
}

func (w *World) fail(format string, args ...any) {
	if w.Failure == "" {
		w.Failure = fmt.Sprintf("seed %d after %d ms: %s\n  %s", w.Seed, w.clock.now-w.start, fmt.Sprintf(format, args...), strings.Join(w.notes, "\n  "))
	}
}

// note keeps a line of the trace.
func (w *World) note(format string, args ...any) {
	line := fmt.Sprintf("%6d ", w.clock.now-w.start) + fmt.Sprintf(format, args...)
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d %s", w.digest, line)
	w.digest = h.Sum64()
	if len(w.notes) == keptNotes && !w.opt.Trace {
		w.notes = append(w.notes[:0], w.notes[1:]...)
	}
	w.notes = append(w.notes, line)
}

// chance is true once in n times while there are faults of a kind.
func (w *World) chance(kind bool, n int) bool { return kind && w.faults && w.rnd.IntN(n) == 0 }

// sometime plans n faults at random times.
func (w *World) sometime(kind bool, n int, do func()) {
	if !kind {
		return
	}
	for range n {
		w.clock.after(w.rnd.Int64N(w.opt.Span), do)
	}
}

func (w *World) planFaults() {
	o := w.opt
	w.sometime(o.Zombies, 4, w.strike)
	w.sometime(o.Losses, 4, w.master.loseAny)
	w.sometime(o.Network, 3, w.master.breakStream)
	w.sometime(o.Network, 1, w.master.failOver)
	w.sometime(o.Updates, 6, w.master.odd)
	w.sometime(o.Rot, 3, w.rot)
	w.sometime(o.Network, 4, w.master.rescind)
}

// heal ends all that lasts: agents come back, clients resume what they paused.
func (w *World) heal() {
	w.master.heal()
	w.client.tidy()
}
