package minimesos

import (
	"sync"

	mesos "github.com/mesos/mesos-go/api/v1/lib"

	processes "stadion/offers/minimesos/agent"
)

// processAgent is what processRunner needs of package agent.
type processAgent interface {
	SetAgentID(id string)
	Launch(fw mesos.FrameworkInfo, task mesos.TaskInfo)
	LaunchGroup(fw mesos.FrameworkInfo, ex mesos.ExecutorInfo, tasks []mesos.TaskInfo)
	Kill(fid, taskID string, override *mesos.KillPolicy)
	CreateVolume(role, persistenceID string) error
	DestroyVolume(role, persistenceID string) error
	ShutdownFramework(fid string)
	Recover() ([]processes.RunningTask, error)
	Sandbox(fid, taskID string) string
	Close(killTasks bool) error
}

// processRunner hands orders to an agent that runs real processes. The agent may
// block on files and processes, so orders wait in a queue for a goroutine that
// does not hold the cluster's lock.
type processRunner struct {
	n     *node
	agent processAgent
	// recovering is set for agents that have taken over a directory: they report
	// ends of tasks nobody here knows of.
	recovering bool

	mu     sync.Mutex
	orders []func()
	wake   chan struct{}
	quit   chan struct{}
	done   sync.WaitGroup
}

func newProcessRunner(n *node) (*processRunner, error) {
	r := &processRunner{n: n, wake: make(chan struct{}, 1), quit: make(chan struct{})}
	r.recovering = n.id != ""
	a, err := processes.New(processes.Config{
		AgentID: n.id, Hostname: n.cfg.Hostname, IP: n.cfg.IP, WorkDir: n.dir, SwitchUser: true, Helper: n.c.cfg.Helper,
		Delivery: n.c.cfg.ExecutorStart, DiskWatch: n.c.cfg.DiskWatch,
	}, r.emitted, r.executorDone)
	if err != nil {
		return nil, err
	}
	r.agent = a
	r.done.Go(r.work)
	return r, nil
}

// recover takes over what an earlier agent on the same directory has left: tasks
// that still run, and updates that were not acknowledged.
func (r *processRunner) recover() error {
	log, open, err := openUpdates(r.n.dir)
	if err != nil {
		return err
	}
	r.n.c.mu.Lock()
	r.n.updates = log
	r.adoptUpdates(open)
	r.n.c.mu.Unlock()
	return r.recoverTasks()
}

// recoverTasks lets the agent look for its tasks and enters those that run.
func (r *processRunner) recoverTasks() error {
	running, err := r.agent.Recover()
	if err != nil {
		return err
	}
	r.n.c.mu.Lock()
	defer r.n.c.mu.Unlock()
	for i := range running {
		r.adoptTask(&running[i])
	}
	return nil
}

// adoptUpdates enters open updates of an earlier process. What else there was of
// their tasks is known only if they still run.
func (r *processRunner) adoptUpdates(open map[taskKey][]*mesos.TaskStatus) {
	for key, list := range open {
		last := list[len(list)-1]
		r.n.tasks[key] = &nodeTask{info: &mesos.TaskInfo{TaskID: last.TaskID}, role: "*",
			state: last.GetState(), last: last, updates: list}
	}
}

func (r *processRunner) adoptTask(t *processes.RunningTask) {
	n := r.n
	key := taskKey{t.FrameworkID, t.Task.TaskID.Value}
	role := "*"
	if len(t.Task.Resources) > 0 && t.Task.Resources[0].AllocationInfo != nil {
		role = t.Task.Resources[0].AllocationInfo.GetRole()
	}
	nt := &nodeTask{info: &t.Task, executor: t.Executor, uses: n.c.ids.bagOf(t.Task.Resources), role: role, state: t.State}
	if t.Status.State != nil {
		st := t.Status
		st.AgentID = &mesos.AgentID{Value: n.id}
		nt.last = &st
	}
	if had := n.tasks[key]; had != nil { // with open updates, or ended since Recover looked
		nt.updates, nt.state, nt.last, nt.resend = had.updates, had.state, had.last, had.resend
		n.dropTask(key)
	}
	fw := t.Framework
	fw.ID = &mesos.FrameworkID{Value: t.FrameworkID}
	n.addTask(&fw, key, nt)
}

// emitted takes a status from the agent, on one of its goroutines.
func (r *processRunner) emitted(fid string, st mesos.TaskStatus) {
	r.n.c.mu.Lock()
	defer r.n.c.mu.Unlock()
	key := taskKey{fid, st.TaskID.Value}
	if r.n.tasks[key] == nil && r.recovering && terminal(st.GetState()) {
		// It ended while no agent ran, so that Recover did not tell of it.
		r.n.tasks[key] = &nodeTask{info: &mesos.TaskInfo{TaskID: st.TaskID}, role: "*"}
	}
	r.n.emit(fid, &st)
}

func (r *processRunner) executorDone(fid, executorID string, status int32) {
	r.n.c.mu.Lock()
	defer r.n.c.mu.Unlock()
	r.n.executorDone(fid, executorID, status)
}

// order queues something to be done without the lock, in order.
func (r *processRunner) order(f func()) {
	r.mu.Lock()
	r.orders = append(r.orders, f)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *processRunner) work() {
	for {
		r.mu.Lock()
		batch := r.orders
		r.orders = nil
		r.mu.Unlock()
		for _, f := range batch {
			f()
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case <-r.wake:
			continue
		default: // no more orders come after quit is closed
		}
		select {
		case <-r.wake:
		case <-r.quit:
			return
		}
	}
}

func (r *processRunner) setAgentID(id string) { r.order(func() { r.agent.SetAgentID(id) }) }

func (r *processRunner) launch(fw *mesos.FrameworkInfo, task *mesos.TaskInfo) {
	f, t := *fw, *task
	r.order(func() { r.agent.Launch(f, t) })
}

func (r *processRunner) launchGroup(fw *mesos.FrameworkInfo, ex *mesos.ExecutorInfo, tasks []mesos.TaskInfo) {
	f, e := *fw, *ex
	r.order(func() { r.agent.LaunchGroup(f, e, tasks) })
}

func (r *processRunner) kill(fid, task string, override *mesos.KillPolicy) {
	r.order(func() { r.agent.Kill(fid, task, override) })
}

func (r *processRunner) createVolume(role, persistence string) {
	r.order(func() {
		if err := r.agent.CreateVolume(role, persistence); err != nil {
			r.n.c.log("minimesos: agent %s: create volume %s: %v", r.n.cfg.Hostname, persistence, err)
		}
	})
}

func (r *processRunner) destroyVolume(role, persistence string) {
	r.order(func() {
		if err := r.agent.DestroyVolume(role, persistence); err != nil {
			r.n.c.log("minimesos: agent %s: destroy volume %s: %v", r.n.cfg.Hostname, persistence, err)
		}
	})
}

func (r *processRunner) shutdownFramework(fid string) {
	r.order(func() { r.agent.ShutdownFramework(fid) })
}

func (r *processRunner) sandbox(fid, task string) string { return r.agent.Sandbox(fid, task) }

func (r *processRunner) close(killTasks bool) error {
	close(r.quit)
	r.done.Wait()
	return r.agent.Close(killTasks)
}
