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
	*a = old[:len(old)-1]
	return x
}

// clock is virtual time.
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
