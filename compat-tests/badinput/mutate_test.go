package badinput

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"stadion/compat-tests/harness"
)

const fixtureFolder = "../../marathonapi/testdata/fixtures"

var (
	mutations = flag.Int("badinput.mutations", 3000, "how many mutated definitions are sent")
	mutSeed   = flag.Uint64("badinput.seed", 0, "seed of the choice among all mutations; 0: any")
)

// wrong are the values that take the place of a part of a definition.
var wrong = []any{nil, true, -1.0, 1e99, 0.5, "x", "", "/", "ünï/çødé\u0000", []any{}, []any{nil}, map[string]any{}, map[string]any{"": nil}, "unlimited", 65536.0}

// definition is a request body of a fixture.
type definition struct {
	file, method, path string
	body               any
}

// TestMutations puts wrong values into every place of the fixtures' definitions.
// Whatever that makes of them, the answer is a 2xx or a 4xx in JSON, never a 5xx,
// and a 4xx has a message.
func TestMutations(t *testing.T) {
	t.Parallel()
	seed := *mutSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	rng := rand.New(rand.NewPCG(seed, seed))
	srv := harness.Dev(t, "--agents", "0", "--enable_features", "secrets,external_volumes,gpu_resources")
	bodies := definitions(t)
	counts := map[int]int{}
	for n := range *mutations {
		d := bodies[rng.IntN(len(bodies))]
		var places []string
		walk(d.body, "", &places)
		place := places[rng.IntN(len(places))]
		value := wrong[rng.IntN(len(wrong))]
		if value == 65536.0 && (strings.HasSuffix(place, "instances") || strings.HasSuffix(place, "scaleBy")) {
			value = -1.0 // a count that is allowed, and that many instances are a test of load
		}
		text, err := json.Marshal(replace(d.body, "", place, value))
		if err != nil {
			t.Fatal(err)
		}
		res := srv.Do(d.method, d.path, text)
		counts[res.Status]++
		if bad := judge(res); bad != "" {
			t.Errorf("%s of %s with %s = %v (seed %d): %s\n%s", d.method+" "+d.path, d.file, place, value, seed, bad, text)
		}
		if res.Status/100 == 2 || n%100 == 0 {
			srv.Must(http.MethodDelete, "/v2/groups?force=true", nil)
		}
	}
	t.Logf("%d mutations, seed %d, answers by status: %v", *mutations, seed, counts)
	srv.Must(http.MethodGet, "/ping", nil, http.StatusOK)
}

func judge(res harness.Answer) string {
	if res.Status/100 != 2 && res.Status/100 != 4 {
		return fmt.Sprintf("status %d: %.300s", res.Status, res.Body)
	}
	body, isObject := res.JSON().(map[string]any)
	if message, _ := body["message"].(string); res.Status/100 == 4 && (!isObject || message == "") {
		return fmt.Sprintf("status %d without a message: %.300s", res.Status, res.Body)
	}
	return ""
}

// definitions are the bodies of all fixtures that create or change something.
func definitions(t *testing.T) []definition {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(fixtureFolder, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures in %s (%v)", fixtureFolder, err)
	}
	var out []definition
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var f struct {
			Method, Path string
			Request      any
		}
		if err := json.Unmarshal(text, &f); err != nil {
			t.Fatal(err)
		}
		if f.Request != nil {
			out = append(out, definition{filepath.Base(file), f.Method, f.Path, f.Request})
		}
	}
	return out
}

// walk lists the places in v, each by its path.
func walk(v any, path string, out *[]string) {
	*out = append(*out, path)
	switch v := v.(type) {
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		sort.Strings(keys) // the same seed gives the same mutations
		for _, k := range keys {
			walk(v[k], path+"\x01"+k, out)
		}
	case []any:
		for i := range v {
			walk(v[i], fmt.Sprintf("%s\x01%d", path, i), out)
		}
	}
}

// replace is a copy of v with another value at a place.
func replace(v any, path, place string, value any) any {
	if path == place {
		return value
	}
	if !strings.HasPrefix(place, path) {
		return v
	}
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			out[k] = replace(v[k], path+"\x01"+k, place, value)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = replace(v[i], fmt.Sprintf("%s\x01%d", path, i), place, value)
		}
		return out
	default:
		return v
	}
}
