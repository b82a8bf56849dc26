package scenarios

import (
	"strings"
)

// volumes are the scenarios of Marathon's ResidentTaskIntegrationTest and MultiRoleIntegrationTest that stateful leaves out.
var volumes = map[string]func(*scene){
	"suspended":      (*scene).suspended,
	"role of volume": (*scene).roleOfVolume,
}

func resident(role string, fields object) object {
	out := object{"role": role, "upgradeStrategy": object{"minimumHealthCapacity": 0, "maximumOverCapacity": 0},
		"container": object{"type": "MESOS", "volumes": []any{object{"containerPath": "data", "mode": "RW", "persistent": object{"size": 2}}}}}
	for name, value := range fields {
		out[name] = value
	}
	return out
}

// suspended: tasks of an app that keeps volumes stay in the list when it is scaled down, and come back for a change or a
// restart in the same number.
func (s *scene) suspended() {
	s.done(s.create(resident("foo", object{"instances": 3})))
	s.running(s.id, 3)
	s.put(object{"instances": 0})
	resting := s.tasks(s.id)
	if len(resting) != 3 {
		s.Fatalf("%+v rest, want 3", resting)
	}
	for _, t := range resting {
		if t.StartedAt != "" || t.State == "TASK_RUNNING" {
			s.Errorf("%+v rests", t)
		}
	}
	s.put(object{"instances": 3})
	s.running(s.id, 3)
	restarted := s.text(s.done(s.Must("POST", "/v2/apps"+s.id+"/restart", nil, 200)), "version")
	for _, t := range s.running(s.id, 3) {
		if t.Version != restarted {
			s.Errorf("%+v, want version %s", t, restarted)
		}
	}
}

// roleOfVolume: a reservation stays with the role that made it; only new instances have the new role, and only for whoever
// insists.
func (s *scene) roleOfVolume() {
	role := s.moveDown()
	s.done(s.create(resident("foo", nil)))
	s.running(s.id, 1)
	change := object{"role": role, "acceptedResourceRoles": []string{"*"}}
	refused := string(s.Must("PUT", "/v2/apps"+s.id, change, 422).Body)
	if !strings.Contains(refused, "under the previous role, foo. Only new instances will be allocated with the new role, "+role+".") {
		s.Errorf("refused with %s", refused)
	}
	s.done(s.Must("PUT", "/v2/apps"+s.id+"?force=true", change, 200))
	if t := s.running(s.id, 1); t[0].Role != "foo" {
		s.Errorf("%+v, want role foo", t)
	}
	s.put(object{"instances": 2})
	both := s.running(s.id, 2)
	if got := both[0].Role + both[1].Role; got != "foo"+role && got != role+"foo" {
		s.Errorf("roles are %s and %s", both[0].Role, both[1].Role)
	}
}
