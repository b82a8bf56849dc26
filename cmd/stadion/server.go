package main

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"stadion/core"
	"stadion/core/loop"
	"stadion/core/machine"
	"stadion/core/probe"
	"stadion/core/state"
	"stadion/core/store"
	"stadion/leader"
	"stadion/offers"
	"stadion/offers/mesos"
)

const (
	compactEvery = time.Minute            // and what is younger than that stays; terms that last minutes must get to it, or etcd grows
	compactGap   = 5 * time.Second        // at least between two compactions, however much is written: readers of old revisions need some time
	loadPause    = 500 * time.Millisecond // between two attempts to load the state
	lastSubmits  = time.Second            // for changes under way when leadership is handed over
)

// runServer is stadion server.
func runServer(ctx context.Context, f *flagSet) error {
	log, err := newLogger(f.text("logging_level"))
	if err != nil {
		return err
	}
	if f.text("master") == "" {
		return exitWith(exitFlag, "flag --master is required")
	}
	if f.text("etcd_endpoints") == "" {
		if f.text("zk") != "" {
			log.Warn("--zk is given: state lives in etcd now; set --etcd_endpoints URL[,URL…]")
		}
		return exitWith(exitFlag, "flag --etcd_endpoints is required: state lives in etcd")
	}
	o, err := readOptions(f)
	if err != nil {
		return err
	}
	w, err := listen(f, log)
	if err != nil {
		return err
	}
	return serve(ctx, o, w, log)
}

// serve runs one server until ctx ends or its leadership does: connect, campaign, lead.
func serve(ctx context.Context, o *options, w *web, log *zap.Logger) error {
	for _, text := range o.flags.warnings() {
		log.Warn(text)
	}
	o.identity, o.scheme = net.JoinHostPort(o.identity, strconv.Itoa(w.port)), w.scheme
	if err := o.mesos.Validate(); err != nil {
		w.close()
		return exitWith(exitFlag, "invalid value of --master or its companions: %w", err)
	}
	client, err := leader.Dial(ctx, o.etcd)
	if err != nil {
		w.close()
		return exitWith(exitStoreUnreachable, "cannot connect to the store: %w", err)
	}
	defer client.Close()
	if o.etcd.Username != "" && leader.AuthenticationOff(ctx, client) {
		log.Warn("--etcd_username is given, but etcd has authentication off (etcdctl auth enable): whoever reaches it may change the state")
	}
	if o.death != nil {
		client.KV = dyingKV{client.KV, o.death}
	}
	contest := leader.Options{Prefix: o.prefix, TTL: o.ttl, Alone: o.alone}
	if o.flags.on("etcd_early_takeover") {
		door := leader.Door{}
		if o.scheme == "https" {
			door.TLS = o.leaderTLS
		}
		contest.Reach, contest.Seat = door.Knock, seat(w.listeners)
	}
	election := leader.New(client, contest)
	audit, closeAudit, err := newAudit(o.flags.text("audit_log_file"), log)
	if err != nil {
		w.close()
		return err
	}
	defer closeAudit()
	front := newFront(o, election, log, audit)
	processGauges(front.metrics)
	startMetrics(ctx, o.flags, front.metrics, log)
	watching, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	var watch sync.WaitGroup
	watch.Go(func() { election.Observe(watching) })
	watch.Go(func() { giveBack(watching) })
	defer watch.Wait()
	defer stopWatching()
	w.serve(o.flags, election.Open(front.guarded()), log)
	defer w.stop(min(o.stop, lastRequests)) // as a standby, that passes on what still comes
	log.Info("campaigning for leadership as " + o.identity)
	term, err := election.Campaign(ctx, o.identity)
	switch {
	case ctx.Err() != nil && term == nil:
		return nil
	case errors.Is(err, leader.ErrDuplicate):
		return exitWith(exitStoreUnreachable, "another server has the same --hostname and port %s: %w", o.identity, err)
	case errors.Is(err, leader.ErrRolledBack):
		return rolledBack(err)
	case err != nil:
		return exitWith(exitStoreUnreachable, "campaign for leadership: %w", err)
	}
	err = (&reign{o: o, client: client, term: term, front: front, log: log, web: w}).run(ctx)
	if back := election.RolledBack(); back != nil {
		return rolledBack(back)
	}
	return err
}

// rolledBack ends a process that knows more than etcd does: what etcd has forgotten may still run (F12).
func rolledBack(err error) error {
	return exitWith(exitStoreLost, "%w. If it was restored on purpose start this server again: it goes on with the old state, and tasks that state does not know are lost to it", err)
}

// reign is one term of leadership.
type reign struct {
	o        *options
	client   *clientv3.Client
	term     *leader.Term
	front    *front
	log      *zap.Logger
	web      *web
	store    *store.Store
	loop     *loop.Loop
	driver   *mesos.Driver
	prober   *probe.Prober
	fatal    chan error
	abdicate chan struct{}
	took     *stages
	outage   int // pulses for which the store has taken no writes
	fresh    freshness

	compacted time.Time // when etcd was compacted last
}

// run leads until ctx ends, the lease is lost or Mesos refuses this framework for good.
func (r *reign) run(ctx context.Context) error {
	if err := r.prepare(ctx); err != nil {
		r.resign()
		return err
	}
	leading, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- r.loop.Run(leading) }()
	<-r.loop.Begun()
	st := r.loop.Snapshot()
	r.driver.Start(st.FrameworkID(), rolesOf(st, r.o.machine.MesosRole), nil)
	go r.fresh.follow(leading, r.term)
	r.front.lead(r)
	r.took.done("begun")
	r.log.Info("leading", r.took.fields...)
	fmt.Printf("ready: %s://127.0.0.1:%d\n", r.web.scheme, r.web.port)
	if r.o.flags.on("etcd_compaction") {
		_ = r.store.Compact(ctx) // only remembers where the term began: the first compaction goes up to there
	}
	r.compacted = time.Now()
	pulse := time.NewTicker(time.Second)
	defer pulse.Stop()
	expired, lost := r.term.Expired(), false
	for {
		var err error
		select {
		case <-pulse.C:
			r.watchStore()
			r.compact(ctx)
			if still := time.Since(r.loop.Beat()); still < r.o.ttl {
				continue
			}
			err = exitWith(exitLeadershipLost, "leadership given up: the loop has not come round for %s", r.o.ttl)
		case <-ctx.Done():
			// Told to stop by a signal: code 0. Marathon's 105 is for a leadership that ends while the process would go on; on
			// SIGTERM its JVM ends with 143, which no supervisor takes for a success either.
		case <-r.abdicate:
			err = exitWith(exitAbdicated, "leadership ended: abdicated on request")
		case <-expired:
			expired, lost = nil, true
			if r.outlast() {
				continue
			}
			err = exitWith(exitLeadershipLost, "leadership lost: the lease in etcd has ended")
		case <-r.term.Lost():
			lost = true
			err = exitWith(exitLeadershipLost, "leadership lost: the lease in etcd has ended")
		case err = <-r.fatal:
		case err = <-ended:
			ended <- nil
			err = exitWith(exitLeadershipLost, "leadership ended: %w", err)
		}
		r.end(stop, ended, lost)
		return err
	}
}

// watchStore counts how long the store has been away; in time nobody waits for it any more.
func (r *reign) watchStore() {
	why := r.loop.Away()
	if why == nil {
		r.outage = 0
		return
	}
	if r.outage++; r.outage >= outagePatience {
		r.front.away(why)
	}
}

// compact makes etcd forget what is old, if it is time to, and never where that is left to others.
func (r *reign) compact(ctx context.Context) {
	began := time.Now()
	if !compactionDue(r.o.flags, began.Sub(r.compacted), r.o.death.compactEvery(), r.store.Grown()) || r.loop.Away() != nil {
		return
	}
	if err := r.store.Compact(ctx); err != nil {
		r.log.Warn("compact etcd", zap.Error(err))
	}
	r.compacted = time.Now()
	r.front.metrics.Time("persistence.gc.compaction.duration.timer.seconds", r.compacted.Sub(began))
}

// compactionDue: regularly, and earlier after much was written, so that a storm cannot fill etcd (F11, P14).
func compactionDue(f *flagSet, age, every time.Duration, grown bool) bool {
	return f.on("etcd_compaction") && (age >= every || grown && age >= compactGap)
}

// end hands over in order (F6): take no more changes, let those under way become durable, send what rests on them,
// resign. A server whose lease is gone has nothing to hand over and stops at once.
func (r *reign) end(stop func(), ended <-chan error, lost bool) {
	took := newStages()
	r.front.follow()
	if !lost {
		r.front.settle(lastSubmits)
	}
	took.done("settled")
	stop()
	<-ended
	took.done("flushed")
	r.driver.Stop(true)
	took.done("sent")
	r.o.death.at("before resigning")
	r.resign()
	took.done("resigned")
	r.prober.Close()
	r.log.Info("leadership is given back", took.fields...)
}

// prepare loads the state under the fence and wires the parts of the term together (behaviour.md 9.2).
func (r *reign) prepare(ctx context.Context) error {
	limit := time.Duration(r.o.flags.int64("on_elected_prepare_timeout")) * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r.took = newStages()
	r.fatal, r.abdicate = make(chan error, 1), make(chan struct{}, 1)
	r.store = store.New(r.client, store.Fence{Key: r.term.Key, Rev: r.term.Rev}, store.Options{Prefix: r.o.prefix, MaxTxnOps: r.o.flags.int("etcd_max_txn_ops")})
	if err := r.runtime(ctx); err != nil {
		return err
	}
	r.took.done("requests of the last leader")
	began := time.Now()
	if r.o.death != nil {
		r.o.death.loading.Store(true)
		defer r.o.death.loading.Store(false)
	}
	st, err := r.load(ctx)
	if err != nil {
		return err
	}
	r.front.metrics.Time("debug.persistence.operations.get.duration.timer.seconds", time.Since(began))
	spared, unread := make(map[core.InstanceID]bool), make(map[core.PathID]bool)
	for _, q := range r.store.Quarantined() {
		if q.Instance != "" {
			spared[q.Instance] = true
		}
		if q.Spec != "" {
			unread[q.Spec] = true
		}
		r.log.Error("a stored row cannot be read and is left out", zap.String("key", q.Key), zap.Error(q.Err))
	}
	r.took.done("loaded")
	r.log.Info("elected leader", zap.Int("apps", st.SpecCount()), zap.Int("instances", st.InstanceTotal()), zap.Duration("loaded in", time.Since(began)))
	if st.FrameworkID() == "" && st.InstanceTotal() > 0 {
		return exitWith(exitNoFrameworkID, "the framework id is missing although %d instances are stored: a new id would orphan their tasks. Restore the key %s/v1/framework-id", st.InstanceTotal(), r.o.prefix)
	}
	cfg := r.o.mesos
	if cfg.Framework.WebUIURL == "" {
		cfg.Framework.WebUIURL = "http://" + r.o.identity
	}
	cfg.Log = r.log.Named("mesos")
	r.driver = mesos.New(cfg, r.hear)
	r.prober = probe.New(func(e machine.Event) { r.loop.Post(e) }, r.o.flags.int("max_concurrent_marathon_health_checks"))
	seed, err := randomSeed()
	if err != nil {
		return err
	}
	counted := measured{r.front.metrics}
	decides := r.o.machine
	decides.Spared, decides.SparedSpecs = spared, unread
	r.loop = loop.New(r.o.death.around(loop.Config{Machine: machine.New(decides, st), Store: r.store, Meter: counted, Caller: caller{counted, r.driver}, Publisher: r.front, Prober: r.prober,
		Log: r.log, Seq: r.store.Seq(), Term: r.store.Term(), Seed: seed, MaxRows: r.o.machine.MaxRows}, r.driver))
	return nil
}

// load reads the state, as often as it takes: a term does not begin on half of it (D-56).
func (r *reign) load(ctx context.Context) (*state.State, error) {
	for {
		st, err := r.store.Load(ctx)
		switch {
		case err == nil:
			return st, nil
		case errors.Is(err, store.ErrFenced):
			return nil, exitWith(exitLeadershipLost, "load the state: %w", err)
		case !errors.Is(err, store.ErrUnavailable):
			return nil, exitWith(exitStoreLost, "load the state: %w", err)
		}
		r.log.Warn("load the state", zap.Error(err))
		select {
		case <-time.After(loadPause):
		case <-r.term.Expired():
			return nil, exitWith(exitLeadershipLost, "leadership lost while loading: %w", err)
		case <-ctx.Done():
			return nil, exitWith(exitStoreLost, "load the state: %w", err)
		}
	}
}

// hear takes an event of the master: fatal ones end the term, the others go to the machine.
func (r *reign) hear(e offers.Event) {
	measured{r.front.metrics}.event(e)
	if f, ok := e.(offers.FatalError); ok {
		select {
		case r.fatal <- exitWith(f.ExitCode, "%s", f.Message):
		default:
		}
		return
	}
	if r.fresh.expired.Load() {
		return // nothing is decided any more: the next term gets what was not acknowledged
	}
	if _, ok := e.(offers.StatusUpdate); ok {
		r.o.death.at("after an update")
	}
	r.loop.Post(machine.Mesos{Event: e})
}

// resign gives leadership back so that another server need not wait for the lease to end.
func (r *reign) resign() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := r.term.Resign(ctx); err != nil {
		r.log.Warn("resign", zap.Error(err))
	}
}

// rolesOf are the roles to subscribe with: ours and those of all stored specs and instances (behaviour.md 9.4).
func rolesOf(st *state.Snapshot, own string) []string {
	seen := map[string]bool{own: true}
	for s := range st.SpecsBelow(core.Root) {
		seen[s.SpecRole()] = true
	}
	for i := range st.Instances() {
		seen[i.Role] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

func randomSeed() (uint64, error) {
	var b [8]byte
	if _, err := crand.Read(b[:]); err != nil {
		return 0, fmt.Errorf("seed: %w", err)
	}
	return binary.LittleEndian.Uint64(b[:]), nil
}
