package deployments

import (
	"iter"

	"stadion/core"
)

// Repair turns the scaling of a spec that an abandoned rollout left half done into a rolling restart: the next deployment
// of a spec brings all of its instances to the newest configuration (D-58). instances yields those of a spec.
func Repair(u *Update, instances func(core.PathID) iter.Seq[*core.Instance]) {
	for s := range u.Steps {
		for k := range u.Steps[s].Actions {
			a := &u.Steps[s].Actions[k]
			target, ok := u.Target.Spec(a.Spec)
			if a.Kind == core.ActionScale && ok && target.InstanceCount() > 0 && Outdated(target, instances(a.Spec)) > 0 {
				a.Kind = core.ActionRestart
			}
		}
	}
}

// Outdated counts the instances that shall run and have an older configuration than the spec.
func Outdated(spec core.RunSpec, instances iter.Seq[*core.Instance]) (n int) {
	for i := range instances {
		if i.Goal == core.GoalRunning && i.Version < spec.Stamps().LastConfigChangeAt {
			n++
		}
	}
	return n
}
