package simulation

import (
	"context"
	"errors"
	"maps"
	"slices"

	"stadion/core"
	"stadion/core/machine"
	"stadion/core/state"
	"stadion/core/store"
	"stadion/offers"
)

// judge knows the truth of the agents, of the store and of the clients, and what the server may make of it.
type judge struct {
	w        *World
	versions map[string]core.RunSpec // every version there ever was (E.1.3)
	ended    map[string]bool         // deployments whose end became durable (E.1.14)
	vouched  map[core.InstanceID]core.TaskID
	hidden   map[core.InstanceID]bool // was out of sight once
	affects  map[string][]core.Action
	halfDone map[core.PathID]bool     // the last deployment of the spec was given up
	allowed  map[core.PathID]int      // launches at the last look (R5)
	used     map[core.InstanceID]bool // a task of it has had its volume
	rotten   []string
}

func newJudge(w *World) *judge {
	j := &judge{w: w, versions: map[string]core.RunSpec{}, ended: map[string]bool{}, vouched: map[core.InstanceID]core.TaskID{},
		hidden: map[core.InstanceID]bool{}, affects: map[string][]core.Action{}, halfDone: map[core.PathID]bool{}, allowed: map[core.PathID]int{}, used: map[core.InstanceID]bool{}}
	w.disk.Watch = func(ops, bytes int) {
		if ops > store.DefaultMaxTxnOps || bytes > 3<<19 {
			w.fail("I12: a transaction of %d operations and %d bytes", ops, bytes)
		}
	}
	return j
}

// loaded compares what a new term found with what was committed: all of it, and of a batch whose outcome is not known
// all or nothing (R1, R2, I1, I13, D-21). Rows that rotted are missing and reported (F14).
func (j *judge) loaded(l *life, st *state.State) {
	w := j.w
	for _, q := range l.store.Quarantined() {
		w.note("quarantined %s", q.Key)
	}
	if n := len(l.store.Quarantined()); n != len(j.rotten) {
		w.fail("F14: %d rows are quarantined, %d are unreadable", n, len(j.rotten))
	}
	for _, k := range j.rotten {
		delete(w.durable.rows, k)
	}
	rows := st.Durable()
	if diff := w.durable.differs(rows); diff != "" {
		both := &shelf{rows: maps.Clone(w.durable.rows)}
		if w.open != nil {
			both.put(w.open.Writes)
		}
		if w.open == nil || both.differs(rows) != "" {
			w.fail("R1, R2: the store holds something else than what was committed (open batch %v): %s", w.open != nil, diff)
			return
		}
		w.durable = both
		j.happened(w.open)
	}
	w.open = nil
	l.book = newBook(l, st)
}

// peek compares what a new leader would load now with the state as of the last batch (I13).
func (j *judge) peek(shown *state.View) {
	w := j.w
	st, err := w.disk.Join(store.Options{}).Load(context.Background())
	if err != nil {
		w.fail("I13: a second load fails: %v", err)
		return
	}
	if diff := w.durable.differs(st.Durable()); diff != "" {
		w.fail("I13: a new leader would load something else than what was committed: %s", diff)
	}
	for id, c := range shown.Counted() { // what is derived from rows is the same, however it came about
		d, locked := shown.DeploymentOf(id)
		e, again := st.DeploymentOf(id)
		if n := st.Counts(id); n.Staged != c.Staged || n.Running != c.Running || n.Provisioned != c.Provisioned || locked != again || locked && d.ID != e.ID {
			w.fail("I13: of %s a new leader would derive %+v, locked %v, the state shows %+v, locked %v", id, n, again, c, locked)
		}
	}
	for k, n := range w.disk.Keys() {
		if n > store.MaxValue {
			w.fail("I12: %s has %d bytes", k, n)
		}
	}
}

// committed looks at a batch that has just become durable.
func (j *judge) committed(l *life, b *machine.Batch) {
	w := j.w
	j.happened(b)
	if diff := w.durable.differs(l.next.Durable()); diff != "" {
		w.fail("I13: the rows of batch %d are not the state it shows: %s", b.Seq, diff)
	}
	if w.Commits%64 == 0 {
		j.peek(&l.next.View)
	}
}

// happened notes what a durable batch did, whoever knows of it.
func (j *judge) happened(b *machine.Batch) {
	w := j.w
	for _, wr := range b.Writes {
		if k := slices.Index(j.rotten, rowKey(wr)); k >= 0 {
			j.rotten = slices.Delete(j.rotten, k, k+1)
		}
		switch wr.Table {
		case state.TableVersion:
			j.version(wr)
		case state.TableDeployment:
			if d, ok := wr.Value.(*core.Deployment); ok {
				j.affects[d.ID] = d.AffectedSpecs()
			}
		case state.TableHealth:
			id := core.InstanceID(wr.Key)
			delete(j.vouched, id)
			if i := w.durable.instance(id); wr.Value == true && i != nil && len(i.Tasks) > 0 {
				j.vouched[id] = i.Tasks[0].ID
			}
		}
	}
	for _, n := range b.Notices {
		if n.Type == "deployment_success" || n.Type == "deployment_failed" {
			if j.ended[n.Deployment] {
				w.fail("E.1.14: deployment %s ends twice", n.Deployment)
			}
			j.ended[n.Deployment] = true
			for _, a := range j.affects[n.Deployment] {
				j.halfDone[a.Spec] = n.Type == "deployment_failed"
			}
		}
	}
}

// version: a stored version never changes (E.1.3) and stays as long as something names it (E.1.4).
func (j *judge) version(wr state.Write) {
	if wr.Value != nil {
		v := wr.Value.(core.RunSpec)
		if old := j.versions[wr.Key]; old != nil && !old.SameAll(v) {
			j.w.fail("E.1.3: version %s changes", wr.Key)
		}
		j.versions[wr.Key] = v
		return
	}
	gone := j.versions[wr.Key]
	named := func(id core.PathID, v core.Timestamp) bool { return id == gone.SpecID() && v == gone.SpecVersion() }
	for k, r := range j.w.durable.rows {
		used := false
		switch x := r.Value.(type) {
		case core.Timestamp:
			used = named(core.PathID(r.Key), x)
		case *core.Instance:
			used = named(x.Spec, x.Version)
		case *core.Deployment:
			for _, c := range x.Specs {
				used = used || named(c.ID, c.From) || named(c.ID, c.To)
			}
		}
		if used {
			j.w.fail("E.1.4: version %s is dropped although %s names it", wr.Key, k)
		}
	}
}

// refused looks at an answer that is an error.
func (j *judge) refused(err error) {
	var e *core.Error
	if !errors.As(err, &e) {
		j.w.fail("an answer is no error of ours: %v", err)
		return
	}
	switch e.Kind {
	case core.Locked, core.NotFound, core.Unavailable, core.Invalid:
	default:
		j.w.fail("a client got %v of kind %d", err, e.Kind)
	}
}

// launched: nothing is launched without a durable intent (R3, I2).
func (j *judge) launched(t *Task) {
	if why := j.intent(t.ID, t.agent.info.ID); why != "" {
		j.w.fail("%s", why)
	}
	for _, r := range t.used {
		if r.Disk != nil {
			j.used[t.Name.Instance] = true
		}
	}
}

func (j *judge) intent(id core.TaskID, agent string) string {
	name, err := core.ParseTaskID(id)
	if err != nil {
		return err.Error()
	}
	i := j.w.durable.instance(name.Instance)
	if i == nil || taskOf(i, id) == nil || i.Agent == nil || i.Agent.ID != agent {
		return "R3: task " + string(id) + " is launched without a durable intent"
	}
	return ""
}

func taskOf(i *core.Instance, id core.TaskID) *core.Task {
	if k := slices.IndexFunc(i.Tasks, func(t core.Task) bool { return t.ID == id }); k >= 0 {
		return &i.Tasks[k]
	}
	return nil
}

// look is taken whenever a task or a durable row has changed.
func (j *judge) look() {
	w := j.w
	type slot struct {
		instance  core.InstanceID
		container string
	}
	alive := make(map[slot]*Task)
	for _, a := range w.master.agents {
		for _, t := range a.tasks {
			if !t.Alive() || t.foreign {
				continue
			}
			if t.hidden || a.lost || a.cut {
				j.hidden[t.Name.Instance] = true
				continue
			}
			at := slot{t.Name.Instance, t.Name.Container}
			if other := alive[at]; other != nil && !j.hidden[t.Name.Instance] {
				w.fail("I3: tasks %s and %s of one instance are alive", other.ID, t.ID)
			}
			alive[at] = t
			i := w.durable.instance(t.Name.Instance)
			if !j.hidden[t.Name.Instance] && !j.rots(t.Name.Instance) && (i == nil || taskOf(i, t.ID) == nil || i.Agent.ID != a.info.ID) {
				w.fail("I2, R4: task %s lives and no row names it", t.ID)
			}
		}
	}
}

// rots: the row of the instance became unreadable.
func (j *judge) rots(id core.InstanceID) bool {
	return slices.Contains(j.rotten, string(state.TableInstance)+"/"+string(id))
}

// offerHeldMs bounds the time until an offer is answered, when nothing keeps the server from it: the matcher's own
// limit and a slow commit before and after.
const offerHeldMs = 6000

// held looks for offers that wait too long for their answer (I8).
func (j *judge) held() {
	w, s := j.w, j.w.master.now
	if s == nil || s.deaf || s.l.dead {
		return
	}
	for _, a := range w.master.agents {
		if o := a.offer; o != nil && w.clock.now > max(o.at, s.l.asleep, s.l.cut, s.l.upset)+offerHeldMs {
			w.fail("I8: an offer of %s is not answered for %d ms", a.info.ID, w.clock.now-o.at)
		}
	}
}

// call tells what is wrong with a call of the framework, as the store stands now.
func (j *judge) call(c offers.Call) string {
	switch c := c.(type) {
	case offers.Accept:
		for _, op := range c.Operations {
			for _, ti := range launches(op) {
				if why := j.intent(core.TaskID(ti.TaskID), c.AgentID); why != "" {
					return why
				}
			}
		}
	case offers.Kill:
		return j.killed(c)
	case offers.Acknowledge:
		return j.acknowledged(c)
	}
	return ""
}

// killed: no task is killed without a stored reason, but those that no row names (R6, R4).
func (j *judge) killed(c offers.Kill) string {
	name, err := core.ParseTaskID(c.TaskID)
	if err != nil {
		return err.Error()
	}
	i := j.w.durable.instance(name.Instance)
	if i == nil || taskOf(i, c.TaskID) == nil || i.KillReason != "" || i.Pod && i.Condition.Terminal() { // the rest of a broken pod
		return ""
	}
	return "R6: task " + string(c.TaskID) + " is killed without a stored reason"
}

// acknowledged: an update is acknowledged once for each time it came, and after what it means is stored (I9).
func (j *judge) acknowledged(c offers.Acknowledge) string {
	t := j.w.master.tasks[c.TaskID]
	if t == nil {
		return ""
	}
	at := slices.IndexFunc(t.sent, func(u update) bool { return u.uuid == string(c.UUID) })
	i := j.w.durable.instance(t.Name.Instance)
	if at < 0 || i == nil {
		return ""
	}
	k := taskOf(i, c.TaskID)
	if k == nil || k.Condition.Terminal() {
		return ""
	}
	if k.Status != nil {
		if k.Condition == core.Unreachable || k.Condition == core.UnreachableInactive {
			return ""
		}
		for n := at; n < len(t.sent); n++ {
			if t.sent[n].state == k.Status.State {
				return ""
			}
		}
	}
	return "I9: " + t.sent[at].state + " of " + string(c.TaskID) + " is acknowledged before it is stored"
}
