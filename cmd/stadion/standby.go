package main

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"
)

const (
	leaderPolls = 10
	leaderPause = 250 * time.Millisecond
)

// newStandby passes requests to the leader; events are redirected (behaviour.md 9.3).
func (f *front) newStandby() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		via := "1.1 " + f.o.identity
		for _, v := range r.Header.Values("X-Marathon-Via") {
			if v == via {
				http.Error(w, "Detected proxying loop.", http.StatusBadGateway)
				return
			}
		}
		leader, ok := f.awaitLeader(r)
		if f.Leading() {
			f.api.Handler().ServeHTTP(w, r)
			return
		}
		if !ok {
			http.Error(w, "Could not determine the current leader", http.StatusBadGateway)
			return
		}
		target := &url.URL{Scheme: "http", Host: leader}
		if r.URL.Path == "/v2/events" {
			u := *r.URL
			u.Scheme, u.Host = target.Scheme, target.Host
			http.Redirect(w, r, u.String(), http.StatusFound)
			return
		}
		p := &httputil.ReverseProxy{
			Rewrite: func(pr *httputil.ProxyRequest) {
				pr.SetURL(target)
				pr.Out.Header["X-Forwarded-For"] = pr.In.Header["X-Forwarded-For"]
				pr.SetXForwarded()
				pr.Out.Header.Add("X-Marathon-Via", via)
			},
			ModifyResponse: func(res *http.Response) error { res.Header.Add("X-Marathon-Via", via); return nil },
			ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
				http.Error(w, "Connection to leader refused.", http.StatusBadGateway)
			},
		}
		p.ServeHTTP(w, r)
	})
}

// awaitLeader waits a short while for a leader other than this server, or for this server to be ready.
func (f *front) awaitLeader(r *http.Request) (string, bool) {
	for range leaderPolls {
		if f.Leading() {
			return "", false
		}
		if who, known := f.election.Current(); known && who != f.o.identity {
			return who, true
		}
		select {
		case <-r.Context().Done():
			return "", false
		case <-time.After(leaderPause):
		}
	}
	return "", false
}
