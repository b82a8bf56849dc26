package harness

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

// BinaryVariable names the environment variable with the path of a built binary.
const BinaryVariable = "STADION_BINARY"

var binary struct {
	sync.Once
	path, dir string
	err       error
}

// Binary is the path of the binary under test: STADION_BINARY, or what is built
// from the parent module once per test process. Call Main to remove it again.
func Binary(t testing.TB) string {
	t.Helper()
	binary.Do(buildBinary)
	if binary.err != nil {
		t.Fatal(binary.err)
	}
	return binary.path
}

func buildBinary() {
	if binary.path = os.Getenv(BinaryVariable); binary.path != "" {
		return
	}
	if binary.dir, binary.err = os.MkdirTemp("", "stadion-compat-"); binary.err != nil {
		return
	}
	binary.path = filepath.Join(binary.dir, "stadion")
	build := exec.Command("go", "build", "-o", binary.path, "./cmd/stadion")
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		binary.err = fmt.Errorf("the directory of the sources is unknown")
		return
	}
	build.Dir = filepath.Join(filepath.Dir(here), "..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		binary.err = fmt.Errorf("build the stadion binary: %w\n%s", err, out)
	}
}

// Build builds another binary from the sources of the parent module, with settings for the linker ("package.variable=value").
func Build(t testing.TB, settings ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stadion")
	flags := ""
	for _, s := range settings {
		flags += " -X " + s
	}
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		t.Fatal("the directory of the sources is unknown")
	}
	// As the Makefile builds, so that what it has compiled is used.
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w"+flags, "-o", path, "./cmd/stadion")
	build.Dir, build.Env = filepath.Join(filepath.Dir(here), "..", ".."), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the stadion binary: %v\n%s", err, out)
	}
	return path
}

// sideBySide is how many tests of a package run at once. They mostly wait, so more
// than a small machine has cores.
const sideBySide = 6

// Main runs the tests of a package and removes the binary that was built for
// them. A TestMain ends with it. -parallel wins over sideBySide.
func Main(m *testing.M) { MainWith(m, func() {}) }

// MainWith is Main with something to do after the tests.
func MainWith(m *testing.M, after func()) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", fmt.Sprint(sideBySide)); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	after()
	if binary.dir != "" {
		if err := os.RemoveAll(binary.dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	os.Exit(code)
}
