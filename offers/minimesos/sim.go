package minimesos

import (
	"math/rand/v2"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// simRunner treats tasks as rows: their states come from timers. It runs under
// the cluster's lock.
type simRunner struct {
	n      *node
	cfg    Simulation
	rng    *rand.Rand
	tasks  map[taskKey]*simTask
	groups map[taskKey]*simGroup // by framework and executor
}

// simTask is a task of a simulated agent until it has ended.
type simTask struct {
	key       taskKey
	fw        *mesos.FrameworkInfo
	info      *mesos.TaskInfo
	executor  string
	group     *simGroup
	container *mesos.ContainerStatus
	started   bool
	killing   bool
	next      *timer
}

// simGroup is a default executor with its tasks.
type simGroup struct {
	key       taskKey
	container *mesos.ContainerID
	alive     []*simTask
}

func newSimRunner(n *node, cfg Simulation, index uint64) *simRunner {
	return &simRunner{
		n: n, cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, index)),
		tasks: map[taskKey]*simTask{}, groups: map[taskKey]*simGroup{},
	}
}

func (r *simRunner) launch(fw *mesos.FrameworkInfo, info *mesos.TaskInfo) {
	id := info.TaskID.Value
	if info.Executor != nil {
		id = info.Executor.ExecutorID.Value
	}
	r.start(fw, info, id, nil)
}

func (r *simRunner) launchGroup(fw *mesos.FrameworkInfo, ex *mesos.ExecutorInfo, tasks []mesos.TaskInfo) {
	key := taskKey{fw.ID.Value, ex.ExecutorID.Value}
	g := r.groups[key]
	if g == nil {
		g = &simGroup{key: key, container: &mesos.ContainerID{Value: r.n.c.uuidText()}}
		r.groups[key] = g
	}
	for i := range tasks { // all members are known before the first can fail
		t := r.newTask(fw, &tasks[i], ex.ExecutorID.Value, g)
		g.alive = append(g.alive, t)
	}
	for _, t := range append([]*simTask(nil), g.alive...) {
		if !t.started && t.next == nil && r.tasks[t.key] == t {
			r.later(t, r.cfg.StartDelay, r.begin)
		}
	}
}

func (r *simRunner) start(fw *mesos.FrameworkInfo, info *mesos.TaskInfo, executor string, g *simGroup) {
	t := r.newTask(fw, info, executor, g)
	r.later(t, r.cfg.StartDelay, r.begin)
}

func (r *simRunner) newTask(fw *mesos.FrameworkInfo, info *mesos.TaskInfo, executor string, g *simGroup) *simTask {
	t := &simTask{
		key: taskKey{fw.ID.Value, info.TaskID.Value}, fw: fw, info: info, executor: executor, group: g,
		container: &mesos.ContainerStatus{
			ContainerID:  &mesos.ContainerID{Value: r.n.c.uuidText()},
			NetworkInfos: r.n.networks,
		},
	}
	if g != nil {
		t.container.ContainerID.Parent = g.container
	}
	r.tasks[t.key] = t
	return t
}

// later runs step after d, or at once when nothing is to be waited for.
func (r *simRunner) later(t *simTask, d time.Duration, step func(*simTask)) {
	if d <= 0 {
		t.next = nil
		step(t)
		return
	}
	t.next = r.n.c.timers.after(d, func() {
		t.next = nil
		step(t)
	})
}

// chance draws whether something with the given probability happens.
func (r *simRunner) chance(p float64) bool { return p > 0 && r.rng.Float64() < p }

func (r *simRunner) begin(t *simTask) {
	t.started = true
	if r.chance(r.cfg.LaunchFailures) {
		r.fail(t, "Failed to launch container: simulated failure")
		return
	}
	if !r.cfg.NoStarting {
		r.emit(t, mesos.TASK_STARTING, "")
	}
	r.later(t, r.cfg.RunDelay, r.run)
}

func (r *simRunner) run(t *simTask) {
	r.emit(t, mesos.TASK_RUNNING, "")
	if t.info.HealthCheck != nil {
		r.n.c.timers.after(r.cfg.HealthDelay, func() { r.healthy(t) })
	}
	if r.cfg.TaskDuration > 0 {
		r.later(t, r.cfg.TaskDuration, r.finish)
	}
}

func (r *simRunner) healthy(t *simTask) {
	if r.tasks[t.key] != t || t.killing {
		return
	}
	r.report(t, true)
}

// report sends a result of the task's health check.
func (r *simRunner) report(t *simTask, yes bool) {
	st := r.status(t, mesos.TASK_RUNNING, "")
	st.Healthy, st.Reason = &yes, mesos.REASON_TASK_HEALTH_CHECK_STATUS_UPDATED.Enum()
	r.n.emit(t.key.framework, st)
}

func (r *simRunner) finish(t *simTask) {
	if r.chance(r.cfg.TaskFailures) {
		r.end(t, mesos.TASK_FAILED, "Command exited with status 1")
		return
	}
	r.end(t, mesos.TASK_FINISHED, "Command exited with status 0")
}

// fail ends a task that its agent could not start.
func (r *simRunner) fail(t *simTask, text string) {
	st := r.status(t, mesos.TASK_FAILED, text)
	st.Source, st.Reason = mesos.SOURCE_AGENT.Enum(), mesos.REASON_CONTAINER_LAUNCH_FAILED.Enum()
	st.ContainerStatus = nil
	r.n.emit(t.key.framework, st)
	r.gone(t, true)
}

// end sends the last status of a task.
func (r *simRunner) end(t *simTask, state mesos.TaskState, text string) {
	r.emit(t, state, text)
	r.gone(t, state != mesos.TASK_FINISHED)
}

// gone removes a task; the rest of its group is killed unless it finished well.
func (r *simRunner) gone(t *simTask, badly bool) {
	r.n.c.timers.stop(t.next)
	delete(r.tasks, t.key)
	g := t.group
	if g == nil {
		return
	}
	for i, x := range g.alive {
		if x == t {
			g.alive = append(g.alive[:i:i], g.alive[i+1:]...)
			break
		}
	}
	if badly {
		for _, x := range g.alive {
			r.killOne(x)
		}
	}
	if len(g.alive) == 0 && r.groups[g.key] == g {
		delete(r.groups, g.key)
		r.n.executorDone(g.key.framework, g.key.task, 0)
	}
}

func (r *simRunner) kill(fid, task string, _ *mesos.KillPolicy) {
	t := r.tasks[taskKey{fid, task}]
	if t == nil {
		return
	}
	r.killOne(t)
}

func (r *simRunner) killOne(t *simTask) {
	if t.killing || r.tasks[t.key] != t {
		return
	}
	t.killing = true
	r.n.c.timers.stop(t.next)
	if !t.started {
		st := r.status(t, mesos.TASK_KILLED, "Killed before delivery to the executor")
		st.Source, st.Reason = mesos.SOURCE_AGENT.Enum(), mesos.REASON_TASK_KILLED_DURING_LAUNCH.Enum()
		st.ContainerStatus = nil
		r.n.emit(t.key.framework, st)
		r.gone(t, true)
		return
	}
	if capable(t.fw, mesos.FrameworkInfo_Capability_TASK_KILLING_STATE) {
		r.emit(t, mesos.TASK_KILLING, "")
	}
	r.later(t, r.cfg.KillDelay, func(t *simTask) {
		r.end(t, mesos.TASK_KILLED, "Command terminated with signal Terminated")
	})
}

func (r *simRunner) emit(t *simTask, state mesos.TaskState, text string) {
	r.n.emit(t.key.framework, r.status(t, state, text))
}

func (r *simRunner) status(t *simTask, state mesos.TaskState, text string) *mesos.TaskStatus {
	st := &mesos.TaskStatus{
		TaskID: t.info.TaskID, State: state.Enum(), Source: mesos.SOURCE_EXECUTOR.Enum(),
		ExecutorID: &mesos.ExecutorID{Value: t.executor}, ContainerStatus: t.container,
	}
	if text != "" {
		st.Message = &text
	}
	return st
}

func (r *simRunner) shutdownFramework(fid string) {
	for key, t := range r.tasks {
		if key.framework == fid {
			r.n.c.timers.stop(t.next)
			delete(r.tasks, key)
		}
	}
	for key := range r.groups {
		if key.framework == fid {
			delete(r.groups, key)
		}
	}
}

func (r *simRunner) createVolume(string, string)   {}
func (r *simRunner) destroyVolume(string, string)  {}
func (r *simRunner) sandbox(string, string) string { return "" }
func (r *simRunner) close(bool) error              { return nil }
