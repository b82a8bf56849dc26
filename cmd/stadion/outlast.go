package main

import (
	"errors"

	"go.uber.org/zap"

	"stadion/core/loop"
)

var errSilent = errors.New("etcd does not answer")

// outlast turns a term whose lease has ended while etcd is silent into one that only shows what it knows (R13, F8):
// reads go on and are marked as old, changes get 503, and nothing is decided. It ends when etcd answers, or when Mesos
// has given the framework to a successor, which etcd's other side may have elected (F5). That witness is needed: without
// a stream from Mesos, or with an inbox so full that the stream is not read, the term ends at once (false).
func (r *reign) outlast() bool {
	if _, events := r.loop.Depth(); events >= loop.MaxEvents || !r.driver.Hold() {
		return false
	}
	r.fresh.expired.Store(true)
	why := r.loop.Away()
	r.log.Warn("etcd has not answered for as long as a lease lasts: reads go on, marked as old, until it does or another server leads", zap.Error(why))
	if why == nil {
		why = errSilent
	}
	r.front.away(why)
	return true
}
