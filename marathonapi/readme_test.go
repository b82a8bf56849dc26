package marathonapi

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestReadmeNamesEveryRoute: the table of the section API of README.md and the table of routes say the same.
func TestReadmeNamesEveryRoute(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## API\n")
	if !found {
		t.Fatal("README.md has no section API")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	told := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([A-Z, ]+) \\| (.*) \\|$").FindAllStringSubmatch(section, -1) {
		if !regexp.MustCompile(`^(like Marathon|differs: |extension: )`).MatchString(row[3]) {
			t.Errorf("%s: neither supported nor different: %q", row[1], row[3])
		}
		for method := range strings.SplitSeq(row[2], ", ") {
			told[method+" "+row[1]] = true
		}
	}
	for _, r := range Routes() {
		key := r.Method + " " + strings.ReplaceAll(r.Pattern, "+}", "}")
		if !told[key] {
			t.Errorf("README.md does not name %s", key)
		}
		delete(told, key)
	}
	for key := range told {
		t.Errorf("README.md names %s, which is no route", key)
	}
}

// TestReadmeNamesTestsThatExist: what the table of promises says shows them is there.
func TestReadmeNamesTestsThatExist(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n| promise | shown by |\n")
	section, _, _ = strings.Cut(section, "\n\n")
	place := regexp.MustCompile("`([a-z/-]+)`")
	named := regexp.MustCompile("`(Test[A-Za-z0-9]+)`")
	tests := 0
	for row := range strings.Lines(section) {
		dir := ""
		for _, word := range regexp.MustCompile("`[^`]+`").FindAllString(row, -1) {
			if m := place.FindStringSubmatch(word); m != nil {
				if dir = placeOf(m[1]); dir == "" {
					t.Errorf("no directory %s of: %s", m[1], row)
				}
			}
			m := named.FindStringSubmatch(word)
			if m == nil {
				continue
			}
			tests++
			if !slices.Contains(testsIn(t, dir), m[1]) {
				t.Errorf("%s has no %s of: %s", dir, m[1], row)
			}
		}
	}
	if tests < 20 {
		t.Errorf("%d tests are named", tests)
	}
}

// placeOf is the directory of a package that README.md names, by its path or by that below compat-tests; empty if there
// is none.
func placeOf(name string) string {
	for _, dir := range []string{"../" + name, "../compat-tests/" + name} {
		if s, err := os.Stat(dir); err == nil && s.IsDir() {
			return dir
		}
	}
	return ""
}

func testsIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(text), -1) {
			names = append(names, m[1])
		}
	}
	return names
}
