package upgrade

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"stadion/compat-tests/harness"
)

func (w *world) decode(res harness.Answer, out any) {
	w.Helper()
	if err := json.Unmarshal(res.Body, out); err != nil {
		w.Fatalf("%v in %s", err, res.Body)
	}
}

// failing waits until a task of the crashing version has failed.
func (w *world) failing() {
	w.Helper()
	harness.Await(w, deployLimit, "the new version fails", func() (bool, string) {
		f := w.app().App.LastTaskFailure
		return f != nil && f.State == "TASK_FAILED", fmt.Sprintf("%+v", f)
	})
}

// ids are the tasks that run.
func (w *world) ids() []string {
	w.Helper()
	var out []string
	for _, t := range w.app().App.Tasks {
		if t.State == "TASK_RUNNING" {
			out = append(out, t.ID)
		}
	}
	return out
}

// watch checks until stop that never fewer than low tasks are healthy and never more
// than high are there.
func (w *world) watch(low, high int) (stop func()) {
	end := make(chan struct{})
	var done sync.WaitGroup
	fewest, most := low, 0
	done.Go(func() {
		for {
			select {
			case <-end:
				return
			default:
			}
			res, err := w.Try("GET", "/v2/apps"+service+"?embed=app.tasks", nil)
			var a appAnswer
			if err == nil && json.Unmarshal(res.Body, &a) == nil && a.App.Instances > 0 {
				fewest, most = min(fewest, a.App.TasksHealthy), max(most, len(a.App.Tasks))
			}
		}
	})
	return func() {
		w.Helper()
		close(end)
		done.Wait()
		w.Logf("between %d healthy and %d tasks", fewest, most)
		if fewest < low || most > high {
			w.Errorf("between %d healthy and %d tasks, want at least %d healthy and at most %d", fewest, most, low, high)
		}
	}
}

// open makes n tasks ready that answer word, as they appear.
func (w *world) open(word string, n int) {
	w.Helper()
	opened := map[string]bool{}
	harness.Await(w, deployLimit, fmt.Sprintf("%d tasks are made ready", n), func() (bool, string) {
		for _, t := range w.app().App.Tasks {
			if t.State != "TASK_RUNNING" || opened[t.ID] || len(opened) == n {
				continue
			}
			api := harness.NewAPI(w, fmt.Sprintf("http://%s:%d", t.Host, t.Ports[0]))
			if res, err := api.Try("GET", "/", nil); err != nil || !strings.HasPrefix(string(res.Body), word+" ") {
				continue
			}
			if res, err := api.Try("POST", "/be-ready", nil); err == nil && res.Status == 200 {
				opened[t.ID] = true
			}
		}
		return len(opened) == n, fmt.Sprint(opened)
	})
}
