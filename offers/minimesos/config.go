package minimesos

import (
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// Config says what a Cluster is made of. The zero value of every duration is the
// default of Apache Mesos.
type Config struct {
	// Addr is where the master listens, "127.0.0.1:0" for any free port.
	Addr string
	// Masters is how many masters there are; 1. All but the leading one redirect to it.
	// They listen on the ports that follow that of Addr, on any if that is any.
	Masters int
	// Agents of the cluster; none is a cluster that never makes an offer.
	Agents []AgentConfig
	// WorkDir keeps the registry and, in sub-directories, the agents' sandboxes.
	WorkDir string
	// Helper is handed to the agents: the argv prefix that runs a task shim.
	Helper []string
	// Simulated makes the agents rows in memory that start no process.
	Simulated *Simulation

	AllocationInterval     time.Duration // between two rounds of offers; 1 s
	HeartbeatInterval      time.Duration // on every event stream; 15 s
	AgentPingTimeout       time.Duration // a silent agent is unreachable after it; 75 s
	AgentReregisterTimeout time.Duration // agents may come back to a new master so long; 10 min
	AgentReregisterBackoff time.Duration // before an agent looks for a new master; 100 ms
	AgentReregisterSpread  time.Duration // the agents come back to a new master one after another, over this time; 0
	UpdateRetry            time.Duration // first re-sending of an update, doubled up to 10 min; 10 s
	OfferTimeout           time.Duration // an offer that is held so long is rescinded; 0: never
	DefaultFilter          time.Duration // refuse_seconds of a call that has none; 5 s
	ExecutorStart          time.Duration // from the launch of a command to its start, with real processes; 100 ms
	DiskWatch              time.Duration // between two looks at the disk a task uses, with real processes; 1 s
	ExecutorLinger         time.Duration // a task id stays in use on its agent so long after the end; 1 s

	// HTTPCommandExecutor makes command tasks obey the kill policy of a KILL and the
	// grace period of a drain, as agents with that flag do.
	HTTPCommandExecutor bool
	// Credentials maps principals to secrets. Nil means no authentication.
	Credentials map[string]string
	// Domain is the fault domain of the master.
	Domain *mesos.DomainInfo
	// Log receives lines about what the cluster does; nil means silence.
	Log func(format string, args ...any)
}

// AgentConfig describes one agent of the cluster.
type AgentConfig struct {
	Hostname   string
	IP         string
	Resources  []mesos.Resource
	Attributes []mesos.Attribute
	Domain     *mesos.DomainInfo
}

// Simulation sets how simulated agents treat tasks. The zero value starts every
// task at once and runs it until it is killed.
type Simulation struct {
	StartDelay  time.Duration // from the launch to TASK_STARTING
	RunDelay    time.Duration // from TASK_STARTING to TASK_RUNNING
	HealthDelay time.Duration // from TASK_RUNNING to the first passed health check
	KillDelay   time.Duration // from the order to TASK_KILLED
	NoStarting  bool          // leave TASK_STARTING out, as a custom executor may
	// TaskDuration ends every task with TASK_FINISHED; zero lets tasks run.
	TaskDuration time.Duration
	// LaunchFailures is the share (0 to 1) of launches that fail at the start.
	LaunchFailures float64
	// TaskFailures is the share (0 to 1) of tasks that fail instead of finishing
	// after TaskDuration.
	TaskFailures float64
	// Seed makes the failures repeatable.
	Seed uint64
}

// Limits of the miniature. Apache Mesos keeps as many completed frameworks and
// tasks; the others bound memory where Mesos trusts its users.
const (
	maxCompletedFrameworks = 50
	maxCompletedTasks      = 1000
	maxUpdateRetry         = 10 * time.Minute
	maxFilter              = 365 * 24 * time.Hour
	maxBodyBytes           = 256 << 20
	maxStreamQueue         = 4 << 20 // events a framework may lag behind
	minCpusMilli           = 10      // an offer has at least this much cpu
	minMemMilli            = 32_000  // or this much memory (MiB, in thousandths)
	mesosVersion           = "1.12.0"
	agentPortBase          = 5051
)

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	set(&c.AllocationInterval, time.Second)
	set(&c.HeartbeatInterval, 15*time.Second)
	set(&c.AgentPingTimeout, 75*time.Second)
	set(&c.AgentReregisterTimeout, 10*time.Minute)
	set(&c.AgentReregisterBackoff, 100*time.Millisecond)
	set(&c.UpdateRetry, 10*time.Second)
	set(&c.DefaultFilter, 5*time.Second)
	set(&c.ExecutorLinger, time.Second)
	set(&c.ExecutorStart, 100*time.Millisecond)
	set(&c.DiskWatch, time.Second)
	c.Masters = max(c.Masters, 1)
	if c.Addr == "" {
		c.Addr = "127.0.0.1:0"
	}
	if c.Log == nil {
		c.Log = func(string, ...any) {}
	}
	return c
}
