package leader

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// The defaults and bounds of an election.
const (
	DefaultPrefix  = "/marathon"
	DefaultTTL     = 10 * time.Second
	requestTimeout = 5 * time.Second        // one request to etcd
	resumeTimeout  = time.Second            // to hear that a lease goes on after all
	retryPause     = 500 * time.Millisecond // after an error
	twinMargin     = 2 * time.Second        // a lease may outlive its TTL by this before etcd removes its keys
)

// ErrDuplicate says that another candidate uses the same identity.
var ErrDuplicate = errors.New("another candidate has the same identity")

// Options are the settings of an election; zero values mean the defaults.
type Options struct {
	Prefix string        // root of all keys, as in core/store
	TTL    time.Duration // of the lease, whole seconds; etcd has a minimum of its own of about 2 s
	// Reach tries whether the process that holds a candidacy is there at its identity; with it a candidate takes over from
	// a process that died before its lease has ended (P25). nil: leases are waited for. Door.Knock is one.
	Reach func(ctx context.Context, identity, candidacy string) error
	// Seat stands for the place where this process listens, where no other one can listen at the same time. A candidate of
	// our identity and our seat is of a process that died, and nobody waits for its lease. Empty: not known.
	Seat string
	// Alone says that nobody but this process can reach the etcd, as with an embedded one: candidates that are there
	// before it begins are of processes that died, and nobody waits for their leases.
	Alone bool
}

// Election is the election below one prefix.
type Election struct {
	c   *clientv3.Client
	dir string
	ttl time.Duration

	reach func(context.Context, string, string) error
	seat  string
	alone bool
	water watermark

	candidacy atomic.Value // string: the last part of the key we hold or are about to write

	mu       sync.Mutex
	identity string
	known    bool
	changed  chan struct{} // closed by the next change of identity
}

// New joins nothing yet.
func New(c *clientv3.Client, o Options) *Election {
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if o.TTL == 0 {
		o.TTL = DefaultTTL
	}
	return &Election{c: c, dir: strings.TrimSuffix(o.Prefix, "/") + "/v1/leader/", ttl: max(o.TTL.Round(time.Second), time.Second),
		reach: o.Reach, seat: o.Seat, alone: o.Alone, water: watermark{broken: make(chan struct{})}, changed: make(chan struct{})}
}

// Term is the time for which this process leads.
type Term struct {
	Key      string // with Rev: the fence of each write
	Rev      int64  // create revision of Key; also the number of the term
	Identity string

	e       *Election
	session atomic.Pointer[concurrency.Session]
	expired chan struct{}
	lost    chan struct{}
	stop    context.CancelFunc
}

// Expired is closed when the lease has ended by the clock, at the latest with Lost: from now on somebody else may lead,
// and nothing may be decided any more. While etcd is silent it is not known whether somebody does.
func (t *Term) Expired() <-chan struct{} { return t.expired }

// Lost is closed when the term is over for sure: the key is gone, it was resigned, or etcd answers again after the lease
// has expired.
func (t *Term) Lost() <-chan struct{} { return t.lost }

// Campaign waits until this process leads. identity is host:port as clients and standbys reach it. It tries on through
// troubles of etcd until ctx ends; ErrDuplicate and ErrRolledBack are final.
func (e *Election) Campaign(ctx context.Context, identity string) (*Term, error) {
	twinUntil := time.Now().Add(e.ttl + twinMargin)
	for {
		t, err := e.campaign(ctx, identity, twinUntil)
		if err == nil {
			return t, nil
		}
		if errors.Is(err, ErrDuplicate) || errors.Is(err, ErrRolledBack) {
			return nil, fmt.Errorf("campaign as %s: %w", identity, err)
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return nil, fmt.Errorf("campaign as %s: %w", identity, errors.Join(ctx.Err(), err))
		}
	}
}

func (e *Election) campaign(ctx context.Context, identity string, twinUntil time.Time) (*Term, error) {
	before := func() error { return e.awaitTwin(ctx, identity, twinUntil) }
	if e.alone {
		before = func() error { return e.evict(ctx) }
	}
	if err := before(); err != nil {
		return nil, err
	}
	session, err := e.session(ctx)
	if err != nil {
		return nil, err
	}
	candidacy := fmt.Sprintf("%x%s", session.Lease(), e.seatMark())
	t := &Term{Identity: identity, e: e, expired: make(chan struct{}), lost: make(chan struct{}), Key: e.dir + candidacy}
	t.session.Store(session)
	e.candidacy.Store(candidacy) // before the key is there: nobody may take us for another process than the one that wrote it
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // without the lease there is no key to win with
		select {
		case <-session.Done():
			cancel()
		case <-e.water.broken:
			cancel()
		case <-waiting.Done():
		}
	}()
	if err = t.enter(waiting); err == nil {
		err = t.awaitTurn(waiting)
	}
	if err != nil {
		t.revoke(context.WithoutCancel(ctx))
		if rolled := e.RolledBack(); rolled != nil {
			return nil, rolled
		}
		return nil, err
	}
	guarding, stop := context.WithCancel(e.c.Ctx())
	t.stop = stop
	go t.guard(guarding)
	return t, nil
}

// session takes a lease and keeps it alive. The lease belongs to the client, not to ctx: a term outlives its campaign.
func (e *Election) session(ctx context.Context) (*concurrency.Session, error) {
	req, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	lease, err := e.c.Grant(req, int64(e.ttl/time.Second))
	if err != nil {
		return nil, fmt.Errorf("lease of %v: %w", e.ttl, err)
	}
	return e.keep(lease.ID)
}

// keep keeps a lease alive.
func (e *Election) keep(lease clientv3.LeaseID) (*concurrency.Session, error) {
	s, err := concurrency.NewSession(e.c, concurrency.WithLease(lease), concurrency.WithTTL(int(e.ttl/time.Second)))
	if err != nil {
		return nil, fmt.Errorf("keep-alive of the lease: %w", err)
	}
	return s, nil
}

// enter writes the candidate's key.
func (t *Term) enter(ctx context.Context) error {
	req, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	resp, err := t.e.c.Txn(req).If(clientv3.Compare(clientv3.CreateRevision(t.Key), "=", 0)).
		Then(clientv3.OpPut(t.Key, t.Identity, clientv3.WithLease(t.session.Load().Lease()))).Commit()
	if err != nil {
		return fmt.Errorf("candidate key: %w", err)
	}
	if !resp.Succeeded {
		return fmt.Errorf("candidate key %s exists", t.Key)
	}
	t.Rev = resp.Header.Revision
	return nil
}

// awaitTurn waits until no older candidate is left, and makes sure that our own key still is.
func (t *Term) awaitTurn(ctx context.Context) error {
	for {
		before, err := t.e.get(ctx, t.e.dir, append(clientv3.WithLastCreate(), clientv3.WithMaxCreateRev(t.Rev-1))...)
		if err != nil {
			return fmt.Errorf("candidates before us: %w", err)
		}
		if len(before.Kvs) == 0 {
			own, err := t.e.get(ctx, t.Key)
			if err != nil {
				return fmt.Errorf("own key: %w", err)
			}
			if len(own.Kvs) == 0 || own.Kvs[0].CreateRevision != t.Rev {
				return errors.New("the lease expired while waiting")
			}
			return nil
		}
		waiting, stop := context.WithCancel(ctx)
		if t.e.reach != nil {
			go t.e.hasten(waiting, before.Kvs[0])
		}
		err = t.e.awaitChange(ctx, string(before.Kvs[0].Key), before.Header.Revision+1)
		stop()
		if err != nil {
			return fmt.Errorf("candidate before us: %w", err)
		}
	}
}

// guard closes expired when the lease or the key is gone, and lost when etcd has said so. The end of the lease is known
// here, by the clock, and must not wait for a request that hangs.
func (t *Term) guard(ctx context.Context) {
	defer close(t.lost)
	expire := sync.OnceFunc(func() { close(t.expired) })
	defer expire()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		t.awaitRemoval(ctx)
	}()
	for {
		select {
		case <-gone:
		case <-t.session.Load().Done():
			if t.resume(ctx) {
				continue
			}
			expire()
			t.awaitAnswer(ctx, gone)
		case <-t.e.water.broken:
		case <-ctx.Done():
		}
		return
	}
}

// resume asks etcd once whether a lease that has ended by our clock has ended there too: after a stall of this process
// the answers that extended it may not have been read yet. What is written meanwhile carries the fence.
func (t *Term) resume(ctx context.Context) bool {
	req, cancel := context.WithTimeout(ctx, resumeTimeout)
	defer cancel()
	lease := t.session.Load().Lease()
	if left, err := t.e.c.KeepAliveOnce(req, lease); err != nil || left.TTL <= 0 {
		return false
	}
	s, err := t.e.keep(lease)
	if err != nil {
		return false
	}
	t.session.Store(s)
	return true
}

// awaitAnswer returns when etcd answers, whatever it says, or with ctx.
func (t *Term) awaitAnswer(ctx context.Context, gone <-chan struct{}) {
	for {
		if _, err := t.e.get(ctx, t.Key); err == nil {
			return
		}
		select {
		case <-time.After(retryPause):
		case <-gone:
			return
		case <-t.e.water.broken:
			return
		case <-ctx.Done():
			return
		}
	}
}

// awaitRemoval returns when the key is gone, or with ctx.
func (t *Term) awaitRemoval(ctx context.Context) {
	for ctx.Err() == nil {
		own, err := t.e.get(ctx, t.Key)
		if err == nil && (len(own.Kvs) == 0 || own.Kvs[0].CreateRevision != t.Rev) {
			return
		}
		if err == nil {
			err = t.e.awaitChange(ctx, t.Key, own.Header.Revision+1)
		}
		if err != nil {
			select {
			case <-time.After(retryPause):
			case <-ctx.Done():
			}
		}
	}
}

// Confirm asks etcd, with its quorum, whether the term goes on. Without an error nobody else led when it was called.
func (t *Term) Confirm(ctx context.Context) error {
	own, err := t.e.get(ctx, t.Key)
	switch {
	case err != nil:
		return fmt.Errorf("confirm the lead: %w", err)
	case len(own.Kvs) == 0 || own.Kvs[0].CreateRevision != t.Rev:
		return errors.New("confirm the lead: the key is gone")
	}
	return nil
}

// Resign ends the term at once, so that another candidate need not wait for the lease to expire.
func (t *Term) Resign(ctx context.Context) error {
	req, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err := t.e.c.Txn(req).If(clientv3.Compare(clientv3.CreateRevision(t.Key), "=", t.Rev)).Then(clientv3.OpDelete(t.Key)).Commit()
	t.stop()
	<-t.lost
	t.revoke(ctx)
	if err != nil {
		return fmt.Errorf("resign: %w", err)
	}
	return nil
}

// revoke gives the lease back as well as it can; otherwise it expires.
func (t *Term) revoke(ctx context.Context) {
	t.session.Load().Orphan()
	req, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, _ = t.e.c.Revoke(req, t.session.Load().Lease())
}

// seatMark ends the keys of all processes that have listened where we do. It is part of the name and not of the value,
// which servers of older versions read as an identity (U1).
func (e *Election) seatMark() string {
	if e.seat == "" {
		return ""
	}
	return "." + e.seat
}

// awaitTwin waits for a candidate of the same identity to vanish, at most until a lease must have ended. One of our own
// seat is removed: its process is gone, as we listen where it did.
func (e *Election) awaitTwin(ctx context.Context, identity string, until time.Time) error {
	for {
		all, err := e.get(ctx, e.dir, clientv3.WithPrefix())
		if err != nil {
			return fmt.Errorf("other candidates: %w", err)
		}
		twin := ""
		for _, kv := range all.Kvs {
			switch mark := e.seatMark(); {
			case string(kv.Value) != identity:
			case mark != "" && strings.HasSuffix(string(kv.Key), mark):
				if err := e.remove(ctx, kv); err != nil {
					return fmt.Errorf("our own candidate of before: %w", err)
				}
			default:
				twin = string(kv.Key)
			}
		}
		if twin == "" {
			return nil
		}
		if !time.Now().Before(until) {
			return ErrDuplicate
		}
		limited, cancel := context.WithDeadline(ctx, until)
		err = e.awaitChange(limited, twin, all.Header.Revision+1)
		cancel()
		if err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// remove deletes a candidate's key unless another one has come in its place.
func (e *Election) remove(ctx context.Context, kv *mvccpb.KeyValue) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err := e.c.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(string(kv.Key)), "=", kv.CreateRevision)).
		Then(clientv3.OpDelete(string(kv.Key))).Commit()
	return err
}

// evict removes the candidates that dead processes left.
func (e *Election) evict(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if _, err := e.c.Delete(ctx, e.dir, clientv3.WithPrefix()); err != nil {
		return fmt.Errorf("remove dead candidates: %w", err)
	}
	return nil
}

func (e *Election) get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	level := e.water.level()
	resp, err := e.c.Get(ctx, key, opts...)
	if err == nil {
		err = e.water.rise(resp.Header, level)
	}
	return resp, err
}

// awaitChange returns nil when something happened to the key since a revision, and an error when the watch broke; in
// both cases the caller reads anew, so a compacted revision does no harm (F11).
func (e *Election) awaitChange(ctx context.Context, key string, rev int64, opts ...clientv3.OpOption) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	for resp := range e.c.Watch(ctx, key, append(opts, clientv3.WithRev(rev))...) {
		if err := resp.Err(); err != nil {
			return fmt.Errorf("watch of %s: %w", key, err)
		}
		if len(resp.Events) > 0 {
			return nil
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return fmt.Errorf("watch of %s ended", key)
}
