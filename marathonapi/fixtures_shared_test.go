package marathonapi

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// sharedFixtures is where the contract's own fixtures lie beside a checkout that has them, CI's for one.
const sharedFixtures = "../../shared/marathon/fixtures"

// TestFixturesAreCurrent tells when the contract holds other or newer fixtures than the copies that the tests run.
func TestFixturesAreCurrent(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(sharedFixtures, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skip("the contract is not beside this checkout; its copies in testdata/fixtures are run all the same")
	}
	known := map[string]bool{}
	for _, f := range files {
		name := filepath.Base(f)
		known[name] = true
		theirs, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		ours, err := os.ReadFile(filepath.Join("testdata/fixtures", name))
		if err != nil || !bytes.Equal(ours, theirs) {
			t.Errorf("fixture %s of the contract is newer than the copy in testdata/fixtures", name)
		}
	}
	copies, err := filepath.Glob("testdata/fixtures/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range copies {
		if !known[filepath.Base(f)] {
			t.Errorf("fixture %s is no longer in the contract", filepath.Base(f))
		}
	}
}
