package store

import (
	"context"
	"errors"
)

type opKind int8

const (
	opPut opKind = iota
	opDelete
	opDeleteTree // key is a prefix
)

// op is one change of one key (or, for opDeleteTree, of all keys with a prefix).
type op struct {
	kind  opKind
	key   string
	value []byte
}

// size is what the operation adds to a request, in bytes.
func (o op) size() int { return len(o.key) + len(o.value) + opOverhead }

// opOverhead is a generous bound on the framing of one operation in a request, in bytes.
const opOverhead = 64

// guard is the condition of a transaction: the fence holds and key has the value want ("": does not exist). Without a
// key only the fence counts.
type guard struct {
	fence Fence
	key   string
	want  string
}

// verdict tells what became of a transaction. found is the value of the guard's key when ok is false.
type verdict struct {
	ok     bool
	fenced bool
	found  string
	rev    int64
}

type pair struct {
	key   string
	value []byte
}

type page struct {
	pairs []pair
	more  bool
	rev   int64
}

// backend is what Store needs of a database: etcd, or a map in tests.
type backend interface {
	// apply runs the operations as one transaction. An error that is neither errTooBig nor ErrNoSpace leaves open
	// whether it happened.
	apply(ctx context.Context, g guard, ops []op) (verdict, error)
	// scan reads up to limit pairs from key from (inclusive) to end (exclusive) at a revision; 0 is the present one.
	scan(ctx context.Context, from, end string, rev int64, limit int) (page, error)
	// compact forgets the history before a revision.
	compact(ctx context.Context, rev int64) error
}

// The errors of a commit. Others mean that the batch cannot be encoded.
var (
	// ErrFenced: another leader has taken over, or the store is not what we left it. The term is over.
	ErrFenced = errors.New("leadership lost: the fence does not hold")
	// ErrNoSpace: the store is full and takes no writes until an operator makes room (F10). Nothing was written.
	ErrNoSpace error = again("the store is out of space")
	// ErrUnavailable: the store did not answer and the outcome is open. Commit the same batch again.
	ErrUnavailable error = again("the store is not available")
	// ErrNewerSchema: the data was written by a newer version of Stadion.
	ErrNewerSchema = errors.New("the store was written by a newer version")

	errTooBig = errors.New("the request is larger than the store accepts")
)

// again is an error after which the same batch may be committed again.
type again string

func (a again) Error() string { return string(a) }

// Retry tells those who must not import this package that the same commit may succeed later.
func (again) Retry() bool { return true }

// prefixEnd is the first key after all keys with a prefix.
func prefixEnd(prefix string) string {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < 0xff {
			b[i]++
			return string(b[:i+1])
		}
	}
	return "\x00"
}
