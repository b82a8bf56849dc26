package marathonapi

import (
	"bytes"
	"slices"

	"stadion/core"
	"stadion/core/state"
)

// shownApp is an app of a list with the revision of its spec (0: unknown, not to be kept).
type shownApp struct {
	app      *core.App
	revision uint64
}

// shownApps are the apps below a group.
func shownApps(snap *state.Snapshot, group core.PathID) []shownApp {
	list := make([]shownApp, 0, snap.SpecCount())
	for spec, revision := range snap.SpecsTouched(group) {
		if a, ok := spec.(*core.App); ok {
			list = append(list, shownApp{a, revision})
		}
	}
	return list
}

// page is a run of a list, encoded. Every element has a comma before it.
type page struct {
	term int64
	apps []shownApp
	text []byte
}

type pageKey struct {
	first core.PathID
	form  infoForm
}

// pages keeps runs of lists on top of infos: a list of which little has changed is a few large writes. A page is found
// by its first app, so that an app that comes or goes spoils its own page only.
type pages struct {
	*generations[pageKey, *page]
	maxApps int
}

func newPages(maxApps int) pages {
	return pages{newGenerations[pageKey](maxInfoBytes, func(p *page) (int, int) { return len(p.text), len(p.apps) }), maxApps}
}

// find is the page with which a list begins; nil without. Without one, run is how many apps a new page may take: up to
// the next that begins a page.
func (c pages) find(term int64, form infoForm, list []shownApp) (p *page, run int) {
	p, ok := c.get(pageKey{list[0].app.ID, form})
	if ok && p.term == term && len(p.apps) <= len(list) && slices.Equal(p.apps, list[:len(p.apps)]) {
		return p, len(p.apps)
	}
	for run = 1; run < min(c.maxApps, len(list)) && !c.has(pageKey{list[run].app.ID, form}); run++ {
	}
	return nil, run
}

// replace keeps a page in the place of another that began with the same app.
func (c pages) replace(form infoForm, p *page) {
	if len(p.apps) > 0 {
		c.put(pageKey{p.apps[0].app.ID, form}, p, func(*page) bool { return false })
	}
}

// list writes what one writes of every app, in pages. one puts a comma before each element unless first says that
// there is none yet.
func (s *Server) list(e *encoder, snap *state.Snapshot, apps []shownApp, form infoForm, first *bool, one func(*core.App, *bool)) {
	for len(apps) > 0 && e.err == nil {
		if !keepable(snap, apps[0], form) {
			one(apps[0].app, first)
			apps = apps[1:]
			continue
		}
		p, run := s.pages.find(snap.Term, form, apps)
		if p == nil {
			p = e.page(snap, apps[:run], form, one)
			if e.err == nil {
				s.pages.replace(form, p)
			}
		}
		apps = apps[len(p.apps):]
		text := p.text
		if *first && len(text) > 0 {
			text, *first = text[1:], false
		}
		e.whole(text)
	}
}

// keepable: statistics change with the clock, and an app with many instances is written piece by piece.
func keepable(snap *state.Snapshot, a shownApp, form infoForm) bool {
	return a.revision != 0 && form&formStats == 0 && snap.Counts(a.app.ID).Instances <= maxInfoInstances
}

// page encodes a run of apps, shorter than asked for when it becomes long or meets one that is not kept.
func (e *encoder) page(snap *state.Snapshot, run []shownApp, form infoForm, one func(*core.App, *bool)) *page {
	begin, n := len(e.b), 0
	e.hold++
	for first := false; n < len(run) && len(e.b)-begin < pageBytes && keepable(snap, run[n], form); n++ {
		one(run[n].app, &first)
	}
	e.hold--
	p := &page{snap.Term, slices.Clone(run[:n]), bytes.Clone(e.b[begin:])}
	e.b = e.b[:begin]
	return p
}

// whole writes a kept text, without a copy if it is long.
func (e *encoder) whole(text []byte) {
	if len(text) < wholeAt {
		e.b = append(e.b, text...)
		e.spill()
		return
	}
	e.flush()
	if e.err == nil {
		e.write(text)
	}
}
