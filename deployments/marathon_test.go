package deployments

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"stadion/core"
)

// Every test that marathon.md names exists.
func TestNamedCasesExist(t *testing.T) {
	text, err := os.ReadFile("marathon.md")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	form := regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9]+)\(`)
	err = filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		code, err := os.ReadFile(path)
		for _, m := range form.FindAllStringSubmatch(string(code), -1) {
			there[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(string(text), -1)
	if len(named) < 50 {
		t.Errorf("only %d tests are named", len(named))
	}
	for _, m := range named {
		if !there[m[1]] {
			t.Errorf("%s is named and does not exist", m[1])
		}
	}
}

// What TestSteps does not have of Marathon's tests of the plan.
func TestMarathonPlans(t *testing.T) {
	withArgs := app("/a", "1", 1)
	withArgs.Args = []string{"foo"}
	for name, c := range map[string]struct {
		before []core.RunSpec
		ch     core.Change
		want   string
	}{
		"four new ones": {nil, put(app("/test/1", "1", 10), app("/test/2", "1", 10), app("/test/3", "1", 10), app("/test/4", "1", 10)),
			"Start /test/1, Start /test/2, Start /test/3, Start /test/4 | Scale /test/1, Scale /test/2, Scale /test/3, Scale /test/4"},
		"only a removal":         {[]core.RunSpec{app("/test/i/app", "1", 3)}, core.Change{Remove: []core.PathID{"/test/i/app"}}, "Stop /test/i/app"},
		"only args":              {[]core.RunSpec{app("/a", "1", 1)}, put(withArgs), "Restart /a"},
		"marked for restarting":  {[]core.RunSpec{app("/a", "1", 1)}, core.Change{Restart: []core.PathID{"/a"}}, "Restart /a"},
		"with instances to kill": {[]core.RunSpec{app("/a", "1", 1)}, core.Change{Put: []core.RunSpec{app("/a", "1", 5)}, Sentenced: []core.InstanceID{"a.instance-1"}}, "Scale /a"},
	} {
		tree, _ := change(t, newTree(), core.Change{Put: c.before}, 1)
		_, u := change(t, tree, c.ch, 2)
		if got := steps(u); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
		running := holders(deploymentOf(u))
		if len(Conflicts(u.Steps, running)) != 1 || len(Conflicts(nil, running)) != 0 {
			t.Errorf("%s: a plan conflicts with itself, an empty one with nothing", name)
		}
	}
}

// Marathon's tests of starting: what is there already is not started again, whatever it is doing.
func TestMarathonStarts(t *testing.T) {
	for name, c := range map[string]struct {
		want  int
		there []core.Condition
		start int
	}{
		"nothing is there":     {5, nil, 5},
		"one waits":            {5, []core.Condition{core.Scheduled}, 4},
		"one runs":             {5, []core.Condition{core.Running}, 4},
		"one is being started": {5, []core.Condition{core.Provisioned}, 4},
		"none is wanted":       {0, nil, 0},
	} {
		for _, sick := range []bool{false, true} { // without and with health checks
			k := newCluster(sized(c.want))
			k.bornSick = sick
			for _, cond := range c.there {
				k.add(5, cond)
			}
			if d := Next(core.Action{Kind: core.ActionScale}, k.view()); d.Start != c.start {
				t.Errorf("%s: %+v", name, d)
			}
			k.settle(core.ActionScale)
			k.launch()
			if d := k.settle(core.ActionScale); d.Done != (c.want == 0 || !sick) {
				t.Errorf("%s, sick %v: %+v", name, sick, d)
			}
			clear(k.sick)
			if d := k.settle(core.ActionScale); !d.Done || len(k.insts) != c.want {
				t.Errorf("%s: %+v", name, d)
			}
		}
	}
	for _, goal := range []core.Goal{core.GoalDecommissioned, core.GoalStopped} {
		k := newCluster(sized(2))
		k.addMany(2, 5, core.Running)
		k.insts[0].Goal = goal
		k.move(k.insts[0], core.Failed)
		if k.settle(core.ActionScale); k.tally() != "old 0 new 1+1q" {
			t.Errorf("one failed and was told to be %s: %s", goal, k.tally())
		}
	}
}

// Marathon's tests of replacing that TestUpgradeCourse does not have, and those of readiness.
func TestMarathonUpgrades(t *testing.T) {
	upgrading := core.Action{Kind: core.ActionRestart}
	t.Run("new ones that are there are kept and counted", func(t *testing.T) {
		k := newCluster(upgrade(5, 0, 1))
		k.add(1, core.Running)
		fresh := k.add(2, core.Running)
		if k.settle(core.ActionRestart); k.tally() != "old 0+1x new 1+4q" || fresh.Goal != core.GoalRunning {
			t.Error(k.tally())
		}
	})
	t.Run("all are replaced already", func(t *testing.T) {
		for name, c := range map[string]struct{ sick, unready bool }{"neither check": {false, false}, "readiness": {false, true}, "health": {true, false}, "both": {true, true}} {
			k := newCluster(upgrade(2, 1, 1))
			k.addMany(2, 2, core.Running)
			for _, i := range k.insts {
				k.sick[i.ID], k.unready[i.ID] = c.sick, c.unready
			}
			if d := Next(upgrading, k.view()); d.Done == (c.sick || c.unready) {
				t.Errorf("%s: %+v", name, d)
			}
			clear(k.sick)
			if d := Next(upgrading, k.view()); d.Done == c.unready {
				t.Errorf("%s, healthy: %+v", name, d)
			}
			clear(k.unready)
			if d := Next(upgrading, k.view()); !d.Done {
				t.Errorf("%s, ready: %+v", name, d)
			}
		}
	})
	t.Run("an old one goes when a new one is healthy and ready, whichever comes first", func(t *testing.T) {
		for _, order := range []string{"health", "readiness"} {
			k := newCluster(upgrade(1, 1, 1))
			k.add(1, core.Running)
			k.bornSick, k.bornUnready = true, true
			k.settle(core.ActionRestart)
			k.launch()
			first, second := k.sick, k.unready
			if order == "readiness" {
				first, second = second, first
			}
			for n, m := range []map[core.InstanceID]bool{nil, first, second} {
				clear(m)
				k.settle(core.ActionRestart)
				if got, want := k.tally(), map[bool]string{false: "old 1 new 1", true: "old 0+1x new 1"}[n == 2]; got != want {
					t.Errorf("%s first, step %d: %s, want %s", order, n, got, want)
				}
			}
		}
	})
}
