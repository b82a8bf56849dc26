package main

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestCalm(t *testing.T) { // P22
	const mib = 1 << 20
	for name, x := range map[string]struct {
		allocated, held, idle uint64
		want                  bool
	}{
		"after a storm":         {1 * mib, 400 * mib, 200 * mib, true},
		"at work":               {5 * mib, 400 * mib, 200 * mib, false},
		"little to give back":   {1 * mib, 400 * mib, 90 * mib, false},
		"a small server":        {1 * mib, 60 * mib, 31 * mib, false},
		"nothing but the usual": {0, 100 * mib, 20 * mib, false},
	} {
		before := memory{allocated: 1000 * mib, held: 500 * mib, idle: 300 * mib}
		if got := calm(before, memory{allocated: before.allocated + x.allocated, held: x.held, idle: x.idle}); got != x.want {
			t.Errorf("%s: calm is %v", name, got)
		}
	}
}

var ballast []byte

// What a look calls idle is what can be given back.
func TestIdleMemory(t *testing.T) {
	ballast = make([]byte, 256<<20)
	for n := 0; n < len(ballast); n += 4096 {
		ballast[n] = 1
	}
	runtime.GC()
	full := lookAtMemory()
	ballast = nil
	runtime.GC()
	idle := lookAtMemory()
	debug.FreeOSMemory()
	back := lookAtMemory()
	if full.idle+(200<<20) > idle.idle || back.idle+(200<<20) > idle.idle || back.held+(200<<20) > full.held {
		t.Errorf("with 256 MiB %+v, without %+v, given back %+v", full, idle, back)
	}
}
