package minimesos

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// Cluster is a running master with its agents. Its methods may be called from
// any goroutine.
type Cluster struct {
	cfg     Config
	log     func(string, ...any)
	handler http.Handler // of the leading master
	seats   []*seat

	mu     sync.Mutex // guards everything below and all tables reachable from it
	timers *timers
	ids    *identities
	rng    *rand.ChaCha8
	nodes  []*node
	reg    registry
	m      *master                  // nil while no master process is there
	known  map[string]registryAgent // agents of an earlier cluster on WorkDir, by hostname
	faults faults
	floods floods
	ledger *ledger // nil until KeepAccount
	lead   *seat   // nil while no master leads
	dead   *seat   // killed and not yet started again
	closed bool

	dirty   chan struct{} // the registry has to be written
	keeping sync.WaitGroup
}

// registry is what a master keeps on disk: the agents it has admitted and those
// it has given up. It outlives the master, but not the cluster.
type registry struct {
	admitted    map[string]*node // by agent id
	unreachable map[string]time.Time
	gone        map[string]time.Time
	machines    map[string]*machine // maintenance, by machine key
	nextAgent   int
}

// Start listens on cfg.Addr, and on one more address for each further master, and serves in the background. The agents of cfg are
// registered when it returns.
func Start(cfg Config) (*Cluster, error) {
	cfg = cfg.withDefaults()
	c := &Cluster{cfg: cfg, log: cfg.Log, ids: newIdentities(), dirty: make(chan struct{}, 1)}
	c.timers = newTimers(&c.mu)
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	c.rng = rand.NewChaCha8(seed)
	c.reg = registry{
		admitted: map[string]*node{}, unreachable: map[string]time.Time{},
		gone: map[string]time.Time{}, machines: map[string]*machine{},
	}
	c.handler = c.routes()
	err := c.addSeats()
	if err == nil {
		err = c.begin()
	}
	if err != nil {
		for _, n := range c.nodes {
			err = errors.Join(err, n.close(false))
		}
		for _, s := range c.seats {
			err = errors.Join(err, s.stop())
		}
		return nil, err
	}
	go c.timers.loop()
	c.keeping.Add(1)
	go c.keepRegistry()
	for _, s := range c.seats {
		s.serve()
	}
	return c, nil
}

// begin makes agents and master and brings them together.
func (c *Cluster) begin() error {
	if err := c.loadRegistry(); err != nil {
		return fmt.Errorf("minimesos: %w", err)
	}
	if err := c.addNodes(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.nodes {
		if n.id != "" {
			c.reg.admitted[n.id] = n
		}
	}
	c.m = newMaster(c)
	c.m.start()
	for _, n := range c.nodes {
		n.register()
	}
	return nil
}

// addNodes makes the agents of the configuration, with their directories.
func (c *Cluster) addNodes() error {
	for i, a := range c.cfg.Agents {
		if a.Hostname == "" {
			a.Hostname = fmt.Sprintf("agent%d", i+1)
		}
		if a.IP == "" {
			a.IP = "127.0.0.1"
		}
		n := newNode(c, a, i)
		if err := n.restore(); err != nil {
			return fmt.Errorf("minimesos: %w", err)
		}
		if c.cfg.Simulated != nil {
			n.runner = newSimRunner(n, *c.cfg.Simulated, uint64(i))
		} else {
			n.dir = filepath.Join(c.cfg.WorkDir, "agents", n.name)
			if err := os.MkdirAll(n.dir, 0o755); err != nil {
				return fmt.Errorf("minimesos: work directory of agent %s: %w", a.Hostname, err)
			}
			r, err := newProcessRunner(n)
			if err != nil {
				return fmt.Errorf("minimesos: agent %s: %w", a.Hostname, err)
			}
			n.runner = r
			if err := n.listen(); err != nil {
				return errors.Join(err, r.close(false))
			}
		}
		c.nodes = append(c.nodes, n)
		if r, ok := n.runner.(*processRunner); ok {
			if err := r.recover(); err != nil {
				return fmt.Errorf("minimesos: agent %s: %w", a.Hostname, err)
			}
			n.inherit()
		}
	}
	return nil
}

// inherit ends what an agent that was given up has left running: Apache Mesos tells such an agent to shut down.
func (n *node) inherit() {
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	if n.successor {
		n.wipe()
	}
}

// Addr is the host:port of the master, of several the first.
func (c *Cluster) Addr() string { return c.seats[0].addr }

// Close stops master and agents. With killTasks all tasks are killed; without,
// tasks of real agents go on and are found again by the next Cluster that uses
// the same WorkDir.
func (c *Cluster) Close(killTasks bool) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	if c.m != nil {
		c.m.stop()
		c.m = nil
	}
	c.timers.close()
	dead := c.dead
	c.mu.Unlock()
	var err error
	for _, s := range c.seats {
		if s != dead {
			err = errors.Join(err, s.stop())
		}
	}
	close(c.dirty)
	c.keeping.Wait()
	err = errors.Join(err, c.writeRegistry())
	for _, n := range c.nodes {
		err = errors.Join(err, n.close(killTasks))
	}
	return err
}

// uuid makes the 16 bytes of a random uuid.
func (c *Cluster) uuid() []byte {
	b := make([]byte, 16)
	c.fillUUID(b)
	return b
}

func (c *Cluster) fillUUID(b []byte) {
	for i := 0; i < 16; i += 8 {
		x := c.rng.Uint64()
		for j := range 8 {
			b[i+j] = byte(x >> (8 * j))
		}
	}
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
}

// uuidText is a random uuid in its usual form.
func (c *Cluster) uuidText() string {
	var b [16]byte
	c.fillUUID(b[:])
	return formatUUID(b[:])
}

func formatUUID(b []byte) string {
	text := make([]byte, 0, 36)
	for i, part := range [...][]byte{b[:4], b[4:6], b[6:8], b[8:10], b[10:16]} {
		if i > 0 {
			text = append(text, '-')
		}
		text = hex.AppendEncode(text, part)
	}
	return string(text)
}

// nodeByHost finds an agent by its hostname. Of several with the same one, the
// second and later are called hostname-2 and so on, by their place in the list.
func (c *Cluster) nodeByHost(hostname string) *node {
	for _, n := range c.nodes {
		if n.name == hostname {
			return n
		}
	}
	return nil
}

// TaskView is what an agent knows of one of its tasks.
type TaskView struct {
	ID, Framework, AgentID, Hostname string
	State                            mesos.TaskState
	PID                              int // 0 for simulated tasks
}

// Tasks lists the tasks the agents have, terminal ones until their last update
// was acknowledged.
func (c *Cluster) Tasks() []TaskView {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []TaskView
	for _, n := range c.nodes {
		for key, t := range n.tasks {
			out = append(out, TaskView{
				ID: key.task, Framework: key.framework, AgentID: n.id, Hostname: n.cfg.Hostname,
				State: t.state, PID: t.pid,
			})
		}
	}
	return out
}
