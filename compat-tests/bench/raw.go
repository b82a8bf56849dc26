package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	rawClients  = 64    // of etcdraw (a)
	rawPuts     = 127   // in a transaction of etcdraw (b)
	rawSingles  = 20000 // puts of etcdraw (a), at most
	rawPrefix   = "/raw/"
	instanceDir = keysOfServer + "instances/"
)

// persisting is P9: the rows of instances that the server makes durable in the time its commits take, while it launches,
// against the same bytes written to the same etcd by a plain loop that has the machine for itself.
func (b *bench) persisting() error {
	var plain, single, share []float64
	var rates [3]float64
	for range max(b.rounds/2, 1) {
		r, err := b.lapOfPersisting()
		if err != nil {
			return err
		}
		rates = r
		plain, single, share = append(plain, r[0]/r[1]), append(single, r[0]/r[2]), append(share, r[0])
	}
	size := fmt.Sprintf("launch of %d: %.0f rows/s in commits; etcdraw: %.0f rows/s by %d puts, %.0f rows/s by %d clients", b.persisted, median(share), rates[1], rawPuts, rates[2], rawClients)
	list := []measure{
		{ID: "P9", What: "rows of instances stored/s ÷ etcdraw (b), transactions", Must: 0.7, Moonshot: 1, AtLeast: true, Judged: true, Size: size},
		{ID: "P9a", What: "rows of instances stored/s ÷ etcdraw (a), one put each", Must: 1, Moonshot: 5, AtLeast: true, Judged: true, Size: size},
	}
	list[0].spread(plain)
	list[1].spread(single)
	b.add(list...)
	return nil
}

// lapOfPersisting is the rows per second of the server, of etcdraw (b) and of etcdraw (a).
func (b *bench) lapOfPersisting() (rates [3]float64, err error) {
	w, err := newWorld(b.agents)
	if err != nil {
		return rates, err
	}
	defer w.close()
	db, err := w.etcdClient()
	if err != nil {
		return rates, err
	}
	defer db.Close()
	before, err := w.metrics()
	if err != nil {
		return rates, err
	}
	if err := w.launch("/big", b.persisted); err != nil {
		return rates, err
	}
	after, err := w.metrics()
	if err != nil {
		return rates, err
	}
	gained := func(name string) float64 { return after[name] - before[name] }
	rates[0] = gained("stadion.store.rows.counter") / gained("stadion.store.busy.counter.microseconds") * 1e6
	if err := w.until("no deployment runs", w.settled); err != nil {
		return rates, err
	}
	rows, err := allBelow(db, instanceDir)
	if err != nil {
		return rates, err
	}
	if rates[1], err = rawTransactions(db, rows); err != nil {
		return rates, err
	}
	rates[2], err = rawSinglePuts(db, rows[:min(len(rows), rawSingles)])
	return rates, err
}

// rawRow is a key below a prefix and its value.
type rawRow struct{ key, value string }

func allBelow(db *clientv3.Client, prefix string) (rows []rawRow, err error) {
	from, end := prefix, clientv3.GetPrefixRangeEnd(prefix)
	for {
		r, err := db.Get(context.Background(), from, clientv3.WithRange(end), clientv3.WithLimit(scanPage))
		if err != nil {
			return nil, err
		}
		for _, kv := range r.Kvs {
			rows = append(rows, rawRow{string(kv.Key), string(kv.Value)})
		}
		if !r.More || len(r.Kvs) == 0 {
			return rows, nil
		}
		from = string(r.Kvs[len(r.Kvs)-1].Key) + "\x00"
	}
}

// rawTransactions is etcdraw (b).
func rawTransactions(db *clientv3.Client, rows []rawRow) (perSecond float64, err error) {
	began := time.Now()
	for at := 0; at < len(rows); at += rawPuts {
		var ops []clientv3.Op
		for _, r := range rows[at:min(at+rawPuts, len(rows))] {
			ops = append(ops, clientv3.OpPut(rawPrefix+r.key, r.value))
		}
		if _, err := db.Txn(context.Background()).Then(ops...).Commit(); err != nil {
			return 0, err
		}
	}
	return float64(len(rows)) / time.Since(began).Seconds(), nil
}

// rawSinglePuts is etcdraw (a).
func rawSinglePuts(db *clientv3.Client, rows []rawRow) (perSecond float64, err error) {
	var next atomic.Int64
	var all sync.WaitGroup
	failed := make(chan error, rawClients)
	began := time.Now()
	for range rawClients {
		all.Go(func() {
			for k := int(next.Add(1)) - 1; k < len(rows); k = int(next.Add(1)) - 1 {
				if _, err := db.Put(context.Background(), rawPrefix+rows[k].key, rows[k].value); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(failed)
	return float64(len(rows)) / time.Since(began).Seconds(), <-failed
}

// churn is P14: instances come and go until so many status updates were stored, while etcd is compacted as the server
// thinks fit.
func (b *bench) churn() error {
	w, err := newWorld(b.agents)
	if err != nil {
		return err
	}
	defer w.close()
	db, err := w.etcdClient()
	if err != nil {
		return err
	}
	defer db.Close()
	if err := w.launch("/warm", 1000); err != nil {
		return err
	}
	if _, err := squeezed(db, w.store.said); err != nil {
		return err
	}
	start, err := dbSize(db, w.store.said)
	if err != nil {
		return err
	}
	if _, err := w.do(http.MethodPost, "/v2/apps", app("/big", 0)); err != nil {
		return err
	}
	perTurn, most, updates, began := min(b.instances, 20_000), start, 0.0, time.Now()
	for updates < float64(b.changes) {
		for _, n := range []int{perTurn, 0} {
			if err := w.scale("/big", n); err != nil {
				return err
			}
			size, err := dbSize(db, w.store.said)
			if err != nil {
				return err
			}
			most = max(most, size)
		}
		if updates, err = w.updates(); err != nil {
			return err
		}
	}
	b.add(measure{ID: "P14", What: "growth of etcd's file over status changes, compaction on", Unit: "MiB", Must: 64, Moonshot: 16, Judged: true, Value: (most - start) / (1 << 20),
		Size: fmt.Sprintf("%.0f updates in %s s, %d instances come and go; from %s to %s MiB", updates, number(time.Since(began).Seconds()), perTurn, number(start/(1<<20)), number(most/(1<<20)))})
	return nil
}

func dbSize(db *clientv3.Client, endpoint string) (float64, error) {
	s, err := db.Status(context.Background(), endpoint)
	if err != nil {
		return 0, err
	}
	return float64(s.DbSize), nil
}

// updates is how many status updates the server has heard.
func (w *world) updates() (n float64, err error) {
	m, err := w.metrics()
	for _, state := range []string{"starting", "running", "killing", "killed"} {
		n += m["mesos.task-updates.task-"+state+".counter"]
	}
	return n, err
}
