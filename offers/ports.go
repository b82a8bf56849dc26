package offers

import (
	"math/rand/v2"
	"slices"
)

// A port request is one number per requested port (behaviour.md 5.4).
const (
	anyPort    = 0  // a random host port
	noHostPort = -1 // no host port, the slot stays empty
)

// portPool is the offered ports a spec may use.
type portPool struct {
	ranges []poolRange
	total  uint64
}

// poolRange is one offered range and the index of its resource.
type poolRange struct {
	begin, end uint64
	res        int
}

// picked is a port and the index of the resource it came from.
type picked struct {
	port uint64
	res  int
}

func newPool(left []Resource, usable *filter) portPool {
	var p portPool
	for i := range left {
		r := &left[i]
		if r.Name != "ports" || r.Type != Ranges || !usable.accepts(r) {
			continue
		}
		for _, g := range r.Ranges {
			if g.End >= g.Begin {
				p.ranges = append(p.ranges, poolRange{g.Begin, g.End, i})
				p.total += g.End - g.Begin + 1
			}
		}
	}
	return p
}

// find returns the resource that offers port.
func (p *portPool) find(port uint64) (int, bool) {
	for _, r := range p.ranges {
		if port >= r.begin && port <= r.end {
			return r.res, true
		}
	}
	return 0, false
}

// pickPorts chooses a host port per request, all or nothing. The result has an entry per request; empty slots have
// port 0. Random ports are walked consecutively from a random start over the shuffled ranges, so that the ports of
// one task lie together and freed ones are seldom reused at once (behaviour.md 5.4).
func pickPorts(left []Resource, usable *filter, want []int32, rnd *rand.Rand) ([]picked, bool) {
	pool := newPool(left, usable)
	out := make([]picked, len(want))
	random := 0
	var fixed []uint64
	for i, w := range want {
		switch {
		case w == anyPort:
			random++
		case w > 0:
			res, ok := pool.find(uint64(w))
			if !ok {
				return nil, false
			}
			out[i] = picked{uint64(w), res}
			fixed = append(fixed, uint64(w))
		}
	}
	if random == 0 {
		return out, true
	}
	if uint64(random) > pool.total {
		return nil, false
	}
	return out, pool.fillRandom(out, want, fixed, rnd)
}

func (p *portPool) fillRandom(out []picked, want []int32, fixed []uint64, rnd *rand.Rand) bool {
	rg, at := 0, uint64(0)
	if rnd != nil {
		rnd.Shuffle(len(p.ranges), func(i, j int) { p.ranges[i], p.ranges[j] = p.ranges[j], p.ranges[i] })
		at = rnd.Uint64N(p.total)
	}
	for size := p.ranges[rg].end - p.ranges[rg].begin + 1; at >= size; size = p.ranges[rg].end - p.ranges[rg].begin + 1 {
		at -= size
		rg++
	}
	walked := uint64(0)
	for i, w := range want {
		if w != anyPort {
			continue
		}
		for {
			if walked == p.total {
				return false
			}
			walked++
			r := p.ranges[rg]
			port := r.begin + at
			if at++; port == r.end {
				rg, at = (rg+1)%len(p.ranges), 0
			}
			if !slices.Contains(fixed, port) {
				out[i] = picked{port, r.res}
				break
			}
		}
	}
	return true
}

// portResources makes one RANGES resource per run of ports with equal role and reservation, in order, adjacent
// increasing ports merged (behaviour.md 5.4).
func portResources(left []Resource, ports []picked) []Resource {
	var out []Resource
	last := -1
	for i, p := range ports {
		if p.port == 0 || slices.ContainsFunc(ports[:i], func(q picked) bool { return q.port == p.port }) {
			continue
		}
		if last < 0 || !sameKind(&left[last], &left[p.res]) {
			r := left[p.res]
			r.Ranges = nil
			out = append(out, r)
			last = p.res
		}
		r := &out[len(out)-1]
		if n := len(r.Ranges); n > 0 && r.Ranges[n-1].End+1 == p.port {
			r.Ranges[n-1].End = p.port
		} else {
			r.Ranges = append(r.Ranges, Range{p.port, p.port})
		}
	}
	return out
}

// hostPorts are the chosen numbers, 0 for an empty slot.
func hostPorts(ports []picked) []int {
	out := make([]int, len(ports))
	for i, p := range ports {
		out[i] = int(p.port)
	}
	return out
}
