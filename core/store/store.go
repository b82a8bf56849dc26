package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"stadion/core"
	"stadion/core/state"
)

// Fence is the proof of leadership that each write carries: the leader key and its create revision.
type Fence struct {
	Key string
	Rev int64
}

// Options are the settings of a store; zero values mean the defaults.
type Options struct {
	Prefix      string        // root of all keys, DefaultPrefix
	MaxTxnOps   int           // operations per transaction; on etcd its --max-txn-ops, from which New derives them (see NestedOps)
	MaxTxnBytes int           // bytes per transaction; not more than etcd's --max-request-bytes
	Timeout     time.Duration // for one request to etcd
	PageSize    int           // rows per range read while loading
}

// The defaults and bounds.
const (
	DefaultPrefix    = "/marathon"
	DefaultMaxTxnOps = 128                   // etcd's own default
	etcdRequestLimit = 3 << 19               // 1.5 MiB, etcd's own default
	requestSlack     = 128 << 10             // for what a request carries besides its operations
	DefaultTimeout   = 5 * time.Second       // one request
	DefaultPageSize  = 1000                  // rows
	CompactBytes     = 8 << 20               // written since the last compaction, from which the next one is due earlier
	minTxnOps        = 4                     // below this etcd is not usable
	minTxnBytes      = MaxValue + opOverhead // one part must fit
)

func (o Options) withDefaults() Options {
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if o.MaxTxnOps == 0 {
		o.MaxTxnOps = DefaultMaxTxnOps
	}
	if o.MaxTxnBytes == 0 {
		o.MaxTxnBytes = etcdRequestLimit - requestSlack
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.PageSize == 0 {
		o.PageSize = DefaultPageSize
	}
	return o
}

// root is what all keys of this layout begin with.
func (o Options) root() string { return strings.TrimSuffix(o.Prefix, "/") + "/v1/" }

// Quarantined is a stored row that was left out of the state because it cannot be read (F14).
type Quarantined struct {
	Key string // full key
	Err error
	// Instance is the instance whose row it is, if any: its task may well be alive and is not to be killed as unknown.
	Instance core.InstanceID
	// Spec is the app or pod whose definition it is, if any: if it is missing in the state, it was not deleted by anybody.
	Spec core.PathID
}

// Store writes and loads the rows of one leader's term. Load comes first. Its methods may be called from several
// goroutines, but commits are serial by nature.
type Store struct {
	db    backend
	opts  Options
	root  string
	fence Fence

	mu          sync.Mutex
	loaded      bool
	seq         uint64 // last committed batch
	seqValue    string // its text in etcd; "" before the first
	logged      *redoLog
	parts       map[string]int   // number of parts of rows that have any
	extras      map[string]extra // unknown fields of rows that have any (U4)
	quarantined []Quarantined
	rev         int64 // of the last commit
	compacted   int64 // revision that the next compaction goes up to

	written atomic.Int64 // bytes since the last compaction
}

func newStore(db backend, fence Fence, o Options) *Store {
	o = o.withDefaults()
	return &Store{db: db, opts: o, root: o.root(), fence: fence, parts: map[string]int{}, extras: map[string]extra{}}
}

// Seq is the number of the last committed batch, 0 before the first.
func (s *Store) Seq() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seq
}

// Term is the number of the leader's term: the create revision of its key, which only grows.
func (s *Store) Term() int64 { return s.fence.Rev }

// Quarantined lists the rows that Load left out.
func (s *Store) Quarantined() []Quarantined {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Quarantined(nil), s.quarantined...)
}

// Commit makes a batch durable: all of it or nothing, and only under this leader's fence. The number of a batch must
// be greater than that of the last one. Errors: ErrFenced ends the term; ErrNoSpace and ErrUnavailable mean that the
// same batch is to be committed again, unchanged; anything else is a batch that cannot be stored.
func (s *Store) Commit(ctx context.Context, seq uint64, writes []state.Write) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.loaded {
		return errors.New("commit before load")
	}
	if seq <= s.seq {
		return fmt.Errorf("batch %d after batch %d", seq, s.seq)
	}
	b, err := s.encode(writes)
	if err != nil {
		return fmt.Errorf("batch %d: %w", seq, err)
	}
	for {
		err := s.write(ctx, seq, b)
		if !errors.Is(err, errTooBig) || !s.shrink() {
			if err == nil {
				s.accept(seq, b)
				return nil
			}
			return fmt.Errorf("commit of batch %d with %d rows: %w", seq, len(writes), err)
		}
	}
}

// encoded is a batch as operations, with what is to be remembered once it is committed.
type encoded struct {
	ops     []op
	size    int
	parts   map[string]int
	removed []string
}

func (s *Store) encode(writes []state.Write) (*encoded, error) {
	b := &encoded{ops: make([]op, 0, len(writes)), parts: map[string]int{}}
	for _, w := range writes {
		keys, err := keysOf(w)
		if err != nil {
			return nil, err
		}
		if w.Value == nil {
			for _, k := range keys {
				b.ops = append(b.ops, deleteOps(k, s.parts[k])...)
				b.removed = append(b.removed, k)
			}
			continue
		}
		raw, err := encodeRow(w, s.extras[keys[0]])
		if err == nil {
			raw, err = pack(raw)
		}
		if err != nil {
			return nil, fmt.Errorf("row %s: %w", keys[0], err)
		}
		ops, parts := putOps(keys[0], raw, s.parts[keys[0]])
		b.ops = append(b.ops, ops...)
		if parts > 0 || s.parts[keys[0]] > 0 {
			b.parts[keys[0]] = parts
		}
	}
	for i := range b.ops {
		b.ops[i].key = s.root + b.ops[i].key
		b.size += b.ops[i].size()
	}
	return b, nil
}

// write commits in one transaction, or through the redo log where one is too small.
func (s *Store) write(ctx context.Context, seq uint64, b *encoded) error {
	if s.logged != nil && s.logged.seq == seq {
		return s.finish(ctx, s.logged)
	}
	last := op{opPut, s.root + keySeq, []byte(seqText(seq, s.fence.Rev))}
	if len(b.ops)+1 > s.opts.MaxTxnOps || b.size+last.size() > s.opts.MaxTxnBytes {
		return s.writeLarge(ctx, seq, b)
	}
	_, err := s.advance(ctx, seq, append(b.ops[:len(b.ops):len(b.ops)], last))
	return err
}

// advance runs a transaction that is to happen between the last committed batch and batch seq. done reports that seq
// already holds the new batch: an earlier attempt with an unknown outcome did happen (D-20, F9).
func (s *Store) advance(ctx context.Context, seq uint64, ops []op) (done bool, err error) {
	v, err := s.db.apply(ctx, guard{s.fence, s.root + keySeq, s.seqValue}, ops)
	switch {
	case err != nil:
		return false, err
	case v.ok:
		s.rev = v.rev
		return false, nil
	case v.fenced:
		return false, ErrFenced
	case v.found == seqText(seq, s.fence.Rev):
		return true, nil
	}
	return false, fmt.Errorf("%w: %s holds %q instead of %q", ErrFenced, keySeq, v.found, s.seqValue)
}

// accept remembers a committed batch.
func (s *Store) accept(seq uint64, b *encoded) {
	s.seq, s.seqValue, s.logged = seq, seqText(seq, s.fence.Rev), nil
	s.written.Add(int64(b.size))
	for k, n := range b.parts {
		s.parts[k] = n
		if n == 0 {
			delete(s.parts, k)
		}
	}
	for _, k := range b.removed {
		delete(s.parts, k)
		delete(s.extras, k)
	}
}

// shrink adapts to an etcd that takes less than its defaults; false when there is nothing left to give up.
func (s *Store) shrink() bool {
	if s.opts.MaxTxnOps <= minTxnOps && s.opts.MaxTxnBytes <= minTxnBytes {
		return false
	}
	s.opts.MaxTxnOps = max(s.opts.MaxTxnOps/2, minTxnOps)
	s.opts.MaxTxnBytes = max(s.opts.MaxTxnBytes/2, minTxnBytes)
	return true
}

// Grown reports that much was written since the last compaction: a storm would fill etcd before the next regular one
// (P14, F11).
func (s *Store) Grown() bool { return s.written.Load() >= CompactBytes }

// Compact forgets the history of etcd up to where the store stood at the call before. Called every few minutes it
// keeps the database small and leaves watchers one interval to catch up (F11). It concerns the whole etcd cluster.
func (s *Store) Compact(ctx context.Context) error {
	s.mu.Lock()
	upTo, now := s.compacted, s.rev
	s.mu.Unlock()
	if upTo > 0 {
		if err := s.db.compact(ctx, upTo); err != nil {
			return fmt.Errorf("compaction up to revision %d: %w", upTo, err)
		}
	}
	s.written.Store(0)
	s.mu.Lock()
	s.compacted = now
	s.mu.Unlock()
	return nil
}
