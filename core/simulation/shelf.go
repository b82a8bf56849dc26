package simulation

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"stadion/core"
	"stadion/core/state"
)

// shelf is what the store holds, as values that never went through the codec: what was committed, in tables.
type shelf struct{ rows map[string]state.Write }

func newShelf() *shelf { return &shelf{rows: map[string]state.Write{}} }

func rowKey(w state.Write) string { return string(w.Table) + "/" + w.Key }

func (s *shelf) put(writes []state.Write) {
	for _, wr := range writes {
		if wr.Value == nil {
			delete(s.rows, rowKey(wr))
		} else {
			s.rows[rowKey(wr)] = wr
		}
	}
}

func (s *shelf) instance(id core.InstanceID) *core.Instance {
	if wr, ok := s.rows[string(state.TableInstance)+"/"+string(id)]; ok {
		return wr.Value.(*core.Instance)
	}
	return nil
}

// of lists the keys of a table in order.
func (s *shelf) of(t state.Table) (out []string) {
	for k := range s.rows {
		if strings.HasPrefix(k, string(t)+"/") {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

// differs compares with rows that came by another way; empty when they are the same. The root group exists without
// a row.
func (s *shelf) differs(rows []state.Write) string {
	if s.equals(rows) {
		return ""
	}
	left := maps.Clone(s.rows)
	var out []string
	for _, wr := range rows {
		k := rowKey(wr)
		have, ok := left[k]
		switch {
		case !ok && k == string(state.TableGroup)+"/"+string(core.Root):
		case !ok:
			out = append(out, "+"+k)
		case !sameValue(reflect.ValueOf(have.Value), reflect.ValueOf(wr.Value)):
			out = append(out, fmt.Sprintf("%s: %+v instead of %+v", k, wr.Value, have.Value))
		}
		delete(left, k)
	}
	for _, k := range slices.Sorted(maps.Keys(left)) {
		out = append(out, "-"+k)
	}
	return strings.Join(out, "; ")
}

// equals is differs without telling how.
func (s *shelf) equals(rows []state.Write) bool {
	n := 0
	for _, wr := range rows {
		have, ok := s.rows[rowKey(wr)]
		if !ok && wr.Table == state.TableGroup && wr.Key == string(core.Root) {
			continue
		}
		if !ok || !sameValue(reflect.ValueOf(have.Value), reflect.ValueOf(wr.Value)) {
			return false
		}
		n++
	}
	return n == len(s.rows)
}

// sameValue compares two values in depth; empty and absent lists and maps are the same.
func sameValue(a, b reflect.Value) bool {
	if !a.IsValid() || !b.IsValid() || a.Type() != b.Type() {
		return a.IsValid() == b.IsValid() && !a.IsValid()
	}
	switch a.Kind() {
	case reflect.Pointer, reflect.Interface:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
		return a.Kind() == reflect.Pointer && a.Pointer() == b.Pointer() || sameValue(a.Elem(), b.Elem())
	case reflect.Struct:
		for i := range a.NumField() {
			if !sameValue(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Slice:
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !sameValue(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Map:
		if a.Len() != b.Len() {
			return false
		}
		for _, k := range a.MapKeys() {
			if !sameValue(a.MapIndex(k), b.MapIndex(k)) {
				return false
			}
		}
		return true
	}
	return a.Equal(b)
}
