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

	mu     sync.Mutex
	orders []func()
	wake   chan struct{}
	quit   chan struct{}
	done   sync.WaitGroup
}

func newProcessRunner(n *node) (*processRunner, error) {
	r := &processRunner{n: n, wake: make(chan struct{}, 1), quit: make(chan struct{})}
	a, err := processes.New(processes.Config{
		Hostname: n.cfg.Hostname, IP: n.cfg.IP, WorkDir: n.dir, SwitchUser: true, Helper: n.c.cfg.Helper,
	}, r.emitted, r.executorDone)
	if err != nil {
		return nil, err
	}
	r.agent = a
	r.done.Go(r.work)
	return r, nil
}

// emitted takes a status from the agent, on one of its goroutines.
func (r *processRunner) emitted(fid string, st mesos.TaskStatus) {
	r.n.c.mu.Lock()
	defer r.n.c.mu.Unlock()
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
