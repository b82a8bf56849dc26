package machine

import (
	"stadion/core"
	"stadion/offers"
)

const (
	maxHeldOffers   = 20000 // offers waiting to be looked at; more are declined at once
	problemEveryMs  = 60000 // a defect of matching one spec is logged at most this often
	offersPerSettle = 4000  // offers looked at in one batch when nothing matches
)

// receive takes offers in; Settle looks at them.
func (m *Machine) receive(list []offers.Offer) {
	for n := range list {
		o := list[n]
		o.ReceivedAt = m.now
		if len(m.queue.held) >= maxHeldOffers {
			m.call(offers.Decline{OfferIDs: []string{o.ID}})
			continue
		}
		m.queue.sold++
		m.queue.held = append(m.queue.held, &sale{offer: &o, number: m.queue.sold, left: o.Resources})
	}
}

// settleOffers matches the held offers against the waiting specs until the batch is full: first specs with a placement
// strategy choose (auction), then the offers are served to all, oldest first, and answered.
func (m *Machine) settleOffers() {
	m.dropLate()
	over := true
	if len(m.queue.held) > 0 {
		if line, others := m.choosers(); len(line) > 0 {
			over = m.auction(line, others)
		}
	}
	var refused []string
	looked, kept := 0, m.queue.held[:0]
	for _, s := range m.queue.held {
		served := (over || len(s.ops) > 0) && looked < offersPerSettle && m.room()
		if served {
			looked++
			m.open(s)
			m.serve(s, over)
		}
		switch {
		case len(s.ops) > 0:
			m.call(offers.Accept{OfferIDs: []string{s.offer.ID}, AgentID: s.offer.Agent.ID, Operations: s.ops})
		case served:
			refused = append(refused, s.offer.ID)
		default:
			kept = append(kept, s)
		}
	}
	clear(m.queue.held[len(kept):])
	m.queue.held = kept
	if looked == offersPerSettle && len(kept) > 0 {
		m.full = true
	}
	if len(refused) > 0 {
		secs := float64(m.cfg.DeclineMs) / 1000
		m.call(offers.Decline{OfferIDs: refused, RefuseSeconds: &secs})
	}
	m.publishStats()
}

// dropLate declines, with the short filter, offers that full batches have kept waiting too long (D-13, D-40).
func (m *Machine) dropLate() {
	var late []string
	for q := &m.queue; len(q.held) > 0 && m.now >= q.held[0].offer.ReceivedAt+core.Timestamp(m.cfg.OfferTimeoutMs); q.held = q.held[1:] {
		late = append(late, q.held[0].offer.ID)
	}
	if len(late) > 0 {
		m.call(offers.Decline{OfferIDs: late})
	}
}

// sale is one offer while specs take from it.
type sale struct {
	offer    *offers.Offer
	number   uint64   // in order of arrival
	opened   bool     // those whose reservations it holds were served
	closed   bool     // it frees reservations and is used for nothing else
	reserved []string // reservations of ours in it
	left     []offers.Resource
	refused  map[*kin]*refusal // those with a placement strategy that it does not fit
	ops      []offers.Operation
}

// refusedBy is why the offer fits none of the kin, nil while that is not known: what is left of it only shrinks.
func (s *sale) refusedBy(k *kin) *refusal {
	switch {
	case k == nil:
		return nil
	case k.noSale == s.number:
		return k.no
	}
	return s.refused[k]
}

// refuse notes that the offer fits none of the kin. Those with a strategy come back to offers that they have left.
func (s *sale) refuse(k *kin, no *refusal) {
	if k == nil {
		return
	}
	k.no, k.noSale = no, s.number
	if k.chooses {
		if s.refused == nil {
			s.refused = make(map[*kin]*refusal)
		}
		s.refused[k] = no
	}
}

// open serves those whose reservations an offer holds, before all others (D-40).
func (m *Machine) open(s *sale) {
	if s.opened {
		return
	}
	s.opened = true
	s.reserved = offers.ReservationIDs(m.ours, s.offer)
	m.missed(s.offer, s.reserved)
	if len(s.reserved) == 0 {
		return
	}
	if s.ops = m.release(s.offer); len(s.ops) > 0 {
		s.closed = true
		return
	}
	m.matchReserved(s)
}

// mayTake reports whether one more operation fits into the offer's share, the batch and the period.
func (m *Machine) mayTake(s *sale) bool {
	return len(s.ops) < m.cfg.Offers.MaxInstancesPerOffer && m.room() && (m.cfg.LaunchTokens == 0 || m.queue.tokens > 0)
}

// matchReserved launches the waiting instances whose reservations the offer holds.
func (m *Machine) matchReserved(s *sale) {
	for _, id := range s.reserved {
		i, ok := m.holder(id)
		if !ok || i.Reservation == nil || !i.Scheduled() || !m.mayTake(s) || s.offer.Role != "" && i.Role != s.offer.Role {
			continue
		}
		d, ok := m.queue.waiting.Get(i.Spec)
		if !ok {
			continue
		}
		if n, ok := m.need(d, i); ok {
			if _, wait := m.delayed(core.RefOf(n.Spec)); !wait {
				if no, _ := m.bid(d, i, n, s); no != nil {
					m.unused(d, s, no)
				}
			}
		}
	}
}

var noReservation = refusalOf([]offers.Reason{offers.NoCorrespondingReservationFound})

// tryLaunch matches a waiting instance of a spec against what is left of an offer, of several versions one of each until
// one fits (behaviour.md 5.2.3). A no is counted where count says so.
func (m *Machine) tryLaunch(d *demand, s *sale, count bool) bool {
	if d.kin != nil && d.settled && d.first != nil && d.kin.role == s.offer.Role && d.first.Reservation == nil {
		no, fits := m.bid(d, d.first, d.firstNeed, s)
		if count && no != nil {
			m.unused(d, s, no)
		}
		return fits
	}
	var why *refusal
	for tried := []core.Timestamp(nil); ; {
		i, need, parked := m.candidate(d, s.offer.Role, s, tried)
		if i == nil {
			if why == nil && parked {
				why = noReservation
			}
			break
		}
		no, fits := m.bid(d, i, need, s)
		if fits {
			return true
		}
		if why == nil {
			why = no
		}
		if !d.mixed {
			break
		}
		tried = append(tried, i.Version)
	}
	if count && why != nil {
		m.unused(d, s, why)
	}
	return false
}

// bid matches one instance and notes what came of it; no is nil when it rather waits for another agent. A no to one of
// a kin is a no to all of it.
func (m *Machine) bid(d *demand, i *core.Instance, need *offers.Need, s *sale) (no *refusal, fits bool) {
	k := d.kinOf(need, s.offer.Role)
	if known := s.refusedBy(k); known != nil {
		return known, false
	}
	if m.avoids(i, core.RefOf(need.Spec), s.offer.Agent.ID) {
		return nil, false
	}
	need.Instance = i
	res := offers.TryMatch(&m.cfg.Offers, m.now, m.rnd, s.offer, s.left, need)
	if res.Problem != "" && m.now >= d.warned+problemEveryMs {
		d.warned = m.now
		m.log(true, d.spec, "an offer of %s could not be matched: %s", s.offer.Agent.Host, res.Problem)
	}
	if len(res.Operations) == 0 {
		why := refusalOf(res.Reasons)
		s.refuse(k, why)
		return why, false
	}
	m.spoil(d)
	d.stats.Processed++
	d.stats.LastUsed = m.now
	s.ops = append(s.ops, res.Operations...)
	s.left = offers.Subtract(s.left, res.Consumed)
	m.queue.tokens = max(0, m.queue.tokens-1)
	m.place(i, s.offer, res)
	return nil, true
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
	m.mark(MarkOffered, i.QueuedAt)
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
