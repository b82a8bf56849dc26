package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	clients     = 64 // of P3
	perApp      = 10 // instances of an app of P3
	readsOfList = 15 // of each side of P15
)

// manyApps is P3: many small apps from many clients against one large app with as many instances.
func (b *bench) manyApps() error {
	var one, many []float64
	n := b.many * perApp
	for range max(b.rounds/2, 1) {
		l, err := b.lapOfServer(n, nil)
		if err != nil {
			return err
		}
		s, err := b.lapOfMany()
		if err != nil {
			return err
		}
		one, many = append(one, l.seconds), append(many, s)
	}
	b.add(measure{ID: "P3", What: "many apps × 10, 64 clients ÷ one app of as many", Must: 1.5, Moonshot: 1.15, Value: median(many) / median(one), Judged: true,
		Size: fmt.Sprintf("%d apps × %d: %s s, one app: %s s", b.many, perApp, number(median(many)), number(median(one)))})
	return nil
}

func (b *bench) lapOfMany() (float64, error) {
	w, err := newWorld(b.agents, "--max_running_deployments", "1000000")
	if err != nil {
		return 0, err
	}
	defer w.close()
	began := time.Now()
	if err := w.postMany("/m", b.many, perApp, clients); err != nil {
		return 0, err
	}
	if err := w.until("all apps run", w.settled); err != nil {
		return 0, err
	}
	return time.Since(began).Seconds(), nil
}

// postMany posts apps in a group from several clients.
func (w *world) postMany(group string, apps, instances, clients int) error {
	var next atomic.Int64
	var all sync.WaitGroup
	failed := make(chan error, clients)
	for range clients {
		all.Go(func() {
			for {
				k := int(next.Add(1)) - 1
				if k >= apps {
					return
				}
				if _, err := w.do(http.MethodPost, "/v2/apps", app(fmt.Sprintf("%s/app-%d", group, k), instances)); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(failed)
	return <-failed
}

// posting is P11, P12, G2 and G3 on apps without instances, and P15 and P18 on the list they make.
func (b *bench) posting() error {
	w, err := newWorld(1)
	if err != nil {
		return err
	}
	defer w.close()
	var x, total, single, put []float64
	spent, have := 0.0, 0
	for _, n := range b.apps {
		began := time.Now()
		if err := w.postMany(fmt.Sprintf("/g%d", n), n-have, 0, 1); err != nil {
			return err
		}
		spent, have = spent+time.Since(began).Seconds(), n
		posts, puts, err := w.postsAndPuts(n, b.posts)
		if err != nil {
			return err
		}
		x, total, single, put = append(x, float64(n)), append(total, spent), append(single, median(posts)*1000), append(put, median(puts)*1000)
	}
	last := len(x) - 1
	// What the machine and the disk do meanwhile shows in the puts alike: growth is that of the ratio.
	relative := make([]float64, len(x))
	for i := range x {
		relative[i] = single[i] / put[i]
	}
	size := fmt.Sprintf("%d POSTs of apps without instances at each size", b.posts)
	b.add(measure{ID: "P11", What: "POST p50 ÷ put of the same bytes into etcd, 1 client", Must: 1.6, Moonshot: 1.2, Value: single[0] / put[0], Judged: true,
		Size: fmt.Sprintf("%s ms ÷ %s ms", number(single[0]), number(put[0]))},
		measure{ID: "P12", What: "POST p50 (in puts) with all apps ÷ with 10", Must: 1.5, Moonshot: 1.1, Value: relative[last] / relative[0], Judged: true,
			Size: fmt.Sprintf("with %.0f apps; %s", x[last], size)},
		measure{ID: "G2", What: "slope: apps → time of all POSTs", Must: 1.05, Moonshot: 1, Value: slope(x, total), Judged: true, Size: points(x, total, "s")},
		measure{ID: "G3", What: "slope: apps → time of one more POST (in puts)", Must: 0.05, Moonshot: 0, Value: slope(x, relative), Judged: true,
			Size: points(x, single, "ms") + "; puts " + points(x, put, "ms")})
	return b.lists(w)
}

// postsAndPuts posts apps and puts as many bytes into etcd, by turns; the apps are removed again.
func (w *world) postsAndPuts(n, rounds int) (posts, puts []float64, err error) {
	c, err := w.etcdClient()
	if err != nil {
		return nil, nil, err
	}
	defer c.Close()
	for i := range rounds {
		began := time.Now()
		text, err := w.do(http.MethodPost, "/v2/apps", app(fmt.Sprintf("/extra/p-%d-%d", n, i), 0))
		if err != nil {
			return nil, nil, err
		}
		posts = append(posts, time.Since(began).Seconds())
		began = time.Now()
		if _, err := c.Put(context.Background(), fmt.Sprintf("/raw/%d", i), string(text)); err != nil {
			return nil, nil, err
		}
		puts = append(puts, time.Since(began).Seconds())
	}
	if _, err := w.do(http.MethodDelete, "/v2/groups/extra?force=true", nil); err != nil {
		return nil, nil, err
	}
	return posts, puts, w.until("the extra apps are gone", w.settled)
}

// lists is P15 and P18.
func (b *bench) lists(w *world) error {
	text, err := w.do(http.MethodGet, "/v2/apps", nil)
	if err != nil {
		return err
	}
	plain, stop, err := plainServer(text)
	if err != nil {
		return err
	}
	defer stop()
	var ours, theirs []float64
	for range readsOfList {
		for _, side := range []struct {
			url  string
			took *[]float64
		}{{w.url + "/v2/apps", &ours}, {plain, &theirs}} {
			s, _, err := w.fetch(side.url, "")
			if err != nil {
				return err
			}
			*side.took = append(*side.took, s)
		}
	}
	b.add(measure{ID: "P15", What: "GET /v2/apps ÷ plain handler with the same bytes", Must: 2, Moonshot: 1.2, Value: median(ours) / median(theirs), Judged: true,
		Size: fmt.Sprintf("%d apps, %d KiB: %s ms ÷ %s ms", b.apps[len(b.apps)-1], len(text)>>10, number(median(ours)*1000), number(median(theirs)*1000))})
	_, tag, err := w.fetch(w.url+"/v2/apps", "")
	if err != nil {
		return err
	}
	m := measure{ID: "P18", What: "GET /v2/apps with the ETag of the unchanged list", Unit: "ms", Must: 1, Moonshot: 0.2, Judged: true, Size: "median of conditional reads"}
	if tag == "" {
		m.Error = "the list has no ETag"
	} else {
		var took []float64
		for range 10 * readsOfList {
			s, _, err := w.fetch(w.url+"/v2/apps", tag)
			if err != nil {
				return err
			}
			took = append(took, s*1000)
		}
		m.Value = median(took)
	}
	b.add(m)
	return nil
}

var errChanged = errors.New("the list changed between two reads")

// fetch reads a page, or asks whether it is still that of a tag, and returns the seconds and the page's tag.
func (w *world) fetch(url, tag string) (float64, string, error) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	if tag != "" {
		req.Header.Set("If-None-Match", tag)
	}
	began := time.Now()
	res, err := w.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return 0, "", err
	}
	if tag != "" && res.StatusCode != http.StatusNotModified {
		return 0, "", errChanged
	}
	return time.Since(began).Seconds(), res.Header.Get("ETag"), nil
}

// plainServer serves the same bytes from memory.
func plainServer(text []byte) (url string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := &http.Server{ReadHeaderTimeout: readyTimeout, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.Copy(w, bytes.NewReader(text)) // the client sees a short answer
	})}
	go func() { _ = s.Serve(l) }()
	return "http://" + l.Addr().String() + "/", func() { _ = s.Close() }, nil
}

// memory is P22: many apps and many instances.
func (b *bench) memory() error {
	w, err := newWorld(b.agents, "--max_running_deployments", "1000000")
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.postMany("/m", b.many, perApp, clients); err != nil {
		return err
	}
	if err := w.until("all apps run", w.settled); err != nil {
		return err
	}
	time.Sleep(settleTime)
	b.add(measure{ID: "P22", What: "RSS with 10,000 apps, 100,000 instances, 5,000 agents", Unit: "MiB", Must: 400, Moonshot: 150, Value: w.server.rss() / 1024, Judged: b.full,
		Size: fmt.Sprintf("%d apps × %d, %d agents", b.many, perApp, b.agents)})
	return nil
}
