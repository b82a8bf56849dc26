package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// sweepTimeout bounds how long the end of a task waits for the rest of its
	// session to disappear after SIGKILL.
	sweepTimeout = 5 * time.Second
	// sweepPause lies between two looks at a session that is being killed.
	sweepPause = 5 * time.Millisecond
	// pollPause is the period of the watch on a process where the kernel gives
	// no pidfd.
	pollPause = 50 * time.Millisecond
	// execFailedStatus is the raw wait status of a command that could not be
	// executed: exit code 1, as the launcher of Mesos ends then.
	execFailedStatus = 1 << 8
)

// processSpec is all that is needed to start one process. It crosses a process
// border (to the shim), so it holds plain values only.
type processSpec struct {
	Path   string   `json:"path"` // as found in the PATH of Env
	Args   []string `json:"args"` // with argv[0]
	Env    []string `json:"env"`
	Dir    string   `json:"dir"`
	Stdout string   `json:"stdout"` // files to append to; empty: discard
	Stderr string   `json:"stderr"`
	// Switch tells to run as UID, GID and Groups instead of the current user.
	Switch bool     `json:"switch"`
	UID    uint32   `json:"uid"`
	GID    uint32   `json:"gid"`
	Groups []uint32 `json:"groups"`
	// Mounts are seen by the process alone; they take root.
	Mounts []bindMount `json:"mounts,omitempty"`
	// Cleanup is a command that runs once after the process has ended, with
	// Env, to remove what is not a process. Empty: none.
	Cleanup []string `json:"cleanup,omitempty"`
}

// processID names a process so that a re-used pid is noticed.
type processID struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks since boot, field 22 of /proc/<pid>/stat
	Boot  string `json:"boot"`  // /proc/sys/kernel/random/boot_id
}

// startProcess starts the process of spec as leader of a new session. The
// process is a child and has to be reaped by whoever calls this.
func startProcess(spec processSpec) (processID, error) {
	cmd := &exec.Cmd{
		Path:        spec.Path,
		Args:        spec.Args,
		Env:         spec.Env,
		Dir:         spec.Dir,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if spec.Switch {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: spec.UID, Gid: spec.GID, Groups: spec.Groups}
	}
	stdout, err := openOutput(spec.Stdout)
	if err != nil {
		return processID{}, err
	}
	defer func() { _ = stdout.Close() }()
	stderr, err := openOutput(spec.Stderr)
	if err != nil {
		return processID{}, err
	}
	defer func() { _ = stderr.Close() }()
	cmd.Stdout, cmd.Stderr = stdout, stderr
	start := cmd.Start
	if len(spec.Mounts) > 0 {
		start = func() error { return inMounts(spec.Mounts, cmd.Start) }
	}
	if err := start(); err != nil {
		_, _ = fmt.Fprintf(stderr, "Failed to execute command: %v\n", err)
		return processID{}, fmt.Errorf("starting %s: %w", spec.Path, err)
	}
	pid := cmd.Process.Pid
	// Not reaped yet, so /proc has it even if it has ended already.
	st, err := readStat(pid)
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return processID{}, fmt.Errorf("reading the start time of %s: %w", spec.Path, err)
	}
	_ = cmd.Process.Release()
	return processID{PID: pid, Start: st.start, Boot: bootID()}, nil
}

func openOutput(path string) (*os.File, error) {
	if path == "" {
		path = os.DevNull
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening an output file: %w", err)
	}
	return f, nil
}

// procStat is the part of /proc/<pid>/stat that matters here.
type procStat struct {
	pid, ppid, session, threads int
	state                       byte
	start                       uint64
}

// dead tells that only the entry in the process table is left. A process whose
// main thread has ended before the others looks like a zombie but is none.
func (s procStat) dead() bool { return (s.state == 'Z' && s.threads <= 1) || s.state == 'X' }

func readStat(pid int) (procStat, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return procStat{}, err
	}
	// The command name is in parentheses and may hold anything, even spaces
	// and parentheses; the last one closes it.
	end := bytes.LastIndexByte(b, ')')
	if end < 0 || end+2 >= len(b) {
		return procStat{}, fmt.Errorf("/proc/%d/stat: no command name", pid)
	}
	f := strings.Fields(string(b[end+2:]))
	const fieldPPID, fieldSession, fieldThreads, fieldStart = 1, 3, 17, 19
	if len(f) <= fieldStart {
		return procStat{}, fmt.Errorf("/proc/%d/stat: only %d fields", pid, len(f))
	}
	st := procStat{pid: pid, state: f[0][0]}
	var errs [4]error
	st.ppid, errs[0] = strconv.Atoi(f[fieldPPID])
	st.session, errs[1] = strconv.Atoi(f[fieldSession])
	st.threads, errs[3] = strconv.Atoi(f[fieldThreads])
	st.start, errs[2] = strconv.ParseUint(f[fieldStart], 10, 64)
	return st, errors.Join(errs[:]...)
}

// allStats reads every process that can be read; those that end meanwhile are
// left out.
func allStats() []procStat {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer func() { _ = dir.Close() }()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil
	}
	var out []procStat
	for _, n := range names {
		pid, err := strconv.Atoi(n)
		if err != nil {
			continue
		}
		if st, err := readStat(pid); err == nil {
			out = append(out, st)
		}
	}
	return out
}

func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// alive tells whether the process is still the one that was named and has not
// ended.
func (p processID) alive() bool {
	st, err := readStat(p.PID)
	return err == nil && st.start == p.Start && !st.dead() && p.Boot == bootID()
}

// ownsSession tells whether the session with the number of this process can
// only be the one it once led: the number is free or still its own.
func (p processID) ownsSession() bool {
	if p.PID <= 1 || p.Boot != bootID() {
		return false
	}
	st, err := readStat(p.PID)
	return err != nil || st.start == p.Start
}

// signal sends sig to every process of the session that p leads.
func (p processID) signal(sig syscall.Signal) {
	if !p.ownsSession() {
		return
	}
	_ = syscall.Kill(-p.PID, sig)
	for _, st := range allStats() {
		// A process of the session outside the leader's group, for example a
		// job of an interactive shell.
		if st.session == p.PID && !st.dead() && st.start >= p.Start {
			if pgid, err := syscall.Getpgid(st.pid); err == nil && pgid != p.PID {
				_ = syscall.Kill(st.pid, sig)
			}
		}
	}
}

// sweep kills what is left of the session of p and waits until it is gone.
func (p processID) sweep() error {
	deadline := time.Now().Add(sweepTimeout)
	for {
		left := 0
		if !p.ownsSession() {
			return nil
		}
		_ = syscall.Kill(-p.PID, syscall.SIGKILL)
		for _, st := range allStats() {
			if st.session == p.PID && !st.dead() && st.start >= p.Start {
				left++
				_ = syscall.Kill(st.pid, syscall.SIGKILL)
			}
		}
		if left == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d processes of session %d outlive SIGKILL", left, p.PID)
		}
		time.Sleep(sweepPause)
	}
}

// awaitEnd returns when the process has ended (it may still have to be reaped)
// or the context is done, whose error it returns then.
func (p processID) awaitEnd(ctx context.Context) error {
	fd, err := unix.PidfdOpen(p.PID, unix.PIDFD_NONBLOCK)
	if err != nil {
		return p.pollEnd(ctx)
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	defer func() { _ = f.Close() }()
	if !p.alive() { // after the open: from here on the descriptor means this process
		return nil
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return p.pollEnd(ctx)
	}
	stop := context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	err = raw.Read(func(fd uintptr) bool {
		// Readable means: the process and all its threads have ended.
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		return err == nil && n == 1
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return p.pollEnd(ctx)
	}
	return nil
}

// pollEnd is awaitEnd for kernels without pidfds.
func (p processID) pollEnd(ctx context.Context) error {
	t := time.NewTicker(pollPause)
	defer t.Stop()
	for p.alive() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
	return nil
}

// reap takes the wait status of a child that has ended. ok is false if the
// process is no child or has not ended.
func reap(pid int) (status int, ok bool) {
	for {
		var ws syscall.WaitStatus
		got, err := syscall.Wait4(pid, &ws, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		return int(ws), err == nil && got == pid
	}
}

// lookPath finds an executable as execvp does, in the PATH of the task and not
// in that of this process.
func lookPath(name string, env []string) string {
	if strings.Contains(name, "/") {
		return name
	}
	for _, kv := range env {
		dirs, ok := strings.CutPrefix(kv, "PATH=")
		if !ok {
			continue
		}
		for _, dir := range strings.Split(dirs, ":") {
			if dir == "" {
				continue
			}
			full := dir + "/" + name
			if st, err := os.Stat(full); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
				return full
			}
		}
	}
	// Not found: this path lets the start fail with the usual error.
	return "/" + name
}
