package minimesos

import (
	"encoding/base64"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// Messages are written as JSON and read from it by their protobuf tags, because
// the generated JSON code of mesos-go does not follow Mesos: absent fields,
// missing required fields and lenient values need the schema.

// protoField is one field of a message type.
type protoField struct {
	name     string
	index    int
	required bool
	repeated bool
	bytes    bool
}

var protoFieldCache sync.Map // reflect.Type -> []protoField

// protoFields lists the fields of message type t in order of declaration.
func protoFields(t reflect.Type) []protoField {
	if f, ok := protoFieldCache.Load(t); ok {
		return f.([]protoField)
	}
	var out []protoField
	for i := range t.NumField() {
		tag := t.Field(i).Tag.Get("protobuf")
		if tag == "" {
			continue
		}
		f := protoField{index: i}
		for _, part := range strings.Split(tag, ",") {
			switch {
			case part == "req":
				f.required = true
			case part == "rep":
				f.repeated = true
			case strings.HasPrefix(part, "name="):
				f.name = part[len("name="):]
			}
		}
		ft := t.Field(i).Type
		f.bytes = ft.Kind() == reflect.Slice && ft.Elem().Kind() == reflect.Uint8
		out = append(out, f)
	}
	protoFieldCache.Store(t, out)
	return out
}

// appendJSON writes the message v (a pointer to it) as Mesos does: set fields only,
// enums by name, bytes in base64, floating numbers with a decimal point.
func appendJSON(dst []byte, v any) []byte {
	return appendMessage(dst, reflect.ValueOf(v).Elem())
}

func appendMessage(dst []byte, v reflect.Value) []byte {
	dst = append(dst, '{')
	first := true
	for _, f := range protoFields(v.Type()) {
		fv := v.Field(f.index)
		if skipField(f, fv) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, '"')
		dst = append(dst, f.name...)
		dst = append(dst, '"', ':')
		switch {
		case f.bytes:
			dst = append(dst, '"')
			dst = base64.StdEncoding.AppendEncode(dst, fv.Bytes())
			dst = append(dst, '"')
		case fv.Kind() == reflect.Map:
			dst = appendMap(dst, fv)
		case f.repeated:
			dst = append(dst, '[')
			for i := range fv.Len() {
				if i > 0 {
					dst = append(dst, ',')
				}
				dst = appendValue(dst, fv.Index(i))
			}
			dst = append(dst, ']')
		default:
			dst = appendValue(dst, fv)
		}
	}
	return append(dst, '}')
}

// appendMap writes a map field as an object, in order of its keys.
func appendMap(dst []byte, v reflect.Value) []byte {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return compareText(a.String(), b.String()) })
	dst = append(dst, '{')
	for i, key := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendQuoted(dst, key.String()), ':')
		item := reflect.New(v.Type().Elem()).Elem()
		item.Set(v.MapIndex(key))
		dst = appendValue(dst, item)
	}
	return append(dst, '}')
}

// skipField tells whether a field counts as not set. Enums that mesos-go keeps by
// value have no presence: their zero means not set unless the field is required.
func skipField(f protoField, v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer:
		return v.IsNil()
	case reflect.Map:
		return v.Len() == 0
	case reflect.Slice:
		return v.Len() == 0 && !(f.bytes && f.required)
	case reflect.Int32:
		return v.Int() == 0 && !f.required
	}
	return false
}

func appendValue(dst []byte, v reflect.Value) []byte {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Struct:
		return appendMessage(dst, v)
	case reflect.String:
		return appendQuoted(dst, v.String())
	case reflect.Bool:
		return strconv.AppendBool(dst, v.Bool())
	case reflect.Float64, reflect.Float32:
		return appendFloat(dst, v.Float())
	case reflect.Int32:
		if s, ok := v.Interface().(fmt.Stringer); ok {
			if v.Interface() == capabilityQuotaV2 {
				return append(dst, `"QUOTA_V2"`...)
			}
			return appendQuoted(dst, s.String())
		}
		return strconv.AppendInt(dst, v.Int(), 10)
	case reflect.Int64, reflect.Int:
		return strconv.AppendInt(dst, v.Int(), 10)
	case reflect.Uint32, reflect.Uint64:
		return strconv.AppendUint(dst, v.Uint(), 10)
	}
	panic("minimesos: no JSON form of " + v.Type().String())
}

// appendFloat keeps a decimal point in whole numbers ("15.0"), as Mesos does.
func appendFloat(dst []byte, f float64) []byte {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return append(dst, "null"...)
	}
	start := len(dst)
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	dst = strconv.AppendFloat(dst, f, format, -1, 64)
	for _, c := range dst[start:] {
		if c == '.' || c == 'e' {
			return dst
		}
	}
	return append(dst, '.', '0')
}

const hexDigits = "0123456789abcdef"

func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
			i++
		case c < 0x20 || c == 0x7f:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			i++
		case c < utf8.RuneSelf:
			dst = append(dst, c)
			i++
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
		}
	}
	return append(dst, '"')
}
