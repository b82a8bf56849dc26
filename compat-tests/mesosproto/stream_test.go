package mesosproto

import (
	"strings"
	"testing"
	"time"
)

const (
	failedOver = "Framework failed over"
	removed    = "Framework has been removed"
)

// twin is another connection for the id of a framework.
func (f *framework) twin(changes obj) *framework {
	g := f.m.framework(changes)
	g.id = f.id
	return g
}

// refusedWith subscribes and wants one ERROR and the end.
func (f *framework) refusedWith(t *testing.T, text string) {
	t.Helper()
	f.open(typeJSON)
	defer f.close()
	ev := f.awaitIn(t, "ERROR", patience, func(*event) bool { return true })
	if ev.Type != "ERROR" || ev.Error.Message != text {
		t.Fatalf("first event %s, want ERROR %q", ev.raw, text)
	}
	if err := f.awaitEnd(t, patience); err != nil {
		t.Errorf("end of the stream: %v, want a clean one", err)
	}
}

// framework looks a framework up in the list of the master; nil when it is not in
// the section ("frameworks" or "completed_frameworks").
func (m *master) lookup(section, id string) obj {
	m.t.Helper()
	all, _ := m.get("/frameworks")[section].(list)
	for _, v := range all {
		if o := v.(obj); o["id"] == id {
			return o
		}
	}
	return nil
}

// eventually polls what no event tells.
func eventually(t *testing.T, what string, within time.Duration, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}

// TestSubscribed is the first event in full (REC 02).
func TestSubscribed(t *testing.T) {
	m := newMaster(t)
	f := m.framework(nil)
	f.open(typeJSON)
	defer f.close()
	ev := f.await("SUBSCRIBED", patience, func(*event) bool { return true })
	f.id = ev.Subscribed.FrameworkID.Value
	defer f.must(t, "TEARDOWN", nil)
	t.Run("heartbeat interval is 15", func(t *testing.T) {
		if ev.Subscribed.Heartbeat != 15 || !strings.Contains(ev.raw, `"heartbeat_interval_seconds":15.0`) {
			t.Errorf("%s", ev.raw)
		}
	})
	info := ev.Subscribed.MasterInfo
	t.Run("framework id is master id and a number", func(t *testing.T) {
		master, _ := info["id"].(string)
		if !strings.HasPrefix(f.id, master+"-") || len(f.id) != len(master)+5 {
			t.Errorf("framework %q of master %q", f.id, master)
		}
	})
	for _, field := range []string{"id", "ip", "port", "pid", "hostname", "version", "address", "capabilities"} {
		t.Run("master_info has "+field, func(t *testing.T) {
			if info[field] == nil {
				t.Errorf("master_info %v", info)
			}
		})
	}
	t.Run("ip is in network order", func(t *testing.T) {
		address, _ := info["address"].(obj)
		if address["ip"] == "127.0.0.1" && info["ip"] != 16777343.0 {
			t.Errorf("ip %v of 127.0.0.1, want 16777343", info["ip"])
		}
	})
	t.Run("capabilities of the master", func(t *testing.T) {
		if got := encode(info["capabilities"]); got != `[{"type":"AGENT_UPDATE"},{"type":"AGENT_DRAINING"},{"type":"QUOTA_V2"}]` {
			t.Errorf("capabilities %s", got)
		}
	})
	t.Run("HEARTBEAT, then OFFERS within milliseconds", func(t *testing.T) {
		if ev := f.awaitIn(t, "event", patience, func(*event) bool { return true }); ev.Type != "HEARTBEAT" {
			t.Errorf("second event %s", ev.raw)
		}
		o := f.awaitIn(t, "OFFERS", patience, isOffers)
		span{0, 500 * time.Millisecond}.check(t, o.at.Sub(ev.at))
	})
}

// TestTakeover: a second SUBSCRIBE always wins (REC 02).
func TestTakeover(t *testing.T) {
	m := newMaster(t)
	a := m.framework(nil).subscribe()
	old := a.offers(t, agentCount)
	b := a.twin(obj{"name": "renamed", "roles": list{"web", "db"}, "failover_timeout": 61, "user": "nobody", "checkpoint": false})
	b.subscribe()
	b.m.t.Cleanup(func() { b.send("TEARDOWN", nil) })
	t.Run("old stream gets ERROR and ends cleanly", func(t *testing.T) {
		ev := a.awaitIn(t, "ERROR", patience, func(e *event) bool { return e.Type == "ERROR" })
		if ev.Error.Message != failedOver {
			t.Errorf("%s", ev.raw)
		}
		if err := a.awaitEnd(t, patience); err != nil {
			t.Errorf("end of the stream: %v, want a clean one", err)
		}
	})
	t.Run("same id, new stream id", func(t *testing.T) {
		if b.id != a.id || b.streamID() == a.streamID() {
			t.Errorf("id %s and %s, stream %s and %s", a.id, b.id, a.streamID(), b.streamID())
		}
	})
	t.Run("old stream id is refused", func(t *testing.T) {
		a.send("REVIVE", nil).check(t, 400, "The stream ID '"+a.streamID()+
			"' included in this request didn't match the stream ID currently associated with framework ID "+a.id)
	})
	t.Run("offers come back under new ids at the next round, without RESCIND", func(t *testing.T) {
		for _, o := range b.offers(t, agentCount) {
			for _, p := range old {
				if o.ID == p.ID {
					t.Errorf("offer %s again", o.ID)
				}
			}
		}
		a.never(t, "RESCIND", 0, func(e *event) bool { return e.Type == "RESCIND" })
		b.never(t, "RESCIND", 0, func(e *event) bool { return e.Type == "RESCIND" })
	})
	t.Run("offers held before are void", func(t *testing.T) {
		b.accept(t, old[:1], launch(task("late", old[0], "true")))
		b.course(t, "late", fromMaster("TASK_DROPPED", "REASON_INVALID_OFFERS", "Task launched with invalid offers: Offer "+old[0].ID+" is no longer valid"))
	})
	fw := m.lookup("frameworks", b.id)
	for field, value := range map[string]any{"name": "renamed", "failover_timeout": 61.0, "roles": `["web","db"]`} {
		t.Run("re-subscription changes "+field, func(t *testing.T) {
			got := fw[field]
			if l, ok := got.(list); ok && len(l) == 2 {
				if !strings.Contains(encode(l), `"web"`) || !strings.Contains(encode(l), `"db"`) {
					t.Errorf("roles %v", l)
				}
			} else if got != value {
				t.Errorf("%v, want %v", got, value)
			}
		})
	}
	for field, value := range map[string]any{"user": a.info["user"], "checkpoint": true} {
		t.Run("re-subscription ignores another "+field, func(t *testing.T) {
			if fw[field] != value {
				t.Errorf("%v, want %v", fw[field], value)
			}
		})
	}
}

// TestTeardown: the end that a framework asks for (REC 31).
func TestTeardown(t *testing.T) {
	m := newMaster(t)
	f := m.framework(nil).subscribe()
	f.run(t, "one", f.offerOf(t, ""))
	if r := f.send("TEARDOWN", nil); r.status != 202 || r.body != "" {
		t.Fatalf("TEARDOWN: %d %q", r.status, r.body)
	}
	t.Run("stream ends cleanly without an event", func(t *testing.T) {
		if err := f.awaitEnd(t, patience); err != nil {
			t.Errorf("end of the stream: %v", err)
		}
		f.never(t, "UPDATE, ERROR or RESCIND", 0, func(e *event) bool { return e.Type == "UPDATE" || e.Type == "ERROR" || e.Type == "RESCIND" })
	})
	t.Run("tasks are TASK_KILLED at once", func(t *testing.T) {
		fw := m.lookup("completed_frameworks", f.id)
		done, _ := fw["completed_tasks"].(list)
		if len(done) != 1 || done[0].(obj)["state"] != "TASK_KILLED" {
			t.Errorf("completed tasks %v of %v", done, fw["id"])
		}
	})
	t.Run("calls afterwards", func(t *testing.T) { f.send("REVIVE", nil).check(t, 400, "Framework cannot be found") })
	t.Run("SUBSCRIBE with the id", func(t *testing.T) { f.twin(nil).refusedWith(t, removed) })
	post := func(body string) reply {
		return m.request("POST", "/master/teardown", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, body)
	}
	t.Run("by the operator", func(t *testing.T) {
		g := m.framework(nil).subscribe()
		if r := post("frameworkId=" + g.id); r.status != 200 {
			t.Errorf("%d %q, want 200", r.status, r.body)
		}
		if err := g.awaitEnd(t, patience); err != nil {
			t.Errorf("end of the stream: %v", err)
		}
	})
	t.Run("by the operator, unknown", func(t *testing.T) { post("frameworkId=nosuch").check(t, 400, "No framework found with specified ID") })
	t.Run("by the operator, no id", func(t *testing.T) {
		post("").check(t, 400, "Missing 'frameworkId' query parameter in the request body")
	})
}

// TestDisconnect: the framework goes away (REC 30).
func TestDisconnect(t *testing.T) {
	m := newMaster(t)
	t.Run("failover_timeout 0 removes at once and kills the tasks", func(t *testing.T) {
		f := m.framework(obj{"failover_timeout": 0}).subscribe()
		f.run(t, "gone", f.offerOf(t, ""))
		f.close()
		eventually(t, "framework completed", patience, func() bool { return m.lookup("completed_frameworks", f.id) != nil })
		done, _ := m.lookup("completed_frameworks", f.id)["completed_tasks"].(list)
		if len(done) != 1 || done[0].(obj)["state"] != "TASK_KILLED" {
			t.Errorf("completed tasks %v", done)
		}
		f.twin(nil).refusedWith(t, removed)
	})
	f := m.framework(obj{"failover_timeout": 15}).subscribe()
	f.run(t, "kept", f.offerOf(t, ""))
	f.accept(t, []offer{f.offerOf(t, "")}, launch())
	old := f.streamID()
	f.close()
	eventually(t, "framework disconnected", patience, func() bool { fw := m.lookup("frameworks", f.id); return fw != nil && fw["connected"] == false })
	t.Run("while away it is listed as not connected and not active", func(t *testing.T) {
		if fw := m.lookup("frameworks", f.id); fw["active"] != false {
			t.Errorf("active %v", fw["active"])
		}
	})
	t.Run("call of a disconnected framework is 403", func(t *testing.T) {
		m.call(obj{"type": "REVIVE", "framework_id": obj{"value": f.id}}, old).check(t, 403, "Framework is not subscribed")
	})
	g := f.twin(obj{"failover_timeout": 15})
	g.subscribe()
	t.Run("back in time: same id, new stream id, tasks run on", func(t *testing.T) {
		if g.id != f.id || g.streamID() == old {
			t.Errorf("id %s, stream %s", g.id, g.streamID())
		}
		g.must(t, "RECONCILE", obj{"tasks": list{obj{"task_id": obj{"value": "kept"}}}})
		g.course(t, "kept", reconciled("TASK_RUNNING", "Latest task state"))
	})
	t.Run("filters and offers are forgotten: everything is offered at once", func(t *testing.T) {
		sub := g.offers(t, agentCount)
		if len(sub) < agentCount {
			t.Errorf("offers %v", sub)
		}
	})
	start := time.Now()
	g.close()
	t.Run("after the timeout it is removed", func(t *testing.T) {
		eventually(t, "framework completed", 15*time.Second+patience, func() bool { return m.lookup("completed_frameworks", f.id) != nil })
		span{14500 * time.Millisecond, 18 * time.Second}.check(t, time.Since(start))
		f.twin(nil).refusedWith(t, removed)
	})
	t.Run("call of a framework that was removed after its timeout", func(t *testing.T) { g.send("REVIVE", nil).check(t, 400, "Framework cannot be found") })
}

// completedKept is how many frameworks a master remembers after their end.
const completedKept = 50

// TestForgottenFrameworks: only so many removed ids are refused (source; timings).
func TestForgottenFrameworks(t *testing.T) {
	m := newMaster(t)
	first := m.framework(nil).subscribe()
	first.must(t, "TEARDOWN", nil)
	for range completedKept - 1 {
		f := m.framework(nil).subscribe()
		f.must(t, "TEARDOWN", nil)
	}
	t.Run("49 others later it is refused", func(t *testing.T) { first.twin(nil).refusedWith(t, removed) })
	for range 2 {
		m.framework(nil).subscribe().must(t, "TEARDOWN", nil)
	}
	t.Run("51 others later it is accepted", func(t *testing.T) {
		g := first.twin(nil).subscribe()
		g.must(t, "TEARDOWN", nil)
	})
}
