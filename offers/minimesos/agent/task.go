package agent

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// defaultGrace is the time between SIGTERM and SIGKILL without a kill policy.
const defaultGrace = 3 * time.Second

// killCause tells why a task is being killed, which decides its statuses.
type killCause string

const (
	causeCall       killCause = "call"       // KILL, or another task of the group ended
	causeHealth     killCause = "health"     // consecutive failures of the health check
	causeCompletion killCause = "completion" // max_completion_time
	causeLimit      killCause = "limit"      // another task of the executor has exceeded a limit of it
	causeSilence    killCause = "silence"    // a custom executor has not registered
)

// killOrder is the request to end a task. It is checkpointed, so that a
// restarted agent sends the SIGKILL that is due.
type killOrder struct {
	Cause killCause     `json:"cause"`
	At    time.Time     `json:"at"`    // of the first request; grace counts from here
	Grace time.Duration `json:"grace"` // a later request can only shorten it
}

// task is one task from its launch to its terminal status. One goroutine (run
// or resume) owns everything without a comment; the rest is under mu.
type task struct {
	agent       *Agent
	fw          mesos.FrameworkInfo
	fid         string
	agentID     string
	info        mesos.TaskInfo
	group       *group              // of a default executor, else nil
	custom      *mesos.ExecutorInfo // of a custom executor, else nil
	owner       *task               // runs the custom executor that this task waits for; nil: itself
	launched    time.Time
	containerID string
	sandbox     string
	user        account
	meta        string // checkpoint directory

	runner    *runner
	runningAt time.Time
	last      mesos.TaskState
	healthy   *bool                  // last health that was reported
	check     *mesos.CheckStatusInfo // last check result that was reported
	succeeded bool                   // the health check has succeeded at least once
	failures  uint32                 // of the health check, in a row
	killing   *killOrder             // the order that has been carried out
	over      bool                   // the end is final: told, or to be passed over in silence

	launchCtx    context.Context // done when a kill arrives: stops fetching
	cancelLaunch context.CancelFunc
	wake         chan struct{} // capacity 1: order or silent has changed
	ended        chan struct{} // closed after the end; then end can be read
	end          statusParts   // the terminal status
	limit        *diskExcess   // the disk quota that the task has broken

	mu     sync.Mutex
	order  *killOrder
	silent bool // end at once, without a status
}

func (t *task) key() taskKey { return taskKey{t.fid, t.info.TaskID.Value} }

// executorID is the id of the default or custom executor, or that of the task
// itself under the command executor.
func (t *task) executorID() string {
	switch {
	case t.group != nil:
		return t.group.exec.info.ExecutorID.Value
	case t.custom != nil:
		return t.custom.ExecutorID.Value
	}
	return t.info.TaskID.Value
}

func (t *task) executorPID() int {
	if t.runner == nil {
		return 0
	}
	return t.runner.pid()
}

func (t *task) checkpoints() bool { return t.fw.Checkpoint != nil && *t.fw.Checkpoint }

// grace is the time a task has between SIGTERM and SIGKILL: that of the
// override, else that of the task, else the default.
func (t *task) grace(override *mesos.KillPolicy) time.Duration {
	for _, p := range []*mesos.KillPolicy{override, t.info.KillPolicy} {
		if p != nil && p.GracePeriod != nil {
			return max(0, time.Duration(p.GracePeriod.Nanoseconds))
		}
	}
	return defaultGrace
}

// kill asks the task to end. Any goroutine may call it; a second call can only
// shorten the grace period, counted from the first.
func (t *task) kill(cause killCause, grace time.Duration) {
	t.mu.Lock()
	if t.order == nil {
		t.order = &killOrder{Cause: cause, At: time.Now(), Grace: grace}
	} else {
		t.order.Grace = min(t.order.Grace, grace)
	}
	t.save(killFile, *t.order)
	t.mu.Unlock()
	t.cancelLaunch()
	t.poke()
}

// silence ends the task at once and without a status.
func (t *task) silence() {
	t.mu.Lock()
	t.silent = true
	t.mu.Unlock()
	t.cancelLaunch()
	t.poke()
}

func (t *task) poke() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// orders returns a copy of the pending order (nil: none) and whether the task
// is to end silently.
func (t *task) orders() (*killOrder, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.order == nil {
		return nil, t.silent
	}
	o := *t.order
	return &o, t.silent
}

// run is the life of a new task.
func (t *task) run() {
	defer t.agent.finished(t)
	if t.owner != nil {
		t.ride()
		return
	}
	if end := t.prepare(); end != nil {
		t.terminal(*end)
		return
	}
	spec, err := t.spec()
	if err != nil && !errors.Is(err, errNoValue) {
		t.terminal(launchFailed(err.Error()))
		return
	}
	if t.group == nil {
		if t.awaitDelivery(); t.agent.ctx.Err() != nil {
			return // the next agent reports it as failed: it never came to its executor
		}
		if end := t.starting(); end != nil {
			t.terminal(*end)
			return
		}
	}
	if err != nil && t.group == nil { // the executor dies of it (recording 06)
		t.terminal(executorTerminated())
		return
	}
	if t.runner, err = t.startRunner(spec); err != nil {
		t.terminal(launchFailed(err.Error()))
		return
	}
	t.live()
}

// spec is the process of the task: its command, or the client of Docker.
func (t *task) spec() (processSpec, error) {
	if t.isDocker() {
		return t.dockerSpec()
	}
	return t.inContainer(commandSpec(t.command(), t.sandbox, t.baseEnvironment(), t.user))
}

// inContainer adds the mounts of the task to a process that belongs to it.
func (t *task) inContainer(spec processSpec, err error) (processSpec, error) {
	if err != nil {
		return spec, err
	}
	spec.Mounts, err = t.absoluteMounts()
	return spec, err
}

// awaitDelivery lets the time pass that Mesos needs to start the executor. A KILL
// or the end of the agent cuts it short.
func (t *task) awaitDelivery() {
	if left := time.Until(t.launched.Add(t.agent.cfg.Delivery)); left > 0 && t.custom == nil {
		pause(t.launchCtx, left)
	}
}

// starting emits TASK_STARTING unless the task was killed before. What it
// returns, if anything, is the end of the task.
func (t *task) starting() *statusParts {
	order, silent := t.orders()
	if silent || order != nil {
		end := killedBeforeDelivery()
		return &end
	}
	if t.custom != nil {
		t.save(stateFile, stateRecord{State: mesos.TASK_STAGING})
		return nil
	}
	detail := containerFull
	if t.group != nil {
		detail = containerOnly
	}
	t.emit(statusParts{state: mesos.TASK_STARTING, source: mesos.SOURCE_EXECUTOR, check: emptyCheck(t.info.Check), contents: detail})
	return nil
}

// live watches over a started task until it ends or is handed over to the next
// agent process.
func (t *task) live() {
	if t.custom == nil && t.last != mesos.TASK_RUNNING && t.last != mesos.TASK_KILLING {
		t.runningAt = time.Now()
		t.check = emptyCheck(t.info.Check)
		t.emit(statusParts{state: mesos.TASK_RUNNING, source: mesos.SOURCE_EXECUTOR, check: t.check, contents: containerFull})
	}
	ctx, cancel := context.WithCancel(t.agent.ctx)
	var helpers sync.WaitGroup
	exited := make(chan exitRecord, 1)
	helpers.Go(func() {
		if rec, err := t.runner.await(ctx); err == nil {
			exited <- rec
		}
	})
	checkCtx, stopChecks := context.WithCancel(ctx)
	results := make(chan checkResult)
	t.startChecks(checkCtx, &helpers, results)
	excess := make(chan diskExcess)
	t.watchDisk(checkCtx, &helpers, excess)
	rec, ok := t.supervise(exited, results, excess, stopChecks)
	cancel()
	stopChecks()
	helpers.Wait()
	if ok {
		t.conclude(rec)
	}
}

// supervise is the loop of a running task. ok is false if the agent stops and
// leaves the task running.
func (t *task) supervise(exited <-chan exitRecord, results <-chan checkResult, excess <-chan diskExcess,
	stopChecks context.CancelFunc) (rec exitRecord, ok bool) {
	escalate := newAlarm()
	defer escalate.stop()
	limit := newAlarm()
	defer limit.stop()
	timeUp := causeCompletion
	if m := t.info.MaxCompletionTime; t.custom != nil {
		timeUp = causeSilence
		limit.at(time.Now().Add(t.agent.cfg.Registration))
	} else if m != nil {
		limit.at(t.runningAt.Add(time.Duration(m.Nanoseconds)))
	}
	t.poke() // orders may have come before
	for {
		select {
		case rec := <-exited:
			return rec, true
		case <-t.agent.ctx.Done():
			return exitRecord{}, false
		case <-t.wake:
			order, silent := t.orders()
			if silent {
				stopChecks()
				t.runner.signal(syscall.SIGKILL)
			} else if order != nil {
				stopChecks()
				t.obey(*order, escalate)
			}
		case <-escalate.c():
			t.runner.signal(syscall.SIGKILL)
		case <-limit.c():
			// No grace: the time to end by itself is over.
			t.kill(timeUp, 0)
		case r := <-results:
			t.checked(r)
		case x := <-excess:
			stopChecks()
			t.exceeded(x)
		}
	}
}

// obey carries out a kill order: TASK_KILLING and SIGTERM the first time, and
// the time of SIGKILL.
func (t *task) obey(order killOrder, escalate *alarm) {
	if t.custom != nil || order.Cause == causeLimit {
		t.killing = &order
		t.runner.signal(syscall.SIGKILL)
		return
	}
	if t.killing == nil {
		t.killing = &order
		if order.Cause != causeCompletion && t.hasCapability(mesos.FrameworkInfo_Capability_TASK_KILLING_STATE) {
			t.emit(statusParts{state: mesos.TASK_KILLING, source: mesos.SOURCE_EXECUTOR, check: emptyCheck(t.info.Check), contents: containerFull})
		}
		t.runner.signal(syscall.SIGTERM)
	}
	escalate.at(order.At.Add(order.Grace))
}

func (t *task) hasCapability(want mesos.FrameworkInfo_Capability_Type) bool {
	for _, c := range t.fw.Capabilities {
		if c.Type == want {
			return true
		}
	}
	return false
}

// conclude emits the terminal status that follows from how the process ended
// and why.
func (t *task) conclude(rec exitRecord) {
	detail := containerFull
	if t.group != nil {
		detail = containerOnly
	}
	p := statusParts{source: mesos.SOURCE_EXECUTOR, message: t.describeEnd(rec.Status), check: emptyCheck(t.info.Check), contents: detail}
	switch {
	case t.custom != nil:
		t.concludeCustom(rec)
		return
	case t.limit != nil || (t.killing != nil && t.killing.Cause == causeLimit):
		t.terminal(t.limitedEnd(p))
		return
	case rec.lost:
		t.terminal(executorTerminated())
		return
	case t.killing != nil && t.killing.Cause == causeCompletion:
		p.state, p.reason = mesos.TASK_FAILED, mesos.REASON_MAX_COMPLETION_TIME_REACHED.Enum()
	case t.killing != nil:
		p.state = mesos.TASK_KILLED
	case rec.Status == 0:
		p.state = mesos.TASK_FINISHED
	default:
		p.state = mesos.TASK_FAILED
	}
	unhealthy := t.killing != nil && t.killing.Cause == causeHealth
	if t.group != nil && t.group.exec.markUnhealthy(unhealthy) {
		unhealthy = true
	}
	if unhealthy {
		no := false
		p.healthy = &no
	}
	t.terminal(p)
}

// emit sends a status of a task that goes on, and checkpoints it.
func (t *task) emit(p statusParts) {
	if _, silent := t.orders(); silent || t.agent.ctx.Err() != nil {
		return // when the agent stops, the next one tells
	}
	t.agent.emit(t.fid, t.status(p))
	t.last = p.state
	t.save(stateFile, stateRecord{State: t.last, RunningAt: t.runningAt, Healthy: t.healthy})
}

// terminal sends the last status, unless the task ends silently, and removes
// the checkpoint. The other tasks of a group follow unless it went well. While
// the agent stops nothing is final: the next one finds the end by itself.
func (t *task) terminal(p statusParts) {
	if t.agent.ctx.Err() != nil {
		return
	}
	t.over, t.end = true, p
	_, silent := t.orders()
	if t.group != nil && !silent && p.state != mesos.TASK_FINISHED {
		defer t.group.killOthers(t)
	}
	if !silent {
		t.agent.emit(t.fid, t.status(p))
	}
	t.last = p.state
}

// alarm is a timer that is off until it is set.
type alarm struct{ timer *time.Timer }

func newAlarm() *alarm { return &alarm{} }

// at sets the alarm, or moves it.
func (a *alarm) at(when time.Time) {
	if a.timer == nil {
		a.timer = time.NewTimer(time.Until(when))
		return
	}
	a.timer.Reset(time.Until(when))
}

func (a *alarm) c() <-chan time.Time {
	if a.timer == nil {
		return nil
	}
	return a.timer.C
}

func (a *alarm) stop() {
	if a.timer != nil {
		a.timer.Stop()
	}
}
