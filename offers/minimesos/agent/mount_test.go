package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// absolutePathRefused is what comes of the volume /somewhere-else; agents that are
// not root refuse every absolute path.
var absolutePathRefused = func() string {
	if canMount() {
		return "volume /somewhere-else: mount point '/somewhere-else' is an absolute path. It must exist if the container shares the host filesystem"
	}
	return "volume /somewhere-else: an absolute container path needs a file system of its own, which only an agent that runs as root can give to tasks"
}()

// Volumes with absolute container paths are mounted for the task and its checks
// alone, whoever else looks at the same place.
func TestAbsoluteContainerPath(t *testing.T) {
	bothModes(t, func(t *testing.T, cfg Config) {
		b := newBench(t, cfg)
		dir := t.TempDir()
		source, target, readOnly, kept := filepath.Join(dir, "source"), filepath.Join(dir, "target"), filepath.Join(dir, "ro"), filepath.Join(dir, "kept")
		for _, d := range []string{source, target, readOnly, kept} {
			if err := os.Mkdir(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.agent.CreateVolume("web/prod", "vol"); err != nil {
			t.Fatal(err)
		}
		task := shellTask("m", "echo data > "+target+"/f; cp "+target+"/f "+kept+"; touch "+readOnly+"/f || echo refused; cat "+readOnly+"/f; sleep 1000")
		task.Container = &mesos.ContainerInfo{Type: mesos.ContainerInfo_MESOS.Enum(), Volumes: []mesos.Volume{
			{ContainerPath: readOnly, HostPath: &source, Mode: mesos.RO.Enum()}, {ContainerPath: target, HostPath: &source, Mode: mesos.RW.Enum()}}}
		task.Resources = []mesos.Resource{persistentDisk("web/prod", "vol", kept)}
		task.HealthCheck = &mesos.HealthCheck{Type: mesos.HealthCheck_COMMAND, DelaySeconds: ptr(0.0), IntervalSeconds: ptr(0.05),
			Command: &mesos.CommandInfo{Value: ptr("test -s " + target + "/f")}}
		b.agent.Launch(framework(), task)
		if !canMount() {
			b.awaitMatch("m", "FAILED agent CONTAINER_LAUNCH_FAILED .* only an agent that runs as root .*")
			return
		}
		b.await("the check that sees the mount", func() bool {
			all := b.ofLocked("m")
			return len(all) > 0 && all[len(all)-1].GetHealthy()
		})
		if out := awaitFile(t, filepath.Join(b.agent.Sandbox("fw-1", "m"), "stdout")); !strings.HasPrefix(out, "refused\n") {
			t.Errorf("stdout %q", out)
		}
		for _, d := range []string{source, filepath.Join(b.cfg.WorkDir, "volumes/roles/web prod/vol")} {
			if got, err := os.ReadFile(filepath.Join(d, "f")); err != nil || string(got) != "data\n" {
				t.Errorf("%s holds %q, %v", d, got, err)
			}
		}
		if left, err := os.ReadDir(target); err != nil || len(left) > 0 {
			t.Errorf("the mount is seen outside of the task: %v, %v", left, err)
		}
	})
}
