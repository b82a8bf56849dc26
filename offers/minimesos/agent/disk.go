package agent

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// lookShare bounds the work of watching a disk: looking may take one part of so
// many of the time.
const lookShare = 20

// diskExcess is a disk quota that was broken.
type diskExcess struct {
	usage    int64 // KiB
	resource mesos.Resource
}

func (x *diskExcess) message() string {
	return fmt.Sprintf("Disk usage (%dKB) exceeds quota (%.15gMB)", x.usage, x.resource.Scalar.Value)
}

func (x *diskExcess) limitation() *mesos.TaskResourceLimitation {
	return &mesos.TaskResourceLimitation{Resources: []mesos.Resource{x.resource}}
}

// diskOf sums up (in MiB) the disk of a sandbox among the resources; volumes and
// disks of their own do not count. into takes over the role.
func diskOf(rs []mesos.Resource, into *mesos.Resource) float64 {
	sum := 0.0
	for _, r := range rs {
		if r.Name == "disk" && r.Scalar != nil && r.Disk == nil {
			sum += r.Scalar.Value
			into.AllocationInfo = r.AllocationInfo
		}
	}
	return sum
}

// diskQuota is the directory whose size is limited, and the limit. Tasks of a
// default executor share their limits and its own. ok is false for a task without
// disk resources.
func (t *task) diskQuota() (dir string, quota mesos.Resource, ok bool) {
	quota = mesos.Resource{Name: "disk", Type: mesos.SCALAR.Enum(), Scalar: &mesos.Value_Scalar{}}
	own := diskOf(t.info.Resources, &quota)
	if t.custom != nil {
		own += diskOf(t.custom.Resources, &quota)
	}
	if own == 0 || t.isDocker() {
		return "", quota, false
	}
	quota.Scalar.Value = own
	if t.group == nil {
		return t.sandbox, quota, true
	}
	e := t.group.exec
	sum := diskOf(e.info.Resources, &quota)
	for _, other := range t.agent.live() {
		if other.group != nil && other.group.exec == e {
			sum += diskOf(other.info.Resources, &quota)
		}
	}
	quota.Scalar.Value = sum
	return e.sandbox, quota, true
}

// watchDisk looks at the disk that the task uses until it is too much.
func (t *task) watchDisk(ctx context.Context, wg *sync.WaitGroup, out chan<- diskExcess) {
	if _, _, ok := t.diskQuota(); !ok {
		return
	}
	wg.Go(func() {
		wait := t.agent.cfg.DiskWatch
		for {
			pause(ctx, wait)
			if ctx.Err() != nil {
				return
			}
			start := time.Now()
			dir, quota, _ := t.diskQuota()
			usage := diskUsage(ctx, dir)
			if float64(usage) > quota.Scalar.Value*1024 {
				select {
				case out <- diskExcess{usage, quota}:
				case <-ctx.Done():
				}
				return
			}
			wait = max(t.agent.cfg.DiskWatch, lookShare*time.Since(start))
		}
	})
}

// diskUsage is the size of a directory on disk in KiB, without what links lead to.
func diskUsage(ctx context.Context, dir string) int64 {
	blocks := int64(0) // of 512 bytes
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil { // a file that vanishes uses nothing
			return ctx.Err()
		}
		if info, err := d.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				blocks += st.Blocks
			}
		}
		return nil
	})
	return blocks / 2
}

// exceeded ends a task that has broken its quota and, because a quota is that of
// the executor, all others of a default executor.
func (t *task) exceeded(x diskExcess) {
	if t.group != nil {
		if !t.group.exec.breakQuota(&x) {
			return // another task was first and ends this one
		}
		if t.hasCapability(mesos.FrameworkInfo_Capability_TASK_KILLING_STATE) && t.killing == nil {
			t.emit(statusParts{state: mesos.TASK_KILLING, source: mesos.SOURCE_EXECUTOR, check: emptyCheck(t.info.Check), contents: containerOnly})
		}
	}
	t.limit = &x
	if t.group != nil {
		for _, other := range t.agent.live() {
			if other != t && other.group != nil && other.group.exec == t.group.exec {
				other.kill(causeLimit, 0)
			}
		}
	}
	t.runner.signal(syscall.SIGKILL)
}

// limitedEnd is the end of a task after exceeded (recording 35). p is how a task of
// a default executor would end otherwise.
func (t *task) limitedEnd(p statusParts) statusParts {
	x := t.limit
	if t.group != nil && x != nil {
		p.state, p.reason = mesos.TASK_FAILED, mesos.REASON_CONTAINER_LIMITATION_DISK.Enum()
		p.message, p.limit = p.message+": "+x.message(), x.limitation()
		return p
	}
	if x == nil && t.group != nil {
		x = t.group.exec.broken()
	}
	if x == nil { // an earlier agent process knew more
		return executorTerminated()
	}
	end := agentStatus(mesos.TASK_FAILED, mesos.REASON_CONTAINER_LIMITATION_DISK, x.message())
	end.limit = x.limitation()
	return end
}

// breakQuota notes that the quota of an executor was broken, unless it was before.
func (e *executor) breakQuota(x *diskExcess) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.limit != nil {
		return false
	}
	e.limit = x
	return true
}

// broken is the quota that was broken, nil if none.
func (e *executor) broken() *diskExcess {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.limit
}
