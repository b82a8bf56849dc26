package marathonapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"stadion/core"
	"stadion/marathonapi/access"
)

// groupEmbeds is the default set; any embed parameter switches it off (http-api.md 6.2).
func (r *request) groupEmbeds() embeds {
	if len(r.QueryParams()["embed"]) == 0 {
		return embeds{groups: true, apps: true, pods: true}
	}
	return r.readGroupEmbeds()
}

func (s *Server) getGroup(r *request) error {
	id, _ := r.id()
	g, ok := r.snap.Group(id)
	if !ok {
		return missing("Group", id)
	}
	m := r.groupEmbeds()
	if !m.stats && r.unchanged() {
		return nil
	}
	return s.groupAnswer(r, r.snap, g, m)
}

func (s *Server) groupAnswer(r *request, tree core.Tree, g core.Group, m embeds) error {
	t := r.nodesBelow(tree, g.ID)
	return r.stream(func(e *encoder) { s.group(e, r, tree, g, m, t) })
}

// nodes is a part of the tree by parent, so that a group is written in one pass.
type nodes struct {
	apps   map[core.PathID][]shownApp
	pods   map[core.PathID][]*core.Pod
	groups map[core.PathID][]core.Group
}

// nodesBelow is what the client may see below a group.
func (r *request) nodesBelow(tree core.Tree, id core.PathID) *nodes {
	n := &nodes{apps: map[core.PathID][]shownApp{}, pods: map[core.PathID][]*core.Pod{}, groups: map[core.PathID][]core.Group{}}
	bound := r.actor.Bound()
	add := func(spec core.RunSpec, revision uint64) bool {
		if bound && !r.actor.May(access.View, spec.SpecID()) {
			return true
		}
		p := spec.SpecID().Parent()
		switch v := spec.(type) {
		case *core.App:
			n.apps[p] = append(n.apps[p], shownApp{v, revision})
		case *core.Pod:
			n.pods[p] = append(n.pods[p], v)
		}
		return true
	}
	if tree == core.Tree(r.snap) && !bound {
		r.snap.SpecsTouched(id)(add)
	} else {
		for spec := range tree.SpecsBelow(id) {
			add(spec, 0)
		}
	}
	for g := range tree.GroupsBelow(id) {
		if bound && !r.actor.Sees(access.View, g.ID) {
			continue
		}
		p := g.ID.Parent()
		n.groups[p] = append(n.groups[p], g)
	}
	return n
}

// group encodes a group and what is embedded, fields in the order of http-api.md 6.1.
func (s *Server) group(e *encoder, r *request, tree core.Tree, g core.Group, m embeds, n *nodes) {
	e.field(`{"id":`, string(g.ID))
	e.raw(`,"apps":[`)
	first := true
	if m.apps {
		s.apps(e, r.snap, n.apps[g.ID], m, &first)
	}
	e.raw(`],"pods":[`)
	first = true
	if m.pods {
		for _, p := range n.pods[g.ID] {
			e.comma(&first)
			s.podStatusText(e, r.snap, p)
		}
	}
	e.raw(`],"groups":[`)
	first = true
	if m.groups {
		for _, child := range n.groups[g.ID] {
			e.comma(&first)
			s.group(e, r, tree, child, m, n)
		}
	}
	e.raw(`],"dependencies":[`)
	for i, d := range g.Dependencies {
		if i > 0 {
			e.raw(",")
		}
		e.text(string(d))
	}
	version := g.Version
	if g.ID == core.Root {
		version = max(version, tree.RootStamp())
	}
	e.raw(`],"version":`)
	e.stamp(version)
	if g.EnforceRole != nil {
		e.raw(`,"enforceRole":`)
		e.json(*g.EnforceRole)
	}
	e.raw("}")
	e.spill()
}

// groupApps is a bare array of the apps of a group and below; a missing group is an empty one (http-api.md 6.3).
func (s *Server) groupApps(r *request) error {
	id, _ := r.id()
	m := r.readGroupEmbeds()
	return r.stream(func(e *encoder) {
		e.raw("[")
		first := true
		s.apps(e, r.snap, r.shownApps(id), m, &first)
		e.raw("]")
	})
}

// groupVersions lists the versions of the tree that have the group, newest first.
func (s *Server) groupVersions(r *request) error {
	id, _ := r.id()
	if _, ok := r.snap.Group(id); !ok {
		return missing("Group", id)
	}
	out := []core.Timestamp{}
	for root := range r.snap.Roots() {
		if id != core.Root {
			tree, _ := r.snap.RootAt(root.Version)
			if _, had := tree.Group(id); !had {
				continue
			}
		}
		out = append(out, root.Version)
	}
	slices.Reverse(out)
	return r.answer(http.StatusOK, out)
}

func (s *Server) groupVersion(r *request) error {
	at, err := core.ParseTimestamp(r.vars["version"])
	if err != nil {
		return err
	}
	id, _ := r.id()
	if tree, ok := r.snap.RootAt(at); ok {
		if g, ok := tree.Group(id); ok {
			return s.groupAnswer(r, tree, g, r.groupEmbeds())
		}
	}
	return missing("Group", id)
}

func (s *Server) createGroup(r *request) error {
	id, body, err := r.target(badGroupID)
	if err != nil {
		return err
	}
	res, err := s.update(r, r.flag("force"), nil, func(tree core.Tree) (core.Change, error) {
		return s.wire.PutGroup(id, body, true, tree)
	})
	if err != nil {
		return err
	}
	s.located(r, string(bodyGroupID(id, body)))
	return r.deployed(http.StatusCreated, res)
}

// bodyGroupID is the id of an accepted body, resolved against the path.
func bodyGroupID(path core.PathID, body []byte) core.PathID {
	var b struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(body, &b) != nil || b.ID == "" {
		return path
	}
	if id, err := core.ParsePath(b.ID, path); err == nil {
		return id
	}
	return path
}

func (s *Server) putGroup(r *request) error {
	id, body, err := r.target(badGroupID)
	if err != nil {
		return err
	}
	res, err := s.update(r, r.flag("force"), nil, func(tree core.Tree) (core.Change, error) {
		return s.wire.PutGroup(id, body, false, tree)
	})
	if err != nil {
		return err
	}
	return r.deployed(http.StatusOK, res)
}

func (s *Server) patchGroup(r *request) error {
	id, body, err := r.target(badGroupID)
	if err != nil {
		return err
	}
	_, err = s.update(r, false, nil, func(tree core.Tree) (core.Change, error) { return s.wire.PatchGroup(id, body, tree) })
	var e *core.Error
	if errors.As(err, &e) && e.Kind == core.NotFound {
		return missing("Group", id)
	}
	if err != nil {
		return err
	}
	return r.NoContent(http.StatusOK)
}

func (s *Server) deleteGroup(r *request) error {
	id, _ := r.id()
	res, err := s.update(r, r.flag("force"), nil, func(tree core.Tree) (core.Change, error) { return s.wire.RemoveGroup(id, tree) })
	if err != nil {
		return err
	}
	return r.deployed(http.StatusOK, res)
}
