package wire

import (
	"bytes"
	"math"
	"strconv"
)

// PlainNumbers rewrites JSON text into the form of Marathon's alternative writer, which prints whole doubles without
// a fraction: 128.0 becomes 128 (http-api.md 1.12: SSE payloads, pod status, /v2/info). The text must be valid JSON;
// strings stay as they are. The result is a new slice.
func PlainNumbers(json []byte) []byte {
	out := make([]byte, 0, len(json))
	for i := 0; i < len(json); {
		switch c := json[i]; {
		case c == '"':
			end := stringEnd(json, i)
			out = append(out, json[i:end]...)
			i = end
		case c == '-' || c >= '0' && c <= '9':
			end := i
			for end < len(json) && isNumberByte(json[end]) {
				end++
			}
			out = append(out, plainNumber(json[i:end])...)
			i = end
		default:
			out = append(out, c)
			i++
		}
	}
	return out
}

func stringEnd(json []byte, i int) int {
	for i++; i < len(json); i++ {
		switch json[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(json)
}

func isNumberByte(c byte) bool {
	return c >= '0' && c <= '9' || c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E'
}

// The bounds between which that writer shows no exponent.
const (
	leastPlain = 1e-10
	mostPlain  = 1e20
)

// plainNumber drops a fraction of zeros and writes an exponent out.
func plainNumber(n []byte) []byte {
	if bytes.ContainsAny(n, "eE") {
		f, err := strconv.ParseFloat(string(n), 64)
		if abs := math.Abs(f); err == nil && abs > leastPlain && abs < mostPlain {
			return strconv.AppendFloat(nil, f, 'f', -1, 64)
		}
		return n
	}
	end := len(n)
	for end > 0 && n[end-1] == '0' {
		end--
	}
	if end > 0 && n[end-1] == '.' {
		return n[:end-1]
	}
	return n
}
