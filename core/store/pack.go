package store

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Bounds of stored values, in bytes.
const (
	// compressAbove is the size from which a value is compressed: deployments and root versions of large groups.
	compressAbove = 16 << 10
	// MaxValue is the largest value of one key; a larger one is split into parts (D-38, I12).
	MaxValue = 256 << 10
	// maxUnpacked bounds what a compressed value may unpack to, so that a corrupt one cannot eat the memory.
	maxUnpacked = 256 << 20
	// maxParts bounds the parts of one value.
	maxParts = maxUnpacked / MaxValue
)

// The first byte of a value says how it is packed; JSON never begins with these.
const (
	packDeflate byte = 1 // compressed bytes follow
	packParts   byte = 2 // a number of parts follows, whose join is a packed value
)

// pack compresses a large value.
func pack(raw []byte) ([]byte, error) {
	if len(raw) <= compressAbove {
		return raw, nil
	}
	var b bytes.Buffer
	b.WriteByte(packDeflate)
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(raw); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// unpack is the reverse of pack.
func unpack(v []byte) ([]byte, error) {
	if len(v) == 0 || v[0] != packDeflate {
		return v, nil
	}
	raw, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(v[1:])), maxUnpacked+1))
	if err != nil {
		return nil, fmt.Errorf("compressed value: %w", err)
	}
	if len(raw) > maxUnpacked {
		return nil, fmt.Errorf("compressed value is larger than %d bytes", maxUnpacked)
	}
	return raw, nil
}

// split cuts a value into pieces of at most MaxValue bytes.
func split(v []byte) [][]byte {
	var out [][]byte
	for len(v) > MaxValue {
		out = append(out, v[:MaxValue])
		v = v[MaxValue:]
	}
	return append(out, v)
}

// partsHead is the value of a key whose value stands in parts.
func partsHead(n int) []byte { return binary.AppendUvarint([]byte{packParts}, uint64(n)) }

// partsIn is the number of parts a value stands in, 0 when it is whole.
func partsIn(v []byte) (int, error) {
	if len(v) == 0 || v[0] != packParts {
		return 0, nil
	}
	n, used := binary.Uvarint(v[1:])
	if used <= 0 || n == 0 || n > maxParts {
		return 0, errors.New("number of parts is unreadable")
	}
	return int(n), nil
}

func partKey(key string, n int) string { return fmt.Sprintf("%s%s/%06d", dirParts, key, n) }

// putOps are the operations that store a packed value under a key that had old parts until now; parts is how many it
// has from now on. Keys are relative.
func putOps(key string, v []byte, old int) (ops []op, parts int) {
	if len(v) > MaxValue {
		pieces := split(v)
		parts = len(pieces)
		for n, p := range pieces {
			ops = append(ops, op{opPut, partKey(key, n), p})
		}
		v = partsHead(parts)
	}
	ops = append(ops, op{opPut, key, v})
	for n := parts; n < old; n++ {
		ops = append(ops, op{opDelete, partKey(key, n), nil})
	}
	return ops, parts
}

// deleteOps are the operations that remove a key with its parts.
func deleteOps(key string, old int) []op {
	ops := []op{{opDelete, key, nil}}
	for n := range old {
		ops = append(ops, op{opDelete, partKey(key, n), nil})
	}
	return ops
}
