package loop

import (
	"testing"
	"time"

	"stadion/core/machine"
)

// TestTurns: the longest turn is remembered for one to two periods, then forgotten (P24).
func TestTurns(t *testing.T) {
	var all turns
	start := time.Unix(1000, 0)
	at := func(periods float64) time.Time { return start.Add(time.Duration(periods * float64(turnPeriod))) }
	all.note(time.Second, at(0))
	all.note(time.Millisecond, at(0.1))
	for _, c := range []struct {
		periods float64
		want    time.Duration
	}{{0.5, time.Second}, {1.5, time.Second}, {2.6, 0}, {9, 0}} {
		if got := all.longest(at(c.periods)); got != c.want {
			t.Errorf("after %v periods: %v, want %v", c.periods, got, c.want)
		}
	}
	all.note(time.Minute, at(9))
	if got := all.longest(at(12)); got != 0 {
		t.Errorf("nothing happened for three periods: %v", got)
	}
}

// TestLongestTurn: a time in which the machine decides is a turn (P24).
func TestLongestTurn(t *testing.T) {
	const slow = 20 * time.Millisecond
	b := start(t, func(b *bench, _ *Config) {
		b.m.stepped = func(ev machine.Event) {
			if _, ok := ev.(machine.HealthReport); ok {
				time.Sleep(slow)
			}
		}
	})
	b.Post(machine.HealthReport{})
	await(t, "the turn", func() bool { return b.LongestTurn() >= slow })
}

// answering is told how many events are in each batch that answers.
type answering struct {
	noMeter
	events chan int
}

func (a answering) Settled(b *machine.Batch, events int, _ time.Duration) {
	if len(b.Replies) > 0 {
		a.events <- events
	}
}

// A command that meets a full inbox is answered with a small part of it, not after all of it (P28).
func TestACommandDoesNotWaitForAllEvents(t *testing.T) {
	held, release, meter := make(chan bool), make(chan bool), answering{events: make(chan int, 1)}
	b := start(t, func(b *bench, c *Config) {
		c.Meter = meter
		b.m.stepped = func(ev machine.Event) {
			if h, ok := ev.(machine.HealthReport); ok && h.Cause == "hold" {
				held <- true
				<-release
			}
		}
	})
	b.Post(machine.HealthReport{Cause: "hold"})
	<-held
	for range 3 * drainAtOnce {
		b.Post(machine.HealthReport{})
	}
	got := b.submit("/a")
	await(t, "the command in the inbox", func() bool { return len(b.commands) == 1 })
	close(release)
	c := b.commit(t)
	if n := <-meter.events; n > drainAtOnce+2 {
		t.Errorf("the command is answered with %d events", n)
	}
	c.end <- nil
	if a := <-got; a.err != nil {
		t.Error(a.err)
	}
}
