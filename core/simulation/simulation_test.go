package simulation

import (
	"flag"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"testing"
)

var (
	seeds = flag.Int("seeds", 250, "number of seeds per world")
	first = flag.Uint64("first", 1, "the first of them")
	seed  = flag.Uint64("seed", 0, "run only this seed")
	trace = flag.Bool("tell", false, "show what every batch does up to the failure")
)

// worlds are the kinds of worlds that are tried; each names what it adds. Every one lasts ten minutes.
var worlds = map[string]Options{
	"calm":    {Agents: 4, Actions: 40, Span: 300_000, Quiet: 300_000},
	"failing": {Agents: 4, Actions: 40, Span: 300_000, Quiet: 300_000, Failing: true},
	"crashes": {Agents: 4, Actions: 50, Span: 300_000, Quiet: 300_000, Crashes: true},                              // F1
	"store":   {Agents: 4, Actions: 50, Span: 300_000, Quiet: 300_000, Crashes: true, Store: true, Zombies: true},  // F3, F5, F6, F7, F9
	"mesos":   {Agents: 5, Actions: 40, Span: 300_000, Quiet: 300_000, Losses: true, Network: true, Updates: true}, // F15, F16, F17, F20, D-25
	"clocks":  {Agents: 4, Actions: 40, Span: 300_000, Quiet: 300_000, Clocks: true, Zombies: true, Losses: true},  // F4
	"rot":     {Agents: 4, Actions: 40, Span: 300_000, Quiet: 300_000, Rot: true, Failing: true},                   // F14
	"all":     {Agents: 5, Actions: 50, Span: 300_000, Quiet: 300_000, Crashes: true, Store: true, Zombies: true, Losses: true, Network: true, Updates: true, Clocks: true, Failing: true},
}

// A world makes much garbage and is small: collecting it less often makes a run a third shorter.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

// TestWorlds: over many seeds, whatever goes wrong and whenever, what the package's doc.go lists holds after each step,
// and all comes to rest when nothing more goes wrong.
func TestWorlds(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(worlds)) {
		opt := worlds[name]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sum := World{Deaths: map[string]int{}}
			from, to := *first, *first+uint64(*seeds)
			if *seed != 0 {
				from, to = *seed, *seed+1
			}
			opt.Trace = *trace
			for s := from; s < to; s++ {
				w := Run(s, opt)
				sum.add(w)
				if w.Failure != "" {
					t.Fatalf("%s\nrepeat: go test ./core/simulation -run 'TestWorlds/^%s$' -seed %d", w.Failure, name, s)
				}
			}
			t.Logf("%d seeds, %d steps, %d commits, %d terms, %d commits fenced, %d calls refused, deaths %v",
				to-from, sum.Steps, sum.Commits, sum.Lives, sum.Fenced, sum.Refused, sum.Deaths)
			if opt.Crashes && to-from >= 100 { // F1: at every boundary
				for where := range boundaries {
					if sum.Deaths[where] == 0 {
						t.Errorf("nobody died %s", where)
					}
				}
			}
		})
	}
}

func (w *World) add(o *World) {
	w.Steps, w.Commits, w.Lives, w.Fenced, w.Refused = w.Steps+o.Steps, w.Commits+o.Commits, w.Lives+o.Lives, w.Fenced+o.Fenced, w.Refused+o.Refused
	for where, n := range o.Deaths {
		w.Deaths[where] += n
	}
}

// TestSameSeedSameTrace is I14.
func TestSameSeedSameTrace(t *testing.T) {
	opt := worlds["all"]
	opt.Trace = true
	for s := uint64(1); s <= 3; s++ {
		a, b := Run(s, opt), Run(s, opt)
		if a.digest != b.digest || a.Steps != b.Steps || a.Commits != b.Commits {
			t.Fatalf("seed %d: two runs differ", s)
		}
	}
}
