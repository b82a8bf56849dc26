package deployments

import (
	"stadion/core"
)

// Next says what an action needs now. It looks at nothing but the present state, so it may be asked at any time, as
// often as wanted, by any leader; what a decision asks for shows in the next state (design.md 2.4).
//
// The caller sets the goal of every instance in Stop (Decommissioned for a Stop action; otherwise Stopped where the
// instance holds a reservation and Decommissioned where not) and schedules Start instances of the target version,
// re-using stopped ones that hold a reservation first. When neither is asked for and the action is not done, Waiting
// and Missing tell what it waits for (D-02).
func Next(a core.Action, v *SpecView) Decision {
	switch a.Kind {
	case core.ActionStop:
		return nextStop(v)
	case core.ActionScale:
		return nextScale(v)
	case core.ActionRestart:
		return nextRestart(v)
	}
	return Decision{Done: true} // Start only announces (behaviour.md 2.6)
}

// nextStop ends all instances of a spec, those that only stopped included. It is done when each is decommissioned and
// ended or out of reach (behaviour.md 2.6).
func nextStop(v *SpecView) (d Decision) {
	for _, i := range v.Instances {
		if i.Goal != core.GoalDecommissioned {
			d.Stop = append(d.Stop, i.ID)
		} else if dying(i) {
			d.Missing++
		}
	}
	switch {
	case len(d.Stop) > 0:
		d.Missing = 0
	case d.Missing > 0:
		d.Waiting = ForKill
	default:
		d.Done = true
	}
	return d
}

// dying reports that an instance which is to end may still occupy its agent. Unreachable ones are not waited for.
func dying(i *core.Instance) bool {
	return i.Goal != core.GoalRunning && i.Condition.Active() && i.Condition != core.Unreachable
}

// healthy: runs now and is considered healthy (D-01, D-04).
func (v *SpecView) healthy(i *core.Instance) bool {
	return i.Condition == core.Running && (v.Healthy == nil || v.Healthy(i))
}

// ready: runs now and its readiness check has passed (D-04).
func (v *SpecView) ready(i *core.Instance) bool {
	return i.Condition == core.Running && (v.Ready == nil || v.Ready(i))
}

// progress counts how far the instances of the target version have come, to tell what an action waits for.
type progress struct {
	waiting   int // for an offer
	unhealthy int // launched and not healthy
	unready   int // healthy and not ready
	unproven  int // running, but not for long enough to be relied on
	stopping  int // told to stop, may still occupy their agents
}

// note counts one instance with goal Running and reports whether it is fully done.
func (p *progress) note(v *SpecView, i *core.Instance) bool {
	switch {
	case i.Scheduled():
		p.waiting++
	case !v.healthy(i):
		p.unhealthy++
	case !v.ready(i):
		p.unready++
	default:
		return true
	}
	return false
}

// explain fills Waiting and Missing: the earliest thing on an instance's way that is in the way of some instance.
func (p *progress) explain(d *Decision) {
	switch {
	case p.waiting > 0:
		d.Waiting, d.Missing = ForOffers, p.waiting
	case p.unhealthy > 0:
		d.Waiting, d.Missing = ForHealth, p.unhealthy
	case p.unready > 0:
		d.Waiting, d.Missing = ForReadiness, p.unready
	case p.unproven > 0:
		d.Waiting, d.Missing = ForHealth, p.unproven
	default:
		d.Waiting, d.Missing = ForKill, p.stopping
	}
}
