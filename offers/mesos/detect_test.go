package mesos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"go.uber.org/zap"

	"stadion/offers"
)

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestParseMaster(t *testing.T) {
	cases := []struct {
		in     string
		secure bool
		want   string // %v of bases, servers, path, user, password
		err    bool
	}{
		{in: "h:5051", want: "[http://h:5051] []   "},
		{in: "h", want: "[http://h:5050] []   "},
		{in: "h", secure: true, want: "[https://h:5050] []   "},
		{in: "h:1, g:2", want: "[http://h:1 http://g:2] []   "},
		{in: "[::1]:5050", want: "[http://[::1]:5050] []   "},
		{in: "https://h:1,g:2/", want: "[https://h:1 https://g:2] []   "},
		{in: "http://h:1,http://g:2", want: "[http://h:1 http://g:2] []   "},
		{in: "zk://a:1,b/mesos", want: "[] [a:1 b:2181] /mesos  "},
		{in: "zk://u:p:q@a:1/x/y/", want: "[] [a:1] /x/y u p:q"},
		{in: "", err: true},
		{in: "h:", err: true},
		{in: "h:1,", err: true},
		{in: "http://h:1/path", err: true},
		{in: "http://u:p@h:1", err: true},
		{in: "zk://a:1", err: true},
		{in: "zk://a:1/", err: true},
		{in: "zk://u@a:1/m", err: true},
		{in: "ftp://a", err: true},
	}
	for _, c := range cases {
		m, err := parseMaster(c.in, c.secure)
		if (err != nil) != c.err {
			t.Errorf("%q: error %v", c.in, err)
			continue
		}
		if got := fmt.Sprintf("%v %v %s %s %s", m.bases, m.servers, m.path, m.user, m.password); err == nil && got != c.want {
			t.Errorf("%q is %q, want %q", c.in, got, c.want)
		}
	}
}

// A file may name the master, and may be changed while no stream stands.
func TestMasterFile(t *testing.T) {
	m := newFakeMaster(t)
	path := filepath.Join(t.TempDir(), "master")
	h := start(t, testConfig("file://"+path), "")
	time.Sleep(10 * time.Millisecond) // some attempts fail: the file is missing
	if err := os.WriteFile(path, []byte(m.URL+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.nextStream().send(subscribedEvent(t, "f1", 15))
	want[offers.Subscribed](h)
}

func TestConfigIsChecked(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"capability": func(c *Config) { c.Framework.Capabilities = []string{"NOPE"} },
		"name":       func(c *Config) { c.Framework.Name = "" },
		"principal":  func(c *Config) { c.Secret = "x" },
		"master":     func(c *Config) { c.Master = "" },
	} {
		cfg := testConfig("h:1")
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&cfg)
		if cfg.Validate() == nil {
			t.Errorf("%s is not checked", name)
		}
		h := start(t, cfg, "")
		if e := want[offers.FatalError](h); e.ExitCode != 106 {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// fakeZooKeeper is one node with children, whose watch fires on each change.
type fakeZooKeeper struct {
	mu     sync.Mutex
	nodes  map[string]string
	watch  []chan zk.Event
	fail   error
	closed bool
}

func (z *fakeZooKeeper) ChildrenW(path string) ([]string, *zk.Stat, <-chan zk.Event, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.closed {
		return nil, nil, nil, zk.ErrConnectionClosed
	}
	if z.fail != nil {
		err := z.fail
		z.fail = nil
		return nil, nil, nil, err
	}
	if path != "/mesos" {
		return nil, nil, nil, zk.ErrNoNode
	}
	var names []string
	for n := range z.nodes {
		names = append(names, n)
	}
	w := make(chan zk.Event, 1)
	z.watch = append(z.watch, w)
	return names, nil, w, nil
}

func (z *fakeZooKeeper) Get(path string) ([]byte, *zk.Stat, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	v, ok := z.nodes[strings.TrimPrefix(path, "/mesos/")]
	if !ok {
		return nil, nil, zk.ErrNoNode
	}
	return []byte(v), nil, nil
}

func (z *fakeZooKeeper) Close() {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.closed = true
	z.fire()
}

func (z *fakeZooKeeper) fire() {
	for _, w := range z.watch {
		w <- zk.Event{Type: zk.EventNodeChildrenChanged}
	}
	z.watch = nil
}

func (z *fakeZooKeeper) set(nodes map[string]string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.nodes = nodes
	z.fire()
}

func announcement(base string) string {
	host, port, _ := strings.Cut(strings.TrimPrefix(base, "http://"), ":")
	return fmt.Sprintf(`{"id":"m","ip":16777343,"port":%s,"hostname":"x","address":{"hostname":"x","ip":%q,"port":%s}}`, port, host, port)
}

// F15 with ZooKeeper: the master with the smallest number leads; when another one does, the stream is changed at once.
func TestF15ZooKeeper(t *testing.T) {
	first, second := newFakeMaster(t), newFakeMaster(t)
	keeper := &fakeZooKeeper{nodes: map[string]string{"log_replicas": ""}, fail: errors.New("not connected yet")}
	cfg := testConfig("zk://u:p@k1:1,k2/mesos")
	cfg.OpenZooKeeper = func(servers []string, user, password string) (ZooKeeper, error) {
		if fmt.Sprintf("%v %s %s", servers, user, password) != "[k1:1 k2:2181] u p" {
			t.Errorf("opens %v %s %s", servers, user, password)
		}
		return keeper, nil
	}
	h := start(t, cfg, "")
	keeper.set(map[string]string{"json.info_0000000010": announcement(second.URL), "json.info_0000000009": announcement(first.URL), "log_replicas": ""})
	s := first.nextStream()
	s.send(subscribedEvent(t, "f1", 15))
	want[offers.Subscribed](h)
	keeper.set(map[string]string{"json.info_0000000010": announcement(second.URL), "json.info_0000000009": announcement(first.URL), "json.info_0000000011": "{}"})
	h.Send([]offers.Call{offers.Revive{}})
	<-first.calls // the third master changed nothing
	keeper.set(map[string]string{"json.info_0000000010": announcement(second.URL)})
	if e := want[offers.Disconnected](h); !strings.Contains(e.Reason, ErrLeaderChanged.Error()) {
		t.Fatalf("disconnected for %q", e.Reason)
	}
	second.nextStream().send(subscribedEvent(t, "f1", 15))
	if e := want[offers.Subscribed](h); e.MasterURL != second.URL {
		t.Fatalf("master %s", e.MasterURL)
	}
	h.Close()
	noGoroutinesLeft(t)
}

// No master leads: the detector waits, and ends with its context.
func TestZooKeeperWithoutLeader(t *testing.T) {
	keeper := &fakeZooKeeper{}
	z := &zkDetector{master: master{path: "/mesos"}, log: zap.NewNop(), open: func([]string, string, string) (ZooKeeper, error) { return keeper, nil }}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if base, _, err := z.leader(ctx); err == nil {
		t.Fatalf("leader %s", base)
	}
	z.close()
	noGoroutinesLeft(t)
}

func TestMasterURL(t *testing.T) {
	cases := []struct {
		data   string
		secure bool
		want   string
	}{
		{`{"ip":16777343,"port":5051}`, false, "http://127.0.0.1:5051"},
		{`{"ip":16777343,"port":5051,"hostname":"m"}`, true, "https://m:5051"},
		{`{"address":{"hostname":"m","ip":"::1","port":1}}`, false, "http://[::1]:1"},
		{`{"address":{"hostname":"m","port":1}}`, false, "http://m:1"},
		{`{"ip":16777343}`, false, ""},
		{`{}`, false, ""},
		{`nonsense`, false, ""},
	}
	for _, c := range cases {
		got, err := masterURL([]byte(c.data), c.secure)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s is %q, %v", c.data, got, err)
		}
	}
}

// The real client, without a server: an error that shows no credentials, and nothing left behind.
func TestZooKeeperUnreachable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	cfg := testConfig("zk://user:very-secret@" + address + "/mesos")
	cfg.setDefaults()
	finder, err := newDetector(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	base, _, err := finder.leader(t.Context())
	if err == nil || strings.Contains(err.Error(), "very-secret") {
		t.Fatalf("leader %s, %v", base, err)
	}
	finder.close()
	noGoroutinesLeft(t)
}
