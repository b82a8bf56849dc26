package marathonapi

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"stadion/core"
	"stadion/core/machine"
	"stadion/core/state"
	"stadion/deployments"
	"stadion/marathonapi/metrics"
	"stadion/marathonapi/wire"
	"stadion/offers"
)

// Bounds of what clients can make the server hold, used where Config leaves them zero.
const (
	DefaultMaxBody       = 32 << 20 // bytes of a request body
	DefaultMaxStreams    = 4096     // streams of /v2/events at once
	DefaultEventBacklog  = 1024     // events a stream may lag behind while one write is under way
	EventRing            = 16384    // events kept for replay (D-33 asks for at least 10,000)
	keptForms            = 4        // forms in which each app is kept at once; a list in a fifth is slower
	keptSpare            = 64       // what the caches hold beyond what there is, so that a small state is no special case
	maxFragmentBytes     = 32 << 20 // bytes of the caches of definitions and of tasks, each per generation
	maxInfoBytes         = 48 << 20 // bytes of the caches of apps and of runs of lists, each per generation
	pageApps             = 1024     // most apps in one kept run of a list
	pageBytes            = 1 << 20
	wholeAt              = 32 << 10 // a kept run of this length is written as it is
	maxInfoInstances     = 500      // an app with more instances is not cached as a whole
	keepAlive            = 10 * time.Second
	streamWriteTimeout   = 30 * time.Second // a stream that takes nothing for this long is cut
	farewellTimeout      = time.Second      // for the last comment line of a stream that is cut
	abdicationDelay      = 500 * time.Millisecond
	compressionMinLength = 16
)

// Loop is what the API needs of the heart.
type Loop interface {
	// Submit hands over a command and waits until its result is durable.
	Submit(ctx context.Context, cmd machine.Command) (any, error)
	// Snapshot is the state as of the last durable batch.
	Snapshot() *state.Snapshot
}

// Leadership tells who leads.
type Leadership interface {
	// Leader is host:port of the leader, as /v2/leader and /v2/info show it.
	Leader() (address string, known bool)
	// Leading reports whether this process is the leader and ready to serve.
	Leading() bool
	// Abdicate gives the leadership up. backup and restore are the URIs of the request, empty without.
	Abdicate(ctx context.Context, backup, restore string) error
}

// Logging reads and sets log levels (http-api.md 3.5).
type Logging interface {
	Levels() map[string]string
	SetLevel(logger, level string, back time.Duration) error
}

// Config is what the command line says about the API.
type Config struct {
	Wire          wire.Config
	Plan          deployments.Flags // for dry runs
	Offers        offers.Config     // of the machine, for explanations
	HostPort      string            // own identity, host:port
	Scheme        string            // http or https; empty: http
	HTTPPort      int
	HTTPSPort     int
	NoCompression bool
	AllowOrigins  []string // --access_control_allow_origin; nil: no CORS headers
	MaxConcurrent int      // --http_max_concurrent_requests; 0: no bound
	MaxBody       int64    // bytes; 0: DefaultMaxBody
	MaxStreams    int      // 0: DefaultMaxStreams
	EventBacklog  int      // --event_stream_max_outstanding_messages; 0: DefaultEventBacklog
	Version       string   // of the server, 1.11.x
	BuildRef      string
	Flags         map[string]any // values of the command line flags by name, for /v2/info and /config
	NoPrometheus  bool           // --disable_metrics_prometheus
	UI            http.Handler   // serves /ui/, /api-console/ and /public/; nil: a built-in page at /ui/ and 404
}

// Deps are the parts the server talks to. Loop and Leadership are required.
type Deps struct {
	Loop       Loop
	Leadership Leadership
	Logging    Logging           // nil: /logging answers 501
	Metrics    *metrics.Registry // of the process; nil: one of its own
	Log        *zap.Logger
	Now        func() time.Time
}

// Server is the HTTP API of one process. It serves as leader; a standby puts a Proxy in front of it.
type Server struct {
	cfg       Config
	wire      wire.Config
	loop      Loop
	leader    Leadership
	logging   Logging
	log       *zap.Logger
	now       func() time.Time
	started   time.Time
	router    *router
	appHeads  *fragments[core.App]
	taskTails *fragments[core.Instance]
	appInfos  infos
	pages     pages
	hub       *hub
	// of streams: how often a silent one is kept alive, and how long one write may take
	keepAlive, streamWrite time.Duration
	stats                  httpStats
	inflight               atomic.Int64
	handler                http.Handler
}

// fitCaches lets the caches hold what there is to show: with bounds of bytes alone a small state that changes often would
// fill them with texts of the past.
func (s *Server) fitCaches(snap *state.Snapshot) {
	specs := snap.SpecCount() + keptSpare
	s.appHeads.fit(specs)
	s.taskTails.fit(snap.InstanceTotal() + keptSpare)
	s.appInfos.fit(keptForms * specs)
	s.pages.fit(keptForms * specs)
}

// New makes a server. It starts no goroutine of its own.
func New(cfg Config, deps Deps) *Server {
	cfg.fill()
	s := &Server{cfg: cfg, wire: cfg.Wire, loop: deps.Loop, leader: deps.Leadership, logging: deps.Logging, log: deps.Log, now: deps.Now}
	s.stats.to = deps.Metrics
	if s.stats.to == nil {
		s.stats.to = metrics.New("")
	}
	s.setGauges()
	if s.log == nil {
		s.log = zap.NewNop()
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.started = s.now()
	s.router = newRouter(Routes())
	s.appHeads = newFragments(appHead)
	s.taskTails = newFragments(taskTail)
	s.appInfos = newInfos()
	s.pages = newPages(pageApps)
	s.keepAlive, s.streamWrite = keepAlive, streamWriteTimeout
	s.hub = newHub(EventRing, cfg.MaxStreams)
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = s.onError
	e.Use(s.middleware()...)
	e.Any("/*", s.dispatch)
	s.handler = e
	return s
}

func (c *Config) fill() {
	if c.Scheme == "" {
		c.Scheme = "http"
	}
	if c.MaxBody <= 0 {
		c.MaxBody = DefaultMaxBody
	}
	if c.MaxStreams <= 0 {
		c.MaxStreams = DefaultMaxStreams
	}
	if c.EventBacklog <= 0 {
		c.EventBacklog = DefaultEventBacklog
	}
}

// Handler serves the API.
func (s *Server) Handler() http.Handler { return s.handler }

// Close cuts all event streams; new ones are refused with 503.
func (s *Server) Close() { s.hub.close("server is shutting down") }

// EndTerm cuts all event streams because the leadership ended; clients find the new leader (http-api.md 11.1).
func (s *Server) EndTerm() { s.hub.cut("leadership ended") }
