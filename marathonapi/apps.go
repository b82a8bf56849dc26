package marathonapi

import (
	"net/http"
	"slices"
	"strings"

	"stadion/core"
	"stadion/core/state"
)

// theApp finds the app of the path; missing ones are a 404 of the endpoint.
func (r *request) theApp() (*core.App, error) {
	id, _ := r.id()
	if spec, ok := r.snap.Spec(id); ok {
		if a, ok := spec.(*core.App); ok {
			return a, nil
		}
	}
	return nil, missing("App", id)
}

// appFilter is the conjunction of the list's filters (http-api.md 4.2).
type appFilter struct {
	id, cmd string
	byCmd   bool
	label   selector
}

func (r *request) appFilter() (f appFilter, err error) {
	q := r.QueryParams()
	f.id = strings.ToLower(q.Get("id"))
	f.cmd, f.byCmd = strings.ToLower(q.Get("cmd")), q.Has("cmd")
	f.label, err = parseSelector(q.Get("label"))
	return f, err
}

func (f *appFilter) matches(a *core.App) bool {
	if f.id != "" && !strings.Contains(string(a.ID), f.id) {
		return false
	}
	if f.byCmd && (a.Cmd == nil || !strings.Contains(strings.ToLower(*a.Cmd), f.cmd)) {
		return false
	}
	return f.label.matches(a.Labels)
}

// none: every app matches.
func (f *appFilter) none() bool { return f.id == "" && !f.byCmd && len(f.label) == 0 }

// apps writes AppInfos, separated by commas.
func (s *Server) apps(e *encoder, snap *state.Snapshot, list []shownApp, m embeds, first *bool) {
	s.list(e, snap, list, m.form(), first, func(a *core.App, first *bool) {
		e.comma(first)
		s.app(e, snap, a, m)
	})
}

func (s *Server) listApps(r *request) error {
	filter, err := r.appFilter()
	if err != nil {
		return err
	}
	m := r.readEmbeds(embeds{counts: true, deployments: true})
	if !m.stats && r.unchanged() {
		return nil
	}
	return r.stream(func(e *encoder) {
		e.raw(`{"apps":[`)
		first := true
		list := r.shownApps(core.Root)
		if !filter.none() {
			list = slices.DeleteFunc(list, func(a shownApp) bool { return !filter.matches(a.app) })
		}
		s.apps(e, r.snap, list, m, &first)
		e.raw("]}")
	})
}

// singleEmbeds are what a single app always shows (http-api.md 4.15).
var singleEmbeds = embeds{counts: true, tasks: true, failure: true, deployments: true}

func (s *Server) getApp(r *request) error {
	a, err := r.theApp()
	if err != nil {
		return err
	}
	m := r.readEmbeds(singleEmbeds)
	if !m.stats && r.unchanged() {
		return nil
	}
	return r.stream(func(e *encoder) {
		e.raw(`{"app":`)
		s.app(e, r.snap, a, m)
		e.raw("}")
	})
}

// wildcardApps is GET /v2/apps/{group}/*: all apps below, under the key "*".
func (s *Server) wildcardApps(r *request) error {
	id, _ := r.id()
	if _, ok := r.snap.Group(id); !ok {
		return missing("Group", id)
	}
	m := r.readEmbeds(singleEmbeds)
	return r.stream(func(e *encoder) {
		e.raw(`{"*":[`)
		first := true
		s.apps(e, r.snap, r.shownApps(id), m, &first)
		e.raw("]}")
	})
}

func (s *Server) appVersions(r *request) error {
	a, err := r.theApp()
	if err != nil {
		return err
	}
	return r.answer(http.StatusOK, map[string]any{"versions": stampsOf(r.snap.SpecVersions(a.ID))})
}

// stampsOf lists the versions newest first.
func stampsOf(specs []core.RunSpec) []core.Timestamp {
	out := make([]core.Timestamp, 0, len(specs))
	for i := len(specs) - 1; i >= 0; i-- {
		out = append(out, specs[i].SpecVersion())
	}
	return out
}

func (s *Server) appVersion(r *request) error {
	at, err := core.ParseTimestamp(r.vars["version"])
	if err != nil {
		return err
	}
	id, _ := r.id()
	spec, ok := r.snap.SpecAt(id, at)
	if a, isApp := spec.(*core.App); ok && isApp {
		return r.answer(http.StatusOK, a)
	}
	return &core.Error{Kind: core.NotFound, Message: "App '" + string(id) + "' does not exist in version " + at.String(), Direct: true}
}
