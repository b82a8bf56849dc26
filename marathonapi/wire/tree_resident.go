package wire

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"

	"stadion/core"
)

const (
	textFixedVolumes   = "Persistent volumes can not be changed!"
	textFixedResources = "Services with persistent volumes configured may not change resource requirements. " +
		"If you need to make this change, please create a new service."
	textFixedPorts = "Services with persistent volumes configured may not change host ports. " +
		"If you need to make this change, please create a new service."
	textFixedRole = "It is not possible to change the role for existing reservations. If you proceed with this change, all existing " +
		"instances will continue to run under the previous role, %s. Only new instances will be allocated with the new role, %s. " +
		"In order to continue, retry your request with ?force=true"
)

// checkResidentChanges compares specs that have or had persistent volumes with what they become (http-api.md 4.12,
// 7.6). As in Marathon the paths count the apps and the pods of the change: "/app(0)/cpus".
func checkResidentChanges(tree core.Tree, ch core.Change, v *violations) {
	apps, pods := 0, 0
	for _, next := range ch.Put {
		kind, n := "/app", &apps
		if next.IsPod() {
			kind, n = "/pod", &pods
		}
		at := fmt.Sprintf("%s(%d)", kind, *n)
		*n++
		old, ok := tree.Spec(next.SpecID())
		if !ok || old.IsPod() != next.IsPod() || !old.Resident() && !next.Resident() {
			continue
		}
		switch old := old.(type) {
		case *core.App:
			residentApp(old, next.(*core.App), at, v)
		case *core.Pod:
			residentPod(old, next.(*core.Pod), at, v)
		}
	}
}

// checkResidentRole refuses another role for reservations that exist, unless it is forced.
func checkResidentRole(tree core.Tree, next core.RunSpec, at string, v *violations) {
	old, ok := tree.Spec(next.SpecID())
	if ok && old.Resident() && old.IsPod() == next.IsPod() && old.SpecRole() != next.SpecRole() {
		v.add(at+"/role", fmt.Sprintf(textFixedRole, old.SpecRole(), next.SpecRole()))
	}
}

func residentApp(old, next *core.App, at string, v *violations) {
	if !maps.Equal(appVolumes(old), appVolumes(next)) {
		v.add(at, textFixedVolumes)
	}
	for _, r := range []struct {
		name    string
		changed bool
	}{{"cpus", old.CPUs != next.CPUs}, {"mem", old.Mem != next.Mem}, {"disk", old.Disk != next.Disk}, {"gpus", old.GPUs != next.GPUs},
		{"requirePorts", old.RequirePorts != next.RequirePorts}} {
		if r.changed {
			v.add(at+"/"+r.name, textFixedResources)
		}
	}
	if !slices.Equal(appHostPorts(old), appHostPorts(next)) {
		v.add(at, textFixedPorts)
	}
}

// appVolumes maps mount paths to the text of their persistent volumes, which makes them comparable.
func appVolumes(a *core.App) map[string]string {
	out := map[string]string{}
	if a.Container == nil {
		return out
	}
	for _, vol := range a.Container.Volumes {
		if vol.Persistent != nil {
			out[vol.ContainerPath] = vol.Mode + describe(vol.Persistent)
		}
	}
	return out
}

func describe(p *core.PersistentVolume) string {
	text, err := core.EncodeJSON(p)
	if err != nil {
		return err.Error() // numbers and strings always encode
	}
	return string(text)
}

// appHostPorts is the set of ports that the app claims on an agent; dynamic ones do not count.
func appHostPorts(a *core.App) []int {
	set := map[int]bool{}
	if a.HostNetworking() {
		for _, p := range a.PortDefinitions {
			if a.RequirePorts {
				set[p.Port] = true
			}
		}
	} else if a.Container != nil {
		for _, p := range a.Container.PortMappings {
			if p.HostPort != nil {
				set[*p.HostPort] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

func residentPod(old, next *core.Pod, at string, v *violations) {
	if !maps.Equal(podVolumes(old), podVolumes(next)) {
		v.add(at, "persistent volumes cannot be updated")
	}
	a, b := podResources(old), podResources(next)
	for _, r := range []struct {
		name    string
		changed bool
	}{{"cpus", a.CPUs != b.CPUs}, {"mem", a.Mem != b.Mem}, {"disk", a.Disk != b.Disk}, {"gpus", a.GPUs != b.GPUs}} {
		if r.changed {
			v.add(at, r.name+" cannot be updated if a pod has persistent volumes")
		}
	}
	if !slices.Equal(podHostPorts(old), podHostPorts(next)) {
		v.add(at, "host ports cannot be updated if a pod has persistent volumes")
	}
}

func podVolumes(p *core.Pod) map[string]string {
	out := map[string]string{}
	for _, vol := range p.Volumes {
		if vol.Persistent != nil {
			out[vol.Name] = describe(vol.Persistent)
		}
	}
	return out
}

// podResources are the sums over the containers, without the executor's share.
func podResources(p *core.Pod) core.PodResources {
	var sum core.PodResources
	for _, c := range p.Containers {
		sum.CPUs += c.Resources.CPUs
		sum.Mem += c.Resources.Mem
		sum.Disk += c.Resources.Disk
		sum.GPUs += c.Resources.GPUs
	}
	return sum
}

func podHostPorts(p *core.Pod) []int {
	var out []int
	for _, c := range p.Containers {
		for _, e := range c.Endpoints {
			if e.HostPort != nil {
				out = append(out, *e.HostPort)
			}
		}
	}
	slices.Sort(out)
	return out
}

// checkVolumeNames refuses equal names of unshared external volumes in different apps (http-api.md 4.11.7).
func (m *merged) checkVolumeNames(v *violations) {
	var fresh []*core.App
	for _, s := range m.change.Put {
		if a, ok := s.(*core.App); ok && len(ownVolumes(a)) > 0 {
			fresh = append(fresh, a)
		}
	}
	if len(fresh) == 0 {
		return
	}
	users := map[string][]string{}
	m.specs(func(s core.RunSpec) {
		if a, ok := s.(*core.App); ok {
			for _, n := range ownVolumes(a) {
				users[n] = append(users[n], string(a.ID))
			}
		}
	})
	for _, a := range fresh {
		for _, n := range ownVolumes(a) {
			others := slices.DeleteFunc(slices.Clone(users[n]), func(id string) bool { return id == string(a.ID) })
			sort.Strings(others)
			if len(others) > 0 {
				v.add(m.placeOf(a.ID)+"/container", fmt.Sprintf("Volume name '%s' in %s conflicts with volume(s) of same name in app(s): %s",
					n, a.ID, strings.Join(others, ", ")))
			}
		}
	}
}

func ownVolumes(a *core.App) []string {
	var out []string
	if a.Container == nil {
		return nil
	}
	for _, vol := range a.Container.Volumes {
		if e := vol.External; e != nil && e.Provider == providerDVDI && !e.IsShared() {
			out = append(out, e.Name)
		}
	}
	return out
}

// placeOf is where an app stands in the merged tree, by position: "/groups(0)/apps(1)".
func (m *merged) placeOf(id core.PathID) string {
	apps, groups := map[core.PathID]bool{}, map[core.PathID]bool{}
	m.specs(func(s core.RunSpec) {
		if !s.IsPod() && s.SpecID().Parent() == id.Parent() {
			apps[s.SpecID()] = true
		}
		for g := s.SpecID().Parent(); g != core.Root; g = g.Parent() {
			groups[g] = true
		}
	})
	for g := range m.tree.GroupsBelow(core.Root) {
		if !m.noGroups[g.ID] {
			groups[g.ID] = true
		}
	}
	for g := range m.groups {
		groups[g] = true
	}
	text := fmt.Sprintf("/apps(%d)", rank(apps, id))
	for g := id.Parent(); g != core.Root; g = g.Parent() {
		text = fmt.Sprintf("/groups(%d)", rank(groups, g)) + text
	}
	return text
}

// rank is the position of an id among its siblings.
func rank(ids map[core.PathID]bool, id core.PathID) int {
	n := 0
	for o := range ids {
		if o.Parent() == id.Parent() && o < id {
			n++
		}
	}
	return n
}
