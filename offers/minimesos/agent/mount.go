package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// bindMount shows one place of the file system at another, to one process only.
type bindMount struct {
	Source   string `json:"source"`
	Target   string `json:"target"` // must exist
	ReadOnly bool   `json:"read_only,omitempty"`
}

// absoluteMounts are the mounts that volumes with an absolute container path need.
// Such a path is one of the host, for tasks share its file system; who may make
// mounts that only the task sees gets them, others an error. The path must exist,
// as Mesos demands of containers without an image.
func (t *task) absoluteMounts() ([]bindMount, error) {
	if t.isDocker() {
		return nil, nil
	}
	var out []bindMount
	add := func(v mesos.Volume, source string) error {
		m, err := absoluteMount(v, source)
		if err != nil {
			return fmt.Errorf("volume %s: %w", v.ContainerPath, err)
		}
		if m != nil {
			out = append(out, *m)
		}
		return nil
	}
	type place struct {
		sandbox, parent string
		container       *mesos.ContainerInfo
	}
	resources, places := [][]mesos.Resource{t.info.Resources}, []place{{t.sandbox, "", t.container()}}
	if t.group != nil {
		e := t.group.exec
		places[0].parent = e.sandbox
		resources, places = append(resources, e.info.Resources), append(places, place{e.sandbox, "", e.info.Container})
	}
	for _, rs := range resources {
		for _, r := range rs {
			if r.Disk == nil || r.Disk.Persistence == nil || r.Disk.Volume == nil || !filepath.IsAbs(r.Disk.Volume.ContainerPath) {
				continue
			}
			dir, err := t.agent.existingVolume(r, t.user)
			if err == nil {
				err = add(*r.Disk.Volume, dir)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	for _, p := range places {
		for _, v := range p.container.GetVolumes() {
			if !filepath.IsAbs(v.ContainerPath) {
				continue
			}
			source, err := volumeTarget(p.sandbox, p.parent, v, t.user)
			if err != nil {
				return nil, fmt.Errorf("volume %s: %w", v.ContainerPath, err)
			}
			if err := add(v, source); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// absoluteMount is nil where the place is its own source.
func absoluteMount(v mesos.Volume, source string) (*bindMount, error) {
	target := filepath.Clean(v.ContainerPath)
	if target == filepath.Clean(source) {
		return nil, nil
	}
	if !canMount() {
		return nil, errors.New("an absolute container path needs a file system of its own, which only an agent that runs as root can give to tasks")
	}
	if _, err := os.Stat(target); err != nil {
		return nil, fmt.Errorf("mount point '%s' is an absolute path. It must exist if the container shares the host filesystem", target)
	}
	return &bindMount{Source: source, Target: target, ReadOnly: v.GetMode() == mesos.RO}, nil
}

// canMount tells whether this process may make mounts of its own.
var canMount = sync.OnceValue(func() bool {
	return inMounts(nil, func() error { return nil }) == nil
})

// inMounts runs start on a thread that sees the mounts and nobody else does.
// Processes that start forks see them, too. The thread ends with it.
func inMounts(mounts []bindMount, start func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: no other goroutine may run here
		err := privateMounts(mounts)
		if err == nil {
			err = start()
		}
		done <- err
	}()
	return <-done
}

func privateMounts(mounts []bindMount) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("a mount namespace for the task: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts for the task: %w", err)
	}
	for _, m := range mounts {
		if err := unix.Mount(m.Source, m.Target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("mounting %s at %s: %w", m.Source, m.Target, err)
		}
		if !m.ReadOnly {
			continue
		}
		if err := unix.Mount("", m.Target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("mounting %s at %s read-only: %w", m.Source, m.Target, err)
		}
	}
	return nil
}
