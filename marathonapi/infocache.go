package marathonapi

import (
	"bytes"

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

// infos keeps encoded apps, so that a list of thousands of them is copied and not encoded (P15, D-39). An app with many
// instances is not kept: it is written piece by piece.
type infos struct {
	*generations[infoKey, info]
}

func newInfos() infos {
	return infos{newGenerations[infoKey](maxInfoBytes, func(v info) (int, int) { return oneText(v.text) })}
}

// text appends an app in a form: from the cache if nothing of its spec has moved since, else as encode does it. It
// reports false, with nothing appended, for an app that is not kept.
func (c infos) text(e *encoder, snap *state.Snapshot, k infoKey, encode func()) bool {
	revision := snap.Touched(k.app.ID)
	if v, ok := c.get(k); ok && v.term == snap.Term && v.revision == revision {
		e.b = append(e.b, v.text...)
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
		v := info{snap.Term, revision, bytes.Clone(e.b[begin:])}
		c.put(k, v, func(was info) bool { return was.term == v.term && was.revision >= v.revision }) // an older snapshot's reader
	}
	return true
}
