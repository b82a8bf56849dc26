//go:build !race

// The real client has a race of its own: a connection that is answered before it looks for watches to set again reads its
// last zxid while its reader writes it (go-zookeeper v1.0.4, sendSetWatches). Nothing comes of it, but the detector may
// see it. What is ours in the search for a master runs under the detector in detect_test.go.

package mesos

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"stadion/offers"
)

// keeperServer speaks enough of ZooKeeper's protocol for the real client: sessions, credentials, one node with
// children, and watches on them.
type keeperServer struct {
	net.Listener
	t     *testing.T
	mu    sync.Mutex
	nodes map[string]string
	auth  []string
	watch map[net.Conn]bool
	conns map[net.Conn]bool
	done  sync.WaitGroup
}

func newKeeperServer(t *testing.T) *keeperServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &keeperServer{Listener: l, t: t, watch: map[net.Conn]bool{}, conns: map[net.Conn]bool{}}
	k.done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			k.mu.Lock()
			k.conns[conn] = true
			k.mu.Unlock()
			k.done.Go(func() { k.serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		k.mu.Lock()
		for c := range k.conns {
			c.Close()
		}
		k.mu.Unlock()
		k.done.Wait()
	})
	return k
}

func jute(s string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...)
}

// packet puts the length before the parts.
func packet(parts ...[]byte) []byte {
	var body []byte
	for _, p := range parts {
		body = append(body, p...)
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

func replyHead(xid, code uint32) []byte {
	b := binary.BigEndian.AppendUint32(nil, xid)
	b = binary.BigEndian.AppendUint64(b, 1) // zxid
	return binary.BigEndian.AppendUint32(b, code)
}

func readPacket(conn net.Conn) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, min(binary.BigEndian.Uint32(size[:]), 1<<16))
	_, err := io.ReadFull(conn, b)
	return b, err
}

func (k *keeperServer) serve(conn net.Conn) {
	defer conn.Close()
	if _, err := readPacket(conn); err != nil { // connect
		return
	}
	session := binary.BigEndian.AppendUint32(nil, 0)
	session = binary.BigEndian.AppendUint32(session, 10_000) // timeout
	session = binary.BigEndian.AppendUint64(session, 7)      // id
	if _, err := conn.Write(packet(session, jute(strings.Repeat("p", 16)))); err != nil {
		return
	}
	for {
		b, err := readPacket(conn)
		if err != nil || len(b) < 8 {
			return
		}
		reply := k.answer(conn, binary.BigEndian.Uint32(b), int32(binary.BigEndian.Uint32(b[4:])), b[8:])
		if _, err := conn.Write(reply); err != nil {
			return
		}
	}
}

func (k *keeperServer) answer(conn net.Conn, xid uint32, op int32, body []byte) []byte {
	const getData, getChildren2, setAuth, noNode, statSize = 4, 12, 100, 0xFFFFFF9B, 68
	k.mu.Lock()
	defer k.mu.Unlock()
	text := func(b []byte) string { return string(b[4 : 4+binary.BigEndian.Uint32(b)]) }
	switch op {
	case setAuth:
		scheme := text(body[4:])
		k.auth = append(k.auth, scheme+" "+text(body[8+len(scheme):]))
	case getData:
		v, ok := k.nodes[strings.TrimPrefix(text(body), "/mesos/")]
		if !ok {
			return packet(replyHead(xid, noNode))
		}
		return packet(replyHead(xid, 0), jute(v), make([]byte, statSize))
	case getChildren2:
		list := binary.BigEndian.AppendUint32(nil, uint32(len(k.nodes)))
		for name := range k.nodes {
			list = append(list, jute(name)...)
		}
		k.watch[conn] = true
		return packet(replyHead(xid, 0), list, make([]byte, statSize))
	}
	return packet(replyHead(xid, 0))
}

// set changes the children and tells who watches them.
func (k *keeperServer) set(nodes map[string]string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.nodes = nodes
	for conn := range k.watch {
		event := binary.BigEndian.AppendUint32(nil, 4) // children changed
		event = binary.BigEndian.AppendUint32(event, 3)
		if _, err := conn.Write(packet(replyHead(0xFFFFFFFF, 0), event, jute("/mesos"))); err != nil {
			k.t.Log(err) // it has left
		}
		delete(k.watch, conn)
	}
}

// F15 through the real ZooKeeper client: the leader is found, credentials are shown, a new leader is noticed.
func TestF15RealZooKeeperClient(t *testing.T) {
	keeper := newKeeperServer(t)
	first, second := newFakeMaster(t), newFakeMaster(t)
	keeper.set(map[string]string{"json.info_0000000002": announcement(first.URL), "info_0000000001": "older form"})
	h := start(t, testConfig("zk://user:secret@"+keeper.Addr().String()+"/mesos"), "")
	first.nextStream().send(subscribedEvent(t, "f1", 15))
	want[offers.Subscribed](h)
	keeper.set(map[string]string{"json.info_0000000003": announcement(second.URL)})
	if e := want[offers.Disconnected](h); !strings.Contains(e.Reason, ErrLeaderChanged.Error()) {
		t.Fatalf("disconnected for %q", e.Reason)
	}
	second.nextStream().send(subscribedEvent(t, "f1", 15))
	want[offers.Subscribed](h)
	h.Close()
	noGoroutinesLeft(t)
	keeper.mu.Lock()
	defer keeper.mu.Unlock()
	if len(keeper.auth) == 0 || keeper.auth[0] != "digest user:secret" {
		t.Fatalf("credentials %q", keeper.auth)
	}
}

// F15: a ZooKeeper that takes a connection and never answers does not hold the search for a master for longer than
// the limit, whatever the client would grant it.
func TestF15SilentZooKeeper(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	conn, err := impatient(50*time.Millisecond)("tcp", silent.Addr().String(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	guard := time.AfterFunc(time.Minute, func() { conn.Close() })
	defer guard.Stop()
	if err := conn.SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read of a silent server: %v", err)
	}
}
