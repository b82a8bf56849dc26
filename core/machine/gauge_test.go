package machine

import (
	"slices"
	"testing"
	"time"

	"stadion/core/state"
	"stadion/offers"
)

// TestGauges: kills in flight, their attempts and overdue launches are there to be charted, and gone afterwards
// (behaviour 10.2, 7.10, 7.11.4).
func TestGauges(t *testing.T) {
	t.Run("kills", func(t *testing.T) {
		r := newRig(t)
		ids := r.running(`{"id":"/web","cpus":1,"instances":2}`)
		r.request(KillInstances{IDs: ids})
		if got := r.m.st.Gauges(); got.Kills != 2 || got.KillAttempts != 2 {
			t.Errorf("%+v", got)
		}
		r.wait(31 * time.Second) // nobody answers
		if got := r.m.st.Gauges(); got.Kills != 2 || got.KillAttempts != 4 {
			t.Errorf("after a retry: %+v", got)
		}
		r.status(ids[0], "TASK_KILLED")
		if got := r.m.st.Gauges(); got.Kills != 1 || got.KillAttempts != 2 {
			t.Errorf("after one ended: %+v", got)
		}
		r.status(ids[1], "TASK_KILLED")
		if got := r.m.st.Snapshot(1, 1, r.now).Gauges(); got != (state.Gauges{Ready: 1}) {
			t.Errorf("after all ended: %+v", got)
		}
	})
	t.Run("overdue launches", func(t *testing.T) {
		r := newRig(t)
		r.put(`{"id":"/web"}`)
		r.offer("a")
		r.wait(306 * time.Second)
		if got := r.m.st.Gauges(); got.Overdue != 1 || got.Kills != 1 {
			t.Errorf("%+v", got)
		}
		r.status(r.ids("/web")[0], "TASK_KILLED")
		r.wait(10 * time.Second)
		if got := r.m.st.Gauges(); got.Overdue != 0 || got.Kills != 0 {
			t.Errorf("afterwards: %+v", got)
		}
	})
	t.Run("tokens", func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.LaunchTokens = 10 })
		r.put(`{"id":"/web","instances":3}`)
		if got := r.m.st.Gauges(); got.Ready != 1 || r.m.st.WaitingCount() != 3 {
			t.Errorf("while all wait: %+v, %d instances", got, r.m.st.WaitingCount())
		}
		r.offer("a")
		if got := r.m.st.Gauges(); got.Tokens != 7 || got.Ready != 0 || r.m.st.WaitingCount() != 0 {
			t.Errorf("%+v", got)
		}
	})
}

// TestMarks: the stages of a launch are measured where they end, each once.
func TestMarks(t *testing.T) {
	r := newRig(t)
	r.put(`{"id":"/web","cmd":"x","healthChecks":[{"protocol":"TCP","port":80}]}`)
	r.wait(2 * time.Second)
	if got := r.offer("a").Marks; !slices.Equal(got, []Mark{{MarkOffered, 2000}}) {
		t.Errorf("an offer: %v", got)
	}
	r.wait(3 * time.Second)
	id := r.ids("/web")[0]
	if got := r.status(id, "TASK_RUNNING").Marks; !slices.Equal(got, []Mark{{MarkRunning, 3000}}) {
		t.Errorf("running: %v", got)
	}
	r.wait(4 * time.Second)
	if got := r.probe(id, ProbeHealthy).Marks; !slices.Equal(got, []Mark{{MarkHealthy, 4000}}) {
		t.Errorf("healthy: %v", got)
	}
	r.probe(id, ProbeFailed)
	if got := r.probe(id, ProbeHealthy).Marks; len(got) > 0 {
		t.Errorf("healthy again: %v", got)
	}
	ghost := r.do(Mesos{offers.StatusUpdate{TaskID: "other.instance-3f0c5a1e-9d1b-11ec-8d5d-0242ac110002._app.1", AgentID: "S", State: "TASK_RUNNING", UUID: []byte{1}}})
	if got := ghost.Marks; !slices.Equal(got, []Mark{{MarkGhost, 0}}) {
		t.Errorf("a task of no instance: %v", got)
	}
}
