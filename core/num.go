package core

import (
	"math"
	"strconv"
)

// Num is a number that the API always writes with a fraction: 128.0, 0.1 (http-api.md 1.12).
type Num float64

// MarshalJSON writes at least one fraction digit.
func (n Num) MarshalJSON() ([]byte, error) { return n.Append(nil), nil }

// Append appends the JSON form to b.
func (n Num) Append(b []byte) []byte {
	f := float64(n)
	if f == math.Trunc(f) && math.Abs(f) < 1e15 {
		return append(strconv.AppendFloat(b, f, 'f', -1, 64), ".0"...)
	}
	return strconv.AppendFloat(b, f, 'g', -1, 64)
}
