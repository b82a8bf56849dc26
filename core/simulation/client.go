package simulation

import (
	"fmt"
	"maps"
	"slices"

	"stadion/core"
	"stadion/core/machine"
	"stadion/core/state"
)

const maxApps = 6

// act is one random deed of a client.
func (w *World) act() {
	if w.srv == nil {
		return
	}
	id := core.PathID(fmt.Sprintf("/g%d/app%d", w.rnd.IntN(2), w.rnd.IntN(maxApps)))
	now, exists := w.srv.m.State().Spec(id)
	switch n := w.rnd.IntN(10); {
	case !exists || n < 2:
		w.put(id, w.rnd.IntN(5), fmt.Sprintf("run %d", w.rnd.IntN(1000)))
	case n < 5:
		w.put(id, w.rnd.IntN(8), *now.(*core.App).Cmd)
	case n < 7:
		w.change(core.Change{Restart: []core.PathID{id}, Force: true}, func() {})
	case n == 7:
		w.change(core.Change{Remove: []core.PathID{id}, Force: true}, func() { w.promised[id] = promise{deleted: true} })
	default:
		w.kill(id)
	}
}

func (w *World) put(id core.PathID, instances int, cmd string) {
	capacities := []core.UpgradeStrategy{{MaximumOverCapacity: 1, MinimumHealthCapacity: 1}, {MaximumOverCapacity: 0, MinimumHealthCapacity: 0.5}, {MaximumOverCapacity: 0.2, MinimumHealthCapacity: 1}}
	app := &core.App{ID: id, Cmd: &cmd, BackoffFactor: 1.15, BackoffSeconds: 1, MaxLaunchDelaySeconds: 60, CPUs: 0.5, Mem: 128, Instances: instances, Labels: map[string]string{},
		Networks: []core.Network{{Mode: core.NetworkHost}}, PortDefinitions: []core.PortDefinition{{Protocol: "tcp"}}, Role: "*", KillSelection: core.YoungestFirst,
		UpgradeStrategy: capacities[w.rnd.IntN(len(capacities))]}
	w.change(core.Change{Put: []core.RunSpec{app}, Force: true}, func() { w.promised[id] = promise{instances: instances, cmd: cmd} })
}

func (w *World) change(ch core.Change, kept func()) {
	w.submit(machine.UpdateTree{Base: w.srv.m.State().RootStamp(), Change: ch}, kept)
}

func (w *World) kill(id core.PathID) {
	var ids []core.InstanceID
	for i := range w.srv.m.State().InstancesOf(id) {
		if w.rnd.IntN(2) == 0 {
			ids = append(ids, i.ID)
		}
	}
	w.submit(machine.KillInstances{IDs: ids, Wipe: w.rnd.IntN(3) == 0}, func() {})
}

// submit sends a command; kept runs when its answer arrives. While its outcome is open nothing is promised.
func (w *World) submit(c machine.Command, kept func()) {
	w.request++
	id := w.request
	if u, ok := c.(machine.UpdateTree); ok { // the outcome is open until the answer comes (R2)
		for _, s := range u.Change.Put {
			delete(w.promised, s.SpecID())
		}
		for _, p := range u.Change.Remove {
			delete(w.promised, p)
		}
	}
	w.srv.waiting[id] = func(r machine.Reply) {
		if r.Err == nil {
			kept()
		}
	}
	w.note("request %d %T", id, c)
	w.input(machine.Request{ID: id, Command: c})
}

func (w *World) sortedRows() []state.Write {
	out := make([]state.Write, 0, len(w.rows))
	for _, k := range slices.Sorted(maps.Keys(w.rows)) {
		out = append(out, w.rows[k])
	}
	return out
}
