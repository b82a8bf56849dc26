package mesos

import (
	"math"
	"math/big"
	"sort"
	"strconv"
	"strings"

	mesos "github.com/mesos/mesos-go/api/v1/lib"

	"stadion/core"
)

// attributes are agent attributes in their text form, in the order of the offer (behaviour 5.5.1).
func attributes(list []mesos.Attribute) []core.Attribute {
	if len(list) == 0 {
		return nil
	}
	out := make([]core.Attribute, len(list))
	for i := range list {
		out[i] = core.Attribute{Name: list[i].Name, Value: attributeText(&list[i])}
	}
	return out
}

func attributeText(a *mesos.Attribute) string {
	switch a.Type {
	case mesos.TEXT:
		return a.GetText().GetValue()
	case mesos.SCALAR:
		return scalarText(a.GetScalar().GetValue())
	case mesos.RANGES:
		return rangesText(a.GetRanges().GetRange())
	case mesos.SET:
		items := append([]string(nil), a.GetSet().GetItem()...)
		sort.Strings(items)
		return "{" + strings.Join(items, ",") + "}"
	default:
		return ""
	}
}

// scalarText formats with the pattern 0.### and rounds half to even, on the decimal text of the number: 0.0005 is a
// half although the nearest binary number is not (behaviour 5.5.1).
func scalarText(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	r, ok := new(big.Rat).SetString(strconv.FormatFloat(v, 'f', -1, 64))
	if !ok {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	r.Mul(r, big.NewRat(1000, 1))
	whole, rest := new(big.Int).QuoRem(r.Num(), r.Denom(), new(big.Int))
	rest.Abs(rest).Lsh(rest, 1)
	if c := rest.Cmp(r.Denom()); c > 0 || c == 0 && whole.Bit(0) == 1 {
		whole.Add(whole, big.NewInt(int64(r.Sign())))
	}
	text := new(big.Rat).SetFrac(whole, big.NewInt(1000)).FloatString(3)
	text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	if whole.Sign() == 0 && math.Signbit(v) {
		return "-0" // as the pattern does for what rounds to nothing from below
	}
	return text
}

func rangesText(ranges []mesos.Value_Range) string {
	sorted := append([]mesos.Value_Range(nil), ranges...)
	sort.SliceStable(sorted, func(i, j int) bool { return sorted[i].Begin < sorted[j].Begin })
	b := []byte{'['}
	for i, r := range sorted {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, r.Begin, 10)
		b = append(b, '-')
		b = strconv.AppendUint(b, r.End, 10)
	}
	return string(append(b, ']'))
}
