package agent

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// customTask is a task whose executor runs a shell command.
func customTask(id, executor, command string) mesos.TaskInfo {
	t := shellTask(id, command)
	t.Executor = &mesos.ExecutorInfo{Type: mesos.ExecutorInfo_CUSTOM, ExecutorID: mesos.ExecutorID{Value: executor}, Command: t.Command}
	t.Command = nil
	return t
}

// 23-message-shutdown-custom-executor: FAILURE with the raw status, then every task
// of the executor fails.
func TestCustomExecutorDies(t *testing.T) {
	bothModes(t, func(t *testing.T, cfg Config) {
		b := newBench(t, cfg)
		flag := filepath.Join(t.TempDir(), "flag")
		command := "echo $MESOS_EXECUTOR_ID $MESOS_FRAMEWORK_ID $MESOS_TASK_ID $MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD; " + endsOnFile(flag)
		b.agent.Launch(framework(), customTask("c1", "cx", command))
		b.agent.Launch(framework(), customTask("c2", "cx", command))
		box := b.agent.Sandbox("fw-1", "c1")
		if other := b.agent.Sandbox("fw-1", "c2"); other != box || !strings.Contains(box, "/executors/cx/runs/") {
			t.Errorf("sandboxes %s and %s", box, other)
		}
		if out := awaitFile(t, filepath.Join(box, "stdout")); !strings.HasPrefix(out, "cx fw-1 5secs\n") {
			t.Errorf("environment: %q", out)
		}
		write(t, flag, "7\n")
		b.awaitDone("cx:1792")
		for _, id := range []string{"c1", "c2"} {
			b.awaitEnd(id, "FAILED agent EXECUTOR_TERMINATED 'Executor terminated'")
		}
		if len(b.done) != 1 {
			t.Errorf("ends of executors: %v", b.done)
		}
	})
}

// No executor can register here: each is killed when its time is over.
func TestCustomExecutorNeverRegisters(t *testing.T) {
	b := newBench(t, Config{Registration: 300 * time.Millisecond})
	b.agent.Launch(framework(), customTask("c", "cx", "trap '' TERM; sleep 1000"))
	b.awaitDone("cx:9")
	b.awaitEnd("c", "FAILED agent EXECUTOR_REGISTRATION_TIMEOUT 'Executor did not register within 300ms'")
}

// A KILL comes before the delivery of any task to an executor that has not registered.
func TestKillOfTaskOfCustomExecutor(t *testing.T) {
	b := newBench(t, Config{})
	b.agent.Launch(killingFramework(), customTask("c1", "cx", "echo up; sleep 1000"))
	b.agent.Launch(killingFramework(), customTask("c2", "cx", "echo up; sleep 1000"))
	awaitFile(t, filepath.Join(b.agent.Sandbox("fw-1", "c1"), "stdout"))
	const killed = "KILLED agent TASK_KILLED_DURING_LAUNCH 'Killed before delivery to the executor'"
	b.agent.Kill("fw-1", "c2", nil)
	b.awaitEnd("c2", killed)
	b.agent.Kill("fw-1", "c1", nil)
	b.awaitEnd("c1", killed)
	b.awaitDone("cx:9")
}

func TestCustomExecutorSurvivesRestart(t *testing.T) {
	flag := filepath.Join(t.TempDir(), "flag")
	b := newBench(t, withShim(t))
	b.agent.Launch(killingFramework(), customTask("c", "cx", endsOnFile(flag)))
	awaitFile(t, filepath.Join(b.agent.Sandbox("fw-1", "c"), "stdout"))
	next, found := b.restart(nil)
	if len(found) != 1 || found[0].State != mesos.TASK_STAGING {
		t.Fatalf("found %v", found)
	}
	write(t, flag, "7\n")
	next.awaitEnd("c", "FAILED agent EXECUTOR_TERMINATED 'Executor terminated'")
	next.awaitDone("cx:1792")
}

func TestMesosDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{time.Minute: "1mins", 90 * time.Second: "1.5mins", 5 * time.Second: "5secs",
		20 * time.Millisecond: "20ms", 48 * time.Hour: "2days"} {
		if got := mesosDuration(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
}
