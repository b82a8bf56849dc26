package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// Files of one task in its checkpoint directory.
const (
	recordFile  = "task.json"    // taskRecord, before anything else
	specFile    = "spec.json"    // shimSpec, before the shim is started
	claimFile   = "shim.json"    // processID of the shim; made only once, by the shim or by Recover
	processFile = "process.json" // processID of the task, after its start
	stateFile   = "state.json"   // stateRecord, after the status was emitted
	killFile    = "kill.json"    // killOrder, before the first signal
	exitFile    = "exit.json"    // exitRecord, after the whole session has ended
	shimLogFile = "shim.log"
)

// taskRecord is all that a restarted agent has to know to take over a task.
type taskRecord struct {
	AgentID     string `json:"agent_id"`
	FrameworkID string `json:"framework_id"`
	ContainerID string `json:"container_id"`
	Sandbox     string `json:"sandbox"`
	Framework   []byte `json:"framework"` // protobuf
	Task        []byte `json:"task"`      // protobuf
	// Of a task in a group only:
	GroupID           string `json:"group_id,omitempty"`
	Executor          []byte `json:"executor,omitempty"` // protobuf
	ExecutorContainer string `json:"executor_container,omitempty"`
	ExecutorSandbox   string `json:"executor_sandbox,omitempty"`
}

// stateRecord is the last state that was emitted.
type stateRecord struct {
	State     mesos.TaskState `json:"state"`
	RunningAt time.Time       `json:"running_at"` // zero before TASK_RUNNING
	Healthy   *bool           `json:"healthy,omitempty"`
}

// exitRecord is how a task ended: the raw wait status of its first process.
type exitRecord struct {
	Status int `json:"status"`
	// lost tells that nobody can say: the process that kept watch has died.
	lost bool
}

// writeJSON replaces a file at once: a reader sees the old or the new content.
func writeJSON(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", filepath.Base(path), err)
	}
	tmp := fmt.Sprintf("%s.%d.tmp", path, os.Getpid())
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// readJSON reads a file written by writeJSON; found is false if there is none.
func readJSON(path string, v any) (found bool, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return false, fmt.Errorf("decoding %s: %w", path, err)
	}
	return true, nil
}

// claim makes the claim file unless somebody else has. A task is started only
// by the shim that won the claim, so one that Recover has given up never runs.
func claim(dir string, id processID) (bool, error) {
	tmp := filepath.Join(dir, fmt.Sprintf("%s.%d.claim", claimFile, os.Getpid()))
	if err := writeJSON(tmp, id); err != nil {
		return false, err
	}
	defer func() { _ = os.Remove(tmp) }()
	err := os.Link(tmp, filepath.Join(dir, claimFile))
	if errors.Is(err, os.ErrExist) {
		return false, nil
	}
	return err == nil, err
}

// checkpointRoot holds one directory per live task, named by its container.
func (a *Agent) checkpointRoot() string { return filepath.Join(a.cfg.WorkDir, "meta", "tasks") }

// persistent tells whether tasks outlive the agent process.
func (a *Agent) persistent() bool { return len(a.cfg.Helper) > 0 }

// saveRecord writes the checkpoint of a task that is about to be prepared.
func (t *task) saveRecord() error {
	if !t.agent.persistent() {
		return nil
	}
	if err := os.MkdirAll(t.meta, 0o700); err != nil {
		return err
	}
	rec := taskRecord{AgentID: t.agentID, FrameworkID: t.fid, ContainerID: t.containerID, Sandbox: t.sandbox}
	var errs [3]error
	rec.Framework, errs[0] = t.fw.Marshal()
	rec.Task, errs[1] = t.info.Marshal()
	if t.group != nil {
		rec.GroupID = t.group.id
		rec.Executor, errs[2] = t.group.exec.info.Marshal()
		rec.ExecutorContainer, rec.ExecutorSandbox = t.group.exec.containerID, t.group.exec.sandbox
	}
	if err := errors.Join(errs[:]...); err != nil {
		return fmt.Errorf("encoding the checkpoint of %s: %w", t.info.TaskID.Value, err)
	}
	return writeJSON(filepath.Join(t.meta, recordFile), rec)
}

// save writes one file of the checkpoint. A failure is not worth ending the
// task for: it only matters if the agent restarts while the task lives.
func (t *task) save(name string, v any) {
	if t.agent.persistent() {
		_ = writeJSON(filepath.Join(t.meta, name), v)
	}
}

// forget removes the checkpoint after the terminal status was emitted.
func (t *task) forget() {
	if t.agent.persistent() {
		_ = os.RemoveAll(t.meta)
	}
}
