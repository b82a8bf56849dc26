package probe

import (
	"container/heap"
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"stadion/core"
	"stadion/core/machine"
)

// MaxInFlight is how many probes run at once unless told otherwise (max_concurrent_marathon_health_checks).
const MaxInFlight = 256

// key names a probe: an instance's n-th check of one kind.
type key struct {
	instance  core.InstanceID
	check     int
	readiness bool
}

// row is one probe with its next time.
type row struct {
	machine.Probe
	due     time.Time
	index   int // in the heap; -1 while it is in flight
	stopped bool
	spread  bool // from those that began at the same moment
}

// pause is the time from the beginning of a health probe to the next: the interval, but once some part of it, so that
// the probes of what was launched together do not come together for ever. Only less, so that an outage is not noticed later.
func (r *row) pause() time.Duration {
	interval := max(time.Duration(r.IntervalMs)*time.Millisecond, 100*time.Millisecond)
	if r.Readiness || r.spread {
		return interval
	}
	r.spread = true
	return interval/10 + rand.N(interval-interval/10+1)
}

// Prober runs probes. Make one with New and end it with Close.
type Prober struct {
	post   func(machine.Event)
	client *http.Client
	slots  chan struct{}
	wake   chan struct{}
	cancel context.CancelFunc
	ctx    context.Context
	wg     sync.WaitGroup

	mu   sync.Mutex
	rows map[key]*row
	heap schedule
}

// New starts a prober with so many probes at once; post takes the verdicts and may block.
func New(post func(machine.Event), inFlight int) *Prober {
	if inFlight <= 0 {
		inFlight = MaxInFlight
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &Prober{post: post, slots: make(chan struct{}, inFlight), wake: make(chan struct{}, 1), ctx: ctx, cancel: cancel, rows: make(map[key]*row)}
	p.client = &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // as Marathon: names and certificates of tasks are not verified
			DisableKeepAlives: true, Proxy: nil,
		},
	}
	p.wg.Add(1)
	go p.run()
	return p
}

// Close ends all probes and waits for those under way.
func (p *Prober) Close() {
	p.cancel()
	p.wg.Wait()
}

// Apply starts and stops probes.
func (p *Prober) Apply(list []machine.Probe) {
	if len(list) == 0 {
		return
	}
	p.mu.Lock()
	for _, x := range list {
		k := key{x.Instance, x.Check, x.Readiness}
		if old := p.rows[k]; old != nil {
			p.remove(k, old)
		}
		if !x.Stop {
			r := &row{Probe: x, due: time.Now().Add(time.Duration(x.FirstMs) * time.Millisecond)}
			p.rows[k] = r
			heap.Push(&p.heap, r)
		}
	}
	p.mu.Unlock()
	p.nudge()
}

// Count is the number of probes.
func (p *Prober) Count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.rows)
}

func (p *Prober) remove(k key, r *row) {
	r.stopped = true
	delete(p.rows, k)
	if r.index >= 0 {
		heap.Remove(&p.heap, r.index)
	}
}

func (p *Prober) nudge() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run sends each probe off at its time, as soon as there is a free place.
func (p *Prober) run() {
	defer p.wg.Done()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		r, wait := p.take()
		if r == nil {
			timer.Reset(wait)
			select {
			case <-p.ctx.Done():
				return
			case <-p.wake:
			case <-timer.C:
			}
			continue
		}
		select {
		case <-p.ctx.Done():
			return
		case p.slots <- struct{}{}:
		}
		p.wg.Add(1)
		go p.fly(r)
	}
}

// take removes the earliest row from the heap if it is due; else it tells how long to wait.
func (p *Prober) take() (*row, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.heap) == 0 {
		return nil, time.Hour
	}
	if wait := time.Until(p.heap[0].due); wait > 0 {
		return nil, wait
	}
	return heap.Pop(&p.heap).(*row), 0
}

// fly runs one probe, posts its verdict and plans the next.
func (p *Prober) fly(r *row) {
	defer p.wg.Done()
	started := time.Now()
	timeout := time.Duration(r.TimeoutMs) * time.Millisecond
	if timeout <= 0 {
		timeout = time.Second
	}
	ctx, cancel := context.WithTimeout(p.ctx, timeout)
	ev := p.ask(ctx, &r.Probe)
	cancel()
	<-p.slots
	p.mu.Lock()
	gone := r.stopped
	if !gone {
		base := started
		if r.Readiness { // the next probe comes an interval after the last one ended (behaviour.md 8.8)
			base = time.Now()
		}
		r.due = base.Add(r.pause())
		heap.Push(&p.heap, r)
	}
	p.mu.Unlock()
	if !gone && p.ctx.Err() == nil {
		p.post(ev)
	}
	p.nudge()
}

// schedule is a heap of rows by due time.
type schedule []*row

func (s schedule) Len() int           { return len(s) }
func (s schedule) Less(i, j int) bool { return s[i].due.Before(s[j].due) }
func (s schedule) Swap(i, j int)      { s[i], s[j] = s[j], s[i]; s[i].index, s[j].index = i, j }
func (s *schedule) Push(x any) {
	r := x.(*row)
	r.index = len(*s)
	*s = append(*s, r)
}
func (s *schedule) Pop() any {
	old := *s
	r := old[len(old)-1]
	*s = old[:len(old)-1]
	r.index = -1
	return r
}
