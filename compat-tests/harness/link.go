package harness

import (
	"net"
	"strconv"
	"sync"
	"testing"
)

// Link is a TCP connection point that passes bytes on to a server, until it is cut
// (connections end, new ones are refused), frozen (bytes wait, as in a network
// partition) or muted (what is asked arrives, the answers wait), and mended again.
type Link struct {
	t      testing.TB
	addr   string
	target string

	mu       sync.Mutex
	flowing  *sync.Cond
	frozen   bool
	muted    bool
	listener net.Listener // nil while cut
	conns    map[net.Conn]bool
}

// NewLink opens a link to target (host:port) that ends with the test.
func NewLink(t testing.TB, ports *Ports, target string) *Link {
	t.Helper()
	return NewLinkAt(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(ports.Next(t))), target)
}

// NewLinkAt is NewLink with an address to listen at.
func NewLinkAt(t testing.TB, addr, target string) *Link {
	t.Helper()
	l := &Link{t: t, addr: addr, target: target, conns: map[net.Conn]bool{}}
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
	l.frozen, l.muted = false, false
	l.flowing.Broadcast()
}

// Freeze lets bytes wait in both directions.
func (l *Link) Freeze() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frozen = true
}

// Mute lets what the server answers wait; what it is asked arrives and is done.
func (l *Link) Mute() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.muted = true
}

// Mend lets bytes flow again.
func (l *Link) Mend() {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frozen, l.muted = false, false
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
		go l.pass(near, far, func() bool { return l.frozen })
		go l.pass(far, near, func() bool { return l.frozen || l.muted })
	}
}

// pass copies one direction, except while it is held, and ends both when it ends.
func (l *Link) pass(from, to net.Conn, held func() bool) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		l.mu.Lock()
		for held() {
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
