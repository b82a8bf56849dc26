package minimesos

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/mesos/mesos-go/api/v1/lib/scheduler"
)

// message is an event that can be written in both codecs.
type message interface {
	Size() int
	MarshalTo([]byte) (int, error)
}

// stream is one open SUBSCRIBE answer. Events are queued under the cluster's lock
// and encoded and written by the goroutine of the request, in batches.
type stream struct {
	id   string
	json bool

	mu    sync.Mutex
	queue []message
	ended bool // write what is queued, then the last chunk
	cut   bool // drop the connection as it is
	torn  bool // and that after half a record
	wake  chan struct{}
}

func newStream(id string, asJSON bool) *stream {
	return &stream{id: id, json: asJSON, wake: make(chan struct{}, 1)}
}

// push queues an event. A reader that lags too far behind is cut off.
func (s *stream) push(ev message) {
	s.mu.Lock()
	if !s.ended && !s.cut {
		s.queue = append(s.queue, ev)
		if len(s.queue) > maxStreamQueue {
			s.cut = true
		}
	}
	s.mu.Unlock()
	s.kick()
}

// end closes the stream cleanly behind what is queued.
func (s *stream) end() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.kick()
}

// abort cuts the connection without the last chunk.
func (s *stream) abort() {
	s.mu.Lock()
	s.cut = true
	s.mu.Unlock()
	s.kick()
}

// tear cuts the connection inside a record.
func (s *stream) tear() {
	s.mu.Lock()
	s.cut, s.torn = true, true
	s.mu.Unlock()
	s.kick()
}

func (s *stream) kick() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// fail sends an ERROR event and ends the stream.
func (s *stream) fail(text string) {
	s.push(&scheduler.Event{Type: scheduler.Event_ERROR, Error: &scheduler.Event_Error{Message: text}})
	s.end()
}

// take hands the queued events out, and spare becomes the next queue.
func (s *stream) take(spare []message) (batch []message, ended, cut bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	batch, s.queue = s.queue, spare[:0]
	return batch, s.ended, s.cut
}

// ownChunks is how many records of a batch get a chunk of their own, as Mesos
// sends them; behind it records share chunks, which spares system calls under load.
const ownChunks = 8

// run writes events until the stream ends or the client is gone. It returns false
// when the connection is to be cut.
func (s *stream) run(w http.ResponseWriter, gone <-chan struct{}, heartbeat time.Duration, beat message) bool {
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	control := http.NewResponseController(w)
	var spare []message
	var buf []byte
	for {
		batch, ended, cut := s.take(spare)
		if cut {
			s.leave(w, control, beat)
			return false
		}
		for i, ev := range batch {
			batch[i] = nil
			buf = s.appendRecord(buf, ev)
			if i >= ownChunks && i < len(batch)-1 && len(buf) < 1<<20 {
				continue
			}
			if _, err := w.Write(buf); err != nil {
				return false
			}
			if err := control.Flush(); err != nil {
				return false
			}
			buf = buf[:0]
		}
		if ended {
			return true
		}
		if spare = batch; len(spare) > 0 {
			continue
		}
		select {
		case <-s.wake:
		case <-gone:
			return false
		case <-ticker.C:
			s.push(beat)
		}
	}
}

// leave writes half a record, if the stream is to be torn.
func (s *stream) leave(w http.ResponseWriter, control *http.ResponseController, last message) {
	s.mu.Lock()
	torn := s.torn
	s.mu.Unlock()
	if torn {
		record := s.appendRecord(nil, last)
		_, _ = w.Write(record[:len(record)-1]) // the connection is of no use any more, whatever comes
		_ = control.Flush()
	}
}

// appendRecord writes one event in RecordIO: its length in decimal, a line feed,
// the event.
func (s *stream) appendRecord(buf []byte, ev message) []byte {
	if s.json {
		body := appendJSON(nil, ev)
		buf = strconv.AppendInt(buf, int64(len(body)), 10)
		buf = append(buf, '\n')
		return append(buf, body...)
	}
	size := ev.Size()
	buf = strconv.AppendInt(buf, int64(size), 10)
	buf = append(buf, '\n')
	start := len(buf)
	if cap(buf)-start < size {
		grown := make([]byte, start, 2*(start+size))
		copy(grown, buf)
		buf = grown
	}
	buf = buf[:start+size]
	if n, err := ev.MarshalTo(buf[start:]); err != nil || n != size {
		panic("minimesos: event does not marshal into its own size")
	}
	return buf
}
