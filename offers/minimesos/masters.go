package minimesos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// seat is one master process: an address and the server on it. All seats of a cluster
// share its tables; the one that leads answers, the others send clients to it.
type seat struct {
	c        *Cluster
	addr     string // host:port, the same after a restart
	listener net.Listener
	server   *http.Server // nil while the process is gone
	serving  sync.WaitGroup
}

// seatAddr is the address to listen on for master i of a cluster on addr: the next
// ports, or any when the first is any.
func seatAddr(addr string, i int) (string, error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("minimesos: address of the master: %w", err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return "", fmt.Errorf("minimesos: port of the master: %w", err)
	}
	if port != 0 {
		port += i
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

// addSeats listens on the addresses of all masters.
func (c *Cluster) addSeats() error {
	for i := range c.cfg.Masters {
		addr, err := seatAddr(c.cfg.Addr, i)
		if err != nil {
			return err
		}
		s := &seat{c: c, addr: addr}
		if err := s.listen(); err != nil {
			return err
		}
		c.seats = append(c.seats, s)
	}
	c.lead = c.seats[0]
	return nil
}

func (s *seat) listen() error {
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return fmt.Errorf("minimesos: listen on %s: %w", s.addr, err)
	}
	s.listener, s.addr = l, l.Addr().String()
	return nil
}

func (s *seat) serve() {
	fast := newFastConns(s.listener.Addr())
	server := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute, ConnContext: connContext,
		BaseContext: func(net.Listener) context.Context { return context.WithValue(context.Background(), fastKey{}, fast) }}
	s.server = server
	for _, l := range []net.Listener{s.listener, fast} {
		s.serving.Go(func() {
			if err := server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
				s.c.log("minimesos: serving %s ended: %v", s.addr, err)
			}
		})
	}
}

// stop ends the process of the master: all its connections are cut.
func (s *seat) stop() error {
	if s.server == nil {
		return s.listener.Close()
	}
	err := s.server.Close()
	s.serving.Wait()
	s.server = nil
	return err
}

// local are the endpoints that every master answers for itself.
var local = map[string]bool{"/health": true, "/version": true, "/flags": true}

// ServeHTTP answers as the leader, or points to it: 307 without a scheme, 503 while
// nobody leads.
func (s *seat) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.c.mu.Lock()
	lead := s.c.lead
	s.c.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/master")
	switch {
	case path == "/redirect" && lead != nil:
		redirect(w, lead, "") // the leader does, too (recording 33)
	case lead == s || local[path]:
		s.c.handler.ServeHTTP(w, r)
	case lead == nil:
		writeText(w, http.StatusServiceUnavailable, "No leader elected")
	default:
		redirect(w, lead, r.URL.RequestURI())
	}
}

func redirect(w http.ResponseWriter, to *seat, path string) {
	w.Header().Set("Location", "//"+to.addr+path)
	w.WriteHeader(http.StatusTemporaryRedirect)
}

// Masters are the host:port of all masters, in the order in which they were made; one
// of them leads.
func (c *Cluster) Masters() []string {
	var out []string
	for _, s := range c.seats {
		out = append(out, s.addr)
	}
	return out
}

// KillMaster kills the process of the leading master: its streams are cut, and nobody
// leads until StartMaster. Without a leader it does nothing.
func (c *Cluster) KillMaster() error {
	c.mu.Lock()
	if c.closed || c.m == nil {
		c.mu.Unlock()
		return nil
	}
	c.m.stop()
	c.m = nil
	dead := c.lead
	c.lead, c.dead = nil, dead
	c.mu.Unlock()
	return dead.stop()
}

// StartMaster makes the next master the leader after KillMaster, the one that was killed
// if there is no other, and starts the killed one again. Agents come back by themselves;
// frameworks have to subscribe again.
func (c *Cluster) StartMaster() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.dead == nil {
		return nil
	}
	if err := c.dead.listen(); err != nil {
		return err
	}
	at := 0
	for i, s := range c.seats {
		if s == c.dead {
			at = i
		}
	}
	c.lead = c.seats[(at+1)%len(c.seats)]
	c.m = newMaster(c)
	c.m.start()
	wait := max(c.cfg.AgentReregisterBackoff, c.m.recover(c.faults.recovery))
	for i, n := range c.nodes {
		c.timers.stop(n.ping)
		c.timers.after(wait+c.cfg.AgentReregisterSpread*time.Duration(i)/time.Duration(len(c.nodes)), n.register)
	}
	c.dead.serve()
	c.dead = nil
	return nil
}

// RestartMaster is KillMaster and, after down, StartMaster.
func (c *Cluster) RestartMaster(down time.Duration) error {
	if err := c.KillMaster(); err != nil {
		return err
	}
	time.Sleep(down)
	return c.StartMaster()
}

// recover keeps a new master from serving for a while, as the reading of a large
// registry does.
func (m *master) recover(d time.Duration) time.Duration {
	if d > 0 {
		m.reading = true
		m.c.timers.after(d, func() { m.reading = false })
	}
	return d
}

// notReady answers for a leader that still reads its registry; it tells whether it did.
func (c *Cluster) notReady(w http.ResponseWriter) bool {
	c.mu.Lock()
	reading := c.m != nil && c.m.reading
	c.mu.Unlock()
	if reading {
		writeText(w, http.StatusServiceUnavailable, "Master has not finished recovery")
	}
	return reading
}
