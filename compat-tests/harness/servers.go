package harness

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// Server is a running API: stadion dev or stadion server.
type Server struct {
	*Process
	*API
	Dir string // below it lie the sandboxes of the tasks; empty for stadion server
}

// Dev starts stadion dev with one agent, waits until it is ready, and at the end
// of the test stops it and kills what it left. Later flags win over the defaults.
func Dev(t testing.TB, flags ...string) *Server {
	t.Helper()
	dir := t.TempDir()
	KillLeftovers(t, dir)
	ports := NewPorts(t)
	args := []string{"dev", "--data_dir", filepath.Join(dir, "data"), "--http_address", "127.0.0.1", "--http_port", strconv.Itoa(ports.Next(t)),
		"--resources", ports.Resources()}
	p := Start(t, append(args, flags...)...)
	return &Server{Process: p, API: NewAPI(t, p.Ready()), Dir: dir}
}

// Minimesos starts a miniature Mesos whose tasks live below dir, and returns its
// address as --master takes it.
func Minimesos(t testing.TB, dir string, flags ...string) (*Process, string) {
	t.Helper()
	ports := NewPorts(t)
	args := []string{"minimesos", "--port", strconv.Itoa(ports.Next(t)), "--work_dir", dir, "--resources", ports.Resources()}
	p := Start(t, append(args, flags...)...)
	return p, strings.TrimPrefix(p.Ready(), "http://")
}

// Etcd is an etcd server in this process.
type Etcd struct {
	Endpoint string
	Client   *clientv3.Client
}

const (
	etcdStart    = 30 * time.Second
	etcdTick     = 20  // milliseconds: one member needs no patience
	etcdElection = 200 // milliseconds
)

// StartEtcd runs one etcd member on free ports in a directory of the test, with
// fsync, until the test ends.
func StartEtcd(t testing.TB, ports *Ports) *Etcd {
	t.Helper()
	at := func() url.URL { return url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", ports.Next(t))} }
	client, peer := at(), at()
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir = "test", t.TempDir()
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.TickMs, cfg.ElectionMs = etcdTick, etcdElection
	cfg.LogLevel = "error"
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		t.Fatalf("start etcd: %v", err)
	}
	t.Cleanup(e.Close)
	select {
	case <-e.Server.ReadyNotify():
	case err := <-e.Err():
		t.Fatalf("start etcd: %v", err)
	case <-time.After(etcdStart):
		t.Fatalf("etcd is not ready after %s", etcdStart)
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{client.String()}, Logger: zap.NewNop(), DialTimeout: etcdStart})
	if err != nil {
		t.Fatalf("connect to etcd: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &Etcd{Endpoint: client.String(), Client: c}
}
