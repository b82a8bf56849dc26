package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// New makes the store of a term on etcd. The client stays the caller's.
func New(c *clientv3.Client, fence Fence, o Options) *Store {
	o = o.withDefaults()
	level := o.MaxTxnOps
	o.MaxTxnOps = NestedOps(level)
	return newStore(&etcd{c, o.Timeout, level}, fence, o)
}

// NestedOps is how many operations one transaction may have in an etcd with a given --max-txn-ops: that limit is for a
// level of nesting together with the levels around it, so half of it as many transactions of half of it fit into one.
func NestedOps(limit int) int { return max(limit, (limit/2)*(limit-limit/2)) }

// ClearForTest removes everything below the prefix, other leaders' keys included.
func ClearForTest(ctx context.Context, c *clientv3.Client, o Options) error {
	if _, err := c.Delete(ctx, o.withDefaults().root(), clientv3.WithPrefix()); err != nil {
		return fmt.Errorf("clear %s: %w", o.withDefaults().root(), err)
	}
	return nil
}

// etcd is the real backend.
type etcd struct {
	c       *clientv3.Client
	timeout time.Duration
	level   int // operations on one level of a transaction
}

func (e *etcd) apply(ctx context.Context, g guard, ops []op) (verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	cmps := []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(g.fence.Key), "=", g.fence.Rev)}
	otherwise := []clientv3.Op{clientv3.OpGet(g.fence.Key, clientv3.WithKeysOnly())}
	if g.key != "" {
		otherwise = append(otherwise, clientv3.OpGet(g.key))
		if g.want == "" {
			cmps = append(cmps, clientv3.Compare(clientv3.CreateRevision(g.key), "=", 0))
		} else {
			cmps = append(cmps, clientv3.Compare(clientv3.Value(g.key), "=", g.want))
		}
	}
	then := make([]clientv3.Op, len(ops))
	for i, o := range ops {
		switch o.kind {
		case opPut:
			then[i] = clientv3.OpPut(o.key, string(o.value))
		case opDelete:
			then[i] = clientv3.OpDelete(o.key)
		case opDeleteTree:
			then[i] = clientv3.OpDelete(o.key, clientv3.WithPrefix())
		}
	}
	resp, err := e.c.Txn(ctx).If(cmps...).Then(nest(then, e.level)...).Else(otherwise...).Commit()
	if err != nil {
		return verdict{}, explain(err)
	}
	v := verdict{ok: resp.Succeeded, rev: resp.Header.Revision}
	if v.ok {
		return v, nil
	}
	leader := resp.Responses[0].GetResponseRange().Kvs
	v.fenced = len(leader) == 0 || leader[0].CreateRevision != g.fence.Rev
	if len(resp.Responses) > 1 {
		if kvs := resp.Responses[1].GetResponseRange().Kvs; len(kvs) > 0 {
			v.found = string(kvs[0].Value)
		}
	}
	return v, nil
}

// nest puts operations that are too many for one level into transactions within the transaction.
func nest(ops []clientv3.Op, level int) []clientv3.Op {
	if len(ops) <= level {
		return ops
	}
	inner := level - level/2
	out := make([]clientv3.Op, 0, len(ops)/inner+1)
	for part := range slices.Chunk(ops, inner) {
		out = append(out, clientv3.OpTxn(nil, part, nil))
	}
	return out
}

func (e *etcd) scan(ctx context.Context, from, end string, rev int64, limit int) (page, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	resp, err := e.c.Get(ctx, from, clientv3.WithRange(end), clientv3.WithRev(rev), clientv3.WithLimit(int64(limit)))
	if err != nil {
		return page{}, explain(err)
	}
	p := page{pairs: make([]pair, len(resp.Kvs)), more: resp.More, rev: resp.Header.Revision}
	if rev != 0 {
		p.rev = rev
	}
	for i, kv := range resp.Kvs {
		p.pairs[i] = pair{string(kv.Key), kv.Value}
	}
	return p, nil
}

func (e *etcd) compact(ctx context.Context, rev int64) error {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	if _, err := e.c.Compact(ctx, rev); err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
		return explain(err)
	}
	return nil
}

// explain sorts the errors of the client into those the store knows. All others leave the outcome open.
func explain(err error) error {
	switch {
	case errors.Is(err, rpctypes.ErrNoSpace):
		return ErrNoSpace
	case errors.Is(err, rpctypes.ErrTooManyOps), errors.Is(err, rpctypes.ErrRequestTooLarge):
		return fmt.Errorf("%w: %w", errTooBig, err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
