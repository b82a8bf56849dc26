package state

import (
	"fmt"
	"slices"

	"stadion/core"
)

// Table names a durable table.
type Table string

// The durable tables.
const (
	TableSpec       Table = "specs"       // key: spec id; value: the current version's stamp
	TableVersion    Table = "versions"    // key: spec id@stamp; value: core.RunSpec
	TableGroup      Table = "groups"      // *core.Group
	TableRoot       Table = "roots"       // *core.RootVersion
	TableInstance   Table = "instances"   // *core.Instance
	TableDeployment Table = "deployments" // *core.Deployment
	TableFailure    Table = "failures"    // *core.TaskFailure
	TableFramework  Table = "framework"   // string
	TableHealth     Table = "health"      // bool: last alive (D-45)
)

// Write is one row to store; a nil Value deletes it.
type Write struct {
	Table Table
	Key   string
	Value any
}

// rowKey names a row over all durable tables.
type rowKey struct {
	table Table
	key   string
}

// keptDirty is the number of rows from which an index of the journal is made anew: emptying a map costs its largest size.
const keptDirty = 4096

// note records that a durable row changed; the last change of a row in a batch wins.
func (s *State) note(t Table, key string, value any) {
	k := rowKey{t, key}
	n, ok := s.dirty[k]
	switch {
	case !ok:
		s.dirty[k] = len(s.order)
		s.order = append(s.order, Write{t, key, value})
	case value == nil && s.born[k]:
		s.order[n] = Write{}
		s.void++
		delete(s.dirty, k)
		delete(s.born, k)
	default:
		s.order[n].Value = value
	}
}

// noteNew is note for a row that the store cannot have yet: when it goes again in the same batch, the store never hears
// of it.
func (s *State) noteNew(t Table, key string, value any) {
	s.note(t, key, value)
	s.born[rowKey{t, key}] = true
}

// Pending is the number of rows that changed since the last Flush.
func (s *State) Pending() int { return len(s.order) - s.void }

// Flush takes the journal: one write per changed row, in the order of their first change.
func (s *State) Flush() []Write {
	if len(s.order) == 0 {
		return nil
	}
	out := s.order
	if s.void > 0 {
		out = slices.DeleteFunc(out, func(w Write) bool { return w.Table == "" })
	}
	s.order, s.void = nil, 0
	s.dirty, s.born = emptied(s.dirty), emptied(s.born)
	return out
}

// emptied is a map without entries: the same one, unless it has grown large.
func emptied[V any](m map[rowKey]V) map[rowKey]V {
	if len(m) > keptDirty {
		return make(map[rowKey]V)
	}
	clear(m)
	return m
}

// Load puts one stored row into an empty state without noting it. Rows may come in any order.
func (s *State) Load(w Write) error {
	switch v := w.Value.(type) {
	case core.RunSpec:
		s.versions.Set(versionKey(v.SpecID(), v.SpecVersion()), v)
	case core.Timestamp: // TableSpec; resolved by Finish
		s.specs.Set(core.PathID(w.Key), pendingSpec{id: core.PathID(w.Key), version: v})
	case *core.Group:
		s.groups.Set(v.ID, v)
	case *core.RootVersion:
		s.setRoot(v)
	case *core.Instance:
		s.setInstance(v)
	case *core.Deployment:
		s.setDeployment(v)
	case *core.TaskFailure:
		s.failures.Set(core.PathID(w.Key), v)
		s.touch(core.PathID(w.Key))
	case string:
		s.frameworkID = v
	case bool:
		s.lastAlive.Set(core.InstanceID(w.Key), v)
	default:
		return fmt.Errorf("table %s: value of type %T", w.Table, w.Value)
	}
	return nil
}

// pendingSpec stands for a current pointer until its version is loaded.
type pendingSpec struct {
	core.RunSpec
	id      core.PathID
	version core.Timestamp
}

// Finish completes loading: current pointers are joined with their versions. It returns the ids whose version is
// missing; they fall back to the newest stored version or, without any, stay out of the tree (F14).
func (s *State) Finish() (broken []core.PathID) {
	var pending []pendingSpec
	s.specs.Scan(func(_ core.PathID, r core.RunSpec) bool {
		if p, ok := r.(pendingSpec); ok {
			pending = append(pending, p)
		}
		return true
	})
	for _, p := range pending {
		id := p.id
		s.touch(id)
		if full, ok := s.SpecAt(id, p.version); ok {
			s.specs.Set(id, full)
			s.countPorts(full, 1)
			continue
		}
		broken = append(broken, id)
		if all := s.SpecVersions(id); len(all) > 0 {
			s.specs.Set(id, all[len(all)-1])
			s.countPorts(all[len(all)-1], 1)
		} else {
			s.specs.Delete(id)
		}
	}
	for spec := range values(&s.versions, "") {
		s.aged.Insert(spec.SpecID())
	}
	s.roots.Reverse(func(v core.Timestamp, _ *core.RootVersion) bool { s.rootStamp = v; return false })
	return broken
}

// SetRoot notes a new version of the tree.
func (s *State) SetRoot(r *core.RootVersion) {
	s.setRoot(r)
	s.rootStamp = r.Version
	s.note(TableRoot, r.Version.String(), r)
}

func (s *State) setRoot(r *core.RootVersion) {
	s.useAll(refsOfChanges(r.Specs), 1)
	if old, had := s.roots.Set(r.Version, r); had {
		s.useAll(refsOfChanges(old.Specs), -1)
	}
}

// DropRoot forgets an old root version.
func (s *State) DropRoot(v core.Timestamp) {
	if old, had := s.roots.Delete(v); had {
		s.useAll(refsOfChanges(old.Specs), -1)
	}
	s.note(TableRoot, v.String(), nil)
}

// PutSpec stores a version of a spec and makes it the current one.
func (s *State) PutSpec(r core.RunSpec) {
	s.PutVersion(r)
	old, _ := s.specs.Set(r.SpecID(), r)
	s.touch(r.SpecID())
	s.countPorts(r, 1) // first: a port that stays in use must not look free, or its next holder is searched for among all
	s.countPorts(old, -1)
	s.note(TableSpec, string(r.SpecID()), r.SpecVersion())
}

// countPorts keeps the index of service ports in use.
func (s *State) countPorts(r core.RunSpec, by int) {
	app, ok := r.(*core.App)
	if !ok {
		return
	}
	for _, p := range app.ServicePorts() {
		if n, _ := s.ports.Get(p); n+by > 0 {
			s.ports.Set(p, n+by)
		} else {
			s.ports.Delete(p)
			if s.portsFrom <= p && p < s.portsTo {
				s.portsTo = p
			}
		}
	}
	if s.portsFrom > 0 {
		s.portsTo = s.FreeServicePort(s.portsTo)
	}
}

// WatchServicePorts makes finding a free service port from this one on cheap, however many are used.
func (s *State) WatchServicePorts(from int) {
	s.portsFrom = from
	s.portsTo = s.FreeServicePort(from)
}

// PutVersion stores a version of a spec without making it current.
func (s *State) PutVersion(r core.RunSpec) {
	k := versionKey(r.SpecID(), r.SpecVersion())
	s.versions.Set(k, r)
	s.aged.Insert(r.SpecID())
	s.note(TableVersion, k, r)
}

// RemoveSpec takes a spec out of the tree; its versions stay until they are dropped.
func (s *State) RemoveSpec(id core.PathID) {
	if old, ok := s.specs.Delete(id); ok {
		s.touch(id)
		s.aged.Insert(id)
		s.countPorts(old, -1)
		s.note(TableSpec, string(id), nil)
	}
}

// DropVersion forgets a version of a spec.
func (s *State) DropVersion(id core.PathID, v core.Timestamp) {
	k := versionKey(id, v)
	s.versions.Delete(k)
	s.note(TableVersion, k, nil)
}

// PutGroup stores a group.
func (s *State) PutGroup(g *core.Group) {
	s.groups.Set(g.ID, g)
	s.note(TableGroup, string(g.ID), g)
}

// RemoveGroup removes a group; the root stays.
func (s *State) RemoveGroup(id core.PathID) {
	if id == core.Root {
		return
	}
	s.groups.Delete(id)
	s.note(TableGroup, string(id), nil)
}

// PutDeployment stores a deployment and locks its specs for it.
func (s *State) PutDeployment(d *core.Deployment) {
	if s.setDeployment(d) {
		s.noteNew(TableDeployment, d.ID, d)
	} else {
		s.note(TableDeployment, d.ID, d)
	}
}

func (s *State) setDeployment(d *core.Deployment) (isNew bool) {
	s.useAll(refsOfDeployment(d), 1)
	old, had := s.deployments.Set(d.ID, d)
	if had {
		s.useAll(refsOfDeployment(old), -1)
	}
	for _, a := range d.AffectedSpecs() {
		if was, held := s.locks.Set(a.Spec, d.ID); !held || was != d.ID {
			s.touch(a.Spec)
		}
	}
	return !had
}

// RemoveDeployment removes a deployment and frees the specs it still holds (D-24).
func (s *State) RemoveDeployment(id string) {
	d, ok := s.deployments.Delete(id)
	if !ok {
		return
	}
	s.useAll(refsOfDeployment(d), -1)
	for _, a := range d.AffectedSpecs() {
		if owner, _ := s.locks.Get(a.Spec); owner == id {
			s.locks.Delete(a.Spec)
			s.touch(a.Spec)
		}
	}
	s.stalls.Delete(id)
	s.note(TableDeployment, id, nil)
}

// SetStall keeps what a deployment waits for (volatile).
func (s *State) SetStall(r Stall) { s.stalls.Set(r.Deployment, r) }

// DropStall notes that a deployment moves again.
func (s *State) DropStall(deployment string) { s.stalls.Delete(deployment) }

// SetRefused keeps why the master refuses a role (volatile); an empty text drops it.
func (s *State) SetRefused(role, why string) {
	if why == "" {
		s.refused.Delete(role)
		return
	}
	s.refused.Set(role, why)
}

// PutFailure stores the last task failure of a spec.
func (s *State) PutFailure(f *core.TaskFailure) {
	s.failures.Set(f.AppID, f)
	s.touch(f.AppID)
	s.note(TableFailure, string(f.AppID), f)
}

// RemoveFailure forgets the last task failure of a spec.
func (s *State) RemoveFailure(spec core.PathID) {
	if _, ok := s.failures.Delete(spec); ok {
		s.touch(spec)
		s.note(TableFailure, string(spec), nil)
	}
}

// SetFrameworkID stores the framework id.
func (s *State) SetFrameworkID(id string) {
	s.frameworkID = id
	s.note(TableFramework, "id", id)
}

// SetGauges notes the sizes; they are not stored.
func (s *State) SetGauges(g Gauges) { s.gauges = g }

// SetMesos notes the state of the connection (volatile).
func (s *State) SetMesos(m Mesos) { s.mesos = m }

// SetDelay and DropDelay keep the backoff rows (volatile).
func (s *State) SetDelay(ref core.ConfigRef, d Delay) { s.delays.Set(delayKey(ref), d) }

// DropDelay forgets the backoff of a configuration.
func (s *State) DropDelay(ref core.ConfigRef) { s.delays.Delete(delayKey(ref)) }

// DropDelayKey forgets a row found by Delays.
func (s *State) DropDelayKey(key string) { s.delays.Delete(key) }

// SetStats keeps the offer statistics of a spec (volatile); nil drops them.
func (s *State) SetStats(spec core.PathID, q *QueueStats) {
	if q == nil {
		s.stats.Delete(spec)
		return
	}
	s.stats.Set(spec, q)
}

// SetKinStats keeps the statistics that specs share (volatile); nil drops them.
func (s *State) SetKinStats(key string, k *KinStats) {
	if k == nil {
		s.kin.Delete(key)
		return
	}
	s.kin.Set(key, k)
}

// SetReadiness keeps a readiness result (volatile).
func (s *State) SetReadiness(r Readiness) {
	s.readiness.Set(r.Task, r)
	s.touch(r.Instance.Spec())
}

// DropReadiness forgets a readiness result.
func (s *State) DropReadiness(t core.TaskID) {
	if r, had := s.readiness.Delete(t); had {
		s.touch(r.Instance.Spec())
	}
}

// Durable lists every durable row as it stands: what a new leader would load.
func (v *View) Durable() []Write {
	var out []Write
	add := func(t Table, key string, value any) { out = append(out, Write{t, key, value}) }
	v.versions.Scan(func(k string, r core.RunSpec) bool { add(TableVersion, k, r); return true })
	v.specs.Scan(func(k core.PathID, r core.RunSpec) bool { add(TableSpec, string(k), r.SpecVersion()); return true })
	v.groups.Scan(func(k core.PathID, g *core.Group) bool { add(TableGroup, string(k), g); return true })
	v.roots.Scan(func(k core.Timestamp, r *core.RootVersion) bool { add(TableRoot, k.String(), r); return true })
	v.instances.Scan(func(k core.InstanceID, i *core.Instance) bool {
		if i.Durable() {
			add(TableInstance, string(k), i)
		}
		return true
	})
	v.deployments.Scan(func(k string, d *core.Deployment) bool { add(TableDeployment, k, d); return true })
	v.failures.Scan(func(k core.PathID, f *core.TaskFailure) bool { add(TableFailure, string(k), f); return true })
	v.lastAlive.Scan(func(k core.InstanceID, alive bool) bool { add(TableHealth, string(k), alive); return true })
	if v.frameworkID != "" {
		add(TableFramework, "id", v.frameworkID)
	}
	return out
}
