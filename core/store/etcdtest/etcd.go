/*
Package etcdtest runs a real etcd inside a test, and a proxy that can lose what etcd answers.

It is for tests only; no binary links it.
*/
package etcdtest

import (
	"context"
	"net"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

const startTimeout = 2 * time.Minute

// Server is a running etcd of one member.
type Server struct {
	Endpoint string // host:port
	Etcd     *embed.Etcd
	stop     sync.Once
}

// Stop ends the server before the test does.
func (s *Server) Stop() { s.stop.Do(s.Etcd.Close) }

// Start runs an etcd in a temporary directory until the test ends. Settings may be changed by edit.
func Start(t testing.TB, edit ...func(*embed.Config)) *Server {
	t.Helper()
	cfg := embed.NewConfig()
	cfg.Dir = t.TempDir()
	cfg.LogLevel = "fatal"
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	cfg.UnsafeNoFsync = true
	cfg.BcryptCost = 4                   // the least; passwords are not what is tested
	cfg.TickMs, cfg.ElectionMs = 10, 100 // the shortest lease is 1.5 election timeouts
	client, peer := freeURL(t), freeURL(t)
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	for _, f := range edit {
		f(cfg)
	}
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		t.Fatalf("etcd: %v", err)
	}
	s := &Server{Etcd: e}
	t.Cleanup(s.Stop)
	select {
	case <-e.Server.ReadyNotify():
	case <-time.After(startTimeout):
		t.Fatal("etcd did not start")
	}
	s.Endpoint = cfg.ListenClientUrls[0].Host
	return s
}

// Client connects to the server, or to another address such as a proxy's, until the test ends.
func (s *Server) Client(t testing.TB, endpoint ...string) *clientv3.Client {
	t.Helper()
	if len(endpoint) == 0 {
		endpoint = []string{s.Endpoint}
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: endpoint, DialTimeout: startTimeout, Logger: zap.NewNop()})
	if err != nil {
		t.Fatalf("etcd client: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Context ends with the test, or when it takes absurdly long.
func Context(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func freeURL(t testing.TB) url.URL {
	return url.URL{Scheme: "http", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(FreePort(t)))}
}
