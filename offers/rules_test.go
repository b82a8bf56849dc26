package offers

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestRowsNameTests: every row of rules.md names a test or says why it has none, and every test that is named exists.
func TestRowsNameTests(t *testing.T) {
	text, err := os.ReadFile("rules.md")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	form := regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9]+)\(`)
	err = filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		code, err := os.ReadFile(path)
		for _, m := range form.FindAllStringSubmatch(string(code), -1) {
			there[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if !strings.HasPrefix(line, "| ") || len(cells) != 2 || cells[0] == "| Row" {
			continue
		}
		rows++
		named := regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(cells[1], -1)
		if len(named) == 0 && !strings.HasPrefix(cells[1], "n/a: ") {
			t.Errorf("no test in %s", line)
		}
		for _, m := range named {
			if !there[m[1]] {
				t.Errorf("%s is no test", m[1])
			}
		}
	}
	if rows < 150 {
		t.Errorf("only %d rows", rows)
	}
}
