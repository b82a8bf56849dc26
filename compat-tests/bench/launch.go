package main

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

// lap is one launch of many instances.
type lap struct {
	seconds float64
	cpu     float64 // seconds of the subject
	master  float64 // seconds of the miniature Mesos meanwhile
	memory  float64 // KiB per instance that the subject grew by
	kill    float64 // seconds until all are gone again
	idle    float64 // share of a core while nothing happens
}

// lapOfNoop lets the framework that does nothing launch n tasks on a new master.
func (b *bench) lapOfNoop(form string, n int) (l lap, err error) {
	dir, err := os.MkdirTemp(os.Getenv("BENCH_DIR"), "stadion-bench-")
	if err != nil {
		return l, err
	}
	defer os.RemoveAll(dir)
	master, err := newMaster(dir, b.agents)
	if err != nil {
		return l, err
	}
	defer master.stop()
	self, err := os.Executable()
	if err != nil {
		return l, err
	}
	before := master.cpu()
	// It is "ready" when all is done, and then waits to be ended with its CPU time still to be read.
	p, err := start(subjectCore, self, form, master.said, strconv.Itoa(n))
	if err != nil {
		return l, err
	}
	defer p.stop()
	l.cpu, l.master = p.cpu().Seconds(), (master.cpu() - before).Seconds()
	l.seconds, err = strconv.ParseFloat(p.said, 64)
	return l, err
}

// lapOfServer posts one app of n instances to a new server and waits until all run.
func (b *bench) lapOfServer(n int, more func(w *world, l *lap) error) (l lap, err error) {
	w, err := newWorld(b.agents)
	if err != nil {
		return l, err
	}
	defer w.close()
	if err := w.launch("/warm", 1000); err != nil { // what a first launch allocates is not counted per instance
		return l, err
	}
	rss, cpu, began := w.server.rss(), w.server.cpu(), time.Now()
	if err := w.launch("/big", n); err != nil {
		return l, err
	}
	l.seconds, l.cpu = time.Since(began).Seconds(), (w.server.cpu() - cpu).Seconds()
	if more != nil {
		l.memory = rss
		err = more(w, &l)
	}
	return l, err
}

// launch posts one app and waits until all its instances run.
func (w *world) launch(id string, n int) error {
	if _, err := w.do(http.MethodPost, "/v2/apps", app(id, n)); err != nil {
		return err
	}
	return w.until(fmt.Sprintf("%d instances of %s run", n, id), func() (bool, error) {
		k, err := w.running(id)
		return k == n, err
	})
}

// race is P1, P2 and P5, and with the same server P7, P21 and P30.
func (b *bench) race() error {
	var ours, theirs, piped []lap
	for range b.rounds {
		q, err := b.lapOfNoop(pipedForm, b.instances)
		if err != nil {
			return err
		}
		piped = append(piped, q)
		t, err := b.lapOfNoop(plainForm, b.instances)
		if err != nil {
			return err
		}
		o, err := b.lapOfServer(b.instances, b.afterLaunch)
		if err != nil {
			return err
		}
		ours, theirs = append(ours, o), append(theirs, t)
	}
	b.reportRace(ours, theirs, piped)
	return nil
}

func (b *bench) reportRace(ours, theirs, piped []lap) {
	against := func(others []lap, f func(o, t lap) float64) (out []float64) {
		for i := range ours {
			out = append(out, f(ours[i], others[i]))
		}
		return out
	}
	each := func(f func(o, t lap) float64) []float64 { return against(theirs, f) }
	n, size := float64(b.instances), fmt.Sprintf("1 app × %d, %d agents", b.instances, b.agents)
	list := []measure{
		{ID: "P1", What: "launch rate ÷ no-op framework", Must: 0.5, Moonshot: 0.8, AtLeast: true, Judged: true, Size: size},
		{ID: "P2", What: "POST → all TASK_RUNNING, per 100,000 instances", Unit: "s", Must: 60, Moonshot: 25, Judged: b.full, Size: size},
		{ID: "P5", What: "CPU per launch ÷ no-op framework", Must: 2, Moonshot: 1.3, Judged: true, Size: size},
		{ID: "P7", What: "scale to 0, all gone, per 100,000 instances", Unit: "s", Must: 60, Moonshot: 25, Judged: b.full, Size: size},
		{ID: "P21", What: "RSS per instance", Unit: "KiB", Must: 2, Moonshot: 0.7, Judged: b.full, Size: size},
		{ID: "P30", What: "idle CPU, nothing pending, offers suppressed", Unit: "% core", Must: 2, Moonshot: 0.2, Judged: true, Size: size},
		{ID: "P1w", What: "launch rate ÷ pipelined no-op framework", AtLeast: true, Size: size},
		{ID: "P5w", What: "CPU per launch ÷ pipelined no-op framework", Size: size},
		{ID: "raw", What: "launches of the no-op framework", Unit: "1/s", AtLeast: true, Size: size},
		{ID: "raw", What: "launches of the server", Unit: "1/s", AtLeast: true, Size: size},
		{ID: "raw", What: "CPU per launch, no-op framework", Unit: "µs", Size: size},
		{ID: "raw", What: "CPU per launch, master of the no-op framework", Unit: "µs", Size: size},
		{ID: "raw", What: "CPU per launch, server", Unit: "µs", Size: size},
	}
	const perLap = 100_000
	for i, v := range [][]float64{
		each(func(o, t lap) float64 { return t.seconds / o.seconds }),
		each(func(o, _ lap) float64 { return o.seconds * perLap / n }),
		each(func(o, t lap) float64 { return o.cpu / t.cpu }),
		each(func(o, _ lap) float64 { return o.kill * perLap / n }),
		each(func(o, _ lap) float64 { return o.memory }),
		each(func(o, _ lap) float64 { return o.idle * 100 }),
		against(piped, func(o, t lap) float64 { return t.seconds / o.seconds }),
		against(piped, func(o, t lap) float64 { return o.cpu / t.cpu }),
		each(func(_, t lap) float64 { return n / t.seconds }),
		each(func(o, _ lap) float64 { return n / o.seconds }),
		each(func(_, t lap) float64 { return t.cpu / n * 1e6 }),
		each(func(_, t lap) float64 { return t.master / n * 1e6 }),
		each(func(o, _ lap) float64 { return o.cpu / n * 1e6 }),
	} {
		list[i].spread(v)
	}
	b.add(list...)
}

const settleTime = 3 * time.Second // for the runtime to give memory back, and before idling is measured

// afterLaunch measures memory and idling with everything running, then the way down.
func (b *bench) afterLaunch(w *world, l *lap) error {
	if err := w.until("no deployment runs", w.settled); err != nil {
		return err
	}
	time.Sleep(settleTime)
	l.memory = (w.server.rss() - l.memory) / float64(b.instances)
	cpu, began := w.server.cpu(), time.Now()
	time.Sleep(time.Duration(b.seconds) * time.Second)
	l.idle = (w.server.cpu() - cpu).Seconds() / time.Since(began).Seconds()
	began = time.Now()
	if _, err := w.do(http.MethodPut, "/v2/apps/big", map[string]any{"instances": 0}); err != nil {
		return err
	}
	if err := w.until("all instances are gone", w.settled); err != nil {
		return err
	}
	l.kill = time.Since(began).Seconds()
	return nil
}

// growthOfLaunch is G1.
func (b *bench) growthOfLaunch() error {
	var x, y []float64
	for _, n := range b.growth {
		var took []float64
		for range max(b.rounds/2, 1) {
			l, err := b.lapOfServer(n, nil)
			if err != nil {
				return err
			}
			took = append(took, l.seconds)
		}
		x, y = append(x, float64(n)), append(y, median(took))
	}
	b.add(measure{ID: "G1", What: "slope: instances → time to all RUNNING", Must: 1.05, Moonshot: 1, Value: slope(x, y), Judged: true, Size: points(x, y, "s")})
	return nil
}

func points(x, y []float64, unit string) (text string) {
	for i := range x {
		text += fmt.Sprintf("%.0f: %s %s; ", x[i], number(y[i]), unit)
	}
	return text[:max(len(text)-2, 0)]
}

// beside is P6 and P16: what others notice of a large launch.
func (b *bench) beside() error {
	w, err := newWorld(b.agents)
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.launch("/hundred", 100); err != nil {
		return err
	}
	var idle, busy, reads []float64
	for i := range 5 {
		s, err := w.timeSmall(fmt.Sprintf("/idle-%d", i))
		if err != nil {
			return err
		}
		idle = append(idle, s)
	}
	if _, err := w.do(http.MethodPost, "/v2/apps", app("/big", b.instances)); err != nil {
		return err
	}
	began, stop, failed := time.Now(), make(chan struct{}), error(nil)
	var reader sync.WaitGroup
	reader.Go(func() { failed = w.timeReads(stop, &reads) })
	k := 0
	for ; k < b.instances*9/10 && err == nil; k, err = w.running("/big") {
		s, err := w.timeSmall(fmt.Sprintf("/busy-%d", len(busy)))
		if err != nil {
			break
		}
		busy = append(busy, s)
	}
	rate := float64(k) / time.Since(began).Seconds()
	close(stop)
	reader.Wait()
	if err == nil {
		err = failed
	}
	if err != nil {
		return err
	}
	b.add(measure{ID: "P6", What: "app × 3 beside a huge launch ÷ alone, POST → RUNNING", Must: 5, Moonshot: 2, Judged: true,
		Value: median(busy) / median(idle), Size: fmt.Sprintf("alone %s s, beside %s s; launch of %d", number(median(idle)), number(median(busy)), b.instances)},
		measure{ID: "P16", What: "GET app with 100 tasks during a launch, p99", Unit: "ms", Must: 20, Moonshot: 5, Judged: true,
			Value: quantile(reads, 0.99) * 1000, Size: fmt.Sprintf("%d reads at %.0f launches/s, p50 %s ms", len(reads), rate, number(median(reads)*1000))})
	return nil
}

// timeSmall is how long an app of three instances takes to run.
func (w *world) timeSmall(id string) (float64, error) {
	began := time.Now()
	err := w.launch(id, 3)
	return time.Since(began).Seconds(), err
}

const readPause = 5 * time.Millisecond // about 200 reads a second

// timeReads reads an app with its tasks until stop is closed.
func (w *world) timeReads(stop chan struct{}, took *[]float64) error {
	for {
		select {
		case <-stop:
			return nil
		case <-time.After(readPause):
		}
		began := time.Now()
		if _, err := w.do(http.MethodGet, "/v2/apps/hundred?embed=app.tasks", nil); err != nil {
			return err
		}
		*took = append(*took, time.Since(began).Seconds())
	}
}
