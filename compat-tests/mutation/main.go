package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

const (
	bar       = 0.95            // share of mistakes that the tests must catch
	testLimit = 5 * time.Minute // for the tests of one package; a test that hangs has noticed
)

// outcome is what came of one mistake.
type outcome int8

const (
	caught outcome = iota
	survived
	void // the mutation does not fit or does not build
)

func (o outcome) String() string { return [...]string{"caught", "SURVIVED", "VOID"}[o] }

func main() {
	pattern := flag.String("run", "", "only the mistakes whose name matches")
	flag.Parse()
	only, err := regexp.Compile(*pattern)
	if err != nil {
		fmt.Fprintln(os.Stderr, "-run:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	root, err := findRoot()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if !report(ctx, root, only) {
		os.Exit(1)
	}
}

// report tries the mistakes and prints what came of each; it tells whether the bar is met.
func report(ctx context.Context, root string, only *regexp.Regexp) bool {
	count := map[outcome]int{}
	for _, m := range mutations {
		if !only.MatchString(m.name) {
			continue
		}
		began := time.Now()
		o, detail := m.try(ctx, root)
		if ctx.Err() != nil {
			return false
		}
		count[o]++
		fmt.Printf("%-8s  %-42s %-14s %4.0f s  %s\n", o, m.name, m.rule, time.Since(began).Seconds(), detail)
	}
	total := count[caught] + count[survived] + count[void]
	share := float64(count[caught]) / float64(max(total, 1))
	fmt.Printf("%d of %d mistakes are caught: %.1f %% (bar %.0f %%)\n", count[caught], total, 100*share, 100*bar)
	return share >= bar
}

// findRoot looks upwards for the module of the server.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), "module stadion\n") {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("the sources of the server are not above this directory")
		}
	}
}

// mutate is the file with the mistake in it.
func (m mutation) mutate(root string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(root, m.file))
	if err != nil {
		return nil, err
	}
	if n := strings.Count(string(text), m.old); n != 1 {
		return nil, fmt.Errorf("the text to replace occurs %d times in %s", n, m.file)
	}
	return []byte(strings.Replace(string(text), m.old, m.new, 1)), nil
}

// try makes the mistake and runs the tests.
func (m mutation) try(ctx context.Context, root string) (outcome, string) {
	text, err := m.mutate(root)
	if err != nil {
		return void, err.Error()
	}
	overlay, clean, err := overlay(filepath.Join(root, m.file), text)
	if err != nil {
		return void, err.Error()
	}
	defer clean()
	if out, err := goTool(ctx, root, "build", "-overlay", overlay, "./"+filepath.Dir(m.file)); err != nil {
		return void, "does not build: " + out
	}
	for _, p := range m.tests {
		out, err := goTool(ctx, root, "test", "-vet=off", "-count=1", "-failfast", "-timeout", testLimit.String(), "-overlay", overlay, p)
		if strings.Contains(out, "[build failed]") || strings.Contains(out, "[setup failed]") {
			return void, "its tests do not build: " + out
		}
		if err != nil {
			return caught, p + " " + firstFailure(out)
		}
	}
	return survived, strings.Join(m.tests, " ") + " do not notice: " + m.file
}

// overlay writes what go's -overlay wants: a file that stands for another.
func overlay(file string, text []byte) (name string, clean func(), err error) {
	dir, err := os.MkdirTemp("", "mutation-")
	if err != nil {
		return "", nil, err
	}
	clean = func() { _ = os.RemoveAll(dir) }
	instead := filepath.Join(dir, filepath.Base(file))
	name = filepath.Join(dir, "overlay.json")
	table, err := json.Marshal(map[string]any{"Replace": map[string]string{file: instead}})
	err = errors.Join(err, os.WriteFile(instead, text, 0o600), os.WriteFile(name, table, 0o600))
	if err != nil {
		clean()
		return "", nil, err
	}
	return name, clean, nil
}

func goTool(ctx context.Context, root string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, "go", args...)
	c.Dir = root
	out, err := c.CombinedOutput()
	return string(out), err
}

// A test that failed; a deeper one says more.
var failure = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

func firstFailure(out string) string {
	name := ""
	for _, f := range failure.FindAllStringSubmatch(out, -1) {
		if name == "" || strings.HasPrefix(f[1], name+"/") {
			name = f[1]
		}
	}
	switch {
	case name != "":
		return name
	case strings.Contains(out, "panic:"):
		return "(panic)"
	}
	return strings.TrimSpace(out[max(0, len(out)-200):])
}
