package machine

import (
	"fmt"
	"maps"

	"stadion/core"
	"stadion/core/state"
	"stadion/offers"
)

const (
	statsEveryMs   = 1000   // statistics of one spec are published at most this often
	statsLookMs    = 100    // and looked through for what is to be published at most this often
	statsPerSecond = 100000 // remembered offers copied per second for publishing; more makes it happen less often
	statsKeptMs    = 600000 // statistics of a spec that waits no more are kept this long (D-12)
	waitsEveryMs   = 300000 // the operator is told of a waiting spec this often (D-53)
)

// unused counts an offer that did not fit, under its first reason (behaviour.md 4.5).
func (m *Machine) unused(d *demand, s *sale, no *refusal) {
	m.spoil(d)
	tallyOffer(&d.stats.OfferTally, m.now, no)
	remember(d.stats.LastOffers, state.LastOffer{Offer: s.offer, Reasons: no.raw, At: m.now}, s.offer.Agent.ID)
}

func tallyOffer(t *state.OfferTally, now core.Timestamp, no *refusal) {
	t.Processed++
	t.Unused++
	t.LastUnused = now
	t.Funnel[no.raw[0]]++
}

// remember keeps an agent's last offer that did not match (D-12).
func remember(all map[string]state.LastOffer, o state.LastOffer, agent string) {
	if _, known := all[agent]; known || len(all) < state.MaxLastOffers {
		all[agent] = o
	}
}

// spoil notes that the statistics of a spec are to be published.
func (m *Machine) spoil(d *demand) {
	d.dirty, m.queue.dirty = true, true
}

// refusal is why an offer did not fit, all reasons in funnel order. It is shared and must not be changed.
type refusal struct{ raw []uint8 }

// refusals holds the refusal of every set of reasons, so that saying no costs no memory.
var refusals = func() (all [1 << offers.ReasonCount]refusal) {
	for set := range all {
		for r := range offers.ReasonCount {
			if set&(1<<r) != 0 {
				all[set].raw = append(all[set].raw, uint8(r))
			}
		}
	}
	return all
}()

// refusalOf keeps reasons; without any the constraints are to blame (D-11).
func refusalOf(why []offers.Reason) *refusal {
	set := 0
	for _, r := range why {
		set |= 1 << r
	}
	if set == 0 {
		set = 1 << offers.UnfulfilledConstraint
	}
	return &refusals[set]
}

// publish is a copy of the statistics for readers.
func (d *demand) publish(now core.Timestamp) *state.QueueStats {
	c := d.stats
	c.LastOffers = maps.Clone(d.stats.LastOffers)
	d.dirty, d.published = false, now
	return &c
}

// publishStats makes the statistics visible to readers, each spec at most once per statsEveryMs.
func (m *Machine) publishStats() {
	q := &m.queue
	if !q.dirty {
		return
	}
	if m.now < q.publishAt {
		m.timers.ensure(timerStats, "", q.publishAt)
		return
	}
	q.dirty = false
	next := core.Timestamp(0)
	// due tells whether something may be published again; if not, it is put off.
	due := func(dirty bool, published core.Timestamp, all, remembered int) bool {
		if !dirty {
			return false
		}
		at := published + core.Timestamp(statsEveryMs*(1+all*remembered/statsPerSecond))
		if m.now >= at {
			return true
		}
		q.dirty = true
		if next == 0 || at < next {
			next = at
		}
		return false
	}
	q.kins.Scan(func(key string, k *kin) bool {
		if due(k.dirty, k.published, q.kins.Len(), len(k.stats.LastOffers)) {
			m.st.SetKinStats(key, &state.KinStats{OfferTally: k.stats.OfferTally, LastOffers: maps.Clone(k.stats.LastOffers)})
			k.dirty, k.published = false, m.now
		}
		return true
	})
	q.waiting.Scan(func(id core.PathID, d *demand) bool {
		if due(d.dirty, d.published, q.waiting.Len(), len(d.stats.LastOffers)) {
			m.st.SetStats(id, d.publish(m.now))
		}
		return true
	})
	q.publishAt = max(next, m.now+statsLookMs)
	if q.dirty {
		m.timers.ensure(timerStats, "", q.publishAt)
	}
}

// tally is what became of the offers for a waiting spec, those it shares with others included.
func (d *demand) tally() state.OfferTally {
	if d.kin == nil {
		return d.stats.OfferTally
	}
	return d.stats.Plus(d.kin.stats.OfferTally, d.stats.Base)
}

// dropStats forgets the statistics of a spec.
func (m *Machine) dropStats(id core.PathID) {
	if id != "" && m.st.Stats(id) != nil {
		m.st.SetStats(id, nil)
	}
}

// sweepQueue tells the operator now and then which specs wait and why (D-53), and forgets old launch failures.
func (m *Machine) sweepQueue() {
	m.queue.waiting.Scan(func(id core.PathID, d *demand) bool {
		if m.now >= d.told+waitsEveryMs {
			d.told = m.now
			m.log(false, id, "%s", m.waitText(d))
		}
		return true
	})
	maps.DeleteFunc(m.avoided, func(_ avoidKey, a *avoidance) bool { return m.now >= a.last+avoidForMs })
}

// waitText tells in one line what a spec waits for.
func (m *Machine) waitText(d *demand) string {
	n := m.st.Counts(d.spec).Waiting
	tally := d.tally()
	funnel := offers.Funnel(tally.Funnel)
	top, some := funnel.Top()
	switch {
	case d.blockedUntil > m.now:
		return fmt.Sprintf("%d instances of %s wait %v for the end of a launch delay", n, d.spec, d.blockedUntil.Sub(m.now))
	case m.refusedRole(d) != "":
		return fmt.Sprintf("%d instances of %s wait: the master refuses role %s", n, d.spec, m.refusedRole(d))
	case m.cfg.LaunchTokens > 0 && m.queue.tokens == 0:
		return fmt.Sprintf("%d instances of %s wait for launch tokens", n, d.spec)
	case tally.Processed == 0:
		return fmt.Sprintf("%d instances of %s wait: no offers have come", n, d.spec)
	case some:
		return fmt.Sprintf("%d instances of %s wait: none of %d offers fits, mostly for %s", n, d.spec, tally.Unused, top)
	}
	return fmt.Sprintf("%d instances of %s wait for offers", n, d.spec)
}

func (m *Machine) refusedRole(d *demand) string {
	for _, r := range d.roles {
		if _, refused := m.st.Refused(r); refused {
			return r
		}
	}
	return ""
}
