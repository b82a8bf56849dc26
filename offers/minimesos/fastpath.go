package minimesos

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A framework sends two calls per task and more, most of them acknowledgements of
// some hundred bytes, and many in one write. What net/http does for each of them
// costs more than all the rest of the miniature. So a connection that has carried
// one scheduler call in protobuf is taken from it: plain calls are read and answered
// here, many answers in one write. The first request that is anything else gives the
// connection back for good.

const (
	// fastBuffer holds a window of pipelined calls.
	fastBuffer = 64 << 10
	// maxFastHead is how long the head of a request may be.
	maxFastHead = 8 << 10
	// maxFastKept is how much memory a connection keeps between its calls.
	maxFastKept = 1 << 20
)

// errNotFast marks a request that net/http has to serve.
var errNotFast = errors.New("not a plain scheduler call")

// returnedKey marks the context of connections that were given back.
type returnedKey struct{}

// fastConns are the connections that net/http no longer knows, and the way back.
type fastConns struct {
	mu    sync.Mutex
	open  map[net.Conn]bool
	back  chan net.Conn
	quit  chan struct{}
	ended bool
	addr  net.Addr
}

func newFastConns(addr net.Addr) *fastConns {
	return &fastConns{open: map[net.Conn]bool{}, back: make(chan net.Conn), quit: make(chan struct{}), addr: addr}
}

// Accept, Close and Addr make it a listener, on which connections come back.
func (f *fastConns) Accept() (net.Conn, error) {
	select {
	case conn := <-f.back:
		return conn, nil
	case <-f.quit:
		return nil, net.ErrClosed
	}
}

// Close also ends all connections: it is called when the server is.
func (f *fastConns) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return nil
	}
	f.ended = true
	close(f.quit)
	for conn := range f.open {
		_ = conn.Close() // of no use any more, whatever closing says
	}
	return nil
}

func (f *fastConns) Addr() net.Addr { return f.addr }

// enter takes a connection in, unless the server has ended.
func (f *fastConns) enter(conn net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ended {
		f.open[conn] = true
	}
	return !f.ended
}

func (f *fastConns) leave(conn net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.open, conn)
}

// returnedConn is a connection with what was already read of it.
type returnedConn struct {
	net.Conn
	r io.Reader
}

func (c *returnedConn) Read(p []byte) (int, error) { return c.r.Read(p) }

// connContext is that of http.Server.
func connContext(ctx context.Context, conn net.Conn) context.Context {
	if _, ok := conn.(*returnedConn); ok {
		return context.WithValue(ctx, returnedKey{}, true)
	}
	return ctx
}

// takeOver answers the call that has come through w with a and serves the calls that
// follow on the connection. It returns false if w has to be answered as usual.
func (c *Cluster) takeOver(w http.ResponseWriter, r *http.Request, contentType string, a answer) bool {
	fast, _ := r.Context().Value(fastKey{}).(*fastConns)
	if fast == nil || contentType != typeProtobuf || c.cfg.Credentials != nil || r.ProtoMinor != 1 || r.ProtoMajor != 1 ||
		r.Close || r.Context().Value(returnedKey{}) != nil {
		return false
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return false
	}
	if !fast.enter(conn) {
		_ = conn.Close() // the master is gone, and so is the framework's connection
		return true
	}
	pending, _ := rw.Reader.Peek(rw.Reader.Buffered()) // no error: it is there
	f := &fastConn{c: c, w: bufio.NewWriterSize(conn, fastBuffer),
		r: bufio.NewReaderSize(io.MultiReader(bytes.NewReader(bytes.Clone(pending)), conn), fastBuffer)}
	f.answer(a)
	err = f.serve()
	fast.leave(conn)
	if !errors.Is(err, errNotFast) {
		_ = conn.Close() // the client is gone
		return true
	}
	select {
	case fast.back <- &returnedConn{conn, io.MultiReader(bytes.NewReader(f.request), f.r)}:
	case <-fast.quit:
		_ = conn.Close() // the server is gone
	}
	return true
}

// fastKey is where the context of a request has the fastConns of its server.
type fastKey struct{}

// fastConn is a connection that was taken from net/http.
type fastConn struct {
	c       *Cluster
	r       *bufio.Reader
	w       *bufio.Writer
	request []byte // the current one as it came
	head    []byte // of the answers: date
	dated   time.Time
}

// serve answers calls until the connection ends, or with errNotFast until one is to
// be served by net/http; it is in f.request then.
func (f *fastConn) serve() error {
	for {
		if err := f.flushBeforeWait(); err != nil {
			return err
		}
		streamID, size, err := f.readHead()
		if err == nil {
			err = f.readBody(size)
		}
		if err != nil {
			return errors.Join(err, f.w.Flush())
		}
		body := f.request[len(f.request)-size:]
		a, err := f.c.fastCall(body, streamID)
		if err != nil {
			return errors.Join(err, f.w.Flush())
		}
		f.answer(a)
	}
}

// flushBeforeWait sends the answers so far unless the next request is here already.
func (f *fastConn) flushBeforeWait() error {
	if next, err := f.r.Peek(f.r.Buffered()); err == nil && bytes.Contains(next, []byte("\r\n\r\n")) {
		return nil
	}
	return f.w.Flush()
}

// readHead reads the head of a request into f.request and what matters in it.
func (f *fastConn) readHead() (streamID string, size int, err error) {
	if f.request = f.request[:0]; cap(f.request) > maxFastKept {
		f.request = nil
	}
	start := 0
	size = -1
	for {
		line, err := f.r.ReadSlice('\n')
		f.request = append(f.request, line...)
		if err != nil || len(f.request) > maxFastHead {
			if len(f.request) > 0 && (err == nil || errors.Is(err, bufio.ErrBufferFull)) {
				err = errNotFast
			}
			return "", 0, err
		}
		text := strings.TrimSuffix(string(f.request[start:]), "\r\n")
		switch {
		case start == 0:
			if text != "POST /api/v1/scheduler HTTP/1.1" {
				return "", 0, errNotFast
			}
		case text == "":
			if size < 0 || size > maxBodyBytes {
				return "", 0, errNotFast
			}
			return streamID, size, nil
		default:
			if !fastHeader(text, &streamID, &size) {
				return "", 0, errNotFast
			}
		}
		start = len(f.request)
	}
}

// fastHeader reads one line of a head; it is false for what net/http must see.
func fastHeader(line string, streamID *string, size *int) bool {
	name, value, ok := strings.Cut(line, ":")
	if !ok {
		return false
	}
	value = strings.Trim(value, " \t")
	switch {
	case strings.EqualFold(name, streamHeader):
		*streamID = value
	case strings.EqualFold(name, "Content-Length"):
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil || *size >= 0 {
			return false
		}
		*size = int(n)
	case strings.EqualFold(name, "Content-Type"):
		return value == typeProtobuf
	case strings.EqualFold(name, "Accept"):
		return value == typeProtobuf || value == typeJSON
	case strings.EqualFold(name, "Host"), strings.EqualFold(name, "User-Agent"), strings.EqualFold(name, "Accept-Encoding"):
	default:
		return false
	}
	return true
}

// readBody appends the body to f.request.
func (f *fastConn) readBody(size int) error {
	if size > f.r.Buffered() { // the client may wait for answers first
		if err := f.w.Flush(); err != nil {
			return err
		}
	}
	start := len(f.request)
	f.request = append(f.request, make([]byte, size)...)
	_, err := io.ReadFull(f.r, f.request[start:])
	return err
}

// fastCall carries out a call. The error is errNotFast, or that the master is gone.
func (c *Cluster) fastCall(body []byte, streamID string) (answer, error) {
	call, wide, problem := decodeCall(body, typeProtobuf)
	if problem != "" {
		return bad("%s", problem), nil
	}
	if problem := validateCall(call); problem != "" {
		return bad("Failed to validate scheduler::Call: %s", problem), nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if call.FrameworkID == nil || call.Subscribe != nil || streamID == "" || c.faults.refusals > 0 {
		return answer{}, errNotFast
	}
	if c.m == nil {
		return answer{}, net.ErrClosed
	}
	return c.m.answerCall(call, wide, "", streamID), nil
}

// answer queues the answer of a call.
func (f *fastConn) answer(a answer) {
	if now := time.Now(); now.Sub(f.dated) >= time.Second {
		f.dated = now
		f.head = append(now.UTC().AppendFormat(append(f.head[:0], "\r\nDate: "...), http.TimeFormat), "\r\nContent-Length: "...)
	}
	// Errors of the writer stay until the next flush.
	_, _ = f.w.WriteString("HTTP/1.1 " + strconv.Itoa(a.status) + " " + http.StatusText(a.status))
	if a.text != "" {
		_, _ = f.w.WriteString("\r\nContent-Type: text/plain; charset=utf-8")
	}
	_, _ = f.w.Write(f.head)
	_, _ = f.w.WriteString(strconv.Itoa(len(a.text)) + "\r\n\r\n" + a.text)
}
