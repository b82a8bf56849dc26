package deployments

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"slices"

	"stadion/core"
)

// Preview is what a change would do, for people who look before they leap (D-41, http-api.md 6.5).
type Preview struct {
	Steps []core.Step
	Specs []SpecPreview // every spec that changes, in order of ids
}

// SpecPreview is what a change would do to one spec.
type SpecPreview struct {
	ID      core.PathID
	Pod     bool
	Action  core.ActionKind // what ends or replaces its instances; empty when none does
	Fields  []string        // top-level JSON fields that differ, sorted; nil for new and removed specs
	Restart bool            // all present instances will be replaced, sooner or later
	// First is what the action would do at first: instances to start and to stop. More may follow.
	First Decision
}

// DryRun describes an update that Prepare made on now. instances yields the instances of a spec; view makes what Next
// would see of a spec that is to become target (nil: that is to go), the same as when the update is carried out.
func DryRun(now core.Tree, u *Update, instances func(core.PathID) iter.Seq[*core.Instance], view func(id core.PathID, target core.RunSpec) *SpecView) (*Preview, error) {
	Repair(u, instances)
	out := &Preview{Steps: u.Steps}
	last := make(map[core.PathID]core.Action)
	for _, s := range u.Steps {
		for _, a := range s.Actions {
			last[a.Spec] = a // Start comes before the Scale of the same spec
		}
	}
	for _, c := range u.Changes {
		p := SpecPreview{ID: c.ID, Pod: c.Pod}
		old, had := now.Spec(c.ID)
		s, has := u.Target.Spec(c.ID)
		if had && has {
			fields, err := ChangedFields(old, s)
			if err != nil {
				return nil, err
			}
			p.Fields = fields
		}
		if a, acts := last[c.ID]; acts {
			p.Action, p.Restart = a.Kind, a.Kind == core.ActionRestart
			p.First = Next(a, view(c.ID, s))
		}
		out.Specs = append(out.Specs, p)
	}
	return out, nil
}

// setLike are the fields whose order does not matter (behaviour.md 1.4).
var setLike = []string{"constraints", "dependencies"}

// ChangedFields lists the top-level JSON fields in which two definitions differ, sorted. Version stamps are no
// difference, nor is the order of set-like lists, nor an empty list or map against an absent one.
func ChangedFields(old, s core.RunSpec) ([]string, error) {
	if old.SameAll(s) {
		return nil, nil
	}
	a, err := fieldsOf(old)
	if err != nil {
		return nil, err
	}
	b, err := fieldsOf(s)
	if err != nil {
		return nil, err
	}
	var out []string
	for name, v := range a {
		if !bytes.Equal(v, b[name]) {
			out = append(out, name)
		}
	}
	for name := range b {
		if _, both := a[name]; !both {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out, nil
}

func fieldsOf(s core.RunSpec) (map[string]json.RawMessage, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", s.SpecID(), err)
	}
	out := make(map[string]json.RawMessage)
	if err := json.Unmarshal(b, &out); err != nil {
		return nil, fmt.Errorf("take %s apart: %w", s.SpecID(), err)
	}
	delete(out, "version")
	delete(out, "versionInfo")
	for name, v := range out {
		if e := string(v); e == "[]" || e == "{}" || e == "null" {
			delete(out, name)
		}
	}
	for _, name := range setLike {
		if v, ok := out[name]; ok {
			sorted, err := sortList(v)
			if err != nil {
				return nil, fmt.Errorf("sort %s of %s: %w", name, s.SpecID(), err)
			}
			out[name] = sorted
		}
	}
	return out, nil
}

func sortList(b json.RawMessage) (json.RawMessage, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b json.RawMessage) int { return bytes.Compare(a, b) })
	return json.Marshal(list)
}
