package harness

import (
	"context"
	_ "embed" // the web service
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// WebService is the Python program of a well-behaved web service; its arguments are a port and the word it answers. At
// SIGTERM it drains until who has said hello to it says good-bye.
//
//go:embed web.py
var WebService string

// WriteWebService puts the web service's program at path.
func WriteWebService(t testing.TB, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(WebService), 0o600); err != nil {
		t.Fatal(err)
	}
}

const (
	loadPace  = 8 * time.Millisecond   // between two requests
	pollPace  = 100 * time.Millisecond // between two looks of a polling proxy
	loadLimit = time.Minute            // a request that takes longer has failed
)

// Load is a client behind a proxy. It opens a connection for each request. The web service's instances learn from it
// when it has left them, so that a busy machine makes nobody leave too soon.
type Load struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	client http.Client

	using    sync.RWMutex // held for reading while a request is on its way
	backends []string     // host:port

	mu     sync.Mutex
	asked  int
	words  map[string]int // answers by their first word
	failed []string
}

// StartLoad sends requests until Judge is called to what look lists as host:port. It looks again after each event of news;
// without news it polls.
func StartLoad(t testing.TB, news <-chan Event, look func() ([]string, error)) *Load {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	l := &Load{cancel: cancel, words: map[string]int{},
		client: http.Client{Timeout: loadLimit, Transport: &http.Transport{DisableKeepAlives: true}}}
	l.look(look)
	l.done.Go(func() { l.discover(ctx, look, news) })
	l.done.Go(func() { l.run(ctx) })
	return l
}

// Addresses are those of an app's tasks that run and whose health checks all hold, as proxies take them from the API; a
// task without a result counts as healthy only if checked is false.
func (a *API) Addresses(app string, checked bool) ([]string, error) {
	var list struct {
		Tasks []struct {
			State, Host        string
			Ports              []int
			HealthCheckResults []struct{ Alive bool }
		}
	}
	if err := a.tryGet("/v2/apps"+app+"/tasks", &list); err != nil {
		return nil, fmt.Errorf("the list of tasks: %w", err)
	}
	var out []string
	for _, task := range list.Tasks {
		ok := task.State == "TASK_RUNNING" && len(task.Ports) > 0 && (len(task.HealthCheckResults) > 0 || !checked)
		for _, r := range task.HealthCheckResults {
			ok = ok && r.Alive
		}
		if ok {
			out = append(out, fmt.Sprintf("%s:%d", task.Host, task.Ports[0]))
		}
	}
	return out, nil
}

func (l *Load) discover(ctx context.Context, look func() ([]string, error), news <-chan Event) {
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
		l.look(look)
	}
}

// look changes the backends.
func (l *Load) look(look func() ([]string, error)) {
	found, err := look()
	if err != nil {
		l.fail(err.Error())
		return
	}
	l.change(found)
}

// change says hello to new backends, and good-bye to those that are none any more once no request is on its way to them.
// A new one that goes already is none.
func (l *Load) change(found []string) {
	before := l.backends // nobody else changes them
	now := slices.DeleteFunc(slices.Clone(found), func(b string) bool { return !slices.Contains(before, b) && !SayHello(&l.client, b) })
	l.using.Lock()
	l.backends = now
	l.using.Unlock()
	for _, b := range before {
		if !slices.Contains(now, b) {
			SayGoodbye(&l.client, b)
		}
	}
}

// SayHello tells an instance of the web service at host:port that it will be used, and whether it agrees.
func SayHello(client *http.Client, addr string) bool { return say(client, addr, "hello") }

// SayGoodbye tells it that it is used no more.
func SayGoodbye(client *http.Client, addr string) { say(client, addr, "bye") }

func say(client *http.Client, addr, word string) bool {
	res, err := client.Post("http://"+addr+"/"+word, "text/plain", nil)
	if err != nil {
		return false // it has ended already
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

func (l *Load) run(ctx context.Context) {
	pace := time.NewTicker(loadPace)
	defer pace.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		l.ask(n)
	}
}

func (l *Load) ask(n int) {
	l.using.RLock()
	defer l.using.RUnlock()
	if len(l.backends) == 0 {
		l.fail("no healthy task")
		return
	}
	at := l.backends[n%len(l.backends)]
	res, err := l.client.Get("http://" + at + "/")
	if err != nil {
		l.fail(err.Error())
		return
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		l.fail(fmt.Sprintf("%s: %d %v", at, res.StatusCode, err))
		return
	}
	word, _, _ := strings.Cut(string(body), " ")
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	l.words[word]++
}

func (l *Load) fail(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	l.failed = append(l.failed, time.Now().Format("15:04:05.000 ")+what)
}

// Heard counts the answers of a version so far.
func (l *Load) Heard(word string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.words[word]
}

// Judge ends the load: no request may have failed, and each word must have been heard.
func (l *Load) Judge(t testing.TB, words ...string) {
	t.Helper()
	l.cancel()
	l.done.Wait()
	l.change(nil)
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
