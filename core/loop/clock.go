package loop

import (
	"sync"
	"time"

	"stadion/core"
)

// slewShare bounds how fast the clock follows the wall clock: a twentieth of the time that has passed.
const slewShare = 20

// steady is a clock that starts at wall time, runs with the monotonic clock and approaches the wall clock slowly. A
// step of the wall clock therefore fires no timer early and holds none back (F4).
type steady struct {
	mu   sync.Mutex
	wall func() time.Time // wall time without a monotonic reading
	mono func() time.Duration
	at   time.Time
	last time.Duration
}

// SystemClock is the clock of a real loop.
func SystemClock() Clock {
	start := time.Now()
	return &steady{wall: func() time.Time { return time.Now().Round(0) },
		mono: func() time.Duration { return time.Since(start) }, at: start.Round(0)}
}

// Now never goes back.
func (c *steady) Now() core.Timestamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.mono()
	passed := m - c.last
	c.last = m
	c.at = c.at.Add(passed)
	bound := passed / slewShare
	c.at = c.at.Add(min(max(c.wall().Sub(c.at), -bound), bound))
	return core.At(c.at)
}

// After is time.After.
func (c *steady) After(d time.Duration) <-chan time.Time { return time.After(d) }
