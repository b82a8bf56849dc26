package mesosproto

import (
	"strings"
	"testing"
	"time"
)

// TestSuppress is SUPPRESS and REVIVE (REC 16).
func TestSuppress(t *testing.T) {
	m := newMaster(t)
	f := m.framework(obj{"roles": list{"web", "db"}}).subscribe()
	held := f.offers(t, agentCount)
	const atOnce = 400 * time.Millisecond
	roles := func(names ...any) obj { return obj{"roles": names} }
	t.Run("REVIVE leaves held offers", func(t *testing.T) {
		f.must(t, "REVIVE", nil)
		f.never(t, "RESCIND or OFFERS", 1500*time.Millisecond, func(e *event) bool { return e.Type == "RESCIND" || e.Type == "OFFERS" })
	})
	t.Run("SUPPRESS: held offers stay, declined ones do not come back", func(t *testing.T) {
		f.must(t, "SUPPRESS", nil)
		f.never(t, "RESCIND", 300*time.Millisecond, func(e *event) bool { return e.Type == "RESCIND" })
		f.accept(t, held[:1], launch(task("held", held[0], "true")))
		f.course(t, "held", starting, running, ended("TASK_FINISHED", status0))
		f.decline(t, 0, held[1])
		f.never(t, "OFFERS", 2500*time.Millisecond, isOffers)
	})
	t.Run("REVIVE of one role offers in it at once", func(t *testing.T) {
		start := time.Now()
		f.must(t, "REVIVE", roles("db"))
		held = f.offers(t, agentCount)
		span{0, atOnce}.check(t, time.Since(start))
		for _, o := range held {
			if o.Role != "db" {
				t.Errorf("offer of role %s", o.Role)
			}
		}
	})
	t.Run("SUPPRESS of the other role, REVIVE of all lifts it and filters", func(t *testing.T) {
		f.must(t, "SUPPRESS", roles("db"))
		f.decline(t, 600, held...)
		f.never(t, "OFFERS", 1500*time.Millisecond, isOffers)
		start := time.Now()
		f.must(t, "REVIVE", nil)
		held = f.offers(t, agentCount)
		span{0, atOnce}.check(t, time.Since(start))
	})
	t.Run("filter is per role: an agent declined comes in the other role", func(t *testing.T) {
		was := map[string]string{}
		for _, o := range held {
			was[o.AgentID] = o.Role
		}
		start := time.Now()
		f.decline(t, 600, held...)
		held = f.offers(t, agentCount)
		span{0, 1500 * time.Millisecond}.check(t, time.Since(start))
		for _, o := range held {
			if was[o.AgentID] == o.Role {
				t.Errorf("agent %s again in role %s", o.AgentID, o.Role)
			}
		}
	})
	for _, c := range []struct {
		name, kind string
		body       obj
	}{{"SUPPRESS of a foreign role", "SUPPRESS", roles("nosuch")}, {"REVIVE of a foreign role", "REVIVE", roles("nosuch")},
		{"SUPPRESS of an invalid role", "SUPPRESS", roles("a b")}, {"REVIVE of an empty list", "REVIVE", obj{"roles": list{}}}} {
		t.Run(c.name+" is 202", func(t *testing.T) { f.must(t, c.kind, c.body) })
	}
	f.must(t, "SUPPRESS", nil)
	f.decline(t, 0, held...)
	f.close()
	t.Run("suppression is not kept over a reconnect", func(t *testing.T) {
		g := f.twin(obj{"roles": list{"web", "db"}}).subscribe()
		g.offers(t, agentCount)
		g.close()
	})
	t.Run("suppressed_roles of SUBSCRIBE counts", func(t *testing.T) {
		g := f.twin(obj{"roles": list{"web", "db"}})
		g.extra = obj{"suppressed_roles": list{"web", "db"}}
		g.subscribe()
		g.never(t, "OFFERS", 2*time.Second, isOffers)
		g.must(t, "REVIVE", roles("web"))
		for _, o := range g.offers(t, agentCount) {
			if o.Role != "web" {
				t.Errorf("offer of role %s", o.Role)
			}
		}
		g.must(t, "TEARDOWN", nil)
	})
}

// TestUpdateFramework: success is 200, and what SUBSCRIBE ignores is refused (REC 17).
func TestUpdateFramework(t *testing.T) {
	m := newMaster(t)
	f := m.framework(nil).subscribe()
	held := f.offers(t, agentCount)
	update := func(changes obj, more obj) reply {
		info := frameworkInfo(changes)
		if _, set := changes["id"]; !set {
			info["id"] = obj{"value": f.id}
		}
		body := obj{"framework_info": info}
		for k, v := range more {
			body[k] = v
		}
		return f.send("UPDATE_FRAMEWORK", body)
	}
	ok := func(t *testing.T, changes obj, more obj) {
		t.Helper()
		if r := update(changes, more); r.status != 200 || r.body != "" {
			t.Fatalf("%d %q, want 200 without body", r.status, r.body)
		}
	}
	both := obj{"roles": list{"web", "db"}}
	rack := func(predicate obj) obj {
		return obj{"offer_constraints": obj{"role_constraints": obj{"db": obj{"groups": list{obj{"attribute_constraints": list{
			obj{"selector": obj{"attribute_name": "rack"}, "predicate": predicate}}}}}}}}
	}
	t.Run("add a role", func(t *testing.T) {
		ok(t, both, nil)
		if got := encode(m.lookup("frameworks", f.id)["roles"]); !strings.Contains(got, "web") || !strings.Contains(got, "db") {
			t.Errorf("roles %s", got)
		}
	})
	t.Run("suppressed_roles", func(t *testing.T) {
		ok(t, both, obj{"suppressed_roles": list{"web"}})
		f.decline(t, 0, held...)
		held = f.offers(t, agentCount)
		for _, o := range held {
			if o.Role != "db" {
				t.Errorf("offer of role %s", o.Role)
			}
		}
	})
	t.Run("suppressed_roles left out are none", func(t *testing.T) {
		ok(t, both, nil)
		f.decline(t, 600, held...)
		held = f.offers(t, agentCount)
		for _, o := range held {
			if o.Role != "web" {
				t.Errorf("offer of role %s, which has a filter", o.Role)
			}
		}
	})
	t.Run("removing a role without offers rescinds nothing", func(t *testing.T) {
		ok(t, obj{"roles": list{"web"}}, nil)
		f.never(t, "RESCIND", 500*time.Millisecond, func(e *event) bool { return e.Type == "RESCIND" })
	})
	t.Run("removing the role of held offers rescinds them before the answer", func(t *testing.T) {
		ok(t, obj{"roles": list{}}, nil)
		seen := map[string]bool{}
		for range held {
			seen[f.awaitIn(t, "RESCIND", patience, func(e *event) bool { return e.Type == "RESCIND" }).Rescind.OfferID.Value] = true
		}
		for _, o := range held {
			if !seen[o.ID] {
				t.Errorf("no RESCIND of %s", o.ID)
			}
		}
	})
	for field, v := range map[string]any{"name": "renamed", "failover_timeout": 99.0, "webui_url": "http://x/"} {
		t.Run("change of "+field, func(t *testing.T) {
			ok(t, obj{field: v, "labels": obj{"labels": list{obj{"key": "a", "value": "b"}}}}, nil)
			if got := m.lookup("frameworks", f.id)[field]; got != v {
				t.Errorf("%v, want %v", got, v)
			}
		})
	}
	t.Run("change of capabilities", func(t *testing.T) {
		ok(t, obj{"capabilities": capabilities("MULTI_ROLE", "PARTITION_AWARE")}, nil)
		if got := encode(m.lookup("frameworks", f.id)["capabilities"]); got != `["MULTI_ROLE","PARTITION_AWARE"]` {
			t.Errorf("capabilities %s", got)
		}
	})
	foreign := rack(obj{"exists": obj{}})
	constraints := foreign["offer_constraints"].(obj)["role_constraints"].(obj)
	constraints["zzz"] = constraints["db"]
	delete(constraints, "db")
	for _, c := range []struct {
		name    string
		changes obj
		more    obj
		text    string
	}{
		{"foreign suppressed role", both, obj{"suppressed_roles": list{"zzz"}}, "'UpdateFramework' call is not valid: Suppressed roles { zzz } are not contained in the set of roles"},
		{"user", obj{"user": "somebody"}, nil, "FrameworkInfo update is not valid: Updating 'FrameworkInfo.user' is unsupported; attempted to update from '" + taskUser() + "' to 'somebody'"},
		{"checkpoint", obj{"checkpoint": false}, nil, "FrameworkInfo update is not valid: Updating 'FrameworkInfo.checkpoint' is unsupported; attempted to update from 'true' to 'false'"},
		{"principal", obj{"principal": "other"}, nil, "FrameworkInfo update is not valid: Changing framework's principal is not allowed."},
		{"MULTI_ROLE removed", obj{"capabilities": capabilities("PARTITION_AWARE")}, nil,
			"Supplied FrameworkInfo is not valid: 'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable"},
		{"invalid role", obj{"roles": list{"a b"}}, nil,
			"Supplied FrameworkInfo is not valid: 'FrameworkInfo.roles' contains invalid role: Role component 'a b' is invalid because it contains backspace or whitespace"},
		{"no framework id", obj{"id": nil}, nil, "Failed to validate scheduler::Call: 'framework_id' differs from 'update_framework.framework_info.id'"},
		{"another framework id", obj{"id": obj{"value": "other"}}, nil, "Failed to validate scheduler::Call: 'framework_id' differs from 'update_framework.framework_info.id'"},
		{"constraint with a bad regular expression", both, rack(obj{"text_matches": obj{"regex": "("}}),
			"'UpdateFramework' call is not valid: Offer constraints are not valid: A role db has an invalid 'AttributeConstraint': Failed to construct regex from pattern '(': missing ): ("},
		{"constraint of a foreign role", both, foreign, "'UpdateFramework' call is not valid: Offer constraints specify `role_constraints` for a role 'zzz'not contained in the set of roles"},
	} {
		t.Run("400: "+c.name, func(t *testing.T) { update(c.changes, c.more).check(t, 400, c.text) })
	}
	t.Run("offer constraints filter at once", func(t *testing.T) {
		f.forgetOffers()
		ok(t, obj{"roles": list{"db"}}, rack(obj{"text_equals": obj{"value": "no-such-rack"}}))
		f.must(t, "REVIVE", nil)
		f.never(t, "OFFERS", 1500*time.Millisecond, func(e *event) bool { return e.Type == "OFFERS" && e.Offers.Offers[0].Role == "db" })
	})
	t.Run("offer constraints left out are none", func(t *testing.T) {
		start := time.Now()
		ok(t, obj{"roles": list{"db"}}, nil)
		f.offerWith(t, "offer of db", func(o offer) bool { return o.Role == "db" })
		span{0, 600 * time.Millisecond}.check(t, time.Since(start))
	})
}

// TestRoles is a framework with several (REC 18).
func TestRoles(t *testing.T) {
	m := newMaster(t)
	f := m.framework(obj{"roles": list{"web", "db", "ops/night"}}).subscribe()
	all := f.offers(t, agentCount)
	t.Run("an agent is offered in one role at a time, whole", func(t *testing.T) {
		if all[0].AgentID == all[1].AgentID {
			t.Errorf("agent %s twice", all[0].AgentID)
		}
		for _, o := range all {
			for _, r := range o.Resources {
				if r.Alloc == nil || r.Alloc.Role != o.Role {
					t.Errorf("%s of offer of %s: %v", r.Name, o.Role, r.Alloc)
				}
			}
		}
	})
	t.Run("resources of another role than the offer", func(t *testing.T) {
		o, wrong := all[0], all[0]
		wrong.Role = "web"
		if o.Role == "web" {
			wrong.Role = "db"
		}
		f.accept(t, []offer{o}, launch(task("m1", wrong, "true")))
		f.course(t, "m1", fromMaster("TASK_ERROR", "REASON_TASK_INVALID", "Total resources cpus(allocated: "+wrong.Role+"):0.1; mem(allocated: "+wrong.Role+
			"):32 required by task and its executor is more than available ..."))
	})
	t.Run("offers of different roles in one ACCEPT", func(t *testing.T) {
		a, b := f.offerOf(t, all[0].AgentID), all[1]
		for tries := 0; a.Role == b.Role && tries < 20; tries++ {
			f.decline(t, 0, a, b)
			a, b = f.offerOf(t, a.AgentID), f.offerOf(t, b.AgentID)
		}
		f.accept(t, []offer{a, b}, launch(task("m2", a, "true")))
		st := f.update(t, "m2", "TASK_DROPPED")
		if a.AgentID == b.AgentID || !strings.HasPrefix(st.Message, "Task launched with invalid offers: Aggregated offers must ") || st.Reason != "REASON_INVALID_OFFERS" {
			t.Errorf("%s %q", st.Reason, st.Message)
		}
		want := "Task launched with invalid offers: Aggregated offers must be allocated to the same role. Offer " + b.ID + " uses role '" + b.Role + " but another is using role '" + a.Role
		if st.Message != want {
			t.Errorf("%q, want %q", st.Message, want)
		}
	})
	f.must(t, "TEARDOWN", nil)
	t.Run("framework of the old kind sees and sends no allocation_info", func(t *testing.T) {
		g := m.oldFramework().subscribe()
		o := g.offerOf(t, "")
		g.accept(t, []offer{o}, launch(task("s1", o, "true")))
		g.course(t, "s1", starting, running, ended("TASK_FINISHED", status0))
		g.must(t, "TEARDOWN", nil)
	})
	t.Run("two frameworks of a role share its agents", func(t *testing.T) {
		a, b := m.framework(nil).subscribe(), m.framework(nil).subscribe()
		a.decline(t, 0, a.offers(t, agentCount)...)
		if len(a.offers(t, 1)) != 1 || len(b.offers(t, 1)) != 1 {
			t.Error("one framework got all")
		}
	})
}
