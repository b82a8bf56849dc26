package harness

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// ReadyTimeout bounds the wait for the line "ready:".
	ReadyTimeout = 2 * time.Minute
	// StopTimeout bounds an orderly end. The binary promises 10 s, on a machine that does nothing else.
	StopTimeout = time.Minute
	keepOutput  = 32 << 10 // bytes of stderr that are kept, from the end
)

// Process is one running binary.
type Process struct {
	t      testing.TB
	name   string
	cmd    *exec.Cmd
	ready  chan string   // the URL of the line "ready: URL"
	ended  chan struct{} // closed when the process has ended
	code   int           // valid after ended
	stderr tail
}

// Start starts the binary with args. It is killed when the test ends, if it
// still runs then.
func Start(t testing.TB, args ...string) *Process {
	t.Helper()
	return StartEnv(t, nil, args...)
}

// StartEnv is Start with further environment variables.
func StartEnv(t testing.TB, env []string, args ...string) *Process {
	t.Helper()
	return StartBinary(t, Binary(t), env, args...)
}

// StartBinary is StartEnv with another binary than the one under test.
func StartBinary(t testing.TB, path string, env []string, args ...string) *Process {
	t.Helper()
	return start(t, exec.Command(path, args...), env, args)
}

// StartAs is Start by another user, in an empty environment and in a directory where that user must not write. It needs
// root.
func StartAs(t testing.TB, path string, user uint32, args ...string) *Process {
	t.Helper()
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Env = "/", []string{"HOME=/nonexistent", "TMPDIR=/nonexistent", "PATH=/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	return start(t, cmd, nil, args)
}

func start(t testing.TB, cmd *exec.Cmd, env, args []string) *Process {
	t.Helper()
	p := &Process{t: t, name: args[0], cmd: cmd, ready: make(chan string, 1), ended: make(chan struct{})}
	if p.cmd.Env == nil {
		p.cmd.Env = append(os.Environ(), env...)
	}
	p.cmd.Stderr = &p.stderr
	// A group of its own: an interrupt at the terminal is for the test, which then ends the process in order.
	if p.cmd.SysProcAttr == nil {
		p.cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	p.cmd.SysProcAttr.Setpgid = true
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.watch(out)
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("stderr of %s (pid %d), exit code %d:\n%s", strings.Join(args, " "), p.Pid(), p.code, p.stderr.String())
		}
	})
	return p
}

// watch reads stdout to its end and then reaps the process.
func (p *Process) watch(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), "ready: "); ok {
			select {
			case p.ready <- url:
			default:
			}
		}
	}
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		p.code = exit.ExitCode()
		if st, ok := exit.Sys().(syscall.WaitStatus); ok && st.Signaled() {
			p.code = 128 + int(st.Signal())
		}
	}
	close(p.ended)
}

// Ready waits for the line "ready: URL" and returns the URL.
func (p *Process) Ready() string {
	p.t.Helper()
	url, err := p.AwaitReady(ReadyTimeout)
	if err != nil {
		p.t.Fatal(err)
	}
	return url
}

// AwaitReady is Ready for callers that live with a failure.
func (p *Process) AwaitReady(limit time.Duration) (string, error) {
	select {
	case url := <-p.ready:
		return url, nil
	case <-p.ended:
		return "", fmt.Errorf("stadion %s ended with code %d before it was ready:\n%s", p.name, p.code, p.stderr.String())
	case <-time.After(limit):
		return "", fmt.Errorf("stadion %s is not ready after %s:\n%s", p.name, limit, p.stderr.String())
	}
}

// Pid is the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Stderr is what the process wrote there so far.
func (p *Process) Stderr() string { return p.stderr.String() }

// Kill ends the process at once, as a crash would, and waits until it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// Stop ends the process in order and returns its exit code.
func (p *Process) Stop() int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
	return p.Exit(StopTimeout)
}

// Exit waits for the process to end by itself and returns its exit code.
func (p *Process) Exit(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.code
	case <-time.After(limit):
		p.t.Fatalf("stadion %s (pid %d) still runs after %s:\n%s", p.name, p.Pid(), limit, p.stderr.String())
		return -1
	}
}

// Wait waits for the end of the process, however long it takes, and returns its exit code.
func (p *Process) Wait() int {
	<-p.ended
	return p.code
}

// Ended tells whether the process has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (w *tail) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.buf.Write(b)
	if over := w.buf.Len() - keepOutput; over > 0 {
		w.buf.Next(over)
	}
	return n, err
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}
