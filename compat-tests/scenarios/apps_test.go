package scenarios

import (
	"fmt"
	"strconv"
	"strings"

	"stadion/compat-tests/harness"
)

// apps are the scenarios of Marathon's AppDeployIntegrationTest, LaunchQueueIntegrationTest, TaskKillingIntegrationTest and
// marathon_common_tests.
var apps = map[string]func(*scene){
	"same again":           (*scene).sameAgain,
	"delay config":         (*scene).delayEndsWithConfig,
	"delay scale":          (*scene).delaySurvivesScaling,
	"delay restart":        (*scene).delayEndsWithRestart,
	"old versions":         (*scene).versions,
	"kills":                (*scene).kills,
	"stopped deployment":   (*scene).stopDeployment,
	"rolled back creation": (*scene).rollBackCreation,
	"rolled back capacity": func(s *scene) {
		s.rollBackUpdate(2, object{"cpus": 1000, "cmd": "na", "instances": 1, "upgradeStrategy": object{"minimumHealthCapacity": 0, "maximumOverCapacity": 0}})
	},
	"rolled back update":      func(s *scene) { s.rollBackUpdate(1, object{"cpus": 1000, "cmd": "na"}) },
	"container without image": (*scene).containerWithoutImage,
	"moved container port":    (*scene).movedContainerPort,
	"old form by put":         (*scene).oldFormByPut,
	"role nobody offers": func(s *scene) {
		role := s.moveDown()
		s.declined(object{"role": role, "acceptedResourceRoles": []string{role}}, "UnfulfilledRole")
	},
	"more cpus than any": func(s *scene) { s.declined(object{"cpus": 12345}, "InsufficientCpus") },
	"never killed":       (*scene).neverKilled,
	"no such user":       func(s *scene) { s.fails(object{"user": "nobody-of-this-name"}, "No such user 'nobody-of-this-name'") },
	"nothing to fetch": func(s *scene) {
		s.fails(object{"fetch": []any{object{"uri": "http://127.0.0.1:1/missing"}}}, "Failed to fetch all URIs for container")
	},
	"as it was read": (*scene).asItWasRead,
}

// sameAgain: an update that changes nothing is a deployment that restarts nothing.
func (s *scene) sameAgain() {
	s.done(s.create(nil))
	before := ids(s.running(s.id, 1))
	s.put(object{"id": s.id, "cmd": "exec sleep 1000"})
	if after := ids(s.running(s.id, 1)); after != before {
		s.Errorf("%s became %s", before, after)
	}
	// A client may send everything it knows as null, which says nothing.
	nothing := object{}
	for _, name := range strings.Fields("cmd user env instances cpus mem disk executor constraints uris ports backoffSeconds container healthChecks dependencies version ipAddress") {
		nothing[name] = nil
	}
	s.put(nothing)
	if after := ids(s.running(s.id, 1)); after != before {
		s.Errorf("%s became %s by an update that says nothing", before, after)
	}
}

// backOff creates an app that fails at once and then waits for an hour.
func (s *scene) backOff() {
	s.Helper()
	s.create(object{"cmd": "false", "backoffSeconds": 3600, "maxLaunchDelaySeconds": 3600})
	s.status(s.status(-1, "TASK_RUNNING"), "TASK_FAILED")
	s.queue("backing off", func(q queued) bool { return !q.Delay.Overdue && q.Delay.TimeLeftSeconds > 0 })
}

func (s *scene) delayEndsWithConfig() {
	s.backOff()
	s.done(s.Must("PUT", "/v2/apps"+s.id+"?force=true", object{"cmd": "exec sleep 1000"}, 200))
	s.running(s.id, 1)
}

func (s *scene) delaySurvivesScaling() {
	s.backOff()
	s.Must("PUT", "/v2/apps"+s.id+"?force=true", object{"instances": 3}, 200)
	s.queue("three, still backing off", func(q queued) bool { return q.Count == 3 && !q.Delay.Overdue })
}

func (s *scene) delayEndsWithRestart() {
	s.backOff()
	mark := s.log.now() - 1
	s.Must("POST", "/v2/apps"+s.id+"/restart?force=true", nil, 200)
	s.status(s.status(mark, "TASK_RUNNING"), "TASK_FAILED")
}

// versions: the first version is that of the creation's answer; each is read as it was.
func (s *scene) versions() {
	first := s.text(s.done(s.create(nil)), "version")
	if got := string(s.Must("GET", "/v2/apps"+s.id+"/versions", nil).Body); got != `{"versions":["`+first+`"]}` {
		s.Errorf("versions are %s, want %s alone", got, first)
	}
	second := s.text(s.put(object{"disk": 1}), "version")
	for version, disk := range map[string]any{first: 0.0, second: 1.0} {
		if got := s.field(s.Must("GET", "/v2/apps"+s.id+"/versions/"+version, nil), "disk"); got != disk {
			s.Errorf("disk of %s is %v, want %v", version, got, disk)
		}
	}
}

// kills: a task that is killed comes back as the next incarnation of its instance, a wiped one as another instance, and
// with scale it does not come back. Who follows the events sees it being killed first (feature task_killing).
func (s *scene) kills() {
	s.done(s.create(object{"instances": 2}))
	before := s.running(s.id, 2)
	victim := before[0].ID
	if got := s.text(s.Must("DELETE", "/v2/apps"+s.id+"/tasks/"+victim, nil, 200), "task", "id"); got != victim {
		s.Errorf("killed %s, asked for %s", got, victim)
	}
	killing := s.event(-1, "status_update_event", object{"taskId": victim, "taskStatus": "TASK_KILLING"})
	s.event(killing, "status_update_event", object{"taskId": victim, "taskStatus": "TASK_KILLED"})
	next := incarnation(s, victim, 1)
	harness.Await(s, limit, next+" runs", func() (bool, string) {
		now := ids(s.running(s.id, 2))
		return strings.Contains(now, next), now
	})
	instance, _, _ := strings.Cut(before[1].ID, "._app")
	s.Must("DELETE", "/v2/apps"+s.id+"/tasks/"+before[1].ID+"?wipe=true", nil, 200)
	if now := ids(s.tasks(s.id)); strings.Contains(now, instance) {
		s.Errorf("%s is wiped, yet among %s", instance, now)
	}
	left := s.running(s.id, 2)
	s.done(s.Must("DELETE", "/v2/apps"+s.id+"/tasks/"+left[0].ID+"?scale=true", nil, 200))
	if now := s.running(s.id, 1); now[0].ID != left[1].ID {
		s.Errorf("%s is left of %v", ids(now), ids(left))
	}
	s.done(s.Must("DELETE", "/v2/apps"+s.id+"/tasks?scale=true", nil, 200))
	s.running(s.id, 0)
	if n := s.field(s.Must("GET", "/v2/apps"+s.id, nil), "app", "instances"); n != 0.0 {
		s.Errorf("instances are %v", n)
	}
}

// incarnation is the id of a later task of the same instance.
func incarnation(s *scene, id string, later int) string {
	s.Helper()
	at := strings.LastIndexByte(id, '.')
	n, err := strconv.Atoi(id[at+1:])
	if err != nil {
		s.Fatalf("task id %s: %v", id, err)
	}
	return fmt.Sprintf("%s.%d", id[:at], n+later)
}

var impossible = object{"constraints": []any{[]string{"nonExistent", "CLUSTER", "na"}}, "cmd": "na", "instances": 5}

// stopDeployment: with force a deployment just ends, and what it has done so far stays.
func (s *scene) stopDeployment() {
	id := s.create(impossible).Header.Get("Marathon-Deployment-Id")
	if !s.listed(id) {
		s.Errorf("deployment %s is answered but not listed", id)
	}
	s.queue("five of them, not delayed", func(q queued) bool { return q.Count == 5 && q.Delay.Overdue })
	if a := s.Must("DELETE", "/v2/deployments/"+id+"?force=true", nil, 202); len(a.Body) != 0 {
		s.Errorf("answer %s, want none", a.Body)
	}
	s.event(-1, "deployment_failed", object{"id": id})
	if s.listed(id) {
		s.Errorf("deployment %s is stopped, yet listed", id)
	}
	s.Must("GET", "/v2/apps"+s.id, nil, 200)
}

// rollBackCreation: without force a new deployment undoes it; of an app that was being created nothing is left.
func (s *scene) rollBackCreation() {
	id := s.create(impossible).Header.Get("Marathon-Deployment-Id")
	back := s.done(s.Must("DELETE", "/v2/deployments/"+id, nil, 200))
	if got := s.text(back, "deploymentId"); got != back.Header.Get("Marathon-Deployment-Id") {
		s.Errorf("deployment %s, in the header %s", got, back.Header)
	}
	s.event(-1, "deployment_failed", object{"id": id})
	s.Must("GET", "/v2/apps"+s.id, nil, 404)
}

// rollBackUpdate: an update that no agent can run is undone, and the old number of tasks runs in the end (MARATHON-8537).
func (s *scene) rollBackUpdate(instances int, update object) {
	first := object{"instances": instances, "backoffFactor": 1}
	if u, ok := update["upgradeStrategy"]; ok {
		first["upgradeStrategy"] = u
	}
	s.done(s.create(first))
	id := s.Must("PUT", "/v2/apps"+s.id, update, 200).Header.Get("Marathon-Deployment-Id")
	s.queue("waiting for offers", func(queued) bool { return true })
	s.done(s.Must("DELETE", "/v2/deployments/"+id, nil, 200))
	s.running(s.id, instances)
	if cmd := s.text(s.Must("GET", "/v2/apps"+s.id, nil), "app", "cmd"); cmd != "exec sleep 1000" {
		s.Errorf("cmd is %q", cmd)
	}
}

// containerWithoutImage: a Mesos container gets no docker part by itself, not by an update either.
func (s *scene) containerWithoutImage() {
	s.done(s.create(object{"container": object{"type": "MESOS"}, "instances": 0}))
	for range 2 {
		container, _ := s.field(s.Must("GET", "/v2/apps"+s.id, nil), "app", "container").(object)
		if container["type"] != "MESOS" || container["docker"] != nil {
			s.Errorf("container is %v", container)
		}
		s.put(object{"cmd": "exec sleep 100"})
	}
}

func (s *scene) movedContainerPort() {
	container := func(port int) object {
		return object{"type": "DOCKER", "docker": object{"image": "x"}, "portMappings": []any{object{"containerPort": port, "protocol": "tcp"}}}
	}
	fields := app(s.id, object{"instances": 0, "container": container(3000), "networks": []any{object{"mode": "container/bridge"}}})
	delete(fields, "portDefinitions")
	s.done(s.Must("POST", "/v2/apps", fields, 201))
	s.put(object{"container": container(4000)})
	a := s.Must("GET", "/v2/apps"+s.id, nil)
	if text := string(a.Body); !strings.Contains(text, `"containerPort":4000`) || strings.Contains(text, `"containerPort":3000`) || !strings.Contains(text, `"container/bridge"`) {
		s.Errorf("%s", text)
	}
}

// oldFormByPut: an app in the form of Marathon 1.4 that PUT creates has a service port of the range.
func (s *scene) oldFormByPut() {
	s.Must("PUT", "/v2/apps/"+s.id, object{"id": strings.TrimPrefix(s.id, "/"), "mem": 512, "cpus": 1.0, "instances": 0,
		"container": object{"type": "DOCKER", "docker": object{"image": "tomcat:8.0", "network": "HOST"}}}, 201)
	var got struct {
		App struct{ PortDefinitions []struct{ Port int } }
	}
	s.Get("/v2/apps"+s.id, &got)
	if d := got.App.PortDefinitions; len(d) != 1 || d[0].Port < 10000 || d[0].Port > 20000 {
		s.Errorf("port definitions are %v", d)
	}
}

// moveDown makes a group of the scenario's id and an app below it, and returns the role that goes with the group.
func (s *scene) moveDown() (role string) {
	role = strings.TrimPrefix(s.id, "/")
	s.id += "/app"
	return role
}

// declined: the queue tells why offers do not fit, in both of its tables.
func (s *scene) declined(fields object, reason string) {
	s.create(fields)
	s.queue("declined for "+reason, func(q queued) bool {
		for _, table := range [][]rejected{q.ProcessedOffersSummary.RejectSummaryLastOffers, q.ProcessedOffersSummary.RejectSummaryLaunchAttempt} {
			found := false
			for _, r := range table {
				found = found || r.Reason == reason && r.Declined > 0 && r.Processed > 0
			}
			if !found {
				return false
			}
		}
		return true
	})
}

// neverKilled: maxConsecutiveFailures 0 means that no number of failures is too many.
func (s *scene) neverKilled() {
	s.create(object{"cmd": "exec sleep 1000", "portDefinitions": []any{object{"port": 0}}, "healthChecks": []any{object{"protocol": "HTTP", "path": "/",
		"portIndex": 0, "gracePeriodSeconds": 0, "intervalSeconds": 1, "timeoutSeconds": 1, "maxConsecutiveFailures": 0}}})
	at := -1
	for range 3 {
		at = s.event(at, "failed_health_check_event", object{"appId": s.id})
	}
	if n := s.log.find(s.from, "status_update_event", object{"appId": s.id, "taskStatus": "TASK_KILLED"}); n >= 0 {
		s.Error("killed, though no failure was to be one too many")
	}
	harness.Await(s, limit, "it is unhealthy and runs", func() (bool, string) {
		a := s.Must("GET", "/v2/apps"+s.id, nil)
		return s.field(a, "app", "tasksRunning") == 1.0 && s.field(a, "app", "tasksUnhealthy") == 1.0 && s.field(a, "app", "tasksHealthy") == 0.0, string(a.Body)
	})
}

// fails: the reason of a failed launch stands in lastTaskFailure, in the words of Mesos.
func (s *scene) fails(fields object, reason string) {
	s.create(fields)
	harness.Await(s, limit, "the failure is told", func() (bool, string) {
		a := s.Must("GET", "/v2/apps"+s.id, nil)
		f, _ := s.field(a, "app", "lastTaskFailure").(object)
		message, _ := f["message"].(string)
		return strings.Contains(message, reason), string(a.Body)
	})
}

// asItWasRead: an answer can be sent back without the versions, and restarts nothing; with partialUpdate=false even whole.
func (s *scene) asItWasRead() {
	s.done(s.create(object{"labels": object{"a": "b"}, "portDefinitions": []any{object{"port": 0, "name": "x"}}}))
	before := ids(s.running(s.id, 1))
	read, _ := s.field(s.Must("GET", "/v2/apps"+s.id, nil), "app").(object)
	s.done(s.Must("PUT", "/v2/apps"+s.id+"?partialUpdate=false", read, 200))
	delete(read, "version")
	delete(read, "versionInfo")
	s.put(read)
	if after := ids(s.running(s.id, 1)); after != before {
		s.Errorf("%s became %s", before, after)
	}
}
