package scenarios

import (
	"fmt"
	"strings"

	"stadion/compat-tests/harness"
)

// pods are the scenarios of Marathon's MesosAppIntegrationTest and marathon_pods_tests.
var pods = map[string]func(*scene){
	"pod versions":  (*scene).podVersions,
	"pod instances": (*scene).podInstances,
	"pod stopped":   (*scene).podStopped,
	"pod in group":  (*scene).podInGroup,
}

func pod(id string, instances int, fields object) object {
	out := object{"id": id, "scaling": object{"kind": "fixed", "instances": instances}, "containers": []any{container("one")}}
	for name, value := range fields {
		out[name] = value
	}
	return out
}

func container(name string) object {
	return object{"name": name, "exec": object{"command": object{"shell": "exec sleep 1000"}}, "resources": object{"cpus": 0.01, "mem": 8}}
}

type podInstance struct {
	ID, Status string
	Containers []struct{ Name, ContainerID string }
}

// stable waits until the pod has n stable instances and no others.
func (s *scene) stable(n int) []podInstance {
	s.Helper()
	var out struct {
		Status    string
		Instances []podInstance
	}
	harness.Await(s, limit, fmt.Sprintf("%s has %d stable instances", s.id, n), func() (bool, string) {
		out.Status, out.Instances = "", nil
		s.Get("/v2/pods"+s.id+"::status", &out)
		ok := len(out.Instances) == n && out.Status == "STABLE"
		for _, i := range out.Instances {
			ok = ok && i.Status == "STABLE"
		}
		return ok, fmt.Sprintf("%+v", out)
	})
	return out.Instances
}

// podVersions: each version is read as it was, and an old one can be put again.
func (s *scene) podVersions() {
	first := s.done(s.Must("POST", "/v2/pods", pod(s.id, 1, nil), 201))
	s.stable(1)
	if got := list(s.Must("GET", "/v2/pods"+s.id+"::versions", nil)); len(got) != 1 || got[0] != s.text(first, "version") {
		s.Errorf("versions are %v, want %s", got, first.Body)
	}
	second := s.done(s.Must("PUT", "/v2/pods"+s.id, pod(s.id, 1, object{"containers": []any{container("one"), container("two")}}), 200))
	for version, containers := range map[string]int{s.text(first, "version"): 1, s.text(second, "version"): 2} {
		got, _ := s.field(s.Must("GET", "/v2/pods"+s.id+"::versions/"+version, nil), "containers").([]any)
		if len(got) != containers {
			s.Errorf("%s has %d containers, want %d", version, len(got), containers)
		}
	}
	if i := s.stable(1); len(i[0].Containers) != 2 {
		s.Errorf("%+v", i)
	}
	s.done(s.Must("PUT", "/v2/pods"+s.id, s.Must("GET", "/v2/pods"+s.id+"::versions/"+s.text(first, "version"), nil).Body, 200))
	if i := s.stable(1); len(i[0].Containers) != 1 {
		s.Errorf("%+v", i)
	}
}

// podInstances: a killed instance keeps its id and its tasks get the next one, a wiped one is gone with the answer.
func (s *scene) podInstances() {
	s.done(s.Must("POST", "/v2/pods", pod(s.id, 2, nil), 201))
	first := s.stable(2)[0]
	if got := s.text(s.Must("DELETE", "/v2/pods"+s.id+"::instances/"+first.ID, nil, 200), "instanceId"); got != first.ID {
		s.Errorf("killed %s, want %s", got, first.ID)
	}
	s.event(-1, "status_update_event", object{"taskId": first.Containers[0].ContainerID, "taskStatus": "TASK_KILLED"})
	next := incarnation(s, first.Containers[0].ContainerID, 1)
	harness.Await(s, limit, next+" runs", func() (bool, string) {
		now := fmt.Sprint(s.stable(2))
		return strings.Contains(now, next) && strings.Contains(now, first.ID), now
	})
	s.Must("DELETE", "/v2/pods"+s.id+"::instances/"+first.ID+"?wipe=true", nil, 200)
	if now := string(s.Must("GET", "/v2/pods"+s.id+"::status", nil).Body); strings.Contains(now, first.ID) {
		s.Errorf("%s is wiped, yet in %s", first.ID, now)
	}
	both := s.stable(2)
	bulk := string(s.Must("DELETE", "/v2/pods"+s.id+"::instances", []string{both[0].ID, both[1].ID}, 200).Body)
	if !strings.Contains(bulk, both[0].ID) || !strings.Contains(bulk, both[1].ID) {
		s.Errorf("killed %s, want both of %+v", bulk, both)
	}
}

// podStopped: as with apps, a forced stop leaves the pod, a rollback of its creation does not.
func (s *scene) podStopped() {
	nowhere := pod(s.id, 1, object{"scheduling": object{"placement": object{"constraints": []any{object{"fieldName": "nonExistent", "operator": "CLUSTER", "value": "na"}}}}})
	for _, force := range []bool{true, false} {
		id := s.Must("POST", "/v2/pods", nowhere, 201).Header.Get("Marathon-Deployment-Id")
		if !s.listed(id) {
			s.Errorf("deployment %s is answered but not listed", id)
		}
		if force {
			s.Must("DELETE", "/v2/deployments/"+id+"?force=true", nil, 202)
			s.event(-1, "deployment_failed", object{"id": id})
			s.Must("GET", "/v2/pods"+s.id, nil, 200)
			s.done(s.Must("DELETE", "/v2/pods"+s.id+"?force=true", nil, 202))
			continue
		}
		s.done(s.Must("DELETE", "/v2/deployments/"+id, nil, 200))
		s.event(-1, "deployment_failed", object{"id": id})
		s.Must("GET", "/v2/pods"+s.id, nil, 404)
	}
}

// podInGroup: a group takes its pods along when it is deleted.
func (s *scene) podInGroup() {
	group := s.id
	s.id += "/pod"
	s.done(s.Must("POST", "/v2/pods", pod(s.id, 1, nil), 201))
	s.stable(1)
	s.done(s.Must("DELETE", "/v2/groups"+group, nil, 200))
	s.Must("GET", "/v2/pods"+s.id, nil, 404)
}
