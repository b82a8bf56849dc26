package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// measure is one line of the table. Value is what is compared with the bars; smaller is better unless AtLeast.
type measure struct {
	ID       string  `json:"id"`
	What     string  `json:"what"`
	Unit     string  `json:"unit,omitempty"`
	Must     float64 `json:"must,omitempty"`
	Moonshot float64 `json:"moonshot,omitempty"`
	AtLeast  bool    `json:"atLeast,omitempty"`
	Value    float64 `json:"value"`
	Low      float64 `json:"low,omitempty"`
	High     float64 `json:"high,omitempty"`
	Rounds   int     `json:"rounds,omitempty"`
	Size     string  `json:"size"` // what was really done
	Judged   bool    `json:"judged"`
	Error    string  `json:"error,omitempty"`
}

// verdict compares with the bars. Measures that only mean something at their full size are not judged below it.
func (m *measure) verdict() string {
	better := func(bar float64) bool {
		if m.AtLeast {
			return m.Value >= bar
		}
		return m.Value <= bar
	}
	switch {
	case m.Error != "":
		return "error"
	case !m.Judged:
		return "shown"
	case better(m.Moonshot):
		return "moonshot"
	case better(m.Must):
		return "ok"
	}
	return "MISSED"
}

// spread sets value, low and high from the rounds.
func (m *measure) spread(rounds []float64) {
	if len(rounds) == 0 {
		m.Error = "nothing measured"
		return
	}
	m.Value, m.Low, m.High, m.Rounds = median(rounds), slices.Min(rounds), slices.Max(rounds), len(rounds)
}

func median(v []float64) float64 { return quantile(v, 0.5) }

// quantile of a sample, by nearest rank for the tails and the mean of the two middle values for an even median.
func quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(v))
	if q == 0.5 && len(s)%2 == 0 {
		return (s[len(s)/2-1] + s[len(s)/2]) / 2
	}
	return s[min(int(q*float64(len(s))), len(s)-1)]
}

// slope is that of the line through the points on logarithmic axes, by least squares.
func slope(x, y []float64) float64 {
	var sx, sy, sxx, sxy float64
	for i := range x {
		a, b := math.Log(x[i]), math.Log(y[i])
		sx, sy, sxx, sxy = sx+a, sy+b, sxx+a*a, sxy+a*b
	}
	n := float64(len(x))
	return (n*sxy - sx*sy) / (n*sxx - sx*sx)
}

// report prints the table and writes the lines.
type report struct {
	full  bool
	file  *os.File
	lines *json.Encoder
	all   []measure
	began time.Time
}

func newReport(full bool) (*report, error) {
	name := os.Getenv("BENCH_OUT")
	if name == "" {
		name = filepath.Join(os.TempDir(), "stadion-bench.jsonl")
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	r := &report{full: full, file: f, lines: json.NewEncoder(f), began: time.Now()}
	fmt.Printf("lines go to %s\n", name)
	return r, nil
}

// conditions tells where and with what the numbers were made.
func (r *report) conditions() error {
	p, err := probeDisk()
	if err != nil {
		return err
	}
	c := struct {
		At       time.Time `json:"at"`
		CPU      string    `json:"cpu"`
		Cores    int       `json:"cores"`
		Load     string    `json:"load"`
		Go       string    `json:"go"`
		Commit   string    `json:"commit"`
		FsyncP50 float64   `json:"fsyncP50Ms"`
		FsyncP99 float64   `json:"fsyncP99Ms"`
		TxnOps   int       `json:"txnOps"`
		Full     bool      `json:"full"`
		Pinned   bool      `json:"pinned"`
		Command  []string  `json:"command"`
	}{time.Now(), cpuModel(), runtime.NumCPU(), load(), runtime.Version(), commit(), p.p50, p.p99, txnOps(), r.full, os.Getenv("BENCH_PIN") != "", os.Args}
	fmt.Printf("%s, %d cores, load %s; %s; commit %s; fsync p50 %.2f ms, p99 %.2f ms; %d operations per transaction; full sizes: %t; pinned: %t\n\n",
		c.CPU, c.Cores, c.Load, c.Go, c.Commit, c.FsyncP50, c.FsyncP99, c.TxnOps, c.Full, c.Pinned)
	return r.lines.Encode(c)
}

// add notes measures and shows them at once.
func (r *report) add(list ...measure) {
	for _, m := range list {
		if math.IsNaN(m.Value) || math.IsInf(m.Value, 0) {
			m.Value, m.Error = 0, "no number"
		}
		r.all = append(r.all, m)
		if err := r.lines.Encode(struct {
			measure
			Verdict string `json:"verdict"`
		}{m, m.verdict()}); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		fmt.Fprintf(os.Stderr, "%6.0fs %s\n", time.Since(r.began).Seconds(), m.line())
	}
}

func (m *measure) line() string {
	sign := "≤"
	if m.AtLeast {
		sign = "≥"
	}
	rounds := ""
	if m.Rounds > 1 {
		rounds = fmt.Sprintf("%s…%s, %d rounds; ", number(m.Low), number(m.High), m.Rounds)
	}
	text := rounds + m.Size
	if m.Error != "" {
		text = m.Error
	}
	must, moonshot := sign+number(m.Must), sign+number(m.Moonshot)
	if m.Must == 0 && !m.Judged {
		must, moonshot = "", ""
	}
	return fmt.Sprintf("%-4s %-58s %9s %9s %10s %-8s %-8s %s", m.ID, m.What, must, moonshot, number(m.Value), m.Unit, m.verdict(), text)
}

func number(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1000:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0")
	}
	return strings.TrimSuffix(fmt.Sprintf("%.2f", v), ".00")
}

// table prints everything; it fails when a judged measure misses its bar.
func (r *report) table() bool {
	fmt.Printf("%-4s %-58s %9s %9s %10s %-8s %-8s %s\n", "id", "measure", "must", "moonshot", "measured", "unit", "verdict", "rounds; size")
	good := true
	for i := range r.all {
		fmt.Println(r.all[i].line())
		v := r.all[i].verdict()
		good = good && v != "MISSED" && v != "error"
	}
	fmt.Printf("\n%.0f s in all, load now %s; \"shown\": no bar, or below the size that the bar is for\n", time.Since(r.began).Seconds(), load())
	return good
}

type diskProbe struct{ p50, p99 float64 } // milliseconds

// probeDisk measures writes of 8 KiB with fsync where the databases will be.
func probeDisk() (diskProbe, error) {
	const writes = 200
	f, err := os.CreateTemp(os.Getenv("BENCH_DIR"), "stadion-bench-probe")
	if err != nil {
		return diskProbe{}, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	block := make([]byte, 8<<10)
	var took []float64
	for range writes {
		began := time.Now()
		if _, err := f.Write(block); err != nil {
			return diskProbe{}, err
		}
		if err := f.Sync(); err != nil {
			return diskProbe{}, err
		}
		took = append(took, time.Since(began).Seconds()*1000)
	}
	return diskProbe{median(took), quantile(took, 0.99)}, nil
}

func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if k, v, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return runtime.GOARCH
}

func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(b))[:1], " ")
}

func commit() string {
	b, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
}
