package placement

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

const (
	placeLimit = 2 * time.Minute // until tasks run, or a refusal is counted
	racks      = 5               // agents of the shared server, each in a rack of its own
)

func TestMain(m *testing.M) { harness.Main(m) }

type object = map[string]any

// task is what the API tells about one task.
type task struct {
	ID, Host, State, SlaveID, StartedAt string
	Ports                               []int
}

type appAnswer struct {
	App struct {
		Instances, TasksRunning, TasksStaged, TasksUnhealthy int
		Deployments                                          []struct{ ID string }
		Tasks                                                []task
		LastTaskFailure                                      *struct{ State, TaskID string }
	}
}

// cluster is a server with what the tests ask it.
type cluster struct {
	*testing.T
	api *harness.API
}

// sleeper is an app of sleeping tasks; more overrides.
func sleeper(id string, instances int, more object) object {
	app := object{"id": id, "cmd": "exec sleep 1000", "cpus": 0.01, "mem": 32, "instances": instances, "portDefinitions": []any{}}
	for k, v := range more {
		app[k] = v
	}
	return app
}

func constraint(words ...string) object {
	return object{"constraints": [][]string{words}}
}

func (c *cluster) create(app object) {
	c.Helper()
	c.api.Must("POST", "/v2/apps", app, 201)
}

// running waits for exactly n running tasks and returns them, sorted by id.
func (c *cluster) running(id string, n int) []task {
	c.Helper()
	var out []task
	harness.Await(c, placeLimit, fmt.Sprintf("%s has %d running tasks", id, n), func() (bool, string) {
		var a appAnswer
		c.api.Get("/v2/apps"+id+"?embed=app.tasks", &a)
		out = slices.DeleteFunc(a.App.Tasks, func(t task) bool { return t.State != "TASK_RUNNING" })
		slices.SortFunc(out, func(a, b task) int { return strings.Compare(a.ID, b.ID) })
		return len(out) == n && len(a.App.Tasks) == n, fmt.Sprintf("%+v", a.App)
	})
	return out
}

// deployed waits until no deployment of the app runs.
func (c *cluster) deployed(id string) {
	c.Helper()
	harness.Await(c, placeLimit, id+" is deployed", func() (bool, string) {
		var a appAnswer
		c.api.Get("/v2/apps"+id+"?embed=app.deployments", &a)
		return len(a.App.Deployments) == 0, fmt.Sprintf("%+v", a.App)
	})
}

// agentOf is the number of the agent on host 127.0.0.n+1; a single agent is named 127.0.0.1 too.
func agentOf(t task) int {
	n, err := strconv.Atoi(strings.TrimPrefix(t.Host, "127.0.0."))
	if err != nil {
		return -1
	}
	return n - 1
}

// byRack counts the tasks of each agent.
func byRack(tasks []task) map[int]int {
	out := map[int]int{}
	for _, t := range tasks {
		out[agentOf(t)]++
	}
	return out
}

func ids(tasks []task) []string {
	var out []string
	for _, t := range tasks {
		out = append(out, t.ID)
	}
	return out
}

// row is one row of a funnel of /v2/queue.
type row struct {
	Reason              string
	Declined, Processed int
}

type queueItem struct {
	Count                  int
	App                    struct{ ID string }
	ProcessedOffersSummary struct {
		ProcessedOffersCount, UnusedOffersCount int
		RejectSummaryLastOffers                 []row
	}
}

// queued finds an app in /v2/queue.
func (c *cluster) queued(id string) (queueItem, bool) {
	c.Helper()
	var q struct{ Queue []queueItem }
	c.api.Get("/v2/queue", &q)
	for _, item := range q.Queue {
		if item.App.ID == id {
			return item, true
		}
	}
	return queueItem{}, false
}

// funnel is the order of the rows (behaviour 4.5).
var funnel = []string{"UnfulfilledRole", "UnfulfilledConstraint", "NoCorrespondingReservationFound", "AgentMaintenance", "InsufficientCpus",
	"InsufficientMemory", "InsufficientDisk", "InsufficientGpus", "InsufficientPorts", "DeclinedScarceResources"}

// waits awaits that the app waits for count instances, that the offers of so many
// agents were refused for reason, and for nothing else.
func (c *cluster) waits(id string, count int, reason string, agents int) {
	c.Helper()
	harness.Await(c, placeLimit, fmt.Sprintf("%d instances of %s wait: %s on %d agents", count, id, reason, agents), func() (bool, string) {
		item, ok := c.queued(id)
		rows := item.ProcessedOffersSummary.RejectSummaryLastOffers
		if !ok || item.Count != count || len(rows) != len(funnel) {
			return false, fmt.Sprintf("%+v", item)
		}
		left := agents
		for n, r := range rows {
			want := row{funnel[n], 0, left}
			if r.Reason == reason {
				want.Declined = agents
				left = 0
			}
			ok = ok && r == want
		}
		return ok, fmt.Sprintf("%+v", item)
	})
}
