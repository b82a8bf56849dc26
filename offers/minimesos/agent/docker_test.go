package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// fakeDocker is a client that runs the command of the container on the host
// and keeps "containers" as files.
const fakeDocker = `#!/bin/sh
dir=$(dirname "$0")
echo "$@" >> "$dir/calls"
case "$1" in
version) [ -e "$dir/daemon" ] || { echo "Cannot connect to the Docker daemon."; exit 1; }; echo 27.0 ;;
rm) shift; for a; do rm -f "$dir/container-$a"; done ;;
exec) [ -e "$dir/container-$2" ] || exit 1; shift 2; exec "$@" ;;
run)
  shift
  while [ $# -gt 0 ]; do
    case "$1" in
    --name) touch "$dir/container-$2"; shift 2 ;;
    --env) export "$2"; shift 2 ;;
    --entrypoint) entry=$2; shift 2 ;;
    --privileged|--*=*) shift ;;
    --*) shift 2 ;;
    *) break ;;
    esac
  done
  shift
  exec $entry "$@" ;;
esac
`

func dockerTask(id, command string) mesos.TaskInfo {
	task := shellTask(id, command)
	task.Container = &mesos.ContainerInfo{Type: mesos.ContainerInfo_DOCKER.Enum(), Docker: &mesos.ContainerInfo_DockerInfo{Image: "busybox:1"}}
	return task
}

// Docker containers run through the client: arguments, checks inside, kill,
// and no container is left.
func TestDocker(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "docker"), []byte(fakeDocker), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	bothModes(t, func(t *testing.T, cfg Config) {
		b := newBench(t, cfg)
		b.agent.Launch(killingFramework(), dockerTask("early", "true"))
		b.awaitEnd("early", "FAILED agent EXECUTOR_TERMINATED 'Abnormal executor termination: unknown container'")
		write(t, filepath.Join(dir, "daemon"), "up\n")
		defer func() { _ = os.Remove(filepath.Join(dir, "daemon")) }()

		full := dockerTask("full", "echo $MESOS_SANDBOX $A; exit 3")
		full.Command.Environment = &mesos.Environment{Variables: []mesos.Environment_Variable{{Name: "A", Value: ptr("b")}}}
		full.Resources = []mesos.Resource{{Name: "cpus", Type: mesos.SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: 0.5}}, {Name: "mem", Type: mesos.SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: 64}}}
		full.Container.Volumes = []mesos.Volume{{ContainerPath: "/data", HostPath: ptr("/tmp"), Mode: mesos.RO.Enum()}}
		d := full.Container.Docker
		d.Network, d.Privileged, d.ForcePullImage = mesos.ContainerInfo_DockerInfo_BRIDGE.Enum(), ptr(true), ptr(true)
		d.PortMappings = []mesos.ContainerInfo_DockerInfo_PortMapping{{HostPort: 31000, ContainerPort: 80, Protocol: ptr("tcp")}}
		d.Parameters = []mesos.Parameter{{Key: "label", Value: "x=y"}}
		b.agent.Launch(killingFramework(), full)
		b.awaitEnd("full", starting, running, "FAILED executor 'Container exited with status 3'")
		box := b.agent.Sandbox("fw-1", "full")
		if out := awaitFile(t, filepath.Join(box, "stdout")); out != "/mnt/mesos/sandbox b\n" {
			t.Errorf("stdout %q", out)
		}
		calls, err := os.ReadFile(filepath.Join(dir, "calls"))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"--cpu-shares 512 --memory 67108864 --pull always --privileged", "--volume " + box + ":/mnt/mesos/sandbox --volume /tmp:/data:ro --network bridge --publish 31000:80/tcp --label=x=y --entrypoint /bin/sh busybox:1 -c echo"} {
			if !strings.Contains(string(calls), want) {
				t.Errorf("%q is not among the calls:\n%s", want, calls)
			}
		}

		sickTask := dockerTask("sick", "trap '' TERM; while true; do sleep .05; done")
		sickTask.HealthCheck = commandHealth("exit 9", 0, 2)
		sickTask.KillPolicy = graceOf(100 * time.Millisecond)
		b.agent.Launch(killingFramework(), sickTask)
		b.awaitEnd("sick", starting, running, sick, sick, killing, "KILLED executor 'Container terminated with signal Killed' healthy=false")
		if left, _ := filepath.Glob(filepath.Join(dir, "container-*")); len(left) > 0 {
			t.Errorf("containers left: %v", left)
		}
	})
}

// A check of a port in a network of its own goes to the host port.
func TestDockerPorts(t *testing.T) {
	info := dockerTask("p", "true")
	info.Container.Docker.PortMappings = []mesos.ContainerInfo_DockerInfo_PortMapping{{HostPort: 31000, ContainerPort: 80}}
	task := &task{info: info}
	if got := task.reachablePort(80); got != 80 {
		t.Errorf("host network: %d", got)
	}
	info.Container.Docker.Network = mesos.ContainerInfo_DockerInfo_BRIDGE.Enum()
	if got := task.reachablePort(80); got != 31000 {
		t.Errorf("bridge: %d", got)
	}
	if got := task.reachablePort(81); got != 81 {
		t.Errorf("not mapped: %d", got)
	}
}
