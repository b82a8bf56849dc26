package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"
	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

const (
	// closeTimeout bounds how long Close waits for killed tasks.
	closeTimeout = 15 * time.Second
	// maxCompleted is how many sandboxes of ended tasks and executors are kept.
	maxCompleted = 1000
	// maxFetches is how many tasks fetch at the same time.
	maxFetches = 32
	// defaultRegistration is how long a custom executor may take to register.
	defaultRegistration = time.Minute
	// defaultDiskWatch lies between two looks at the disk a task uses.
	defaultDiskWatch = time.Second
	// silencePatience bounds how long a restart of the agent waits for tasks
	// that are being killed in silence.
	silencePatience = 2 * time.Second
)

// Config describes one agent.
type Config struct {
	// AgentID may be empty until SetAgentID: the master gives it out.
	AgentID  string
	Hostname string
	// IP is reported as the address of every container.
	IP string
	// WorkDir holds sandboxes (slaves/...), persistent volumes (volumes/...)
	// and checkpoints (meta/...).
	WorkDir string
	// SwitchUser runs tasks as the user of their command or framework, who must
	// exist. It takes root; other agents run all tasks as themselves.
	SwitchUser bool
	// Helper is the start of the command line that ends in ShimMain; the path
	// of a spec file is appended. Empty: tasks are children of this process and
	// end when it closes the agent; nobody finds them again if it crashes.
	Helper []string
	// Delivery is the time from the launch of a command task to its delivery to
	// the executor, which Mesos has to start first. A KILL that comes earlier
	// leaves no trace of the task but TASK_KILLED. Zero: at once.
	Delivery time.Duration
	// Registration is how long a custom executor may run before it is killed
	// because it has not registered, which none can here; 1 min.
	Registration time.Duration
	// DiskWatch lies between two looks at the disk usage of a task that has
	// disk resources (1 s), or longer where a look takes long.
	DiskWatch time.Duration
}

// Emit receives every status, in order for one task, from several goroutines.
// All but uuid and agent_id is set. It must not block for long. What has to
// survive the end of this process must be stored when it returns.
type Emit func(fid string, st mesos.TaskStatus)

// ExecutorDone reports that a default executor has ended, with its raw wait
// status: the FAILURE event that follows even after success.
type ExecutorDone func(fid, executorID string, rawStatus int32)

type taskKey struct{ fid, id string }

// Agent runs the tasks of one agent. All methods may be called concurrently.
type Agent struct {
	cfg  Config
	emit Emit
	done ExecutorDone

	// ctx is done when the agent stops; tasks that still run are left to the
	// next one.
	ctx     context.Context
	stop    context.CancelFunc
	wg      sync.WaitGroup
	fetches chan struct{}

	mu        sync.Mutex
	closed    bool
	agentID   string
	tasks     map[taskKey]*task
	executors map[taskKey]*executor
	customs   map[taskKey]*task // the task that owns the process of a custom executor
	completed []completedRun    // oldest first
}

// completedRun is a sandbox that is kept for a while after its end.
type completedRun struct {
	key     taskKey // empty id: an executor
	sandbox string
}

// New makes an agent that uses cfg.WorkDir. emit is required; done may be nil.
func New(cfg Config, emit Emit, done ExecutorDone) (*Agent, error) {
	if cfg.WorkDir == "" || emit == nil {
		return nil, errors.New("an agent needs a work directory and somebody to emit to")
	}
	dir, err := filepath.Abs(cfg.WorkDir)
	if err != nil {
		return nil, fmt.Errorf("work directory of the agent: %w", err)
	}
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, fmt.Errorf("work directory of the agent: %w", err)
	}
	cfg.WorkDir = dir
	if cfg.Registration <= 0 {
		cfg.Registration = defaultRegistration
	}
	if cfg.DiskWatch <= 0 {
		cfg.DiskWatch = defaultDiskWatch
	}
	if done == nil {
		done = func(string, string, int32) {}
	}
	a := &Agent{
		cfg: cfg, emit: emit, done: done, agentID: cfg.AgentID,
		fetches:   make(chan struct{}, maxFetches),
		tasks:     make(map[taskKey]*task),
		executors: make(map[taskKey]*executor),
		customs:   make(map[taskKey]*task),
	}
	a.ctx, a.stop = context.WithCancel(context.Background())
	return a, nil
}

// SetAgentID sets the id that the master has given. It counts for tasks that
// are launched from now on.
func (a *Agent) SetAgentID(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.agentID = id
}

// Launch runs a command task. A task of a default executor is a group of one.
func (a *Agent) Launch(fw mesos.FrameworkInfo, info mesos.TaskInfo) {
	if info.Executor != nil && info.Executor.Type == mesos.ExecutorInfo_DEFAULT {
		a.LaunchGroup(fw, *info.Executor, []mesos.TaskInfo{info})
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return
	}
	t := a.newTask(fw, info, nil, uuid.NewString())
	t.sandbox = a.runDirectory(t.agentID, t.fid, t.executorID(), t.containerID)
	a.begin(t)
}

// newTask makes a task that is not yet known to the agent; a.mu is held.
func (a *Agent) newTask(fw mesos.FrameworkInfo, info mesos.TaskInfo, g *group, containerID string) *task {
	t := &task{
		agent: a, fw: fw, fid: fw.GetID().GetValue(), agentID: a.agentID, info: info, group: g,
		containerID: containerID, meta: filepath.Join(a.checkpointRoot(), containerID),
		wake: make(chan struct{}, 1), ended: make(chan struct{}), launched: time.Now(),
	}
	if g == nil {
		t.custom = info.Executor // Launch has made groups of default executors
	}
	t.launchCtx, t.cancelLaunch = context.WithCancel(a.ctx)
	return t
}

// begin runs a task, or drops it if its id is in use; a.mu is held.
func (a *Agent) begin(t *task) {
	if _, taken := a.tasks[t.key()]; taken {
		a.wg.Go(func() {
			defer t.cancelLaunch()
			a.emit(t.fid, t.status(agentStatus(mesos.TASK_DROPPED, mesos.REASON_TASK_INVALID,
				"Cannot reuse an already existing executor for a command task")))
			if t.group != nil {
				t.group.delivered.Done()
				a.leave(t)
			}
		})
		return
	}
	a.tasks[t.key()] = t
	if t.custom != nil {
		a.join(t)
	}
	a.wg.Go(t.run)
}

// finished is the last step of the goroutine of a task.
func (a *Agent) finished(t *task) {
	t.cancelLaunch()
	if !t.over { // handed over to the next agent process
		return
	}
	t.forget()
	a.mu.Lock()
	delete(a.tasks, t.key())
	if key := (taskKey{t.fid, t.executorID()}); a.customs[key] == t {
		delete(a.customs, key)
	}
	close(t.ended)
	old := a.complete(completedRun{key: t.key(), sandbox: t.sandbox})
	a.mu.Unlock()
	removeSandboxes(old)
	if t.group != nil {
		a.leave(t)
	}
}

// complete remembers an ended sandbox and returns those that are too old; a.mu
// is held.
func (a *Agent) complete(run completedRun) []completedRun {
	a.completed = append(a.completed, run)
	n := len(a.completed) - maxCompleted
	if n <= 0 {
		return nil
	}
	old := append([]completedRun(nil), a.completed[:n]...)
	a.completed = append(a.completed[:0], a.completed[n:]...)
	return old
}

func removeSandboxes(runs []completedRun) {
	for _, r := range runs {
		_ = os.RemoveAll(r.sandbox)
	}
}

// Kill ends a task: TASK_KILLING if the framework knows it, SIGTERM, after the
// grace period SIGKILL. The grace period is that of override, else that of the
// task, else 3 s; a second call can only shorten it. The other tasks of a group
// follow when the task has ended. Unknown tasks are ignored.
func (a *Agent) Kill(fid, taskID string, override *mesos.KillPolicy) {
	a.mu.Lock()
	t := a.tasks[taskKey{fid, taskID}]
	a.mu.Unlock()
	if t != nil {
		t.kill(causeCall, t.grace(override))
	}
}

// ShutdownFramework kills all tasks of a framework at once, without statuses.
func (a *Agent) ShutdownFramework(fid string) {
	for _, t := range a.live() {
		if t.fid == fid {
			t.silence()
		}
	}
}

func (a *Agent) live() []*task {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]*task, 0, len(a.tasks))
	for _, t := range a.tasks {
		out = append(out, t)
	}
	return out
}

// Sandbox is the directory of a task that runs or has ended not too long ago,
// else empty.
func (a *Agent) Sandbox(fid, taskID string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := taskKey{fid, taskID}
	if t := a.tasks[key]; t != nil {
		return t.sandbox
	}
	for i := len(a.completed) - 1; i >= 0; i-- {
		if a.completed[i].key == key {
			return a.completed[i].sandbox
		}
	}
	return ""
}

// Close stops the agent without any further status. With killTasks, or without
// a helper, all processes of all tasks are killed; otherwise they go on and
// Recover of the next agent finds them. Close returns when all is done.
func (a *Agent) Close(killTasks bool) error {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	if killTasks || !a.persistent() {
		for _, t := range a.live() {
			t.silence()
		}
	} else {
		a.awaitSilenced()
		a.stop()
	}
	idle := make(chan struct{})
	go func() {
		a.wg.Wait()
		close(idle)
	}()
	limit := time.NewTimer(closeTimeout)
	defer limit.Stop()
	select {
	case <-idle:
		a.stop()
		return nil
	case <-limit.C:
		a.stop()
		return fmt.Errorf("closing the agent: tasks still run %v after they were killed", closeTimeout)
	}
}

// awaitSilenced waits for the tasks that end without a status, because their
// framework is gone: nobody would care for them after a restart.
func (a *Agent) awaitSilenced() {
	ctx, cancel := context.WithTimeout(a.ctx, silencePatience)
	defer cancel()
	for _, t := range a.live() {
		if _, silent := t.orders(); !silent {
			continue
		}
		select {
		case <-t.ended:
		case <-ctx.Done():
			return
		}
	}
}
