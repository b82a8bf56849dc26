package machine

import (
	"slices"

	"github.com/tidwall/btree"

	"stadion/core"
	"stadion/core/state"
	"stadion/offers"
)

const roleRetryMs = 300000 // a refused role is tried again this often (D-49)

// market is how we stand towards the master: which roles we have, for which of them we want offers, and when we may
// ask again (behaviour.md 5.8).
type market struct {
	connected bool
	told      bool // the master knows our roles in this connection
	roles     btree.Map[string, *stand]
	sent      []string // roles of the last UPDATE_FRAMEWORK or SUBSCRIBE
}

// stand is one role.
type stand struct {
	wanted     bool           // what the master was told
	fresh      bool           // demand that is newer than the last revive
	revivedAt  core.Timestamp // of the last revive
	again      core.Timestamp // when to repeat it once, zero if not
	refused    string         // why the master refuses it
	retryAfter core.Timestamp
}

func (k *market) init() {}

// know makes a role one of ours.
func (k *market) know(role string) *stand {
	if role == "" {
		role = "*"
	}
	s, ok := k.roles.Get(role)
	if !ok {
		s = &stand{}
		k.roles.Set(role, s)
	}
	return s
}

// demand notes that a spec wants offers more than before.
func (k *market) demand(m *Machine, id core.PathID) {
	if d, ok := m.queue.waiting.Get(id); ok {
		k.know(d.role).fresh = true
	}
}

// refuse quarantines roles that the principal may not use (D-49).
func (k *market) refuse(roles []string, why string) {
	for _, r := range roles {
		k.know(r).refused = why
	}
	k.told = false
}

// subscribed begins a connection: what the master knows of us is told anew, and every task is asked for.
func (m *Machine) subscribed(e offers.Subscribed) {
	m.market.connected, m.market.told = true, false
	m.queue.held = nil
	m.st.SetMesos(state.Mesos{Connected: true, MasterURL: e.MasterURL, HomeRegion: e.HomeRegion})
	m.cfg.Offers.HomeRegion, m.cfg.Offers.FrameworkID = e.HomeRegion, e.FrameworkID
	if m.st.FrameworkID() != e.FrameworkID {
		m.st.SetFrameworkID(e.FrameworkID)
		m.notify("scheduler_registered_event", "", core.SchedulerRegistered{FrameworkID: e.FrameworkID, Master: e.MasterURL})
	} else {
		m.notify("scheduler_reregistered_event", "", core.SchedulerRegistered{Master: e.MasterURL})
	}
	m.market.roles.Scan(func(_ string, s *stand) bool {
		s.wanted, s.fresh, s.revivedAt, s.again = false, true, 0, 0
		return true
	})
	m.recon.begin(m)
	m.resendKills()
}

// resendKills puts every kill of a lost connection back into the queue.
func (m *Machine) resendKills() {
	for _, q := range []*btree.Map[core.InstanceID, int]{&m.kills.inFlight, &m.kills.lingering} {
		for _, id := range q.Keys() {
			q.Delete(id)
			m.kills.waiting.Insert(id)
			m.timers.drop(timerKillRetry, string(id))
		}
	}
}

// disconnected ends a connection: offers are void, nothing is accepted or killed until the next one (D-25).
func (m *Machine) disconnected(e offers.Disconnected) {
	if m.market.connected {
		m.notify("scheduler_disconnected_event", "", nil)
	}
	m.market.connected = false
	m.queue.held = nil
	now := m.st.Mesos()
	now.Connected = false
	m.st.SetMesos(now)
	m.log(true, "", "lost the Mesos master: %s", e.Reason)
}

// wants tells whether offers of a role could be used now: something waits whose delay is over, or a reservation is to
// be freed.
func (m *Machine) wants(role string) bool {
	found := false
	m.queue.waiting.Scan(func(_ core.PathID, d *demand) bool {
		if d.role == role {
			i, _ := m.candidate(d, role)
			found = i != nil
		}
		return !found
	})
	return found || m.releases.Len() > 0 && m.releasesRole(role)
}

// settleMarket tells the master for which roles offers are wanted, and asks again when there is newer demand.
func (m *Machine) settleMarket() {
	if !m.market.connected {
		return
	}
	var revive, suppress, roles, quiet []string
	m.market.roles.Scan(func(role string, s *stand) bool {
		if s.refused != "" && m.now < s.retryAfter {
			return true
		}
		roles = append(roles, role)
		want := m.wants(role) || !m.cfg.SuppressOffers
		if !want {
			quiet = append(quiet, role)
		}
		switch {
		case want && !s.wanted, want && s.fresh && m.now >= s.revivedAt+core.Timestamp(m.cfg.MinReviveMs), want && s.again != 0 && m.now >= s.again:
			if !s.wanted || s.fresh {
				s.again = m.now + core.Timestamp(2*m.cfg.MinReviveMs)
			} else {
				s.again = 0
			}
			s.wanted, s.fresh, s.revivedAt = true, false, m.now
			revive = append(revive, role)
		case !want && s.wanted, !want && !m.market.told:
			s.wanted, s.fresh, s.again = false, false, 0
			suppress = append(suppress, role)
		}
		if want && s.fresh {
			m.timers.ensure(timerRevive, "", s.revivedAt+core.Timestamp(m.cfg.MinReviveMs))
		}
		if want && s.again != 0 {
			m.timers.ensure(timerRevive, "", s.again)
		}
		return true
	})
	if !m.market.told || !slices.Equal(roles, m.market.sent) {
		m.call(offers.UpdateFramework{Roles: roles, Suppressed: quiet})
		m.market.told, m.market.sent = true, roles
		suppress = nil
	}
	if len(suppress) > 0 {
		m.call(offers.Suppress{Roles: suppress})
	}
	if len(revive) > 0 {
		m.call(offers.Revive{Roles: revive})
	}
}
