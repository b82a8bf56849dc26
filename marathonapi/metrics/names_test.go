package metrics

import (
	"flag"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/*.txt anew from what the registry shows")

// golden compares lines, in order of their text, with a file that is read in reviews.
func golden(t *testing.T, name string, lines []string) {
	t.Helper()
	sort.Strings(lines)
	got, path := strings.Join(lines, "\n")+"\n", filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(want)) {
		if !strings.Contains("\n"+got, "\n"+line) {
			t.Errorf("%s: gone: %s", name, line)
		}
	}
	for line := range strings.Lines(got) {
		if !strings.Contains("\n"+string(want), "\n"+line) {
			t.Errorf("%s: new: %s", name, line)
		}
	}
}

// TestSeries: the type of every family, and every series with its labels, byte for byte: what dashboards and alert rules
// rest on. A line that goes breaks somebody's chart (behaviour 10.1, 10.2).
func TestSeries(t *testing.T) {
	r := New("marathon")
	var lines []string
	for _, line := range strings.Split(text(t, r), "\n") {
		if !strings.Contains(line, "marathon_") {
			continue // client_golang's own, of the process
		}
		if rest, typed := strings.CutPrefix(line, "# TYPE "); typed {
			lines = append(lines, "type "+rest)
		} else if at := strings.LastIndexByte(line, ' '); at > 0 && line[0] != '#' {
			lines = append(lines, line[:at])
		}
	}
	golden(t, "series.txt", lines)
}

// TestReported: the names that StatsD and DataDog get.
func TestReported(t *testing.T) {
	r := New("marathon")
	var lines []string
	r.values(func(name string, _ float64) { lines = append(lines, name) })
	golden(t, "reported.txt", lines)
}

func BenchmarkCount(b *testing.B) {
	r := New("marathon")
	b.ReportAllocs()
	for b.Loop() {
		r.Count("tasks.launched.counter", 1)
	}
}

func BenchmarkTime(b *testing.B) {
	r := New("marathon")
	b.ReportAllocs()
	for b.Loop() {
		r.Time("stadion.launch.queued-to-offer.timer.seconds", 250*time.Millisecond)
	}
}

func BenchmarkMark(b *testing.B) {
	r := New("marathon")
	b.ReportAllocs()
	for b.Loop() {
		r.Mark("http.responses.2xx.rate.meter")
	}
}

func BenchmarkPrometheus(b *testing.B) {
	r := New("marathon")
	b.ReportAllocs()
	var out strings.Builder
	for b.Loop() {
		out.Reset()
		if err := r.Prometheus(&out); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(out.Len()), "B/answer")
}
