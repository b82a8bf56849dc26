package minimesos

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// runner carries out the orders for the tasks of one agent: processRunner with
// real processes, simRunner with rows. All methods but close are called under the
// cluster's lock and return at once.
type runner interface {
	launch(fw *mesos.FrameworkInfo, task *mesos.TaskInfo)
	launchGroup(fw *mesos.FrameworkInfo, ex *mesos.ExecutorInfo, tasks []mesos.TaskInfo)
	kill(fid, task string, override *mesos.KillPolicy)
	createVolume(role, persistence string)
	destroyVolume(role, persistence string)
	shutdownFramework(fid string)
	sandbox(fid, task string) string
	close(killTasks bool) error
}

type taskKey struct{ framework, task string }

// node is one agent with what it keeps on its own disk: resources with their
// reservations and volumes, frameworks, tasks, and the update streams. It
// outlives masters.
type node struct {
	c       *Cluster
	cfg     AgentConfig
	name    string // the hostname; with a number when an earlier agent has it, too
	port    int32
	dir     string
	runner  runner
	server  *http.Server // of agents with real processes, as is updates
	updates *updateLog

	id         string // given by the first master, "" before; a new one after the agent was given up
	down       bool   // the agent process is gone or cut off
	stopped    bool   // it is gone, by StopAgent
	successor  bool   // a new agent in place of one that an operator has given up
	total      bag
	tasks      map[taskKey]*nodeTask
	frameworks map[string]*nodeFramework
	operations map[string]*nodeOperation // by operation uuid
	lingering  map[taskKey]bool          // executors of ended tasks that are still going away
	ending     map[taskKey]bool          // default executors likewise, by the executor's id
	networks   []mesos.NetworkInfo
	ping       *timer // until the master gives the agent up
}

// nodeTask is one task on its agent. updates are the statuses the framework has
// not acknowledged; only the first is under way.
type nodeTask struct {
	info     *mesos.TaskInfo
	executor *mesos.ExecutorInfo // of a group or a custom executor, else nil
	uses     bag
	role     string
	state    mesos.TaskState
	last     *mesos.TaskStatus
	pid      int
	draining bool

	updates []*mesos.TaskStatus
	retry   time.Duration
	resend  *timer
}

// nodeFramework is a framework that has tasks on an agent.
type nodeFramework struct {
	info  *mesos.FrameworkInfo
	tasks int
}

func newNode(c *Cluster, cfg AgentConfig, index int) *node {
	n := &node{
		c: c, cfg: cfg, name: cfg.Hostname, port: int32(agentPortBase + index),
		tasks: map[taskKey]*nodeTask{}, frameworks: map[string]*nodeFramework{},
		operations: map[string]*nodeOperation{}, lingering: map[taskKey]bool{}, ending: map[taskKey]bool{},
	}
	if c.nodeByHost(n.name) != nil {
		n.name = fmt.Sprintf("%s-%d", cfg.Hostname, index+1)
	}
	n.total = c.ids.bagOf(cfg.Resources).inOrder()
	proto := mesos.IPv4
	n.networks = []mesos.NetworkInfo{{IPAddresses: []mesos.NetworkInfo_IPAddress{{Protocol: &proto, IPAddress: &n.cfg.IP}}}}
	return n
}

// close ends the agent's own endpoints and its runner. What runs of a stopped agent goes on.
func (n *node) close(killTasks bool) error {
	var err error
	if n.server != nil {
		err = n.server.Close()
	}
	if n.stopped {
		return err
	}
	return errors.Join(err, n.runner.close(killTasks))
}

func terminal(s mesos.TaskState) bool {
	switch s {
	case mesos.TASK_FINISHED, mesos.TASK_FAILED, mesos.TASK_KILLED, mesos.TASK_ERROR, mesos.TASK_LOST,
		mesos.TASK_DROPPED, mesos.TASK_GONE, mesos.TASK_GONE_BY_OPERATOR:
		return true
	}
	return false
}

func nowSeconds() float64 { return float64(time.Now().UnixMicro()) / 1e6 }

// launch takes a task over from the master.
func (n *node) launch(fw *mesos.FrameworkInfo, task *mesos.TaskInfo, uses bag, role string) {
	key := taskKey{fw.ID.Value, task.TaskID.Value}
	n.addTask(fw, key, &nodeTask{info: task, executor: task.Executor, uses: uses, role: role, state: mesos.TASK_STAGING})
	if n.lingering[key] && task.Executor == nil {
		n.drop(key, "Cannot reuse an already existing executor for a command task")
		return
	}
	n.runner.launch(fw, task)
}

// drop answers a launch the agent does not even begin.
func (n *node) drop(key taskKey, message string) {
	state := mesos.TASK_DROPPED
	if fw := n.frameworks[key.framework]; fw != nil && !capable(fw.info, mesos.FrameworkInfo_Capability_PARTITION_AWARE) {
		state = mesos.TASK_LOST
	}
	n.emit(key.framework, &mesos.TaskStatus{
		TaskID: mesos.TaskID{Value: key.task}, State: state.Enum(),
		Source: mesos.SOURCE_AGENT.Enum(), Reason: mesos.REASON_TASK_INVALID.Enum(), Message: &message,
		ExecutorID: &mesos.ExecutorID{Value: key.task},
	})
}

func (n *node) launchGroup(fw *mesos.FrameworkInfo, ex *mesos.ExecutorInfo, tasks []mesos.TaskInfo, uses []bag, role string) {
	for i := range tasks {
		key := taskKey{fw.ID.Value, tasks[i].TaskID.Value}
		n.addTask(fw, key, &nodeTask{info: &tasks[i], executor: ex, uses: uses[i], role: role, state: mesos.TASK_STAGING})
	}
	if !n.ending[taskKey{fw.ID.Value, ex.ExecutorID.Value}] {
		n.runner.launchGroup(fw, ex, tasks)
		return
	}
	for i := range tasks { // handed to the executor that is there, which ends
		message := "Executor terminated"
		n.emit(fw.ID.Value, &mesos.TaskStatus{
			TaskID: tasks[i].TaskID, State: mesos.TASK_FAILED.Enum(), ExecutorID: &ex.ExecutorID,
			Source: mesos.SOURCE_AGENT.Enum(), Reason: mesos.REASON_EXECUTOR_TERMINATED.Enum(), Message: &message,
		})
	}
}

// emit enters a status of a task into its update stream. Statuses of tasks the
// agent no longer has are dropped.
func (n *node) emit(fid string, st *mesos.TaskStatus) {
	key := taskKey{fid, st.TaskID.Value}
	t := n.tasks[key]
	if t == nil || terminal(t.state) {
		return
	}
	st.UUID = n.c.uuid()
	st.AgentID = &mesos.AgentID{Value: n.id}
	if st.Timestamp == nil {
		now := nowSeconds()
		st.Timestamp = &now
	}
	if st.ContainerStatus != nil && st.ContainerStatus.ExecutorPID != nil {
		t.pid = int(*st.ContainerStatus.ExecutorPID)
	}
	if t.draining && st.Reason == nil && (st.GetState() == mesos.TASK_KILLING || st.GetState() == mesos.TASK_KILLED) {
		st.Reason = mesos.REASON_AGENT_DRAINING.Enum()
	}
	t.state, t.last = st.GetState(), st
	t.updates = append(t.updates, st)
	n.logUpdate(key, st)
	if terminal(t.state) {
		n.linger(key, t.executor)
	}
	if len(t.updates) == 1 {
		n.send(key, t)
	}
}

// linger keeps the id of an ended command task, or of the default executor whose last task it was, in use while the
// executor goes away.
func (n *node) linger(key taskKey, ex *mesos.ExecutorInfo) {
	away := n.lingering
	switch {
	case n.c.cfg.Simulated != nil:
		return
	case ex != nil && (ex.Type != mesos.ExecutorInfo_DEFAULT || n.serves(key.framework, ex.ExecutorID.Value)):
		return
	case ex != nil:
		key.task, away = ex.ExecutorID.Value, n.ending
	}
	away[key] = true
	n.c.timers.after(n.c.cfg.ExecutorLinger, func() { delete(away, key) })
}

// serves tells whether an executor has tasks that have not ended.
func (n *node) serves(fid, executor string) bool {
	for key, t := range n.tasks {
		if key.framework == fid && t.executor != nil && t.executor.ExecutorID.Value == executor && !terminal(t.state) {
			return true
		}
	}
	return false
}

// send forwards the first open update and arranges for its repetition.
func (n *node) send(key taskKey, t *nodeTask) {
	n.c.timers.stop(t.resend)
	if t.retry == 0 {
		t.retry = n.c.cfg.UpdateRetry
	}
	t.resend = n.c.timers.after(t.retry, func() {
		if len(t.updates) == 0 {
			return
		}
		t.retry = min(2*t.retry, maxUpdateRetry)
		n.send(key, t)
	})
	if m := n.master(); m != nil {
		m.forward(n, key, t)
	}
}

// master is the master this agent is registered with, nil if there is none.
func (n *node) master() *master {
	if n.down || n.c.m == nil {
		return nil
	}
	if a := n.c.m.agents[n.id]; a == nil || a.node != n || !a.connected {
		return nil
	}
	return n.c.m
}

// resendAll sends the open update of every task of fid ("" for all) at once, as
// agents do when they learn of a new master or of a framework that came back.
func (n *node) resendAll(fid string) {
	var keys []taskKey
	for key, t := range n.tasks {
		if len(t.updates) > 0 && (fid == "" || key.framework == fid) {
			keys = append(keys, key)
		}
	}
	for _, key := range keys {
		t := n.tasks[key]
		t.retry = 0
		n.send(key, t)
	}
}

// acknowledge closes the first open update if uuid is its.
func (n *node) acknowledge(fid, task string, uuid []byte) {
	key := taskKey{fid, task}
	t := n.tasks[key]
	if t == nil || len(t.updates) == 0 || !bytes.Equal(t.updates[0].UUID, uuid) {
		return
	}
	done := t.updates[0]
	t.updates = t.updates[1:]
	n.logUpdate(key, nil)
	t.retry = 0
	n.c.timers.stop(t.resend)
	t.resend = nil
	if terminal(done.GetState()) {
		n.removeTask(key)
		return
	}
	if len(t.updates) > 0 {
		n.send(key, t)
	}
}

// addTask enters a task and its framework.
func (n *node) addTask(fw *mesos.FrameworkInfo, key taskKey, t *nodeTask) {
	f := n.frameworks[key.framework]
	if f == nil {
		f = &nodeFramework{}
		n.frameworks[key.framework] = f
	}
	f.info = fw
	f.tasks++
	n.tasks[key] = t
}

// removeTask drops a task with its open updates.
func (n *node) removeTask(key taskKey) {
	t := n.tasks[key]
	if t == nil {
		return
	}
	n.c.timers.stop(t.resend)
	for range t.updates {
		n.logUpdate(key, nil)
	}
	n.dropTask(key)
}

// dropTask takes a task out of the table and, with its last one, the framework.
func (n *node) dropTask(key taskKey) {
	delete(n.tasks, key)
	if f := n.frameworks[key.framework]; f != nil {
		if f.tasks--; f.tasks == 0 {
			delete(n.frameworks, key.framework)
		}
	}
}

// shutdownFramework ends a framework: its tasks are killed, no update is sent.
func (n *node) shutdownFramework(fid string) {
	for _, key := range n.tasksOf(fid) {
		n.removeTask(key)
	}
	n.runner.shutdownFramework(fid)
}

// tasksOf lists the keys of a framework's tasks, "" for all, in a stable order.
func (n *node) tasksOf(fid string) []taskKey {
	var keys []taskKey
	for key := range n.tasks {
		if fid == "" || key.framework == fid {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b taskKey) int {
		if a.framework != b.framework {
			return compareText(a.framework, b.framework)
		}
		return compareText(a.task, b.task)
	})
	return keys
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
