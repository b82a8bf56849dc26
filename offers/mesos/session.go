package mesos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	scheduler "github.com/mesos/mesos-go/api/v1/lib/scheduler"
	"go.uber.org/zap"

	"stadion/offers"
)

// Exit codes of behaviour 9.6.
const (
	exitSchedulerError   = 106
	exitFrameworkRemoved = 110
)

// session is one stream, from the answer to SUBSCRIBE to its end.
type session struct {
	d        *Driver
	ctx      context.Context
	cancel   context.CancelCauseFunc
	to       *url.URL
	streamID string
	who      identity
	encoder  encoder
	watchdog *time.Timer
	silence  time.Duration
	live     bool // SUBSCRIBED came

	senders sync.WaitGroup

	mu      sync.Mutex
	changed sync.Cond // something was queued or sent, or the session ended
	closed  bool
	ordered []offers.Call
	acks    []offers.Acknowledge
	busy    int                 // senders that are sending
	offered map[string]struct{} // offers of this stream that are still open
}

func newSession(d *Driver, ctx context.Context, cancel context.CancelCauseFunc, to *url.URL, streamID string, who identity) *session {
	s := &session{
		d: d, ctx: ctx, cancel: cancel, to: to, streamID: streamID, who: who,
		silence: time.Duration(d.cfg.HeartbeatFailures) * defaultHeartbeat,
		offered: map[string]struct{}{},
	}
	s.changed.L = &s.mu
	return s
}

// fail ends the stream for a reason; only the first reason counts.
func (s *session) fail(err error) { s.cancel(err) }

// reason is why the stream ended: what made it fail, else the error of reading.
func (s *session) reason(err error) error {
	if cause := context.Cause(s.ctx); cause != nil {
		return cause
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the master ended the stream: %w", err)
	}
	return fmt.Errorf("read the stream: %w", err)
}

// read takes records until the stream ends. The error is never nil.
func (s *session) read(body io.ReadCloser, changed <-chan struct{}) error {
	// Closing the body wakes a read that waits.
	defer context.AfterFunc(s.ctx, func() { _ = body.Close() })()
	if changed != nil {
		go func() {
			select {
			case <-changed:
				s.fail(ErrLeaderChanged)
			case <-s.ctx.Done():
			}
		}()
	}
	s.watchdog = time.AfterFunc(s.silence, func() { s.fail(ErrSilent) })
	defer s.watchdog.Stop()
	dec := &decoder{in: newInterned(), now: s.d.now}
	records := newFrames(body, maxFrame)
	for {
		if err := s.waitForAcks(); err != nil {
			return err
		}
		s.watchdog.Reset(s.silence)
		record, err := records.next()
		if err != nil {
			return s.reason(err)
		}
		// A sink that blocks must not count as silence of the master.
		s.watchdog.Stop()
		what, err := dec.decode(record)
		if err != nil {
			return err
		}
		if err := s.handle(&what); err != nil {
			return err
		}
		if s.ctx.Err() != nil {
			return s.reason(nil)
		}
	}
}

// waitForAcks holds the reader back while too many acknowledgements wait.
func (s *session) waitForAcks() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.acks) <= ackHighWater {
		return nil
	}
	s.watchdog.Stop()
	for len(s.acks) > ackHighWater && !s.closed && s.ctx.Err() == nil {
		s.changed.Wait()
	}
	if s.ctx.Err() != nil {
		return s.reason(nil)
	}
	return nil
}

func (s *session) handle(what *decoded) error {
	switch {
	case what.subscribed != nil:
		return s.subscribed(what.subscribed)
	case what.failure != "":
		return s.errorEvent(what.failure)
	case what.event == nil:
		return nil
	case !s.live:
		return fmt.Errorf("the stream began with %T instead of SUBSCRIBED", what.event)
	}
	switch e := what.event.(type) {
	case offers.StatusUpdate:
		s.d.counters.updates.Add(1)
	case offers.Received:
		s.d.counters.offers.Add(uint64(len(e.Offers)))
		s.mu.Lock()
		for i := range e.Offers {
			s.offered[e.Offers[i].ID] = struct{}{}
		}
		s.mu.Unlock()
	case offers.Rescinded:
		s.mu.Lock()
		delete(s.offered, e.OfferID)
		s.mu.Unlock()
	}
	s.d.tell(what.event)
	return nil
}

// subscribed opens the stream for calls and tells of it.
func (s *session) subscribed(e *scheduler.Event_Subscribed) error {
	if s.live {
		return errors.New("a second SUBSCRIBED on one stream")
	}
	if v := e.GetMasterInfo().GetVersion(); tooOld(v) {
		return &fatalError{offers.FatalError{
			Message:  fmt.Sprintf("Mesos master %s is too old: at least %d.%d.0 is needed", v, minMajor, minMinor),
			ExitCode: exitSchedulerError,
		}}
	}
	if seconds := e.GetHeartbeatIntervalSeconds(); seconds > 0 && seconds < 3600 {
		s.silence = time.Duration(seconds * float64(s.d.cfg.HeartbeatFailures) * float64(time.Second))
	}
	id := e.GetFrameworkID().GetValue()
	if id == "" {
		return errors.New("SUBSCRIBED without a framework id")
	}
	if s.who.id != "" && id != s.who.id {
		return &fatalError{offers.FatalError{ExitCode: exitSchedulerError, Message: fmt.Sprintf(
			"the master at %s subscribed framework %s as %s: it is not the cluster that this framework belongs to, or not Mesos. "+
				"Check --master; the state is kept", s.to.Host, s.who.id, id)}}
	}
	region, _ := faultDomain(e.GetMasterInfo().GetDomain())
	base := s.to.Scheme + "://" + s.to.Host
	s.who.id = id
	s.encoder = encoder{frameworkID: id, refinement: s.d.cfg.capable("RESERVATION_REFINEMENT")}
	s.live = true

	d := s.d
	d.mu.Lock()
	d.who.id = id
	d.accepted = s.who.roles
	d.url, d.session = base, s
	d.mu.Unlock()
	d.counters.subscribed.Add(1)
	d.cfg.Log.Info("subscribed to Mesos", zap.String("master", base), zap.String("framework", id))
	s.startSenders()
	d.tell(offers.Subscribed{FrameworkID: id, MasterURL: base, MasterID: e.GetMasterInfo().GetID(), HomeRegion: region})
	return nil
}

// tooOld compares with the oldest master that is supported; a version that cannot be read passes.
func tooOld(version string) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	if err1 != nil || err2 != nil {
		return false
	}
	return major < minMajor || major == minMajor && minor < minMinor
}

// errorEvent sorts the texts of ERROR events (behaviour 9.4).
func (s *session) errorEvent(message string) error {
	lower := strings.ToLower(message)
	switch {
	case roleRefusal(message):
		s.d.refuseRoles(s.who.roles, message)
		return fmt.Errorf("the master refuses the roles: %s", message)
	case removed(lower) && s.d.cfg.Recover:
		s.d.forget()
		return fmt.Errorf("%s. Framework %s and its tasks are gone; registering as a new framework", message, s.who.id)
	case removed(lower) || strings.Contains(lower, "failover timeout"):
		return &fatalError{offers.FatalError{ExitCode: exitFrameworkRemoved, Message: fmt.Sprintf(
			"%s. Mesos has removed framework %s, by a teardown or because its failover timeout ran out, and its tasks with it. "+
				"The state is kept. To go on as a new framework, restart with --recover_framework", message, s.who.id)}}
	case strings.Contains(lower, "framework failed over"):
		return &fatalError{offers.FatalError{ExitCode: exitSchedulerError, Message: fmt.Sprintf(
			"%s. Another scheduler has subscribed as framework %s", message, s.who.id)}}
	case strings.Contains(lower, "changing framework's principal"):
		return &fatalError{offers.FatalError{ExitCode: exitSchedulerError, Message: fmt.Sprintf(
			"%s Framework %s was registered with another --mesos_authentication_principal, or without one: start with that one again",
			message, s.who.id)}}
	default:
		return &fatalError{offers.FatalError{ExitCode: exitSchedulerError, Message: message}}
	}
}

func removed(message string) bool { return strings.Contains(message, "framework has been removed") }

// end closes the session: nothing is sent any more, what waits is dropped, and Disconnected is told.
func (s *session) end(err error) {
	s.fail(err)
	s.mu.Lock()
	s.closed = true
	s.changed.Broadcast()
	s.mu.Unlock()
	s.senders.Wait()
	if !s.live {
		return
	}
	d := s.d
	d.mu.Lock()
	d.session = nil
	d.mu.Unlock()
	s.mu.Lock()
	left, acks := s.ordered, len(s.acks)
	s.ordered, s.acks = nil, nil
	s.mu.Unlock()
	for _, c := range left {
		if t, ok := c.(teardown); ok {
			t.done <- err
		}
	}
	d.counters.dropped.Add(uint64(acks))
	d.drop(left, "the stream to the master has ended")
	d.tell(offers.Disconnected{Reason: err.Error()})
}
