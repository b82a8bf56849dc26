package minimesos

import (
	"fmt"
	"slices"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/maintenance"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

// machine is an entry of the maintenance schedule. Machines that are up and not
// scheduled have none.
type machine struct {
	id     mesos.MachineID
	window *mesos.Unavailability
	down   bool
}

// inverseOffer asks a framework to leave an agent that is scheduled.
type inverseOffer struct {
	id     string
	fw     *framework
	agent  *agent
	window mesos.Unavailability
}

// inverseAnswer is the last answer of a framework for an agent.
type inverseAnswer struct {
	accepted bool
	at       time.Time
}

func machineKey(hostname, ip string) string { return hostname + "\x00" + ip }

func (n *node) machine() *machine { return n.c.reg.machines[machineKey(n.cfg.Hostname, n.cfg.IP)] }

func (n *node) machineDown() bool {
	mc := n.machine()
	return mc != nil && mc.down
}

// unavailability is what offers of an agent say of its schedule.
func (m *master) unavailability(n *node) *mesos.Unavailability {
	if mc := n.machine(); mc != nil {
		return mc.window
	}
	return nil
}

// schedule is UPDATE_MAINTENANCE_SCHEDULE: what changes is rescinded and offered anew.
func (m *master) schedule(s *maintenance.Schedule) string {
	wanted := map[string]*machine{}
	for i := range s.Windows {
		w := &s.Windows[i]
		for _, id := range w.MachineIDs {
			key := machineKey(id.GetHostname(), id.GetIP())
			if wanted[key] != nil {
				return "Machine '" + machineText(id) + "' appears more than once in the schedule"
			}
			window := w.Unavailability
			wanted[key] = &machine{id: id, window: &window}
		}
	}
	for key, mc := range m.c.reg.machines {
		if mc.down && wanted[key] == nil {
			return "Machine '" + machineText(mc.id) + "' is deactivated and cannot be removed from the schedule"
		}
		if mc.down {
			wanted[key].down = true
		}
	}
	before := m.c.reg.machines
	m.c.reg.machines = wanted
	changed := false
	for _, a := range m.agentOrder {
		key := machineKey(a.node.cfg.Hostname, a.node.cfg.IP)
		was, is := before[key], wanted[key]
		if was == nil && is == nil || was != nil && is != nil && was.window.Equal(is.window) {
			continue
		}
		changed = true
		m.rescindAgent(a)
		m.rescindInverseAgent(a)
		clear(a.answers)
		for _, fw := range m.frameworks {
			delete(fw.inverseHold, a.id)
		}
	}
	if changed {
		m.allocate(nil)
		m.offerInverse()
	}
	return ""
}

func machineText(id mesos.MachineID) string {
	return string(appendJSON(nil, &id))
}

// startMaintenance brings machines down; their agents are removed.
func (m *master) startMaintenance(ids []mesos.MachineID) string {
	for _, id := range ids {
		if mc := m.c.reg.machines[machineKey(id.GetHostname(), id.GetIP())]; mc == nil || mc.down {
			return "Machine '" + machineText(id) + "' is not in DRAINING mode and cannot be brought down"
		}
	}
	for _, id := range ids {
		m.c.reg.machines[machineKey(id.GetHostname(), id.GetIP())].down = true
		for _, a := range slices.Clone(m.agentOrder) {
			if a.node.cfg.Hostname == id.GetHostname() && a.node.cfg.IP == id.GetIP() {
				m.unregister(a, "Operator initiated 'Machine DOWN'")
			}
		}
	}
	return ""
}

// stopMaintenance brings machines up again; their agents come back.
func (m *master) stopMaintenance(ids []mesos.MachineID) string {
	for _, id := range ids {
		if mc := m.c.reg.machines[machineKey(id.GetHostname(), id.GetIP())]; mc == nil || !mc.down {
			return "Machine '" + machineText(id) + "' is not in DOWN mode and cannot be brought up"
		}
	}
	for _, id := range ids {
		delete(m.c.reg.machines, machineKey(id.GetHostname(), id.GetIP()))
		for _, n := range m.c.nodes {
			if n.cfg.Hostname == id.GetHostname() && n.cfg.IP == id.GetIP() {
				m.c.timers.after(m.c.cfg.AgentReregisterBackoff, n.register)
			}
		}
	}
	return ""
}

// offerInverse sends inverse offers for scheduled agents to frameworks that use them
// and have neither one nor a filter.
func (m *master) offerInverse() {
	if len(m.c.reg.machines) == 0 {
		return
	}
	now := time.Now()
	made := map[*framework][]mesos.InverseOffer{}
	for _, a := range m.agentOrder {
		window := m.unavailability(a.node)
		if window == nil || !a.connected {
			continue
		}
		for _, fw := range a.users() {
			if fw.stream == nil || fw.inverseHold[a.id].After(now) || fw.hasInverse(a) {
				continue
			}
			o := &inverseOffer{id: fmt.Sprintf("%s-O%d", m.id, m.nextOffer), fw: fw, agent: a, window: *window}
			m.nextOffer++
			m.inverse[o.id], fw.inverse[o.id] = o, o
			m.c.ledger.invited(o.id)
			made[fw] = append(made[fw], mesos.InverseOffer{
				OfferID: mesos.OfferID{Value: o.id}, URL: a.node.url(), FrameworkID: mesos.FrameworkID{Value: fw.id},
				AgentID: &mesos.AgentID{Value: a.id}, Unavailability: *window,
			})
		}
	}
	for _, fw := range m.sortedFrameworks() {
		if offers := made[fw]; len(offers) > 0 {
			fw.send(&scheduler.Event{Type: scheduler.Event_INVERSE_OFFERS,
				InverseOffers: &scheduler.Event_InverseOffers{InverseOffers: offers}})
		}
	}
}

// users are the frameworks with tasks on the agent, by id.
func (a *agent) users() []*framework {
	var out []*framework
	for _, t := range a.tasks {
		if !slices.Contains(out, t.fw) {
			out = append(out, t.fw)
		}
	}
	slices.SortFunc(out, func(x, y *framework) int { return compareText(x.id, y.id) })
	return out
}

func (fw *framework) hasInverse(a *agent) bool {
	for _, o := range fw.inverse {
		if o.agent == a {
			return true
		}
	}
	return false
}

// answerInverse is ACCEPT_INVERSE_OFFERS and DECLINE_INVERSE_OFFERS.
func (m *master) answerInverse(fw *framework, ids []mesos.OfferID, f *mesos.Filters, yes bool) {
	wait := m.c.cfg.DefaultFilter
	if f != nil && f.RefuseSeconds != nil && *f.RefuseSeconds >= 0 {
		wait = seconds(*f.RefuseSeconds)
	}
	m.c.ledger.answeredInverse(ids)
	if m.c.floods.deaf {
		wait = 0
	}
	for _, id := range ids {
		o := m.inverse[id.Value]
		if o == nil || o.fw != fw {
			continue
		}
		m.dropInverse(o)
		o.agent.answers[fw.id] = inverseAnswer{accepted: yes, at: time.Now()}
		fw.inverseHold[o.agent.id] = time.Now().Add(wait)
	}
}

func (m *master) dropInverse(o *inverseOffer) {
	delete(m.inverse, o.id)
	delete(o.fw.inverse, o.id)
}

// voidInverse takes all inverse offers of fw back without telling it.
func (m *master) voidInverse(fw *framework) {
	for _, o := range fw.inverse {
		m.c.ledger.inverseTakenBack(o.id)
		m.dropInverse(o)
	}
}

func (m *master) rescindInverseAgent(a *agent) {
	for _, o := range m.inverse {
		if o.agent != a {
			continue
		}
		m.c.ledger.inverseTakenBack(o.id)
		m.dropInverse(o)
		o.fw.send(&scheduler.Event{Type: scheduler.Event_RESCIND_INVERSE_OFFER,
			RescindInverseOffer: &scheduler.Event_RescindInverseOffer{InverseOfferID: mesos.OfferID{Value: o.id}}})
	}
}
