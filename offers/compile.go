package offers

import (
	"math"

	"stadion/core"
)

// scalars are amounts in thousandths.
type scalars struct{ cpus, mem, disk, gpus int64 }

func (s scalars) plus(o scalars) scalars {
	return scalars{addSat(s.cpus, o.cpus), addSat(s.mem, o.mem), addSat(s.disk, o.disk), addSat(s.gpus, o.gpus)}
}

func addSat(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// volumeWant is a persistent volume to reserve (behaviour.md 5.3.2); sizes in thousandths of MiB.
type volumeWant struct {
	name          string // in the volume id: container path for apps, name for pods
	containerPath string
	kind          string // root, path, mount
	mode          string
	size, maxSize int64
	profile       string
	constraints   []constraint
}

// Compiled is a spec made ready for matching: everything that does not depend on the offer. It is immutable and may
// be shared by all needs of one spec version.
type Compiled struct {
	spec        core.RunSpec
	app         *core.App
	pod         *core.Pod
	total       scalars   // of all tasks and the executor
	executor    scalars   // part of total
	parts       []scalars // of the containers of a pod
	ports       []int32
	impossible  bool   // requirePorts with port 0: no offer can ever match (behaviour.md 5.4)
	name        string // hostname form of the id
	class       string // see Class
	labels      []Label
	env         []EnvVar // of an app: what no launch changes
	roles       []string
	gpuBehavior string
	constraints []constraint
	counting    bool // a constraint looks at where other instances are
	domains     bool // a constraint names @region or @zone: the region rule is off (behaviour.md 5.5.3)
	floor       core.Timestamp
	volumes     []volumeWant
}

const labelGPUBehavior = "GPU_SCHEDULING_BEHAVIOR"

// Compile prepares a spec. The result serves every need of the spec version (Need.Compiled).
func Compile(spec core.RunSpec) *Compiled {
	c := &Compiled{spec: spec, constraints: compileConstraints(spec.PlacementConstraints()), floor: spec.Stamps().LastConfigChangeAt,
		name: spec.SpecID().Hostname(), labels: sortedLabels(spec.SpecLabels())}
	for i := range c.constraints {
		if f := c.constraints[i].field; f == fieldRegion || f == fieldZone {
			c.domains = true
		}
		c.counting = c.counting || c.constraints[i].op.counts
	}
	if b := spec.SpecLabels()[labelGPUBehavior]; b == "restricted" || b == "unrestricted" {
		c.gpuBehavior = b
	}
	switch s := spec.(type) {
	case *core.App:
		c.compileApp(s)
	case *core.Pod:
		c.compilePod(s)
	}
	c.class = c.classify()
	return c
}

func (c *Compiled) compileApp(a *core.App) {
	c.app = a
	c.roles = a.AcceptedResourceRoles
	c.env = appContextEnv(a)
	c.total = scalars{milli(float64(a.CPUs)), milli(float64(a.Mem)), milli(float64(a.Disk)), milli(float64(a.GPUs))}
	if e := a.ExecutorResources; e != nil {
		c.executor = scalars{cpus: milli(float64(e.CPUs)), mem: milli(float64(e.Mem)), disk: milli(float64(e.Disk))}
	}
	c.ports, c.impossible = portWants(a)
	if a.Container == nil {
		return
	}
	for _, v := range a.Container.Volumes {
		if v.Persistent != nil {
			c.volumes = append(c.volumes, persistentWant(v.ContainerPath, v.ContainerPath, v.Mode, v.Persistent))
		}
	}
}

func persistentWant(name, path, mode string, p *core.PersistentVolume) volumeWant {
	w := volumeWant{name: name, containerPath: path, kind: p.Type, mode: mode, size: milli(float64(p.Size)),
		maxSize: math.MaxInt64, constraints: compileConstraints(p.Constraints)}
	if p.MaxSize != nil {
		w.maxSize = milli(float64(*p.MaxSize))
	}
	if p.ProfileName != nil {
		w.profile = *p.ProfileName
	}
	return w
}

// portWants is the request vector of an app (behaviour.md 5.4).
func portWants(a *core.App) (want []int32, impossible bool) {
	if !a.HostNetworking() {
		if a.Container == nil {
			return nil, false
		}
		for _, m := range a.Container.PortMappings {
			if m.HostPort == nil {
				want = append(want, noHostPort)
			} else {
				want = append(want, int32(*m.HostPort))
			}
		}
		return want, false
	}
	for _, d := range a.PortDefinitions {
		if !a.RequirePorts {
			want = append(want, anyPort)
			continue
		}
		want = append(want, int32(d.Port))
		impossible = impossible || d.Port == 0
	}
	return want, impossible
}
