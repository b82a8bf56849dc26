package machine

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"stadion/core"
	"stadion/offers"
)

func (r *rig) explain(id core.PathID) *Explanation {
	s, _ := r.m.st.Spec(id)
	return Explain(&r.m.st.View, r.cfg.Offers, s, r.now)
}

// TestExplain: what is in the way, one thing after the other (D-53, D-48, D-49, D-54).
func TestExplain(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(*rig)
		want    string // waitingFor
		text    string
	}{
		{"all is well", func(r *rig) { r.running(`{"id":"/web"}`) }, "", "nothing waits"},
		{"no offers", func(r *rig) { r.put(`{"id":"/web"}`) }, "offers", "no offers have come for role *"},
		{"no master", func(r *rig) {
			r.put(`{"id":"/web"}`)
			r.do(Mesos{offers.Disconnected{}})
		}, "connection", "no connection"},
		{"delay", func(r *rig) { r.status(r.running(`{"id":"/web","backoffSeconds":20}`)[0], "TASK_FAILED") }, "delay", "another 20s"},
		{"refused role", func(r *rig) {
			r.put(`{"id":"/web","role":"dev"}`)
			r.do(Mesos{offers.RoleRefused{Roles: []string{"dev"}, Message: "not yours"}})
		}, "role", "refuses role dev: not yours"},
		{"an earlier step", func(r *rig) {
			r.change(core.Change{Put: []core.RunSpec{testApp(r.t, `{"id":"/db"}`), testApp(r.t, `{"id":"/web","dependencies":["/db"]}`)}})
		}, "deployment", "step 2 of 3 first: [/db]"},
		{"too little memory", func(r *rig) {
			r.put(`{"id":"/web","mem":512}`)
			r.offer("small", plenty()[0], offers.Resource{Name: "mem", Value: 64}, plenty()[3])
			r.offer("medium", plenty()[0], offers.Resource{Name: "mem", Value: 384}, plenty()[3])
		}, "resources", "none of 2 agents fits; nearest is medium: it lacks 128 MiB of memory"},
		{"a constraint", func(r *rig) {
			r.running(`{"id":"/web","constraints":[["hostname","UNIQUE"]]}`)
			r.force(`{"id":"/web","instances":3,"constraints":[["hostname","UNIQUE"]]}`)
			r.offer("a")
		}, "resources", "nearest is a: drop the constraint hostname UNIQUE"},
		{"ports", func(r *rig) {
			r.put(`{"id":"/web","requirePorts":true,"portDefinitions":[{"port":80,"protocol":"tcp"}]}`)
			r.offer("a")
		}, "resources", "nearest is a: free the ports"},
		{"nothing single is enough", func(r *rig) {
			r.put(`{"id":"/web","cpus":100,"mem":1000000}`)
			r.offer("a")
		}, "resources", "nearest is a: [InsufficientCpus InsufficientMemory]"},
		{"maintenance", func(r *rig) {
			r.put(`{"id":"/web"}`)
			o := r.offerOf("a")
			o.Unavailability = &offers.Unavailability{Start: r.now - 1000}
			r.give(o)
		}, "resources", "nearest is a: end its maintenance"},
		{"reserved resources only", func(r *rig) {
			r.put(`{"id":"/web","acceptedResourceRoles":["other"]}`)
			r.offer("a")
		}, "resources", "nearest is a: accept resources of any role"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			c.prepare(r)
			r.wait(1500 * time.Millisecond)
			if c.name == "delay" {
				r.now -= 1500
			}
			e := r.explain("/web")
			if e.WaitingFor != c.want || !strings.Contains(e.Text, c.text) {
				t.Errorf("%q: %s", e.WaitingFor, e.Text)
			}
		})
	}
	t.Run("the funnel adds up, the constraint's end lets all of them run", func(t *testing.T) {
		r := newRig(t)
		r.running(`{"id":"/web","constraints":[["hostname","UNIQUE"]]}`)
		r.force(`{"id":"/web","instances":4,"constraints":[["hostname","UNIQUE"]]}`)
		r.offer("a")
		r.wait(1500 * time.Millisecond)
		e := r.explain("/web")
		if e.Nearest == nil || e.Nearest.Places != 3 || e.Nearest.Agents != 1 || e.Waiting != 3 {
			t.Errorf("%+v", e.Nearest)
		}
		if row := e.Funnel[offers.UnfulfilledConstraint]; row.Declined != 1 || row.Processed != 1 || len(e.Funnel) != 10 {
			t.Errorf("%+v", e.Funnel)
		}
	})
	t.Run("a resident waits for its agent (D-48)", func(t *testing.T) {
		r := newRig(t)
		r.status(r.resident(db), "TASK_KILLED")
		if e := r.explain("/db"); e.WaitingFor != "agent" || e.WaitsFor != "a" {
			t.Errorf("%+v", e)
		}
	})
	t.Run("a pod", func(t *testing.T) {
		r := newRig(t)
		r.change(core.Change{Put: []core.RunSpec{testPod(t, twoContainers)}})
		r.offer("a", offers.Resource{Name: "cpus", Value: 0.2}, plenty()[1], plenty()[2])
		r.wait(1500 * time.Millisecond)
		if e := r.explain("/pod"); e.Nearest == nil || e.Nearest.Lacks < 0.099 || e.Nearest.Lacks > 0.101 {
			t.Errorf("%+v", e.Nearest)
		}
	})
}

// TestNamedChangeHelps: on random clusters the change that is named really lets an instance run, by asking the whole
// machine again.
func TestNamedChangeHelps(t *testing.T) {
	named := 0
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		app := fmt.Sprintf(`{"id":"/web","cpus":%d,"mem":%d`, 1+rnd.IntN(4), 100*(1+rnd.IntN(5)))
		if rnd.IntN(2) == 0 {
			app += `,"constraints":[["hostname","LIKE","h[0-3]"]]`
		}
		app += "}"
		r := newRig(t)
		r.put(app)
		var list []offers.Offer
		for k := range 6 {
			list = append(list, r.offerOf(fmt.Sprintf("h%d", k), offers.Resource{Name: "cpus", Value: float64(rnd.IntN(4))}, offers.Resource{Name: "mem", Value: float64(50 * rnd.IntN(8))}, plenty()[3]))
		}
		r.give(list...)
		r.wait(1500 * time.Millisecond)
		e := r.explain("/web")
		if e.Nearest == nil || e.Nearest.Change == "" {
			continue
		}
		named++
		again := newRig(t)
		again.change(core.Change{Put: []core.RunSpec{e.Nearest.changed}})
		if got := launches(again.give(list...)); len(got) != 1 || e.Nearest.Places != 1 {
			t.Errorf("seed %d: %s: %+v launches %v", seed, app, e.Nearest, got)
		}
	}
	if named < 50 {
		t.Errorf("only %d changes were named", named)
	}
}
