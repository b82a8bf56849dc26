package machine

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/tidwall/btree"

	"stadion/core"
	"stadion/core/state"
	"stadion/offers"
)

// Machine is the one writer of the state. It is not safe for concurrent use.
type Machine struct {
	cfg Config
	st  *state.State
	rnd *rand.Rand

	now core.Timestamp // of the event in work
	b   *Batch         // being filled

	timers  timers
	touched btree.Set[core.PathID] // specs to look at in Settle
	looked  map[core.PathID]core.Timestamp

	done       map[string]map[core.PathID]bool // actions of the running step that are done, by deployment
	stalls     map[stallKey]*progress
	wipes      []wipe // answers that wait until instances are gone
	kills      killQueue
	queue      launchQueue
	market     market // roles, suppression, revival
	recon      reconciliation
	brake      brake
	avoided    map[avoidKey]*avoidance
	began      core.Timestamp                             // of the term
	starts     btree.Map[core.InstanceID, core.Timestamp] // launched and not yet running: since
	strange    map[core.TaskID]bool                       // task ids that made no sense and were logged
	probes     map[probeKey]bool
	releases   btree.Map[string, *freeing] // decommissioned and dead, but still holding a reservation, by freeingKey
	writes     int                         // changes of the tree since the last retention run
	retainedAt core.Timestamp              // when the last one began
	updated    []core.StatusUpdated        // see next
	changed    []core.InstanceChanged      // see next
	overdue    int                         // launches that took too long when last looked at
	created    int                         // instances that this Settle has scheduled
	full       bool
}

// New makes a machine on a loaded state. The first event must be Begin.
func New(cfg Config, st *state.State) *Machine {
	m := &Machine{cfg: cfg, st: st, timers: newTimers(), looked: make(map[core.PathID]core.Timestamp),
		done: make(map[string]map[core.PathID]bool), stalls: make(map[stallKey]*progress),
		strange: make(map[core.TaskID]bool), probes: make(map[probeKey]bool), avoided: make(map[avoidKey]*avoidance)}
	m.kills.init()
	m.brake.init()
	st.WatchServicePorts(max(1, cfg.Plan.PortMin))
	return m
}

// State is the table set the machine writes; only the loop may take snapshots of it, between events.
func (m *Machine) State() *state.State { return m.st }

// NextTimer is the time of the earliest timer.
func (m *Machine) NextTimer() (core.Timestamp, bool) { return m.timers.next() }

// Pending reports that Settle stopped because the batch was full and wants to go on in the next one.
func (m *Machine) Pending() bool { return m.full }

// Step applies one event. What follows from the new state is derived later, by Settle.
func (m *Machine) Step(now core.Timestamp, ev Event, b *Batch) {
	m.now, m.b = now, b
	switch e := ev.(type) {
	case Begin:
		m.begin(e)
	case Tick:
	case Request:
		m.request(e)
	case Mesos:
		m.mesos(e.Event)
	case HealthReport:
		m.healthReport(e)
	case ReadinessReport:
		m.readinessReport(e)
	default:
		panic(fmt.Sprintf("event of type %T", ev))
	}
}

// Settle fires due timers, looks at everything that was touched and derives what is missing now. It ends by taking
// the journal into the batch.
func (m *Machine) Settle(now core.Timestamp, b *Batch) {
	m.now, m.b, m.full, m.created = now, b, false, 0
	m.fireTimers()
	m.settleSpecs()
	m.settleKills()
	m.settleOffers()
	m.settleMarket()
	m.settleReconciliation()
	m.settleWipes()
	m.gauge()
	b.Writes = append(b.Writes, m.st.Flush()...)
}

// gauge publishes the sizes that operators chart (behaviour.md 10.2).
func (m *Machine) gauge() {
	m.st.SetGauges(state.Gauges{Kills: m.kills.inFlight.Len() + m.kills.lingering.Len(), KillAttempts: m.kills.attempts, Overdue: m.overdue,
		Ready: m.queue.ready.Len(), HeldOffers: len(m.queue.held), Tokens: m.queue.tokens})
}

// mark notes how long something took, or that it happened.
func (m *Machine) mark(kind MarkKind, since core.Timestamp) {
	took := int64(0)
	if since != 0 {
		took = max(m.now.Sub(since).Milliseconds(), 0)
	}
	m.b.Marks = append(m.b.Marks, Mark{Kind: kind, Ms: took})
}

// room reports whether the batch can take more rows; if not, Settle goes on in the next batch.
func (m *Machine) room() bool {
	if m.st.Pending() >= m.cfg.MaxRows {
		m.full = true
		return false
	}
	return true
}

// begin prepares a term: everything volatile is derived from the loaded rows.
func (m *Machine) begin(e Begin) {
	m.rnd = rand.New(rand.NewPCG(e.Seed, e.Seed^0x9e3779b97f4a7c15))
	m.began = m.now
	for _, i := range slices.Collect(m.st.Instances()) {
		i = m.ofThisClock(i)
		m.index(nil, i)
		m.resume(i)
	}
	for s := range m.st.SpecsBelow(core.Root) {
		m.market.know(s.SpecRole())
		m.touch(s.SpecID())
	}
	for d := range m.st.Deployments() {
		m.touchActions(d)
		m.armDeadline(d)
	}
	m.market.know(m.cfg.MesosRole)
	m.timers.set(timerScale, "", m.now.Add(ms(m.cfg.ScaleInitialMs)))
	m.timers.set(timerOverdue, "", m.now.Add(ms(overdueFirstMs)))
	m.timers.set(timerSweep, "", m.now.Add(ms(sweepMs)))
	if m.cfg.LaunchTokens > 0 {
		m.queue.tokens = m.cfg.LaunchTokens
		m.timers.set(timerTokens, "", m.now.Add(ms(m.cfg.LaunchTokenRefreshMs)))
	}
}

// ofThisClock brings stamps that another server's clock made and that lie in the future of ours to the present, so that
// nothing waits for the difference (F4).
func (m *Machine) ofThisClock(i *core.Instance) *core.Instance {
	latest := m.now + core.Timestamp(m.cfg.Offers.ReservationTimeoutMs)
	ahead := i.ActiveSince > m.now || i.Reservation != nil && i.Reservation.Deadline > latest
	for _, t := range i.Tasks {
		ahead = ahead || t.StagedAt > m.now || t.StartedAt > m.now || t.Status != nil && t.Status.UnreachableSince > m.now
	}
	if !ahead {
		return i
	}
	c := i.Clone()
	c.ActiveSince = min(c.ActiveSince, m.now)
	if c.Reservation != nil {
		r := *c.Reservation
		r.Deadline = min(r.Deadline, latest)
		c.Reservation = &r
	}
	for k := range c.Tasks {
		t := &c.Tasks[k]
		t.StagedAt, t.StartedAt = min(t.StagedAt, m.now), min(t.StartedAt, m.now)
		if t.Status != nil {
			s := *t.Status
			s.UnreachableSince = min(s.UnreachableSince, m.now)
			t.Status = &s
		}
	}
	m.st.PutInstance(c)
	return c
}

// resume takes up what a loaded instance needs: a kill again, its timers, its probes.
func (m *Machine) resume(i *core.Instance) {
	if i.Condition.Terminal() && i.Launched() { // the rest of a broken pod
		m.kills.want(i)
	}
	if i.KillReason != "" && i.Condition.Active() && i.Condition != core.Unreachable {
		m.kills.want(i) // the last term was asked for it and did not see its end
	}
	if i.Reservation != nil && i.Reservation.New && !i.Launched() {
		m.timers.set(timerReservation, string(i.ID), i.Reservation.Deadline)
	}
	if _, ok := m.st.Spec(i.Spec); !ok {
		m.touch(i.Spec)
	}
	m.armUnreachable(i)
	if i.Condition == core.Running {
		m.recallHealth(i)
		m.startHealthProbes(i)
	}
}

// request dispatches a command.
func (m *Machine) request(r Request) {
	switch c := r.Command.(type) {
	case UpdateTree:
		m.updateTree(r.ID, c)
	case KillInstances:
		m.killInstances(r.ID, c)
	case CancelDeployment:
		m.cancelDeployment(r.ID, c)
	case ResetDelay:
		m.resetDelay(r.ID, c)
	case SteerDeployment:
		m.steer(r.ID, c)
	default:
		panic(fmt.Sprintf("command of type %T", r.Command))
	}
}

// mesos dispatches what the master told us.
func (m *Machine) mesos(ev offers.Event) {
	switch e := ev.(type) {
	case offers.Subscribed:
		m.subscribed(e)
	case offers.Disconnected:
		m.disconnected(e)
	case offers.Received:
		m.receive(e.Offers)
	case offers.Rescinded:
		m.queue.drop(e.OfferID)
	case offers.StatusUpdate:
		m.statusUpdate(e)
	case offers.InverseOffers:
		m.call(offers.DeclineInverse(e))
	case offers.Message:
		m.notify("framework_message_event", "", core.FrameworkMessage{ExecutorID: e.ExecutorID, SlaveID: e.AgentID, Message: signed(e.Data)})
	case offers.RoleRefused:
		m.refuseRoles(e.Roles, e.Message)
		m.log(true, "", "the master refuses roles %v: %s", e.Roles, e.Message)
	case offers.Failure, offers.FatalError:
		// Task updates tell what an ended agent or executor means; a fatal error ends the process at the edge.
	}
}

// touch marks a spec so that Settle looks at it.
func (m *Machine) touch(spec core.PathID) { m.touched.Insert(spec) }

func (m *Machine) call(c offers.Call) { m.b.Calls = append(m.b.Calls, c) }

func (m *Machine) reply(id uint64, result any, err error) {
	m.b.Replies = append(m.b.Replies, Reply{ID: id, Result: result, Err: err})
}

func (m *Machine) notify(kind string, spec core.PathID, body any) {
	m.b.Notices = append(m.b.Notices, core.Notice{Type: kind, At: m.now, Body: body, Spec: spec})
}

func (m *Machine) log(warn bool, spec core.PathID, format string, args ...any) {
	m.b.Logs = append(m.b.Logs, Log{Warn: warn, Spec: spec, Text: fmt.Sprintf(format, args...)})
}

func signed(data []byte) []int8 {
	out := make([]int8, len(data))
	for i, c := range data {
		out[i] = int8(c)
	}
	return out
}

// uuid makes a random UUID (version 4) from the machine's generator.
func (m *Machine) uuid() string {
	a, b := m.rnd.Uint64(), m.rnd.Uint64()
	a = a&^uint64(0xf000) | 0x4000
	b = b&^(uint64(3)<<62) | 1<<63
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", a>>32, a>>16&0xffff, a&0xffff, b>>48, b&0xffffffffffff)
}
