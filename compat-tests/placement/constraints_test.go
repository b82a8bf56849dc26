package placement

import (
	"fmt"
	"maps"
	"testing"

	"stadion/compat-tests/harness"
)

// rule is one way to use an operator: n instances, of which some run, on these racks.
type rule struct {
	name        string
	instances   int
	constraints [][]string
	runs        int
	fits        func(racks map[int]int) bool
	waits       int // refused by the constraint on all agents that were asked last
}

// even: every rack has n tasks.
func even(over, n int) func(map[int]int) bool {
	return func(got map[int]int) bool {
		for _, c := range got {
			if c != n {
				return false
			}
		}
		return len(got) == over
	}
}

// only: all tasks are on these racks.
func only(allowed ...int) func(map[int]int) bool {
	return func(got map[int]int) bool {
		rest := maps.Clone(got)
		for _, rack := range allowed {
			delete(rest, rack)
		}
		return len(rest) == 0 && len(got) > 0
	}
}

// rules are the operators of behaviour 5.5.2, with their values.
var rules = []rule{
	{"UNIQUE hostname", racks + 1, [][]string{{"hostname", "UNIQUE"}}, racks, even(racks, 1), 1},
	{"UNIQUE attribute", racks + 2, [][]string{{"rack", "UNIQUE"}}, racks, even(racks, 1), 2},
	{"UNIQUE of what all agents share", 2, [][]string{{"site", "UNIQUE"}}, 1, even(1, 1), 1},
	{"CLUSTER with a value", 4, [][]string{{"rack", "CLUSTER", "r3"}}, 4, only(3), 0},
	{"CLUSTER without a value", 4, [][]string{{"rack", "CLUSTER"}}, 4, even(1, 4), 0},
	// D-16: of groups that have no instance yet nothing is known, so a lone offer may get all.
	{"GROUP_BY without a value, D-16", 10, [][]string{{"rack", "GROUP_BY"}}, 10, only(0, 1, 2, 3, 4), 0},
	{"GROUP_BY with the number of groups", 10, [][]string{{"rack", "GROUP_BY", "5"}}, 10, even(racks, 2), 0},
	{"GROUP_BY with fewer groups than there are", 6, [][]string{{"rack", "GROUP_BY", "2"}}, 6, even(2, 3), 0},
	{"MAX_PER", 2*racks + 3, [][]string{{"rack", "MAX_PER", "2"}}, 2 * racks, even(racks, 2), 3},
	{"LIKE", 6, [][]string{{"rack", "LIKE", "r[12]"}}, 6, only(1, 2), 0},
	{"LIKE matches the whole value", 1, [][]string{{"rack", "LIKE", "r"}}, 0, nil, 1},
	{"UNLIKE", 6, [][]string{{"rack", "UNLIKE", "r[0-2]"}}, 6, only(3, 4), 0},
	{"UNLIKE passes where the attribute is missing", 2, [][]string{{"shelf", "UNLIKE", ".*"}}, 2, only(0, 1, 2, 3, 4), 0},
	{"IS", 3, [][]string{{"rack", "IS", "r4"}}, 3, only(4), 0},
	{"IS a host", 2, [][]string{{"@hostname", "IS", "127.0.0.2"}}, 2, only(1), 0},
	{"IS a number, however it is written", 2, [][]string{{"weight", "IS", "2.0"}}, 2, only(2), 0},
	{"IS what the attribute is missing for", 1, [][]string{{"shelf", "IS", "x"}}, 0, nil, 1},
	{"two constraints", 3, [][]string{{"rack", "LIKE", "r[0-2]"}, {"hostname", "UNIQUE"}}, 3, even(3, 1), 0},
}

func TestConstraints(t *testing.T) {
	t.Parallel()
	srv := harness.Dev(t, "--agents", fmt.Sprint(racks), "--attributes", "rack:r%d;site:here;weight:%d")
	for n, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			c := &cluster{t, harness.NewAPI(t, srv.URL)}
			id := fmt.Sprintf("/rule%d", n)
			c.create(sleeper(id, r.instances, object{"constraints": r.constraints}))
			tasks := c.running(id, r.runs)
			if got := byRack(tasks); r.fits != nil && !r.fits(got) {
				t.Errorf("%v: tasks by rack: %v", r.constraints, got)
			}
			if r.waits > 0 {
				c.waits(id, r.waits, "UnfulfilledConstraint", racks)
				c.running(id, r.runs)
			} else {
				c.deployed(id)
			}
			c.api.Must("DELETE", "/v2/apps"+id+"?force=true", nil, 200)
		})
	}
	t.Run("scaled", func(t *testing.T) {
		t.Parallel()
		scaled(&cluster{t, harness.NewAPI(t, srv.URL)})
	})
	t.Run("waiting", func(t *testing.T) {
		t.Parallel()
		waiting(&cluster{t, harness.NewAPI(t, srv.URL)})
	})
}

// scaled: groups stay even, and a cluster stays where it is, when apps grow and shrink (behaviour 5.5.4).
func scaled(c *cluster) {
	c.create(sleeper("/even", 10, constraint("rack", "GROUP_BY", fmt.Sprint(racks))))
	c.create(sleeper("/close", 2, constraint("rack", "CLUSTER")))
	c.running("/even", 10)
	at := byRack(c.running("/close", 2))
	c.deployed("/even")
	c.deployed("/close")
	for _, n := range []int{5, 15, 7} {
		c.api.Must("PUT", "/v2/apps/even", object{"instances": n}, 200)
		c.deployed("/even")
		got := byRack(c.running("/even", n))
		for _, count := range got {
			if count < n/racks || count > (n+racks-1)/racks {
				c.Errorf("%d instances by rack: %v", n, got)
			}
		}
	}
	c.api.Must("PUT", "/v2/apps/close", object{"instances": 6}, 200)
	c.deployed("/close")
	for rack := range byRack(c.running("/close", 6)) {
		if at[rack] == 0 {
			c.Errorf("a cluster on %v has grown to rack %d", at, rack)
		}
	}
}

// waiting: an app that fits nowhere is in the queue, with the row that says why.
func waiting(c *cluster) {
	for _, w := range []struct {
		id, reason string
		more       object
	}{
		{"/nowhere/rack", "UnfulfilledConstraint", constraint("rack", "IS", "r99")},
		{"/nowhere/cpus", "InsufficientCpus", object{"cpus": 100}},
		{"/nowhere/mem", "InsufficientMemory", object{"mem": 100000}},
		{"/nowhere/disk", "InsufficientDisk", object{"disk": 1000000}},
		{"/nowhere/port", "InsufficientPorts", object{"portDefinitions": []any{object{"port": 80}}, "requirePorts": true}},
	} {
		c.create(sleeper(w.id, 2, w.more))
		c.waits(w.id, 2, w.reason, racks)
		c.running(w.id, 0)
	}
	c.api.Must("PUT", "/v2/apps/nowhere/mem", object{"mem": 32, "instances": 1}, 409)
	c.api.Must("PUT", "/v2/apps/nowhere/mem?force=true", object{"mem": 32, "instances": 1}, 200)
	c.running("/nowhere/mem", 1)
	c.deployed("/nowhere/mem")
	if item, ok := c.queued("/nowhere/mem"); ok {
		c.Errorf("a placed app is still queued: %+v", item)
	}
}

// TestBadConstraints: what no offer could ever satisfy is refused at once.
func TestBadConstraints(t *testing.T) {
	t.Parallel()
	srv := harness.Dev(t, "--agents", "0")
	for _, words := range [][]string{{"rack", "UNIQUE", "r1"}, {"rack", "MAX_PER"}, {"rack", "MAX_PER", "many"}, {"rack", "GROUP_BY", "few"}, {"rack", "LIKE"},
		{"rack", "LIKE", "("}, {"rack", "UNLIKE"}, {"rack", "NEAR", "r1"}, {"rack"}, {"rack", "IS", "a b"}} {
		if res := srv.Do("POST", "/v2/apps", sleeper("/bad", 1, constraint(words...))); res.Status != 422 && res.Status != 400 {
			t.Errorf("%v: %d %s", words, res.Status, res.Body)
		}
	}
}
