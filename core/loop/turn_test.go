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
