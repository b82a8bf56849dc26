package main

import (
	"context"
	"runtime/debug"
	rmetrics "runtime/metrics"
	"time"
)

// Memory is given back to the system in calm times. After a storm (a launch of many, a load) the runtime keeps twice what
// lives and returns the rest over many minutes, which looks to whoever sets a limit as if the server needed it (P22).
const (
	calmEvery     = time.Second
	calmPause     = time.Minute // between two returns, each of which costs a collection
	calmAllocated = 4 << 20     // bytes per look: with more the server is at work
	calmShare     = 4           // at least one part in so many of the memory must be free
	calmLeast     = 32 << 20    // bytes; less is not worth it
)

// memory is what one look sees, in bytes.
type memory struct {
	allocated uint64 // since the process began
	held      uint64 // taken from the system and not given back
	idle      uint64 // of it: held by nothing that was alive at the last collection
}

func lookAtMemory() memory {
	s := []rmetrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}, {Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"}, {Name: "/memory/classes/metadata/mspan/inuse:bytes"}}
	rmetrics.Read(s)
	at := func(n int) uint64 { return s[n].Value.Uint64() }
	m := memory{allocated: at(0), held: at(1) - at(2)}
	if used := at(3) + at(4) + at(5); used < m.held {
		m.idle = m.held - used
	}
	return m
}

// calm reports whether little was allocated since the look before and much of what is held is idle.
func calm(before, now memory) bool {
	return now.allocated-before.allocated < calmAllocated && now.idle > calmLeast && now.idle > now.held/calmShare
}

// giveBack returns memory until ctx ends. It waits for two calm looks in a row.
func giveBack(ctx context.Context) {
	tick := time.NewTicker(calmEvery)
	defer tick.Stop()
	before, was := lookAtMemory(), false
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := lookAtMemory()
		is := calm(before, now)
		before = now
		if !is || !was {
			was = is
			continue
		}
		debug.FreeOSMemory()
		before, was = lookAtMemory(), false
		select {
		case <-time.After(calmPause):
		case <-ctx.Done():
			return
		}
	}
}
