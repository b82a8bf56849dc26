package harness

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Ended are the states of tasks that have ended.
var Ended = map[string]bool{"TASK_KILLED": true, "TASK_FAILED": true, "TASK_FINISHED": true, "TASK_GONE": true, "TASK_DROPPED": true, "TASK_LOST": true, "TASK_ERROR": true}

// Chronicle is the life of every task as the master tells it: the truth that no server can colour.
type Chronicle struct {
	steady   string // tasks of this app must never end
	mu       sync.Mutex
	launches int
	alive    map[string]string // the task of an instance, by instance id
	seen     map[string]bool   // every task id
	bad      []string
	failed   error // the stream ended before its time
}

// FollowMaster begins to follow the master at host:port; no task may be there yet. steady is the beginning of the ids of
// those tasks that nobody touches, "" if there are none.
func FollowMaster(t testing.TB, master, steady string) *Chronicle {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+master+"/api/v1", strings.NewReader(`{"type":"SUBSCRIBE"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("subscribe to the master: %v %v", res, err)
	}
	c := newChronicle(steady)
	go func() {
		err := c.read(res.Body)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.failed = err
	}()
	t.Cleanup(func() { _ = res.Body.Close() })
	return c
}

func newChronicle(steady string) *Chronicle {
	return &Chronicle{steady: steady, alive: map[string]string{}, seen: map[string]bool{}}
}

// ReadChronicle reads a chronicle from the answer to a master's SUBSCRIBE, up to its end.
func ReadChronicle(from io.Reader, steady string) *Chronicle {
	c := newChronicle(steady)
	if err := c.read(from); err != io.EOF {
		c.failed = err
	}
	return c
}

// read takes RecordIO: a length in decimal and a newline before each event.
func (c *Chronicle) read(from io.Reader) error {
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
func (c *Chronicle) note(e masterEvent) {
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
		if id = e.TaskUpdated.Status.TaskID.Value; !Ended[e.TaskUpdated.State] {
			return
		}
		if c.steady != "" && strings.HasPrefix(id, c.steady) {
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

// Launches counts the tasks so far.
func (c *Chronicle) Launches() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.launches
}

// Living are the tasks that have not ended.
func (c *Chronicle) Living() map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[string]bool, len(c.alive))
	for _, id := range c.alive {
		out[id] = true
	}
	return out
}

// Faults are all things that went wrong, and that the chronicle is not whole, if so.
func (c *Chronicle) Faults() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := slices.Clone(c.bad)
	if c.failed != nil {
		out = append(out, fmt.Sprintf("the events of the master ended early: %v", c.failed))
	}
	return out
}

// Judge fails for each of them.
func (c *Chronicle) Judge(t testing.TB) {
	t.Helper()
	for _, bad := range c.Faults() {
		t.Error(bad)
	}
}
