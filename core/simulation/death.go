package simulation

import (
	"stadion/core/machine"
	"stadion/offers"
)

// boundaries are the places where a process may die (F1), with how seldom it does at each. The rarer a place is met,
// the likelier is death: all of them are struck in every run of the worlds.
var boundaries = map[string]int{
	"inside the load":    0, // by the fault of a transaction, see trip
	"after the load":     12,
	"after an event":     3000,
	"after an update":    500,
	"after a request":    100,
	"before the commit":  800,
	"inside the commit":  0,
	"after the commit":   800,
	"after an answer":    100,
	"before a launch":    80,
	"after a launch":     80,
	"after a kill":       80,
	"after an ack":       500,
	"after a reconcile":  60,
	"after another call": 500,
	"after all effects":  1000,
}

// boundaryOf names what was just taken in.
func boundaryOf(ev machine.Event) string {
	switch e := ev.(type) {
	case machine.Request:
		return "after a request"
	case machine.Mesos:
		if _, ok := e.Event.(offers.StatusUpdate); ok {
			return "after an update"
		}
	}
	return "after an event"
}

// boundaryAfter names what was just sent.
func boundaryAfter(c offers.Call) string {
	switch c.(type) {
	case offers.Accept:
		return "after a launch"
	case offers.Kill:
		return "after a kill"
	case offers.Acknowledge:
		return "after an ack"
	case offers.Reconcile:
		return "after a reconcile"
	}
	return "after another call"
}

// dies kills the process now and then.
func (l *life) dies(where string) bool {
	if l.dead || !l.w.chance(l.w.opt.Crashes, boundaries[where]) {
		return l.dead
	}
	l.struck(where)
	return true
}

// struck is kill -9.
func (l *life) struck(where string) {
	w := l.w
	if l.dead {
		return
	}
	w.Deaths[where]++
	l.end("killed " + where)
	if l == w.lead {
		w.elect(500 + w.rnd.Int64N(5000))
	}
}
