package marathonapi

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The defaults and bounds of the standby proxy (behaviour.md 9.3, D-55).
const (
	DefaultProxyConnectTimeout = 5 * time.Second
	DefaultProxyReadTimeout    = 10 * time.Second
	DefaultProxyConnections    = 1024
	leaderPolls                = 250                   // looks for a leader before a request is given up …
	leaderPause                = 10 * time.Millisecond // … and the rest between two of them: 2.5 s in all, as Marathon
	proxyIdleTimeout           = 20 * time.Second      // less than a leader keeps idle connections
	proxyBuffer                = 32 << 10
)

// The texts of the proxy's own refusals (behaviour.md 9.3).
const (
	textProxyLoop    = "Detected proxying loop."
	textNoLeader     = "Could not determine the current leader"
	textRefused      = "Connection to leader refused."
	textNotConnected = "Failed to successfully establish a connection to the leader."
	textTimedOut     = "Connection to leader timed out."
	textSlowBody     = "The body of the request did not arrive."
)

const headerVia = "X-Marathon-Via"

// ProxyConfig are the settings of a standby's proxy; zero values mean the defaults.
type ProxyConfig struct {
	Self           string // host:port of this server; the token of the loop guard
	Scheme         string // of the leader: http or https
	ConnectTimeout time.Duration
	ReadTimeout    time.Duration // longest silence of the leader
	MaxConnections int           // requests passed on at once; further ones wait
	TLS            *tls.Config   // for a leader that speaks https
}

// Proxy is what a server answers with while it does not lead: it passes requests on to the leader as Marathon does
// (http-api.md 1.6), streaming bodies both ways. It checks nobody's rights; the leader does (S6).
type Proxy struct {
	cfg     ProxyConfig
	via     string
	leader  Leadership
	local   http.Handler
	reverse *httputil.ReverseProxy
	slots   chan struct{}
}

// NewProxy makes a proxy. local serves what a standby answers itself, and everything once this server leads.
func NewProxy(cfg ProxyConfig, leadership Leadership, local http.Handler) *Proxy {
	if cfg.Scheme == "" {
		cfg.Scheme = "http"
	}
	if cfg.ConnectTimeout <= 0 {
		cfg.ConnectTimeout = DefaultProxyConnectTimeout
	}
	if cfg.ReadTimeout <= 0 {
		cfg.ReadTimeout = DefaultProxyReadTimeout
	}
	if cfg.MaxConnections <= 0 {
		cfg.MaxConnections = DefaultProxyConnections
	}
	p := &Proxy{cfg: cfg, via: "1.1 " + cfg.Self, leader: leadership, local: local, slots: make(chan struct{}, cfg.MaxConnections)}
	dial := &net.Dialer{Timeout: cfg.ConnectTimeout}
	p.reverse = &httputil.ReverseProxy{
		Rewrite: p.rewrite, ModifyResponse: p.mark, ErrorHandler: p.fail, FlushInterval: -1,
		ErrorLog:   log.New(io.Discard, "", 0), // clients see their answer break off; that is all there is to say
		BufferPool: &bufferPool{sync.Pool{New: func() any { b := make([]byte, proxyBuffer); return &b }}},
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := dial.DialContext(ctx, network, address)
				if err != nil {
					return nil, err
				}
				return &impatientConn{c, cfg.ReadTimeout}, nil
			},
			TLSClientConfig: cfg.TLS, TLSHandshakeTimeout: cfg.ConnectTimeout, ResponseHeaderTimeout: cfg.ReadTimeout,
			ExpectContinueTimeout: time.Second, DisableCompression: true, // what the client accepts is the client's
			MaxIdleConnsPerHost: cfg.MaxConnections, IdleConnTimeout: proxyIdleTimeout},
	}
	return p
}

// ServeHTTP answers one request of a standby (behaviour.md 9.3).
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if ownPath(r) {
		p.local.ServeHTTP(w, r)
		return
	}
	if p.passedOn(r) && !p.elected() {
		http.Error(w, textProxyLoop, http.StatusBadGateway)
		return
	}
	leader, ok := p.awaitLeader(r.Context())
	switch {
	case !ok:
		http.Error(w, textNoLeader, http.StatusBadGateway)
	case leader == "":
		p.local.ServeHTTP(w, r)
	case p.passedOn(r): // elected, and no longer so
		http.Error(w, textProxyLoop, http.StatusBadGateway)
	case r.URL.Path == eventsPath || strings.HasPrefix(r.URL.Path, eventsPath+"/"):
		u := url.URL{Scheme: p.cfg.Scheme, Host: leader, Path: eventsPath, RawQuery: r.URL.RawQuery}
		http.Redirect(w, r, u.String(), http.StatusFound)
	default:
		p.pass(w, r, leader)
	}
}

// passedOn tells that this server has passed the request on before.
func (p *Proxy) passedOn(r *http.Request) bool {
	for _, line := range r.Header.Values(headerVia) {
		for v := range strings.SplitSeq(line, ",") {
			if strings.TrimSpace(v) == p.via {
				return true
			}
		}
	}
	return false
}

// elected tells that this server leads or is about to. What it passed on to the last leader while that one ended comes
// back to it then, and goes no further (P26).
func (p *Proxy) elected() bool {
	who, known := p.leader.Leader()
	return p.leader.Leading() || known && who == p.cfg.Self
}

// ownPath: each server is asked for its own life, and on wish for its own metrics (D-44).
func ownPath(r *http.Request) bool {
	path := r.URL.Path
	if path == "/ping" {
		return true
	}
	return (path == "/metrics" || strings.HasPrefix(path, "/metrics/")) && strings.EqualFold(r.URL.Query().Get("local"), "true")
}

// awaitLeader waits a short while for a leader other than this server; an empty one is this server itself.
func (p *Proxy) awaitLeader(ctx context.Context) (leader string, ok bool) {
	for range leaderPolls {
		if p.leader.Leading() {
			return "", true
		}
		if who, known := p.leader.Leader(); known && who != "" && who != p.cfg.Self {
			return who, true
		}
		select {
		case <-ctx.Done():
			return "", false
		case <-time.After(leaderPause):
		}
	}
	return "", false
}

// passing is what one request carries on its way to the leader.
type passing struct {
	leader string
	cancel context.CancelCauseFunc
	body   *watchedBody
}

type passingKey struct{}

var errSilent = errors.New("the leader fell silent")

// pass sends one request to the leader, waiting for its turn where too many are on their way.
func (p *Proxy) pass(w http.ResponseWriter, r *http.Request, leader string) {
	turn := time.NewTimer(p.cfg.ReadTimeout)
	defer turn.Stop()
	select {
	case p.slots <- struct{}{}:
	case <-r.Context().Done():
		return
	case <-turn.C:
		http.Error(w, textNotConnected, http.StatusBadGateway)
		return
	}
	defer func() { <-p.slots }()
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	on := &passing{leader: leader, cancel: cancel}
	r = r.WithContext(context.WithValue(ctx, passingKey{}, on))
	if r.Body != nil && r.Body != http.NoBody {
		on.body = &watchedBody{ReadCloser: r.Body}
		r.Body = on.body
	}
	p.reverse.ServeHTTP(w, r)
}

// rewrite makes the request for the leader. Host becomes the leader's; hop-by-hop headers are gone already.
func (p *Proxy) rewrite(pr *httputil.ProxyRequest) {
	on := pr.In.Context().Value(passingKey{}).(*passing)
	pr.Out.URL.Scheme, pr.Out.URL.Host, pr.Out.Host = p.cfg.Scheme, on.leader, ""
	// The parsed and the raw query are the client's; nothing is to be cleaned on the way.
	pr.Out.URL.RawQuery = pr.In.URL.RawQuery
	for _, name := range []string{"Forwarded", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if v, ok := pr.In.Header[name]; ok {
			pr.Out.Header[name] = v
		}
	}
	from, _, err := net.SplitHostPort(pr.In.RemoteAddr)
	if err != nil {
		from = pr.In.RemoteAddr
	}
	pr.Out.Header.Set("X-Forwarded-For", strings.Join(append(pr.In.Header.Values("X-Forwarded-For"), from), ", "))
	pr.Out.Header.Add(headerVia, p.via)
	if _, ok := pr.In.Header["User-Agent"]; !ok {
		pr.Out.Header.Set("User-Agent", "") // none, instead of one that Go makes up
	}
}

// mark adds this server to the answer and watches over its body.
func (p *Proxy) mark(res *http.Response) error {
	res.Header.Add(headerVia, p.via)
	if on, ok := res.Request.Context().Value(passingKey{}).(*passing); ok && res.StatusCode != http.StatusSwitchingProtocols {
		res.Body = &impatientBody{ReadCloser: res.Body, limit: p.cfg.ReadTimeout,
			timer: time.AfterFunc(p.cfg.ReadTimeout, func() { on.cancel(errSilent) })}
	}
	return nil
}

// fail answers for a leader that did not (behaviour.md 9.3).
func (p *Proxy) fail(w http.ResponseWriter, r *http.Request, err error) {
	on := r.Context().Value(passingKey{}).(*passing)
	var dial *net.OpError
	var late interface{ Timeout() bool }
	switch {
	case on.body != nil && on.body.failed():
		http.Error(w, textSlowBody, http.StatusRequestTimeout)
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET),
		errors.As(err, &dial) && dial.Op == "dial":
		http.Error(w, textRefused, http.StatusBadGateway)
	case errors.Is(context.Cause(r.Context()), errSilent), errors.As(err, &late) && late.Timeout():
		http.Error(w, textTimedOut, http.StatusGatewayTimeout)
	default:
		http.Error(w, textNotConnected, http.StatusBadGateway)
	}
}

// impatientConn gives up a leader that takes nothing for a while. What the leader sends has its own bounds.
type impatientConn struct {
	net.Conn
	limit time.Duration
}

func (c *impatientConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.limit)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// impatientBody ends an answer whose next bytes do not come. A client that takes its time is no fault of the leader, so
// the clock only runs while a read waits.
type impatientBody struct {
	io.ReadCloser
	limit time.Duration
	timer *time.Timer
}

func (b *impatientBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.limit)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	return n, err
}

func (b *impatientBody) Close() error {
	b.timer.Stop()
	return b.ReadCloser.Close()
}

// watchedBody remembers that the client's body broke off, so that the leader is not blamed.
type watchedBody struct {
	io.ReadCloser
	mu  sync.Mutex
	bad bool
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF && !errors.Is(err, http.ErrBodyReadAfterClose) {
		b.mu.Lock()
		b.bad = true
		b.mu.Unlock()
	}
	return n, err
}

func (b *watchedBody) failed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bad
}

type bufferPool struct{ pool sync.Pool }

func (b *bufferPool) Get() []byte  { return *b.pool.Get().(*[]byte) }
func (b *bufferPool) Put(p []byte) { b.pool.Put(&p) }
