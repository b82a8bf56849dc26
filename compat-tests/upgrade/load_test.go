package upgrade

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"stadion/compat-tests/harness"
)

const (
	loadPace  = 8 * time.Millisecond   // between two requests
	pollPace  = 200 * time.Millisecond // between two looks of a polling proxy
	loadLimit = 5 * time.Second        // a request that takes longer has failed
)

// load is a client behind a proxy. By events, the proxy asks for the tasks when
// something has happened to them; else it polls.
type load struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	client http.Client

	mu       sync.Mutex
	backends []string
	asked    int
	words    map[string]int // answers by their first word
	failed   []string
}

// startLoad runs until judge is called.
func startLoad(w *world, byEvents bool) *load {
	w.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w.Cleanup(cancel)
	l := &load{cancel: cancel, words: map[string]int{},
		client: http.Client{Timeout: loadLimit, Transport: &http.Transport{DisableKeepAlives: true}}}
	var news <-chan harness.Event
	if byEvents {
		news = w.OpenEvents("?event_type=status_update_event&event_type=health_status_changed_event", nil).Events
	}
	l.look(w.API)
	l.done.Go(func() { l.discover(ctx, w.API, news) })
	l.done.Go(func() { l.run(ctx) })
	return l
}

// discover keeps the backends up to date. A proxy that lives on events looks once
// more a little later, because a task that drains says so in its health only.
func (l *load) discover(ctx context.Context, api *harness.API, news <-chan harness.Event) {
	tick := time.NewTicker(pollPace)
	defer tick.Stop()
	ticks := tick.C
	if news != nil {
		ticks = nil
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
		case _, open := <-news:
			if !open {
				l.fail("the event stream has ended")
				return
			}
		}
		l.look(api)
	}
}

// look asks for the tasks as proxies do, and takes those that run and are healthy.
func (l *load) look(api *harness.API) {
	res, err := api.Try("GET", "/v2/apps"+service+"?embed=app.tasks", nil)
	var a appAnswer
	if err == nil {
		err = json.Unmarshal(res.Body, &a)
	}
	if err != nil {
		l.fail(fmt.Sprintf("the list of tasks: %v", err))
		return
	}
	var found []string
	for _, t := range a.App.Tasks {
		if t.State == "TASK_RUNNING" && len(t.HealthCheckResults) == 1 && t.HealthCheckResults[0].Alive && len(t.Ports) == 1 {
			found = append(found, fmt.Sprintf("http://%s:%d/", t.Host, t.Ports[0]))
		}
	}
	l.mu.Lock()
	l.backends = found
	l.mu.Unlock()
}

func (l *load) run(ctx context.Context) {
	pace := time.NewTicker(loadPace)
	defer pace.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		l.mu.Lock()
		list := l.backends
		l.mu.Unlock()
		if len(list) == 0 {
			l.fail("no healthy task")
			continue
		}
		l.ask(list[n%len(list)])
	}
}

func (l *load) ask(url string) {
	res, err := l.client.Get(url)
	if err != nil {
		l.fail(err.Error())
		return
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		l.fail(fmt.Sprintf("%s: %d %v", url, res.StatusCode, err))
		return
	}
	word, _, _ := strings.Cut(string(body), " ")
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	l.words[word]++
}

func (l *load) fail(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	l.failed = append(l.failed, time.Now().Format("15:04:05.000 ")+what)
}

// heard counts the answers of a version so far.
func (l *load) heard(word string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.words[word]
}

// judge ends the load: no request may have failed, and each word must have been heard.
func (l *load) judge(t testing.TB, words ...string) {
	t.Helper()
	l.cancel()
	l.done.Wait()
	t.Logf("%d requests, %d failed, answers by version: %v", l.asked, len(l.failed), l.words)
	if len(l.failed) > 0 {
		t.Errorf("%d of %d requests failed, the first: %s", len(l.failed), l.asked, l.failed[0])
	}
	for _, word := range words {
		if l.words[word] == 0 {
			t.Errorf("version %q has never answered: %v", word, l.words)
		}
	}
}
