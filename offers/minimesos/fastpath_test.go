package minimesos

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

// rawConn is a connection of a framework that writes requests byte by byte.
type rawConn struct {
	f    *testFramework
	conn net.Conn
	r    *bufio.Reader
}

func (f *testFramework) dial() *rawConn {
	f.t.Helper()
	conn, err := net.Dial("tcp", f.c.Addr())
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		f.t.Fatal(err)
	}
	return &rawConn{f, conn, bufio.NewReader(conn)}
}

// request is one call as bytes.
func (c *rawConn) request(call *scheduler.Call, headers string) string {
	call.FrameworkID = &mesos.FrameworkID{Value: c.f.id}
	kind, body := c.f.encode(call)
	return fmt.Sprintf("POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nAccept: %s\r\nMesos-Stream-Id: %s\r\n%sContent-Length: %d\r\n\r\n%s",
		kind, kind, c.f.stream, headers, len(body), body)
}

func (c *rawConn) write(text string) {
	c.f.t.Helper()
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.f.t.Fatal(err)
	}
}

// expect reads one answer.
func (c *rawConn) expect(status int, text string) *http.Response {
	c.f.t.Helper()
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.f.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.f.t.Fatal(err)
	}
	if resp.StatusCode != status || string(body) != text {
		c.f.t.Fatalf("%d %q, want %d %q", resp.StatusCode, body, status, text)
	}
	return resp
}

// Calls on a connection that net/http has lost are answered as by it, in order, and
// what is no plain call finds its way back.
func TestFastConnection(t *testing.T) {
	f := newFramework(t, testCluster(t, 1, nil), "web").subscribe()
	c := f.dial()
	suppress := c.request(&scheduler.Call{Type: scheduler.Call_SUPPRESS}, "")
	c.write(suppress)
	c.expect(202, "")
	wrong := c.request(&scheduler.Call{Type: scheduler.Call_KILL}, "")
	stale := strings.ReplaceAll(suppress, f.stream, "stale")
	c.write(suppress + wrong + stale + suppress[:40]) // the rest comes only after the answers
	c.expect(202, "")
	if resp := c.expect(400, "Failed to validate scheduler::Call: Expecting 'kill' to be present"); resp.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("header of an error: %v", resp.Header)
	}
	c.expect(400, "The stream ID 'stale' included in this request didn't match the stream ID currently associated with framework ID "+f.id)
	c.write(suppress[40:])
	if resp := c.expect(202, ""); resp.Header.Get("Date") == "" || len(resp.Header) != 2 {
		t.Errorf("header of an accepted call: %v", resp.Header)
	}
	long := strings.Repeat("x", 3*fastBuffer)
	c.write(c.request(&scheduler.Call{Type: scheduler.Call_MESSAGE, Message: &scheduler.Call_Message{Data: []byte(long)}}, ""))
	c.expect(202, "")
	c.write(suppress + "GET /health HTTP/1.1\r\nHost: x\r\n\r\n" + suppress)
	c.expect(202, "")
	c.expect(200, "")
	c.expect(202, "")
	c.write(c.request(&scheduler.Call{Type: scheduler.Call_SUPPRESS}, "Connection: close\r\n"))
	c.expect(202, "")
	if _, err := c.r.ReadByte(); err != io.EOF {
		t.Errorf("after Connection: close: %v", err)
	}
}

// Requests that only net/http can serve are not lost, wherever they are noticed.
func TestFastConnectionGivesBack(t *testing.T) {
	for name, second := range map[string]func(*rawConn) (string, int, string){
		"subscribe": func(c *rawConn) (string, int, string) {
			_, body := c.f.encode(&scheduler.Call{Type: scheduler.Call_SUBSCRIBE, FrameworkID: &mesos.FrameworkID{Value: "x"},
				Subscribe: &scheduler.Call_Subscribe{FrameworkInfo: c.f.info}})
			return fmt.Sprintf("POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", typeProtobuf, len(body), body),
				400, "Failed to validate scheduler::Call: 'framework_id' differs from 'subscribe.framework_info.id'"
		},
		"no stream id": func(c *rawConn) (string, int, string) {
			text := c.request(&scheduler.Call{Type: scheduler.Call_REVIVE}, "")
			return strings.Replace(text, "Mesos-Stream-Id: "+c.f.stream+"\r\n", "", 1), 400, "All non-subscribe calls should include the 'Mesos-Stream-Id' header"
		},
		"JSON": func(c *rawConn) (string, int, string) {
			body := `{"type":"NOSUCH"}`
			return fmt.Sprintf("POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body),
				400, "Failed to validate scheduler::Call: Expecting 'type' to be present"
		},
		"chunked": func(c *rawConn) (string, int, string) {
			text := c.request(&scheduler.Call{Type: scheduler.Call_REVIVE}, "")
			head, body, _ := strings.Cut(text, "\r\n\r\n")
			head = head[:strings.LastIndex(head, "\r\n")]
			return fmt.Sprintf("%s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", head, len(body), body), 202, ""
		},
		"other path": func(*rawConn) (string, int, string) {
			return "GET /nosuch HTTP/1.1\r\nHost: x\r\n\r\n", 404, "404 Not Found."
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFramework(t, testCluster(t, 0, nil), "web").subscribe()
			c := f.dial()
			suppress := c.request(&scheduler.Call{Type: scheduler.Call_SUPPRESS}, "")
			text, status, answer := second(c)
			c.write(suppress + suppress + text)
			c.expect(202, "")
			c.expect(202, "")
			c.expect(status, answer)
		})
	}
}

// The end of a master ends the connections it has taken, too.
func TestFastConnectionEndsWithMaster(t *testing.T) {
	f := newFramework(t, testCluster(t, 0, nil), "web").subscribe()
	c := f.dial()
	c.write(c.request(&scheduler.Call{Type: scheduler.Call_SUPPRESS}, ""))
	c.expect(202, "")
	if err := f.c.RestartMaster(0); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(c.r); len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
	f.subscribe()
	d := f.dial()
	d.write(d.request(&scheduler.Call{Type: scheduler.Call_SUPPRESS}, ""))
	d.expect(202, "")
}

// FuzzFastHeader: no head makes the reader panic, and none is taken for a call that
// net/http would not take for one.
func FuzzFastHeader(f *testing.F) {
	f.Add([]byte("POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"))
	f.Add([]byte("POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"))
	f.Add([]byte("POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\n Content-Length: 3\r\n\r\nabc"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := &fastConn{r: bufio.NewReaderSize(bytes.NewReader(data), fastBuffer)}
		_, size, err := c.readHead()
		if err != nil {
			return
		}
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(data)))
		if err != nil || r.ContentLength != int64(size) {
			t.Errorf("taken with %d bytes; net/http says %v of %q", size, err, data)
		}
	})
}
