package mesos

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"stadion/offers"
)

func (s *session) startSenders() {
	s.senders.Go(s.sendOrdered)
	for range ackConnections {
		s.senders.Go(s.sendAcks)
	}
	// Senders that wait for work must notice the end of the stream.
	context.AfterFunc(s.ctx, func() {
		s.mu.Lock()
		s.changed.Broadcast()
		s.mu.Unlock()
	})
}

func (s *session) newPipeline() *pipeline {
	return &pipeline{client: s.d.client, to: s.to, head: s.d.client.callHead(s.to, s.streamID)}
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

// sendOrdered sends the calls of the ordered queue in their order.
func (s *session) sendOrdered() {
	p := s.newPipeline()
	defer p.close()
	for {
		calls := s.nextCalls()
		if len(calls) == 0 {
			return
		}
		err := s.sendCalls(p, calls)
		s.sent()
		if err != nil {
			s.fail(err)
			return
		}
	}
}

// nextCalls waits for calls; none come at the end of the stream. TEARDOWN comes alone.
func (s *session) nextCalls() []offers.Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.ordered) == 0 && !s.over() {
		s.changed.Wait()
	}
	if s.over() {
		return nil
	}
	n := 0
	for n < len(s.ordered) && n < callWindow {
		if _, last := s.ordered[n].(teardown); last && n > 0 {
			break
		}
		n++
	}
	calls := append([]offers.Call(nil), s.ordered[:n]...)
	clear(s.ordered[:n])
	s.ordered = s.ordered[n:]
	s.busy++
	return calls
}

// sent ends what nextCalls or nextAcks began.
func (s *session) sent() {
	s.mu.Lock()
	s.busy--
	s.changed.Broadcast()
	s.mu.Unlock()
}

// over reports the end of the stream. s.mu is held.
func (s *session) over() bool { return s.closed || s.ctx.Err() != nil }

// sendCalls sends calls in one window. An error means that the stream is of no use any more.
func (s *session) sendCalls(p *pipeline, calls []offers.Call) error {
	if t, ok := calls[0].(teardown); ok {
		return s.sendTeardown(t)
	}
	going, bodies := calls[:0], make([][]byte, 0, len(calls))
	for _, c := range calls {
		body, err := s.body(c)
		switch {
		case err != nil:
			s.refused(c, fmt.Errorf("encode: %w", err))
		case body != nil:
			going, bodies = append(going, c), append(bodies, body)
		}
	}
	if len(going) == 0 {
		return nil
	}
	_, err := p.exchange(s.ctx, &window{
		n:      len(going),
		size:   func(i int) int { return len(bodies[i]) },
		body:   func(b []byte, i int) []byte { return append(b, bodies[i]...) },
		answer: func(i int, answer *answerError) { s.answered(going[i], answer) },
	})
	if err != nil {
		return fmt.Errorf("send calls: %w", err)
	}
	return nil
}

// body encodes a call; nil is one that makes no sense any more.
func (s *session) body(c offers.Call) ([]byte, error) {
	switch c := c.(type) {
	case offers.Accept:
		if !s.take(c.OfferIDs, true) {
			s.d.drop([]offers.Call{c}, "its offers are not open on this stream")
			s.giveBack(c.OfferIDs)
			return nil, nil
		}
	case offers.Decline:
		if !s.take(c.OfferIDs, false) {
			s.d.counters.dropped.Add(1)
			return nil, nil
		}
	case offers.UpdateFramework:
		return s.d.cfg.encodeUpdate(identity{id: s.who.id, roles: c.Roles, suppressed: c.Suppressed})
	}
	return s.encoder.encode(c)
}

// answered takes the answer to a call.
func (s *session) answered(c offers.Call, answer *answerError) {
	switch {
	case answer == nil:
		if update, ok := c.(offers.UpdateFramework); ok {
			s.d.mu.Lock()
			s.d.accepted = update.Roles
			s.d.mu.Unlock()
		}
	case answer.named == nil:
		s.refused(c, answer)
	case answer.status < 500: // it was certainly not carried out
		s.d.drop([]offers.Call{c}, answer.Error())
	}
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

// giveBack declines those of the offers that are still open: whoever made the call takes them for used.
func (s *session) giveBack(ids []string) {
	s.mu.Lock()
	open := filter(ids, func(id string) bool {
		_, ok := s.offered[id]
		return ok
	})
	s.mu.Unlock()
	if len(open) > 0 {
		wait := refusedOfferSeconds
		s.enqueue([]offers.Call{offers.Decline{OfferIDs: open, RefuseSeconds: &wait}})
	}
}

// refused deals with a call that the master, or the encoder, did not take while the stream goes on.
func (s *session) refused(c offers.Call, err error) {
	d := s.d
	d.counters.refused.Add(1)
	d.cfg.Log.Warn("Mesos refused a call", zap.String("call", fmt.Sprintf("%T", c)), zap.Error(err))
	switch c := c.(type) {
	case offers.Accept:
		d.report(launched(&c, "TASK_ERROR", "TASK_INVALID", "Launch was refused: "+err.Error(), d.now()))
		s.mu.Lock()
		for _, id := range c.OfferIDs { // they were not used after all
			s.offered[id] = struct{}{}
		}
		s.mu.Unlock()
		s.giveBack(c.OfferIDs)
	case offers.UpdateFramework:
		var answer *answerError
		switch {
		case !errors.As(err, &answer):
		case roleRefusal(answer.text):
			d.refuseRoles(c.Roles, answer.text)
		case !s.told(&c):
			s.fail(fmt.Errorf("%w: %w", ErrNotUpdated, answer))
		}
	}
}

// told reports whether this stream's SUBSCRIBE said what an UPDATE_FRAMEWORK was to say. UPDATE_FRAMEWORK cannot be
// had when user or checkpoint are not those that the framework began with, as SUBSCRIBE alone overlooks that
// (recordings 02 and 17), nor from masters before 1.9.
func (s *session) told(c *offers.UpdateFramework) bool {
	wanted := identity{roles: c.Roles, suppressed: c.Suppressed}
	return slices.Equal(s.who.roles, wanted.roles) && slices.Equal(s.who.quiet(), wanted.quiet())
}

// sendAcks sends acknowledgements in windows.
func (s *session) sendAcks() {
	p := s.newPipeline()
	defer p.close()
	prefix := ackPrefix(s.who.id)
	acks := make([]offers.Acknowledge, 0, ackWindow)
	for {
		acks = s.nextAcks(acks[:0])
		if len(acks) == 0 {
			return
		}
		err := s.sendAckWindow(p, prefix, acks)
		s.sent()
		if err != nil {
			s.fail(err)
			return
		}
	}
}

// sendAckWindow sends acknowledgements. When the connection breaks it tries what was not answered again on a new one,
// as a repeated acknowledgement has no effect; it gives up when that brings no progress.
func (s *session) sendAckWindow(p *pipeline, prefix []byte, acks []offers.Acknowledge) error {
	w := window{
		size: func(i int) int { return ackSize(prefix, &acks[i]) },
		body: func(b []byte, i int) []byte { return appendAck(b, prefix, &acks[i]) },
		answer: func(_ int, answer *answerError) {
			if answer == nil {
				s.d.counters.acknowledged.Add(1)
			} else {
				s.d.counters.refused.Add(1)
			}
		},
	}
	for idle := 0; ; {
		w.n = len(acks)
		done, err := p.exchange(s.ctx, &w)
		if err == nil {
			return nil
		}
		var answer *answerError
		if done > 0 {
			idle = 0
		} else {
			idle++
		}
		if errors.As(err, &answer) || idle > 1 || s.ctx.Err() != nil {
			return fmt.Errorf("acknowledge: %w", err)
		}
		acks = acks[done:]
	}
}

// nextAcks waits for acknowledgements; none come at the end of the stream.
func (s *session) nextAcks(acks []offers.Acknowledge) []offers.Acknowledge {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.acks) == 0 && !s.over() {
		s.changed.Wait()
	}
	if s.over() {
		return acks
	}
	n := min(len(s.acks), ackWindow)
	acks = append(acks, s.acks[:n]...)
	clear(s.acks[:n])
	s.acks = s.acks[n:]
	s.busy++
	return acks
}

// teardown ends the framework; done gets the outcome.
type teardown struct {
	offers.Call
	done chan error
}

// sendTeardown sends TEARDOWN on a connection of its own: the master ends the stream before it answers, and so this
// call must outlive the stream.
func (s *session) sendTeardown(t teardown) error {
	p := s.newPipeline()
	defer p.close()
	body, err := encodeTeardown(s.who.id)
	if err == nil {
		var refusal error
		_, err = p.exchange(s.d.ctx, &window{
			n: 1, size: func(int) int { return len(body) }, body: func(b []byte, _ int) []byte { return append(b, body...) },
			answer: func(_ int, answer *answerError) {
				if answer != nil {
					refusal = answer
				}
			},
		})
		if err == nil {
			err = refusal
		}
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
