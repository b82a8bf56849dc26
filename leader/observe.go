package leader

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Observe keeps Current up to date until ctx ends. While etcd does not answer the last known leader stays: it may have
// the last state that was, to be read (R13), or know who follows it.
func (e *Election) Observe(ctx context.Context) {
	for ctx.Err() == nil {
		reading, stop := context.WithTimeout(ctx, e.ttl)
		resp, err := e.get(reading, e.dir, clientv3.WithFirstCreate()...)
		stop()
		if err == nil {
			if len(resp.Kvs) > 0 {
				e.set(string(resp.Kvs[0].Value), true)
			} else {
				e.set("", false)
			}
			// A watch is silent while the client is cut off, so it is left from time to time to see whether etcd is there.
			limited, cancel := context.WithTimeout(ctx, e.ttl/2)
			err = e.awaitChange(limited, e.dir, resp.Header.Revision+1, clientv3.WithPrefix())
			cancel()
			if err == nil || limited.Err() != nil {
				continue
			}
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
		}
	}
}

// Current is the identity of the leader, as last observed.
func (e *Election) Current() (identity string, known bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.identity, e.known
}

// Candidates are the identities of the leader and of all that wait to follow it, in that order.
func (e *Election) Candidates(ctx context.Context) ([]string, error) {
	resp, err := e.get(ctx, e.dir, clientv3.WithPrefix(), clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortAscend))
	if err != nil {
		return nil, fmt.Errorf("candidates: %w", err)
	}
	out := make([]string, len(resp.Kvs))
	for i, kv := range resp.Kvs {
		out[i] = string(kv.Value)
	}
	return out, nil
}

// Changed is closed when Current changes.
func (e *Election) Changed() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.changed
}

func (e *Election) set(identity string, known bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.identity == identity && e.known == known {
		return
	}
	e.identity, e.known = identity, known
	close(e.changed)
	e.changed = make(chan struct{})
}
