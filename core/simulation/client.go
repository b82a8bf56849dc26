package simulation

import (
	"fmt"
	"slices"

	"stadion/core"
	"stadion/core/machine"
)

const (
	maxApps   = 5 // per group
	maxGroups = 2
)

// client is whoever calls the API, and what he was told.
type client struct {
	w       *World
	request uint64
	last    map[core.PathID]uint64 // latest request that touches a spec
	known   map[core.PathID]known  // what the client read when that request was answered; absent while its outcome is open
	asked   map[core.InstanceID]bool
	wiped   map[core.InstanceID]bool
	removed map[core.PathID]bool
	paused  []string
}

// known is what a client read of a spec after his last change of it was answered (R1, R11).
type known struct {
	there     bool
	instances int
	cmd       string
}

func newClient(w *World) *client {
	return &client{w: w, last: map[core.PathID]uint64{}, known: map[core.PathID]known{}, asked: map[core.InstanceID]bool{},
		wiped: map[core.InstanceID]bool{}, removed: map[core.PathID]bool{}}
}

func groupID(n int) core.PathID  { return core.PathID(fmt.Sprintf("/g%d", n)) }
func appID(g, n int) core.PathID { return core.PathID(fmt.Sprintf("/g%d/app%d", g, n)) }

// leader is who answers at present, nil when nobody does. Sometimes it is one who lost the lead without knowing.
func (c *client) leader() *life {
	w := c.w
	for _, l := range w.lives {
		if !l.dead && l.m != nil && l != w.lead && w.rnd.IntN(4) == 0 {
			return l
		}
	}
	if l := w.lead; !l.dead && l.m != nil {
		return l
	}
	return nil
}

// act is one random deed.
func (c *client) act() {
	l, r := c.leader(), c.w.rnd
	if l == nil {
		return
	}
	g := r.IntN(maxGroups)
	id := appID(g, r.IntN(maxApps))
	now, exists := l.snap.Spec(id)
	force := r.IntN(2) == 0
	switch n := r.IntN(26); {
	case n > 23:
		c.pod(l, force)
	case n == 0:
		c.group(l, g, force)
	case n == 1:
		c.dropGroup(l, g)
	case n == 2, n == 23:
		c.resident(l, force)
	case n == 3:
		c.cancel(l)
	case n == 4:
		c.submit(l, machine.ResetDelay{Spec: id}, nil, nil)
	case n == 5:
		c.steer(l)
	case !exists || n < 9:
		c.put(l, c.app(id, r.IntN(5)), force)
	case n < 12:
		c.scale(l, id, r.IntN(8), force)
	case n < 15:
		c.change(l, core.Change{Restart: []core.PathID{id}, Force: force, GroupID: id.Parent()}, nil)
	case n == 15:
		c.change(l, core.Change{Remove: []core.PathID{id}, Force: force, GroupID: id.Parent()}, nil)
	case n == 16:
		c.killAndScale(l, now)
	case n < 20:
		c.kill(l, id)
	default:
		same := *now.(*core.App)
		cmd := fmt.Sprintf("run %d", r.IntN(1000))
		same.Cmd = &cmd
		c.put(l, &same, force)
	}
}

// app is a random definition.
func (c *client) app(id core.PathID, instances int) *core.App {
	r := c.w.rnd
	pick := func(n int) bool { return r.IntN(n) == 0 }
	capacities := []core.UpgradeStrategy{{MaximumOverCapacity: 1, MinimumHealthCapacity: 1}, {MaximumOverCapacity: 0, MinimumHealthCapacity: 0.5},
		{MaximumOverCapacity: 0.2, MinimumHealthCapacity: 1}, {MaximumOverCapacity: 0.5, MinimumHealthCapacity: 0.7}, {MaximumOverCapacity: 0, MinimumHealthCapacity: 0}}
	strategies := []core.UnreachableStrategy{{}, {InactiveAfterSeconds: 10, ExpungeAfterSeconds: 40}, {InactiveAfterSeconds: 30, ExpungeAfterSeconds: 30}, {Disabled: true}}
	cmd, name, path, index := fmt.Sprintf("run %d", r.IntN(1000)), "http", "/", 0
	a := &core.App{ID: id, Cmd: &cmd, BackoffFactor: 1.15, BackoffSeconds: 1, MaxLaunchDelaySeconds: 60, CPUs: 0.5, Mem: 128, Instances: instances, Labels: map[string]string{},
		Networks: []core.Network{{Mode: core.NetworkHost}}, PortDefinitions: []core.PortDefinition{{Protocol: "tcp", Name: &name}}, Role: "*",
		KillSelection: []core.KillSelection{core.YoungestFirst, core.OldestFirst}[r.IntN(2)], UpgradeStrategy: capacities[r.IntN(len(capacities))],
		UnreachableStrategy: strategies[r.IntN(len(strategies))]}
	if pick(3) {
		protocol := []string{"HTTP", "MESOS_HTTP"}[r.IntN(2)]
		a.HealthChecks = []core.HealthCheck{{Protocol: protocol, Path: &path, PortIndex: &index, IntervalSeconds: 5, TimeoutSeconds: 2, GracePeriodSeconds: 5, MaxConsecutiveFailures: r.IntN(4)}}
	}
	if pick(6) {
		a.ReadinessChecks = []core.ReadinessCheck{{Name: "ready", Protocol: "HTTP", Path: "/", PortName: name, IntervalSeconds: 3, TimeoutSeconds: 2, HTTPStatusCodesForReady: []int{200}}}
	}
	if pick(8) {
		a.Constraints = []core.Constraint{{Field: "hostname", Operator: "UNIQUE"}}
		a.Instances = min(a.Instances, 2) // so that an upgrade finds room on what agents there are
	}
	if pick(12) {
		a.RequirePorts = true
		a.PortDefinitions[0].Port = 31500 + int(id[len(id)-1]-'0') + 10*int(id[2]-'0')
		a.Instances = min(a.Instances, 2)
	}
	return a
}

// scarce: no more than two of it find room.
func scarce(s core.RunSpec) bool {
	a, ok := s.(*core.App)
	return ok && (a.RequirePorts || len(a.Constraints) > 0)
}

func (c *client) put(l *life, s core.RunSpec, force bool) {
	id := s.SpecID()
	c.change(l, core.Change{Put: []core.RunSpec{s}, Force: force, GroupID: id.Parent()}, map[core.PathID]known{id: readSpec(s, true)})
}

// podID is the one pod of a world.
const podID core.PathID = "/pod"

func (w *World) isPod(id core.PathID) bool { return id == podID }

// pod is a deed with the one pod: it is created, changed, scaled, restarted, removed, and its instances are killed.
func (c *client) pod(l *life, force bool) {
	id, r := podID, c.w.rnd
	_, exists := l.snap.Spec(id)
	switch n := r.IntN(6); {
	case !exists || n < 2:
		p := &core.Pod{ID: id, Role: "*", Scaling: core.PodScaling{Kind: "fixed", Instances: 1 + r.IntN(3)}, ExecutorResources: core.ExecutorResources{CPUs: 0.1, Mem: 32},
			Scheduling: core.PodScheduling{Backoff: core.PodBackoff{Backoff: 1, BackoffFactor: 1.15, MaxLaunchDelay: 60}, KillSelection: core.YoungestFirst,
				Upgrade: core.PodUpgrade{MaximumOverCapacity: 1, MinimumHealthCapacity: 0.5}}}
		for _, name := range []string{"one", "two"} {
			k := core.PodContainer{Name: name, Resources: core.PodResources{CPUs: 0.2, Mem: 64}, Exec: &core.PodExec{Command: core.ShellOrArgv{Shell: new(string)}},
				Endpoints: []core.Endpoint{{Name: name}}}
			*k.Exec.Command.Shell = fmt.Sprintf("run %d", r.IntN(1000))
			if r.IntN(3) == 0 {
				k.HealthCheck = &core.PodHealthCheck{Exec: &core.CheckExec{Command: k.Exec.Command}, IntervalSeconds: 5, TimeoutSeconds: 2, GracePeriodSeconds: 5}
			}
			p.Containers = append(p.Containers, k)
		}
		c.put(l, p, force)
	case n == 2:
		c.scale(l, id, r.IntN(4), force)
	case n == 3:
		c.change(l, core.Change{Restart: []core.PathID{id}, Force: force, GroupID: core.Root}, nil)
	case n == 4 && r.IntN(2) == 0:
		c.change(l, core.Change{Remove: []core.PathID{id}, Force: force, GroupID: core.Root}, nil)
	default:
		c.kill(l, id)
	}
}

// scale is a change of what is there: it is computed on the tree that the leader showed and again if that has changed.
func (c *client) scale(l *life, id core.PathID, n int, force bool) {
	onto := func(t core.Tree) (core.Change, error) {
		s, ok := t.Spec(id)
		if !ok {
			return core.Change{}, &core.Error{Kind: core.NotFound, Message: "gone"}
		}
		if scarce(s) {
			n = min(n, 2)
		}
		return core.Change{Put: []core.RunSpec{s.WithInstances(n)}, Force: force, GroupID: id.Parent()}, nil
	}
	ch, err := onto(l.snap)
	if err != nil {
		return
	}
	base := l.snap.RootStamp()
	if c.w.rnd.IntN(3) == 0 {
		base--
	}
	c.submit(l, machine.UpdateTree{Base: base, Change: ch, Rebase: onto}, []core.PathID{id}, nil)
}

// group changes several apps at once, each depending on the one before.
func (c *client) group(l *life, g int, force bool) {
	ch := core.Change{Force: force, GroupID: core.Root, PutGroups: []core.Group{{ID: groupID(g)}}}
	want := map[core.PathID]known{}
	for n := range 2 + c.w.rnd.IntN(maxApps-1) {
		a := c.app(appID(g, n), c.w.rnd.IntN(4))
		if n > 0 {
			a.Dependencies = []core.PathID{appID(g, n-1)}
		}
		ch.Put = append(ch.Put, a)
		want[a.ID] = known{true, a.Instances, *a.Cmd}
	}
	c.change(l, ch, want)
}

// dropGroup removes a group with all in it.
func (c *client) dropGroup(l *life, g int) {
	if _, ok := l.snap.Group(groupID(g)); !ok {
		return
	}
	onto := func(t core.Tree) (core.Change, error) {
		if _, ok := t.Group(groupID(g)); !ok {
			return core.Change{}, &core.Error{Kind: core.NotFound, Message: "gone"}
		}
		ch := core.Change{RemoveGroups: []core.PathID{groupID(g)}, Force: true, GroupID: core.Root}
		for s := range t.SpecsBelow(groupID(g)) {
			ch.Remove = append(ch.Remove, s.SpecID())
		}
		return ch, nil
	}
	ch, err := onto(l.snap)
	if err != nil {
		return
	}
	var all []core.PathID
	for n := range maxApps {
		all = append(all, appID(g, n))
	}
	c.submit(l, machine.UpdateTree{Base: l.snap.RootStamp(), Change: ch, Rebase: onto}, all, nil)
}

// resident puts an app with a persistent volume.
func (c *client) resident(l *life, force bool) {
	id := core.PathID("/db")
	if c.w.rnd.IntN(3) == 0 {
		c.kill(l, id)
		return
	}
	a := c.app("/g9/app9", 1+c.w.rnd.IntN(3))
	a.ID, a.Role, a.RequirePorts, a.Constraints, a.PortDefinitions[0].Port = id, "db", false, nil, 0
	a.UpgradeStrategy = core.UpgradeStrategy{MaximumOverCapacity: 0, MinimumHealthCapacity: 0.5}
	a.UnreachableStrategy = core.UnreachableStrategy{Disabled: true}
	a.Residency = &core.Residency{RelaunchEscalationTimeoutSeconds: 3600, TaskLostBehavior: "WAIT_FOREVER"}
	a.Container = &core.Container{Type: "MESOS", Volumes: []core.AppVolume{{ContainerPath: "data", Mode: "RW", Persistent: &core.PersistentVolume{Type: "root", Size: 100}}}}
	if c.w.rnd.IntN(5) == 0 {
		if _, ok := l.snap.Spec(id); ok {
			c.change(l, core.Change{Remove: []core.PathID{id}, Force: force}, map[core.PathID]known{id: {}})
			return
		}
	}
	c.put(l, a, force)
}

// change submits a change; want is what a client reads of each spec once it is answered.
func (c *client) change(l *life, ch core.Change, want map[core.PathID]known) {
	touched := slices.Concat(ch.Remove, ch.Restart)
	for _, s := range ch.Put {
		touched = append(touched, s.SpecID())
	}
	for _, id := range ch.Remove {
		if want == nil {
			want = map[core.PathID]known{}
		}
		want[id] = known{}
		c.removed[id] = true
	}
	onto := func(core.Tree) (core.Change, error) { return ch, nil }
	c.submit(l, machine.UpdateTree{Base: l.snap.RootStamp(), Change: ch, Rebase: onto,
		Origin: &machine.Origin{ClientIP: "c", URI: "/v2/apps", Event: "api_post_event", App: touched[0]}}, touched, want)
}

func (c *client) kill(l *life, id core.PathID) {
	var ids []core.InstanceID
	wipe := c.w.rnd.IntN(3) == 0
	for i := range l.snap.InstancesOf(id) {
		if c.w.rnd.IntN(2) == 0 {
			ids = append(ids, i.ID)
			c.asked[i.ID] = true
			c.wiped[i.ID] = c.wiped[i.ID] || wipe
		}
	}
	c.submit(l, machine.KillInstances{IDs: ids, Wipe: wipe}, nil, nil)
}

func (c *client) killAndScale(l *life, s core.RunSpec) {
	ch := core.Change{Force: true, GroupID: s.SpecID().Parent()}
	for i := range l.snap.InstancesOf(s.SpecID()) {
		if c.w.rnd.IntN(3) == 0 {
			ch.Sentenced = append(ch.Sentenced, i.ID)
			c.asked[i.ID] = true
		}
	}
	fewer := s.WithInstances(max(0, s.InstanceCount()-len(ch.Sentenced)))
	ch.Put = []core.RunSpec{fewer}
	c.change(l, ch, map[core.PathID]known{s.SpecID(): readSpec(fewer, true)})
}

// cancel ends some deployment, by going back or as it is.
func (c *client) cancel(l *life) {
	for d := range l.snap.Deployments() {
		if c.w.rnd.IntN(2) == 0 {
			continue
		}
		var all []core.PathID
		for _, a := range d.AffectedSpecs() {
			all = append(all, a.Spec)
		}
		for _, s := range d.Specs {
			all = append(all, s.ID)
			c.removed[s.ID] = c.removed[s.ID] || s.From == 0 // going back is to remove what it made
		}
		c.submit(l, machine.CancelDeployment{ID: d.ID, Force: c.w.rnd.IntN(3) == 0}, all, nil)
		return
	}
}

// steer pauses a deployment; tidy resumes it.
func (c *client) steer(l *life) {
	for d := range l.snap.Deployments() {
		c.paused = append(c.paused, d.ID)
		c.submit(l, machine.SteerDeployment{ID: d.ID, Action: "pause"}, nil, nil)
		return
	}
}

// tidy resumes what was paused, until that is acknowledged.
func (c *client) tidy() {
	open := c.paused
	c.paused = nil
	l := c.w.lead
	for _, id := range open {
		if l.dead || l.m == nil {
			c.paused = append(c.paused, id)
			continue
		}
		if d, ok := l.snap.Deployment(id); ok && (d.Settings == nil || d.Settings.Paused) {
			c.submit(l, machine.SteerDeployment{ID: id, Action: "resume"}, nil, nil)
			c.paused = append(c.paused, id)
		}
	}
	if len(c.paused) > 0 || l.dead || l.m == nil {
		c.w.clock.after(5000, c.tidy)
	}
}

// submit sends a command to a process. While the outcome of the latest request on a spec is open, nothing is known of
// it (R2); with the answer the client reads what is there, which must be what he asked for (R11).
func (c *client) submit(l *life, cmd machine.Command, touched []core.PathID, want map[core.PathID]known) {
	w := c.w
	c.request++
	id := c.request
	for _, p := range touched {
		c.last[p] = id
		delete(c.known, p)
	}
	l.waiting[id] = func(r machine.Reply) {
		w.note("answer %d %v", id, r.Err)
		if r.Err != nil {
			w.judge.refused(r.Err)
			want = nil
		}
		if l != w.lead { // it was durable before the lead was lost; what is there now is another's
			return
		}
		for _, p := range touched {
			read := readSpec(l.snap.Spec(p))
			if c.last[p] != id {
				continue
			}
			if asked, ok := want[p]; ok && read != asked {
				w.fail("R11: the change of %s was answered and reads %+v instead of %+v", p, read, asked)
			}
			c.known[p] = read
		}
	}
	w.note("request %d to life %d: %T %s", id, l.number, cmd, describe(cmd))
	l.run(func() { l.step(machine.Request{ID: id, Command: cmd}) })
}

func readSpec(s core.RunSpec, ok bool) known {
	if !ok {
		return known{}
	}
	if p, ok := s.(*core.Pod); ok {
		return known{true, s.InstanceCount(), *p.Containers[0].Exec.Command.Shell}
	}
	return known{true, s.InstanceCount(), *s.(*core.App).Cmd}
}

func describe(cmd machine.Command) string {
	switch c := cmd.(type) {
	case machine.UpdateTree:
		out := fmt.Sprintf("force %v", c.Change.Force)
		for _, s := range c.Change.Put {
			out += fmt.Sprintf(" put %s %d×%s", s.SpecID(), s.InstanceCount(), readSpec(s, true).cmd)
		}
		return out + fmt.Sprintf(" remove %v restart %v sentenced %d", c.Change.Remove, c.Change.Restart, len(c.Change.Sentenced))
	case machine.KillInstances:
		return fmt.Sprintf("%d wipe %v", len(c.IDs), c.Wipe)
	case machine.CancelDeployment:
		return fmt.Sprintf("%s force %v", c.ID, c.Force)
	case machine.SteerDeployment:
		return c.Action + " " + c.ID
	}
	return ""
}
