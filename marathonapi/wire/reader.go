package wire

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"stadion/core"
)

// reading is the state of one decoding: schema violations by path, and violations of rules that are visible only
// here (a word where a number belongs) and count in the next stage.
type reading struct {
	schema violations
	late   violations
}

// object is a JSON object under reading. Its getters report wrong types and return the given default then.
type object struct {
	r    *reading
	path *path
	m    map[string]any
}

// rootObject starts reading a body that has to be an object.
func (r *reading) rootObject(v any) (object, bool) { return r.object(v, &path{}) }

func (r *reading) object(v any, p *path) (object, bool) {
	m, ok := v.(map[string]any)
	if !ok {
		r.schema.add(p.String(), errObject)
	}
	return object{r, p, m}, ok
}

// get returns a field that is present and not null.
func (o object) get(name string) (any, bool) {
	v, ok := o.m[name]
	return v, ok && v != nil
}

func (o object) fail(name, key string) { o.r.schema.add(o.path.field(name).String(), key) }

// missing reports an absent required field; clients look for the word "undefined" only.
func (o object) missing(name string) {
	text, err := json.Marshal(o.m)
	const longest = 200
	if err != nil || len(text) > longest {
		text = []byte("{…}")
	}
	o.fail(name, fmt.Sprintf("'%s' is undefined on object: %s", name, text))
}

func (o object) require(name string) bool {
	if _, ok := o.get(name); ok {
		return true
	}
	o.missing(name)
	return false
}

func (o object) text(name, def string) string {
	v, ok := o.get(name)
	if !ok {
		return def
	}
	s, ok := v.(string)
	if !ok {
		o.fail(name, errString)
		return def
	}
	return s
}

func (o object) optText(name string) *string {
	if v, ok := o.get(name); ok {
		if s, ok := v.(string); ok {
			return &s
		}
		o.fail(name, errString)
	}
	return nil
}

// requireText reports a required text that is absent; null counts as a value of the wrong type.
func (o object) requireText(name string) bool {
	if _, ok := o.get(name); ok {
		return true
	}
	if _, given := o.m[name]; given {
		o.fail(name, errString)
	} else {
		o.missing(name)
	}
	return false
}

func (o object) requiredText(name string) string {
	if !o.requireText(name) {
		return ""
	}
	return o.text(name, "")
}

func (o object) boolean(name string, def bool) bool {
	v, ok := o.get(name)
	if !ok {
		return def
	}
	b, ok := v.(bool)
	if !ok {
		o.fail(name, errBoolean)
		return def
	}
	return b
}

func (o object) optBoolean(name string) *bool {
	if _, ok := o.get(name); !ok {
		return nil
	}
	b := o.boolean(name, false)
	return &b
}

func (o object) number(name string, def core.Num) core.Num {
	v, ok := o.get(name)
	if !ok {
		return def
	}
	if n, ok := v.(json.Number); ok {
		if f, err := n.Float64(); err == nil {
			return core.Num(f)
		}
	}
	o.fail(name, errNumber)
	return def
}

// whole reads an integer; 1.0 and 1e2 are integers too, 1.5 is not.
func whole(v any) (int64, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	if i, err := strconv.ParseInt(string(n), 10, 64); err == nil {
		return i, true
	}
	f, err := n.Float64()
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, false
	}
	return int64(f), true
}

func (o object) long(name string, def int64) int64 {
	v, ok := o.get(name)
	if !ok {
		return def
	}
	i, ok := whole(v)
	if !ok {
		o.fail(name, notWhole(v, errLong))
		return def
	}
	return i
}

// notWhole tells a number that is no integer from what is no number at all.
func notWhole(v any, key string) string {
	if _, ok := v.(json.Number); ok {
		return key
	}
	return errNumber
}

// integer reads a number of 32 bits, which is what Marathon keeps.
func (o object) integer(name string, def int) int {
	v, ok := o.get(name)
	if !ok {
		return def
	}
	i, ok := int32of(v)
	if !ok {
		o.fail(name, notWhole(v, errInt))
		return def
	}
	return i
}

func int32of(v any) (int, bool) {
	i, ok := whole(v)
	return int(i), ok && i <= math.MaxInt32 && i >= math.MinInt32
}

func (o object) optInteger(name string) *int {
	if _, ok := o.get(name); !ok {
		return nil
	}
	i := o.integer(name, 0)
	return &i
}

// enum reads one word of a list without regard to case and returns the list's spelling.
func (o object) enum(name, def string, words []string) string {
	v, ok := o.get(name)
	if !ok {
		return def
	}
	s, ok := v.(string)
	i := slices.IndexFunc(words, func(w string) bool { return strings.EqualFold(w, s) })
	if i < 0 || !ok {
		o.fail(name, errEnum)
		return def
	}
	return words[i]
}

// child reads an object field; false when it is absent or of another type.
func (o object) child(name string) (object, bool) {
	v, ok := o.get(name)
	if !ok {
		return object{}, false
	}
	return o.r.object(v, o.path.field(name))
}

// list reads an array field; nil when it is absent or of another type.
func (o object) list(name string) []any {
	v, ok := o.get(name)
	if !ok {
		return nil
	}
	l, ok := v.([]any)
	if !ok {
		o.fail(name, errArray)
		return nil
	}
	return l
}

// objects reads an array of objects; nil only when the field is absent.
func objects[T any](o object, name string, read func(object) T) []T {
	if _, ok := o.get(name); !ok {
		return nil
	}
	l := o.list(name)
	out := make([]T, 0, len(l))
	p := o.path.field(name)
	for i, v := range l {
		if e, ok := o.r.object(v, p.at(i)); ok {
			out = append(out, read(e))
		}
	}
	return out
}

// texts reads an array of strings; nil only when the field is absent.
func (o object) texts(name string) []string {
	if _, ok := o.get(name); !ok {
		return nil
	}
	return o.r.strings(o.list(name), o.path.field(name))
}

func (r *reading) strings(l []any, p *path) []string {
	out := make([]string, 0, len(l))
	for i, v := range l {
		s, ok := v.(string)
		if !ok {
			r.schema.add(p.at(i).String(), errString)
		}
		out = append(out, s)
	}
	return out
}

func (o object) integers(name string) []int {
	if _, ok := o.get(name); !ok {
		return nil
	}
	l := o.list(name)
	out := make([]int, 0, len(l))
	for i, v := range l {
		n, ok := int32of(v)
		if !ok {
			o.r.schema.add(o.path.field(name).at(i).String(), notWhole(v, errInt))
		}
		out = append(out, n)
	}
	return out
}

// textMap reads a map of strings; nil only when the field is absent.
func (o object) textMap(name string) map[string]string {
	c, ok := o.child(name)
	if !ok {
		if _, given := o.get(name); given {
			return map[string]string{}
		}
		return nil
	}
	out := make(map[string]string, len(c.m))
	for _, k := range c.keys() {
		s, ok := c.m[k].(string)
		if !ok {
			c.fail(k, errString)
			continue
		}
		out[k] = s
	}
	return out
}

// keys are the object's field names in order, so that equal bodies give equal answers.
func (o object) keys() []string { return slices.Sorted(maps.Keys(o.m)) }
