package agent

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// statusParts is what differs between two statuses of one task.
type statusParts struct {
	state    mesos.TaskState
	source   mesos.TaskStatus_Source
	reason   *mesos.TaskStatus_Reason
	message  string
	healthy  *bool
	check    *mesos.CheckStatusInfo
	limit    *mesos.TaskResourceLimitation
	contents containerDetail
}

// containerDetail says how much of its container a status tells.
type containerDetail int

const (
	noContainer   containerDetail = iota // statuses that the agent makes up itself
	containerOnly                        // the id alone: a nested container that does not run
	containerFull                        // id, addresses and pid of the executor
)

// agentStatus is a status that comes from the agent because there is no
// executor that could send it.
func agentStatus(state mesos.TaskState, reason mesos.TaskStatus_Reason, message string) statusParts {
	return statusParts{state: state, source: mesos.SOURCE_AGENT, reason: reason.Enum(), message: message}
}

// executorTerminated is the end of a task whose executor has died.
func executorTerminated() statusParts {
	return agentStatus(mesos.TASK_FAILED, mesos.REASON_EXECUTOR_TERMINATED, "Executor terminated")
}

// killedBeforeDelivery is the end of a task whose KILL was faster than its start.
func killedBeforeDelivery() statusParts {
	return agentStatus(mesos.TASK_KILLED, mesos.REASON_TASK_KILLED_DURING_LAUNCH, "Killed before delivery to the executor")
}

// status completes parts to the status of task t.
func (t *task) status(p statusParts) mesos.TaskStatus {
	now := float64(time.Now().UnixMicro()) / 1e6
	st := mesos.TaskStatus{
		TaskID:      t.info.TaskID,
		State:       p.state.Enum(),
		Source:      p.source.Enum(),
		Reason:      p.reason,
		ExecutorID:  &mesos.ExecutorID{Value: t.executorID()},
		Timestamp:   &now,
		Healthy:     p.healthy,
		CheckStatus: p.check,
		Limitation:  p.limit,
	}
	if p.message != "" {
		st.Message = &p.message
	}
	if p.contents == noContainer {
		return st
	}
	id := &mesos.ContainerID{Value: t.containerID}
	if t.group != nil {
		id.Parent = &mesos.ContainerID{Value: t.group.exec.containerID}
	}
	st.ContainerStatus = &mesos.ContainerStatus{ContainerID: id}
	if p.contents == containerFull {
		ip := t.agent.cfg.IP
		st.ContainerStatus.NetworkInfos = []mesos.NetworkInfo{{
			IPAddresses: []mesos.NetworkInfo_IPAddress{{Protocol: mesos.IPv4.Enum(), IPAddress: &ip}},
		}}
		if pid := uint32(t.executorPID()); pid != 0 {
			st.ContainerStatus.ExecutorPID = &pid
		}
	}
	return st
}

// describeExit words the end of a command as Mesos does: `Command exited with
// status 3`, `Command terminated with signal Killed`.
func describeExit(raw int) string {
	ws := syscall.WaitStatus(raw)
	if !ws.Signaled() {
		return fmt.Sprintf("Command exited with status %d", ws.ExitStatus())
	}
	name := ws.Signal().String()
	msg := "Command terminated with signal " + strings.ToUpper(name[:1]) + name[1:]
	if ws.CoreDump() {
		msg += " (core dumped)"
	}
	return msg
}

// describeEnd is describeExit in the words of the executor of the task.
func (t *task) describeEnd(raw int) string {
	msg := describeExit(raw)
	if rest, ok := strings.CutPrefix(msg, "Command"); ok && t.isDocker() {
		return "Container" + rest
	}
	return msg
}

// emptyCheck is the check status of a task whose check has given no result
// yet: the type with an empty sub-message. nil for a task without check.
func emptyCheck(c *mesos.CheckInfo) *mesos.CheckStatusInfo {
	if c == nil {
		return nil
	}
	st := &mesos.CheckStatusInfo{Type: c.Type.Enum()}
	switch c.Type {
	case mesos.CheckInfo_COMMAND:
		st.Command = &mesos.CheckStatusInfo_Command{}
	case mesos.CheckInfo_HTTP:
		st.HTTP = &mesos.CheckStatusInfo_Http{}
	case mesos.CheckInfo_TCP:
		st.TCP = &mesos.CheckStatusInfo_Tcp{}
	}
	return st
}
