package store

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// A backup is a gzipped tar that any tool can list:
//
//	stadion-backup.json   the manifest
//	v1/<key>              one entry per key below <prefix>/v1/, as stored
//	checksum              SHA-256 over all keys and values, and their number
//
// Keys of the election and the runtime configuration are no part of it. Without its last entry a backup is not whole.
const (
	backupManifest = "stadion-backup.json"
	backupRoot     = "v1/"
	backupChecksum = "checksum"
	backupFormat   = 1
	maxBackup      = 1 << 30 // bytes of values that Restore takes into memory
)

// Manifest says what a backup is.
type Manifest struct {
	Format   int       `json:"format"`
	Prefix   string    `json:"prefix"`
	Revision int64     `json:"revision"` // of etcd, at which everything was read
	Created  time.Time `json:"created"`
}

// Archive is a backup that was read and found whole.
type Archive struct {
	Manifest
	pairs map[string][]byte // by key below the root
}

// Len is the number of keys in the archive.
func (a *Archive) Len() int { return len(a.pairs) }

// passing are keys that belong to a running cluster, not to its state.
func passing(key string) bool { return strings.HasPrefix(key, "leader/") || key == keyRuntime }

// Backup writes everything below the prefix to w, as of one revision, and returns what it wrote. It needs no fence.
// Keys of others that no archive can name (not UTF-8, or with a zero byte) are left out and counted.
func (s *Store) Backup(ctx context.Context, w io.Writer) (m Manifest, keys, leftOut int, err error) {
	packed := gzip.NewWriter(w)
	out := tar.NewWriter(packed)
	sum := sha256.New()
	m = Manifest{Format: backupFormat, Prefix: s.opts.Prefix, Created: time.Now().UTC().Truncate(time.Second)}
	entry := func(name string, data []byte) error {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(data)), ModTime: m.Created}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		_, err := out.Write(data)
		return err
	}
	first, err := s.db.scan(ctx, s.root, prefixEnd(s.root), 0, 1)
	if err != nil {
		return m, 0, 0, fmt.Errorf("backup: %w", err)
	}
	m.Revision = first.rev
	head, err := json.Marshal(m)
	if err == nil {
		err = entry(backupManifest, head)
	}
	if err == nil {
		err = s.scanAt(ctx, s.root, prefixEnd(s.root), first.rev, func(p pair) error {
			key := strings.TrimPrefix(p.key, s.root)
			switch {
			case passing(key):
				return nil
			case !utf8.ValidString(key), strings.ContainsRune(key, 0):
				leftOut++
				return nil
			}
			keys++
			digest(sum, key, p.value)
			return entry(backupRoot+key, p.value)
		})
	}
	if err == nil {
		err = entry(backupChecksum, fmt.Appendf(nil, "%s %d\n", hex.EncodeToString(sum.Sum(nil)), keys))
	}
	if err == nil {
		err = errors.Join(out.Close(), packed.Close())
	}
	if err != nil {
		return m, 0, 0, fmt.Errorf("backup: %w", err)
	}
	return m, keys, leftOut, nil
}

// digest adds one pair to a checksum, with lengths, so that nothing can move between keys and values.
func digest(sum hash.Hash, key string, value []byte) {
	var n [16]byte
	binary.BigEndian.PutUint64(n[:8], uint64(len(key)))
	binary.BigEndian.PutUint64(n[8:], uint64(len(value)))
	sum.Write(n[:])
	sum.Write([]byte(key))
	sum.Write(value)
}

// ReadBackup reads a whole backup and checks it. Nothing is restored yet.
func ReadBackup(r io.Reader) (*Archive, error) {
	packed, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("not a backup of Stadion: %w", err)
	}
	a := &Archive{pairs: map[string][]byte{}}
	sum, size, whole := sha256.New(), 0, false
	in := tar.NewReader(packed)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("the backup is damaged: %w", err)
		}
		if whole {
			return nil, fmt.Errorf("the backup is damaged: %s stands behind the checksum", h.Name)
		}
		data, err := io.ReadAll(io.LimitReader(in, maxBackup-int64(size)+1))
		if err != nil {
			return nil, fmt.Errorf("the backup is damaged: %s: %w", h.Name, err)
		}
		if size += len(data); size > maxBackup {
			return nil, fmt.Errorf("the backup is larger than %d bytes", maxBackup)
		}
		key, row := strings.CutPrefix(h.Name, backupRoot)
		switch {
		case a.Format == 0 && h.Name != backupManifest:
			return nil, fmt.Errorf("not a backup of Stadion: it begins with %q", h.Name)
		case h.Name == backupManifest:
			if err := json.Unmarshal(data, &a.Manifest); err != nil {
				return nil, fmt.Errorf("manifest of the backup: %w", err)
			}
			if a.Format != backupFormat {
				return nil, fmt.Errorf("the backup has format %d, known is %d", a.Format, backupFormat)
			}
		case h.Name == backupChecksum:
			if want := fmt.Sprintf("%s %d\n", hex.EncodeToString(sum.Sum(nil)), len(a.pairs)); string(data) != want {
				return nil, errors.New("the backup is damaged: its checksum does not fit")
			}
			whole = true
		case row:
			digest(sum, key, data)
			a.pairs[key] = data
		default:
			return nil, fmt.Errorf("the backup is damaged: %q does not belong there", h.Name)
		}
	}
	// The end of the compressed stream carries a checksum of its own.
	if _, err := io.Copy(io.Discard, packed); err != nil {
		return nil, fmt.Errorf("the backup is damaged: %w", err)
	}
	if !whole {
		return nil, errors.New("the backup is not whole: its end is missing")
	}
	return a, a.settle()
}

// settle finishes or drops a redo log that was under way when the backup was made, and checks the schema.
func (a *Archive) settle() error {
	if raw, ok := a.pairs[keySchema]; ok {
		have, err := parseSchema(raw)
		if err != nil {
			return fmt.Errorf("schema of the backup: %w", err)
		}
		if err := have.readable(); err != nil {
			return fmt.Errorf("the backup: %w", err)
		}
	}
	if marker, ok := a.pairs[keyRedo]; ok {
		l, err := (&Store{}).readLog(string(marker), a.pairs)
		if err != nil {
			return fmt.Errorf("the backup is damaged: %w", err)
		}
		for _, o := range l.ops {
			switch o.kind {
			case opPut:
				a.pairs[o.key] = o.value
			case opDelete:
				delete(a.pairs, o.key)
			case opDeleteTree:
				a.drop(o.key)
			}
		}
	}
	delete(a.pairs, keyRedo)
	a.drop(dirRedo)
	return nil
}

func (a *Archive) drop(prefix string) {
	for k := range a.pairs {
		if strings.HasPrefix(k, prefix) {
			delete(a.pairs, k)
		}
	}
}

// Empty tells whether nothing is stored below the prefix; candidates for leadership do not count.
func (s *Store) Empty(ctx context.Context) (bool, error) {
	empty := true
	err := s.scanAll(ctx, s.root, prefixEnd(s.root), func(p pair) error {
		if !passing(strings.TrimPrefix(p.key, s.root)) {
			empty = false
			return errFound
		}
		return nil
	})
	if err != nil && !errors.Is(err, errFound) {
		return false, fmt.Errorf("look for stored data: %w", err)
	}
	return empty, nil
}

var errFound = errors.New("found")

// Restore replaces everything below the prefix by an archive: all of it or nothing, as one batch under the fence, also
// when the process dies in the middle. Load comes after it.
func (s *Store) Restore(ctx context.Context, a *Archive) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loaded = false
	if err := s.recoverLog(ctx); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	have := map[string][]byte{}
	err := s.scanAll(ctx, s.root, prefixEnd(s.root), func(p pair) error {
		if key := strings.TrimPrefix(p.key, s.root); !passing(key) {
			have[key] = p.value
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	b := &encoded{}
	for key := range have {
		if _, stays := a.pairs[key]; !stays && key != keySeq && key != keyRedo && !strings.HasPrefix(key, dirRedo) {
			b.ops = append(b.ops, op{kind: opDelete, key: s.root + key})
		}
	}
	for key, v := range a.pairs {
		if old, ok := have[key]; key != keySeq && (!ok || string(old) != string(v)) {
			b.ops = append(b.ops, op{opPut, s.root + key, v})
		}
	}
	slices.SortFunc(b.ops, func(x, y op) int { return strings.Compare(x.key, y.key) })
	for _, o := range b.ops {
		b.size += o.size()
	}
	if b.size > maxUnpacked {
		return fmt.Errorf("restore: %d bytes differ, more than the %d of one batch", b.size, maxUnpacked)
	}
	// Batches never count backwards, whichever of the two was further.
	s.seqValue, s.logged = string(have[keySeq]), nil
	seq := uint64(0)
	for _, text := range []string{s.seqValue, string(a.pairs[keySeq])} {
		n, err := parseSeq(text)
		if err != nil {
			n = uint64(s.fence.Rev) // as Load does
		}
		seq = max(seq, n+1)
	}
	for {
		err := s.write(ctx, seq, b)
		switch {
		case err == nil:
			s.accept(seq, b)
			return nil
		case errors.Is(err, errTooBig) && s.shrink():
		case errors.Is(err, ErrUnavailable) && ctx.Err() == nil:
			select {
			case <-time.After(restorePause):
			case <-ctx.Done():
			}
		default:
			return fmt.Errorf("restore: %w", err)
		}
	}
}

const restorePause = 200 * time.Millisecond // before an attempt whose outcome is unknown is repeated

// Migrates tells whether what is stored has an older layout than this version's, so that Load would change it.
func (s *Store) Migrates(ctx context.Context) (bool, error) {
	p, err := s.db.scan(ctx, s.root+keySchema, s.root+keySchema+"\x00", 0, 1)
	if err != nil {
		return false, fmt.Errorf("schema version: %w", err)
	}
	if len(p.pairs) == 0 {
		return false, nil
	}
	have, err := parseSchema(p.pairs[0].value)
	return err == nil && have.Version < own().Version, nil
}

// Runtime is what the last leader asks of the next one (behaviour.md 1.11): URIs, empty for nothing.
type Runtime struct {
	Backup  string `json:"backup,omitempty"`
	Restore string `json:"restore,omitempty"`
}

// PutRuntime leaves a request for the next leader.
func (s *Store) PutRuntime(ctx context.Context, r Runtime) error {
	raw, err := marshal(r)
	if err != nil {
		return fmt.Errorf("runtime configuration: %w", err)
	}
	return s.runtime(ctx, op{opPut, s.root + keyRuntime, raw})
}

// TakeRuntime reads what the last leader asked for and removes it, so that it is tried once.
func (s *Store) TakeRuntime(ctx context.Context) (r Runtime, err error) {
	p, err := s.db.scan(ctx, s.root+keyRuntime, s.root+keyRuntime+"\x00", 0, 1)
	if err != nil {
		return r, fmt.Errorf("runtime configuration: %w", err)
	}
	if len(p.pairs) == 0 {
		return r, nil
	}
	if err := s.runtime(ctx, op{opDelete, s.root + keyRuntime, nil}); err != nil {
		return r, err
	}
	if err := json.Unmarshal(p.pairs[0].value, &r); err != nil {
		return Runtime{}, fmt.Errorf("runtime configuration: %w", err)
	}
	return r, nil
}

func (s *Store) runtime(ctx context.Context, o op) error {
	v, err := s.db.apply(ctx, guard{fence: s.fence}, []op{o})
	if err == nil && v.fenced {
		err = ErrFenced
	}
	if err != nil {
		return fmt.Errorf("runtime configuration: %w", err)
	}
	return nil
}
