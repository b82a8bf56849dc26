package mesosproto

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestFactsNameTests: every test that FACTS.md names exists, and every test is named there
// or is no check of a fact.
func TestFactsNameTests(t *testing.T) {
	table, err := os.ReadFile("FACTS.md")
	if err != nil {
		t.Fatal(err)
	}
	others := map[string]bool{"TestMain": true, "TestFactsNameTests": true, "TestMesosGoScheduler": true, "TestMesosGoCommand": true}
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	exists := map[string]bool{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(text), -1) {
			exists[m[1]] = true
			if !strings.Contains(string(table), "`"+m[1]+"`") && !others[m[1]] {
				t.Errorf("%s stands in no line of FACTS.md", m[1])
			}
		}
	}
	for _, m := range regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(string(table), -1) {
		if !exists[m[1]] {
			t.Errorf("FACTS.md names %s, which is no test", m[1])
		}
	}
}
