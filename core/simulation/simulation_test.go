package simulation

import (
	"flag"
	"maps"
	"slices"
	"testing"
)

var (
	seeds = flag.Int("seeds", 180, "number of seeds per world")
	seed  = flag.Uint64("seed", 0, "run only this seed")
	trace = flag.Bool("tell", false, "show what every batch does up to the failure")
)

// worlds are the kinds of worlds that are tried; each names what it adds.
var worlds = map[string]Options{
	"calm":    {Agents: 4, Actions: 40, Span: 300_000, Quiet: 240_000},
	"failing": {Agents: 4, Actions: 40, Span: 300_000, Quiet: 300_000, Failing: true},
	"crashes": {Agents: 4, Actions: 50, Span: 300_000, Quiet: 300_000, Crashes: true},                              // F1
	"store":   {Agents: 4, Actions: 50, Span: 300_000, Quiet: 300_000, Crashes: true, Store: true, Zombies: true},  // F3, F5, F6, F7, F9
	"mesos":   {Agents: 5, Actions: 40, Span: 300_000, Quiet: 300_000, Losses: true, Network: true, Updates: true}, // F15, F16, F17, F20, D-25
	"clocks":  {Agents: 4, Actions: 40, Span: 300_000, Quiet: 300_000, Clocks: true, Zombies: true, Losses: true},  // F4
	"rot":     {Agents: 4, Actions: 40, Span: 300_000, Quiet: 300_000, Rot: true, Failing: true},                   // F14
	"all":     {Agents: 5, Actions: 50, Span: 300_000, Quiet: 300_000, Crashes: true, Store: true, Zombies: true, Losses: true, Network: true, Updates: true, Clocks: true, Failing: true},
}

// TestWorlds: over many seeds, whatever goes wrong and whenever, what the package's doc.go lists holds after each step,
// and all comes to rest when nothing more goes wrong.
func TestWorlds(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(worlds)) {
		opt := worlds[name]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sum World
			first, last := uint64(1), uint64(*seeds)
			if *seed != 0 {
				first, last = *seed, *seed
			}
			opt.Trace = *trace
			for s := first; s <= last; s++ {
				w := Run(s, opt)
				sum.Lives, sum.Crashes, sum.Commits, sum.Steps = sum.Lives+w.Lives, sum.Crashes+w.Crashes, sum.Commits+w.Commits, sum.Steps+w.Steps
				sum.Refused, sum.Fenced = sum.Refused+w.Refused, sum.Fenced+w.Fenced
				if w.Failure != "" {
					t.Fatalf("%s\nrepeat: go test ./core/simulation -run 'TestWorlds/^%s$' -seed %d", w.Failure, name, s)
				}
			}
			t.Logf("%d seeds, %d steps, %d commits, %d terms, %d crashes, %d commits fenced, %d calls refused", last-first+1, sum.Steps, sum.Commits, sum.Lives, sum.Crashes, sum.Fenced, sum.Refused)
		})
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
