package core

import "slices"

// ActionKind is one of the four things a deployment step does to a spec (behaviour.md 2.3).
type ActionKind string

// The kinds of actions.
const (
	ActionStart   ActionKind = "Start"
	ActionStop    ActionKind = "Stop"
	ActionScale   ActionKind = "Scale"
	ActionRestart ActionKind = "Restart"
)

// Action is one action of one step.
type Action struct {
	Kind    ActionKind `json:"kind"`
	Spec    PathID     `json:"spec"`
	Pod     bool       `json:"pod,omitempty"`
	Version Timestamp  `json:"version,omitzero"` // version of the spec this action works towards; zero for Stop
}

// WireName is the action's name in the API: ScaleApplication, StopPod.
func (a Action) WireName() string {
	if a.Pod {
		return string(a.Kind) + "Pod"
	}
	return string(a.Kind) + "Application"
}

// Step is a set of actions that run beside each other.
type Step struct {
	Actions []Action `json:"actions"`
}

// Deployment is a stored plan and how far it has come. It is a redo log: with the spec versions it names, a new
// leader goes on where the old one was (design.md 5).
type Deployment struct {
	ID        string        `json:"id"`
	Version   Timestamp     `json:"version"` // of the plan
	Steps     []Step        `json:"steps"`
	Current   int           `json:"current"` // 1-based step that runs; 0 before the first
	Specs     []SpecChange  `json:"specs,omitempty"`
	Groups    []GroupChange `json:"groups,omitempty"`
	Sentenced []InstanceID  `json:"sentenced,omitempty"` // instances a kill-and-scale request named
	StartedAt Timestamp     `json:"startedAt"`
	StepAt    Timestamp     `json:"stepAt,omitzero"`   // when the current step began
	Settings  *Rollout      `json:"rollout,omitempty"` // extension settings, nil without
}

// Rollout holds the extension settings of a deployment that ride in labels (deadline, promotion, rollback).
type Rollout struct {
	Paused   bool `json:"paused,omitempty"`
	Promoted int  `json:"promoted,omitempty"` // step up to which canaries are promoted
	Failures int  `json:"failures,omitempty"` // new instances that failed since it began
	Revert   bool `json:"revert,omitempty"`   // it takes back another one, so nothing takes it back by itself
}

// Affects reports whether any action touches the spec.
func (d *Deployment) Affects(id PathID) bool {
	for _, s := range d.Steps {
		for _, a := range s.Actions {
			if a.Spec == id {
				return true
			}
		}
	}
	return false
}

// AffectedSpecs lists each spec that any action touches once, in order of first mention.
func (d *Deployment) AffectedSpecs() []Action {
	total := 0
	for _, s := range d.Steps {
		total += len(s.Actions)
	}
	out := make([]Action, 0, total)
	known := func(id PathID) bool { return slices.ContainsFunc(out, func(a Action) bool { return a.Spec == id }) }
	if total > fewActions {
		seen := make(map[PathID]bool, total)
		known = func(id PathID) bool { was := seen[id]; seen[id] = true; return was }
	}
	for _, s := range d.Steps {
		for _, a := range s.Actions {
			if !known(a.Spec) {
				out = append(out, a)
			}
		}
	}
	return out
}

// fewActions is up to how many actions looking through a list beats a map; nearly all deployments concern one app.
const fewActions = 8

// CurrentActions are the actions of the running step, none before the first.
func (d *Deployment) CurrentActions() []Action {
	if d.Current < 1 || d.Current > len(d.Steps) {
		return nil
	}
	return d.Steps[d.Current-1].Actions
}
