package machine

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"stadion/core"
	"stadion/core/state"
	"stadion/deployments"
	"stadion/offers"
)

// rig drives one machine for table tests: events in, one merged batch out per event.
type rig struct {
	t      testing.TB
	m      *Machine
	cfg    Config
	now    core.Timestamp
	serial int
	agents map[string]*core.AgentInfo
}

const rigStart core.Timestamp = 1_700_000_000_000

// newRig is a machine in a term that is connected to a master.
func newRig(t testing.TB, settings ...func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, now: rigStart, agents: map[string]*core.AgentInfo{}, cfg: DefaultConfig()}
	r.cfg.Offers.Principal = "p"
	for _, f := range settings {
		f(&r.cfg)
	}
	r.m = New(r.cfg, state.New())
	r.do(Begin{Seed: 1})
	r.subscribe()
	return r
}

func (r *rig) subscribe() *Batch {
	return r.do(Mesos{offers.Subscribed{FrameworkID: "fw", MasterURL: "http://m:5050"}})
}

// do applies an event and settles until nothing is pending.
func (r *rig) do(ev Event) *Batch {
	b := &Batch{}
	r.m.Step(r.now, ev, b)
	r.m.Settle(r.now, b)
	for n := 0; r.m.Pending(); n++ {
		if n > 10000 {
			r.t.Fatal("the machine never comes to rest")
		}
		r.m.Settle(r.now, b)
	}
	r.unasked()
	return b
}

// unasked fails when a look at a spec would find something to do for its deployment: then an event that asks for a look
// did not (I11). It holds after every event of every test.
func (r *rig) unasked() {
	r.t.Helper()
	st := &r.m.st.View
	for spec := range st.SpecsBelow(core.Root) {
		id := spec.SpecID()
		d, locked := st.DeploymentOf(id)
		if !locked || st.Counts(id).Instances >= bigSpec || d.Settings != nil && d.Settings.Paused {
			continue // what is not deployed has the scale check
		}
		for _, a := range d.CurrentActions() {
			if a.Spec != id || r.m.done[d.ID][id] {
				continue
			}
			if dec := deployments.Next(a, r.m.view(a, d)); dec.Done || dec.Start > 0 || len(dec.Stop) > 0 {
				r.t.Errorf("nobody looks at %s, whose deployment needs %+v", id, dec)
			}
		}
	}
}

// wait lets time pass, firing each timer at its time; what follows is merged.
func (r *rig) wait(d time.Duration) *Batch {
	all := &Batch{}
	for end := r.now.Add(d); ; {
		due, ok := r.m.NextTimer()
		if !ok || due > end {
			r.now = end
			return all
		}
		r.now = max(r.now, due)
		all.add(r.do(Tick{}))
	}
}

func (b *Batch) add(o *Batch) {
	b.Writes = append(b.Writes, o.Writes...)
	b.Calls = append(b.Calls, o.Calls...)
	b.Replies = append(b.Replies, o.Replies...)
	b.Notices = append(b.Notices, o.Notices...)
	b.Probes = append(b.Probes, o.Probes...)
	b.Logs = append(b.Logs, o.Logs...)
	b.Marks = append(b.Marks, o.Marks...)
}

// crash replaces the machine by that of a new leader, connected again.
func (r *rig) crash() *Batch {
	r.reload()
	return r.subscribe()
}

// reload replaces the machine by that of a new leader which has not heard the master yet.
func (r *rig) reload() *Batch {
	st := state.New()
	for _, w := range r.m.st.Durable() {
		if err := st.Load(w); err != nil {
			r.t.Fatal(err)
		}
	}
	st.Finish()
	r.m = New(r.cfg, st)
	return r.do(Begin{Seed: 2})
}

func (r *rig) request(c Command) (any, *Batch, error) {
	r.serial++
	id := uint64(r.serial)
	b := r.do(Request{ID: id, Command: c})
	for _, x := range b.Replies {
		if x.ID == id {
			return x.Result, b, x.Err
		}
	}
	return nil, b, nil
}

// change submits a change of the tree that must be accepted.
func (r *rig) change(ch core.Change) (UpdateResult, *Batch) {
	r.t.Helper()
	res, b, err := r.request(UpdateTree{Base: r.m.st.RootStamp(), Change: ch})
	if err != nil {
		r.t.Fatal(err)
	}
	return res.(UpdateResult), b
}

func (r *rig) put(text string) (UpdateResult, *Batch) {
	r.t.Helper()
	return r.change(core.Change{Put: []core.RunSpec{testApp(r.t, text)}})
}

func (r *rig) force(text string) (UpdateResult, *Batch) {
	r.t.Helper()
	return r.change(core.Change{Put: []core.RunSpec{testApp(r.t, text)}, Force: true})
}

// agent is an agent of that name.
func (r *rig) agent(name string) *core.AgentInfo {
	if r.agents[name] == nil {
		r.agents[name] = &core.AgentInfo{ID: "S-" + name, Host: name}
	}
	return r.agents[name]
}

func plenty() []offers.Resource {
	return []offers.Resource{{Name: "cpus", Value: 64}, {Name: "mem", Value: 65536}, {Name: "disk", Value: 100000},
		{Name: "ports", Type: offers.Ranges, Ranges: []offers.Range{{Begin: 31000, End: 31999}}}}
}

// offerOf is an offer of an agent for role *, with plenty of everything unless resources are given.
func (r *rig) offerOf(agent string, res ...offers.Resource) offers.Offer {
	r.serial++
	if len(res) == 0 {
		res = plenty()
	}
	return offers.Offer{ID: fmt.Sprintf("o%d", r.serial), FrameworkID: "fw", Agent: r.agent(agent), Role: "*", Resources: res}
}

func (r *rig) offer(agent string, res ...offers.Resource) *Batch {
	return r.do(Mesos{offers.Received{Offers: []offers.Offer{r.offerOf(agent, res...)}}})
}

// status reports the state of the latest task of an instance.
func (r *rig) status(id core.InstanceID, taskState string, more ...func(*offers.StatusUpdate)) *Batch {
	r.t.Helper()
	i := r.get(id)
	u := offers.StatusUpdate{TaskID: i.Tasks[0].ID, AgentID: i.Agent.ID, State: taskState, UUID: []byte{1}, Timestamp: r.now}
	for _, f := range more {
		f(&u)
	}
	return r.do(Mesos{u})
}

func reason(s string) func(*offers.StatusUpdate) {
	return func(u *offers.StatusUpdate) { u.Reason = s }
}
func message(s string) func(*offers.StatusUpdate) {
	return func(u *offers.StatusUpdate) { u.Message = s }
}
func health(h core.Health) func(*offers.StatusUpdate) {
	return func(u *offers.StatusUpdate) { u.Healthy = h }
}
func ofTask(id core.TaskID) func(*offers.StatusUpdate) {
	return func(u *offers.StatusUpdate) { u.TaskID = id }
}

func (r *rig) get(id core.InstanceID) *core.Instance {
	r.t.Helper()
	i, ok := r.m.st.Instance(id)
	if !ok {
		r.t.Fatalf("instance %s is gone", id)
	}
	return i
}

func (r *rig) gone(id core.InstanceID) bool {
	_, ok := r.m.st.Instance(id)
	return !ok
}

func (r *rig) ids(spec core.PathID) (out []core.InstanceID) {
	for i := range r.m.st.InstancesOf(spec) {
		out = append(out, i.ID)
	}
	return out
}

// running deploys an app and brings all its instances up on agent a.
func (r *rig) running(text string) []core.InstanceID {
	r.t.Helper()
	r.put(text)
	return r.up(testApp(r.t, text).ID, "a")
}

// up launches what waits of a spec on an agent and lets it run.
func (r *rig) up(spec core.PathID, agent string) []core.InstanceID {
	r.t.Helper()
	r.offer(agent)
	for _, id := range r.ids(spec) {
		if r.get(id).Condition == core.Provisioned {
			for _, t := range r.get(id).Tasks {
				r.status(id, "TASK_RUNNING", ofTask(t.ID))
			}
		}
	}
	return r.ids(spec)
}

func kills(b *Batch) (out []core.TaskID) {
	for _, c := range b.Calls {
		if k, ok := c.(offers.Kill); ok {
			out = append(out, k.TaskID)
		}
	}
	return out
}

func acks(b *Batch) (n int) {
	for _, c := range b.Calls {
		if _, ok := c.(offers.Acknowledge); ok {
			n++
		}
	}
	return n
}

// launches lists the tasks launched in a batch.
func launches(b *Batch) (out []core.TaskID) {
	for _, c := range b.Calls {
		a, ok := c.(offers.Accept)
		if !ok {
			continue
		}
		for _, op := range a.Operations {
			if op.Launch != nil {
				out = append(out, core.TaskID(op.Launch.TaskID))
			}
			if op.LaunchGroup != nil {
				for _, t := range op.LaunchGroup.Tasks {
					out = append(out, core.TaskID(t.TaskID))
				}
			}
		}
	}
	return out
}

// told lists the types of a batch's notices in their order.
func told(b *Batch) (out []string) {
	for _, n := range b.Notices {
		out = append(out, n.Type)
	}
	return out
}

func tells(b *Batch, kind string) bool { return slices.Contains(told(b), kind) }

// calls lists the calls of one type.
func calls[C offers.Call](b *Batch) (out []C) {
	for _, c := range b.Calls {
		if x, ok := c.(C); ok {
			out = append(out, x)
		}
	}
	return out
}

// testPod makes a pod from JSON with Marathon's defaults.
func testPod(t testing.TB, text string) *core.Pod {
	p := &core.Pod{Role: "*", Scaling: core.PodScaling{Kind: "fixed", Instances: 1}, ExecutorResources: core.ExecutorResources{CPUs: 0.1, Mem: 32, Disk: 10},
		Networks: []core.Network{{Mode: core.NetworkHost}}, Scheduling: core.PodScheduling{Backoff: core.PodBackoff{Backoff: 1, BackoffFactor: 1.15, MaxLaunchDelay: 300},
			Upgrade: core.PodUpgrade{MinimumHealthCapacity: 1, MaximumOverCapacity: 1}, KillSelection: core.YoungestFirst}}
	if err := json.Unmarshal([]byte(text), p); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return p
}
