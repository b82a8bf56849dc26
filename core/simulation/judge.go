package simulation

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"stadion/core"
)

// check looks at what must hold at every moment.
func (w *World) check() {
	alive := make(map[core.InstanceID]core.TaskID)
	for _, id := range slices.Sorted(maps.Keys(w.master.tasks)) {
		t := w.master.tasks[id]
		if !t.Alive() {
			continue
		}
		name, err := core.ParseTaskID(id)
		if err != nil {
			w.fail("%v", err)
			return
		}
		if other, double := alive[name.Instance]; double && !w.master.agent(t.Agent).lost && !w.master.agent(w.master.tasks[other].Agent).lost && !w.everLost() {
			w.fail("I3: tasks %s and %s of one instance are alive", other, id)
		}
		alive[name.Instance] = id
		if row, ok := w.rows["instances/"+string(name.Instance)]; ok { // I2: a live task has its intent
			if !w.intends(row.Value.(*core.Instance), id) && !w.everLost() {
				w.fail("I2: task %s lives without its intent", id)
			}
		}
	}
}

// intends: the stored instance names the task or an earlier task of the same instance that is being replaced.
func (w *World) intends(i *core.Instance, id core.TaskID) bool {
	for _, t := range i.Tasks {
		if t.ID == id {
			return true
		}
	}
	return false
}

func (w *World) everLost() bool { return w.opt.Losses }

// judge compares the world at rest with what the clients were promised.
func (w *World) judge() {
	if w.Failure != "" {
		return
	}
	if w.srv == nil {
		w.fail("the server did not come back")
		return
	}
	st := w.srv.m.State()
	for d := range st.Deployments() {
		stall, _ := st.Stall(d.ID)
		w.fail("R9, I11: deployment %s does not end: %+v, step %d of %v", d.ID, stall, d.Current, d.Steps)
	}
	living := make(map[core.PathID]int)
	for _, id := range slices.Sorted(maps.Keys(w.master.tasks)) {
		t := w.master.tasks[id]
		if !t.Alive() {
			continue
		}
		living[t.App]++
		name, _ := core.ParseTaskID(id)
		i, ok := st.Instance(name.Instance)
		if !ok || !w.intends(i, id) {
			w.fail("R4: task %s is an orphan", id)
		}
		if spec, ok := st.Spec(t.App); !ok || t.Version < spec.Stamps().LastConfigChangeAt.String() {
			w.fail("task %s runs an old configuration %s", id, t.Version)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(w.promised)) {
		w.judgePromise(id, w.promised[id])
	}
	for s := range st.SpecsBelow(core.Root) {
		if living[s.SpecID()] != s.InstanceCount() {
			w.fail("R5: %d tasks of %s live, wanted %d (%+v)", living[s.SpecID()], s.SpecID(), s.InstanceCount(), st.Counts(s.SpecID()))
		}
	}
	w.judgeRows()
}

// judgePromise: an acknowledged change is there (R1, I1).
func (w *World) judgePromise(id core.PathID, p promise) {
	s, ok := w.srv.m.State().Spec(id)
	switch {
	case p.deleted && ok:
		w.fail("R1: %s was deleted and is back", id)
	case p.deleted:
	case !ok:
		w.fail("R1: %s was created and is gone", id)
	case s.InstanceCount() != p.instances || *s.(*core.App).Cmd != p.cmd:
		w.fail("R1: %s has %d instances of %q, promised %d of %q", id, s.InstanceCount(), *s.(*core.App).Cmd, p.instances, p.cmd)
	}
}

// judgeRows: what is stored is what is in memory, but for what is declared rebuildable (I13).
func (w *World) judgeRows() {
	var stored, held []string
	for k := range w.rows {
		stored = append(stored, k)
	}
	for _, wr := range w.srv.m.State().Durable() {
		if string(wr.Key) == string(core.Root) {
			continue // the root group exists without a row
		}
		held = append(held, string(wr.Table)+"/"+wr.Key)
	}
	slices.Sort(stored)
	slices.Sort(held)
	if !slices.Equal(stored, held) {
		w.fail("I13: stored and held rows differ: %s", difference(stored, held))
	}
}

func difference(a, b []string) string {
	var out []string
	for _, k := range a {
		if !slices.Contains(b, k) {
			out = append(out, "-"+k)
		}
	}
	for _, k := range b {
		if !slices.Contains(a, k) {
			out = append(out, "+"+k)
		}
	}
	return fmt.Sprint(strings.Join(out, " "))
}
