package simulation

import (
	"container/heap"

	"stadion/core"
)

// happening is something that will happen at a time; equal times keep their order of planning.
type happening struct {
	at  core.Timestamp
	seq int
	do  func()
}

type agenda []happening

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].seq < a[j].seq
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(happening)) }
func (a *agenda) Pop() any {
	old := *a
	x := old[len(old)-1]
	old[len(old)-1] = happening{}
	*a = old[:len(old)-1]
	return x
}

// clock is virtual time, as nobody in the world can read it: each server has a clock of its own.
type clock struct {
	now  core.Timestamp
	todo agenda
	seq  int
}

// after plans something in so many milliseconds.
func (c *clock) after(ms int64, do func()) {
	c.seq++
	heap.Push(&c.todo, happening{c.now + core.Timestamp(max(ms, 0)), c.seq, do})
}

// next lets the earliest planned thing happen; false when nothing is planned before end.
func (c *clock) next(end core.Timestamp) bool {
	if len(c.todo) == 0 || c.todo[0].at > end {
		c.now = max(c.now, end)
		return false
	}
	h := heap.Pop(&c.todo).(happening)
	c.now = max(c.now, h.at)
	h.do()
	return true
}

// lane keeps what travels on one connection in order: nothing arrives before what was sent earlier.
type lane struct{ last core.Timestamp }

// send plans an arrival after so many milliseconds, or later if something is still on its way.
func (l *lane) send(c *clock, ms int64, do func()) {
	at := max(l.last, c.now+core.Timestamp(ms))
	l.last = at
	c.after(int64(at-c.now), do)
}
