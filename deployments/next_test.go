package deployments

import (
	"fmt"
	"slices"
	"testing"

	"stadion/core"
)

// names makes "3,2,1" of instance ids.
func names(list []core.InstanceID) string {
	var out string
	for n, id := range list {
		if n > 0 {
			out += ","
		}
		var num int
		if _, err := fmt.Sscanf(string(id), "a.instance-%d", &num); err != nil {
			panic(err)
		}
		out += fmt.Sprint(num)
	}
	return out
}

func sized(n int) *core.App {
	a := upgrade(n, 1, 1)
	a.Version, a.VersionInfo = 5, &core.VersionInfo{LastScalingAt: 5, LastConfigChangeAt: 1}
	return a
}

func id(n int) core.InstanceID { return core.InstanceID(fmt.Sprintf("a.instance-%05d", n)) }

// behaviour.md D.2 and Marathon's tests of the proposal. Next starts what the proposal names as kills end (2.7 B, C).
func TestProposal(t *testing.T) {
	for _, c := range []struct {
		live, target int
		sentenced    []int
		driven       []core.InstanceID
		kill         string
		start        int
		next         int // starts of Next at once
	}{
		{3, 5, nil, nil, "", 2, 2},
		{3, 3, []int{2, 3, 9}, nil, "3,2", 2, 0}, // both requested: their order follows killSelection
		{4, 3, []int{9}, nil, "4", 0, 0},
		{4, 1, []int{2}, []core.InstanceID{id(3)}, "2,3,4", 0, 0},
		{3, 0, nil, nil, "3,2,1", 0, 0},
		{0, 0, nil, nil, "", 0, 0},
		{0, -42, nil, nil, "", 0, 0},
		{0, 42, nil, nil, "", 42, 42},
		{1, 0, []int{1}, nil, "1", 0, 0},
		{4, 5, []int{1}, nil, "1", 2, 1}, // one more is wanted at once, the other when the kill has ended
	} {
		k := newCluster(sized(c.target))
		k.addMany(c.live, 1, core.Running)
		for _, n := range c.sentenced {
			k.sentence[id(n)] = true
		}
		v := k.view()
		v.ConstraintKills = func([]*core.Instance, int) []core.InstanceID { return c.driven }
		p := propose(c.target, v, v.Sentenced, noVersion)
		if names(p.stop) != c.kill || p.start != c.start {
			t.Errorf("%+v: kill %s, start %d", c, names(p.stop), p.start)
		}
		if c.target >= 0 {
			if d := Next(core.Action{Kind: core.ActionScale}, v); names(d.Stop) != c.kill || d.Start != c.next {
				t.Errorf("%+v: %+v", c, d)
			}
		}
	}
}

// 2.7, D-03, D-04: what counts for a scaling. The spec has version 5, what was there before an earlier one.
func TestScaleCounts(t *testing.T) {
	type inst struct {
		version core.Timestamp
		cond    core.Condition
		goal    core.Goal
	}
	run, stop, dec := core.GoalRunning, core.GoalStopped, core.GoalDecommissioned
	for name, c := range map[string]struct {
		target int
		is     []inst
		sick   []int
		start  int
		stop   string
		done   bool
		wait   Waiting
	}{
		"enough":                             {1, []inst{{1, core.Running, run}}, nil, 0, "", true, ""},
		"older ones need not be healthy":     {2, []inst{{1, core.Running, run}, {5, core.Running, run}}, []int{1}, 0, "", true, ""},
		"older ones need not even run":       {2, []inst{{1, core.Failed, run}, {5, core.Running, run}}, nil, 0, "", true, ""},
		"its own must be healthy":            {2, []inst{{1, core.Running, run}, {5, core.Running, run}}, []int{2}, 0, "", false, ForHealth},
		"D-04 scheduled ones are not done":   {1, []inst{{5, core.Scheduled, run}}, nil, 0, "", false, ForOffers},
		"D-04 nor relaunching ones":          {1, []inst{{5, core.Failed, run}}, nil, 0, "", false, ForOffers},
		"D-04 nor staging ones":              {1, []inst{{5, core.Staging, run}}, nil, 0, "", false, ForHealth},
		"unreachable ones count":             {1, []inst{{1, core.Unreachable, run}}, nil, 0, "", true, ""},
		"inactive ones do not":               {1, []inst{{1, core.UnreachableInactive, run}}, nil, 1, "", false, ""},
		"stopped ones do not":                {1, []inst{{1, core.Killed, stop}}, nil, 1, "", false, ""},
		"a start waits for a kill":           {1, []inst{{1, core.Killing, dec}}, nil, 0, "", false, ForKill},
		"a kill out of reach is no kill":     {1, []inst{{1, core.Unreachable, dec}}, nil, 1, "", false, ""},
		"done waits for kills":               {1, []inst{{1, core.Running, run}, {1, core.Killing, dec}}, nil, 0, "", false, ForKill},
		"dead ones are not waited for":       {1, []inst{{1, core.Running, run}, {1, core.Failed, dec}}, nil, 0, "", true, ""},
		"D-03 surplus goes":                  {1, []inst{{1, core.Running, run}, {5, core.Running, run}}, nil, 0, "2", false, ""},
		"D-09 scheduled ones go first":       {1, []inst{{1, core.Scheduled, run}, {1, core.Running, run}}, nil, 0, "1", false, ""},
		"D-09 provisioned ones go next":      {1, []inst{{1, core.Running, run}, {1, core.Provisioned, run}}, nil, 0, "2", false, ""},
		"D-08 unhealthy before young":        {1, []inst{{1, core.Running, run}, {1, core.Running, run}}, []int{1}, 0, "1", false, ""},
		"to nothing":                         {0, []inst{{1, core.Running, run}, {1, core.Scheduled, run}}, nil, 0, "2,1", false, ""},
		"nothing is there and none is to be": {0, nil, nil, 0, "", true, ""},
	} {
		k := newCluster(sized(c.target))
		for _, i := range c.is {
			k.add(i.version, i.cond).Goal = i.goal
		}
		for _, n := range c.sick {
			k.sick[id(n)] = true
		}
		d := Next(core.Action{Kind: core.ActionScale}, k.view())
		if d.Start != c.start || names(d.Stop) != c.stop || d.Done != c.done || d.Waiting != c.wait {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

// A scaling with readiness checks waits for them; a crash of the server in between changes nothing (D-04).
func TestScaleCourse(t *testing.T) {
	k := newCluster(sized(3))
	k.add(1, core.Running)
	k.bornUnready = true
	scale := core.Action{Kind: core.ActionScale}
	if d := k.settle(core.ActionScale); d.Waiting != ForOffers || d.Missing != 2 {
		t.Errorf("%+v", d)
	}
	k.insts = slices.DeleteFunc(k.insts, func(i *core.Instance) bool { return i.Condition == core.Scheduled }) // never stored
	if d := Next(scale, k.view()); d.Start != 2 {
		t.Errorf("after a crash: %+v", d)
	}
	k.settle(core.ActionScale)
	k.launch()
	if d := k.settle(core.ActionScale); d.Waiting != ForReadiness || d.Missing != 2 {
		t.Errorf("%+v", d)
	}
	clear(k.unready)
	k.move(k.insts[2], core.Failed)
	if d := k.settle(core.ActionScale); d.Waiting != ForOffers || d.Missing != 1 || len(k.insts) != 3 {
		t.Errorf("a failed instance relaunches itself: %+v", d)
	}
	k.bornUnready = false
	k.insts[2].Goal = core.GoalDecommissioned // by someone else: 2.7 C.4
	k.settle(core.ActionScale)
	k.launch()
	if d := k.settle(core.ActionScale); !d.Done {
		t.Errorf("%+v", d)
	}
}

// behaviour.md 2.6.
func TestStartAndStop(t *testing.T) {
	if d := Next(core.Action{Kind: core.ActionStart}, &SpecView{Target: sized(1)}); !d.Done {
		t.Errorf("%+v", d)
	}
	k := newCluster(persistent(sized(3)))
	k.add(1, core.Running)
	k.add(1, core.Killed).Goal = core.GoalStopped
	k.add(1, core.Unreachable)
	k.add(1, core.Scheduled)
	v := k.view()
	v.Target = nil
	d := Next(core.Action{Kind: core.ActionStop}, v)
	if names(d.Stop) != "1,2,3,4" || d.Done {
		t.Errorf("%+v", d)
	}
	k.carryOut(core.ActionStop, d)
	if d = k.settle(core.ActionStop); d.Done || d.Waiting != ForKill || d.Missing != 1 {
		t.Errorf("%+v", d)
	}
	k.die()
	if d = k.settle(core.ActionStop); !d.Done {
		t.Errorf("unreachable ones are not waited for: %+v", d)
	}
}

// behaviour.md 2.8, D-06, D-09: the check never waits and cancels what is not launched first.
func TestScaleCheck(t *testing.T) {
	k := newCluster(sized(2))
	k.addMany(2, 1, core.Running)
	k.add(1, core.Scheduled)
	k.add(1, core.Killing).Goal = core.GoalDecommissioned
	if d := ScaleCheck(2, k.view()); names(d.Stop) != "3" || d.Start != 0 || d.Done || d.Waiting != ForNothing {
		t.Errorf("surplus: %+v", d)
	}
	if d := ScaleCheck(5, k.view()); d.Start != 2 || len(d.Stop) != 0 {
		t.Errorf("missing, with a kill under way: %+v", d)
	}
	if d := ScaleCheck(3, k.view()); !d.Done {
		t.Errorf("right: %+v", d)
	}
	k.sentence[id(1)] = true
	if d := ScaleCheck(3, k.view()); !d.Done {
		t.Errorf("the check knows no requests: %+v", d)
	}
}

// behaviour.md 3.6 as D-08 and D-09 put it; the moments are those of Marathon's tests.
func TestKillOrder(t *testing.T) {
	at := func(n int, cond core.Condition, when core.Timestamp) *core.Instance {
		return &core.Instance{ID: id(n), Condition: cond, ActiveSince: when, QueuedAt: when, Since: when, Tasks: []core.Task{{StagedAt: when}, {StagedAt: 1}}}
	}
	staged := func(n int, when core.Timestamp) *core.Instance {
		i := at(n, core.Staging, when)
		i.ActiveSince, i.Since, i.QueuedAt = 0, 1, 1
		return i
	}
	for name, c := range map[string]struct {
		is   []*core.Instance
		sick int
		sel  core.KillSelection
		want string
	}{
		"conditions": {[]*core.Instance{at(1, core.Running, 9), at(2, core.Running, 9), at(3, core.Starting, 9), at(4, core.Staging, 9), at(5, core.Unreachable, 9),
			at(6, core.Killing, 9), at(7, core.Provisioned, 9), at(8, core.Scheduled, 9), at(9, core.UnreachableInactive, 9), at(10, core.Failed, 9)}, 1, core.YoungestFirst, "8,10,7,6,5,9,4,3,1,2"},
		"youngest":      {[]*core.Instance{at(1, core.Running, 5), at(2, core.Running, 7), at(3, core.Running, 6)}, 0, core.YoungestFirst, "2,3,1"},
		"oldest":        {[]*core.Instance{at(1, core.Running, 5), at(2, core.Running, 7), at(3, core.Running, 6)}, 0, core.OldestFirst, "1,3,2"},
		"staging":       {[]*core.Instance{staged(1, 5), staged(2, 7)}, 0, core.YoungestFirst, "2,1"},
		"starting":      {[]*core.Instance{at(1, core.Starting, 5), at(2, core.Starting, 7)}, 0, core.OldestFirst, "1,2"},
		"scheduled":     {[]*core.Instance{at(1, core.Scheduled, 5), at(2, core.Scheduled, 7)}, 0, core.YoungestFirst, "2,1"},
		"unset first":   {[]*core.Instance{at(1, core.Running, 5), at(2, core.Running, 0)}, 0, core.OldestFirst, "2,1"},
		"unset first 2": {[]*core.Instance{at(1, core.Running, 5), at(2, core.Running, 0)}, 0, core.YoungestFirst, "2,1"},
		"equal: by id":  {[]*core.Instance{at(2, core.Running, 5), at(1, core.Running, 5)}, 0, core.YoungestFirst, "1,2"},
		"sick is first": {[]*core.Instance{at(1, core.Running, 5), at(2, core.Running, 7)}, 1, core.YoungestFirst, "1,2"},
	} {
		before := slices.Clone(c.is)
		var got []core.InstanceID
		for _, i := range KillOrder(c.is, c.sel, func(i *core.Instance) bool { return i.ID != id(c.sick) }) {
			got = append(got, i.ID)
		}
		if names(got) != c.want {
			t.Errorf("%s: %s, want %s", name, names(got), c.want)
		}
		if !slices.Equal(before, c.is) {
			t.Errorf("%s: the argument was reordered", name)
		}
	}
}

// D-08: requested, not launched and unhealthy ones go before those that GROUP_BY would choose, and the choice is made
// among what remains.
func TestConstraintDriven(t *testing.T) {
	k := newCluster(sized(2))
	k.addMany(5, 1, core.Running)
	k.add(1, core.Scheduled)
	k.sick[id(2)] = true
	k.sentence[id(4)] = true
	v := k.view()
	asked := 0
	v.ConstraintKills = func(live []*core.Instance, n int) []core.InstanceID {
		asked = n
		if len(live) != 3 || live[0].ID != id(5) {
			t.Errorf("asked about %d instances, first %s", len(live), live[0].ID)
		}
		return []core.InstanceID{id(1)}
	}
	if d := Next(core.Action{Kind: core.ActionScale}, v); names(d.Stop) != "4,6,2,1" || asked != 1 {
		t.Errorf("%s, asked for %d", names(d.Stop), asked)
	}
	v.Target = sized(3)
	v.ConstraintKills = func([]*core.Instance, int) []core.InstanceID { t.Error("asked without need"); return nil }
	if d := Next(core.Action{Kind: core.ActionScale}, v); names(d.Stop) != "4,6,2" {
		t.Errorf("%s", names(d.Stop))
	}
}
