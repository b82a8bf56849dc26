package mesos

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"time"

	"stadion/offers"
)

// pipeline sends acknowledgements on one connection: a window of requests in one write, then their answers. One
// HTTP request for each is what the API asks for; this way it costs no more than a few hundred bytes of copying.
type pipeline struct {
	client *client
	to     *url.URL
	head   []byte // of a request, up to the value of Content-Length
	prefix []byte // of the body
	conn   net.Conn
	unhook func() bool
	r      *bufio.Reader
	buf    []byte
}

// ackOutcome counts what became of a window.
type ackOutcome struct{ sent, refused int }

// send sends a window. It tries a second time on a new connection when the first breaks: a repeated acknowledgement has
// no effect. The error says that the stream is of no use any more.
func (p *pipeline) send(ctx context.Context, window []offers.Acknowledge) (ackOutcome, error) {
	var total ackOutcome
	broken := 0
	for len(window) > 0 {
		done, err := p.attempt(ctx, window)
		total.sent += done
		window = window[done:]
		if done > 0 {
			broken = 0
		}
		var answer *answerError
		switch {
		case err == nil:
		case errors.As(err, &answer) && answer.named == nil:
			// Only this one was refused; what followed it on the connection is sent again.
			total.refused++
			window = window[1:]
			p.close()
		case errors.As(err, &answer):
			p.close()
			return total, fmt.Errorf("acknowledge: %w", err)
		default:
			p.close()
			if broken++; broken > 1 || ctx.Err() != nil {
				return total, fmt.Errorf("acknowledge: %w", err)
			}
		}
	}
	return total, nil
}

// attempt writes all of the window and reads the answers; done is the number of those that were taken.
func (p *pipeline) attempt(ctx context.Context, window []offers.Acknowledge) (done int, err error) {
	if p.conn == nil {
		conn, err := p.client.dial(ctx, p.to)
		if err != nil {
			return 0, err
		}
		p.conn, p.r = conn, bufio.NewReaderSize(conn, 16<<10)
		p.unhook = context.AfterFunc(ctx, func() { _ = conn.Close() })
	}
	p.buf = p.buf[:0]
	for i := range window {
		p.buf = append(p.buf, p.head...)
		p.buf = strconv.AppendInt(p.buf, int64(ackSize(p.prefix, &window[i])), 10)
		p.buf = append(p.buf, "\r\n\r\n"...)
		p.buf = appendAck(p.buf, p.prefix, &window[i])
	}
	if err := p.conn.SetDeadline(time.Now().Add(p.client.timeout)); err != nil {
		return 0, err
	}
	if _, err := p.conn.Write(p.buf); err != nil {
		return 0, err
	}
	for done < len(window) {
		status, text, ended, err := readAnswer(p.r)
		if err != nil {
			return done, err
		}
		if answer := checkAnswer(status, text); answer != nil {
			return done, answer
		}
		done++
		if ended {
			p.close()
			return done, nil
		}
	}
	return done, nil
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
