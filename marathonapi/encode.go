package marathonapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"stadion/core"
)

// spillAt is how many bytes an encoder gathers before it writes; keptBuffer the largest buffer that is used again.
const (
	spillAt    = 256 << 10
	keptBuffer = 2 << 20
)

// encoder writes JSON of any length with one small buffer. The first error sticks.
type encoder struct {
	b       []byte
	out     io.Writer
	err     error
	hold    int // above 0: gather all, whatever its length, because the text is to be kept
	seconds [64]second
}

// second remembers the text of one second: the stamps of an answer repeat and lie close together.
type second struct {
	at   int64
	text [19]byte
}

var encoders = sync.Pool{New: func() any { return &encoder{b: make([]byte, 0, spillAt+spillAt/4)} }}

// stream answers 200 with what write encodes.
func (r *request) stream(write func(*encoder)) error {
	e := encoders.Get().(*encoder)
	defer func() {
		if cap(e.b) <= keptBuffer {
			e.b, e.out, e.err, e.hold = e.b[:0], nil, nil, 0
			encoders.Put(e)
		}
	}()
	h := r.Response().Header()
	h.Set("Content-Type", typeJSON)
	e.out = r.Response()
	write(e)
	e.flush()
	if e.err != nil {
		return fmt.Errorf("encode %s: %w", r.Request().URL.Path, e.err)
	}
	return nil
}

// spill writes the buffer once it is large.
func (e *encoder) spill() {
	if len(e.b) >= spillAt && e.hold == 0 {
		e.flush()
	}
}

func (e *encoder) flush() {
	if e.err == nil && len(e.b) > 0 {
		e.write(e.b)
	}
	e.b = e.b[:0]
}

// goneError is a failure to write: the client went away or takes nothing.
type goneError struct{ error }

func (g goneError) Unwrap() error { return g.error }

func (e *encoder) write(b []byte) {
	if _, err := e.out.Write(b); err != nil {
		e.err = goneError{err}
	}
}

func (e *encoder) raw(s string)             { e.b = append(e.b, s...) }
func (e *encoder) text(s string)            { e.b = appendString(e.b, s) }
func (e *encoder) number(n int)             { e.b = strconv.AppendInt(e.b, int64(n), 10) }
func (e *encoder) field(name, value string) { e.raw(name); e.text(value) }
func (e *encoder) count(name string, n int) { e.raw(name); e.number(n) }
func (e *encoder) comma(first *bool)        { e.separate(first, ',') }
func (e *encoder) separate(f *bool, sep byte) {
	if !*f {
		e.b = append(e.b, sep)
	}
	*f = false
}

// json appends any value; strings stay unescaped but for what JSON asks.
func (e *encoder) json(v any) {
	t, err := marshal(v)
	if err != nil && e.err == nil {
		e.err = err
	}
	e.b = append(e.b, t...)
}

// marshal is json.Marshal without the escaping of <, > and & (http-api.md 1.12).
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	j := json.NewEncoder(&b)
	j.SetEscapeHTML(false)
	if err := j.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// stamp appends a timestamp in the API's form (behaviour.md 1.2).
func (e *encoder) stamp(t core.Timestamp) {
	ms := int64(t)
	if ms <= 0 {
		e.text(t.String())
		return
	}
	at := ms / 1000
	s := &e.seconds[at%int64(len(e.seconds))]
	if s.at != at {
		s.at = at
		copy(s.text[:], t.String())
	}
	e.b = append(e.b, '"')
	e.b = append(e.b, s.text[:]...)
	f := ms % 1000
	e.b = append(e.b, '.', byte('0'+f/100), byte('0'+f/10%10), byte('0'+f%10), 'Z', '"')
}

// appendString appends a JSON string. Plain ASCII, nearly all there is, takes no detour.
func appendString(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			t, err := marshal(strings.ToValidUTF8(s, "\uFFFD"))
			if err != nil {
				return append(b, `""`...)
			}
			return append(b, t...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// answer sends a small value.
func (r *request) answer(status int, v any) error {
	t, err := marshal(v)
	if err != nil {
		return fmt.Errorf("encode %T: %w", v, err)
	}
	r.Response().Header().Set("Content-Length", strconv.Itoa(len(t))) // so that it can leave before all is done; gone if compressed
	return r.Blob(status, typeJSON, t)
}

// unchanged sets the ETag of the snapshot and reports whether the client has that answer already, in which case it
// was sent a 304 (D-59). The tag names the batch, so it also serves as Last-Event-ID of /v2/events.
func (r *request) unchanged() bool {
	tag := `W/"` + eventID(r.snap.Term, r.snap.Seq, 0) + `"`
	r.Response().Header().Set("ETag", tag)
	for part := range strings.SplitSeq(r.Request().Header.Get("If-None-Match"), ",") {
		if p := strings.TrimSpace(part); p == tag || p == tag[2:] {
			r.Response().WriteHeader(http.StatusNotModified)
			return true
		}
	}
	return false
}

// fragments caches encoded text by the pointer of an immutable value.
type fragments[T any] struct {
	*generations[*T, []byte]
	encode func(*T) ([]byte, error)
}

func newFragments[T any](encode func(*T) ([]byte, error)) *fragments[T] {
	return &fragments[T]{newGenerations[*T](maxFragmentBytes, oneText), encode}
}

// of is the text of a value; it is shared and must not be changed.
func (f *fragments[T]) of(v *T) ([]byte, error) {
	if t, ok := f.get(v); ok {
		return t, nil
	}
	t, err := f.encode(v)
	if err != nil {
		return nil, err
	}
	f.put(v, t, nil)
	return t, nil
}

// appHead is the JSON of an app without its closing brace, so that more can follow.
func appHead(a *core.App) ([]byte, error) {
	t, err := marshal(a)
	if err != nil {
		return nil, fmt.Errorf("encode app %s: %w", a.ID, err)
	}
	return bytes.Clone(t[:len(t)-1]), nil
}
