package metrics

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPackagingNames: the dashboard and the alerts name only series that are there (behaviour 10.3).
func TestPackagingNames(t *testing.T) {
	r := New("marathon")
	there := map[string]bool{}
	for lines := bufio.NewScanner(strings.NewReader(text(t, r))); lines.Scan(); {
		if name, _, ok := strings.Cut(lines.Text(), " "); ok && !strings.HasPrefix(name, "#") {
			name, _, _ = strings.Cut(name, "{")
			there[name] = true
		}
	}
	for _, file := range []string{"grafana-dashboard.json", "alerts.yaml"} {
		b, err := os.ReadFile(filepath.Join("..", "..", "cmd", "stadion", "packaging", file))
		if err != nil {
			t.Fatal(err)
		}
		names := regexp.MustCompile(`\bmarathon_[a-zA-Z0-9_]+`).FindAllString(string(b), -1)
		if len(names) == 0 {
			t.Errorf("%s names no metric", file)
		}
		for _, name := range names {
			if !there[name] {
				t.Errorf("%s names %s, which is no series", file, name)
			}
		}
	}
}

// TestReset: distributions begin anew, counts do not (behaviour 10.1).
func TestReset(t *testing.T) {
	r := New("marathon")
	r.Time("http.requests.duration.timer.seconds", 1e9)
	r.Note("stadion.batch.rows.histogram", 7)
	r.clear()
	out := text(t, r)
	for _, line := range []string{"marathon_http_requests_duration_timer_seconds_count 1", "marathon_http_requests_duration_timer_seconds_max 0",
		"marathon_stadion_batch_rows_histogram_count 1", `marathon_stadion_batch_rows_histogram{quantile="0.99"} 0`} {
		if !strings.Contains(out, "\n"+line+"\n") {
			t.Errorf("%q is missing", line)
		}
	}
}
