package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// reportFD is the descriptor on which the agent waits for the report of
	// the shim that the task has been started.
	reportFD = 3
	// shimFailed and shimNotNeeded are exit codes of the shim itself.
	shimFailed    = 70
	shimNotNeeded = 71
	// adoptedTimeout bounds the killing of processes that left the session of
	// the task and were inherited by the shim.
	adoptedTimeout = 5 * time.Second
)

// shimSpec is what the shim reads from its file.
type shimSpec struct {
	Dir     string      `json:"dir"` // checkpoint directory of the task
	Process processSpec `json:"process"`
}

// ShimMain is the main function of the process that stands between an agent
// and one task so that the task outlives the agent: args is the path of the
// spec file, the value returned is the exit code. It starts the task once,
// reaps everything the task leaves behind, and writes down how the task ended.
// The program that embeds the agent calls it for the hidden command that
// Config.Helper names.
func ShimMain(args []string) int {
	unix.CloseOnExec(reportFD)
	// Signals meant for the agent's terminal must not end the task. Caught, not
	// ignored: ignored signals would stay ignored in the task.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGPIPE)
	if err := shim(args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		if errors.Is(err, errNotClaimed) {
			return shimNotNeeded
		}
		return shimFailed
	}
	return 0
}

var errNotClaimed = errors.New("the task has been given up before it was started")

func shim(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want the spec file as only argument, got %d", len(args))
	}
	var spec shimSpec
	if found, err := readJSON(args[0], &spec); err != nil || !found {
		return fmt.Errorf("reading the spec (found: %t): %w", found, err)
	}
	self, err := ownID()
	if err != nil {
		return err
	}
	won, err := claim(spec.Dir, self)
	if err != nil {
		return fmt.Errorf("claiming the task: %w", err)
	}
	if !won {
		return errNotClaimed
	}
	// Orphans of the task come to this process, wherever they have gone.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("becoming the reaper of orphans: %w", err)
	}
	status := execFailedStatus
	id, startErr := startProcess(spec.Process)
	if startErr == nil {
		if err := writeJSON(filepath.Join(spec.Dir, processFile), id); err != nil {
			return errors.Join(fmt.Errorf("recording the process: %w", err), id.sweep())
		}
	}
	report(id)
	if startErr == nil {
		if status, err = reapUntil(id); err != nil {
			return err
		}
		killAdopted(self.PID)
	}
	spec.Process.cleanUp()
	return writeJSON(filepath.Join(spec.Dir, exitFile), exitRecord{Status: status})
}

func ownID() (processID, error) {
	st, err := readStat(os.Getpid())
	if err != nil {
		return processID{}, fmt.Errorf("reading the own start time: %w", err)
	}
	return processID{PID: st.pid, Start: st.start, Boot: bootID()}, nil
}

// report tells the agent, if it still listens, which process was started; the
// zero id means that the command could not be executed.
func report(id processID) {
	f := os.NewFile(reportFD, "report")
	defer func() { _ = f.Close() }()
	if b, err := json.Marshal(id); err == nil {
		_, _ = f.Write(append(b, '\n'))
	}
}

// reapUntil reaps children until the task itself has ended, and gives its raw
// wait status. The task stays a zombie until its session is swept, so that its
// number cannot be taken by another process in between.
func reapUntil(id processID) (int, error) {
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOWAIT, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("waiting for the task: %w", err)
		}
		st, statErr := readStat(id.PID)
		if statErr != nil || !st.dead() {
			reapOthers(id.PID)
			continue
		}
		_ = id.sweep()
		status, ok := reap(id.PID)
		if !ok {
			return 0, fmt.Errorf("no wait status of process %d", id.PID)
		}
		return status, nil
	}
}

// reapOthers takes the wait status of all ended children but one.
func reapOthers(except int) {
	self := os.Getpid()
	for _, st := range allStats() {
		if st.ppid == self && st.pid != except && st.dead() {
			reap(st.pid)
		}
	}
}

// killAdopted kills the processes that the task left behind in sessions of
// their own. Their children become children of this process in turn.
func killAdopted(self int) {
	for deadline := time.Now().Add(adoptedTimeout); time.Now().Before(deadline); {
		left := 0
		for _, st := range allStats() {
			if st.ppid != self {
				continue
			}
			if !st.dead() {
				left++
				_ = syscall.Kill(st.pid, syscall.SIGKILL)
				continue
			}
			reap(st.pid)
		}
		if left == 0 {
			return
		}
		time.Sleep(sweepPause)
	}
}
