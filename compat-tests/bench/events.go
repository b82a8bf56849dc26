package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	eventRate     = 1000            // events per second of P19 and G10
	toldFor       = 4 * time.Second // each number of streams is told events for
	tellers       = 4               // clients that make changes
	readBuffer    = 64 << 10        // bytes of one read of a stream
	stampLength   = len("2006-01-02T15:04:05.000Z")
	leastShare    = 0.9  // of the rate that must be reached for the lag to count
	encodeSamples = 2000 // encodings timed
)

// streams is P19 and G10: ever more streams, each told the same steady flow of events. The CPU time per event is that of
// the whole server, changes included; what a stream adds is the difference to nobody listening.
func (b *bench) streams() error {
	w, err := newWorld(1)
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.postMany("/told", tellers, 0, 1); err != nil {
		return err
	}
	sample, err := w.sampleOfChange()
	if err != nil {
		return err
	}
	unheard, err := w.tell(0, sample.perChange)
	if err != nil {
		return err
	}
	var x, y []float64
	var most told
	for _, n := range b.listening {
		if most, err = w.tell(n, sample.perChange); err != nil {
			return err
		}
		x, y = append(x, float64(n)), append(y, most.cpu*1e6)
	}
	n := b.listening[len(b.listening)-1]
	lag := measure{ID: "P19", What: "SSE, 1,000 streams, 1,000 events/s: p99 of the lag", Unit: "ms", Must: 500, Moonshot: 100, Judged: true, Value: most.readers.lag(0.99),
		Size: fmt.Sprintf("%d streams, %.0f events/s of %.0f bytes, p50 %s ms, server %.0f %% of a core", n, most.rate, sample.bytes, number(most.readers.lag(0.5)), most.share*100)}
	if most.rate < leastShare*eventRate {
		lag.Error = fmt.Sprintf("the machine made %.0f events/s only; %s ms at that", most.rate, number(lag.Value))
	}
	each := max(most.cpu-unheard.cpu, 1e-9) / float64(n) * 1e6
	b.add(lag, measure{ID: "G10", What: "slope: streams → CPU per event", Must: 1, Moonshot: 0.9, Value: slope(x, y), Judged: true, Size: fmt.Sprintf("0: %s µs; %s", number(unheard.cpu*1e6), points(x, y, "µs"))},
		measure{ID: "G10", What: "encoding an event ÷ handing it to one more stream", AtLeast: true, Must: 20, Moonshot: 40, Judged: true, Value: sample.encoding / each,
			Size: fmt.Sprintf("%s µs to encode, %s µs per stream, writing included", number(sample.encoding), number(each))})
	return nil
}

// sample is what one change is told in.
type sample struct {
	perChange float64 // events
	bytes     float64 // of an event
	encoding  float64 // microseconds to encode an event once more
}

// sampleOfChange listens to a few changes.
func (w *world) sampleOfChange() (s sample, err error) {
	const changes = 10
	c, err := w.listen(1, "", true)
	if err != nil {
		return s, err
	}
	for k := range changes {
		if err := w.change(0, k); err != nil {
			return s, err
		}
	}
	// The last change is told when its event of success is there.
	done := []byte("event: deployment_success")
	err = w.until("the changes are told", func() (bool, error) { return bytes.Count(c.text(), done) >= changes, nil })
	c.stop()
	if err != nil {
		return s, err
	}
	var list []any
	for line := range strings.Lines(string(c.text())) {
		if data, ok := strings.CutPrefix(line, "data: "); ok && !strings.Contains(data, "event_stream_attached") {
			var v any
			if err := json.Unmarshal([]byte(data), &v); err != nil {
				return s, fmt.Errorf("event %.100s: %w", data, err)
			}
			list = append(list, v)
		}
	}
	began := time.Now()
	for k := range encodeSamples {
		if _, err := json.Marshal(list[k%len(list)]); err != nil {
			return s, err
		}
	}
	s.encoding = time.Since(began).Seconds() / encodeSamples * 1e6
	s.perChange, s.bytes = float64(len(list))/changes, float64(len(c.text()))/float64(len(list))
	return s, nil
}

// change edits one of the apps without instances; its deployment has nothing to do and ends at once.
func (w *world) change(app, k int) error {
	_, err := w.do(http.MethodPut, fmt.Sprintf("/v2/apps/told/app-%d", app), map[string]any{"cmd": fmt.Sprintf("sleep %d", 1e9+k)})
	return err
}

// told is what a flow of events did.
type told struct {
	rate    float64 // events per second
	cpu     float64 // seconds of the server per event
	share   float64 // of a core that the server used
	readers *crowd
}

// tell opens streams and makes changes that are told in eventRate events a second.
func (w *world) tell(streams int, perChange float64) (t told, err error) {
	if t.readers, err = w.listen(streams, "", false); err != nil {
		return t, err
	}
	defer t.readers.stop()
	var all sync.WaitGroup
	var made atomic.Int64
	failed := make(chan error, tellers)
	pause := time.Duration(perChange / eventRate * tellers * float64(time.Second))
	spent, began := w.server.cpu(), time.Now()
	for n := range tellers {
		all.Go(func() {
			for k := 0; time.Since(began) < toldFor; k++ {
				if err := w.change(n, int(began.UnixMilli()%1e8)*1000+k); err != nil {
					failed <- err
					return
				}
				made.Add(1)
				time.Sleep(time.Until(began.Add(time.Duration(k+1) * pause)))
			}
		})
	}
	all.Wait()
	close(failed)
	events, seconds, cpu := float64(made.Load())*perChange, time.Since(began).Seconds(), (w.server.cpu() - spent).Seconds()
	t.rate, t.cpu, t.share = events/seconds, cpu/events, cpu/seconds
	return t, <-failed
}

// crowd are the readers of streams.
type crowd struct {
	bytes  atomic.Int64
	cancel context.CancelFunc
	all    sync.WaitGroup
	mu     sync.Mutex
	lags   []lags
	kept   []byte // what was read, if it is wanted
}

// lags is one read: how old its oldest event was, and how many events it brought.
type lags struct{ ms, events int64 }

func (c *crowd) stop() {
	c.cancel()
	c.all.Wait()
}

func (c *crowd) text() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept
}

// lag is a quantile over all deliveries, in milliseconds.
func (c *crowd) lag(q float64) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.SortFunc(c.lags, func(a, b lags) int { return int(a.ms - b.ms) })
	total, seen := int64(0), int64(0)
	for _, l := range c.lags {
		total += l.events
	}
	for _, l := range c.lags {
		if seen += l.events; float64(seen) >= q*float64(total) {
			return float64(l.ms)
		}
	}
	return 0
}

// listen opens streams of events; keep has their text kept.
func (w *world) listen(n int, query string, keep bool) (*crowd, error) {
	ctx, cancel := context.WithCancel(context.Background())
	c := &crowd{cancel: cancel}
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	for range n {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+"/v2/events"+query, nil)
		if err != nil {
			return c, err
		}
		req.Header.Set("Accept", "text/event-stream")
		res, err := client.Do(req)
		if err != nil {
			c.stop()
			return c, err
		}
		c.all.Go(func() { c.read(res.Body, keep) })
	}
	return c, nil
}

var (
	eventMark = []byte("\r\nevent: ")
	stampMark = []byte(`"timestamp":"`)
)

// read takes what comes. The oldest event of what one read brings stands for all of it, which is to the server's disadvantage.
func (c *crowd) read(body io.ReadCloser, keep bool) {
	defer body.Close()
	buf := make([]byte, readBuffer)
	for {
		n, err := body.Read(buf)
		now, got := time.Now(), buf[:n]
		c.bytes.Add(int64(n))
		if keep {
			c.mu.Lock()
			c.kept = append(c.kept, got...)
			c.mu.Unlock()
		}
		if i := bytes.Index(got, stampMark); i >= 0 && n >= i+len(stampMark)+stampLength {
			at, bad := time.Parse(time.RFC3339Nano, string(got[i+len(stampMark):][:stampLength]))
			if bad == nil {
				c.mu.Lock()
				c.lags = append(c.lags, lags{now.Sub(at).Milliseconds(), int64(bytes.Count(got, eventMark))})
				c.mu.Unlock()
			}
		}
		if err != nil {
			return // the stream was ended
		}
	}
}

// deploymentEvents is P20: what streams are told of deployments, per instance that these launch.
func (b *bench) deploymentEvents() error {
	w, err := newWorld(b.agents, "--max_running_deployments", "1000000")
	if err != nil {
		return err
	}
	defer w.close()
	var kinds []string
	for _, k := range []string{"info", "success", "failed", "step_success", "step_failure"} {
		kinds = append(kinds, "event_type=deployment_"+k)
	}
	told := func(launch func() error) (float64, error) {
		c, err := w.listen(1, "?"+strings.Join(kinds, "&"), false)
		if err != nil {
			return 0, err
		}
		if err = launch(); err == nil {
			err = w.until("all instances run", w.settled)
		}
		time.Sleep(time.Second) // the last events are on their way
		c.stop()
		return float64(c.bytes.Load()), err
	}
	apps := b.many / perApp
	one, err := told(func() error { return w.launch("/big", b.many) })
	if err != nil {
		return err
	}
	many, err := told(func() error { return w.postMany("/m", apps, perApp, clients) })
	if err != nil {
		return err
	}
	b.add(measure{ID: "P20", What: "bytes of deployment events per launched instance", Unit: "B", Must: 1024, Moonshot: 300, Judged: true, Value: many / float64(apps*perApp),
		Size: fmt.Sprintf("%d apps × %d; one app × %d: %s B", apps, perApp, b.many, number(one/float64(b.many)))})
	return nil
}
