package floods

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

var (
	offers  = flag.Int("floods.offers", 1000, "offers of the flood that nobody wants")
	agents  = flag.Int("floods.agents", 40, "agents that make them, ten times a second each")
	updates = flag.Int("floods.updates", 2000, "updates of the storm after a new master")
	times   = flag.Int("floods.times", 2, "of them of each task")
)

const room = 512 // MiB more than before that a server may take in a flood

// TestOfferFlood is F19: the master offers everything ten times a second, whatever filter was asked for, takes every
// tenth offer back at once, and wants its agents back all the time. Each offer is answered once (I8), tasks are as they
// were; an app that is launched in the middle of it, with accepts that come too late, has its tasks once.
func TestOfferFlood(t *testing.T) {
	t.Parallel()
	w := newWorld(t, *agents)
	w.fault("keep_account")
	w.api.Must(http.MethodPost, "/v2/apps", app("/steady", 20, nil), 201)
	before := w.running("/steady", 20)
	c := w.clients()
	w.fault("deafen")
	w.fault("rescind_fresh", "n=1000000000", "step=10")
	w.leave(before)
	from := w.account()
	w.awaitAccount(fmt.Sprintf("%d offers, inverse offers among them", *offers), func(a account) bool {
		return a.Offers.Made >= from.Offers.Made+*offers && a.Offers.TakenBy > 0 && a.Inverse.Answered > 1
	})
	c.judge(fmt.Sprintf("%d offers that nobody wants", *offers), room)

	w.fault("rescind_accepted", "n=2")
	w.api.Must(http.MethodPost, "/v2/apps", app("/raced", 20, nil), 201)
	w.running("/raced", 20)
	w.fault("deafen", "off=1")
	w.fault("rescind_fresh", "n=0")
	a := w.awaitAccount("every offer has its end", func(a account) bool { return a.Offers.Open == 0 && a.Inverse.Open == 0 })
	t.Logf("%+v", a)
	if a.Offers.Again+a.Offers.Strange+a.Inverse.Again+a.Inverse.Strange > 0 || a.Offers.Made != a.Offers.Answered+a.Offers.TakenBy {
		t.Error("not every offer was answered once")
	}
	if a.Dropped == 0 || a.Launches-a.Dropped != 40 {
		t.Errorf("%d launches, %d of them too late; 40 are wanted", a.Launches, a.Dropped)
	}
	if now := w.running("/steady", 20); fmt.Sprint(now) != fmt.Sprint(before) {
		t.Errorf("tasks were %v, are %v", before, now)
	}
	w.settled()
}

// leave schedules the agents of tasks for maintenance in the far future, so that inverse offers come.
func (w *world) leave(tasks map[string]task) {
	w.Helper()
	var state struct {
		Slaves []struct{ ID, Hostname string }
	}
	w.master.Get("/slaves", &state)
	busy := map[string]bool{}
	for _, x := range tasks {
		busy[x.SlaveID] = true
	}
	var ids []object
	for _, s := range state.Slaves {
		if busy[s.ID] {
			ids = append(ids, object{"hostname": s.Hostname, "ip": s.Hostname})
		}
	}
	w.master.Must(http.MethodPost, "/api/v1", object{"type": "UPDATE_MAINTENANCE_SCHEDULE", "update_maintenance_schedule": object{
		"schedule": object{"windows": []object{{"machine_ids": ids,
			"unavailability": object{"start": object{"nanoseconds": time.Now().Add(10000 * time.Hour).UnixNano()}}}}}}}, 200)
}

// TestUpdatesGoneWild is F20: every update comes ten times, then all of them ten times more in a wild order, also those of
// tasks that have ended; tasks run and fail that nobody has launched, some of them another framework's. Each arrival is
// acknowledged once (I9), nothing that is told anew changes anything, and what runs unknown is killed (R4, behaviour 7.8).
func TestUpdatesGoneWild(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	w.fault("keep_account")
	w.fault("duplicate_updates", "n=1000000", "times=9")
	w.api.Must(http.MethodPost, "/v2/apps", app("/steady", 10, nil), 201)
	w.api.Must(http.MethodPost, "/v2/apps", app("/short", 3, nil), 201)
	before, gone := w.running("/steady", 10), w.running("/short", 3)
	events := w.api.OpenEvents("", nil)
	var removal struct{ DeploymentID string }
	if err := json.Unmarshal(w.api.Must(http.MethodDelete, "/v2/apps/short", nil, 200).Body, &removal); err != nil || removal.DeploymentID == "" {
		t.Fatalf("removal %+v: %v", removal, err)
	}
	atRest := func(a account) bool { return a.Updates.Open == 0 && a.Updates.Acknowledged == a.Updates.Sent }
	w.awaitAccount("every update is acknowledged, and the tasks of /short have ended", func(a account) bool {
		return atRest(a) && len(w.lives.Living()) == len(before)
	})
	w.fault("duplicate_updates", "n=0")
	// An update is acknowledged before its event is told: what is said up to here is of the life and the end of /short.
	events.Next(patience, "/short is removed", func(e harness.Event) bool {
		return e.Type == "deployment_success" && e.Data["id"] == removal.DeploymentID
	})
	from := w.account()
	w.fault("replay_updates", "times=10", "seed=1")
	a := w.awaitAccount("every repetition is acknowledged", func(a account) bool { return a.Updates.Sent > from.Updates.Sent && atRest(a) })
	t.Logf("%d updates came %d times, and were acknowledged %d times", a.Updates.Made, a.Updates.Sent, a.Updates.Acknowledged)

	const id = "-9eb1-11e4-b5a4-02426a2b11c5"
	ghost, older, failed, foreign := "steady.instance-00000001"+id+"._app.1", "steady.00000002"+id, "steady.instance-00000003"+id+"._app.1", "job-17"
	for task, state := range map[string]string{ghost: "TASK_RUNNING", older: "TASK_STAGING", failed: "TASK_FAILED", foreign: "TASK_RUNNING"} {
		w.fault("invent_update", "host=127.0.0.1", "task="+task, "state="+state)
	}
	smuggled := "short.instance-00000004" + id + "._app.1"
	w.fault("smuggle_task", "host=127.0.0.2", "task="+smuggled)
	a = w.awaitAccount("every update is acknowledged, and what was smuggled in is killed", func(a account) bool {
		return atRest(a) && a.Kills[smuggled] > 0 && len(w.lives.Living()) == len(before)
	})
	wanted := map[string]bool{ghost: true, older: true, smuggled: true}
	for task := range gone {
		wanted[task] = true
	}
	for task := range wanted {
		if a.Kills[task] == 0 {
			t.Errorf("%s runs unknown and is not killed", task)
		}
	}
	for task := range a.Kills {
		if !wanted[task] {
			t.Errorf("%s is killed", task)
		}
	}
	if a.Updates.TooOften+a.Updates.Strange > 0 {
		t.Errorf("%+v", a.Updates)
	}

	w.api.Must(http.MethodPost, "/v2/apps", app("/last", 1, nil), 201)
	_, seen := events.Next(patience, "the task of /last runs", func(e harness.Event) bool {
		return e.Type == "status_update_event" && e.Data["appId"] == "/last" && e.Data["taskStatus"] == "TASK_RUNNING"
	})
	told := ""
	for _, e := range seen {
		text := fmt.Sprint(e.Data)
		if (e.Type == "status_update_event" || e.Type == "instance_changed_event") && !strings.Contains(text, "/last") {
			t.Errorf("nothing new was said, but %s %s", e.Type, text)
		}
		if e.Type == "unknown_instance_terminated_event" {
			told += text
		}
	}
	if !strings.Contains(told, "instance-00000003") {
		t.Errorf("nobody was told of the end of the unknown task, only of %q", told)
	}
	if now := w.running("/steady", 10); fmt.Sprint(now) != fmt.Sprint(before) {
		t.Errorf("tasks were %v, are %v", before, now)
	}
	w.settled()
}

// TestUpdateStorm is F21: a master dies, every task has health results to tell, a new master comes and all agents with it.
// The server takes the storm in while it answers clients, in bounded memory, and acknowledges each update.
func TestUpdateStorm(t *testing.T) {
	t.Parallel()
	tasks := *updates / *times
	w := newWorld(t, max(tasks/200, 3))
	w.api.Must(http.MethodPost, "/v2/apps", app("/storm", tasks, object{"healthChecks": []any{object{"protocol": "COMMAND",
		"command": object{"value": "true"}}}}), 201)
	counts := func(what string, healthy, unhealthy int) {
		t.Helper()
		harness.Await(t, patience, what, func() (bool, string) {
			var a struct {
				App struct {
					TasksHealthy, TasksUnhealthy int
					Deployments                  []any
				}
			}
			w.api.Get("/v2/apps/storm?embed=app.counts&embed=app.deployments", &a)
			return a.App.TasksHealthy == healthy && a.App.TasksUnhealthy == unhealthy && len(a.App.Deployments) == 0, fmt.Sprintf("%+v", a)
		})
	}
	counts("all tasks are healthy", tasks, 0)
	w.fault("keep_account")
	c := w.clients()
	w.fault("kill_master")
	w.fault("report_health", "healthy=false", fmt.Sprintf("times=%d", *times))
	w.fault("start_master")
	a := w.awaitAccount("all updates are acknowledged", func(a account) bool { return a.Updates.Made >= tasks**times && a.Updates.Open == 0 })
	c.judge(fmt.Sprintf("storm of %d updates of %d tasks", tasks**times, tasks), room+*updates/200) // 5 KiB for each
	t.Logf("%+v", a.Updates)
	if a.Updates.Made != tasks**times || a.Updates.TooOften+a.Updates.Strange > 0 || a.Launches > 0 || len(a.Kills) > 0 {
		t.Errorf("%+v", a)
	}
	counts("the last result of each is known", 0, tasks)
}
