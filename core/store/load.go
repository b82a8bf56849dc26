package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"

	"stadion/core"
	"stadion/core/state"
)

// maxQuarantined bounds the reports of one load but for those of instances and definitions; rows beyond are left out all the same.
const maxQuarantined = 1000

// Load reads the whole state at one revision, after bringing an interrupted large batch to its end. Rows it cannot
// read are left out and listed by Quarantined; current definitions whose version is gone fall back to the newest
// stored one (behaviour.md 1.10) and are listed too. Load fails with ErrFenced when another leader has taken over,
// with ErrNewerSchema for data of a later version, and with ErrUnavailable when etcd does not answer (D-56: a term
// does not begin on half a state).
func (s *Store) Load(ctx context.Context) (*state.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parts, s.extras, s.quarantined = map[string]int{}, map[string]extra{}, nil
	if err := s.checkSchema(ctx); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	if err := s.recoverLog(ctx); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	l := &loading{s: s, st: state.New(), parts: map[string][]byte{}, same: make([]shared, runtime.GOMAXPROCS(0))}
	if err := l.read(ctx); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	seq, err := parseSeq(l.seq)
	if err != nil {
		s.report(keySeq, err)
		seq = uint64(s.fence.Rev) // batches must not count backwards; revisions never do
	}
	l.joinParts()
	for _, id := range l.st.Finish() {
		s.report(dirSpecs+safe(id), errors.New("the current version is missing"))
	}
	s.seq, s.seqValue, s.logged, s.loaded = seq, l.seq, nil, true
	return l.st, nil
}

// checkSchema writes the version of the layout where there is none or an older one, and refuses a later one that this
// version cannot read. It is also the first proof of the fence.
func (s *Store) checkSchema(ctx context.Context) error {
	found := ""
	for {
		v, err := s.db.apply(ctx, guard{s.fence, s.root + keySchema, found}, []op{{opPut, s.root + keySchema, []byte(own().String())}})
		switch {
		case err != nil:
			return fmt.Errorf("schema version: %w", err)
		case v.fenced:
			return ErrFenced
		case v.ok:
			s.rev = v.rev
			return nil
		}
		have, err := parseSchema([]byte(v.found))
		if err != nil {
			s.report(keySchema, err)
			return nil
		}
		if err := have.readable(); err != nil {
			return err
		}
		if have.Version >= own().Version || v.found == found {
			return nil
		}
		found = v.found
	}
}

// loading is one load in progress.
type loading struct {
	s     *Store
	st    *state.State
	seq   string
	parts map[string][]byte // pieces of split values, by relative key
	heads []pair            // rows whose value is split
	same  []shared          // what rows have in common, one for each processor
}

// row is one read key on its way into the state.
type row struct {
	key   string // relative
	raw   []byte
	write state.Write
	extra extra
	err   error
}

// read scans all keys, page by page at one revision. While a page is decoded the next one is on its way.
func (l *loading) read(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pages := make(chan []row, 1)
	failed := make(chan error, 1)
	go func() {
		defer close(pages)
		failed <- l.fetch(ctx, pages)
	}()
	for rows := range pages {
		l.decodeAll(rows)
		for i := range rows {
			l.take(&rows[i])
		}
	}
	return <-failed
}

func (l *loading) fetch(ctx context.Context, pages chan<- []row) error {
	return l.s.scanPages(ctx, l.s.root, prefixEnd(l.s.root), 0, func(pairs []pair) error {
		rows := make([]row, len(pairs))
		for i, kv := range pairs {
			rows[i] = row{key: strings.TrimPrefix(kv.key, l.s.root), raw: kv.value}
		}
		select {
		case pages <- rows:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// scanAll calls f for all keys of a range in order, at one revision.
func (s *Store) scanAll(ctx context.Context, from, end string, f func(pair) error) error {
	return s.scanAt(ctx, from, end, 0, f)
}

// scanAt is scanAll at a given revision; 0 is the present one.
func (s *Store) scanAt(ctx context.Context, from, end string, rev int64, f func(pair) error) error {
	return s.scanPages(ctx, from, end, rev, func(pairs []pair) error {
		for _, kv := range pairs {
			if err := f(kv); err != nil {
				return err
			}
		}
		return nil
	})
}

// scanPages is scanAt page by page.
func (s *Store) scanPages(ctx context.Context, from, end string, rev int64, f func([]pair) error) error {
	w := newWindow(from, end)
	for {
		p, err := s.db.scan(ctx, w.from, w.to, rev, s.opts.PageSize)
		if err != nil {
			return fmt.Errorf("rows from %q: %w", w.from, err)
		}
		if err := f(p.pairs); err != nil {
			return err
		}
		if rev = p.rev; !w.next(p, s.opts.PageSize) {
			return nil
		}
	}
}

// decodeAll decodes rows on all processors, each of which takes neighbours.
func (l *loading) decodeAll(rows []row) {
	var wg sync.WaitGroup
	n := len(l.same)
	for w := range n {
		wg.Go(func() {
			for i := len(rows) * w / n; i < len(rows)*(w+1)/n; i++ {
				rows[i].decode(&l.same[w])
			}
		})
	}
	wg.Wait()
}

// errSplit marks a row whose value must be joined first.
var errSplit = errors.New("value stands in parts")

func (r *row) decode(sh *shared) {
	if isReserved(r.key) {
		return
	}
	if n, err := partsIn(r.raw); n > 0 || err != nil {
		r.err = errSplit
		return
	}
	raw, err := unpack(r.raw)
	if err != nil {
		r.err = err
		return
	}
	r.write, r.extra, r.err = decodeRow(r.key, raw, sh)
}

// take puts a decoded row into the state.
func (l *loading) take(r *row) {
	switch {
	case r.key == keySeq:
		l.seq = string(r.raw)
	case strings.HasPrefix(r.key, dirParts):
		l.parts[r.key] = r.raw
	case isReserved(r.key):
	case r.err == errSplit:
		l.heads = append(l.heads, pair{r.key, r.raw})
	case r.err != nil:
		l.s.report(r.key, r.err)
	default:
		if err := l.st.Load(r.write); err != nil {
			l.s.report(r.key, err)
			return
		}
		if r.extra != nil {
			l.s.extras[r.key] = r.extra
		}
	}
}

// joinParts decodes the rows whose values stand in parts.
func (l *loading) joinParts() {
	for _, h := range l.heads {
		n, err := partsIn(h.value)
		if err != nil {
			l.s.report(h.key, err)
			continue
		}
		l.s.parts[h.key] = n
		r := row{key: h.key}
		for i := range n {
			p, ok := l.parts[partKey(h.key, i)]
			if !ok {
				r.err = fmt.Errorf("part %d of %d is missing", i, n)
				break
			}
			r.raw = append(r.raw, p...)
		}
		if r.err == nil {
			r.decode(&l.same[0])
		}
		l.take(&r)
	}
}

func (s *Store) report(key string, err error) {
	q := Quarantined{Key: s.root + key, Err: err}
	if name, ok := strings.CutPrefix(key, dirInstances); ok {
		q.Instance = core.InstanceID(instanceID(name))
	} else if name, ok := strings.CutPrefix(key, dirSpecs); ok {
		q.Spec = fromSafe(name)
	} else {
		for _, dir := range []string{dirApps, dirPods} {
			if name, ok := strings.CutPrefix(key, dir); ok {
				name, _, _ = strings.Cut(name, "/")
				q.Spec = fromSafe(name)
			}
		}
	}
	// What keeps tasks and volumes alive is never left out of the list.
	if len(s.quarantined) < maxQuarantined || q.Instance != "" || q.Spec != "" {
		s.quarantined = append(s.quarantined, q)
	}
}
