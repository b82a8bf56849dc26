package mesosproto

import (
	"strings"
	"testing"
	"time"
)

// TestOffers is what an offer has (REC 03).
func TestOffers(t *testing.T) {
	m := newMaster(t)
	f := m.framework(nil).subscribe()
	ev := f.await("OFFERS", patience, isOffers)
	all := ev.Offers.Offers
	t.Run("one event, one offer per agent", func(t *testing.T) {
		if len(all) != agentCount || all[0].AgentID == all[1].AgentID {
			t.Fatalf("%d offers", len(all))
		}
	})
	o := all[0]
	master := strings.TrimSuffix(f.id, f.id[strings.LastIndex(f.id, "-"):])
	t.Run("ids", func(t *testing.T) {
		if !strings.HasPrefix(o.ID, master+"-O") || o.FrameworkID != f.id || !strings.Contains(o.AgentID, "-S") {
			t.Errorf("offer %s of %s for %s", o.ID, o.AgentID, o.FrameworkID)
		}
	})
	t.Run("url of the agent", func(t *testing.T) {
		url, _ := o.Raw["url"].(obj)
		address, _ := url["address"].(obj)
		if url["scheme"] != "http" || url["path"] != "/slave(1)" || address["hostname"] != o.Hostname || address["ip"] == nil || address["port"] == nil {
			t.Errorf("url %v", url)
		}
	})
	t.Run("allocation_info of offer and of every resource", func(t *testing.T) {
		if o.Role != "web" {
			t.Errorf("offer of role %q", o.Role)
		}
		for _, r := range o.Resources {
			if r.Alloc == nil || r.Alloc.Role != "web" {
				t.Errorf("%s: %v", r.Name, r.Alloc)
			}
		}
	})
	t.Run("unreserved resources have neither role nor reservations", func(t *testing.T) {
		for _, r := range o.Resources {
			if r.Role != nil || r.Reserv != nil {
				t.Errorf("%s: role %v, reservations %v", r.Name, r.Role, r.Reserv)
			}
		}
	})
	t.Run("ports are ranges with begin and end", func(t *testing.T) {
		if o.port(t) == 0 || !strings.Contains(ev.raw, `"ranges":{"range":[{"begin":`) {
			t.Errorf("%s", ev.raw)
		}
	})
	t.Run("scalars have a decimal point", func(t *testing.T) {
		if !strings.Contains(ev.raw, `"scalar":{"value":`+decimal(o.scalar("cpus"))) {
			t.Errorf("%s", ev.raw)
		}
	})
	t.Run("attributes are of type TEXT", func(t *testing.T) {
		attrs, _ := o.Raw["attributes"].(list)
		if len(attrs) == 0 {
			if realURL != "" {
				t.Skip("the agents have no attributes")
			}
			t.Fatal("no attributes")
		}
		if a := attrs[0].(obj); realURL == "" && encode(a) != `{"name":"rack","text":{"value":"r1"},"type":"TEXT"}` {
			t.Errorf("attribute %v", a)
		}
	})
	f.must(t, "TEARDOWN", nil)
	t.Run("old form without capabilities", func(t *testing.T) {
		g := m.oldFramework().subscribe()
		for _, o := range g.offers(t, 1) {
			if o.Raw["allocation_info"] != nil {
				t.Errorf("allocation_info %v", o.Raw["allocation_info"])
			}
			for _, r := range o.Resources {
				if r.Alloc != nil || r.Reserv != nil || r.Role == nil || *r.Role != "*" {
					t.Errorf("%s: role %v, allocation_info %v", r.Name, r.Role, r.Alloc)
				}
			}
		}
	})
}

// TestOddOffers are resources and attributes that not every agent has (REC 03).
func TestOddOffers(t *testing.T) {
	m := newMasterWith(t, "cpus:4;mem:4096;disk:10000;ports:[31500-31599,31700-31799];licenses:3;tags:{x,y};cpus(web):1;mem(web):256",
		"rack:r1;level:3.5;slots:[1-10,20-30]")
	onlyMiniature(t, "03", "the agents have to be set up for it")
	f := m.framework(nil).subscribe()
	o := f.offerOf(t, "")
	has := func(name, part string) {
		t.Run(name, func(t *testing.T) {
			if text := encode(o.Raw); !strings.Contains(text, part) {
				t.Errorf("no %s in %s", part, text)
			}
		})
	}
	const web = `{"allocation_info":{"role":"web"},"name":`
	has("several port ranges", web+`"ports","ranges":{"range":[{"begin":31500,"end":31599},{"begin":31700,"end":31799}]},"type":"RANGES"}`)
	has("set", web+`"tags","set":{"item":["x","y"]},"type":"SET"}`)
	has("custom scalar", web+`"licenses","scalar":{"value":3},"type":"SCALAR"}`)
	has("static reservation", web+`"cpus","reservations":[{"role":"web","type":"STATIC"}],"scalar":{"value":1},"type":"SCALAR"}`)
	has("unreserved beside it", web+`"cpus","scalar":{"value":4},"type":"SCALAR"}`)
	has("text attribute", `{"name":"rack","text":{"value":"r1"},"type":"TEXT"}`)
	has("scalar attribute", `{"name":"level","scalar":{"value":3.5},"type":"SCALAR"}`)
	has("ranges attribute", `{"name":"slots","ranges":{"range":[{"begin":1,"end":10},{"begin":20,"end":30}]},"type":"RANGES"}`)
	f.must(t, "TEARDOWN", nil)
	t.Run("reservation is the role of a resource in the old form", func(t *testing.T) {
		g := m.oldFramework().subscribe()
		o = g.offerOf(t, "")
		text := encode(o.Raw)
		for _, part := range []string{`{"name":"cpus","role":"web","scalar":{"value":1},"type":"SCALAR"}`, `{"name":"cpus","role":"*","scalar":{"value":4},"type":"SCALAR"}`} {
			if !strings.Contains(text, part) {
				t.Errorf("no %s in %s", part, text)
			}
		}
	})
}

// decimal is a whole number as the JSON of Mesos has it.
func decimal(v float64) string {
	text := encode(v)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

// span is a time between two values; rounds come every second. The later one is judged with -exact alone, since a machine
// may be busy with something else for any time.
type span struct{ from, to time.Duration }

func (s span) check(t *testing.T, took time.Duration) {
	t.Helper()
	if took < s.from || *exact && took > s.to {
		t.Errorf("took %s, want %s to %s", took, s.from, s.to)
	}
}

// TestFilters is when a declined agent comes back (REC 04). The subtests share
// two agents, each is for one agent at a time.
func TestFilters(t *testing.T) {
	const round, slack = time.Second, 400 * time.Millisecond
	after := func(d time.Duration) span { return span{d - slack/4, d + round + slack} }
	type refuse func(f *framework, t *testing.T, o offer)
	decline := func(filters obj) refuse {
		return func(f *framework, t *testing.T, o offer) {
			t.Helper()
			body := obj{"offer_ids": ids(o)}
			if filters != nil {
				body["filters"] = filters
			}
			f.must(t, "DECLINE", body)
		}
	}
	accept := func(filters obj, ops ...obj) refuse {
		return func(f *framework, t *testing.T, o offer) {
			t.Helper()
			body := obj{"offer_ids": ids(o), "operations": ops}
			if filters != nil {
				body["filters"] = filters
			}
			f.must(t, "ACCEPT", body)
		}
	}
	seconds := func(v float64) obj { return obj{"refuse_seconds": v} }
	for _, c := range []struct {
		name string
		do   refuse
		back span
	}{
		{"DECLINE 3 s", decline(seconds(3)), after(3 * time.Second)},
		{"DECLINE without filters is 5 s", decline(nil), after(5 * time.Second)},
		{"DECLINE with empty filters is 5 s", decline(obj{}), after(5 * time.Second)},
		{"DECLINE 0 comes back at the next round", decline(seconds(0)), span{0, round + slack}},
		{"DECLINE -1 is 5 s", decline(seconds(-1)), after(5 * time.Second)},
		{"DECLINE 0.2 lives one round", decline(seconds(0.2)), span{round - slack, 2*round + slack}},
		{"ACCEPT without operations is a decline", accept(seconds(2)), after(2 * time.Second)},
		{"ACCEPT without operations and filters is 5 s", accept(nil), after(5 * time.Second)},
		{"LAUNCH without its body is a decline of 5 s", accept(nil, obj{"type": "LAUNCH"}), after(5 * time.Second)},
		{"operation of unknown type is a decline of 5 s", accept(nil, obj{"type": "NOSUCH"}), after(5 * time.Second)},
		{"empty LAUNCH gives the offer back", accept(again(), launch()), span{0, round + slack}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMaster(t)
			f := m.framework(nil).subscribe()
			o := f.offerOf(t, "")
			start := time.Now()
			c.do(f, t, o)
			back := f.offerOf(t, o.AgentID)
			c.back.check(t, time.Since(start))
			if back.ID == o.ID {
				t.Errorf("offer %s again", o.ID)
			}
		})
	}
}

// TestFilterRules are the other facts about filters (REC 04).
func TestFilterRules(t *testing.T) {
	t.Run("REVIVE removes filters and offers at once", func(t *testing.T) {
		m := newMaster(t)
		f := m.framework(nil).subscribe()
		o := f.offerOf(t, "")
		f.decline(t, 1e30, o)
		f.never(t, "OFFERS of a declined agent", 2*time.Second, offerOfAgent(o.AgentID))
		start := time.Now()
		f.must(t, "REVIVE", nil)
		f.offerOf(t, o.AgentID)
		span{0, 300 * time.Millisecond}.check(t, time.Since(start))
	})
	t.Run("filter covers only what was refused", func(t *testing.T) {
		m := newMaster(t)
		f := m.framework(nil).subscribe()
		o := f.offerOf(t, "")
		start := time.Now()
		f.must(t, "ACCEPT", obj{"offer_ids": ids(o), "operations": list{launch(task("t", o, "sleep 1"))}, "filters": obj{"refuse_seconds": 600}})
		f.course(t, "t", starting, running, ended("TASK_FINISHED", "Command exited with status 0"))
		f.offerOf(t, o.AgentID)
		span{time.Second, 4 * time.Second}.check(t, time.Since(start))
	})
	t.Run("one DECLINE for several agents", func(t *testing.T) {
		m := newMaster(t)
		f := m.framework(nil).subscribe()
		f.decline(t, 0, f.offers(t, agentCount)...)
		f.offers(t, agentCount)
	})
	t.Run("DECLINE of used, unknown and no offers is 202", func(t *testing.T) {
		m := newMaster(t)
		f := m.framework(nil).subscribe()
		o := f.offerOf(t, "")
		f.decline(t, 2, o)
		f.decline(t, 2, o)
		f.decline(t, 2, offer{ID: "nosuch"})
		f.decline(t, 2)
		f.offerOf(t, o.AgentID)
	})
	t.Run("held offers are not taken back, declined ones stay away", func(t *testing.T) {
		m := newMaster(t)
		f := m.framework(nil).subscribe()
		all := f.offers(t, agentCount)
		f.decline(t, 600, all[0])
		f.never(t, "RESCIND or OFFERS", 20*time.Second, func(e *event) bool { return e.Type == "RESCIND" || e.Type == "OFFERS" })
		f.accept(t, all[1:2], launch(task("held", all[1], "true")))
		f.course(t, "held", starting, running, ended("TASK_FINISHED", "Command exited with status 0"))
	})
	t.Run("filters and offers are forgotten when the framework comes back", func(t *testing.T) {
		m := newMaster(t)
		f := m.framework(nil).subscribe()
		all := f.offers(t, agentCount)
		f.decline(t, 600, all[0])
		f.close()
		eventually(t, "framework disconnected", patience, func() bool { fw := m.lookup("frameworks", f.id); return fw != nil && fw["connected"] == false })
		f.subscribe()
		start := time.Now()
		for _, o := range f.offers(t, agentCount) {
			if o.ID == all[0].ID || o.ID == all[1].ID {
				t.Errorf("offer %s again", o.ID)
			}
		}
		span{0, 500 * time.Millisecond}.check(t, time.Since(start))
	})
	t.Run("rest of an accepted offer comes at the next round", func(t *testing.T) {
		m := newMaster(t)
		f := m.framework(nil).subscribe()
		o := f.offerOf(t, "")
		start := time.Now()
		f.accept(t, []offer{o}, launch(task("part", o, "sleep 600", obj{"resources": list{cpus(1, "web"), mem(64, "web")}})))
		rest := f.offerOf(t, o.AgentID)
		span{0, 1500 * time.Millisecond}.check(t, time.Since(start))
		if rest.scalar("cpus") != o.scalar("cpus")-1 || rest.scalar("mem") != o.scalar("mem")-64 {
			t.Errorf("rest has cpus %v, mem %v", rest.scalar("cpus"), rest.scalar("mem"))
		}
	})
}

func offerOfAgent(id string) func(*event) bool {
	return func(e *event) bool {
		for _, o := range e.Offers.Offers {
			if o.AgentID == id {
				return true
			}
		}
		return false
	}
}

// TestAcceptErrors is what is wrong with the offers of an ACCEPT (REC 05).
func TestAcceptErrors(t *testing.T) {
	m := newMaster(t)
	f := m.framework(nil).subscribe()
	all := f.offers(t, agentCount)
	g := m.oldFramework().subscribe() // wants nothing: what f gives back is offered to f again
	g.must(t, "SUPPRESS", nil)
	const intro = "Task launched with invalid offers: "
	dropped := func(text string) want { return fromMaster("TASK_DROPPED", "REASON_INVALID_OFFERS", intro+text) }
	lost := func(text string) want { return fromMaster("TASK_LOST", "REASON_INVALID_OFFERS", intro+text) }
	a, b := all[0], all[1]
	nosuch := offer{ID: "nosuch", AgentID: a.AgentID, Role: "web"}
	t.Run("unknown offer", func(t *testing.T) {
		f.accept(t, []offer{nosuch}, launch(task("u1", nosuch, "true")))
		f.course(t, "u1", dropped("Offer nosuch is no longer valid"))
	})
	t.Run("no offers", func(t *testing.T) {
		f.accept(t, nil, launch(task("u2", nosuch, "true")))
		f.course(t, "u2", dropped("No offers specified"))
	})
	t.Run("unknown offer, not PARTITION_AWARE", func(t *testing.T) {
		g.accept(t, []offer{nosuch}, launch(task("g2", nosuch, "true")))
		g.course(t, "g2", lost("Offer nosuch is no longer valid"))
	})
	t.Run("no offers, not PARTITION_AWARE", func(t *testing.T) {
		g.accept(t, nil, launch(task("g3", nosuch, "true")))
		g.course(t, "g3", lost("No offers specified"))
	})
	t.Run("used offer, every task gets its update", func(t *testing.T) {
		f.accept(t, []offer{a}, launch(task("u3", a, "true")))
		f.accept(t, []offer{a}, launch(task("u4", a, "true")), launch(task("u5", a, "true")))
		f.course(t, "u4", dropped("Offer "+a.ID+" is no longer valid"))
		f.course(t, "u5", dropped("Offer "+a.ID+" is no longer valid"))
		f.course(t, "u3", starting, running, ended("TASK_FINISHED", "Command exited with status 0"))
	})
	t.Run("offer twice in one ACCEPT", func(t *testing.T) {
		f.accept(t, []offer{b, b}, launch(task("u6", b, "true")))
		f.course(t, "u6", dropped("Duplicate offer "+b.ID+" in offer list"))
		b = f.offerOf(t, b.AgentID)
	})
	t.Run("offer of another framework", func(t *testing.T) {
		g.accept(t, []offer{b}, launch(task("g1", b, "true")))
		g.course(t, "g1", lost("Offer "+b.ID+" has invalid framework "+f.id+" while framework "+g.id+" is expected"))
		old := b.ID
		b = f.offerOf(t, b.AgentID) // used up by the other framework, without RESCIND
		f.never(t, "RESCIND", 0, func(e *event) bool { return e.Type == "RESCIND" && e.Rescind.OfferID.Value == old })
	})
	t.Run("offers of two agents", func(t *testing.T) {
		a = f.wholeOffer(t, a)
		f.accept(t, []offer{a, b}, launch(task("x1", a, "true"), task("x2", b, "true")))
		text := "Aggregated offers must belong to one single agent. Offer " + b.ID + " uses agent " + b.AgentID + " and agent " + a.AgentID
		f.course(t, "x1", dropped(text))
		f.course(t, "x2", dropped(text))
		a, b = f.offerOf(t, a.AgentID), f.offerOf(t, b.AgentID)
	})
	t.Run("valid offers beside a bad one are used up too", func(t *testing.T) {
		f.accept(t, []offer{a, nosuch}, launch(task("y2", a, "true")))
		f.course(t, "y2", dropped("Offer nosuch is no longer valid"))
		old := a.ID
		if a = f.offerOf(t, a.AgentID); a.ID == old {
			t.Errorf("offer %s again", old)
		}
	})
	t.Run("task for another agent", func(t *testing.T) {
		f.accept(t, []offer{a}, launch(task("z1", b, "true")))
		f.course(t, "z1", fromMaster("TASK_ERROR", "REASON_TASK_INVALID", "Task uses invalid agent "+b.AgentID+" while agent "+a.AgentID+" is expected"))
		a = f.offerOf(t, a.AgentID)
	})
	t.Run("two LAUNCH operations", func(t *testing.T) {
		f.accept(t, []offer{a}, launch(task("w1", a, "true")), launch(task("w2", a, "true")))
		for _, id := range []string{"w1", "w2"} {
			f.course(t, id, starting, running, ended("TASK_FINISHED", "Command exited with status 0"))
		}
	})
	t.Run("offers of one agent may be joined", func(t *testing.T) { joinedOffers(t, f, b) })
}

// wholeOffer collects the offers of an agent until one has all of it again.
func (f *framework) wholeOffer(t *testing.T, was offer) offer {
	t.Helper()
	for {
		o := f.offerOf(t, was.AgentID)
		if o.scalar("cpus") == was.scalar("cpus") {
			return o
		}
		f.decline(t, 0, o)
	}
}

// joinedOffers holds the rest of an agent while a task ends, and so gets two offers of it.
func joinedOffers(t *testing.T, f *framework, o offer) {
	f.accept(t, []offer{o}, launch(task("y0", o, "sleep 600", obj{"resources": list{cpus(1, "web"), mem(128, "web")}})))
	first := f.offerOf(t, o.AgentID)
	f.course(t, "y0", starting, running)
	f.kill(t, "y0")
	second := f.offerOf(t, o.AgentID)
	if second.scalar("cpus") != 1 {
		t.Fatalf("second offer has %v cpus", second.scalar("cpus"))
	}
	f.accept(t, []offer{first, second}, launch(task("y1", o, "true", obj{"resources": list{cpus(o.scalar("cpus")-0.1, "web"), mem(o.scalar("mem")-96, "web")}})))
	f.course(t, "y1", starting, running, ended("TASK_FINISHED", "Command exited with status 0"))
}

// TestFaultDomain is the domain of an agent in its offer (REC 03).
func TestFaultDomain(t *testing.T) {
	m := newMasterWith(t, agentResources, agentAttributes, "--domain", "r1/z1")
	onlyMiniature(t, "03", "agents with --domain are needed")
	o := m.framework(nil).subscribe().offerOf(t, "")
	if got := encode(o.Raw["domain"]); got != `{"fault_domain":{"region":{"name":"r1"},"zone":{"name":"z1"}}}` {
		t.Errorf("domain %s", got)
	}
}

// TestOfferTimeout: a master with --offer_timeout takes offers back that are held too
// long (source: master.cpp).
func TestOfferTimeout(t *testing.T) {
	m := newMasterWith(t, agentResources, agentAttributes, "--offer_timeout", "300")
	onlyMiniature(t, "none (source)", "a master with --offer_timeout is needed")
	f := m.framework(nil).subscribe()
	for _, o := range f.offers(t, agentCount) {
		f.rescinded(t, o.ID)
		f.accept(t, []offer{o}, launch(task("late-"+o.ID, o, "true")))
		f.course(t, "late-"+o.ID, fromMaster("TASK_DROPPED", "REASON_INVALID_OFFERS", "Task launched with invalid offers: Offer "+o.ID+" is no longer valid"))
		f.offerOf(t, o.AgentID)
	}
}
