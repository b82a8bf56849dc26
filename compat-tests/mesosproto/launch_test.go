package mesosproto

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Builders of what a framework sends, and waits for what it gets.

func ids(offers ...offer) list {
	out := list{}
	for _, o := range offers {
		out = append(out, obj{"value": o.ID})
	}
	return out
}

// again is a filter that lets the rest of an offer come back at the next round.
func again() obj { return obj{"refuse_seconds": 0} }

func cpus(v float64, role string) obj { return amount("cpus", v, role) }
func mem(v float64, role string) obj  { return amount("mem", v, role) }

func amount(name string, v float64, role string) obj {
	r := obj{"name": name, "type": "SCALAR", "scalar": obj{"value": v}}
	if role != "" {
		r["allocation_info"] = obj{"role": role}
	}
	return r
}

func shell(command string) obj { return obj{"value": command} }

// task is a command task of 0.1 cpus and 32 MiB on the agent of an offer.
func task(id string, o offer, command string, changes ...obj) obj {
	t := obj{"name": id, "task_id": obj{"value": id}, "agent_id": obj{"value": o.AgentID},
		"resources": list{cpus(0.1, o.Role), mem(32, o.Role)}, "command": shell(command)}
	for _, c := range changes {
		for k, v := range c {
			if t[k] = v; v == nil {
				delete(t, k)
			}
		}
	}
	return t
}

func launch(tasks ...obj) obj {
	return obj{"type": "LAUNCH", "launch": obj{"task_infos": tasks}}
}

// accept uses offers and gives the rest back at once.
func (f *framework) accept(t *testing.T, offers []offer, ops ...obj) {
	t.Helper()
	f.must(t, "ACCEPT", obj{"offer_ids": ids(offers...), "operations": ops, "filters": again()})
}

func (f *framework) decline(t *testing.T, seconds float64, offers ...offer) {
	t.Helper()
	f.must(t, "DECLINE", obj{"offer_ids": ids(offers...), "filters": obj{"refuse_seconds": seconds}})
}

// offers waits for offers of n agents and gives the newest of each; offers that
// came and were not asked for count.
func (f *framework) offers(t *testing.T, n int) []offer {
	t.Helper()
	var out []offer
	for len(out) < n {
		out = append(out, f.awaitIn(t, "OFFERS", patience, isOffers).Offers.Offers...)
	}
	return out
}

func isOffers(e *event) bool { return e.Type == "OFFERS" }

// offerOf waits for an offer of an agent ("" for any) and keeps the others of the
// same event for later.
func (f *framework) offerOf(t *testing.T, agent string) offer {
	t.Helper()
	return f.offerWith(t, "offer of "+agent, func(o offer) bool { return agent == "" || o.AgentID == agent })
}

func (f *framework) offerWith(t *testing.T, what string, fits func(offer) bool) offer {
	t.Helper()
	o, ok := f.seekOffer(patience, fits)
	if !ok {
		t.Fatalf("no %s in %s; unused: %s", what, patience, f.unused())
	}
	return o
}

// seekOffer takes one offer out of the events that came.
func (f *framework) seekOffer(within time.Duration, fits func(offer) bool) (offer, bool) {
	var found offer
	take := func(e *event) bool {
		if e.Type != "OFFERS" {
			return false
		}
		for i, o := range e.Offers.Offers {
			if fits(o) {
				found = o
				rest := append([]offer{}, e.Offers.Offers[:i]...)
				e.Offers.Offers = append(rest, e.Offers.Offers[i+1:]...)
				return true
			}
		}
		return false
	}
	ev := f.seek(within, take)
	if ev == nil {
		return offer{}, false
	}
	if len(ev.Offers.Offers) > 0 {
		f.mu.Lock()
		ev.used = false
		f.mu.Unlock()
	}
	return found, true
}

// forgetOffers drops what was offered so far.
func (f *framework) forgetOffers() {
	for f.seek(0, isOffers) != nil {
	}
}

// update waits for the next status of a task and checks its state.
func (f *framework) update(t *testing.T, id, state string) status {
	t.Helper()
	return f.updateWithin(t, patience, id, state)
}

func (f *framework) updateWithin(t *testing.T, within time.Duration, id, state string) status {
	t.Helper()
	st := f.awaitIn(t, "update "+state+" of "+id, within, updateOf(id)).Update.Status
	if st.State != state {
		t.Fatalf("%s is %s (%s, %q), want %s", id, st.State, st.Reason, st.Message, state)
	}
	return st
}

func updateOf(id string) func(*event) bool {
	return func(e *event) bool { return e.Type == "UPDATE" && e.Update.Status.Task.Value == id }
}

// run launches a task that goes on and waits until it runs.
func (f *framework) run(t *testing.T, id string, o offer, changes ...obj) status {
	t.Helper()
	f.accept(t, []offer{o}, launch(task(id, o, "sleep 600", changes...)))
	f.update(t, id, "TASK_STARTING")
	return f.update(t, id, "TASK_RUNNING")
}

// kill ends a task of a framework with TASK_KILLING_STATE.
func (f *framework) kill(t *testing.T, id string) {
	t.Helper()
	f.must(t, "KILL", obj{"task_id": obj{"value": id}})
	f.update(t, id, "TASK_KILLING")
	f.update(t, id, "TASK_KILLED")
}

// want is what a status must say. Empty means that the field must be missing;
// "..." at the end of the message stands for the rest of it.
type want struct {
	state, source, reason, message string
	uuid                           bool
}

func (w want) check(t *testing.T, st status) {
	t.Helper()
	var wrong []string
	add := func(what, got, expected string) {
		if got != expected {
			wrong = append(wrong, fmt.Sprintf("%s %q, want %q", what, got, expected))
		}
	}
	add("state", st.State, w.state)
	add("source", st.Source, w.source)
	add("reason", st.Reason, w.reason)
	if start, ok := strings.CutSuffix(w.message, "..."); !ok || !strings.HasPrefix(st.Message, start) {
		add("message", st.Message, w.message)
	}
	if (st.UUID != "") != w.uuid {
		wrong = append(wrong, fmt.Sprintf("uuid %q, want one: %t", st.UUID, w.uuid))
	}
	if len(wrong) > 0 {
		t.Fatalf("status of %s: %s", st.Task.Value, strings.Join(wrong, "; "))
	}
}

// course waits for the statuses of a task one after another.
func (f *framework) course(t *testing.T, id string, steps ...want) status {
	t.Helper()
	var last status
	for _, w := range steps {
		last = f.update(t, id, w.state)
		w.check(t, last)
	}
	return last
}

// Statuses that many tasks have in common.
var (
	starting = want{state: "TASK_STARTING", source: "SOURCE_EXECUTOR", uuid: true}
	running  = want{state: "TASK_RUNNING", source: "SOURCE_EXECUTOR", uuid: true}
	killing  = want{state: "TASK_KILLING", source: "SOURCE_EXECUTOR", uuid: true}
)

// ended is a terminal status from the executor.
func ended(state, message string) want {
	return want{state: state, source: "SOURCE_EXECUTOR", message: message, uuid: true}
}

// fromMaster is a status that the master makes: never with a uuid.
func fromMaster(state, reason, message string) want {
	return want{state: state, source: "SOURCE_MASTER", reason: reason, message: message}
}

// fromAgent is a status that the agent makes.
func fromAgent(state, reason, message string) want {
	return want{state: state, source: "SOURCE_AGENT", reason: reason, message: message, uuid: true}
}

func reconciled(state, message string) want {
	return fromMaster(state, "REASON_RECONCILIATION", "Reconciliation: "+message)
}
