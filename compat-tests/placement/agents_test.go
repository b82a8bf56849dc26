package placement

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

// settle is how long a thing that must not happen is watched for.
const settle = 2 * time.Second

// site is a cluster whose master and agents can be killed while their tasks live on.
type site struct {
	*cluster
	dir    string
	ports  *harness.Ports
	port   int
	mesos  *harness.Process
	master *harness.API
	faults *harness.API // makes the master misbehave
	side   int          // its port
}

func newSite(t *testing.T, agents int, flags ...string) *site {
	t.Helper()
	s := &site{dir: t.TempDir(), ports: harness.NewPorts(t), cluster: &cluster{T: t}}
	harness.KillLeftovers(t, s.dir)
	etcd := harness.StartEtcd(t, s.ports)
	s.port, s.side = s.ports.Next(t), s.ports.Next(t)
	s.faults = harness.NewAPI(t, fmt.Sprintf("http://127.0.0.1:%d", s.side))
	s.start(agents)
	args := []string{"server", "--master", fmt.Sprintf("127.0.0.1:%d", s.port), "--etcd_endpoints", etcd.Endpoint, "--http_address", "127.0.0.1",
		"--http_port", strconv.Itoa(s.ports.Next(t)), "--hostname", "127.0.0.1", "--etcd_lease_ttl", "60"}
	s.api = harness.NewAPI(t, harness.Start(t, append(args, flags...)...).Ready())
	return s
}

// start starts master and agents; those of the same number return with their tasks.
func (s *site) start(agents int) {
	s.Helper()
	s.mesos = harness.Start(s, "minimesos", "--port", strconv.Itoa(s.port), "--work_dir", s.dir, "--resources", s.ports.Resources(),
		"--agents", strconv.Itoa(agents), "--faults_port", strconv.Itoa(s.side))
	s.master = harness.NewAPI(s, s.mesos.Ready())
}

// operator sends a call of the operator API about the agent of a task.
func (s *site) operator(call, agent string) {
	s.Helper()
	kinds := map[string]string{"DRAIN_AGENT": "drain_agent", "MARK_AGENT_GONE": "mark_agent_gone", "REACTIVATE_AGENT": "reactivate_agent"}
	s.master.Must("POST", "/api/v1", object{"type": call, kinds[call]: object{"agent_id": object{"value": agent}}}, 200)
}

// elsewhere waits until all n tasks run and none is on an agent.
func (s *site) elsewhere(id string, n int, agent string) []task {
	s.Helper()
	var out []task
	harness.Await(s, placeLimit, fmt.Sprintf("%d tasks of %s run outside of %s", n, id, agent), func() (bool, string) {
		out = s.running(id, n)
		return !slices.ContainsFunc(out, func(t task) bool { return t.SlaveID == agent }), fmt.Sprintf("%+v", out)
	})
	return out
}

// untouched: tasks of before that were not on the agent are there as they were.
func (s *site) untouched(before, now []task, agent string) {
	s.Helper()
	for _, t := range before {
		if t.SlaveID != agent && !slices.ContainsFunc(now, func(x task) bool { return x.ID == t.ID && x.StartedAt == t.StartedAt }) {
			s.Errorf("task %s on %s was touched", t.ID, t.Host)
		}
	}
}

// TestAgentLeaves: tasks of an agent that drains, or is gone for good, run again
// elsewhere; the others are not touched.
func TestAgentLeaves(t *testing.T) {
	for _, call := range []string{"DRAIN_AGENT", "MARK_AGENT_GONE"} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, 3)
			s.create(sleeper("/web", 6, constraint("hostname", "MAX_PER", "4")))
			before := s.running("/web", 6)
			s.deployed("/web")
			agent := before[0].SlaveID
			s.operator(call, agent)
			now := s.elsewhere("/web", 6, agent)
			s.untouched(before, now, agent)
			harness.Await(t, placeLimit, "six processes are left", func() (bool, string) {
				pids := harness.TaskPids(t, s.dir)
				return slices.Equal(slices.Sorted(maps.Keys(pids)), ids(now)), fmt.Sprint(pids)
			})
			if call == "DRAIN_AGENT" {
				s.returns(agent, now)
			}
		})
	}
}

// returns: a drained agent gets tasks again once the operator lets it, and nothing moves because of that.
func (s *site) returns(agent string, before []task) {
	s.Helper()
	harness.Await(s, placeLimit, "the agent may return", func() (bool, string) {
		res := s.master.Do("POST", "/api/v1", object{"type": "REACTIVATE_AGENT", "reactivate_agent": object{"agent_id": object{"value": agent}}})
		return res.Status == 200, string(res.Body)
	})
	s.create(sleeper("/all", 3, constraint("hostname", "UNIQUE")))
	s.running("/all", 3)
	s.untouched(before, s.running("/web", 6), "")
}

// TestMasterRestart: master and agents die and come back twice; no task is killed,
// launched or told anew (F15).
func TestMasterRestart(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	s.create(sleeper("/web", 6, constraint("hostname", "GROUP_BY", "2")))
	before := s.running("/web", 6)
	s.deployed("/web")
	pids := fmt.Sprint(harness.TaskPids(t, s.dir))
	for range 2 {
		s.mesos.Kill()
		s.start(2)
		s.connected()
		s.same(before, pids)
	}
	s.api.Must("PUT", "/v2/apps/web", object{"instances": 8}, 200)
	s.untouched(before, s.running("/web", 8), "")
}

// TestAgentForgotten: a master comes back that does not know one of the agents any
// more, so its tasks are unknown and replaced; the agent returns with them, and what
// is too much is killed (F17, behaviour 7.6 and 7.8).
func TestAgentForgotten(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	s.create(sleeper("/web", 4, constraint("hostname", "GROUP_BY", "2")))
	before := s.running("/web", 4)
	s.deployed("/web")
	var lost string
	for _, t := range before {
		if t.Host == "127.0.0.2" {
			lost = t.SlaveID
		}
	}
	s.mesos.Kill()
	s.start(1)
	harness.Await(t, placeLimit, "two instances wait for a host of their group", func() (bool, string) {
		item, _ := s.queued("/web")
		return item.Count == 2, fmt.Sprintf("%+v", item)
	})
	s.untouched(before, s.running("/web", 2), lost)
	s.mesos.Kill()
	s.start(2)
	var now []task
	harness.Await(t, placeLimit, "four tasks are left, each with its process", func() (bool, string) {
		now = s.running("/web", 4)
		pids := harness.TaskPids(t, s.dir)
		return slices.Equal(slices.Sorted(maps.Keys(pids)), ids(now)), fmt.Sprint(pids, now)
	})
	s.untouched(before, now, lost)
	if got := byRack(now); got[0] != 2 || got[1] != 2 {
		t.Errorf("tasks by agent: %v", got)
	}
}

// connected waits until the master knows the server's framework as connected.
func (s *site) connected() {
	s.Helper()
	harness.Await(s, placeLimit, "the server has subscribed again", func() (bool, string) {
		res := s.master.Do("GET", "/frameworks", nil)
		var list struct{ Frameworks []struct{ Connected bool } }
		err := json.Unmarshal(res.Body, &list)
		return err == nil && len(list.Frameworks) == 1 && list.Frameworks[0].Connected, fmt.Sprintf("%.300s", res.Body)
	})
}

// same: for a while nothing happens to the tasks.
func (s *site) same(before []task, pids string) {
	s.Helper()
	for end := time.Now().Add(settle); time.Now().Before(end); time.Sleep(settle / 20) {
		var a appAnswer
		s.api.Get("/v2/apps/web?embed=app.tasks", &a)
		if a.App.TasksRunning != len(before) || len(a.App.Tasks) != len(before) {
			s.Fatalf("not all tasks run: %+v", a.App)
		}
		s.untouched(before, a.App.Tasks, "")
		if now := fmt.Sprint(harness.TaskPids(s, s.dir)); now != pids {
			s.Fatalf("processes were %s, are %s", pids, now)
		}
	}
}

// TestFixedPort: two apps want one fixed port of one agent; the second waits, says
// why, and runs as soon as the first has left.
func TestFixedPort(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	fixed := func(id string, port int) object {
		return sleeper(id, 1, object{"portDefinitions": []any{object{"port": port}}, "requirePorts": true})
	}
	port := s.port - s.port%100 + 50 // in the middle of the block
	s.create(fixed("/first", port))
	if first := s.running("/first", 1)[0]; !slices.Equal(first.Ports, []int{port}) {
		t.Fatalf("ports %v, want %d", first.Ports, port)
	}
	s.create(fixed("/second", port))
	s.waits("/second", 1, "InsufficientPorts", 1)
	s.create(fixed("/other", port+1))
	s.running("/other", 1)
	s.api.Must("DELETE", "/v2/apps/first", nil, 200)
	if second := s.running("/second", 1)[0]; !slices.Equal(second.Ports, []int{port}) {
		t.Errorf("ports %v, want %d", second.Ports, port)
	}
}

// TestRoles: reserved resources go to those that accept their role only, and what
// is reserved for others is never used (behaviour 5.2).
func TestRoles(t *testing.T) {
	t.Parallel()
	srv := harness.Dev(t, "--mesos_role", "dev", "--resources", "cpus(dev):0.3;mem(dev):300;cpus:0.2;mem:300;cpus(other):8;mem(other):8000;disk:1000")
	c := &cluster{t, srv.API}
	third := func(more object) object { more["cpus"], more["mem"] = 0.1, 64; return more }
	c.create(sleeper("/reserved", 4, third(object{"acceptedResourceRoles": []string{"dev"}})))
	c.running("/reserved", 3)
	c.create(sleeper("/free", 3, third(object{"acceptedResourceRoles": []string{"*"}})))
	c.running("/free", 2)
	c.create(sleeper("/any", 1, third(object{})))
	c.waits("/any", 1, "InsufficientCpus", 1)
	c.api.Must("DELETE", "/v2/apps/free?force=true", nil, 200)
	c.running("/any", 1)
	if item, ok := c.queued("/reserved"); !ok || item.Count != 1 {
		t.Errorf("the fourth that accepts dev only should wait: %+v", item)
	}
}
