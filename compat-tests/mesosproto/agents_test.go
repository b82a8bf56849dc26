package mesosproto

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// machine is the id of an agent's machine as maintenance wants it.
func machine(o offer) obj {
	url, _ := o.Raw["url"].(obj)
	address, _ := url["address"].(obj)
	return obj{"hostname": o.Hostname, "ip": address["ip"]}
}

// accepted is an operator call that must work.
func (m *master) accepted(t *testing.T, kind string, body obj) {
	t.Helper()
	if r := m.operator(obj{"type": kind, strings.ToLower(kind): body}); r.status != 200 || r.body != "" {
		t.Fatalf("%s: %d %q, want 200 without body", kind, r.status, r.body)
	}
}

func (m *master) refused(t *testing.T, kind string, body obj, status int, text string) {
	t.Helper()
	m.operator(obj{"type": kind, strings.ToLower(kind): body}).check(t, status, text)
}

func agentID(id string) obj { return obj{"agent_id": obj{"value": id}} }

// agentState is the entry of an agent in GET_AGENTS.
func (m *master) agentState(id string) obj {
	m.t.Helper()
	r := m.operator(obj{"type": "GET_AGENTS"})
	var v struct {
		Get struct{ Agents []obj } `json:"get_agents"`
	}
	if err := json.Unmarshal([]byte(r.body), &v); err != nil || r.status != http.StatusOK {
		m.t.Fatalf("GET_AGENTS: %d %v", r.status, err)
	}
	for _, a := range v.Get.Agents {
		info, _ := a["agent_info"].(obj)
		if got, _ := info["id"].(obj); got["value"] == id {
			return a
		}
	}
	return nil
}

func (f *framework) rescinded(t *testing.T, id string) {
	t.Helper()
	f.awaitIn(t, "RESCIND of "+id, patience, func(e *event) bool { return e.Type == "RESCIND" && e.Rescind.OfferID.Value == id })
}

// TestAgentGone is MARK_AGENT_GONE (REC 26).
func TestAgentGone(t *testing.T) {
	m := newMaster(t)
	onlyMiniature(t, "26", "the agent would be lost to the cluster for good")
	f := m.framework(nil).subscribe()
	g := m.framework(obj{"roles": list{"old"}, "capabilities": capabilities("MULTI_ROLE")})
	o := f.offers(t, agentCount)[0]
	f.run(t, "n1", o)
	rest := f.offerOf(t, o.AgentID)
	f.must(t, "SUPPRESS", nil)
	f.decline(t, 0, rest)
	g.subscribe()
	p := g.offerOf(t, o.AgentID)
	g.run(t, "n2", p)
	held := g.offerOf(t, o.AgentID)
	m.accepted(t, "MARK_AGENT_GONE", agentID(o.AgentID))
	t.Run("task of a PARTITION_AWARE framework", func(t *testing.T) {
		f.course(t, "n1", fromMaster("TASK_GONE_BY_OPERATOR", "REASON_AGENT_REMOVED_BY_OPERATOR", "Agent has been marked gone"))
	})
	t.Run("task of another framework", func(t *testing.T) {
		g.course(t, "n2", fromMaster("TASK_LOST", "REASON_AGENT_REMOVED", "Agent has been marked gone"))
	})
	t.Run("RESCIND of held offers", func(t *testing.T) { g.rescinded(t, held.ID) })
	t.Run("FAILURE with the agent only", func(t *testing.T) {
		f.failure(t, o.AgentID, "", -1)
		g.failure(t, o.AgentID, "", -1)
	})
	for _, c := range []struct{ name, kind, id, agent, state, lost, message string }{
		{"RECONCILE without agent id", "RECONCILE", "n1", "", "TASK_UNKNOWN", "TASK_LOST", "Task is unknown"},
		{"RECONCILE with its agent id", "RECONCILE", "n1", o.AgentID, "TASK_GONE_BY_OPERATOR", "TASK_LOST", "Task is gone"},
		{"RECONCILE of any task with its agent id", "RECONCILE", "nosuch", o.AgentID, "TASK_GONE_BY_OPERATOR", "TASK_LOST", "Task is gone"},
		{"KILL without agent id", "KILL", "n1", "", "TASK_UNKNOWN", "TASK_LOST", "Task is unknown"},
		{"KILL with its agent id", "KILL", "n1", o.AgentID, "TASK_GONE_BY_OPERATOR", "TASK_LOST", "Task is gone"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.ask(t, c.kind, c.id, c.agent)
			f.course(t, c.id, reconciled(c.state, c.message))
			g.ask(t, c.kind, c.id, c.agent)
			g.course(t, c.id, reconciled(c.lost, c.message))
		})
	}
	t.Run("again is 200", func(t *testing.T) { m.accepted(t, "MARK_AGENT_GONE", agentID(o.AgentID)) })
	t.Run("unknown agent is 404", func(t *testing.T) {
		m.refused(t, "MARK_AGENT_GONE", agentID("nosuch"), 404, "Agent 'nosuch' not found")
	})
}

// TestDrain is DRAIN_AGENT, REACTIVATE_AGENT and DEACTIVATE_AGENT (REC 27).
func TestDrain(t *testing.T) {
	m := newMaster(t)
	f := m.framework(nil).subscribe()
	o := f.offers(t, agentCount)[0]
	const stubborn = `trap "" TERM; %s; while true; do sleep 0.1; done`
	f.accept(t, []offer{o}, launch(task("d1", o, "sleep 600"), task("d2", o, fmt.Sprintf(stubborn, m.mark("d2")), obj{"kill_policy": obj{"grace_period": obj{"nanoseconds": 20e9}}}),
		task("d3", o, fmt.Sprintf(`trap "exit 0" TERM; %s; while true; do sleep 0.1; done`, m.mark("d3")))))
	for _, id := range []string{"d1", "d2", "d3"} {
		f.course(t, id, starting, running)
	}
	held := f.offerOf(t, o.AgentID)
	m.marked(t, "d2", "d3") // the traps
	start := time.Now()
	m.accepted(t, "DRAIN_AGENT", obj{"agent_id": obj{"value": o.AgentID}, "max_grace_period": obj{"seconds": 1}})
	draining := func(state, message string) want {
		return want{state, "SOURCE_EXECUTOR", "REASON_AGENT_DRAINING", message, true}
	}
	t.Run("RESCIND", func(t *testing.T) { f.rescinded(t, held.ID) })
	t.Run("tasks are killed because of it", func(t *testing.T) {
		f.course(t, "d1", draining("TASK_KILLING", ""), draining("TASK_KILLED", terminated))
		f.course(t, "d3", draining("TASK_KILLING", ""), draining("TASK_KILLED", status0))
		f.course(t, "d2", draining("TASK_KILLING", ""))
	})
	t.Run("agent is deactivated and DRAINING, the grace period in nanoseconds", func(t *testing.T) {
		a := m.agentState(o.AgentID)
		if got := encode(a["drain_info"]); a["deactivated"] != true || a["active"] == true || !strings.Contains(got, `"state":"DRAINING"`) || !strings.Contains(got, `"nanoseconds":1000000000`) {
			t.Errorf("active %v, deactivated %v, drain_info %s", a["active"], a["deactivated"], got)
		}
	})
	t.Run("rescinded offer is not valid", func(t *testing.T) {
		f.accept(t, []offer{held}, launch(task("late", held, "true")))
		f.course(t, "late", fromMaster("TASK_DROPPED", "REASON_INVALID_OFFERS", "Task launched with invalid offers: Offer "+held.ID+" is no longer valid"))
	})
	t.Run("REACTIVATE too early", func(t *testing.T) {
		m.refused(t, "REACTIVATE_AGENT", agentID(o.AgentID), 400, "Agent is still in the DRAINING state")
	})
	t.Run("old command executor keeps the grace period of the task", func(t *testing.T) {
		f.course(t, "d2", draining("TASK_KILLED", "Command terminated with signal Killed"))
		span{19500 * time.Millisecond, 22 * time.Second}.check(t, time.Since(start))
	})
	t.Run("DRAINED when all is acknowledged", func(t *testing.T) {
		eventually(t, "DRAINED", patience, func() bool { return strings.Contains(encode(m.agentState(o.AgentID)["drain_info"]), `"DRAINED"`) })
		f.never(t, "OFFERS of it", 1500*time.Millisecond, offerOfAgent(o.AgentID))
	})
	t.Run("DRAIN of a drained agent is 200", func(t *testing.T) { m.accepted(t, "DRAIN_AGENT", agentID(o.AgentID)) })
	for _, kind := range []string{"DRAIN_AGENT", "DEACTIVATE_AGENT", "REACTIVATE_AGENT"} {
		t.Run(kind+" of an unknown agent is 400", func(t *testing.T) { m.refused(t, kind, agentID("nosuch"), 400, "Unknown agent") })
	}
	t.Run("REACTIVATE: offers at the next round", func(t *testing.T) {
		eventually(t, "DRAINED", patience, func() bool { return strings.Contains(encode(m.agentState(o.AgentID)["drain_info"]), `"DRAINED"`) })
		m.accepted(t, "REACTIVATE_AGENT", agentID(o.AgentID))
		start := time.Now()
		o = f.offerOf(t, o.AgentID)
		span{0, 1500 * time.Millisecond}.check(t, time.Since(start))
		m.refused(t, "REACTIVATE_AGENT", agentID(o.AgentID), 400, "Agent is not deactivated")
	})
	t.Run("DEACTIVATE: RESCIND, no offers, tasks go on and can be killed", func(t *testing.T) {
		f.run(t, "d9", o)
		held := f.offerOf(t, o.AgentID)
		m.accepted(t, "DEACTIVATE_AGENT", agentID(o.AgentID))
		f.rescinded(t, held.ID)
		f.never(t, "OFFERS or an update", 1500*time.Millisecond, func(e *event) bool { return offerOfAgent(o.AgentID)(e) || e.Type == "UPDATE" })
		f.kill(t, "d9")
		m.accepted(t, "REACTIVATE_AGENT", agentID(o.AgentID))
		f.offerOf(t, o.AgentID)
	})
	t.Run("max_grace_period as text is 400", func(t *testing.T) {
		if r := m.operator(obj{"type": "DRAIN_AGENT", "drain_agent": obj{"agent_id": obj{"value": o.AgentID}, "max_grace_period": "4s"}}); r.status != 400 {
			t.Errorf("%d %q, want 400", r.status, r.body)
		}
	})
}

// TestDrainWithoutCapabilities: no TASK_KILLING (REC 27).
func TestDrainWithoutCapabilities(t *testing.T) {
	m := newMaster(t)
	f := m.framework(obj{"capabilities": capabilities("MULTI_ROLE")}).subscribe()
	o := f.offers(t, agentCount)[0]
	f.run(t, "old1", o)
	m.accepted(t, "DRAIN_AGENT", agentID(o.AgentID))
	f.course(t, "old1", want{"TASK_KILLED", "SOURCE_EXECUTOR", "REASON_AGENT_DRAINING", terminated, true})
	eventually(t, "DRAINED", patience, func() bool { return strings.Contains(encode(m.agentState(o.AgentID)["drain_info"]), `"DRAINED"`) })
	m.accepted(t, "REACTIVATE_AGENT", agentID(o.AgentID))
}

// TestMaintenance is schedules, inverse offers and a machine that goes down (REC 28).
func TestMaintenance(t *testing.T) {
	m := newMaster(t)
	f := m.framework(nil).subscribe()
	o := f.offers(t, agentCount)[0]
	f.run(t, "t1", o)
	o = f.offerOf(t, o.AgentID)
	id := machine(o)
	schedule := func(t *testing.T, in time.Duration) {
		t.Helper()
		windows := list{}
		if in != 0 {
			windows = list{obj{"machine_ids": list{id}, "unavailability": obj{"start": obj{"nanoseconds": time.Now().Add(in).UnixNano()}, "duration": obj{"nanoseconds": 6e11}}}}
		}
		m.accepted(t, "UPDATE_MAINTENANCE_SCHEDULE", obj{"schedule": obj{"windows": windows}})
	}
	t.Cleanup(func() {
		m.operator(obj{"type": "UPDATE_MAINTENANCE_SCHEDULE", "update_maintenance_schedule": obj{"schedule": obj{"windows": list{}}}})
	})
	inverse := func(t *testing.T) string {
		t.Helper()
		ev := f.awaitIn(t, "INVERSE_OFFERS", patience, func(e *event) bool { return e.Type == "INVERSE_OFFERS" })
		in := ev.Inverse.Offers[0]
		if in.Agent.Value != o.AgentID || in.Unavailability["start"] == nil || strings.Contains(ev.raw, `"resources"`) {
			t.Errorf("%s", ev.raw)
		}
		return in.ID.Value
	}
	answer := func(wanted string) bool {
		return strings.Contains(m.operator(obj{"type": "GET_MAINTENANCE_STATUS"}).body, `"status":"`+wanted+`"`)
	}
	withdrawn := func(t *testing.T, id string) {
		t.Helper()
		f.awaitIn(t, "RESCIND_INVERSE_OFFER", patience, func(e *event) bool { return e.Type == "RESCIND_INVERSE_OFFER" && e.RescindInverse.ID.Value == id })
	}
	var in string
	t.Run("schedule: RESCIND, the offer anew with unavailability, INVERSE_OFFERS", func(t *testing.T) {
		schedule(t, time.Hour)
		f.rescinded(t, o.ID)
		o = f.offerOf(t, o.AgentID)
		if got := encode(o.Unavailability); !strings.Contains(got, `"start":{"nanoseconds":`) || !strings.Contains(got, `"duration":{"nanoseconds":`) {
			t.Errorf("unavailability %s", got)
		}
		in = inverse(t)
	})
	t.Run("GET_MAINTENANCE_STATUS lists the machine", func(t *testing.T) {
		if r := m.operator(obj{"type": "GET_MAINTENANCE_STATUS"}); !strings.Contains(r.body, `"draining_machines":[{"id":{`) {
			t.Errorf("%s", r.body)
		}
	})
	for _, kind := range []string{"DECLINE", "ACCEPT"} {
		t.Run(kind+" is kept; the inverse offer comes again", func(t *testing.T) {
			start := time.Now()
			f.must(t, kind+"_INVERSE_OFFERS", obj{"inverse_offer_ids": list{obj{"value": in}}, "filters": obj{"refuse_seconds": 2}})
			eventually(t, kind+" in the status", patience, func() bool { return answer(kind) })
			in = inverse(t)
			span{1900 * time.Millisecond, 3500 * time.Millisecond}.check(t, time.Since(start))
		})
	}
	t.Run("unknown inverse offer is 202", func(t *testing.T) {
		f.must(t, "ACCEPT_INVERSE_OFFERS", obj{"inverse_offer_ids": list{obj{"value": "nosuch"}}})
	})
	t.Run("another schedule: both are rescinded and come anew", func(t *testing.T) {
		schedule(t, 2*time.Hour)
		f.rescinded(t, o.ID)
		withdrawn(t, in)
		o = f.offerOf(t, o.AgentID)
		in = inverse(t)
	})
	t.Run("no schedule: both are rescinded, offers come without unavailability", func(t *testing.T) {
		schedule(t, 0)
		f.rescinded(t, o.ID)
		withdrawn(t, in)
		if o = f.offerOf(t, o.AgentID); o.Unavailability != nil {
			t.Errorf("unavailability %v", o.Unavailability)
		}
		f.never(t, "INVERSE_OFFERS", 300*time.Millisecond, func(e *event) bool { return e.Type == "INVERSE_OFFERS" })
	})
	machines := obj{"machines": list{id}}
	t.Run("START_MAINTENANCE without schedule", func(t *testing.T) {
		m.refused(t, "START_MAINTENANCE", machines, 400, fmt.Sprintf(`Machine '{"hostname":"%s","ip":"%s"}' is not in DRAINING mode and cannot be brought down`, id["hostname"], id["ip"]))
	})
	t.Run("START_MAINTENANCE", func(t *testing.T) {
		onlyMiniature(t, "28", "the agent would have to be started again")
		schedule(t, time.Millisecond)
		f.rescinded(t, o.ID)
		o = f.offerOf(t, o.AgentID)
		in = inverse(t)
		m.accepted(t, "START_MAINTENANCE", machines)
		f.course(t, "t1", fromMaster("TASK_LOST", "REASON_AGENT_REMOVED", "Agent "+o.Hostname+" removed: Operator initiated 'Machine DOWN'"))
		f.rescinded(t, o.ID)
		withdrawn(t, in)
		f.failure(t, o.AgentID, "", -1)
	})
	for _, kind := range []string{"RECONCILE", "KILL"} {
		for _, agent := range []string{"", o.AgentID} {
			t.Run(fmt.Sprintf("%s afterwards, with agent id %t", kind, agent != ""), func(t *testing.T) {
				onlyMiniature(t, "28", "the agent would have to be started again")
				f.ask(t, kind, "t1", agent)
				f.course(t, "t1", reconciled("TASK_UNKNOWN", "Task is unknown"))
			})
		}
	}
	t.Run("STOP_MAINTENANCE: the agent may come back", func(t *testing.T) {
		onlyMiniature(t, "28", "the agent would have to be started again")
		m.accepted(t, "STOP_MAINTENANCE", machines)
		back := f.offerWith(t, "offer of the machine", func(x offer) bool { return x.Hostname == o.Hostname })
		if back.Unavailability != nil {
			t.Errorf("unavailability %v", back.Unavailability)
		}
	})
}
