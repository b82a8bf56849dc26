package machine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"stadion/core"
	"stadion/core/state"
	"stadion/offers"
)

// Explanation tells why a spec does not run as wanted (GET /v2/apps/{id}/explain). It is made from what readers see.
type Explanation struct {
	Spec      core.PathID `json:"id"`
	Instances int         `json:"instances"` // wanted
	Running   int         `json:"running"`
	Waiting   int         `json:"waiting"`
	Connected bool        `json:"connected"` // to the Mesos master
	// WaitingFor is the first thing in the way: connection, deployment, role, delay, offers, agent (that holds the
	// reservation) or resources; start (of a task) or health when no instance waits for an offer; empty when nothing waits.
	WaitingFor  string             `json:"waitingFor,omitempty"`
	Text        string             `json:"text"` // all of it in a sentence
	Blocked     *Blocker           `json:"blockedBy,omitempty"`
	Role        string             `json:"role"`
	RoleRefused string             `json:"roleRefused,omitempty"` // why the master refuses the role (D-49)
	DelayLeftMs int64              `json:"delayLeftMillis,omitempty"`
	WaitsFor    string             `json:"reservedOn,omitempty"` // host of the agent that holds the reservation (D-48)
	Agents      int                `json:"agents"`               // agents whose last offer is remembered
	Fitting     []string           `json:"fittingHosts,omitempty"`
	Funnel      []offers.FunnelRow `json:"funnel"`
	Nearest     *Miss              `json:"nearestMiss,omitempty"`
	Stall       *state.Stall       `json:"-"`
	starting    int                // instances that are launched and do not run yet
	reserving   bool               // a reservation was asked for and is not used yet
	unhealthy   int                // running instances whose health checks have not all passed
	LastFailure *core.TaskFailure  `json:"lastTaskFailure,omitempty"`
}

// Blocker is the deployment that holds a spec and where it stands.
type Blocker struct {
	Deployment string        `json:"deployment"`
	Step       int           `json:"step"`
	Steps      int           `json:"steps"`
	Specs      []core.PathID `json:"waitsFor"` // of the running step
}

// Miss is the agent that a waiting instance fits best of those that it does not fit.
type Miss struct {
	Host    string   `json:"host"`
	Reasons []string `json:"reasons"`
	// Change is the one change of the definition or of the cluster with which it would fit, checked by matching again;
	// empty when no single one is enough.
	Change  string  `json:"change,omitempty"`
	Lacks   float64 `json:"lacks,omitempty"`  // of the resource the change names: shares, MiB or pieces
	Agents  int     `json:"agents,omitempty"` // agents on which the same kind of change makes it fit
	Places  int     `json:"places,omitempty"` // waiting instances that this change lets run on those agents
	size    float64 // how large the change is, for the choice of the nearest
	kind    string  // what the change is about: the change itself, or the resource that is lacking
	changed core.RunSpec
	cfg     *offers.Config
}

// Explain looks at a spec as it stands in a view. cfg are the matcher's settings; framework id and home region are
// taken from the view. It matches the first waiting instance against the last offer of each agent, and where it does
// not fit, once more with one requirement relaxed.
func Explain(v *state.View, cfg offers.Config, spec core.RunSpec, now core.Timestamp) *Explanation {
	cfg.FrameworkID, cfg.HomeRegion = v.FrameworkID(), v.Mesos().HomeRegion
	id := spec.SpecID()
	c := v.Counts(id)
	e := &Explanation{Spec: id, Instances: spec.InstanceCount(), Running: c.Running, Waiting: c.Waiting, Connected: v.Mesos().Connected, Role: spec.SpecRole()}
	e.Funnel = (&offers.Funnel{}).Rows(0)
	e.LastFailure, _ = v.Failure(id)
	e.starting = c.Staged
	if a, ok := spec.(*core.App); ok && len(a.HealthChecks) > 0 {
		e.unhealthy = max(c.Running-c.Healthy, 0)
	}
	e.blocked(v)
	var first *core.Instance
	for i := range v.WaitingOf(id) {
		first = i
		break
	}
	if first != nil {
		e.waits(v, &cfg, spec, first, now)
	}
	e.conclude()
	return e
}

// blocked notes the deployment that holds the spec.
func (e *Explanation) blocked(v *state.View) {
	d, ok := v.DeploymentOf(e.Spec)
	if !ok {
		return
	}
	b := &Blocker{Deployment: d.ID, Step: d.Current, Steps: len(d.Steps)}
	for _, a := range d.CurrentActions() {
		b.Specs = append(b.Specs, a.Spec)
	}
	e.Blocked = b
	if s, ok := v.Stall(d.ID); ok {
		e.Stall = &s
	}
}

// waits looks at what the first waiting instance needs.
func (e *Explanation) waits(v *state.View, cfg *offers.Config, spec core.RunSpec, i *core.Instance, now core.Timestamp) {
	if own, ok := v.SpecAt(i.Spec, i.Version); ok {
		spec = own
	}
	e.Role = i.Role
	e.RoleRefused, _ = v.Refused(i.Role)
	if d, ok := v.Delay(core.RefOf(spec)); ok && now < d.Deadline() {
		e.DelayLeftMs = int64(d.Deadline() - now)
	}
	if i.Reservation != nil && i.Agent != nil {
		e.WaitsFor, e.reserving = i.Agent.Host, i.Reservation.New
	}
	stats := v.Stats(i.Spec)
	if stats == nil {
		return
	}
	x := explainer{cfg: cfg, now: now, inst: i, spec: spec, waiting: e.Waiting}
	for p := range v.InstancesOf(i.Spec) {
		if counts(p) && p.ID != i.ID {
			x.placed = append(x.placed, offers.Placed{Instance: p.ID, Version: p.Version, Agent: p.Agent})
		}
	}
	x.look(stats, e)
}

// conclude names the first thing in the way.
func (e *Explanation) conclude() {
	switch b := e.Blocked; {
	case e.Waiting == 0 && b != nil && !slices.Contains(b.Specs, e.Spec):
		e.WaitingFor, e.Text = "deployment", fmt.Sprintf("deployment %s has to finish step %d of %d first: %v", b.Deployment, b.Step, b.Steps, b.Specs)
	case e.Waiting == 0 && e.starting > 0:
		e.WaitingFor, e.Text = "start", fmt.Sprintf("%d of %d instances are launched and do not run yet", e.starting, e.Instances)
	case e.Waiting == 0 && e.unhealthy > 0:
		e.WaitingFor, e.Text = "health", fmt.Sprintf("%d of %d running instances have not passed their health checks", e.unhealthy, e.Running)
	case e.Waiting == 0:
		e.Text = "nothing waits for an offer"
	case !e.Connected:
		e.WaitingFor, e.Text = "connection", "there is no connection to the Mesos master"
	case e.RoleRefused != "":
		e.WaitingFor, e.Text = "role", fmt.Sprintf("the master refuses role %s: %s", e.Role, e.RoleRefused)
	case e.DelayLeftMs > 0:
		e.WaitingFor, e.Text = "delay", fmt.Sprintf("the launch is delayed for another %v after failures", ms(e.DelayLeftMs))
		if f := e.LastFailure; f != nil && f.Message != "" {
			e.Text += ", the last one: " + f.Message
		}
	case e.Agents == 0 && e.WaitsFor != "":
		e.WaitingFor, e.Text = "agent", fmt.Sprintf("the agent %s holds the reservation and offers nothing", e.WaitsFor)
	case e.reserving && len(e.Fitting) == 0: // a refused operation is silent (recording 19)
		e.WaitingFor, e.Text = "reservation", fmt.Sprintf("a reservation was asked for on %s and is not offered; if that stays so, "+
			"the master refuses RESERVE or CREATE for role %s, and only its log says why", e.WaitsFor, e.Role)
	case e.Agents == 0:
		e.WaitingFor, e.Text = "offers", fmt.Sprintf("no offers have come for role %s", e.Role)
	case len(e.Fitting) > 0:
		e.WaitingFor, e.Text = "offers", fmt.Sprintf("it would fit on %s now and waits for its next offer", e.Fitting[0])
	default:
		e.WaitingFor, e.Text = "resources", fmt.Sprintf("none of %d agents fits", e.Agents)
		if m := e.Nearest; m != nil && m.Change != "" {
			e.Text += fmt.Sprintf("; nearest is %s: %s", m.Host, m.Change)
		} else if m != nil {
			e.Text += fmt.Sprintf("; nearest is %s: %v", m.Host, m.Reasons)
		}
	}
}

// explainer matches one waiting instance against remembered offers.
type explainer struct {
	cfg     *offers.Config
	now     core.Timestamp
	inst    *core.Instance
	spec    core.RunSpec
	placed  []offers.Placed
	waiting int
}

func (x *explainer) try(cfg *offers.Config, spec core.RunSpec, o *offers.Offer, left []offers.Resource, placed []offers.Placed) offers.Match {
	need := &offers.Need{Spec: spec, Instance: x.inst, Placed: placed}
	return offers.TryMatch(cfg, x.now, rand.New(rand.NewPCG(1, 1)), o, left, need)
}

// look fills the funnel and finds the nearest miss.
func (x *explainer) look(stats *state.QueueStats, e *Explanation) {
	var funnel offers.Funnel
	list := offersOf(stats)
	e.Agents = len(list)
	kinds := map[string]int{}
	for _, o := range list {
		m := x.try(x.cfg, x.spec, o, o.Resources, x.placed)
		if len(m.Operations) > 0 {
			e.Fitting = append(e.Fitting, o.Agent.Host)
			continue
		}
		funnel.Add(m.Reasons)
		miss := x.relax(o, m.Reasons)
		if miss.Change != "" {
			kinds[miss.kind]++
		}
		if e.Nearest == nil || miss.nearer(e.Nearest) {
			e.Nearest = miss
		}
	}
	e.Funnel = funnel.Rows(len(list))
	if n := e.Nearest; n != nil && n.Change != "" {
		n.Agents = kinds[n.kind]
		n.Places = x.places(n, list)
	}
}

// offersOf are the remembered offers in order of the agents' ids.
func offersOf(stats *state.QueueStats) (out []*offers.Offer) {
	for _, last := range stats.Last() {
		if o, ok := last.Offer.(*offers.Offer); ok {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b *offers.Offer) int { return strings.Compare(a.Agent.ID, b.Agent.ID) })
	return out
}

// nearer: fewer reasons first, then a change that suffices, then the smaller one.
func (m *Miss) nearer(than *Miss) bool {
	if (m.Change != "") != (than.Change != "") {
		return m.Change != ""
	}
	if m.Change != "" {
		return m.size < than.size
	}
	return len(m.Reasons) < len(than.Reasons)
}

// places counts the waiting instances that could be launched with the change on the agents whose offers are known.
func (x *explainer) places(m *Miss, list []*offers.Offer) (n int) {
	placed := slices.Clone(x.placed)
	for _, o := range list {
		for left := o.Resources; n < x.waiting; n++ {
			res := x.try(m.cfg, m.changed, o, left, placed)
			if len(res.Operations) == 0 {
				break
			}
			left = offers.Subtract(left, res.Consumed)
			placed = append(placed, offers.Placed{Instance: core.InstanceID(fmt.Sprintf("placed-%d", n)), Version: x.inst.Version, Agent: o.Agent})
		}
	}
	return n
}
