package deployments

import (
	"math"

	"stadion/core"
)

// nextRestart is the rolling upgrade of behaviour.md 12.2: a loop that starts from what is, not from what was begun.
//
//	old        instances of another configuration that may occupy an agent
//	new        instances of the target's configuration with goal Running, launched or not
//	stopping   instances told to stop that may still occupy their agents
//
//	            room for starts                      right to kill
//	|---- old ----|---- new ----|~~~ room ~~~| maxCap    healthy old + healthy and ready new - minHealthy
//
// What 3.3 and R5 add to it:
//
//   - Old instances on no agent (waiting for an offer or for a relaunch) and old unreachable ones are stopped at once:
//     they are no capacity and must not come back with the old definition (3.3 rules 7 and 11).
//   - A new instance that died keeps its goal and is relaunched; it counts as started, not as healthy (3.4).
//   - A new instance that is unreachable counts as started until its unreachableStrategy gives it up (it is then
//     UnreachableInactive): replacing it before would go over capacity when it returns, and give a resident spec with
//     a lost agent a second volume (R5, D-48).
//   - Once as many new ones as wanted are healthy and ready, no old one is needed and all of them may go at once.
//   - A new instance counts against old ones only once it can be relied on: see trust.
//   - With Hold, no more than Hold new ones are started and no more than Hold old ones are replaced, until the
//     caller drops Hold.
func nextRestart(v *SpecView) Decision {
	r := surveyRestart(v)
	d := Decision{Stop: r.free, Again: r.trust.again}
	kill := r.mayKill()
	d.Start = r.mayStart()
	held := r.hold > 0 && r.fresh >= r.hold
	if r.done() && len(d.Stop) == 0 {
		return Decision{Done: true}
	}
	surplus, named := max(0, r.fresh-r.n), v.Sentenced
	if surplus > 0 && named != nil {
		kill = 0 // what was named may be of use: it must not stand for an old one in the moment in which it goes
	}
	if kill == 0 && d.Start == 0 && surplus == 0 && !held && r.stuck() { // what is stopped so far gives no room
		if r.oldUnhealthy > 0 || v.Target.Resident() {
			kill, named = 1, nil // unhealthy first; a resident one dips below the minimum instead of going over capacity
		} else {
			d.Start = 1 // one above the capacity
		}
	}
	if kill > 0 || surplus > 0 {
		d.Stop = r.pick(v, kill, surplus, named, d.Stop)
	}
	if d.Start > 0 || len(d.Stop) > 0 {
		return d
	}
	if held && r.trusted == r.fresh && r.stopping == 0 {
		d.Waiting, d.Missing = ForPromotion, r.n-r.fresh
		return d
	}
	r.progress.explain(&d)
	return d
}

// survey is the state of a rolling upgrade, counted in one pass.
type survey struct {
	n, minHealthy, maxCap, hold int

	config       core.Timestamp // of the target: instances of earlier versions are old
	old          int            // old ones to be stopped yet
	oldHealthy   int
	oldUnhealthy int
	fresh        int // new ones with goal Running
	good         int // new ones that are healthy and ready
	trusted      int // … and can be relied on when old ones are to go
	trust        trust
	stopping     int // old and new ones told to stop, not dead yet
	stoppingSick int // old ones among them that were not healthy
	free         []core.InstanceID
	progress     progress
}

func surveyRestart(v *SpecView) *survey {
	n, up := v.Target.InstanceCount(), v.Target.Upgrade()
	r := &survey{
		n:          n,
		minHealthy: int(math.Ceil(float64(n) * float64(up.MinimumHealthCapacity))),
		maxCap:     int(math.Trunc(float64(n) * (1 + float64(up.MaximumOverCapacity)))),
		config:     v.Target.Stamps().LastConfigChangeAt,
	}
	if v.Hold > 0 && v.Hold < n {
		r.hold = v.Hold
	}
	r.trust.begin(v)
	for _, i := range v.Instances {
		r.count(v, i)
	}
	r.trusted = r.trust.count(r.good)
	r.progress.unproven = r.good - r.trusted
	r.progress.stopping = r.stopping
	return r
}

// isOld: runs another configuration than the target's. Versions made by scaling or by changes that restart nothing
// belong to the configuration before them (behaviour.md 1.3, D-05).
func (r *survey) isOld(i *core.Instance) bool { return i.Version < r.config }

func (r *survey) count(v *SpecView, i *core.Instance) {
	switch {
	case i.Goal != core.GoalRunning:
		if dying(i) {
			r.stopping++
			if r.isOld(i) && !wasHealthy(v, i) {
				r.stoppingSick++
			}
		}
	case !r.isOld(i):
		if i.Condition == core.UnreachableInactive {
			return
		}
		r.fresh++
		good := r.progress.note(v, i)
		if good {
			r.good++
		}
		r.trust.note(i, good)
	case !i.Condition.Active() || i.Condition == core.Unreachable:
		r.free = append(r.free, i.ID)
	default:
		r.old++
		if v.healthy(i) {
			r.oldHealthy++
		} else {
			r.oldUnhealthy++
		}
	}
}

// wasHealthy tells of an instance that is being killed whether it was healthy when that began. It only decides the
// pace at which unhealthy ones are killed.
func wasHealthy(v *SpecView, i *core.Instance) bool {
	return v.healthy(i) || i.Condition == core.Killing && i.ActiveSince != 0 && i.Healthy != core.Unhealthy
}

// mayKill is the number of old instances that may be told to stop now (D-07).
func (r *survey) mayKill() int {
	kill := r.oldHealthy + r.trusted - r.minHealthy - r.stoppingSick
	if r.trusted >= r.n {
		kill = r.old
	}
	if r.hold > 0 {
		kill = min(kill, r.old-max(0, r.n-max(r.hold, r.fresh)))
	}
	return min(max(0, kill), r.old)
}

// mayStart is the number of new instances to start now.
func (r *survey) mayStart() int {
	want := r.n
	if r.hold > 0 {
		want = r.hold
	}
	return max(0, min(want-r.fresh, r.maxCap-r.old-r.stopping-r.fresh))
}

func (r *survey) done() bool {
	return r.good >= r.n && r.fresh == r.n && r.old == 0 && r.stopping == 0
}

// stuck: nothing is under way that could make room or release an old instance.
func (r *survey) stuck() bool { return r.stopping == 0 && r.trusted == r.fresh }

// pick appends the old victims and then the superfluous new ones to out, both by the kill order. A request's named ones
// go first, but are no more than may go: R7 holds for them too (D-08).
func (r *survey) pick(v *SpecView, kill, surplus int, named func(core.InstanceID) bool, out []core.InstanceID) []core.InstanceID {
	sel := v.Target.Kill()
	older, newer := newPicker(kill, sel), newPicker(surplus, sel)
	for _, i := range v.Instances {
		switch {
		case i.Goal != core.GoalRunning || i.Condition == core.UnreachableInactive:
		case !r.isOld(i):
			if surplus > 0 {
				c := classed(v, i, named, nil)
				if c.rank == rankHealthy && !v.ready(i) {
					c.rank = rankUnready // after the unhealthy: all are unready while a new action asks anew
				}
				newer.offer(c)
			}
		case i.Condition.Active() && i.Condition != core.Unreachable:
			if kill > 0 {
				older.offer(classed(v, i, named, nil))
			}
		}
	}
	return ids(newer.sorted(), ids(older.sorted(), out))
}
