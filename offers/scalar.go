package offers

import (
	"math"
	"strconv"
	"strings"
)

// thousandths is how finely Mesos counts scalars; sums are made in these units so that they never drift.
const thousandths = 1000

// milli converts a scalar to whole thousandths, saturating where it would not fit.
func milli(v float64) int64 {
	m := math.Round(v * thousandths)
	switch {
	case m != m || m <= 0:
		return 0
	case m >= math.MaxInt64:
		return math.MaxInt64
	}
	return int64(m)
}

func fromMilli(m int64) float64 { return float64(m) / thousandths }

// FormatScalar is the text form of a SCALAR attribute: at most three fraction digits, half-even, without trailing
// zeros (behaviour.md 5.5.1).
func FormatScalar(v float64) string {
	s := strconv.FormatFloat(v, 'f', 3, 64)
	s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	if s == "" || s == "-" || s == "-0" {
		return "0"
	}
	return s
}

// javaDouble is a number as Java prints a double: 1.0, 0.1, 1.0E7 (behaviour.md 6.4).
func javaDouble(v float64) string {
	a := math.Abs(v)
	if v == 0 || a >= 1e-3 && a < 1e7 {
		s := strconv.FormatFloat(v, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	mantissa, exp, _ := strings.Cut(strconv.FormatFloat(v, 'e', -1, 64), "e")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	sign := ""
	if strings.HasPrefix(exp, "-") {
		sign = "-"
	}
	return mantissa + "E" + sign + strings.TrimLeft(strings.TrimLeft(exp, "+-"), "0")
}
