package machine

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"stadion/core"
	"stadion/deployments"
)

// TestDryRunIsWhatHappens: of any change, the instances that a dry run says would be started and stopped at first are
// those that the change starts and stops, and its steps are the same: with sick instances (D-01, D-08), with what an
// abandoned rollout left behind (D-58), with GROUP_BY, and with requested kills.
func TestDryRunIsWhatHappens(t *testing.T) {
	kinds := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t)
		text := func(n int, cmd string) string {
			return fmt.Sprintf(`{"id":"/web","cmd":"%s","instances":%d,"upgradeStrategy":{"minimumHealthCapacity":%v,"maximumOverCapacity":%v}%s%s}`, cmd, n,
				rapid.SampledFrom([]float64{0, 0.5, 1}).Draw(rt, "minimum"), rapid.SampledFrom([]float64{0, 0.5, 1}).Draw(rt, "over"),
				rapid.SampledFrom([]string{"", `,"killSelection":"OLDEST_FIRST"`}).Draw(rt, "selection"),
				rapid.SampledFrom([]string{"", `,"healthChecks":[{"gracePeriodSeconds":0,"maxConsecutiveFailures":9}]`, `,"constraints":[["hostname","GROUP_BY"]]`}).Draw(rt, "more"))
		}
		r.put(text(rapid.IntRange(0, 6).Draw(rt, "n"), "one"))
		for _, agent := range []string{"a", "b"} {
			r.offer(agent, plenty()...)
			for _, id := range r.ids("/web") {
				if r.get(id).Condition != core.Provisioned {
					continue
				}
				r.now++
				if r.status(id, "TASK_RUNNING"); rapid.IntRange(0, 3).Draw(rt, "sick") > 0 {
					r.probe(id, ProbeHealthy)
				}
			}
		}
		if d, ok := r.m.st.DeploymentOf("/web"); ok {
			r.request(CancelDeployment{ID: d.ID, Force: true})
		}
		if rapid.Bool().Draw(rt, "half done") {
			res, _ := r.force(text(3, "two"))
			r.request(CancelDeployment{ID: res.Deployment, Force: true})
		}
		var ch core.Change
		ch.Force = true
		switch kind := rapid.SampledFrom([]string{"scale", "change", "restart", "remove", "kill and scale"}).Draw(rt, "change"); kind {
		case "scale", "kill and scale":
			s, _ := r.m.st.Spec("/web")
			ch.Put = []core.RunSpec{s.WithInstances(rapid.IntRange(0, 7).Draw(rt, "to"))}
			for _, id := range r.ids("/web") {
				if kind != "scale" && rapid.Bool().Draw(rt, "named") {
					ch.Sentenced = append(ch.Sentenced, id)
				}
			}
		case "change":
			ch.Put = []core.RunSpec{testApp(t, text(rapid.IntRange(0, 7).Draw(rt, "to"), "three"))}
		case "restart":
			ch.Restart = []core.PathID{"/web"}
		case "remove":
			ch.Remove = []core.PathID{"/web"}
		}
		u, err := deployments.Prepare(&r.m.st.View, ch, r.m.st.RootStamp()+1, r.cfg.Plan)
		if err != nil {
			rt.Fatal(err)
		}
		p, err := deployments.DryRun(&r.m.st.View, u, r.m.st.InstancesOf, func(id core.PathID, target core.RunSpec) *deployments.SpecView {
			return ViewOf(&r.m.st.View, id, target, ch.Sentenced)
		})
		if err != nil {
			rt.Fatal(err)
		}
		before := map[core.InstanceID]bool{}
		for i := range r.m.st.InstancesOf("/web") {
			before[i.ID] = i.Goal == core.GoalRunning
		}
		_, b := r.change(ch)
		var said, done []string
		for _, s := range p.Specs {
			for _, id := range s.First.Stop {
				said = append(said, string(id))
			}
		}
		started := 0
		for i := range r.m.st.InstancesOf("/web") {
			if _, was := before[i.ID]; !was {
				started++
			}
		}
		for id, ran := range before {
			if i, there := r.m.st.Instance(id); ran && (!there || i.Goal != core.GoalRunning) {
				done = append(done, string(id))
			}
		}
		slices.Sort(said)
		slices.Sort(done)
		start := 0
		for _, s := range p.Specs {
			start += s.First.Start
			kinds[string(s.Action)]++
		}
		if !slices.Equal(said, done) || start != started {
			rt.Fatalf("said: start %d, stop %v\ndone: start %d, stop %v", start, said, started, done)
		}
		if len(p.Steps) > 0 {
			if want, got := fmt.Sprint(core.WireSteps(p.Steps)[0]), firstStep(b); !strings.HasSuffix(got, want) {
				rt.Fatalf("said %s, ran %s", want, got)
			}
		}
	})
	for _, k := range []core.ActionKind{core.ActionScale, core.ActionRestart, core.ActionStop} {
		if kinds[string(k)] == 0 {
			t.Errorf("no %s among %v", k, kinds)
		}
	}
}

func firstStep(b *Batch) string {
	for _, n := range b.Notices {
		if x, ok := n.Body.(core.DeploymentStep); ok {
			return fmt.Sprint(x.CurrentStep)
		}
	}
	return ""
}
