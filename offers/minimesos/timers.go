package minimesos

import (
	"container/heap"
	"sync"
	"time"
)

// timers runs functions at their time, one after another, each under the lock of
// the cluster. A heap serves hundreds of thousands of them with one goroutine.
type timers struct {
	mu     sync.Locker // the cluster's; guards everything below
	heap   timerHeap
	wake   chan struct{}
	quit   chan struct{}
	closed bool
}

// timer is one appointment. Its zero index means nothing; use stop to cancel.
type timer struct {
	at    time.Time
	run   func()
	index int // in the heap, -1 when not in it
}

func newTimers(mu sync.Locker) *timers {
	return &timers{mu: mu, wake: make(chan struct{}, 1), quit: make(chan struct{})}
}

// after arranges for run to be called under the cluster's lock, which the caller holds.
func (ts *timers) after(d time.Duration, run func()) *timer {
	t := &timer{at: time.Now().Add(d), run: run}
	heap.Push(&ts.heap, t)
	if t.index == 0 {
		select {
		case ts.wake <- struct{}{}:
		default:
		}
	}
	return t
}

// stop cancels t; nil and timers that have run are fine.
func (ts *timers) stop(t *timer) {
	if t != nil && t.index >= 0 {
		heap.Remove(&ts.heap, t.index)
	}
}

// maxTimersPerTurn bounds how long the lock is held at once.
const maxTimersPerTurn = 512

// loop runs until close is called.
func (ts *timers) loop() {
	idle := time.NewTimer(time.Hour)
	defer idle.Stop()
	for {
		idle.Reset(ts.turn())
		select {
		case <-ts.quit:
			return
		case <-ts.wake:
		case <-idle.C:
		}
	}
}

// turn runs what is due and returns how long to wait for the next.
func (ts *timers) turn() time.Duration {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	now := time.Now()
	for range maxTimersPerTurn {
		if ts.closed || len(ts.heap) == 0 {
			return time.Hour
		}
		if wait := ts.heap[0].at.Sub(now); wait > 0 {
			return wait
		}
		heap.Pop(&ts.heap).(*timer).run()
	}
	return 0
}

// close drops all appointments; the caller holds the lock.
func (ts *timers) close() {
	if !ts.closed {
		ts.closed = true
		close(ts.quit)
	}
	ts.heap = nil
}

type timerHeap []*timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	t.index = len(*h)
	*h = append(*h, t)
}
func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = -1
	return t
}
