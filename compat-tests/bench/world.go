package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

const (
	subjectCore, otherCore = 0, 1
	agentResources         = "cpus:32;mem:65536;disk:100000;ports:[10000-20000]"
	pollEvery              = 10 * time.Millisecond
	requestTimeout         = 2 * time.Minute
	waitLimit              = 10 * time.Minute // for anything that is waited for
	etcdTick, etcdElection = 20, 200          // milliseconds: one member needs no patience
	etcdQuota              = 8 << 30
)

// world is a server with all it needs.
type world struct {
	dir             string
	master          *process
	store           *process
	server          *process
	url             string // of the server
	client          *http.Client
	serverArguments []string // of each server of this world
}

// newMaster starts a miniature Mesos with simulated agents.
func newMaster(dir string, agents int, flags ...string) (*process, error) {
	return start(otherCore, binary(), append([]string{"minimesos", "--port", "0", "--simulated", "--agents", strconv.Itoa(agents),
		"--resources", agentResources, "--work_dir", filepath.Join(dir, "mesos")}, flags...)...)
}

// newWorld starts etcd, a miniature Mesos and the server.
func newWorld(agents int, flags ...string) (*world, error) { return newWorldOn(nil, agents, flags...) }

// newWorldOn is newWorld with flags for the miniature Mesos.
func newWorldOn(masterFlags []string, agents int, flags ...string) (w *world, err error) {
	w = &world{}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.dir, err = os.MkdirTemp(os.Getenv("BENCH_DIR"), "stadion-bench-"); err != nil {
		return w, err
	}
	if w.master, err = newMaster(w.dir, agents, masterFlags...); err != nil {
		return w, err
	}
	self, err := os.Executable()
	if err != nil {
		return w, err
	}
	if w.store, err = start(otherCore, self, "-etcd", filepath.Join(w.dir, "etcd")); err != nil {
		return w, err
	}
	w.serverArguments = append([]string{"server", "--master", strings.TrimPrefix(w.master.said, "http://"), "--etcd_endpoints", w.store.said, "--http_address", "127.0.0.1",
		"--http_port", "0", "--hostname", "127.0.0.1", "--etcd_max_txn_ops", strconv.Itoa(txnOps()), "--etcd_lease_ttl", "5"}, flags...)
	w.client = &http.Client{Timeout: requestTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}}
	return w, w.serve()
}

// serve starts the server and waits until it is connected to the master.
func (w *world) serve() (err error) {
	if w.server, err = start(subjectCore, binary(), w.serverArguments...); err != nil {
		return err
	}
	w.url = w.server.said
	return w.until("the server is connected to the master", func() (bool, error) {
		var info struct {
			FrameworkID string `json:"frameworkId"`
		}
		err := w.get("/v2/info", &info)
		return info.FrameworkID != "", err
	})
}

func (w *world) close() {
	w.server.stop()
	w.master.stop()
	w.store.stop()
	if w.dir != "" {
		if err := os.RemoveAll(w.dir); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
	}
}

// do sends a request and returns the answer's body; any status but 2xx is an error.
func (w *world) do(method, path string, body any) ([]byte, error) {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, w.url+path, r)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := w.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: status %d: %.300s", method, path, res.StatusCode, text)
	}
	return text, err
}

func (w *world) get(path string, out any) error {
	b, err := w.do(http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, out)
}

// until asks until done says yes.
func (w *world) until(what string, done func() (bool, error)) error {
	for end := time.Now().Add(waitLimit); ; time.Sleep(pollEvery) {
		ok, err := done()
		if err != nil {
			return fmt.Errorf("%s: %w; the server said last: %s", what, err, w.server.lastWords())
		}
		if ok {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s: not within %s", what, waitLimit)
		}
	}
}

// running is how many tasks of an app run, read from the list of apps without their tasks, which costs the server little.
func (w *world) running(id string) (int, error) {
	var v struct {
		Apps []struct {
			ID      string `json:"id"`
			Running int    `json:"tasksRunning"`
		} `json:"apps"`
	}
	if err := w.get("/v2/apps?embed=apps.counts&id="+url.QueryEscape(id), &v); err != nil {
		return 0, err
	}
	for _, a := range v.Apps {
		if a.ID == id {
			return a.Running, nil
		}
	}
	return 0, nil
}

// settled reports that no deployment runs.
func (w *world) settled() (bool, error) {
	b, err := w.do(http.MethodGet, "/v2/deployments", nil)
	return strings.TrimSpace(string(b)) == "[]", err
}

// app is the definition of an app whose instances fit anywhere.
func app(id string, instances int) map[string]any {
	return map[string]any{"id": id, "cmd": "sleep 1000", "cpus": 0.1, "mem": 32, "instances": instances, "portDefinitions": []any{}}
}

// binary is the program under test.
func binary() string {
	if b := os.Getenv("STADION_BINARY"); b != "" {
		return b
	}
	return "../bin/stadion"
}

// txnOps is how many operations a transaction may have: etcd's default unless the environment says otherwise.
func txnOps() int {
	if n, err := strconv.Atoi(os.Getenv("BENCH_TXN_OPS")); err == nil {
		return n
	}
	return 128
}

// runEtcd is one etcd member with real fsync, until it is told to stop.
func runEtcd(dir string) error {
	at := func() (url.URL, error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return url.URL{}, err
		}
		return url.URL{Scheme: "http", Host: l.Addr().String()}, l.Close()
	}
	client, err1 := at()
	peer, err2 := at()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir = "bench", dir
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.TickMs, cfg.ElectionMs, cfg.MaxTxnOps, cfg.QuotaBackendBytes = etcdTick, etcdElection, uint(txnOps()), etcdQuota
	cfg.LogLevel = "error"
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return err
	}
	defer e.Close()
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	select {
	case <-e.Server.ReadyNotify():
		fmt.Println("ready: " + client.String())
	case err := <-e.Err():
		return err
	}
	<-stop.Done()
	return nil
}

// etcdClient is a client of the world's etcd.
func (w *world) etcdClient() (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: []string{w.store.said}, Logger: zap.NewNop(), DialTimeout: readyTimeout})
}
