package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"stadion/core"
	"stadion/core/loop"
	"stadion/core/machine"
	"stadion/core/state"
	"stadion/offers"
	"stadion/offers/mesos"
)

// dieVariable names the place where this process kills itself, and at which time it gets there: "after commit:3". For
// tests only (reliability F1); without it none of what is here has any part in a server.
const dieVariable = "STADION_DIE_AT"

// diePoints are the places.
var diePoints = []string{"inside the load", "after a step", "after settling", "before the commit", "inside the commit", "after the transaction",
	"after the commit", "before the events", "before a launch", "between launches", "after a launch", "before a kill", "after a kill", "after an update",
	"before an ack", "after a reconciliation", "inside a compaction", "before resigning"}

// death kills the process when it comes to a place for the nth time. A nil one does nothing.
type death struct {
	point    string
	left     atomic.Int64
	loading  atomic.Bool
	inCommit atomic.Int32 // transactions begun of the batch in work, from 1; 0: none is in work
}

func newDeath(text string) (*death, error) {
	if text == "" {
		return nil, nil
	}
	point, count, _ := strings.Cut(text, ":")
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 || !slices.Contains(diePoints, point) {
		return nil, exitWith(exitFlag, "%s: %q is not one of %q with a positive number after a colon", dieVariable, text, diePoints)
	}
	d := &death{point: point}
	d.left.Store(int64(n))
	return d, nil
}

// at is a place.
func (d *death) at(point string) {
	if d == nil || d.point != point || d.left.Add(-1) != 0 {
		return
	}
	fmt.Fprintln(os.Stderr, "killed", point)
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // nothing more happens here
}

// compactEvery is the time between compactions; nobody waits minutes for one to die in.
func (d *death) compactEvery() time.Duration {
	if d != nil && d.point == "inside a compaction" {
		return 200 * time.Millisecond
	}
	return compactEvery
}

// around puts the places between the parts of a term.
func (d *death) around(c loop.Config, driver *mesos.Driver) loop.Config {
	if d == nil {
		return c
	}
	c.Machine = dyingMachine{c.Machine, d}
	c.Store = dyingStore{c.Store, d}
	c.Caller = dyingCaller{c.Caller, driver, d}
	c.Publisher = dyingPublisher{c.Publisher, d}
	return c
}

type dyingMachine struct {
	loop.Machine
	*death
}

func (m dyingMachine) Step(now core.Timestamp, ev machine.Event, b *machine.Batch) {
	m.Machine.Step(now, ev, b)
	if _, ok := ev.(machine.Request); ok {
		m.at("after a step")
	}
}

func (m dyingMachine) Settle(now core.Timestamp, b *machine.Batch) {
	m.Machine.Settle(now, b)
	m.at("after settling")
}

type dyingStore struct {
	next loop.Store
	*death
}

func (s dyingStore) Commit(ctx context.Context, seq uint64, writes []state.Write) error {
	if len(writes) > 0 {
		s.at("before the commit")
	}
	s.inCommit.Store(1)
	err := s.next.Commit(ctx, seq, writes)
	s.inCommit.Store(0)
	if err == nil && len(writes) > 0 {
		s.at("after the commit")
	}
	return err
}

// dyingCaller sends what comes before a place, so that it has left when the process dies.
type dyingCaller struct {
	next   loop.Caller
	driver *mesos.Driver
	*death
}

// callPlaces are the places before and after each kind of call.
var callPlaces = map[string]struct{ before, after string }{
	"offers.Accept": {"before a launch", "after a launch"}, "offers.Kill": {"before a kill", "after a kill"},
	"offers.Acknowledge": {"before an ack", ""}, "offers.Reconcile": {"", "after a reconciliation"},
}

func (c dyingCaller) Send(list []offers.Call) {
	launches := 0
	for _, call := range list {
		name := fmt.Sprintf("%T", call)
		place := callPlaces[name]
		if name == "offers.Accept" {
			if launches++; launches == 2 && c.point == "between launches" {
				c.leave("between launches")
			}
		}
		c.at(place.before)
		c.next.Send([]offers.Call{call})
		if place.after == c.point {
			c.leave(place.after)
		}
	}
}

// leave lets out what was sent before it dies.
func (c dyingCaller) leave(point string) {
	if c.left.Load() == 1 {
		c.driver.Stop(true)
	}
	c.at(point)
}

type dyingPublisher struct {
	next loop.Publisher
	*death
}

func (p dyingPublisher) Publish(seq uint64, notices []core.Notice) {
	p.at("before the events")
	p.next.Publish(seq, notices)
}

// dyingKV is the connection to etcd.
type dyingKV struct {
	clientv3.KV
	*death
}

func (k dyingKV) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	resp, err := k.KV.Get(ctx, key, opts...)
	if k.loading.Load() {
		k.at("inside the load")
	}
	return resp, err
}

func (k dyingKV) Compact(ctx context.Context, rev int64, opts ...clientv3.CompactOption) (*clientv3.CompactResponse, error) {
	resp, err := k.KV.Compact(ctx, rev, opts...)
	k.at("inside a compaction")
	return resp, err
}

func (k dyingKV) Txn(ctx context.Context) clientv3.Txn { return dyingTxn{k.KV.Txn(ctx), k.death} }

type dyingTxn struct {
	clientv3.Txn
	*death
}

func (t dyingTxn) If(c ...clientv3.Cmp) clientv3.Txn  { return dyingTxn{t.Txn.If(c...), t.death} }
func (t dyingTxn) Then(o ...clientv3.Op) clientv3.Txn { return dyingTxn{t.Txn.Then(o...), t.death} }
func (t dyingTxn) Else(o ...clientv3.Op) clientv3.Txn { return dyingTxn{t.Txn.Else(o...), t.death} }

func (t dyingTxn) Commit() (*clientv3.TxnResponse, error) {
	n := t.inCommit.Load()
	if n > 1 { // not the first of its batch
		t.at("inside the commit")
	}
	resp, err := t.Txn.Commit()
	if n > 0 && t.inCommit.CompareAndSwap(n, n+1) {
		t.at("after the transaction")
	}
	return resp, err
}
