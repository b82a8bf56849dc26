package machine

import (
	"fmt"
	"testing"

	"stadion/core"
	"stadion/core/state"
)

// TestTermStartIsSpread is D-60: at the start of a term the looks at all specs come in batches of 100 per second, and the
// first probes of tasks that have run for long are spread over the interval.
func TestTermStartIsSpread(t *testing.T) {
	const apps = 1000
	st := state.New()
	for n := range apps {
		id := core.PathID(fmt.Sprintf("/a%d", n))
		app := testApp(t, fmt.Sprintf(`{"id":"%s","healthChecks":[{}]}`, id)).WithVersion(1, core.VersionInfo{LastScalingAt: 1, LastConfigChangeAt: 1})
		st.PutSpec(app)
		i := &core.Instance{ID: core.NewInstanceID(id, fmt.Sprint(n)), Spec: id, Version: 1, Role: "*", Condition: core.Running, ActiveSince: 1, Incarnation: 1,
			Agent: &core.AgentInfo{ID: "S", Host: "h"}}
		i.Tasks = []core.Task{{ID: i.ID.Task(core.AppContainer, 1), Container: core.AppContainer, Condition: core.Running, StartedAt: 1, HostPorts: []int{1000 + n},
			Status: &core.TaskStatus{State: "TASK_RUNNING"}}}
		st.PutInstance(i)
	}
	m := New(DefaultConfig(), st)
	const now = core.Timestamp(1_700_000_000_000)
	b := &Batch{}
	m.Step(now, Begin{Seed: 3}, b)
	seconds := map[int64]int{}
	for _, p := range b.Probes {
		if p.FirstMs < 0 || p.FirstMs >= p.IntervalMs {
			t.Fatalf("a first probe after %d ms, the interval is %d", p.FirstMs, p.IntervalMs)
		}
		seconds[p.FirstMs/1000]++
	}
	if len(b.Probes) != apps {
		t.Fatalf("%d probes for %d tasks", len(b.Probes), apps)
	}
	for s, n := range seconds {
		if n > apps/2 {
			t.Errorf("%d of %d first probes fall into second %d", n, apps, s)
		}
	}
	m.Settle(now, &Batch{})
	at := now.Add(ms(DefaultConfig().ScaleInitialMs))
	m.Settle(at, &Batch{})
	later := 0
	m.timers.rows.Scan(func(x timer) bool {
		if x.kind == timerSpec && x.due > at {
			later++
		}
		return true
	})
	if later < apps-2*specsPerScale {
		t.Errorf("%d of %d looks are put off, at most %d may come at once", later, apps, specsPerScale)
	}
}
