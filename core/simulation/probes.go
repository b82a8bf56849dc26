package simulation

import (
	"stadion/core"
	"stadion/core/machine"
)

type probeKey struct {
	instance  core.InstanceID
	check     int
	readiness bool
}

// probe is a health or readiness check that the server runs, at the edge of one life.
type probe struct {
	machine.Probe
	over bool
}

// probe starts or stops one.
func (l *life) probe(p machine.Probe) {
	key := probeKey{p.Instance, p.Check, p.Readiness}
	if old := l.probes[key]; old != nil {
		old.over = true
		delete(l.probes, key)
	}
	if p.Stop {
		return
	}
	now := &probe{Probe: p}
	l.probes[key] = now
	l.after(p.FirstMs, func() { l.ask(now) })
}

// ask looks at the task and reports a moment later.
func (l *life) ask(p *probe) {
	if p.over {
		return
	}
	w := l.w
	t := w.master.tasks[p.Task]
	up := t != nil && t.Alive() && t.State == "TASK_RUNNING" && p.Host == t.agent.info.Host && p.Port != 0
	l.after(1+w.rnd.Int64N(300), func() {
		if p.over {
			return
		}
		if p.Readiness {
			ready := up && w.clock.now >= t.unready
			l.book.ready[p.Task] = l.book.ready[p.Task] || ready
			l.step(machine.ReadinessReport{Instance: p.Instance, Task: p.Task, Name: p.Name, Ready: ready, Status: map[bool]int{true: 200, false: 503}[ready]})
		} else {
			out := machine.ProbeFailed
			if up && !t.sick {
				out = machine.ProbeHealthy
			}
			l.book.probed(p, out)
			l.step(machine.HealthReport{Instance: p.Instance, Task: p.Task, Check: p.Check, Outcome: out, Cause: "sick"})
		}
		l.after(max(p.IntervalMs, 500), func() { l.ask(p) })
	})
}
