package machine

import (
	"slices"

	"github.com/tidwall/btree"

	"stadion/core"
	"stadion/core/state"
	"stadion/offers"
)

const (
	maxHeldOffers   = 20000 // offers waiting to be looked at; more are declined at once
	statsEveryMs    = 1000  // statistics of one spec are published at most this often
	maxDelayedLook  = 256   // waiting instances of one spec looked at for one whose delay is over
	offersPerSettle = 4000  // offers looked at in one batch when nothing matches
)

// launchQueue is the demand side: which specs wait, and the offers that are still to be looked at. It is derived from
// the instances and can be thrown away at any time.
type launchQueue struct {
	waiting btree.Map[core.PathID, *demand]
	ring    []core.PathID // specs that wait, in turn (D-40)
	turn    int
	held    []offers.Offer // first in, first out (D-13)
	tokens  int
}

// demand is one waiting spec.
type demand struct {
	spec      core.PathID
	role      string
	needs     map[core.Timestamp]*offers.Need // by spec version; Instance is set per attempt
	placed    bool                            // needs carry the placed instances
	stats     state.QueueStats                // Funnel and LastOffers of this attempt
	dirty     bool
	published core.Timestamp
}

func (q *launchQueue) init() {}

// follow keeps the set of waiting specs in line with an instance that changed.
func (q *launchQueue) follow(m *Machine, i *core.Instance) {
	d, in := q.waiting.Get(i.Spec)
	wants := m.st.Counts(i.Spec).Waiting > 0
	switch {
	case wants && !in:
		q.waiting.Set(i.Spec, &demand{spec: i.Spec, role: i.Role, needs: make(map[core.Timestamp]*offers.Need), dirty: true,
			stats: state.QueueStats{LastOffers: make(map[string]state.LastOffer)}})
		q.ring = append(q.ring, i.Spec)
		m.market.demand(m, i.Spec)
	case !wants && in:
		q.waiting.Delete(i.Spec)
		if k := slices.Index(q.ring, i.Spec); k >= 0 {
			q.ring = slices.Delete(q.ring, k, k+1)
			if k < q.turn {
				q.turn--
			}
		}
		m.st.SetStats(i.Spec, nil) // D-12
	case in:
		if i.Scheduled() {
			m.market.demand(m, i.Spec)
			d.role = i.Role
		}
		if len(d.needs) > 0 && hasConstraints(d) {
			d.placed = false
		}
	}
}

func hasConstraints(d *demand) bool {
	for _, n := range d.needs {
		if len(n.Spec.PlacementConstraints()) > 0 {
			return true
		}
	}
	return false
}

// stale makes the needs of a spec be built anew.
func (q *launchQueue) stale(id core.PathID) {
	if d, ok := q.waiting.Get(id); ok {
		d.needs = make(map[core.Timestamp]*offers.Need)
	}
}

// drop forgets a rescinded offer.
func (q *launchQueue) drop(id string) {
	q.held = slices.DeleteFunc(q.held, func(o offers.Offer) bool { return o.ID == id })
}

// receive takes offers in; Settle looks at them.
func (m *Machine) receive(list []offers.Offer) {
	for _, o := range list {
		o.ReceivedAt = m.now
		if len(m.queue.held) >= maxHeldOffers {
			m.call(offers.Decline{OfferIDs: []string{o.ID}})
			continue
		}
		m.queue.held = append(m.queue.held, o)
	}
}

// settleOffers matches the held offers against the waiting specs, oldest offer first, until the batch is full.
func (m *Machine) settleOffers() {
	var refused []string
	looked := 0
	for len(m.queue.held) > 0 && m.room() {
		if looked++; looked > offersPerSettle {
			m.full = true
			break
		}
		o := &m.queue.held[0]
		if ops := m.match(o); len(ops) > 0 {
			m.call(offers.Accept{OfferIDs: []string{o.ID}, AgentID: o.Agent.ID, Operations: ops})
		} else {
			refused = append(refused, o.ID)
		}
		m.queue.held[0] = offers.Offer{}
		m.queue.held = m.queue.held[1:]
	}
	if len(m.queue.held) == 0 {
		m.queue.held = nil
	}
	if len(refused) > 0 {
		secs := float64(m.cfg.DeclineMs) / 1000
		m.call(offers.Decline{OfferIDs: refused, RefuseSeconds: &secs})
	}
	m.publishStats()
}

// match asks each waiting spec in turn for launches on one offer, until nobody wants more of it.
func (m *Machine) match(o *offers.Offer) []offers.Operation {
	q := &m.queue
	left := o.Resources
	var ops []offers.Operation
	for tried := 0; tried < len(q.ring) && len(ops) < m.cfg.Offers.MaxInstancesPerOffer && m.room(); {
		if m.cfg.LaunchTokens > 0 && q.tokens == 0 {
			break
		}
		if q.turn >= len(q.ring) {
			q.turn = 0
		}
		id := q.ring[q.turn]
		d, _ := q.waiting.Get(id)
		before := len(q.ring)
		taken, ok := m.tryLaunch(d, o, left)
		if !ok {
			tried++
			q.turn++
			continue
		}
		ops = append(ops, taken.Operations...)
		left = offers.Subtract(left, taken.Consumed)
		tried = 0
		q.tokens--
		if len(q.ring) == before { // still waiting: the next spec's turn
			q.turn++
		}
	}
	return ops
}

// tryLaunch matches one waiting instance of a spec against what is left of an offer.
func (m *Machine) tryLaunch(d *demand, o *offers.Offer, left []offers.Resource) (offers.Match, bool) {
	i, need := m.candidate(d, o.Role)
	if i == nil {
		return offers.Match{}, false
	}
	need.Instance = i
	res := offers.TryMatch(&m.cfg.Offers, m.now, m.rnd, o, left, need)
	d.stats.Processed++
	d.dirty = true
	if len(res.Operations) == 0 {
		d.stats.Unused++
		d.stats.LastUnused = m.now
		if len(res.Reasons) > 0 {
			d.stats.Funnel[res.Reasons[0]]++
		}
		if _, known := d.stats.LastOffers[o.Agent.ID]; known || len(d.stats.LastOffers) < state.MaxLastOffers {
			d.stats.LastOffers[o.Agent.ID] = state.LastOffer{Offer: *o, Reasons: bytesOf(res.Reasons), At: m.now}
		}
		return res, false
	}
	d.stats.LastUsed = m.now
	m.place(i, o, res, need)
	return res, true
}

func bytesOf(r []offers.Reason) []uint8 {
	out := make([]uint8, len(r))
	for k, v := range r {
		out[k] = uint8(v)
	}
	return out
}

// candidate is the first waiting instance of the offer's role whose delay is over, with its need.
func (m *Machine) candidate(d *demand, role string) (*core.Instance, *offers.Need) {
	looked := 0
	for i := range m.st.WaitingOf(d.spec) {
		if looked++; looked > maxDelayedLook {
			break
		}
		if i.Role != role {
			continue
		}
		n, ok := m.need(d, i)
		if !ok {
			continue
		}
		if _, wait := m.delayed(core.RefOf(n.Spec)); wait {
			continue
		}
		return i, n
	}
	return nil, nil
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
		d.needs[i.Version] = n
		d.placed = false
	}
	if len(n.Spec.PlacementConstraints()) > 0 && !d.placed {
		m.fillPlaced(d)
	}
	return n, true
}

// fillPlaced collects the instances that count for constraints (behaviour.md 5.2.2, D-34).
func (m *Machine) fillPlaced(d *demand) {
	var placed []offers.Placed
	for i := range m.st.InstancesOf(d.spec) {
		if i.Agent == nil || i.Condition.Lost() || i.Scheduled() && i.Reservation == nil {
			continue
		}
		placed = append(placed, offers.Placed{Instance: i.ID, Version: i.Version, Agent: i.Agent})
	}
	first := 0
	if len(placed) > 0 {
		if s, ok := m.st.SpecAt(d.spec, placed[0].Version); ok {
			first = s.InstanceCount()
		}
	}
	for _, n := range d.needs {
		n.Placed, n.InstancesOfFirst = placed, first
	}
	d.placed = true
}

// enforces tells whether the top-level group of a spec enforces its role.
func (m *Machine) enforces(id core.PathID) bool {
	g, ok := m.st.Group(id.Top())
	return ok && g.EnforceRole != nil && *g.EnforceRole
}

// place notes a launch or a reservation: the intent that must be durable before the ACCEPT goes out (R3).
func (m *Machine) place(i *core.Instance, o *offers.Offer, res offers.Match, need *offers.Need) {
	c := i.Clone()
	c.Agent = o.Agent
	if res.Reservation != nil {
		c.Reservation = res.Reservation
		m.put(c)
		m.timers.set(timerReservation, string(c.ID), res.Reservation.Deadline)
		return
	}
	c.Condition, c.Since, c.Incarnation, c.Healthy, c.ActiveSince, c.KillReason = core.Provisioned, m.now, res.Incarnation, core.HealthUnknown, 0, ""
	for _, t := range i.Tasks {
		m.st.DropReadiness(t.ID)
	}
	c.Tasks = make([]core.Task, len(res.TaskIDs))
	for k, id := range res.TaskIDs {
		name, err := core.ParseTaskID(id)
		if err != nil {
			panic(err) // the matcher makes well-formed ids
		}
		c.Tasks[k] = core.Task{ID: id, Container: name.Container, Condition: core.Provisioned, StagedAt: m.now, HostPorts: res.HostPorts[name.Container]}
	}
	m.put(c)
	m.announce(c)
}

// publishStats makes the statistics visible to readers, each spec at most once per statsEveryMs.
func (m *Machine) publishStats() {
	m.queue.waiting.Scan(func(id core.PathID, d *demand) bool {
		if d.dirty && m.now >= d.published+statsEveryMs {
			c := d.stats
			c.LastOffers = make(map[string]state.LastOffer, len(d.stats.LastOffers))
			for k, v := range d.stats.LastOffers {
				c.LastOffers[k] = v
			}
			m.st.SetStats(id, &c)
			d.dirty, d.published = false, m.now
		}
		return true
	})
}
