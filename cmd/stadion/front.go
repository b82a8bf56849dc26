package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"stadion/core"
	"stadion/core/loop"
	"stadion/core/machine"
	"stadion/core/state"
	"stadion/core/store"
	"stadion/leader"
	"stadion/marathonapi"
	"stadion/marathonapi/access"
	"stadion/marathonapi/metrics"
	"stadion/marathonapi/wire"
)

// front is what listens: the API while this server leads, the way to the leader while it does not.
type front struct {
	o        *options
	election *leader.Election
	log      *zap.Logger
	audit    *zap.Logger
	reign    atomic.Pointer[reign]
	last     atomic.Pointer[reign] // the present one or the one that has ended
	submits  atomic.Int64          // under way
	outage   atomic.Pointer[outage]
	api      *marathonapi.Server
	metrics  *metrics.Registry
	standby  http.Handler
}

func newFront(o *options, e *leader.Election, log, audit *zap.Logger) *front {
	f := &front{o: o, election: e, log: log, audit: audit, metrics: metrics.New(o.flags.text("metrics_name_prefix"))}
	f.metrics.Gauge("debug.root-group.updates.active.gauge", func() float64 { return float64(f.submits.Load()) })
	f.api = marathonapi.New(f.config(), marathonapi.Deps{Loop: f, Leadership: f, Logging: levels{}, Log: log, Metrics: f.metrics})
	f.outage.Store(newOutage())
	f.standby = marathonapi.NewProxy(f.proxyConfig(), f, f.api.Handler())
	return f
}

// config is the API's part of the flags.
func (f *front) config() marathonapi.Config {
	fs := f.o.flags
	return marathonapi.Config{
		Wire: wire.Config{MesosRole: fs.text("mesos_role"), DefaultNetworkName: fs.text("default_network_name"), MesosBridgeName: fs.text("mesos_bridge_name"),
			Features: f.o.features, NewGroupEnforceRole: fs.text("new_group_enforce_role") == "top", MaxApps: fs.int("max_apps")},
		Plan: f.o.machine.Plan, Offers: f.o.machine.Offers, HostPort: f.o.identity, Scheme: f.o.scheme, HTTPPort: fs.int("http_port"), HTTPSPort: fs.int("https_port"),
		MaxBody: fs.int64("http_max_body_bytes"), NoCompression: !fs.on("http_compression"),
		AllowOrigins: fs.list("access_control_allow_origin"), MaxConcurrent: fs.int("http_max_concurrent_requests"),
		EventBacklog: fs.int("event_stream_max_outstanding_messages"), Version: apiVersion, BuildRef: revision(), Flags: flagValues(fs),
		NoPrometheus: !fs.on("metrics_prometheus"),
	}
}

// proxyConfig is the standby's part of the flags.
func (f *front) proxyConfig() marathonapi.ProxyConfig {
	fs := f.o.flags
	return marathonapi.ProxyConfig{Self: f.o.identity, Scheme: f.o.scheme, TLS: f.o.leaderTLS, MaxConnections: fs.int("leader_proxy_max_open_connections"),
		ConnectTimeout: time.Duration(fs.int64("leader_proxy_connection_timeout")) * time.Millisecond,
		ReadTimeout:    time.Duration(fs.int64("leader_proxy_read_timeout")) * time.Millisecond}
}

// secretFlags never leave the process (S4).
var secretFlags = map[string]bool{"mesos_authentication_secret": true, "http_credentials": true, "ssl_keystore_password": true, "metrics_datadog_api_key": true}

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
		case r.kind == text && fs.text(name) == "" && name != "enable_features":
			out[name] = nil
		default:
			out[name] = fs.text(name)
		}
	}
	return out
}

// ServeHTTP serves while this server leads and passes requests on while it does not (behaviour.md 9.3).
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if leading := f.reign.Load(); leading != nil {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			leading.fresh.mark(w.Header())
		}
		f.api.Handler().ServeHTTP(w, r)
		return
	}
	f.standby.ServeHTTP(w, r)
}

// guarded is the front behind its guard.
func (f *front) guarded() http.Handler {
	open := map[string]bool{}
	if f.o.flags.on("http_open_ping") {
		open["/ping"] = true
	}
	return &access.Guard{Users: f.o.users, Rules: f.o.rights, Realm: f.o.flags.text("http_realm"), Audit: f.audit, Mask: f.o.mask,
		Leads: f.Leading, Open: open, Origins: f.o.flags.list("access_control_allow_origin"), Next: f}
}

// lead makes this server answer for itself.
func (f *front) lead(r *reign) {
	since := time.Now()
	f.last.Store(r)
	f.reign.Store(r)
	f.metrics.Gauge("leadership.duration.gauge.seconds", func() float64 {
		if f.reign.Load() != r {
			return 0
		}
		return time.Since(since).Seconds()
	})
	f.metrics.Gauge("stadion.store.away.gauge", func() float64 {
		if r.loop.Away() != nil {
			return 1
		}
		return 0
	})
	f.metrics.Gauge("stadion.snapshot.age.gauge.seconds", func() float64 { return r.loop.Lag().Seconds() })
	f.metrics.Gauge("stadion.loop.longest-turn.gauge.seconds", func() float64 { return r.loop.LongestTurn().Seconds() })
	f.metrics.Gauge("stadion.inbox.commands.gauge", func() float64 { n, _ := r.loop.Depth(); return float64(n) })
	f.metrics.Gauge("stadion.inbox.events.gauge", func() float64 { _, n := r.loop.Depth(); return float64(n) })
}

// follow ends that.
func (f *front) follow() {
	f.reign.Store(nil)
	f.api.EndTerm()
}

// Publish takes the notices of a batch to the event streams.
func (f *front) Publish(seq uint64, notices []core.Notice) {
	began := time.Now()
	f.api.Publish(seq, notices)
	measured{f.metrics}.notices(notices, time.Since(began))
}

// Submit hands a command to the loop of the present term.
func (f *front) Submit(ctx context.Context, c machine.Command) (any, error) {
	f.submits.Add(1)
	defer f.submits.Add(-1)
	r := f.reign.Load()
	if r == nil {
		return nil, &core.Error{Kind: core.Unavailable, Message: "This server does not lead."}
	}
	if r.fresh.expired.Load() {
		return nil, &core.Error{Kind: core.Unavailable, Message: "etcd does not answer, and nothing can be changed before it does."}
	}
	return f.submit(ctx, r.loop, c)
}

// submit waits for the answer, but not through a whole outage of the store (R13): the change may still happen.
func (f *front) submit(ctx context.Context, l *loop.Loop, c machine.Command) (any, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	outage := f.outage.Load().Context
	defer context.AfterFunc(outage, func() { cancel(context.Cause(outage)) })()
	began := time.Now()
	result, err := l.Submit(ctx, c)
	if err == nil {
		f.metrics.Time("stadion.launch.post-to-durable.timer.seconds", time.Since(began))
	}
	if err != nil && outage.Err() != nil && errors.Is(err, context.Canceled) {
		return nil, &core.Error{Kind: core.Unavailable, Message: context.Cause(outage).Error()}
	}
	return result, err
}

// outage is a context that ends when the store has been away for too long.
type outage struct {
	context.Context
	end context.CancelCauseFunc
}

func newOutage() *outage {
	ctx, end := context.WithCancelCause(context.Background())
	return &outage{ctx, end}
}

// outagePatience is how long a change waits for a store that takes no writes, in pulses of the reign.
const outagePatience = 3

// away lets go of the changes that wait for the store.
func (f *front) away(why error) {
	f.outage.Swap(newOutage()).end(fmt.Errorf("the store does not take writes at present, and the change may still happen: %w", why))
}

// settle waits until no change is under way, at most for limit.
func (f *front) settle(limit time.Duration) {
	for end := time.Now().Add(limit); f.submits.Load() > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

var nothing = state.New().Snapshot(0, 0, 0)

// Snapshot is the state of the present term. A read that came while this server led, and is served when it no longer
// does, gets the state in which the term ended: what it asked for was so when it asked (R11). An empty state would be a
// lie that empties load balancers. Later reads are passed on to the next leader; before the first term there are only
// those of a standby's own life and metrics.
func (f *front) Snapshot() *state.Snapshot {
	if r := f.last.Load(); r != nil {
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

// Abdicate gives the leadership up. A backup and a restore are left to the next leader (behaviour.md 1.11).
func (f *front) Abdicate(ctx context.Context, backup, restore string) error {
	r := f.reign.Load()
	if r == nil {
		return &core.Error{Kind: core.NotFound, Message: "There is no leader", Direct: true}
	}
	if backup != "" || restore != "" {
		ctx, cancel := context.WithTimeout(ctx, abdicationTimeout)
		defer cancel()
		if err := r.store.PutRuntime(ctx, store.Runtime{Backup: backup, Restore: restore}); err != nil {
			return fmt.Errorf("leave backup and restore to the next leader: %w", err)
		}
	}
	select {
	case r.abdicate <- struct{}{}:
	default:
	}
	return nil
}

const abdicationTimeout = 10 * time.Second // to leave a request in the store

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
