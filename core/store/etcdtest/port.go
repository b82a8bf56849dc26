package etcdtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// The ports of tests lie below the range from which the kernel takes those of connections and of listeners that want any,
// and below those of the tests in compat-tests.
const firstPort, ports = 11000, 1000

// FreePort is a port of the loopback that belongs to the test until it ends, whether or not somebody listens on it. The
// lock is on a file, so that the processes of other packages' tests see it.
func FreePort(t testing.TB) int {
	t.Helper()
	for range ports {
		port := firstPort + rand.IntN(ports) // a port just left may still be asked by those who knew its last owner
		f, err := os.OpenFile(filepath.Join(os.TempDir(), fmt.Sprintf("stadion-port-%d.lock", port)), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatalf("free port: %v", err)
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil && unused(port) {
			t.Cleanup(func() { _ = f.Close() })
			return port
		}
		_ = f.Close()
	}
	t.Fatal("no port is free")
	return 0
}

// unused reports whether nobody listens on the port. It asks and does not listen itself: a process that is being started has
// a copy of every socket until it runs its own program, and the port would stay in use.
func unused(port int) bool {
	c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
	if err == nil {
		_ = c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}
