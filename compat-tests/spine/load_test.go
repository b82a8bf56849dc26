package spine

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	marathon "github.com/gambol99/go-marathon"
)

const (
	lookAgain = 100 * time.Millisecond // age of the task list at which a proxy asks for a new one
	loadPace  = 4 * time.Millisecond   // between two requests
)

// load is a client behind a proxy that knows the tasks from the API alone and
// opens a connection for each request.
type load struct {
	cancel  context.CancelFunc
	done    sync.WaitGroup
	client  http.Client
	asked   int
	words   map[string]int // answers by their first word
	refused []string
}

func startLoad(s *story, id string) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel, words: map[string]int{},
		client: http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}}
	s.Cleanup(cancel)
	l.done.Go(func() { l.run(ctx, s.m, id) })
	return l
}

func (l *load) run(ctx context.Context, m marathon.Marathon, id string) {
	var backends []string
	var looked time.Time
	pace := time.NewTicker(loadPace)
	defer pace.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		if time.Since(looked) > lookAgain {
			tasks, err := m.Tasks(id)
			if err != nil {
				l.refused = append(l.refused, fmt.Sprintf("the list of tasks: %v", err))
				continue
			}
			backends, looked = usable(tasks), time.Now()
		}
		if len(backends) == 0 {
			l.refused = append(l.refused, "no healthy task")
			continue
		}
		l.ask(backends[n%len(backends)])
	}
}

// usable are the addresses of running tasks whose health checks all hold.
func usable(tasks *marathon.Tasks) []string {
	var out []string
	for _, task := range tasks.Tasks {
		ok := task.State == "TASK_RUNNING" && task.HasHealthCheckResults() && len(task.Ports) > 0
		for _, r := range task.HealthCheckResults {
			ok = ok && r.Alive
		}
		if ok {
			out = append(out, fmt.Sprintf("http://%s:%d/", task.Host, task.Ports[0]))
		}
	}
	return out
}

func (l *load) ask(url string) {
	l.asked++
	res, err := l.client.Get(url)
	if err != nil {
		l.refused = append(l.refused, err.Error())
		return
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		l.refused = append(l.refused, fmt.Sprintf("%s: %d %v", url, res.StatusCode, err))
		return
	}
	word, _, _ := strings.Cut(string(body), " ")
	l.words[word]++
}

// stop ends the load and judges it.
func (l *load) stop(s *story) {
	s.Helper()
	l.cancel()
	l.done.Wait()
	s.Logf("%d requests, %d refused, answers by version: %v", l.asked, len(l.refused), l.words)
	if len(l.refused) > 0 {
		s.Errorf("%d of %d requests were refused, the first: %s", len(l.refused), l.asked, l.refused[0])
	}
	if l.words["first"] == 0 || l.words["second"] == 0 {
		s.Errorf("both versions should have answered: %v", l.words)
	}
}
