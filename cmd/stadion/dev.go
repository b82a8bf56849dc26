package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// devRows are the flags of stadion dev beside those of the server.
func devRows() []flagRow {
	return []flagRow{
		{"data_dir", "", text, kept, "dev", "directory of etcd, the sandboxes and the miniature's state; default: stadion/dev in the user's state directory"},
		{"mesos_port", "0", number, kept, "dev", "port of the miniature Mesos; 0: any"},
		{"agents", "1", number, kept, "dev", "agents the machine is divided into; 0: a cluster without offers"},
		{"resources", "", text, kept, "dev", "resources of each agent, as for the Mesos agent; default: this machine's, divided"},
		{"attributes", "", text, kept, "dev", "attributes of each agent, as for the Mesos agent; %d becomes the agent's number"},
		{"simulated", "false", toggle, kept, "dev", "tasks are rows, no processes are started"},
	}
}

const (
	devTick     = 10              // milliseconds; one member needs no patience
	devElection = 100             // milliseconds
	devLease    = 60              // seconds; nobody else can lead here, so a busy machine must not cost the lead
	devTxnOps   = 1024            // operations per transaction; a member of our own may take more than etcd's default of 128
	etcdStart   = time.Minute     // a disk may be slow
	etcdTries   = 10              // pairs of ports
	devGrace    = 6 * time.Second // for tasks that end in order
)

// runDev runs everything in one process until it is told to stop, then ends it in order: server, tasks, etcd.
func runDev(ctx context.Context, f *flagSet) error {
	log, err := newLogger(f.text("logging_level"))
	if err != nil {
		return err
	}
	dir, err := dataDir(f.text("data_dir"))
	if err != nil {
		return err
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return err
	}
	defer unlock()
	log.Info("state is kept in " + dir)
	w, err := listen(f, log)
	if err != nil {
		return err
	}
	etcd, endpoint, err := startEtcd(filepath.Join(dir, "etcd"), freeURL)
	if err != nil {
		return exitWith(exitStoreUnreachable, "start the embedded etcd in %s: %w", dir, err)
	}
	defer etcd.Close()
	cluster, err := startMinimesos(miniature{port: f.int("mesos_port"), agents: f.int("agents"), dir: filepath.Join(dir, "mesos"),
		resources: f.text("resources"), attributes: f.text("attributes"), simulated: f.on("simulated"), log: log})
	if err != nil {
		return err
	}
	defer func() {
		cluster.EndTasks(devGrace)
		_ = cluster.Close(true)
	}()
	log.Info("the miniature Mesos listens on http://" + cluster.Addr())
	for name, value := range map[string]string{"etcd_endpoints": endpoint, "master": cluster.Addr()} {
		if err := f.fs.Set(name, value); err != nil {
			return err
		}
	}
	for name, value := range map[string]string{"hostname": "127.0.0.1", "etcd_lease_ttl": strconv.Itoa(devLease), "etcd_max_txn_ops": strconv.Itoa(devTxnOps)} {
		if f.given(name) {
			continue
		}
		if err := f.fs.Set(name, value); err != nil {
			return err
		}
	}
	o, err := readOptions(f)
	if err != nil {
		return err
	}
	o.alone = true
	return serve(ctx, o, w, log)
}

// dataDir is the given directory or one below the user's state directory, made when missing.
func dataDir(given string) (string, error) {
	dir := given
	if dir == "" {
		base := os.Getenv("XDG_STATE_HOME")
		if base == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return "", exitWith(exitFlag, "no state directory is known, set --data_dir: %w", err)
			}
			base = filepath.Join(home, ".local", "state")
		}
		dir = filepath.Join(base, "stadion", "dev")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", exitWith(exitFlag, "--data_dir: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", exitWith(exitFlag, "--data_dir: %w", err)
	}
	return dir, nil
}

// lockDir takes a directory for this process, until unlock or its death. Without it a second process would wait for the
// first one's files without a word.
func lockDir(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, exitWith(exitFlag, "--data_dir: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, exitWith(exitFlag, "--data_dir %s is in use by another process; stop that one or choose another directory", dir)
	}
	return func() { _ = f.Close() }, nil
}

// startEtcd runs one etcd member on loopback ports that free names, with real fsync. Between the choice of a port and its
// use somebody else may take it, for a connection for example; then others are tried.
func startEtcd(dir string, free func() (url.URL, error)) (*embed.Etcd, string, error) {
	for tries := 1; ; tries++ {
		e, endpoint, err := tryEtcd(dir, free)
		if tries == etcdTries || !errors.Is(err, syscall.EADDRINUSE) {
			return e, endpoint, err
		}
	}
}

func tryEtcd(dir string, free func() (url.URL, error)) (*embed.Etcd, string, error) {
	client, err := free()
	if err != nil {
		return nil, "", err
	}
	peer, err := free()
	if err != nil {
		return nil, "", err
	}
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir = "dev", dir
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.TickMs, cfg.ElectionMs, cfg.MaxTxnOps = devTick, devElection, devTxnOps
	cfg.LogLevel = "error"
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return nil, "", err
	}
	select {
	case <-e.Server.ReadyNotify():
		return e, client.String(), nil
	case err := <-e.Err():
		e.Close()
		return nil, "", err
	case <-time.After(etcdStart):
		e.Close()
		return nil, "", fmt.Errorf("not ready after %s", etcdStart)
	}
}

func freeURL() (url.URL, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return url.URL{}, err
	}
	defer l.Close()
	return url.URL{Scheme: "http", Host: l.Addr().String()}, nil
}
