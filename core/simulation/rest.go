package simulation

import (
	"maps"
	"slices"

	"stadion/core"
)

// rest judges the world when nothing more goes wrong and time enough has passed.
func (j *judge) rest() {
	w := j.w
	l := w.lead
	if w.Failure != "" {
		return
	}
	if l.dead || l.m == nil || l.stream == nil || l.flying != nil && l.tries > 0 {
		w.fail("R9: the server did not come back")
		return
	}
	st := l.m.State()
	for d := range st.Deployments() {
		stall, _ := st.Stall(d.ID)
		var all []*core.Instance
		for _, a := range d.CurrentActions() {
			for i := range st.InstancesOf(a.Spec) {
				all = append(all, i)
			}
		}
		w.fail("R9, I11: deployment %s does not end: %+v, step %d of %v", d.ID, stall, d.Current, d.Steps)
		for _, i := range all {
			w.Failure += "\n    " + describeInstance(i)
		}
		return
	}
	living := map[core.PathID]map[core.InstanceID]bool{}
	for _, a := range w.master.agents {
		if !a.gone && (a.cut || a.lost || a.recovering) {
			w.fail("agent %s did not come back", a.info.ID)
		}
		for _, t := range a.tasks {
			if len(t.pending) > 0 && w.clock.now > t.pending[0].at+3*repeatMs {
				w.fail("I9: %s of %s is never acknowledged", t.pending[0].state, t.ID)
			}
			if !t.Alive() || j.rots(t.Name.Instance) {
				continue
			}
			if living[t.Name.Spec] == nil {
				living[t.Name.Spec] = map[core.InstanceID]bool{}
			}
			living[t.Name.Spec][t.Name.Instance] = true
			if i, ok := st.Instance(t.Name.Instance); !ok || taskOf(i, t.ID) == nil {
				w.fail("R4: task %s is an orphan", t.ID)
			}
			if s, ok := st.Spec(t.Name.Spec); !ok || t.Version < s.Stamps().LastConfigChangeAt.String() && !j.halfDone[t.Name.Spec] {
				w.fail("D-58: task %s runs an old configuration %s", t.ID, t.Version)
			}
		}
	}
	for s := range st.SpecsBelow(core.Root) {
		if n := len(living[s.SpecID()]); n != s.InstanceCount() {
			w.fail("R5: %d tasks of %s live, wanted %d (%+v)", n, s.SpecID(), s.InstanceCount(), st.Counts(s.SpecID()))
			for i := range st.InstancesOf(s.SpecID()) {
				w.Failure += "\n    " + describeInstance(i)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(w.client.known)) {
		if read, want := readSpec(st.Spec(id)), w.client.known[id]; read != want {
			w.fail("R1: %s is %+v, answered was %+v", id, read, want)
		}
	}
	j.ledger()
	if l.flying == nil {
		j.peek(&st.View)
		if diff := w.durable.differs(st.Durable()); diff != "" {
			w.fail("I13: stored and held rows differ: %s", diff)
		}
	}
}

func describeInstance(i *core.Instance) string {
	out := string(i.ID) + " " + i.Goal.String() + " " + i.Condition.String() + " version " + i.Version.String() + " why " + i.KillReason
	if i.Agent != nil {
		out += " on " + i.Agent.ID
	}
	if i.Reservation != nil {
		out += " reserved"
	}
	return out
}

// destroyed: no volume that a task has used ends without a client's will (I6).
func (j *judge) destroyed(id core.InstanceID) {
	switch {
	case j.rots(id):
		j.w.fail("F14: the volume of %s is destroyed because its row cannot be read", id)
	case j.used[id] && !j.w.client.wiped[id] && !j.w.client.removed[id.Spec()]:
		j.w.fail("I6: the volume of %s is destroyed, nobody asked for it", id)
	}
}

// ledger: what is reserved on the agents is what instances hold (I6, E.1.13).
func (j *judge) ledger() {
	w, st := j.w, j.w.lead.m.State()
	held := map[string]string{}
	for _, a := range w.master.agents {
		if a.gone {
			continue
		}
		for _, r := range a.total {
			if id := reservationID(r); id != "" {
				held[id] = a.info.ID
			}
		}
	}
	for i := range st.Instances() {
		if i.Reservation == nil {
			continue
		}
		if a := w.master.agent(i.Agent.ID); a.gone && i.Reservation.New && i.Goal == core.GoalDecommissioned {
			continue // no task of it can tell; it is forgotten later
		}
		if held[i.Reservation.ID] != i.Agent.ID {
			w.fail("I6: %s has a reservation on %s, the agents say %q", i.ID, i.Agent.ID, held[i.Reservation.ID])
		}
		delete(held, i.Reservation.ID)
	}
	for _, id := range slices.Sorted(maps.Keys(held)) {
		if j.rots(core.InstanceID(id)) {
			continue
		}
		w.fail("I6: a reservation of %s on %s is nobody's", id, held[id])
	}
}
