package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// How commands end, as recorded from Mesos (12-terminal-states).
func TestTerminalStatuses(t *testing.T) {
	argv := func(value string, args ...string) *mesos.CommandInfo {
		return &mesos.CommandInfo{Shell: ptr(false), Value: &value, Arguments: args}
	}
	shell := func(value string) *mesos.CommandInfo { return &mesos.CommandInfo{Value: &value} }
	cases := map[string]struct {
		command *mesos.CommandInfo
		end     string
	}{
		"finish":  {shell("true"), finished},
		"fail3":   {shell("exit 3"), "FAILED executor 'Command exited with status 3'"},
		"sig9":    {shell("kill -9 $$"), "FAILED executor 'Command terminated with signal Killed'"},
		"sig15":   {shell("kill -TERM $$"), "FAILED executor 'Command terminated with signal Terminated'"},
		"sig1":    {shell("kill -HUP $$"), "FAILED executor 'Command terminated with signal Hangup'"},
		"nocmd":   {shell("/no/such/command"), "FAILED executor 'Command exited with status 127'"},
		"argv":    {argv("/no/such/binary", "x"), "FAILED executor 'Command exited with status 1'"},
		"argvok":  {argv("/bin/echo", "echo", "hi"), finished},
		"inpath":  {argv("true"), finished},
		"notpath": {argv("no-such-binary"), "FAILED executor 'Command exited with status 1'"},
	}
	bothModes(t, func(t *testing.T, cfg Config) {
		b := newBench(t, cfg)
		for id, c := range cases {
			b.agent.Launch(framework(), mesos.TaskInfo{Name: id, TaskID: mesos.TaskID{Value: id}, Command: c.command})
		}
		for id, c := range cases {
			b.awaitEnd(id, starting, running, c.end)
		}
		if out, _ := os.ReadFile(filepath.Join(b.agent.Sandbox("fw-1", "argvok"), "stdout")); string(out) != "hi\n" {
			t.Errorf("arguments hold argv[0]: stdout is %q", out)
		}
	})
}

// Every status names executor and container; ids, address and pid are those of
// 10-launch-ok.
func TestStatusDetails(t *testing.T) {
	bothModes(t, func(t *testing.T, cfg Config) {
		b := newBench(t, cfg)
		b.agent.Launch(framework(), shellTask("web.1", "echo out; echo err >&2; sleep 1000"))
		st := b.awaitState("web.1", mesos.TASK_RUNNING)
		if st.ExecutorID.GetValue() != "web.1" || st.GetTimestamp() < 1e9 || st.UUID != nil || st.Healthy != nil || st.CheckStatus != nil {
			t.Errorf("status is %+v", st)
		}
		cs := st.ContainerStatus
		if len(cs.NetworkInfos) != 1 || cs.NetworkInfos[0].IPAddresses[0].GetIPAddress() != "127.0.0.9" || cs.GetContainerID().Parent != nil {
			t.Errorf("container status is %+v", cs)
		}
		if _, err := readStat(int(cs.GetExecutorPID())); err != nil {
			t.Errorf("executor pid: %v", err)
		}
		box := b.agent.Sandbox("fw-1", "web.1")
		want := filepath.Join(b.cfg.WorkDir, "slaves/agent-S0/frameworks/fw-1/executors/web.1/runs", cs.ContainerID.Value)
		if box != want {
			t.Errorf("sandbox %s, want %s", box, want)
		}
		if got := awaitFile(t, filepath.Join(box, "stdout")); got != "out\n" {
			t.Errorf("stdout %q", got)
		}
		if got := awaitFile(t, filepath.Join(filepath.Dir(box), "latest", "stderr")); got != "err\n" {
			t.Errorf("stderr %q", got)
		}
	})
}

func TestEnvironment(t *testing.T) {
	t.Setenv("NOT_FOR_TASKS", "secret of the agent")
	b := newBench(t, Config{})
	task := shellTask("env", "env; pwd; exit 0")
	task.Command.Environment = &mesos.Environment{Variables: []mesos.Environment_Variable{
		{Name: "PORT0", Value: ptr("31000")}, {Name: "PATH", Value: ptr("/bin:/usr/bin")},
		{Name: "S", Type: mesos.Environment_Variable_SECRET.Enum(), Secret: &mesos.Secret{Type: mesos.Secret_VALUE, Value: &mesos.Secret_Value{Data: []byte("v")}}},
	}}
	b.agent.Launch(framework(), task)
	b.awaitEnd("env", starting, running, finished)
	box := b.agent.Sandbox("fw-1", "env")
	data, err := os.ReadFile(filepath.Join(box, "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	out := "\n" + string(data)
	for _, want := range []string{"MESOS_SANDBOX=" + box, "MESOS_DIRECTORY=" + box, "MESOS_EXECUTOR_ID=env", "MESOS_ALLOCATION_ROLE=*",
		"MESOS_FRAMEWORK_ID=fw-1", "MESOS_SLAVE_ID=agent-S0", "LIBPROCESS_IP=127.0.0.9", "PORT0=31000", "PATH=/bin:/usr/bin", "S=v", box} {
		if !strings.Contains(out, "\n"+want+"\n") {
			t.Errorf("no line %q in%s", want, out)
		}
	}
	for _, foreign := range []string{"MESOS_TASK_ID", "MESOS_CONTAINER_ID", "MESOS_AGENT_ID", "MESOS_CONTAINER_IP"} { // Mesos has none of them
		if strings.Contains(out, "\n"+foreign+"=") {
			t.Errorf("%s in%s", foreign, out)
		}
	}
	if strings.Contains(out, "NOT_FOR_TASKS") {
		t.Error("the task has the environment of the agent")
	}
}

// 13-kill and 13b: grace periods, own exit on SIGTERM, a second KILL.
func TestKill(t *testing.T) {
	const stubborn = "trap '' TERM; echo up; while true; do sleep .05; done"
	bothModes(t, func(t *testing.T, cfg Config) {
		b := newBench(t, cfg)
		fw := killingFramework()
		launch := func(id, command string, policy *mesos.KillPolicy) {
			task := shellTask(id, command)
			task.KillPolicy = policy
			b.agent.Launch(fw, task)
		}
		launch("plain", "echo up; sleep 1000", nil)
		launch("exit0", "trap 'exit 0' TERM; echo up; while true; do sleep .05; done", nil)
		launch("exit5", "trap 'exit 5' TERM; echo up; while true; do sleep .05; done", nil)
		launch("policy", stubborn, graceOf(300*time.Millisecond))
		launch("override", stubborn, graceOf(time.Hour))
		launch("shorter", stubborn, graceOf(time.Hour))
		ids := []string{"plain", "exit0", "exit5", "policy", "override", "shorter"}
		for _, id := range ids {
			b.awaitState(id, mesos.TASK_RUNNING)
			awaitFile(t, filepath.Join(b.agent.Sandbox("fw-1", id), "stdout"))
		}
		start := time.Now()
		for _, id := range ids {
			var override *mesos.KillPolicy
			if id == "override" {
				override = graceOf(300 * time.Millisecond)
			}
			b.agent.Kill("fw-1", id, override)
		}
		b.agent.Kill("fw-1", "shorter", graceOf(300*time.Millisecond))
		b.agent.Kill("fw-1", "nobody", nil)
		b.awaitEnd("plain", starting, running, killing, killed)
		b.awaitEnd("exit0", starting, running, killing, "KILLED executor 'Command exited with status 0'")
		b.awaitEnd("exit5", starting, running, killing, "KILLED executor 'Command exited with status 5'")
		b.awaitEnd("policy", starting, running, killing, killed9)
		b.awaitEnd("override", starting, running, killing, killed9)
		b.awaitEnd("shorter", starting, running, killing, killed9)
		if d := time.Since(start); d < 300*time.Millisecond {
			t.Errorf("SIGKILL after %v, before the grace period was over", d)
		}
	})
}

// Without the capability there is no TASK_KILLING (14).
func TestKillWithoutCapability(t *testing.T) {
	b := newBench(t, Config{})
	b.agent.Launch(framework(), shellTask("k", "sleep 1000"))
	b.awaitState("k", mesos.TASK_RUNNING)
	b.agent.Kill("fw-1", "k", nil)
	b.awaitEnd("k", starting, running, killed)
}

// The default grace period is 3 s (13, k4).
func TestGracePeriods(t *testing.T) {
	task := &task{info: mesos.TaskInfo{}}
	if got := task.grace(nil); got != 3*time.Second {
		t.Errorf("default %v", got)
	}
	task.info.KillPolicy = graceOf(time.Minute)
	if got := task.grace(nil); got != time.Minute {
		t.Errorf("of the task %v", got)
	}
	if got := task.grace(graceOf(time.Second)); got != time.Second {
		t.Errorf("of the call %v", got)
	}
	if got := task.grace(&mesos.KillPolicy{}); got != time.Minute {
		t.Errorf("empty policy of the call %v", got)
	}
}

// Nothing of a task survives its end: neither children that ignore SIGTERM nor
// background jobs of a command that has finished; with the shim not even those
// in a session of their own.
func TestNothingSurvives(t *testing.T) {
	bothModes(t, func(t *testing.T, cfg Config) {
		b := newBench(t, cfg)
		background := "(trap '' TERM HUP; while true; do sleep .05; done) & echo $! >> pids;"
		if len(cfg.Helper) > 0 {
			background += "setsid sh -c 'echo $$ >> pids; trap \"\" TERM HUP; while true; do sleep .05; done' & while [ $(wc -l < pids) != 2 ]; do sleep .01; done;"
		}
		b.agent.Launch(killingFramework(), shellTask("done", background+"exit 0"))
		b.agent.Launch(killingFramework(), shellTask("killed", background+"echo up; sleep 1000"))
		b.awaitEnd("done", starting, running, finished)
		b.awaitState("killed", mesos.TASK_RUNNING)
		awaitFile(t, filepath.Join(b.agent.Sandbox("fw-1", "killed"), "stdout"))
		b.agent.Kill("fw-1", "killed", graceOf(100*time.Millisecond))
		b.awaitEnd("killed", starting, running, killing, killed)
		for _, id := range []string{"done", "killed"} {
			data, err := os.ReadFile(filepath.Join(b.agent.Sandbox("fw-1", id), "pids"))
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range strings.Fields(string(data)) {
				pid, err := strconv.Atoi(p)
				if err != nil {
					t.Fatal(err)
				}
				if st, err := readStat(pid); err == nil && !st.dead() {
					t.Errorf("%s: process %d has survived", id, pid)
				}
			}
		}
	})
}

// 12-terminal-states: what the agent refuses, and how it says so.
func TestRefusals(t *testing.T) {
	docker := mesos.ContainerInfo_DOCKER.Enum()
	mesosKind := mesos.ContainerInfo_MESOS.Enum()
	with := func(id string, change func(*mesos.TaskInfo)) mesos.TaskInfo {
		task := shellTask(id, "true")
		change(&task)
		return task
	}
	cases := map[string]struct {
		task mesos.TaskInfo
		want string
	}{
		"nouser": {with("nouser", func(ti *mesos.TaskInfo) { ti.Command.User = ptr("no-such-user") }),
			"DROPPED agent EXECUTOR_TERMINATED 'Failed to create executor directory '%s': Failed to chown directory to 'no-such-user': No such user 'no-such-user''"},
		"image": {with("image", func(ti *mesos.TaskInfo) {
			ti.Container = &mesos.ContainerInfo{Type: mesosKind, Mesos: &mesos.ContainerInfo_MesosInfo{Image: &mesos.Image{Type: mesos.Image_DOCKER.Enum()}}}
		}), "FAILED agent CONTAINER_LAUNCH_FAILED 'Failed to launch container: Unsupported container image type: DOCKER'"},
		"docker": {with("docker", func(ti *mesos.TaskInfo) {
			ti.Container = &mesos.ContainerInfo{Type: docker, Docker: &mesos.ContainerInfo_DockerInfo{Image: "busybox"}}
		}), "FAILED agent EXECUTOR_TERMINATED 'Abnormal executor termination: unknown container'"},
		"..": {shellTask("..", "true"), "ERROR agent TASK_INVALID 'task id \"..\" cannot be the name of a directory\nexecutor id \"..\" cannot be the name of a directory'"},
	}
	t.Setenv("PATH", t.TempDir()) // without docker
	b := newBench(t, Config{SwitchUser: true})
	for _, c := range cases {
		b.agent.Launch(framework(), c.task)
	}
	for id, c := range cases {
		want := c.want
		if strings.Contains(want, "%s") {
			b.await("end", func() bool { return len(b.ofLocked(id)) > 0 })
			want = fmt.Sprintf(want, b.agent.Sandbox("fw-1", id))
		}
		b.awaitEnd(id, want)
		if st := b.of(id)[0]; st.ContainerStatus != nil {
			t.Errorf("%s: the agent's own statuses have no container status", id)
		}
	}
	box := b.agent.Sandbox("fw-1", "docker")
	if why := awaitFile(t, filepath.Join(box, "stderr")); why != "Docker is not available on this agent: there is no docker command\n" {
		t.Errorf("stderr of the Docker task: %q", why)
	}
}

// 06-invalid-tasks, b6: the command executor dies of a command without value.
func TestCommandWithoutValue(t *testing.T) {
	b := newBench(t, Config{})
	task := shellTask("novalue", "")
	task.Command.Value = nil
	b.agent.Launch(framework(), task)
	b.awaitEnd("novalue", starting, "FAILED agent EXECUTOR_TERMINATED 'Executor terminated'")
}

// 13-kill: a KILL that comes before the executor has the task leaves no other trace.
func TestKillBeforeDelivery(t *testing.T) {
	b := newBench(t, Config{Delivery: time.Hour})
	b.agent.Launch(killingFramework(), shellTask("early", "sleep 1000"))
	b.agent.Kill("fw-1", "early", nil)
	b.awaitEnd("early", "KILLED agent TASK_KILLED_DURING_LAUNCH 'Killed before delivery to the executor'")
}

// A framework that is gone leaves no task to the next agent, even if the restart
// comes at once.
func TestShutdownThenRestart(t *testing.T) {
	b := newBench(t, withShim(t))
	b.agent.Launch(framework(), shellTask("a", "sleep 1000"))
	b.awaitState("a", mesos.TASK_RUNNING)
	b.agent.ShutdownFramework("fw-1")
	if err := b.agent.Close(false); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(b.agent.checkpointRoot()); err != nil || len(left) > 0 {
		t.Errorf("%d checkpoints left: %v", len(left), err)
	}
}

// An id that is in use drops the second task, not the first.
func TestDuplicateID(t *testing.T) {
	b := newBench(t, Config{})
	b.agent.Launch(framework(), shellTask("a", "sleep 1000"))
	b.awaitState("a", mesos.TASK_RUNNING)
	b.agent.Launch(framework(), shellTask("a", "true"))
	b.awaitEnd("a", starting, running, "DROPPED agent TASK_INVALID 'Cannot reuse an already existing executor for a command task'")
	b.agent.Kill("fw-1", "a", nil)
	b.await("KILLED", func() bool {
		all := b.ofLocked("a")
		return all[len(all)-1].GetState() == mesos.TASK_KILLED
	})
}

// max_completion_time: TASK_FAILED without TASK_KILLING (12, maxcompl).
func TestMaxCompletionTime(t *testing.T) {
	b := newBench(t, Config{})
	task := shellTask("m", "exec sleep 60")
	task.MaxCompletionTime = &mesos.DurationInfo{Nanoseconds: int64(200 * time.Millisecond)}
	b.agent.Launch(killingFramework(), task)
	b.awaitEnd("m", starting, running, "FAILED executor MAX_COMPLETION_TIME_REACHED 'Command terminated with signal Terminated'")
}

// Another user owns the sandbox and runs the command.
func TestSwitchUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	dir, err := os.MkdirTemp("/tmp", "agent-user")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, Config{SwitchUser: true, WorkDir: dir})
	task := shellTask("u", "id -un; touch mine")
	task.Command.User = ptr("nobody")
	b.agent.Launch(framework(), task)
	b.awaitEnd("u", starting, running, finished)
	if out := awaitFile(t, filepath.Join(b.agent.Sandbox("fw-1", "u"), "stdout")); out != "nobody\n" {
		t.Errorf("ran as %q", out)
	}
}
