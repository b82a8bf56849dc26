package probe

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"stadion/core"
	"stadion/core/machine"
)

const targetVariable = "STADION_PROBE_TARGET" // makes the test binary the target of the benchmark

func TestMain(m *testing.M) {
	if os.Getenv(targetVariable) != "" {
		serveTarget()
	}
	os.Exit(m.Run())
}

// serveTarget answers every request on every connection with 200, as cheaply as can be, until it is killed.
func serveTarget() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	for {
		c, err := l.Accept()
		if err != nil {
			panic(err)
		}
		go func() {
			defer c.Close()
			var b [1024]byte
			if _, err := c.Read(b[:]); err == nil {
				_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"))
			}
		}()
	}
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkTenThousandChecks runs 10,000 HTTP checks at an interval of 10 s for three intervals against another process,
// all begun at one moment, as after one large launch. It reports the share of a core that the prober takes (bar: 40 %),
// and how far the time between two verdicts of a check is off the interval once the checks are spread.
func BenchmarkTenThousandChecks(b *testing.B) {
	const checks, interval, rounds = 10_000, 10 * time.Second, 3
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), targetVariable+"=1")
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := child.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := child.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
	var line [16]byte
	n, err := out.Read(line[:])
	if err != nil {
		b.Fatal(err)
	}
	port, err := strconv.Atoi(strings.TrimSpace(string(line[:n])))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		var mu sync.Mutex
		last, failed := make(map[core.InstanceID]time.Time, checks), 0
		var off []float64
		settled := time.Now().Add(2 * interval) // the second verdict of each is early, to spread them
		p := New(func(e machine.Event) {
			r, at := e.(machine.HealthReport), time.Now()
			mu.Lock()
			defer mu.Unlock()
			if r.Outcome != machine.ProbeHealthy {
				failed++
			}
			if before, ok := last[r.Instance]; ok && before.After(settled.Add(-interval)) && at.After(settled) {
				off = append(off, (at.Sub(before)-interval).Seconds()*1000)
			}
			last[r.Instance] = at
		}, 0)
		list := make([]machine.Probe, checks)
		for i := range list {
			list[i] = machine.Probe{Instance: core.InstanceID(fmt.Sprintf("i%d", i)), Task: "t", Protocol: "HTTP", Host: "127.0.0.1", Port: port, Path: "/health",
				IntervalMs: interval.Milliseconds(), TimeoutMs: 5000}
		}
		spent, began := cpuTime(b), time.Now()
		p.Apply(list)
		time.Sleep(rounds * interval)
		b.ReportMetric(100*float64(cpuTime(b)-spent)/float64(time.Since(began)), "%core")
		p.Close()
		slices.Sort(off)
		b.ReportMetric(float64(failed), "failed")
		b.ReportMetric(off[len(off)/2], "off-p50-ms")
		b.ReportMetric(off[len(off)*99/100], "off-p99-ms")
		b.ReportMetric(off[len(off)-1], "off-max-ms")
	}
}
