package machine

import (
	"slices"

	"github.com/tidwall/btree"

	"stadion/core"
	"stadion/core/state"
	"stadion/offers"
)

const maxDelayedLook = 256 // waiting instances of one spec looked at for one whose delay is over

// launchQueue is the demand side: which specs wait, and the offers that are still to be looked at. It is derived from
// the instances and can be thrown away at any time.
type launchQueue struct {
	waiting   btree.Map[core.PathID, *demand] // every spec with an instance that waits
	ready     btree.Map[core.PathID, *demand] // those of them that are not held up by a delay as a whole
	turn      core.PathID                     // spec that was served last (D-40)
	kins      btree.Map[string, *kin]         // the ready specs by what they ask for
	loners    btree.Map[core.PathID, *demand] // and those that are looked at one by one
	unsettled []*demand                       // specs that may belong elsewhere now
	line      takers                          // reused by serve
	held      []*sale                         // offers to be looked at, first in, first out (D-13)
	sold      uint64                          // number of the last sale
	bidder    core.PathID                     // spec with a placement strategy that was served last
	tokens    int
	dirty     bool           // some statistics are to be published
	publishAt core.Timestamp // when that may happen again
}

// demand is one waiting spec.
type demand struct {
	spec         core.PathID
	roles        []string       // of its waiting instances, in order of their appearance
	left         bool           // it waits no more
	mixed        bool           // it waits in several versions
	version      core.Timestamp // of a waiting instance
	settled      bool           // kin tells what it asks for next
	kin          *kin           // nil: none, or it is a loner
	first        *core.Instance // while settled and with kin: the one that is launched next
	firstNeed    *offers.Need
	strategy     string // offers.Strategy of its present definition
	seen         uint64 // with a strategy: no sale up to this one fits
	blockedUntil core.Timestamp
	needs        map[core.Timestamp]*offers.Need   // by spec version; Instance is set per attempt
	counts       map[core.Timestamp]*offers.Counts // placed instances per version, for specs with constraints
	stats        state.QueueStats                  // Funnel and LastOffers of this attempt
	dirty        bool
	published    core.Timestamp
	warned       core.Timestamp // when a defect of matching was last logged
	told         core.Timestamp // when the operator was last told that it waits, or when it began to
}

func newDemand(spec core.PathID, strategy string, now core.Timestamp) *demand {
	return &demand{spec: spec, strategy: strategy, settled: true, needs: make(map[core.Timestamp]*offers.Need), counts: make(map[core.Timestamp]*offers.Counts), dirty: true, told: now,
		stats: state.QueueStats{LastOffers: make(map[string]state.LastOffer)}}
}

// follow keeps the set of waiting specs in line with an instance that changed; old is what it was, nil if that is not known.
func (q *launchQueue) follow(m *Machine, old, i *core.Instance) {
	wants := i.Scheduled() || m.st.Waits(i.Spec)
	d, in := q.waiting.Get(i.Spec)
	switch {
	case wants && !in:
		d = newDemand(i.Spec, m.strategy(i.Spec), m.now)
		q.waiting.Set(i.Spec, d)
		m.dropStats(i.Spec) // D-12: a new attempt
		m.timers.drop(timerStats, string(i.Spec))
	case !wants && in:
		q.depart(m, d)
		return
	case !in:
		return
	}
	if old == nil || old.Scheduled() || i.Scheduled() { // others are not in line
		q.unsettle(d)
	}
	if i.Scheduled() {
		if d.version == 0 {
			d.version = i.Version
		}
		d.mixed = d.mixed || d.version != i.Version
		if !slices.Contains(d.roles, i.Role) {
			d.roles = append(d.roles, i.Role)
		}
		m.market.demand(m, i.Spec)
	}
	d.recount(i)
}

// depart ends a launch attempt. What is known of it stays to be seen for a while (D-12).
func (q *launchQueue) depart(m *Machine, d *demand) {
	q.waiting.Delete(d.spec)
	q.hold(m, d)
	d.left = true
	if d.dirty {
		m.st.SetStats(d.spec, d.publish(m.now))
	}
	m.timers.set(timerStats, string(d.spec), m.now+statsKeptMs)
}

// counts tells whether an instance counts for constraints (behaviour.md 5.2.2; D-34: reserved ones do).
func counts(i *core.Instance) bool {
	return i.Agent != nil && !i.Condition.Lost() && (!i.Scheduled() || i.Reservation != nil)
}

// recount brings the tallies for constraints in line with an instance that changed.
func (d *demand) recount(i *core.Instance) {
	for _, c := range d.counts {
		c.Remove(i.ID)
		if counts(i) {
			c.Add(offers.Placed{Instance: i.ID, Version: i.Version, Agent: i.Agent})
		} else {
			d.seen = 0 // a place that was taken may be free now
		}
	}
}

// leave takes a forgotten instance out of the tallies.
func (q *launchQueue) leave(i *core.Instance) {
	if d, ok := q.waiting.Get(i.Spec); ok {
		d.seen = 0
		for _, c := range d.counts {
			c.Remove(i.ID)
		}
	}
}

// stale makes the needs of a spec be built anew.
func (q *launchQueue) stale(id core.PathID) {
	if d, ok := q.waiting.Get(id); ok {
		clear(d.needs)
		clear(d.counts)
		q.unsettle(d)
	}
}

// drop forgets a rescinded offer.
func (q *launchQueue) drop(id string) {
	q.held = slices.DeleteFunc(q.held, func(s *sale) bool { return s.offer.ID == id })
}

// hold takes a spec out of those that are ready.
func (q *launchQueue) hold(m *Machine, d *demand) {
	q.ready.Delete(d.spec)
	q.leaveKin(m, d)
}

// candidate is the instance of a spec to try on an offer, with its need: one whose reservation is offered, else the
// first without reservation, of the offer's role and without delay (behaviour.md 5.6). Without an offer any one that
// could be launched will do. Versions to skip are left out. parked tells that some wait for the agents that hold their
// reservations.
func (m *Machine) candidate(d *demand, role string, s *sale, skip []core.Timestamp) (inst *core.Instance, need *offers.Need, parked bool) {
	looked, blocked := 0, core.Timestamp(0)
	for i := range m.st.WaitingOf(d.spec) {
		if looked++; looked > maxDelayedLook {
			return inst, need, parked
		}
		if i.Role != role || slices.Contains(skip, i.Version) {
			blocked = -1
			continue
		}
		n, ok := m.need(d, i)
		if !ok {
			continue
		}
		if until, wait := m.delayed(core.RefOf(n.Spec)); wait {
			if blocked == 0 || until < blocked {
				blocked = until
			}
			continue
		}
		if s == nil || i.Reservation == nil && !n.Spec.Resident() {
			return i, n, false
		}
		blocked = -1
		switch {
		case i.Reservation == nil:
			if inst == nil {
				inst, need = i, n
			}
		case slices.Contains(s.reserved, i.Reservation.ID):
			return i, n, false
		default:
			parked = true
		}
	}
	if blocked > 0 { // every one of them waits for a delay; a timer tells when it is over
		d.blockedUntil = blocked
		m.queue.hold(m, d)
	}
	return inst, need, parked
}

// need is what an instance of the spec asks of an offer; it is kept per version.
func (m *Machine) need(d *demand, i *core.Instance) (*offers.Need, bool) {
	n, ok := d.needs[i.Version]
	if !ok {
		spec, known := m.specFor(i)
		if !known {
			return nil, false
		}
		n = &offers.Need{Spec: spec, EnforceRole: m.enforces(i.Spec)}
		n.Compiled = offers.Compile(spec)
		d.needs[i.Version] = n
		d.strategy, d.seen = m.strategy(d.spec), 0
		if len(spec.PlacementConstraints()) > 0 || d.strategy == offers.PlaceSpread {
			m.tally(d, i.Version, n)
		}
	}
	// Quotas of GROUP_BY are shares of the count that is wanted now. Placed instances keep the version they had before
	// the spec was scaled: with the count of that version (behaviour.md 5.5.2a) no scaling up could ever end.
	if n.Counts != nil {
		if s, ok := m.st.Spec(d.spec); ok {
			n.InstancesOfFirst = s.InstanceCount()
		}
	}
	return n, true
}

// tally counts the placed instances for the constraints of a need; from then on follow keeps the count.
func (m *Machine) tally(d *demand, version core.Timestamp, n *offers.Need) {
	n.Counts = offers.NewCounts(n.Compiled, nil)
	d.counts[version] = n.Counts
	for i := range m.st.InstancesOf(d.spec) {
		if !counts(i) {
			continue
		}
		n.Counts.Add(offers.Placed{Instance: i.ID, Version: i.Version, Agent: i.Agent})
	}
}

// strategy is how the instances of a spec are placed.
func (m *Machine) strategy(id core.PathID) string {
	if s, ok := m.st.Spec(id); ok {
		return offers.Strategy(&m.cfg.Offers, s)
	}
	return offers.PlaceFirst
}

// enforces tells whether the top-level group of a spec enforces its role.
func (m *Machine) enforces(id core.PathID) bool {
	g, ok := m.st.Group(id.Top())
	return ok && g.EnforceRole != nil && *g.EnforceRole
}

// refillTokens begins a new period of launches.
func (m *Machine) refillTokens() {
	if m.queue.tokens == 0 {
		m.queue.waiting.Scan(func(id core.PathID, _ *demand) bool { m.market.demand(m, id); return true })
	}
	m.queue.tokens = m.cfg.LaunchTokens
}

// returnToken lets one more launch go out, as one has arrived (behaviour.md 7.6).
func (m *Machine) returnToken() {
	if m.cfg.LaunchTokens > 0 && m.queue.tokens < m.cfg.LaunchTokens {
		if m.queue.tokens == 0 {
			m.refillTokens()
			m.queue.tokens = 0
		}
		m.queue.tokens++
	}
}
