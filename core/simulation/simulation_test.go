package simulation

import (
	"flag"
	"testing"
)

var (
	seeds = flag.Int("seeds", 150, "number of seeds per world")
	seed  = flag.Uint64("seed", 0, "run only this seed")
)

// worlds are the kinds of worlds that are tried; each names what it adds.
var worlds = map[string]Options{
	"calm":    {Agents: 3, Actions: 20, Span: 120_000},
	"crashes": {Agents: 3, Actions: 40, Span: 240_000, Crashes: true}, // F1
	"losses":  {Agents: 4, Actions: 30, Span: 240_000, Losses: true},  // F16, F17
	"all":     {Agents: 4, Actions: 40, Span: 300_000, Crashes: true, Losses: true},
}

// TestWorlds: over many seeds, whatever dies and whenever, acknowledged changes are kept (R1, I1), no task lives twice
// (I3) or without intent (I2), ids are never used again (I4), offers are never over-used (I7), every deployment ends
// (R9, I11), and what is stored is what is in memory (I13).
func TestWorlds(t *testing.T) {
	for name, opt := range worlds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			crashes, commits := 0, 0
			first, last := uint64(1), uint64(*seeds)
			if *seed != 0 {
				first, last = *seed, *seed
			}
			for s := first; s <= last; s++ {
				w := Run(s, opt)
				crashes += w.Crashes
				commits += w.Commits
				if w.Failure != "" {
					t.Fatalf("%s\nrepeat: go test ./core/simulation -run 'TestWorlds/%s' -seed %d", w.Failure, name, s)
				}
			}
			t.Logf("%d seeds, %d crashes, %d commits", last-first+1, crashes, commits)
		})
	}
}

// TestSameSeedSameTrace is I14.
func TestSameSeedSameTrace(t *testing.T) {
	for s := uint64(1); s <= 5; s++ {
		a, b := Run(s, worlds["all"]), Run(s, worlds["all"])
		if a.trace.String() != b.trace.String() || a.Commits != b.Commits {
			t.Fatalf("seed %d: two runs differ", s)
		}
	}
}
