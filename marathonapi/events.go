package marathonapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"stadion/core"
	"stadion/marathonapi/access"
	"stadion/marathonapi/wire"
)

// event is one event, shared by all streams. It is encoded once, and only when some stream may want it: while nobody
// listens it stays a notice.
type event struct {
	kind   string
	about  about
	seq    uint64 // batch
	n      uint32 // 1-based number within the batch
	frame  []byte // nil while it is a notice; part of a slab, with what follows it there behind its end
	slab   uint64 // number of that slab
	from   int    // where in it the frame begins
	notice core.Notice
}

// after reports whether the event is later than event n of batch seq. n 0 means the whole batch was seen.
func (e *event) after(seq uint64, n uint32) bool {
	return e.seq > seq || e.seq == seq && n > 0 && e.n > n
}

// about is what an event is about, for streams that do not see all (S5). The zero value is about the server.
type about struct {
	id    core.PathID   // an app, pod or group
	specs []core.PathID // of a deployment, or of a change of a group
	own   *stream       // the stream whose coming and going it tells
	group bool          // id is a group: whoever sees a part of it sees this
}

func aboutOf(n *core.Notice) about {
	switch b := n.Body.(type) {
	case core.GroupChanged:
		return about{id: b.GroupID, group: true}
	case core.DeploymentStep:
		return about{specs: specsOf(b.Plan)}
	case core.DeploymentEnd:
		return about{specs: specsOf(b.Plan)}
	}
	return about{id: n.Spec}
}

func specsOf(p core.Plan) []core.PathID {
	out := []core.PathID{}
	for _, s := range p.Steps {
		for _, a := range s.Actions {
			if out = append(out, a.App); a.App == "" {
				out[len(out)-1] = a.Pod
			}
		}
	}
	return out
}

// shownTo reports whether an actor may see an event. What is about the server as a whole is for those who see all of
// it, but each client learns of its own stream.
func (a *about) shownTo(who *access.Actor, s *stream) bool {
	switch {
	case !who.Bound(), a.own != nil && a.own == s:
		return true
	case a.group:
		return who.Sees(access.View, a.id)
	case a.specs != nil:
		return slices.ContainsFunc(a.specs, func(id core.PathID) bool { return who.May(access.View, id) })
	case a.id == "":
		return who.May(access.View, core.Root)
	}
	return who.May(access.View, a.id)
}

// eventID names an event, or with n 0 the end of a batch: "term-seq.n", "term-seq" (D-33).
func eventID(term int64, seq uint64, n uint32) string {
	s := strconv.FormatInt(term, 10) + "-" + strconv.FormatUint(seq, 10)
	if n > 0 {
		s += "." + strconv.FormatUint(uint64(n), 10)
	}
	return s
}

func parseEventID(s string) (term int64, seq uint64, n uint32, ok bool) {
	t, rest, found := strings.Cut(s, "-")
	b, in, numbered := strings.Cut(rest, ".")
	term, err1 := strconv.ParseInt(t, 10, 64)
	seq, err2 := strconv.ParseUint(b, 10, 64)
	if numbered {
		v, err := strconv.ParseUint(in, 10, 32)
		n, found = uint32(v), found && err == nil && v > 0
	}
	return term, seq, n, found && err1 == nil && err2 == nil
}

// hub keeps the newest events of the term in a ring. Streams read it at their own pace: a slow one costs a cursor, not
// a queue, and Publish never waits for any of them.
type hub struct {
	maxStreams int

	mu      sync.Mutex
	term    int64
	ring    []event
	next    uint64 // number of the next event of the ring; ring[next%len] will hold it
	first   uint64 // oldest event of this term that is still there
	seq     uint64
	n       uint32
	streams map[*stream]struct{}
	lost    error  // of events encoded late, until it is reported
	closed  string // why no stream is welcome any more
	slab    []byte // frames stand in it one behind the other, so that a run of them is written without copying
	slabs   uint64 // made so far
}

// stream is one reader of the hub.
type stream struct {
	wake   chan struct{} // holds one token when there is something new
	cursor uint64        // next event to send
	who    *access.Actor
	all    bool   // it wants every kind of events
	cut    string // why the hub wants it gone
}

func newHub(size, maxStreams int) *hub {
	return &hub{maxStreams: maxStreams, ring: make([]event, size), streams: map[*stream]struct{}{}}
}

var (
	errTooManyStreams = &core.Error{Kind: core.Unavailable, Message: "too many event streams"}
	errHubClosed      = &core.Error{Kind: core.Unavailable, Message: "the server is shutting down"}
)

// publish takes notices in and wakes the streams. They are encoded here, outside the lock, when somebody listens. A new
// term begins with an empty ring.
func (h *hub) publish(term int64, seq uint64, notices []core.Notice) error {
	if len(notices) == 0 {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var texts [][]byte
	var failed error
	if len(h.streams) > 0 {
		h.mu.Unlock()
		texts = make([][]byte, len(notices))
		for i := range notices {
			var err error
			texts[i], err = encodeNotice(&notices[i])
			failed = errors.Join(failed, err)
		}
		h.mu.Lock()
	}
	h.enter(term)
	for i := range notices {
		switch {
		case texts == nil:
			h.keep(max(seq, h.seq), event{kind: notices[i].Type, about: aboutOf(&notices[i]), notice: notices[i]})
		case texts[i] != nil:
			h.add(max(seq, h.seq), notices[i].Type, aboutOf(&notices[i]), texts[i])
		}
	}
	h.wakeAll()
	failed = errors.Join(failed, h.lost)
	h.lost = nil
	return failed
}

// encodeNotice makes the data of an event.
func encodeNotice(n *core.Notice) ([]byte, error) {
	t, err := n.Payload()
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", n.Type, err)
	}
	return wire.PlainNumbers(t), nil
}

// enter begins a term: events of an older one are not replayed.
func (h *hub) enter(term int64) {
	if term != h.term {
		h.term, h.first, h.seq, h.n = term, h.next, 0, 0
	}
}

// add appends one encoded event.
func (h *hub) add(seq uint64, kind string, of about, text []byte) {
	h.frame(h.keep(seq, event{kind: kind, about: of}), text)
}

// keep appends an event and numbers it.
func (h *hub) keep(seq uint64, ev event) *event {
	if seq != h.seq {
		h.seq, h.n = seq, 0
	}
	h.n++
	ev.seq, ev.n = seq, h.n
	at := &h.ring[h.next%uint64(len(h.ring))]
	*at = ev
	h.next++
	if h.next-h.first > uint64(len(h.ring)) {
		h.first = h.next - uint64(len(h.ring))
	}
	return at
}

// slabSize is how many bytes of frames stand together: what a stream that takes nothing may keep from being freed, alone
// or with others (F27).
const slabSize = 2 * maxWrite

// frame makes what a stream sends. The id stands before it, which stays what clients of Marathon know (http-api.md 11.1).
func (h *hub) frame(ev *event, text []byte) {
	if need := len(text) + len(ev.kind) + 64; cap(h.slab)-len(h.slab) < need {
		h.slab = make([]byte, 0, max(slabSize, need))
		h.slabs++
	}
	f := append(h.slab, "id: "...)
	f = append(f, eventID(h.term, ev.seq, ev.n)...)
	f = append(f, "\r\nevent: "...)
	f = append(f, ev.kind...)
	f = append(f, "\r\ndata: "...)
	f = append(f, text...)
	f = append(f, "\r\n\r\n"...)
	ev.slab, ev.from, ev.frame = h.slabs, len(h.slab), f[len(h.slab):]
	h.slab = f
}

// encoded is the frame of an event, made now if nobody listened when it was published; empty when it has none.
func (h *hub) encoded(ev *event) []byte {
	if ev.frame != nil {
		return ev.frame
	}
	text, err := encodeNotice(&ev.notice)
	ev.notice = core.Notice{}
	if err != nil {
		h.lost, ev.frame = errors.Join(h.lost, err), []byte{}
		return nil
	}
	h.frame(ev, text)
	return ev.frame
}

func (h *hub) wakeAll() {
	for s := range h.streams {
		s.signal()
	}
}

func (s *stream) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// attach adds a stream whose first event is that of its own attaching, preceded by what it missed since lastID, if
// that is of this term and still in the ring. missed is false when lastID could not be honoured.
func (h *hub) attach(term int64, lastID string, who *access.Actor, all bool, hello core.Notice) (s *stream, missed bool, err error) {
	text, err := hello.Payload()
	if err != nil {
		return nil, false, fmt.Errorf("encode %s: %w", hello.Type, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed != "" {
		return nil, false, errHubClosed
	}
	if len(h.streams) >= h.maxStreams {
		return nil, false, errTooManyStreams
	}
	h.enter(term)
	s = &stream{wake: make(chan struct{}, 1), cursor: h.next, who: who, all: all && !who.Bound()}
	missed = lastID != "" && !h.rewind(s, lastID)
	h.streams[s] = struct{}{}
	h.add(h.seq, hello.Type, about{own: s}, text)
	h.wakeAll()
	return s, missed, nil
}

// rewind moves a stream back to the event after the given one.
func (h *hub) rewind(s *stream, lastID string) bool {
	term, seq, n, ok := parseEventID(lastID)
	if !ok || term != h.term {
		return false
	}
	at := h.next
	for at > h.first && h.ring[(at-1)%uint64(len(h.ring))].after(seq, n) {
		at--
	}
	if at == h.first && h.full() {
		return false // what came right after the given event may have been overwritten
	}
	s.cursor = at
	return true
}

func (h *hub) full() bool { return h.next-h.first == uint64(len(h.ring)) }

func (h *hub) detach(s *stream, bye core.Notice) {
	text, err := bye.Payload()
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams, s)
	if err == nil && h.closed == "" {
		h.add(h.seq, bye.Type, about{}, text)
		h.wakeAll()
	}
}

// take is the frames that wait for a stream, about maxWrite bytes of them; more says that there are others. mark is the
// end of the write before: a stream for which more than backlog wanted events were published since is too slow. A stream
// that sees all gets a piece of a slab, shared with all others; else the frames are copied into buf.
func (h *hub) take(s *stream, want func(string) bool, buf []byte, mark uint64, backlog int) (out []byte, more bool, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.cut != "" {
		return nil, false, s.cut
	}
	if s.cursor < h.first && h.full() {
		return nil, false, "overflow: reader is too slow"
	}
	s.cursor = max(s.cursor, h.first)
	if mark > 0 && h.waiting(s, want, mark, backlog) > backlog {
		return nil, false, "overflow: reader is too slow"
	}
	if s.all {
		buf = h.run(s)
	} else {
		size := uint64(len(h.ring))
		for ; s.cursor < h.next && len(buf) < maxWrite; s.cursor++ {
			if ev := &h.ring[s.cursor%size]; want(ev.kind) && ev.about.shownTo(s.who, s) {
				buf = append(buf, h.encoded(ev)...)
			}
		}
	}
	return buf, s.cursor < h.next, ""
}

// run is the frames that wait for a stream which sees all, as far as they stand one behind the other in a slab. They
// are shared: nobody may write to them.
func (h *hub) run(s *stream) (out []byte) {
	var slab uint64
	end := 0 // of out, in the slab
	for ; s.cursor < h.next && len(out) < maxWrite; s.cursor++ {
		ev := &h.ring[s.cursor%uint64(len(h.ring))]
		frame := h.encoded(ev)
		switch {
		case len(frame) == 0:
		case out == nil:
			out, slab, end = frame, ev.slab, ev.from+len(frame)
		case ev.slab == slab && ev.from == end:
			out, end = out[:len(out)+len(frame)], end+len(frame)
		default:
			return out
		}
	}
	return out
}

// waiting counts the wanted events that were published since mark, to one beyond backlog.
func (h *hub) waiting(s *stream, want func(string) bool, mark uint64, backlog int) (n int) {
	for at := max(mark, s.cursor); at < h.next && n <= backlog; at++ {
		if ev := &h.ring[at%uint64(len(h.ring))]; want(ev.kind) && ev.about.shownTo(s.who, s) {
			n++
		}
	}
	return n
}

// The breath that a stream takes after a write that had all there was, when there are so many streams that each batch
// would cost more in wake-ups and writes than in bytes: what is published meanwhile goes out together. The first event
// after a silence never waits.
const (
	breathPerStream = 100 * time.Microsecond // a write and what it wakes cost about a tenth of this
	leastBreath     = 2 * time.Millisecond   // fewer than 20 streams take none
	mostBreath      = 100 * time.Millisecond
)

// breath is how long a stream waits after a write whose end was at mark. One that lags too far behind by then takes
// none: it is to be cut.
func (h *hub) breath(s *stream, want func(string) bool, mark uint64, backlog int) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := min(time.Duration(len(h.streams))*breathPerStream, mostBreath)
	if d < leastBreath || s.cut != "" || h.waiting(s, want, mark, backlog) > backlog {
		return 0
	}
	return d
}

// maxWrite is about how many bytes one write to a stream carries, and so what a stream that takes nothing holds (F27).
const maxWrite = 64 << 10

// end is the number of the next event.
func (h *hub) end() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.next
}

func (h *hub) cut(reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.streams {
		s.cut = reason
	}
	h.wakeAll()
}

func (h *hub) close(reason string) {
	h.mu.Lock()
	h.closed = reason
	h.mu.Unlock()
	h.cut(reason)
}

// Publish hands the events of a batch to the streams. It does not wait for any of them.
func (s *Server) Publish(seq uint64, notices []core.Notice) {
	term := int64(0)
	if snap := s.loop.Snapshot(); snap != nil {
		term = snap.Term
	}
	if err := s.hub.publish(term, seq, notices); err != nil {
		s.log.Error("events lost", zap.Error(err))
	}
}

// events is GET /v2/events. An Accept line must be exactly text/event-stream (http-api.md 11.1); there may be more of them,
// because event stream libraries repeat theirs when a standby sends them to the leader.
func (s *Server) events(r *request) error {
	req := r.Request()
	if !slices.Contains(req.Header.Values("Accept"), typeEvent) || req.Method == http.MethodHead {
		return echo.NewHTTPError(http.StatusMethodNotAllowed)
	}
	kinds := map[string]bool{}
	for _, k := range r.QueryParams()["event_type"] {
		kinds[k] = true
	}
	want := func(kind string) bool { return len(kinds) == 0 || kinds[kind] }
	st, missed, err := s.hub.attach(r.snap.Term, req.Header.Get("Last-Event-ID"), r.actor, len(kinds) == 0, s.attachment("event_stream_attached", req))
	if err != nil {
		return err
	}
	defer func() { s.hub.detach(st, s.attachment("event_stream_detached", req)) }()
	h := r.Response().Header()
	h.Set("Content-Type", typeEvent+";charset=utf-8")
	h.Set("X-Accel-Buffering", "no")
	r.Response().WriteHeader(http.StatusOK)
	w := streamWriter{w: r.Response(), control: http.NewResponseController(r.Response()), limit: s.streamWrite}
	defer w.release()
	if w.control.Flush() != nil { // a filtered stream may be silent for long, its headers must not be
		return nil
	}
	if missed {
		if err := w.write([]byte(": events after the given id are no longer known\r\n\r\n")); err != nil {
			return nil
		}
	}
	s.pump(req.Context(), st, &w, want)
	return nil
}

// pump sends until the client goes, is too slow or the hub cuts the stream. Errors of writing end it silently: the
// client is gone.
func (s *Server) pump(ctx context.Context, st *stream, w *streamWriter, want func(string) bool) {
	idle := time.NewTimer(s.keepAlive)
	defer idle.Stop()
	var buf []byte // of a stream that does not see all
	mark := uint64(0)
	for {
		frames, more, reason := s.hub.take(st, want, buf[:0], mark, s.cfg.EventBacklog)
		if reason != "" {
			w.farewell(reason)
			return
		}
		if !st.all {
			buf = frames
		}
		if len(frames) > 0 {
			mark = s.hub.end()
			if w.write(frames) != nil {
				return
			}
			idle.Reset(s.keepAlive)
			if more {
				continue
			}
			if d := s.hub.breath(st, want, mark, s.cfg.EventBacklog); d > 0 {
				mark = 0
				select {
				case <-time.After(d):
				case <-ctx.Done():
					return
				}
			}
			continue
		}
		mark = 0
		if cap(buf) > 2*maxWrite {
			buf = nil
		}
		select {
		case <-st.wake:
		case <-idle.C:
			if w.write([]byte("\r\n")) != nil {
				return
			}
			idle.Reset(s.keepAlive)
		case <-ctx.Done():
			return
		}
	}
}

func (s *Server) attachment(kind string, r *http.Request) core.Notice {
	return core.Notice{Type: kind, At: core.At(s.now()), Body: struct {
		Remote string `json:"remoteAddress"`
	}{clientIP(r)}}
}

// streamWriter writes with a deadline, so that a reader that takes nothing cannot hold the stream for ever.
type streamWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	limit   time.Duration // of one write; up to a sixteenth more
	set     time.Time     // when the deadline was last set
}

// write moves the deadline only now and then: that costs as much as handing over an event.
func (w *streamWriter) write(b []byte) error {
	if now := time.Now(); now.Sub(w.set) > w.limit/16 {
		if err := w.deadline(now.Add(w.limit + w.limit/16)); err != nil {
			return err
		}
		w.set = now
	}
	return w.send(b)
}

func (w *streamWriter) deadline(at time.Time) error {
	if err := w.control.SetWriteDeadline(at); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

func (w *streamWriter) send(b []byte) error {
	if _, err := w.w.Write(b); err != nil {
		return err
	}
	return w.control.Flush()
}

// release lifts the deadline, so that the connection can serve what comes next.
func (w *streamWriter) release() { _ = w.control.SetWriteDeadline(time.Time{}) }

// farewell tells why the stream ends (D-33). Whether it arrives is up to the client.
func (w *streamWriter) farewell(reason string) {
	if w.deadline(time.Now().Add(farewellTimeout)) == nil {
		_ = w.send([]byte(": " + reason + "\r\n\r\n"))
	}
}
