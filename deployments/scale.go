package deployments

import (
	"stadion/core"
)

// nextScale brings the number of instances to the target's (behaviour.md 2.7), level-triggered.
//
//   - Live are instances with goal Running that are not UnreachableInactive, whatever their version.
//   - Victims are chosen by the one kill order (D-08, D-09); requested ones always go, and are replaced.
//   - Starts wait for agents to become free: live ones and those that still die never exceed the target together, so
//     a kill-and-replace starts after the kills, as Marathon does.
//   - Instances of the target's own version are this action's: each must run now, be healthy and ready (D-03, D-04).
//     Every update stamps a new version, so they are exactly those that the action scheduled, also after a failover.
//     Those of earlier versions were there before and count as they are: a pure scaling does not wait for them, or
//     scaling down an app that crashes would lock it for ever.
//   - Done needs every instance that was told to stop to be ended or out of reach.
func nextScale(v *SpecView) (d Decision) {
	target := v.Target.InstanceCount()
	p := propose(target, v, v.Sentenced, v.Target.SpecVersion())
	d.Stop = p.stop
	room := target - (p.live - len(p.stop)) - p.progress.stopping - p.occupied
	d.Start = min(p.start, max(0, room))
	if d.Start > 0 || len(d.Stop) > 0 {
		return d
	}
	g := p.progress
	if p.start == 0 && g == (progress{}) {
		d.Done = true
		return d
	}
	g.explain(&d)
	return d
}

// ScaleCheck is the periodic scale check and the one after an instance ended (behaviour.md 2.8): the proposal without
// requested kills. It never waits (D-06); instances that wait for an offer are cancelled before running ones are
// killed (D-09). v.Target is the newest version, which the started ones get. Done means that nothing is to be done.
func ScaleCheck(target int, v *SpecView) Decision {
	p := propose(target, v, nil, noVersion)
	return Decision{Start: p.start, Stop: p.stop, Done: p.start == 0 && len(p.stop) == 0}
}

// proposal is what behaviour.md 2.7 step A yields.
type proposal struct {
	live     int
	start    int               // instances missing once the victims are gone
	stop     []core.InstanceID // victims, the first to go first
	occupied int               // victims that occupy an agent until they are dead
	progress progress          // of live instances of one version, and of all that die
}

// noVersion is no instance's version.
const noVersion core.Timestamp = -1

// propose makes the proposal in one pass; only when something is superfluous a second one looks for the victims.
// Progress is noted for the instances of version own.
func propose(target int, v *SpecView, sentenced func(core.InstanceID) bool, own core.Timestamp) (p proposal) {
	target = max(0, target)
	named := 0
	for _, i := range v.Instances {
		if !counts(i) {
			if dying(i) {
				p.progress.stopping++
			}
			continue
		}
		p.live++
		if sentenced != nil && sentenced(i.ID) {
			named++
		}
		if i.Version == own {
			p.progress.note(v, i)
		}
	}
	kill := max(p.live-target, named, 0)
	p.start = max(0, target-p.live+kill)
	if kill > 0 {
		for _, c := range victims(v, kill, sentenced) {
			p.stop = append(p.stop, c.inst.ID)
			if c.rank == rankSentenced && c.inst.Launched() || c.rank > rankWaiting {
				p.occupied++
			}
		}
	}
	return p
}

// counts reports whether an instance counts towards the wanted number (behaviour.md 2.7).
func counts(i *core.Instance) bool {
	return i.Goal == core.GoalRunning && i.Condition != core.UnreachableInactive
}

// victims picks n live instances by the kill order. Constraint-driven victims are only looked for among instances
// that are not chosen for a stronger reason already (D-08).
func victims(v *SpecView, n int, sentenced func(core.InstanceID) bool) []candidate {
	sel := core.YoungestFirst
	if v.Target != nil {
		sel = v.Target.Kill()
	}
	driven := constraintVictims(v, n, sentenced, sel)
	pick := newPicker(n, sel)
	for _, i := range v.Instances {
		if counts(i) {
			pick.offer(classed(v, i, sentenced, driven))
		}
	}
	return pick.sorted()
}

func classed(v *SpecView, i *core.Instance, sentenced func(core.InstanceID) bool, driven map[core.InstanceID]bool) candidate {
	c := candidateOf(i, v.healthy(i))
	switch {
	case sentenced != nil && sentenced(i.ID):
		c.rank = rankSentenced
	case c.rank == rankHealthy && driven[i.ID]:
		c.rank = rankConstraint
	}
	return c
}

// constraintVictims asks for the victims that keep GROUP_BY even, once those are set aside that go anyway.
func constraintVictims(v *SpecView, n int, sentenced func(core.InstanceID) bool, sel core.KillSelection) map[core.InstanceID]bool {
	if v.ConstraintKills == nil {
		return nil
	}
	var live []*core.Instance
	for _, i := range v.Instances {
		if !counts(i) {
			continue
		}
		if classed(v, i, sentenced, nil).rank < rankConstraint {
			n--
		} else {
			live = append(live, i)
		}
	}
	if n <= 0 || len(live) == 0 {
		return nil
	}
	out := make(map[core.InstanceID]bool)
	for _, id := range v.ConstraintKills(KillOrder(live, sel, v.healthy), min(n, len(live))) {
		out[id] = true
	}
	return out
}
