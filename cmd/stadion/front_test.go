package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"

	"stadion/core/loop"
	"stadion/core/machine"
	"stadion/core/state"
	"stadion/leader"
)

// A read that comes in while this server leads, and is served when it has just ceased to, shows the state in which the
// term ended. An empty list of tasks would take everything out of service.
func TestReadsOverTheEndOfATerm(t *testing.T) { // R11, F6
	f := newFlagSet("server", serverRows())
	if err := f.parse(nil, nil); err != nil {
		t.Fatal(err)
	}
	o, err := readOptions(f)
	if err != nil {
		t.Fatal(err)
	}
	front := newFront(o, leader.New(nil, leader.Options{}), zap.NewNop(), zap.NewNop())
	st := state.New()
	st.SetFrameworkID("kept")
	front.lead(&reign{loop: loop.New(loop.Config{Machine: machine.New(machine.Config{}, st)})})
	for _, when := range []string{"leads", "has ceased to lead"} {
		got := httptest.NewRecorder()
		front.api.Handler().ServeHTTP(got, httptest.NewRequest(http.MethodGet, "/v2/info", nil)) // as if let in before
		if got.Code != http.StatusOK || !strings.Contains(got.Body.String(), `"frameworkId":"kept"`) {
			t.Errorf("a server that %s answers %d %.200s", when, got.Code, got.Body)
		}
		front.follow()
	}
}
