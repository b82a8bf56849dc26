package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	readyTimeout = 60 * time.Second
	stopTimeout  = 20 * time.Second
	clockTick    = 10 * time.Millisecond // of /proc/PID/stat on Linux
	keptOutput   = 16 << 10              // bytes of stderr kept of a process
)

// process is one child that has said that it is ready.
type process struct {
	cmd   *exec.Cmd
	name  string
	said  string // what stood behind "ready: "
	ended chan struct{}
	mu    sync.Mutex
	err   bytes.Buffer
}

// start runs a program and waits for its line "ready: …". core pins it when pinning is asked for.
func start(core int, program string, args ...string) (*process, error) {
	if os.Getenv("BENCH_PIN") != "" {
		args = append([]string{"-c", strconv.Itoa(core), program}, args...)
		program = "taskset"
	}
	p := &process{cmd: exec.Command(program, args...), name: strings.Join(args, " "), ended: make(chan struct{})}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p.cmd.Stderr = p
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	ready := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if s, ok := strings.CutPrefix(lines.Text(), "ready: "); ok {
				ready <- s
			}
		}
		_ = p.cmd.Wait() // how it ended shows in what it wrote
		close(p.ended)
	}()
	select {
	case p.said = <-ready:
		return p, nil
	case <-p.ended:
		return nil, fmt.Errorf("%s ended before it was ready: %s", p.name, p.output())
	case <-time.After(readyTimeout):
		p.stop()
		return nil, fmt.Errorf("%s is not ready after %s: %s", p.name, readyTimeout, p.output())
	}
}

// Write keeps the end of stderr.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err.Write(b)
	if over := p.err.Len() - keptOutput; over > 0 {
		p.err.Next(over)
	}
	return len(b), nil
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err.String()
}

// lastWords is the end of what the process wrote to stderr.
func (p *process) lastWords() string {
	const enough = 1500 // bytes
	text := p.output()
	return text[max(len(text)-enough, 0):]
}

// stop ends the process in order, or at once when it does not.
func (p *process) stop() {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// cpu is the CPU time the process has used, user and system.
func (p *process) cpu() time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	const utime, stime = 11, 12 // counted behind the name
	u, err1 := strconv.ParseInt(fields[utime], 10, 64)
	s, err2 := strconv.ParseInt(fields[stime], 10, 64)
	if errors.Join(err1, err2) != nil {
		return 0
	}
	return time.Duration(u+s) * clockTick
}

// rss is the resident memory in KiB.
func (p *process) rss() float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 64)
			if err == nil {
				return n
			}
		}
	}
	return 0
}
