package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
)

// certCheck is how often the certificate files are looked at for a change, at most.
const certCheck = 2 * time.Second

// certificate is the server's certificate, read again when its files change (S2).
type certificate struct {
	cert, key string
	log       *zap.Logger

	mu      sync.Mutex
	pair    *tls.Certificate
	stamp   [2]time.Time
	checked time.Time
}

// newCertificate reads the files; mistakes ask for exit code 112.
func newCertificate(cert, key string, log *zap.Logger) (*certificate, error) {
	for _, file := range []string{cert, key} {
		if err := refuseKeystore(file); err != nil {
			return nil, err
		}
	}
	c := &certificate{cert: cert, key: key, log: log}
	if err := c.load(); err != nil {
		return nil, exitWith(exitFlag, "certificate of this server: %w", err)
	}
	return c, nil
}

// refuseKeystore explains what to do with the Java keystores that Marathon takes.
func refuseKeystore(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return exitWith(exitFlag, "certificate of this server: %w", err)
	}
	kind := ""
	switch {
	case bytes.HasPrefix(b, []byte{0xfe, 0xed, 0xfe, 0xed}), bytes.HasPrefix(b, []byte{0xce, 0xce, 0xce, 0xce}):
		kind = "a Java keystore"
	case bytes.HasPrefix(b, []byte{0x30, 0x82}):
		kind = "a PKCS #12 keystore"
	default:
		return nil
	}
	return exitWith(exitFlag, "%s is %s; PEM files are needed. Convert it: keytool -importkeystore -srckeystore %s -destkeystore k.p12 -deststoretype PKCS12; "+
		"openssl pkcs12 -in k.p12 -nodes -out stadion.pem; then give stadion.pem as --ssl_cert_file and --ssl_key_file", file, kind, file)
}

func (c *certificate) load() error {
	stamp, err := c.stamps()
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("%s with key %s: %w", c.cert, c.key, err)
	}
	c.pair, c.stamp = &pair, stamp
	return nil
}

func (c *certificate) stamps() (s [2]time.Time, err error) {
	for i, file := range []string{c.cert, c.key} {
		info, err := os.Stat(file)
		if err != nil {
			return s, err
		}
		s[i] = info.ModTime()
	}
	return s, nil
}

// get is tls.Config.GetCertificate. A new pair that cannot be read leaves the old one in use.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.checked) >= certCheck {
		c.checked = now
		if stamp, err := c.stamps(); err == nil && stamp != c.stamp {
			if err := c.load(); err != nil {
				c.log.Error("the new certificate cannot be used, the old one stays", zap.Error(err))
			} else {
				c.log.Info("the certificate has changed and is in use")
			}
		}
	}
	return c.pair, nil
}

// serverTLS is what the HTTPS listener speaks. With authorities for clients, only clients with a certificate of theirs
// are heard at all (S2); who they are and what they may do is asked as ever.
func serverTLS(c *certificate, clientCAs string) (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
	if clientCAs == "" {
		return t, nil
	}
	pem, err := os.ReadFile(clientCAs)
	if err != nil {
		return nil, exitWith(exitFlag, "--ssl_client_ca_file: %w", err)
	}
	t.ClientCAs, t.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !t.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, exitWith(exitFlag, "--ssl_client_ca_file: %s holds no certificate", clientCAs)
	}
	return t, nil
}

// leaderTLS is what a standby expects of a leader that speaks HTTPS: a certificate of the system's authorities, of those
// in caFile, or the same one as its own.
func leaderTLS(own, key, caFile string, ignoreHost bool) (*tls.Config, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	for _, file := range []string{own, caFile} {
		if file == "" {
			continue
		}
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, exitWith(exitFlag, "certificates to trust: %w", err)
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, exitWith(exitFlag, "certificates to trust: %s holds no certificate", file)
		}
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	if own != "" { // shown to a leader that asks its clients for certificates; read anew, as it may have changed
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(own, key)
			return &pair, err
		}
	}
	if ignoreHost {
		c.InsecureSkipVerify = true // the chain is verified below, without the name
		c.VerifyConnection = func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 {
				return errors.New("the leader shows no certificate")
			}
			o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
			for _, between := range s.PeerCertificates[1:] {
				o.Intermediates.AddCert(between)
			}
			_, err := s.PeerCertificates[0].Verify(o)
			return err
		}
	}
	return c, nil
}
