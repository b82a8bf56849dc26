package marathonapi

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"stadion/core"
)

// counted tells how often it was encoded.
type counted struct{ times *int }

func (c counted) MarshalJSON() ([]byte, error) {
	*c.times++
	return []byte(`{"appId":"/a"}`), nil
}

// An event is encoded once, however many streams get it, and not at all while there are none (P19).
func TestEncodedOnce(t *testing.T) {
	h, times := newHub(64, 100), 0
	tell := func(seq uint64) {
		if err := h.publish(1, seq, []core.Notice{{Type: "app_terminated_event", At: start, Body: counted{&times}}}); err != nil {
			t.Fatal(err)
		}
	}
	tell(1)
	if times != 0 {
		t.Errorf("encoded %d times for nobody", times)
	}
	var all []*stream
	for range 50 {
		s, _, err := h.attach(1, "", nil, false, notices(1)[0])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	tell(2)
	for _, s := range all {
		got, _, reason := h.take(s, func(string) bool { return true }, nil, 0, 10)
		if reason != "" || !bytes.Contains(got, []byte("id: 1-2.1\r\n")) {
			t.Fatalf("stream got %q, cut for %q", got, reason)
		}
	}
	if times != 1 {
		t.Errorf("encoded %d times for %d streams", times, len(all))
	}
}

// Many streams gather what comes for a moment, few do not, and one that is to be cut is not kept waiting (P19, G10, D-33).
func TestBreath(t *testing.T) {
	const backlog = 5
	all := func(string) bool { return true }
	h := newHub(64, 10_000)
	var s *stream
	have := 0
	grow := func(n int) {
		for ; have < n; have++ {
			s = &stream{wake: make(chan struct{}, 1)}
			h.streams[s] = struct{}{}
		}
	}
	for _, c := range []struct {
		streams int
		want    time.Duration
	}{{1, 0}, {19, 0}, {20, 2 * time.Millisecond}, {500, 50 * time.Millisecond}, {5000, mostBreath}} {
		grow(c.streams)
		if got := h.breath(s, all, h.end(), backlog); got != c.want {
			t.Errorf("%d streams: %s, want %s", c.streams, got, c.want)
		}
	}
	if err := h.publish(1, 1, notices(backlog+1)); err != nil {
		t.Fatal(err)
	}
	if got := h.breath(s, all, h.end()-backlog, backlog); got == 0 {
		t.Error("no breath although the backlog is within its bound")
	}
	if got := h.breath(s, all, h.end()-backlog-1, backlog); got != 0 {
		t.Errorf("a stream beyond its backlog waits %s before it is cut", got)
	}
	h.cut("leadership ended")
	if got := h.breath(s, all, h.end(), backlog); got != 0 {
		t.Errorf("a stream that is cut waits %s", got)
	}
}

// Streams that see all are handed the same bytes, which are what a stream with a filter gets as a copy, wherever a piece
// ends and whenever the frames were made (G10, D-33).
func TestSharedFrames(t *testing.T) {
	const events, backlog = 300, 1000
	h := newHub(1024, 10)
	tell := func(seq uint64) {
		for n := range events {
			big := core.Notice{Type: "app_terminated_event", At: start, Body: struct{ Text string }{strings.Repeat("x", n*7)}}
			if err := h.publish(1, seq, []core.Notice{big}); err != nil {
				t.Fatal(err)
			}
		}
	}
	tell(1) // nobody listens: encoded later
	want := func(string) bool { return true }
	var read [3][]byte
	var all [3]*stream
	for k := range all {
		var err error
		if all[k], _, err = h.attach(1, "1-1.1", nil, k > 0, notices(1)[0]); err != nil {
			t.Fatal(err)
		}
	}
	tell(2)
	for more := true; more; {
		more = false
		var pieces [3][]byte
		for k, s := range all {
			piece, left, reason := h.take(s, want, nil, 0, backlog)
			if reason != "" {
				t.Fatal(reason)
			}
			pieces[k], read[k], more = piece, append(read[k], piece...), more || left
		}
		if len(pieces[1]) > 0 && &pieces[1][0] != &pieces[2][0] {
			t.Fatal("two streams, two copies")
		}
	}
	if n := bytes.Count(read[0], []byte("\r\nevent: ")); n != 2*events-1+len(all) {
		t.Errorf("%d events", n)
	}
	for k := 1; k < len(read); k++ {
		if !bytes.Equal(read[0], read[k]) {
			t.Errorf("stream %d reads other bytes than a filtered one", k)
		}
	}
}
