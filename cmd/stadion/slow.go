package main

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// patience bounds how long a client may take (F26).
type patience struct {
	body    time.Duration // until the first bytes of a body count
	rate    int           // bytes per second that a body must reach after that
	writing time.Duration // for each piece of an answer
	next    http.Handler
}

// writePiece is how much of an answer one time limit covers, in bytes.
const writePiece = 64 << 10

func (p *patience) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	if r.Body != nil && r.Body != http.NoBody {
		b := &pacedBody{ReadCloser: r.Body, p: p, control: control, began: time.Now()}
		b.limit()
		r.Body = b
	}
	a := &pacedWriter{ResponseWriter: w, p: p, control: control}
	defer a.limit() // what is still buffered goes out after the handler
	p.next.ServeHTTP(a, r)
}

// pacedBody gives a body time in proportion to what has come of it.
type pacedBody struct {
	io.ReadCloser
	p       *patience
	control *http.ResponseController
	began   time.Time
	read    int64
}

func (b *pacedBody) limit() {
	earned := time.Duration(b.read) * time.Second / time.Duration(b.p.rate)
	_ = b.control.SetReadDeadline(b.began.Add(b.p.body + earned)) // recorders in tests have no connection
}

func (b *pacedBody) Read(buf []byte) (int, error) {
	n, err := b.ReadCloser.Read(buf)
	b.read += int64(n)
	if errors.Is(err, io.EOF) {
		_ = b.control.SetReadDeadline(time.Time{}) // the handler may take its time
	} else {
		b.limit()
	}
	return n, err
}

// pacedWriter gives each piece of an answer its time. Event streams have limits of their own.
type pacedWriter struct {
	http.ResponseWriter
	p       *patience
	control *http.ResponseController
}

func (w *pacedWriter) limit() {
	if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/event-stream") {
		_ = w.control.SetWriteDeadline(time.Now().Add(w.p.writing))
	}
}

func (w *pacedWriter) WriteHeader(status int) {
	w.limit()
	w.ResponseWriter.WriteHeader(status)
}

func (w *pacedWriter) Write(b []byte) (int, error) {
	done := 0
	for {
		piece := b[done:min(len(b), done+writePiece)]
		w.limit()
		n, err := w.ResponseWriter.Write(piece)
		done += n
		if err != nil || done >= len(b) {
			return done, err
		}
	}
}

// Unwrap lets http.ResponseController reach the connection.
func (w *pacedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
