package wire

import (
	"maps"

	"stadion/core"
)

// PutApp reads the body of PUT /v2/apps/{id} (http-api.md 4.6). existed says whether the app was there: a missing one
// is created from a full definition, an existing one is changed by the given fields, or replaced as a whole when
// partial is false. A body of nothing but version (and id) asks for that version again.
func (c *Config) PutApp(id core.PathID, body []byte, partial bool, tree core.Tree) (app *core.App, existed bool, err error) {
	v, err := parse(body)
	if err != nil {
		return nil, false, err
	}
	old, existed := appAt(tree, id)
	d, err := decodeApp(withoutID(v), &path{}, false)
	if err != nil {
		return nil, existed, err
	}
	if existed {
		app, err = c.change(id, old, d, partial, tree)
	} else {
		app, err = c.replace(id, d, tree)
	}
	if err != nil {
		return nil, existed, err
	}
	return app, existed, c.checkSize(app, len(body))
}

// PatchApp reads the body of PATCH /v2/apps/{id}: a partial update that never creates. For a missing app the body is
// read as a full definition first, so that its mistakes are told before the 404.
func (c *Config) PatchApp(id core.PathID, body []byte, tree core.Tree) (*core.App, error) {
	a, existed, err := c.PutApp(id, body, true, tree)
	if err != nil {
		return nil, err
	}
	if !existed {
		return nil, notFound("App", id)
	}
	return a, nil
}

// PutApps reads the array forms of PUT and PATCH /v2/apps: one partial update (or full definition, when partial is
// false) per element, each with its own id, which may be relative to the root. Missing apps are created if mayCreate.
// Several elements for one app apply one after the other.
func (c *Config) PutApps(body []byte, partial, mayCreate bool, tree core.Tree) ([]*core.App, error) {
	v, err := parse(body)
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok {
		return nil, violations{{Path: "/", Errors: []string{errArray}}}.err(msgInvalidJSON)
	}
	drafts, err := decodeApps(list)
	if err != nil {
		return nil, err
	}
	var order []core.PathID
	done := map[core.PathID]*core.App{}
	for _, d := range drafts {
		if !d.idGiven {
			return nil, &core.Error{Kind: core.Invalid, Message: "requirement failed: App Update must have app id set"}
		}
		id, err := appID(d, core.Root)
		if err != nil {
			return nil, err
		}
		old, exists := done[id]
		if !exists {
			order = append(order, id)
			old, exists = appAt(tree, id)
		}
		if done[id], err = c.putOne(id, old, exists, d, partial, mayCreate, tree); err != nil {
			return nil, err
		}
	}
	out := make([]*core.App, len(order))
	for i, id := range order {
		out[i] = done[id]
		if err := c.checkSize(out[i], len(body)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (c *Config) putOne(id core.PathID, old *core.App, exists bool, d *draft, partial, mayCreate bool, tree core.Tree) (*core.App, error) {
	if exists {
		return c.change(id, old, d, partial, tree)
	}
	a, err := c.replace(id, d, tree)
	if err == nil && !mayCreate {
		return nil, notFound("App", id)
	}
	return a, err
}

func decodeApps(list []any) ([]*draft, error) {
	r := &reading{}
	out := make([]*draft, 0, len(list))
	for i, v := range list {
		if o, ok := r.object(v, (&path{}).at(i)); ok {
			out = append(out, readDraft(o))
		}
	}
	return out, r.err()
}

func appAt(tree core.Tree, id core.PathID) (*core.App, bool) {
	s, ok := tree.Spec(id)
	if !ok {
		return nil, false
	}
	a, ok := s.(*core.App)
	return a, ok
}

// withoutID drops the id of a body whose URL names the app: the URL wins, whatever the body says.
func withoutID(v any) any {
	m, ok := v.(map[string]any)
	if _, has := m["id"]; !ok || !has {
		return v
	}
	m = maps.Clone(m)
	delete(m, "id")
	return m
}

// replace builds the app id from a full definition.
func (c *Config) replace(id core.PathID, d *draft, tree core.Tree) (*core.App, error) {
	d.legacy.ID = string(id)
	return c.build(d, core.Root, tree, nil)
}

// change applies a draft to a stored app: rollback, merge or replacement.
func (c *Config) change(id core.PathID, old *core.App, d *draft, partial bool, tree core.Tree) (*core.App, error) {
	if !partial {
		return c.replace(id, d, tree)
	}
	if d.version != nil {
		return rollback(id, d, tree)
	}
	lendContainer(d, old)
	if err := c.canonical(d, core.Root, mergeRules); err != nil {
		return nil, err
	}
	a := *old
	return c.finish(&a, d, true, c.rolesFor(id, tree, nil))
}

// lendContainer gives a draft that only names ports in the oldest form the stored container to put them into.
func lendContainer(d *draft, old *core.App) {
	ip := d.legacy.IPAddress
	if ip == nil || len(ip.Discovery) == 0 || d.given.has(fContainer) || old.Container == nil {
		return
	}
	k := *old.Container
	k.PortMappings = nil
	d.app.Container = &k
	d.given.set(fContainer)
}

// rollback finds the version that a body of nothing but version and id names.
func rollback(id core.PathID, d *draft, tree core.Tree) (*core.App, error) {
	if l := d.legacy; d.given != 0 || len(l.URIs) > 0 || l.Ports != nil || l.IPAddress != nil {
		return nil, notValid("/", "The 'version' field may only be combined with the 'id' field.")
	}
	if s, ok := tree.SpecAt(id, *d.version); ok {
		if a, ok := s.(*core.App); ok {
			return a, nil
		}
	}
	return nil, notFound("App", id)
}
