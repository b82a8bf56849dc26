package store

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
)

// redoLog is a large batch that is committed and whose rows are being written.
type redoLog struct {
	seq    uint64
	marker string // value of the redo key
	ops    []op
}

// redoMarker is the value of the redo key: the commit point of a large batch. Its log has Chunks pieces.
type redoMarker struct {
	Seq    uint64 `json:"seq"`
	Chunks int    `json:"chunks"`
}

func redoChunk(seq uint64, n int) string { return fmt.Sprintf("%s%020d/%06d", dirRedo, seq, n) }

// writeLarge commits a batch that does not fit into one transaction: first the log, with its last piece the commit
// point, then the rows. Until the commit point nothing has happened; after it, Load would finish what is missing.
func (s *Store) writeLarge(ctx context.Context, seq uint64, b *encoded) error {
	log, err := pack(encodeOps(b.ops, len(s.root)))
	if err != nil {
		return fmt.Errorf("redo log: %w", err)
	}
	pieces := split(log)
	marker, err := json.Marshal(redoMarker{seq, len(pieces)})
	if err != nil {
		return fmt.Errorf("redo marker: %w", err)
	}
	var stage []op
	for n, p := range pieces {
		stage = append(stage, op{opPut, s.root + redoChunk(seq, n), p})
	}
	stage = append(stage, op{opPut, s.root + keyRedo, marker}, op{opPut, s.root + keySeq, []byte(seqText(seq, s.fence.Rev))})
	for _, part := range s.stages(stage) {
		done, err := s.advance(ctx, seq, part)
		if err != nil {
			return fmt.Errorf("redo log: %w", err)
		}
		if done {
			break
		}
	}
	s.logged = &redoLog{seq, string(marker), b.ops}
	return s.finish(ctx, s.logged)
}

// stages cuts a log into transactions. Its two last operations, the commit point, are never parted.
func (s *Store) stages(ops []op) [][]op {
	parts := s.chunks(ops)
	if n := len(parts); n > 1 && len(parts[n-1]) == 1 {
		parts[n-2], parts[n-1] = parts[n-2][:len(parts[n-2])-1], ops[len(ops)-2:]
	}
	return parts
}

// finish writes the rows of a committed log and removes it. It may be repeated.
func (s *Store) finish(ctx context.Context, l *redoLog) error {
	g := guard{s.fence, s.root + keyRedo, l.marker}
	clean := []op{{opDelete, s.root + keyRedo, nil}, {opDeleteTree, s.root + dirRedo, nil}}
	for _, part := range append(s.chunks(l.ops), clean) {
		v, err := s.db.apply(ctx, g, part)
		switch {
		case err != nil:
			return fmt.Errorf("rows of the redo log: %w", err)
		case v.ok:
			s.rev = v.rev
		case v.fenced:
			return ErrFenced
		case v.found == "":
			return nil // an earlier attempt came to the end
		default:
			return fmt.Errorf("%w: %s holds another log", ErrFenced, keyRedo)
		}
	}
	return nil
}

// chunks cuts operations into transactions.
func (s *Store) chunks(ops []op) [][]op {
	var out [][]op
	start, size := 0, 0
	for i, o := range ops {
		if i > start && (i-start >= s.opts.MaxTxnOps || size+o.size() > s.opts.MaxTxnBytes) {
			out = append(out, ops[start:i])
			start, size = i, 0
		}
		size += o.size()
	}
	if start < len(ops) {
		out = append(out, ops[start:])
	}
	return out
}

// recoverLog brings an interrupted large batch of an earlier term to its end, or drops it where its commit point was
// not reached. A log that cannot be read is quarantined like any other row (F14).
func (s *Store) recoverLog(ctx context.Context) error {
	var marker string
	chunks := map[string][]byte{} // by relative key
	err := s.scanAll(ctx, s.root+keyRedo, prefixEnd(s.root+dirRedo), func(p pair) error {
		if p.key == s.root+keyRedo {
			marker = string(p.value)
		} else {
			chunks[p.key[len(s.root):]] = p.value
		}
		return nil
	})
	if err != nil || marker == "" && len(chunks) == 0 {
		return err
	}
	if marker == "" {
		v, err := s.db.apply(ctx, guard{s.fence, s.root + keyRedo, ""}, []op{{opDeleteTree, s.root + dirRedo, nil}})
		if err == nil && v.fenced {
			err = ErrFenced
		}
		return err
	}
	l, err := s.readLog(marker, chunks)
	if err != nil {
		s.report(keyRedo, err)
		return nil
	}
	err = s.finish(ctx, l)
	for errors.Is(err, errTooBig) && s.shrink() {
		err = s.finish(ctx, l)
	}
	return err
}

// readLog joins the pieces of a committed log.
func (s *Store) readLog(marker string, chunks map[string][]byte) (*redoLog, error) {
	var m redoMarker
	if err := json.Unmarshal([]byte(marker), &m); err != nil {
		return nil, fmt.Errorf("redo marker: %w", err)
	}
	var log []byte
	for n := range m.Chunks {
		c, ok := chunks[redoChunk(m.Seq, n)]
		if !ok {
			return nil, fmt.Errorf("redo log of batch %d: piece %d of %d is missing", m.Seq, n, m.Chunks)
		}
		log = append(log, c...)
	}
	raw, err := unpack(log)
	if err != nil {
		return nil, fmt.Errorf("redo log of batch %d: %w", m.Seq, err)
	}
	ops, err := decodeOps(raw, s.root)
	if err != nil {
		return nil, fmt.Errorf("redo log of batch %d: %w", m.Seq, err)
	}
	return &redoLog{m.Seq, marker, ops}, nil
}

// opMark keeps the first byte of a log apart from those that say how a value is packed (pack.go).
const opMark byte = 0x10

// encodeOps writes operations as bytes, keys without the first skip bytes.
func encodeOps(ops []op, skip int) []byte {
	var b []byte
	for _, o := range ops {
		b = append(b, opMark|byte(o.kind))
		b = binary.AppendUvarint(b, uint64(len(o.key)-skip))
		b = append(b, o.key[skip:]...)
		b = binary.AppendUvarint(b, uint64(len(o.value)))
		b = append(b, o.value...)
	}
	return b
}

func decodeOps(b []byte, root string) ([]op, error) {
	var ops []op
	field := func() ([]byte, error) {
		n, used := binary.Uvarint(b)
		if used <= 0 || n > uint64(len(b)-used) {
			return nil, errors.New("cut short")
		}
		f := b[used : used+int(n)]
		b = b[used+int(n):]
		return f, nil
	}
	for len(b) > 0 {
		o := op{kind: opKind(b[0] &^ opMark)}
		b = b[1:]
		key, err := field()
		if err != nil {
			return nil, err
		}
		o.key = root + string(key)
		if o.value, err = field(); err != nil {
			return nil, err
		}
		ops = append(ops, o)
	}
	return ops, nil
}
