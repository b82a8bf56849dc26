package scenarios

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

const limit = 2 * time.Minute // for anything that is to happen soon on a quiet machine

type object = map[string]any

// log is the event stream from its beginning.
type log struct {
	mu     sync.Mutex
	events []harness.Event
}

func record(stream *harness.Stream) *log {
	l := &log{}
	go func() {
		for e := range stream.Events {
			l.mu.Lock()
			l.events = append(l.events, e)
			l.mu.Unlock()
		}
	}()
	return l
}

// now is the place of the next event.
func (l *log) now() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.events)
}

// find returns the place of the first event from place on that is of a kind and says what is wanted, or -1.
func (l *log) find(place int, kind string, wanted object) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n := place; n < len(l.events); n++ {
		if e := l.events[n]; e.Type == kind && says(e.Data, wanted) {
			return n
		}
	}
	return -1
}

func says(data, wanted object) bool {
	for name, value := range wanted {
		if data[name] != value {
			return false
		}
	}
	return true
}

// scene is one scenario: a client, the log, and an id below which it may do what it likes.
type scene struct {
	*testing.T
	*harness.API
	log  *log
	id   string // of its app, pod or group
	from int    // where the log was when the scenario began
}

// event waits for an event since the scenario began, after the one at place after if that is not negative.
func (s *scene) event(after int, kind string, wanted object) int {
	s.Helper()
	place := s.from
	if after >= 0 {
		place = after + 1
	}
	at := -1
	harness.Await(s, limit, fmt.Sprintf("%s with %v", kind, wanted), func() (bool, string) {
		at = s.log.find(place, kind, wanted)
		return at >= 0, ""
	})
	return at
}

// status waits for a status update of the scenario's app.
func (s *scene) status(after int, state string) int {
	s.Helper()
	return s.event(after, "status_update_event", object{"appId": s.id, "taskStatus": state})
}

// done waits for the success of the deployment that an answer tells of.
func (s *scene) done(a harness.Answer) harness.Answer {
	s.Helper()
	id := a.Header.Get("Marathon-Deployment-Id")
	if id == "" {
		s.Fatalf("no deployment in %s", a.Body)
	}
	s.event(-1, "deployment_success", object{"id": id})
	return a
}

// app is a definition that sleeps, with some fields changed.
func app(id string, fields object) object {
	out := object{"id": id, "cmd": "exec sleep 1000", "cpus": 0.01, "mem": 8, "portDefinitions": []any{}, "backoffSeconds": 1}
	maps.Copy(out, fields)
	return out
}

func (s *scene) create(fields object) harness.Answer {
	s.Helper()
	return s.Must("POST", "/v2/apps", app(s.id, fields), 201)
}

// put updates the app and waits for the deployment.
func (s *scene) put(fields object) harness.Answer {
	s.Helper()
	return s.done(s.Must("PUT", "/v2/apps"+s.id, fields, 200))
}

type task struct {
	ID, State, Host, Role, Version string
	Ports                          []int
	StartedAt                      string
}

func (s *scene) tasks(id string) []task {
	s.Helper()
	var list struct{ Tasks []task }
	s.Get("/v2/apps"+id+"/tasks", &list)
	return list.Tasks
}

// running waits until an app has n tasks and all of them run.
func (s *scene) running(id string, n int) []task {
	s.Helper()
	var out []task
	harness.Await(s, limit, fmt.Sprintf("%s has %d tasks and they run", id, n), func() (bool, string) {
		out = s.tasks(id)
		ok := len(out) == n
		for _, t := range out {
			ok = ok && t.State == "TASK_RUNNING"
		}
		return ok, fmt.Sprintf("%+v", out)
	})
	return out
}

func ids(tasks []task) string {
	var out []string
	for _, t := range tasks {
		out = append(out, t.ID)
	}
	return strings.Join(out, " ")
}

type queued struct {
	Count int
	Delay struct {
		TimeLeftSeconds int
		Overdue         bool
	}
	App, Pod               struct{ ID string }
	ProcessedOffersSummary struct{ RejectSummaryLastOffers, RejectSummaryLaunchAttempt []rejected }
}

type rejected struct {
	Reason              string
	Declined, Processed int
}

// queue waits until the scenario's spec is in the launch queue as wanted.
func (s *scene) queue(what string, wanted func(queued) bool) {
	s.Helper()
	harness.Await(s, limit, s.id+" is in the queue, "+what, func() (bool, string) {
		var list struct{ Queue []queued }
		s.Get("/v2/queue", &list)
		for _, q := range list.Queue {
			if q.App.ID+q.Pod.ID == s.id {
				return wanted(q), fmt.Sprintf("%+v", q)
			}
		}
		return false, "not there"
	})
}

// listed tells whether a deployment is in the list.
func (s *scene) listed(id string) bool {
	s.Helper()
	return strings.Contains(string(s.Must("GET", "/v2/deployments", nil).Body), id)
}

func (s *scene) field(a harness.Answer, path ...string) any {
	s.Helper()
	v := a.JSON()
	for _, name := range path {
		m, ok := v.(object)
		if !ok {
			s.Fatalf("no %v in %s", path, a.Body)
		}
		v = m[name]
	}
	return v
}

func (s *scene) text(a harness.Answer, path ...string) string {
	s.Helper()
	text, ok := s.field(a, path...).(string)
	if !ok {
		s.Fatalf("%v is no text in %s", path, a.Body)
	}
	return text
}

// TestScenarios plays all of them on one server.
func TestScenarios(t *testing.T) {
	t.Parallel()
	srv := harness.Dev(t, "--agents", "2", "--mesos_role", "foo", "--mesos_authentication_principal", "stadion", "--enable_features", "task_killing")
	events := record(srv.OpenEvents("", nil))
	t.Run("at once", func(t *testing.T) {
		for name, play := range merged(t, apps, groups, pods, volumes) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				id := "/" + strings.ToLower(strings.ReplaceAll(name, " ", "-"))
				play(&scene{T: t, API: harness.NewAPI(t, srv.URL), log: events, id: id, from: events.now()})
			})
		}
	})
	srv.Must("DELETE", "/v2/groups?force=true", nil)
	harness.NoneLeft(t, srv.Dir, limit)
}

func merged(t *testing.T, tables ...map[string]func(*scene)) map[string]func(*scene) {
	out := map[string]func(*scene){}
	for _, table := range tables {
		for name, play := range table {
			if out[name] != nil {
				t.Fatalf("two scenarios are called %q", name)
			}
			out[name] = play
		}
	}
	return out
}

// list decodes an answer that is an array of texts.
func list(a harness.Answer) (out []string) {
	_ = json.Unmarshal(a.Body, &out)
	return out
}
