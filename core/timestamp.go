package core

import (
	"fmt"
	"strconv"
	"time"
)

// Timestamp is a moment in milliseconds since 1970 UTC; zero means unset. Its text form has always three fraction
// digits and ends in Z (behaviour.md 1.2).
type Timestamp int64

const stampFormat = "2006-01-02T15:04:05.000Z"

// At converts a time, dropping what is finer than a millisecond.
func At(t time.Time) Timestamp { return Timestamp(t.UnixMilli()) }

// Time is the moment as a UTC time.
func (t Timestamp) Time() time.Time { return time.UnixMilli(int64(t)).UTC() }

// Add moves the stamp by d.
func (t Timestamp) Add(d time.Duration) Timestamp { return t + Timestamp(d.Milliseconds()) }

// Sub is the duration from u to t.
func (t Timestamp) Sub(u Timestamp) time.Duration { return time.Duration(t-u) * time.Millisecond }

// String is the API's text form.
func (t Timestamp) String() string { return t.Time().Format(stampFormat) }

// MarshalJSON writes the API's text form.
func (t Timestamp) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, len(stampFormat)+2)
	b = append(b, '"')
	b = t.Time().AppendFormat(b, stampFormat)
	return append(b, '"'), nil
}

// UnmarshalJSON reads any form that ParseTimestamp accepts.
func (t *Timestamp) UnmarshalJSON(b []byte) error {
	s, err := strconv.Unquote(string(b))
	if err != nil {
		return fmt.Errorf("timestamp %s is no string", b)
	}
	v, err := ParseTimestamp(s)
	if err != nil {
		return err
	}
	*t = v
	return nil
}

var stampLayouts = []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05.999999999Z0700", "2006-01-02T15:04:05.999999999", "2006-01-02"}

// ParseTimestamp reads an ISO-8601 date-time. The error has Marathon's text (behaviour.md 1.2).
func ParseTimestamp(s string) (Timestamp, error) {
	for _, l := range stampLayouts {
		if v, err := time.Parse(l, s); err == nil {
			return At(v), nil
		}
	}
	return 0, &Error{Kind: Invalid, Message: fmt.Sprintf("Invalid timestamp provided '%s'. Expecting ISO-8601 datetime string.", s)}
}
