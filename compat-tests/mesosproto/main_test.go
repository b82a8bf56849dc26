package mesosproto

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

// exact judges how late things come as well; how early they may come is always judged.
var exact = flag.Bool("exact", realURL != "", "judge how late things come too: only where nothing else runs on the machine")

const (
	agentCount      = 2
	agentResources  = "cpus:4;mem:4096;disk:10000;ports:[31000-31499]"
	agentAttributes = "rack:r1;zone:z1"
	// sideBySide is how many tests run at once. They mostly wait, so more than cores.
	sideBySide   = 14
	startTimeout = 2 * time.Minute
	tasksTimeout = 6 * time.Second // more than the grace period of a kill
)

var (
	realURL = strings.TrimSuffix(os.Getenv("MESOS_URL"), "/")
	turn    sync.Mutex // held by the test that uses the real master
	binary  struct {
		sync.Once
		path, dir string
		err       error
	}
)

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", fmt.Sprint(sideBySide)); err != nil {
		panic(err)
	}
	code := m.Run()
	if binary.dir != "" {
		if err := os.RemoveAll(binary.dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	os.Exit(code)
}

// stadionBinary builds the parent module's command once.
func stadionBinary() (string, error) {
	binary.Do(func() {
		if binary.path = os.Getenv("STADION_BINARY"); binary.path != "" {
			return
		}
		if binary.dir, binary.err = os.MkdirTemp("", "stadion-compat-"); binary.err != nil {
			return
		}
		binary.path = filepath.Join(binary.dir, "stadion")
		build := exec.Command("go", "build", "-o", binary.path, "./cmd/stadion")
		build.Dir = filepath.Join("..", "..")
		if out, err := build.CombinedOutput(); err != nil {
			binary.err = fmt.Errorf("build the stadion binary: %w\n%s", err, out)
		}
	})
	return binary.path, binary.err
}

// master is what a test talks to: the real one, or a miniature of the test's own.
type master struct {
	t                     *testing.T
	url                   string
	faults                string // where the miniature takes orders to misbehave
	dir                   string
	resources, attributes string   // of each agent
	more                  []string // flags of the miniature
	proc                  *exec.Cmd
}

// newMaster lets the test run beside others and gives it a master.
func newMaster(t *testing.T) *master {
	t.Helper()
	return newMasterWith(t, agentResources, agentAttributes)
}

// newMasterWith is newMaster with other agents; a real master has those it has.
func newMasterWith(t *testing.T, resources, attributes string, more ...string) *master {
	t.Helper()
	t.Parallel()
	m := &master{t: t, url: realURL, resources: resources, attributes: attributes, more: more}
	if m.url != "" {
		turn.Lock()
		t.Cleanup(turn.Unlock)
		return m
	}
	m.dir = t.TempDir()
	m.start(harness.NewPorts(t).Next(t)) // nobody takes it while the master is away
	t.Cleanup(func() {
		m.awaitTasks()
		m.stop(os.Interrupt)
		m.awaitTasks()
	})
	return m
}

// awaitTasks waits for the end of the processes of tasks, which do not end with
// the miniature, and kills what is left of them.
func (m *master) awaitTasks() {
	for deadline := time.Now().Add(tasksTimeout); ; time.Sleep(20 * time.Millisecond) {
		left := m.processes()
		if len(left) == 0 {
			return
		}
		if time.Now().Before(deadline) {
			continue
		}
		for _, pid := range left {
			m.t.Logf("process %d of a task is left over", pid)
			if p, err := os.FindProcess(pid); err == nil {
				_ = p.Kill() // it may have ended in the meantime
			}
		}
		deadline = time.Now().Add(tasksTimeout)
	}
}

// processes finds what runs for the miniature beside itself: tasks work below its
// directory, what watches them has it among its arguments.
func (m *master) processes() []int { return m.processesWith("") }

// processesWith finds those that have a text among their arguments.
func (m *master) processesWith(text string) []int {
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		panic(err) // the pattern is constant
	}
	var out []int
	for _, p := range all {
		pid, err := strconv.Atoi(filepath.Base(p))
		if err != nil || m.proc != nil && pid == m.proc.Process.Pid {
			continue
		}
		cwd, _ := os.Readlink(p + "/cwd")      // empty for one of another user, or gone
		args, _ := os.ReadFile(p + "/cmdline") // likewise
		if (strings.HasPrefix(cwd, m.dir+"/") || strings.Contains(string(args), m.dir+"/")) && strings.Contains(string(args), text) {
			out = append(out, pid)
		}
	}
	return out
}

// start runs the miniature on a port.
func (m *master) start(port int) {
	m.t.Helper()
	path, err := stadionBinary()
	if err != nil {
		m.t.Fatal(err)
	}
	cmd := exec.CommandContext(context.Background(), path, "minimesos", "--port", fmt.Sprint(port), "--agents", fmt.Sprint(agentCount),
		"--work_dir", m.dir, "--resources", m.resources, "--attributes", m.attributes, "--faults_port", "0")
	cmd.Args = append(cmd.Args, m.more...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		m.t.Fatalf("start the miniature: %v", err)
	}
	ready, faults := make(chan string, 1), make(chan string, 1)
	go func() {
		defer close(ready)
		for s := bufio.NewScanner(out); s.Scan(); {
			if url, ok := strings.CutPrefix(s.Text(), "faults: "); ok {
				faults <- url
			}
			if url, ok := strings.CutPrefix(s.Text(), "ready: "); ok {
				ready <- url
			}
		}
	}()
	select {
	case url, ok := <-ready:
		if !ok {
			m.t.Fatalf("the miniature ended before it was ready: %v", cmd.Wait())
		}
		m.url, m.faults, m.proc = url, <-faults, cmd
	case <-time.After(startTimeout):
		_ = cmd.Process.Kill() // it may have ended in the meantime
		m.t.Fatalf("the miniature is not ready after %s", startTimeout)
	}
}

// stop ends the miniature with a signal and waits for its end.
func (m *master) stop(sig os.Signal) {
	if m.proc == nil {
		return
	}
	if err := m.proc.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		m.t.Errorf("stop the miniature: %v", err)
	}
	var killed *exec.ExitError
	if err := m.proc.Wait(); err != nil && !errors.As(err, &killed) {
		m.t.Errorf("end of the miniature: %v", err)
	}
	m.proc = nil
}

// gate is a command that takes as long as it takes until open is called with its name; a moment on a real master, whose
// agents may be elsewhere.
func (m *master) gate(name string) string {
	if realURL != "" {
		return "sleep 2"
	}
	return fmt.Sprintf("until test -e %s; do sleep 0.1; done", filepath.Join(m.dir, name))
}

func (m *master) open(t *testing.T, name string) {
	t.Helper()
	if realURL != "" {
		return
	}
	if err := os.WriteFile(filepath.Join(m.dir, name), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// mark is a command after which marked returns for its name.
func (m *master) mark(name string) string {
	if realURL != "" {
		return "true"
	}
	return "touch " + filepath.Join(m.dir, name)
}

// marked waits until commands have come to their marks. On a real master nothing tells, so it gives them time.
func (m *master) marked(t *testing.T, names ...string) {
	t.Helper()
	if realURL != "" {
		time.Sleep(300 * time.Millisecond)
		return
	}
	for _, name := range names {
		eventually(t, "mark "+name, patience, func() bool { _, err := os.Stat(filepath.Join(m.dir, name)); return err == nil })
	}
}

// onlyMiniature skips what kills or stops processes of the cluster.
func onlyMiniature(t *testing.T, recording, why string) {
	t.Helper()
	if realURL != "" {
		t.Skipf("%s, not possible over HTTP; recording %s has it", why, recording)
	}
}
