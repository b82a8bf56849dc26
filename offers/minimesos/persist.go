package minimesos

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	mesos "github.com/mesos/mesos-go/api/v1/lib"
)

// registryFile is the registry on disk, in WorkDir. It is what a cluster that is
// started again on the same directory knows of the one before.
type registryFile struct {
	NextAgent   int
	Agents      []registryAgent
	Unreachable map[string]time.Time
	Gone        map[string]time.Time
}

// registryAgent is an agent with its id and resources. Configured tells whether
// the resources of the configuration have changed since; then Total is void.
type registryAgent struct {
	Hostname, ID string // Hostname is the agent's name among all
	Configured   []json.RawMessage
	Total        []json.RawMessage
}

func encodeResources(rs []mesos.Resource) []json.RawMessage {
	out := make([]json.RawMessage, len(rs))
	for i := range rs {
		out[i] = appendJSON(nil, &rs[i])
	}
	return out
}

func decodeResources(raw []json.RawMessage) ([]mesos.Resource, error) {
	out := make([]mesos.Resource, len(raw))
	for i := range raw {
		if _, err := parseJSON(raw[i], &out[i], "Resource"); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// registryPath is empty when nothing is kept: simulated agents forget with their process.
func (c *Cluster) registryPath() string {
	if c.cfg.Simulated != nil || c.cfg.WorkDir == "" {
		return ""
	}
	return filepath.Join(c.cfg.WorkDir, "registry.json")
}

// saveRegistry arranges for the registry to be written. Changes in quick
// succession are written once.
func (c *Cluster) saveRegistry() {
	if c.closed {
		return
	}
	select {
	case c.dirty <- struct{}{}:
	default:
	}
}

// keepRegistry writes the registry whenever it has changed, until the cluster closes.
func (c *Cluster) keepRegistry() {
	defer c.keeping.Done()
	for range c.dirty {
		if err := c.writeRegistry(); err != nil {
			c.log("minimesos: %v", err)
		}
	}
}

func (c *Cluster) writeRegistry() error {
	path := c.registryPath()
	if path == "" {
		return nil
	}
	c.mu.Lock()
	f := registryFile{NextAgent: c.reg.nextAgent, Unreachable: c.reg.unreachable, Gone: c.reg.gone}
	for _, n := range c.nodes {
		f.Agents = append(f.Agents, registryAgent{Hostname: n.name, ID: n.id,
			Configured: encodeResources(n.cfg.Resources), Total: encodeResources(n.total.resources(""))})
	}
	data, err := json.Marshal(f)
	c.mu.Unlock()
	if err != nil {
		return fmt.Errorf("registry as JSON: %w", err)
	}
	if err := os.WriteFile(path+".new", data, 0o644); err != nil {
		return fmt.Errorf("write registry: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("replace registry: %w", err)
	}
	return nil
}

// loadRegistry brings back what an earlier cluster on the same WorkDir has left.
func (c *Cluster) loadRegistry() error {
	path := c.registryPath()
	if path == "" {
		return nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read registry: %w", err)
	}
	var f registryFile
	if err := json.Unmarshal(data, &f); err != nil {
		return fmt.Errorf("registry %s: %w", path, err)
	}
	c.reg.nextAgent = f.NextAgent
	for id, at := range f.Unreachable {
		c.reg.unreachable[id] = at
	}
	for id, at := range f.Gone {
		c.reg.gone[id] = at
	}
	c.known = map[string]registryAgent{}
	for _, a := range f.Agents {
		c.known[a.Hostname] = a
	}
	return nil
}

// restore gives a node the id and the resources it had in the earlier cluster.
func (n *node) restore() error {
	a, ok := n.c.known[n.name]
	if !ok {
		return nil
	}
	if _, gone := n.c.reg.gone[a.ID]; gone {
		n.successor = true
		return nil
	}
	n.id = a.ID
	configured, err := decodeResources(a.Configured)
	if err != nil {
		return fmt.Errorf("registry: agent %s: %w", n.cfg.Hostname, err)
	}
	was, is := n.c.ids.bagOf(configured), n.c.ids.bagOf(n.cfg.Resources)
	if !was.contains(is) || !is.contains(was) {
		return nil
	}
	total, err := decodeResources(a.Total)
	if err != nil {
		return fmt.Errorf("registry: agent %s: %w", n.cfg.Hostname, err)
	}
	n.total = n.c.ids.bagOf(total)
	return nil
}
