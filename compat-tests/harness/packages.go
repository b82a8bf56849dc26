package harness

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
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
	installed.Do(func() { installed.why = Install(t, debianPackages...) })
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

const (
	aptTries = 3               // a mirror may refuse one download
	aptRest  = 5 * time.Second // before the next try
	aptLimit = 5 * time.Minute // for one command
)

// Install installs Debian packages, or returns why it cannot. Tests of other packages that want some wait meanwhile.
func Install(t testing.TB, packages ...string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		return "install " + strings.Join(packages, ", ") + " (this needs root)"
	}
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "stadion-apt.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"update", "-qq"}, append([]string{"install", "-y", "-qq", "--no-install-recommends"}, packages...)} {
		began := time.Now()
		why := ""
		for n := range aptTries {
			if n > 0 {
				time.Sleep(aptRest)
			}
			if why = apt(args); why == "" {
				break
			}
		}
		if why != "" {
			return why
		}
		t.Logf("apt-get %s: %s", args[0], time.Since(began).Round(time.Millisecond))
	}
	return ""
}

func apt(args []string) string {
	ctx, cancel := context.WithTimeout(context.Background(), aptLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=120"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "apt-get " + args[0] + ": " + strings.TrimSpace(err.Error()+" "+string(out))
	}
	return ""
}
