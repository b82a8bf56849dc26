package machine

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"stadion/core"
	"stadion/offers"
)

// byHost counts the launched instances of a spec per agent.
func (r *rig) byHost(id core.PathID) map[string]int {
	n := map[string]int{}
	for i := range r.m.st.InstancesOf(id) {
		if i.Launched() {
			n[i.Agent.Host]++
		}
	}
	return n
}

// sized are offers of agents with so many cpus each.
func (r *rig) sized(cpus map[string]float64) (out []offers.Offer) {
	for _, host := range slices.Sorted(maps.Keys(cpus)) {
		out = append(out, r.offerOf(host, offers.Resource{Name: "cpus", Value: cpus[host]}, plenty()[1], plenty()[2], plenty()[3]))
	}
	return out
}

// TestPlacementStrategies: the label decides, else the flag, which of the agents that fit an instance takes.
func TestPlacementStrategies(t *testing.T) {
	agents := map[string]float64{"a": 3, "b": 8, "c": 2, "d": 1}
	for _, c := range []struct {
		name, flag, app string
		want            map[string]int
	}{
		{"as Marathon: the oldest offer", "", `{"id":"/web","cpus":1,"instances":3}`, map[string]int{"a": 3}},
		{"an unknown strategy is the default", "", `{"id":"/web","cpus":1,"instances":3,"labels":{"STADION_PLACEMENT":"best"}}`, map[string]int{"a": 3}},
		{"spread: agents without the spec first", "", `{"id":"/web","cpus":1,"instances":4,"labels":{"STADION_PLACEMENT":"spread"}}`, map[string]int{"a": 1, "b": 1, "c": 1, "d": 1}},
		{"spread: of equals the emptiest", "", `{"id":"/web","cpus":1,"instances":6,"labels":{"STADION_PLACEMENT":"spread"}}`, map[string]int{"a": 2, "b": 2, "c": 1, "d": 1}},
		{"spread: more than there are best places", "", `{"id":"/web","cpus":1,"instances":14,"labels":{"STADION_PLACEMENT":"spread"}}`, map[string]int{"a": 3, "b": 8, "c": 2, "d": 1}},
		{"binpack: the fullest", "", `{"id":"/web","cpus":1,"instances":3,"labels":{"STADION_PLACEMENT":"binpack"}}`, map[string]int{"d": 1, "c": 2}},
		{"binpack: the fullest that fits", "", `{"id":"/web","cpus":2,"instances":2,"labels":{"STADION_PLACEMENT":"binpack"}}`, map[string]int{"c": 1, "a": 1}},
		{"by the flag", "binpack", `{"id":"/web","cpus":1,"instances":1}`, map[string]int{"d": 1}},
		{"the label before the flag", "binpack", `{"id":"/web","cpus":1,"instances":3,"labels":{"STADION_PLACEMENT":"first"}}`, map[string]int{"a": 3}},
		{"constraints come first", "", `{"id":"/web","cpus":1,"instances":2,"constraints":[["hostname","UNLIKE","[cd]"]],"labels":{"STADION_PLACEMENT":"binpack"}}`, map[string]int{"a": 2}},
		{"a counting constraint", "", `{"id":"/web","cpus":1,"instances":3,"constraints":[["hostname","UNIQUE"]],"labels":{"STADION_PLACEMENT":"binpack"}}`, map[string]int{"d": 1, "c": 1, "a": 1}},
		// c fits only one before others have theirs: what was refused is looked at again.
		{"GROUP_BY evens out on the best agents", "", `{"id":"/web","cpus":0.5,"instances":8,"constraints":[["hostname","GROUP_BY","4"]],"labels":{"STADION_PLACEMENT":"spread"}}`, map[string]int{"a": 2, "b": 2, "c": 2, "d": 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, func(k *Config) { k.Offers.Placement = c.flag })
			r.put(c.app)
			b := r.give(r.sized(agents)...)
			if got := r.byHost("/web"); !maps.Equal(got, c.want) {
				t.Errorf("placed on %v, want %v", got, c.want)
			}
			if n := answered(b); n != len(agents) { // I8
				t.Errorf("%d of %d offers are answered", n, len(agents))
			}
		})
	}
}

// answered counts the offers that calls use or decline; an offer named twice counts twice.
func answered(b *Batch) (n int) {
	for _, a := range calls[offers.Accept](b) {
		n += len(a.OfferIDs)
	}
	for _, d := range calls[offers.Decline](b) {
		n += len(d.OfferIDs)
	}
	return n
}

// TestSpreadCounts: instances that run already count, those of an older configuration do not (behaviour 5.5.2).
func TestSpreadCounts(t *testing.T) {
	const app = `{"id":"/web","cpus":1,"instances":%d,"env":{"V":"%d"},"labels":{"STADION_PLACEMENT":"spread"}}`
	r := newRig(t)
	r.put(fmt.Sprintf(app, 1, 1))
	for _, id := range r.up("/web", "big") {
		if r.get(id).Agent.Host != "big" {
			t.Fatal("not there")
		}
	}
	r.force(fmt.Sprintf(app, 2, 1))
	r.give(r.sized(map[string]float64{"big": 32, "small": 2})...)
	if got := r.byHost("/web"); got["small"] != 1 || got["big"] != 1 {
		t.Errorf("%v", got)
	}
}

// TestRandomPlacement: over many launches every agent gets its share.
func TestRandomPlacement(t *testing.T) {
	r := newRig(t)
	r.put(`{"id":"/web","cpus":0.1,"instances":200,"labels":{"STADION_PLACEMENT":"random"}}`)
	r.give(r.sized(map[string]float64{"a": 100, "b": 100, "c": 100, "d": 100})...)
	for host, n := range r.byHost("/web") {
		if n < 20 || n > 80 {
			t.Errorf("%d of 200 are on %s", n, host)
		}
	}
	if len(r.byHost("/web")) != 4 {
		t.Errorf("%v", r.byHost("/web"))
	}
}

// TestStrategiesShare is D-40 with placement strategies: specs with and without one take turns, batches end when they are
// full, and what a full batch leaves is looked at in the next.
func TestStrategiesShare(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxRows = 20 })
	r.put(`{"id":"/spread","cpus":1,"instances":100,"labels":{"STADION_PLACEMENT":"spread"}}`)
	r.put(`{"id":"/pack","cpus":1,"instances":100,"labels":{"STADION_PLACEMENT":"binpack"}}`)
	r.put(`{"id":"/first","cpus":1,"instances":3}`)
	var list []offers.Offer
	for n := range 30 {
		list = append(list, r.offerOf(fmt.Sprintf("h%02d", n), cpus(4)...))
	}
	b := &Batch{}
	r.m.Step(r.now, Mesos{offers.Received{Offers: list}}, b)
	r.m.Settle(r.now, b)
	if got := r.byHost("/first"); len(got) == 0 {
		t.Errorf("one of three without a strategy waits while others fill the batch: %v", got)
	}
	for n := 0; r.m.Pending(); n++ {
		if n > 1000 {
			t.Fatal("it never ends")
		}
		r.m.Settle(r.now, b)
	}
	if n := answered(b); n != len(list) {
		t.Errorf("%d of %d offers are answered", n, len(list))
	}
	if got := len(r.byHost("/spread")); got < 5 {
		t.Errorf("spread over %d agents", got)
	}
}

// TestStrategyStatistics: a spec with a strategy that fits nowhere counts every offer once (D-53), and nothing is held
// beyond the timeout (D-40).
func TestStrategyStatistics(t *testing.T) {
	for _, app := range []string{`{"id":"/web","cpus":4,"labels":{"STADION_PLACEMENT":"spread"}}`,
		`{"id":"/web","cpus":4,"constraints":[["hostname","UNIQUE"]],"labels":{"STADION_PLACEMENT":"binpack"}}`} {
		r := newRig(t)
		r.put(app)
		if b := r.give(r.sized(map[string]float64{"a": 1, "b": 2, "c": 3})...); answered(b) != 3 || len(r.m.queue.held) != 0 {
			t.Errorf("%d answered, %d held", answered(b), len(r.m.queue.held))
		}
		r.wait(2 * time.Second)
		if s := r.m.st.Stats("/web"); s == nil || s.Processed != 3 || s.Unused != 3 || s.Funnel[offers.InsufficientCpus] != 3 || len(lastOf(s)) != 3 {
			t.Errorf("%+v", s)
		}
	}
}

// TestBestOfferWins: on random clusters an instance takes an offer that no other offer that fits beats, as rated by the
// matcher one by one.
func TestBestOfferWins(t *testing.T) {
	placed := 0
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		strategy := offers.Strategies[1+rnd.IntN(2)] // spread, binpack
		app := fmt.Sprintf(`{"id":"/web","cpus":%d,"mem":%d,"instances":1,"labels":{"STADION_PLACEMENT":"%s"}`, 1+rnd.IntN(4), 100*(1+rnd.IntN(4)), strategy)
		if rnd.IntN(2) == 0 {
			app += `,"constraints":[["hostname","LIKE","h[0-3]"]]`
		}
		app += "}"
		r := newRig(t)
		r.put(app)
		var list []offers.Offer
		for k := range 6 {
			list = append(list, r.offerOf(fmt.Sprintf("h%d", k), offers.Resource{Name: "cpus", Value: float64(rnd.IntN(8))}, offers.Resource{Name: "mem", Value: float64(100 * rnd.IntN(8))}, plenty()[3]))
		}
		waits := r.get(r.ids("/web")[0])
		spec, _ := r.m.st.Spec("/web")
		best, where := 0.0, ""
		for _, o := range list {
			need := &offers.Need{Spec: spec, Instance: waits}
			if len(offers.TryMatch(&r.cfg.Offers, r.now, rnd, &o, o.Resources, need).Operations) == 0 {
				continue
			}
			if score := offers.Score(strategy, rnd, &o, o.Resources, need); where == "" || score > best {
				best, where = score, o.Agent.Host
			}
		}
		r.give(list...)
		got := r.get(waits.ID)
		switch {
		case where == "" && got.Launched():
			t.Errorf("seed %d: launched although nothing fits", seed)
		case where != "" && (!got.Launched() || got.Agent.Host != where):
			t.Errorf("seed %d: %s: placed on %+v, best is %s", seed, app, got.Agent, where)
		case where != "":
			placed++
		}
	}
	if placed < 50 {
		t.Errorf("only %d were placed", placed)
	}
}
