package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	keysOfServer  = "/marathon/v1/"
	scanPage      = 1000 // keys in one range read, as the server does
	restarts      = 3    // rounds of the load at election
	steadyTime    = 25 * time.Second
	metricsPrefix = "marathon."
)

// metrics reads counters and gauges of the server.
func (w *world) metrics() (map[string]float64, error) {
	var all struct {
		Counters map[string]struct {
			Count float64 `json:"count"`
		} `json:"counters"`
		Gauges map[string]struct {
			Value float64 `json:"value"`
		} `json:"gauges"`
	}
	if err := w.get("/metrics", &all); err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for name, v := range all.Counters {
		out[strings.TrimPrefix(name, metricsPrefix)] = v.Count
	}
	for name, v := range all.Gauges {
		out[strings.TrimPrefix(name, metricsPrefix)] = v.Value
	}
	return out, nil
}

// die ends the server without a warning.
func (w *world) die() error {
	if err := w.server.cmd.Process.Kill(); err != nil {
		return err
	}
	<-w.server.ended
	return nil
}

// held is P10, P23, P24, P27, P28 and G7: one app that grows, then a server that takes it over.
func (b *bench) held() error {
	w, err := newWorld(b.agents)
	if err != nil {
		return err
	}
	defer w.close()
	db, err := w.etcdClient()
	if err != nil {
		return err
	}
	defer db.Close()
	var x, rss, bytes []float64
	if err := w.launch("/big", 1); err != nil {
		return err
	}
	for _, n := range b.kept {
		if err := w.scale("/big", n); err != nil {
			return err
		}
		time.Sleep(settleTime)
		size, err := squeezed(db, w.store.said)
		if err != nil {
			return err
		}
		x, rss, bytes = append(x, float64(n)), append(rss, w.server.rss()/1024), append(bytes, size)
	}
	last := len(x) - 1
	b.add(measure{ID: "G7", What: "slope: instances → RSS", Must: 1, Moonshot: 0.7, Value: slope(x, rss), Judged: true, Size: points(x, rss, "MiB")},
		measure{ID: "P10", What: "bytes in etcd per RUNNING instance, compacted, defragmented", Unit: "B", Must: 400, Moonshot: 200, Judged: true,
			Value: (bytes[last] - bytes[0]) / (x[last] - x[0]), Size: points(x, scaled(bytes, 1.0/(1<<20)), "MiB in all")})
	return b.takenOver(w, db)
}

func scaled(v []float64, by float64) (out []float64) {
	for _, x := range v {
		out = append(out, x*by)
	}
	return out
}

// scale sets the number of instances and waits until they run.
func (w *world) scale(id string, n int) error {
	if _, err := w.do(http.MethodPut, "/v2/apps"+id, map[string]any{"instances": n}); err != nil {
		return err
	}
	if err := w.until(fmt.Sprintf("%d instances of %s run", n, id), func() (bool, error) {
		k, err := w.running(id)
		return k == n, err
	}); err != nil {
		return err
	}
	return w.until("no deployment runs", w.settled)
}

// squeezed is the size of the database when all history is gone and all free pages are given back.
func squeezed(c *clientv3.Client, endpoint string) (float64, error) {
	ctx := context.Background()
	now, err := c.Get(ctx, keysOfServer+"seq")
	if err != nil {
		return 0, err
	}
	if _, err := c.Compact(ctx, now.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
		return 0, err
	}
	if _, err := c.Defragment(ctx, endpoint); err != nil {
		return 0, err
	}
	s, err := c.Status(ctx, endpoint)
	if err != nil {
		return 0, err
	}
	return float64(s.DbSizeInUse), nil
}

// rawScan reads all keys of the server page by page, and tells how long that took and what it saw.
func rawScan(c *clientv3.Client) (seconds float64, keys, largest int, err error) {
	began, from := time.Now(), keysOfServer
	end := clientv3.GetPrefixRangeEnd(keysOfServer)
	for {
		r, err := c.Get(context.Background(), from, clientv3.WithRange(end), clientv3.WithLimit(scanPage))
		if err != nil {
			return 0, 0, 0, err
		}
		for _, kv := range r.Kvs {
			keys, largest = keys+1, max(largest, len(kv.Value))
		}
		if !r.More || len(r.Kvs) == 0 {
			return time.Since(began).Seconds(), keys, largest, nil
		}
		from = string(r.Kvs[len(r.Kvs)-1].Key) + "\x00"
	}
}

var loadedIn = regexp.MustCompile(`"loaded in": ([0-9.]+)`)

// loaded is how many seconds the server says that its load at the election took.
func (w *world) loaded() (s float64, err error) {
	m := loadedIn.FindStringSubmatch(w.server.output())
	if m == nil {
		return 0, errors.New("the server does not say how long its load took")
	}
	_, err = fmt.Sscan(m[1], &s)
	return s, err
}

// takenOver is P27 and P28, round by round, and with the last server P23 and P24.
func (b *bench) takenOver(w *world, db *clientv3.Client) error {
	n := b.kept[len(b.kept)-1]
	if _, err := w.do(http.MethodPost, "/v2/apps", app("/probe", 0)); err != nil {
		return err
	}
	var raw, load, done, stall, turn []float64
	keys := 0
	for range restarts {
		s, k, _, err := rawScan(db)
		if err != nil {
			return err
		}
		if err := w.die(); err != nil {
			return err
		}
		raw, keys = append(raw, s), k
		if err := w.serve(); err != nil {
			return err
		}
		l, err := w.loaded() // before the log of all that is asked below pushes it out
		if err != nil {
			return err
		}
		r, err := w.reconciled(n)
		if err != nil {
			return err
		}
		load, done, stall, turn = append(load, l), append(done, r.seconds), append(stall, r.stall*1000), append(turn, r.turn*1000)
	}
	ratio := make([]float64, restarts)
	for i := range ratio {
		ratio[i] = load[i] / raw[i]
	}
	per100k := 1e5 / float64(n)
	list := []measure{
		{ID: "P27", What: "load at election ÷ raw range scan of the same keys", Must: 2, Moonshot: 1.2, Judged: true,
			Size: fmt.Sprintf("%d keys: %s s ÷ %s s", keys, number(median(load)), number(median(raw)))},
		{ID: "P28", What: "all tasks reconciled after a failover, per 100,000", Unit: "s", Must: 30, Moonshot: 10, Judged: true, Size: fmt.Sprintf("%d tasks", n)},
		{ID: "P28a", What: "longest answer of the API meanwhile, reads and writes", Unit: "ms", Must: 50, Moonshot: 20, Judged: true, Size: fmt.Sprintf("%d tasks", n)},
		{ID: "P28b", What: "longest turn of the loop meanwhile", Unit: "ms", Must: 50, Moonshot: 20, Judged: true, Size: fmt.Sprintf("%d tasks", n)},
	}
	list[0].spread(ratio)
	list[1].spread(scaled(done, per100k))
	list[2].spread(stall)
	list[3].spread(turn)
	b.add(list...)
	time.Sleep(steadyTime)
	m, err := w.metrics()
	if err != nil {
		return err
	}
	pause, longest := m["stadion.gc.longest-pause.gauge.seconds"]*1000, m["stadion.loop.longest-turn.gauge.seconds"]*1000
	b.add(measure{ID: "P23", What: "RSS, 1,000,000 instances loaded and steady", Unit: "MiB", Must: 3072, Moonshot: 1024, Value: w.server.rss() / 1024, Judged: b.full, Size: fmt.Sprintf("%d instances", n)},
		measure{ID: "P24", What: "longest turn of the loop or pause of the GC, steady", Unit: "ms", Must: 20, Moonshot: 5, Value: max(pause, longest), Judged: true,
			Size: fmt.Sprintf("%d instances; turn %s ms, pause %s ms", n, number(longest), number(pause))})
	return nil
}

// reconciliation is what a new leader shows while it asks for all tasks.
type reconciliation struct{ seconds, stall, turn float64 }

// reconciled waits until a new server has heard of n tasks, and asks it for something all the while.
func (w *world) reconciled(n int) (r reconciliation, err error) {
	began, last := time.Now(), time.Now()
	for {
		for _, ask := range []func() error{
			func() error { _, err := w.do(http.MethodGet, "/v2/apps/probe?embed=app.counts", nil); return err },
			func() error { _, err := w.do(http.MethodPut, "/v2/apps/probe", app("/probe", 0)); return err },
		} {
			asked := time.Now()
			if err := ask(); err != nil {
				return r, err
			}
			r.stall = max(r.stall, time.Since(asked).Seconds())
		}
		if time.Since(last) < pollEvery*5 {
			continue
		}
		last = time.Now()
		m, err := w.metrics()
		if err != nil {
			return r, err
		}
		r.turn = max(r.turn, m["stadion.loop.longest-turn.gauge.seconds"])
		if m["mesos.task-updates.task-running.counter"] >= float64(n) && m["stadion.inbox.events.gauge"] == 0 {
			r.seconds = time.Since(began).Seconds()
			return r, nil
		}
		if time.Since(began) > waitLimit {
			return r, fmt.Errorf("of %d tasks only %v were reconciled within %s", n, m["mesos.task-updates.task-running.counter"], waitLimit)
		}
	}
}

// largest is P13: the largest value that is ever written while a group of many apps comes and goes.
func (b *bench) largest() error {
	w, err := newWorld(b.agents, "--max_running_deployments", "1000000")
	if err != nil {
		return err
	}
	defer w.close()
	db, err := w.etcdClient()
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	now, err := db.Get(ctx, keysOfServer+"seq")
	if err != nil {
		return err
	}
	seen := make(chan *seenValues, 1)
	stream := db.Watch(ctx, keysOfServer, clientv3.WithPrefix(), clientv3.WithRev(now.Header.Revision))
	go func() { seen <- watchValues(stream) }()
	apps := make([]any, b.grouped)
	for i := range apps {
		apps[i] = app(fmt.Sprintf("/g/app-%d", i), 1)
	}
	for _, step := range []func() error{
		func() error {
			_, err := w.do(http.MethodPut, "/v2/groups", map[string]any{"id": "/", "groups": []any{map[string]any{"id": "/g", "apps": apps}}})
			return err
		},
		func() error { return w.until("all apps run", w.settled) },
		func() error { _, err := w.do(http.MethodDelete, "/v2/groups/g?force=true", nil); return err },
		func() error { return w.until("all apps are gone", w.settled) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	_, _, stored, err := rawScan(db)
	if err != nil {
		return err
	}
	time.Sleep(settleTime) // for the watch to come to the end
	cancel()
	s := <-seen
	b.add(measure{ID: "P13", What: "largest value ever written, one group of many apps", Unit: "KiB", Must: 512, Moonshot: 64, Judged: true, Value: float64(max(stored, s.largest)) / 1024,
		Size: fmt.Sprintf("%d apps in one request, run and deleted; %d values written, the largest under %s", b.grouped, s.values, s.key)})
	return nil
}

// seenValues are the values that a watch saw.
type seenValues struct {
	values, largest int
	key             string
}

func watchValues(stream clientv3.WatchChan) *seenValues {
	s := &seenValues{}
	for r := range stream {
		for _, e := range r.Events {
			s.values++
			if len(e.Kv.Value) > s.largest {
				s.largest, s.key = len(e.Kv.Value), string(e.Kv.Key)
			}
		}
	}
	return s
}

// agentsOf counts the tasks of an app on each agent, those with most first.
func (w *world) agentsOf(id string) (agents []string, tasks map[string]int, err error) {
	var v struct {
		App struct {
			Tasks []struct {
				Agent string `json:"slaveId"`
			} `json:"tasks"`
		} `json:"app"`
	}
	if err := w.get("/v2/apps"+id+"?embed=app.tasks", &v); err != nil {
		return nil, nil, err
	}
	tasks = map[string]int{}
	for _, t := range v.App.Tasks {
		if tasks[t.Agent]++; tasks[t.Agent] == 1 {
			agents = append(agents, t.Agent)
		}
	}
	slices.SortFunc(agents, func(a, b string) int { return tasks[b] - tasks[a] })
	return agents, tasks, nil
}

// lost is P29: agents with many tasks are gone at once. A task that is gone counts as a failure (behaviour.md 4.3), and of
// so many failures the delay of the next launch is 300 s; the app has none, so that what is measured is the work.
func (b *bench) lost() error {
	w, err := newWorld(b.agents)
	if err != nil {
		return err
	}
	defer w.close()
	n := 2 * b.losing
	big := app("/big", n)
	big["backoffSeconds"] = 0
	if _, err := w.do(http.MethodPost, "/v2/apps", big); err != nil {
		return err
	}
	if err := w.until("no deployment runs", w.settled); err != nil {
		return err
	}
	agents, tasks, err := w.agentsOf("/big")
	if err != nil {
		return err
	}
	began, gone, last := time.Now(), 0, 0
	for ; gone < b.losing && last < len(agents); last++ {
		call := map[string]any{"type": "MARK_AGENT_GONE", "mark_agent_gone": map[string]any{"agent_id": map[string]any{"value": agents[last]}}}
		if err := w.operate(call); err != nil {
			return err
		}
		gone += tasks[agents[last]]
	}
	least := n
	if err := w.until("the lost tasks are replaced", func() (bool, error) {
		m, err := w.metrics()
		if err != nil || m["mesos.task-updates.task-gone-by-operator.counter"] < float64(gone) {
			return false, err
		}
		k, err := w.running("/big")
		least = min(least, k)
		return k == n, err
	}); err != nil {
		return err
	}
	took := time.Since(began).Seconds()
	b.add(measure{ID: "P29", What: "tasks of agents that are gone at once → all replaced, per 10,000", Unit: "s", Must: 15, Moonshot: 5, Judged: true, Value: took * 1e4 / math.Max(float64(gone), 1),
		Size: fmt.Sprintf("%d of %d tasks on %d agents; %d ran at the least", gone, n, last, least) + "; backoffSeconds 0"})
	return nil
}

// operate calls the operator API of the master.
func (w *world) operate(call map[string]any) error {
	at := w.url
	defer func() { w.url = at }()
	w.url = w.master.said
	_, err := w.do(http.MethodPost, "/api/v1", call)
	return err
}
