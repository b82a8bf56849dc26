package store

import (
	"context"
	"strings"
	"sync"

	"github.com/tidwall/btree"
)

// Fault says what goes wrong with one transaction of the in-memory twin.
type Fault int8

// The faults.
const (
	NoFault    Fault = iota
	LoseBefore       // ErrUnavailable, and the transaction did not happen
	LoseAfter        // ErrUnavailable, although the transaction happened (F9)
	Full             // ErrNoSpace
)

// Memory is the data of the in-memory twin. It outlives the terms that are opened on it.
type Memory struct {
	// Faults, when set, is asked before each transaction. It must be set before the first.
	Faults func() Fault
	// Watch, when set, is told the size of each transaction: operations and bytes (I12).
	Watch func(ops, bytes int)

	mu   sync.Mutex
	data btree.Map[string, []byte]
	rev  int64
	term int64
}

// NewMemory returns an empty twin.
func NewMemory() *Memory { return &Memory{} }

// Open begins a term: it returns a store whose fence holds until the next call of Open.
func (m *Memory) Open(o Options) *Store {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rev++
	m.term = m.rev
	return newStore(m, Fence{Key: "leader", Rev: m.term}, o)
}

// Join returns another store of the present term, to look at what a new leader would load without taking over. It
// must not commit.
func (m *Memory) Join(o Options) *Store {
	m.mu.Lock()
	defer m.mu.Unlock()
	return newStore(m, Fence{Key: "leader", Rev: m.term}, o)
}

// Fence ends the present term, as another process that takes over does.
func (m *Memory) Fence() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rev++
	m.term = m.rev
}

// Keys lists the stored keys with the sizes of their values.
func (m *Memory) Keys() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[string]int, m.data.Len())
	m.data.Scan(func(k string, v []byte) bool { out[k] = len(v); return true })
	return out
}

// Set stores a raw value behind the store's back, as a foreign writer would; nil deletes (F14).
func (m *Memory) Set(key string, value []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if value == nil {
		m.data.Delete(key)
		return
	}
	m.data.Set(key, value)
}

func (m *Memory) apply(_ context.Context, g guard, ops []op) (verdict, error) {
	if m.Watch != nil {
		size := 0
		for _, o := range ops {
			size += o.size()
		}
		m.Watch(len(ops), size)
	}
	f := NoFault
	if m.Faults != nil {
		f = m.Faults()
	}
	switch f {
	case LoseBefore:
		return verdict{}, ErrUnavailable
	case Full:
		return verdict{}, ErrNoSpace
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	v := m.decide(g, ops)
	if f == LoseAfter {
		return verdict{}, ErrUnavailable
	}
	return v, nil
}

func (m *Memory) decide(g guard, ops []op) verdict {
	v := verdict{fenced: g.fence.Rev != m.term, rev: m.rev}
	if g.key != "" {
		found, _ := m.data.Get(g.key)
		v.found = string(found)
	}
	if v.fenced || g.key != "" && v.found != g.want {
		return v
	}
	m.rev++
	for _, o := range ops {
		switch o.kind {
		case opPut:
			m.data.Set(o.key, o.value)
		case opDelete:
			m.data.Delete(o.key)
		case opDeleteTree:
			var gone []string
			m.data.Ascend(o.key, func(k string, _ []byte) bool {
				if strings.HasPrefix(k, o.key) {
					gone = append(gone, k)
					return true
				}
				return false
			})
			for _, k := range gone {
				m.data.Delete(k)
			}
		}
	}
	return verdict{ok: true, rev: m.rev}
}

// scan reads the present data: there is one writer at a time, so a load needs no old revision.
func (m *Memory) scan(_ context.Context, from, end string, _ int64, limit int) (page, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := page{rev: m.rev}
	m.data.Ascend(from, func(k string, v []byte) bool {
		if k >= end {
			return false
		}
		if len(p.pairs) == limit {
			p.more = true
			return false
		}
		p.pairs = append(p.pairs, pair{k, v})
		return true
	})
	return p, nil
}

func (m *Memory) compact(context.Context, int64) error { return nil }
