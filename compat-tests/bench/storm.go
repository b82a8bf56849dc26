package main

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"
)

const (
	updatesPerTask = 2 // STARTING, which waits at the master, and RUNNING, which comes when that is acknowledged
	rssEvery       = 20 * time.Millisecond
)

// updateStorm is P32: a framework launches, is stopped while the first update of each task comes, and goes on.
func (b *bench) updateStorm() error {
	var ratio, grown, ours, theirs []float64
	for range max(b.rounds/2, 1) {
		t, err := b.stormOfNoop()
		if err != nil {
			return err
		}
		o, rss, err := b.stormOfServer()
		if err != nil {
			return err
		}
		n := float64(updatesPerTask * b.storm)
		ratio, grown, ours, theirs = append(ratio, t/o), append(grown, rss/1024), append(ours, n/o), append(theirs, n/t)
	}
	size := fmt.Sprintf("%d tasks, %d updates, half of them queued: %.0f/s, no-op %.0f/s", b.storm, updatesPerTask*b.storm, median(ours), median(theirs))
	list := []measure{
		{ID: "P32", What: "queued status updates drained ÷ no-op framework", Must: 0.5, Moonshot: 0.8, AtLeast: true, Judged: true, Size: size},
		{ID: "P32a", What: "memory that the server takes meanwhile", Unit: "MiB", Must: 128, Moonshot: 64, Judged: true, Size: size},
	}
	list[0].spread(ratio)
	list[1].spread(grown)
	b.add(list...)
	return nil
}

func (b *bench) slowStart() []string {
	return []string{"--simulation", fmt.Sprintf("start=%ds", b.waitStart)}
}

// pause stops a process until the last update is due, and lets it go on.
func (b *bench) pause(p *process) error {
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	time.Sleep(time.Duration(b.waitStart+1) * time.Second)
	return p.cmd.Process.Signal(syscall.SIGCONT)
}

func (b *bench) stormOfNoop() (seconds float64, err error) {
	dir, err := os.MkdirTemp(os.Getenv("BENCH_DIR"), "stadion-bench-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	master, err := newMaster(dir, b.agents, b.slowStart()...)
	if err != nil {
		return 0, err
	}
	defer master.stop()
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	p, err := start(subjectCore, self, stormForm, master.said, strconv.Itoa(b.storm))
	if err != nil {
		return 0, err
	}
	defer p.stop()
	if err := b.pause(p); err != nil {
		return 0, err
	}
	began := time.Now()
	select {
	case <-p.ended:
	case <-time.After(waitLimit):
		return 0, fmt.Errorf("the no-op framework is not done after %s", waitLimit)
	}
	if !p.cmd.ProcessState.Success() {
		return 0, fmt.Errorf("the no-op framework failed: %s", p.output())
	}
	return time.Since(began).Seconds(), nil
}

// stormOfServer is the time of the drain in seconds and the memory it took in KiB.
func (b *bench) stormOfServer() (seconds, rss float64, err error) {
	w, err := newWorldOn(b.slowStart(), b.agents, "--etcd_lease_ttl", "300")
	if err != nil {
		return 0, 0, err
	}
	defer w.close()
	if _, err := w.do(http.MethodPost, "/v2/apps", app("/big", b.storm)); err != nil {
		return 0, 0, err
	}
	if err := w.until("all are launched", func() (bool, error) {
		m, err := w.metrics()
		return m["tasks.launched.counter"] >= float64(b.storm), err
	}); err != nil {
		return 0, 0, err
	}
	early, err := w.updates()
	if err != nil {
		return 0, 0, err
	}
	if early > 0 {
		return 0, 0, fmt.Errorf("the launch took longer than %d s: %v updates came before its end", b.waitStart, early)
	}
	before := w.server.rss()
	if err := b.pause(w.server); err != nil {
		return 0, 0, err
	}
	began, over, peak := time.Now(), make(chan struct{}), make(chan float64, 1)
	go func() {
		most := before
		for {
			select {
			case <-over:
				peak <- most
				return
			case <-time.After(rssEvery):
				most = max(most, w.server.rss())
			}
		}
	}()
	err = w.until("all run", func() (bool, error) {
		k, err := w.running("/big")
		return k == b.storm, err
	})
	seconds = time.Since(began).Seconds()
	close(over)
	return seconds, <-peak - before, err
}
