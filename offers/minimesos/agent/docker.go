package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

const (
	// dockerProbeTimeout bounds the question whether a Docker daemon answers.
	dockerProbeTimeout = 10 * time.Second
	// cleanupTimeout bounds the command that runs after the end of a task.
	cleanupTimeout = 10 * time.Second
	// dockerSandbox is where the sandbox is mounted in a Docker container.
	dockerSandbox = "/mnt/mesos/sandbox"
	// Smallest values that Docker takes.
	minDockerShares = 2
	minDockerMemory = 4 << 20
	// sharesPerCPU is the weight of one cpu.
	sharesPerCPU = 1024
)

// dockerClientVariables are taken from the environment of the agent, for they
// say where its Docker daemon is.
var dockerClientVariables = []string{"HOME", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"}

// wantsDocker tells whether the container is one of the Docker containerizer.
// GetType does not: without a type it answers DOCKER.
func wantsDocker(c *mesos.ContainerInfo) bool {
	return c != nil && c.Type != nil && *c.Type == mesos.ContainerInfo_DOCKER
}

func (t *task) isDocker() bool {
	return wantsDocker(t.info.Container) && t.info.Container.Docker != nil
}

func (t *task) dockerName() string { return "mesos-" + t.containerID }

// checkDocker returns why Docker containers cannot run here, or nothing.
func checkDocker(ctx context.Context) string {
	client, err := exec.LookPath("docker")
	if err != nil {
		return "Docker is not available on this agent: there is no docker command"
	}
	ctx, cancel := context.WithTimeout(ctx, dockerProbeTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, client, "version", "--format", "{{.Server.Version}}").CombinedOutput()
	if err != nil {
		first, _, _ := bytes.Cut(bytes.TrimSpace(out), []byte("\n"))
		return fmt.Sprintf("Docker is not available on this agent: %s", first)
	}
	return ""
}

// dockerSpec is the client command that runs a Docker container in the
// foreground: it passes SIGTERM on, and its end is that of the container. What
// SIGKILL leaves behind is removed by the cleanup command.
func (t *task) dockerSpec() (processSpec, error) {
	client, err := exec.LookPath("docker")
	if err != nil {
		return processSpec{}, fmt.Errorf("finding the docker command: %w", err)
	}
	args, err := t.dockerArguments()
	if err != nil {
		return processSpec{}, err
	}
	return processSpec{
		Path: client, Args: append([]string{"docker"}, args...), Env: dockerClientEnvironment(), Dir: t.sandbox,
		Stdout: filepath.Join(t.sandbox, stdoutName), Stderr: filepath.Join(t.sandbox, stderrName),
		Cleanup: []string{client, "rm", "--force", "--volumes", t.dockerName()},
	}, nil
}

// dockerClientEnvironment is what the client gets; the environment of the task
// goes into the container only.
func dockerClientEnvironment() []string {
	env := []string{"PATH=" + defaultPath}
	for _, name := range dockerClientVariables {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// dockerCheck is a check command that runs inside the container.
func (t *task) dockerCheck(cmd *mesos.CommandInfo) processSpec {
	args := []string{"docker", "exec", t.dockerName()}
	if cmd.GetShell() {
		args = append(args, "/bin/sh", "-c", cmd.GetValue())
	} else if args = append(args, cmd.GetValue()); len(cmd.Arguments) > 1 {
		args = append(args, cmd.Arguments[1:]...)
	}
	client, err := exec.LookPath("docker")
	if err != nil {
		client = "/docker" // gone since the launch: the check fails
	}
	return processSpec{Path: client, Args: args, Env: dockerClientEnvironment(), Dir: t.sandbox}
}

// reachablePort is where this host reaches a port of the task: the host port
// that a port of a container in a network of its own is mapped to.
func (t *task) reachablePort(port uint32) uint32 {
	if !t.isDocker() || t.info.Container.Docker.GetNetwork() == mesos.ContainerInfo_DockerInfo_HOST {
		return port
	}
	for _, m := range t.info.Container.Docker.PortMappings {
		if m.ContainerPort == port {
			return m.HostPort
		}
	}
	return port
}

func (t *task) dockerArguments() ([]string, error) {
	d, cmd := t.info.Container.Docker, t.info.Command
	args := []string{"run", "--name", t.dockerName()}
	args = append(args, t.dockerLimits()...)
	if d.ForcePullImage != nil && *d.ForcePullImage {
		args = append(args, "--pull", "always")
	}
	if d.Privileged != nil && *d.Privileged {
		args = append(args, "--privileged")
	}
	env, err := t.dockerEnvironment()
	if err != nil {
		return nil, err
	}
	for _, kv := range env {
		args = append(args, "--env", kv)
	}
	volumes, err := t.dockerVolumes()
	if err != nil {
		return nil, err
	}
	args = append(args, volumes...)
	network, err := t.dockerNetwork()
	if err != nil {
		return nil, err
	}
	args = append(args, network...)
	for _, p := range d.Parameters {
		args = append(args, "--"+p.Key+"="+p.Value)
	}
	if cmd != nil && cmd.GetShell() && cmd.Value != nil {
		return append(args, "--entrypoint", "/bin/sh", d.Image, "-c", *cmd.Value), nil
	}
	args = append(args, d.Image)
	if cmd != nil && cmd.Value != nil {
		args = append(args, *cmd.Value)
	}
	return append(args, cmd.GetArguments()...), nil
}

// dockerLimits are the weights and limits that follow from cpus and mem (MiB).
func (t *task) dockerLimits() []string {
	sums := map[string]float64{}
	for _, r := range t.info.Resources {
		if r.Scalar != nil {
			sums[r.Name] += r.Scalar.Value
		}
	}
	var args []string
	if v := sums["cpus"]; v > 0 {
		args = append(args, "--cpu-shares", strconv.Itoa(max(minDockerShares, int(v*sharesPerCPU))))
	}
	if v := sums["mem"]; v > 0 {
		args = append(args, "--memory", strconv.Itoa(max(minDockerMemory, int(v*(1<<20)))))
	}
	return args
}

// dockerEnvironment is that of a command task, but with the sandbox as the
// container sees it and the PATH of the image.
func (t *task) dockerEnvironment() ([]string, error) {
	var base []string
	for _, kv := range t.baseEnvironment() {
		name, _, _ := strings.Cut(kv, "=")
		switch name {
		case "PATH", "LIBPROCESS_IP", "LIBPROCESS_PORT":
		case "MESOS_SANDBOX", "MESOS_DIRECTORY":
			base = append(base, name+"="+dockerSandbox)
		default:
			base = append(base, kv)
		}
	}
	base = append(base, "MESOS_CONTAINER_NAME="+t.dockerName(), "HOST="+t.agent.cfg.Hostname)
	return withVariables(base, t.info.GetCommand().GetEnvironment())
}

// dockerVolumes mounts the sandbox, the volumes of the container and the
// persistent volumes.
func (t *task) dockerVolumes() ([]string, error) {
	args := []string{"--volume", t.sandbox + ":" + dockerSandbox}
	add := func(source string, v mesos.Volume) {
		inside := v.ContainerPath
		if !filepath.IsAbs(inside) {
			inside = dockerSandbox + "/" + inside
		}
		mount := source + ":" + inside
		if v.GetMode() == mesos.RO {
			mount += ":ro"
		}
		args = append(args, "--volume", mount)
	}
	for _, v := range t.info.Container.Volumes {
		source, err := volumeTarget(t.sandbox, "", v, t.user)
		if err != nil {
			return nil, fmt.Errorf("volume %s: %w", v.ContainerPath, err)
		}
		add(source, v)
	}
	for _, r := range t.info.Resources {
		if r.Disk == nil || r.Disk.Persistence == nil || r.Disk.Volume == nil {
			continue
		}
		dir, err := t.agent.existingVolume(r, t.user)
		if err != nil {
			return nil, err
		}
		add(dir, *r.Disk.Volume)
	}
	return args, nil
}

func (t *task) dockerNetwork() ([]string, error) {
	d := t.info.Container.Docker
	var args []string
	switch d.GetNetwork() {
	case mesos.ContainerInfo_DockerInfo_BRIDGE:
		args = []string{"--network", "bridge"}
	case mesos.ContainerInfo_DockerInfo_NONE:
		return []string{"--network", "none"}, nil
	case mesos.ContainerInfo_DockerInfo_USER:
		infos := t.info.Container.NetworkInfos
		if len(infos) == 0 || infos[0].Name == nil {
			return nil, errors.New("a USER network of Docker needs a name")
		}
		args = []string{"--network", *infos[0].Name}
	default:
		return []string{"--network", "host"}, nil
	}
	if h := t.info.Container.Hostname; h != nil {
		args = append(args, "--hostname", *h)
	}
	for _, m := range d.PortMappings {
		p := fmt.Sprintf("%d:%d", m.HostPort, m.ContainerPort)
		if m.Protocol != nil && *m.Protocol != "" {
			p += "/" + strings.ToLower(*m.Protocol)
		}
		args = append(args, "--publish", p)
	}
	return args, nil
}

// cleanUp runs the cleanup command of a process that has ended, if it has one.
func (s processSpec) cleanUp() {
	if len(s.Cleanup) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.Cleanup[0], s.Cleanup[1:]...)
	cmd.Env = s.Env
	// Its only failure that matters, a container that stays, has nobody to tell.
	_ = cmd.Run()
}
