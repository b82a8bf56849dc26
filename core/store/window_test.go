package store

import (
	"fmt"
	"slices"
	"sort"
	"testing"

	"pgregory.net/rapid"
)

// read goes through sorted keys as through etcd, and counts the keys that etcd would have to look at.
func (w *window) read(keys []string, limit int) (got []string, seen, asked int) {
	for {
		lo, hi := sort.SearchStrings(keys, w.from), sort.SearchStrings(keys, w.to)
		found := keys[lo:max(lo, hi)]
		seen, asked = seen+len(found), asked+1
		var p page
		for _, k := range found[:min(limit, len(found))] {
			p.pairs = append(p.pairs, pair{key: k})
		}
		p.more = len(found) > limit
		for _, kv := range p.pairs {
			got = append(got, kv.key)
		}
		if !w.next(p, limit) {
			return got, seen, asked
		}
	}
}

// No key of a range is left out or read twice, whatever the keys are.
func TestWindowReadsAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		letters := rapid.SampledFrom([]string{"ab", "0123456789abcdef/", "\x00\x01\xfe\xff"}).Draw(t, "letters")
		key := rapid.StringOfN(rapid.RuneFrom([]rune(letters)), 0, 6, -1)
		keys := rapid.SliceOfN(key, 0, 200).Draw(t, "keys")
		for i := range keys {
			keys[i] = "/r/" + keys[i]
		}
		slices.Sort(keys)
		keys = slices.Compact(keys)
		if got, _, _ := newWindow("/r/", prefixEnd("/r/")).read(keys, rapid.IntRange(1, 9).Draw(t, "limit")); !slices.Equal(got, keys) {
			t.Fatalf("read %q, there are %q", got, keys)
		}
	})
}

// A load costs about its rows, not their square (P23, P27).
func TestWindowIsNarrow(t *testing.T) {
	const rows, limit = 200_000, 1000
	for name, x := range map[string]struct {
		key           func(n int) string
		seen, queries int // at most, per row and per page
	}{
		"one large app": {func(n int) string { return fmt.Sprintf("/r/instances/big/%08x", uint32(n)*2654435761) }, 20, 3},
		"many apps":     {func(n int) string { return fmt.Sprintf("/r/instances/m%d/%08x", n%20_000, uint32(n)*2654435761) }, 20, 3},
		"apps in groups": {func(n int) string {
			return fmt.Sprintf("/r/instances/g%d~a%d/%08x", n%37, n%1000, uint32(n)*2654435761)
		}, 20, 3},
	} {
		keys := make([]string, rows)
		for n := range keys {
			keys[n] = x.key(n)
		}
		slices.Sort(keys)
		got, seen, asked := newWindow("/r/", prefixEnd("/r/")).read(keys, limit)
		t.Logf("%s: %.1f keys seen per row, %d pages for %d rows", name, float64(seen)/rows, asked, rows)
		if !slices.Equal(got, keys) || seen > x.seen*rows || asked > x.queries*rows/limit {
			t.Errorf("%s: %d of %d rows, %d keys seen, %d pages", name, len(got), rows, seen, asked)
		}
	}
}
