package minimesos

import (
	"fmt"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// faults are what a test asked to go wrong.
type faults struct {
	drops    int
	doubles  int // so many updates are repeated
	repeats  int // each so often
	delays   int
	delay    time.Duration
	refusals int
	refusal  answer
	recovery time.Duration // of a new master
}

func (f *faults) drop() bool {
	if f.drops == 0 {
		return false
	}
	f.drops--
	return true
}

// late tells by how much the next update is to come later.
func (f *faults) late() time.Duration {
	if f.delays == 0 {
		return 0
	}
	f.delays--
	return f.delay
}

// again tells how often the next update is to be repeated.
func (f *faults) again() int {
	if f.doubles == 0 {
		return 0
	}
	f.doubles--
	return f.repeats
}

// refuse tells whether the next scheduler call is to be refused, and how.
func (c *Cluster) refuse() (answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.faults.refusals == 0 {
		return answer{}, false
	}
	c.faults.refusals--
	return c.faults.refusal, true
}

// SlowRecovery makes every new master take d until it has recovered; it answers 503 so long.
func (c *Cluster) SlowRecovery(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults.recovery = d
}

// DropUpdates loses the next n status updates between agent and framework; they
// come again with the retries.
func (c *Cluster) DropUpdates(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults.drops = n
}

// DelayUpdates lets each of the next n status updates come to the framework d later;
// others may overtake it.
func (c *Cluster) DelayUpdates(n int, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults.delays, c.faults.delay = n, d
}

// DuplicateUpdates sends each of the next n status updates times times more.
func (c *Cluster) DuplicateUpdates(n, times int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults.doubles, c.faults.repeats = n, times
}

// RefuseCalls answers the next n scheduler calls with an HTTP status.
func (c *Cluster) RefuseCalls(n, status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := "refused on request"
	if status == 503 {
		text = "Master has not finished recovery"
	}
	c.faults.refusals, c.faults.refusal = n, answer{status, text}
}

// CutStreams breaks the connection of every event stream without the last chunk,
// between two records or inside of one.
func (c *Cluster) CutStreams(inside bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		return
	}
	for _, fw := range c.m.frameworks {
		switch {
		case fw.stream == nil:
		case inside:
			fw.stream.tear()
		default:
			fw.stream.abort()
		}
	}
}

// LoseAgent cuts an agent off from the master, as a network partition does: its
// tasks go on. It is unreachable after the ping timeout.
func (c *Cluster) LoseAgent(hostname string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.nodeByHost(hostname)
	if n == nil || n.down {
		return n != nil
	}
	n.down = true
	if c.m != nil {
		if a := c.m.agents[n.id]; a != nil {
			c.m.agentDisconnected(a)
		}
	}
	return true
}

// ReturnAgent connects a lost agent again.
func (c *Cluster) ReturnAgent(hostname string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.nodeByHost(hostname)
	if n == nil {
		return false
	}
	if n.down {
		n.down = false
		n.register()
	}
	return true
}

// StopAgent kills an agent process as kill -9 does: its tasks go on if there is a
// Config.Helper. StartAgent starts it again.
func (c *Cluster) StopAgent(hostname string) error {
	if !c.LoseAgent(hostname) {
		return fmt.Errorf("no agent %s", hostname)
	}
	c.mu.Lock()
	n := c.nodeByHost(hostname)
	old, real := n.runner.(*processRunner)
	stopped := n.stopped
	n.stopped = true
	c.mu.Unlock()
	if !real || stopped {
		return nil
	}
	if err := old.close(false); err != nil {
		return fmt.Errorf("stop agent %s: %w", hostname, err)
	}
	return nil
}

// StartAgent starts a stopped agent again and brings it back: of a framework that
// checkpoints it finds the tasks. The agent is registered when it returns.
func (c *Cluster) StartAgent(hostname string) error {
	c.mu.Lock()
	n := c.nodeByHost(hostname)
	if n == nil || !n.stopped {
		c.mu.Unlock()
		return fmt.Errorf("no stopped agent %s", hostname)
	}
	_, real := n.runner.(*processRunner)
	c.mu.Unlock()
	if real {
		fresh, err := newProcessRunner(n)
		if err != nil {
			return fmt.Errorf("start agent %s: %w", hostname, err)
		}
		c.mu.Lock()
		n.runner = fresh
		c.mu.Unlock()
		if err := fresh.recoverTasks(); err != nil {
			return fmt.Errorf("recover agent %s: %w", hostname, err)
		}
	}
	c.mu.Lock()
	n.stopped = false
	c.mu.Unlock()
	c.ReturnAgent(hostname)
	return nil
}

// RestartAgent is StopAgent and StartAgent at once, as a crash and a supervisor are.
func (c *Cluster) RestartAgent(hostname string) error {
	if err := c.StopAgent(hostname); err != nil {
		return err
	}
	return c.StartAgent(hostname)
}

// UnregisterAgent stops an agent as SIGUSR1 does: it says goodbye to the master and
// its tasks are killed. ReturnAgent starts it again, with a new id.
func (c *Cluster) UnregisterAgent(hostname string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.nodeByHost(hostname)
	if n == nil || n.master() == nil {
		return false
	}
	c.m.unregister(c.m.agents[n.id], "the agent unregistered")
	n.down, n.id = true, ""
	return true
}

// ExpireAgent makes a lost agent unreachable now instead of after the ping timeout.
func (c *Cluster) ExpireAgent(hostname string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.nodeByHost(hostname)
	if n == nil || c.m == nil {
		return false
	}
	a := c.m.agents[n.id]
	if a == nil || a.connected {
		return false
	}
	c.timers.stop(n.ping)
	c.m.agentUnreachable(a)
	return true
}

// MarkAgentGone does what the operator call of that name does. It reports whether
// the agent is known.
func (c *Cluster) MarkAgentGone(hostname string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.nodeByHost(hostname)
	return n != nil && c.m != nil && c.m.markGone(n.id)
}

// FinishTask ends a task of a simulated agent in the given terminal state, as if
// its process had ended by itself. It reports whether there was such a task.
func (c *Cluster) FinishTask(framework, task string, state mesos.TaskState, message string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.nodes {
		r, ok := n.runner.(*simRunner)
		if !ok {
			continue
		}
		if t := r.tasks[taskKey{framework, task}]; t != nil {
			r.end(t, state, message)
			return true
		}
	}
	return false
}
