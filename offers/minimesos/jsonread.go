package minimesos

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// jsonError is a refusal whose text is the answer's body, as Mesos words it.
type jsonError string

func (e jsonError) Error() string { return string(e) }

func refusef(format string, args ...any) error { return jsonError(fmt.Sprintf(format, args...)) }

// parseJSON reads body into the message v (a pointer). call is the name Mesos
// gives the message in its errors. The reader is as lenient as that of Mesos:
// unknown fields are skipped, numbers and booleans may be strings, a single value
// stands for a list of one, unknown enum values count as missing.
func parseJSON(body []byte, v any, call string) (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var tree any
	err := dec.Decode(&tree)
	if err == nil {
		if _, more := dec.Token(); !errors.Is(more, io.EOF) {
			err = fmt.Errorf("text behind the value")
		}
	}
	if err != nil {
		return nil, jsonError("Failed to parse body into JSON: syntax error at line 1 near: ")
	}
	object, ok := tree.(map[string]any)
	if !ok {
		return nil, jsonError("Failed to convert JSON into " + call + " protobuf: Expecting a JSON object")
	}
	var missing []string
	if err := readMessage(object, reflect.ValueOf(v).Elem(), "", &missing); err != nil {
		return nil, jsonError("Failed to convert JSON into " + call + " protobuf: " + err.Error())
	}
	if len(missing) > 0 {
		return nil, jsonError("Failed to convert JSON into " + call +
			" protobuf: Missing required fields: " + strings.Join(missing, ", "))
	}
	return object, nil
}

func readMessage(object map[string]any, v reflect.Value, path string, missing *[]string) error {
	var nested []string // fields that are missing deeper come behind those of this level
	for _, f := range protoFields(v.Type()) {
		raw, present := object[f.name]
		if present && raw == nil {
			present = false
		}
		set := false
		if present {
			var err error
			set, err = readField(raw, v.Field(f.index), f, path+f.name, &nested)
			if err != nil {
				return err
			}
		}
		if f.required && !set {
			*missing = append(*missing, path+f.name)
		}
	}
	*missing = append(*missing, nested...)
	return nil
}

// readField stores raw in v and tells whether the field is set afterwards.
func readField(raw any, v reflect.Value, f protoField, path string, missing *[]string) (bool, error) {
	if !f.repeated {
		if _, isList := raw.([]any); isList {
			return false, refusef("Not expecting a JSON array for field '%s'", f.name)
		}
		return readValue(raw, v, f, path, missing)
	}
	if v.Kind() == reflect.Map {
		return readMap(raw, v, f, path, missing)
	}
	list, isList := raw.([]any)
	if !isList {
		list = []any{raw}
	}
	out := reflect.MakeSlice(v.Type(), 0, len(list))
	for i, item := range list {
		slot := reflect.New(v.Type().Elem()).Elem()
		set, err := readValue(item, slot, f, fmt.Sprintf("%s[%d]", path, i), missing)
		if err != nil {
			return false, err
		}
		if set {
			out = reflect.Append(out, slot)
		}
	}
	v.Set(out)
	return true, nil
}

// readMap reads a map field, which is an object in JSON.
func readMap(raw any, v reflect.Value, f protoField, path string, missing *[]string) (bool, error) {
	object, ok := raw.(map[string]any)
	if !ok {
		return false, unexpected(raw, f)
	}
	out := reflect.MakeMapWithSize(v.Type(), len(object))
	for key, item := range object {
		slot := reflect.New(v.Type().Elem()).Elem()
		set, err := readValue(item, slot, f, path+"["+key+"]", missing)
		if err != nil {
			return false, err
		}
		if set {
			out.SetMapIndex(reflect.ValueOf(key), slot)
		}
	}
	v.Set(out)
	return true, nil
}

func readValue(raw any, v reflect.Value, f protoField, path string, missing *[]string) (bool, error) {
	if v.Kind() == reflect.Pointer {
		fresh := reflect.New(v.Type().Elem())
		set, err := readValue(raw, fresh.Elem(), f, path, missing)
		if set {
			v.Set(fresh)
		}
		return set, err
	}
	if v.Kind() == reflect.Slice {
		return readBytes(raw, v, f)
	}
	if v.Kind() == reflect.Struct {
		object, ok := raw.(map[string]any)
		if !ok {
			return false, unexpected(raw, f)
		}
		return true, readMessage(object, v, path+".", missing)
	}
	if v.Kind() == reflect.Int32 {
		if enum, ok := v.Addr().Interface().(json.Unmarshaler); ok {
			return readEnum(raw, v, enum, f)
		}
	}
	return readScalar(raw, v, f)
}

func unexpected(raw any, f protoField) error {
	kind := "string"
	switch raw.(type) {
	case map[string]any:
		kind = "object"
	case []any:
		kind = "array"
	case json.Number:
		kind = "number"
	case bool:
		kind = "boolean"
	}
	return refusef("Not expecting a JSON %s for field '%s'", kind, f.name)
}

func readBytes(raw any, v reflect.Value, f protoField) (bool, error) {
	s, ok := raw.(string)
	if !ok {
		return false, unexpected(raw, f)
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		detail := err.Error()
		var at base64.CorruptInputError
		if errors.As(err, &at) && int(at) < len(s) {
			detail = fmt.Sprintf("Invalid character '%c'", s[at])
		}
		return false, refusef("Failed to base64 decode bytes field '%s': %s", f.name, detail)
	}
	v.SetBytes(b)
	return true, nil
}

func readEnum(raw any, v reflect.Value, enum json.Unmarshaler, f protoField) (bool, error) {
	switch x := raw.(type) {
	case string:
		if enum.UnmarshalJSON(strconv.AppendQuote(nil, x)) != nil {
			return false, nil
		}
		return true, nil
	case json.Number:
		n, err := strconv.ParseInt(x.String(), 10, 32)
		if err != nil {
			return false, nil
		}
		v.SetInt(n)
		return true, nil
	}
	return false, unexpected(raw, f)
}

func readScalar(raw any, v reflect.Value, f protoField) (bool, error) {
	switch v.Kind() {
	case reflect.String:
		s, ok := raw.(string)
		if !ok {
			return false, unexpected(raw, f)
		}
		v.SetString(s)
		return true, nil
	case reflect.Bool:
		switch x := raw.(type) {
		case bool:
			v.SetBool(x)
			return true, nil
		case string:
			if x != "true" && x != "false" {
				return false, refusef("Failed to parse '%s' as a JSON boolean for field '%s': syntax error at line 1 near: %s", x, f.name, x)
			}
			v.SetBool(x == "true")
			return true, nil
		}
		return false, unexpected(raw, f)
	}
	text := ""
	switch x := raw.(type) {
	case json.Number:
		text = x.String()
	case string:
		text = x
	default:
		return false, unexpected(raw, f)
	}
	if err := setNumber(v, text); err != nil {
		return false, refusef("Failed to parse '%s' as a JSON number for field '%s': syntax error at line 1 near: %s", text, f.name, text)
	}
	return true, nil
}

// setNumber takes whole numbers exactly and cuts others, as a C cast does.
func setNumber(v reflect.Value, text string) error {
	fl, err := strconv.ParseFloat(text, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return err
	}
	switch v.Kind() {
	case reflect.Float32, reflect.Float64:
		v.SetFloat(fl)
	case reflect.Int32, reflect.Int64, reflect.Int:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			n = int64(math.Max(math.MinInt64, math.Min(math.MaxInt64, fl)))
		}
		v.SetInt(n)
	case reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			n = uint64(math.Max(0, fl))
		}
		v.SetUint(n)
	}
	return nil
}
