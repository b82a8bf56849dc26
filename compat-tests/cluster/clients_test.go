package cluster

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"stadion/compat-tests/harness"
)

// call is one operation on a register: an app whose label is the value; 0 is an app that is not there.
type call struct {
	key   int
	write bool
	value int
}

// register is the model: a read returns what the last write wrote.
var register = porcupine.Model{
	Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
		by := map[int][]porcupine.Operation{}
		for _, o := range all {
			k := o.Input.(call).key
			by[k] = append(by[k], o)
		}
		var out [][]porcupine.Operation
		for _, ops := range by {
			out = append(out, ops)
		}
		return out
	},
	Init: func() any { return 0 },
	Step: func(state, in, out any) (bool, any) {
		if c := in.(call); c.write {
			return true, c.value
		}
		return out.(int) == state.(int), state
	},
}

// history records what clients did. A write without an answer may take effect at any later time.
type history struct {
	mu    sync.Mutex
	began time.Time
	ops   []porcupine.Operation
}

func (h *history) since() int64 { return int64(time.Since(h.began)) }

func (h *history) add(o porcupine.Operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, o)
}

const never = int64(1) << 62

// work is one client: it writes and reads the registers through any server, until end.
func (w *world) work(h *history, id int, rng *rand.Rand, end time.Time) {
	value := id * 1_000_000
	apis := map[*node]*harness.API{}
	for _, n := range w.nodes {
		apis[n] = harness.NewAPI(w.t, n.url)
	}
	for time.Now().Before(end) {
		n, c := w.nodes[rng.IntN(servers)], call{key: rng.IntN(3), write: rng.IntN(2) == 0}
		path := fmt.Sprintf("/v2/apps/register%d", c.key)
		began := h.since()
		if c.write {
			value++
			c.value = value
			res, err := apis[n].Try("PUT", path+"?force=true", map[string]any{"cmd": "exec sleep 100000", "instances": 0, "labels": map[string]any{"v": fmt.Sprint(value)}})
			at := h.since()
			if err != nil || res.Status/100 != 2 {
				at = never
			}
			h.add(porcupine.Operation{ClientId: id, Input: c, Call: began, Output: 0, Return: at})
		} else if res, err := apis[n].Try("GET", path, nil); err == nil && w.fresh(res) {
			if v, ok := valueOf(res); ok {
				h.add(porcupine.Operation{ClientId: id, Input: c, Call: began, Output: v, Return: h.since()})
			}
		}
		time.Sleep(time.Duration(5+rng.IntN(30)) * time.Millisecond) // the pace of a client
	}
}

// available is the share of the time, by quarters of a second, in which some write was acknowledged.
func (h *history) available(during time.Duration) float64 {
	const slot = time.Second / 4
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := map[int64]bool{}
	for _, o := range h.ops {
		if o.Input.(call).write && o.Return < int64(during) {
			seen[o.Return/int64(slot)] = true
		}
	}
	return float64(len(seen)) / float64((during+slot-1)/slot)
}

// fresh: the leader that answered was not stopped or cut off, after which its reads may be old for a while (R13).
func (w *world) fresh(res harness.Answer) bool {
	for _, n := range w.nodes {
		if n.name == res.Header.Get("X-Marathon-Leader") {
			return n.sane()
		}
	}
	return false
}

func valueOf(res harness.Answer) (v int, ok bool) {
	if res.Status == http.StatusNotFound {
		return 0, true
	}
	var body struct {
		App struct{ Labels map[string]string }
	}
	if res.Status != http.StatusOK || json.Unmarshal(res.Body, &body) != nil {
		return 0, false
	}
	_, err := fmt.Sscan(body.App.Labels["v"], &v)
	return v, err == nil
}

// linearizable fails unless the history is one of registers (R1, R2, R11).
func (h *history) linearizable(t *testing.T) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	writes, open := 0, 0
	for _, o := range h.ops {
		if o.Input.(call).write {
			writes++
			if o.Return == never {
				open++
			}
		}
	}
	t.Logf("%d operations on registers: %d writes, %d of them without an answer", len(h.ops), writes, open)
	if writes == open || len(h.ops) < writes+writes/10 {
		t.Error("nothing was written, or hardly anything read")
	}
	if res := porcupine.CheckOperationsTimeout(register, judgeable(h.ops), patience); res != porcupine.Ok {
		t.Errorf("the history of the registers is not linearizable: %v", res)
	}
}

// judgeable leaves out the writes without an answer that nobody has read: each can always be the last one, so the verdict
// is the same without them, and the search, which is exponential in open writes, comes to an end.
func judgeable(ops []porcupine.Operation) []porcupine.Operation {
	read := map[int]bool{}
	for _, o := range ops {
		if !o.Input.(call).write {
			read[o.Output.(int)] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(ops), func(o porcupine.Operation) bool {
		return o.Return == never && !read[o.Input.(call).value]
	})
}

// The judge sees a read of what was overwritten, answered or not, and lets open writes happen at any time or never.
func TestJudgeOfRegisters(t *testing.T) {
	write := func(v int, from, to int64) porcupine.Operation {
		return porcupine.Operation{ClientId: v, Input: call{write: true, value: v}, Call: from, Output: 0, Return: to}
	}
	read := func(v int, from, to int64) porcupine.Operation { return porcupineRead(0, v, from, to) }
	for name, x := range map[string]struct {
		ops  []porcupine.Operation
		good bool
	}{
		"open, never read":       {[]porcupine.Operation{write(1, 0, 1), write(2, 2, never), read(1, 3, 4)}, true},
		"open, read":             {[]porcupine.Operation{write(1, 0, 1), write(2, 2, never), read(1, 3, 4), read(2, 5, 6)}, true},
		"open, read and undone":  {[]porcupine.Operation{write(1, 0, 1), write(2, 2, never), read(2, 3, 4), read(1, 5, 6)}, false},
		"answered and lost":      {[]porcupine.Operation{write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)}, false},
		"read before it is open": {[]porcupine.Operation{write(1, 0, 1), read(2, 2, 3), write(2, 4, never)}, false},
	} {
		if got := porcupine.CheckOperations(register, judgeable(x.ops)); got != x.good {
			t.Errorf("%s: linearizable %v", name, got)
		}
	}
}

// listener rebuilds the tasks from the event stream of whoever leads.
type listener struct {
	mu      sync.Mutex
	running map[string]bool
	bad     []string // ids that did not grow
	streams int
}

// listen follows the stream until stop is closed. Each stream begins with a look at what is there: a new leader does
// not know the events of the one before.
func (w *world) listen(l *listener, stop <-chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-time.After(50 * time.Millisecond):
		}
		w.follow(l, w.nodes[n%servers].url, stop)
	}
}

func (w *world) follow(l *listener, url string, stop <-chan struct{}) {
	s, err := harness.TryEvents(url, stop)
	if err != nil {
		return
	}
	defer s.Cancel()
	res, err := harness.NewAPI(w.t, s.Leader).Try("GET", "/v2/tasks", nil)
	var list struct{ Tasks []struct{ ID, State string } }
	if err != nil || res.Status != http.StatusOK || json.Unmarshal(res.Body, &list) != nil {
		return
	}
	l.mu.Lock()
	l.streams++
	clear(l.running)
	for _, t := range list.Tasks {
		if t.State == "TASK_RUNNING" {
			l.running[t.ID] = true
		}
	}
	l.mu.Unlock()
	last := [3]uint64{}
	for e := range s.Events {
		l.mu.Lock()
		if at, ok := parseID(e.ID); ok {
			if !less(last, at) {
				l.bad = append(l.bad, fmt.Sprint(e.ID, " after ", last))
			}
			last = at
		}
		if e.Type == "status_update_event" {
			id, _ := e.Data["taskId"].(string)
			switch state, _ := e.Data["taskStatus"].(string); {
			case state == "TASK_RUNNING":
				l.running[id] = true
			case harness.Ended[state]:
				delete(l.running, id)
			}
		}
		l.mu.Unlock()
	}
}

func parseID(id string) (out [3]uint64, ok bool) {
	n, _ := fmt.Sscanf(strings.NewReplacer("-", " ", ".", " ").Replace(id), "%d %d %d", &out[0], &out[1], &out[2])
	return out, n == 3
}

func less(a, b [3]uint64) bool {
	for i := range a {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}

func porcupineRead(key, value int, began, at int64) porcupine.Operation {
	return porcupine.Operation{ClientId: 99, Input: call{key: key}, Call: began, Output: value, Return: at}
}
