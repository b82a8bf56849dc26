package leader

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Bounds of a connection to etcd.
const (
	DefaultDialTimeout = 10 * time.Second
	keepAliveTime      = 5 * time.Second // a silent connection is probed after this
	keepAliveTimeout   = 3 * time.Second // and given up after this
	probePause         = 200 * time.Millisecond
)

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
		PermitWithoutStream: true}
	where := strings.Join(e.Endpoints, ", ")
	c, err := clientv3.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("etcd at %s: %w", where, err)
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
			return nil, fmt.Errorf("etcd at %s does not answer: %w", where, last)
		}
	}
}

// probe is a linearizable read, so that it proves a quorum.
func probe(ctx context.Context, c *clientv3.Client, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err := c.Get(ctx, "/", clientv3.WithCountOnly())
	return err
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
