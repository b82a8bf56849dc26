package machine

import (
	"container/heap"
	"slices"

	"github.com/tidwall/btree"

	"stadion/core"
	"stadion/core/state"
	"stadion/offers"
)

// kin are the ready specs whose next instance asks the same of an offer, in the same role: a no to one of them is a no to
// all, so an offer that fits none costs one look for all of them, however many wait, and is counted once for all.
//
// Loners are specs that are looked at one by one: those whose answer depends on where instances are or what they hold
// (no class), and those that wait in several roles or versions.
type kin struct {
	key, class string
	role       string
	chooses    bool // they have a placement strategy
	members    btree.Map[core.PathID, *demand]
	no         *refusal // of the last sale that fits none of them
	noSale     uint64   // and its number
	stats      state.KinStats
	refusals   int // ever counted
	dirty      bool
	published  core.Timestamp
}

// kinKey is the key of those who ask the same; the role comes first, so that those of a role follow each other.
func kinKey(role, class string, chooses bool) string {
	if chooses {
		return role + "\x00c" + class
	}
	return role + "\x00f" + class
}

// unsettle notes that what a spec asks for next may be something else now.
func (q *launchQueue) unsettle(d *demand) {
	if d.settled {
		d.settled = false
		q.unsettled = append(q.unsettled, d)
	}
}

// sort puts specs whose next instance may ask for something else among those that ask the same.
func (m *Machine) sort() {
	for n := 0; n < len(m.queue.unsettled); n++ {
		d := m.queue.unsettled[n]
		d.settled = true
		if _, ready := m.queue.ready.Get(d.spec); ready && !d.left {
			m.enlist(d)
		}
	}
	clear(m.queue.unsettled)
	m.queue.unsettled = m.queue.unsettled[:0]
}

func (m *Machine) enlist(d *demand) {
	q := &m.queue
	class := ""
	d.first, d.firstNeed = nil, nil
	if len(d.roles) == 1 && !d.mixed {
		i, need, _ := m.candidate(d, d.roles[0], nil, nil)
		if _, ready := q.ready.Get(d.spec); !ready { // a delay holds it up
			return
		}
		if need != nil {
			class = need.Compiled.Class()
			d.first, d.firstNeed = i, need
		}
	}
	chooses := d.strategy != offers.PlaceFirst
	if class == "" {
		q.leaveKin(m, d)
		q.loners.Set(d.spec, d)
		return
	}
	if k := d.kin; k != nil && k.class == class && k.role == d.roles[0] && k.chooses == chooses {
		return
	}
	q.leaveKin(m, d)
	key := kinKey(d.roles[0], class, chooses)
	k, ok := q.kins.Get(key)
	if !ok {
		k = &kin{key: key, class: class, role: d.roles[0], chooses: chooses}
		q.kins.Set(key, k)
	}
	k.members.Set(d.spec, d)
	d.kin, d.stats.Kin, d.stats.Base, d.stats.Since = k, key, k.stats.OfferTally, k.refusals
	m.spoil(d)
}

// leaveKin takes a spec out of where it was; what it was refused there it keeps.
func (q *launchQueue) leaveKin(m *Machine, d *demand) {
	q.loners.Delete(d.spec)
	k := d.kin
	if k == nil {
		return
	}
	k.members.Delete(d.spec)
	if k.refusals > d.stats.Since {
		d.stats.OfferTally = d.stats.Plus(k.stats.OfferTally, d.stats.Base)
		for agent, o := range k.stats.LastOffers {
			if _, known := d.stats.LastOffers[agent]; o.Number > d.stats.Since && (known || len(d.stats.LastOffers) < state.MaxLastOffers) {
				d.stats.LastOffers[agent] = o
			}
		}
	}
	d.kin, d.stats.Kin, d.stats.Base, d.stats.Since = nil, "", state.OfferTally{}, 0
	m.spoil(d)
	if k.members.Len() == 0 {
		q.kins.Delete(k.key)
		m.st.SetKinStats(k.key, nil)
	}
}

// kinOf is the kin that a need of the spec belongs to; nil when what the spec asks for next has changed meanwhile.
func (d *demand) kinOf(need *offers.Need, role string) *kin {
	if k := d.kin; k != nil && k.role == role && k.class == need.Compiled.Class() {
		return k
	}
	return nil
}

// refuse counts an offer that fits none of the kin.
func (m *Machine) refuse(k *kin, s *sale, no *refusal) {
	k.refusals++
	tallyOffer(&k.stats.OfferTally, m.now, no)
	if k.stats.LastOffers == nil {
		k.stats.LastOffers = make(map[string]state.LastOffer)
	}
	remember(k.stats.LastOffers, state.LastOffer{Offer: s.offer, Reasons: no.raw, At: m.now, Number: k.refusals}, s.offer.Agent.ID)
	k.dirty, m.queue.dirty = true, true
}

// loner is the loner that follows a spec in the order of ids.
func (q *launchQueue) loner(after core.PathID) *demand {
	_, next := follower(&q.loners, after)
	return next
}

// follower is the entry that follows a spec in the order of ids; none: the zero values.
func follower(of *btree.Map[core.PathID, *demand], after core.PathID) (id core.PathID, d *demand) {
	of.Ascend(after, func(next core.PathID, x *demand) bool {
		if next == after {
			return true
		}
		id, d = next, x
		return false
	})
	return id, d
}

// taker is who comes next to take from an offer: of kin one after the other, or a loner.
type taker struct {
	lap  int // how often its turn has come round
	spec core.PathID
	kin  *kin
	d    *demand // a loner
	idle int     // members in a row that took nothing
}

// takers are those who may take from an offer, first who has waited longest for the turn (D-40).
type takers []taker

func (t takers) Len() int { return len(t) }
func (t takers) Less(i, j int) bool {
	return t[i].lap < t[j].lap || t[i].lap == t[j].lap && t[i].spec < t[j].spec
}
func (t takers) Swap(i, j int) { t[i], t[j] = t[j], t[i] }
func (t *takers) Push(x any)   { *t = append(*t, x.(taker)) }
func (t *takers) Pop() any     { return t.last() }

// drop takes the first out.
func (t *takers) drop() {
	if n := t.last(); len(*t) > 0 {
		(*t)[0] = n
		heap.Fix(t, 0)
	}
}

func (t *takers) last() taker {
	last := (*t)[len(*t)-1]
	*t = (*t)[:len(*t)-1]
	return last
}

// next moves on to the member of the kin after the present one; false when there is none.
func (t *taker) next() bool {
	id, d := follower(&t.kin.members, t.spec)
	if d == nil {
		t.lap++
		id, d, _ = t.kin.members.Min()
	}
	t.spec = id
	return d != nil
}

// queueUp lists those who may take from an offer of a role. Unless all is set, those with a placement strategy are left out.
func (q *launchQueue) queueUp(role string, all bool) takers {
	t := q.line[:0]
	q.kins.Ascend(role+"\x00", func(_ string, k *kin) bool {
		if k.role != role {
			return false
		}
		if x := (taker{spec: q.turn, kin: k}); (all || !k.chooses) && x.next() {
			t = append(t, x)
		}
		return true
	})
	q.loners.Scan(func(id core.PathID, d *demand) bool {
		if slices.Contains(d.roles, role) && (all || d.strategy == offers.PlaceFirst) {
			x := taker{spec: id, d: d}
			if id <= q.turn {
				x.lap = 1
			}
			t = append(t, x)
		}
		return true
	})
	heap.Init(&t)
	q.line = t
	return t
}

// serve lets the waiting specs take from one offer in turns, until nobody wants more of it.
func (m *Machine) serve(s *sale, all bool) {
	if s.closed || m.queue.ready.Len() == 0 {
		return
	}
	m.sort()
	for line := m.queue.queueUp(s.offer.Role, all); len(line) > 0 && m.mayTake(s); m.sort() {
		t := &line[0]
		stays := false
		if t.kin != nil {
			stays = m.serveKin(t, s)
		} else if stays = !t.d.left && m.tryLaunch(t.d, s, true); stays {
			m.queue.turn = t.spec
			t.lap++
		}
		if stays {
			heap.Fix(&line, 0)
		} else {
			line.drop()
		}
	}
}

// serveKin lets the next of the kin take from an offer; false when none of them wants more of it.
func (m *Machine) serveKin(t *taker, s *sale) bool {
	k := t.kin
	if no := s.refusedBy(k); no != nil {
		m.refuse(k, s, no)
		return false
	}
	d, ok := k.members.Get(t.spec)
	switch {
	case ok && m.tryLaunch(d, s, false):
		m.queue.turn = t.spec
		t.idle = 0
	case !ok:
	default:
		if no := s.refusedBy(k); no != nil {
			m.refuse(k, s, no)
			return false
		}
		if t.idle++; t.idle >= k.members.Len() {
			return false
		}
	}
	return t.next()
}
