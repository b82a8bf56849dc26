package marathonapi

import (
	"fmt"
	"strings"
	"testing"

	"stadion/core"
	"stadion/core/state"
	"stadion/offers"
)

// queuedInstance is an instance in a condition that began to wait at some time.
func queuedInstance(spec core.PathID, n int, c core.Condition, role string, since core.Timestamp) *core.Instance {
	id := core.NewInstanceID(spec, fmt.Sprintf("0ab6b7c1-9a3b-11ea-8d8e-%012d", n))
	return &core.Instance{ID: id, Spec: spec, Version: start, Role: role, Goal: core.GoalRunning, Condition: c, QueuedAt: since}
}

type queueAnswer struct{ Queue []queueItem }

// TestQueueRows (behaviour 4.5): one entry for each spec and role in which something waits or is on its way, with its
// definition in full.
func TestQueueRows(t *testing.T) {
	st := state.New()
	app, pod, idle := testApp("/a", 9), podOf("/p", 1), testApp("/idle", 1)
	for _, s := range []core.RunSpec{app, pod, idle} {
		st.PutSpec(s)
	}
	stopped := queuedInstance("/a", 7, core.Failed, "*", start)
	stopped.Goal = core.GoalStopped
	for _, i := range []*core.Instance{
		queuedInstance("/a", 1, core.Scheduled, "*", start+3000), queuedInstance("/a", 2, core.Provisioned, "*", start+1000), queuedInstance("/a", 3, core.Failed, "*", start+2000),
		queuedInstance("/a", 4, core.Scheduled, "dev", start+5000),
		queuedInstance("/a", 5, core.Running, "*", start), queuedInstance("/a", 6, core.Unreachable, "*", start), stopped,
		queuedInstance("/idle", 1, core.Running, "*", start),
		queuedInstance("/p", 1, core.Scheduled, "*", start),
		queuedInstance("/nobody", 1, core.Scheduled, "*", start), // its spec is gone
	} {
		i.Pod = i.Spec == "/p"
		st.PutInstance(i)
	}
	s, _ := stillServer(st)
	var got []string
	for _, q := range read[queueAnswer](t, s, "/v2/queue").Queue {
		id, version := core.PathID(""), core.Timestamp(0)
		switch {
		case q.App != nil && q.Pod == nil:
			id, version = q.App.ID, q.App.Version
		case q.Pod != nil:
			id, version = q.Pod.ID, q.Pod.Version
		}
		got = append(got, fmt.Sprint(id, " ", version == start, " ", q.Role, " ", q.Count, " ", q.Since.Sub(start).Seconds()))
	}
	if want := "/a true * 3 1, /a true dev 1 5, /p true * 1 0"; strings.Join(got, ", ") != want {
		t.Errorf("%s, want %s", strings.Join(got, ", "), want)
	}
	body := get(s, "GET", "/v2/queue").Body.String()
	for _, part := range []string{`"app":{"id":"/a"`, `"cmd":`, `"pod":{"id":"/p"`, `"containers":`} {
		if !strings.Contains(body, part) {
			t.Errorf("%s is not in %s", part, body)
		}
	}
}

// TestQueueDelay (behaviour 4.5): whole seconds that are left, never below 0; overdue without a delay, or when it is over
// for more than a second. Times of offers are there where they are known.
func TestQueueDelay(t *testing.T) {
	at := core.At(func() *Server { s, _ := stillServer(state.New()); return s }().now())
	for _, c := range []struct {
		deadline int64 // ms from now; 0: no delay
		left     int64
		overdue  bool
	}{{0, 0, true}, {2999, 2, false}, {1000, 1, false}, {999, 0, false}, {-1, 0, false}, {-1000, 0, false}, {-1001, 0, true}} {
		st := state.New()
		app := testApp("/a", 1)
		st.PutSpec(app)
		st.PutInstance(queuedInstance("/a", 1, core.Scheduled, "*", start))
		if c.deadline != 0 {
			st.SetDelay(core.RefOf(app), state.Delay{Reference: at + core.Timestamp(c.deadline) - 1000, Current: 1000, Max: 300_000})
		}
		s, _ := stillServer(st)
		if got := read[queueAnswer](t, s, "/v2/queue").Queue[0].Delay; got.TimeLeft != c.left || got.Overdue != c.overdue {
			t.Errorf("%d ms: %+v", c.deadline, got)
		}
		if body := get(s, "GET", "/v2/queue").Body.String(); strings.Contains(body, "OfferAt") {
			t.Errorf("times of offers that never came: %s", body)
		}
		st.SetStats("/a", &state.QueueStats{LastUsed: start + 1000, OfferTally: state.OfferTally{LastUnused: start + 2000}})
		s, _ = stillServer(st)
		if got := read[queueAnswer](t, s, "/v2/queue").Queue[0].Summary; got.LastUsedAt != start+1000 || got.LastUnusedAt != start+2000 {
			t.Errorf("%+v", got)
		}
	}
}

// TestQueueFunnels (behaviour 4.5): ten rows each, in their order; that of the last offers begins with the agents that are
// remembered, each under the first reason of its last offer.
func TestQueueFunnels(t *testing.T) {
	st := state.New()
	st.PutSpec(testApp("/a", 1))
	st.PutInstance(queuedInstance("/a", 1, core.Scheduled, "*", start))
	q := &state.QueueStats{OfferTally: state.OfferTally{Processed: 20, Unused: 19}, LastOffers: map[string]state.LastOffer{}}
	for reason := range offers.ReasonCount {
		q.Funnel[reason] = int(reason) % 4
		q.LastOffers[fmt.Sprint("S", reason)] = state.LastOffer{Offer: &offers.Offer{}, Reasons: []uint8{uint8(reason), uint8(offers.DeclinedScarceResources)}, At: start}
	}
	st.SetStats("/a", q)
	s, _ := stillServer(st)
	got := read[queueAnswer](t, s, "/v2/queue").Queue[0].Summary
	names := strings.Fields(`UnfulfilledRole UnfulfilledConstraint NoCorrespondingReservationFound AgentMaintenance InsufficientCpus InsufficientMemory
		InsufficientDisk InsufficientGpus InsufficientPorts DeclinedScarceResources`)
	attempt := 20
	for n, name := range names {
		if want := (offers.FunnelRow{Reason: name, Declined: n % 4, Processed: attempt}); got.LaunchAttempt[n] != want {
			t.Errorf("launch attempt: %+v, want %+v", got.LaunchAttempt[n], want)
		}
		if want := (offers.FunnelRow{Reason: name, Declined: 1, Processed: 10 - n}); got.LastOffers[n] != want {
			t.Errorf("last offers: %+v, want %+v", got.LastOffers[n], want)
		}
		attempt -= n % 4
	}
	if len(got.LaunchAttempt) != 10 || len(got.LastOffers) != 10 || got.Processed != 20 || got.Unused != 19 {
		t.Errorf("%+v", got)
	}
}
