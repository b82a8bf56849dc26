package main

import (
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

const checkInterval = 10 // seconds

// checks is H1: what the server spends on the health checks of many instances, probes, verdicts and all. The agents are
// addresses of this machine, so one listener answers for all instances.
func (b *bench) checks() error {
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		return err
	}
	var asked atomic.Int64
	target := &http.Server{ReadHeaderTimeout: readyTimeout, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) })}
	go func() { _ = target.Serve(l) }()
	defer target.Close()
	w, err := newWorld(b.agents)
	if err != nil {
		return err
	}
	defer w.close()
	a := app("/checked", b.checked)
	a["healthChecks"] = []any{map[string]any{"protocol": "HTTP", "path": "/", "port": l.Addr().(*net.TCPAddr).Port, "intervalSeconds": checkInterval,
		"timeoutSeconds": 5, "gracePeriodSeconds": 60, "maxConsecutiveFailures": 3}}
	if _, err := w.do(http.MethodPost, "/v2/apps", a); err != nil {
		return err
	}
	if err := w.until("all are healthy", w.settled); err != nil { // a deployment ends when they are
		return err
	}
	time.Sleep(checkInterval * time.Second) // until they are spread over the interval
	seconds := 2 * checkInterval
	spent, before, began := w.server.cpu(), asked.Load(), time.Now()
	most, least := int64(0), int64(1<<62)
	for k, last := 0, before; k < seconds; k++ {
		time.Sleep(time.Until(began.Add(time.Duration(k+1) * time.Second)))
		now := asked.Load()
		most, least, last = max(most, now-last), min(least, now-last), now
	}
	took := time.Since(began).Seconds()
	b.add(measure{ID: "H1", What: "10,000 HTTP health checks at 10 s, the whole server", Unit: "% core", Must: 40, Moonshot: 20, Judged: true,
		Value: 100 * (w.server.cpu() - spent).Seconds() / took,
		Size:  fmt.Sprintf("%d checks: %.0f probes/s, in single seconds %d to %d (jitter)", b.checked, float64(asked.Load()-before)/took, least, most)})
	return nil
}
