package minimesos

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	operator "github.com/mesos/mesos-go/api/v1/lib/master"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

// master is one life of the master process: everything a restart forgets.
// All of it is guarded by the cluster's lock.
type master struct {
	c       *Cluster
	id      string
	info    *mesos.MasterInfo
	started time.Time

	frameworks map[string]*framework
	completed  []*framework
	removed    map[string]bool // ids in completed
	agents     map[string]*agent
	agentOrder []*agent
	offers     map[string]*offer
	inverse    map[string]*inverseOffer
	nextFw     int
	nextOffer  int
	round      *timer
	soon       *timer // an allocation that an event asked for
	rounds     uint64
	recovering *timer // until agents of the registry have come back
	reading    bool   // the registry, see recover
	absent     map[string]bool
	watchers   map[*watcher]bool
	tally      tally
}

// tally counts what /metrics/snapshot shows.
type tally struct {
	tasks    map[mesos.TaskState]int64
	calls    map[scheduler.Call_Type]int64
	messages int64
}

// agent is what the master knows of one admitted agent.
type agent struct {
	id          string
	node        *node
	connected   bool // its process talks to this master
	deactivated bool
	drain       *drain
	total       bag
	free        bag // neither offered nor used
	offers      map[string]*offer
	tasks       map[taskKey]*task
	executors   map[taskKey]*executor // framework and executor id
	registered  time.Time
	reregister  time.Time
	answers     map[string]inverseAnswer // to inverse offers, by framework id
}

// executor is a default or custom executor; its resources are used while it has tasks.
type executor struct {
	info  *mesos.ExecutorInfo
	uses  bag
	role  string
	tasks int
}

// task is what the master knows of one task.
type task struct {
	id       string
	fw       *framework
	agent    *agent
	info     *mesos.TaskInfo
	executor string // "" for a command task
	uses     bag
	role     string
	state    mesos.TaskState
	last     *mesos.TaskStatus
	statuses []*mesos.TaskStatus
	since    time.Time // unreachable since
}

// framework is one scheduler, connected or not.
type framework struct {
	c          *Cluster
	id         string
	info       *mesos.FrameworkInfo
	roles      []string
	suppressed map[string]bool
	able       abilities
	stream     *stream // nil while disconnected
	recovered  bool    // known from agents only
	registered time.Time
	reregister time.Time
	gone       time.Time
	away       *timer // until it is removed

	offers      map[string]*offer
	inverse     map[string]*inverseOffer
	tasks       map[string]*task
	unreachable map[string]*task
	ended       []*task
	filters     map[filterKey][]filter
	inverseHold map[string]time.Time // agent id to the end of an inverse filter
	operations  map[string]*operation
	used        map[string]bag // resources offered or used, by role
	constraints constraints
}

// abilities are the capabilities that change what a framework is sent.
type abilities struct {
	multiRole, refinement, partition, killing, region, gpu, revocable, shared bool
}

func capable(info *mesos.FrameworkInfo, t mesos.FrameworkInfo_Capability_Type) bool {
	for i := range info.Capabilities {
		if info.Capabilities[i].Type == t {
			return true
		}
	}
	return false
}

func abilitiesOf(info *mesos.FrameworkInfo) abilities {
	return abilities{
		multiRole:  capable(info, mesos.FrameworkInfo_Capability_MULTI_ROLE),
		refinement: capable(info, mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT),
		partition:  capable(info, mesos.FrameworkInfo_Capability_PARTITION_AWARE),
		killing:    capable(info, mesos.FrameworkInfo_Capability_TASK_KILLING_STATE),
		region:     capable(info, mesos.FrameworkInfo_Capability_REGION_AWARE),
		gpu:        capable(info, mesos.FrameworkInfo_Capability_GPU_RESOURCES),
		revocable:  capable(info, mesos.FrameworkInfo_Capability_REVOCABLE_RESOURCES),
		shared:     capable(info, mesos.FrameworkInfo_Capability_SHARED_RESOURCES),
	}
}

func newMaster(c *Cluster) *master {
	m := &master{
		c: c, id: c.uuidText(), started: time.Now(),
		frameworks: map[string]*framework{}, removed: map[string]bool{}, agents: map[string]*agent{},
		offers: map[string]*offer{}, inverse: map[string]*inverseOffer{}, absent: map[string]bool{},
		watchers: map[*watcher]bool{},
		tally:    tally{tasks: map[mesos.TaskState]int64{}, calls: map[scheduler.Call_Type]int64{}},
	}
	m.info = masterInfo(m.id, c.lead.addr, c.cfg.Domain)
	for id := range c.reg.admitted {
		m.absent[id] = true
	}
	return m
}

func masterInfo(id, addr string, domain *mesos.DomainInfo) *mesos.MasterInfo {
	host, portText, _ := net.SplitHostPort(addr)
	port64, _ := strconv.ParseUint(portText, 10, 16)
	port := uint32(port64)
	ip := net.ParseIP(host).To4()
	if ip == nil || ip.IsUnspecified() {
		ip = net.IPv4(127, 0, 0, 1).To4()
		host = ip.String()
	}
	pid, version, text := fmt.Sprintf("master@%s:%d", ip, port), mesosVersion, ip.String()
	return &mesos.MasterInfo{
		ID: id, IP: uint32(ip[0]) | uint32(ip[1])<<8 | uint32(ip[2])<<16 | uint32(ip[3])<<24,
		Port: &port, PID: &pid, Hostname: &host, Version: &version, Domain: domain,
		Address: &mesos.Address{Hostname: &host, IP: &text, Port: int32(port)},
		Capabilities: []mesos.MasterInfo_Capability{
			{Type: mesos.MasterInfo_Capability_AGENT_UPDATE}, {Type: mesos.MasterInfo_Capability_AGENT_DRAINING},
			{Type: capabilityQuotaV2},
		},
	}
}

// start begins the rounds of allocation and, after a restart, the wait for agents.
func (m *master) start() {
	m.scheduleRound()
	if len(m.absent) > 0 {
		m.recovering = m.c.timers.after(m.c.cfg.AgentReregisterTimeout, m.giveUpAbsent)
	}
}

func (m *master) scheduleRound() {
	m.round = m.c.timers.after(m.c.cfg.AllocationInterval, func() {
		m.scheduleRound()
		m.rounds++
		m.allocate(nil)
		m.offerInverse()
	})
}

// allocateSoon makes offers behind the events that are being handled; many agents
// that come at once cost one allocation.
func (m *master) allocateSoon() {
	if m.soon == nil {
		m.soon = m.c.timers.after(0, func() {
			m.soon = nil
			if m.c.m == m {
				m.allocate(nil)
			}
		})
	}
}

// stop ends this life of the master: all streams are cut.
func (m *master) stop() {
	m.c.timers.stop(m.round)
	m.c.timers.stop(m.recovering)
	for _, o := range m.offers {
		m.c.timers.stop(o.end)
		m.c.ledger.takenBack(o.id)
	}
	for _, o := range m.inverse {
		m.c.ledger.inverseTakenBack(o.id)
	}
	for _, fw := range m.frameworks {
		m.c.timers.stop(fw.away)
		if fw.stream != nil {
			fw.stream.abort()
		}
	}
	for w := range m.watchers {
		w.stream.abort()
	}
}

// subscribe handles SUBSCRIBE on the fresh stream s. It returns nil when s was
// refused; then s ends with an ERROR event.
func (m *master) subscribe(s *stream, call *scheduler.Call, wide *wideCall, principal string) *framework {
	m.tally.calls[call.Type]++
	info := call.Subscribe.FrameworkInfo
	suppressed := call.Subscribe.SuppressedRoles
	text := validateFramework(info, suppressed, wide)
	info = cloneFramework(info)
	if principal != "" && info.Principal == nil {
		info.Principal = &principal
	}
	var fw *framework
	if info.ID != nil && text == "" {
		fw = m.frameworks[info.ID.Value]
		if m.removed[info.ID.Value] {
			text = "Framework has been removed"
		} else if fw != nil && fw.info.GetPrincipal() != info.GetPrincipal() {
			text = "Changing framework's principal is not allowed."
		}
	}
	if text != "" {
		s.fail(text)
		return nil
	}
	back := fw != nil
	if fw == nil {
		fw = m.addFramework(info)
	} else {
		m.resubscribe(fw, info)
	}
	fw.suppressed = setOf(suppressed)
	fw.constraints = wide.constraints()
	fw.stream = s
	interval := m.c.cfg.HeartbeatInterval.Seconds()
	fw.send(&scheduler.Event{Type: scheduler.Event_SUBSCRIBED, Subscribed: &scheduler.Event_Subscribed{
		FrameworkID: &mesos.FrameworkID{Value: fw.id}, HeartbeatIntervalSeconds: &interval, MasterInfo: m.info,
	}})
	fw.send(&scheduler.Event{Type: scheduler.Event_HEARTBEAT})
	if back {
		m.watchFramework(fw, operator.Event_FRAMEWORK_UPDATED)
		for _, a := range m.agentOrder {
			if a.connected {
				a.node.resendAll(fw.id)
			}
		}
	} else {
		m.watchFramework(fw, operator.Event_FRAMEWORK_ADDED)
	}
	m.allocate(fw)
	return fw
}

func (m *master) addFramework(info *mesos.FrameworkInfo) *framework {
	if info.ID == nil {
		info.ID = &mesos.FrameworkID{Value: fmt.Sprintf("%s-%04d", m.id, m.nextFw)}
		m.nextFw++
	}
	fw := &framework{
		c: m.c, id: info.ID.Value, registered: time.Now(), offers: map[string]*offer{}, inverse: map[string]*inverseOffer{},
		tasks: map[string]*task{}, unreachable: map[string]*task{}, filters: map[filterKey][]filter{},
		inverseHold: map[string]time.Time{}, operations: map[string]*operation{}, used: map[string]bag{},
	}
	fw.setInfo(info)
	m.frameworks[fw.id] = fw
	return fw
}

func (fw *framework) setInfo(info *mesos.FrameworkInfo) {
	fw.info, fw.able = info, abilitiesOf(info)
	fw.roles = rolesOf(info)
}

func rolesOf(info *mesos.FrameworkInfo) []string {
	if capable(info, mesos.FrameworkInfo_Capability_MULTI_ROLE) {
		return slices.Clone(info.Roles)
	}
	if info.Role != nil {
		return []string{*info.Role}
	}
	return []string{"*"}
}

// resubscribe takes a known framework over into a new stream. User and checkpoint
// stay what they were (recording 02).
func (m *master) resubscribe(fw *framework, info *mesos.FrameworkInfo) {
	if fw.stream != nil {
		fw.stream.fail("Framework failed over")
		fw.stream = nil
	}
	m.c.timers.stop(fw.away)
	fw.away = nil
	m.voidOffers(fw)
	m.voidInverse(fw)
	clear(fw.filters)
	clear(fw.inverseHold)
	info.User, info.Checkpoint = fw.info.User, fw.info.Checkpoint
	fw.reregister = time.Now()
	fw.recovered = false
	fw.setInfo(info)
	m.tellAgents(fw)
}

// tellAgents gives agents with tasks of fw its new FrameworkInfo.
func (m *master) tellAgents(fw *framework) {
	for _, a := range m.agentOrder {
		if f := a.node.frameworks[fw.id]; f != nil && a.connected {
			f.info = fw.info
		}
	}
}

// disconnected is called when the stream s of fw has ended, whoever ended it.
func (m *master) disconnected(fw *framework, s *stream) {
	if m.c.m != m || fw.stream != s {
		return
	}
	fw.stream = nil
	fw.gone = time.Now()
	m.voidOffers(fw)
	m.voidInverse(fw)
	clear(fw.filters)
	m.c.log("minimesos: framework %s disconnected", fw.id)
	m.startFailover(fw)
}

// startFailover removes fw when its failover_timeout has run out; with 0 at once.
func (m *master) startFailover(fw *framework) {
	d := time.Duration(0)
	if sec := fw.info.GetFailoverTimeout(); sec > 0 {
		d = seconds(sec)
	}
	if d == 0 {
		m.removeFramework(fw)
		return
	}
	fw.away = m.c.timers.after(d, func() {
		if fw.stream == nil {
			m.removeFramework(fw)
		}
	})
}

// seconds converts, with a cut at a year so that nothing overflows.
func seconds(s float64) time.Duration {
	if s > maxFilter.Seconds() {
		return maxFilter
	}
	return time.Duration(s * float64(time.Second))
}

// removeFramework ends a framework: tasks are killed and count as killed, nobody is told.
func (m *master) removeFramework(fw *framework) {
	m.c.timers.stop(fw.away)
	m.voidOffers(fw)
	m.voidInverse(fw)
	if fw.stream != nil {
		fw.stream.end()
		fw.stream = nil
	}
	for _, t := range sortedTasks(fw.tasks) {
		if !terminal(t.state) {
			t.state = mesos.TASK_KILLED
		}
		m.endTask(t)
	}
	for _, t := range sortedTasks(fw.unreachable) {
		fw.addEnded(t)
	}
	clear(fw.unreachable)
	for _, a := range m.agentOrder {
		if a.connected {
			a.node.shutdownFramework(fw.id)
		}
	}
	for _, op := range fw.operations {
		m.dropOperation(op)
	}
	delete(m.frameworks, fw.id)
	fw.gone = time.Now()
	m.completed = append(m.completed, fw)
	m.removed[fw.id] = true
	if len(m.completed) > maxCompletedFrameworks {
		delete(m.removed, m.completed[0].id)
		m.completed = m.completed[1:]
	}
	m.watchFramework(fw, operator.Event_FRAMEWORK_REMOVED)
}

// send queues an event for the framework, if it is connected.
func (fw *framework) send(ev *scheduler.Event) {
	if fw.stream != nil {
		fw.stream.push(ev)
	}
}

// sendStatus queues an UPDATE.
func (fw *framework) sendStatus(st *mesos.TaskStatus) {
	if fw.stream != nil {
		fw.c.ledger.sentStatus(fw.id, st)
		fw.stream.push(&scheduler.Event{Type: scheduler.Event_UPDATE, Update: &scheduler.Event_Update{Status: *st}})
	}
}

func (fw *framework) addEnded(t *task) {
	if len(fw.ended) >= maxCompletedTasks {
		fw.ended = slices.Delete(fw.ended, 0, 1+maxCompletedTasks/8)
	}
	fw.ended = append(fw.ended, t)
}

func (fw *framework) hasRole(role string) bool { return slices.Contains(fw.roles, role) }

func setOf(list []string) map[string]bool {
	set := make(map[string]bool, len(list))
	for _, s := range list {
		set[s] = true
	}
	return set
}

func sortedTasks(tasks map[string]*task) []*task {
	out := make([]*task, 0, len(tasks))
	for _, t := range tasks {
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b *task) int { return compareText(a.id, b.id) })
	return out
}

// cloneFramework copies what the master may change.
func cloneFramework(info *mesos.FrameworkInfo) *mesos.FrameworkInfo {
	c := *info
	c.Roles = slices.Clone(info.Roles)
	return &c
}
