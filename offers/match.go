package offers

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"stadion/core"
)

// Config holds the flags that matching and task building depend on (behaviour.md Appendix A).
type Config struct {
	FrameworkID          string
	Principal            string // needed for reservations
	DefaultExecutor      string // flag executor, "//cmd"
	EnvPrefix            string // flag env_vars_prefix
	BridgeName           string // flag mesos_bridge_name
	AcceptedRolesDefault string // any, reserved, unreserved
	GPUBehavior          string // restricted, unrestricted
	MaintenanceMode      bool
	DrainingSeconds      int
	HomeRegion           string
	MaxInstancesPerOffer int
	ReservationTimeoutMs int64
	Placement            string // flag placement_strategy, one of Strategies; empty: PlaceFirst
}

// Reason is why an offer did not fit, in the order of the funnel of /v2/queue (behaviour.md 4.5).
type Reason uint8

// The reasons, in funnel order.
const (
	UnfulfilledRole Reason = iota
	UnfulfilledConstraint
	NoCorrespondingReservationFound
	AgentMaintenance
	InsufficientCpus
	InsufficientMemory
	InsufficientDisk
	InsufficientGpus
	InsufficientPorts
	DeclinedScarceResources
	ReasonCount
)

// Placed is an instance that counts for constraints: where it stands and which version it runs (behaviour.md 5.2).
type Placed struct {
	Instance core.InstanceID
	Version  core.Timestamp
	Agent    *core.AgentInfo
}

// Need is what one waiting instance of a spec asks of an offer.
type Need struct {
	Spec             core.RunSpec   // in the version to launch
	Instance         *core.Instance // the waiting instance
	EnforceRole      bool           // of the top group, for the environment (behaviour.md 6.4)
	Placed           []Placed       // known instances for constraints, before the version filter
	InstancesOfFirst int            // instance count of the spec of Placed[0] (behaviour.md 5.5.2a); 0: use Spec's

	Compiled *Compiled // of Spec; TryMatch fills it in where it is missing, so keep the Need
	Counts   *Counts   // of Placed, kept up to date by the caller; nil: counted anew from Placed for every offer
}

// Match is the outcome of one need against one offer.
type Match struct {
	Operations  []Operation      // nil when it did not fit
	Reasons     []Reason         // all reasons, in funnel order, when it did not fit; shared, not to be changed
	Consumed    []Resource       // what was taken from the offer, as it was offered
	HostPorts   map[string][]int // per container (core.AppContainer for apps), in order of the requested ports
	TaskIDs     []core.TaskID    // of the tasks launched
	Incarnation int
	Reservation *core.Reservation // set when the operations reserve instead of launch
	Problem     string            // a defect to tell the operator of: a contained panic (D-16), a missing principal
}

// TryMatch decides whether the need fits the offer whose free resources are given, and builds the operations.
// It reads now for maintenance windows and rnd for the choice of ports. left is not changed; use Subtract. A panic
// while matching is contained: it becomes UnfulfilledConstraint and a Problem (D-16).
func TryMatch(cfg *Config, now core.Timestamp, rnd *rand.Rand, offer *Offer, left []Resource, need *Need) (m Match) {
	defer func() {
		if p := recover(); p != nil {
			m = Match{Reasons: reasonSet(1 << UnfulfilledConstraint).list(), Problem: fmt.Sprintf("panic while matching: %v", p)}
		}
	}()
	if need.Compiled == nil || need.Compiled.spec != need.Spec {
		need.Compiled = Compile(need.Spec)
	}
	t := attempt{cfg: cfg, now: now, rnd: rnd, offer: offer, left: left, need: need, c: need.Compiled, inst: need.Instance}
	t.want = t.c.total
	if t.c.app != nil && t.customExecutor(t.c.app) != "" {
		t.want = t.want.plus(t.c.executor)
	}
	t.role = t.inst.Role
	if t.role == "" {
		t.role = need.Spec.SpecRole()
	}
	switch {
	case offer.Role != "" && offer.Role != t.role:
		return Match{Reasons: reasonSet(1 << UnfulfilledRole).list()}
	case t.inst.Reservation != nil:
		return t.launchReserved()
	case len(t.c.volumes) > 0:
		return t.reserve()
	}
	return t.launchFresh()
}

// attempt is one call of TryMatch.
type attempt struct {
	cfg   *Config
	now   core.Timestamp
	rnd   *rand.Rand
	offer *Offer
	left  []Resource
	need  *Need
	c     *Compiled
	inst  *core.Instance
	role  string
	want  scalars // what all tasks and the executor need together
}

// launchFresh launches an instance without reservation (behaviour.md 5.3).
func (t *attempt) launchFresh() Match {
	f := acceptedRoles(t.cfg, t.c, t.role)
	no := t.check(&f, true)
	if no != 0 {
		return Match{Reasons: no.list()}
	}
	return t.launch(&f, nil)
}

// check collects every reason against the offer; ports are only looked at when nothing else is wrong (behaviour.md 5.3).
func (t *attempt) check(f *filter, scarcity bool) (no reasonSet) {
	free, usable, gpus := t.sum(f)
	want := &t.want
	if want.cpus > free.cpus {
		no.add(InsufficientCpus)
	}
	if want.mem > free.mem {
		no.add(InsufficientMemory)
	}
	if want.disk > free.disk {
		no.add(InsufficientDisk)
	}
	if want.gpus > free.gpus {
		no.add(InsufficientGpus)
	}
	if !usable {
		no.add(UnfulfilledRole)
	}
	if !t.regionFits() || len(t.c.constraints) > 0 && t.c.unmet(t.offer.Agent, t.counts(), t.wanted()) {
		no.add(UnfulfilledConstraint)
	}
	if t.inMaintenance() {
		no.add(UnfulfilledConstraint)
		no.add(AgentMaintenance)
	}
	if scarcity && want.gpus == 0 && gpus && t.restrictsGPUs() {
		no.add(DeclinedScarceResources)
	}
	if no == 0 && !t.portsFit(f) {
		no.add(InsufficientPorts)
	}
	return no
}

// sum adds up what the filter lets through. usable reports whether that was anything, gpus whether the offer has
// any GPU at all.
func (t *attempt) sum(f *filter) (free scalars, usable, gpus bool) {
	for i := range t.left {
		r := &t.left[i]
		gpus = gpus || r.Name == "gpus" && r.Value > 0
		if !f.accepts(r) {
			continue
		}
		usable = true
		if r.Type != Scalar {
			continue
		}
		switch r.Name {
		case "cpus":
			free.cpus = addSat(free.cpus, milli(r.Value))
		case "mem":
			free.mem = addSat(free.mem, milli(r.Value))
		case "gpus":
			free.gpus = addSat(free.gpus, milli(r.Value))
		case "disk":
			if diskKind(r) == diskRoot {
				free.disk = addSat(free.disk, milli(r.Value))
			}
		}
	}
	return free, usable, gpus
}

// regionFits is the rule of the home region (behaviour.md 5.5.3).
func (t *attempt) regionFits() bool {
	r := t.offer.Agent.Region
	return t.c.domains || r == "" || r == t.cfg.HomeRegion
}

// counts are the placed instances without the one to launch (behaviour.md 5.6), nil where no constraint asks for them.
func (t *attempt) counts() *Counts {
	if !t.c.counting {
		return nil
	}
	if t.need.Counts == nil {
		k := NewCounts(t.c, t.need.Placed)
		k.Remove(t.inst.ID)
		return k
	}
	if !t.need.Counts.serves(t.c) {
		panic("the tally of placed instances is of another configuration")
	}
	return t.need.Counts.without(t.inst.ID)
}

func (t *attempt) wanted() int {
	if t.need.InstancesOfFirst > 0 {
		return t.need.InstancesOfFirst
	}
	return t.c.spec.InstanceCount()
}

// inMaintenance is the rule of behaviour.md 5.5.5.
func (t *attempt) inMaintenance() bool {
	u := t.offer.Unavailability
	if u == nil || !t.cfg.MaintenanceMode {
		return false
	}
	return t.now > u.Start-core.Timestamp(t.cfg.DrainingSeconds)*1000 && !(u.Duration > 0 && t.now > u.Start+core.Timestamp(u.Duration))
}

// restrictsGPUs is the rule of behaviour.md 5.5.6.
func (t *attempt) restrictsGPUs() bool {
	if t.c.gpuBehavior != "" {
		return t.c.gpuBehavior == "restricted"
	}
	return t.cfg.GPUBehavior != "unrestricted"
}

// portsFit decides whether pickPorts will succeed, without using memory.
func (t *attempt) portsFit(f *filter) bool {
	if t.c.impossible {
		return false
	}
	if len(t.c.ports) == 0 {
		return true
	}
	free, random := uint64(0), uint64(0)
	for i := range t.left {
		r := &t.left[i]
		if r.Name == "ports" && r.Type == Ranges && f.accepts(r) {
			for _, g := range r.Ranges {
				if g.End >= g.Begin {
					free += g.End - g.Begin + 1
				}
			}
		}
	}
	for i, w := range t.c.ports {
		switch {
		case w == anyPort:
			random++
		case w > 0:
			if !t.offersPort(f, uint64(w)) {
				return false
			}
			if !slices.Contains(t.c.ports[:i], w) {
				free--
			}
		}
	}
	return random <= free
}

func (t *attempt) offersPort(f *filter, port uint64) bool {
	for i := range t.left {
		r := &t.left[i]
		if r.Name == "ports" && r.Type == Ranges && f.accepts(r) {
			for _, g := range r.Ranges {
				if g.Begin <= port && port <= g.End {
					return true
				}
			}
		}
	}
	return false
}

// launch builds the LAUNCH of a need that fits. volumes are the offered resources of the instance's volumes.
func (t *attempt) launch(f *filter, volumes []Resource) Match {
	ports, ok := pickPorts(t.left, f, t.c.ports, t.rnd)
	if !ok {
		return Match{Reasons: reasonSet(1 << InsufficientPorts).list()}
	}
	got := t.take(f)
	m := Match{Incarnation: t.inst.Incarnation + 1}
	portRes := portResources(t.left, ports)
	m.Consumed = slices.Concat(got.all(), portRes, volumes)
	if t.c.app != nil {
		t.launchApp(&m, got, portRes, volumes, hostPorts(ports))
	} else {
		t.launchPod(&m, got, portRes, volumes, hostPorts(ports))
	}
	return m
}
