package leader

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"
)

const (
	knockTimeout  = time.Second
	candidacyPath = "/ping"               // each server answers it for itself
	candidacyName = "X-Stadion-Candidacy" // in the question the candidacy, in the answer whether the process holds it
	held, notHeld = "held", "not held"
)

// ErrAnother says that a process answers, and that it is not the one that holds the candidacy.
var ErrAnother = errors.New("another process answers")

// Door is how candidates look at each other.
type Door struct {
	TLS *tls.Config // of servers that speak HTTPS; nil: they speak plain HTTP
}

// Knock asks the process at host:port whether it holds a candidacy, the last part of a candidate's key. The error is
// ErrAnother if it does not, and that of the connection if there is none. Any other silence, such as that of a server of
// an older version, which does not know the question, is nil: somebody listens.
func (d Door) Knock(ctx context.Context, hostPort, candidacy string) error {
	ctx, cancel := context.WithTimeout(ctx, knockTimeout)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", hostPort)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	deadline, _ := ctx.Deadline()
	_ = c.SetDeadline(deadline)
	if d.TLS != nil {
		cfg := d.TLS.Clone()
		if cfg.ServerName == "" {
			cfg.ServerName, _, _ = net.SplitHostPort(hostPort)
		}
		c = tls.Client(c, cfg)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, "http://"+hostPort+candidacyPath, nil)
	if err != nil {
		return err
	}
	req.Close = true
	req.Header.Set(candidacyName, candidacy)
	if req.Write(c) != nil {
		return nil
	}
	res, err := http.ReadResponse(bufio.NewReader(c), req)
	if err != nil {
		return nil
	}
	_ = res.Body.Close()
	if res.Header.Get(candidacyName) == notHeld {
		return ErrAnother
	}
	return nil
}

// Open answers those who knock and leaves all other requests to next. The question needs no credentials and tells
// nobody anything but whether the guess was right.
func (e *Election) Open(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := r.Header.Get(candidacyName)
		if asked == "" || r.URL.Path != candidacyPath {
			next.ServeHTTP(w, r)
			return
		}
		answer := notHeld
		if own, _ := e.candidacy.Load().(string); own == asked {
			answer = held
		}
		w.Header().Set(candidacyName, answer)
		w.WriteHeader(http.StatusNoContent)
	})
}
