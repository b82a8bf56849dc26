package deployments

import (
	"cmp"
	"slices"

	"stadion/core"
)

// rank is the class of a victim: lower ones die first (D-08, D-09).
type rank int8

const (
	rankSentenced   rank = iota // named by the request
	rankWaiting                 // on no agent: no kill needed
	rankProvisioned             // accepted, not known to run
	rankKilling                 // dying anyway
	rankUnreachable             // may be gone
	rankStaging
	rankStarting
	rankUnhealthy
	rankUnready    // healthy, but no use to an upgrade yet
	rankConstraint // its end keeps GROUP_BY even
	rankHealthy
)

// candidate is an instance with what the kill order needs of it, computed once.
type candidate struct {
	inst *core.Instance
	rank rank
	at   core.Timestamp // younger is greater
}

// candidateOf classes an instance; well says whether it is of full use where it runs.
func candidateOf(i *core.Instance, well bool) candidate {
	c := candidate{inst: i, at: i.ActiveSince}
	switch i.Condition {
	case core.Provisioned:
		c.rank, c.at = rankProvisioned, stagedAt(i)
	case core.Killing:
		c.rank = rankKilling
	case core.Unreachable, core.UnreachableInactive:
		c.rank = rankUnreachable
	case core.Staging:
		c.rank, c.at = rankStaging, stagedAt(i)
	case core.Starting:
		c.rank, c.at = rankStarting, i.Since
	case core.Running:
		c.rank = rankHealthy
		if !well {
			c.rank = rankUnhealthy
		}
	default: // scheduled, or ended and waiting for its relaunch
		c.rank, c.at = rankWaiting, i.QueuedAt
	}
	return c
}

// stagedAt is when the latest task of an instance was launched (behaviour.md 3.6).
func stagedAt(i *core.Instance) (at core.Timestamp) {
	for t := range i.Tasks {
		at = max(at, i.Tasks[t].StagedAt)
	}
	return at
}

// compareVictims is the one kill order (behaviour.md 3.6 as D-08 and D-09 put it): requested, not launched, unhealthy
// or unreachable, constraint-driven, then killSelection, then id. Among the unhealthy those that never ran stand
// first, in Marathon's order of conditions. An unset moment sorts first under either selection.
func compareVictims(a, b candidate, sel core.KillSelection) int {
	if a.rank != b.rank {
		return cmp.Compare(a.rank, b.rank)
	}
	if a.at != b.at {
		switch {
		case a.at == 0:
			return -1
		case b.at == 0:
			return 1
		case sel == core.OldestFirst:
			return cmp.Compare(a.at, b.at)
		}
		return cmp.Compare(b.at, a.at)
	}
	return cmp.Compare(a.inst.ID, b.inst.ID)
}

// KillOrder sorts instances in the order in which they would be stopped, the first victim first. healthy tells which
// of the running ones are healthy; nil counts all of them so. The argument is not changed.
func KillOrder(live []*core.Instance, sel core.KillSelection, healthy func(*core.Instance) bool) []*core.Instance {
	cs := make([]candidate, len(live))
	for n, i := range live {
		cs[n] = candidateOf(i, i.Condition == core.Running && (healthy == nil || healthy(i)))
	}
	slices.SortFunc(cs, func(a, b candidate) int { return compareVictims(a, b, sel) })
	out := make([]*core.Instance, len(cs))
	for n, c := range cs {
		out[n] = c.inst
	}
	return out
}

// picker keeps the first n victims of all that are offered, without sorting the rest: once more than n were offered, a
// heap with the last of them on top. So picking few of many costs one comparison each.
type picker struct {
	n    int
	sel  core.KillSelection
	kept []candidate
	heap bool
}

func newPicker(n int, sel core.KillSelection) *picker { return &picker{n: n, sel: sel} }

func (p *picker) offer(c candidate) {
	switch {
	case len(p.kept) < p.n:
		p.kept = append(p.kept, c)
		return
	case p.n == 0:
		return
	case !p.heap:
		for i := p.n/2 - 1; i >= 0; i-- {
			p.down(i)
		}
		p.heap = true
	}
	if compareVictims(c, p.kept[0], p.sel) < 0 {
		p.kept[0] = c
		p.down(0)
	}
}

// down moves the entry at i to where it belongs below it.
func (p *picker) down(i int) {
	for {
		last := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(p.kept); c++ {
			if compareVictims(p.kept[c], p.kept[last], p.sel) > 0 {
				last = c
			}
		}
		if last == i {
			return
		}
		p.kept[i], p.kept[last] = p.kept[last], p.kept[i]
		i = last
	}
}

// sorted empties the picker in the kill order.
func (p *picker) sorted() []candidate {
	out := p.kept
	p.kept, p.heap = nil, false
	slices.SortFunc(out, func(a, b candidate) int { return compareVictims(a, b, p.sel) })
	return out
}

func ids(cs []candidate, out []core.InstanceID) []core.InstanceID {
	out = slices.Grow(out, len(cs))
	for _, c := range cs {
		out = append(out, c.inst.ID)
	}
	return out
}
