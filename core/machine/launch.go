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
	problemEveryMs  = 60000 // a defect of matching one spec is logged at most this often
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
	needs     map[core.Timestamp]*offers.Need   // by spec version; Instance is set per attempt
	counts    map[core.Timestamp]*offers.Counts // placed instances per version, for specs with constraints
	stats     state.QueueStats                  // Funnel and LastOffers of this attempt
	dirty     bool
	published core.Timestamp
	warned    core.Timestamp // when a defect of matching was last logged
}

func (q *launchQueue) init() {}

// follow keeps the set of waiting specs in line with an instance that changed.
func (q *launchQueue) follow(m *Machine, i *core.Instance) {
	d, in := q.waiting.Get(i.Spec)
	wants := m.st.Counts(i.Spec).Waiting > 0
	switch {
	case wants && !in:
		q.waiting.Set(i.Spec, &demand{spec: i.Spec, role: i.Role, needs: make(map[core.Timestamp]*offers.Need), counts: make(map[core.Timestamp]*offers.Counts), dirty: true,
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
		d.recount(i)
	}
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
		}
	}
}

// leave takes a forgotten instance out of the tallies.
func (q *launchQueue) leave(i *core.Instance) {
	if d, ok := q.waiting.Get(i.Spec); ok {
		for _, c := range d.counts {
			c.Remove(i.ID)
		}
	}
}

// stale makes the needs of a spec be built anew.
func (q *launchQueue) stale(id core.PathID) {
	if d, ok := q.waiting.Get(id); ok {
		d.needs = make(map[core.Timestamp]*offers.Need)
		d.counts = make(map[core.Timestamp]*offers.Counts)
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
	if ops := m.release(o); len(ops) > 0 {
		return ops
	}
	q := &m.queue
	left := o.Resources
	refused := make(map[string][]offers.Reason) // classes that this offer does not fit
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
		taken, ok := m.tryLaunch(d, o, left, refused)
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
// A no to one spec of a class is a no to all of it, as what is left of an offer only shrinks.
func (m *Machine) tryLaunch(d *demand, o *offers.Offer, left []offers.Resource, refused map[string][]offers.Reason) (offers.Match, bool) {
	i, need := m.candidate(d, o.Role)
	if i == nil {
		return offers.Match{}, false
	}
	if need.Compiled == nil {
		need.Compiled = offers.Compile(need.Spec)
	}
	class := need.Compiled.Class()
	if why, known := refused[class]; known && class != "" {
		m.unused(d, o, why)
		return offers.Match{}, false
	}
	need.Instance = i
	res := offers.TryMatch(&m.cfg.Offers, m.now, m.rnd, o, left, need)
	if res.Problem != "" && m.now >= d.warned+problemEveryMs {
		d.warned = m.now
		m.log(true, d.spec, "an offer of %s could not be matched: %s", o.Agent.Host, res.Problem)
	}
	if len(res.Operations) == 0 {
		if class != "" {
			refused[class] = res.Reasons
		}
		m.unused(d, o, res.Reasons)
		return res, false
	}
	d.stats.Processed++
	d.stats.LastUsed, d.dirty = m.now, true
	m.place(i, o, res)
	return res, true
}

// unused counts an offer that did not fit, under its first reason (behaviour.md 4.5).
func (m *Machine) unused(d *demand, o *offers.Offer, why []offers.Reason) {
	d.dirty = true
	d.stats.Processed++
	d.stats.Unused++
	d.stats.LastUnused = m.now
	if len(why) > 0 {
		d.stats.Funnel[why[0]]++
	}
	if _, known := d.stats.LastOffers[o.Agent.ID]; known || len(d.stats.LastOffers) < state.MaxLastOffers {
		d.stats.LastOffers[o.Agent.ID] = state.LastOffer{Offer: *o, Reasons: bytesOf(why), At: m.now}
	}
}

// release frees reservations of ours that nobody owns any more; such an offer is used for nothing else (behaviour.md 5.7).
func (m *Machine) release(o *offers.Offer) []offers.Operation {
	c := offers.ReconcileReservations(&m.cfg.Offers, o, func(id string) offers.Owner {
		i, ok := m.st.Instance(core.InstanceID(id))
		if !ok {
			return offers.Owner{}
		}
		_, exists := m.st.Spec(i.Spec)
		return offers.Owner{Instance: i, SpecExists: exists}
	})
	for _, id := range c.Expunge {
		if i, ok := m.st.Instance(id); ok {
			m.expunge(i)
		}
	}
	return c.Operations
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
		n.Compiled = offers.Compile(spec)
		d.needs[i.Version] = n
		if len(spec.PlacementConstraints()) > 0 {
			m.tally(d, i.Version, n)
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
		if s, ok := m.st.SpecAt(d.spec, i.Version); ok && n.InstancesOfFirst == 0 {
			n.InstancesOfFirst = s.InstanceCount()
		}
	}
}

// enforces tells whether the top-level group of a spec enforces its role.
func (m *Machine) enforces(id core.PathID) bool {
	g, ok := m.st.Group(id.Top())
	return ok && g.EnforceRole != nil && *g.EnforceRole
}

// place notes a launch or a reservation: the intent that must be durable before the ACCEPT goes out (R3).
func (m *Machine) place(i *core.Instance, o *offers.Offer, res offers.Match) {
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
