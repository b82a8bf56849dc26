package agent

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

func disk(mib float64) []mesos.Resource {
	return []mesos.Resource{{Name: "disk", Type: mesos.SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: mib},
		AllocationInfo: &mesos.Resource_AllocationInfo{Role: ptr("web")}}}
}

// 35-disk-limit: the status of a command task that uses too much.
func TestDiskQuota(t *testing.T) {
	b := newBench(t, Config{DiskWatch: 20 * time.Millisecond})
	task := shellTask("du", "dd if=/dev/zero of=big bs=1M count=3 2>/dev/null; sleep 1000")
	task.Resources = disk(1)
	b.agent.Launch(killingFramework(), task)
	b.awaitMatch("du", `FAILED agent CONTAINER_LIMITATION_DISK 'Disk usage \(\d+KB\) exceeds quota \(1MB\)'`)
	end := b.of("du")[2]
	if rs := end.Limitation.GetResources(); len(rs) != 1 || rs[0].Scalar.Value != 1 || rs[0].AllocationInfo.GetRole() != "web" {
		t.Errorf("limitation %v", rs)
	}
	if end.ContainerStatus != nil {
		t.Error("the agent's own statuses have no container status")
	}
}

// 35-disk-limit: executor and tasks of a group share one limit and end together.
func TestDiskQuotaOfGroup(t *testing.T) {
	b := newBench(t, Config{DiskWatch: 20 * time.Millisecond})
	greedy, other := shellTask("du", "dd if=/dev/zero of=big bs=1M count=6 2>/dev/null; sleep 1000"), shellTask("ok", "sleep 1000")
	greedy.Resources = disk(1)
	b.agent.LaunchGroup(killingFramework(), mesos.ExecutorInfo{ExecutorID: mesos.ExecutorID{Value: "ex"}, Resources: disk(1)},
		[]mesos.TaskInfo{greedy, other})
	b.awaitMatch("du", `FAILED executor CONTAINER_LIMITATION_DISK 'Command terminated with signal Killed: Disk usage \(\d+KB\) exceeds quota \(2MB\)'`)
	b.awaitMatch("ok", `FAILED agent CONTAINER_LIMITATION_DISK 'Disk usage \(\d+KB\) exceeds quota \(2MB\)'`)
	b.awaitDone("ex:9")
	if st := b.of("du")[2]; st.GetState() != mesos.TASK_KILLING {
		t.Errorf("no TASK_KILLING before, but %s", line(st))
	}
}

// Volumes are links in the sandbox: what is behind them is not its size.
func TestDiskUsage(t *testing.T) {
	dir, volume := t.TempDir(), t.TempDir()
	for path, size := range map[string]int{filepath.Join(volume, "v"): 1 << 20, filepath.Join(dir, "f"): 64 << 10} {
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(volume, filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	if got := diskUsage(context.Background(), dir); got < 64 || got > 128 {
		t.Errorf("%d KiB", got)
	}
}

// awaitMatch waits for a last status that matches.
func (b *bench) awaitMatch(id, pattern string) {
	b.t.Helper()
	want := regexp.MustCompile("^" + pattern + "$")
	b.await(id+" "+pattern, func() bool {
		all := b.ofLocked(id)
		return len(all) > 0 && want.MatchString(line(all[len(all)-1]))
	})
}
