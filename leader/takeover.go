package leader

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// The pace at which a candidate looks at the one before it (P25).
const (
	knockEvery = 125 * time.Millisecond // while it is there
	knockAgain = 30 * time.Millisecond  // after a proof that it is not
	knockLimit = 3                      // proofs in a row
)

// hasten removes the key of a candidate whose process is gone, so that nobody waits for its lease. Gone means: the
// process was reached before under this very key, and several times in a row its port is refused or another process
// answers there (a supervisor has started the server again); a machine that is silent, a process that is stopped or an
// address that never worked from here prove nothing. A mistake costs a change of leader and no more: the key is deleted
// only if it is still the same, and a leader without its key cannot write.
func (e *Election) hasten(ctx context.Context, before *mvccpb.KeyValue) {
	candidacy := strings.TrimPrefix(string(before.Key), e.dir)
	reached, gone := false, 0
	for {
		switch err := e.reach(ctx, string(before.Value), candidacy); {
		case err == nil:
			reached, gone = true, 0
		case reached && (errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, ErrAnother)):
			gone++
		default:
			gone = 0
		}
		if gone >= knockLimit && e.remove(ctx, before) == nil {
			return
		}
		pause := knockEvery
		if gone > 0 {
			pause = knockAgain
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}
