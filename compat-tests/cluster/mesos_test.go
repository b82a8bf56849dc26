package cluster

import (
	"fmt"
	"strings"
	"testing"

	"stadion/compat-tests/harness"
)

// The chronicle notices a task id used twice, two tasks of an instance, and the end of what nobody touches.
func TestChronicleJudges(t *testing.T) { // I3, I4, R6
	add := func(id string) string {
		return `{"type":"TASK_ADDED","task_added":{"task":{"task_id":{"value":"` + id + `"}}}}`
	}
	end := func(id, state string) string {
		return `{"type":"TASK_UPDATED","task_updated":{"state":"` + state + `","status":{"task_id":{"value":"` + id + `"}}}}`
	}
	for name, x := range map[string]struct {
		events []string
		bad    int
	}{
		"relaunch after the end":    {[]string{add("a.i._app.1"), end("a.i._app.1", "TASK_KILLED"), add("a.i._app.2")}, 0},
		"another instance":          {[]string{add("a.i._app.1"), add("a.j._app.1")}, 0},
		"relaunch before the end":   {[]string{add("a.i._app.1"), end("a.i._app.1", "TASK_RUNNING"), add("a.i._app.2")}, 1},
		"an id twice":               {[]string{add("a.i._app.1"), end("a.i._app.1", "TASK_FAILED"), add("a.i._app.1")}, 1},
		"what nobody touches ended": {[]string{add("steady.i._app.1"), end("steady.i._app.1", "TASK_KILLED")}, 1},
	} {
		var stream strings.Builder
		for _, e := range x.events {
			fmt.Fprintf(&stream, "%d\n%s", len(e), e)
		}
		if bad := harness.ReadChronicle(strings.NewReader(stream.String()), "steady.").Faults(); len(bad) != x.bad {
			t.Errorf("%s: %v, want %d faults", name, bad, x.bad)
		}
	}
}
