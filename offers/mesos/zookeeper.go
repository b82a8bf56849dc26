package mesos

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
	"go.uber.org/zap"
)

// ZooKeeper is what is needed of a ZooKeeper session. *zk.Conn is one.
type ZooKeeper interface {
	ChildrenW(path string) ([]string, *zk.Stat, <-chan zk.Event, error)
	Get(path string) ([]byte, *zk.Stat, error)
	Close()
}

// quietLogger keeps the client's own log lines out: they go to stderr and would show addresses only.
type quietLogger struct{}

func (quietLogger) Printf(string, ...any) {}

// openZooKeeper opens a session; it does not wait for the connection.
func openZooKeeper(servers []string, user, password string) (ZooKeeper, error) {
	conn, _, err := zk.Connect(servers, zkSessionTimeout, zk.WithLogger(quietLogger{}), zk.WithLogInfo(false), zk.WithDialer(impatient(zkSessionTimeout)))
	if err != nil {
		return nil, fmt.Errorf("connect to ZooKeeper %s: %w", strings.Join(servers, ","), err)
	}
	if user != "" {
		// The client adds it again whenever it reconnects; an error here only means that it is not connected yet.
		go func() { _ = conn.AddAuth("digest", []byte(user+":"+password)) }()
	}
	return conn, nil
}

// impatient dials so that no read or write waits longer than the limit. The client grants a server seven sessions to
// answer the first message, and a ZooKeeper that is starting may never answer one: it is left for the next server.
func impatient(limit time.Duration) zk.Dialer {
	return func(network, address string, timeout time.Duration) (net.Conn, error) {
		conn, err := net.DialTimeout(network, address, timeout)
		if err != nil {
			return nil, err
		}
		return impatientConn{conn, limit}, nil
	}
}

type impatientConn struct {
	net.Conn
	limit time.Duration
}

func (c impatientConn) earlier(t time.Time) time.Time {
	if last := time.Now().Add(c.limit); t.After(last) {
		return last
	}
	return t
}

func (c impatientConn) SetReadDeadline(t time.Time) error {
	return c.Conn.SetReadDeadline(c.earlier(t))
}
func (c impatientConn) SetWriteDeadline(t time.Time) error {
	return c.Conn.SetWriteDeadline(c.earlier(t))
}

// infoPrefix begins the names of the nodes in which masters announce themselves; a sequence number follows. The
// smallest one is the leader's.
const infoPrefix = "json.info_"

// zkDetector finds the leading master through ZooKeeper.
type zkDetector struct {
	master master
	open   func(servers []string, user, password string) (ZooKeeper, error)
	secure bool
	log    *zap.Logger

	conn ZooKeeper
	stop chan struct{} // ends the watch of the leader given last
}

func (z *zkDetector) leader(ctx context.Context) (string, <-chan struct{}, error) {
	z.endWatch()
	if z.conn == nil {
		conn, err := z.open(z.master.servers, z.master.user, z.master.password)
		if err != nil {
			return "", nil, err
		}
		z.conn = conn
	}
	// The client's calls know no context: when it ends, the session is closed under them.
	unhook := context.AfterFunc(ctx, z.conn.Close)
	defer unhook()
	for {
		children, _, events, err := z.conn.ChildrenW(z.master.path)
		if ctx.Err() != nil {
			return "", nil, ctx.Err()
		}
		if err != nil {
			return "", nil, fmt.Errorf("list masters in ZooKeeper at %s: %w", z.master.path, err)
		}
		node, ok := smallest(children)
		if !ok {
			select {
			case <-events:
				continue
			case <-ctx.Done():
				return "", nil, ctx.Err()
			}
		}
		data, _, err := z.conn.Get(z.master.path + "/" + node)
		if errors.Is(err, zk.ErrNoNode) {
			continue // it left between the two calls
		}
		if err != nil {
			return "", nil, fmt.Errorf("read master %s in ZooKeeper: %w", node, err)
		}
		base, err := masterURL(data, z.secure)
		if err != nil {
			return "", nil, fmt.Errorf("master %s in ZooKeeper: %w", node, err)
		}
		return base, z.watch(z.conn, node, events), nil
	}
}

// watch closes the returned channel when another node leads, or none. A session that is lost proves nothing: the
// stream to the master stands on its own, so the watch is renewed and ends only when that fails.
func (z *zkDetector) watch(conn ZooKeeper, node string, events <-chan zk.Event) <-chan struct{} {
	changed, stop := make(chan struct{}), make(chan struct{})
	z.stop = stop
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-events:
			}
			children, _, next, err := conn.ChildrenW(z.master.path)
			if err != nil {
				z.log.Warn("lost the watch on the Mesos masters in ZooKeeper", zap.Error(err))
				return
			}
			if now, _ := smallest(children); now != node {
				close(changed)
				return
			}
			events = next
		}
	}()
	return changed
}

func (z *zkDetector) endWatch() {
	if z.stop != nil {
		close(z.stop)
		z.stop = nil
	}
}

// failed keeps the master: only ZooKeeper knows a better one. The session is kept as well.
func (z *zkDetector) failed(string) bool { return false }

func (z *zkDetector) close() {
	z.endWatch()
	if z.conn != nil {
		z.conn.Close()
		z.conn = nil
	}
}

// smallest is the announcement with the smallest sequence number.
func smallest(children []string) (node string, ok bool) {
	best := int64(0)
	for _, c := range children {
		text, is := strings.CutPrefix(c, infoPrefix)
		if !is {
			continue
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			continue
		}
		if !ok || n < best {
			node, best, ok = c, n, true
		}
	}
	return node, ok
}

// masterURL reads the JSON form of MasterInfo. With TLS the host name is preferred, as certificates name it.
func masterURL(data []byte, secure bool) (string, error) {
	var info struct {
		IP       uint32 `json:"ip"`
		Port     int    `json:"port"`
		Hostname string `json:"hostname"`
		Address  struct {
			Hostname string `json:"hostname"`
			IP       string `json:"ip"`
			Port     int    `json:"port"`
		} `json:"address"`
	}
	if err := json.Unmarshal(data, &info); err != nil {
		return "", fmt.Errorf("its announcement is no JSON: %w", err)
	}
	name, ip, port := info.Address.Hostname, info.Address.IP, info.Address.Port
	if name == "" {
		name = info.Hostname
	}
	if ip == "" && info.IP != 0 { // network order in a little-endian integer
		ip = net.IP(binary.LittleEndian.AppendUint32(nil, info.IP)).String()
	}
	if port == 0 {
		port = info.Port
	}
	scheme, host := "http", ip
	if secure {
		scheme = "https"
		if name != "" {
			host = name
		}
	}
	if host == "" {
		host = name
	}
	if host == "" || port <= 0 || port > 65535 {
		return "", errors.New("its announcement has no address")
	}
	return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(port)), nil
}
