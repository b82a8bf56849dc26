package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	samplesPerRun = 300
	fastest       = 500 * time.Millisecond
	judgedFrom    = 10 * time.Minute // shorter runs are not judged
	judgedTerm    = 30               // samples; what a leader of fewer does is not judged
	mib           = 1 << 20
)

// curve is one thing that is watched. Slack is how much more the last third may have than the middle one: a share of it and
// an amount. What belongs to a leader is judged term by term: a new leader begins small, which would hide that each grows.
type curve struct {
	name, unit    string
	share, amount float64
	leader        bool
}

var curves = []curve{
	{"RSS of the leader", "MiB", 0.15, 8, true},
	{"RSS of the standby", "MiB", 0.15, 8, false},
	{"goroutines of the leader", "", 0.1, 20, true},
	{"open files of the leader", "", 0.1, 10, true},
	{"open files of the standby", "", 0.1, 10, false},
	{"size of etcd", "MiB", 0.25, 8, false},
	{"keys in etcd", "", 0.1, 50, false},
	{"changes per second", "", math.Inf(1), 0, false},
}

// sample has a value for each curve; NaN where none could be had, as while leaders change.
type sample struct {
	at     time.Duration
	leader int // the process, 0: none
	values []float64
}

type sampler struct {
	w       *world
	began   time.Time
	samples []sample
	changes int64
}

// run takes samples until ctx ends.
func (s *sampler) run(ctx context.Context) {
	last := time.Now()
	s.w.every(ctx, max(*duration/samplesPerRun, fastest), func(int) {
		values := slices.Repeat([]float64{math.NaN()}, len(curves))
		leader := s.processes(values)
		s.store(ctx, values)
		n := s.w.changes.Load()
		values[7] = float64(n-s.changes) / time.Since(last).Seconds()
		s.changes, last = n, time.Now()
		s.samples = append(s.samples, sample{time.Since(s.began), leader, values})
	})
}

// processes fills in what the servers' processes tell, and names the leader's.
func (s *sampler) processes(values []float64) (leader int) {
	for n := range s.w.servers {
		p := s.w.process(n)
		rss, files := memory(p.Pid()), openFiles(p.Pid())
		if goroutines, leads := s.leads(n); leads {
			values[0], values[2], values[3], leader = rss, goroutines, files, p.Pid()
		} else {
			values[1], values[4] = rss, files
		}
	}
	return leader
}

// spans are the parts of a run over which a curve may not grow.
func (s *sampler) spans(c curve) (spans [][]sample) {
	if !c.leader {
		return [][]sample{s.samples}
	}
	from := 0
	for n := range s.samples {
		if last := n+1 == len(s.samples); last || s.samples[n+1].leader != s.samples[n].leader {
			if n+1-from >= judgedTerm && s.samples[n].leader != 0 {
				spans = append(spans, s.samples[from:n+1])
			}
			from = n + 1
		}
	}
	return spans
}

// leads asks a server's own metrics: a standby passes the question on, so the leader is who says so with its own address.
func (s *sampler) leads(n int) (goroutines float64, leads bool) {
	res, err := s.w.apis[n].Try(http.MethodGet, "/v2/leader", nil)
	if err != nil || !strings.Contains(string(res.Body), ":"+s.w.args[n][httpPort]+`"`) {
		return math.NaN(), false
	}
	res, err = s.w.apis[n].Try(http.MethodGet, "/metrics", nil)
	var m struct {
		Gauges map[string]struct{ Value float64 }
	}
	if err != nil || json.Unmarshal(res.Body, &m) != nil {
		return math.NaN(), true
	}
	return m.Gauges["marathon.jvm.threads.active.gauge"].Value, true
}

func (s *sampler) store(ctx context.Context, values []float64) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if status, err := s.w.etcd.Client.Status(ctx, s.w.etcd.Endpoint); err == nil {
		values[5] = float64(status.DbSizeInUse) / mib
	}
	if res, err := s.w.etcd.Client.Get(ctx, "/marathon", clientv3.WithPrefix(), clientv3.WithCountOnly()); err == nil {
		values[6] = float64(res.Count)
	}
}

// memory is the resident memory of a process in MiB.
func memory(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		return math.NaN()
	}
	pages, err := strconv.ParseFloat(fields[1], 64)
	if err != nil {
		return math.NaN()
	}
	return pages * float64(os.Getpagesize()) / mib
}

func openFiles(pid int) float64 {
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return math.NaN()
	}
	return float64(len(list))
}

// third is the median of a curve over the n-th third of a span.
func third(span []sample, curve, n int) float64 {
	var v []float64
	for _, x := range span[len(span)*n/3 : len(span)*(n+1)/3] {
		if !math.IsNaN(x.values[curve]) {
			v = append(v, x.values[curve])
		}
	}
	if len(v) == 0 {
		return math.NaN()
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// finish writes the report and, after a long run, judges it.
func (s *sampler) finish(t *testing.T) {
	var text strings.Builder
	fmt.Fprintf(&text, "%s, %d apps, %d workers with a pause of %s: medians of the thirds of the run, of a leader's curves of each term\n", *duration, *apps, workers, *pace)
	for k, c := range curves {
		for _, span := range s.spans(c) {
			first, middle, last := third(span, k, 0), third(span, k, 1), third(span, k, 2)
			word := "flat"
			if last > middle*(1+c.share)+c.amount {
				word = "GROWS"
				if *duration >= judgedFrom {
					t.Errorf("%s grows: %.1f in the middle third, %.1f in the last", c.name, middle, last)
				}
			}
			fmt.Fprintf(&text, "%-28s %10.1f %10.1f %10.1f %-4s %s\n", c.name, first, middle, last, c.unit, word)
		}
	}
	t.Log("\n" + text.String())
	picture := draw(s.samples)
	if strings.Count(picture, "<polyline") < len(curves) {
		t.Errorf("the picture lacks curves:\n%s", picture)
	}
	if *report == "" {
		return
	}
	for name, content := range map[string]string{".txt": text.String(), ".svg": picture} {
		if err := os.WriteFile(*report+name, []byte(content), 0o644); err != nil {
			t.Error(err)
		}
	}
}
