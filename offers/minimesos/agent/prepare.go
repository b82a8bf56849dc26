package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

func launchFailed(why string) statusParts {
	return agentStatus(mesos.TASK_FAILED, mesos.REASON_CONTAINER_LAUNCH_FAILED, "Failed to launch container: "+why)
}

// prepare makes everything ready for the start of the task: checkpoint,
// sandbox, volumes, fetched files. What it returns, if anything, is the end of
// the task. The default executor gets a group as a whole: all its tasks emit TASK_STARTING before any of them fetches,
// so none is killed before its delivery because another one failed.
func (t *task) prepare() *statusParts {
	end := t.furnish()
	if t.group != nil {
		t.group.delivered.Done()
		t.group.delivered.Wait()
	}
	if end != nil {
		return end
	}
	return t.fetchAll()
}

// furnish is what prepare does before it fetches.
func (t *task) furnish() *statusParts {
	if end := t.unsupported(); end != nil {
		return end
	}
	if err := t.saveRecord(); err != nil {
		end := launchFailed(err.Error())
		return &end
	}
	if end := t.makeSandbox(); end != nil {
		return end
	}
	if err := t.mount(); err != nil {
		end := launchFailed(err.Error())
		return &end
	}
	if t.group != nil {
		return t.starting()
	}
	return nil
}

// unsupported refuses what this agent cannot run.
func (t *task) unsupported() *statusParts {
	if err := errors.Join(checkPathPart("task id", t.info.TaskID.Value), checkPathPart("executor id", t.executorID()),
		checkPathPart("framework id", t.fid), checkPathPart("agent id", t.agentID)); err != nil {
		end := agentStatus(mesos.TASK_ERROR, mesos.REASON_TASK_INVALID, err.Error())
		return &end
	}
	for _, c := range []*mesos.ContainerInfo{t.info.Container, t.executorContainer()} {
		if c == nil {
			continue
		}
		if img := c.GetMesos().GetImage(); img != nil {
			end := launchFailed(fmt.Sprintf("Unsupported container image type: %s", img.GetType()))
			return &end
		}
	}
	if !wantsDocker(t.info.Container) && (t.custom == nil || !wantsDocker(t.custom.Container)) {
		return nil
	}
	why := "Docker containers are only supported for command tasks with Docker information"
	if t.isDocker() && t.group == nil && t.custom == nil {
		why = checkDocker(t.launchCtx)
	}
	if why == "" {
		return nil
	}
	if order, silent := t.orders(); order != nil || silent { // the question was cut short
		return t.starting()
	}
	// Mesos words it so that nobody can guess; the reason is left where the owner
	// of the task looks next.
	if t.makeSandbox() == nil {
		t.complain(errors.New(why))
	}
	end := agentStatus(mesos.TASK_FAILED, mesos.REASON_EXECUTOR_TERMINATED, "Abnormal executor termination: unknown container")
	return &end
}

func (t *task) executorContainer() *mesos.ContainerInfo {
	switch {
	case t.custom != nil:
		return t.custom.Container
	case t.group == nil:
		return nil
	}
	return t.group.exec.info.Container
}

// container is where the process of the task lives: for a custom executor that
// of the executor.
func (t *task) container() *mesos.ContainerInfo {
	if t.custom != nil {
		return t.custom.Container
	}
	return t.info.Container
}

// command is that of the process: of a custom executor, or of the task.
func (t *task) command() *mesos.CommandInfo {
	if t.custom != nil {
		return t.custom.Command
	}
	return t.info.Command
}

// makeSandbox finds the user of the task and creates its directory with empty
// output files.
func (t *task) makeSandbox() *statusParts {
	user, name, err := t.agent.lookupAccount(t.fw, t.command())
	dir := t.sandbox
	if err != nil {
		reason := err.Error()
		if errors.Is(err, errUnknownUser) {
			reason = fmt.Sprintf("No such user '%s'", name)
		}
		end := agentStatus(mesos.TASK_DROPPED, mesos.REASON_EXECUTOR_TERMINATED,
			fmt.Sprintf("Failed to create executor directory '%s': Failed to chown directory to '%s': %s", dir, name, reason))
		return &end
	}
	t.user = user
	if err := t.createSandbox(); err != nil {
		end := agentStatus(mesos.TASK_DROPPED, mesos.REASON_EXECUTOR_TERMINATED,
			fmt.Sprintf("Failed to create executor directory '%s': %s", dir, err))
		return &end
	}
	return nil
}

func (t *task) createSandbox() error {
	if t.group == nil {
		if err := makeRun(t.sandbox); err != nil {
			return err
		}
	} else {
		if err := t.group.exec.prepare(t); err != nil {
			return err
		}
		if err := os.MkdirAll(t.sandbox, dirMode); err != nil {
			return err
		}
		link := filepath.Join(t.group.exec.sandbox, "tasks", t.info.TaskID.Value)
		if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := os.Symlink(filepath.Join("..", "containers", t.containerID), link); err != nil {
			return err
		}
	}
	if err := touchOutputs(t.sandbox); err != nil {
		return err
	}
	return t.user.chownTree(t.sandbox)
}

// mount links the volumes of the task into its sandbox.
func (t *task) mount() error {
	if t.isDocker() { // the client mounts them
		return nil
	}
	parent := ""
	if t.group != nil {
		parent = t.group.exec.sandbox
	}
	if err := t.agent.mountPersistent(t.sandbox, t.info.Resources, t.user); err != nil {
		return err
	}
	if err := mountVolumes(t.sandbox, parent, t.container(), t.user); err != nil {
		return err
	}
	_, err := t.absoluteMounts() // refused now, made at the start
	return err
}

// fetchAll fetches the URIs of the command into the sandbox. A kill ends it.
func (t *task) fetchAll() *statusParts {
	uris := t.command().GetURIs()
	if len(uris) == 0 {
		return nil
	}
	err := t.fetch(uris)
	order, silent := t.orders()
	switch {
	case err == nil && order == nil && !silent:
		return nil
	case order != nil || silent:
		return t.killedWhileFetching()
	}
	t.complain(err)
	if t.group != nil {
		// The executor of a group reports its failed fetcher like a failed task.
		end := statusParts{state: mesos.TASK_FAILED, source: mesos.SOURCE_EXECUTOR, message: describeExit(execFailedStatus),
			check: emptyCheck(t.info.Check), contents: containerOnly}
		return &end
	}
	end := launchFailed(fmt.Sprintf("Failed to fetch all URIs for container '%s': exited with status 1", t.containerID))
	return &end
}

// killedWhileFetching is the end of a task whose KILL came before its start:
// before delivery for a command task, of a running task for one of a group.
func (t *task) killedWhileFetching() *statusParts {
	if t.group == nil {
		return t.starting()
	}
	if t.hasCapability(mesos.FrameworkInfo_Capability_TASK_KILLING_STATE) {
		t.emit(statusParts{state: mesos.TASK_KILLING, source: mesos.SOURCE_EXECUTOR, check: emptyCheck(t.info.Check), contents: containerOnly})
	}
	return &statusParts{state: mesos.TASK_KILLED, source: mesos.SOURCE_EXECUTOR, message: describeExit(int(syscall.SIGKILL)),
		check: emptyCheck(t.info.Check), contents: containerOnly}
}

// complain writes why the task failed into its stderr file, where its owner
// looks first.
func (t *task) complain(err error) {
	f, openErr := openOutput(filepath.Join(t.sandbox, stderrName))
	if openErr != nil {
		return
	}
	_, _ = fmt.Fprintln(f, err)
	_ = f.Close()
}
