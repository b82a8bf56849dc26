package harness

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// debianPackages are installed together, once, when a program is missing.
var debianPackages = []string{"python3-marathon", "haproxy", "jq", "curl"}

var installed struct {
	sync.Once
	why string // nothing could be installed
}

// Need returns why there is no such thing, after an attempt to install it; there tells whether there is.
func Need(t testing.TB, what string, there func() bool) string {
	t.Helper()
	if there() {
		return ""
	}
	installed.Do(func() { installed.why = install(t) })
	if there() {
		return ""
	}
	if installed.why == "" {
		return what + " is installed but does not work"
	}
	return what + " is missing: " + installed.why
}

// Program is Need for a program in the path.
func Program(t testing.TB, name string) string {
	t.Helper()
	return Need(t, name, func() bool { _, err := exec.LookPath(name); return err == nil })
}

// install returns why the packages cannot be installed.
func install(t testing.TB) string {
	t.Helper()
	if os.Geteuid() != 0 {
		return "install " + strings.Join(debianPackages, ", ") + " (this needs root)"
	}
	for _, args := range [][]string{{"update", "-qq"}, append([]string{"install", "-y", "-qq", "--no-install-recommends"}, debianPackages...)} {
		began := time.Now()
		cmd := exec.Command("apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "apt-get " + args[0] + ": " + strings.TrimSpace(err.Error()+" "+string(out))
		}
		t.Logf("apt-get %s: %s", args[0], time.Since(began).Round(time.Millisecond))
	}
	return ""
}
