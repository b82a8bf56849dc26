package agent

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

const (
	shimCommand  = "agent-test-shim"
	agentCommand = "agent-test-agent"
	// eventTimeout is how long a test waits for one event.
	eventTimeout = 20 * time.Second
)

// TestMain lets the test binary be its own shim.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == shimCommand {
		os.Exit(ShimMain(os.Args[2:]))
	}
	if len(os.Args) > 2 && os.Args[1] == agentCommand {
		os.Exit(doomedAgent(os.Args[2]))
	}
	os.Exit(m.Run())
}

// doomedAgent is an agent process that launches two tasks, tells their
// statuses on stdout and waits to be killed.
func doomedAgent(workDir string) int {
	emit := func(_ string, st mesos.TaskStatus) { fmt.Println(st.TaskID.Value, line(st)) }
	a, err := New(Config{AgentID: "agent-S0", WorkDir: workDir, Helper: []string{os.Args[0], shimCommand}}, emit, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	a.Launch(killingFramework(), shellTask("kept", "sleep 1000"))
	a.Launch(killingFramework(), shellTask("ends", endsOnFile(filepath.Join(workDir, "flag"))))
	select {}
}

// bench is an agent under test with all it has emitted.
type bench struct {
	t     *testing.T
	agent *Agent
	cfg   Config

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced at every event
	statuses []mesos.TaskStatus
	done     []string
}

func newBench(t *testing.T, cfg Config) *bench {
	t.Helper()
	if cfg.WorkDir == "" {
		cfg.WorkDir = t.TempDir()
	}
	if cfg.AgentID == "" {
		cfg.AgentID = "agent-S0"
	}
	cfg.IP = "127.0.0.9"
	b := &bench{t: t, cfg: cfg, changed: make(chan struct{})}
	a, err := New(cfg, b.emit, b.executorDone)
	if err != nil {
		t.Fatal(err)
	}
	b.agent = a
	t.Cleanup(func() {
		if err := a.Close(true); err != nil {
			t.Error(err)
		}
	})
	return b
}

// withShim is a configuration in which tasks outlive the agent.
func withShim(t *testing.T) Config {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Config{Helper: []string{exe, shimCommand}}
}

func (b *bench) emit(_ string, st mesos.TaskStatus) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.statuses = append(b.statuses, st)
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *bench) executorDone(_, executorID string, raw int32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done = append(b.done, fmt.Sprintf("%s:%d", executorID, raw))
	close(b.changed)
	b.changed = make(chan struct{})
}

// await waits until cond, called with b.mu held, is true.
func (b *bench) await(what string, cond func() bool) {
	b.t.Helper()
	timeout := time.After(eventTimeout)
	for {
		b.mu.Lock()
		ok, changed := cond(), b.changed
		b.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			b.t.Fatalf("no %s within %v; statuses: %s", what, eventTimeout, b.describe(""))
		}
	}
}

// line is a status in one line, without what differs from run to run.
func line(st mesos.TaskStatus) string {
	parts := []string{strings.TrimPrefix(st.GetState().String(), "TASK_"), strings.ToLower(strings.TrimPrefix(st.GetSource().String(), "SOURCE_"))}
	if st.Reason != nil {
		parts = append(parts, strings.TrimPrefix(st.Reason.String(), "REASON_"))
	}
	if st.Message != nil {
		parts = append(parts, "'"+*st.Message+"'")
	}
	if st.Healthy != nil {
		parts = append(parts, fmt.Sprintf("healthy=%t", *st.Healthy))
	}
	if c := st.CheckStatus; c != nil {
		text := "check=" + c.GetType().String()
		switch {
		case c.Command != nil && c.Command.ExitCode != nil:
			text += fmt.Sprintf(":%d", *c.Command.ExitCode)
		case c.HTTP != nil && c.HTTP.StatusCode != nil:
			text += fmt.Sprintf(":%d", *c.HTTP.StatusCode)
		case c.TCP != nil && c.TCP.Succeeded != nil:
			text += fmt.Sprintf(":%t", *c.TCP.Succeeded)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " ")
}

// of returns the statuses of one task; empty: of all.
func (b *bench) of(id string) []mesos.TaskStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ofLocked(id)
}

func (b *bench) ofLocked(id string) []mesos.TaskStatus {
	var out []mesos.TaskStatus
	for _, st := range b.statuses {
		if id == "" || st.TaskID.Value == id {
			out = append(out, st)
		}
	}
	return out
}

func (b *bench) describe(id string) string {
	var out []string
	for _, st := range b.of(id) {
		l := line(st)
		if id == "" {
			l = st.TaskID.Value + " " + l
		}
		out = append(out, l)
	}
	return strings.Join(out, "\n")
}

func isTerminal(s mesos.TaskState) bool {
	switch s {
	case mesos.TASK_STAGING, mesos.TASK_STARTING, mesos.TASK_RUNNING, mesos.TASK_KILLING:
		return false
	}
	return true
}

// awaitState waits until the last status of the task is of that state.
func (b *bench) awaitState(id string, want mesos.TaskState) mesos.TaskStatus {
	b.t.Helper()
	var last mesos.TaskStatus
	b.await(fmt.Sprintf("%s of %s", want, id), func() bool {
		all := b.ofLocked(id)
		if len(all) == 0 {
			return false
		}
		last = all[len(all)-1]
		if isTerminal(last.GetState()) && last.GetState() != want {
			b.t.Fatalf("%s ended with %s", id, line(last))
		}
		return last.GetState() == want
	})
	return last
}

// awaitEnd waits for the terminal status and compares all lines of the task.
func (b *bench) awaitEnd(id string, want ...string) {
	b.t.Helper()
	b.await("end of "+id, func() bool {
		all := b.ofLocked(id)
		return len(all) > 0 && isTerminal(all[len(all)-1].GetState())
	})
	if got := b.describe(id); got != strings.Join(want, "\n") {
		b.t.Errorf("statuses of %s:\n%s\nwant:\n%s", id, got, strings.Join(want, "\n"))
	}
}

// awaitFile waits until a file has content, and returns it. Files have no
// events, so this polls.
func awaitFile(t *testing.T, path string) string {
	t.Helper()
	for deadline := time.Now().Add(eventTimeout); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if data, err := os.ReadFile(path); err == nil && len(data) > 0 && strings.HasSuffix(string(data), "\n") {
			return string(data)
		}
	}
	t.Fatalf("nothing in %s within %v", path, eventTimeout)
	return ""
}

// awaitGone waits until a process does not exist or is a zombie.
func awaitGone(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(eventTimeout); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if st, err := readStat(pid); err != nil || st.dead() {
			return
		}
	}
	t.Fatalf("process %d still runs after %v", pid, eventTimeout)
}

func framework(caps ...mesos.FrameworkInfo_Capability_Type) mesos.FrameworkInfo {
	fw := mesos.FrameworkInfo{User: "root", Name: "test", ID: &mesos.FrameworkID{Value: "fw-1"}, Checkpoint: ptr(true)}
	for _, c := range caps {
		fw.Capabilities = append(fw.Capabilities, mesos.FrameworkInfo_Capability{Type: c})
	}
	return fw
}

// killingFramework knows TASK_KILLING.
func killingFramework() mesos.FrameworkInfo {
	return framework(mesos.FrameworkInfo_Capability_TASK_KILLING_STATE)
}

func ptr[T any](v T) *T { return &v }

func shellTask(id, command string) mesos.TaskInfo {
	return mesos.TaskInfo{Name: id, TaskID: mesos.TaskID{Value: id}, AgentID: mesos.AgentID{Value: "agent-S0"},
		Command: &mesos.CommandInfo{Value: &command}}
}

func graceOf(d time.Duration) *mesos.KillPolicy {
	return &mesos.KillPolicy{GracePeriod: &mesos.DurationInfo{Nanoseconds: int64(d)}}
}

const (
	starting = "STARTING executor"
	running  = "RUNNING executor"
	killing  = "KILLING executor"
	finished = "FINISHED executor 'Command exited with status 0'"
	killed   = "KILLED executor 'Command terminated with signal Terminated'"
	killed9  = "KILLED executor 'Command terminated with signal Killed'"
)

// bothModes runs a test with tasks as children and with the shim.
func bothModes(t *testing.T, test func(t *testing.T, cfg Config)) {
	t.Run("child", func(t *testing.T) { test(t, Config{}) })
	t.Run("shim", func(t *testing.T) { test(t, withShim(t)) })
}

// processesOf returns the live processes that have dir in their environment or
// as working directory.
func processesOf(dir string) []int {
	var out []int
	for _, st := range allStats() {
		cwd, _ := os.Readlink(filepath.Join("/proc", fmt.Sprint(st.pid), "cwd"))
		env, _ := os.ReadFile(filepath.Join("/proc", fmt.Sprint(st.pid), "environ"))
		cmdline, _ := os.ReadFile(filepath.Join("/proc", fmt.Sprint(st.pid), "cmdline"))
		if !st.dead() && st.pid != os.Getpid() &&
			(strings.HasPrefix(cwd, dir) || strings.Contains(string(env), dir) || strings.Contains(string(cmdline), dir)) {
			out = append(out, st.pid)
		}
	}
	return out
}

// run runs a tool of the system.
func run(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func killProcess(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}
