package machine

import (
	"cmp"
	"slices"
	"strings"

	"github.com/tidwall/btree"

	"stadion/core"
	"stadion/core/state"
	"stadion/offers"
)

const (
	roleRetryMs = 300000 // a refused role is tried again this often (D-49)
	roleAloneMs = 2000   // of roles that were refused together each is tried alone, so long after another
	roleIdleMs  = 600000 // a role that nothing uses is given up after this long (D-43)
	roleEveryMs = 60000  // how often the use of roles is looked at
)

// market is how we stand towards the master: which roles we have, for which of them we want offers, and when we may
// ask again (behaviour.md 5.8).
type market struct {
	connected bool
	since     core.Timestamp // of the last registration
	told      bool           // the master knows our roles in this connection
	roles     btree.Map[string, *stand]
	sent      []string // roles of the last UPDATE_FRAMEWORK or SUBSCRIBE
	sweptAt   core.Timestamp
}

// stand is one role.
type stand struct {
	wanted     bool           // what the master was told
	fresh      bool           // demand that is newer than the last revive
	revivedAt  core.Timestamp // of the last revive
	again      core.Timestamp // when to repeat it once, zero if not
	refused    bool           // the master refuses it
	retryAfter core.Timestamp // when a refused role is tried again
	idleSince  core.Timestamp // since when nothing uses it, zero while something does
}

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
		d.blockedUntil = 0
		m.queue.ready.Set(id, d)
		m.queue.unsettle(d)
		for _, r := range d.roles {
			k.know(r).fresh = true
		}
	}
}

// refuseRoles quarantines roles that the principal may not use; they are tried again after a while (D-49). The master names
// all roles of the call that it refuses, not those that it means: of several at once each is soon tried alone.
func (m *Machine) refuseRoles(roles []string, why string) {
	for n, r := range roles {
		s, after := m.market.know(r), core.Timestamp(roleRetryMs)
		if len(roles) > 1 {
			if s.refused {
				continue // known from before
			}
			after = core.Timestamp(n+1) * roleAloneMs
		}
		s.refused, s.retryAfter, s.wanted, s.again = true, m.now+after, false, 0
		m.st.SetRefused(r, cmp.Or(why, "the master refuses it"))
		m.timers.ensure(timerRevive, "", s.retryAfter)
	}
	m.market.told = false
}

// readmit lets refused roles try again whose time has come.
func (m *Machine) readmit() {
	m.market.roles.Scan(func(role string, s *stand) bool {
		if s.refused && m.now >= s.retryAfter {
			s.refused, s.fresh = false, true
			m.st.SetRefused(role, "")
		}
		return true
	})
}

// sweepRoles gives up the roles that no spec, instance or reservation has used for a while (D-43).
func (m *Machine) sweepRoles() {
	if m.market.roles.Len() < 2 || m.now < m.market.sweptAt+roleEveryMs {
		return
	}
	m.market.sweptAt = m.now
	used := map[string]bool{m.cfg.MesosRole: true}
	for s := range m.st.SpecsBelow(core.Root) {
		used[s.SpecRole()] = true
	}
	for i := range m.st.Instances() {
		used[i.Role] = true
	}
	for _, role := range m.market.roles.Keys() {
		s, _ := m.market.roles.Get(role)
		switch {
		case used[role]:
			s.idleSince = 0
		case s.idleSince == 0:
			s.idleSince = m.now
		case m.now >= s.idleSince+roleIdleMs:
			m.market.roles.Delete(role)
			m.st.SetRefused(role, "")
		}
	}
}

// subscribed begins a connection: what the master knows of us is told anew, and every task is asked for.
func (m *Machine) subscribed(e offers.Subscribed) {
	m.market.connected, m.market.told, m.market.since = true, false, m.now
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
			m.timers.drop(timerKillRetry, string(id))
			if i, ok := m.st.Instance(id); ok {
				m.kills.want(i)
			}
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
	m.sort()
	found := false
	m.queue.kins.Ascend(role+"\x00", func(key string, _ *kin) bool {
		found = strings.HasPrefix(key, role+"\x00")
		return false
	})
	for d := m.queue.loner(""); d != nil && !found; d = m.queue.loner(d.spec) {
		if slices.Contains(d.roles, role) {
			i, _, _ := m.candidate(d, role, nil, nil)
			found = i != nil
		}
	}
	if m.cfg.LaunchTokens > 0 && m.queue.tokens == 0 {
		found = false
	}
	return found || m.releases.Len() > 0 && m.releasesRole(role)
}

// settleMarket tells the master for which roles offers are wanted, and asks again when there is newer demand.
func (m *Machine) settleMarket() {
	if !m.market.connected {
		return
	}
	m.readmit()
	var revive, suppress, roles, quiet []string
	m.market.roles.Scan(func(role string, s *stand) bool {
		if s.refused {
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
		m.call(offers.UpdateFramework{Roles: roles, Suppressed: quiet, Quieted: len(suppress)})
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
