package machine

import (
	"math"
	"testing"
	"time"

	"stadion/core"
	"stadion/offers"
)

func (r *rig) delay(spec core.PathID) (ms float64, has bool) {
	r.t.Helper()
	s, _ := r.m.st.Spec(spec)
	d, ok := r.m.st.Delay(core.RefOf(s))
	return d.Current, ok
}

// TestBackoffVector is D.6 (behaviour 4.3): the delays after each failure in a row, and its corners.
func TestBackoffVector(t *testing.T) {
	r := newRig(t)
	r.put(`{"id":"/web"}`)
	s, _ := r.m.st.Spec("/web")
	want := map[int]float64{1: 1, 2: 1.15, 3: 1.3225, 4: 1.520875, 42: 300, 43: 300}
	for k := 1; k <= 43; k++ {
		r.m.increaseBackoff(core.RefOf(s), s.BackoffPolicy())
		got, _ := r.delay("/web")
		if w, ok := want[k]; ok && math.Abs(got-w*1000) > 1e-6 {
			t.Errorf("failure %d: %v ms, want %v s", k, got, w)
		}
		if k == 41 && math.Abs(got-267_863) > 1 {
			t.Errorf("failure 41: %v ms", got)
		}
	}
	for _, c := range []struct {
		policy core.Backoff
		want   float64
	}{{core.Backoff{Seconds: 0, Factor: 1.15, MaxLaunchDelaySec: 300}, 0}, {core.Backoff{Seconds: 500, Factor: 1.15, MaxLaunchDelaySec: 300}, 300_000}} {
		r.m.st.DropDelay(core.RefOf(s))
		for range 3 {
			r.m.increaseBackoff(core.RefOf(s), c.policy)
		}
		if got, _ := r.delay("/web"); got != c.want {
			t.Errorf("%+v: %v", c.policy, got)
		}
	}
}

// An intent whose launch never reached an agent is no failure: the master's answer to our question, which has no uuid,
// neither delays the next launch nor leaves a last failure (F1).
func TestLaunchThatNeverLeft(t *testing.T) {
	r := newRig(t)
	r.put(`{"id":"/web"}`)
	r.offer("a")
	id := r.ids("/web")[0]
	r.crash()
	r.status(id, "TASK_GONE", reason("RECONCILIATION"), func(u *offers.StatusUpdate) { u.UUID = nil })
	if _, delayed := r.delay("/web"); delayed {
		t.Error("the next launch is delayed")
	}
	if f, ok := r.m.st.Failure("/web"); ok {
		t.Errorf("last failure %+v", f)
	}
	if r.m.st.Counts("/web").Waiting != 1 {
		t.Errorf("%+v", r.m.st.Counts("/web"))
	}
}

// A relaunch waits since its task ended, also for a new leader (behaviour 4.1, 4.5).
func TestRelaunchWaitsSinceTheEnd(t *testing.T) {
	r := newRig(t)
	id := r.running(`{"id":"/web"}`)[0]
	r.wait(time.Minute)
	ended := r.now
	r.status(id, "TASK_FAILED")
	r.wait(time.Second)
	r.crash()
	if at := r.get(id).QueuedAt; at != ended {
		t.Errorf("waits since %s, its task ended %s", at, ended)
	}
}

// TestBackoffResets are the resets of behaviour 4.3 and what leaves a delay alone (D-10).
func TestBackoffResets(t *testing.T) {
	failed := func(t *testing.T) (*rig, core.InstanceID) {
		r := newRig(t)
		id := r.running(`{"id":"/web"}`)[0]
		r.status(id, "TASK_FAILED")
		if _, ok := r.delay("/web"); !ok {
			t.Fatal("no delay")
		}
		return r, id
	}
	kept := func(t *testing.T, r *rig, want bool) {
		t.Helper()
		if _, ok := r.delay("/web"); ok != want {
			t.Errorf("delay: %v, want %v", ok, want)
		}
	}
	t.Run("an agent that drains", func(t *testing.T) {
		for _, state := range []string{"TASK_KILLED", "TASK_GONE_BY_OPERATOR"} {
			r, id := failed(t)
			r.wait(time.Second)
			r.up("/web", "a")
			r.status(id, state, reason("AGENT_DRAINING"))
			kept(t, r, false)
		}
	})
	t.Run("DELETE delay", func(t *testing.T) {
		r, _ := failed(t)
		if _, _, err := r.request(ResetDelay{Spec: "/web"}); err != nil {
			t.Fatal(err)
		}
		kept(t, r, false)
		if len(launches(r.offer("a"))) != 1 {
			t.Error("not launched at once")
		}
		if _, _, err := r.request(ResetDelay{Spec: "/web"}); err == nil || err.(*core.Error).Kind != core.NotFound ||
			err.Error() != "Application /web not found in tasks queue." {
			t.Errorf("nothing waits: %v", err)
		}
	})
	t.Run("start of a Restart", func(t *testing.T) {
		r, _ := failed(t)
		r.force(`{"id":"/web","cmd":"other"}`)
		for range r.m.st.Delays() {
			t.Error("a delay is left")
		}
	})
	t.Run("end of a Stop", func(t *testing.T) {
		r, _ := failed(t)
		r.change(core.Change{Remove: []core.PathID{"/web"}})
		for range r.m.st.Delays() {
			t.Error("a delay is left")
		}
		if _, ok := r.m.st.Failure("/web"); ok { // 1.7
			t.Error("the failure record is left")
		}
	})
	t.Run("scaling keeps it", func(t *testing.T) {
		r, _ := failed(t)
		r.force(`{"id":"/web","instances":2}`)
		kept(t, r, true)
		if len(launches(r.offer("a"))) != 0 {
			t.Error("launched in spite of the delay")
		}
	})
	t.Run("sweep after the longest delay without a failure", func(t *testing.T) {
		r, _ := failed(t)
		r.wait(300 * time.Second)
		kept(t, r, true)
		r.wait(11 * time.Second)
		kept(t, r, false)
	})
	t.Run("leadership change", func(t *testing.T) {
		r, _ := failed(t)
		r.crash()
		kept(t, r, false)
	})
	t.Run("progress does not move the window (D-10)", func(t *testing.T) {
		r, id := failed(t)
		s, _ := r.m.st.Spec("/web")
		before, _ := r.m.st.Delay(core.RefOf(s))
		r.wait(time.Second)
		r.offer("a")
		for _, state := range []string{"TASK_STAGING", "TASK_STARTING", "TASK_RUNNING"} {
			r.now += 100
			r.status(id, state)
			if d, _ := r.m.st.Delay(core.RefOf(s)); d != before {
				t.Errorf("%s: %+v, was %+v", state, d, before)
			}
		}
	})
	t.Run("the end of a delay asks for offers; two configurations have two delays", func(t *testing.T) {
		r := newRig(t)
		id := r.running(`{"id":"/web","upgradeStrategy":{"minimumHealthCapacity":1,"maximumOverCapacity":1}}`)[0]
		r.force(`{"id":"/web","cmd":"other"}`)
		r.offer("a")
		fresh := core.InstanceID("")
		for _, x := range r.ids("/web") {
			if x != id {
				fresh = x
			}
		}
		r.status(fresh, "TASK_FAILED")
		b := r.wait(1100 * time.Millisecond)
		if len(calls[offers.Revive](b)) == 0 {
			t.Errorf("no revive: %+v", b.Calls)
		}
		n := 0
		for range r.m.st.Delays() {
			n++
		}
		if n != 1 {
			t.Errorf("%d delays", n)
		}
		if got := launches(r.offer("a")); len(got) != 1 || got[0] != fresh.Task("_app", 2) {
			t.Errorf("launched %v", got)
		}
	})
	t.Run("a pod that fails is delayed once, however many containers fail (11.6)", func(t *testing.T) {
		r := newRig(t)
		id := r.pod(twoContainers)
		r.podStatus(id, "one", "TASK_FAILED")
		r.podStatus(id, "two", "TASK_ERROR")
		if d, ok := r.delay("/pod"); !ok || d != 1000 {
			t.Errorf("delay %v", d)
		}
	})
}
