package machine

import (
	"cmp"
	"container/heap"
	"slices"

	"stadion/core"
	"stadion/offers"
)

const (
	looksPerSettle = 100000 // offers that specs with a placement strategy rate or try in one batch
	patience       = 2      // offers are kept for them for 1/patience of the offer timeout
)

// auction gives specs with a placement strategy (offers.Strategy) the best of the held offers, in turns. It goes on in
// the next batch where it stops; what a spec has found wanting it does not look at again (demand.seen).
//
//	held ──► open ──► auction: best offer of each spec, one share after the other
//	                     │
//	                     ├─ over: every offer is served to all specs in its turn, then answered (serve)
//	                     └─ not over: what has launches is answered, the rest is kept
type auction struct {
	m     *Machine
	limit int           // rows in the batch at which it stops
	looks int           // that it still may take
	none  map[*kin]bool // of whom one has tried everything in vain
}

// choosers are the ready specs with a strategy, those first that have waited longest for their turn; others tells
// whether there are ready specs without one.
func (m *Machine) choosers() (line []*demand, others bool) {
	m.sort()
	q := &m.queue
	add := func(d *demand) {
		if d.strategy == offers.PlaceFirst {
			others = true
		} else {
			line = append(line, d)
		}
	}
	q.kins.Scan(func(_ string, k *kin) bool {
		if !k.chooses {
			others = true
			return true
		}
		k.members.Scan(func(_ core.PathID, d *demand) bool { add(d); return true })
		return true
	})
	q.loners.Scan(func(_ core.PathID, d *demand) bool { add(d); return true })
	slices.SortFunc(line, func(a, b *demand) int {
		if after := a.spec > q.bidder; after != (b.spec > q.bidder) {
			if after {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.spec, b.spec)
	})
	return line, others
}

// auction runs until no spec with a strategy can place any more, or the oldest offer has waited long enough for that
// (over), or the batch has had enough.
func (m *Machine) auction(line []*demand, others bool) (over bool) {
	a := auction{m: m, limit: m.cfg.MaxRows, looks: looksPerSettle, none: map[*kin]bool{}}
	if others { // they get the other half
		a.limit = max(1, a.limit/2)
	}
	for _, s := range m.queue.held {
		if !m.room() {
			return false
		}
		m.open(s)
	}
	for len(line) > 0 {
		share := max(1, (a.limit-m.st.Pending())/len(line))
		again := line[:0]
		for _, d := range line {
			placed, enough := a.serve(d, share)
			if enough {
				m.full = true
				return m.now >= m.queue.held[0].offer.ReceivedAt+core.Timestamp(m.cfg.OfferTimeoutMs/patience)
			}
			if placed == share {
				again = append(again, d)
			}
		}
		line = again
	}
	return true
}

// serve places up to n instances of a spec, each on the best offer. enough reports that the batch is full or the looks
// are used up.
func (a *auction) serve(d *demand, n int) (placed int, enough bool) {
	m := a.m
	if a.none[d.kin] {
		d.seen = m.queue.sold
		return 0, false
	}
	lots := a.rate(d)
	var missed []lot
	for placed < n && len(lots.list) > 0 {
		if m.st.Pending() >= a.limit || !m.room() || a.looks <= 0 {
			return placed, true
		}
		best := lots.list[0]
		a.looks--
		if d.left || !m.mayTake(best.sale) || !m.tryLaunch(d, best.sale, false) {
			heap.Pop(&lots)
			missed = append(missed, best)
			continue
		}
		placed++
		m.queue.bidder = d.spec
		if lots.sum {
			lots.list[0].score += lots.score(best.sale)
		} else {
			lots.list[0].score = lots.score(best.sale)
		}
		heap.Fix(&lots, 0)
		if lots.counting { // whether it fits depends on where others are
			for _, l := range missed {
				heap.Push(&lots, l)
			}
			a.looks -= len(missed)
			missed = missed[:0]
		}
	}
	if len(lots.list) == 0 {
		d.seen = m.queue.sold
		if placed == 0 && d.kin != nil && len(m.avoided) == 0 {
			a.none[d.kin] = true
		}
	}
	return placed, false
}

// lot is an offer as one spec rates it.
type lot struct {
	*sale
	score float64
}

// lots are the offers that a spec may still want, the best first, of equals the oldest.
type lots struct {
	list     []lot
	score    func(*sale) float64
	counting bool // an offer that does not fit may fit later
	sum      bool // offers.Accumulates
}

func (l *lots) Len() int { return len(l.list) }
func (l *lots) Less(i, j int) bool {
	a, b := &l.list[i], &l.list[j]
	return a.score > b.score || a.score == b.score && a.number < b.number
}
func (l *lots) Swap(i, j int) { l.list[i], l.list[j] = l.list[j], l.list[i] }
func (l *lots) Push(x any)    { l.list = append(l.list, x.(lot)) }
func (l *lots) Pop() any {
	last := l.list[len(l.list)-1]
	l.list = l.list[:len(l.list)-1]
	return last
}

// rate lists the held offers that a spec has not found wanting yet.
func (a *auction) rate(d *demand) lots {
	m := a.m
	needs := map[string]*offers.Need{}
	for _, role := range d.roles {
		if _, need, _ := m.candidate(d, role, nil, nil); need != nil {
			needs[role] = need
		}
	}
	l := lots{sum: offers.Accumulates(d.strategy), score: func(s *sale) float64 {
		return offers.Score(d.strategy, m.rnd, s.offer, s.left, needs[s.offer.Role])
	}}
	for _, need := range needs {
		l.counting = l.counting || need.Compiled.Counting()
	}
	first, _ := slices.BinarySearchFunc(m.queue.held, d.seen+1, func(s *sale, n uint64) int { return cmp.Compare(s.number, n) })
	for _, s := range m.queue.held[first:] {
		if needs[s.offer.Role] != nil && !s.closed {
			l.list = append(l.list, lot{s, l.score(s)})
		}
	}
	a.looks -= len(l.list)
	heap.Init(&l)
	return l
}
