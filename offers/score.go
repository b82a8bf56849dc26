package offers

import (
	"math/rand/v2"

	"stadion/core"
)

// The placement strategies (extension): which of the offers that fit an instance takes. Hard constraints come first.
const (
	PlaceFirst   = "first"   // the oldest offer, as Marathon does
	PlaceSpread  = "spread"  // the agent with the fewest instances of the spec, of equals the emptiest
	PlaceBinpack = "binpack" // the fullest agent
	PlaceRandom  = "random"  // any
)

// LabelPlacement is the label of a spec that names its placement strategy; any other value is the server's default.
const LabelPlacement = "STADION_PLACEMENT"

// Strategies are the values of LabelPlacement and of the flag placement_strategy, the default first.
var Strategies = []string{PlaceFirst, PlaceSpread, PlaceBinpack, PlaceRandom}

// strategies rates an offer for a need; higher is better, PlaceFirst rates all alike.
var strategies = map[string]func(rnd *rand.Rand, offer *Offer, left []Resource, need *Need) float64{
	PlaceSpread: func(_ *rand.Rand, o *Offer, left []Resource, need *Need) float64 {
		return copies(left, need) - samePenalty*float64(placedOn(o.Agent, need))
	},
	PlaceBinpack: func(_ *rand.Rand, _ *Offer, left []Resource, need *Need) float64 { return -copies(left, need) },
	PlaceRandom:  func(rnd *rand.Rand, _ *Offer, _ []Resource, _ *Need) float64 { return -rnd.ExpFloat64() },
}

// Strategy is how the instances of a spec are placed: by its label, else by the flag.
func Strategy(cfg *Config, spec core.RunSpec) string {
	if s, ok := spec.SpecLabels()[LabelPlacement]; ok && (s == PlaceFirst || strategies[s] != nil) {
		return s
	}
	if strategies[cfg.Placement] != nil {
		return cfg.Placement
	}
	return PlaceFirst
}

// Accumulates tells whether a new score of a strategy is to be added to the last one of the same offer.
func Accumulates(strategy string) bool { return strategy == PlaceRandom }

// samePenalty outweighs any free capacity: an agent that already runs the spec comes after all that do not.
const samePenalty = 1e9

// maxCopies bounds the capacity part of a score below samePenalty.
const maxCopies = 1e6

// Score rates an offer for a need under a placement strategy; of the offers that fit the highest score is to be used,
// equals in the caller's order. Capacity is counted in further copies of the spec that what is left could hold.
// PlaceSpread counts the instances of need.Counts or, without, of need.Placed. PlaceRandom draws a waiting time: whoever
// adds a new one to the old after each use (Accumulates) uses all offers equally often.
func Score(strategy string, rnd *rand.Rand, offer *Offer, left []Resource, need *Need) float64 {
	if rate := strategies[strategy]; rate != nil {
		return rate(rnd, offer, left, need)
	}
	return 0
}

// copies is how many times the need would fit by its scarcest scalar.
func copies(left []Resource, need *Need) float64 {
	if need.Compiled == nil || need.Compiled.spec != need.Spec {
		need.Compiled = Compile(need.Spec)
	}
	c := need.Compiled
	var free scalars
	for i := range left {
		r := &left[i]
		if r.Type != Scalar || r.exclusiveDisk() {
			continue
		}
		switch r.Name {
		case "cpus":
			free.cpus = addSat(free.cpus, milli(r.Value))
		case "mem":
			free.mem = addSat(free.mem, milli(r.Value))
		case "gpus":
			free.gpus = addSat(free.gpus, milli(r.Value))
		case "disk":
			free.disk = addSat(free.disk, milli(r.Value))
		}
	}
	n := float64(maxCopies)
	for _, k := range [...][2]int64{{free.cpus, c.total.cpus}, {free.mem, c.total.mem}, {free.disk, c.total.disk}, {free.gpus, c.total.gpus}} {
		if k[1] > 0 {
			n = min(n, float64(k[0])/float64(k[1]))
		}
	}
	return n
}

func placedOn(agent *core.AgentInfo, need *Need) int {
	n := 0
	if need.Counts != nil {
		return need.Counts.agents[agent.ID]
	}
	for i := range need.Placed {
		if a := need.Placed[i].Agent; a != nil && a.ID == agent.ID {
			n++
		}
	}
	return n
}
