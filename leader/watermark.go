package leader

import (
	"errors"
	"fmt"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// ErrRolledBack says that etcd shows an older state than it showed before, or is another cluster: it was restored from
// a backup, or the endpoints lead elsewhere (F12).
var ErrRolledBack = errors.New("etcd went back in time")

// watermark remembers how far etcd has been. Linearizable reads never go back, so one that does proves a restore. It
// lasts as long as the process.
type watermark struct {
	mu       sync.Mutex
	cluster  uint64
	revision int64
	err      error
	broken   chan struct{} // closed with err
}

// level is the revision that an answer to a request made from now on must have reached.
func (w *watermark) level() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.revision
}

// rise notes an answer to a request made at level. Once an answer was older than that, all further ones are refused.
func (w *watermark) rise(h *pb.ResponseHeader, level int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.err != nil:
		return w.err
	case w.cluster != 0 && h.ClusterId != w.cluster:
		w.err = fmt.Errorf("%w: cluster %x answers instead of %x", ErrRolledBack, h.ClusterId, w.cluster)
	case h.Revision < level:
		w.err = fmt.Errorf("%w: from revision %d to %d", ErrRolledBack, level, h.Revision)
	default:
		w.cluster, w.revision = h.ClusterId, max(w.revision, h.Revision)
		return nil
	}
	close(w.broken)
	return w.err
}

// RolledBack tells why nothing etcd says can be trusted any more; nil while it can.
func (e *Election) RolledBack() error {
	e.water.mu.Lock()
	defer e.water.mu.Unlock()
	return e.water.err
}
