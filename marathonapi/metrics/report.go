package metrics

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
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
func (r *Registry) values(each func(name string, v float64)) {
	for i, row := range table {
		r.entries[i].report(r.prefix+"."+row.Name, each)
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
	r.values(func(name string, v float64) {
		line := name + ":" + strconv.FormatFloat(v, 'g', -1, 64) + "|g\n"
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
	r.values(func(name string, v float64) {
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
