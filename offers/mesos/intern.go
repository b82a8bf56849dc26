package mesos

import "stadion/core"

// interned shares values that come again and again: agent ids and what is known of agents (one AgentInfo per agent
// as long as nothing of it changes). One goroutine, the reader of the stream, uses it.
type interned struct {
	strings map[string]string
	agents  map[string]*core.AgentInfo
}

func newInterned() *interned {
	return &interned{strings: map[string]string{}, agents: map[string]*core.AgentInfo{}}
}

// text is b as a string, shared with earlier equal ones.
func (in *interned) text(b []byte) string {
	if s, ok := in.strings[string(b)]; ok {
		return s
	}
	if len(in.strings) >= maxInterned {
		clear(in.strings)
	}
	s := string(b)
	in.strings[s] = s
	return s
}

// agent is a, or an earlier equal value.
func (in *interned) agent(a *core.AgentInfo) *core.AgentInfo {
	if old := in.agents[a.ID]; old != nil && sameAgent(old, a) {
		return old
	}
	if len(in.agents) >= maxInterned {
		clear(in.agents)
	}
	in.agents[a.ID] = a
	return a
}

func sameAgent(a, b *core.AgentInfo) bool {
	if a.Host != b.Host || a.ID != b.ID || a.Region != b.Region || a.Zone != b.Zone || len(a.Attributes) != len(b.Attributes) {
		return false
	}
	for i := range a.Attributes {
		if a.Attributes[i] != b.Attributes[i] {
			return false
		}
	}
	return true
}
