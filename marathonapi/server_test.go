package marathonapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"stadion/core"
	"stadion/core/loop"
	"stadion/core/machine"
	"stadion/core/state"
	"stadion/marathonapi/wire"
)

// memoryStore takes every batch.
type memoryStore struct{}

func (memoryStore) Commit(context.Context, uint64, []state.Write) error { return nil }

// alwaysLeader is the leadership of a process that leads.
type alwaysLeader struct{ left chan string }

func (alwaysLeader) Leader() (string, bool) { return "127.0.0.1:8080", true }
func (alwaysLeader) Leading() bool          { return true }
func (a alwaysLeader) Abdicate(_ context.Context, backup, _ string) error {
	a.left <- backup
	return nil
}

// rig is a server in front of a real machine and loop, without Mesos.
type rig struct {
	*testing.T
	*Server
	loop *loop.Loop
	web  *httptest.Server
	lead alwaysLeader
}

// late breaks the circle between the loop, which publishes to the server, and the server, which asks the loop.
type late struct{ s *Server }

func (l *late) Publish(seq uint64, n []core.Notice) { l.s.Publish(seq, n) }

func newRig(t *testing.T, cfg Config, change func(*machine.Config)) *rig {
	t.Helper()
	mc := machine.DefaultConfig()
	if change != nil {
		change(&mc)
	}
	publisher := &late{}
	l := loop.New(loop.Config{Machine: machine.New(mc, state.New()), Store: memoryStore{}, Publisher: publisher, Term: 7, Seed: 1, MaxRows: mc.MaxRows})
	r := &rig{T: t, loop: l, lead: alwaysLeader{make(chan string, 1)}}
	cfg.HostPort, cfg.Plan, cfg.Version = "127.0.0.1:8080", mc.Plan, "1.11.24"
	r.Server = New(cfg, Deps{Loop: l, Leadership: r.lead})
	publisher.s = r.Server
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	r.web = httptest.NewServer(r.Server.Handler())
	t.Cleanup(func() {
		r.Server.Close()
		r.web.Close()
		stop()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("loop: %v", err)
		}
	})
	return r
}

// reply is an answer read to its end.
type reply struct {
	*http.Response
	body string
}

func (r *rig) do(method, path, body string, header ...string) reply {
	r.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, r.web.URL+path, in)
	if err != nil {
		r.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		r.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		r.Fatal(err)
	}
	got := reply{res, string(text)}
	conform(r.T, method, path, body, got)
	return got
}

// must is do with an expected status.
func (r *rig) must(status int, method, path, body string, header ...string) reply {
	r.Helper()
	got := r.do(method, path, body, header...)
	if got.StatusCode != status {
		r.Fatalf("%s %s: %d %s, want %d", method, path, got.StatusCode, got.body, status)
	}
	return got
}

func fixtureConfig(m map[string]string) Config {
	c := Config{Wire: wire.Config{MesosRole: m["mesos_role"], DefaultNetworkName: m["default_network_name"], Features: map[string]bool{},
		NewGroupEnforceRole: m["new_group_enforce_role"] == "top"}}
	for _, f := range strings.Split(m["enable_features"], ",") {
		c.Wire.Features[f] = true
	}
	return c
}
