package main

import (
	"time"

	"go.uber.org/zap"
)

// stages are how long the parts of a hand-over took, for the log: what operators look at when a change of leader was slow
// (P25, P26).
type stages struct {
	fields []zap.Field
	last   time.Time
}

func newStages() *stages { return &stages{last: time.Now()} }

// done ends a part.
func (s *stages) done(name string) {
	now := time.Now()
	s.fields = append(s.fields, zap.Duration(name, now.Sub(s.last)))
	s.last = now
}
