package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"syscall"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// RunningTask is a task that Recover has found alive.
type RunningTask struct {
	FrameworkID string
	Framework   mesos.FrameworkInfo
	Task        mesos.TaskInfo
	// Executor is that of a group, nil for a command task.
	Executor *mesos.ExecutorInfo
	// State is the last state that was emitted for it.
	State mesos.TaskState
	// Status is that state in full, as an update would carry it.
	Status mesos.TaskStatus
}

// recovered is a checkpointed task that is being taken over.
type recovered struct {
	task  *task
	state stateRecord
	found bool // state was on disk
	done  bool // its process has ended, rec says how
	rec   exitRecord
}

// Recover takes over the tasks that an earlier agent on the same WorkDir has
// left behind, once, right after New. It returns those that still run. For
// those that ended meanwhile the terminal status is emitted soon after, as for
// those that the earlier agent had accepted but not started. Tasks of
// frameworks that do not checkpoint, and tasks of another agent id than the
// configured one, are killed without a status. So are tasks whose checkpoint
// cannot be read; it is moved to meta/unreadable with a file that says why, for
// one broken file must not keep the agent from its other tasks.
func (a *Agent) Recover() ([]RunningTask, error) {
	entries, err := os.ReadDir(a.checkpointRoot())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("reading the checkpoints: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	defer a.findCompleted()
	var all []*recovered
	groups := make(map[string]*group)
	for _, e := range entries {
		r, err := a.load(filepath.Join(a.checkpointRoot(), e.Name()), groups)
		if err != nil {
			if err := a.setAside(e.Name(), err); err != nil {
				return nil, fmt.Errorf("checkpoint %s: %w", e.Name(), err)
			}
		} else if r != nil {
			all = append(all, r)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].task.info.TaskID.Value < all[j].task.info.TaskID.Value })
	var running []RunningTask
	for _, r := range all {
		if r.task.group != nil {
			r.task.group.exec.tasks++
		}
		a.tasks[r.task.key()] = r.task
		if r.task.custom != nil {
			a.join(r.task)
		}
	}
	for _, r := range all {
		if _, silent := r.task.orders(); !r.done && r.found && !silent {
			running = append(running, r.describe())
		}
		a.wg.Go(func() { r.task.resume(r) })
	}
	return running, nil
}

// setAside kills the task of a checkpoint that cannot be taken over, as far as
// its processes can be known, and moves the checkpoint out of the way.
func (a *Agent) setAside(name string, why error) error {
	dir := filepath.Join(a.checkpointRoot(), name)
	for _, file := range []string{claimFile, processFile} {
		var id processID
		if found, err := readJSON(filepath.Join(dir, file), &id); err == nil && found {
			if err := id.sweep(); err != nil {
				return err
			}
		}
	}
	place := filepath.Join(a.cfg.WorkDir, "meta", "unreadable")
	if err := os.MkdirAll(place, 0o700); err != nil {
		return err
	}
	place = filepath.Join(place, name)
	if err := os.RemoveAll(place); err != nil {
		return err
	}
	if err := os.Rename(dir, place); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(place, "reason"), []byte(why.Error()+"\n"), 0o600)
}

// findCompleted remembers the sandboxes of tasks that ended under earlier
// agents, the oldest first, so that they are found and one day removed; a.mu is
// held.
func (a *Agent) findCompleted() {
	live := make(map[string]bool)
	for _, t := range a.tasks {
		live[t.sandbox] = true
	}
	for _, e := range a.executors {
		live[e.sandbox] = true
	}
	type aged struct {
		run  completedRun
		when time.Time
	}
	var all []aged
	add := func(dir string, key taskKey) {
		if st, err := os.Lstat(dir); err == nil && st.IsDir() && !live[dir] {
			all = append(all, aged{completedRun{key, dir}, st.ModTime()})
		}
	}
	// Errors of Glob are those of the pattern only.
	runs, _ := filepath.Glob(a.runDirectory("*", "*", "*", "*"))
	for _, dir := range runs {
		if filepath.Base(dir) == latestName {
			continue
		}
		executor := filepath.Dir(filepath.Dir(dir))
		fid := filepath.Base(filepath.Dir(filepath.Dir(executor)))
		tasks, err := os.ReadDir(filepath.Join(dir, "tasks"))
		if err != nil { // a command task
			add(dir, taskKey{fid, filepath.Base(executor)})
			continue
		}
		for _, link := range tasks {
			if target, err := filepath.EvalSymlinks(filepath.Join(dir, "tasks", link.Name())); err == nil {
				add(target, taskKey{fid, link.Name()})
			}
		}
		add(dir, taskKey{})
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].when.Before(all[j].when) })
	var old []completedRun
	for _, r := range all {
		old = append(old, a.complete(r.run)...)
	}
	removeSandboxes(old)
}

// load reads one checkpoint. It returns nil if nothing is left of the task.
func (a *Agent) load(dir string, groups map[string]*group) (*recovered, error) {
	var rec taskRecord
	found, err := readJSON(filepath.Join(dir, recordFile), &rec)
	if err != nil {
		return nil, err
	}
	if !found { // the agent ended before the first step
		return nil, os.RemoveAll(dir)
	}
	var fw mesos.FrameworkInfo
	var info mesos.TaskInfo
	if err := errors.Join(fw.Unmarshal(rec.Framework), info.Unmarshal(rec.Task)); err != nil {
		return nil, err
	}
	g, err := a.loadGroup(rec, groups)
	if err != nil {
		return nil, err
	}
	t := a.newTask(fw, info, g, rec.ContainerID)
	t.fid, t.agentID, t.sandbox, t.meta = rec.FrameworkID, rec.AgentID, rec.Sandbox, dir
	r := &recovered{task: t}
	if r.found, err = readJSON(filepath.Join(dir, stateFile), &r.state); err != nil {
		return nil, err
	}
	if t.user, _, err = a.lookupAccount(fw, t.command()); err != nil {
		return nil, err
	}
	var order killOrder
	if found, err := readJSON(filepath.Join(dir, killFile), &order); err == nil && found {
		t.order = &order
	}
	if err := r.findProcess(); err != nil {
		return nil, err
	}
	if !t.checkpoints() || (a.agentID != "" && a.agentID != rec.AgentID) {
		t.silent = true
	}
	if g != nil {
		g.tasks = append(g.tasks, t)
	}
	return r, nil
}

// loadGroup finds or makes the group and the executor of a checkpoint; both
// are nil for a command task.
func (a *Agent) loadGroup(rec taskRecord, groups map[string]*group) (*group, error) {
	if rec.GroupID == "" {
		return nil, nil
	}
	if g := groups[rec.GroupID]; g != nil {
		return g, nil
	}
	var info mesos.ExecutorInfo
	if err := info.Unmarshal(rec.Executor); err != nil {
		return nil, err
	}
	key := taskKey{rec.FrameworkID, info.ExecutorID.Value}
	e := a.executors[key]
	if e == nil {
		e = &executor{info: info, containerID: rec.ExecutorContainer, sandbox: rec.ExecutorSandbox}
		e.once.Do(func() {}) // its sandbox is there
		a.executors[key] = e
	}
	g := &group{id: rec.GroupID, exec: e}
	groups[rec.GroupID] = g
	return g, nil
}

// findProcess learns from the checkpoint whether the task runs, has ended or
// never started.
func (r *recovered) findProcess() error {
	dir := r.task.meta
	// Claiming it makes sure that a shim that is late does not start it.
	won, err := claim(dir, processID{})
	if err != nil {
		return err
	}
	if won {
		r.done, r.rec = true, exitRecord{lost: true}
		return nil
	}
	run := &runner{meta: dir}
	if _, err := readJSON(filepath.Join(dir, claimFile), &run.shim); err != nil {
		return err
	}
	if run.shim.PID == 0 { // an earlier Recover has given it up
		r.done, r.rec = true, exitRecord{lost: true}
		return nil
	}
	if _, err := os.Stat(filepath.Join(dir, exitFile)); err == nil {
		// The shim has only its own end left to do.
		ctx, cancel := context.WithTimeout(r.task.agent.ctx, sweepTimeout)
		_ = run.shim.awaitEnd(ctx)
		cancel()
	} else if run.shim.alive() {
		// The shim writes the process down right after the claim; if it is
		// still at it, the end of the shim tells.
		if _, err := readJSON(filepath.Join(dir, processFile), &run.proc); err != nil {
			return err
		}
		r.task.runner = run
		return nil
	}
	// Only if this process has started it, which happens when an agent is
	// restarted within one process.
	if st, err := readStat(run.shim.PID); err == nil && st.start == run.shim.Start {
		reap(run.shim.PID)
	}
	r.done = true
	r.task.runner = run
	r.rec, err = run.afterShim()
	return err
}

// describe is the task as Recover returns it.
func (r *recovered) describe() RunningTask {
	t := r.task
	out := RunningTask{FrameworkID: t.fid, Framework: t.fw, Task: t.info, State: r.state.State}
	if t.group != nil {
		ex := t.group.exec.info
		out.Executor = &ex
	}
	out.Status = t.status(statusParts{state: r.state.State, source: mesos.SOURCE_EXECUTOR, healthy: r.state.Healthy,
		check: emptyCheck(t.info.Check), contents: containerFull})
	return out
}

// resume is run for a task that is taken over.
func (t *task) resume(r *recovered) {
	defer t.agent.finished(t)
	t.runningAt, t.healthy, t.check = r.state.RunningAt, r.state.Healthy, emptyCheck(t.info.Check)
	t.succeeded = r.state.Healthy != nil && *r.state.Healthy
	if r.found {
		t.last = r.state.State
	} else {
		t.last = mesos.TASK_STAGING
	}
	if t.last == mesos.TASK_KILLING && t.order != nil {
		// Told already; SIGTERM is sent again, which is harmless, for the
		// earlier agent may have ended in between.
		order := *t.order
		t.killing = &order
		if t.runner != nil {
			t.runner.signal(syscall.SIGTERM)
		}
	}
	if !r.done {
		t.awaitProcess()
		t.live()
		return
	}
	if t.order != nil && t.killing == nil && t.last != mesos.TASK_STAGING {
		t.killing = t.order
	}
	t.conclude(r.rec)
}

// awaitProcess waits until the shim has written down the process it started,
// or ends.
func (t *task) awaitProcess() {
	ctx, cancel := context.WithTimeout(t.agent.ctx, shimStartTimeout)
	defer cancel()
	for t.runner.proc.PID == 0 && t.runner.shim.alive() && ctx.Err() == nil {
		_, _ = readJSON(filepath.Join(t.meta, processFile), &t.runner.proc)
		pause(ctx, pollPause)
	}
}

// pause waits, at most until the context ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
