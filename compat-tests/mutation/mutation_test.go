package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The mistakes of the table can still be made: their text occurs once, and the packages that are to notice have tests.
// Whoever changes such a line mends its entry with it: one that does not fit tries nothing, and nobody would notice.
func TestTableFits(t *testing.T) {
	root, err := findRoot()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, m := range mutations {
		if seen[m.name] {
			t.Errorf("%s stands twice in the table", m.name)
		}
		seen[m.name] = true
		if m.name == "" || m.rule == "" || len(m.tests) == 0 || m.old == m.new {
			t.Errorf("%s is not complete", m.name)
		}
		if _, err := m.mutate(root); err != nil {
			t.Errorf("the entry %q of mutation/table*.go no longer fits: %v; put there how %s is written now:\n%s", m.name, err, m.rule, m.old)
		}
		for _, p := range m.tests {
			if files, _ := filepath.Glob(filepath.Join(root, p, "*_test.go")); len(files) == 0 {
				t.Errorf("%s: %s has no tests", m.name, p)
			}
		}
	}
	if least := 50; len(mutations) < least {
		t.Errorf("%d mistakes, at least %d are wanted", len(mutations), least)
	}
}

// The tool tells apart what is caught, what survives and what does not fit.
func TestOutcomes(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module stadion\n\ngo 1.24\n", "a/a.go": "package a\n\nfunc Two() int { return 2 }\n\nfunc Three() int { return 3 }\n",
		"a/a_test.go": "package a\n\nimport \"testing\"\n\nfunc TestTwo(t *testing.T) {\n\tif Two() != 2 {\n\t\tt.Fatal()\n\t}\n}\n"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		old, new string
		want     outcome
		detail   string
	}{
		{"return 2", "return 1", caught, "./a TestTwo"},
		{"return 3", "return 1", survived, "./a do not notice: a/a.go"},
		{"return 4", "return 1", void, "the text to replace occurs 0 times in a/a.go"},
		{"return", "return 1 +", void, "the text to replace occurs 2 times in a/a.go"},
	} {
		m := mutation{name: "m", rule: "r", file: "a/a.go", old: c.old, new: c.new, tests: []string{"./a"}}
		if got, detail := m.try(t.Context(), root); got != c.want || detail != c.detail {
			t.Errorf("%s to %s: %v %s", c.old, c.new, got, detail)
		}
	}
	limit := testLimit
	testLimit = 2 * time.Second
	m := mutation{file: "a/a.go", old: "return 2", new: "select {}", tests: []string{"./a"}}
	if got, detail := m.try(t.Context(), root); got != hung || detail != "./a does not end: TestTwo" {
		t.Errorf("what does not end is %v: %s", got, detail)
	}
	testLimit = limit
	m = mutation{file: "a/a.go", old: "return 2", new: "return nobody", tests: []string{"./a"}}
	if got, _ := m.try(t.Context(), root); got != void {
		t.Errorf("what does not build is %v", got)
	}
}
