package mesos

import (
	"sort"
	"strconv"
	"strings"

	mesos "github.com/mesos/mesos-go/api/v1/lib"

	"stadion/core"
	"stadion/offers"
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
		return offers.FormatScalar(a.GetScalar().GetValue())
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

// typedAttributes are agent attributes as the master tells of them (http-api 9.1).
func typedAttributes(list []mesos.Attribute) []offers.Attribute {
	if len(list) == 0 {
		return nil
	}
	out := make([]offers.Attribute, len(list))
	for i := range list {
		a, to := &list[i], &out[i]
		to.Name = a.Name
		switch a.Type {
		case mesos.TEXT:
			text := a.GetText().GetValue()
			to.Text = &text
		case mesos.SCALAR:
			number := a.GetScalar().GetValue()
			to.Scalar = &number
		case mesos.RANGES:
			for _, r := range a.GetRanges().GetRange() {
				to.Ranges = append(to.Ranges, offers.Range{Begin: r.Begin, End: r.End})
			}
		case mesos.SET:
			to.Items = append([]string(nil), a.GetSet().GetItem()...)
		}
	}
	return out
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
