package simulation

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"

	"stadion/core"
	"stadion/core/machine"
	"stadion/core/state"
	"stadion/offers"
)

// book is what one life was told, and what it told.
type book struct {
	prev    *state.Snapshot // after the batch before
	seen    map[core.InstanceID]core.Condition
	phase   map[string]string // of deployments, by the events so far
	told    map[core.TaskID]bool
	ready   map[core.TaskID]bool
	plans   map[string]bool // kind and spec of the actions that the batch announces
	unacked map[string]int  // updates heard and not yet acknowledged
}

func newBook(l *life, st *state.State) *book {
	b := &book{prev: st.Snapshot(0, 0, 0), seen: map[core.InstanceID]core.Condition{}, phase: map[string]string{}, told: map[core.TaskID]bool{},
		ready: map[core.TaskID]bool{}, plans: map[string]bool{}, unacked: map[string]int{}}
	for i := range st.Instances() {
		b.seen[i.ID] = i.Condition
		if alive, ok := st.LastAlive(i.ID); ok && alive && len(i.Tasks) > 0 && l.w.judge.vouched[i.ID] == i.Tasks[0].ID {
			b.told[i.Tasks[0].ID] = true // D-45
		}
	}
	for d := range st.Deployments() {
		b.phase[d.ID] = "info"
	}
	return b
}

func (b *book) heard(u offers.StatusUpdate) { b.unacked[string(u.UUID)]++ }

func (b *book) probed(p *probe, out machine.Outcome) { b.told[p.Task] = out == machine.ProbeHealthy }

// decided looks at a batch when it is closed: at what changes, and at what is told of it.
func (j *judge) decided(l *life, b *machine.Batch) {
	k, now := l.book, l.m.State()
	if j.w.opt.Trace {
		j.trace(l, b)
	}
	for _, n := range b.Notices {
		j.notice(l, n)
	}
	launches := map[core.PathID]bool{}
	victims := map[core.PathID][]*core.Instance{} // of upgrades, in good health
	var specs []core.PathID
	for _, wr := range b.Writes {
		switch wr.Table {
		case state.TableInstance:
			id := core.InstanceID(wr.Key)
			old, _ := k.prev.Instance(id)
			i, _ := wr.Value.(*core.Instance)
			if i == nil {
				delete(k.seen, id)
				continue
			}
			j.moved(l, old, i)
			if i.Condition == core.Provisioned && (old == nil || i.Incarnation > old.Incarnation) && !launches[i.Spec] {
				launches[i.Spec] = true
				specs = append(specs, i.Spec)
			}
			if old != nil && old.Goal == core.GoalRunning && i.Goal != core.GoalRunning && i.KillReason == "Upgrading" && k.well(now, i) {
				if victims[i.Spec] == nil {
					specs = append(specs, i.Spec)
				}
				victims[i.Spec] = append(victims[i.Spec], i)
			}
		case state.TableDeployment:
			if p := k.phase[wr.Key]; (wr.Value == nil) != (p == "end") {
				j.w.fail("E.1.14: deployment %s is at %q and its row is %v", wr.Key, p, wr.Value)
			}
		}
	}
	for _, id := range specs {
		if launches[id] {
			j.crowd(l, id)
		}
		if victims[id] != nil {
			j.capacity(l, id, victims[id])
		}
	}
	for d := range now.Deployments() {
		for _, a := range d.CurrentActions() {
			if a.Kind == core.ActionRestart {
				j.allow(l, a.Spec)
			}
		}
	}
	if _, timer := l.m.NextTimer(); now.DeploymentCount() > 0 && !timer {
		j.w.fail("I11: deployments run and nothing would wake the machine")
	}
	for _, c := range b.Calls {
		if a, ok := c.(offers.Acknowledge); ok {
			if k.unacked[string(a.UUID)]--; k.unacked[string(a.UUID)] < 0 {
				j.w.fail("I9: %s is acknowledged more often than it came", a.UUID)
			}
		}
	}
	k.prev = l.next
	clear(k.plans)
}

// notice: conditions move along the one table (I10), and the events of a deployment have one order (E.1.14).
func (j *judge) notice(l *life, n core.Notice) {
	k := l.book
	if body, ok := n.Body.(*core.InstanceChanged); ok {
		c, known := core.ParseCondition(body.Condition)
		was, seen := k.seen[body.InstanceID]
		switch {
		case !known:
			j.w.fail("I10: condition %q", body.Condition)
		case j.w.isPod(body.RunSpecID): // the sum of its tasks, see moved
		case !seen && c != core.Scheduled && !j.hidden[body.InstanceID], seen && !was.MayBecome(c):
			j.w.fail("I10: instance %s goes from %s to %s", body.InstanceID, was, c)
		}
		k.seen[body.InstanceID] = c
	}
	if n.Deployment == "" {
		return
	}
	if body, ok := n.Body.(core.DeploymentStep); ok {
		for _, s := range body.Plan.Steps {
			for _, a := range s.Actions {
				k.plans[a.Action+string(cmp.Or(a.App, a.Pod))] = true
			}
		}
	}
	at := k.phase[n.Deployment]
	fits := map[string]bool{"deployment_info": at == "" || at == "step", "deployment_step_success": at == "info",
		"deployment_success": at == "step" || at == "", "deployment_failed": at != "end"}[n.Type]
	if !fits {
		j.w.fail("E.1.14: %s of deployment %s after %q", n.Type, n.Deployment, at)
	}
	k.phase[n.Deployment] = map[string]string{"deployment_info": "info", "deployment_step_success": "step"}[n.Type]
	if k.phase[n.Deployment] == "" {
		k.phase[n.Deployment] = "end"
	}
}

// moved looks at one changed instance: its goal (E.1.5), its incarnation (E.1.6), why it is to end (R6), and that
// whoever listens knows its condition (R10).
func (j *judge) moved(l *life, old, i *core.Instance) {
	w := j.w
	if i.Condition == core.Unreachable || i.Condition == core.UnreachableInactive {
		j.hidden[i.ID] = true
	}
	if told, ok := l.book.seen[i.ID]; !ok || told != i.Condition {
		w.fail("R10: instance %s is %s, the events say %s", i.ID, i.Condition, told)
	}
	if old == nil {
		return
	}
	for _, t := range i.Tasks {
		if was := taskOf(old, t.ID); was != nil && !was.Condition.MayBecome(t.Condition) {
			w.fail("I10: task %s goes from %s to %s", t.ID, was.Condition, t.Condition)
		}
	}
	if !old.Goal.MayBecome(i.Goal) || i.Incarnation < old.Incarnation || i.Incarnation > old.Incarnation+1 {
		w.fail("E.1.5, E.1.6: instance %s goes from %s, %d to %s, %d", i.ID, old.Goal, old.Incarnation, i.Goal, i.Incarnation)
	}
	if old.Reservation != nil && i.Reservation == nil && !w.master.agent(old.Agent.ID).gone {
		w.fail("I6: instance %s gives up its reservation on %s, which is there", i.ID, old.Agent.ID)
	}
	if i.KillReason != "" && (old.KillReason != i.KillReason || old.Goal != i.Goal) && !j.cause(l, old, i) {
		w.fail("R6: instance %s is to end for %q without a cause", i.ID, i.KillReason)
	}
}

// cause tells whether a reason to end an instance is true.
func (j *judge) cause(l *life, old, i *core.Instance) bool {
	now, before := l.m.State(), l.book.prev
	works := func(kind core.ActionKind) bool {
		if l.book.plans[string(kind)+"Application"+string(i.Spec)] || l.book.plans[string(kind)+"Pod"+string(i.Spec)] {
			return true
		}
		for _, v := range []*state.View{&before.View, &now.View} {
			for d := range v.Deployments() {
				for _, s := range d.Steps {
					for _, a := range s.Actions {
						if a.Spec == i.Spec && a.Kind == kind {
							return true
						}
					}
				}
			}
		}
		return false
	}
	switch i.KillReason {
	case "Upgrading":
		return works(core.ActionRestart)
	case "DeploymentScaling":
		return works(core.ActionScale)
	case "DeletingApp":
		return works(core.ActionStop)
	case "Orphaned":
		_, there := now.Spec(i.Spec)
		return !there
	case "OverCapacity":
		s, ok := now.Spec(i.Spec)
		n := 0
		for x := range now.InstancesOf(i.Spec) {
			if x.Goal == core.GoalRunning && x.Condition != core.UnreachableInactive {
				n++
			}
		}
		return ok && n >= s.InstanceCount()
	case "FailedHealthChecks":
		return len(old.Tasks) > 0 && !l.book.told[old.Tasks[0].ID]
	case "ReservationTimeout":
		return old.Reservation != nil && old.Reservation.New && l.now() >= old.Reservation.Deadline
	case "Wiped", "KillingTasksViaApi":
		return j.w.client.asked[i.ID]
	case "Returned": // one that was given up came back in its place (D-61)
		return !old.Launched()
	case "Overdue":
		return len(old.Tasks) > 0 && l.now() >= old.Tasks[0].StagedAt+60_000
	}
	return false
}

// well: runs, and is healthy by what the life was told.
func (k *book) well(now *state.State, i *core.Instance) bool {
	if i.Condition != core.Running {
		return false
	}
	s, ok := now.SpecAt(i.Spec, i.Version)
	if !ok || !s.HasHealthChecks() {
		return true
	}
	if p, ok := s.(*core.Pod); ok {
		for n := range p.Containers {
			t := i.Tasks[n] // in the order of the definition
			if p.Containers[n].HealthCheck != nil && (t.Status == nil || t.Status.Healthy != core.Healthy) {
				return false
			}
		}
		return true
	}
	if s.(*core.App).HealthChecks[0].ServerRun() {
		return k.told[i.Tasks[0].ID]
	}
	return i.Tasks[0].Status != nil && i.Tasks[0].Status.Healthy == core.Healthy
}

// target is the definition that the running Restart action of a spec works towards.
func target(v *state.View, id core.PathID) core.RunSpec {
	d, ok := v.DeploymentOf(id)
	if !ok {
		return nil
	}
	for _, a := range d.CurrentActions() {
		if a.Spec == id && a.Kind == core.ActionRestart {
			s, _ := v.SpecAt(id, a.Version)
			return s
		}
	}
	return nil
}

// capacity: an upgrade leaves as many healthy instances as it must (R7, I5, E.1.9). A resident spec may dip by one.
//
// New instances beyond the count go at once (12.2: "surplus"). When a forced request takes over an upgrade, readiness is
// asked anew (8.8), so all new ones are unready for the one who chooses, and it may choose those that were ready before:
// for a kill of nothing but surplus only health counts. What a client named among the surplus is its own will (D-08).
func (j *judge) capacity(l *life, id core.PathID, victims []*core.Instance) {
	now := l.m.State()
	s := target(&now.View, id)
	if s == nil {
		s = target(&l.book.prev.View, id)
	}
	if s == nil {
		j.w.fail("R6: an upgrade of %s kills and there is none", id)
		return
	}
	fresh := func(i *core.Instance) bool { return i.Version >= s.Stamps().LastConfigChangeAt }
	healthy, good, left := 0, 0, 0
	for i := range now.InstancesOf(id) {
		if i.Goal != core.GoalRunning {
			continue
		}
		if fresh(i) {
			left++
		}
		if l.book.well(now, i) {
			healthy++
			if !fresh(i) || !s.HasReadinessChecks() || l.book.ready[i.Tasks[0].ID] {
				good++
			}
		}
	}
	if left >= s.InstanceCount() && !slices.ContainsFunc(victims, func(i *core.Instance) bool { return !fresh(i) }) {
		if d, ok := now.DeploymentOf(id); ok && !slices.ContainsFunc(victims, func(i *core.Instance) bool { return !slices.Contains(d.Sentenced, i.ID) }) {
			return
		}
		good = healthy
	}
	least := int(math.Ceil(float64(s.InstanceCount()) * float64(s.Upgrade().MinimumHealthCapacity)))
	if s.Resident() {
		least--
	}
	if good < least {
		j.w.fail("R7: an upgrade of %s leaves %d healthy instances, at least %d must stay", id, good, least)
	}
}

// crowd: launches do not go over what the strategy allows (R5, I5, E.1.8). Instances that were out of sight may come
// back on top of that, and what an abandoned upgrade began stays until it is replaced.
func (j *judge) crowd(l *life, id core.PathID) {
	now := l.m.State()
	n := 0
	for i := range now.InstancesOf(id) {
		if i.Goal == core.GoalRunning && i.Condition.Active() && !j.hidden[i.ID] {
			n++
		}
	}
	if bound := j.allow(l, id); n > bound {
		j.w.fail("R5: %s is launched %d times, at most %d are allowed", id, n, bound)
	}
}

// allow is how many instances of a spec may be launched at present.
func (j *judge) allow(l *life, id core.PathID) int {
	now, bound := l.m.State(), 0
	if s, ok := now.Spec(id); ok {
		bound = s.InstanceCount()
	}
	if d, ok := now.DeploymentOf(id); ok {
		for _, c := range d.Specs { // its step may be still to come
			if s, ok := now.SpecAt(id, c.From); ok && c.ID == id {
				bound = max(bound, s.InstanceCount())
			}
		}
	}
	if s := target(&now.View, id); s != nil {
		n, up := s.InstanceCount(), s.Upgrade()
		most := int(math.Trunc(float64(n) * (1 + float64(up.MaximumOverCapacity))))
		if least := int(math.Ceil(float64(n) * float64(up.MinimumHealthCapacity))); least >= most && !s.Resident() {
			most++ // nothing could move
		}
		bound = max(bound, n, most)
	}
	there := 0
	for i := range now.InstancesOf(id) {
		if i.Goal == core.GoalRunning {
			there++
		}
	}
	j.allowed[id] = max(bound, min(there, j.allowed[id]))
	return j.allowed[id]
}

// trace notes what a batch does, for the reader of a failure and for I14.
func (j *judge) trace(l *life, b *machine.Batch) {
	for _, wr := range b.Writes {
		switch v := wr.Value.(type) {
		case *core.Instance:
			j.w.note("%d.%d row %s", l.number, b.Seq, describeInstance(v))
		case *core.Deployment:
			j.w.note("%d.%d row deployment %s step %d of %v", l.number, b.Seq, v.ID, v.Current, v.Steps)
		default:
			j.w.note("%d.%d row %s/%s gone %v", l.number, b.Seq, wr.Table, wr.Key, v == nil)
		}
	}
	for _, c := range b.Calls {
		text, err := json.Marshal(c)
		if err != nil {
			j.w.fail("call %T: %v", c, err)
		}
		j.w.note("%d.%d call %T %s", l.number, b.Seq, c, text)
	}
	for _, n := range b.Notices {
		j.w.note("%d.%d notice %s of %s %s", l.number, b.Seq, n.Type, n.Spec, n.Deployment)
	}
	for _, p := range b.Probes {
		j.w.note("%d.%d probe stop %v readiness %v %s", l.number, b.Seq, p.Stop, p.Readiness, p.Task)
	}
}
