package minimesos

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// ParseResources reads the resources of an agent in the syntax of the Mesos flag
// --resources: "cpus:4;mem:4096;ports:[31000-31999];cpus(role):2;tags:{a,b}", or a
// JSON list of Resource messages. defaultRole is the role of entries without one
// ("" or "*": unreserved).
func ParseResources(s string, defaultRole string) ([]mesos.Resource, error) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "[") {
		return parseResourcesJSON(s, defaultRole)
	}
	var out []mesos.Resource
	for _, part := range splitTop(s) {
		name, value, ok := strings.Cut(part, ":")
		if !ok {
			return nil, fmt.Errorf("resource %q: want name:value", part)
		}
		name = strings.TrimSpace(name)
		role := defaultRole
		if open := strings.IndexByte(name, '('); open >= 0 {
			if !strings.HasSuffix(name, ")") {
				return nil, fmt.Errorf("resource %q: the role is not closed", part)
			}
			role = name[open+1 : len(name)-1]
			name = strings.TrimSpace(name[:open])
		}
		r := mesos.Resource{Name: name}
		v, err := parseValue(value)
		if err != nil {
			return nil, fmt.Errorf("resource %q: %w", part, err)
		}
		if v.form == mesos.TEXT || name == "" {
			return nil, fmt.Errorf("resource %q: a resource has a number, ranges or a set", part)
		}
		r.Type, r.Scalar, r.Ranges, r.Set = v.form.Enum(), v.scalar, v.ranges, v.set
		if err := finishResource(&r, role); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// finishResource reserves r to role, if that is one, and checks it.
func finishResource(r *mesos.Resource, role string) error {
	if role != "" && role != "*" && len(r.Reservations) == 0 {
		r.Reservations = []mesos.Resource_ReservationInfo{{
			Type: mesos.Resource_ReservationInfo_STATIC.Enum(), Role: &role,
		}}
	}
	if text := validateResource(r); text != "" {
		return fmt.Errorf("resource %s: %s", resourceText(r), text)
	}
	return nil
}

func parseResourcesJSON(s, defaultRole string) ([]mesos.Resource, error) {
	var items []json.RawMessage
	if err := json.Unmarshal([]byte(s), &items); err != nil {
		return nil, fmt.Errorf("resources as JSON: %w", err)
	}
	out := make([]mesos.Resource, len(items))
	for i, item := range items {
		if _, err := parseJSON(item, &out[i], "Resource"); err != nil {
			return nil, fmt.Errorf("resource %d: %w", i, err)
		}
		role := defaultRole
		if out[i].Role != nil {
			role = *out[i].Role
		}
		out[i].Role = nil
		if err := finishResource(&out[i], role); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// ParseAttributes reads the attributes of an agent in the syntax of the Mesos flag
// --attributes: "rack:r1;zone:{a,b};n:1.5;range:[1-5]".
func ParseAttributes(s string) ([]mesos.Attribute, error) {
	var out []mesos.Attribute
	for _, part := range splitTop(s) {
		name, value, ok := strings.Cut(part, ":")
		name = strings.TrimSpace(name)
		if !ok || name == "" {
			return nil, fmt.Errorf("attribute %q: want name:value", part)
		}
		v, err := parseValue(value)
		if err != nil {
			return nil, fmt.Errorf("attribute %q: %w", part, err)
		}
		out = append(out, mesos.Attribute{Name: name, Type: v.form, Scalar: v.scalar, Ranges: v.ranges, Set: v.set, Text: v.text})
	}
	return out, nil
}

// splitTop cuts at semicolons and line breaks and drops empty parts.
func splitTop(s string) []string {
	var out []string
	for _, part := range strings.FieldsFunc(s, func(r rune) bool { return r == ';' || r == '\n' }) {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

type parsedValue struct {
	form   mesos.Value_Type
	scalar *mesos.Value_Scalar
	ranges *mesos.Value_Ranges
	set    *mesos.Value_Set
	text   *mesos.Value_Text
}

// parseValue reads [1-5, 7-9], {a, b}, 1.5 or text.
func parseValue(s string) (parsedValue, error) {
	s = strings.TrimSpace(s)
	switch {
	case s == "":
		return parsedValue{}, fmt.Errorf("an empty value")
	case strings.HasPrefix(s, "["):
		if !strings.HasSuffix(s, "]") {
			return parsedValue{}, fmt.Errorf("ranges are not closed")
		}
		ranges := &mesos.Value_Ranges{}
		for _, part := range commaList(s) {
			from, to, ok := strings.Cut(part, "-")
			begin, err1 := strconv.ParseUint(strings.TrimSpace(from), 10, 64)
			end, err2 := strconv.ParseUint(strings.TrimSpace(to), 10, 64)
			if !ok || err1 != nil || err2 != nil || begin > end {
				return parsedValue{}, fmt.Errorf("range %q: want begin-end", part)
			}
			ranges.Range = append(ranges.Range, mesos.Value_Range{Begin: begin, End: end})
		}
		return parsedValue{form: mesos.RANGES, ranges: ranges}, nil
	case strings.HasPrefix(s, "{"):
		if !strings.HasSuffix(s, "}") {
			return parsedValue{}, fmt.Errorf("a set is not closed")
		}
		return parsedValue{form: mesos.SET, set: &mesos.Value_Set{Item: commaList(s)}}, nil
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && strings.ContainsAny(s[:1], "0123456789.-+") {
		return parsedValue{form: mesos.SCALAR, scalar: &mesos.Value_Scalar{Value: f}}, nil
	}
	return parsedValue{form: mesos.TEXT, text: &mesos.Value_Text{Value: s}}, nil
}

// commaList is what stands between the brackets of s.
func commaList(s string) []string {
	var out []string
	for _, part := range strings.Split(s[1:len(s)-1], ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}
