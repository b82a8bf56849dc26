package main

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/netutil"
)

const (
	headerTimeout = 5 * time.Second // F26: slow headers
	idleTimeout   = 30 * time.Second
	bodyRate      = 4 << 10         // bytes per second a body must keep up (F26)
	lastRequests  = 5 * time.Second // for requests under way when the server ends
)

// web is where a server listens: plain, with TLS, or both (http-api.md 1.1).
type web struct {
	listeners []net.Listener
	scheme    string // http, unless it is turned off
	port      int    // of that scheme
	servers   []*http.Server
	served    chan error
}

// listen takes the ports at once, so that a taken one ends the process before anything else is done.
func listen(f *flagSet, log *zap.Logger) (*web, error) {
	w := &web{}
	cert, key := certFiles(f)
	if !f.on("http") && cert == "" {
		return nil, exitWith(exitFlag, "flag --disable_http needs --ssl_cert_file and --ssl_key_file: nothing would listen")
	}
	limit := f.int("http_max_connections")
	take := func(name, address string, secure *tls.Config) error {
		l, err := net.Listen("tcp", net.JoinHostPort(f.text(address), strconv.Itoa(f.int(name))))
		if err != nil {
			w.close()
			return exitWith(exitBind, "cannot listen on --%s %s: %w", name, f.text(name), err)
		}
		if w.scheme == "" {
			w.scheme, w.port = "http", l.Addr().(*net.TCPAddr).Port
			if secure != nil {
				w.scheme = "https"
			}
		}
		if limit > 0 {
			l = netutil.LimitListener(l, limit)
		}
		if secure != nil {
			l = tls.NewListener(l, secure)
		}
		w.listeners = append(w.listeners, l)
		return nil
	}
	if f.on("http") {
		if err := take("http_port", "http_address", nil); err != nil {
			return nil, err
		}
	}
	if cert == "" {
		return w, nil
	}
	c, err := newCertificate(cert, key, log)
	if err == nil {
		var secure *tls.Config
		if secure, err = serverTLS(c, f.text("ssl_client_ca_file")); err == nil {
			err = take("https_port", "https_address", secure)
		}
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// certFiles are the PEM files of the server's certificate and key; Marathon's --ssl_keystore_path may name a file that
// holds both.
func certFiles(f *flagSet) (cert, key string) {
	cert, key = f.text("ssl_cert_file"), f.text("ssl_key_file")
	if store := f.text("ssl_keystore_path"); cert == "" && store != "" {
		cert = store
	}
	if key == "" {
		key = cert
	}
	return cert, key
}

// serve answers on all listeners until stop.
func (w *web) serve(f *flagSet, h http.Handler, log *zap.Logger) {
	h = &patience{body: time.Duration(f.int64("http_body_timeout")) * time.Millisecond, rate: bodyRate,
		writing: time.Duration(f.int64("http_write_timeout")) * time.Millisecond, next: h}
	quiet, err := zap.NewStdLogAt(log.Named("http"), zap.DebugLevel)
	if err != nil {
		quiet = zap.NewStdLog(zap.NewNop())
	}
	w.served = make(chan error, len(w.listeners))
	for _, l := range w.listeners {
		s := &http.Server{Handler: h, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: f.int("http_max_header_bytes"), ErrorLog: quiet}
		w.servers = append(w.servers, s)
		go func() { w.served <- s.Serve(l) }()
	}
}

// stop takes no more connections and lets requests under way come to their end for a while.
func (w *web) stop(limit time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for _, s := range w.servers {
		if s.Shutdown(ctx) != nil {
			_ = s.Close()
		}
	}
	for range w.servers {
		<-w.served
	}
}

func (w *web) close() {
	for _, l := range w.listeners {
		_ = l.Close()
	}
}

// fallbackEnv are the variables that Marathon reads beside its own (http-api.md 1.1).
var fallbackEnv = map[string]string{"MESOSPHERE_HTTP_CREDENTIALS": "http_credentials", "MESOSPHERE_KEYSTORE_PATH": "ssl_keystore_path",
	"MESOSPHERE_KEYSTORE_PASS": "ssl_keystore_password"}
