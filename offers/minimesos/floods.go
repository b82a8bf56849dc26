package minimesos

import (
	"math/rand/v2"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// floods are what a test asked to come too often, too late or from nowhere.
type floods struct {
	deaf      bool // filters and suppression do not hold
	late      int  // so many ACCEPTs come too late
	fresh     int  // of so many offers some are taken back as soon as they are made:
	freshStep int  // each of this number
}

// Deafen makes the master forget filters and suppression as soon as they are asked for, so that every round offers all
// that is free.
func (c *Cluster) Deafen(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.floods.deaf = on
	if c.m == nil || !on {
		return
	}
	for _, fw := range c.m.frameworks {
		clear(fw.filters)
		clear(fw.inverseHold)
	}
}

// RescindAccepted takes the offers of the next n ACCEPTs that launch something back, just before the call is carried out:
// RESCIND and the call cross on the wire.
func (c *Cluster) RescindAccepted(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.floods.late = n
}

// RescindFresh takes every step-th of the next n offers back as soon as it is made.
func (c *Cluster) RescindFresh(n, step int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.floods.fresh, c.floods.freshStep = n, max(step, 1)
}

// takeBack does what RescindFresh promised.
func (m *master) takeBack(made []mesos.Offer) {
	f := &m.c.floods
	for i := range made {
		if f.fresh == 0 {
			return
		}
		f.fresh--
		if o := m.offers[made[i].ID.Value]; o != nil && f.fresh%f.freshStep == 0 {
			m.rescind(o)
		}
	}
}

// overtake does what RescindAccepted promised.
func (m *master) overtake(ids []mesos.OfferID, ops []mesos.Offer_Operation) {
	launches := false
	for i := range ops {
		launches = launches || len(allTasks(&ops[i])) > 0
	}
	if m.c.floods.late == 0 || !launches {
		return
	}
	m.c.floods.late--
	for _, id := range ids {
		if o := m.offers[id.Value]; o != nil {
			m.rescind(o)
		}
	}
}

// ReplayUpdates sends every update of the account so far again, times times, all at once and in an order drawn from seed.
// It returns how many that were; frameworks that are away get none.
func (c *Cluster) ReplayUpdates(times int, seed uint64) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil || c.ledger == nil {
		return 0
	}
	var all []sent
	for range times {
		all = append(all, c.ledger.history...)
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	n := 0
	for _, s := range all {
		if fw := c.m.frameworks[s.framework]; fw != nil && fw.stream != nil {
			fw.sendStatus(s.status)
			n++
		}
	}
	return n
}

// InventUpdate sends every framework a status of a task that it may never have launched, as of the agent on hostname. It
// reports whether there is such an agent and such a state.
func (c *Cluster) InventUpdate(hostname, task, state string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.nodeByHost(hostname)
	code, ok := mesos.TaskState_value[state]
	if n == nil || n.master() == nil || !ok {
		return false
	}
	now := nowSeconds()
	for _, fw := range c.m.sortedFrameworks() {
		fw.sendStatus(&mesos.TaskStatus{TaskID: mesos.TaskID{Value: task}, State: mesos.TaskState(code).Enum(), UUID: c.uuid(), Timestamp: &now,
			Source: mesos.SOURCE_EXECUTOR.Enum(), AgentID: &mesos.AgentID{Value: n.id}})
	}
	return true
}

// Smuggle starts a task of every connected framework on the agent on hostname which the framework does not know of, as it
// is when its store was set back. It reports whether there was room for it.
func (c *Cluster) Smuggle(hostname, task string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.nodeByHost(hostname)
	if n == nil || n.master() == nil {
		return false
	}
	a, done := c.m.agents[n.id], false
	for _, fw := range c.m.sortedFrameworks() {
		if fw.stream == nil || fw.tasks[task] != nil {
			continue
		}
		role, cpus, value := fw.roles[0], float64(minCpusMilli)/1000, "exec sleep 1000000"
		res := []mesos.Resource{{Name: "cpus", Type: mesos.SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: cpus},
			AllocationInfo: &mesos.Resource_AllocationInfo{Role: &role}}}
		uses := c.ids.bagOf(res)
		if !a.free.contains(uses) {
			continue
		}
		info := &mesos.TaskInfo{Name: task, TaskID: mesos.TaskID{Value: task}, AgentID: mesos.AgentID{Value: n.id}, Resources: res,
			Command: &mesos.CommandInfo{Value: &value}}
		c.m.allocateTo(a, fw, role, uses)
		x := &acceptance{m: c.m, fw: fw, agent: a, role: role}
		x.add(info, nil, uses)
		n.launch(fw.info, info, uses, role)
		done = true
	}
	return done
}

// ReportHealth lets every running task of simulated agents report times health check results, the last of which is
// healthy, the one before is not, and so on. Agents keep them while nobody takes them. It returns how many that were.
func (c *Cluster) ReportHealth(healthy bool, times int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, node := range c.nodes {
		r, ok := node.runner.(*simRunner)
		if !ok {
			continue
		}
		for _, key := range node.tasksOf("") {
			t := r.tasks[key]
			if t == nil || t.killing || node.tasks[key].state != mesos.TASK_RUNNING {
				continue
			}
			for k := range times {
				r.report(t, healthy == ((times-1-k)%2 == 0))
				n++
			}
		}
	}
	return n
}
