package main

import "slices"

// mutation is one mistake.
type mutation struct {
	name, rule string
	file       string // below the root of the server's module
	old, new   string
	tests      []string // packages; one that fails is enough
}

// The packages with tests that know the rules.
const (
	simulation = "./core/simulation"
	machine    = "./core/machine"
	store      = "./core/store"
	loop       = "./core/loop"
	leader     = "./leader"
	offers     = "./offers"
	mesos      = "./offers/mesos"
	plans      = "./deployments"
	api        = "./marathonapi"
)

var mutations = slices.Concat(durable, decided, placed, edges, guarded)

// durable are mistakes about what is stored, when, and under which fence.
var durable = []mutation{
	{"drop the fence compare", "R8 F3", "core/store/etcd.go",
		`clientv3.Compare(clientv3.CreateRevision(g.fence.Key), "=", g.fence.Rev)`, `clientv3.Compare(clientv3.CreateRevision(g.fence.Key), ">", -1)`, []string{store}},
	{"drop the compare of the sequence", "F9 R8", "core/store/store.go",
		`guard{s.fence, s.root + keySeq, s.seqValue}`, `guard{s.fence, "", ""}`, []string{store, simulation}},
	{"ignore the sequence that is read back", "F9 D-20", "core/store/store.go",
		"\tcase v.found == seqText(seq, s.fence.Rev):\n\t\treturn true, nil\n", "", []string{store, simulation}},
	{"take any sequence for the own one", "F9 R8", "core/store/store.go",
		"case v.found == seqText(seq, s.fence.Rev):", `case v.found != "":`, []string{store, simulation}},
	{"take an unknown outcome for a success", "F9 R1", "core/store/etcd.go",
		"return verdict{}, explain(err)", "return verdict{ok: true}, nil", []string{store, loop}},
	{"commit a batch twice", "R2", "core/store/store.go",
		"if seq <= s.seq {", "if seq < s.seq {", []string{store}},
	{"do not finish an interrupted large batch", "F1 D-21", "core/store/redo.go",
		"\terr = s.finish(ctx, l)\n\tfor", "\tfor", []string{store, simulation}},
	{"forget the rows of the redo log", "F1 D-21", "core/store/redo.go",
		"range append(s.chunks(l.ops), clean)", "range [][]op{clean}", []string{store, simulation}},
	{"write the rows without a redo log", "F1 D-21", "core/store/redo.go",
		"for _, part := range s.stages(stage) {", "for _, part := range append(s.chunks(b.ops), s.stages(stage)...) {", []string{store, simulation}},
	{"part the commit point", "F1 D-21", "core/store/redo.go",
		"n > 1 && len(parts[n-1]) == 1", "n > 1 && len(parts[n-1]) == 0", []string{store}},
	{"one operation too many per transaction", "I12", "core/store/redo.go",
		"i-start >= s.opts.MaxTxnOps", "i-start > s.opts.MaxTxnOps", []string{store, simulation}},
	{"drop unknown fields on rewrite", "U4", "core/store/codec.go",
		"return merge(raw, ex)", "return raw, nil", []string{store}},
	{"drop unknown fields of a packed instance", "U4", "core/store/codec.go",
		"ok && len(ex) == 0 && packable(i)", "ok && packable(i)", []string{store}},
	{"confirm the lead without asking for the key", "R13 R8", "leader/election.go",
		"case len(own.Kvs) == 0 || own.Kvs[0].CreateRevision != t.Rev:\n\t\treturn", "case len(own.Kvs) > 100:\n\t\treturn", []string{leader}},
	{"do not mark old reads", "R13", "cmd/stadion/stale.go",
		"age > freshFor || f", "age < 0 || f", []string{"./cmd/stadion"}},
	{"subscribe again after the lease", "R8 F5", "offers/mesos/driver.go",
		"d.held() && d.ctx", "d.started && d.last && d.ctx.Err() != nil && d.ctx", []string{"./offers/mesos"}},
	{"take changes after the lease", "R13 F8", "cmd/stadion/front.go",
		"if r.fresh.expired.Load() {", "if r.fresh.expired.Load() && f.o == nil {", []string{"./cmd/stadion"}},
	{"do not outlast a silent etcd", "R13 F8", "cmd/stadion/server.go",
		"if r.outlast() {", "if r.outlast() && ctx == nil {", []string{"./cmd/stadion"}},
	{"do not report an unreadable row", "F14", "core/store/load.go",
		"case r.err != nil:\n\t\tl.s.report(r.key, r.err)", "case r.err != nil:", []string{store, simulation}},
	{"end the load at an unreadable row", "F14", "core/store/load.go",
		"\treturn <-failed\n", "\tif len(l.s.quarantined) > 0 {\n\t\treturn l.s.quarantined[0].Err\n\t}\n\treturn <-failed\n", []string{store, simulation}},
	{"load the pages at different revisions", "R1 F12", "core/store/load.go",
		"if rev = p.rev; !w.next(p, s.opts.PageSize) {", "if !w.next(p, s.opts.PageSize) {", []string{store}},
	{"read a newer schema", "U2", "core/store/schema.go",
		"if s.Readers > own().Version {", "if s.Readers > own().Version+1000 {", []string{store}},
	{"forget a field of an instance", "I13 U2", "core/store/instance.go",
		"Healthy: i.Healthy, Inc: i.Incarnation, Why: i.KillReason}", "Healthy: i.Healthy, Inc: i.Incarnation}", []string{store, simulation}},
	{"compact what watchers still need", "F11", "core/store/store.go",
		"upTo, now := s.compacted, s.rev", "upTo, now := s.rev, s.rev", []string{store}},
	{"take a full etcd for a lost one", "F10", "core/store/etcd.go",
		"case errors.Is(err, rpctypes.ErrNoSpace):\n\t\treturn ErrNoSpace", "case errors.Is(err, rpctypes.ErrNoSpace):\n\t\treturn errors.New(\"full\")", []string{store}},
	{"ACCEPT and ACKNOWLEDGE before the commit", "R3 I9", "core/loop/run.go",
		"\tl.flying = c\n\tl.commits <- c\n", "\tif l.cfg.Caller != nil {\n\t\tl.cfg.Caller.Send(c.Calls)\n\t\tc.Calls = nil\n\t}\n\tl.flying = c\n\tl.commits <- c\n", []string{loop}},
	{"answer before the commit", "R1", "core/loop/run.go",
		"\tl.flying = c\n\tl.commits <- c\n", "\tfor _, r := range c.Replies {\n\t\tl.waiters.answer(r)\n\t}\n\tl.flying = c\n\tl.commits <- c\n", []string{loop}},
	{"show the snapshot before the commit", "R13", "core/loop/run.go",
		"\tl.flying = c\n\tl.commits <- c\n", "\tl.snapshot.Store(c.snapshot)\n\tl.flying = c\n\tl.commits <- c\n", []string{loop}},
	{"publish events before the commit", "R10", "core/loop/run.go",
		"\tl.flying = c\n\tl.commits <- c\n", "\tif l.cfg.Publisher != nil {\n\t\tl.cfg.Publisher.Publish(c.Seq, c.Notices)\n\t}\n\tl.flying = c\n\tl.commits <- c\n", []string{loop}},
	{"answer before the snapshot shows it", "R11", "core/loop/run.go",
		"func (l *Loop) release(c *closed) {\n\tl.snapshot.Store(c.snapshot)\n", "func (l *Loop) release(c *closed) {\n\tdefer l.snapshot.Store(c.snapshot)\n", []string{loop}},
	{"kill without asking the fence", "R8 F3", "core/machine/batch.go",
		"case offers.Accept, offers.Kill:\n\t\t\treturn true", "case offers.Accept, offers.Kill:\n\t\t\treturn false", []string{loop}},
	{"do not flush at a planned end", "F6", "core/loop/run.go",
		"\tif l.stepped > 0 {\n\t\tl.closeBatch()", "\tif l.stepped < 0 {\n\t\tl.closeBatch()", []string{loop}},
	{"take commands while the store is away", "R13 F8", "core/loop/run.go",
		"if err := l.Away(); err != nil {", "if err := l.Away(); err != nil && len(l.commands) < 0 {", []string{loop}},
	{"go on after the fence is lost", "R8", "core/loop/run.go",
		"case !errors.As(err, &retry) || ctx.Err() != nil:", "case !errors.As(err, &retry) && ctx.Err() != nil, ctx.Err() != nil:", []string{loop}},
}
