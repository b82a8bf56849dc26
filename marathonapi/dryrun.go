package marathonapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"stadion/core"
	"stadion/core/machine"
	"stadion/core/state"
	"stadion/deployments"
)

// preview is the answer to a change with dryRun=true: what it would do (http-api.md 6.5 asks for the steps, the rest is
// an extension). Nothing is stored.
type preview struct {
	Steps   []core.WireStep `json:"steps"`
	Changes []specPreview   `json:"changes,omitzero"`
	// Locks are the running deployments that hold a spec of the change: without force the change would be refused.
	Locks []deploymentID `json:"lockedBy,omitzero"`
}

// specPreview is what a change does to one app or pod.
type specPreview struct {
	ID      core.PathID          `json:"id"`
	Change  string               `json:"change"` // create, update, restart, remove or none
	Action  string               `json:"action,omitempty"`
	Fields  []string             `json:"fields"` // of the definition that differ, sorted
	Diff    map[string]fieldDiff `json:"diff"`
	Restart bool                 `json:"restart"` // all present instances are replaced
	Start   int                  `json:"start"`   // instances that are started, all in all
	Stop    int                  `json:"stop"`    // instances that are stopped, all in all
	Stopped []core.InstanceID    `json:"stopped"` // these, in order of their ids
}

type fieldDiff struct {
	From json.RawMessage `json:"from,omitempty"`
	To   json.RawMessage `json:"to,omitempty"`
}

// errAnswered ends a request whose answer is on its way: a dry run needs no more of its handler.
var errAnswered = errors.New("answered")

// dryRun answers with what a change would do and ends the request.
func (s *Server) dryRun(r *request, ch core.Change) error {
	stamp := max(core.At(s.now()), r.snap.RootStamp()+1)
	u, err := deployments.Prepare(r.snap, ch, stamp, s.cfg.Plan)
	if err != nil {
		return err
	}
	view := func(id core.PathID, target core.RunSpec) *deployments.SpecView {
		return machine.ViewOf(&r.snap.View, id, target, ch.Sentenced)
	}
	p, err := deployments.DryRun(r.snap, u, r.snap.InstancesOf, view)
	if err != nil {
		return fmt.Errorf("preview: %w", err)
	}
	out := preview{Steps: core.WireSteps(p.Steps), Changes: []specPreview{}, Locks: []deploymentID{}}
	locks := map[string]bool{}
	for n := range p.Specs {
		c, err := previewOf(r.snap, u.Target, &p.Specs[n])
		if err != nil {
			return err
		}
		out.Changes = append(out.Changes, c)
		if d, held := r.snap.DeploymentOf(c.ID); held {
			locks[d.ID] = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(locks)) {
		out.Locks = append(out.Locks, deploymentID{id})
	}
	if r.marathonsOwnDryRun() {
		out.Changes, out.Locks = nil, nil
	}
	if err := r.answer(http.StatusOK, out); err != nil {
		return err
	}
	return errAnswered
}

// marathonsOwnDryRun: Marathon knows dryRun for updates of groups and answers with the steps alone. There the rest is
// shown on demand, with embed=changes (http-api.md 18).
func (r *request) marathonsOwnDryRun() bool {
	req := r.Request()
	return req.Method == http.MethodPut && strings.HasPrefix(req.URL.Path, "/v2/groups") && !slices.Contains(r.QueryParams()["embed"], "changes")
}

func previewOf(snap *state.Snapshot, target core.Tree, p *deployments.SpecPreview) (specPreview, error) {
	c := specPreview{ID: p.ID, Fields: []string{}, Diff: map[string]fieldDiff{}, Restart: p.Restart, Stopped: []core.InstanceID{}}
	old, had := snap.Spec(p.ID)
	spec, has := target.Spec(p.ID)
	switch {
	case !had:
		c.Change = "create"
	case !has:
		c.Change = "remove"
	case len(p.Fields) > 0:
		c.Change = "update"
	case p.Restart:
		c.Change = "restart"
	default:
		c.Change = "none"
	}
	if p.Action != "" {
		c.Action = core.Action{Kind: p.Action, Spec: p.ID, Pod: p.Pod}.WireName()
		if !has {
			spec = nil
		}
		c.countInstances(snap, spec, p)
	}
	if !had || !has || len(p.Fields) == 0 {
		return c, nil
	}
	c.Fields = p.Fields
	from, err := fieldsOf(old)
	if err != nil {
		return c, err
	}
	to, err := fieldsOf(spec)
	if err != nil {
		return c, err
	}
	for _, f := range c.Fields {
		c.Diff[f] = fieldDiff{from[f], to[f]}
	}
	return c, nil
}

// countInstances tells what is started and stopped until the action has ended: what its first decision says, and with a
// rolling upgrade in the end every instance of another configuration.
func (c *specPreview) countInstances(snap *state.Snapshot, spec core.RunSpec, p *deployments.SpecPreview) {
	want, have := 0, 0
	if spec != nil {
		want = spec.InstanceCount()
	}
	goes := make(map[core.InstanceID]bool)
	for _, id := range p.First.Stop {
		goes[id] = true
	}
	for i := range snap.InstancesOf(p.ID) {
		if i.Goal != core.GoalRunning {
			delete(goes, i.ID) // it ends already
			continue
		}
		if i.Condition == core.UnreachableInactive && !goes[i.ID] {
			continue // given up: it counts no more
		}
		have++
		if p.Restart && i.Version < spec.Stamps().LastConfigChangeAt {
			goes[i.ID] = true
		}
	}
	c.Stopped = slices.AppendSeq(c.Stopped, maps.Keys(goes))
	slices.Sort(c.Stopped)
	c.Stop = len(goes)
	c.Start = max(0, want-(have-c.Stop))
}

// fieldsOf takes the JSON of a definition apart. It runs with every change (S8), and encoding/json takes four times as long.
func fieldsOf(spec core.RunSpec) (map[string]json.RawMessage, error) {
	text, err := marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", spec.SpecID(), err)
	}
	out := make(map[string]json.RawMessage, typicalFields)
	gjson.ParseBytes(text).ForEach(func(name, value gjson.Result) bool {
		out[name.Str] = json.RawMessage(value.Raw)
		return true
	})
	return out, nil
}

const typicalFields = 24 // of a definition
