package takeover

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"stadion/core"
	"stadion/core/state"
	"stadion/marathonapi/wire"
)

// Source is what a Marathon shows.
type Source struct {
	Info, Groups, Tasks, Deployments []byte
	Pods, PodStatuses                []byte // empty where pods are not known
	Agents                           []byte // /slaves of the Mesos master, for attributes; empty: none are known
	// Version fetches an old version of an app or pod; nil when Marathon does not have it any more.
	Version func(id core.PathID, pod bool, at core.Timestamp) ([]byte, error)
	// Principal that Marathon registered with; part of reservations.
	Principal string
}

// Report tells what was taken over.
type Report struct {
	FrameworkID               string
	Groups, Apps, Pods, Tasks int
	Left                      []string // tasks that are left out, and why: they are killed as unknown
	Warnings                  []string
	agents                    map[string]*core.AgentInfo
	adopted                   map[core.PathID]int
	versions                  map[core.PathID]map[core.Timestamp]bool
}

// Build makes a state of a source. The error joins everything that stands in the way, one line each; with force, running
// deployments and hidden residents do not.
func Build(src Source, force bool) (*state.State, *Report, error) {
	b := &building{src: src, st: state.New(), r: &Report{agents: map[string]*core.AgentInfo{}, adopted: map[core.PathID]int{},
		versions: map[core.PathID]map[core.Timestamp]bool{}}}
	for _, stage := range []func() error{b.info, b.groups, b.pods, b.finishTree, b.agents, b.tasks, b.podInstances, b.oldVersions} {
		if err := stage(); err != nil {
			return nil, nil, err
		}
	}
	if !force {
		b.deployments()
		b.residents()
	}
	if len(b.problems) > 0 {
		return nil, nil, errors.Join(b.problems...)
	}
	return b.st, b.r, nil
}

type building struct {
	src      Source
	st       *state.State
	r        *Report
	wire     wire.Config
	newest   core.Timestamp
	root     core.RootVersion
	problems []error
}

func (b *building) problem(format string, args ...any) {
	b.problems = append(b.problems, fmt.Errorf(format, args...))
}

func decode(what string, text []byte, into any) error {
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// info takes the framework id and the flags that say what definitions mean.
func (b *building) info() error {
	var info struct {
		FrameworkID *string `json:"frameworkId"`
		Config      struct {
			Role     string   `json:"mesos_role"`
			Network  string   `json:"default_network_name"`
			Bridge   string   `json:"mesos_bridge_name"`
			Features []string `json:"features"`
			Enforce  string   `json:"new_group_enforce_role"`
		} `json:"marathon_config"`
	}
	if err := decode("/v2/info", b.src.Info, &info); err != nil {
		return err
	}
	if info.FrameworkID == nil || *info.FrameworkID == "" {
		return errors.New("/v2/info names no frameworkId: this Marathon has never registered with Mesos, there is nothing to take over")
	}
	b.r.FrameworkID = *info.FrameworkID
	b.st.SetFrameworkID(*info.FrameworkID)
	c := info.Config
	b.wire = wire.Config{MesosRole: c.Role, DefaultNetworkName: c.Network, MesosBridgeName: c.Bridge, NewGroupEnforceRole: strings.EqualFold(c.Enforce, "top"),
		Features: map[string]bool{wire.FeatureSecrets: true, wire.FeatureExternalVolumes: true, wire.FeatureGPUs: true}} // it runs already
	return nil
}

// groupText is a group as the API shows it.
type groupText struct {
	ID           core.PathID       `json:"id"`
	Apps         []json.RawMessage `json:"apps"`
	Groups       []groupText       `json:"groups"`
	Dependencies []core.PathID     `json:"dependencies"`
	EnforceRole  *bool             `json:"enforceRole"`
	Version      core.Timestamp    `json:"version"`
}

func (b *building) groups() error {
	var root groupText
	if err := decode("/v2/groups", b.src.Groups, &root); err != nil {
		return err
	}
	var all []groupText
	var walk func(groupText)
	walk = func(g groupText) {
		all = append(all, g)
		for _, child := range g.Groups {
			walk(child)
		}
	}
	walk(root)
	for _, g := range all { // first, because they say which roles apps may have
		if g.Dependencies == nil {
			g.Dependencies = []core.PathID{}
		}
		b.newest = max(b.newest, g.Version)
		b.st.PutGroup(&core.Group{ID: g.ID, Dependencies: g.Dependencies, EnforceRole: g.EnforceRole, Version: g.Version})
		if g.ID != core.Root {
			b.r.Groups++
		}
	}
	for _, g := range all {
		for _, text := range g.Apps {
			b.app(text)
		}
	}
	return nil
}

// stamps are what a definition says of its version.
type stamps struct {
	ID      core.PathID       `json:"id"`
	Version core.Timestamp    `json:"version"`
	Info    *core.VersionInfo `json:"versionInfo"`
}

func (b *building) app(text []byte) {
	var s stamps
	if err := json.Unmarshal(text, &s); err != nil {
		b.problem("an app of /v2/groups: %w", err)
		return
	}
	a, err := b.wire.CreateApp(text, b.st)
	if err != nil {
		b.problem("app %s: %s", s.ID, words(err))
		return
	}
	info := core.VersionInfo{LastScalingAt: s.Version, LastConfigChangeAt: s.Version}
	if s.Info != nil {
		info = *s.Info
	}
	b.spec(a.WithVersion(s.Version, info))
	b.r.Apps++
}

func (b *building) spec(s core.RunSpec) {
	b.st.PutSpec(s)
	b.newest = max(b.newest, s.SpecVersion())
	b.root.Specs = append(b.root.Specs, core.SpecChange{ID: s.SpecID(), Pod: s.IsPod(), To: s.SpecVersion()})
}

func (b *building) pods() error {
	if len(b.src.Pods) == 0 {
		return nil
	}
	var list []json.RawMessage
	if err := decode("/v2/pods", b.src.Pods, &list); err != nil {
		return err
	}
	for _, text := range list {
		var s stamps
		if err := json.Unmarshal(text, &s); err != nil {
			b.problem("a pod of /v2/pods: %w", err)
			continue
		}
		p, err := b.wire.CreatePod(text, b.st)
		if err != nil {
			b.problem("pod %s: %s", s.ID, words(err))
			continue
		}
		b.spec(p.WithVersion(s.Version, core.VersionInfo{LastScalingAt: s.Version, LastConfigChangeAt: s.Version}))
		b.r.Pods++
	}
	return nil
}

func (b *building) finishTree() error {
	if b.newest == 0 {
		return errors.New("/v2/groups has no version")
	}
	b.root.Version = b.newest
	b.st.SetRoot(&b.root)
	return nil
}

// deployments must have ended: what a deployment was about to do is not to be seen on the API.
func (b *building) deployments() {
	var list []struct{ ID string }
	if err := decode("/v2/deployments", b.src.Deployments, &list); err != nil {
		b.problem("%w", err)
	}
	for _, d := range list {
		b.problem("deployment %s runs: wait for its end, or give --force and deploy again afterwards", d.ID)
	}
}

// residents must all run: an instance that only holds a reservation is not to be seen on the API, and its volume would be
// taken for nobody's.
func (b *building) residents() {
	for s := range b.st.SpecsBelow(core.Root) {
		if n := b.r.adopted[s.SpecID()]; s.Resident() && n < s.InstanceCount() {
			b.problem("%s has persistent volumes and only %d of %d instances run: a volume that waits for its task would be given up. "+
				"Wait until all run, or scale it to %d", s.SpecID(), n, s.InstanceCount(), n)
		}
	}
}

// oldVersions takes over the definitions that tasks run and that are not current.
func (b *building) oldVersions() error {
	for id, stamps := range b.r.versions {
		current, _ := b.st.Spec(id)
		oldest := current.SpecVersion()
		for at := range stamps {
			if at == current.SpecVersion() {
				continue
			}
			text, err := b.src.Version(id, current.IsPod(), at)
			if err != nil {
				return fmt.Errorf("version %s of %s: %w", at, id, err)
			}
			if text == nil {
				b.r.Warnings = append(b.r.Warnings, fmt.Sprintf("%s: tasks run version %s, which Marathon does not have any more", id, at))
				continue
			}
			old, err := b.oldVersion(current, text, at)
			if err != nil {
				b.r.Warnings = append(b.r.Warnings, fmt.Sprintf("%s: version %s is not taken over: %s", id, at, words(err)))
				continue
			}
			b.st.PutVersion(old)
			if current.SameConfig(old) {
				oldest = min(oldest, at)
			}
		}
		// The API does not tell when a pod's configuration was last changed. Tasks of the same configuration are up to date.
		if current.IsPod() && oldest < current.SpecVersion() {
			b.st.PutSpec(current.WithVersion(current.SpecVersion(), core.VersionInfo{LastScalingAt: current.SpecVersion(), LastConfigChangeAt: oldest}))
		}
	}
	return nil
}

// nothing is a tree in which no id is taken, so that an old version can be read as if it were new.
type nothing struct{ *state.State }

// Spec is never there.
func (nothing) Spec(core.PathID) (core.RunSpec, bool) { return nil, false }

func (b *building) oldVersion(current core.RunSpec, text []byte, at core.Timestamp) (core.RunSpec, error) {
	var s stamps
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, err
	}
	info := core.VersionInfo{LastScalingAt: at, LastConfigChangeAt: at}
	if s.Info != nil {
		info = *s.Info
	}
	if current.IsPod() {
		p, err := b.wire.CreatePod(text, nothing{b.st})
		if err != nil {
			return nil, err
		}
		return p.WithVersion(at, info), nil
	}
	a, err := b.wire.CreateApp(text, nothing{b.st})
	if err != nil {
		return nil, err
	}
	return a.WithVersion(at, info), nil
}

// words are an error with the places it names.
func words(err error) string {
	var e *core.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	out := []string{e.Message}
	if e.DetailText != "" {
		out = append(out, e.DetailText)
	}
	for _, d := range e.Details {
		out = append(out, d.Path+" "+strings.Join(d.Errors, ", "))
	}
	return strings.Join(slices.Compact(out), "; ")
}
