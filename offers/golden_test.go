package offers

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stadion/core"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// Each file testdata/build/*.json is an app or pod definition with the offer's answer below it:
// definition in <name>.json, operations in <name>.golden. They show every container kind, network mode and
// executor (behaviour 6.2-6.6, 8.5, 8.7, 11.2-11.4, D-35, D-36, D-37).
func TestBuild(t *testing.T) {
	files, err := filepath.Glob("testdata/build/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no definitions: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			o := offer(ports("*", 31000, 31009), scalar("cpus", 0.5, "web"), scalar("cpus", 4, "*"), scalar("mem", 4096, "*"), scalar("disk", 10000, "*"), scalar("gpus", 2, "*"))
			n := need(definition(t, text))
			m := TryMatch(config(), now, nil, o, o.Resources, n)
			if m.Operations == nil {
				t.Fatalf("no match: %v %s", m.Reasons, m.Problem)
			}
			compareGolden(t, strings.TrimSuffix(file, ".json")+".golden", m)
		})
	}
}

// definition reads an app, or a pod when it has containers.
func definition(t *testing.T, text []byte) core.RunSpec {
	t.Helper()
	if !bytes.Contains(text, []byte(`"containers"`)) {
		a := app(t, string(text))
		if a.Labels == nil {
			a.Labels = map[string]string{"GPU_SCHEDULING_BEHAVIOR": "unrestricted"}
		}
		return a
	}
	p := &core.Pod{ID: "/prod/pod", Role: "web", Version: now - 5000, Scaling: core.PodScaling{Kind: "fixed", Instances: 1},
		ExecutorResources: core.ExecutorResources{CPUs: 0.1, Mem: 32, Disk: 10}, Labels: map[string]string{"GPU_SCHEDULING_BEHAVIOR": "unrestricted"}}
	if err := json.Unmarshal(text, p); err != nil {
		t.Fatalf("pod: %v", err)
	}
	return p
}

func compareGolden(t *testing.T, file string, m Match) {
	t.Helper()
	for _, op := range m.Operations {
		if op.Launch != nil {
			finite(op.Launch.Limits)
		}
		if op.LaunchGroup != nil {
			for _, task := range op.LaunchGroup.Tasks {
				finite(task.Limits)
			}
		}
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(map[string]any{"operations": prune(t, m.Operations), "hostPorts": m.HostPorts, "tasks": m.TaskIDs}); err != nil {
		t.Fatal(err)
	}
	if *rewrite {
		if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, out.Bytes()) {
		t.Errorf("%s differs (-rewrite shows how); got\n%s", file, out.Bytes())
	}
}

// finite replaces "unlimited", which JSON cannot write.
func finite(limits map[string]float64) {
	for k, v := range limits {
		if math.IsInf(v, 1) {
			limits[k] = -1
		}
	}
}

// prune turns a value into JSON without empty fields, so that the golden files show what is set.
func prune(t *testing.T, v any) any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return pruned(out)
}

func pruned(v any) any {
	switch x := v.(type) {
	case map[string]any:
		for k, e := range x {
			if p := pruned(e); p == nil || p == "" || p == false || p == 0.0 {
				delete(x, k)
			} else {
				x[k] = p
			}
		}
	case []any:
		for i := range x {
			x[i] = pruned(x[i])
		}
		if len(x) == 0 {
			return nil
		}
	}
	return v
}
