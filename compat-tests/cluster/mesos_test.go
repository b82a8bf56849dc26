package cluster

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// chronicle is the life of every task as the master tells it: the truth that no server can colour.
type chronicle struct {
	mu       sync.Mutex
	launches int
	alive    map[string]string // the task of an instance, by instance id
	seen     map[string]bool   // every task id
	bad      []string
	failed   error // the stream ended before its time
	stop     func() error
	done     chan struct{}
}

// chronicle begins to follow the master; no task may be there yet.
func (w *world) chronicle(master string) *chronicle {
	w.t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+master+"/api/v1", strings.NewReader(`{"type":"SUBSCRIBE"}`))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil || res.StatusCode != http.StatusOK {
		w.t.Fatalf("subscribe to the master: %v %v", res, err)
	}
	c := &chronicle{alive: map[string]string{}, seen: map[string]bool{}, stop: sync.OnceValue(res.Body.Close), done: make(chan struct{})}
	go func() {
		defer close(c.done)
		err := c.read(res.Body)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.failed = err
	}()
	w.t.Cleanup(func() { _ = c.stop() })
	return c
}

// read takes RecordIO: a length in decimal and a newline before each event.
func (c *chronicle) read(from io.Reader) error {
	in := bufio.NewReader(from)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			return fmt.Errorf("length of an event: %w", err)
		}
		text := make([]byte, n)
		if _, err := io.ReadFull(in, text); err != nil {
			return err
		}
		var e masterEvent
		if err := json.Unmarshal(text, &e); err != nil {
			return fmt.Errorf("event %.200s: %w", text, err)
		}
		c.note(e)
	}
}

type masterEvent struct {
	Type      string
	TaskAdded struct {
		Task struct {
			TaskID struct{ Value string } `json:"task_id"`
		}
	} `json:"task_added"`
	TaskUpdated struct {
		Status struct {
			TaskID struct{ Value string } `json:"task_id"`
		}
		State string
	} `json:"task_updated"`
}

// note checks I3 (one live task per instance), I4 (no task id is used twice) and R6 for what nobody touches.
func (c *chronicle) note(e masterEvent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch id := e.TaskAdded.Task.TaskID.Value; e.Type {
	case "TASK_ADDED":
		c.launches++
		if c.seen[id] {
			c.bad = append(c.bad, "task id "+id+" is launched twice")
		}
		c.seen[id] = true
		if other, twin := c.alive[instanceOf(id)]; twin {
			c.bad = append(c.bad, "task "+id+" is launched while "+other+" lives")
		}
		c.alive[instanceOf(id)] = id
	case "TASK_UPDATED":
		if id = e.TaskUpdated.Status.TaskID.Value; !ended[e.TaskUpdated.State] {
			return
		}
		if strings.HasPrefix(id, "steady.") {
			c.bad = append(c.bad, "task "+id+" that nobody touches has ended: "+e.TaskUpdated.State)
		}
		if c.alive[instanceOf(id)] == id {
			delete(c.alive, instanceOf(id))
		}
	}
}

// instanceOf is the instance of a task: the id without the incarnation and the container.
func instanceOf(task string) string {
	for range 2 {
		if i := strings.LastIndexByte(task, '.'); i >= 0 {
			task = task[:i]
		}
	}
	return task
}

func (c *chronicle) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.launches
}

// living are the tasks that run now.
func (c *chronicle) living() map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[string]bool, len(c.alive))
	for _, id := range c.alive {
		out[id] = true
	}
	return out
}

// judge fails for all that went wrong, and when the chronicle is not whole.
func (c *chronicle) judge(t *testing.T) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != nil {
		t.Errorf("the events of the master ended early: %v", c.failed)
	}
	for _, b := range c.bad {
		t.Error(b)
	}
}

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
		c := &chronicle{alive: map[string]string{}, seen: map[string]bool{}}
		var stream strings.Builder
		for _, e := range x.events {
			fmt.Fprintf(&stream, "%d\n%s", len(e), e)
		}
		if err := c.read(strings.NewReader(stream.String())); err != io.EOF {
			t.Errorf("%s: %v", name, err)
		}
		if len(c.bad) != x.bad {
			t.Errorf("%s: %v, want %d faults", name, c.bad, x.bad)
		}
	}
}
