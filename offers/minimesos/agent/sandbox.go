package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

const (
	dirMode = 0o755
	// latestName links to the last run of an executor.
	latestName = "latest"
)

// checkPathPart refuses ids that would leave the directory they name.
func checkPathPart(what, id string) error {
	if id == "" || id == "." || id == ".." || strings.ContainsAny(id, "/\x00") {
		return fmt.Errorf("%s %q cannot be the name of a directory", what, id)
	}
	return nil
}

// runDirectory is the sandbox of an executor, in the layout of Mesos.
func (a *Agent) runDirectory(agentID, fid, eid, containerID string) string {
	return filepath.Join(a.cfg.WorkDir, "slaves", agentID, "frameworks", fid, "executors", eid, "runs", containerID)
}

// makeRun creates the directory of one run of an executor and lets the link
// `latest` point to it.
func makeRun(dir string) error {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return err
	}
	latest := filepath.Join(filepath.Dir(dir), latestName)
	if err := os.Remove(latest); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink(filepath.Base(dir), latest)
}

// touchOutputs creates the empty output files of a sandbox.
func touchOutputs(dir string) error {
	for _, n := range []string{stdoutName, stderrName} {
		f, err := openOutput(filepath.Join(dir, n))
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// volumePath is the directory of a persistent volume. Roles may be
// hierarchical; their slashes become spaces, which no role may contain.
func (a *Agent) volumePath(role, id string) (string, error) {
	dir := strings.ReplaceAll(role, "/", " ")
	if err := errors.Join(checkPathPart("role", dir), checkPathPart("persistence id", id)); err != nil {
		return "", err
	}
	return filepath.Join(a.cfg.WorkDir, "volumes", "roles", dir, id), nil
}

// CreateVolume makes the directory of a persistent volume; one that is there
// already keeps its contents. role is the role it is reserved for.
func (a *Agent) CreateVolume(role, persistenceID string) error {
	dir, err := a.volumePath(role, persistenceID)
	if err != nil {
		return fmt.Errorf("creating a persistent volume: %w", err)
	}
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return fmt.Errorf("creating persistent volume %s: %w", persistenceID, err)
	}
	return nil
}

// DestroyVolume removes a persistent volume with all its data. One that does
// not exist is no error.
func (a *Agent) DestroyVolume(role, persistenceID string) error {
	dir, err := a.volumePath(role, persistenceID)
	if err != nil {
		return fmt.Errorf("destroying a persistent volume: %w", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("destroying persistent volume %s: %w", persistenceID, err)
	}
	return nil
}

// reservedRole is the role of a resource in any of the formats that Mesos has
// had: the last of the reservations, the old field, the allocation.
func reservedRole(r mesos.Resource) string {
	if n := len(r.Reservations); n > 0 {
		return r.Reservations[n-1].GetRole()
	}
	if r.Role != nil && *r.Role != "*" {
		return *r.Role
	}
	if r.Reservation != nil && r.Reservation.Role != nil {
		return *r.Reservation.Role
	}
	return r.AllocationInfo.GetRole()
}

// mountPersistent links the persistent volumes among the resources into a
// sandbox. The data stay in the volume directory.
func (a *Agent) mountPersistent(sandbox string, resources []mesos.Resource, acc account) error {
	for _, r := range resources {
		if r.Disk == nil || r.Disk.Persistence == nil || r.Disk.Volume == nil {
			continue
		}
		dir, err := a.existingVolume(r, acc)
		if err != nil {
			return err
		}
		if err := linkVolume(sandbox, r.Disk.Volume.ContainerPath, dir); err != nil {
			return fmt.Errorf("persistent volume %s: %w", r.Disk.Persistence.ID, err)
		}
	}
	return nil
}

// existingVolume is the directory of the persistent volume r, given to the
// account. It must have been created before: an empty directory in its place
// would hide the loss of data.
func (a *Agent) existingVolume(r mesos.Resource, acc account) (string, error) {
	id := r.Disk.Persistence.ID
	dir, err := a.volumePath(reservedRole(r), id)
	if err != nil {
		return "", err
	}
	st, err := os.Stat(dir)
	if err != nil || !st.IsDir() {
		return "", fmt.Errorf("persistent volume %s of role %s does not exist on this agent", id, reservedRole(r))
	}
	if acc.change {
		if err := os.Lchown(dir, int(acc.uid), int(acc.gid)); err != nil {
			return "", fmt.Errorf("persistent volume %s: %w", id, err)
		}
	}
	return dir, nil
}

// mountVolumes links the volumes of a ContainerInfo into a sandbox. parent is
// the sandbox of the executor, empty for a command task.
func mountVolumes(sandbox, parent string, c *mesos.ContainerInfo, acc account) error {
	for _, v := range c.GetVolumes() {
		target, err := volumeTarget(sandbox, parent, v, acc)
		if err != nil {
			return fmt.Errorf("volume %s: %w", v.ContainerPath, err)
		}
		if err := linkVolume(sandbox, v.ContainerPath, target); err != nil {
			return fmt.Errorf("volume %s: %w", v.ContainerPath, err)
		}
	}
	return nil
}

// volumeTarget finds the directory that a volume stands for.
func volumeTarget(sandbox, parent string, v mesos.Volume, acc account) (string, error) {
	switch {
	case v.Image != nil:
		return "", errors.New("image volumes are not supported by this agent")
	case v.Source == nil && v.HostPath != nil:
		return hostTarget(*v.HostPath)
	case v.Source == nil:
		return "", errors.New("no source")
	case v.Source.Type == mesos.Volume_Source_HOST_PATH && v.Source.HostPath != nil:
		return hostTarget(v.Source.HostPath.Path)
	case v.Source.Type != mesos.Volume_Source_SANDBOX_PATH || v.Source.SandboxPath == nil:
		return "", fmt.Errorf("volumes of type %s are not supported by this agent", v.Source.Type)
	}
	root := sandbox
	if v.Source.SandboxPath.Type == mesos.Volume_Source_SandboxPath_PARENT {
		if parent == "" {
			return "", errors.New("a PARENT sandbox path needs a task group")
		}
		root = parent
	}
	if !filepath.IsLocal(v.Source.SandboxPath.Path) {
		return "", fmt.Errorf("sandbox path %q leaves the sandbox", v.Source.SandboxPath.Path)
	}
	dir := filepath.Join(root, v.Source.SandboxPath.Path)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return "", err
	}
	if acc.change {
		return dir, os.Lchown(dir, int(acc.uid), int(acc.gid))
	}
	return dir, nil
}

func hostTarget(path string) (string, error) {
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("host path %q is not absolute", path)
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("host path: %w", err)
	}
	return path, nil
}

// linkVolume makes target visible under containerPath in the sandbox. Absolute
// paths are mounted (absoluteMounts).
func linkVolume(sandbox, containerPath, target string) error {
	if filepath.IsAbs(containerPath) {
		return nil
	}
	if !filepath.IsLocal(containerPath) || filepath.Clean(containerPath) == "." {
		return fmt.Errorf("container path %q leaves the sandbox", containerPath)
	}
	link := filepath.Join(sandbox, containerPath)
	if link == filepath.Clean(target) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(link), dirMode); err != nil {
		return err
	}
	return os.Symlink(target, link)
}
