package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// shimStartTimeout bounds how long a shim may take to report the start of its
// task.
const shimStartTimeout = 30 * time.Second

// runner is a started task: its process and, if there is one, the shim that
// keeps watch over it.
type runner struct {
	proc  processID // zero: the command could not be executed
	shim  processID // zero: the task is a child of this process
	meta  string    // where the shim leaves the exit record
	exits bool      // with proc zero and no shim: report the failed exec
	spec  processSpec
}

// startRunner starts the process of a task, through the helper if there is one. An
// error means that the agent could not do its part; a command that cannot be
// executed is no error but ends with exit status 1.
func (t *task) startRunner(spec processSpec) (*runner, error) {
	if !t.agent.persistent() {
		id, err := startProcess(spec)
		return &runner{proc: id, exits: err != nil, spec: spec}, nil
	}
	specPath := filepath.Join(t.meta, specFile)
	if err := writeJSON(specPath, shimSpec{Dir: t.meta, Process: spec}); err != nil {
		return nil, fmt.Errorf("writing the spec of the shim: %w", err)
	}
	logFile, err := openOutput(filepath.Join(t.meta, shimLogFile))
	if err != nil {
		return nil, err
	}
	defer func() { _ = logFile.Close() }()
	in, out, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe to the shim: %w", err)
	}
	defer func() { _ = in.Close() }()
	helper := t.agent.cfg.Helper
	cmd := exec.Command(helper[0], append(append([]string(nil), helper[1:]...), specPath)...)
	// One thread is enough for a process that only waits.
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", logFile, logFile
	cmd.ExtraFiles = []*os.File{out}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	_ = out.Close()
	if err != nil {
		return nil, fmt.Errorf("starting the shim: %w", err)
	}
	pid := cmd.Process.Pid
	st, err := readStat(pid)
	_ = cmd.Process.Release()
	if err != nil {
		return nil, fmt.Errorf("reading the start time of the shim: %w", err)
	}
	r := &runner{shim: processID{PID: pid, Start: st.start, Boot: bootID()}, meta: t.meta}
	_ = in.SetReadDeadline(time.Now().Add(shimStartTimeout))
	line, err := bufio.NewReader(in).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &r.proc)
	}
	if err != nil && r.shim.alive() && os.IsTimeout(err) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	// Without a report the end of the shim tells the rest.
	return r, nil
}

// pid is the process that a status names as executor.
func (r *runner) pid() int {
	if r.shim.PID != 0 {
		return r.shim.PID
	}
	return r.proc.PID
}

// signal sends sig to all processes of the task.
func (r *runner) signal(sig syscall.Signal) {
	if r.proc.PID != 0 {
		r.proc.signal(sig)
	}
}

// await returns how the task ended, after all its processes are gone. The
// error is that of the context; the task then goes on.
func (r *runner) await(ctx context.Context) (exitRecord, error) {
	if r.exits {
		return exitRecord{Status: execFailedStatus}, nil
	}
	if r.shim.PID == 0 {
		if err := r.proc.awaitEnd(ctx); err != nil {
			return exitRecord{}, err
		}
		_ = r.proc.sweep()
		status, ok := reap(r.proc.PID)
		r.spec.cleanUp()
		return exitRecord{Status: status, lost: !ok}, nil
	}
	if err := r.shim.awaitEnd(ctx); err != nil {
		return exitRecord{}, err
	}
	reap(r.shim.PID)
	return r.afterShim()
}

// afterShim reads what an ended shim has left.
func (r *runner) afterShim() (exitRecord, error) {
	var rec exitRecord
	found, err := readJSON(filepath.Join(r.meta, exitFile), &rec)
	if err == nil && found {
		return rec, nil
	}
	if r.proc.PID == 0 {
		_, _ = readJSON(filepath.Join(r.meta, processFile), &r.proc)
	}
	_ = r.proc.sweep()
	var spec shimSpec
	if found, err := readJSON(filepath.Join(r.meta, specFile), &spec); err == nil && found {
		spec.Process.cleanUp()
	}
	return exitRecord{lost: true}, nil
}
