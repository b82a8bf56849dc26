package minimesos

import "time"

const endPause = 20 * time.Millisecond // between two looks at what still runs

// EndTasks asks every task to end as a KILL would, SIGTERM first and SIGKILL after its grace period, and waits until none
// runs or limit has passed. It is for an orderly end of the whole cluster; Close(true) kills what is left.
func (c *Cluster) EndTasks(limit time.Duration) {
	c.mu.Lock()
	for _, n := range c.nodes {
		for key, t := range n.tasks {
			if !terminal(t.state) && n.runner != nil {
				n.runner.kill(key.framework, key.task, nil)
			}
		}
	}
	c.mu.Unlock()
	for end := time.Now().Add(limit); time.Now().Before(end) && c.running(); {
		time.Sleep(endPause)
	}
}

// running reports whether any task has not ended.
func (c *Cluster) running() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.nodes {
		for _, t := range n.tasks {
			if !terminal(t.state) {
				return true
			}
		}
	}
	return false
}
