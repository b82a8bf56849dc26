package harness

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TaskProcess is a process that belongs to a task of some work directory.
type TaskProcess struct {
	Pid     int
	TaskID  string // empty: the process has no task in its environment
	Command string
}

func (p TaskProcess) String() string {
	return fmt.Sprintf("pid %d task %s: %s", p.Pid, p.TaskID, p.Command)
}

// Processes lists the living processes of tasks whose sandboxes lie below dir,
// found by environment or working directory. The processes that watch over tasks
// for the agent are among them, without a task id.
func Processes(dir string) ([]TaskProcess, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if os.IsNotExist(err) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var out []TaskProcess
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if p, ok := taskProcess(pid, dir); ok {
			out = append(out, p)
		}
	}
	return out, nil
}

// taskProcess looks at one process; what has ended meanwhile, zombies included, is none.
func taskProcess(pid int, dir string) (TaskProcess, bool) {
	at := fmt.Sprintf("/proc/%d/", pid)
	command, err := os.ReadFile(at + "cmdline")
	if err != nil || len(command) == 0 {
		return TaskProcess{}, false
	}
	args := strings.Split(strings.TrimSuffix(string(command), "\x00"), "\x00")
	p := TaskProcess{Pid: pid, Command: strings.Join(args, " ")}
	cwd, _ := os.Readlink(at + "cwd")
	inside := strings.HasPrefix(cwd, dir+"/")
	environ, err := os.ReadFile(at + "environ")
	if err != nil && !inside {
		return TaskProcess{}, false
	}
	for _, kv := range strings.Split(string(environ), "\x00") {
		switch key, value, _ := strings.Cut(kv, "="); key {
		case "MESOS_SANDBOX":
			inside = inside || strings.HasPrefix(value, dir+"/")
		case "MESOS_TASK_ID":
			p.TaskID = value
		}
	}
	if len(args) > 1 && args[1] == "task-shim" {
		p.TaskID = ""
		inside = inside || strings.HasPrefix(args[len(args)-1], dir+"/")
	}
	return p, inside
}

// TaskPids are the pids of each running task below dir.
func TaskPids(t testing.TB, dir string) map[string][]int {
	t.Helper()
	all, err := Processes(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]int{}
	for _, p := range all {
		if p.TaskID != "" {
			out[p.TaskID] = append(out[p.TaskID], p.Pid)
		}
	}
	return out
}

// Sandbox is the working directory of a running task below dir. A task's processes may come and go, so they are looked for
// until one tells.
func Sandbox(t testing.TB, dir, id string, limit time.Duration) string {
	t.Helper()
	var at string
	Await(t, limit, "task "+id+" has a process", func() (bool, string) {
		for _, pid := range TaskPids(t, dir)[id] {
			var err error
			if at, err = os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err == nil {
				return true, ""
			}
		}
		return false, ""
	})
	return at
}

// KillTask kills every process of a running task below dir, as the kernel does when it is out of memory.
func KillTask(t testing.TB, dir, id string) {
	t.Helper()
	pids := TaskPids(t, dir)[id]
	if len(pids) == 0 {
		t.Fatalf("task %s has no process", id)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
	}
}

// NoneLeft waits until no process of any task below dir lives.
func NoneLeft(t testing.TB, dir string, limit time.Duration) {
	t.Helper()
	Await(t, limit, "no process of any task is left", func() (bool, string) {
		left, err := Processes(dir)
		return err == nil && len(left) == 0, fmt.Sprint(left, err)
	})
}

// KillLeftovers kills, at the end of the test, every task process below dir by
// its pid. Call it before the servers start, so that it runs after their end.
func KillLeftovers(t testing.TB, dir string) {
	t.Cleanup(func() {
		left, err := Processes(dir)
		if err != nil {
			t.Error(err)
		}
		for _, p := range left {
			_ = syscall.Kill(p.Pid, syscall.SIGKILL)
		}
	})
}
