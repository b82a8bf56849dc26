package wire

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"stadion/core"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files from what the code does")

type definition struct {
	Kind    string
	Config  map[string]string
	Request json.RawMessage
}

func loadDefinitions(t testing.TB) map[string]definition {
	t.Helper()
	files, err := filepath.Glob("testdata/definitions/*.json")
	if err != nil || len(files) < 30 {
		t.Fatalf("only %d definitions: %v", len(files), err)
	}
	out := map[string]definition{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var d definition
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		out[strings.TrimSuffix(f, ".json")] = d
	}
	return out
}

// TestGoldenDefinitions pins the canonical form of real definitions byte for byte, and that it is a fixed point: it
// decodes to the same value, and posting it again is accepted and says the same.
func TestGoldenDefinitions(t *testing.T) {
	for file, d := range loadDefinitions(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			c := fixtureConfig(d.Config)
			spec := createSpec(t, c, d.Kind, d.Request)
			text := mustJSON(spec)
			golden := file + ".golden"
			if *rewrite {
				if err := os.WriteFile(golden, append(text, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(append(bytes.Clone(text), '\n'), want) {
				t.Errorf("got  %s\nwant %s", text, want)
			}
			checkDecodes(t, spec, text)
			again := createSpec(t, c, d.Kind, text)
			if !again.SameAll(spec) && !strings.Contains(string(text), `"healthChecks"`) {
				t.Errorf("posted again: %s\nbefore:       %s", mustJSON(again), text)
			}
		})
	}
}

func createSpec(t testing.TB, c *Config, kind string, body []byte) core.RunSpec {
	t.Helper()
	var spec core.RunSpec
	var err error
	if kind == "pod" {
		spec, err = c.CreatePod(body, newTree())
	} else {
		spec, err = c.CreateApp(body, newTree())
	}
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if err := c.ValidateTree(newTree(), c.SpecChange(newTree(), spec)); err != nil {
		t.Fatal(err)
	}
	return spec
}

// checkDecodes decodes stored text and compares with what was stored.
func checkDecodes(t testing.TB, spec core.RunSpec, text []byte) {
	t.Helper()
	back := reflect.New(reflect.TypeOf(spec).Elem()).Interface()
	if err := json.Unmarshal(text, back); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if !reflect.DeepEqual(back, any(spec)) {
		t.Errorf("decoded %s\nstored  %s", mustJSON(back), text)
	}
}
