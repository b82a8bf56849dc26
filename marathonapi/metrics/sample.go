package metrics

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// reservoir is how many values a histogram or timer keeps for its percentiles, as Marathon's do.
const reservoir = 1028

// quantiles of summaries, with their names in JSON.
var quantiles = []float64{0.5, 0.75, 0.95, 0.98, 0.99, 0.999}

var quantileNames = []string{"p50", "p75", "p95", "p98", "p99", "p999"}

// sample keeps a uniform choice of the values since it was last cleared.
type sample struct {
	mu     sync.Mutex
	seen   int64
	values []float64
}

func (s *sample) add(v float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen++
	if len(s.values) < reservoir {
		s.values = append(s.values, v)
	} else if at := rand.Int64N(s.seen); at < reservoir {
		s.values[at] = v
	}
}

func (s *sample) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen, s.values = 0, s.values[:0]
}

// spread is what the kept values look like; all zero without any.
type spread struct {
	min, max, mean, stddev float64
	q                      [6]float64 // in the order of quantiles
}

func (s *sample) spread() (out spread) {
	s.mu.Lock()
	v := slices.Clone(s.values)
	s.mu.Unlock()
	if len(v) == 0 {
		return out
	}
	slices.Sort(v)
	out.min, out.max = v[0], v[len(v)-1]
	for _, x := range v {
		out.mean += x / float64(len(v))
	}
	for _, x := range v {
		out.stddev += (x - out.mean) * (x - out.mean) / float64(len(v))
	}
	out.stddev = math.Sqrt(out.stddev)
	for i, q := range quantiles {
		out.q[i] = percentile(v, q)
	}
	return out
}

// percentile interpolates between the neighbours of place q*(n+1), as Marathon's library does.
func percentile(sorted []float64, q float64) float64 {
	place := q * float64(len(sorted)+1)
	switch n := int(place); {
	case n < 1:
		return sorted[0]
	case n >= len(sorted):
		return sorted[len(sorted)-1]
	default:
		return sorted[n-1] + (place-float64(n))*(sorted[n]-sorted[n-1])
	}
}

// rateTick is how often moving averages take in what came since.
const rateTick = 5 * time.Second

// rates count events, with moving averages over 1, 5 and 15 minutes that are brought up to date every rateTick.
type rates struct {
	count atomic.Int64

	mu      sync.Mutex
	seen    int64      // the count at the last tick
	ticked  bool       // the averages have a first value
	average [3]float64 // events per second over 1, 5 and 15 minutes
}

func (r *rates) tick() {
	r.mu.Lock()
	defer r.mu.Unlock()
	count := r.count.Load()
	now := float64(count-r.seen) / rateTick.Seconds()
	r.seen = count
	for i, minutes := range [3]float64{1, 5, 15} {
		if r.ticked {
			r.average[i] += (1 - math.Exp(-rateTick.Minutes()/minutes)) * (now - r.average[i])
		} else {
			r.average[i] = now
		}
	}
	r.ticked = true
}

// all are the rates of one, five and fifteen minutes, and the mean of an age.
func (r *rates) all(age time.Duration) (m1, m5, m15, mean float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if age > 0 {
		mean = float64(r.count.Load()) / age.Seconds()
	}
	return r.average[0], r.average[1], r.average[2], mean
}
