package offers

import (
	"cmp"
	"slices"

	"stadion/core"
)

// spread is how live instances are distributed over the values of one GROUP_BY field.
type spread struct {
	of       []int // group of each live instance
	sizes    []int // instances left in each group
	original int   // difference before anybody was chosen
}

func newSpread(field string, live []*core.Instance) *spread {
	s := &spread{of: make([]int, len(live))}
	at := map[string]int{}
	for n, i := range live {
		v, ok := fieldValue(i.Agent, field)
		if ok {
			v = "=" + v // keeps a missing field apart from an empty value
		}
		g, known := at[v]
		if !known {
			g = len(s.sizes)
			at[v] = g
			s.sizes = append(s.sizes, 0)
		}
		s.of[n] = g
		s.sizes[g]++
	}
	s.original = s.difference()
	return s
}

// difference is max − min over the groups.
func (s *spread) difference() int {
	if len(s.sizes) == 0 {
		return 0
	}
	return slices.Max(s.sizes) - slices.Min(s.sizes)
}

// moreEvenWithout reports whether the distribution stays even, or becomes more even than it was at first, without
// instance i. A member of a largest group may always go: with two groups of that size the difference does not
// shrink by one removal, but it does by the next.
func (s *spread) moreEvenWithout(i int) bool {
	g := s.of[i]
	if s.sizes[g] == slices.Max(s.sizes) {
		return true
	}
	s.sizes[g]--
	after := s.difference()
	s.sizes[g]++
	return after <= 1 || after < s.original
}

// ConstraintKills chooses which of the live instances to kill so that GROUP_BY constraints stay as even as
// possible (behaviour.md 5.5.4). Of equals the first in live goes, so the caller orders live by its own wishes. The
// result may hold fewer than n: then the constraints do not care which go. Without GROUP_BY it is empty.
func ConstraintKills(spec core.RunSpec, live []*core.Instance, n int) []core.InstanceID {
	var spreads []*spread
	for _, c := range spec.PlacementConstraints() {
		if c.Operator == "GROUP_BY" {
			spreads = append(spreads, newSpread(c.Field, live))
		}
	}
	if len(spreads) == 0 || n <= 0 {
		return nil
	}
	var out []core.InstanceID
	if n >= len(live) {
		for _, i := range live {
			out = append(out, i.ID)
		}
		return out
	}
	rest := make([]int, len(live))
	for i := range rest {
		rest[i] = i
	}
	for len(out) < n {
		at := nextKill(spreads, rest)
		if at < 0 {
			break
		}
		for _, s := range spreads {
			s.sizes[s.of[rest[at]]]--
		}
		out = append(out, live[rest[at]].ID)
		rest = slices.Delete(rest, at, at+1)
	}
	return out
}

// nextKill is the index in rest of the instance to kill next, -1 if every removal would make some distribution less even.
// Members of the largest groups of the most uneven distribution are tried first, then all others.
func nextKill(spreads []*spread, rest []int) int {
	fits := func(i int) bool {
		return !slices.ContainsFunc(spreads, func(s *spread) bool { return !s.moreEvenWithout(i) })
	}
	order := slices.Clone(spreads)
	slices.SortStableFunc(order, func(a, b *spread) int { return cmp.Compare(b.difference(), a.difference()) })
	for _, s := range order {
		if s.difference() == 0 {
			continue
		}
		most := slices.Max(s.sizes)
		at := slices.IndexFunc(rest, func(i int) bool { return s.sizes[s.of[i]] == most && fits(i) })
		if at >= 0 {
			return at
		}
	}
	return slices.IndexFunc(rest, fits)
}
