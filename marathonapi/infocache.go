package marathonapi

import (
	"bytes"
	"sync"

	"stadion/core"
	"stadion/core/state"
)

// infoForm is a form in which an app is shown in lists: a set of these.
type infoForm uint16

const (
	formTasks infoForm = 1 << iota
	formCounts
	formDeployments
	formReadiness
	formFailure
	formStats
	formTaskList     // nothing but the tasks, as the lists of tasks show them
	formServicePorts // … with service ports
)

// form is how an app with these parts is shown.
func (m *embeds) form() (f infoForm) {
	for n, has := range [...]bool{m.tasks, m.counts, m.deployments, m.readiness, m.failure, m.stats} {
		if has {
			f |= formTasks << n
		}
	}
	return f
}

// infoKey names an encoded app: one version of it in one form.
type infoKey struct {
	app  *core.App
	form infoForm
}

// info is an encoded app as of a revision of its spec.
type info struct {
	term     int64
	revision uint64
	text     []byte
}

// infos keeps encoded apps, so that a list of thousands of them is copied and not encoded (P15, D-39). Two generations
// keep it bounded, as with fragments. An app with many instances is not kept: it is written piece by piece.
type infos struct {
	maxCount, maxBytes int

	mu         sync.RWMutex
	young, old map[infoKey]info
	bytes      int
}

func newInfos(maxCount, maxBytes int) *infos {
	return &infos{maxCount: maxCount, maxBytes: maxBytes, young: map[infoKey]info{}}
}

// text appends an app in a form: from the cache if nothing of its spec has moved since, else as encode does it. It
// reports false, with nothing appended, for an app that is not kept.
func (c *infos) text(e *encoder, snap *state.Snapshot, k infoKey, encode func()) bool {
	revision := snap.Touched(k.app.ID)
	if text, ok := c.get(k, snap.Term, revision); ok {
		e.b = append(e.b, text...)
		return true
	}
	if revision == 0 || k.form&formStats != 0 || snap.Counts(k.app.ID).Instances > maxInfoInstances {
		return false
	}
	begin := len(e.b)
	e.hold++
	encode()
	e.hold--
	if e.err == nil {
		c.put(k, info{snap.Term, revision, bytes.Clone(e.b[begin:])})
	}
	return true
}

func (c *infos) get(k infoKey, term int64, revision uint64) ([]byte, bool) {
	c.mu.RLock()
	v, ok := c.young[k]
	kept := ok
	if !ok {
		v, ok = c.old[k]
	}
	c.mu.RUnlock()
	if !ok || v.term != term || v.revision != revision {
		return nil, false
	}
	if !kept {
		c.put(k, v)
	}
	return v.text, true
}

// put keeps a text. A reader of an older snapshot does not replace what a newer one made.
func (c *infos) put(k infoKey, v info) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was, there := c.young[k]
	if there && was.term == v.term && was.revision >= v.revision {
		return
	}
	if !there && (len(c.young) >= c.maxCount || c.bytes+len(v.text) > c.maxBytes) {
		c.old, c.young, c.bytes = c.young, map[infoKey]info{}, 0
	}
	c.young[k] = v
	c.bytes += len(v.text) - len(was.text)
}
