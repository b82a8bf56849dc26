package harness

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Blocks lie below the range from which the kernel takes ports for outgoing
// connections, and away from the ports of stadion's own tests (31000 and up).
const (
	firstBlock   = 20000
	blockSize    = 100
	blockCount   = 100
	serversShare = 10 // ports of a block that are for servers, the rest is for tasks
)

// Ports is a block of loopback ports that belongs to one test.
type Ports struct {
	first int
	mu    sync.Mutex
	used  int
}

// NewPorts locks a block until the test ends. The lock is on a file, so that
// other test processes of this machine see it.
func NewPorts(t testing.TB) *Ports {
	t.Helper()
	for n := range blockCount {
		first := firstBlock + n*blockSize
		name := filepath.Join(os.TempDir(), fmt.Sprintf("stadion-ports-%d.lock", first))
		f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
			_ = f.Close()
			continue
		}
		if !free(first) { // what a killed test left
			_ = f.Close()
			continue
		}
		t.Cleanup(func() { _ = f.Close() })
		return &Ports{first: first}
	}
	t.Fatalf("all %d blocks of ports are in use", blockCount)
	return nil
}

// free reports whether nobody listens on the ports for servers. It asks and does not listen itself: a process that is being
// started has a copy of every socket until it runs its own program, and a port that was only looked at would stay in use.
func free(first int) bool {
	for port := first; port < first+serversShare; port++ {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
		if err == nil {
			_ = c.Close()
			return false
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return false
		}
	}
	return true
}

// Next is a port for a server, never given twice.
func (p *Ports) Next(t testing.TB) int {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.used == serversShare {
		t.Fatalf("a block has only %d ports for servers", serversShare)
	}
	p.used++
	return p.first + p.used - 1
}

// Resources are an agent's resources in the syntax of the Mesos agent, with the
// block's ports for tasks.
func (p *Ports) Resources() string {
	return fmt.Sprintf("cpus:8;mem:8192;disk:10000;ports:[%d-%d]", p.first+serversShare, p.first+blockSize-1)
}
