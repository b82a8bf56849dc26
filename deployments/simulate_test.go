package deployments

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"stadion/core"
)

// world is one spec under random trouble: instances start, fail, flap, lose their agents and come back, users kill
// and wipe, the server crashes, and deployments override each other. After each event Next decides, and every
// decision is judged.
type world struct {
	*cluster
	t    *rapid.T
	kind core.ActionKind
}

func (w *world) spec() *core.App { return w.target.(*core.App) }

func newWorld(t *rapid.T) *world {
	n := rapid.IntRange(0, 8).Draw(t, "n")
	spec := upgrade(n, rapid.SampledFrom([]float64{0, 0.1, 0.5, 0.7, 1}).Draw(t, "minimum"), rapid.SampledFrom([]float64{0, 0.2, 0.5, 1}).Draw(t, "over"))
	if rapid.Bool().Draw(t, "resident") {
		spec = persistent(spec)
		spec.UpgradeStrategy.MaximumOverCapacity = 0
	}
	if rapid.Bool().Draw(t, "oldest first") {
		spec.KillSelection = core.OldestFirst
	}
	w := &world{cluster: newCluster(spec), t: t, kind: core.ActionRestart}
	if w.timed = rapid.Bool().Draw(t, "to prove"); w.timed {
		spec.BackoffSeconds = 1
	}
	for range rapid.IntRange(0, 10).Draw(t, "before") {
		i := w.add(core.Timestamp(rapid.IntRange(1, 2).Draw(t, "version")), rapid.SampledFrom([]core.Condition{core.Scheduled, core.Provisioned, core.Staging,
			core.Running, core.Running, core.Running, core.Running, core.Failed, core.Unreachable, core.Killing}).Draw(t, "condition"))
		w.sick[i.ID] = rapid.IntRange(0, 3).Draw(t, "sick") == 0
	}
	return w
}

// occupying counts what may hold a place on an agent or will, and is counted by R5.
func (w *world) occupying() (n int) {
	for _, i := range w.insts {
		switch {
		case i.Goal != core.GoalRunning:
			if dying(i) {
				n++
			}
		case w.isOld(i):
			if i.Condition.Active() && i.Condition != core.Unreachable {
				n++
			}
		case i.Condition != core.UnreachableInactive:
			n++
		}
	}
	return n
}

func (w *world) isOld(i *core.Instance) bool {
	return i.Version < w.target.Stamps().LastConfigChangeAt
}

// good counts healthy old and healthy, ready new instances that are not told to stop.
func (w *world) good() (n int) {
	for _, i := range w.insts {
		if i.Goal == core.GoalRunning && i.Condition == core.Running && !w.sick[i.ID] && (w.isOld(i) || !w.unready[i.ID]) {
			n++
		}
	}
	return n
}

func (w *world) live() (n int) {
	for _, i := range w.insts {
		if counts(i) {
			n++
		}
	}
	return n
}

// decide asks once, judges the answer and carries it out.
func (w *world) decide() Decision {
	a := core.Action{Kind: w.kind, Spec: "/a", Version: w.target.SpecVersion()}
	d := Next(a, w.view())
	if again := Next(a, w.view()); fmt.Sprint(d) != fmt.Sprint(again) {
		w.t.Fatalf("two answers to one question: %+v, %+v", d, again)
	}
	before := w.good()
	acts := d.Start > 0 || len(d.Stop) > 0
	switch {
	case d.Done && (acts || d.Waiting != ForNothing):
		w.t.Fatalf("done and not done: %+v", d)
	case !d.Done && !acts:
		w.judgeWaiting(d)
	}
	seen := make(map[core.InstanceID]bool)
	for _, id := range d.Stop {
		if seen[id] || w.byID(id).Goal != core.GoalRunning {
			w.t.Fatalf("stops %s twice", id)
		}
		seen[id] = true
	}
	stuck := w.nothingMoves()
	w.carryOut(w.kind, d)
	if w.kind == core.ActionRestart {
		w.judgeUpgrade(d, before, stuck)
	} else {
		w.judgeScale(d)
	}
	return d
}

// nothingMoves: no kill is under way and every new instance is healthy and ready.
func (w *world) nothingMoves() bool {
	return !slices.ContainsFunc(w.insts, func(i *core.Instance) bool {
		fine := i.Condition == core.Running && !w.sick[i.ID] && !w.unready[i.ID]
		return dying(i) || counts(i) && !w.isOld(i) && !fine
	})
}

// judgeUpgrade checks R7 and R5 (I5, behaviour.md E.1.8 and E.1.9) after a decision.
func (w *world) judgeUpgrade(d Decision, before int, stuck bool) {
	n, up := w.spec().Instances, w.spec().UpgradeStrategy
	minHealthy := int(math.Ceil(float64(n) * float64(up.MinimumHealthCapacity)))
	maxCap := int(math.Trunc(float64(n) * (1 + float64(up.MaximumOverCapacity))))
	after := w.good()
	dip := w.target.Resident() && stuck && before-after == 1 && after == minHealthy-1
	if after < before && after < minHealthy && !dip {
		w.t.Fatalf("kills %v leave %d healthy of %d, minimum %d", d.Stop, after, before, minHealthy)
	}
	if all := w.occupying(); d.Start > 0 && all > maxCap {
		if !stuck || d.Start != 1 || all != maxCap+1 || w.target.Resident() {
			w.t.Fatalf("start of %d leads to %d, maximum %d", d.Start, all, maxCap)
		}
	}
}

func (w *world) judgeScale(d Decision) {
	n := w.spec().Instances
	if len(d.Stop) > 0 && w.live()-d.Start < n {
		w.t.Fatalf("stops %v and leaves %d of %d", d.Stop, w.live(), n)
	}
	all := w.live()
	for _, i := range w.insts {
		if dying(i) {
			all++
		}
	}
	if d.Start > 0 && all > n {
		w.t.Fatalf("start of %d leads to %d of %d", d.Start, all, n)
	}
}

// judgeWaiting: what is waited for must exist, or nobody would ever end the wait (R9, I11).
func (w *world) judgeWaiting(d Decision) {
	is := map[Waiting]func(*core.Instance) bool{
		ForOffers: func(i *core.Instance) bool { return i.Scheduled() },
		ForHealth: func(i *core.Instance) bool {
			return counts(i) && (i.Condition != core.Running || w.sick[i.ID] || w.timed && w.now < i.ActiveSince+onceFailed*1000)
		},
		ForReadiness: func(i *core.Instance) bool { return counts(i) && w.unready[i.ID] },
		ForKill:      dying,
		ForPromotion: func(*core.Instance) bool { return w.hold > 0 },
	}[d.Waiting]
	if is == nil || d.Missing <= 0 || !slices.ContainsFunc(w.insts, is) {
		w.t.Fatalf("waits for %q of %d, which is not there", d.Waiting, d.Missing)
	}
}

// event is one random thing that happens.
func (w *world) event() {
	what := rapid.SampledFrom([]string{"launch", "launch", "progress", "progress", "progress", "fail", "flip", "ready", "die", "die", "lose",
		"return", "give up", "kill", "wipe", "crash", "override", "hold", "time"}).Draw(w.t, "event")
	switch what {
	case "crash":
		w.insts = slices.DeleteFunc(w.insts, func(i *core.Instance) bool { return !i.Durable() })
		return
	case "override":
		w.override()
		return
	case "time":
		w.now += core.Timestamp(rapid.SampledFrom([]int{300, 1000, 20_000}).Draw(w.t, "ms"))
		return
	case "hold":
		w.hold = rapid.IntRange(0, 3).Draw(w.t, "hold")
		return
	}
	if len(w.insts) == 0 {
		return
	}
	i := w.insts[rapid.IntRange(0, len(w.insts)-1).Draw(w.t, "instance")]
	launched := i.Condition == core.Provisioned || i.Condition == core.Staging || i.Condition == core.Starting || i.Condition == core.Running
	lost := i.Condition == core.Unreachable || i.Condition == core.UnreachableInactive
	switch {
	case what == "launch" && i.Scheduled():
		w.move(i, core.Provisioned)
	case what == "progress" && launched && i.Condition != core.Running:
		w.move(i, i.Condition+1)
	case what == "fail" && (launched || i.Condition == core.Killing):
		w.move(i, core.Failed)
	case what == "flip":
		w.sick[i.ID] = !w.sick[i.ID]
	case what == "ready":
		w.unready[i.ID] = !w.unready[i.ID]
	case what == "die" && dying(i):
		w.move(i, core.Killed)
	case what == "lose" && (launched || i.Condition == core.Killing):
		w.move(i, core.Unreachable)
	case what == "return" && lost:
		w.move(i, core.Running)
	case what == "give up" && lost && !w.target.Resident():
		w.move(i, core.UnreachableInactive)
	case what == "kill" && i.Condition == core.Running:
		w.move(i, core.Killing)
	case what == "wipe":
		i.Goal = core.GoalDecommissioned
		w.insts = slices.DeleteFunc(w.insts, ended)
	}
}

// override is a forced update in the middle of things: another count, another configuration, or both.
func (w *world) override() {
	next := *w.spec()
	stamps := next.Stamps()
	next.Version++
	next.Instances = rapid.IntRange(0, 8).Draw(w.t, "n")
	w.kind = core.ActionScale
	if rapid.Bool().Draw(w.t, "config") && next.Instances > 0 {
		w.kind, stamps.LastConfigChangeAt = core.ActionRestart, next.Version
	}
	stamps.LastScalingAt = next.Version
	next.VersionInfo = &stamps
	w.target = &next
}

// heal ends all trouble and lets the world go on fairly until the action is done.
func (w *world) heal() {
	w.hold = 0
	for range 10*(len(w.insts)+w.spec().Instances) + 20 {
		for _, i := range slices.Clone(w.insts) {
			switch {
			case i.Condition == core.Killing && i.Goal == core.GoalRunning:
				w.move(i, core.Killed)
			case i.Condition == core.Unreachable || i.Condition == core.UnreachableInactive:
				w.move(i, core.Running)
			}
		}
		clear(w.sick)
		clear(w.unready)
		w.now += onceFailed * 1000
		for range 100 {
			d := w.decide()
			if d.Done {
				return
			}
			if d.Start == 0 && len(d.Stop) == 0 {
				break
			}
		}
		w.die()
		w.launch()
	}
	w.t.Fatalf("%s never ends: %s", w.kind, w.tally())
}

// R7, R5 (I5), R9 and I11 for scalings and rolling upgrades under all kinds of trouble.
func TestUpgradeProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for range rapid.IntRange(0, 80).Draw(t, "events") {
			w.event()
			if rapid.IntRange(0, 3).Draw(t, "batched") > 0 {
				w.decide()
			}
		}
		w.heal()
		n := w.spec().Instances
		if w.live() != n {
			t.Fatalf("%d live instances at the end, %d wanted", w.live(), n)
		}
		for _, i := range w.insts {
			if dying(i) || w.kind == core.ActionRestart && counts(i) && (w.isOld(i) || i.Condition != core.Running) {
				t.Fatalf("left behind: %+v", i)
			}
		}
		if d := w.decide(); !d.Done {
			t.Fatalf("done, then not: %+v", d)
		}
		if d := ScaleCheck(n, w.view()); !d.Done {
			t.Fatalf("the scale check disagrees: %+v", d)
		}
	})
}

// A version without checks that never runs for as long as its backoffSeconds never costs one healthy old instance more than
// the minimum allows, however often it comes up; and the action names what it waits for (R7, R9). Once it runs well, the
// upgrade goes on to its end.
func TestCrashingVersionProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "n")
		spec := upgrade(n, rapid.SampledFrom([]float64{0, 0.3, 0.5, 1}).Draw(t, "minimum"), rapid.SampledFrom([]float64{0, 0.2, 1}).Draw(t, "over"))
		spec.BackoffSeconds = 1
		w := &world{cluster: newCluster(spec), t: t, kind: core.ActionRestart}
		w.timed = true
		w.addMany(n, 1, core.Running)
		least := int(math.Ceil(float64(n) * float64(spec.UpgradeStrategy.MinimumHealthCapacity)))
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			switch rapid.IntRange(0, 3).Draw(t, "event") {
			case 0, 1:
				w.launch()
			case 2:
				w.die()
			default:
				w.now += core.Timestamp(rapid.IntRange(1, 900).Draw(t, "ms"))
			}
			for _, i := range slices.Clone(w.insts) { // none gets to 1 s
				if i.Version == 2 && i.Condition == core.Running && (w.now >= i.ActiveSince+900 || rapid.Bool().Draw(t, "fails")) {
					w.move(i, core.Failed)
				}
			}
			w.decide()
			old := 0
			for _, i := range w.insts {
				if i.Version == 1 && i.Goal == core.GoalRunning {
					old++
				}
			}
			if old < least {
				t.Fatalf("%d of %d old instances are left, at least %d must be", old, n, least)
			}
		}
		w.heal()
	})
}

// The few best of many are those that sorting all would put first.
func TestPickerProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sel := rapid.SampledFrom([]core.KillSelection{core.YoungestFirst, core.OldestFirst}).Draw(t, "selection")
		var all []*core.Instance
		for n := range rapid.IntRange(0, 30).Draw(t, "all") {
			all = append(all, &core.Instance{ID: id(n), Condition: core.Condition(rapid.IntRange(0, int(core.Unknown)).Draw(t, "condition")),
				ActiveSince: core.Timestamp(rapid.IntRange(0, 4).Draw(t, "at"))})
		}
		n := rapid.IntRange(0, 35).Draw(t, "n")
		p := newPicker(n, sel)
		for _, i := range all {
			p.offer(candidateOf(i, true))
		}
		want := KillOrder(all, sel, nil)
		want = want[:min(n, len(want))]
		got := p.sorted()
		if len(got) != len(want) {
			t.Fatalf("%d of %d", len(got), len(want))
		}
		for k := range got {
			if got[k].inst != want[k] {
				t.Fatalf("place %d: %s, want %s", k, got[k].inst.ID, want[k].ID)
			}
		}
	})
}
