package marathonapi

import (
	"net/http"
	"strconv"
	"testing"

	"stadion/core/machine"
	"stadion/marathonapi/internal/fixture"
)

// TestFixtures runs every fixture against the real router, machine and loop (http-api.md 16).
func TestFixtures(t *testing.T) {
	all, err := fixture.Load("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range all {
		t.Run(name, func(t *testing.T) { runFixture(t, f) })
	}
}

func runFixture(t *testing.T, f *fixture.Fixture) {
	r := newRig(t, fixtureConfig(f.Config), func(c *machine.Config) {
		if n, err := strconv.Atoi(f.Config["max_running_deployments"]); err == nil {
			c.MaxRunningDeployments = n
		}
	})
	for _, s := range f.Setup {
		if got := r.do(s.Method, s.Path, string(s.Request)); got.StatusCode >= 300 {
			t.Fatalf("setup %s %s: %d %s", s.Method, s.Path, got.StatusCode, got.body)
		}
	}
	checkFixture(t, f.Expect, r.do(f.Method, f.Path, f.Body(), "Content-Type", "application/json"))
	if f.Then != nil {
		checkFixture(t, f.Then.Expect, r.do(f.Then.Method, f.Then.Path, string(f.Then.Request)))
	}
}

func checkFixture(t *testing.T, want fixture.Expect, got reply) {
	t.Helper()
	for _, h := range want.HeadersPresent {
		if got.Header.Get(h) == "" {
			t.Errorf("header %s is missing", h)
		}
	}
	if got.Request.Method == http.MethodHead {
		if got.StatusCode != want.Status || got.body != "" {
			t.Errorf("HEAD: %d %q, want %d without a body", got.StatusCode, got.body, want.Status)
		}
		return
	}
	if text := want.Check(got.StatusCode, []byte(got.body)); text != "" {
		t.Error(text)
	}
}
