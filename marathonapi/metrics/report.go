package metrics

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"
)

const (
	maxDatagram   = 1400 // bytes; below the usual MTU
	reportTimeout = 5 * time.Second
)

// Target is where metrics are sent: StatsD or DataDog over UDP, or DataDog's HTTP API.
type Target struct {
	Address  string // host:port for UDP
	APIURL   string // DataDog's series endpoint; empty for UDP
	APIKey   string // never logged
	Prefix   string
	Interval time.Duration
}

// Report sends all metrics every interval until ctx ends. Counters are sent as gauges, as Marathon does (behaviour.md
// 10.1). problem is called with each failure; the next interval tries again.
func (r *Registry) Report(ctx context.Context, t Target, problem func(error)) {
	tick := time.NewTicker(t.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			send := r.sendUDP
			if t.APIURL != "" {
				send = r.sendAPI
			}
			if err := send(ctx, t); err != nil {
				problem(err)
			}
		}
	}
}

// values are all metrics as single numbers.
func (r *Registry) values(prefix string, each func(name string, v float64)) {
	for _, row := range table {
		n := prefix + "." + row.Name
		switch row.Kind {
		case CounterKind:
			each(n, float64(r.counters[row.Name].Count()))
		case GaugeKind:
			each(n, clean(r.gauge(row.Name)))
		case MeterKind:
			m := r.meters[row.Name].Snapshot()
			each(n+".count", float64(m.Count()))
			each(n+".m1_rate", clean(m.Rate1()))
		case HistogramKind:
			s := spreadOf(r.histograms[row.Name].snapshot(), 1)
			each(n+".count", float64(s.count))
			each(n+".mean", s.mean)
			each(n+".p99", s.q[4])
		case TimerKind:
			s := spreadOf(r.timers[row.Name].snapshot(), float64(time.Second))
			each(n+".count", float64(s.count))
			each(n+".mean", s.mean)
			each(n+".p99", s.q[4])
		}
	}
}

// sendUDP sends name:value|g lines, several in a datagram.
func (r *Registry) sendUDP(_ context.Context, t Target) error {
	c, err := net.DialTimeout("udp", t.Address, reportTimeout)
	if err != nil {
		return fmt.Errorf("send metrics to %s: %w", t.Address, err)
	}
	defer c.Close()
	var b bytes.Buffer
	flush := func() {
		if b.Len() > 0 && err == nil {
			_, err = c.Write(b.Bytes())
		}
		b.Reset()
	}
	r.values(t.Prefix, func(name string, v float64) {
		line := name + ":" + number(v) + "|g\n"
		if b.Len()+len(line) > maxDatagram {
			flush()
		}
		b.WriteString(line)
	})
	flush()
	if err != nil {
		return fmt.Errorf("send metrics to %s: %w", t.Address, err)
	}
	return nil
}

// sendAPI posts one series document to DataDog.
func (r *Registry) sendAPI(ctx context.Context, t Target) error {
	type series struct {
		Metric string       `json:"metric"`
		Points [][2]float64 `json:"points"`
		Type   string       `json:"type"`
	}
	var all []series
	at := float64(time.Now().Unix())
	r.values(t.Prefix, func(name string, v float64) {
		all = append(all, series{Metric: name, Points: [][2]float64{{at, v}}, Type: "gauge"})
	})
	body, err := json.Marshal(map[string]any{"series": all})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.APIURL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("send metrics: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("DD-API-KEY", t.APIKey)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("send metrics: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		return fmt.Errorf("send metrics: %s", res.Status)
	}
	return nil
}
