package marathonapi

import (
	"slices"
	"strings"

	"stadion/core"
	"stadion/core/state"
)

// embeds says what is added to an app (http-api.md 4.4, 4.15) and to a group (6.2).
type embeds struct {
	tasks, counts, deployments, readiness, failure, stats bool
	groups, apps, pods                                    bool // of groups
}

var embedWords = map[string]func(*embeds){
	"tasks":           func(e *embeds) { e.tasks, e.deployments = true, true },
	"failures":        func(e *embeds) { e.tasks, e.failure, e.deployments = true, true, true },
	"counts":          func(e *embeds) { e.counts = true },
	"deployments":     func(e *embeds) { e.deployments = true },
	"readiness":       func(e *embeds) { e.readiness = true },
	"lastTaskFailure": func(e *embeds) { e.failure = true },
	"taskStats":       func(e *embeds) { e.stats = true },
}

var groupWords = map[string]func(*embeds){
	"group.groups": func(e *embeds) { e.groups = true },
	"group.apps":   func(e *embeds) { e.apps = true },
	"group.pods":   func(e *embeds) { e.pods = true },
}

var appPrefixes = []string{groupAppPrefix, "apps.", "app."}

const groupAppPrefix = "group.apps."

// readEmbeds applies the embed parameters of a call about apps, with any of the prefixes or none; unknown words are
// ignored and lists with commas are not split.
func (r *request) readEmbeds(e embeds) embeds {
	for _, word := range r.QueryParams()["embed"] {
		for _, prefix := range appPrefixes {
			if rest, ok := strings.CutPrefix(word, prefix); ok {
				word = rest
				break
			}
		}
		if set := embedWords[word]; set != nil {
			set(&e)
		}
	}
	return e
}

// readGroupEmbeds is readEmbeds for calls about groups, where words about apps count with their full prefix only.
func (r *request) readGroupEmbeds() (e embeds) {
	for _, word := range r.QueryParams()["embed"] {
		set := groupWords[word]
		if rest, ok := strings.CutPrefix(word, groupAppPrefix); ok {
			set = embedWords[rest]
		}
		if set != nil {
			set(&e)
		}
	}
	return e
}

// app writes an AppInfo: the definition and what is embedded.
func (s *Server) app(e *encoder, snap *state.Snapshot, a *core.App, m embeds) {
	if !s.appInfos.text(e, snap, infoKey{a, m.form()}, func() { s.encodeApp(e, snap, a, m) }) {
		s.encodeApp(e, snap, a, m)
	}
	e.spill()
}

func (s *Server) encodeApp(e *encoder, snap *state.Snapshot, a *core.App, m embeds) {
	head, err := s.appHeads.of(a)
	if err != nil {
		e.err = err
		return
	}
	e.b = append(e.b, head...)
	if m.counts {
		c := snap.Counts(a.ID)
		e.counts(c)
	}
	if m.deployments {
		e.raw(`,"deployments":[`)
		if d, ok := snap.DeploymentOf(a.ID); ok {
			e.field(`{"id":`, d.ID)
			e.raw("}")
		}
		e.raw("]")
	}
	if m.readiness {
		e.raw(`,"readinessCheckResults":`)
		e.readiness(snap, a.ID)
	}
	if m.tasks {
		e.raw(`,"tasks":[`)
		first := true
		for i := range snap.InstancesOf(a.ID) {
			e.tasksOf(snap, i, &first, taskForm{spec: a, tails: s.taskTails})
			e.spill()
		}
		e.raw("]")
	}
	if m.failure {
		if f, ok := snap.Failure(a.ID); ok {
			e.raw(`,"lastTaskFailure":`)
			e.json(f)
		}
	}
	if m.stats {
		e.raw(`,"tasksStats":`)
		e.json(statsOf(snap, a, core.At(s.now())))
	}
	e.raw("}")
}

func (e *encoder) counts(c state.Counts) {
	e.count(`,"tasksStaged":`, c.Staged)
	e.count(`,"tasksRunning":`, c.Running)
	e.count(`,"tasksHealthy":`, c.Healthy)
	e.count(`,"tasksUnhealthy":`, c.Unhealthy)
}

// readiness encodes the readiness results of a spec (http-api.md 8.3).
func (e *encoder) readiness(snap *state.Snapshot, id core.PathID) {
	e.raw("[")
	first := true
	for r := range snap.ReadinessOf(id) {
		e.comma(&first)
		e.field(`{"name":`, r.Name)
		e.field(`,"taskId":`, string(r.Task))
		e.raw(`,"ready":`)
		e.json(r.Ready)
		if r.LastStatus != 0 {
			e.count(`,"lastResponse":{"status":`, r.LastStatus)
			e.field(`,"contentType":`, r.ContentType)
			e.field(`,"body":`, r.Body)
			e.raw("}")
		}
		e.raw("}")
	}
	e.raw("]")
}

// taskStats are the four groups of tasksStats; a group without tasks is absent (http-api.md 4.15, behaviour.md 8.6).
type taskStats struct {
	StartedAfterLastScaling *statsBox `json:"startedAfterLastScaling,omitempty"`
	WithLatestConfig        *statsBox `json:"withLatestConfig,omitempty"`
	WithOutdatedConfig      *statsBox `json:"withOutdatedConfig,omitempty"`
	TotalSummary            *statsBox `json:"totalSummary,omitempty"`
}

type statsBox struct {
	Stats struct {
		Counts struct {
			Staged    int `json:"staged"`
			Running   int `json:"running"`
			Healthy   int `json:"healthy"`
			Unhealthy int `json:"unhealthy"`
		} `json:"counts"`
		LifeTime *lifeTime `json:"lifeTime,omitempty"`
	} `json:"stats"`

	seconds []float64
}

type lifeTime struct {
	Average core.Num `json:"averageSeconds"`
	Median  core.Num `json:"medianSeconds"`
}

func statsOf(snap *state.Snapshot, a *core.App, now core.Timestamp) *taskStats {
	out := &taskStats{}
	stamps := a.Stamps()
	add := func(box **statsBox, i *core.Instance) {
		if *box == nil {
			*box = &statsBox{}
		}
		(*box).add(snap, i, now)
	}
	for i := range snap.InstancesOf(a.ID) {
		if !listed(i) {
			continue
		}
		if at := i.Tasks[0].StartedAt; at != 0 && at >= stamps.LastScalingAt {
			add(&out.StartedAfterLastScaling, i)
		}
		if i.Version >= stamps.LastConfigChangeAt {
			add(&out.WithLatestConfig, i)
		} else {
			add(&out.WithOutdatedConfig, i)
		}
		add(&out.TotalSummary, i)
	}
	for _, b := range []*statsBox{out.StartedAfterLastScaling, out.WithLatestConfig, out.WithOutdatedConfig, out.TotalSummary} {
		b.finish()
	}
	return out
}

func (b *statsBox) add(snap *state.Snapshot, i *core.Instance, now core.Timestamp) {
	c := &b.Stats.Counts
	switch st := i.Tasks[0].Status; {
	case st == nil || st.State == "TASK_STAGING":
		c.Staged++
	case st.State == "TASK_RUNNING":
		c.Running++
	}
	if some, alive := snap.Health(i.ID).Any(); some && alive {
		c.Healthy++
	} else if some {
		c.Unhealthy++
	}
	if at := i.Tasks[0].StartedAt; at != 0 {
		b.seconds = append(b.seconds, now.Sub(at).Seconds())
	}
}

// finish computes the life times. The median of an even number is the mean of the middle two.
func (b *statsBox) finish() {
	if b == nil || len(b.seconds) == 0 {
		return
	}
	slices.Sort(b.seconds)
	sum, n := 0.0, len(b.seconds)
	for _, s := range b.seconds {
		sum += s
	}
	median := (b.seconds[(n-1)/2] + b.seconds[n/2]) / 2
	b.Stats.LifeTime = &lifeTime{core.Num(sum / float64(n)), core.Num(median)}
}
