package harness

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
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

// Etcds are the members of an etcd cluster in this process.
type Etcds struct {
	Endpoints []string
	Client    *clientv3.Client
	t         testing.TB
	members   []*embed.Config
	running   []*embed.Etcd
}

const (
	etcdStart    = 180 * time.Second
	heldLimit    = 30 * time.Second
	portHeld     = 50 * time.Millisecond // between two tries
	etcdTick     = 20                    // milliseconds: one member needs no patience
	etcdElection = 200                   // milliseconds
	manyPatience = 5                     // several members need so many times more
)

// StartEtcd runs one etcd member on free ports in a directory of the test until the
// test ends. It never dies but in order, so it need not wait for the disk (no fsync),
// which may be slow for seconds where others use it as well.
func StartEtcd(t testing.TB, ports *Ports) *Etcd {
	t.Helper()
	e := startEtcds(t, ports, 1)
	return &Etcd{Endpoint: e.Endpoints[0], Client: e.Client}
}

// StartEtcds runs a cluster of n members.
func StartEtcds(t testing.TB, n int) *Etcds {
	t.Helper()
	return startEtcds(t, NewPorts(t), n)
}

func startEtcds(t testing.TB, ports *Ports, n int) *Etcds {
	t.Helper()
	e := &Etcds{t: t, running: make([]*embed.Etcd, n)}
	var initial []string
	for i := range n {
		cfg := embed.NewConfig()
		cfg.Name, cfg.Dir = fmt.Sprintf("member%d", i), t.TempDir()
		at := func() url.URL { return url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", ports.Next(t))} }
		client, peer := at(), at()
		cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
		cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
		cfg.TickMs, cfg.ElectionMs = etcdTick, etcdElection
		if n > 1 {
			cfg.TickMs, cfg.ElectionMs = etcdTick*manyPatience, etcdElection*manyPatience
		}
		cfg.LogLevel, cfg.UnsafeNoFsync = "error", true
		cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
		initial = append(initial, cfg.Name+"="+peer.String())
		e.members, e.Endpoints = append(e.members, cfg), append(e.Endpoints, client.String())
	}
	for i := range e.members {
		e.members[i].InitialCluster = strings.Join(initial, ",")
		must(t, e.begin(i))
	}
	for i := range e.members {
		must(t, e.ready(i))
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: e.Endpoints, Logger: zap.NewNop(), DialTimeout: etcdStart})
	if err != nil {
		t.Fatalf("connect to etcd: %v", err)
	}
	e.Client = c
	t.Cleanup(func() {
		_ = c.Close()
		for i := range e.running {
			e.Stop(i)
		}
	})
	return e
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// begin starts a member. Its ports may still be held for a moment, by a process that has not begun its own program yet and
// has copies of the sockets that were open when it was started.
func (e *Etcds) begin(i int) error {
	for began := time.Now(); ; time.Sleep(portHeld) {
		server, err := embed.StartEtcd(e.members[i])
		if err == nil {
			e.running[i] = server
			return nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) || time.Since(began) > heldLimit {
			return fmt.Errorf("start etcd: %w", err)
		}
	}
}

func (e *Etcds) ready(i int) error {
	select {
	case <-e.running[i].Server.ReadyNotify():
		return nil
	case err := <-e.running[i].Err():
		return fmt.Errorf("start etcd: %w", err)
	case <-time.After(etcdStart):
		return fmt.Errorf("etcd is not ready after %s", etcdStart)
	}
}

// Stop ends a member; its data stay.
func (e *Etcds) Stop(i int) {
	if e.running[i] != nil {
		e.running[i].Close()
		e.running[i] = nil
	}
}

// Start starts a stopped member with its data.
func (e *Etcds) Start(i int) error {
	if err := e.begin(i); err != nil {
		return err
	}
	return e.ready(i)
}

// Replace makes an empty member take the place of a stopped one: the old one is removed from the cluster, the new one
// added. etcd refuses that while others are not well, so it is tried until ctx ends.
func (e *Etcds) Replace(ctx context.Context, i int) error {
	cfg := e.members[i]
	for {
		others, err := e.swap(ctx, cfg.AdvertisePeerUrls[0].String())
		if err == nil && e.knownToAll(cfg.AdvertisePeerUrls[0].String()) {
			cfg.InitialCluster = strings.Join(append(others, cfg.Name+"="+cfg.AdvertisePeerUrls[0].String()), ",")
			break
		}
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
	cfg.Dir, cfg.ClusterState = e.t.TempDir(), embed.ClusterStateFlagExisting
	return e.Start(i)
}

// knownToAll tells that all running members have heard of a new one. It asks any of them who belongs to the cluster, and
// does not start where that one is behind.
func (e *Etcds) knownToAll(peer string) bool {
	for _, r := range e.running {
		if r == nil {
			continue
		}
		all := r.Server.Cluster().Members()
		if len(all) != len(e.members) || !slices.ContainsFunc(all, func(m *membership.Member) bool { return m.PeerURLs[0] == peer && m.Name == "" }) {
			return false
		}
	}
	return true
}

// swap removes the member at a peer's URL, adds one that has not started, and lists the others; it may be repeated.
func (e *Etcds) swap(ctx context.Context, peer string) (others []string, err error) {
	all, err := e.Client.MemberList(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the members: %w", err)
	}
	added := false
	for _, m := range all.Members {
		switch {
		case m.PeerURLs[0] != peer:
			others = append(others, m.Name+"="+m.PeerURLs[0])
		case m.Name == "": // has not started
			added = true
		default:
			if _, err := e.Client.MemberRemove(ctx, m.ID); err != nil {
				return nil, fmt.Errorf("remove a member: %w", err)
			}
		}
	}
	if !added {
		if _, err := e.Client.MemberAdd(ctx, []string{peer}); err != nil {
			return nil, fmt.Errorf("add a member: %w", err)
		}
	}
	return others, nil
}

// MoveLeader makes another member the leader of the cluster, if one leads and another one is there.
func (e *Etcds) MoveLeader(ctx context.Context) error {
	for _, s := range e.running {
		if s == nil || s.Server.Leader() != s.Server.MemberID() {
			continue
		}
		for _, other := range e.running {
			if other != nil && other != s {
				return s.Server.MoveLeader(ctx, uint64(s.Server.MemberID()), uint64(other.Server.MemberID()))
			}
		}
	}
	return nil
}
