package core

import (
	"bytes"
	"math"
	"strconv"
)

// Num is a number that the API always writes with a fraction: 128.0, 0.1 (http-api.md 1.12).
type Num float64

// MarshalJSON writes at least one fraction digit.
func (n Num) MarshalJSON() ([]byte, error) { return n.Append(nil), nil }

// Beyond these bounds Marathon writes an exponent: 1.6777216E7, 1.0E-5.
const (
	leastPlain = 1e-3
	mostPlain  = 1e7
)

// Append appends the JSON form to b. It is that of Java's doubles, which Marathon's main writer has.
func (n Num) Append(b []byte) []byte {
	f := float64(n)
	if abs := math.Abs(f); abs != 0 && (abs < leastPlain || abs >= mostPlain) {
		return appendExponent(b, f)
	}
	return appendFraction(b, strconv.AppendFloat(nil, f, 'f', -1, 64))
}

func appendExponent(b []byte, f float64) []byte {
	mantissa, exponent, _ := bytes.Cut(strconv.AppendFloat(nil, f, 'e', -1, 64), []byte("e"))
	b = append(appendFraction(b, mantissa), 'E')
	if exponent[0] == '-' {
		b = append(b, '-')
	}
	return append(b, bytes.TrimLeft(exponent, "+-0")...)
}

func appendFraction(b, digits []byte) []byte {
	b = append(b, digits...)
	if !bytes.Contains(digits, []byte(".")) {
		b = append(b, ".0"...)
	}
	return b
}
