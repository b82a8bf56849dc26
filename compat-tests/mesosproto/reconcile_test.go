package mesosproto

import (
	"testing"
	"time"
)

// question is one entry of RECONCILE, or a KILL.
func question(id, agent string) obj {
	q := obj{"task_id": obj{"value": id}}
	if agent != "" {
		q["agent_id"] = obj{"value": agent}
	}
	return q
}

// ask sends a KILL or a RECONCILE of one task.
func (f *framework) ask(t *testing.T, kind, id, agent string) {
	t.Helper()
	if kind == "KILL" {
		f.must(t, kind, question(id, agent))
		return
	}
	f.must(t, kind, obj{"tasks": list{question(id, agent)}})
}

// TestTableOfUnknownTasks is the table "KILL of an unknown task and reconciliation"
// for PARTITION_AWARE frameworks and others (REC 13, 14, 15).
func TestTableOfUnknownTasks(t *testing.T) {
	m := newMaster(t)
	for _, fw := range []struct {
		name  string
		caps  list
		aware bool
	}{{"PARTITION_AWARE", capabilities(allCapabilities...), true}, {"not PARTITION_AWARE", capabilities("MULTI_ROLE"), false}} {
		t.Run(fw.name, func(t *testing.T) {
			f := m.framework(obj{"capabilities": fw.caps}).subscribe()
			all := f.offers(t, agentCount)
			o := all[0]
			f.run(t, "alive", o)
			o = f.offerOf(t, o.AgentID)
			f.accept(t, []offer{o}, launch(task("done", o, "true")))
			f.course(t, "done", starting, running, ended("TASK_FINISHED", status0))
			agents := []struct{ name, id, state, message string }{
				{"no agent id", "", "TASK_UNKNOWN", "Task is unknown"},
				{"id of a registered agent", o.AgentID, "TASK_GONE", "Task is unknown to the agent"},
				{"id of an agent never seen", "no-such-agent", "TASK_UNKNOWN", "Task is unknown"},
			}
			for _, a := range agents {
				for _, kind := range []string{"RECONCILE", "KILL"} {
					for _, id := range []string{"ghost", "done"} {
						t.Run(kind+" "+id+", "+a.name, func(t *testing.T) {
							f.ask(t, kind, id, a.id)
							state := a.state
							if !fw.aware {
								state = "TASK_LOST"
							}
							st := f.course(t, id, reconciled(state, a.message))
							if st.Agent.Value != a.id {
								t.Errorf("agent %q, want %q", st.Agent.Value, a.id)
							}
						})
					}
				}
				t.Run("RECONCILE running, "+a.name, func(t *testing.T) {
					f.ask(t, "RECONCILE", "alive", a.id)
					f.course(t, "alive", reconciled("TASK_RUNNING", "Latest task state"))
				})
			}
			t.Run("RECONCILE running, id of the wrong agent", func(t *testing.T) {
				f.ask(t, "RECONCILE", "alive", all[1].AgentID)
				if st := f.course(t, "alive", reconciled("TASK_RUNNING", "Latest task state")); st.Agent.Value != o.AgentID {
					t.Errorf("agent %q, want that of the task", st.Agent.Value)
				}
			})
			f.must(t, "TEARDOWN", nil)
		})
	}
}

// TestReconcile is what is asked in other ways (REC 15).
func TestReconcile(t *testing.T) {
	m := newMaster(t)
	f := m.framework(nil)
	f.subscribe()
	o := f.offers(t, agentCount)[0]
	f.accept(t, []offer{o}, launch(task("r1", o, "sleep 600"), task("r2", o, "sleep 600"), task("r3", o, "true")))
	for _, id := range []string{"r1", "r2"} {
		f.course(t, id, starting, running)
	}
	f.course(t, "r3", starting, running, ended("TASK_FINISHED", status0))
	latest := reconciled("TASK_RUNNING", "Latest task state")
	t.Run("one answer per entry, in order, duplicates too", func(t *testing.T) {
		wanted := []string{"r1", "ghost", "r2", "r1"}
		var tasks list
		for _, id := range wanted {
			tasks = append(tasks, question(id, ""))
		}
		f.must(t, "RECONCILE", obj{"tasks": tasks})
		for _, id := range wanted {
			ev := f.awaitIn(t, "answer", patience, func(e *event) bool { return e.Type == "UPDATE" })
			if got := ev.Update.Status.Task.Value; got != id {
				t.Errorf("answer for %s, want %s", got, id)
			}
		}
	})
	for _, c := range []struct {
		name string
		body obj
	}{{"implicit, empty list", obj{"tasks": list{}}}, {"implicit, no list", obj{}}, {"implicit, unknown key", obj{"statuses": list{}}}} {
		t.Run(c.name, func(t *testing.T) {
			f.must(t, "RECONCILE", c.body)
			for _, id := range []string{"r1", "r2"} {
				f.course(t, id, latest)
			}
			f.never(t, "answer for what ended", 300*time.Millisecond, updateOf("r3"))
		})
	}
}

// TestReconcileUnacknowledged: the answer is what the agent has forwarded; after a
// reconnect it is sent again at once (REC 15).
func TestReconcileUnacknowledged(t *testing.T) {
	m := newMaster(t)
	f := m.framework(nil).subscribe()
	f.run(t, "r1", f.offers(t, agentCount)[0])
	f.close()
	g := f.twin(nil)
	g.autoAck = false
	g.subscribe()
	g.must(t, "KILL", question("r1", ""))
	first := g.course(t, "r1", killing)
	pid, _ := first.Container["executor_pid"].(float64)
	if pid == 0 {
		t.Error("no executor_pid")
	}
	t.Run("explicit is TASK_KILLING although the task is dead", func(t *testing.T) {
		time.Sleep(time.Second) // the task ends, which nothing may tell yet
		g.ask(t, "RECONCILE", "r1", "")
		g.course(t, "r1", reconciled("TASK_KILLING", "Latest task state"))
	})
	t.Run("implicit too", func(t *testing.T) {
		g.must(t, "RECONCILE", obj{"tasks": list{}})
		g.course(t, "r1", reconciled("TASK_KILLING", "Latest task state"))
	})
	g.close()
	h := f.twin(nil)
	start := time.Now()
	h.subscribe()
	t.Run("after re-subscribing open updates come at once", func(t *testing.T) {
		st := h.course(t, "r1", killing)
		span{0, 2 * time.Second}.check(t, time.Since(start))
		if st.UUID != first.UUID {
			t.Errorf("uuid %s, want %s", st.UUID, first.UUID)
		}
		h.course(t, "r1", ended("TASK_KILLED", "Command terminated with signal Terminated"))
	})
	t.Run("then nothing is left", func(t *testing.T) {
		h.must(t, "RECONCILE", obj{"tasks": list{}})
		h.never(t, "answer", 500*time.Millisecond, updateOf("r1"))
	})
	h.must(t, "TEARDOWN", nil)
}
