package marathonapi

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestMembers: an object that was encoded here comes apart as the decoder takes it apart, whatever its values hold.
func TestMembers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var value func(depth int) any
		value = func(depth int) any {
			switch kind := rapid.IntRange(0, 5).Draw(t, "kind"); {
			case kind == 0:
				return nil
			case kind == 1:
				return rapid.Float64Range(-1e6, 1e6).Draw(t, "number")
			case kind < 4 || depth > 3:
				return rapid.SampledFrom([]string{"", "a", `"`, `\`, `\"`, "},{", "[]:,", "é<&>\u2028", "\n"}).Draw(t, "text")
			case kind == 4:
				list := make([]any, rapid.IntRange(0, 3).Draw(t, "length"))
				for i := range list {
					list[i] = value(depth + 1)
				}
				return list
			}
			m := map[string]any{}
			for range rapid.IntRange(0, 3).Draw(t, "size") {
				m[rapid.SampledFrom([]string{"k", `q"`, "{", `\`, ","}).Draw(t, "key")] = value(depth + 1)
			}
			return m
		}
		whole := map[string]any{}
		for _, name := range rapid.SliceOfDistinct(rapid.StringMatching("[a-zA-Z]{1,5}"), rapid.ID[string]).Draw(t, "names") {
			whole[name] = value(0)
		}
		object, err := marshal(whole)
		if err != nil {
			t.Fatal(err)
		}
		want, got := map[string]json.RawMessage{}, map[string]json.RawMessage{}
		if err := json.Unmarshal(object, &want); err != nil {
			t.Fatal(err)
		}
		if !members(object, func(name string, value []byte) { got[name] = value }) {
			t.Fatalf("%s does not come apart", object)
		}
		if !maps.EqualFunc(got, want, func(a, b json.RawMessage) bool { return slices.Equal(a, b) }) {
			t.Fatalf("%s comes apart as %s", object, got)
		}
	})
	for _, bad := range []string{"", "{", "[]", "null", `{"a"}`, `{"a":}`, `{"a":1,}`, `{"a":[}`, `{"a":"x}`, `{a:1}`, `{"a":1,"b`} {
		if members([]byte(bad), func(string, []byte) {}) {
			t.Errorf("%q came apart", bad)
		}
	}
}
