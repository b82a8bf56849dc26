package agent

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

func defaultExecutor(id string) mesos.ExecutorInfo {
	return mesos.ExecutorInfo{Type: mesos.ExecutorInfo_DEFAULT, ExecutorID: mesos.ExecutorID{Value: id},
		FrameworkID: &mesos.FrameworkID{Value: "fw-1"}, Container: &mesos.ContainerInfo{Type: mesos.ContainerInfo_MESOS.Enum()}}
}

// sandboxVolume is a volume of a task that shares a directory of its executor.
func sandboxVolume(path string) *mesos.ContainerInfo {
	return &mesos.ContainerInfo{Type: mesos.ContainerInfo_MESOS.Enum(), Volumes: []mesos.Volume{{
		Mode: mesos.RW.Enum(), ContainerPath: path,
		Source: &mesos.Volume_Source{Type: mesos.Volume_Source_SANDBOX_PATH,
			SandboxPath: &mesos.Volume_Source_SandboxPath{Type: mesos.Volume_Source_SandboxPath_PARENT, Path: path}},
	}}}
}

func (b *bench) awaitDone(want ...string) {
	b.t.Helper()
	b.await("end of executors "+strings.Join(want, " "), func() bool { return len(b.done) >= len(want) })
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(b.done, want) {
		b.t.Errorf("ended executors %v, want %v", b.done, want)
	}
}

// 21-task-groups: a group with a shared volume in which all finish.
func TestGroupFinishes(t *testing.T) {
	bothModes(t, func(t *testing.T, cfg Config) {
		b := newBench(t, cfg)
		one := shellTask("g1.a", "echo x > shared/f; exit 0")
		one.Container = sandboxVolume("shared")
		two := shellTask("g1.b", "while ! [ -s shared/f ]; do sleep .02; done; cat shared/f")
		two.Container = sandboxVolume("shared")
		b.agent.LaunchGroup(killingFramework(), defaultExecutor("ex-1"), []mesos.TaskInfo{one, two})
		b.awaitEnd("g1.a", starting, running, finished)
		b.awaitEnd("g1.b", starting, running, finished)
		b.awaitDone("ex-1:0")
		all := b.of("g1.b")
		for i, st := range all {
			cs := st.ContainerStatus
			inside := i == 1 // RUNNING only
			if st.ExecutorID.GetValue() != "ex-1" || cs.GetContainerID().GetParent() == nil || (len(cs.NetworkInfos) == 1) != inside || (cs.ExecutorPID != nil) != inside {
				t.Errorf("status %d is %+v", i, st)
			}
		}
		box := b.agent.Sandbox("fw-1", "g1.b")
		cs := all[0].ContainerStatus.ContainerID
		want := filepath.Join(b.cfg.WorkDir, "slaves/agent-S0/frameworks/fw-1/executors/ex-1/runs", cs.Parent.Value, "containers", cs.Value)
		if box != want {
			t.Errorf("sandbox %s, want %s", box, want)
		}
		if out := awaitFile(t, filepath.Join(box, "stdout")); out != "x\n" {
			t.Errorf("shared volume: %q", out)
		}
		if out := awaitFile(t, filepath.Join(box, "../../tasks/g1.b/stdout")); out != "x\n" {
			t.Errorf("by the name of the task: %q", out)
		}
	})
}

// 21-task-groups: one fails, the others are killed.
func TestGroupDiesTogether(t *testing.T) {
	bothModes(t, func(t *testing.T, cfg Config) {
		b := newBench(t, cfg)
		b.agent.LaunchGroup(killingFramework(), defaultExecutor("ex-2"), []mesos.TaskInfo{
			shellTask("g2.a", "sleep .3; exit 4"), shellTask("g2.b", "sleep 1000"), shellTask("g2.d", "true")})
		b.awaitEnd("g2.a", starting, running, "FAILED executor 'Command exited with status 4'")
		b.awaitEnd("g2.b", starting, running, killing, killed)
		b.awaitEnd("g2.d", starting, running, finished)
		b.awaitDone("ex-2:0")
	})
}

// 21-task-groups: a clean end leaves the others alone, KILL of one ends all.
func TestGroupKill(t *testing.T) {
	b := newBench(t, Config{})
	b.agent.LaunchGroup(killingFramework(), defaultExecutor("ex-3"), []mesos.TaskInfo{
		shellTask("g3.a", "true"), shellTask("g3.b", "sleep 1000"), shellTask("g3.c", "sleep 1000")})
	b.awaitEnd("g3.a", starting, running, finished)
	b.awaitState("g3.b", mesos.TASK_RUNNING)
	b.awaitState("g3.c", mesos.TASK_RUNNING)
	b.agent.Kill("fw-1", "g3.b", nil)
	b.awaitEnd("g3.b", starting, running, killing, killed)
	b.awaitEnd("g3.c", starting, running, killing, killed)
	b.awaitDone("ex-3:0")
}

// 21-task-groups: a URI that cannot be fetched.
func TestGroupFetchFailure(t *testing.T) {
	b := newBench(t, Config{})
	bad := shellTask("g5.a", "true")
	bad.Command.URIs = []mesos.CommandInfo_URI{{Value: "http://127.0.0.1:1/nope"}}
	b.agent.LaunchGroup(killingFramework(), defaultExecutor("ex-5"), []mesos.TaskInfo{bad, shellTask("g5.b", "sleep 1000")})
	b.awaitEnd("g5.a", starting, "FAILED executor 'Command exited with status 1'")
	b.await("end of g5.b", func() bool {
		all := b.ofLocked("g5.b")
		return len(all) > 0 && isTerminal(all[len(all)-1].GetState())
	})
	b.awaitDone("ex-5:0")
}

// A task of a group whose command has no value and no image runs, for a moment, says why it ends and takes the group with
// it; the command executor dies of the same (TestCommandWithoutValue).
func TestGroupWithoutValue(t *testing.T) {
	for shell, why := range map[bool]string{true: "Shell command is not specified\n", false: "Executable path is not specified\n"} {
		b := newBench(t, Config{})
		bad := shellTask("g.a", "")
		bad.Command = &mesos.CommandInfo{Shell: &shell, Arguments: []string{"/bin/true"}}
		b.agent.LaunchGroup(killingFramework(), defaultExecutor("ex"), []mesos.TaskInfo{bad, shellTask("g.b", "sleep 1000")})
		b.awaitEnd("g.a", starting, running, "FAILED executor 'Command exited with status 1'")
		if got, err := os.ReadFile(filepath.Join(b.agent.Sandbox("fw-1", "g.a"), stderrName)); string(got) != why {
			t.Errorf("stderr is %q (%v), want %q", got, err, why)
		}
		b.awaitDone("ex:0")
	}
}

// A task of a group finds its sandbox, its address and its role, and nothing of the executor's.
func TestEnvironmentOfGroup(t *testing.T) {
	b := newBench(t, Config{})
	b.agent.LaunchGroup(framework(), defaultExecutor("ex"), []mesos.TaskInfo{shellTask("g.a", "env | grep -E '^(MESOS|LIBPROCESS)' | sort")})
	b.awaitEnd("g.a", starting, running, finished)
	box := b.agent.Sandbox("fw-1", "g.a")
	want := "MESOS_ALLOCATION_ROLE=*\nMESOS_CONTAINER_IP=127.0.0.9\nMESOS_SANDBOX=" + box + "\n"
	if got, err := os.ReadFile(filepath.Join(box, "stdout")); string(got) != want {
		t.Errorf("%q (%v), want %q", got, err, want)
	}
}

// 21b: a second group in an executor that runs is not killed with the first,
// and the executor ends once.
func TestTwoGroupsInOneExecutor(t *testing.T) {
	b := newBench(t, Config{})
	b.agent.LaunchGroup(killingFramework(), defaultExecutor("ex"), []mesos.TaskInfo{shellTask("a", "sleep 1000")})
	b.awaitState("a", mesos.TASK_RUNNING)
	b.agent.LaunchGroup(killingFramework(), defaultExecutor("ex"), []mesos.TaskInfo{shellTask("c", "sleep 1000")})
	b.awaitState("c", mesos.TASK_RUNNING)
	b.agent.Kill("fw-1", "a", nil)
	b.awaitEnd("a", starting, running, killing, killed)
	b.mu.Lock()
	if len(b.done) > 0 || b.ofLocked("c")[1].ContainerStatus.ContainerID.Parent.Value != b.ofLocked("a")[0].ContainerStatus.ContainerID.Parent.Value {
		t.Errorf("ended executors %v; the groups do not share a container", b.done)
	}
	b.mu.Unlock()
	b.agent.Kill("fw-1", "c", nil)
	b.awaitEnd("c", starting, running, killing, killed)
	b.awaitDone("ex:0")
}

// 21-task-groups (ex-15): a failing health check ends the group; healthy false
// is in the last statuses of all its tasks.
func TestGroupHealth(t *testing.T) {
	b := newBench(t, Config{})
	sick := shellTask("g15.a", "sleep 1000")
	sick.HealthCheck = commandHealth("false", 0, 2)
	b.agent.LaunchGroup(killingFramework(), defaultExecutor("ex-15"), []mesos.TaskInfo{sick, shellTask("g15.b", "sleep 1000")})
	bad := "RUNNING executor TASK_HEALTH_CHECK_STATUS_UPDATED healthy=false"
	b.awaitEnd("g15.a", starting, running, bad, bad, killing, killed+" healthy=false")
	b.awaitEnd("g15.b", starting, running, killing, killed+" healthy=false")
	b.awaitDone("ex-15:0")
}

func persistentDisk(role, id, containerPath string) mesos.Resource {
	return mesos.Resource{Name: "disk", Type: mesos.SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: 10},
		Reservations: []mesos.Resource_ReservationInfo{{Role: &role}},
		Disk: &mesos.Resource_DiskInfo{Persistence: &mesos.Resource_DiskInfo_Persistence{ID: id},
			Volume: &mesos.Volume{Mode: mesos.RW.Enum(), ContainerPath: containerPath}}}
}

// A persistent volume keeps its data from task to task until it is destroyed,
// for command tasks and for groups (whose executor has the resource).
func TestPersistentVolumes(t *testing.T) {
	b := newBench(t, Config{})
	if err := b.agent.CreateVolume("web/prod", "vol-1"); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(b.cfg.WorkDir, "volumes/roles/web prod/vol-1")
	writer := shellTask("w", "echo kept > data/dir/f")
	writer.Resources = []mesos.Resource{persistentDisk("web/prod", "vol-1", "data/dir")}
	b.agent.Launch(framework(), writer)
	b.awaitEnd("w", starting, running, finished)
	if got, err := os.ReadFile(filepath.Join(dir, "f")); err != nil || string(got) != "kept\n" {
		t.Fatalf("volume holds %q, %v", got, err)
	}
	if err := b.agent.CreateVolume("web/prod", "vol-1"); err != nil {
		t.Fatal(err)
	}
	ex := defaultExecutor("ex")
	ex.Resources = []mesos.Resource{persistentDisk("web/prod", "vol-1", "vol")}
	reader := shellTask("r", "cat vol/f")
	reader.Container = sandboxVolume("vol")
	b.agent.LaunchGroup(framework(), ex, []mesos.TaskInfo{reader})
	b.awaitEnd("r", starting, running, finished)
	if out := awaitFile(t, filepath.Join(b.agent.Sandbox("fw-1", "r"), "stdout")); out != "kept\n" {
		t.Errorf("group reads %q", out)
	}
	if err := b.agent.DestroyVolume("web/prod", "vol-1"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("destroyed volume: %v", err)
	}
	late := shellTask("late", "true")
	late.Resources = writer.Resources
	b.agent.Launch(framework(), late)
	b.awaitEnd("late", "FAILED agent CONTAINER_LAUNCH_FAILED 'Failed to launch container: persistent volume vol-1 of role web/prod does not exist on this agent'")
	for _, bad := range [][2]string{{"web", ".."}, {"..", "x"}, {"web", "a/b"}, {"", "x"}} {
		if b.agent.CreateVolume(bad[0], bad[1]) == nil || b.agent.DestroyVolume(bad[0], bad[1]) == nil {
			t.Errorf("volume %q accepted", bad)
		}
	}
}

// Volumes of the host and within the sandbox, and those that are impossible.
func TestVolumes(t *testing.T) {
	host := t.TempDir()
	if err := os.WriteFile(filepath.Join(host, "f"), []byte("of the host\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	vol := func(path, hostPath string) mesos.Volume {
		return mesos.Volume{Mode: mesos.RW.Enum(), ContainerPath: path, HostPath: &hostPath}
	}
	cases := map[string]struct {
		volume mesos.Volume
		want   string // empty: works
	}{
		"relative": {vol("in/side", host), ""},
		"same":     {vol(host, host), ""},
		"absolute": {vol("/somewhere-else", host), absolutePathRefused},
		"escape":   {vol("../up", host), `volume ../up: container path "../up" leaves the sandbox`},
		"parent":   {sandboxVolume("p").Volumes[0], "volume p: a PARENT sandbox path needs a task group"},
		"secret":   {mesos.Volume{ContainerPath: "s", Source: &mesos.Volume_Source{Type: mesos.Volume_Source_SECRET}}, "volume s: volumes of type SECRET are not supported by this agent"},
	}
	b := newBench(t, Config{})
	for id, c := range cases {
		path := c.volume.ContainerPath
		task := shellTask(id, "cat '"+path+"/f'")
		task.Container = &mesos.ContainerInfo{Type: mesos.ContainerInfo_MESOS.Enum(), Volumes: []mesos.Volume{c.volume}}
		b.agent.Launch(framework(), task)
	}
	for id, c := range cases {
		if c.want != "" {
			b.awaitEnd(id, "FAILED agent CONTAINER_LAUNCH_FAILED 'Failed to launch container: "+c.want+"'")
			continue
		}
		b.awaitEnd(id, starting, running, finished)
		if out := awaitFile(t, filepath.Join(b.agent.Sandbox("fw-1", id), "stdout")); out != "of the host\n" {
			t.Errorf("%s: %q", id, out)
		}
	}
}

// A group is killed before its delivery as a whole, and its executor ends.
func TestGroupKilledWhileFetching(t *testing.T) {
	b := newBench(t, Config{})
	slow := shellTask("slow", "true")
	slow.Command.URIs = []mesos.CommandInfo_URI{{Value: hangingServer(t)}}
	b.agent.LaunchGroup(killingFramework(), defaultExecutor("ex"), []mesos.TaskInfo{slow, shellTask("other", "sleep 1000")})
	b.awaitState("slow", mesos.TASK_STARTING)
	b.awaitState("other", mesos.TASK_RUNNING)
	b.agent.Kill("fw-1", "slow", graceOf(time.Second))
	b.awaitEnd("slow", starting, killing, killed9)
	b.awaitEnd("other", starting, running, killing, killed)
	b.awaitDone("ex:0")
}

// An executor whose sandbox cannot be made drops all tasks and is reported as
// ended all the same, for its resources are held until then.
func TestGroupDropped(t *testing.T) {
	b := newBench(t, Config{})
	ex := defaultExecutor("ex")
	ex.Resources = []mesos.Resource{persistentDisk("web", "missing", "vol")}
	b.agent.LaunchGroup(killingFramework(), ex, []mesos.TaskInfo{shellTask("a", "true"), shellTask("b", "true")})
	for _, id := range []string{"a", "b"} {
		b.await("end of "+id, func() bool { return len(b.ofLocked(id)) > 0 })
		b.awaitEnd(id, "DROPPED agent EXECUTOR_TERMINATED 'Failed to create executor directory '"+b.agent.Sandbox("fw-1", id)+
			"': persistent volume missing of role web does not exist on this agent'")
	}
	b.awaitDone("ex:256")
}
