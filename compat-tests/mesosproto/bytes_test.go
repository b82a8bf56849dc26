package mesosproto

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// wire is one TCP connection to the master.
type wire struct {
	t    *testing.T
	conn *net.TCPConn
	r    *bufio.Reader
}

func (m *master) dial(t *testing.T) *wire {
	t.Helper()
	u, err := url.Parse(m.url)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.DialTimeout("tcp", u.Host, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &wire{t, c.(*net.TCPConn), bufio.NewReader(c)}
}

func (w *wire) write(text string) {
	w.t.Helper()
	if _, err := io.WriteString(w.conn, text); err != nil {
		w.t.Fatal(err)
	}
}

// post is a scheduler call as bytes.
func post(call obj, headers ...string) string {
	body := encode(call)
	lines := append([]string{"POST " + schedulerPath + " HTTP/1.1", "Host: master", "Content-Type: " + typeJSON, "Accept: " + typeJSON,
		fmt.Sprint("Content-Length: ", len(body))}, headers...)
	return strings.Join(lines, "\r\n") + "\r\n\r\n" + body
}

func (w *wire) deadline(d time.Duration) {
	w.t.Helper()
	if err := w.conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		w.t.Fatal(err)
	}
}

// head reads the head of an answer.
func (w *wire) head() (string, http.Header) {
	w.t.Helper()
	w.deadline(patience)
	line, err := w.r.ReadString('\n')
	if err != nil {
		w.t.Fatalf("status line: %v", err)
	}
	h := http.Header{}
	for {
		field, err := w.r.ReadString('\n')
		if err != nil {
			w.t.Fatalf("header: %v", err)
		}
		if field == "\r\n" {
			return strings.TrimSuffix(line, "\r\n"), h
		}
		k, v, _ := strings.Cut(strings.TrimSuffix(field, "\r\n"), ": ")
		h.Add(k, v)
	}
}

// answer reads an answer that has a Content-Length.
func (w *wire) answer() (line string, h http.Header, body string) {
	w.t.Helper()
	line, h = w.head()
	n, err := strconv.Atoi(h.Get("Content-Length"))
	if err != nil {
		w.t.Fatalf("Content-Length: %v", err)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(w.r, b); err != nil {
		w.t.Fatal(err)
	}
	return line, h, string(b)
}

// chunk reads one chunk: hex length, CRLF, data, CRLF.
func (w *wire) chunk(within time.Duration) string {
	w.t.Helper()
	w.deadline(within)
	line, err := w.r.ReadString('\n')
	if err != nil {
		w.t.Fatalf("chunk: %v", err)
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(line, "\r\n"), 16, 31)
	if err != nil {
		w.t.Fatalf("length of a chunk: %v", err)
	}
	b := make([]byte, n+2)
	if _, err := io.ReadFull(w.r, b); err != nil {
		w.t.Fatal(err)
	}
	if !strings.HasSuffix(string(b), "\r\n") {
		w.t.Fatalf("chunk %q does not end with CRLF", b)
	}
	return string(b[:n])
}

// record reads one chunk that must be exactly one record.
func (w *wire) record(within time.Duration) obj {
	w.t.Helper()
	c := w.chunk(within)
	size, data, _ := strings.Cut(c, "\n")
	if size != fmt.Sprint(len(data)) {
		w.t.Fatalf("chunk %q is not one record", c)
	}
	var v obj
	if err := json.Unmarshal([]byte(data), &v); err != nil {
		w.t.Fatalf("record %q: %v", data, err)
	}
	return v
}

// ends waits for the end of the TCP stream and gives what came before.
func (w *wire) ends(within time.Duration) string {
	w.t.Helper()
	w.deadline(within)
	rest, err := io.ReadAll(w.r)
	if err != nil {
		w.t.Fatalf("no end of the connection: %v", err)
	}
	return string(rest)
}

// quiet is a framework that is offered nothing.
func quiet() obj {
	return obj{"type": "SUBSCRIBE", "subscribe": obj{"framework_info": frameworkInfo(nil), "suppressed_roles": list{"web"}}}
}

func frameworkOf(v obj) string {
	s, _ := v["subscribed"].(obj)
	id, _ := s["framework_id"].(obj)
	text, _ := id["value"].(string)
	return text
}

// TestStreamAsBytes is the stream on the wire, record by record (REC 02b).
func TestStreamAsBytes(t *testing.T) {
	m := newMaster(t)
	a := m.dial(t)
	a.write(post(quiet()))
	line, h := a.head()
	stream := h.Get(streamHeader)
	t.Run("answer to SUBSCRIBE", func(t *testing.T) {
		if line != "HTTP/1.1 200 OK" || h.Get("Transfer-Encoding") != "chunked" || h.Get("Content-Type") != typeJSON || len(stream) != 36 {
			t.Errorf("%s %v", line, h)
		}
	})
	first := a.record(patience)
	id := frameworkOf(first)
	t.Run("SUBSCRIBED is first", func(t *testing.T) {
		if first["type"] != "SUBSCRIBED" || id == "" {
			t.Errorf("first record %v", first)
		}
	})
	t.Run("HEARTBEAT follows at once, without blanks", func(t *testing.T) {
		if c := a.chunk(patience); c != "20\n{\"type\":\"HEARTBEAT\"}" {
			t.Errorf("second chunk %q", c)
		}
	})
	call := func(kind string) obj { return obj{"type": kind, "framework_id": obj{"value": id}} }
	t.Run("connections are kept alive until Connection: close", func(t *testing.T) {
		c := m.dial(t)
		for _, more := range [][]string{nil, nil, {"Connection: close"}} {
			c.write(post(call("SUPPRESS"), append(more, streamHeader+": "+stream)...))
			if line, h, _ := c.answer(); line != "HTTP/1.1 202 Accepted" || h.Get("Content-Type") != "" {
				t.Fatalf("%s %v", line, h)
			}
		}
		if rest := c.ends(patience); rest != "" {
			t.Errorf("%q after the last answer", rest)
		}
	})
	t.Run("pipelined calls are answered in order", func(t *testing.T) {
		d := m.dial(t)
		d.write(post(call("SUPPRESS"), streamHeader+": "+stream) + post(obj{"type": "NOSUCH"}, streamHeader+": "+stream))
		if line, _, _ := d.answer(); line != "HTTP/1.1 202 Accepted" {
			t.Errorf("first answer %s", line)
		}
		if line, _, body := d.answer(); line != "HTTP/1.1 400 Bad Request" || body != "Failed to validate scheduler::Call: Expecting 'type' to be present" {
			t.Errorf("second answer %s %q", line, body)
		}
	})
	t.Run("half-close ends the stream", func(t *testing.T) {
		if err := a.conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		a.ends(patience)
		m.call(call("REVIVE"), stream).check(t, 403, "Framework is not subscribed")
	})
	t.Run("TEARDOWN ends the body, not the connection", func(t *testing.T) {
		b := m.dial(t)
		again := quiet()
		again["framework_id"] = obj{"value": id}
		again["subscribe"].(obj)["framework_info"].(obj)["id"] = obj{"value": id}
		b.write(post(again))
		_, h := b.head()
		b.record(patience)
		b.record(patience)
		if r := m.call(call("TEARDOWN"), h.Get(streamHeader)); r.status != 202 {
			t.Fatalf("TEARDOWN: %d %s", r.status, r.body)
		}
		if c := b.chunk(patience); c != "" {
			t.Fatalf("chunk %q, want the last one", c)
		}
		b.deadline(500 * time.Millisecond)
		if _, err := b.r.ReadByte(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after the last chunk: %v, want an open connection", err)
		}
	})
}

// TestHeartbeats: the second comes 15 s after the first (REC 02b, timings).
func TestHeartbeats(t *testing.T) {
	m := newMaster(t)
	a := m.dial(t)
	a.write(post(quiet()))
	_, h := a.head()
	id := frameworkOf(a.record(patience))
	a.record(patience)
	start := time.Now()
	beat := a.record(15*time.Second + patience)
	span{10 * time.Second, 16 * time.Second}.check(t, time.Since(start)) // the first may have been read late
	if beat["type"] != "HEARTBEAT" {
		t.Errorf("%v, want a HEARTBEAT", beat)
	}
	m.call(obj{"type": "TEARDOWN", "framework_id": obj{"value": id}}, h.Get(streamHeader))
}
