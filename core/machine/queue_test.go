package machine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"stadion/core"
	"stadion/core/state"
	"stadion/offers"
)

func cpus(n float64) []offers.Resource {
	return []offers.Resource{{Name: "cpus", Value: n}, plenty()[1], plenty()[3]}
}

func lastOf(s *state.QueueStats) map[string]state.LastOffer { return maps.Collect(s.Last()) }

// TestStatistics is behaviour 4.5 with D-11, D-12 and D-53.
func TestStatistics(t *testing.T) {
	r := newRig(t)
	r.put(`{"id":"/web","cpus":4}`)
	if r.m.st.Stats("/web") != nil {
		t.Error("statistics without offers")
	}
	r.offer("a", cpus(1)...)
	r.now += 2000
	r.offer("b", offers.Resource{Name: "mem", Value: 1})
	r.now += 2000
	r.offer("a", cpus(2)...)
	s := r.m.st.Stats("/web")
	if s == nil || s.Processed != 3 || s.Unused != 3 || s.LastUnused != r.now || len(lastOf(s)) != 2 || s.Funnel[offers.InsufficientCpus] != 3 {
		t.Fatalf("%+v", s)
	}
	if got := lastOf(s)["S-a"].Offer.(*offers.Offer).Resources[0].Value; got != 2 {
		t.Errorf("the last offer of an agent is %v", got)
	}
	if got := lastOf(s)["S-b"].Reasons; !slices.Equal(got, []uint8{uint8(offers.InsufficientCpus), uint8(offers.InsufficientMemory)}) {
		t.Errorf("all reasons of an offer: %v", got)
	}
	t.Run("an offer without reasons counts under UnfulfilledConstraint (D-11)", func(t *testing.T) {
		if no := refusalOf(nil); !slices.Equal(no.raw, []uint8{uint8(offers.UnfulfilledConstraint)}) {
			t.Error(no)
		}
		total := 0
		for _, n := range s.Funnel {
			total += n
		}
		if total != s.Unused {
			t.Errorf("the funnel adds up to %d of %d", total, s.Unused)
		}
	})
	t.Run("a new attempt begins anew; what is over is kept for 10 min (D-12)", func(t *testing.T) {
		r.now += 2000
		id := r.up("/web", "c")[0]
		s := r.m.st.Stats("/web")
		if s == nil || s.Processed != 4 || s.Unused != 3 || s.LastUsed != r.now {
			t.Fatalf("right after the launch: %+v", s)
		}
		r.status(id, "TASK_KILLED")
		if s = r.m.st.Stats("/web"); s != nil && s.Processed > 0 {
			t.Errorf("a new attempt begins with %+v", s)
		}
		r.up("/web", "c")
		r.wait(599 * time.Second)
		if r.m.st.Stats("/web") == nil {
			t.Error("dropped too early")
		}
		r.wait(2 * time.Second)
		if r.m.st.Stats("/web") != nil {
			t.Error("kept for ever")
		}
	})
	t.Run("at most so many agents are remembered (D-12)", func(t *testing.T) {
		r := newRig(t)
		r.put(`{"id":"/web","cpus":4}`)
		var list []offers.Offer
		for n := range 1200 {
			list = append(list, r.offerOf(fmt.Sprintf("h%d", n), cpus(1)...))
		}
		r.do(Mesos{offers.Received{Offers: list}})
		if s := r.m.st.Stats("/web"); s.Processed != 1200 || len(lastOf(s)) != 1000 {
			t.Errorf("%d processed, %d remembered", s.Processed, len(lastOf(s)))
		}
	})
	t.Run("the operator is told every 5 min why a spec waits (D-53)", func(t *testing.T) {
		r := newRig(t)
		r.put(`{"id":"/web","cpus":4}`)
		r.offer("a", cpus(1)...)
		said := func(b *Batch) (out []string) {
			for _, l := range b.Logs {
				if l.Spec == "/web" {
					out = append(out, l.Text)
				}
			}
			return out
		}
		if got := said(r.wait(290 * time.Second)); len(got) > 0 {
			t.Errorf("too early: %v", got)
		}
		if got := said(r.wait(20 * time.Second)); len(got) != 1 || !strings.Contains(got[0], "InsufficientCpus") {
			t.Errorf("%v", got)
		}
		if got := said(r.wait(10 * time.Minute)); len(got) != 2 {
			t.Errorf("%v", got)
		}
	})
}

// TestWhoCounts is behaviour 5.2.2: which instances count where another one of their spec wants a place. The inactive do,
// the lost and those that wait do not; who rests on a reservation does, waiting or not (D-34).
func TestWhoCounts(t *testing.T) {
	always := map[core.Condition]bool{core.Provisioned: true, core.Staging: true, core.Starting: true, core.Running: true, core.Killing: true, core.UnreachableInactive: true}
	lost := map[core.Condition]bool{core.Gone: true, core.Unreachable: true, core.Unknown: true, core.Dropped: true}
	for c := core.Scheduled; c <= core.Unknown; c++ {
		for _, goal := range []core.Goal{core.GoalRunning, core.GoalStopped} {
			i := &core.Instance{Condition: c, Goal: goal, Agent: &core.AgentInfo{Host: "a"}}
			waits := goal == core.GoalRunning && !always[c] && c != core.Unreachable
			if got, want := counts(i), !lost[c] && !waits; got != want {
				t.Errorf("%s, goal %v: counts %v, want %v", c, goal, got, want)
			}
			i.Reservation = &core.Reservation{}
			if got, want := counts(i), !lost[c]; got != want {
				t.Errorf("%s with a reservation, goal %v: counts %v, want %v", c, goal, got, want)
			}
		}
	}
	if counts(&core.Instance{Condition: core.Running}) {
		t.Error("one without an agent counts")
	}
}

// TestOfferOrder is D-13: first in first out, gone when rescinded, declined with the short filter when kept too long.
func TestOfferOrder(t *testing.T) {
	r := newRig(t)
	r.put(`{"id":"/web","instances":1}`)
	first, second := r.offerOf("a"), r.offerOf("b")
	b := r.do(Mesos{offers.Received{Offers: []offers.Offer{first, second}}})
	if acc := calls[offers.Accept](b); len(acc) != 1 || acc[0].OfferIDs[0] != first.ID {
		t.Errorf("%+v", b.Calls)
	}
	b = &Batch{}
	third := r.offerOf("c")
	r.m.Step(r.now, Mesos{offers.Received{Offers: []offers.Offer{third}}}, b)
	r.m.Step(r.now, Mesos{offers.Rescinded{OfferID: third.ID}}, b)
	r.m.Settle(r.now, b)
	if len(calls[offers.Accept](b))+len(calls[offers.Decline](b)) > 0 { // I8
		t.Errorf("a rescinded offer is answered: %+v", b.Calls)
	}
	late := r.offerOf("d")
	b = &Batch{}
	r.m.Step(r.now, Mesos{offers.Received{Offers: []offers.Offer{late}}}, b)
	r.m.Settle(r.now+3000, b)
	if d := calls[offers.Decline](b); len(d) != 1 || d[0].RefuseSeconds != nil {
		t.Errorf("%+v", b.Calls)
	}
}

// TestFairness is D-40 and D-28: specs take turns on an offer and over offers; tokens are shared; a large backlog does
// not keep a small spec waiting.
func TestFairness(t *testing.T) {
	perSpec := func(b *Batch) map[core.PathID]int {
		n := map[core.PathID]int{}
		for _, id := range launches(b) {
			name, _ := core.ParseTaskID(id)
			n[name.Spec]++
		}
		return n
	}
	t.Run("within one offer", func(t *testing.T) {
		r := newRig(t)
		r.put(`{"id":"/big","instances":50}`)
		r.put(`{"id":"/small","instances":2}`)
		if n := perSpec(r.offer("a", cpus(4)...)); n["/big"] != 2 || n["/small"] != 2 {
			t.Errorf("%v", n)
		}
	})
	t.Run("over offers", func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Offers.MaxInstancesPerOffer = 1 })
		for k := range 5 {
			r.put(fmt.Sprintf(`{"id":"/app%d","instances":3}`, k))
		}
		for range 3 { // three rounds: each spec once per round
			seen := map[core.PathID]int{}
			for range 5 {
				for id, n := range perSpec(r.offer("a")) {
					seen[id] += n
				}
			}
			if len(seen) != 5 {
				t.Errorf("a round served %v", seen)
			}
		}
	})
	t.Run("tokens (5.1, 7.6)", func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.LaunchTokens = 4 })
		r.put(`{"id":"/big","instances":50}`)
		r.put(`{"id":"/small","instances":2}`)
		b := r.offer("a")
		if n := perSpec(b); n["/big"] != 2 || n["/small"] != 2 {
			t.Errorf("%v", n)
		}
		if len(calls[offers.Suppress](b)) != 1 {
			t.Error("offers are asked for without a token")
		}
		if n := launches(r.offer("a")); len(n) > 0 {
			t.Errorf("launched %v without tokens", n)
		}
		b = r.status(r.ids("/small")[0], "TASK_RUNNING") // one token comes back
		if len(calls[offers.Revive](b)) != 1 || len(launches(r.offer("a"))) != 1 {
			t.Error("the token of a running instance does not come back")
		}
		if b = r.wait(31 * time.Second); len(calls[offers.Revive](b)) == 0 || len(launches(r.offer("a"))) != 4 {
			t.Error("no new tokens")
		}
	})
	t.Run("a broken spec does not stop the others (D-16, E.1.11)", func(t *testing.T) {
		r := newRig(t)
		r.put(`{"id":"/a","constraints":[["hostname","LIKE","("]]}`)
		r.put(`{"id":"/b"}`)
		if n := perSpec(r.offer("a")); n["/b"] != 1 || n["/a"] != 0 {
			t.Errorf("%v", n)
		}
	})
}

// TestSoftAvoidance is D-64: an agent that fails every launch is left for others, but never for ever.
func TestSoftAvoidance(t *testing.T) {
	fail := func(r *rig, times int) core.InstanceID {
		r.put(`{"id":"/web","backoffSeconds":0}`)
		id := r.ids("/web")[0]
		for range times {
			r.offer("bad")
			r.status(id, "TASK_FAILED")
			r.wait(10 * time.Millisecond)
		}
		return id
	}
	t.Run("others are preferred after three failures", func(t *testing.T) {
		r := newRig(t)
		fail(r, 3)
		if n := launches(r.give(r.offerOf("bad"), r.offerOf("good"))); len(n) != 1 || r.get(r.ids("/web")[0]).Agent.Host != "good" {
			t.Errorf("launched on %s", r.get(r.ids("/web")[0]).Agent.Host)
		}
	})
	t.Run("two are not enough", func(t *testing.T) {
		r := newRig(t)
		id := fail(r, 2)
		if r.offer("bad"); r.get(id).Condition != core.Provisioned {
			t.Error("avoided")
		}
	})
	t.Run("no hard exclusion: offers are asked for again after a while", func(t *testing.T) {
		r := newRig(t)
		id := fail(r, 3)
		if n := launches(r.offer("bad")); len(n) > 0 {
			t.Fatalf("launched %v", n)
		}
		b := r.wait(11 * time.Second)
		if len(calls[offers.Revive](b)) == 0 {
			t.Error("no revive")
		}
		if r.offer("bad"); r.get(id).Condition != core.Provisioned {
			t.Error("excluded")
		}
	})
	t.Run("a launch that runs clears the record", func(t *testing.T) {
		r := newRig(t)
		id := fail(r, 2)
		r.offer("bad")
		r.status(id, "TASK_RUNNING")
		r.status(id, "TASK_FAILED") // it did run, the agent is not to blame
		if r.offer("bad"); r.get(id).Condition != core.Provisioned {
			t.Error("avoided")
		}
	})
	t.Run("old failures are forgotten", func(t *testing.T) {
		r := newRig(t)
		id := fail(r, 3)
		r.wait(6 * time.Minute)
		if r.offer("bad"); r.get(id).Condition != core.Provisioned || len(r.m.avoided) > 0 {
			t.Error("remembered")
		}
	})
}
