package placement

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"stadion/compat-tests/harness"
)

// pod waits until the pod has one instance of this status, on that agent if one is named, and returns its id.
func (s *site) pod(id, status, host string) string {
	s.Helper()
	var p struct {
		Status    string
		Instances []struct{ ID, AgentHostname, Status string }
	}
	harness.Await(s, placeLimit, fmt.Sprintf("one instance of %s is %s", id, status), func() (bool, string) {
		p.Instances = nil
		s.api.Get("/v2/pods"+id+"::status", &p)
		ok := len(p.Instances) == 1 && p.Instances[0].Status == status && (host == "" || p.Instances[0].AgentHostname == host)
		return ok, fmt.Sprintf("%+v", p)
	})
	return p.Instances[0].ID
}

// volumes are the persistent volumes that the master has on its agents.
func (s *site) volumes() []string {
	s.Helper()
	var list struct {
		Slaves []struct {
			Reserved map[string][]struct {
				Disk *struct{ Persistence struct{ ID string } }
			} `json:"reserved_resources_full"`
		}
	}
	if err := json.Unmarshal(s.master.Must("GET", "/slaves", nil, 200).Body, &list); err != nil {
		s.Fatal(err)
	}
	var out []string
	for _, agent := range list.Slaves {
		for _, resources := range agent.Reserved {
			for _, r := range resources {
				if r.Disk != nil {
					out = append(out, r.Disk.Persistence.ID)
				}
			}
		}
	}
	return out
}

// TestWipeLost plays Marathon's TaskUnreachableIntegrationTest and AgentGoneByOperatorIntegrationTest: instances on a lost
// agent can be given up, with and without a volume, and are killed and cleared away when it returns; scaling down takes the
// lost ones first; a volume on an agent that is gone for good is given up by itself.
func TestWipeLost(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1, "--mesos_role", "dev", "--mesos_authentication_principal", "p")
	container := object{"name": "c", "exec": object{"command": object{"shell": "exec sleep 1000"}}, "resources": object{"cpus": 0.01, "mem": 32}}
	scheduling := object{"unreachableStrategy": "disabled"}
	s.api.Must("POST", "/v2/pods", object{"id": "/plain", "containers": []any{container}, "scheduling": scheduling}, 201)
	holder := maps.Clone(container)
	holder["volumeMounts"] = []any{object{"name": "v", "mountPath": "data"}}
	s.api.Must("POST", "/v2/pods", object{"id": "/holds", "containers": []any{holder}, "scheduling": object{"unreachableStrategy": "disabled",
		"upgrade": object{"minimumHealthCapacity": 0, "maximumOverCapacity": 0}},
		"volumes": []any{object{"name": "v", "persistent": object{"size": 2}}}}, 201)
	plain, holds := s.pod("/plain", "STABLE", ""), s.pod("/holds", "STABLE", "")
	s.mesos.Kill()
	s.start(2)
	s.connected()
	wide := constraint("hostname", "MAX_PER", "2")
	wide["unreachableStrategy"] = object{"inactiveAfterSeconds": 3600, "expungeAfterSeconds": 3600}
	s.create(sleeper("/spread", 4, wide))
	s.running("/spread", 4)
	s.deployed("/spread")

	events := s.api.OpenEvents("?event_type=unknown_instance_terminated_event", nil)
	s.fault("lose_agent", "127.0.0.1")
	s.fault("expire_agent", "127.0.0.1")
	half := map[string]int{"TASK_RUNNING": 2, "TASK_UNREACHABLE": 2}
	spread := s.await("/spread", half)
	s.api.Must("PUT", "/v2/apps/spread", object{"instances": 2}, 200)
	s.deployed("/spread") // at once, with the lost ones as its victims
	s.untouched(spread, s.await("/spread", half), "")
	for id, lost := range map[string]string{"/plain": plain, "/holds": holds} {
		if s.pod(id, "DEGRADED", "") != lost {
			t.Errorf("%s has another instance than %s", id, lost)
		}
		s.api.Must("DELETE", "/v2/pods"+id+"::instances/"+lost+"?wipe=true", nil, 200)
		if s.pod(id, "STABLE", "127.0.0.2") == lost {
			t.Errorf("%s still shows %s", id, lost)
		}
	}
	s.create(sleeper("/moves", 1, object{"upgradeStrategy": object{"minimumHealthCapacity": 0, "maximumOverCapacity": 0},
		"container": object{"type": "MESOS", "volumes": []any{object{"containerPath": "data", "mode": "RW", "persistent": object{"size": 2}}}}}))
	before := s.running("/moves", 1)[0]
	s.deployed("/moves")

	s.fault("return_agent", "127.0.0.1")
	events.Next(placeLimit, "the end of "+plain, func(e harness.Event) bool { return e.Data["instanceId"] == plain })
	harness.Await(t, placeLimit, "five processes are left", func() (bool, string) {
		pids := harness.TaskPids(t, s.dir)
		return len(pids) == 5, fmt.Sprint(pids)
	})
	s.untouched(s.await("/spread", map[string]int{"TASK_RUNNING": 2}), spread, "")
	s.api.Must("DELETE", "/v2/pods/plain", nil, 202)
	s.api.Must("DELETE", "/v2/pods/holds", nil, 202)
	harness.Await(t, placeLimit, "only the volume of /moves is left", func() (bool, string) {
		left := s.volumes()
		return len(left) == 1 && strings.HasPrefix(left[0], "moves#"), fmt.Sprint(left)
	})

	s.operator("MARK_AGENT_GONE", before.SlaveID)
	after := s.elsewhere("/moves", 1, before.SlaveID)[0]
	if want := strings.TrimSuffix(before.ID, ".1") + ".2"; after.ID != want {
		t.Errorf("%s was replaced by %s, want %s", before.ID, after.ID, want)
	}
}
