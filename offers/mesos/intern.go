package mesos

import (
	mesos "github.com/mesos/mesos-go/api/v1/lib"

	"stadion/core"
	"stadion/offers"
)

// interned shares values that come again and again: agent ids and what is known of agents (one AgentInfo per agent
// as long as nothing of it changes). One goroutine, the reader of the stream, uses it.
type interned struct {
	strings map[string]string
	agents  map[string]knownAgent
}

// knownAgent is what is known of an agent: for the scheduler, and its attributes for those who want to see them.
type knownAgent struct {
	info  *core.AgentInfo
	kinds []mesos.Value_Type
	typed []offers.Attribute
}

func newInterned() *interned {
	return &interned{strings: map[string]string{}, agents: map[string]knownAgent{}}
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

// agent is a with its attributes, or earlier equal values.
func (in *interned) agent(a *core.AgentInfo, list []mesos.Attribute) (*core.AgentInfo, []offers.Attribute) {
	if old, ok := in.agents[a.ID]; ok && sameAgent(old.info, a) && sameKinds(old.kinds, list) {
		return old.info, old.typed
	}
	if len(in.agents) >= maxInterned {
		clear(in.agents)
	}
	k := knownAgent{info: a, typed: typedAttributes(list)}
	for i := range list {
		k.kinds = append(k.kinds, list[i].Type)
	}
	in.agents[a.ID] = k
	return k.info, k.typed
}

// sameKinds: the number 1 and the text "1" are written alike.
func sameKinds(kinds []mesos.Value_Type, list []mesos.Attribute) bool {
	if len(kinds) != len(list) {
		return false
	}
	for i := range list {
		if list[i].Type != kinds[i] {
			return false
		}
	}
	return true
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
