package mesos

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// Bounds and timings of the adapter.
const (
	// maxFrame bounds one RecordIO frame. The largest are OFFERS events; a master with 10,000 agents stays below it.
	maxFrame = 64 << 20
	// keptFrame is the largest frame buffer kept between frames.
	keptFrame = 1 << 20
	// maxRedirects bounds the redirects followed for one SUBSCRIBE.
	maxRedirects = 5
	// maxErrorText bounds what is read of an error answer.
	maxErrorText = 4096
	// maxQueued bounds the calls waiting in the ordered queue of a stream.
	maxQueued = 1 << 17
	// maxAcks bounds the acknowledgements waiting; above ackHighWater the stream is read no further until they went out.
	maxAcks      = 1 << 17
	ackHighWater = 1 << 14
	// ackConnections is how many connections carry acknowledgements, ackWindow how many are in flight on each.
	ackConnections = 2
	ackWindow      = 64
	// callWindow is how many ordered calls are in flight on their one connection.
	callWindow = 32
	// maxBlindWrite is what is written without reading answers meanwhile; the buffers of a connection hold more.
	maxBlindWrite = 32 << 10
	// maxInterned bounds the agents remembered for sharing their values.
	maxInterned = 1 << 17
	// maxMessage bounds the message of a status update, in characters (behaviour 7.2).
	maxMessage = 10_000

	defaultHeartbeat    = 15 * time.Second
	defaultHeartbeats   = 5
	defaultBackoffMin   = time.Second
	defaultBackoffMax   = 30 * time.Second
	defaultCallTimeout  = 30 * time.Second
	defaultStopTimeout  = 5 * time.Second
	dialTimeout         = 10 * time.Second
	idleTest            = 5 * time.Second // a connection idle for longer is tested before use
	zkSessionTimeout    = 10 * time.Second
	refusedOfferSeconds = 5.0
	schedulerPath       = "/api/v1/scheduler"
	defaultPort         = "5050"
	minMajor, minMinor  = 1, 5
)

// FrameworkInfo is what the framework tells the master of itself (behaviour 9.4).
type FrameworkInfo struct {
	Name            string
	User            string
	Hostname        string
	WebUIURL        string
	Principal       string
	FailoverTimeout float64 // seconds
	Checkpoint      bool
	Capabilities    []string // PARTITION_AWARE, REGION_AWARE, MULTI_ROLE …
	Labels          map[string]string
}

// Config is how to reach the master and as whom.
type Config struct {
	// Master is host:port, a comma list of them, http(s)://h:p[,…], zk://[user:pass@]h1:p1,h2:p2/path, or file://path
	// of a file that holds one of the other forms.
	Master    string
	Framework FrameworkInfo
	Secret    string // HTTP basic with Framework.Principal; empty: no authentication
	TLS       *tls.Config
	Log       *zap.Logger

	// Recover: when the master has removed the framework, register as a new one (F22).
	Recover bool

	HeartbeatFailures int           // missed heartbeats until the stream counts as lost, 5
	BackoffMin        time.Duration // first wait before subscribing again, 1 s
	BackoffMax        time.Duration // longest wait, 30 s
	CallTimeout       time.Duration // for the answer of one call, 30 s
	StopTimeout       time.Duration // for flushing when stopping, 5 s

	// OpenZooKeeper opens a ZooKeeper session; nil for the real one.
	OpenZooKeeper func(servers []string, user, password string) (ZooKeeper, error)
}

// String shows the configuration without its secrets.
func (c Config) String() string {
	return fmt.Sprintf("master %s, framework %s, principal %s", hideUserInfo(c.Master), c.Framework.Name, c.Framework.Principal)
}

// GoString is String, so that no form of printing shows the secret.
func (c Config) GoString() string { return c.String() }

// hideUserInfo removes user:password@ from a master address.
func hideUserInfo(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return s
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		return scheme + "://…@" + rest[i+1:]
	}
	return s
}

// Validate reports what is wrong with the configuration; errors name the field and never hold a secret.
func (c Config) Validate() error {
	if c.Framework.Name == "" {
		return errors.New("mesos: the framework has no name")
	}
	if c.Secret != "" && c.Framework.Principal == "" {
		return errors.New("mesos: a secret needs a principal")
	}
	for _, name := range c.Framework.Capabilities {
		if _, ok := mesos.FrameworkInfo_Capability_Type_value[name]; !ok {
			return fmt.Errorf("mesos: unknown framework capability %q", name)
		}
	}
	if strings.HasPrefix(c.Master, "file://") {
		return nil // read when needed: it may be written later
	}
	_, err := parseMaster(c.Master, c.TLS != nil)
	return err
}

func (c *Config) capable(name string) bool {
	for _, n := range c.Framework.Capabilities {
		if n == name {
			return true
		}
	}
	return false
}

func (c *Config) setDefaults() {
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	if c.HeartbeatFailures <= 0 {
		c.HeartbeatFailures = defaultHeartbeats
	}
	setDuration(&c.BackoffMin, defaultBackoffMin)
	setDuration(&c.BackoffMax, defaultBackoffMax)
	setDuration(&c.CallTimeout, defaultCallTimeout)
	setDuration(&c.StopTimeout, defaultStopTimeout)
	if c.OpenZooKeeper == nil {
		c.OpenZooKeeper = openZooKeeper
	}
}

func setDuration(d *time.Duration, v time.Duration) {
	if *d <= 0 {
		*d = v
	}
}
