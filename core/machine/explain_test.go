package machine

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
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
		{"not healthy yet", func(r *rig) {
			r.running(`{"id":"/web","healthChecks":[{"protocol":"COMMAND","command":{"value":"true"}}]}`)
		}, "health", "1 of 1 running instances have not passed"},
		{"not started yet", func(r *rig) {
			r.put(`{"id":"/web"}`)
			r.offer("a")
		}, "start", "1 of 1 instances are launched and do not run yet"},
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
		{"a refused reservation", func(r *rig) {
			r.put(`{"id":"/web",` + volume + `}`)
			r.give(r.dbOffer("a"))
			r.give(r.dbOffer("a"))
		}, "reservation", "asked for on a and is not offered; if that stays so, the master refuses RESERVE or CREATE for role db"},
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

// namedChange is a cluster in which one thing alone is in the way of an instance.
type namedChange struct {
	name  string
	app   string          // without id and braces
	first *core.AgentInfo // where a first instance runs; the second one waits
	offer offers.Offer    // that does not do
	want  string          // the change
	lacks float64         // of the resource in the change
}

// TestEachNamedChangeHelps: for every requirement that may be all that is in the way, the change that explain names is
// carried out, on the definition or on the cluster as it says, and then the whole machine places the instance: in a new
// cluster, where without the change it does not, and in the running one.
func TestEachNamedChangeHelps(t *testing.T) {
	gpus := func(n float64) offers.Resource { return offers.Resource{Name: "gpus", Value: n} }
	reserved := plenty()
	for n := range reserved {
		reserved[n].Reservations = []offers.ReservationInfo{{Role: "dev"}}
	}
	on := func(rack string) *core.AgentInfo {
		return &core.AgentInfo{ID: "S-" + rack, Host: "h-" + rack, Attributes: []core.Attribute{{Name: "rack", Value: rack}}}
	}
	for _, c := range []namedChange{
		{name: "cpus", app: `"cpus":0.7`, offer: offers.Offer{Resources: less("cpus", 0.4)}, want: "it lacks 0.3 cpus", lacks: 0.3},
		{name: "cpus, the last thousandth", app: `"cpus":2`, offer: offers.Offer{Resources: less("cpus", 1.999)}, want: "it lacks 0.001 cpus", lacks: 0.001},
		{name: "no cpus at all", app: `"cpus":2`, offer: offers.Offer{Resources: less("cpus", 0)}, want: "it lacks 2 cpus", lacks: 2},
		{name: "mem", app: `"mem":512`, offer: offers.Offer{Resources: less("mem", 384)}, want: "it lacks 128 MiB of memory", lacks: 128},
		{name: "much mem", app: `"mem":77881`, offer: offers.Offer{}, want: "it lacks 12345 MiB of memory", lacks: 12345},
		{name: "disk", app: `"disk":10`, offer: offers.Offer{Resources: less("disk", 2.5)}, want: "it lacks 7.5 MiB of disk", lacks: 7.5},
		{name: "much disk", app: `"disk":1234567`, offer: offers.Offer{}, want: "it lacks 1134567 MiB of disk", lacks: 1134567},
		{name: "gpus", app: `"gpus":3`, offer: offers.Offer{Resources: append(plenty(), gpus(1))}, want: "it lacks 2 GPUs", lacks: 2},
		{name: "no gpus at all", app: `"gpus":1`, offer: offers.Offer{}, want: "it lacks 1 GPUs", lacks: 1},
		{name: "agents with gpus", offer: offers.Offer{Resources: append(plenty(), gpus(1))}, want: "let it use agents with GPUs"},
		{name: "ports", app: `"requirePorts":true,"portDefinitions":[{"port":80,"protocol":"tcp"}]`, offer: offers.Offer{}, want: "free the ports it asks for"},
		{name: "role", app: `"role":"dev","acceptedResourceRoles":["*"]`, offer: offers.Offer{Role: "dev", Resources: reserved}, want: "accept resources of any role"},
		{name: "part of it reserved", app: `"cpus":2,"role":"dev","acceptedResourceRoles":["*"]`, offer: offers.Offer{Role: "dev", Resources: append(less("cpus", 1), reserved[0])}, want: "it lacks 1 cpus", lacks: 1},
		{name: "maintenance", offer: offers.Offer{Unavailability: &offers.Unavailability{Start: rigStart - 1000}}, want: "end its maintenance"},
		{name: "region", offer: offers.Offer{Agent: &core.AgentInfo{ID: "S-far", Host: "far", Region: "eu"}}, want: "allow its region eu by a constraint"},
		{name: "UNIQUE", app: `"constraints":[["rack","UNIQUE"]]`, first: on("1"), offer: offers.Offer{Agent: on("1")}, want: "drop the constraint rack UNIQUE"},
		{name: "CLUSTER", app: `"constraints":[["rack","CLUSTER"]]`, first: on("1"), offer: offers.Offer{Agent: on("2")}, want: "drop the constraint rack CLUSTER"},
		{name: "CLUSTER of a value", app: `"constraints":[["rack","CLUSTER","1"]]`, offer: offers.Offer{Agent: on("2")}, want: "drop the constraint rack CLUSTER 1"},
		{name: "GROUP_BY", app: `"constraints":[["rack","GROUP_BY","2"]]`, first: on("1"), offer: offers.Offer{Agent: on("1")}, want: "drop the constraint rack GROUP_BY 2"},
		{name: "LIKE", app: `"constraints":[["rack","LIKE","[0-3]"]]`, offer: offers.Offer{Agent: on("4")}, want: "drop the constraint rack LIKE [0-3]"},
		{name: "UNLIKE", app: `"constraints":[["rack","UNLIKE","[0-3]"]]`, offer: offers.Offer{Agent: on("2")}, want: "drop the constraint rack UNLIKE [0-3]"},
		{name: "MAX_PER", app: `"constraints":[["rack","MAX_PER","1"]]`, first: on("1"), offer: offers.Offer{Agent: on("1")}, want: "drop the constraint rack MAX_PER 1"},
		{name: "IS", app: `"constraints":[["rack","IS","1"]]`, offer: offers.Offer{Agent: on("2")}, want: "drop the constraint rack IS 1"},
		{name: "one of three", app: `"constraints":[["rack","LIKE",".*"],["rack","IS","1"],["hostname","UNLIKE","x"]]`, offer: offers.Offer{Agent: on("2")}, want: "drop the constraint rack IS 1"},
	} {
		t.Run(c.name, c.check)
	}
}

// check explains why the offer does not do, carries the change out and sees whether it helps.
func (c namedChange) check(t *testing.T) {
	text := `{"id":"/web"`
	if c.app != "" {
		text += "," + c.app
	}
	r, app := newRig(t), testApp(t, text+"}")
	r.change(core.Change{Put: []core.RunSpec{app}})
	if c.first != nil {
		r.agents[c.first.Host] = c.first
		r.up("/web", c.first.Host)
		two := *app
		two.Instances = 2
		app = &two
		r.change(core.Change{Put: []core.RunSpec{app}, Force: true})
	}
	if got := launches(r.give(r.like(c.offer))); len(got) != 0 {
		t.Fatalf("the offer does: %v", got)
	}
	r.wait(1500 * time.Millisecond)
	e := r.explain("/web")
	if e.Nearest == nil || e.Nearest.Change != c.want || math.Abs(e.Nearest.Lacks-c.lacks) > 1e-9 || e.Nearest.Places != 1 || e.Nearest.Agents != 1 {
		t.Fatalf("%s: %+v", e.Text, e.Nearest)
	}
	again := func(app *core.App, o offers.Offer) int {
		fresh := newRig(t)
		fresh.change(core.Change{Put: []core.RunSpec{app}})
		if c.first != nil { // which has room for one of the two
			fresh.agents[c.first.Host] = c.first
			if got := launches(fresh.offer(c.first.Host, less("cpus", float64(app.CPUs))...)); len(got) != 1 {
				t.Fatalf("on the first agent: %v", got)
			}
		}
		return len(launches(fresh.give(o)))
	}
	changed, o := carryOut(t, e.Nearest.Change, app, r.like(c.offer))
	if again(app, r.like(c.offer)) != 0 || again(changed, o) != 1 {
		t.Errorf("%s: placed %d before and %d after that", e.Nearest.Change, again(app, r.like(c.offer)), again(changed, o))
	}
	r.change(core.Change{Put: []core.RunSpec{changed}, Force: true})
	r.wait(1500 * time.Millisecond)
	if got := launches(r.give(o)); len(got) == 0 {
		t.Errorf("%s: done in the running cluster, nothing is placed: %s", e.Nearest.Change, r.explain("/web").Text)
	}
}

// less is plenty of everything but one scalar.
func less(name string, value float64) []offers.Resource {
	list := slices.DeleteFunc(plenty(), func(r offers.Resource) bool { return r.Name == name })
	if value > 0 {
		list = append(list, offers.Resource{Name: name, Value: value})
	}
	return list
}

// like is a new offer like a given one, of an agent with plenty of everything for role * where it does not say.
func (r *rig) like(o offers.Offer) offers.Offer {
	full := r.offerOf("a", o.Resources...)
	full.Agent, full.Role, full.Unavailability = cmp.Or(o.Agent, full.Agent), cmp.Or(o.Role, full.Role), o.Unavailability
	return full
}

// carryOut does what a change says, word by word, as an operator would who knows the text alone, to the definition or to
// the agent and so to its offer.
func carryOut(t *testing.T, change string, app *core.App, o offers.Offer) (*core.App, offers.Offer) {
	t.Helper()
	c := *app
	c.Constraints = slices.Clone(app.Constraints)
	words := strings.Fields(change)
	switch {
	case strings.HasPrefix(change, "it lacks "):
		n, err := strconv.ParseFloat(words[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		switch words[len(words)-1] {
		case "cpus":
			c.CPUs -= core.Num(n)
		case "memory":
			c.Mem -= core.Num(n)
		case "disk":
			c.Disk -= core.Num(n)
		case "GPUs":
			c.GPUs -= int(n)
		default:
			t.Fatalf("what is %q", change)
		}
	case change == "let it use agents with GPUs":
		c.Labels = map[string]string{"GPU_SCHEDULING_BEHAVIOR": "unrestricted"}
	case change == "accept resources of any role":
		c.AcceptedResourceRoles = []string{"*", c.Role}
	case strings.HasPrefix(change, "drop the constraint "):
		c.Constraints = slices.DeleteFunc(c.Constraints, func(k core.Constraint) bool {
			return strings.Join(words[3:], " ") == strings.TrimSpace(k.Field+" "+k.Operator+" "+k.Value)
		})
		if len(c.Constraints) != len(app.Constraints)-1 {
			t.Fatalf("%q is not a constraint of %v", change, app.Constraints)
		}
	case strings.HasPrefix(change, "allow its region "):
		c.Constraints = append(c.Constraints, core.Constraint{Field: "@region", Operator: "IS", Value: words[3]})
	case change == "free the ports it asks for":
		for _, p := range app.PortDefinitions {
			o.Resources = append(slices.Clone(o.Resources), offers.Resource{Name: "ports", Type: offers.Ranges, Ranges: []offers.Range{{Begin: uint64(p.Port), End: uint64(p.Port)}}})
		}
	case change == "end its maintenance":
		o.Unavailability = nil
	default:
		t.Fatalf("what is %q", change)
	}
	return &c, o
}

// TestNamedChangesCountByKind: agents are counted only where the same change helps. One in maintenance or in another
// region is not one of those that break a constraint, though all are refused for a constraint first; one that lacks
// more memory is.
func TestNamedChangesCountByKind(t *testing.T) {
	r := newRig(t)
	r.put(`{"id":"/web","constraints":[["hostname","UNLIKE","[ab]"]]}`)
	calm := r.offerOf("c")
	calm.Unavailability = &offers.Unavailability{Start: r.now - 1000}
	far := r.offerOf("far")
	far.Agent = &core.AgentInfo{ID: "S-far", Host: "far", Region: "eu"}
	r.give(r.offerOf("a"), r.offerOf("b"), calm, far)
	r.wait(1500 * time.Millisecond)
	if e := r.explain("/web"); e.Nearest == nil || e.Nearest.Change != "drop the constraint hostname UNLIKE [ab]" || e.Nearest.Agents != 2 {
		t.Errorf("%s: %+v", e.Text, e.Nearest)
	}
	r = newRig(t)
	r.put(`{"id":"/web","mem":512}`)
	for host, mem := range map[string]float64{"a": 100, "b": 500} {
		r.offer(host, plenty()[0], offers.Resource{Name: "mem", Value: mem}, plenty()[3])
	}
	r.wait(1500 * time.Millisecond)
	if e := r.explain("/web"); e.Nearest == nil || e.Nearest.Change != "it lacks 12 MiB of memory" || e.Nearest.Agents != 2 {
		t.Errorf("%s: %+v", e.Text, e.Nearest)
	}
}
