package machine

import (
	"slices"
	"testing"
	"time"

	"stadion/core"
	"stadion/offers"
)

const twoContainers = `{"id":"/pod","containers":[{"name":"one","resources":{"cpus":0.1,"mem":32}},{"name":"two","resources":{"cpus":0.1,"mem":32}}]}`

const checkedPod = `{"id":"/pod","containers":[{"name":"one","resources":{"cpus":0.1,"mem":32},"healthCheck":{"exec":{"command":{"shell":"true"}},"intervalSeconds":10}},
{"name":"two","resources":{"cpus":0.1,"mem":32},"healthCheck":{"exec":{"command":{"shell":"true"}},"intervalSeconds":10}},{"name":"three","resources":{"cpus":0.1,"mem":32}}]}`

// pod deploys a pod with one instance and lets its containers run on agent a.
func (r *rig) pod(text string) core.InstanceID {
	r.t.Helper()
	p := testPod(r.t, text)
	r.change(core.Change{Put: []core.RunSpec{p}})
	return r.up(p.ID, "a")[0]
}

// podStatus reports the state of one container.
func (r *rig) podStatus(id core.InstanceID, container, taskState string, more ...func(*offers.StatusUpdate)) *Batch {
	r.t.Helper()
	n := r.get(id).Incarnation
	return r.status(id, taskState, append(more, ofTask(id.Task(container, n)))...)
}

// TestPodLife: one LAUNCH_GROUP, one task per container, done when all run; killed as a whole (behaviour 11.1, 7.1).
func TestPodLife(t *testing.T) {
	r := newRig(t)
	p := testPod(t, twoContainers)
	r.change(core.Change{Put: []core.RunSpec{p}})
	b := r.offer("a")
	id := r.ids("/pod")[0]
	want := []core.TaskID{id.Task("one", 1), id.Task("two", 1)}
	if got := launches(b); !slices.Equal(got, want) || len(r.get(id).Tasks) != 2 {
		t.Fatalf("launched %v", got)
	}
	r.podStatus(id, "one", "TASK_RUNNING")
	if c := r.get(id).Condition; c != core.Provisioned { // the one behind decides
		t.Errorf("condition %s", c)
	}
	r.podStatus(id, "two", "TASK_STARTING")
	if b = r.podStatus(id, "two", "TASK_RUNNING"); !tells(b, "deployment_success") || r.get(id).Condition != core.Running {
		t.Errorf("%v", told(b))
	}
	_, b, _ = r.request(KillInstances{IDs: []core.InstanceID{id}})
	if got := kills(b); !slices.Equal(got, want) {
		t.Errorf("kills %v", got)
	}
	r.podStatus(id, "one", "TASK_KILLED")
	if i := r.get(id); i.Condition != core.Running || i.Scheduled() { // 7.1: Running stands before Killed
		t.Errorf("%s, waits %v", i.Condition, i.Scheduled())
	}
	r.podStatus(id, "two", "TASK_KILLED")
	if !r.get(id).Scheduled() {
		t.Error("not waiting")
	}
	if got := launches(r.offer("a")); !slices.Equal(got, []core.TaskID{id.Task("one", 2), id.Task("two", 2)}) {
		t.Errorf("relaunched %v", got)
	}
}

// TestBrokenPod: when one container fails the instance has failed, but it may not run again before the others have
// ended; whoever is left is killed (behaviour 11.1, 7.5; I3).
func TestBrokenPod(t *testing.T) {
	r := newRig(t)
	id := r.pod(twoContainers)
	b := r.podStatus(id, "one", "TASK_FAILED", message("boom"))
	if i := r.get(id); i.Condition != core.Failed || i.Scheduled() || !i.Launched() {
		t.Fatalf("%s, waits %v", i.Condition, i.Scheduled())
	}
	if got := kills(b); !slices.Equal(got, []core.TaskID{id.Task("two", 1)}) {
		t.Errorf("kills %v", got)
	}
	if f, ok := r.m.st.Failure("/pod"); !ok || f.TaskID != id.Task("one", 1) {
		t.Errorf("failure %+v", f)
	}
	r.wait(5 * time.Second)
	if got := launches(r.offer("a")); len(got) > 0 {
		t.Fatalf("launched beside its own rest: %v", got)
	}
	r.crash()
	if got := kills(r.wait(31 * time.Second)); len(got) == 0 {
		t.Error("the rest is not killed after a failover")
	}
	r.podStatus(id, "two", "TASK_KILLED")
	if got := launches(r.offer("a")); len(got) != 2 {
		t.Errorf("relaunched %v", got)
	}
}

// TestFinishedContainer: a container that finishes leaves the others running; the instance is Finished when all are
// (behaviour 11.1).
func TestFinishedContainer(t *testing.T) {
	r := newRig(t)
	id := r.pod(twoContainers)
	if b := r.podStatus(id, "one", "TASK_FINISHED"); r.get(id).Condition != core.Running || len(kills(b)) > 0 {
		t.Errorf("%s", r.get(id).Condition)
	}
	r.podStatus(id, "two", "TASK_FINISHED")
	if i := r.get(id); i.Condition != core.Finished || !i.Scheduled() {
		t.Errorf("%s", i.Condition)
	}
}

// TestPodHealth: an upgrade waits until every container with a check reports true (behaviour 11.6, D-01).
func TestPodHealth(t *testing.T) {
	r := newRig(t)
	id := r.pod(checkedPod)
	if r.m.st.DeploymentCount() != 1 {
		t.Fatal("done without health")
	}
	b := r.podStatus(id, "one", "TASK_RUNNING", health(core.Healthy))
	if r.m.st.DeploymentCount() != 1 || !tells(b, "instance_health_changed_event") {
		t.Errorf("after the first container: %v", told(b))
	}
	if b = r.podStatus(id, "two", "TASK_RUNNING", health(core.Healthy)); !tells(b, "deployment_success") {
		t.Errorf("after the second: %v", told(b))
	}
	b = r.podStatus(id, "two", "TASK_RUNNING", health(core.Unhealthy))
	if r.get(id).Healthy != core.Unhealthy || !tells(b, "instance_health_changed_event") || len(kills(b)) > 0 { // 8.4: never killed by us
		t.Errorf("%v", told(b))
	}
}

// TestPodWipe: a wiped pod is decommissioned, all its tasks are killed, and it is gone when all have ended (7.11, D-52).
func TestPodWipe(t *testing.T) {
	r := newRig(t)
	id := r.pod(twoContainers)
	_, b, _ := r.request(KillInstances{IDs: []core.InstanceID{id}, Wipe: true})
	if len(kills(b)) != 2 || len(b.Replies) != 0 {
		t.Errorf("kills %v, %d answers", kills(b), len(b.Replies))
	}
	r.podStatus(id, "one", "TASK_FAILED")
	if r.gone(id) {
		t.Fatal("forgotten while a container runs")
	}
	b = r.podStatus(id, "two", "TASK_KILLED")
	if !r.gone(id) || len(b.Replies) != 1 || r.m.st.Counts("/pod").Waiting != 1 {
		t.Errorf("gone %v, %d answers", r.gone(id), len(b.Replies))
	}
}

// TestFinishedContainerHealth: a container that has finished is asked nothing more, so an upgrade does not wait for its
// health, whether it reported any or not: the health of an instance is that of the containers that run (behaviour 7.1).
func TestFinishedContainerHealth(t *testing.T) {
	for _, reported := range []bool{false, true} {
		r := newRig(t)
		id := r.pod(checkedPod)
		if reported {
			r.podStatus(id, "one", "TASK_RUNNING", health(core.Healthy))
		}
		r.podStatus(id, "one", "TASK_FINISHED")
		if r.m.st.DeploymentCount() != 1 {
			t.Fatal("done although a container that runs has not reported its health")
		}
		if b := r.podStatus(id, "two", "TASK_RUNNING", health(core.Healthy)); !tells(b, "deployment_success") {
			t.Errorf("reported %v: %v", reported, told(b))
		}
	}
}

// TestPodHealthToldOnce: one change of a pod's health is one event (Appendix C).
func TestPodHealthToldOnce(t *testing.T) {
	r := newRig(t)
	id := r.pod(checkedPod)
	for _, h := range []core.Health{core.Healthy, core.Unhealthy} {
		n := 0
		for _, name := range told(r.podStatus(id, "one", "TASK_RUNNING", health(h))) {
			if name == "instance_health_changed_event" {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d events", n)
		}
	}
}
