package leader

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"stadion/core/store/etcdtest"
)

func campaign(t *testing.T, e *Election, identity string) *Term {
	t.Helper()
	term, err := e.Campaign(etcdtest.Context(t), identity)
	if err != nil {
		t.Fatal(err)
	}
	return term
}

// run campaigns in the background.
func run(ctx context.Context, e *Election, identity string) (chan *Term, chan error) {
	won, failed := make(chan *Term, 1), make(chan error, 1)
	go func() {
		term, err := e.Campaign(ctx, identity)
		if err != nil {
			failed <- err
			return
		}
		won <- term
	}()
	return won, failed
}

func candidates(t *testing.T, c *clientv3.Client, n int) {
	t.Helper()
	ctx := etcdtest.Context(t)
	for {
		resp, err := c.Get(ctx, "/marathon/v1/leader/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil {
			t.Fatal(err)
		}
		if resp.Count == int64(n) {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func leads(t *testing.T, e *Election, want string) {
	t.Helper()
	end := time.After(2 * time.Minute)
	for {
		next := e.Changed()
		if got, known := e.Current(); got == want && known == (want != "") {
			return
		}
		select {
		case <-next:
		case <-end:
			got, known := e.Current()
			t.Fatalf("leader is %q (%v), want %q", got, known, want)
		}
	}
}

func expired(t *testing.T, term *Term) {
	t.Helper()
	select {
	case <-term.Expired():
	case <-time.After(2 * time.Minute):
		t.Fatal("the end of the lease was not noticed")
	}
}

func ended(t *testing.T, term *Term) {
	t.Helper()
	select {
	case <-term.Lost():
	case <-time.After(2 * time.Minute):
		t.Fatal("the end of the term was not noticed")
	}
}

func TestHandOver(t *testing.T) { // behaviour 9.1, F6
	t.Parallel()
	srv := etcdtest.Start(t)
	c := srv.Client(t)
	watching, cancel := context.WithCancel(context.Background())
	defer cancel()
	standby := New(srv.Client(t), Options{TTL: longLease})
	go standby.Observe(watching)

	first := campaign(t, New(c, Options{TTL: longLease}), "a:1")
	leads(t, standby, "a:1")
	won, _ := run(etcdtest.Context(t), standby, "b:1")
	candidates(t, c, 2)
	select {
	case <-won:
		t.Fatal("two leaders")
	default:
	}
	began := time.Now()
	if err := first.Resign(etcdtest.Context(t)); err != nil {
		t.Fatal(err)
	}
	ended(t, first)
	second := <-won
	if d := time.Since(began); d > longLease/2 {
		t.Errorf("the hand-over took %v, as if the lease had been waited for", d)
	}
	leads(t, standby, "b:1")
	if second.Rev <= first.Rev || second.Key == first.Key {
		t.Errorf("term %d (%s) after %d (%s)", second.Rev, second.Key, first.Rev, first.Key)
	}
	own, err := c.Get(etcdtest.Context(t), second.Key)
	if err != nil || len(own.Kvs) != 1 || own.Kvs[0].CreateRevision != second.Rev {
		t.Errorf("the fence is not the key's create revision: %v %v", own, err)
	}
	if err := second.Resign(etcdtest.Context(t)); err != nil {
		t.Fatal(err)
	}
	leads(t, standby, "")
	candidates(t, c, 0)
}

func TestLeaderCutOffFromEtcd(t *testing.T) { // F5, P25
	t.Parallel()
	srv := etcdtest.Start(t)
	proxy := etcdtest.NewProxy(t, srv.Endpoint)
	cut := New(srv.Client(t, proxy.Addr), Options{TTL: 4 * time.Second}) // long for a busy machine, short for who waits
	first := campaign(t, cut, "a:1")
	watching, cancel := context.WithCancel(context.Background())
	defer cancel()
	go cut.Observe(watching)
	leads(t, cut, "a:1")
	won, _ := run(etcdtest.Context(t), New(srv.Client(t), Options{TTL: longLease}), "b:1")
	candidates(t, srv.Client(t), 2)
	proxy.Cut()
	expired(t, first)
	if second := <-won; second.Rev <= first.Rev {
		t.Errorf("term %d after %d", second.Rev, first.Rev)
	}
	leads(t, cut, "a:1") // it cannot know
	select {
	case <-first.Lost():
		t.Error("the term is over for sure, and nobody has said so")
	default:
	}
	proxy.Heal()
	ended(t, first)
	leads(t, cut, "b:1")
}

func TestRemovedKeyEndsTheTerm(t *testing.T) {
	c := etcdtest.Start(t).Client(t)
	term := campaign(t, New(c, Options{TTL: longLease}), "a:1")
	select {
	case <-term.Lost():
		t.Fatal("lost at once")
	case <-time.After(50 * time.Millisecond):
	}
	if err := term.Confirm(etcdtest.Context(t)); err != nil {
		t.Error(err)
	}
	if _, err := c.Delete(etcdtest.Context(t), term.Key); err != nil {
		t.Fatal(err)
	}
	if term.Confirm(etcdtest.Context(t)) == nil {
		t.Error("the lead is confirmed without its key")
	}
	ended(t, term)
}

// A process that was stalled reads too late that its lease was extended. Its client gives the lease up; the term goes on
// all the same if etcd still holds it, and no longer than that.
func TestLeaseOutlivesAStall(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t).Client(t)
	term := campaign(t, New(c, Options{TTL: longLease}), "a:1")
	first := term.session.Load()
	first.Orphan()
	for end := time.Now().Add(time.Minute); term.session.Load() == first; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the lease was not taken up again")
		}
	}
	select {
	case <-term.Expired():
		t.Fatal("the lease counts as expired")
	case <-term.Lost():
		t.Fatal("the term is lost")
	default:
	}
	if err := term.Confirm(etcdtest.Context(t)); err != nil {
		t.Error(err)
	}
	if _, err := c.Revoke(etcdtest.Context(t), term.session.Load().Lease()); err != nil {
		t.Fatal(err)
	}
	ended(t, term)
	expired(t, term)
}

func TestCancelledCandidateLeavesNothing(t *testing.T) {
	c := etcdtest.Start(t).Client(t)
	first := campaign(t, New(c, Options{}), "a:1")
	ctx, cancel := context.WithCancel(context.Background())
	_, failed := run(ctx, New(c, Options{}), "b:1")
	candidates(t, c, 2)
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("campaign: %v", err)
	}
	candidates(t, c, 1)
	select {
	case <-first.Lost():
		t.Error("the leader was disturbed")
	default:
	}
}

// A candidate whose lease ends while it waits must not win with a key that is gone.
func TestLeaseLostWhileWaiting(t *testing.T) {
	c := etcdtest.Start(t).Client(t)
	first := campaign(t, New(c, Options{}), "a:1")
	won, _ := run(etcdtest.Context(t), New(c, Options{}), "b:1")
	candidates(t, c, 2)
	all, err := c.Get(etcdtest.Context(t), "/marathon/v1/leader/", clientv3.WithLastCreate()...)
	if err != nil {
		t.Fatal(err)
	}
	old := all.Kvs[0]
	if _, err := c.Revoke(etcdtest.Context(t), clientv3.LeaseID(old.Lease)); err != nil {
		t.Fatal(err)
	}
	if err := first.Resign(etcdtest.Context(t)); err != nil {
		t.Fatal(err)
	}
	second := <-won
	if second.Key == string(old.Key) {
		t.Error("won with an expired key")
	}
	own, err := c.Get(etcdtest.Context(t), second.Key)
	if err != nil || len(own.Kvs) != 1 {
		t.Errorf("the leader's key is gone: %v %v", own, err)
	}
}

func TestSameIdentityTwice(t *testing.T) { // behaviour 9.1, F7
	t.Parallel()
	c := etcdtest.Start(t).Client(t)
	campaign(t, New(c, Options{TTL: longLease}), "a:1")
	if _, err := New(c, Options{TTL: time.Second}).Campaign(etcdtest.Context(t), "a:1"); !errors.Is(err, ErrDuplicate) {
		t.Errorf("campaign of a twin: %v, want ErrDuplicate", err)
	}
}

// A process killed and started again within its lease is no twin of itself.
func TestComeBackWithinTheLease(t *testing.T) {
	srv := etcdtest.Start(t)
	proxy := etcdtest.NewProxy(t, srv.Endpoint)
	campaign(t, New(srv.Client(t, proxy.Addr), Options{TTL: time.Second}), "a:1")
	proxy.Cut()
	campaign(t, New(srv.Client(t), Options{TTL: 30 * time.Second}), "a:1") // so long it waits for the other's lease to end
}

// With an etcd of its own a process that was killed leads again at once, however long its lease still is.
func TestAlone(t *testing.T) {
	c := etcdtest.Start(t).Client(t)
	long := 10 * time.Minute // far beyond the test's own limit
	dead := campaign(t, New(c, Options{TTL: long}), "a:1")
	again := campaign(t, New(c, Options{TTL: long, Alone: true}), "a:1")
	if again.Rev <= dead.Rev {
		t.Errorf("term %d after %d", again.Rev, dead.Rev)
	}
	<-dead.Lost()
	candidates(t, c, 1)
}

func TestDial(t *testing.T) {
	srv := etcdtest.Start(t)
	ctx := etcdtest.Context(t)
	c, err := Dial(ctx, Etcd{Endpoints: []string{srv.Endpoint}, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := Dial(ctx, Etcd{}); err == nil {
		t.Error("no endpoint passed")
	}
	if _, err = Dial(ctx, Etcd{Endpoints: []string{"127.0.0.1:1"}, Timeout: 300 * time.Millisecond}); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("nobody there: %v", err)
	}

	if !AuthenticationOff(ctx, c) {
		t.Error("authentication is said to be on")
	}
	for _, step := range []func() error{
		func() error { _, err := c.UserAdd(ctx, "root", "right"); return err },
		func() error { _, err := c.RoleAdd(ctx, "root"); return err },
		func() error { _, err := c.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := c.AuthEnable(ctx); return err },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Dial(ctx, Etcd{Endpoints: []string{srv.Endpoint}, Username: "root", Password: "wrong", Timeout: time.Minute}); err == nil {
		t.Error("a wrong password passed")
	}
	in, err := Dial(ctx, Etcd{Endpoints: []string{srv.Endpoint}, Username: "root", Password: "right", Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if AuthenticationOff(ctx, in) || AuthenticationOff(ctx, c) {
		t.Error("authentication is said to be off")
	}
	_ = in.Close()
}

func TestTLSFilesNameTheirTrouble(t *testing.T) { // S3
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range []TLSFiles{{CA: "/no/such/file"}, {CA: empty}, {Cert: empty, Key: empty}} {
		_, err := f.Config()
		if err == nil || !strings.Contains(err.Error(), f.CA+f.Cert) {
			t.Errorf("%+v: %v", f, err)
		}
	}
	if _, err := (TLSFiles{Cert: "x"}).Config(); err == nil {
		t.Error("a certificate without a key passed")
	}
	if _, err := (TLSFiles{}).Config(); err != nil {
		t.Error(err)
	}
}
