package wire

import (
	"fmt"
	"strings"

	"stadion/core"
)

// CreateApp reads the body of POST /v2/apps: a full definition whose id is new (http-api.md 4.5, 4.6). The result has
// no version stamps.
func (c *Config) CreateApp(body []byte, tree core.Tree) (*core.App, error) {
	v, err := parse(body)
	if err != nil {
		return nil, err
	}
	d, err := decodeApp(v, &path{}, true)
	if err != nil {
		return nil, err
	}
	a, err := c.build(d, core.Root, tree, nil)
	if err != nil {
		return nil, err
	}
	if _, ok := appAt(tree, a.ID); ok {
		return nil, &core.Error{Kind: core.Conflict, Message: fmt.Sprintf("An app with id [%s] already exists.", a.ID)}
	}
	return a, c.checkSize(a, len(body))
}

// decodeApp reads one app of a body and stops at violations of the schema.
func decodeApp(v any, p *path, needID bool) (*draft, error) {
	r := &reading{}
	o, ok := r.object(v, p)
	if !ok {
		return nil, r.schema.err(msgInvalidJSON)
	}
	d := readDraft(o)
	if needID {
		o.requireText("id")
	}
	return d, r.err()
}

// err is the answer to violations of the schema.
func (r *reading) err() error { return r.schema.err(msgInvalidJSON) }

// build makes an app of a full definition: legacy rules, translation, defaults, all rules (stages 4 to 11 of
// http-api.md 4.5). Relative ids and dependencies resolve against base; enforce is what the same request says about
// the top-level group.
func (c *Config) build(d *draft, base core.PathID, tree core.Tree, enforce *bool) (*core.App, error) {
	a := defaultApp()
	id, err := appID(d, base)
	if err != nil {
		return nil, err
	}
	a.ID = id
	if err := c.canonical(d, base, legacyRules); err != nil {
		return nil, err
	}
	return c.finish(&a, d, false, c.rolesFor(id, tree, enforce))
}

// appID resolves the id of a draft.
func appID(d *draft, base core.PathID) (core.PathID, error) {
	id, err := resolve(d.legacy.ID, base)
	if err != nil {
		return "", notValid("/id", err.Error())
	}
	if id == core.Root {
		var v violations
		v.add("/id", "Path must contain at least one path element")
		v.add("/", "must not be root")
		return "", v.err(msgNotValid)
	}
	return id, nil
}

// canonical runs rules on the old forms of a draft and translates it. What is wrong with constraints is kept for later.
func (c *Config) canonical(d *draft, base core.PathID, rules []func(*draft, *violations)) error {
	v := d.late
	for _, rule := range rules {
		rule(d, &v)
	}
	deps := make([]core.PathID, 0, len(d.legacy.Dependencies))
	for i, text := range d.legacy.Dependencies {
		id, err := resolve(text, base)
		if err != nil {
			v.add(fmt.Sprintf("/dependencies(%d)", i), TextPathPattern)
		}
		deps = append(deps, id)
	}
	if err := v.err(msgNotValid); err != nil {
		return err
	}
	d.app.Dependencies = deps
	c.translate(d)
	return nil
}

// TextPathPattern is the violation of a path with a segment that no id can have.
const TextPathPattern = `must fully match regular expression '^(([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])\.)*` +
	`([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])|(\.|\.\.)$'`

// resolve makes a path of a body absolute. One that climbs above the root stays there, as in Marathon: "../../db" at
// the root is "/db". Published examples rely on it.
func resolve(text string, base core.PathID) (core.PathID, error) {
	if !strings.HasPrefix(text, "/") {
		text = string(base) + "/" + text
	}
	var kept []string
	for _, s := range strings.Split(text, "/") {
		if s != ".." {
			kept = append(kept, s)
		} else if len(kept) > 0 {
			kept = kept[:len(kept)-1]
		}
	}
	return core.ParsePath("/"+strings.Join(kept, "/"), core.Root)
}

// finish merges a draft into an app and runs normalisation and all rules (stages 7 to 11).
func (c *Config) finish(a *core.App, d *draft, update bool, r roles) (*core.App, error) {
	for f := range appFields {
		if d.given.has(field(f)) {
			appFields[f].move(a, &d.app)
		}
	}
	bad := mergeConstraints(a, d)
	c.normalize(a, d.given, update, r)
	if err := c.checkApp(a, r); err != nil {
		return nil, err
	}
	return a, bad.err(msgNotValid)
}

// mergeConstraints converts the constraints of a draft; its violations belong to the last stage (http-api.md 4.5).
func mergeConstraints(a *core.App, d *draft) violations {
	var v violations
	if !d.given.has(fConstraints) {
		return nil
	}
	a.Constraints = make([]core.Constraint, 0, len(d.constraints))
	check := constraintChecks()
	for i, words := range d.constraints {
		con, text := makeConstraint(words, check)
		if text != "" {
			v.add(fmt.Sprintf("/constraints(%d)", i), text)
		}
		a.Constraints = append(a.Constraints, con)
	}
	return v
}

// The stored form of a definition is at most about forty times as long as its body ("{}" as a port mapping becomes
// a whole object), so only long bodies need to be measured.
const growth = 40

// checkSize refuses a definition whose stored form is too long for one value of the store (D-38).
func (c *Config) checkSize(spec core.RunSpec, bodyBytes int) error {
	if bodyBytes < c.maxBytes()/growth {
		return nil
	}
	text, err := core.EncodeJSON(spec)
	if err != nil {
		return fmt.Errorf("measure %s: %w", spec.SpecID(), err)
	}
	if len(text) <= c.maxBytes() {
		return nil
	}
	return notValid("/", fmt.Sprintf("the definition has %d bytes, more than the allowed %d", len(text), c.maxBytes()))
}
