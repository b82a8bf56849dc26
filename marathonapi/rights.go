package marathonapi

import (
	"slices"

	"stadion/core"
	"stadion/deployments"
	"stadion/marathonapi/access"
)

// scope says of what a route's right is asked.
type scope uint8

const (
	ofNothing scope = iota // everybody: shows nothing, or shows each client what it may see
	ofAnybody              // whoever has any right at all
	ofID                   // of the id of the path
	ofTree                 // of the id of the path or something below it: the rest is filtered or judged further in
	ofServer               // of the server itself
)

// Needs is what a route asks of its client before anything else is looked at (S5). One of the rights is enough; which
// one it must be is judged again for every app, pod and group that the request shows or touches.
type Needs struct {
	Right access.Right
	of    scope
}

// The needs of the table.
var (
	needNothing = Needs{}
	needFilter  = Needs{access.View, ofNothing} // lists: shows what the client may see, be it nothing
	needAny     = Needs{0, ofAnybody}
	needView    = Needs{access.View, ofID}
	needViewIn  = Needs{access.View, ofTree}
	needCreate  = Needs{access.Create, ofTree}
	needPut     = Needs{access.Create | access.Update, ofID}
	needUpdate  = Needs{access.Update, ofID}
	needDelete  = Needs{access.Delete, ofID}
	needGroup   = Needs{access.Create | access.Update | access.Delete, ofTree}
	needSystem  = Needs{access.System, ofServer}
	needLeader  = Needs{access.Leader, ofServer}
	needLogging = Needs{access.Logging, ofServer}
)

// admit refuses a client that cannot have a right to this route.
func (r *request) admit(n Needs) error {
	ok := true
	switch n.of {
	case ofAnybody:
		ok = r.actor.Known()
	case ofID:
		id, _ := r.id()
		ok = r.actor.May(n.Right, id)
	case ofTree:
		id, _ := r.id()
		ok = r.actor.Sees(n.Right, id)
	case ofServer:
		ok = r.actor.Has(n.Right)
	}
	if !ok {
		return errForbidden
	}
	return nil
}

var errForbidden = &core.Error{Kind: core.Forbidden, Message: "Not Authorized to perform this action!"}

// forbids asks for rights on an id. The refusal names the id only to whoever may know of it.
func forbids(a *access.Actor, right access.Right, id core.PathID) error {
	if a.May(right, id) {
		return nil
	}
	if !a.May(access.View, id) {
		return errForbidden
	}
	return &core.Error{Kind: core.Forbidden, Message: errForbidden.Message,
		Details: []core.Detail{{Path: string(id), Errors: []string{"may not be changed by this user"}}}}
}

// mayChange judges a change by everything it touches, wherever the request got the ids from (S5).
func (r *request) mayChange(tree core.Tree, ch core.Change) error {
	if !r.actor.Bound() {
		return nil
	}
	for right, id := range touched(tree, ch) {
		if err := forbids(r.actor, right, id); err != nil {
			return err
		}
		if ch.Force {
			if err := forbids(r.actor, access.Force, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// touched yields what a change does to which id. Groups that only come into being around something else need no right
// of their own.
func touched(tree core.Tree, ch core.Change) func(func(access.Right, core.PathID) bool) {
	return func(yield func(access.Right, core.PathID) bool) {
		put := map[core.PathID]bool{}
		for _, s := range ch.Put {
			put[s.SpecID()] = true
			right := access.Update
			if _, exists := tree.Spec(s.SpecID()); !exists {
				right = access.Create
			}
			if !yield(right, s.SpecID()) {
				return
			}
		}
		for _, id := range ch.Restart {
			if !yield(access.Update, id) {
				return
			}
		}
		for _, id := range ch.Remove {
			if !put[id] && !yield(access.Delete, id) {
				return
			}
		}
		for _, g := range ch.PutGroups {
			right := access.Update
			if _, exists := tree.Group(g.ID); !exists {
				if right = access.Create; encloses(g, ch) {
					continue
				}
			}
			if !yield(right, g.ID) {
				return
			}
		}
		for _, id := range ch.RemoveGroups {
			if !yield(access.Delete, id) {
				return
			}
		}
	}
}

// encloses reports whether a new group that asks for nothing itself holds something else of the change.
func encloses(g core.Group, ch core.Change) bool {
	if len(g.Dependencies) > 0 {
		return false
	}
	return slices.ContainsFunc(ch.Put, func(s core.RunSpec) bool { return s.SpecID().Below(g.ID) }) ||
		slices.ContainsFunc(ch.PutGroups, func(o core.Group) bool { return o.ID.Below(g.ID) })
}

// mayKill judges the killing of instances by the specs they belong to.
func (r *request) mayKill(victims []*core.Instance) error {
	for _, i := range victims {
		if err := forbids(r.actor, access.Update, i.Spec); err != nil {
			return err
		}
	}
	return nil
}

// maySteer judges what is done to a deployment by the apps and pods it is about. What does not exist is nobody's.
func (r *request) maySteer(id string, force bool) error {
	d, ok := r.snap.Deployment(id)
	if !ok || !r.actor.Bound() {
		return nil
	}
	for _, a := range d.AffectedSpecs() {
		if err := forbids(r.actor, access.Update, a.Spec); err != nil {
			return err
		}
		if force {
			if err := forbids(r.actor, access.Force, a.Spec); err != nil {
				return err
			}
		}
	}
	return nil
}

// sees reports whether a deployment is about something the client may view.
func (r *request) sees(d *core.Deployment) bool {
	return !r.actor.Bound() || slices.ContainsFunc(d.AffectedSpecs(), func(a core.Action) bool { return r.actor.May(access.View, a.Spec) })
}

// shownApps are the apps below a group that the client may see. What is filtered is not kept in pages: those are for
// the many clients that see all.
func (r *request) shownApps(group core.PathID) []shownApp {
	list := shownApps(r.snap, group)
	if !r.actor.Bound() || r.actor.May(access.View, group) && group == core.Root {
		return list
	}
	list = slices.DeleteFunc(list, func(a shownApp) bool { return !r.actor.May(access.View, a.app.ID) })
	for n := range list {
		list[n].revision = 0
	}
	return list
}

// shownPods are the pods that the client may see.
func (r *request) shownPods(yield func(*core.Pod) bool) {
	for spec := range r.snap.SpecsBelow(core.Root) {
		if p, ok := spec.(*core.Pod); ok && r.actor.May(access.View, p.ID) && !yield(p) {
			return
		}
	}
}

// recordChange has written down what a change does, for the audit log (S8). A change that cannot be prepared is about to be
// refused for that.
func (r *request) recordChange(tree core.Tree, ch core.Change) {
	rec := access.RecordOf(r.Request().Context())
	if rec == nil || r.dry {
		return
	}
	rec.Later(func() { writeDown(rec, tree, ch) })
}

// writeDown makes the entries of a change of a tree; neither changes any more.
func writeDown(rec *access.Record, tree core.Tree, ch core.Change) {
	for _, s := range ch.Put {
		if !rec.Room() {
			rec.Add(access.Entry{ID: s.SpecID()}) // counted
			continue
		}
		old, had := tree.Spec(s.SpecID())
		rec.Add(entryOf(old, had, s))
	}
	for _, id := range ch.Restart {
		rec.Add(access.Entry{ID: id, Change: "restart"})
	}
	for _, id := range ch.Remove {
		rec.Add(access.Entry{ID: id, Change: "remove"})
	}
	for _, g := range ch.PutGroups {
		e := access.Entry{ID: g.ID, Change: "group", Diff: map[string]access.Change{}}
		old, _ := tree.Group(g.ID)
		e.Diff["dependencies"] = access.Change{From: textOf(old.Dependencies), To: textOf(g.Dependencies)}
		e.Diff["enforceRole"] = access.Change{From: textOf(old.EnforceRole), To: textOf(g.EnforceRole)}
		rec.Add(e)
	}
	for _, id := range ch.RemoveGroups {
		rec.Add(access.Entry{ID: id, Change: "remove-group"})
	}
}

// recordKill writes down which instances a request kills.
func (r *request) recordKill(victims []*core.Instance) {
	rec := access.RecordOf(r.Request().Context())
	if rec == nil {
		return
	}
	by := map[core.PathID]int{}
	var list []access.Entry
	for _, i := range victims {
		n, known := by[i.Spec]
		if !known {
			n = len(list)
			by[i.Spec] = n
			list = append(list, access.Entry{ID: i.Spec, Change: "kill"})
		}
		list[n].Instances = append(list[n].Instances, string(i.ID))
	}
	for _, e := range list {
		rec.Add(e)
	}
}

// entryOf tells how a definition differs from the one before; all of it where there was none.
func entryOf(old core.RunSpec, had bool, s core.RunSpec) access.Entry {
	e := access.Entry{ID: s.SpecID(), Change: "create", Diff: map[string]access.Change{}}
	to, err := fieldsOf(s)
	if err != nil {
		return e
	}
	if !had {
		delete(to, "version") // it has none yet
		for name, v := range to {
			e.Diff[name] = access.Change{To: v}
		}
		return e
	}
	e.Change = "update"
	from, err := fieldsOf(old)
	if err != nil {
		return e
	}
	fields, err := deployments.ChangedFields(old, s)
	if err != nil {
		return e
	}
	for _, name := range fields {
		e.Diff[name] = access.Change{From: from[name], To: to[name]}
	}
	return e
}

// textOf is a small value as JSON.
func textOf(v any) []byte {
	t, err := marshal(v)
	if err != nil {
		return nil
	}
	return t
}

// forceOr is the parameter force with a default that only holds for whoever may force.
func (r *request) forceOr(absent bool, id core.PathID) bool {
	return r.flagOr("force", absent && r.actor.May(access.Force, id))
}
