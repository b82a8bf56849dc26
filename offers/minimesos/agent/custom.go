package agent

import (
	"fmt"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// lostExecutorStatus is what a FAILURE event says when nobody knows how the
// executor has ended.
const lostExecutorStatus = -1

// Custom executors run as processes of their own, but nothing here speaks their
// API. So none can ever register: its tasks stay staging until it exits, is
// killed, or its time to register is over. The first task of an executor owns the
// process; the others only wait for its end.

// join makes t the owner of its custom executor, or finds the owner; a.mu is held.
func (a *Agent) join(t *task) {
	key := taskKey{t.fid, t.executorID()}
	if owner := a.customs[key]; owner != nil {
		t.owner, t.sandbox = owner, owner.sandbox
		return
	}
	a.customs[key] = t
}

// ride is the life of a task whose executor belongs to another task.
func (t *task) ride() {
	for {
		select {
		case <-t.owner.ended:
			end := t.owner.end
			if end.state == mesos.TASK_KILLED {
				end = executorTerminated()
			}
			t.terminal(end)
			return
		case <-t.agent.ctx.Done():
			return
		case <-t.wake:
			if order, silent := t.orders(); order != nil || silent {
				t.terminal(killedBeforeDelivery())
				return
			}
		}
	}
}

// concludeCustom reports the end of a custom executor, then that of its task
// (recording 23).
func (t *task) concludeCustom(rec exitRecord) {
	if _, silent := t.orders(); !silent && t.agent.ctx.Err() == nil {
		status := int32(rec.Status)
		if rec.lost {
			status = lostExecutorStatus
		}
		t.agent.done(t.fid, t.executorID(), status)
	}
	switch {
	case t.limit != nil:
		t.terminal(t.limitedEnd(statusParts{}))
	case t.killing != nil && t.killing.Cause == causeSilence:
		t.terminal(agentStatus(mesos.TASK_FAILED, mesos.REASON_EXECUTOR_REGISTRATION_TIMEOUT,
			"Executor did not register within "+mesosDuration(t.agent.cfg.Registration)))
	case t.killing != nil:
		t.terminal(killedBeforeDelivery())
	default:
		t.terminal(executorTerminated())
	}
}

// mesosDuration words a duration in the largest unit that fits, as Mesos does.
func mesosDuration(d time.Duration) string {
	for _, u := range []struct {
		name string
		size time.Duration
	}{{"weeks", 7 * 24 * time.Hour}, {"days", 24 * time.Hour}, {"hrs", time.Hour}, {"mins", time.Minute}, {"secs", time.Second}} {
		if d >= u.size {
			return fmt.Sprintf("%.15g%s", float64(d)/float64(u.size), u.name)
		}
	}
	return fmt.Sprintf("%.15gms", float64(d)/float64(time.Millisecond))
}
