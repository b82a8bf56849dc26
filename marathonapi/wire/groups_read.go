package wire

import (
	"fmt"
	"slices"

	"stadion/core"
)

// groupDraft is what a body says about one group.
type groupDraft struct {
	place        *path
	idText       *string
	apps         []*draft      // nil: keep
	groups       []*groupDraft // nil: keep
	dependencies []string      // nil: keep
	scaleBy      *core.Num
	version      *core.Timestamp
	enforceRole  *bool
	fields       int // how many of the fields of http-api.md 6.4 were given

	id     core.PathID   // resolved
	deps   []core.PathID // resolved
	appIDs []core.PathID // resolved, in the order of apps
}

var groupFields = []string{"id", "apps", "groups", "dependencies", "scaleBy", "version", "enforceRole"}

// decodeGroup reads a group body and stops at violations of the schema.
func decodeGroup(v any) (*groupDraft, error) {
	r := &reading{}
	o, ok := r.rootObject(v)
	if !ok {
		return nil, r.err()
	}
	d := readGroup(o, 0)
	return d, r.err()
}

func readGroup(o object, depth int) *groupDraft {
	d := &groupDraft{place: o.path}
	if depth > core.MaxPathDepth {
		o.r.schema.add(o.path.String(), errMaxLength)
		return d
	}
	for _, f := range groupFields {
		if o.has(f) {
			d.fields++
		}
	}
	d.idText = o.optText("id")
	if d.idText != nil && *d.idText != "" && !pathPattern.MatchString(*d.idText) {
		o.fail("id", errPattern)
	}
	d.apps = objects(o, "apps", readDraft)
	for _, a := range d.apps {
		if !a.idGiven {
			o.r.schema.add(a.place.field("id").String(), "'id' is undefined on object")
		}
	}
	d.groups = objects(o, "groups", func(g object) *groupDraft { return readGroup(g, depth+1) })
	d.dependencies = o.texts("dependencies")
	if o.has("scaleBy") {
		d.scaleBy = ptr(o.number("scaleBy", 1))
		if *d.scaleBy < 0 {
			o.fail("scaleBy", errMin)
		}
	}
	d.version = readVersion(o)
	d.enforceRole = o.optBoolean("enforceRole")
	return d
}

// alone reports a body that asks for scaling or rollback.
func (d *groupDraft) alone() bool { return d.scaleBy != nil || d.version != nil }

// namesServices reports whether a body says anything about apps, be it what is so already.
func (d *groupDraft) namesServices() bool {
	return d.apps != nil || slices.ContainsFunc(d.groups, (*groupDraft).namesServices)
}

// target is the group that a request is about: the id of the body resolved against the path of the URL.
func (d *groupDraft) target(base core.PathID) (core.PathID, error) {
	if d.idText == nil {
		return base, nil
	}
	id, err := resolve(*d.idText, base)
	if err != nil {
		return "", notValid("/id", err.Error())
	}
	return id, nil
}

// check resolves all ids and collects what is wrong with the structure (http-api.md 6.4, 6.6).
func (d *groupDraft) check(id core.PathID) error {
	var v violations
	const text = "not allowed in conjunction with other properties."
	if d.scaleBy != nil && d.fields > 1 {
		v.add("/scaleBy", text)
	}
	if d.version != nil && d.fields > 1 {
		v.add("/version", text)
	}
	d.resolve(id, &v)
	return v.err(msgNotValid)
}

func (d *groupDraft) resolve(id core.PathID, v *violations) {
	d.id = id
	if d.enforceRole != nil && *d.enforceRole && (id == core.Root || id.Top() != id) {
		v.add(d.place.field("enforceRole").String(),
			fmt.Sprintf("enforceRole can only be set for top-level groups, and %s is not top-level", id))
	}
	if d.dependencies != nil {
		d.deps = []core.PathID{}
	}
	for i, t := range d.dependencies {
		dep, err := resolve(t, id)
		if err != nil {
			v.add(d.place.field("dependencies").at(i).String(), TextPathPattern)
		}
		d.deps = append(d.deps, dep)
	}
	for _, a := range d.apps {
		d.appIDs = append(d.appIDs, childID(a.legacy.ID, id, a.place, v))
	}
	for _, g := range d.groups {
		if g.idText == nil {
			v.add(g.place.field("id").String(), "'id' is undefined on object: a nested group must have an id")
			continue
		}
		if g.scaleBy != nil {
			v.add(g.place.field("scaleBy").String(), "not allowed in conjunction with other properties.")
		}
		child := childID(*g.idText, id, g.place, v)
		checkReserved(child, g.place.field("id").String(), v)
		g.resolve(child, v)
	}
}

func childID(text string, group core.PathID, place *path, v *violations) core.PathID {
	id, err := resolve(text, group)
	switch {
	case err != nil:
		v.add(place.field("id").String(), err.Error())
	case id == core.Root || id.Parent() != group:
		v.add(place.field("id").String(), fmt.Sprintf("Identifier is not child of '%s'", group))
	}
	return id
}
