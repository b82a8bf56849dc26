package main

import (
	"errors"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"stadion/core"
	"stadion/core/machine"
	"stadion/core/state"
	"stadion/marathonapi/metrics"
	"stadion/offers"
)

// TestMeasured: what passes the edges is counted under Marathon's names (behaviour.md 10.2).
func TestMeasured(t *testing.T) {
	r := metrics.New("m")
	m := measured{r}
	m.event(offers.Received{Offers: make([]offers.Offer, 3)})
	m.event(offers.StatusUpdate{State: "TASK_RUNNING"})
	m.event(offers.StatusUpdate{State: "TASK_FAILED", Reason: "CONTAINER_LIMITATION_MEMORY"})
	m.calls([]offers.Call{
		offers.Accept{OfferIDs: []string{"a"}, Operations: []offers.Operation{{Launch: &offers.TaskInfo{}}, {LaunchGroup: &offers.TaskGroup{}}, {Reserve: make([]offers.Resource, 1)}}},
		offers.Decline{OfferIDs: []string{"b", "c"}}, offers.Revive{Roles: []string{"x", "y"}}, offers.Suppress{},
		offers.UpdateFramework{Roles: []string{"x", "y", "z"}, Suppressed: []string{"x", "y", "z"}, Quieted: 2}, // behaviour 5.8.8
	})
	first := core.WireStep{Actions: []core.WireAction{{Action: "StartApplication", App: "/a"}}}
	second := core.WireStep{Actions: []core.WireAction{{Action: "ScaleApplication", App: "/a"}}}
	plan := core.Plan{Steps: []core.WireStep{first, second}}
	m.notices([]core.Notice{{Type: "deployment_info", Body: core.DeploymentStep{Plan: plan, CurrentStep: first}}, {Type: "deployment_info", Body: core.DeploymentStep{Plan: plan, CurrentStep: second}},
		{Type: "deployment_success", Body: core.DeploymentEnd{Plan: plan}}, {Type: "deployment_success", Body: core.DeploymentEnd{}}}, 0)
	var out strings.Builder
	if err := r.Prometheus(&out); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"m_mesos_offers_incoming_counter 3", "m_mesos_offers_used_counter 1", "m_mesos_offers_declined_counter 2", "m_mesos_calls_revive_counter 2",
		"m_mesos_calls_suppress_counter 3", "m_mesos_offer_operations_launch_counter 1", "m_mesos_offer_operations_launch_group_counter 1", "m_mesos_offer_operations_reserve_counter 1",
		"m_tasks_launched_counter 2", "m_mesos_task_updates_task_running_counter 1", "m_mesos_task_oom_memory_limit_exceeded_counter 1", "m_deployments_counter 2"} {
		if !strings.Contains(out.String(), "\n"+line+"\n") {
			t.Errorf("%q is missing", line)
		}
	}
}

// TestMeasuredBatches: what the loop tells of batches becomes durations and counts, each under its name.
func TestMeasuredBatches(t *testing.T) {
	r := metrics.New("m")
	m := measured{r}
	b := &machine.Batch{Calls: []offers.Call{offers.Accept{}, offers.Decline{OfferIDs: []string{"late"}}}, Writes: make([]state.Write, 3),
		Marks: []machine.Mark{{Kind: machine.MarkOffered, Ms: 2000}, {Kind: machine.MarkRunning, Ms: 3000}, {Kind: machine.MarkHealthy, Ms: 4000}, {Kind: machine.MarkGhost}, {Kind: machine.MarkRetained}}}
	m.Settled(b, 5, time.Second)
	m.Stored(b, 2*time.Second, errors.New("away"))
	m.Stored(b, 2*time.Second, nil)
	m.Released(b, 6*time.Second)
	var out strings.Builder
	if err := r.Prometheus(&out); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"m_debug_mesos_offers_unprocessable_counter 1", "m_debug_mesos_offers_saving_tasks_errors_counter 1", "m_persistence_gc_runs_counter 1",
		"m_stadion_batch_events_histogram_max 5", "m_stadion_batch_rows_histogram_max 3", "m_debug_mesos_offers_matching_duration_timer_seconds_max 1",
		"m_debug_mesos_offers_saving_tasks_duration_timer_seconds_max 2", "m_debug_persistence_operations_store_duration_timer_seconds_count 1",
		"m_stadion_launch_queued_to_offer_timer_seconds_max 2", "m_stadion_launch_accept_to_running_timer_seconds_max 3", "m_stadion_launch_running_to_healthy_timer_seconds_max 4",
		"m_stadion_launch_offer_to_accept_timer_seconds_max 6", "m_debug_killing_unknown_task_duration_timer_seconds_max 6", "m_persistence_gc_scan_duration_timer_seconds_max 1",
		"m_stadion_store_rows_counter 3", "m_stadion_store_busy_counter_microseconds 2e+06"} {
		if !strings.Contains(out.String(), "\n"+line+"\n") {
			t.Errorf("%q is missing", line)
		}
	}
}

// TestLongestSince: of the pauses that the runtime remembers only late ones count (P24).
func TestLongestSince(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	s := debug.GCStats{PauseEnd: []time.Time{at(30), at(20), at(10)}, Pause: []time.Duration{1, 3, 9}}
	for since, want := range map[int64]time.Duration{5: 9, 15: 3, 25: 1, 35: 0} {
		if got := longestSince(s, at(since)); got != want {
			t.Errorf("since %d: %d, want %d", since, got, want)
		}
	}
}
