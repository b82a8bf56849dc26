package placement

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"testing"

	"stadion/compat-tests/harness"
)

// fault does something to the master's picture of an agent.
func (s *site) fault(name, host string) {
	s.Helper()
	s.faults.Must("POST", "/"+name+"?"+url.Values{"host": {host}}.Encode(), nil, 200)
}

// tasksOf are all tasks that the API tells of, in whatever state.
func (s *site) tasksOf(id string) []task {
	s.Helper()
	var a appAnswer
	s.api.Get("/v2/apps"+id+"?embed=app.tasks", &a)
	return a.App.Tasks
}

// await waits until the tasks of an app are in these states: how many in each.
func (s *site) await(id string, want map[string]int) []task {
	s.Helper()
	var out []task
	harness.Await(s, placeLimit, fmt.Sprintf("tasks of %s are %v", id, want), func() (bool, string) {
		got := map[string]int{}
		out = s.tasksOf(id)
		for _, t := range out {
			got[t.State]++
		}
		return maps.Equal(got, want), fmt.Sprintf("%+v", out)
	})
	return out
}

// TestAgentLost: an agent with a task of every unreachable strategy is cut off, given up and comes back. Who waits for
// its task keeps it, who replaced it in the meantime loses the surplus one, and who had forgotten it has it killed;
// nothing else is launched or killed (F16, F17, behaviour 7.6, 7.8, 7.9).
func TestAgentLost(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	strategy := func(inactive, expunge int) object {
		return object{"unreachableStrategy": object{"inactiveAfterSeconds": inactive, "expungeAfterSeconds": expunge}}
	}
	s.create(sleeper("/forgets", 1, object{}))
	s.create(sleeper("/waits", 1, strategy(3600, 3600)))
	s.create(sleeper("/replaces", 1, strategy(1, 3600)))
	before := map[string]task{}
	for _, id := range []string{"/forgets", "/waits", "/replaces"} {
		before[id] = s.running(id, 1)[0]
		s.deployed(id)
	}
	// A second agent joins, and a third app that must not notice anything of all this.
	s.mesos.Kill()
	s.start(2)
	s.connected()
	s.create(sleeper("/other", 1, constraint("hostname", "IS", "127.0.0.2")))
	other := s.running("/other", 1)

	s.fault("lose_agent", "127.0.0.1")
	s.fault("expire_agent", "127.0.0.1")
	if kept := s.await("/waits", map[string]int{"TASK_UNREACHABLE": 1}); kept[0].ID != before["/waits"].ID {
		t.Errorf("%+v, was %+v", kept, before["/waits"])
	}
	forgot := s.elsewhere("/forgets", 1, before["/forgets"].SlaveID)
	replaced := s.await("/replaces", map[string]int{"TASK_RUNNING": 1, "TASK_UNREACHABLE": 1})
	if _, queued := s.queued("/waits"); queued {
		t.Error("a replacement is looked for before its time")
	}
	if pids := harness.TaskPids(t, s.dir); len(pids) != 6 { // the tasks go on: three lost ones, two replacements, the other
		t.Errorf("processes %v", pids)
	}

	s.fault("return_agent", "127.0.0.1")
	want := []string{forgot[0].ID, before["/waits"].ID, before["/replaces"].ID, other[0].ID}
	slices.Sort(want)
	harness.Await(t, placeLimit, "the forgotten task and the surplus one are gone", func() (bool, string) {
		got := slices.Sorted(maps.Keys(harness.TaskPids(t, s.dir)))
		return slices.Equal(got, want), fmt.Sprintf("%v, want %v; replaced %+v", got, want, replaced)
	})
	s.untouched([]task{before["/waits"]}, s.await("/waits", map[string]int{"TASK_RUNNING": 1}), "")
	s.untouched([]task{before["/replaces"]}, s.await("/replaces", map[string]int{"TASK_RUNNING": 1}), "")
	s.untouched(forgot, s.await("/forgets", map[string]int{"TASK_RUNNING": 1}), "")
	s.untouched(other, s.running("/other", 1), "")
}
