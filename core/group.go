package core

// Group is one node of the tree, by itself: children are found by their ids, so no stored value grows with the
// number of apps (D-38).
type Group struct {
	ID           PathID    `json:"id"`
	Dependencies []PathID  `json:"dependencies"`
	EnforceRole  *bool     `json:"enforceRole,omitempty"` // only on top-level groups
	Version      Timestamp `json:"version"`
}

// RootVersion is one update of the tree: what it changed, as a delta on the version before (behaviour.md E.2).
type RootVersion struct {
	Version Timestamp     `json:"version"`
	Specs   []SpecChange  `json:"specs,omitempty"`
	Groups  []GroupChange `json:"groups,omitempty"`
}

// SpecChange is the change of one spec by an update. A zero From means "was not there", a zero To "removed".
type SpecChange struct {
	ID   PathID    `json:"id"`
	Pod  bool      `json:"pod,omitempty"`
	From Timestamp `json:"from,omitzero"`
	To   Timestamp `json:"to,omitzero"`
}

// GroupChange is the change of one group by an update; nil means "not there".
type GroupChange struct {
	ID   PathID `json:"id"`
	From *Group `json:"from,omitempty"`
	To   *Group `json:"to,omitempty"`
}
