package harness

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Event is one frame of /v2/events.
type Event struct {
	ID, Type string
	Data     map[string]any
}

// Stream is an open event stream.
type Stream struct {
	t      testing.TB
	Events chan Event    // closed when the stream has ended
	Beats  chan struct{} // empty frames; one is kept
	bad    chan error    // what is wrong with the framing; one is kept
	Cancel context.CancelFunc
	Leader string // URL of the server that sends it
}

// eventBuffer is how many events a test may lag behind before the reader stops.
const eventBuffer = 4096

// OpenEvents opens the stream with query ("" or "?event_type=x") and further
// headers, and reads it until the test ends. Frames are read as marathon-lb does:
// lines end in CRLF, "data: " with a blank, JSON on one line.
func (a *API) OpenEvents(query string, headers map[string]string) *Stream {
	a.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	a.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL+"/v2/events"+query, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	res, err := (&http.Client{}).Do(req) // a standby sends to the leader
	if err != nil {
		a.t.Fatalf("open the event stream: %v", err)
	}
	if got := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || !strings.HasPrefix(got, "text/event-stream") {
		a.t.Fatalf("the event stream: %d %s from %s with Accept %q", res.StatusCode, got, res.Request.URL, res.Request.Header["Accept"])
	}
	s := &Stream{t: a.t, Events: make(chan Event, eventBuffer), Beats: make(chan struct{}, 1), bad: make(chan error, 1), Cancel: cancel}
	go func() {
		defer res.Body.Close()
		defer close(s.Events)
		s.read(bufio.NewReader(res.Body))
	}()
	return s
}

// TryEvents opens the stream of whoever leads, asked for at url, for as long as stop is open. It does not look at the
// framing, and fails no test.
func TryEvents(url string, stop <-chan struct{}) (*Stream, error) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v2/events", nil)
	if err != nil {
		cancel()
		return nil, err
	}
	req.Header.Set("Accept", "text/event-stream")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		cancel()
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		_ = res.Body.Close()
		cancel()
		return nil, fmt.Errorf("the event stream: %s", res.Status)
	}
	s := &Stream{Events: make(chan Event, eventBuffer), Beats: make(chan struct{}, 1), bad: make(chan error, 1), Cancel: cancel,
		Leader: res.Request.URL.Scheme + "://" + res.Request.URL.Host}
	go func() {
		defer res.Body.Close()
		defer close(s.Events)
		s.read(bufio.NewReader(res.Body))
	}()
	return s, nil
}

func (s *Stream) read(r *bufio.Reader) {
	var e Event
	filled := false
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		text, ok := strings.CutSuffix(line, "\r\n")
		if !ok {
			s.complain(fmt.Errorf("line %q does not end in CRLF", line))
			return
		}
		if text == "" {
			if filled {
				s.Events <- e
			} else {
				select {
				case s.Beats <- struct{}{}:
				default:
				}
			}
			e, filled = Event{}, false
			continue
		}
		name, value, ok := strings.Cut(text, ": ")
		switch {
		case strings.HasPrefix(text, ":"): // a comment
		case !ok:
			s.complain(fmt.Errorf("line %q has no %q", text, ": "))
			return
		case name == "event":
			e.Type = value
		case name == "id":
			e.ID = value
		case name == "data":
			filled = true
			if err := json.Unmarshal([]byte(value), &e.Data); err != nil {
				s.complain(fmt.Errorf("data %q: %w", value, err))
				return
			}
		}
	}
}

func (s *Stream) complain(err error) {
	select {
	case s.bad <- err:
	default:
	}
}

// Next waits for the next event that wanted accepts, and returns it with those
// that came before it.
func (s *Stream) Next(limit time.Duration, what string, wanted func(Event) bool) (Event, []Event) {
	s.t.Helper()
	var before []Event
	end := time.After(limit)
	for {
		select {
		case e, open := <-s.Events:
			if !open {
				select {
				case err := <-s.bad:
					s.t.Fatalf("the event stream: %v", err)
				default:
					s.t.Fatalf("%s: the event stream has ended after %v", what, types(before))
				}
			}
			if wanted(e) {
				return e, before
			}
			before = append(before, e)
		case <-end:
			s.t.Fatalf("%s: not within %s; seen %v", what, limit, types(before))
		}
	}
}

func types(events []Event) []string {
	var out []string
	for _, e := range events {
		out = append(out, e.Type)
	}
	return out
}
