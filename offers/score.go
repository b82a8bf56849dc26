package offers

import "stadion/core"

// samePenalty outweighs any free capacity: an agent that already runs the spec comes after all that do not.
const samePenalty = 1e9

// maxCopies bounds the capacity part of a score below samePenalty.
const maxCopies = 1e6

// Score rates an offer for a need under a placement strategy; of the offers that fit the highest score is to be used,
// equals in the caller's order. "spread" prefers agents without instances of the spec and then the emptiest,
// "binpack" the fullest that still fits, anything else rates all alike. Capacity is counted in further copies
// of the spec that what is left could hold.
func Score(strategy string, offer *Offer, left []Resource, need *Need) float64 {
	switch strategy {
	case "spread":
		return copies(left, need) - samePenalty*float64(placedOn(offer.Agent, need))
	case "binpack":
		return -copies(left, need)
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
