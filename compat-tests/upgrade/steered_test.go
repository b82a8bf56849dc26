package upgrade

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"stadion/compat-tests/harness"
)

// waitsFor waits until a deployment says that it waits for that.
func (w *world) waitsFor(id, what string) {
	w.Helper()
	harness.Await(w, deployLimit, "the deployment waits for "+what, func() (bool, string) {
		var list []struct {
			ID    string
			Stall *struct{ WaitingFor string }
		}
		w.Get("/v2/deployments?embed=stall", &list)
		for _, d := range list {
			if d.ID == id && d.Stall != nil {
				return d.Stall.WaitingFor == what, fmt.Sprintf("%+v", *d.Stall)
			}
		}
		return false, fmt.Sprintf("%+v; %s", list, w.counts())
	})
}

// answers are the words that the service's healthy tasks answer, sorted.
func (w *world) answers() (out []string) {
	w.Helper()
	for _, t := range w.app().App.Tasks {
		res, err := harness.NewAPI(w, fmt.Sprintf("http://%s:%d", t.Host, t.Ports[0])).Try("GET", "/", nil)
		if err == nil && len(t.HealthCheckResults) == 1 && t.HealthCheckResults[0].Alive {
			word, _, _ := strings.Cut(string(res.Body), " ")
			out = append(out, word)
		}
	}
	slices.Sort(out)
	return out
}

// TestCanary: a canary of one waits for a person, over kill -9 of the server; promoted it goes on, paused it stands
// still and says why, resumed it comes to its end. No request fails.
func TestCanary(t *testing.T) {
	t.Parallel()
	const n = 2
	w := newWorld(t)
	w.put(w.web("first", n, wide), "")
	w.quiet()
	w.complete(n)
	load := w.load(false)
	id := w.put(w.web("second", n, object{"labels": object{"STADION_CANARY": "1"}, "upgradeStrategy": wide["upgradeStrategy"]}), "")
	w.waitsFor(id, "promotion")
	w.complete(n)
	if got := w.answers(); !slices.Equal(got, []string{"first", "second"}) {
		t.Errorf("the canary: %v", got)
	}
	w.Must("POST", "/v2/deployments/"+id+"/pause", nil, 200)
	w.waitsFor(id, "resume")
	load.Judge(t, "first", "second")
	w.crash()
	w.waitsFor(id, "resume")
	w.Must("POST", "/v2/deployments/"+id+"/resume", nil, 200)
	w.waitsFor(id, "promotion")
	w.complete(n)
	load = w.load(false)
	w.Must("POST", "/v2/deployments/"+id+"/promote", nil, 200)
	w.quiet()
	w.complete(n)
	w.says("second")
	load.Judge(t, "second")
}

// TestTakenBack: what a label asks for, by real failures and by a real clock, while clients go on being served by the old
// version, which is complete again at the end.
func TestTakenBack(t *testing.T) {
	const n = 2
	for name, c := range map[string]struct{ label, value, cmd string }{
		// It has no check, so for the moments in which it runs all that is known of it is that it runs: not one old
		// instance may go for that (R7).
		"failures, without any check": {"STADION_ROLLBACK_ON_FAILURES", "6", "sleep 0.05; exit 7"},
		"deadline":                    {"STADION_DEPLOYMENT_DEADLINE_SECONDS", "3", "sleep 1000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.put(w.web("first", n, wide), "")
			w.quiet()
			before := w.complete(n)
			load := w.load(false)
			bad := w.web("bad", n, object{"labels": object{c.label: c.value}, "upgradeStrategy": object{"minimumHealthCapacity": 1, "maximumOverCapacity": 1}})
			bad["cmd"] = c.cmd
			if c.label == "STADION_ROLLBACK_ON_FAILURES" {
				bad["healthChecks"] = []any{}
			}
			id := w.put(bad, "")
			harness.Await(t, deployLimit, "the deployment is taken back", func() (bool, string) {
				now, list := w.ids(), w.deployments()
				over := !slices.ContainsFunc(list, func(d deployment) bool { return d.ID == id })
				for _, old := range before { // it was not over yet when these were read
					if !over && !slices.Contains(now, old) {
						t.Fatalf("old task %s went for a version that never worked", old)
					}
				}
				return over, fmt.Sprintf("%+v", list)
			})
			w.quiet()
			w.complete(n)
			w.says("first")
			load.Judge(t, "first")
		})
	}
}
