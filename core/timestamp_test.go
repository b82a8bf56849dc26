package core

import (
	"encoding/json"
	"errors"
	"testing"
)

// TestTimestampText: always three fraction digits and Z, so that texts of equal stamps are equal (behaviour 1.2, D-51);
// any ISO-8601 date-time with offset is read; a bad value has Marathon's text.
func TestTimestampText(t *testing.T) {
	for in, want := range map[string]string{
		"2015-01-22T12:34:56.789Z":      "2015-01-22T12:34:56.789Z",
		"2015-01-22T12:34:56Z":          "2015-01-22T12:34:56.000Z",
		"2015-01-22T12:34:56.7Z":        "2015-01-22T12:34:56.700Z",
		"2015-01-22T13:34:56.789+01:00": "2015-01-22T12:34:56.789Z",
		"2015-01-22T12:34:56.789123Z":   "2015-01-22T12:34:56.789Z",
	} {
		var got Timestamp
		if err := json.Unmarshal([]byte(`"`+in+`"`), &got); err != nil || got.String() != want {
			t.Errorf("%s: %s, %v", in, got, err)
		}
		if b, err := json.Marshal(got); err != nil || string(b) != `"`+want+`"` {
			t.Errorf("%s is written as %s", in, b)
		}
	}
	_, err := ParseTimestamp("yesterday")
	var e *Error
	if !errors.As(err, &e) || e.Kind != Invalid || e.Message != "Invalid timestamp provided 'yesterday'. Expecting ISO-8601 datetime string." {
		t.Errorf("got %v", err)
	}
}

// TestNumText: numbers always have a fraction (http-api 1.12).
func TestNumText(t *testing.T) {
	for n, want := range map[Num]string{128: "128.0", 0.1: "0.1", 0: "0.0", 1.15: "1.15", -3: "-3.0", 1e20: "1.0E20", 9999999: "9999999.0", 1e7: "1.0E7", 16777216: "1.6777216E7",
		-12345678.5: "-1.23456785E7", 0.001: "0.001", 0.0001: "1.0E-4", 1.5e-10: "1.5E-10"} {
		if b, err := json.Marshal(n); err != nil || string(b) != want {
			t.Errorf("%v: %s, %v", float64(n), b, err)
		}
	}
}
