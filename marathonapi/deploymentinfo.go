package marathonapi

import (
	"net/http"

	"stadion/core"
	"stadion/core/machine"
	"stadion/core/state"
	"stadion/offers"
)

func (s *Server) listDeployments(r *request) error {
	stall := false
	for _, word := range r.QueryParams()["embed"] {
		stall = stall || word == "stall"
	}
	if r.unchanged() {
		return nil
	}
	return r.stream(func(e *encoder) {
		e.raw("[")
		first := true
		for d := range r.snap.Deployments() {
			if !r.sees(d) {
				continue
			}
			e.comma(&first)
			e.deployment(r.snap, d, stall)
			e.spill()
		}
		e.raw("]")
	})
}

// deployment encodes a running deployment (http-api.md 8.2). Stored means listed (D-26).
func (e *encoder) deployment(snap *state.Snapshot, d *core.Deployment, stall bool) {
	e.field(`{"id":`, d.ID)
	e.raw(`,"version":`)
	e.stamp(d.Version)
	affected := d.AffectedSpecs()
	e.raw(`,"affectedApps":`)
	e.affected(affected, false)
	e.raw(`,"affectedPods":`)
	e.affected(affected, true)
	e.raw(`,"steps":`)
	e.steps(d.Steps)
	e.raw(`,"currentActions":[`)
	first := true
	for _, a := range d.CurrentActions() {
		e.comma(&first)
		e.action(a)
		e.raw(`,"readinessCheckResults":`)
		e.readiness(snap, a.Spec)
		e.raw("}")
	}
	e.count(`],"currentStep":`, d.Current)
	e.count(`,"totalSteps":`, len(d.Steps))
	if stall && d.Settings != nil && d.Settings.Paused { // on demand: clients fail over keys they do not know (http-api.md 18)
		e.raw(`,"paused":true`)
	}
	if st, ok := snap.Stall(d.ID); stall && ok {
		e.raw(`,"stall":`)
		e.stall(snap, &st)
	}
	e.raw("}")
}

// steps writes what core.WireSteps are in JSON: a list of thousands of deployments is mostly this.
func (e *encoder) steps(list []core.Step) {
	e.raw("[")
	for n, s := range list {
		if n > 0 {
			e.raw(",")
		}
		e.raw(`{"actions":[`)
		first := true
		for _, a := range s.Actions {
			e.comma(&first)
			e.action(a)
			e.raw("}")
		}
		e.raw("]}")
	}
	e.raw("]")
}

// action begins an action: its kind and what it is done to.
func (e *encoder) action(a core.Action) {
	e.field(`{"action":`, a.WireName())
	if a.Pod {
		e.field(`,"pod":`, string(a.Spec))
	} else {
		e.field(`,"app":`, string(a.Spec))
	}
}

func (e *encoder) affected(list []core.Action, pods bool) {
	e.raw("[")
	first := true
	for _, a := range list {
		if a.Pod == pods {
			e.comma(&first)
			e.text(string(a.Spec))
		}
	}
	e.raw("]")
}

// stall tells what a deployment waits for, with the last failure and the most frequent reason against offers (D-02).
func (e *encoder) stall(snap *state.Snapshot, st *state.Stall) {
	e.raw(`{"since":`)
	e.stamp(st.Since)
	e.field(`,"spec":`, string(st.Spec))
	e.field(`,"waitingFor":`, st.WaitingFor)
	e.count(`,"missing":`, st.Missing)
	if f, ok := snap.Failure(st.Spec); ok {
		e.raw(`,"lastTaskFailure":`)
		e.json(f)
	}
	if q := snap.Stats(st.Spec); q != nil {
		funnel := offers.Funnel(q.Funnel)
		if reason, some := funnel.Top(); some {
			e.field(`,"topRejectReason":`, reason.String())
		}
	}
	e.raw("}")
}

func (s *Server) cancelDeployment(r *request) error {
	force := r.flag("force")
	if err := r.maySteer(r.vars["id"], force); err != nil {
		return err
	}
	res, err := submit[machine.UpdateResult](s, r, machine.CancelDeployment{ID: r.vars["id"], Force: force})
	if err != nil {
		return err
	}
	if force {
		return r.NoContent(http.StatusAccepted)
	}
	return r.deployed(http.StatusOK, res)
}

// steer pauses, resumes or promotes a deployment and answers with the deployment, or with its id alone if that made it
// end.
func steer(action string) func(*Server, *request) error {
	return func(s *Server, r *request) error {
		id := r.vars["id"]
		if err := r.maySteer(id, false); err != nil {
			return err
		}
		if _, err := submit[any](s, r, machine.SteerDeployment{ID: id, Action: action}); err != nil {
			return err
		}
		d, runs := r.snap.Deployment(id)
		if !runs {
			return r.answer(http.StatusOK, deploymentID{id})
		}
		return r.stream(func(e *encoder) { e.deployment(r.snap, d, true) })
	}
}
