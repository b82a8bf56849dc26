package leader

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// Bounds of a connection to etcd.
const (
	DefaultDialTimeout = 10 * time.Second
	keepAliveTime      = 5 * time.Second // a silent connection is probed after this
	keepAliveTimeout   = 3 * time.Second // and given up after this
	// Windows of a fixed size: left to itself the client measures its way with a ping behind each answer, which wakes
	// both ends once more for every commit.
	streamWindow   = 4 << 20 // bytes; a page of a load is about one
	connWindow     = 16 << 20
	probePause     = 200 * time.Millisecond
	explainTimeout = 500 * time.Millisecond
)

// redial: after an outage of any length etcd is found again within a second or two (F8). The default waits up to two
// minutes between attempts.
var redial = grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second}, MinConnectTimeout: 3 * time.Second}

// Etcd tells how to reach etcd.
type Etcd struct {
	Endpoints []string    // host:port, or URLs
	TLS       *tls.Config // nil: plain text
	Username  string      // empty: no authentication
	Password  string
	Timeout   time.Duration // for the first contact, DefaultDialTimeout
	Log       *zap.Logger   // of the client; nil: silent
}

// Dial connects and waits until a member with quorum answers, or fails after Timeout with the last cause.
func Dial(ctx context.Context, e Etcd) (*clientv3.Client, error) {
	if len(e.Endpoints) == 0 {
		return nil, errors.New("no etcd endpoint is given")
	}
	if e.Timeout == 0 {
		e.Timeout = DefaultDialTimeout
	}
	if e.Log == nil {
		e.Log = zap.NewNop()
	}
	ctx, cancel := context.WithTimeout(ctx, e.Timeout)
	defer cancel()
	cfg := clientv3.Config{Endpoints: e.Endpoints, TLS: e.TLS, Username: e.Username, Password: e.Password, Logger: e.Log,
		DialTimeout: e.Timeout, DialKeepAliveTime: keepAliveTime, DialKeepAliveTimeout: keepAliveTimeout,
		PermitWithoutStream: true, DialOptions: []grpc.DialOption{grpc.WithConnectParams(redial), grpc.WithInitialWindowSize(streamWindow), grpc.WithInitialConnWindowSize(connWindow)}}
	where := strings.Join(e.Endpoints, ", ")
	c, err := clientv3.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("etcd at %s: %w", where, e.explain(err))
	}
	for {
		last := probe(ctx, c, e.Timeout)
		if last == nil {
			return c, nil
		}
		select {
		case <-time.After(probePause):
		case <-ctx.Done():
			_ = c.Close()
			return nil, fmt.Errorf("etcd at %s does not answer: %w", where, e.explain(last))
		}
	}
}

// explain looks for what the client's "deadline exceeded" hides: a port where nobody listens, a certificate that one
// side does not accept (S3).
func (e Etcd) explain(err error) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	for _, endpoint := range e.Endpoints {
		if cause := e.knock(endpoint); cause != nil {
			return fmt.Errorf("%w: %s: %w", err, endpoint, cause)
		}
	}
	return err
}

// knock makes a connection by hand.
func (e Etcd) knock(endpoint string) error {
	address, secure := strings.CutPrefix(endpoint, "https://")
	address = strings.TrimPrefix(address, "http://")
	dialer := &net.Dialer{Timeout: explainTimeout}
	if !secure {
		c, err := dialer.Dial("tcp", address)
		if err != nil {
			return err
		}
		return c.Close()
	}
	cfg := e.TLS.Clone()
	if cfg == nil {
		cfg = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	cfg.NextProtos = []string{"h2"}
	c, err := tls.DialWithDialer(dialer, "tcp", address, cfg)
	if err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	defer func() { _ = c.Close() }()
	// A server says after the handshake that it does not like the client's certificate; otherwise it says nothing.
	_ = c.SetReadDeadline(time.Now().Add(explainTimeout))
	var silent net.Error
	if _, err = c.Read(make([]byte, 1)); err != nil && !(errors.As(err, &silent) && silent.Timeout()) {
		return fmt.Errorf("TLS, the client's certificate: %w", err)
	}
	return nil
}

// probe is a linearizable read, so that it proves a quorum.
func probe(ctx context.Context, c *clientv3.Client, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err := c.Get(ctx, "/", clientv3.WithCountOnly())
	if errors.Is(err, rpctypes.ErrPermissionDenied) {
		return nil // a user of our prefix only; the member had to ask the others before it could say so
	}
	return err
}

// AuthenticationOff tells that etcd asks nobody who he is. Its client goes on without a word then, whatever user it was
// given. With authentication on only root may ask, and a refusal says as much.
func AuthenticationOff(ctx context.Context, c *clientv3.Client) bool {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	status, err := c.AuthStatus(ctx)
	return err == nil && !status.Enabled
}

// TLSFiles names the files of a TLS connection; each may be empty.
type TLSFiles struct {
	CA, Cert, Key string
	ServerName    string // expected in the certificate, if it differs from the endpoint's host
}

// Config reads the files. Errors name the file (S3).
func (f TLSFiles) Config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: f.ServerName}
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, fmt.Errorf("certificate authority: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("certificate authority: %s holds no certificate", f.CA)
		}
	}
	if (f.Cert == "") != (f.Key == "") {
		return nil, errors.New("a client certificate needs both a certificate and a key file")
	}
	if f.Cert != "" {
		pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			return nil, fmt.Errorf("client certificate %s with key %s: %w", f.Cert, f.Key, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
