package placement

import (
	"fmt"
	"strings"
	"testing"

	"stadion/compat-tests/harness"
)

func strategy(name string) object {
	return object{"labels": object{"STADION_PLACEMENT": name}}
}

// TestPlacementStrategies (extension): the label of an app, else the server's flag, says which of the agents that fit it
// takes. Without either the first will do, as with Marathon.
func TestPlacementStrategies(t *testing.T) {
	t.Parallel()
	const agents = 4
	for _, flags := range [][]string{nil, {"--placement_strategy", "spread"}} {
		t.Run(strings.Join(flags, " "), func(t *testing.T) {
			t.Parallel()
			srv := harness.Dev(t, append([]string{"--agents", fmt.Sprint(agents)}, flags...)...)
			c := &cluster{t, harness.NewAPI(t, srv.URL)}
			c.create(sleeper("/everywhere", agents, constraint("hostname", "UNIQUE"))) // all agents are there
			c.running("/everywhere", agents)
			spread := strategy("spread")
			if flags != nil {
				spread = nil
			}
			c.create(sleeper("/spread", agents, spread))
			c.deployed("/spread")
			if got := byRack(c.running("/spread", agents)); !even(agents, 1)(got) {
				t.Errorf("spread: tasks by agent: %v", got)
			}
			c.api.Must("PUT", "/v2/apps/spread", object{"instances": 2 * agents}, 200)
			c.deployed("/spread")
			if got := byRack(c.running("/spread", 2*agents)); !even(agents, 2)(got) {
				t.Errorf("spread, scaled up: tasks by agent: %v", got)
			}
			full := sleeper("/full", 1, constraint("hostname", "IS", "127.0.0.3"))
			full["mem"] = 256
			c.create(full)
			c.running("/full", 1)
			c.create(sleeper("/packed", 3, strategy("binpack")))
			c.deployed("/packed")
			if got := byRack(c.running("/packed", 3)); !even(1, 3)(got) || got[2] != 3 {
				t.Errorf("binpack: tasks by agent: %v, the fullest is 2", got)
			}
			c.create(sleeper("/anywhere", 3, strategy("random")))
			c.running("/anywhere", 3)
			c.create(sleeper("/first", 3, strategy("first")))
			if got := byRack(c.running("/first", 3)); !even(1, 3)(got) {
				t.Errorf("first: tasks by agent: %v", got)
			}
		})
	}
}
