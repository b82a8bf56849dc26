package machine

import (
	"math"
	"slices"
	"strings"

	"stadion/core"
	"stadion/offers"
)

// What a relaxed requirement counts against others when the nearest miss is chosen; a lack of resources counts by its
// share of what is wanted, which is at most 1.
const (
	sizePorts       = 1.5
	sizeConstraint  = 2
	sizeRole        = 3
	sizeMaintenance = 4
)

// relax finds the one change with which the instance would fit the offer. The matcher names all reasons at once, so only
// an offer with a single one can be helped by a single change. The change is proven by matching again.
func (x *explainer) relax(o *offers.Offer, why []offers.Reason) *Miss {
	m := &Miss{Host: o.Agent.Host}
	for _, r := range why {
		m.Reasons = append(m.Reasons, r.String())
	}
	fits := func(cfg *offers.Config, spec core.RunSpec, change string, size float64) bool {
		if spec == nil || len(x.try(cfg, spec, o, o.Resources, x.placed).Operations) == 0 {
			return false
		}
		m.Change, m.kind, m.size, m.changed, m.cfg = change, change, size, spec, cfg
		return true
	}
	switch {
	case len(why) == 0:
	case slices.Contains(why, offers.UnfulfilledRole):
		fits(x.cfg, anyRole(x.spec), "accept resources of any role", sizeRole)
	case slices.Contains(why, offers.AgentMaintenance):
		calm := *x.cfg
		calm.MaintenanceMode = false
		fits(&calm, x.spec, "end its maintenance", sizeMaintenance)
	case len(why) > 1:
	case why[0] == offers.UnfulfilledConstraint:
		for n, c := range x.spec.PlacementConstraints() {
			if fits(x.cfg, withoutConstraint(x.spec, n), "drop the constraint "+strings.TrimSpace(c.Field+" "+c.Operator+" "+c.Value), sizeConstraint) {
				break
			}
		}
		if home := *x.cfg; m.Change == "" {
			home.HomeRegion = o.Agent.Region
			fits(&home, x.spec, "allow its region "+o.Agent.Region+" by a constraint", sizeConstraint)
		}
	case why[0] == offers.InsufficientPorts:
		fits(x.cfg, withoutPorts(x.spec), "free the ports it asks for", sizePorts)
	case why[0] == offers.DeclinedScarceResources:
		free := *x.cfg
		free.GPUBehavior = "unrestricted"
		fits(&free, withLabel(x.spec, "GPU_SCHEDULING_BEHAVIOR", "unrestricted"), "let it use agents with GPUs", sizeConstraint)
	default:
		x.lessOf(m, o, why[0], fits)
	}
	return m
}

// amounts names the resource behind a reason and how to tell of it.
var amounts = map[offers.Reason]struct{ name, unit string }{
	offers.InsufficientCpus: {"cpus", "cpus"}, offers.InsufficientMemory: {"mem", "MiB of memory"},
	offers.InsufficientDisk: {"disk", "MiB of disk"}, offers.InsufficientGpus: {"gpus", "GPUs"},
}

// lessOf tries with as much of a resource as is offered: of all, or of what is not reserved.
func (x *explainer) lessOf(m *Miss, o *offers.Offer, why offers.Reason, fits func(*offers.Config, core.RunSpec, string, float64) bool) {
	a, ok := amounts[why]
	if !ok {
		return
	}
	want := wantOf(x.spec, a.name)
	for _, have := range []float64{amountOf(o, a.name, false), amountOf(o, a.name, true), 0} {
		if have >= want {
			continue
		}
		lacks := (math.Round(want*1000) - math.Round(have*1000)) / 1000 // resources count in thousandths
		if fits(x.cfg, scaled(x.spec, a.name, have/want), "it lacks "+offers.FormatScalar(lacks)+" "+a.unit, lacks/want) {
			m.Lacks, m.kind = lacks, a.name
			return
		}
	}
}

// amountOf sums a scalar of an offer, volumes excepted.
func amountOf(o *offers.Offer, name string, unreserved bool) (sum float64) {
	for i := range o.Resources {
		r := &o.Resources[i]
		if r.Name == name && r.Type == offers.Scalar && !r.Revocable && (r.Disk == nil || r.Disk.PersistenceID == "" && r.Disk.Source == nil) && (!unreserved || len(r.Reservations) == 0) {
			sum += r.Value
		}
	}
	return sum
}

// wantOf is how much of a scalar one instance asks for.
func wantOf(spec core.RunSpec, name string) float64 {
	pick := func(cpus, mem, disk core.Num, gpus int) float64 {
		return map[string]float64{"cpus": float64(cpus), "mem": float64(mem), "disk": float64(disk), "gpus": float64(gpus)}[name]
	}
	switch s := spec.(type) {
	case *core.App:
		return pick(s.CPUs, s.Mem, s.Disk, s.GPUs)
	case *core.Pod:
		sum := pick(s.ExecutorResources.CPUs, s.ExecutorResources.Mem, s.ExecutorResources.Disk, 0)
		for n := range s.Containers {
			r := &s.Containers[n].Resources
			sum += pick(r.CPUs, r.Mem, r.Disk, r.GPUs)
		}
		return sum
	}
	return 0
}

// scaled is the spec with so much less of one scalar.
func scaled(spec core.RunSpec, name string, by float64) core.RunSpec {
	scale := func(cpus, mem, disk *core.Num, gpus *int) {
		cut := func(n *core.Num) { *n = core.Num(float64(int64(float64(*n)*by*1000)) / 1000) }
		switch name {
		case "cpus":
			cut(cpus)
		case "mem":
			cut(mem)
		case "disk":
			cut(disk)
		case "gpus":
			*gpus = int(float64(*gpus) * by)
		}
	}
	switch s := spec.(type) {
	case *core.App:
		c := *s
		scale(&c.CPUs, &c.Mem, &c.Disk, &c.GPUs)
		return &c
	case *core.Pod:
		c, none := *s, 0
		scale(&c.ExecutorResources.CPUs, &c.ExecutorResources.Mem, &c.ExecutorResources.Disk, &none)
		c.Containers = slices.Clone(s.Containers)
		for n := range c.Containers {
			r := &c.Containers[n].Resources
			scale(&r.CPUs, &r.Mem, &r.Disk, &r.GPUs)
		}
		return &c
	}
	return nil
}

func withoutConstraint(spec core.RunSpec, n int) core.RunSpec {
	switch s := spec.(type) {
	case *core.App:
		c := *s
		c.Constraints = slices.Delete(slices.Clone(s.Constraints), n, n+1)
		return &c
	case *core.Pod:
		c := *s
		c.Scheduling.Placement.Constraints = slices.Delete(slices.Clone(s.Scheduling.Placement.Constraints), n, n+1)
		return &c
	}
	return nil
}

// withoutPorts asks for no host port at all.
func withoutPorts(spec core.RunSpec) core.RunSpec {
	switch s := spec.(type) {
	case *core.App:
		c := *s
		c.PortDefinitions, c.RequirePorts = nil, false
		if s.Container != nil {
			k := *s.Container
			k.PortMappings = slices.Clone(k.PortMappings)
			for n := range k.PortMappings {
				k.PortMappings[n].HostPort = nil
			}
			c.Container = &k
		}
		return &c
	case *core.Pod:
		c := *s
		c.Containers = slices.Clone(s.Containers)
		for n := range c.Containers {
			c.Containers[n].Endpoints = nil
		}
		return &c
	}
	return nil
}

func anyRole(spec core.RunSpec) core.RunSpec {
	roles := []string{"*", spec.SpecRole()}
	switch s := spec.(type) {
	case *core.App:
		c := *s
		c.AcceptedResourceRoles = roles
		return &c
	case *core.Pod:
		c := *s
		c.Scheduling.Placement.AcceptedResourceRoles = roles
		return &c
	}
	return nil
}

func withLabel(spec core.RunSpec, name, value string) core.RunSpec {
	labels := map[string]string{name: value}
	for k, v := range spec.SpecLabels() {
		if k != name {
			labels[k] = v
		}
	}
	switch s := spec.(type) {
	case *core.App:
		c := *s
		c.Labels = labels
		return &c
	case *core.Pod:
		c := *s
		c.Labels = labels
		return &c
	}
	return nil
}
