package loop

import (
	"sync"

	"stadion/core/machine"
)

// waiters are the commands that wait for their answer, by the number of their request.
type waiters struct {
	mu   sync.Mutex
	last uint64
	open map[uint64]chan machine.Reply
}

func (w *waiters) init() { w.open = make(map[uint64]chan machine.Reply) }

// add makes room for one answer; false when too many wait already.
func (w *waiters) add() (uint64, <-chan machine.Reply, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.open) >= MaxWaiters {
		return 0, nil, false
	}
	w.last++
	c := make(chan machine.Reply, 1)
	w.open[w.last] = c
	return w.last, c, true
}

// drop forgets a waiter; an answer that still comes goes nowhere.
func (w *waiters) drop(id uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, id)
}

// answer hands a reply to whoever waits for it.
func (w *waiters) answer(r machine.Reply) {
	w.mu.Lock()
	c, ok := w.open[r.ID]
	delete(w.open, r.ID)
	w.mu.Unlock()
	if ok {
		c <- r
	}
}
