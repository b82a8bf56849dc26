package deployments

import (
	"fmt"
	"slices"
	"strings"

	"stadion/core"
)

// cluster plays the machine and the agents around Next for one spec: it carries out decisions and lets instances
// live, fail and die.
type cluster struct {
	target   core.RunSpec
	insts    []*core.Instance
	sick     map[core.InstanceID]bool // runs, but a health check fails
	unready  map[core.InstanceID]bool
	sentence map[core.InstanceID]bool
	hold     int
	seq      int
	now      core.Timestamp
	timed    bool // instances have to prove themselves: Next is told the time
	// born is what a new instance is once it runs.
	bornSick, bornUnready bool
}

func newCluster(target core.RunSpec) *cluster {
	return &cluster{target: target, sick: map[core.InstanceID]bool{}, unready: map[core.InstanceID]bool{}, sentence: map[core.InstanceID]bool{}, now: 1000}
}

// upgrade makes a spec of n instances at version 2, whose configuration is that version's.
func upgrade(n int, minimum, over float64) *core.App {
	a := app("/a", "2", n)
	a.Version = 2
	a.UpgradeStrategy = core.UpgradeStrategy{MinimumHealthCapacity: core.Num(minimum), MaximumOverCapacity: core.Num(over)}
	return a
}

func persistent(a *core.App) *core.App {
	a.Container = &core.Container{Volumes: []core.AppVolume{{ContainerPath: "d", Persistent: &core.PersistentVolume{Size: 1}}}}
	return a
}

func (c *cluster) add(version core.Timestamp, cond core.Condition) *core.Instance {
	c.seq++
	c.now++
	i := &core.Instance{ID: core.InstanceID(fmt.Sprintf("a.instance-%05d", c.seq)), Spec: "/a", Version: version, Condition: cond, Since: c.now, QueuedAt: c.now}
	if cond == core.Running || cond == core.Killing || cond == core.Unreachable || cond == core.UnreachableInactive {
		i.ActiveSince = c.now
	}
	if cond != core.Scheduled {
		i.Incarnation = 1
		i.Tasks = []core.Task{{StagedAt: c.now}}
		if c.target.Resident() {
			i.Reservation = &core.Reservation{ID: string(i.ID)}
		}
	}
	c.insts = append(c.insts, i)
	return i
}

func (c *cluster) addMany(n int, version core.Timestamp, cond core.Condition) {
	for range n {
		c.add(version, cond)
	}
}

func (c *cluster) view() *SpecView {
	v := &SpecView{Target: c.target, Instances: slices.Clone(c.insts), Hold: c.hold,
		Healthy: func(i *core.Instance) bool { return i.Condition == core.Running && !c.sick[i.ID] },
		Ready:   func(i *core.Instance) bool { return !c.unready[i.ID] }}
	if c.timed {
		v.Now = c.now
	}
	if len(c.sentence) > 0 {
		v.Sentenced = func(id core.InstanceID) bool { return c.sentence[id] }
	}
	return v
}

// carryOut does what a decision says, as the contract of Next demands.
func (c *cluster) carryOut(kind core.ActionKind, d Decision) {
	for _, id := range d.Stop {
		i := c.byID(id)
		i.Goal = core.GoalDecommissioned
		if kind != core.ActionStop && i.Reservation != nil {
			i.Goal = core.GoalStopped
		}
	}
	c.insts = slices.DeleteFunc(c.insts, ended)
	for range d.Start {
		c.start()
	}
}

// ended: nothing is left to remember of it.
func ended(i *core.Instance) bool {
	return i.Goal == core.GoalDecommissioned && (i.Condition == core.Scheduled || i.Condition.Terminal())
}

func (c *cluster) start() {
	for _, i := range c.insts {
		if i.Goal == core.GoalStopped && (i.Condition == core.Scheduled || i.Condition.Terminal()) {
			i.Goal, i.Condition, i.Version = core.GoalRunning, core.Scheduled, c.target.SpecVersion()
			return
		}
	}
	c.add(c.target.SpecVersion(), core.Scheduled)
}

func (c *cluster) byID(id core.InstanceID) *core.Instance {
	for _, i := range c.insts {
		if i.ID == id {
			return i
		}
	}
	panic("unknown instance " + id)
}

// move lets an instance go to a condition; it forgets those that are gone for good.
func (c *cluster) move(i *core.Instance, to core.Condition) {
	c.now++
	i.Condition, i.Since = to, c.now
	switch to {
	case core.Provisioned:
		i.Incarnation++
		i.Tasks = []core.Task{{StagedAt: c.now}}
		if c.target.Resident() {
			i.Reservation = &core.Reservation{ID: string(i.ID)}
		}
		delete(c.sick, i.ID)
		delete(c.unready, i.ID)
	case core.Running:
		i.ActiveSince = c.now
		if c.bornSick {
			c.sick[i.ID] = true
		}
		if c.bornUnready {
			c.unready[i.ID] = true
		}
	}
	c.insts = slices.DeleteFunc(c.insts, ended)
}

// settle asks Next and carries out until it asks for nothing more, with every kill taking effect only on die.
func (c *cluster) settle(kind core.ActionKind) Decision {
	for range 1000 {
		d := Next(core.Action{Kind: kind, Spec: "/a", Version: c.target.SpecVersion()}, c.view())
		if d.Start == 0 && len(d.Stop) == 0 {
			return d
		}
		c.carryOut(kind, d)
	}
	panic("Next never rests")
}

// launch brings everything that waits for an offer to Running.
func (c *cluster) launch() {
	for _, i := range slices.Clone(c.insts) {
		if i.Scheduled() {
			c.move(i, core.Provisioned)
		}
	}
	for _, i := range slices.Clone(c.insts) {
		if i.Goal == core.GoalRunning && (i.Condition == core.Provisioned || i.Condition == core.Staging || i.Condition == core.Starting) {
			c.move(i, core.Running)
		}
	}
}

// die ends all kills in flight.
func (c *cluster) die() {
	for _, i := range slices.Clone(c.insts) {
		if dying(i) {
			c.move(i, core.Killed)
		}
	}
}

// tally is what a rolling upgrade looks like: "old 3+1x new 2" is 3 old to go, 1 old being killed, 2 new ones.
func (c *cluster) tally() string {
	var old, stopping, fresh, waiting int
	for _, i := range c.insts {
		switch {
		case i.Goal != core.GoalRunning:
			if dying(i) {
				stopping++
			}
		case i.Version < c.target.Stamps().LastConfigChangeAt:
			old++
		case i.Scheduled():
			waiting++
		default:
			fresh++
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "old %d", old)
	if stopping > 0 {
		fmt.Fprintf(&b, "+%dx", stopping)
	}
	fmt.Fprintf(&b, " new %d", fresh)
	if waiting > 0 {
		fmt.Fprintf(&b, "+%dq", waiting)
	}
	return b.String()
}
