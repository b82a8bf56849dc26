package agent

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// restart ends the agent as a restart does and starts the next one on the same
// directory.
func (b *bench) restart(between func()) (*bench, []RunningTask) {
	b.t.Helper()
	if err := b.agent.Close(false); err != nil {
		b.t.Fatal(err)
	}
	if between != nil {
		between()
	}
	cfg := b.cfg
	next := newBench(b.t, cfg)
	found, err := next.agent.Recover()
	if err != nil {
		b.t.Fatal(err)
	}
	return next, found
}

// endsOnFile is a command that ends with the status in a file once it is there.
func endsOnFile(path string) string {
	return "echo up; while ! [ -s '" + path + "' ]; do sleep .02; done; exit $(cat '" + path + "')"
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".tmp", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		t.Fatal(err)
	}
}

// awaitExitRecord waits until the shim of a task has written how it ended.
func awaitExitRecord(t *testing.T, b *bench, containerID string) {
	t.Helper()
	path := filepath.Join(b.agent.checkpointRoot(), containerID, exitFile)
	for deadline := time.Now().Add(eventTimeout); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return
		}
	}
	t.Fatal("no exit record")
}

// 25-agent-restart: what runs goes on and can be killed; what ended meanwhile
// is reported afterwards; nothing is told twice.
func TestRecover(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, withShim(t))
	fw := killingFramework()
	away, later := filepath.Join(dir, "away"), filepath.Join(dir, "later")
	b.agent.Launch(fw, shellTask("kept", "echo up; sleep 1000"))
	b.agent.Launch(fw, shellTask("away", endsOnFile(away)))
	b.agent.Launch(fw, shellTask("later", endsOnFile(later)))
	unchecked := framework()
	unchecked.ID = &mesos.FrameworkID{Value: "fw-2"}
	unchecked.Checkpoint = nil
	b.agent.Launch(unchecked, shellTask("nockpt", "echo up; sleep 1000"))
	var ids []string
	for _, id := range []string{"kept", "away", "later", "nockpt"} {
		ids = append(ids, b.awaitState(id, mesos.TASK_RUNNING).ContainerStatus.ContainerID.Value)
	}
	var unkept processID
	if found, err := readJSON(filepath.Join(b.agent.checkpointRoot(), ids[3], processFile), &unkept); err != nil || !found {
		t.Fatal(found, err)
	}
	next, found := b.restart(func() {
		write(t, away, "3\n")
		awaitExitRecord(t, b, ids[1])
	})
	if got := b.describe("away") + b.describe("kept"); strings.Count(got, "\n") != 2 {
		t.Errorf("statuses of the first agent: %s", got)
	}
	var names []string
	for _, r := range found {
		names = append(names, r.FrameworkID+"/"+r.Task.TaskID.Value+" "+r.State.String()+" "+r.Status.GetState().String())
	}
	// nockpt runs until it is killed a moment later, and must not be found.
	if got := strings.Join(names, ", "); got != "fw-1/kept TASK_RUNNING TASK_RUNNING, fw-1/later TASK_RUNNING TASK_RUNNING" {
		t.Errorf("found %s", got)
	}
	if got := found[0].Status.ContainerStatus.ContainerID.Value; got != ids[0] {
		t.Errorf("container %s, want %s", got, ids[0])
	}
	next.awaitEnd("away", "FAILED executor 'Command exited with status 3'")
	write(t, later, "0\n")
	next.awaitEnd("later", finished)
	next.agent.Kill("fw-1", "kept", nil)
	next.awaitEnd("kept", killing, killed)
	awaitGone(t, unkept.PID)
	if got := next.describe("nockpt"); got != "" {
		t.Errorf("statuses of a task that is not checkpointed: %s", got)
	}
	if box := next.agent.Sandbox("fw-1", "kept"); box == "" {
		t.Error("sandbox of a task that was found is unknown")
	}
	awaitEmpty(t, next.agent.checkpointRoot())
}

// awaitEmpty waits until no checkpoint is left.
func awaitEmpty(t *testing.T, dir string) {
	t.Helper()
	for deadline := time.Now().Add(eventTimeout); ; time.Sleep(2 * time.Millisecond) {
		entries, err := os.ReadDir(dir)
		if err == nil && len(entries) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("checkpoints left: %v %v", entries, err)
		}
	}
}

// 25-agent-restart (kill -9): the tasks of an agent process that is killed go
// on; the next one finds the one and reports the end of the other.
func TestAgentCrash(t *testing.T) {
	cfg := withShim(t)
	cfg.WorkDir = t.TempDir()
	crash := exec.Command(cfg.Helper[0], agentCommand, cfg.WorkDir)
	crash.Stderr = os.Stderr
	out, err := crash.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := crash.Start(); err != nil {
		t.Fatal(err)
	}
	told := bufio.NewScanner(out)
	for left := 2; left > 0 && told.Scan(); {
		if strings.Contains(told.Text(), running) {
			left--
		}
	}
	killProcess(t, crash.Process.Pid)
	_ = crash.Wait()
	write(t, filepath.Join(cfg.WorkDir, "flag"), "0\n")
	b := newBench(t, cfg)
	if _, err := b.agent.Recover(); err != nil {
		t.Fatal(err)
	}
	b.await("end of ends", func() bool { return strings.HasSuffix(lines(b.ofLocked("ends")), finished) })
	b.agent.Kill("fw-1", "kept", nil)
	b.await("end of kept", func() bool { return strings.HasSuffix(lines(b.ofLocked("kept")), killing+"\n"+killed) })
	awaitEmpty(t, b.agent.checkpointRoot())
	if left := processesOf(cfg.WorkDir); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
}

// A kill whose grace period is over while the agent is away is finished by the
// next one, without a second TASK_KILLING.
func TestRecoverKilling(t *testing.T) {
	b := newBench(t, withShim(t))
	b.agent.Launch(killingFramework(), shellTask("k", "trap '' TERM; echo up; while true; do sleep .05; done"))
	b.awaitState("k", mesos.TASK_RUNNING)
	awaitFile(t, filepath.Join(b.agent.Sandbox("fw-1", "k"), "stdout"))
	b.agent.Kill("fw-1", "k", graceOf(500*time.Millisecond))
	b.awaitState("k", mesos.TASK_KILLING)
	next, found := b.restart(nil)
	if len(found) != 1 || found[0].State != mesos.TASK_KILLING {
		t.Errorf("found %+v", found)
	}
	next.awaitEnd("k", killed9)
}

// A group stays a group: when one of it failed while the agent was away, the
// others are killed and the executor ends.
func TestRecoverGroup(t *testing.T) {
	flag := filepath.Join(t.TempDir(), "flag")
	b := newBench(t, withShim(t))
	b.agent.LaunchGroup(killingFramework(), defaultExecutor("ex"), []mesos.TaskInfo{
		shellTask("a", endsOnFile(flag)), shellTask("b", "sleep 1000")})
	id := b.awaitState("a", mesos.TASK_RUNNING).ContainerStatus.ContainerID.Value
	parent := b.awaitState("b", mesos.TASK_RUNNING).ContainerStatus.ContainerID.Parent.Value
	next, found := b.restart(func() {
		write(t, flag, "4\n")
		awaitExitRecord(t, b, id)
	})
	if len(found) != 1 || found[0].Task.TaskID.Value != "b" || found[0].Executor == nil || found[0].Executor.ExecutorID.Value != "ex" {
		t.Errorf("found %+v", found)
	}
	next.awaitEnd("a", "FAILED executor 'Command exited with status 4'")
	next.awaitEnd("b", killing, killed)
	next.awaitDone("ex:0")
	if got := next.of("b")[0].ContainerStatus.ContainerID.Parent.Value; got != parent {
		t.Errorf("container of the executor %s, want %s", got, parent)
	}
}

// A task that the earlier agent had accepted but not started is reported, and
// a shim that comes late does not start it any more.
func TestRecoverNotStarted(t *testing.T) {
	b := newBench(t, withShim(t))
	task := shellTask("slow", "touch ran")
	task.Command.URIs = []mesos.CommandInfo_URI{{Value: hangingServer(t)}}
	b.agent.LaunchGroup(killingFramework(), defaultExecutor("ex"), []mesos.TaskInfo{task})
	id := b.awaitState("slow", mesos.TASK_STARTING).ContainerStatus.ContainerID.Value
	next, found := b.restart(nil)
	if len(found) != 0 {
		t.Errorf("found %+v", found)
	}
	next.awaitEnd("slow", "FAILED agent EXECUTOR_TERMINATED 'Executor terminated'")
	next.awaitDone("ex:0")

	dir := filepath.Join(b.agent.checkpointRoot(), id)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if won, err := claim(dir, processID{}); err != nil || !won {
		t.Fatal(won, err)
	}
	if won, err := claim(dir, processID{PID: 1}); err != nil || won {
		t.Errorf("claimed twice: %t, %v", won, err)
	}
}

// Tasks of an earlier agent id are killed in silence.
func TestRecoverOtherAgentID(t *testing.T) {
	b := newBench(t, withShim(t))
	b.agent.Launch(killingFramework(), shellTask("old", "sleep 1000"))
	pid := int(b.awaitState("old", mesos.TASK_RUNNING).ContainerStatus.GetExecutorPID())
	b.cfg.AgentID = "agent-S7"
	next, found := b.restart(nil)
	if len(found) != 0 {
		t.Errorf("found %+v", found)
	}
	awaitGone(t, pid)
	awaitEmpty(t, next.agent.checkpointRoot())
	if got := next.describe(""); got != "" {
		t.Errorf("statuses: %s", got)
	}
}

// 12-terminal-states (exkill): the executor, here the shim, is killed. Its task
// ends with it.
func TestExecutorKilled(t *testing.T) {
	b := newBench(t, withShim(t))
	b.agent.Launch(killingFramework(), shellTask("exkill", "echo $$; sleep 1000"))
	st := b.awaitState("exkill", mesos.TASK_RUNNING)
	out := awaitFile(t, filepath.Join(b.agent.Sandbox("fw-1", "exkill"), "stdout"))
	pid, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil {
		t.Fatal(err)
	}
	killProcess(t, int(st.ContainerStatus.GetExecutorPID()))
	b.awaitEnd("exkill", starting, running, "FAILED agent EXECUTOR_TERMINATED 'Executor terminated'")
	if st, err := readStat(pid); err == nil && !st.dead() {
		t.Error("the task outlives its executor")
	}
}

// A pid that belongs to another process by now is not touched.
func TestPidReuse(t *testing.T) {
	id, err := startProcess(processSpec{Path: "/bin/sleep", Args: []string{"sleep", "1000"}, Dir: "/", Env: []string{"PATH=/bin"}})
	if err != nil {
		t.Fatal(err)
	}
	defer reap(id.PID)
	other, boot := id, id
	other.Start--
	boot.Boot = "another boot"
	for _, wrong := range []processID{other, boot} {
		wrong.signal(9)
		if err := wrong.sweep(); err != nil {
			t.Error(err)
		}
		if wrong.alive() {
			t.Errorf("%+v counts as alive", wrong)
		}
	}
	if !id.alive() {
		t.Fatal("the process was killed under another name")
	}
	if err := id.sweep(); err != nil {
		t.Error(err)
	}
	if id.alive() {
		t.Error("alive after the sweep")
	}
}

// Close(true) leaves neither processes nor goroutines, and tells nothing.
func TestCloseKills(t *testing.T) {
	bothModes(t, func(t *testing.T, cfg Config) {
		b := newBench(t, cfg)
		task := shellTask("c", "sleep 1000 & trap '' TERM; echo up; while true; do sleep .05; done")
		task.HealthCheck = commandHealth("true", 0, 1)
		b.agent.Launch(killingFramework(), task)
		fetching := shellTask("f", "true")
		fetching.Command.URIs = []mesos.CommandInfo_URI{{Value: hangingServer(t)}}
		b.agent.Launch(killingFramework(), fetching)
		b.agent.LaunchGroup(killingFramework(), defaultExecutor("ex"), []mesos.TaskInfo{shellTask("g", "sleep 1000")})
		b.awaitState("g", mesos.TASK_RUNNING)
		b.await("health", func() bool { return strings.HasSuffix(lines(b.ofLocked("c")), "healthy=true") })
		told := b.describe("")
		if err := b.agent.Close(true); err != nil {
			t.Fatal(err)
		}
		if got := b.describe(""); got != told || len(b.done) > 0 {
			t.Errorf("Close has told:\n%s\n%v", strings.TrimPrefix(got, told), b.done)
		}
		if left := processesOf(b.cfg.WorkDir); len(left) > 0 {
			t.Errorf("processes %v are left", left)
		}
		b.agent.Launch(killingFramework(), shellTask("late", "true"))
		// The server of the hanging download has goroutines of its own.
		for deadline := time.Now().Add(eventTimeout); ; time.Sleep(5 * time.Millisecond) {
			stacks := make([]byte, 1<<20)
			stacks = stacks[:runtime.Stack(stacks, true)]
			if !strings.Contains(strings.ReplaceAll(string(stacks), "agent.(*bench)", ""), "minimesos/agent.(*") {
				break
			} else if time.Now().After(deadline) {
				t.Fatalf("goroutines of the agent are left:\n%s", stacks)
			}
		}
	})
}

// ShutdownFramework ends the tasks of one framework only, in silence.
func TestShutdownFramework(t *testing.T) {
	b := newBench(t, Config{})
	other := framework()
	other.ID = &mesos.FrameworkID{Value: "fw-2"}
	b.agent.Launch(framework(), shellTask("mine", "trap '' TERM; sleep 1000"))
	b.agent.Launch(other, shellTask("theirs", "sleep 1000"))
	b.agent.LaunchGroup(framework(), defaultExecutor("ex"), []mesos.TaskInfo{shellTask("g1", "sleep 1000"), shellTask("g2", "sleep 1000")})
	var pids []int
	for _, id := range []string{"mine", "g1", "g2", "theirs"} {
		pids = append(pids, int(b.awaitState(id, mesos.TASK_RUNNING).ContainerStatus.GetExecutorPID()))
	}
	told := b.describe("")
	b.agent.ShutdownFramework("fw-1")
	for _, pid := range pids[:3] {
		awaitGone(t, pid)
	}
	if st, err := readStat(pids[3]); err != nil || st.dead() {
		t.Error("a task of another framework was killed")
	}
	if err := b.agent.Close(true); err != nil {
		t.Fatal(err)
	}
	if got := b.describe(""); got != told || len(b.done) > 0 {
		t.Errorf("told: %s %v", strings.TrimPrefix(got, told), b.done)
	}
}

// A checkpoint that cannot be read costs its task, and no other.
func TestRecoverUnreadable(t *testing.T) {
	b := newBench(t, withShim(t))
	b.agent.Launch(framework(), shellTask("good", "sleep 1000"))
	b.agent.Launch(framework(), shellTask("bad", "sleep 1000"))
	b.awaitState("good", mesos.TASK_RUNNING)
	st := b.awaitState("bad", mesos.TASK_RUNNING).ContainerStatus
	next, found := b.restart(func() {
		write(t, filepath.Join(b.agent.checkpointRoot(), st.ContainerID.Value, recordFile), "{\n")
	})
	if len(found) != 1 || found[0].Task.TaskID.Value != "good" {
		t.Errorf("found %+v", found)
	}
	awaitGone(t, int(st.GetExecutorPID()))
	why := awaitFile(t, filepath.Join(next.cfg.WorkDir, "meta/unreadable", st.ContainerID.Value, "reason"))
	if !strings.Contains(why, recordFile) {
		t.Errorf("reason: %s", why)
	}
}

// The sandboxes of tasks that have ended are found again after a restart.
func TestRecoverSandboxes(t *testing.T) {
	b := newBench(t, withShim(t))
	b.agent.Launch(framework(), shellTask("c", "echo out"))
	b.agent.LaunchGroup(framework(), defaultExecutor("ex"), []mesos.TaskInfo{shellTask("g", "echo out")})
	b.agent.Launch(framework(), shellTask("live", "sleep 1000"))
	b.awaitEnd("c", starting, running, finished)
	b.awaitEnd("g", starting, running, finished)
	b.awaitDone("ex:0")
	b.awaitState("live", mesos.TASK_RUNNING)
	want := map[string]string{"c": "", "g": "", "live": "", "unknown": ""}
	for id := range want {
		want[id] = b.agent.Sandbox("fw-1", id)
	}
	next, _ := b.restart(nil)
	for id, dir := range want {
		if got := next.agent.Sandbox("fw-1", id); got != dir {
			t.Errorf("sandbox of %s: %q, want %q", id, got, dir)
		}
	}
	if n := len(next.agent.completed); n != 3 {
		t.Errorf("%d sandboxes kept, want those of c, g and ex", n)
	}
}

// Old sandboxes are removed when there are too many.
func TestOldSandboxes(t *testing.T) {
	b := newBench(t, Config{})
	b.agent.Launch(framework(), shellTask("old", "true"))
	b.awaitEnd("old", starting, running, finished)
	var box string
	for deadline := time.Now().Add(eventTimeout); ; time.Sleep(time.Millisecond) {
		box = b.agent.Sandbox("fw-1", "old")
		b.agent.mu.Lock()
		n := len(b.agent.completed)
		b.agent.mu.Unlock()
		if n == 1 || time.Now().After(deadline) {
			break
		}
	}
	b.agent.mu.Lock()
	var old []completedRun
	for range maxCompleted {
		old = append(old, b.agent.complete(completedRun{})...)
	}
	b.agent.mu.Unlock()
	removeSandboxes(old)
	if len(old) != 1 || b.agent.Sandbox("fw-1", "old") != "" {
		t.Errorf("removed %v", old)
	}
	if _, err := os.Stat(box); !os.IsNotExist(err) {
		t.Errorf("%s: %v", box, err)
	}
}
