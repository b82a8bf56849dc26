package marathonapi

import (
	"net/http"
	"slices"
	"strings"

	"stadion/core"
	"stadion/core/machine"
	"stadion/core/state"
	"stadion/marathonapi/access"
	"stadion/offers"
)

// queueItem is what waits of one spec in one role (behaviour.md 4.5).
type queueItem struct {
	Count   int            `json:"count"`
	Role    string         `json:"role"`
	Delay   queueDelay     `json:"delay"`
	Since   core.Timestamp `json:"since"`
	Summary offersSummary  `json:"processedOffersSummary"`
	Unused  []unusedOffer  `json:"lastUnusedOffers,omitzero"`
	App     *core.App      `json:"app,omitempty"`
	Pod     *core.Pod      `json:"pod,omitempty"`
}

type queueDelay struct {
	TimeLeft int64 `json:"timeLeftSeconds"`
	Overdue  bool  `json:"overdue"`
}

type offersSummary struct {
	Processed     int                `json:"processedOffersCount"`
	Unused        int                `json:"unusedOffersCount"`
	LastUnusedAt  core.Timestamp     `json:"lastUnusedOfferAt,omitzero"`
	LastUsedAt    core.Timestamp     `json:"lastUsedOfferAt,omitzero"`
	LastOffers    []offers.FunnelRow `json:"rejectSummaryLastOffers"`
	LaunchAttempt []offers.FunnelRow `json:"rejectSummaryLaunchAttempt"`
}

type unusedOffer struct {
	Offer     offerInfo      `json:"offer"`
	Reason    []string       `json:"reason"`
	Timestamp core.Timestamp `json:"timestamp"`
}

type offerInfo struct {
	ID         string          `json:"id"`
	Hostname   string          `json:"hostname"`
	AgentID    string          `json:"agentId"`
	Resources  []resourceInfo  `json:"resources"`
	Attributes []attributeInfo `json:"attributes"`
}

type resourceInfo struct {
	Name   string      `json:"name"`
	Role   string      `json:"role"`
	Scalar *core.Num   `json:"scalar,omitempty"`
	Ranges []rangeInfo `json:"ranges,omitempty"`
	Set    []string    `json:"set,omitempty"`
}

type rangeInfo struct {
	Begin uint64 `json:"begin"`
	End   uint64 `json:"end"`
}

type attributeInfo struct {
	Name   string      `json:"name"`
	Text   *string     `json:"text,omitempty"`
	Scalar *core.Num   `json:"scalar,omitempty"`
	Ranges []rangeInfo `json:"ranges,omitempty"`
	Set    []string    `json:"set,omitempty"`
}

func (s *Server) queue(r *request) error {
	unused := slices.Contains(r.QueryParams()["embed"], "lastUnusedOffers")
	now := core.At(s.now())
	return r.stream(func(e *encoder) {
		e.raw(`{"queue":[`)
		first := true
		for id, c := range r.snap.Counted() {
			spec, ok := r.snap.Spec(id)
			if !ok || c.Waiting+c.Provisioned == 0 || !r.actor.May(access.View, id) {
				continue
			}
			for _, item := range queueItems(r.snap, spec, now, unused) {
				e.comma(&first)
				e.json(item)
				e.spill()
			}
		}
		e.raw("]}")
	})
}

// queueItems groups the queued instances of a spec by role.
func queueItems(snap *state.Snapshot, spec core.RunSpec, now core.Timestamp, unused bool) []queueItem {
	var items []queueItem
	for i := range snap.InstancesOf(spec.SpecID()) {
		if !i.Queued() {
			continue
		}
		n := slices.IndexFunc(items, func(q queueItem) bool { return q.Role == i.Role })
		if n < 0 {
			n = len(items)
			items = append(items, queueItem{Role: i.Role, Since: i.QueuedAt})
		}
		items[n].Count++
		items[n].Since = min(items[n].Since, i.QueuedAt)
	}
	for n := range items {
		items[n].describe(snap, spec, now, unused)
	}
	return items
}

func (q *queueItem) describe(snap *state.Snapshot, spec core.RunSpec, now core.Timestamp, unused bool) {
	switch v := spec.(type) {
	case *core.App:
		q.App = v
	case *core.Pod:
		q.Pod = v
	}
	q.Delay = queueDelay{Overdue: true}
	if d, ok := snap.Delay(core.RefOf(spec)); ok {
		left := d.Deadline().Sub(now).Seconds()
		q.Delay = queueDelay{TimeLeft: int64(max(0, left)), Overdue: left < -1}
	}
	stats := snap.Stats(spec.SpecID())
	if stats == nil {
		stats = &state.QueueStats{}
	}
	attempt, last := offers.Funnel(stats.Funnel), offers.Funnel{}
	type lastOffer struct {
		agent string
		state.LastOffer
	}
	var list []lastOffer
	known := 0
	for agent, o := range stats.Last() {
		known++
		last[o.Reasons[0]]++
		if unused {
			list = append(list, lastOffer{agent, o})
		}
	}
	if unused {
		slices.SortFunc(list, func(a, b lastOffer) int { return strings.Compare(a.agent, b.agent) })
		q.Unused = make([]unusedOffer, 0, len(list))
		for _, o := range list {
			q.Unused = append(q.Unused, unusedOf(o.LastOffer))
		}
	}
	rejected := stats.Unused
	q.Summary = offersSummary{Processed: stats.Processed, Unused: rejected, LastUnusedAt: stats.LastUnused, LastUsedAt: stats.LastUsed,
		LastOffers: last.Rows(known), LaunchAttempt: attempt.Rows(stats.Processed)}
}

func unusedOf(o state.LastOffer) unusedOffer {
	u := unusedOffer{Timestamp: o.At, Reason: []string{}}
	for _, x := range o.Reasons {
		u.Reason = append(u.Reason, offers.Reason(x).String())
	}
	u.Offer = offerInfo{Resources: []resourceInfo{}, Attributes: []attributeInfo{}}
	var offer *offers.Offer
	switch v := o.Offer.(type) {
	case offers.Offer:
		offer = &v
	case *offers.Offer:
		offer = v
	}
	if offer == nil {
		return u
	}
	u.Offer.ID = offer.ID
	if a := offer.Agent; a != nil {
		u.Offer.Hostname, u.Offer.AgentID = a.Host, a.ID
	}
	for i := range offer.Attributes {
		a := &offer.Attributes[i]
		u.Offer.Attributes = append(u.Offer.Attributes,
			attributeInfo{Name: a.Name, Text: a.Text, Scalar: (*core.Num)(a.Scalar), Ranges: rangeInfos(a.Ranges), Set: a.Items})
	}
	for i := range offer.Resources {
		x := &offer.Resources[i]
		info := resourceInfo{Name: x.Name, Role: x.Role(), Ranges: rangeInfos(x.Ranges), Set: x.Items}
		if x.Type == offers.Scalar {
			n := core.Num(x.Value)
			info.Scalar = &n
		}
		u.Offer.Resources = append(u.Offer.Resources, info)
	}
	return u
}

func rangeInfos(list []offers.Range) (out []rangeInfo) {
	for _, g := range list {
		out = append(out, rangeInfo(g))
	}
	return out
}

func (s *Server) resetDelay(r *request) error {
	id, _ := r.id()
	if _, err := submit[any](s, r, machine.ResetDelay{Spec: id}); err != nil {
		return err
	}
	return r.NoContent(http.StatusNoContent)
}
