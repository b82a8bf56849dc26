package scenarios

import (
	"fmt"
	"strings"

	"stadion/compat-tests/harness"
)

// groups are the scenarios of Marathon's GroupDeployIntegrationTest.
var groups = map[string]func(*scene){
	"group":           (*scene).group,
	"locked group":    (*scene).lockedGroup,
	"order of groups": (*scene).orderOfGroups,
	"events of group": (*scene).eventsOfGroup,
}

func (s *scene) putGroup(body object) harness.Answer {
	s.Helper()
	return s.done(s.Must("PUT", "/v2/groups"+s.id, body, 200))
}

// group: the same again restarts nothing, a change replaces, an earlier version comes back, and a scale multiplies.
func (s *scene) group() {
	id := s.id + "/a"
	body := func(cmd string) object {
		return object{"id": s.id, "apps": []any{app(id, object{"instances": 2, "cmd": cmd})}}
	}
	first := s.text(s.done(s.Must("POST", "/v2/groups", body("exec sleep 1000"), 201)), "version")
	before := s.running(id, 2)
	s.putGroup(body("exec sleep 1000"))
	if now := ids(s.running(id, 2)); now != ids(before) {
		s.Errorf("%s became %s", ids(before), now)
	}
	s.putGroup(body("exec sleep 2000"))
	if now := ids(s.running(id, 2)); strings.Contains(now, before[0].ID) || strings.Contains(now, before[1].ID) {
		s.Errorf("%s became %s", ids(before), now)
	}
	s.putGroup(object{"version": first})
	if cmd := s.text(s.Must("GET", "/v2/apps"+id, nil), "app", "cmd"); cmd != "exec sleep 1000" {
		s.Errorf("cmd of the first version is %q", cmd)
	}
	s.running(id, 2)
	s.putGroup(object{"scaleBy": 2})
	s.running(id, 4)
	// What is read can be put again, once the versions are gone that would be a rollback.
	now := ids(s.running(id, 4))
	read, _ := s.Must("GET", "/v2/groups"+s.id, nil).JSON().(object)
	delete(read, "version")
	s.putGroup(read)
	if after := ids(s.running(id, 4)); after != now {
		s.Errorf("%s became %s", now, after)
	}
}

// lockedGroup: a group that is being deployed is neither changed nor deleted without force, and the events say so.
func (s *scene) lockedGroup() {
	body := object{"id": s.id, "apps": []any{app(s.id+"/a", impossible)}}
	s.Must("POST", "/v2/groups", body, 201)
	at := -1
	for _, call := range []struct {
		method string
		body   any
	}{{"PUT", object{"id": s.id, "apps": []any{app(s.id+"/a", nil)}}}, {"DELETE", nil}} {
		s.Must(call.method, "/v2/groups"+s.id, call.body, 409)
		at = s.event(at, "group_change_failed", object{"groupId": "/"})
	}
	s.done(s.Must("DELETE", "/v2/groups"+s.id+"?force=true", nil, 200))
	s.Must("GET", "/v2/groups"+s.id, nil, 404)
}

// orderOfGroups: groups start in the order of their dependencies, which may be relative.
func (s *scene) orderOfGroups() {
	part := func(name string, needs ...string) object {
		return object{"id": name, "apps": []any{app(name, nil)}, "dependencies": needs}
	}
	s.done(s.Must("POST", "/v2/groups", object{"id": s.id, "groups": []any{part("front", "../service"), part("service", "../db"), part("db")}}, 201))
	at := -1
	for _, name := range []string{"db", "service", "front"} {
		at = s.event(at, "status_update_event", object{"appId": fmt.Sprintf("%s/%s/%s", s.id, name, name), "taskStatus": "TASK_RUNNING"})
	}
	text := string(s.Must("GET", "/v2/groups"+s.id, nil).Body)
	if !strings.Contains(text, `"dependencies":["`+s.id+`/service"]`) || !strings.Contains(text, `"dependencies":["`+s.id+`/db"]`) {
		s.Errorf("dependencies are not absolute: %s", text)
	}
}

// eventsOfGroup: an app tells of its parent group as what has changed, and plans come without the trees (http-api.md 11.4).
func (s *scene) eventsOfGroup() {
	id := s.done(s.Must("POST", "/v2/apps", app(s.id+"/a", nil), 201)).Header.Get("Marathon-Deployment-Id")
	s.event(-1, "group_change_success", object{"groupId": s.id})
	at := s.event(-1, "deployment_success", object{"id": id})
	s.log.mu.Lock()
	plan, _ := s.log.events[at].Data["plan"].(object)
	s.log.mu.Unlock()
	if len(plan) != 3 || plan["id"] != id || plan["steps"] == nil || plan["version"] == nil {
		s.Errorf("plan is %v", plan)
	}
	if s.listed(id) {
		s.Error("done, yet listed")
	}
}
