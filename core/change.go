package core

import "iter"

// Change is a wanted change of the tree: what one POST, PUT, PATCH or DELETE asks for, already validated. The
// machine turns it into stamped versions, a deployment and a new root, all or nothing (behaviour.md 1.5).
type Change struct {
	Put          []RunSpec    // new or changed definitions; their version stamps are ignored
	Remove       []PathID     // specs to remove
	PutGroups    []Group      // new or changed groups; versions are ignored. Missing parents are made.
	RemoveGroups []PathID     // groups to remove; their specs must stand in Remove
	Restart      []PathID     // existing specs to restart with unchanged content
	Sentenced    []InstanceID // instances to kill first when scaling down
	Force        bool         // cancel conflicting deployments instead of failing
	Rollback     bool         // revert of a deployment: always admitted (D-29), implies Force
	GroupID      PathID       // groupId of the group_change_* events: parent of the edited spec, or the root
	Kept         bool         // keep this version of the tree even if nothing changes, for a client that may come back to it
	NoPlan       bool         // PATCH of enforceRole: store the groups without a deployment
}

// Tree is a consistent view of the present root, as planning and validation need it.
type Tree interface {
	// RootStamp is the version of the last update of the tree.
	RootStamp() Timestamp
	Spec(id PathID) (RunSpec, bool)
	Group(id PathID) (Group, bool) // the root always exists
	// SpecsBelow iterates over all specs below a group at any depth, in order of their ids.
	SpecsBelow(group PathID) iter.Seq[RunSpec]
	// GroupsBelow iterates over all groups strictly below a group, in order of their ids.
	GroupsBelow(group PathID) iter.Seq[Group]
	// SpecAt returns one stored version of a spec.
	SpecAt(id PathID, version Timestamp) (RunSpec, bool)
	// RootAt returns what the tree looked like at a stored root version.
	RootAt(version Timestamp) (Tree, bool)
}
