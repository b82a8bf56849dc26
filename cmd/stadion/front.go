package main

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"stadion/core"
	"stadion/core/machine"
	"stadion/core/state"
	"stadion/leader"
	"stadion/marathonapi"
	"stadion/marathonapi/wire"
)

// front is what listens: the API while this server leads, the way to the leader while it does not.
type front struct {
	o        *options
	election *leader.Election
	log      *zap.Logger
	reign    atomic.Pointer[reign]
	api      *marathonapi.Server
	standby  http.Handler
}

func newFront(o *options, e *leader.Election, log *zap.Logger) *front {
	f := &front{o: o, election: e, log: log}
	f.api = marathonapi.New(f.config(), marathonapi.Deps{Loop: f, Leadership: f, Logging: levels{}, Log: log})
	f.standby = marathonapi.NewProxy(f.proxyConfig(), f, f.api.Handler())
	return f
}

// config is the API's part of the flags.
func (f *front) config() marathonapi.Config {
	fs := f.o.flags
	return marathonapi.Config{
		Wire: wire.Config{MesosRole: fs.text("mesos_role"), DefaultNetworkName: fs.text("default_network_name"), MesosBridgeName: fs.text("mesos_bridge_name"),
			Features: f.o.features, NewGroupEnforceRole: fs.text("new_group_enforce_role") == "top", MaxApps: fs.int("max_apps")},
		Plan: f.o.machine.Plan, HostPort: f.o.identity, HTTPPort: fs.int("http_port"), HTTPSPort: defaultHTTPSPort,
		Credentials: fs.text("http_credentials"), Realm: fs.text("http_realm"), NoCompression: !fs.on("http_compression"),
		AllowOrigins: fs.list("access_control_allow_origin"), MaxConcurrent: fs.int("http_max_concurrent_requests"),
		EventBacklog: fs.int("event_stream_max_outstanding_messages"), Version: apiVersion, BuildRef: revision(), Flags: flagValues(fs),
		MetricsPrefix: fs.text("metrics_name_prefix"), NoPrometheus: !fs.on("metrics_prometheus"),
	}
}

// proxyConfig is the standby's part of the flags.
func (f *front) proxyConfig() marathonapi.ProxyConfig {
	fs := f.o.flags
	return marathonapi.ProxyConfig{Self: f.o.identity, MaxConnections: fs.int("leader_proxy_max_open_connections"),
		ConnectTimeout: time.Duration(fs.int64("leader_proxy_connection_timeout")) * time.Millisecond,
		ReadTimeout:    time.Duration(fs.int64("leader_proxy_read_timeout")) * time.Millisecond}
}

const defaultHTTPSPort = 8443

// secretFlags never leave the process (S4).
var secretFlags = map[string]bool{"mesos_authentication_secret": true, "http_credentials": true}

// flagValues are the values of all flags as /v2/info shows them.
func flagValues(fs *flagSet) map[string]any {
	out := make(map[string]any, len(fs.rows))
	for name, r := range fs.rows {
		switch {
		case secretFlags[name]:
		case r.kind == toggle:
			out[name] = fs.on(name)
		case r.kind == number || r.kind == millis:
			out[name] = fs.int(name)
		case r.kind == text && fs.text(name) == "":
			out[name] = nil
		default:
			out[name] = fs.text(name)
		}
	}
	return out
}

// ServeHTTP serves while this server leads and passes requests on while it does not (behaviour.md 9.3).
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.reign.Load() != nil {
		f.api.Handler().ServeHTTP(w, r)
		return
	}
	f.standby.ServeHTTP(w, r)
}

// lead makes this server answer for itself.
func (f *front) lead(r *reign) { f.reign.Store(r) }

// follow ends that.
func (f *front) follow() {
	f.reign.Store(nil)
	f.api.EndTerm()
}

// Publish takes the notices of a batch to the event streams.
func (f *front) Publish(seq uint64, notices []core.Notice) { f.api.Publish(seq, notices) }

// Submit hands a command to the loop of the present term.
func (f *front) Submit(ctx context.Context, c machine.Command) (any, error) {
	r := f.reign.Load()
	if r == nil {
		return nil, &core.Error{Kind: core.Unavailable, Message: "This server does not lead."}
	}
	return r.loop.Submit(ctx, c)
}

var nothing = state.New().Snapshot(0, 0, 0)

// Snapshot is the state of the present term.
func (f *front) Snapshot() *state.Snapshot {
	if r := f.reign.Load(); r != nil {
		return r.loop.Snapshot()
	}
	return nothing
}

// Leader is host:port of the leader.
func (f *front) Leader() (string, bool) {
	if f.reign.Load() != nil {
		return f.o.identity, true
	}
	return f.election.Current()
}

// Leading reports whether this server leads and is ready.
func (f *front) Leading() bool { return f.reign.Load() != nil }

// Abdicate gives the leadership up. Backups are made by the command line.
func (f *front) Abdicate(_ context.Context, backup, restore string) error {
	r := f.reign.Load()
	if r == nil {
		return &core.Error{Kind: core.NotFound, Message: "There is no leader", Direct: true}
	}
	if backup != "" || restore != "" {
		return &core.Error{Kind: core.NotImplemented, Message: "backup and restore by DELETE /v2/leader are not there yet"}
	}
	select {
	case r.abdicate <- struct{}{}:
	default:
	}
	return nil
}

// levels shows and changes the level of the one logger (http-api.md 3.5).
type levels struct{}

// Levels lists the loggers.
func (levels) Levels() map[string]string { return map[string]string{"ROOT": logLevel.String()} }

// SetLevel changes the level, for a while if back is positive.
func (levels) SetLevel(_, level string, back time.Duration) error {
	old := logLevel.Level()
	if err := logLevel.UnmarshalText([]byte(level)); err != nil {
		return &core.Error{Kind: core.Invalid, Message: "unknown level " + level}
	}
	if back > 0 {
		time.AfterFunc(back, func() { logLevel.SetLevel(old) })
	}
	return nil
}
