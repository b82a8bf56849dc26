package clients

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

const (
	debianPython  = "/usr/bin/python3" // the interpreter that Debian's packages are for
	debianPackage = "python3-marathon"
	pythonSteps   = 12
)

// TestMarathonPython runs marathon_python.py against a server of simulated agents.
func TestMarathonPython(t *testing.T) {
	t.Parallel()
	if reason := installMarathonPython(t); reason != "" {
		t.Skipf("%s cannot be installed: %s", debianPackage, reason)
	}
	srv := harness.Dev(t, "--simulated")
	out, err := exec.Command(debianPython, "marathon_python.py", srv.URL).CombinedOutput()
	steps := 0
	for line := range strings.Lines(string(out)) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, trace, _ := strings.Cut(rest, " ")
		if word != "PASS" && word != "FAIL" {
			continue
		}
		steps++
		t.Run(name, func(t *testing.T) {
			if word == "FAIL" {
				t.Error(strings.ReplaceAll(trace, "\t", "\n"))
			}
		})
	}
	if steps != pythonSteps || err != nil && !t.Failed() {
		t.Errorf("%d steps were reported, want %d (%v):\n%s", steps, pythonSteps, err, out)
	}
}

// installMarathonPython makes the package importable; it returns why that is not possible.
func installMarathonPython(t *testing.T) string {
	t.Helper()
	importable := func() bool { return exec.Command(debianPython, "-c", "import marathon").Run() == nil }
	if importable() {
		return ""
	}
	if os.Geteuid() != 0 {
		return "not root, and the package is not there"
	}
	for _, args := range [][]string{{"update", "-qq"}, {"install", "-y", "-qq", "--no-install-recommends", debianPackage}} {
		began := time.Now()
		cmd := exec.Command("apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return strings.TrimSpace(err.Error() + " " + string(out))
		}
		t.Logf("apt-get %s: %s", args[0], time.Since(began).Round(time.Millisecond))
	}
	if !importable() {
		return "it is installed, but cannot be imported"
	}
	return ""
}
