package access

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"sync"

	"stadion/core"
)

// Bounds of one record: a group of 10,000 apps is one change.
const (
	maxEntries = 100     // specs whose changes are spelt out
	maxValue   = 4 << 10 // bytes of one field's value
)

// DefaultMask finds the keys of environments and labels whose values stay out of records (S7).
const DefaultMask = `(?i)(pass|secret|token|credential|private|api_?key|access_?key)`

// Entry is what a request did, or wanted to do, to one app, pod or group.
type Entry struct {
	ID        core.PathID       `json:"id"`
	Change    string            `json:"change"` // create, update, restart, remove, kill, group or remove-group
	Diff      map[string]Change `json:"diff,omitempty"`
	Instances []string          `json:"instances,omitempty"`
}

// Change is the values of one field.
type Change struct {
	From json.RawMessage `json:"from,omitempty"`
	To   json.RawMessage `json:"to,omitempty"`
}

// Record gathers what one request changes, for the audit log (S8). The nil record gathers nothing.
type Record struct {
	mask *regexp.Regexp

	mu      sync.Mutex
	entries []Entry
	more    int
	later   func()
}

// Later leaves the writing down to when the entries are asked for, after the answer: telling what differs takes as long
// as all the rest. What an earlier attempt of the same request left is forgotten. The function runs once, in the
// request's goroutine; it must hold nothing that ends with the request.
func (r *Record) Later(write func()) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries, r.more, r.later = nil, 0, write
}

// Room reports whether the record takes more entries; one that is full only counts them.
func (r *Record) Room() bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.entries) < maxEntries
}

// Add writes an entry down, with secrets masked and values cut to a bound.
func (r *Record) Add(e Entry) {
	if r == nil {
		return
	}
	for name, c := range e.Diff {
		e.Diff[name] = Change{r.shown(c.From), r.shown(c.To)}
	}
	if len(e.Instances) > maxEntries {
		e.Instances = append(slices.Clone(e.Instances[:maxEntries]), "…")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.entries) >= maxEntries {
		r.more++
		return
	}
	r.entries = append(r.entries, e)
}

// Taken are the entries and how many more there were.
func (r *Record) Taken() ([]Entry, int) {
	r.mu.Lock()
	write := r.later
	r.later = nil
	r.mu.Unlock()
	if write != nil {
		write()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.entries, r.more
}

const masked = "xxxxxxxx"

// shown is a value as the record may hold it.
func (r *Record) shown(v json.RawMessage) json.RawMessage {
	if len(v) == 0 {
		return nil
	}
	if r.mask != nil && (v[0] == '{' || v[0] == '[') && r.mask.Match(v) { // nothing else has keys
		var any any
		d := json.NewDecoder(bytes.NewReader(v))
		d.UseNumber()
		if d.Decode(&any) != nil {
			return json.RawMessage(`"` + masked + `"`)
		}
		t, err := json.Marshal(r.hide(any))
		if err != nil {
			return json.RawMessage(`"` + masked + `"`)
		}
		v = t
	}
	if len(v) > maxValue {
		t, _ := json.Marshal(string(bytes.ToValidUTF8(v[:maxValue], nil)) + "…")
		return t
	}
	return v
}

// hide replaces texts under keys that look like secrets. The name of a secret (env: {"K": {"secret": "name"}}) is a
// reference and no secret itself, but who is cautious loses nothing by it.
func (r *Record) hide(v any) any {
	switch x := v.(type) {
	case map[string]any:
		for k, inner := range x {
			if _, text := inner.(string); text && r.mask.MatchString(k) {
				x[k] = masked
				continue
			}
			x[k] = r.hide(inner)
		}
		r.hidePair(x)
	case []any:
		for i := range x {
			x[i] = r.hide(x[i])
		}
	}
	return v
}

// hidePair masks {"key": "env", "value": "PASSWORD=…"}, the form of docker parameters.
func (r *Record) hidePair(x map[string]any) {
	if text, ok := x["value"].(string); ok && r.mask.MatchString(text) {
		x["value"] = masked
	}
}
