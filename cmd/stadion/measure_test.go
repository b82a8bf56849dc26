package main

import (
	"strings"
	"testing"

	"stadion/core"
	"stadion/marathonapi/metrics"
	"stadion/offers"
)

// TestMeasured: what passes the edges is counted under Marathon's names (behaviour.md 10.2).
func TestMeasured(t *testing.T) {
	r := metrics.New()
	defer r.Close()
	m := measured{r}
	m.event(offers.Received{Offers: make([]offers.Offer, 3)})
	m.event(offers.StatusUpdate{State: "TASK_RUNNING"})
	m.event(offers.StatusUpdate{State: "TASK_FAILED", Reason: "CONTAINER_LIMITATION_MEMORY"})
	m.calls([]offers.Call{
		offers.Accept{OfferIDs: []string{"a"}, Operations: []offers.Operation{{Launch: &offers.TaskInfo{}}, {LaunchGroup: &offers.TaskGroup{}}, {Reserve: make([]offers.Resource, 1)}}},
		offers.Decline{OfferIDs: []string{"b", "c"}}, offers.Revive{Roles: []string{"x", "y"}}, offers.Suppress{},
	})
	first := core.WireStep{Actions: []core.WireAction{{Action: "StartApplication", App: "/a"}}}
	second := core.WireStep{Actions: []core.WireAction{{Action: "ScaleApplication", App: "/a"}}}
	plan := core.Plan{Steps: []core.WireStep{first, second}}
	m.notices([]core.Notice{{Type: "deployment_info", Body: core.DeploymentStep{Plan: plan, CurrentStep: first}}, {Type: "deployment_info", Body: core.DeploymentStep{Plan: plan, CurrentStep: second}},
		{Type: "deployment_success", Body: core.DeploymentEnd{Plan: plan}}, {Type: "deployment_success", Body: core.DeploymentEnd{}}}, 0)
	var out strings.Builder
	if err := r.Prometheus(&out, "m"); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"m_mesos_offers_incoming_counter 3", "m_mesos_offers_used_counter 1", "m_mesos_offers_declined_counter 2", "m_mesos_calls_revive_counter 2",
		"m_mesos_calls_suppress_counter 1", "m_mesos_offer_operations_launch_counter 1", "m_mesos_offer_operations_launch_group_counter 1", "m_mesos_offer_operations_reserve_counter 1",
		"m_tasks_launched_counter 2", "m_mesos_task_updates_task_running_counter 1", "m_mesos_task_oom_memory_limit_exceeded_counter 1", "m_deployments_counter 2"} {
		if !strings.Contains(out.String(), "\n"+line+"\n") {
			t.Errorf("%q is missing", line)
		}
	}
}
