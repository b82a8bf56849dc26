package agent

import (
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/google/uuid"
	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// failedExecutorStatus is the raw wait status of a default executor whose
// sandbox could not be made: exit code 1.
const failedExecutorStatus = 1 << 8

// executor is a default executor: no process, but the sandbox around those of
// its tasks. It ends with the last task of its last group.
type executor struct {
	info        mesos.ExecutorInfo
	containerID string
	sandbox     string
	tasks       int // not ended; under Agent.mu

	once    sync.Once
	failure error // of once

	mu        sync.Mutex
	unhealthy bool
	limit     *diskExcess // the quota of the executor that was broken
}

// group is the tasks of one LAUNCH_GROUP, which live and die together.
type group struct {
	id    string
	exec  *executor
	tasks []*task

	delivered sync.WaitGroup // of those launched: see task.prepare
}

// LaunchGroup runs a task group under a default executor, which may be running
// already: then its groups share the sandbox, but not their fate.
func (a *Agent) LaunchGroup(fw mesos.FrameworkInfo, ex mesos.ExecutorInfo, tasks []mesos.TaskInfo) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return
	}
	fid := fw.GetID().GetValue()
	key := taskKey{fid, ex.ExecutorID.Value}
	e := a.executors[key]
	if e == nil {
		e = &executor{info: ex, containerID: uuid.NewString()}
		e.sandbox = a.runDirectory(a.agentID, fid, ex.ExecutorID.Value, e.containerID)
		a.executors[key] = e
	}
	g := &group{id: uuid.NewString(), exec: e}
	for _, info := range tasks {
		t := a.newTask(fw, info, g, uuid.NewString())
		t.sandbox = filepath.Join(e.sandbox, "containers", t.containerID)
		g.tasks = append(g.tasks, t)
	}
	e.tasks += len(g.tasks)
	g.delivered.Add(len(g.tasks))
	for _, t := range g.tasks {
		a.begin(t)
	}
}

// leave takes an ended task out of its executor, which ends with the last one.
func (a *Agent) leave(t *task) {
	e := t.group.exec
	a.mu.Lock()
	e.tasks--
	last := e.tasks == 0
	var old []completedRun
	if last {
		delete(a.executors, taskKey{t.fid, e.info.ExecutorID.Value})
		old = a.complete(completedRun{sandbox: e.sandbox})
	}
	a.mu.Unlock()
	removeSandboxes(old)
	if _, silent := t.orders(); !last || silent {
		return
	}
	status := int32(0)
	switch {
	case e.failure != nil:
		status = failedExecutorStatus
	case e.broken() != nil:
		status = int32(syscall.SIGKILL)
	}
	a.done(t.fid, e.info.ExecutorID.Value, status)
}

// prepare makes the sandbox of the executor, once.
func (e *executor) prepare(t *task) error {
	e.once.Do(func() {
		if e.failure = makeRun(e.sandbox); e.failure != nil {
			return
		}
		if e.failure = touchOutputs(e.sandbox); e.failure != nil {
			return
		}
		if e.failure = os.MkdirAll(filepath.Join(e.sandbox, "tasks"), dirMode); e.failure != nil {
			return
		}
		if e.failure = t.user.chownTree(e.sandbox); e.failure != nil {
			return
		}
		if e.failure = t.agent.mountPersistent(e.sandbox, e.info.Resources, t.user); e.failure != nil {
			return
		}
		e.failure = mountVolumes(e.sandbox, "", e.info.Container, t.user)
	})
	return e.failure
}

// markUnhealthy notes, if now is true, that a task of the executor was killed
// by its health check, and tells whether this has ever happened: Mesos puts
// healthy false into all terminal statuses that follow.
func (e *executor) markUnhealthy(now bool) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unhealthy = e.unhealthy || now
	return e.unhealthy
}

// killOthers ends the rest of a group after one task of it did not end well.
func (g *group) killOthers(ended *task) {
	for _, t := range g.tasks {
		if t != ended {
			t.kill(causeCall, t.grace(nil))
		}
	}
}
