package leader

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/server/v3/embed"

	"stadion/core/store/etcdtest"
)

const longLease = 60 * time.Second // nobody waits for it

// A process that died is replaced long before its lease ends.
func TestEarlyTakeOver(t *testing.T) { // P25
	t.Parallel()
	c := etcdtest.Start(t).Client(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	first := campaign(t, New(c, Options{TTL: longLease}), l.Addr().String())
	reached := make(chan struct{}, 1)
	won, _ := run(etcdtest.Context(t), New(c, Options{TTL: longLease, Reach: func(ctx context.Context, identity, candidacy string) error {
		err := Door{}.Knock(ctx, identity, candidacy)
		if err == nil {
			select {
			case reached <- struct{}{}:
			default:
			}
		}
		return err
	}}), "b:1")
	<-reached
	select {
	case <-won:
		t.Fatal("taken over from a process that lives")
	case <-time.After(5 * knockEvery):
	}
	began := time.Now()
	_ = l.Close()
	second := <-won
	if d := time.Since(began); d > longLease/2 {
		t.Errorf("took %v, as if the lease had been waited for", d)
	}
	ended(t, first) // it was no more than cut off: it learns that it leads no longer
	if second.Rev <= first.Rev {
		t.Errorf("term %d after %d", second.Rev, first.Rev)
	}
}

// What proves nothing changes nothing: an address that never worked from here, a silent machine, a single refusal.
func TestNoTakeOverWithoutProof(t *testing.T) { // P25
	for name, answer := range map[string]func(n int64) error{
		"never reached":                      func(int64) error { return syscall.ECONNREFUSED },
		"another process from the beginning": func(int64) error { return ErrAnother },
		"another process now and then": func(n int64) error {
			if n%knockLimit == 0 {
				return nil
			}
			return ErrAnother
		},
		"silent": func(n int64) error {
			if n == 1 {
				return nil
			}
			return context.DeadlineExceeded
		},
		"a single refusal at a time": func(n int64) error {
			if n%2 == 1 {
				return nil
			}
			return syscall.ECONNREFUSED
		},
		"refused now and then": func(n int64) error {
			if n%knockLimit == 0 {
				return nil
			}
			return syscall.ECONNREFUSED
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := etcdtest.Start(t).Client(t)
			first := campaign(t, New(c, Options{TTL: longLease}), "a:1")
			var n atomic.Int64
			enough := make(chan struct{})
			won, _ := run(etcdtest.Context(t), New(c, Options{TTL: longLease, Reach: func(context.Context, string, string) error {
				k := n.Add(1)
				if k == 4*knockLimit {
					close(enough)
				}
				return answer(k)
			}}), "b:1")
			select {
			case <-enough:
			case <-won:
				t.Error("taken over")
			case <-first.Lost():
				t.Error("the leader was disturbed")
			}
		})
	}
}

// The key that is removed is the one that was knocked for, not one that has come in its place.
func TestTakeOverLeavesOtherKeys(t *testing.T) { // P25, R8
	c := etcdtest.Start(t).Client(t)
	ctx := etcdtest.Context(t)
	e := New(c, Options{TTL: longLease, Reach: func() func(context.Context, string, string) error {
		n := 0
		return func(context.Context, string, string) error {
			if n++; n == 1 {
				return nil
			}
			return syscall.ECONNREFUSED
		}
	}()})
	key := e.dir + "1"
	put := func() {
		if _, err := c.Put(ctx, key, "a:1"); err != nil {
			t.Fatal(err)
		}
	}
	put()
	before, err := c.Get(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Delete(ctx, key); err != nil {
		t.Fatal(err)
	}
	put()
	e.hasten(ctx, before.Kvs[0])
	if ctx.Err() != nil {
		t.Fatal("it never came to the end")
	}
	candidates(t, c, 1)
}

// An etcd that comes back with its data of yesterday under the same name, and one that is another cluster.
func TestEtcdWentBack(t *testing.T) { // F12
	t.Parallel()
	base := t.TempDir()
	at := func() url.URL { return url.URL{Scheme: "http", Host: fmt.Sprint("127.0.0.1:", etcdtest.FreePort(t))} }
	client, peer := at(), at()
	start := func(dir string) *etcdtest.Server {
		return etcdtest.Start(t, func(c *embed.Config) {
			c.Dir = filepath.Join(base, dir)
			c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
			c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
			c.InitialCluster = c.InitialClusterFromName(c.Name)
		})
	}
	live := start("live")
	c := live.Client(t)
	ctx := etcdtest.Context(t)
	put := func() {
		if _, err := c.Put(ctx, "/marathon/v1/x", "x"); err != nil {
			t.Fatal(err)
		}
	}
	put()
	live.Stop()
	if err := os.CopyFS(filepath.Join(base, "old"), os.DirFS(filepath.Join(base, "live"))); err != nil {
		t.Fatal(err)
	}
	live = start("live")
	for range 10 {
		put()
	}
	e := New(c, Options{TTL: 2 * time.Second})
	watching, cancel := context.WithCancel(context.Background())
	defer cancel()
	go e.Observe(watching)
	term := campaign(t, e, "a:1")
	live.Stop()
	start("old")
	ended(t, term)
	for e.RolledBack() == nil {
		if ctx.Err() != nil {
			t.Fatal("not noticed")
		}
		time.Sleep(time.Millisecond)
	}
	if _, err := e.Campaign(ctx, "a:1"); !errors.Is(err, ErrRolledBack) {
		t.Errorf("campaigned again: %v", err)
	}

	w := watermark{broken: make(chan struct{})}
	if err := w.rise(header(1, 5), w.level()); err != nil {
		t.Error(err)
	}
	if err := w.rise(header(1, 3), 3); err != nil {
		t.Errorf("two reads at once that arrive in the other order: %v", err)
	}
	if err := w.rise(header(2, 9), w.level()); !errors.Is(err, ErrRolledBack) {
		t.Errorf("another cluster: %v", err)
	}
}

func header(cluster uint64, revision int64) *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: cluster, Revision: revision}
}
