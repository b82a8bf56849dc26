package state

import (
	"iter"
	"strings"

	"github.com/tidwall/btree"

	"stadion/core"
)

// View is the readable face of the state. A *Snapshot is one, and so is the writer's *State.
// Rows it returns are shared and must not be changed.
type View struct {
	specs       btree.Map[core.PathID, core.RunSpec]
	versions    btree.Map[string, core.RunSpec]
	groups      btree.Map[core.PathID, *core.Group]
	roots       btree.Map[core.Timestamp, *core.RootVersion]
	instances   btree.Map[core.InstanceID, *core.Instance]
	waiting     btree.Map[core.InstanceID, struct{}]
	deployments btree.Map[string, *core.Deployment]
	locks       btree.Map[core.PathID, string]
	failures    btree.Map[core.PathID, *core.TaskFailure]
	counts      btree.Map[core.PathID, Counts]
	health      btree.Map[core.InstanceID, *HealthBook]
	lastAlive   btree.Map[core.InstanceID, bool]
	delays      btree.Map[string, Delay]
	stats       btree.Map[core.PathID, *QueueStats]
	kin         btree.Map[string, *KinStats]
	readiness   btree.Map[core.TaskID, Readiness]
	stalls      btree.Map[string, Stall]  // by deployment
	refused     btree.Map[string, string] // roles the master refuses: why
	ports       btree.Map[int, int]       // service ports of the tree: how many specs use each
	portsFrom   int                       // from here on
	portsTo     int                       // up to here, excluded, every service port is used
	touched     btree.Map[core.PathID, uint64]
	frameworkID string
	rootStamp   core.Timestamp
	mesos       Mesos
	gauges      Gauges
	staged      int
	running     int
}

// Snapshot is an immutable copy of the state after one batch.
type Snapshot struct {
	View
	Seq  uint64 // number of the batch (SSE ids, ETag)
	Term int64  // of the leader that made it
	At   core.Timestamp
}

// State is the writer's side: a View plus the journal of the current batch.
type State struct {
	View
	dirty    map[rowKey]int // where in order a row stands
	order    []Write
	born     map[rowKey]bool          // rows that began in this batch; see noteNew
	void     int                      // places in order that are empty again
	moved    map[core.PathID]struct{} // specs that changed since the last snapshot
	uses     map[versionRef]int       // of versions; see use
	aged     btree.Set[core.PathID]   // see Aged
	revision uint64                   // of the last snapshot that showed a change
}

// New returns an empty state: a root group and nothing else.
func New() *State {
	s := &State{dirty: make(map[rowKey]int), born: make(map[rowKey]bool), moved: make(map[core.PathID]struct{}), uses: make(map[versionRef]int)}
	s.groups.Set(core.Root, &core.Group{ID: core.Root})
	return s
}

// Snapshot copies the present state, in constant time but for the revisions of the specs that changed since the last.
func (s *State) Snapshot(seq uint64, term int64, at core.Timestamp) *Snapshot {
	s.revise()
	n := &Snapshot{Seq: seq, Term: term, At: at}
	v := &n.View
	v.specs, v.versions, v.groups = *s.specs.Copy(), *s.versions.Copy(), *s.groups.Copy()
	v.roots, v.instances, v.waiting = *s.roots.Copy(), *s.instances.Copy(), *s.waiting.Copy()
	v.deployments, v.locks, v.failures = *s.deployments.Copy(), *s.locks.Copy(), *s.failures.Copy()
	v.counts, v.health, v.lastAlive = *s.counts.Copy(), *s.health.Copy(), *s.lastAlive.Copy()
	v.delays, v.stats, v.readiness = *s.delays.Copy(), *s.stats.Copy(), *s.readiness.Copy()
	v.kin = *s.kin.Copy()
	v.stalls, v.ports, v.refused = *s.stalls.Copy(), *s.ports.Copy(), *s.refused.Copy()
	v.touched, v.portsFrom, v.portsTo = *s.touched.Copy(), s.portsFrom, s.portsTo
	v.frameworkID, v.rootStamp, v.mesos, v.gauges = s.frameworkID, s.rootStamp, s.mesos, s.gauges
	v.staged, v.running = s.staged, s.running
	return n
}

// prefixed iterates over the entries of a map whose keys begin with prefix, in order.
func prefixed[K ~string, V any](m *btree.Map[K, V], prefix string) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		m.Ascend(K(prefix), func(k K, v V) bool {
			return strings.HasPrefix(string(k), prefix) && yield(k, v)
		})
	}
}

func values[K ~string, V any](m *btree.Map[K, V], prefix string) iter.Seq[V] {
	return func(yield func(V) bool) {
		for _, v := range prefixed(m, prefix) {
			if !yield(v) {
				return
			}
		}
	}
}

func below(group core.PathID) string {
	if group == core.Root {
		return "/"
	}
	return string(group) + "/"
}

// instancePrefix begins the ids of all instances of a spec.
func instancePrefix(spec core.PathID) string { return spec.SafePath() + ".instance-" }

// versionKey orders the versions of one spec by time.
func versionKey(id core.PathID, v core.Timestamp) string {
	const digits = 16
	b := make([]byte, len(id)+1+digits)
	n := copy(b, id)
	b[n] = '@'
	for k := len(b) - 1; k > n; k-- {
		b[k] = byte('0' + v%10)
		v /= 10
	}
	return string(b)
}

// RootStamp is the version of the last update of the tree.
func (v *View) RootStamp() core.Timestamp { return v.rootStamp }

// Spec returns the current definition of an app or pod.
func (v *View) Spec(id core.PathID) (core.RunSpec, bool) { return v.specs.Get(id) }

// SpecCount is the number of apps and pods.
func (v *View) SpecCount() int { return v.specs.Len() }

// SpecsBelow iterates over the specs below a group, in order of their ids.
func (v *View) SpecsBelow(group core.PathID) iter.Seq[core.RunSpec] {
	return values(&v.specs, below(group))
}

// SpecAt returns one stored version of a spec.
func (v *View) SpecAt(id core.PathID, version core.Timestamp) (core.RunSpec, bool) {
	return v.versions.Get(versionKey(id, version))
}

// SpecVersions lists the stored versions of a spec, oldest first.
func (v *View) SpecVersions(id core.PathID) []core.RunSpec {
	var out []core.RunSpec
	for r := range values(&v.versions, string(id)+"@") {
		out = append(out, r)
	}
	return out
}

// Group returns one group; the root always exists.
func (v *View) Group(id core.PathID) (core.Group, bool) {
	g, ok := v.groups.Get(id)
	if !ok {
		return core.Group{}, false
	}
	return *g, true
}

// GroupsBelow iterates over the groups strictly below a group, in order of their ids.
func (v *View) GroupsBelow(group core.PathID) iter.Seq[core.Group] {
	return func(yield func(core.Group) bool) {
		for id, g := range prefixed(&v.groups, below(group)) {
			if id != core.Root && !yield(*g) {
				return
			}
		}
	}
}

// GroupCount is the number of groups, the root included.
func (v *View) GroupCount() int { return v.groups.Len() }

// Roots lists the stored root versions, oldest first.
func (v *View) Roots() iter.Seq[*core.RootVersion] {
	return func(yield func(*core.RootVersion) bool) {
		v.roots.Scan(func(_ core.Timestamp, r *core.RootVersion) bool { return yield(r) })
	}
}

// Instance returns one instance.
func (v *View) Instance(id core.InstanceID) (*core.Instance, bool) { return v.instances.Get(id) }

// InstancesOf iterates over the instances of a spec, in order of their ids.
func (v *View) InstancesOf(spec core.PathID) iter.Seq[*core.Instance] {
	return values(&v.instances, instancePrefix(spec))
}

// Instances iterates over all instances, in order of their ids.
func (v *View) Instances() iter.Seq[*core.Instance] { return values(&v.instances, "") }

// InstancesFrom iterates over the instances from an id on, in order of their ids.
func (v *View) InstancesFrom(id core.InstanceID) iter.Seq[*core.Instance] {
	return func(yield func(*core.Instance) bool) {
		v.instances.Ascend(id, func(_ core.InstanceID, i *core.Instance) bool { return yield(i) })
	}
}

// InstanceTotal is the number of instances.
func (v *View) InstanceTotal() int { return v.instances.Len() }

// Totals are the numbers of staged and running instances of all specs.
func (v *View) Totals() (staged, running int) { return v.staged, v.running }

// WaitingCount is the number of scheduled instances of all specs.
func (v *View) WaitingCount() int { return v.waiting.Len() }

// WaitingOf iterates over the scheduled instances of a spec, in order of their ids.
func (v *View) WaitingOf(spec core.PathID) iter.Seq[*core.Instance] {
	return func(yield func(*core.Instance) bool) {
		for id := range prefixed(&v.waiting, instancePrefix(spec)) {
			if i, ok := v.instances.Get(id); ok && !yield(i) {
				return
			}
		}
	}
}

// Waits reports whether any instance of the spec is scheduled.
func (v *View) Waits(spec core.PathID) bool {
	c, _ := v.counts.Get(spec)
	return c.Waiting > 0
}

// WaitingTotal is the number of scheduled instances of all specs.
func (v *View) WaitingTotal() int { return v.waiting.Len() }

// Counts returns the counters of a spec.
func (v *View) Counts(spec core.PathID) Counts {
	c, _ := v.counts.Get(spec)
	return c
}

// Counted iterates over the specs that have instances, with their counters.
func (v *View) Counted() iter.Seq2[core.PathID, Counts] { return prefixed(&v.counts, "") }

// Deployment returns one running deployment.
func (v *View) Deployment(id string) (*core.Deployment, bool) { return v.deployments.Get(id) }

// Deployments iterates over all stored deployments, in order of their ids (D-26: stored means listed).
func (v *View) Deployments() iter.Seq[*core.Deployment] { return values(&v.deployments, "") }

// DeploymentCount is the number of stored deployments.
func (v *View) DeploymentCount() int { return v.deployments.Len() }

// DeploymentOf returns the deployment that holds a spec; at most one does (D-24).
func (v *View) DeploymentOf(spec core.PathID) (*core.Deployment, bool) {
	id, ok := v.locks.Get(spec)
	if !ok {
		return nil, false
	}
	return v.deployments.Get(id)
}

// Failure returns the last task failure of a spec.
func (v *View) Failure(spec core.PathID) (*core.TaskFailure, bool) { return v.failures.Get(spec) }

// Health returns the health of an instance; nil without health checks or results.
func (v *View) Health(id core.InstanceID) *HealthBook {
	b, _ := v.health.Get(id)
	return b
}

// LastAlive is the health flag kept over failovers (D-45).
func (v *View) LastAlive(id core.InstanceID) (alive, known bool) { return v.lastAlive.Get(id) }

// Delay returns the backoff of a configuration.
func (v *View) Delay(ref core.ConfigRef) (Delay, bool) { return v.delays.Get(delayKey(ref)) }

// Delayed reports whether there is any backoff row at all.
func (v *View) Delayed() bool { return v.delays.Len() > 0 }

// Delays iterates over all backoff rows.
func (v *View) Delays() iter.Seq2[string, Delay] { return prefixed(&v.delays, "") }

// Stats returns the offer statistics of a spec, nil without.
func (v *View) Stats(spec core.PathID) *QueueStats {
	s, _ := v.stats.Get(spec)
	if s != nil && s.Kin != "" {
		if k, ok := v.kin.Get(s.Kin); ok {
			return s.with(k)
		}
	}
	return s
}

// Readiness returns the last readiness result of a task.
func (v *View) Readiness(t core.TaskID) (Readiness, bool) { return v.readiness.Get(t) }

// ReadinessOf iterates over the readiness results of a spec's tasks.
func (v *View) ReadinessOf(spec core.PathID) iter.Seq[Readiness] {
	if v.readiness.Len() == 0 {
		return func(func(Readiness) bool) {}
	}
	return values(&v.readiness, instancePrefix(spec))
}

// Stall is what a deployment waits for.
func (v *View) Stall(deployment string) (Stall, bool) { return v.stalls.Get(deployment) }

// Stalled reports whether any deployment is shown as waiting for something.
func (v *View) Stalled() bool { return v.stalls.Len() > 0 }

// Refused tells why the master does not let us use a role (D-49); false for a role that it lets us use.
func (v *View) Refused(role string) (why string, refused bool) { return v.refused.Get(role) }

// ServicePortUsed reports whether any app of the tree has the service port (behaviour.md 1.6).
func (v *View) ServicePortUsed(port int) bool {
	n, _ := v.ports.Get(port)
	return n > 0
}

// FreeServicePort is the lowest service port, not below from, that no app of the tree has. From the port given to
// WatchServicePorts it takes no search.
func (v *View) FreeServicePort(from int) int {
	if v.portsFrom <= from && from < v.portsTo {
		from = v.portsTo
	}
	for v.ServicePortUsed(from) {
		from++
	}
	return from
}

// FrameworkID is the stored id, empty before the first registration.
func (v *View) FrameworkID() string { return v.frameworkID }

// Mesos is the state of the connection to the master.
func (v *View) Mesos() Mesos { return v.mesos }

// Gauges are sizes inside the machine.
func (v *View) Gauges() Gauges { return v.gauges }

func delayKey(ref core.ConfigRef) string { return versionKey(ref.Spec, ref.ConfigChange) }
