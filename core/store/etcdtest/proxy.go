package etcdtest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Proxy is a TCP proxy in front of a server. While deaf it forwards what the client sends and drops what the server
// answers, so that a request takes effect and its outcome stays unknown (F9).
type Proxy struct {
	Addr   string
	target string

	mu    sync.Mutex
	deaf  bool
	cut   bool
	conns map[net.Conn]struct{}
}

// NewProxy listens until the test ends.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("proxy: %v", err)
	}
	p := &Proxy{Addr: l.Addr().String(), target: target, conns: map[net.Conn]struct{}{}}
	t.Cleanup(func() { _ = l.Close(); p.closeAll() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return p
}

// Deafen drops all answers from now on.
func (p *Proxy) Deafen() { p.set(true, false) }

// Cut ends all connections and refuses new ones until Heal.
func (p *Proxy) Cut() {
	p.set(false, true)
	p.closeAll()
}

// Heal ends what was broken; clients connect anew.
func (p *Proxy) Heal() {
	p.closeAll()
	p.set(false, false)
}

func (p *Proxy) set(deaf, cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf, p.cut = deaf, cut
}

func (p *Proxy) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

func (p *Proxy) keep(cs ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range cs {
		if p.cut {
			_ = c.Close()
			continue
		}
		p.conns[c] = struct{}{}
	}
	return !p.cut
}

func (p *Proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	if !p.keep(client, server) {
		return
	}
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	buf := make([]byte, 32<<10)
	for {
		n, err := server.Read(buf)
		p.mu.Lock()
		deaf := p.deaf
		p.mu.Unlock()
		if n > 0 && !deaf {
			_, _ = client.Write(buf[:n])
		}
		if err != nil {
			_ = client.Close()
			return
		}
	}
}
