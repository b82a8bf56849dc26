package main

import (
	"context"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"stadion/leader"
)

// freshness is when etcd last confirmed that this server leads: until then nobody else can have changed anything.
type freshness struct {
	at      atomic.Pointer[time.Time]
	expired atomic.Bool // the lease has ended, and nobody knows who leads
}

const (
	confirmEvery = time.Second
	freshFor     = outagePatience * confirmEvery // longer without a confirmation, and reads are marked (R13)
)

// follow asks etcd again and again, until ctx ends.
func (f *freshness) follow(ctx context.Context, term *leader.Term) {
	began := time.Now()
	f.at.Store(&began)
	tick := time.NewTicker(confirmEvery)
	defer tick.Stop()
	for {
		asked := time.Now()
		if term.Confirm(ctx) == nil {
			f.at.Store(&asked)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// age is for how long the state has not been confirmed; 0 while it counts as fresh.
func (f *freshness) age() time.Duration {
	at := f.at.Load()
	if at == nil {
		return 0 // the term has just begun
	}
	if age := time.Since(*at); age > freshFor || f.expired.Load() {
		return age
	}
	return 0
}

// mark tells readers of an old state that it is one, in the words of HTTP (RFC 9111 5.1, RFC 7234 5.5.1).
func (f *freshness) mark(h http.Header) {
	if age := f.age(); age > 0 {
		h.Set("Age", strconv.Itoa(int(age.Seconds())))
		h.Set("Warning", `110 - "Response is Stale"`)
	}
}
