package offers

import (
	"stadion/core"
)

// Counts tallies where the placed instances of a spec are, per constraint. A caller that keeps it up to date with
// Add and Remove spares TryMatch to count anew for every offer. It belongs to one configuration:
// make a new one when the spec's config changes; a version that only scales may go on with it.
type Counts struct {
	compiled *Compiled
	tallies  []tally
	members  map[core.InstanceID]*core.AgentInfo
	agents   map[string]int // instances per agent id
	total    int
}

// tally counts the placed instances by the value of one field. Those whose agent lacks the field are one more group for
// the number of groups and quotas (behaviour.md 5.5.2a), but not for the smallest group: no offer can make that
// group grow, so waiting for it would be waiting for ever.
type tally struct {
	groups  map[string]int
	missing int
	sizes   []int // sizes[n] is how many groups have n members, n ≥ 1
	min     int   // size of the smallest group, 0 without groups
}

// NewCounts tallies placed for the constraints of c. Instances older than the last config change do not count
// (behaviour.md 5.5.2).
func NewCounts(c *Compiled, placed []Placed) *Counts {
	k := emptyCounts(c, len(placed))
	for i := range placed {
		k.Add(placed[i])
	}
	return k
}

func emptyCounts(c *Compiled, size int) *Counts {
	return &Counts{compiled: c, tallies: make([]tally, len(c.constraints)), members: make(map[core.InstanceID]*core.AgentInfo, size),
		agents: make(map[string]int)}
}

// Add counts one more placed instance; one that is known already, too old or without agent changes nothing.
func (k *Counts) Add(p Placed) {
	if _, known := k.members[p.Instance]; known || p.Agent == nil || p.Version < k.compiled.floor {
		return
	}
	k.members[p.Instance] = p.Agent
	k.agents[p.Agent.ID]++
	k.total++
	k.each(p.Agent, (*tally).grow)
}

// Remove takes an instance out again; unknown ones change nothing.
func (k *Counts) Remove(id core.InstanceID) {
	agent, known := k.members[id]
	if !known {
		return
	}
	delete(k.members, id)
	if k.agents[agent.ID]--; k.agents[agent.ID] == 0 {
		delete(k.agents, agent.ID)
	}
	k.total--
	k.each(agent, (*tally).shrink)
}

// serves reports whether the tally is for the constraints and the configuration of c.
func (k *Counts) serves(c *Compiled) bool {
	if k.compiled == c {
		return true
	}
	if k.compiled.floor != c.floor || len(k.tallies) != len(c.constraints) {
		return false
	}
	for i := range c.constraints {
		if a, b := &k.compiled.constraints[i], &c.constraints[i]; a.field != b.field || a.op != b.op {
			return false
		}
	}
	return true
}

// Len is how many instances count.
func (k *Counts) Len() int { return k.total }

// without is a copy that does not count one instance; k itself when it does not count it anyway.
func (k *Counts) without(id core.InstanceID) *Counts {
	if _, known := k.members[id]; !known {
		return k
	}
	c := emptyCounts(k.compiled, len(k.members))
	for m, agent := range k.members {
		if m != id {
			c.Add(Placed{Instance: m, Version: k.compiled.floor, Agent: agent})
		}
	}
	return c
}

func (k *Counts) each(agent *core.AgentInfo, change func(*tally, string, bool)) {
	for i := range k.compiled.constraints {
		if c := &k.compiled.constraints[i]; c.op.counts {
			v, ok := fieldValue(agent, c.field)
			change(&k.tallies[i], v, ok)
		}
	}
}

func (t *tally) grow(v string, has bool) {
	if !has {
		t.missing++
		return
	}
	if t.groups == nil {
		t.groups = make(map[string]int)
	}
	n := t.groups[v]
	t.groups[v] = n + 1
	for len(t.sizes) <= n+1 {
		t.sizes = append(t.sizes, 0)
	}
	t.sizes[n+1]++
	if n == 0 {
		t.min = 1
		return
	}
	t.sizes[n]--
	if n == t.min && t.sizes[n] == 0 {
		t.min++
	}
}

func (t *tally) shrink(v string, has bool) {
	if !has {
		t.missing--
		return
	}
	n := t.groups[v]
	t.sizes[n]--
	if n > 1 {
		t.groups[v] = n - 1
		t.sizes[n-1]++
		t.min = min(t.min, n-1)
		return
	}
	delete(t.groups, v)
	for t.min < len(t.sizes) && t.sizes[t.min] == 0 {
		t.min++
	}
	if t.min >= len(t.sizes) {
		t.min = 0
	}
}

// distinct is the number of groups.
func (t *tally) distinct() int {
	n := len(t.groups)
	if t.missing > 0 {
		n++
	}
	return n
}

// above sums by how much groups exceed quota.
func (t *tally) above(quota int) int {
	used := max(0, t.missing-quota)
	for n := quota + 1; n < len(t.sizes); n++ {
		used += t.sizes[n] * (n - quota)
	}
	return used
}

// first is the value that CLUSTER without a value follows. Normally all instances share one; should they not, the
// most frequent counts, the smallest of equals, so that the answer does not depend on any order.
func (t *tally) first() string {
	best, most := "", 0
	for v, n := range t.groups {
		if n > most || n == most && v < best {
			best, most = v, n
		}
	}
	return best
}
