package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"stadion/core/store"
	"stadion/leader"
)

// storeRows are the flags of stadion backup and stadion restore.
func storeRows() []flagRow {
	rows := []flagRow{{"force", "false", toggle, kept, "store", "overwrite what is there"},
		{"logging_level", "info", text, kept, "store", "debug, info, warn or error"}}
	for _, r := range flagTable {
		if r.group == "store" && (r.use == kept || r.name == "zk") && r.name != "backup_location" {
			rows = append(rows, r)
		}
	}
	return rows
}

// runBackup is stadion backup FILE: everything below the prefix, as of one revision. Servers may go on working.
func runBackup(ctx context.Context, f *flagSet) error {
	o, client, err := dialStore(ctx, f)
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err := os.Stat(f.operand); err == nil && !f.on("force") {
		return exitWith(exitFlag, "%s exists; overwrite it with --force", f.operand)
	}
	s := store.New(client, store.Fence{}, store.Options{Prefix: o.prefix})
	m, keys, err := backupTo(ctx, s, f.operand)
	if err != nil {
		return exitWith(exitStoreLost, "%w", err)
	}
	fmt.Printf("backed up %d keys below %s as of revision %d to %s\n", keys, m.Prefix, m.Revision, f.operand)
	return nil
}

// runRestore is stadion restore FILE. It takes the lead for its time, so that no server writes meanwhile.
func runRestore(ctx context.Context, f *flagSet) error {
	a, err := archiveFrom(f.operand) // before anything is touched
	if err != nil {
		return exitWith(exitFlag, "%w", err)
	}
	o, client, err := dialStore(ctx, f)
	if err != nil {
		return err
	}
	defer client.Close()
	election := leader.New(client, leader.Options{Prefix: o.prefix, TTL: o.ttl})
	switch who, err := election.Candidates(ctx); {
	case err != nil:
		return exitWith(exitStoreLost, "look for servers: %w", err)
	case len(who) > 0:
		return exitWith(exitFlag, "the server %s is running: stop all servers first, or let the leader do it: DELETE /v2/leader?restore=file://…", who[0])
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	term, err := election.Campaign(ctx, "restore@"+host+":"+strconv.Itoa(os.Getpid()))
	if err != nil {
		return exitWith(exitStoreLost, "take the lead: %w", err)
	}
	defer func() { _ = term.Resign(context.WithoutCancel(ctx)) }() // otherwise the lease ends by itself
	s := store.New(client, store.Fence{Key: term.Key, Rev: term.Rev}, store.Options{Prefix: o.prefix, MaxTxnOps: f.int("etcd_max_txn_ops")})
	empty, err := s.Empty(ctx)
	if err != nil {
		return exitWith(exitStoreLost, "%w", err)
	}
	if !empty && !f.on("force") {
		return exitWith(exitFlag, "there is data below %s: replace it with --force", o.prefix)
	}
	if err := s.Restore(ctx, a); err != nil {
		return exitWith(exitStoreLost, "%w", err)
	}
	fmt.Printf("restored %d keys below %s from %s, made on %s as of revision %d\n", a.Len(), o.prefix, f.operand, a.Created.Format(time.RFC3339), a.Revision)
	return nil
}

// dialStore reads the flags of the store and connects.
func dialStore(ctx context.Context, f *flagSet) (*options, *clientv3.Client, error) {
	if f.text("etcd_endpoints") == "" {
		return nil, nil, exitWith(exitFlag, "flag --etcd_endpoints is required")
	}
	o := &options{flags: f}
	if err := o.readStore(f); err != nil {
		return nil, nil, err
	}
	client, err := leader.Dial(ctx, o.etcd)
	if err != nil {
		return nil, nil, exitWith(exitStoreUnreachable, "cannot connect to the store: %w", err)
	}
	return o, client, nil
}

// backupTo writes a backup beside its place first, so that a file of that name is always a whole one. Backups hold
// whatever users put into environments: only the owner may read them.
func backupTo(ctx context.Context, s *store.Store, file string) (m store.Manifest, keys int, err error) {
	out, err := os.CreateTemp(filepath.Dir(file), ".stadion-backup-*")
	if err != nil {
		return m, 0, fmt.Errorf("backup to %s: %w", file, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(out.Name())
		}
	}()
	w := bufio.NewWriter(out)
	m, keys, _, err = s.Backup(ctx, w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err == nil {
		err = os.Rename(out.Name(), file)
	}
	if err != nil {
		return m, 0, fmt.Errorf("backup to %s: %w", file, err)
	}
	return m, keys, nil
}

// archiveFrom reads a backup and checks it.
func archiveFrom(file string) (*store.Archive, error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	defer in.Close()
	a, err := store.ReadBackup(io.Reader(in))
	if err != nil {
		return nil, fmt.Errorf("restore from %s: %w", file, err)
	}
	return a, nil
}

// localFile is the path of a file:// URI.
func localFile(uri string) (string, error) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "file" || u.Host != "" && u.Host != "localhost" || !filepath.IsAbs(u.Path) {
		return "", fmt.Errorf("%q is no URI of a file: expected file:///absolute/path", uri)
	}
	return u.Path, nil
}

// runtime does what the last leader left to this one: a backup, then a restore (behaviour.md 1.11). The request is gone
// before it is tried, so that one that cannot be fulfilled does not keep every leader from starting.
func (r *reign) runtime(ctx context.Context) error {
	asked, err := r.store.TakeRuntime(ctx)
	if err != nil {
		return exitWith(exitStoreLost, "%w", err)
	}
	if asked.Backup != "" {
		if err := r.backup(ctx, asked.Backup); err != nil {
			return err
		}
	}
	if asked.Restore != "" {
		file, err := localFile(asked.Restore)
		if err != nil {
			return exitWith(exitFaulty, "restore: %w", err)
		}
		a, err := archiveFrom(file)
		if err == nil {
			err = r.store.Restore(ctx, a)
		}
		if err != nil {
			return exitWith(exitFaulty, "%w", err)
		}
		r.log.Info("restored a backup on request", zap.String("file", file), zap.Int("keys", a.Len()), zap.Time("made", a.Created))
	}
	migrates, err := r.store.Migrates(ctx)
	if err != nil {
		return exitWith(exitStoreLost, "%w", err)
	}
	if to := r.o.flags.text("backup_location"); migrates && to != "" && asked.Backup == "" {
		return r.backup(ctx, to)
	}
	return nil
}

func (r *reign) backup(ctx context.Context, uri string) error {
	file, err := localFile(uri)
	if err != nil {
		return exitWith(exitFaulty, "backup: %w", err)
	}
	m, keys, err := backupTo(ctx, r.store, file)
	if err != nil {
		return exitWith(exitFaulty, "%w", err)
	}
	r.log.Info("made a backup", zap.String("file", file), zap.Int("keys", keys), zap.Int64("revision", m.Revision))
	return nil
}
