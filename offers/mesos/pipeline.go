package mesos

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"time"
)

// pipeline sends calls on one connection: a window of requests in one write, then their answers. One HTTP request for
// each call is what the API asks for; this way it costs little more than the copying. The master carries calls of one
// connection out in their order.
type pipeline struct {
	client *client
	to     *url.URL
	head   []byte // of a request, up to the value of Content-Length
	conn   net.Conn
	unhook func() bool
	r      *bufio.Reader
	buf    []byte
	used   time.Time // when the connection was last known to stand
}

// window is what is sent at once.
type window struct {
	n      int
	size   func(i int) int                  // of the body of call i
	body   func(b []byte, i int) []byte     // appends it
	answer func(i int, answer *answerError) // told of every answer; nil is a call that was taken
}

// exchange sends a window and reads the answers; done of them came. The error is that of the connection, or else the
// first answer that says that the stream is of no use.
func (p *pipeline) exchange(ctx context.Context, w *window) (done int, err error) {
	if err := p.connect(ctx); err != nil {
		return 0, err
	}
	p.buf = p.buf[:0]
	for i := range w.n {
		p.buf = append(p.buf, p.head...)
		p.buf = strconv.AppendInt(p.buf, int64(w.size(i)), 10)
		p.buf = append(p.buf, "\r\n\r\n"...)
		p.buf = w.body(p.buf, i)
	}
	written := make(chan error, 1)
	if len(p.buf) > maxBlindWrite {
		// Too much for the buffers of the connection: the answers must be read meanwhile, lest both sides wait.
		conn, buf := p.conn, p.buf
		go func() {
			_, err := conn.Write(buf)
			written <- err
		}()
	} else {
		_, err := p.conn.Write(p.buf)
		written <- err
	}
	done, stale, err := p.answers(w)
	if err != nil {
		p.close() // also wakes the writer
	}
	if e := <-written; err == nil && e != nil {
		p.close()
		err = e
	}
	if cap(p.buf) > keptFrame {
		p.buf = nil
	}
	if stale != nil {
		return done, stale
	}
	return done, err
}

// answers reads the answers of a window. stale is the first that ends the stream; the later ones are read all the same,
// for whether a call was taken matters.
func (p *pipeline) answers(w *window) (done int, stale, err error) {
	for ; done < w.n; done++ {
		if done%ackWindow == 0 {
			if err := p.conn.SetDeadline(time.Now().Add(p.client.timeout)); err != nil {
				return done, stale, err
			}
		}
		status, text, ended, err := readAnswer(p.r)
		if err != nil {
			return done, stale, err
		}
		answer := checkAnswer(status, text)
		if answer != nil && answer.named != nil && stale == nil {
			stale = answer
		}
		w.answer(done, answer)
		if ended {
			p.close()
			if done++; done < w.n {
				return done, stale, io.ErrUnexpectedEOF
			}
			return done, stale, nil
		}
	}
	p.used = time.Now()
	return done, stale, nil
}

// connect makes sure that there is a connection. One that was idle is tested, as the other side may have closed it.
func (p *pipeline) connect(ctx context.Context) error {
	if p.conn != nil && time.Since(p.used) > idleTest {
		err := p.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		if err == nil {
			_, err = p.r.Peek(1)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			p.close()
		}
	}
	if p.conn == nil {
		conn, err := p.client.dial(ctx, p.to)
		if err != nil {
			return err
		}
		p.conn, p.r = conn, bufio.NewReaderSize(conn, 16<<10)
		p.unhook = context.AfterFunc(ctx, func() { _ = conn.Close() })
		p.used = time.Now()
	}
	return p.conn.SetDeadline(time.Now().Add(p.client.timeout))
}

func (p *pipeline) close() {
	if p.conn != nil {
		p.unhook()
		_ = p.conn.Close() // of no use any more, whatever closing says
		p.conn = nil
	}
}

var errAnswer = errors.New("the master's answer is no HTTP/1.1")

// readAnswer reads one answer. ended says that the connection takes no more requests. An answer whose end is not
// told by Content-Length is taken without its text and ends the connection.
func readAnswer(r *bufio.Reader) (status int, text string, ended bool, err error) {
	line, err := readLine(r)
	if err != nil {
		return 0, "", true, err
	}
	if len(line) < 12 || string(line[:7]) != "HTTP/1." {
		return 0, "", true, errAnswer
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, "", true, errAnswer
	}
	ended = line[7] == '0'
	length := -1
	for {
		if line, err = readLine(r); err != nil {
			return 0, "", true, err
		}
		if len(line) == 0 {
			break
		}
		name, v, _ := bytes.Cut(line, []byte(":"))
		v = bytes.TrimSpace(v)
		switch {
		case len(name) == 14 && bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(v)); err != nil || length < 0 {
				return 0, "", true, errAnswer
			}
		case len(name) == 10 && bytes.EqualFold(name, []byte("Connection")):
			ended = bytes.EqualFold(v, []byte("close"))
		}
	}
	if length == 0 {
		return status, "", ended, nil
	}
	if length < 0 || length > maxErrorText {
		return status, "", true, nil
	}
	body := make([]byte, length)
	if _, err = io.ReadFull(r, body); err != nil {
		return 0, "", true, err
	}
	return status, string(bytes.TrimSpace(body)), ended, nil
}

func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return nil, cut(err)
	}
	return bytes.TrimRight(line, "\r\n"), nil
}
