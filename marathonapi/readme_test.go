package marathonapi

import (
	"os"
	"regexp"
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
