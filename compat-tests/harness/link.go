package harness

import (
	"net"
	"strconv"
	"sync"
	"testing"
)

// Link is a TCP connection point that passes bytes on to a server, until it is cut
// (connections end, new ones are refused) or frozen (bytes wait, as in a network
// partition), and mended again.
type Link struct {
	t      testing.TB
	addr   string
	target string

	mu       sync.Mutex
	flowing  *sync.Cond
	frozen   bool
	listener net.Listener // nil while cut
	conns    map[net.Conn]bool
}

// NewLink opens a link to target (host:port) that ends with the test.
func NewLink(t testing.TB, ports *Ports, target string) *Link {
	t.Helper()
	l := &Link{t: t, addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(ports.Next(t))), target: target, conns: map[net.Conn]bool{}}
	l.flowing = sync.NewCond(&l.mu)
	l.Mend()
	t.Cleanup(l.Cut)
	return l
}

// Addr is the host:port to connect to.
func (l *Link) Addr() string { return l.addr }

// Cut ends all connections and refuses new ones.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener != nil {
		_ = l.listener.Close()
		l.listener = nil
	}
	for c := range l.conns {
		_ = c.Close()
	}
	clear(l.conns)
	l.frozen = false
	l.flowing.Broadcast()
}

// Freeze lets bytes wait in both directions.
func (l *Link) Freeze() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frozen = true
}

// Mend lets bytes flow again.
func (l *Link) Mend() {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frozen = false
	l.flowing.Broadcast()
	if l.listener != nil {
		return
	}
	listener, err := net.Listen("tcp", l.addr)
	if err != nil {
		l.t.Fatalf("mend the link to %s: %v", l.target, err)
	}
	l.listener = listener
	go l.accept(listener)
}

func (l *Link) accept(listener net.Listener) {
	for {
		near, err := listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", l.target)
		if err != nil {
			_ = near.Close()
			continue
		}
		l.mu.Lock()
		if l.listener != listener { // cut meanwhile
			l.mu.Unlock()
			_, _ = near.Close(), far.Close()
			return
		}
		l.conns[near], l.conns[far] = true, true
		l.mu.Unlock()
		go l.pass(near, far)
		go l.pass(far, near)
	}
}

// pass copies one direction and ends both when it ends.
func (l *Link) pass(from, to net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		l.mu.Lock()
		for l.frozen {
			l.flowing.Wait()
		}
		l.mu.Unlock()
		if n > 0 {
			if _, werr := to.Write(buf[:n]); werr != nil {
				err = werr
			}
		}
		if err != nil {
			break
		}
	}
	_, _ = from.Close(), to.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, from)
	delete(l.conns, to)
}
