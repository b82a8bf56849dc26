package leader

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// The pace at which a candidate looks at the one before it (P25).
const (
	knockEvery   = 125 * time.Millisecond
	knockTimeout = time.Second
	knockLimit   = 3 // refusals in a row
)

// Knock tells by its error whether nobody listens at host:port any more. It is the usual Options.Reach.
func Knock(ctx context.Context, hostPort string) error {
	ctx, cancel := context.WithTimeout(ctx, knockTimeout)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", hostPort)
	if err != nil {
		return err
	}
	return c.Close()
}

// hasten removes the key of a candidate whose process is gone, so that nobody waits for its lease. Gone means: the port
// was reached before under this very key, and is now refused several times in a row; a machine that is silent, a
// process that is stopped or an address that never worked from here prove nothing. A mistake costs a change of leader
// and no more: the key is deleted only if it is still the same, and a leader without its key cannot write.
func (e *Election) hasten(ctx context.Context, before *mvccpb.KeyValue) {
	tick := time.NewTicker(knockEvery)
	defer tick.Stop()
	reached, refused := false, 0
	for {
		switch err := e.reach(ctx, string(before.Value)); {
		case err == nil:
			reached, refused = true, 0
		case reached && errors.Is(err, syscall.ECONNREFUSED):
			refused++
		default:
			refused = 0
		}
		if refused >= knockLimit {
			req, cancel := context.WithTimeout(ctx, requestTimeout)
			_, err := e.c.Txn(req).If(clientv3.Compare(clientv3.CreateRevision(string(before.Key)), "=", before.CreateRevision)).
				Then(clientv3.OpDelete(string(before.Key))).Commit()
			cancel()
			if err == nil {
				return
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
