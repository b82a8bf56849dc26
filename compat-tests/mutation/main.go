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
	"sync"
	"time"
)

const (
	bar = 0.95 // share of mistakes that the tests must catch
)

// testLimit is for the tests of one package: a test that hangs has noticed.
var testLimit = 5 * time.Minute

// outcome is what came of one mistake.
type outcome int8

const (
	caught outcome = iota
	hung           // caught as well: the tests do not end any more
	survived
	void // the mutation does not fit or does not build
)

func (o outcome) String() string { return [...]string{"caught", "hung", "SURVIVED", "VOID"}[o] }

func main() {
	run := flag.String("run", "", "only the mistakes whose name matches")
	skip := flag.String("skip", "^$", "but not those whose name matches this")
	jobs := flag.Int("j", 1, "so many at a time; tests that time out because of it count as caught, so stay below the number of cores")
	flag.Parse()
	only, err1 := regexp.Compile(*run)
	not, err2 := regexp.Compile(*skip)
	if err := errors.Join(err1, err2); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	root, err := findRoot()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	var chosen []mutation
	for _, m := range mutations {
		if only.MatchString(m.name) && !not.MatchString(m.name) {
			chosen = append(chosen, m)
		}
	}
	if !report(ctx, root, chosen, *jobs) {
		os.Exit(1)
	}
}

// report tries the mistakes and prints what came of each as it comes, and at the end how many were tried and caught and
// the names of the others; it tells whether the bar is met. Interrupted, it counts what was tried until then.
func report(ctx context.Context, root string, chosen []mutation, jobs int) bool {
	var (
		mu    sync.Mutex
		names = map[outcome][]string{}
		next  = make(chan mutation)
		wg    sync.WaitGroup
	)
	for range max(jobs, 1) {
		wg.Go(func() {
			for m := range next {
				began := time.Now()
				o, detail := m.try(ctx, root)
				if ctx.Err() != nil {
					continue
				}
				mu.Lock()
				names[o] = append(names[o], m.name)
				fmt.Printf("%-8s  %-42s %-14s %4.0f s  %s\n", o, m.name, m.rule, time.Since(began).Seconds(), detail)
				mu.Unlock()
			}
		})
	}
	for _, m := range chosen {
		next <- m
	}
	close(next)
	wg.Wait()
	tried := 0
	for _, n := range names {
		tried += len(n)
	}
	noticed := len(names[caught]) + len(names[hung])
	share := float64(noticed) / float64(max(tried, 1))
	fmt.Printf("tried %d of %d, caught %d (%.1f %%, bar %.0f %%), %d of these because the tests did not end\n", tried, len(chosen), noticed, 100*share, 100*bar, len(names[hung]))
	for _, o := range []outcome{hung, survived, void} {
		if len(names[o]) > 0 {
			fmt.Printf("%s: %s\n", o, strings.Join(names[o], "; "))
		}
	}
	return share >= bar && tried == len(chosen)
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
	for _, p := range m.tests {
		out, err := goTool(ctx, root, "test", "-vet=off", "-ldflags=-s -w", "-count=1", "-failfast", "-timeout", testLimit.String(), "-overlay", overlay, p)
		if strings.Contains(out, "[build failed]") || strings.Contains(out, "[setup failed]") {
			return void, "does not build: " + out
		}
		switch {
		case err != nil && strings.Contains(out, "panic: test timed out"):
			return hung, p + " does not end: " + firstRunning(out)
		case err != nil:
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

// A test that was under way when time was over.
var running = regexp.MustCompile(`(?m)^\s+(Test\S+) \(`)

func firstRunning(out string) string {
	if r := running.FindStringSubmatch(out); r != nil {
		return r[1]
	}
	return "(nobody knows which)"
}

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
