package deployments

import (
	"slices"
	"strings"
	"testing"

	"stadion/core"
)

// behaviour.md D.1. Marathon computes killNow and maxCap once; 12.2 has neither and reaches the same by its loop and,
// where both bounds are equal, by the branch "nothing can move". Kills are the old ones told to stop before any new
// one runs; starts are what may then be scheduled in all. Rows that 12.2 changes say so.
func TestIgnition(t *testing.T) {
	for _, c := range []struct {
		resident     bool
		n            int
		min, over    float64
		healthy, all int
		kills        int // told to stop in the first round
		rounds       int // in all, after those kills have ended and until the loop rests with new ones waiting
		starts       int
	}{
		{true, 1, 0.5, 0, 1, 1, 1, 1, 1},
		// 12.2: an unhealthy old one goes when nothing else can move; Marathon (killNow 0) hangs here.
		{true, 1, 0.5, 0, 0, 1, 1, 1, 1},
		{true, 5, 0.5, 0, 5, 5, 2, 2, 2},
		// 12.2: 2 at once and the third, the dip, when they have ended; Marathon 3 at once.
		{true, 5, 1, 0, 7, 7, 2, 3, 1},
		{true, 5, 1, 0, 5, 5, 1, 1, 1},
		{true, 5, 1, 0, 3, 5, 1, 1, 1}, // 12.2: as in the second row
		{false, 1, 0.5, 0, 1, 1, 0, 0, 1},
		{false, 1, 0.5, 0, 0, 0, 0, 0, 1},
		{false, 2, 0.5, 0, 2, 2, 1, 1, 1},
		{false, 10, 0.1, 0, 1, 1, 0, 0, 9},
		{false, 10, 0.1, 1, 10, 10, 9, 9, 10},
		{false, 10, 1, 1, 10, 10, 0, 0, 10},
		{false, 3, 1, 0, 3, 3, 0, 0, 1},
		{false, 2, 1, 0, 5, 5, 3, 3, 1},
		{false, 4, 0.5, 0.25, 4, 4, 2, 2, 3},
	} {
		spec := upgrade(c.n, c.min, c.over)
		if c.resident {
			spec = persistent(spec)
		}
		k := newCluster(spec)
		for n := range c.all {
			if i := k.add(1, core.Running); n >= c.healthy {
				k.sick[i.ID] = true
			}
		}
		stopped := func() (n int) {
			for _, i := range k.insts {
				if i.Goal != core.GoalRunning && i.Version == 1 {
					n++
				}
			}
			return n
		}
		k.settle(core.ActionRestart)
		kills, ended := stopped(), 0
		total := kills
		for range 10 { // let the kills end; new ones are not launched
			before := len(k.insts)
			ended += stopped()
			k.die()
			k.insts = slices.DeleteFunc(k.insts, func(i *core.Instance) bool { return i.Goal == core.GoalStopped && i.Condition.Terminal() })
			k.settle(core.ActionRestart)
			total = max(total, ended+stopped())
			if before == len(k.insts) && stopped() == 0 {
				break
			}
		}
		starts := 0
		for _, i := range k.insts {
			if i.Version == 2 {
				starts++
			}
		}
		if kills != c.kills || total != c.rounds || starts != c.starts {
			t.Errorf("%+v: kills %d, in all %d, starts %d", c, kills, total, starts)
		}
	}
}

// The bounds are computed in IEEE doubles (behaviour.md D.1).
func TestBounds(t *testing.T) {
	for _, c := range []struct {
		n         int
		min, over float64
		minH, max int
	}{{100, 0.07, 0, 8, 100}, {1, 1, 0.5, 1, 1}, {3, 0.7, 0.7, 3, 5}, {3, 0, 1, 0, 6}, {0, 1, 1, 0, 0}} {
		r := surveyRestart(&SpecView{Target: upgrade(c.n, c.min, c.over)})
		if r.minHealthy != c.minH || r.maxCap != c.max {
			t.Errorf("%+v: %d %d", c, r.minHealthy, r.maxCap)
		}
	}
}

// The course of upgrades, as in Marathon's tests of its replace actor. A script is a list of moves, each followed by
// the state once the loop rests: l launches what waits (sick, if the script says so), h heals one new instance, d ends
// the kills in flight.
func TestUpgradeCourse(t *testing.T) {
	for name, c := range map[string]struct {
		spec   *core.App
		old    int
		sick   bool
		script string
	}{
		"without health checks, m=0": {upgrade(5, 0, 1), 2, false, "old 0+2x new 0+5q; d old 0 new 0+5q; l old 0 new 5 done"},
		"with health checks, m=0":    {upgrade(5, 0, 0), 2, true, "old 0+2x new 0+3q; d old 0 new 0+5q; l old 0 new 5; hhhh old 0 new 5; h old 0 new 5 done"},
		"from more to fewer": {upgrade(2, 1, 1), 3, true, "old 2+1x new 0+1q; d old 2 new 0+2q; l old 2 new 2; h old 1+1x new 2; h old 0+2x new 2; " +
			"d old 0 new 2 done"},
		"half must be healthy, room for all": {upgrade(3, 0.5, 1), 3, true, "old 2+1x new 0+3q; l old 2+1x new 3; d old 2 new 3; h old 1+1x new 3; h old 0+2x new 3; d old 0 new 3; h old 0 new 3 done"},
		"no over-capacity":                   {upgrade(3, 0.5, 0), 3, true, "old 2+1x new 0; d old 2 new 0+1q; l old 2 new 1; h old 1+1x new 1; d old 1 new 1+1q; l old 1 new 2; h old 0+1x new 2; d old 0 new 2+1q; l old 0 new 3; h old 0 new 3 done"},
		"one above the capacity":             {upgrade(3, 1, 0), 3, true, "old 3 new 0+1q; l old 3 new 1; h old 2+1x new 1; d old 2 new 1+1q; l old 2 new 2; h old 1+1x new 2; d old 1 new 2+1q; l old 1 new 3; h old 0+1x new 3; d old 0 new 3 done"},
		"two thirds over":                    {upgrade(3, 1, 0.7), 3, true, "old 3 new 0+2q; l old 3 new 2; h old 2+1x new 2; d old 2 new 2+1q; l old 2 new 3; h old 1+1x new 3; h old 0+2x new 3; d old 0 new 3 done"},
		"shrink by one":                      {upgrade(3, 1, 0.3), 4, true, "old 3+1x new 0; d old 3 new 0+1q; l old 3 new 1; h old 2+1x new 1; d old 2 new 1+1q; l old 2 new 2; h old 1+1x new 2; d old 1 new 2+1q; l old 1 new 3; h old 0+1x new 3; d old 0 new 3 done"},
		"one instance starts first":          {upgrade(1, 0.5, 0), 1, true, "old 1 new 0+1q; l old 1 new 1; h old 0+1x new 1; d old 0 new 1 done"},
		"one resident instance stops first":  {persistent(upgrade(1, 0.5, 0)), 1, true, "old 0+1x new 0; d old 0 new 0+1q; l old 0 new 1; h old 0 new 1 done"},
		"resident, one after the other":      {persistent(upgrade(2, 1, 0)), 2, false, "old 1+1x new 0; d old 1 new 0+1q; l old 0+1x new 1; d old 0 new 1+1q; l old 0 new 2 done"},
		"nothing was there":                  {upgrade(2, 1, 1), 0, true, "old 0 new 0+2q; l old 0 new 2; hh old 0 new 2 done"},
		"to nothing":                         {upgrade(0, 1, 1), 2, false, "old 0+2x new 0; d old 0 new 0 done"},
		"m=0.7 of 3 is all of them":          {upgrade(3, 0.7, 0), 3, false, "old 3 new 0+1q; l old 2+1x new 1"},
	} {
		k := newCluster(c.spec)
		k.addMany(c.old, 1, core.Running)
		k.bornSick = c.sick
		for n, step := range strings.Split(c.script, "; ") {
			if n > 0 {
				moves, want, _ := strings.Cut(step, " ")
				play(k, moves)
				step = want
			}
			d := k.settle(core.ActionRestart)
			got := k.tally()
			if d.Done {
				got += " done"
			}
			if got != step {
				t.Errorf("%s, step %d: %q, want %q", name, n, got, step)
				break
			}
		}
	}
}

func play(k *cluster, moves string) {
	for _, m := range moves {
		switch m {
		case 'l':
			k.launch()
		case 'd':
			k.die()
		case 'h':
			for _, i := range k.insts {
				if k.sick[i.ID] && i.Goal == core.GoalRunning && i.Version == 2 {
					delete(k.sick, i.ID)
					break
				}
			}
		}
		k.settle(core.ActionRestart)
	}
}

// What an upgrade does about single instances in single conditions.
func TestUpgradeDetails(t *testing.T) {
	stops := func(k *cluster) (out []core.Condition) {
		for _, id := range Next(core.Action{Kind: core.ActionRestart}, k.view()).Stop {
			out = append(out, k.byID(id).Condition)
		}
		return out
	}
	t.Run("3.3.7 and 3.3.11: old ones on no agent or out of reach are not kept", func(t *testing.T) {
		k := newCluster(upgrade(4, 1, 0))
		k.addMany(4, 1, core.Running)
		for _, c := range []core.Condition{core.Scheduled, core.Failed, core.Unreachable, core.UnreachableInactive} {
			k.add(1, c)
		}
		if got := stops(k); !slices.Equal(got, []core.Condition{core.Scheduled, core.Failed, core.Unreachable, core.UnreachableInactive}) {
			t.Errorf("%v", got)
		}
	})
	t.Run("12.2, D-08: unhealthy old ones first, then killSelection", func(t *testing.T) {
		k := newCluster(upgrade(6, 0.34, 0))
		k.addMany(6, 1, core.Running)
		k.sick["a.instance-00002"] = true
		for _, c := range []struct {
			sel  core.KillSelection
			want string
		}{{core.YoungestFirst, "2 6 5"}, {core.OldestFirst, "2 1 3"}} {
			k.target.(*core.App).KillSelection = c.sel
			// 5 healthy, 3 must stay: 2 kills, the sick one among them; the kill of the sick one frees none.
			want := strings.Fields(c.want)[:2]
			d := Next(core.Action{Kind: core.ActionRestart}, k.view())
			var got []string
			for _, id := range d.Stop {
				got = append(got, string(id[len(id)-1:]))
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", c.sel, got, want)
			}
		}
	})
	t.Run("D-01: unhealthy old ones do not hang the upgrade", func(t *testing.T) {
		k := newCluster(upgrade(2, 1, 0))
		k.addMany(2, 1, core.Running)
		k.sick["a.instance-00001"], k.sick["a.instance-00002"] = true, true
		for range 4 {
			k.settle(core.ActionRestart)
			k.die()
			k.settle(core.ActionRestart)
			k.launch()
		}
		if d := k.settle(core.ActionRestart); !d.Done {
			t.Errorf("%s %+v", k.tally(), d)
		}
	})
	t.Run("D-07: one flapping new instance releases one old one", func(t *testing.T) {
		k := newCluster(upgrade(3, 1, 0.4))
		k.addMany(3, 1, core.Running)
		k.settle(core.ActionRestart)
		k.launch()
		for range 5 {
			k.sick["a.instance-00004"] = true
			k.settle(core.ActionRestart)
			delete(k.sick, "a.instance-00004")
			k.settle(core.ActionRestart)
		}
		if got := k.tally(); got != "old 2+1x new 1" {
			t.Error(got)
		}
	})
	t.Run("12.2: killing unhealthy ones does not go faster than killing healthy ones", func(t *testing.T) {
		k := newCluster(upgrade(4, 0.5, 0))
		k.addMany(4, 1, core.Running)
		k.sick["a.instance-00001"], k.sick["a.instance-00002"] = true, true
		k.target.(*core.App).UpgradeStrategy.MinimumHealthCapacity = 0.25
		if k.settle(core.ActionRestart); k.tally() != "old 3+1x new 0" {
			t.Error(k.tally())
		}
	})
	t.Run("when all new ones are good no old one is kept", func(t *testing.T) {
		k := newCluster(upgrade(1, 1, 1))
		k.addMany(3, 1, core.Running)
		for _, i := range k.insts {
			k.sick[i.ID] = true
		}
		k.add(2, core.Running)
		if k.settle(core.ActionRestart); k.tally() != "old 0+3x new 1" {
			t.Error(k.tally())
		}
	})
	t.Run("D-03: of superfluous new ones those not ready go first", func(t *testing.T) {
		k := newCluster(upgrade(2, 1, 1))
		k.addMany(3, 2, core.Running)
		k.unready["a.instance-00001"] = true
		if d := Next(core.Action{Kind: core.ActionRestart}, k.view()); !slices.Equal(d.Stop, []core.InstanceID{"a.instance-00001"}) {
			t.Errorf("%+v", d)
		}
	})
	t.Run("D-04: unborn instances are started, not done", func(t *testing.T) {
		for _, c := range []core.Condition{core.Scheduled, core.Provisioned, core.Staging, core.Starting, core.Failed, core.Killing} {
			k := newCluster(upgrade(1, 1, 1))
			k.add(2, c)
			if d := Next(core.Action{Kind: core.ActionRestart}, k.view()); d.Done || d.Start > 0 || d.Waiting == ForNothing || d.Missing != 1 {
				t.Errorf("%s: %+v", c, d)
			}
		}
	})
	t.Run("R5, D-48: a new unreachable instance is not replaced before its strategy gives it up", func(t *testing.T) {
		k := newCluster(upgrade(2, 1, 1))
		k.add(2, core.Running)
		i := k.add(2, core.Unreachable)
		if d := Next(core.Action{Kind: core.ActionRestart}, k.view()); d.Start != 0 || d.Waiting != ForHealth || d.Missing != 1 {
			t.Errorf("%+v", d)
		}
		i.Condition = core.UnreachableInactive
		if d := Next(core.Action{Kind: core.ActionRestart}, k.view()); d.Start != 1 {
			t.Errorf("%+v", d)
		}
	})
	t.Run("D-03: surplus new instances go by the kill order", func(t *testing.T) {
		k := newCluster(upgrade(2, 1, 1))
		k.addMany(4, 2, core.Running)
		k.sick["a.instance-00002"] = true
		d := Next(core.Action{Kind: core.ActionRestart}, k.view())
		if !slices.Equal(d.Stop, []core.InstanceID{"a.instance-00002", "a.instance-00004"}) {
			t.Errorf("%+v", d)
		}
		k.settle(core.ActionRestart)
		k.die()
		if d := k.settle(core.ActionRestart); !d.Done {
			t.Errorf("%+v", d)
		}
	})
	t.Run("D-08: of surplus new instances the named ones go first, then unhealthy, then unready ones", func(t *testing.T) {
		for _, c := range []struct {
			sick, unready, named []int
			want                 []core.InstanceID
		}{
			{nil, []int{4}, []int{1, 2}, []core.InstanceID{"a.instance-00002", "a.instance-00001"}},
			{nil, []int{2}, []int{1}, []core.InstanceID{"a.instance-00001", "a.instance-00002"}},
			{[]int{1}, []int{1, 2, 3, 4}, nil, []core.InstanceID{"a.instance-00001", "a.instance-00004"}}, // readiness is asked anew
			{[]int{2}, []int{1}, nil, []core.InstanceID{"a.instance-00002", "a.instance-00001"}},
		} {
			k := newCluster(upgrade(2, 1, 1))
			k.addMany(4, 2, core.Running)
			for set, ns := range map[*map[core.InstanceID]bool][]int{&k.sick: c.sick, &k.unready: c.unready, &k.sentence: c.named} {
				for _, n := range ns {
					(*set)[k.insts[n-1].ID] = true
				}
			}
			if d := Next(core.Action{Kind: core.ActionRestart}, k.view()); !slices.Equal(d.Stop, c.want) {
				t.Errorf("%+v: %+v", c, d)
			}
		}
	})
	t.Run("D-08, R7: named ones go first as far as the capacity allows", func(t *testing.T) {
		k := newCluster(upgrade(2, 0.5, 0)) // one of two may go
		k.addMany(2, 1, core.Running)
		k.sentence["a.instance-00001"] = true
		if d := Next(core.Action{Kind: core.ActionRestart}, k.view()); !slices.Equal(d.Stop, []core.InstanceID{"a.instance-00001"}) {
			t.Errorf("%+v", d)
		}
		k = newCluster(upgrade(2, 1, 0)) // none may go, so only one that is of no use
		k.addMany(2, 1, core.Running)
		k.sentence["a.instance-00001"], k.sick["a.instance-00002"] = true, true
		if d := Next(core.Action{Kind: core.ActionRestart}, k.view()); !slices.Equal(d.Stop, []core.InstanceID{"a.instance-00002"}) {
			t.Errorf("%+v", d)
		}
		k = newCluster(upgrade(2, 1, 2)) // the named new ones are of use until they go: they replace no old one
		k.addMany(2, 1, core.Running)
		k.addMany(4, 2, core.Running)
		k.unready["a.instance-00003"], k.unready["a.instance-00004"] = true, true
		k.sentence["a.instance-00005"], k.sentence["a.instance-00006"] = true, true
		k.settle(core.ActionRestart)
		if k.die(); k.tally() != "old 2 new 2" {
			t.Error(k.tally())
		}
	})
	t.Run("versions made by scaling belong to their configuration", func(t *testing.T) {
		spec := upgrade(2, 1, 1)
		spec.Version, spec.VersionInfo = 9, &core.VersionInfo{LastScalingAt: 9, LastConfigChangeAt: 2}
		k := newCluster(spec)
		k.add(2, core.Running)
		k.add(5, core.Running)
		if d := Next(core.Action{Kind: core.ActionRestart}, k.view()); !d.Done {
			t.Errorf("%+v", d)
		}
	})
	t.Run("3.4: a wiped new instance is replaced when it has gone", func(t *testing.T) {
		k := newCluster(upgrade(2, 1, 0))
		k.addMany(2, 2, core.Running)
		k.insts[0].Goal = core.GoalDecommissioned
		if d := k.settle(core.ActionRestart); d.Waiting != ForKill || d.Missing != 1 {
			t.Errorf("%+v", d)
		}
		k.die()
		if k.settle(core.ActionRestart); k.tally() != "old 0 new 1+1q" {
			t.Error(k.tally())
		}
	})
}

// What an upgrade waits for is always told (D-02).
func TestUpgradeWaiting(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*cluster)
		want    Waiting
		missing int
	}{
		"offers":    {func(k *cluster) { k.addMany(2, 2, core.Running); k.add(2, core.Scheduled) }, ForOffers, 1},
		"health":    {func(k *cluster) { k.bornSick = true; k.addMany(3, 2, core.Scheduled); k.launch() }, ForHealth, 3},
		"readiness": {func(k *cluster) { k.bornUnready = true; k.addMany(3, 2, core.Scheduled); k.launch() }, ForReadiness, 3},
		"kill":      {func(k *cluster) { k.addMany(3, 2, core.Running); k.addMany(2, 1, core.Running) }, ForKill, 2},
	} {
		k := newCluster(upgrade(3, 1, 1))
		c.prepare(k)
		if d := k.settle(core.ActionRestart); d.Waiting != c.want || d.Missing != c.missing || d.Done {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

// A hold set when there are more new instances already keeps only as many old ones as are still needed.
func TestLateHold(t *testing.T) {
	for _, c := range []struct{ old, fresh, stop int }{{1, 3, 1}, {2, 2, 1}, {1, 2, 0}} {
		k := newCluster(upgrade(3, 0, 0))
		k.hold = 1
		k.addMany(c.old, 1, core.Running)
		k.addMany(c.fresh, 2, core.Running)
		if d := Next(core.Action{Kind: core.ActionRestart}, k.view()); len(d.Stop) != c.stop || d.Start != 0 || d.Done {
			t.Errorf("%+v: %+v", c, d)
		}
	}
}

// A canary starts Hold new instances, replaces as many old ones, and waits (extension).
func TestHold(t *testing.T) {
	for name, c := range map[string]struct {
		spec *core.App
		want string
	}{
		"over capacity":    {upgrade(10, 1, 1), "old 8 new 2"},
		"no over capacity": {upgrade(10, 0.5, 0), "old 8 new 2"},
		"one above":        {upgrade(10, 1, 0), "old 8 new 2"},
		"resident":         {persistent(upgrade(10, 0.5, 0)), "old 8 new 2"},
	} {
		k := newCluster(c.spec)
		k.hold = 2
		k.addMany(10, 1, core.Running)
		var d Decision
		for range 10 {
			d = k.settle(core.ActionRestart)
			k.launch()
			k.settle(core.ActionRestart)
			k.die()
		}
		if got := k.tally(); got != c.want || d.Waiting != ForPromotion || d.Missing != 8 {
			t.Errorf("%s: %s %+v", name, got, d)
		}
		k.hold = 0
		for range 30 {
			k.settle(core.ActionRestart)
			k.launch()
			d = k.settle(core.ActionRestart)
			k.die()
		}
		if d = k.settle(core.ActionRestart); !d.Done {
			t.Errorf("%s after promotion: %s %+v", name, k.tally(), d)
		}
	}
}

// Without any check, running is all that is known of a version. One that crashes at once may not take the old one with
// it: the first has to run for backoffSeconds before any counts, and one that was launched again for ten times as long (R7).
func TestTrust(t *testing.T) {
	at := func(k *cluster, now core.Timestamp) Decision {
		v := k.view()
		v.Now = now
		return Next(core.Action{Kind: core.ActionRestart}, v)
	}
	fresh := func(old, n int) *cluster { // n new ones that begin to run at 2000
		k := newCluster(upgrade(4, 1, 1))
		k.target.(*core.App).BackoffSeconds = 1
		k.addMany(old, 1, core.Running)
		for range n {
			k.add(2, core.Running).ActiveSince = 2000
		}
		return k
	}
	stops := func(t *testing.T, d Decision, want int) {
		t.Helper()
		if len(d.Stop) != want || d.Done {
			t.Errorf("%+v, want %d stopped", d, want)
		}
	}
	t.Run("none counts before the first has run for backoffSeconds, then all that run", func(t *testing.T) {
		k := fresh(4, 1)
		k.add(2, core.Running).ActiveSince = 2999
		k.addMany(2, 2, core.Staging)
		d := at(k, 2999)
		stops(t, d, 0)
		if d.Again != 3000 || d.Waiting != ForHealth || d.Missing != 2 {
			t.Errorf("%+v", d)
		}
		stops(t, at(k, 3000), 2)
	})
	t.Run("what a check tells is enough", func(t *testing.T) {
		k := fresh(4, 1)
		k.addMany(3, 2, core.Staging)
		k.target.(*core.App).HealthChecks = []core.HealthCheck{{}}
		stops(t, at(k, 2001), 1)
		k.target.(*core.App).HealthChecks, k.target.(*core.App).ReadinessChecks = nil, []core.ReadinessCheck{{}}
		stops(t, at(k, 2001), 1)
	})
	t.Run("backoffSeconds 0 is Marathon's behaviour, long ones are cut", func(t *testing.T) {
		k := fresh(4, 1)
		k.addMany(3, 2, core.Staging)
		k.target.(*core.App).BackoffSeconds = 0
		stops(t, at(k, 2000), 1)
		k.target.(*core.App).BackoffSeconds = 3600
		if d := at(k, 2000); d.Again != 2000+longestProof {
			t.Errorf("%+v", d)
		}
	})
	t.Run("one launched again has to run ten times as long, the others do not wait for it", func(t *testing.T) {
		k := fresh(4, 2)
		k.insts[4].Incarnation = 2
		k.insts[4].ActiveSince = 2500
		k.addMany(2, 2, core.Staging)
		stops(t, at(k, 3000), 1)
		stops(t, at(k, 12499), 1)
		stops(t, at(k, 12500), 2)
	})
	t.Run("once as many fail as run well each has to prove itself", func(t *testing.T) {
		k := fresh(4, 2)
		k.insts[5].ActiveSince = 2900
		k.add(2, core.Failed)
		k.add(2, core.Staging)
		d := at(k, 3000)
		stops(t, d, 1)
		if d.Again != 3900 {
			t.Errorf("%+v", d)
		}
		stops(t, at(k, 3900), 2)
	})
	t.Run("resident ones are launched again by every upgrade", func(t *testing.T) {
		k := newCluster(persistent(upgrade(2, 0.5, 0)))
		k.target.(*core.App).BackoffSeconds = 1
		k.add(1, core.Running)
		i := k.add(2, core.Running)
		i.ActiveSince, i.Incarnation = 2000, 7
		stops(t, at(k, 3000), 1)
	})
	t.Run("a canary is to be judged only once it has proven itself", func(t *testing.T) {
		k := fresh(3, 1)
		k.hold = 1
		if d := at(k, 2500); d.Waiting != ForHealth || d.Again != 3000 {
			t.Errorf("%+v", d)
		}
		if d := at(k, 3000); d.Waiting != ForPromotion {
			t.Errorf("%+v", d)
		}
	})
	t.Run("another clock's future is not waited for", func(t *testing.T) {
		k := fresh(4, 1)
		k.addMany(3, 2, core.Staging)
		stops(t, at(k, 1), 1)
	})
	t.Run("the end of an upgrade is as it was: all run, no old one is there", func(t *testing.T) {
		k := fresh(0, 4)
		if d := at(k, 2000); !d.Done {
			t.Errorf("%+v", d)
		}
	})
}

// TestStuckInOneLook: what waits unborn gives no room when it goes, so the one that must go first is named in the same
// decision; a dry run shows only one (12.2).
func TestStuckInOneLook(t *testing.T) {
	k := newCluster(upgrade(1, 0, 0))
	k.sick[k.add(1, core.Running).ID] = true
	k.addMany(2, 1, core.Scheduled)
	if d := Next(core.Action{Kind: core.ActionRestart}, k.view()); len(d.Stop) != 3 || d.Start != 0 {
		t.Errorf("%+v", d)
	}
}
