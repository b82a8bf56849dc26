package minimesos

import (
	"fmt"
	"slices"
	"strings"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

// offer is what one framework holds of one agent, in one role.
type offer struct {
	id    string
	fw    *framework
	agent *agent
	role  string
	bag   bag
	end   *timer // of Config.OfferTimeout
}

// filter keeps resources of one agent from a role of a framework until it ends.
type filter struct {
	refused bag
	until   time.Time
}

type filterKey struct {
	role  string
	agent *agent
}

// candidate is one role of one framework that may be offered something now.
type candidate struct {
	fw    *framework
	role  string
	share float64
}

// allocate makes offers of all that is free, to only (nil: to every framework).
// For each agent the role with the smallest dominant share is served first, and
// in it the framework with the smallest.
func (m *master) allocate(only *framework) {
	all := m.candidates(only)
	if len(all) == 0 {
		return
	}
	cluster := m.clusterTotals()
	roleShare := m.roleShares(cluster)
	for i := range all {
		all[i].share = dominantShare(all[i].fw.used[all[i].role], cluster)
	}
	now := time.Now()
	made := map[*framework][]mesos.Offer{}
	order := m.offerOrder()
	for _, a := range order {
		if !a.offerable() {
			continue
		}
		best := m.pick(all, roleShare, a, now)
		if best == nil {
			continue
		}
		part := offerableTo(a, best)
		o := m.makeOffer(best.fw, a, best.role, part)
		made[best.fw] = append(made[best.fw], m.offerMessage(o))
		if len(all) > 1 {
			best.share = dominantShare(best.fw.used[best.role], cluster)
			roleShare[best.role] += dominantShare(part, cluster)
		}
	}
	for _, fw := range m.sortedFrameworks() {
		if offers := made[fw]; len(offers) > 0 {
			fw.send(&scheduler.Event{Type: scheduler.Event_OFFERS, Offers: &scheduler.Event_Offers{Offers: offers}})
			m.takeBack(offers)
		}
	}
}

// candidates lists the roles that want offers.
func (m *master) candidates(only *framework) []candidate {
	var all []candidate
	for _, fw := range m.frameworks {
		if fw.stream == nil || (only != nil && fw != only) {
			continue
		}
		for _, role := range fw.roles {
			if !fw.suppressed[role] || m.c.floods.deaf {
				all = append(all, candidate{fw: fw, role: role})
			}
		}
	}
	slices.SortFunc(all, func(a, b candidate) int {
		if a.fw != b.fw {
			return compareText(a.fw.id, b.fw.id)
		}
		return compareText(a.role, b.role)
	})
	if n := len(all); n > 1 { // ties go to another one from round to round
		k := int(m.rounds % uint64(n))
		all = slices.Concat(all[k:], all[:k])
	}
	return all
}

// offerOrder is the agents, beginning with another one each round.
func (m *master) offerOrder() []*agent {
	n := len(m.agentOrder)
	if n == 0 {
		return nil
	}
	k := int((m.rounds * 7) % uint64(n))
	return slices.Concat(m.agentOrder[k:], m.agentOrder[:k])
}

// offerable tells whether the agent has enough free for any offer.
func (a *agent) offerable() bool {
	return a.connected && !a.deactivated && worthOffering(a.free)
}

func worthOffering(b bag) bool {
	return b.scalar("cpus") >= minCpusMilli || b.scalar("mem") >= minMemMilli
}

// pick finds who is served with agent a: the smallest role, then the smallest framework.
func (m *master) pick(all []candidate, roleShare map[string]float64, a *agent, now time.Time) *candidate {
	var best *candidate
	for i := range all {
		c := &all[i]
		if best != nil {
			r, b := roleShare[c.role], roleShare[best.role]
			if r > b || (r == b && c.share >= best.share) {
				continue
			}
		}
		part := offerableTo(a, c)
		if !worthOffering(part) || c.fw.filtered(a, c.role, part, now) || !m.mayUse(c, a) {
			continue
		}
		best = c
	}
	return best
}

// mayUse checks fault domains and offer constraints: what is remote is only for
// frameworks that know regions.
func (m *master) mayUse(c *candidate, a *agent) bool {
	if !c.fw.able.region && remote(m.c.cfg.Domain, a.node.cfg.Domain) {
		return false
	}
	if !c.fw.able.gpu && a.total.scalar("gpus") > 0 {
		return false // scarce: kept for frameworks that know what to do with them
	}
	return c.fw.constraints.allow(c.role, a.node)
}

func remote(master, agent *mesos.DomainInfo) bool {
	if master == nil || agent == nil || master.FaultDomain == nil || agent.FaultDomain == nil {
		return master == nil && agent != nil
	}
	return master.FaultDomain.Region.Name != agent.FaultDomain.Region.Name
}

// offerableTo is what of a's free resources may go to the candidate: unreserved
// ones and those reserved to its role or a parent of it.
func offerableTo(a *agent, c *candidate) bag {
	for i := range a.free {
		if !c.mayHave(a.free[i].id) {
			return a.free.filter(c.mayHave)
		}
	}
	return a.free
}

func (c *candidate) mayHave(id *identity) bool {
	if id.model.Revocable != nil && !c.fw.able.revocable {
		return false
	}
	if id.model.Shared != nil && !c.fw.able.shared {
		return false
	}
	if len(id.model.Reservations) > 1 && !c.fw.able.refinement {
		return false
	}
	return id.role == "" || id.role == c.role || strings.HasPrefix(c.role, id.role+"/")
}

// filtered tells whether a live filter covers part, and drops dead filters.
func (fw *framework) filtered(a *agent, role string, part bag, now time.Time) bool {
	key := filterKey{role, a}
	list, any := fw.filters[key]
	if !any {
		return false
	}
	list = slices.DeleteFunc(list, func(f filter) bool { return !f.until.After(now) })
	if len(list) == 0 {
		delete(fw.filters, key)
		return false
	}
	fw.filters[key] = list
	for i := range list {
		if list[i].refused.contains(part) {
			return true
		}
	}
	return false
}

// totals are the scalars of a whole cluster or of a share of it, in thousandths.
type totals struct{ cpus, mem, disk int64 }

func (m *master) clusterTotals() totals {
	var t totals
	for _, a := range m.agentOrder {
		t.cpus += a.total.scalar("cpus")
		t.mem += a.total.scalar("mem")
		t.disk += a.total.scalar("disk")
	}
	return t
}

// dominantShare is the largest fraction of the cluster that b has of any resource.
func dominantShare(b bag, all totals) float64 {
	share := 0.0
	for _, x := range [][2]int64{{b.scalar("cpus"), all.cpus}, {b.scalar("mem"), all.mem}, {b.scalar("disk"), all.disk}} {
		if x[1] > 0 {
			share = max(share, float64(x[0])/float64(x[1]))
		}
	}
	return share
}

func (m *master) roleShares(all totals) map[string]float64 {
	used := map[string]bag{}
	for _, fw := range m.frameworks {
		for role, b := range fw.used {
			used[role] = used[role].plus(b)
		}
	}
	shares := make(map[string]float64, len(used))
	for role, b := range used {
		shares[role] = dominantShare(b, all)
	}
	return shares
}

// makeOffer takes part off a's free resources and enters the offer.
func (m *master) makeOffer(fw *framework, a *agent, role string, part bag) *offer {
	part = part.inOrder()
	o := &offer{id: fmt.Sprintf("%s-O%d", m.id, m.nextOffer), fw: fw, agent: a, role: role, bag: part}
	m.nextOffer++
	m.offers[o.id], fw.offers[o.id], a.offers[o.id] = o, o, o
	m.c.ledger.offered(o.id)
	m.allocateTo(a, fw, role, part)
	if d := m.c.cfg.OfferTimeout; d > 0 {
		o.end = m.c.timers.after(d, func() { m.rescind(o) })
	}
	return o
}

// allocateTo books part of a's free resources on fw.
func (m *master) allocateTo(a *agent, fw *framework, role string, part bag) {
	a.free = a.free.minus(part)
	fw.book(role, part, 1)
}

// release gives resources of an agent back.
func (m *master) release(a *agent, fw *framework, role string, part bag) {
	a.free = a.free.plus(part)
	fw.book(role, part, -1)
}

// book counts scalars a role of the framework has; they decide its share.
func (fw *framework) book(role string, part bag, sign int64) {
	used := fw.used[role]
	for _, q := range part {
		if q.id.form != mesos.SCALAR {
			continue
		}
		if i := used.find(q.id); i >= 0 {
			used[i].milli += sign * q.milli
		} else {
			used = append(used, quantity{id: q.id, milli: sign * q.milli})
		}
	}
	fw.used[role] = used
}

// takeOffer removes an offer from the tables. Its resources stay booked.
func (m *master) takeOffer(o *offer) {
	m.c.timers.stop(o.end)
	delete(m.offers, o.id)
	delete(o.fw.offers, o.id)
	delete(o.agent.offers, o.id)
}

// voidOffers takes all offers of fw back without telling it.
func (m *master) voidOffers(fw *framework) {
	for _, o := range fw.offers {
		m.c.ledger.takenBack(o.id)
		m.takeOffer(o)
		m.release(o.agent, o.fw, o.role, o.bag)
	}
}

// rescind takes an offer back and says so.
func (m *master) rescind(o *offer) {
	m.c.ledger.takenBack(o.id)
	m.takeOffer(o)
	m.release(o.agent, o.fw, o.role, o.bag)
	o.fw.send(&scheduler.Event{Type: scheduler.Event_RESCIND,
		Rescind: &scheduler.Event_Rescind{OfferID: mesos.OfferID{Value: o.id}}})
}

// rescindAgent rescinds all offers of an agent, in order of their ids.
func (m *master) rescindAgent(a *agent) {
	for _, o := range sortedOffers(a.offers) {
		m.rescind(o)
	}
}

func sortedOffers(offers map[string]*offer) []*offer {
	out := make([]*offer, 0, len(offers))
	for _, o := range offers {
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b *offer) int {
		if len(a.id) != len(b.id) {
			return len(a.id) - len(b.id)
		}
		return compareText(a.id, b.id)
	})
	return out
}

// refuse enters a filter for what a framework did not want. d is nil when the call
// has no refuse_seconds.
func (m *master) refuse(fw *framework, a *agent, role string, part bag, d *mesos.Filters) {
	wait := m.c.cfg.DefaultFilter
	if d != nil && d.RefuseSeconds != nil && *d.RefuseSeconds >= 0 {
		wait = seconds(*d.RefuseSeconds)
	}
	if wait == 0 || len(part) == 0 || m.c.floods.deaf {
		return
	}
	wait = max(wait, m.c.cfg.AllocationInterval)
	key := filterKey{role, a}
	fw.filters[key] = append(fw.filters[key], filter{refused: part, until: time.Now().Add(wait)})
}

// offerMessage is the offer as the framework sees it; one of the old kind sees no
// roles of allocations, and roles where others see reservations.
func (m *master) offerMessage(o *offer) mesos.Offer {
	n := o.agent.node
	msg := mesos.Offer{
		ID: mesos.OfferID{Value: o.id}, FrameworkID: mesos.FrameworkID{Value: o.fw.id},
		AgentID: mesos.AgentID{Value: o.agent.id}, Hostname: n.cfg.Hostname, URL: n.url(),
		Domain: n.cfg.Domain, Attributes: n.cfg.Attributes, Unavailability: m.unavailability(n),
	}
	for key, ex := range o.agent.executors {
		if key.framework == o.fw.id {
			msg.ExecutorIDs = append(msg.ExecutorIDs, ex.info.ExecutorID)
		}
	}
	if o.fw.able.multiRole {
		msg.AllocationInfo = &mesos.Resource_AllocationInfo{Role: &o.role}
		msg.Resources = o.bag.resources(o.role)
	} else {
		msg.Resources = o.bag.resources("")
	}
	if !o.fw.able.refinement {
		for i := range msg.Resources {
			toOldFormat(&msg.Resources[i])
		}
	}
	return msg
}

// toOldFormat turns reservations into role and reservation.
func toOldFormat(r *mesos.Resource) {
	role := "*"
	if n := len(r.Reservations); n > 0 {
		last := &r.Reservations[n-1]
		role = last.GetRole()
		if last.GetType() == mesos.Resource_ReservationInfo_DYNAMIC {
			r.Reservation = &mesos.Resource_ReservationInfo{Principal: last.Principal, Labels: last.Labels}
		}
	}
	r.Role, r.Reservations = &role, nil
}

func (n *node) url() *mesos.URL {
	path := "/slave(1)"
	return &mesos.URL{Scheme: "http", Path: &path,
		Address: mesos.Address{Hostname: &n.cfg.Hostname, IP: &n.cfg.IP, Port: n.port}}
}

func (m *master) sortedFrameworks() []*framework {
	out := make([]*framework, 0, len(m.frameworks))
	for _, fw := range m.frameworks {
		out = append(out, fw)
	}
	slices.SortFunc(out, func(a, b *framework) int { return compareText(a.id, b.id) })
	return out
}
