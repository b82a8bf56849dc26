package metrics

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

func text(t *testing.T, r *Registry) string {
	var b strings.Builder
	if err := r.Prometheus(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestPrometheus: the text is what Prometheus's own parser reads, and holds the series that operators chart
// (behaviour.md 10.3), the misnamed one too (D-46).
func TestPrometheus(t *testing.T) {
	r := New("marathon")
	r.Count("mesos.offers.incoming.counter", 3)
	r.TaskUpdate("TASK_GONE_BY_OPERATOR")
	r.TaskUpdate("TASK_OF_THE_FUTURE")
	r.Mark("http.responses.5xx.rate.meter")
	r.Time("http.requests.duration.timer.seconds", 250*time.Millisecond)
	r.Gauge("instances.staged.gauge", func() float64 { return 7 })
	out := text(t, r)
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{"marathon_mesos_offers_incoming_counter": 3, "marathon_mesos_task_updates_task_gone_by_operator_counter": 1,
		"marathon_instances_staged_gauge": 7, "marathon_http_responses_5xx_rate_meter_count": 1, "marathon_deployments_dismissed_counter": 0,
		"marathon_mesos_task_oom_memory_limit_unfulfillable_counter": 0} { // the last is D-50: there, though the stock master never says so
		f := families[name]
		if f == nil {
			t.Errorf("%s is missing", name)
			continue
		}
		m := f.Metric[0]
		if got := m.GetCounter().GetValue() + m.GetGauge().GetValue(); got != want {
			t.Errorf("%s is %v, wanted %v", name, got, want)
		}
	}
	for _, name := range []string{"marathon_http_responses_5xx_rate_meter_m1_rate", "marathon_http_responses_5xx_rate_m1_rate_meter", "marathon_jvm_memory_heap_used_gauge_bytes",
		"marathon_jvm_threads_active_gauge", "marathon_leadership_duration_gauge_seconds", "marathon_http_requests_active_gauge", "marathon_deployments_active_gauge", "marathon_instances_running_gauge"} {
		if families[name] == nil {
			t.Errorf("%s is missing (behaviour 10.3, D-46)", name)
		}
	}
	s := families["marathon_http_requests_duration_timer_seconds"].Metric[0].GetSummary()
	if s.GetSampleCount() != 1 || s.GetSampleSum() != 0.25 || s.Quantile[0].GetValue() != 0.25 {
		t.Errorf("the timer shows %v", s)
	}
	h := families["marathon_http_requests_duration_histogram_seconds"].Metric[0].GetHistogram()
	for _, b := range h.GetBucket() {
		if (b.GetUpperBound() >= 0.25) != (b.GetCumulativeCount() == 1) {
			t.Errorf("its bucket %v holds %d", b.GetUpperBound(), b.GetCumulativeCount())
		}
	}
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes", "process_open_fds"} {
		if families[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
}

// TestJSON: a version and five maps; nothing is NaN (behaviour.md 10.1).
func TestJSON(t *testing.T) {
	r := New("marathon")
	b, err := json.Marshal(r.JSON())
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Version  string
		Counters map[string]struct{ Count *int }
		Gauges   map[string]struct{ Value *float64 }
		Meters   map[string]struct{ Units string }
		Timers   map[string]struct {
			P999  *float64
			Units string `json:"duration_units"`
		}
		Histograms map[string]any
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if got.Version != "4.0.0" || got.Counters["marathon.deployments.counter"].Count == nil || got.Gauges["marathon.apps.active.gauge"].Value == nil ||
		got.Meters["marathon.http.responses.2xx.rate.meter"].Units != "events/second" || got.Timers["marathon.http.requests.duration.timer.seconds"].P999 == nil || len(got.Histograms) == 0 {
		t.Errorf("%s", b)
	}
}

// TestStatsD: counters arrive as gauges in datagrams that fit a packet.
func TestStatsD(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := New("marathon")
	r.Count("tasks.launched.counter", 5)
	if err := r.sendUDP(context.Background(), Target{Address: l.LocalAddr().String()}); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 65536)
	_ = l.SetReadDeadline(time.Now().Add(5 * time.Second))
	for seen := ""; !strings.Contains(seen, "marathon.tasks.launched.counter:5|g\n"); {
		n, _, err := l.ReadFrom(buf)
		if err != nil {
			t.Fatalf("%v; got %s", err, seen)
		}
		if n > maxDatagram {
			t.Errorf("a datagram of %d bytes", n)
		}
		seen += string(buf[:n])
	}
}

// TestDataDogAPI: the series carry the key in a header; a refusal is an error without the key in it (S4).
func TestDataDogAPI(t *testing.T) {
	var body, key string
	status := http.StatusAccepted
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		b, _ := io.ReadAll(q.Body)
		body, key = string(b), q.Header.Get("DD-API-KEY")
		w.WriteHeader(status)
	}))
	defer s.Close()
	r := New("marathon")
	target := Target{APIURL: s.URL, APIKey: "secret"}
	if err := r.sendAPI(context.Background(), target); err != nil || key != "secret" || !strings.Contains(body, `"marathon.apps.active.gauge"`) {
		t.Errorf("%v, key %q, body %.200s", err, key, body)
	}
	status = http.StatusForbidden
	if err := r.sendAPI(context.Background(), target); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}
