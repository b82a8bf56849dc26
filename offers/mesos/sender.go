package mesos

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"stadion/offers"
)

func (s *session) startSenders() {
	s.senders.Go(s.sendOrdered)
	head, prefix := s.d.client.ackHead(s.to, s.streamID), ackPrefix(s.who.id)
	for range ackConnections {
		s.senders.Go(func() {
			s.sendAcks(&pipeline{client: s.d.client, to: s.to, head: head, prefix: prefix})
		})
	}
	// Senders that wait for work must notice the end of the stream.
	context.AfterFunc(s.ctx, func() {
		s.mu.Lock()
		s.changed.Broadcast()
		s.mu.Unlock()
	})
}

// enqueue takes calls for the stream; what it returns was not taken because the stream has ended.
func (s *session) enqueue(calls []offers.Call) (left []offers.Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return calls
	}
	for _, c := range calls {
		switch c := c.(type) {
		case offers.Acknowledge:
			if len(c.UUID) > 0 { // without one there is nothing to acknowledge
				s.acks = append(s.acks, c)
			}
		default:
			s.ordered = append(s.ordered, c)
		}
	}
	if len(s.ordered) > maxQueued || len(s.acks) > maxAcks {
		s.fail(ErrQueueFull)
	}
	s.changed.Broadcast()
	return left
}

// sendOrdered sends the calls of the ordered queue one after the other.
func (s *session) sendOrdered() {
	for {
		c, ok := s.nextCall()
		if !ok {
			return
		}
		err := s.sendCall(c)
		s.mu.Lock()
		s.busy--
		s.changed.Broadcast()
		s.mu.Unlock()
		if err != nil {
			s.fail(err)
			return
		}
	}
}

func (s *session) nextCall() (offers.Call, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.ordered) == 0 && !s.over() {
		s.changed.Wait()
	}
	if s.over() {
		return nil, false
	}
	c := s.ordered[0]
	s.ordered[0] = nil
	s.ordered = s.ordered[1:]
	s.busy++
	return c, true
}

// over reports the end of the stream. s.mu is held.
func (s *session) over() bool { return s.closed || s.ctx.Err() != nil }

// sendCall sends one call. An error means that the stream is of no use any more.
func (s *session) sendCall(c offers.Call) error {
	var body []byte
	var err error
	switch c := c.(type) {
	case offers.Accept:
		if !s.take(c.OfferIDs, true) {
			s.d.drop([]offers.Call{c}, "its offers did not come on this stream")
			return nil
		}
		body, err = s.encoder.encode(c)
	case offers.Decline:
		if !s.take(c.OfferIDs, false) {
			s.d.counters.dropped.Add(1)
			return nil
		}
		body, err = s.encoder.encode(c)
	case offers.UpdateFramework:
		body, err = s.d.cfg.encodeUpdate(identity{id: s.who.id, roles: c.Roles, suppressed: c.Suppressed})
	case teardown:
		return s.sendTeardown(c)
	default:
		body, err = s.encoder.encode(c)
	}
	if err != nil {
		s.refused(c, fmt.Errorf("encode: %w", err))
		return nil
	}
	err = s.d.client.call(s.ctx, s.to, body, s.streamID)
	if update, ok := c.(offers.UpdateFramework); ok && err == nil {
		s.d.mu.Lock()
		s.d.accepted = update.Roles
		s.d.mu.Unlock()
	}
	var answer *answerError
	if errors.As(err, &answer) && answer.named == nil {
		s.refused(c, err)
		return nil
	}
	if a, ok := c.(offers.Accept); ok && notTaken(err) {
		s.d.drop([]offers.Call{a}, err.Error())
	}
	if err != nil {
		return fmt.Errorf("send %T: %w", c, err)
	}
	return nil
}

// take uses up offers. With all it does so only if every one came on this stream and is still open; else it does if
// any did. It reports whether the call makes sense.
func (s *session) take(ids []string, all bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := 0
	for _, id := range ids {
		if _, ok := s.offered[id]; ok {
			known++
		}
	}
	if known == 0 || all && known < len(ids) {
		return false
	}
	for _, id := range ids {
		delete(s.offered, id)
	}
	return true
}

// refused deals with a call that the master, or the encoder, did not take while the stream goes on.
func (s *session) refused(c offers.Call, err error) {
	d := s.d
	d.counters.refused.Add(1)
	d.cfg.Log.Warn("Mesos refused a call", zap.String("call", fmt.Sprintf("%T", c)), zap.Error(err))
	switch c := c.(type) {
	case offers.Accept:
		d.report(launched(&c, "TASK_ERROR", "TASK_INVALID", "Launch was refused: "+err.Error(), d.now()))
		// The offers are still held by this framework: give them back.
		wait := refusedOfferSeconds
		body, encodeErr := s.encoder.encode(offers.Decline{OfferIDs: c.OfferIDs, RefuseSeconds: &wait})
		if encodeErr == nil {
			encodeErr = d.client.call(s.ctx, s.to, body, s.streamID)
		}
		if encodeErr != nil {
			s.fail(fmt.Errorf("decline the offers of a refused launch: %w", encodeErr))
		}
	case offers.UpdateFramework:
		var answer *answerError
		if errors.As(err, &answer) && roleRefusal(answer.text) {
			d.refuseRoles(c.Roles, answer.text)
		}
	}
}

// sendAcks sends acknowledgements in windows.
func (s *session) sendAcks(p *pipeline) {
	defer p.close()
	window := make([]offers.Acknowledge, 0, ackWindow)
	for {
		window = s.nextAcks(window[:0])
		if len(window) == 0 {
			return
		}
		out, err := p.send(s.ctx, window)
		s.d.counters.acknowledged.Add(uint64(out.sent))
		s.d.counters.refused.Add(uint64(out.refused))
		s.mu.Lock()
		s.busy--
		s.changed.Broadcast()
		s.mu.Unlock()
		if err != nil {
			s.fail(err)
			return
		}
	}
}

// nextAcks waits for acknowledgements; none come at the end of the stream.
func (s *session) nextAcks(window []offers.Acknowledge) []offers.Acknowledge {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.acks) == 0 && !s.over() {
		s.changed.Wait()
	}
	if s.over() {
		return window
	}
	n := min(len(s.acks), ackWindow)
	window = append(window, s.acks[:n]...)
	clear(s.acks[:n])
	s.acks = s.acks[n:]
	s.busy++
	return window
}

// teardown ends the framework; done gets the outcome.
type teardown struct {
	offers.Call
	done chan error
}

// sendTeardown sends TEARDOWN. The master ends the stream before it answers, so the call must outlive the stream.
func (s *session) sendTeardown(t teardown) error {
	body, err := encodeTeardown(s.who.id)
	if err == nil {
		err = s.d.client.call(s.d.ctx, s.to, body, s.streamID)
	}
	t.done <- err
	return err
}

// flush waits until everything queued was sent, and then ends the framework if asked to.
func (s *session) flush(ctx context.Context, endFramework bool) error {
	unhook := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		s.changed.Broadcast()
		s.mu.Unlock()
	})
	defer unhook()
	if err := s.drained(ctx); err != nil || !endFramework {
		return err
	}
	t := teardown{done: make(chan error, 1)}
	if left := s.enqueue([]offers.Call{t}); len(left) > 0 {
		return context.Cause(s.ctx)
	}
	select {
	case err := <-t.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *session) drained(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.ordered)+len(s.acks)+s.busy > 0 {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if s.over() {
			return context.Cause(s.ctx)
		}
		s.changed.Wait()
	}
	return nil
}
